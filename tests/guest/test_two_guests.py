#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""East of two guests, each with a card of each model, cabled to that of the other: in both, causeway-nic takes them from the
kernel; model by model, they check the path with each other, and an engine in each replicates over what was prepared; it
gives them back, and all is as it was. West runs side.py.

    test_two_guests.py BUILD MODEL...
"""
import os
import shutil
import sys
import time

from concurrent.futures import ThreadPoolExecutor

from load import give_card, replicate  # first: it knows where the rig is

from rig import Engine, Rig, wait_for

import models

from side import EAST, WEST, Side, address, keep_a_card, west


class Process:
    """The engine in west, as far as the rig asks."""

    def __init__(self, far, log):
        self.far, self.log, self.returncode = far, log, None

    def poll(self):
        if self.returncode is None and (code := self.far.poll_engine()) is not None:
            self.returncode = code
            with open(self.log, "wb") as file:
                file.write(self.far.read(self.log))
        return self.returncode

    def wait(self, timeout=60):
        wait_for("the engine in west ends", lambda: self.poll() is not None, timeout)
        return self.returncode

    def kill(self):
        self.far.kill_engine()


class FarEngine(Engine):
    """That of west, in folders of the same names there; its control socket is reached by TCP."""

    def __init__(self, rig, far):
        self.far = far
        shutil.rmtree(rig.west.directory)  # of the engine that it takes the place of
        super().__init__(rig, "west")

    def start(self, **more):
        files = []
        for path in (self.config, os.path.join(self.rig.directory, "cluster.key")):
            with open(path, "rb") as file:
                files.append((path, file.read()))
        port = self.far.start_engine(os.path.join(self.directory, "storage"), files, self.config, self.log,
                                     os.path.join(self.directory, "engine.sock"), dict(more, CAUSEWAY_ABORT_ON_ALLOCATION="1"))
        self.process, self.socket = Process(self.far, self.log), (address(WEST), port)
        self.connect()
        return self

    def image(self, group=1, volume=0):
        return self.far.read(f"{self.directory}/storage/g{group}v{volume}.img")


class Test:
    def __init__(self, build, wanted):
        self.build, self.began = build, time.monotonic()
        self.far = west()
        keep_a_card(EAST)
        wait_for("west serves", self.far.is_there)
        self.near = Side(build, EAST, wanted)

    def say(self, what):
        print(f"{time.monotonic() - self.began:4.0f} s  {what}", flush=True)

    def both(self, what, do):
        """At the same time."""
        with ThreadPoolExecutor() as pool:
            for name, said in zip(("east", "west"), pool.map(do, (self.near, self.far))):
                self.say(f"{name}: {what}{': ' + said.strip().splitlines()[-1] if said else ''}")

    def verify(self, path, model):
        self.far.answer(path)
        said = self.near.verify(path)
        assert self.far.answer_no_more() == 0, f"{path}: how who answered has ended"
        assert "it answers" in said, said
        for line in said.splitlines():
            verdict, _, check = line.strip().partition(" ")
            what = check.split()[0] if check else ""
            assert verdict != "failed" or what == "loss", said  # two emulated guests may well be too slow
            if what in ("loss", "round", "rate"):
                self.say(f"{model}: {line.strip()}")

    def replicate(self, path, model):
        with Rig(os.path.join(self.build, "dataplane", "engine", "causeway-engine"), lease_ms=30000) as rig:  # emulated: slow
            rig.west = rig.engines[1] = FarEngine(rig, self.far)
            for engine, own in zip(rig.engines, (EAST, WEST)):
                give_card(engine, path, models.mac(model, own), models.mac(model, EAST + WEST - own))
            began = time.monotonic()
            self.say(f"{model}: {replicate(rig)}, in {time.monotonic() - began:.0f} s")

    def run(self):
        self.both("the kernel has the cards", lambda side: side.configure())
        self.both("pinged the other", lambda side: side.look())
        self.both("applied", lambda side: side.apply())
        for i, nic in enumerate(self.near.nics):
            self.verify(f"wan{i}", nic.model)
            self.replicate(f"wan{i}", nic.model)
        self.both("reverted", lambda side: side.revert())
        self.both("as before, pinged the other", lambda side: side.check())


def main():
    build, *wanted = sys.argv[1:]
    test = Test(build, wanted)
    try:
        test.run()
    finally:
        test.far.end()


if __name__ == "__main__":
    main()
