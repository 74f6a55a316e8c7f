#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A store that is put back to an older copy, where no controller has a copy of its own: what engines have seen speaks
against it, to the holder that would open by itself, to who promotes, and to a renewal; accepting the loss, by hand, is
believed. Engines that only talk (fake_engine.py).

test_older.py CAUSEWAY CONTROL
"""
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, pair, play  # noqa: E402

OLDER = "the store is older than the data"


def replace(lab):
    """By the copy; whoever works with it has been stopped."""
    store = lab.top + "/lab/store.db"
    for ending in ("-wal", "-shm"):
        if os.path.exists(store + ending):
            os.unlink(store + ending)
    shutil.copy(lab.top + "/copy", store)
    for site in ("east", "west"):
        lab.run("lab", "start", site)


def put_back(lab):
    """Of epoch 1, held by east, which was primary in epoch 2 as well; west was so in epoch 3."""
    store = lab.top + "/lab/store.db"
    for site in ("east", "west"):
        lab.run("lab", "kill", site)
    with sqlite3.connect(store) as old, sqlite3.connect(lab.top + "/copy") as copy:
        old.backup(copy)
    for site in ("east", "west"):
        lab.run("lab", "start", site)
    lab.level("east", "west")
    lab.run("switchover", "db", "--site", "west")
    lab.level("east", "west")
    for site in ("east", "west"):
        lab.run("lab", "kill", site)
    replace(lab)


def holder_does_not_open(lab):
    lab.wait("it is refused", lambda: "east was refused: the store has epoch 1 of group db" in lab.run("events"))
    assert OLDER in lab.run("events")
    assert lab.group("east")["health"] != "protected"
    assert OLDER in lab.try_run("explain", "db").stdout


def nobody_is_promoted(lab):
    """But who accepts the loss is believed, and the epoch is above all that was seen."""
    said = lab.run("promote", "db", "--site", "west", code=3)
    assert OLDER in said and "causeway store rebuild --replace" in said, said
    lab.run("promote", "db", "--site", "west", "--accept-loss")
    lab.level("east", "west")
    assert lab.group("west")["primary"] == "west" and lab.group("west")["epoch"] == 4, lab.group("west")
    assert OLDER not in lab.try_run("explain", "db").stdout


def lease_is_held(lab):
    """An engine that is open in a later epoch than the row has is not renewed, and told nothing that would end it."""
    for site in ("east", "west"):
        lab.kill_controller(site)
    replace(lab)
    lab.wait("it is told", lambda: f"the lease of west is not renewed: the store has epoch 1 of group db, and the engine of "
             f"west has seen 4: {OLDER}" in lab.run("events"))
    lab.wait("it keeps what it has", lambda: lab.group("west")["role_here"] == "primary")
    assert OLDER in lab.try_run("--site", "west", "explain", "db").stdout
    assert lab.run("events").count("the lease of west is not renewed") == 1


if __name__ == "__main__":
    play(Lab, (pair, put_back, holder_does_not_open, nobody_is_promoted, lease_is_held))
