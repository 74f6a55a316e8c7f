# SPDX-License-Identifier: BSD-3-Clause
"""Network cards in a guest, as its kernel has them: named, with addresses and routes; and whether they carry packets."""
import glob
import os
import re
import subprocess
import time

import models


def sh(*command, timeout=120):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def interface_of(mac):
    for path in glob.glob("/sys/class/net/*/address"):
        with open(path) as file:
            if file.read().strip() == mac:
                return path.split("/")[4]
    return None


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


class Nic:
    """A card with the interface NAME; addresses .side of 10.9.NET.0/24 and fd00:NET::/64, and a route by the peer."""

    def __init__(self, model, side, net, peer=9, mtu=1500):
        self.model, self.side, self.net, self.mtu = model, side, net, mtu
        self.mac = models.mac(model, side)
        self.name = f"lan{net}"
        self.peers = [f"10.9.{net}.{peer}", f"fd00:{net}::{peer}"]
        device = os.path.realpath(f"/sys/class/net/{interface_of(self.mac)}/device")
        self.card = re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", device)[-1]

    def driver(self):
        link = f"/sys/bus/pci/devices/{self.card}/driver"
        return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""

    def give_name(self):
        """As udev does; nothing else."""
        now = wait_for(f"the kernel has {self.mac}", lambda: interface_of(self.mac))
        if now != self.name:
            sh("ip", "link", "set", now, "down")
            sh("ip", "link", "set", now, "name", self.name)

    def configure(self):
        self.give_name()
        sh("ip", "link", "set", self.name, "mtu", str(self.mtu))
        sh("ip", "address", "add", f"10.9.{self.net}.{self.side}/24", "dev", self.name)
        sh("ip", "address", "add", f"fd00:{self.net}::{self.side}/64", "dev", self.name, "nodad")
        sh("ip", "link", "set", self.name, "up")
        sh("ip", "route", "add", f"10.99.{self.net}.0/24", "via", self.peers[0])
        sh("ip", "-6", "route", "add", f"fd99:{self.net}::/64", "via", self.peers[1])

    def ping(self):
        """The peer answers, by IPv4 and by IPv6; a link that has just come up may take a while."""
        for peer in self.peers:
            answers = lambda: subprocess.run(["ping", "-c", "1", "-W", "1", "-I", self.name, peer], capture_output=True).returncode == 0
            wait_for(f"{peer} answers over {self.name}", answers)


def far_end(nets):
    """The card that the kernel keeps goes into a network namespace of its own, as the peer of all: within one a kernel
    would answer itself."""
    kept = interface_of(models.mac(None, 9))
    sh("ip", "netns", "add", "far")
    sh("ip", "link", "set", kept, "netns", "far")
    for net in nets:
        sh("ip", "-n", "far", "address", "add", f"10.9.{net}.9/24", "dev", kept)
        sh("ip", "-n", "far", "address", "add", f"fd00:{net}::9/64", "dev", kept, "nodad")
    sh("ip", "-n", "far", "link", "set", kept, "up")
    return kept
