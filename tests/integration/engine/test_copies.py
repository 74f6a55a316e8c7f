#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Full copies between two real engines: whose files they may take.

test_copies.py PATH-OF-causeway-engine [CASE...]
"""
import os

from rig import run_cases, wait_for
from test_two_engines import MIB, Client, begin, in_sync, reattach, same


def copies_in_full(rig):
    """An operator orders a full copy while clients write; the replica switches to the new files and is equal."""
    begin(rig)
    client = Client(rig.east)
    client.some_writes(15, 100)
    before = os.stat(f"{rig.west.directory}/storage/g1v0.img").st_ino
    rig.east.rpc.call("group.resync", group=1, site="west")
    client.some_writes(16, 100)
    wait_for("copied", lambda: os.stat(f"{rig.west.directory}/storage/g1v0.img").st_ino != before)
    in_sync(rig.east)
    client.some_writes(17, 20)
    same(rig.east, rig.west, client)
    assert rig.west.group()["image"] == "whole"
    rig.west.kill()
    rig.west.start()
    reattach(rig.west)
    in_sync(rig.east)
    same(rig.east, rig.west, client)


def a_copy_takes_nobodys_file(rig):
    """What stands at PATH.copy stays, at a copy and at a start, until somebody moves it; what a crash left is no hindrance."""
    begin(rig)
    client = Client(rig.east)
    client.some_writes(41, 50)
    image = f"{rig.west.directory}/storage/g1v0.img"
    theirs = b"somebody's data " * (MIB // 16 * 16)

    def is_untouched(path):
        with open(path, "rb") as f:
            return f.read() == theirs
    with open(image + ".copy", "wb") as f:
        f.write(theirs)
    before = os.stat(image).st_ino
    rig.east.rpc.call("group.resync", group=1, site="west")
    wait_for("refused in words", lambda: "PATH.copy" in rig.east.group()["peers"][0]["reason"])
    assert any(f"move {image}.copy away" in e["text"] for e in rig.west.rpc.events), rig.west.rpc.events
    assert is_untouched(image + ".copy") and os.stat(image).st_ino == before
    rig.west.kill()
    rig.west.start()
    reattach(rig.west)
    wait_for("it runs", lambda: rig.west.group()["role"] == "replica")
    assert is_untouched(image + ".copy")
    rig.west.kill()
    os.rename(image + ".copy", image + ".moved")
    with open(image + ".copy", "wb") as f:  # made, and the superblock did not say so yet
        os.posix_fallocate(f.fileno(), 0, len(theirs))
    rig.west.start()
    reattach(rig.west)
    wait_for("copied", lambda: os.stat(image).st_ino != before)
    in_sync(rig.east)
    client.some_writes(42, 20)
    same(rig.east, rig.west, client)
    assert not os.path.exists(image + ".copy") and is_untouched(image + ".moved")


if __name__ == "__main__":
    run_cases([(case, "", {}) for case in (copies_in_full, a_copy_takes_nobodys_file)])
