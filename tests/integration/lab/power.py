# SPDX-License-Identifier: BSD-3-Clause
"""Power that fails: kill -9 leaves the page cache, so nothing of the kill suite would miss a sync that was left out.

A PowerDisk is a loop device over a file that nbdfuse shows of an nbdkit whose cache filter holds each write back until a
flush. With kill -9 of that nbdkit all is gone that was not flushed, as in a disk's volatile cache. Imported by
lab_test.py.
"""
import fcntl
import os
import random
import shutil
import subprocess
import tempfile
import time

import load
from devices import can_loop
from lab import MIB, Lab, expect, shell

LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81  # linux/loop.h
LOOPS_FROM = 128  # above what losetup --find gives to others


class PowerDisk:
    """At `device` while it has power."""

    def __init__(self, folder, number, mib):
        self.folder = f"{folder}/disk{number}"
        self.device, self.number = f"/dev/loop{LOOPS_FROM + number}", LOOPS_FROM + number
        self.processes = []
        os.makedirs(self.folder + "/mount")
        with open(self.folder + "/medium", "wb") as f:
            f.truncate(mib * MIB)

    def on(self):
        socket, shown = self.folder + "/socket", self.folder + "/mount/disk"
        self.start("nbdkit", "-f", "-U", socket, *self.served())
        self.wait(socket)
        self.start("nbdfuse", shown, f"nbd+unix:///?socket={socket}")
        self.wait(shown)
        with open("/dev/loop-control") as control:
            try:
                fcntl.ioctl(control, LOOP_CTL_ADD, self.number)
            except FileExistsError:
                pass
        shell("losetup", self.device, shown)

    def served(self):
        """What nbdkit makes of the medium."""
        return "--filter=cache", "file", self.folder + "/medium", "cache=writeback"

    def start(self, *words):
        with open(self.folder + "/log", "a") as log:
            self.processes.append(subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def wait(self, path):
        end = time.monotonic() + 60
        while not os.path.exists(path):
            expect(time.monotonic() < end, f"{path} does not appear: {open(self.folder + '/log').read()}")
            time.sleep(0.02)

    def fail(self):
        """The server first: what the kernel still holds back reaches nothing any more."""
        for p in self.processes:
            p.kill()
            p.wait()
        self.processes = []
        subprocess.run(["losetup", "-d", self.device], capture_output=True)
        subprocess.run(["umount", "-l", self.folder + "/mount"], capture_output=True)
        if os.path.exists(self.folder + "/socket"):
            os.unlink(self.folder + "/socket")

    def remove(self):
        self.fail()
        with open("/dev/loop-control") as control:
            try:
                fcntl.ioctl(control, LOOP_CTL_REMOVE, self.number)
            except OSError:  # never made
                pass


class PowerDisks:
    """Four, for journal and volume of two sites; they go after the lab that uses them."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cw-power-", dir="/dev/shm")
        self.disks = {name: PowerDisk(self.folder, i, mib) for i, (name, mib) in enumerate(
            (("east journal", 48), ("west journal", 48), ("east volume", 16), ("west volume", 16)))}
        try:
            self.on()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for disk in self.disks.values():
            disk.remove()
        shutil.rmtree(self.folder)

    def on(self):
        for disk in self.disks.values():
            disk.on()

    def fail(self):
        for disk in self.disks.values():
            disk.fail()

    def words(self, what):
        option = "--journal" if what == "journal" else "--path"
        return [word for site in ("east", "west") for word in (option, f"{site}={self.disks[f'{site} {what}'].device}")]


def test_power_fails(build):
    """Both sites lose power under load, three times: what was flushed is there, and nothing but a prefix."""
    if not (can_loop() and os.path.exists("/dev/fuse")):
        return "SKIP: no loop devices, or no FUSE"
    rng = random.Random(7)
    with PowerDisks() as disks, Lab(build) as lab:
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west",
                "--journal-size", "48M", *disks.words("journal"))
        lab.run("volume", "create", "db/v", *disks.words("volume"), "--overwrite", "west")
        lab.wait_state("db", "in-sync", "west")
        w = load.Writer(rng.random(), count=16384).connect([lab.uri("db", "v", "east")])
        told = []
        for _ in range(3):
            w.start()
            time.sleep(rng.uniform(0.3, 1))
            for site in rng.sample(["east", "west"], 2):
                lab.run("lab", "kill", site)
            disks.fail()
            w.stop()
            disks.on()
            for site in rng.sample(["east", "west"], 2):
                lab.run("lab", "start", site)
            end = load.check(w, [lab.uri("db", "v", "east")], w.flushed)
            told.append(f"{w.flushed} flushed, {end} there, {w.acknowledged} answered")
            w = w.next(rng.random(), end).connect([lab.uri("db", "v", "east")])
        lab.wait_state("db", "in-sync", "west")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "v", "west")], end)
        return "; ".join(told)
