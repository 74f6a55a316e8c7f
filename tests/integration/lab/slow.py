# SPDX-License-Identifier: BSD-3-Clause
"""Disks that are slower than the writer: what waits for them is bounded. Imported by lab_test.py."""
import os
import re
import shutil
import tempfile
import time

import load
from devices import can_loop
from lab import Lab, expect
from power import PowerDisk
from scenarios import change_configuration

NUMBER_FIRST = 16  # of the loop devices, beside those of power.py
FAST, SLOW = "10G", {"journal": "16M", "volume": "4M"}  # bits a second
SIZE, DEPTH = 131072, 32
GROWN_MIB_MAX = 32
SITES = ("east", "west")


class SlowDisk(PowerDisk):
    """As fast as the file `rate` beside it says, from one request to the next."""

    def served(self):
        self.pace(FAST)
        return "--filter=rate", "file", self.folder + "/medium", f"rate={FAST}", f"rate-file={self.folder}/rate"

    def pace(self, rate):
        with open(self.folder + "/rate.new", "w") as f:
            f.write(rate + "\n")
        os.replace(self.folder + "/rate.new", self.folder + "/rate")


class SlowDisks:
    """West's journal and volume; they go after the lab that uses them."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cw-slow-", dir="/dev/shm")
        self.disks = {name: SlowDisk(self.folder, NUMBER_FIRST + i, mib)
                      for i, (name, mib) in enumerate((("journal", 48), ("volume", 64)))}
        try:
            for disk in self.disks.values():
                disk.on()
        except BaseException:
            self.__exit__()
            raise
        return self.disks

    def __exit__(self, *_):
        for disk in self.disks.values():
            disk.remove()
        shutil.rmtree(self.folder)


def resident_mib(lab, site):
    with open(f"/proc/{lab.pids(site)['causeway-engine']}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) // 1024


class EngineLoad:
    """Writes of the engine's own generator over volume b, many at a time."""

    def __init__(self, lab):
        self.lab = lab
        self.run = lab.rpc("east", "direct.start", group=lab.rpc("east", "status")["groups"][0]["group"], volume=1, op="write",
                           size=SIZE, depth=DEPTH, duration_ms=600000, seed=3)["run"]

    def ops(self):
        stats = self.lab.rpc("east", "direct.stats", run=self.run)
        expect(stats["errors"] == 0 and not stats["done"], f"the load goes on: {stats}")
        return stats["ops"]


def keeps_on(lab, all_of_it, times):
    """More is answered, again and again."""
    before = all_of_it.ops()
    for _ in range(times):
        lab.wait("writes go on at the disk's pace", lambda: all_of_it.ops() > before)
        before = all_of_it.ops()
        time.sleep(0.5)


def while_slow(lab, disks, name, all_of_it, w):
    """How many writes were answered in some seconds with one disk slow, and by how much the engines grew."""
    memory = {site: resident_mib(lab, site) for site in SITES}
    disks[name].pace(SLOW[name])
    first, verified = all_of_it.ops(), w.acknowledged
    keeps_on(lab, all_of_it, 12)
    lab.wait("the verified ones go on, too", lambda: w.acknowledged > verified)
    told = all_of_it.ops() - first
    grown = max(resident_mib(lab, site) - memory[site] for site in SITES)
    expect(grown < GROWN_MIB_MAX, f"an engine grew by {grown} MiB while its disk was slow")
    for site in SITES:
        counters = lab.rpc(site, "status")["paths"][0]["counters"]
        expect(counters["drop_over_credit"] == 0, f"nobody sends more than the other has room for: {site} {counters}")
    expect(lab.group("db", "east")["replicas"][0]["state"] == "in-sync", "the replica is slow, not gone")
    disks[name].pace(FAST)
    keeps_on(lab, all_of_it, 2)
    return f"{told} writes, {grown} MiB more"


def test_slow_disks(build):
    """The replica's journal, then its volume, become slower than a writer of many at a time in sync mode: writes go on as
    the disk takes them, engines do not grow, no datagram is over credit, all is there."""
    if not (can_loop() and os.path.exists("/dev/fuse")):
        return "SKIP: no loop devices, or no FUSE"
    with SlowDisks() as disks, Lab(build) as lab:
        change_configuration(lab, "west", ("memory: {payload_mb: 64, receive_mb: 64}", "memory: {payload_mb: 16, receive_mb: 16}"))
        lab.run("lab", "start", "west")  # its memory is used up soon
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west",
                "--journal-size", "48M", "--journal", f"west={disks['journal'].device}")
        lab.run("volume", "create", "db/a", "--size", "16M")
        lab.run("volume", "create", "db/b", "--size", "64M", "--path", f"west={disks['volume'].device}", "--overwrite", "west")
        lab.wait_state("db", "in-sync", "west")
        lab.run("group", "set", "db", "replica_timeout=300s")
        w = load.Writer(97).connect([lab.uri("db", "a", "east")])
        w.start()
        all_of_it = EngineLoad(lab)
        lab.wait("it is warm", lambda: all_of_it.ops() > 2000)
        told = {name: while_slow(lab, disks, name, all_of_it, w) for name in ("journal", "volume")}
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.run("lab", "kill", "east")  # with the load in it
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"journal: {told['journal']}; volume: {told['volume']}"
