# SPDX-License-Identifier: BSD-3-Clause
"""Block devices as volumes and journals: loop devices over files in memory. Imported by lab_test.py."""
import os
import subprocess

import load
from lab import MIB, Lab, expect, shell


class Loops:
    """Loop devices over sparse files; they go whatever happens, after the lab that uses them."""

    def __init__(self, **sizes):
        self.sizes = sizes
        self.files, self.devices = {}, {}

    def __enter__(self):
        try:
            for name, mib in self.sizes.items():
                self.files[name] = f"/dev/shm/cw-loop-{os.getpid()}-{name}"
                with open(self.files[name], "wb") as f:
                    f.truncate(mib * MIB)
                self.devices[name] = shell("losetup", "--find", "--show", self.files[name]).strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for device in self.devices.values():
            subprocess.run(["losetup", "-d", device])
        for path in self.files.values():
            os.unlink(path)

    def content(self, name, length):
        with open(self.files[name], "rb") as f:
            return f.read(length)


def can_loop():
    probe = subprocess.run(["losetup", "--find"], capture_output=True)
    return os.geteuid() == 0 and probe.returncode == 0


def refused_while_copied(lab, east, west):
    """The copy onto a device is cut short by the death of its source: not promotable, and said; then it goes on."""
    lab.run("volume", "create", "db/v", "--path", f"east={east}", "--path", f"west={west}", "--overwrite", "west")
    lab.wait("the copy is under way", lambda: lab.engine_group("west", "db")["image"] == "broken")
    lab.run("lab", "kill", "east")
    for more in ((), ("--accept-loss",)):
        p = lab.try_run("promote", "db", "--site", "west", *more)
        expect(p.returncode == 3 and "whole image" in p.stderr, f"exit {p.returncode}: {p.stderr}")
    lab.run("lab", "start", "east")
    lab.wait_state("db", "in-sync", "west")
    said = lab.run("events")
    expect("not usable until the copy is finished" in said, f"nobody was told:\n{said}")


def journal_of_before(lab, device):
    """A store that was made anew gives out the same numbers: the journal on the device is not taken for a new group's."""
    for site in lab.sites:
        lab.run("lab", "kill", site)
    os.unlink(f"{lab.dir}/lab/store.db")
    for site in lab.sites:
        lab.run("lab", "start", site)
    p = lab.try_run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west",
                    "--journal-size", "64M", "--journal", f"west={device}")
    expect(p.returncode == 3 and "blkdiscard" in p.stderr, f"exit {p.returncode}: {p.stderr}")
    lab.wait("nothing was kept", lambda: lab.status()["groups"] == [])


def test_devices(build):
    """--path and --journal on loop devices, primary and replica: one in use is refused, what a copy means is said
    first; kill -9, promotion, equal bytes; they stay when volume and group are deleted."""
    if not can_loop():
        print("SKIP: devices: no loop devices to be had")
        return "skipped"
    with Loops(east=384, west=384, journal=64) as loops, Lab(build) as lab:
        east, west = loops.devices["east"], loops.devices["west"]
        with open(east, "wb") as f:
            f.write(b"kept" * 1024)
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west",
                "--journal-size", "64M", "--journal", f"west={loops.devices['journal']}")
        lab.run("group", "set", "db", "replica_timeout=1s")
        lab.wait_state("db", "in-sync")
        p = lab.try_run("volume", "create", "db/v", "--path", f"east={east}", "--path", f"west={west}")
        expect(p.returncode == 3 and "not" in p.stderr and "usable until the copy is finished" in p.stderr
               and "--overwrite west" in p.stderr, f"exit {p.returncode}: {p.stderr}")
        claimed = os.open(west, os.O_RDWR | os.O_EXCL)  # as a mount has it
        p = lab.try_run("volume", "create", "db/v", "--path", f"east={east}", "--path", f"west={west}",
                        "--overwrite", "west")
        os.close(claimed)
        expect(p.returncode == 1 and "busy" in p.stderr.lower(), f"exit {p.returncode}: {p.stderr}")
        lab.wait("nothing was kept", lambda: lab.group("db")["volumes"] == [])
        refused_while_copied(lab, east, west)
        w = load.Writer(91, first=64).connect([lab.uri("db", "v", "east")])
        w.start()
        lab.wait("writes", lambda: w.acknowledged > 100)
        lab.run("lab", "kill", "west")
        lab.run("lab", "start", "west")
        lab.wait_state("db", "in-sync", "west")
        lab.run("lab", "kill", "east")
        w.stop()
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", "v", "west")], w.acknowledged)
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east")
        length = 64 * 512 + w.count * 512
        lab.wait("both devices have the same bytes, and those of before", lambda:
                 loops.content("east", length) == loops.content("west", length)
                 and loops.content("west", 4096) == b"kept" * 1024)
        lab.run("volume", "delete", "db/v")
        lab.run("group", "delete", "db")
        lab.wait("nothing is left of it", lambda: lab.status()["groups"] == [])
        expect(all(os.path.exists(d) for d in loops.devices.values()), "the devices are there")
        journal_of_before(lab, loops.devices["journal"])
        return f"{w.acknowledged} operations"
