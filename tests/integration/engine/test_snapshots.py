#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a node does when its wall clock jumps, as after the return to a snapshot of a virtual machine's memory.

    test_snapshots.py PATH-OF-causeway-engine
"""
import os
import struct
import time

from rig import run_cases, wait_for
from test_two_engines import Client, attach_both, in_sync, open_at, same


def texts(engine):
    return [event["text"] for event in engine.rpc.events]


def starts_over_when_the_wall_clock_jumps(rig):
    """As after a snapshot's return; a step of a time server is nothing. The machine's clock is not touched."""
    clock = os.path.join(rig.directory, "clock")
    library = os.path.join(os.path.dirname(rig.program), "../../tests/integration/libcw_wall_clock.so")

    def set_ahead(seconds):
        with open(clock, "r+b" if os.path.exists(clock) else "wb") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))

    set_ahead(0)
    rig.start(LD_PRELOAD=os.path.abspath(library), CW_WALL_CLOCK=clock)
    attach_both(rig)
    open_at(rig.east)
    in_sync(rig.east)
    client = Client(rig.east)
    client.some_writes(20, 50)
    set_ahead(0.9)
    time.sleep(2.5)  # it is looked at every second
    assert not any("wall clock" in text for text in texts(rig.east)), texts(rig.east)
    ahead = 0.9
    for jump in (3600, -7200):
        before = len(texts(rig.east)), len(texts(rig.west))
        ahead += jump
        set_ahead(ahead)
        words = f"the wall clock has jumped by {jump:+.1f} s: this machine may have gone back"
        wait_for("it is told", lambda: any(words in text for text in texts(rig.east)[before[0]:]))
        wait_for("the session ended here", lambda: any("picture of its memory; new keys are made" in text
                                                       for text in texts(rig.east)[before[0]:]))
        wait_for("the other end has a new one", lambda: any("is up" in text for text in texts(rig.west)[before[1]:]))
        client.some_writes(21, 50)
        in_sync(rig.east)
    client.check()
    client.nbd.flush()
    same(rig.east, rig.west, client)
    assert not any("gone back" in text for text in texts(rig.west)), texts(rig.west)
    assert rig.east.status()["allocations_on_lcore"] == 0


if __name__ == "__main__":
    run_cases([(starts_over_when_the_wall_clock_jumps, "", {})])
