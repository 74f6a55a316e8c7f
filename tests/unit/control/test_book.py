#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Controllers whose book (events, audit) is damaged, cannot be opened, or is taken away: roles go on changing, nothing
is lost that another site has, and all of it is told. The embedded store's file, where authority is, is never moved.

test_book.py CAUSEWAY CONTROL
"""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import play  # noqa: E402
from test_links import SITES, Linked  # noqa: E402


def path_of(lab, site):
    return f"{lab.top}/lab/{site}/book.sqlite"


def status_of(lab, site):
    return json.loads(lab.run("--site", site, "status", "--json"))


def wait_all(lab, what):
    """Every event and every line of audit is at every site; what came back to one stands behind what is new there."""
    def is_same(of, key):
        return len({json.dumps(sorted(key(entry) for entry in of(at))) for at in SITES}) == 1
    lab.wait(what + ": events", lambda: is_same(lab.events, lambda e: e["site"] + e["text"]))
    lab.wait(what + ": audit", lambda: is_same(lab.audit, lambda e: e["hash"]))


def remove_book(lab, site):
    for part in ("", "-wal", "-shm"):
        if os.path.exists(path_of(lab, site) + part):
            os.unlink(path_of(lab, site) + part)


def make(lab):
    lab.run("lab", "up", "--storage", "disk", "--sites", ",".join(SITES), "--tls")
    lab.link_all()
    lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size", "16M")
    lab.run("volume", "create", "db/data", "--size", "1M")
    lab.wait("protected", lambda: lab.group("east")["health"] == "protected")
    wait_all(lab, "all of it")
    lab.run("status", "--check")


def damaged_at_start(lab):
    """It is kept beside a new one, in which is what other sites had of it."""
    before = len(lab.audit("west"))
    lab.kill_controller("east")
    remove_book(lab, "east")
    with open(path_of(lab, "east"), "wb") as f:
        f.write(b"no book at all" * 1000)
    lab.run("lab", "start", "east")
    moved = glob.glob(path_of(lab, "east") + ".damaged-*")
    assert len(moved) == 1 and open(moved[0], "rb").read(7) == b"no book", moved
    lab.wait("it is told", lambda: lab.told("west", path_of(lab, "east"), "a new one is begun", moved[0]))
    assert status_of(lab, "east")["book_moved"] == moved[0]
    assert moved[0] in lab.run("--site", "east", "status")
    assert "a new one is begun" in open(f"{lab.top}/lab/east/control.log").read()
    lab.run("switchover", "db", "--site", "west")
    wait_all(lab, "what others had, and what is new")
    assert len(lab.audit("east")) > before
    lab.wait("protected", lambda: lab.group("east")["health"] == "protected")
    lab.run("--site", "east", "status", "--check")


def not_to_be_opened(lab):
    """In memory, which is said wherever somebody looks. Roles change, and the line of it is at the other sites."""
    lab.kill_controller("east")
    remove_book(lab, "east")
    os.mkdir(path_of(lab, "east"))
    lab.run("lab", "start", "east")
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")
    assert "unable to open" in status_of(lab, "east")["book_trouble"]
    assert "in memory" in lab.run("--site", "east", "status")
    assert "in memory" in lab.run("--site", "east", "status", "--check", code=1)
    assert "in memory" in lab.run("--site", "east", "explain", "db")
    lab.run("--site", "west", "status", "--check")
    words = lab.run("switchover", "db", "--site", "east")
    assert "could not be written: the book" in words and lab.group("west")["primary"] == "east", words
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    words = lab.run("--site", "east", "group", "set", "db", "max_loss=31s")
    assert "could not be written" in words, words
    wait_all(lab, "what is in memory")
    lines = len(lab.audit("west"))
    os.rmdir(path_of(lab, "east"))
    lab.wait("it is in its file again", lambda: status_of(lab, "east")["book_trouble"] == "")
    lab.run("--site", "east", "status", "--check")
    wait_all(lab, "what was in memory")
    lab.kill_controller("east")
    for site in ("west", "north"):
        lab.kill_controller(site)
    lab.run("lab", "start", "east")
    assert len(lab.audit("east")) >= lines, "all of it is in the file"
    for site in ("west", "north"):
        lab.run("lab", "start", site)


def taken_away(lab):
    """While the controller runs: a file that nobody finds any more keeps nothing."""
    remove_book(lab, "east")
    lab.wait("it is told", lambda: lab.told("west", "it is not there any more"))
    lab.wait("it is begun anew", lambda: os.path.exists(path_of(lab, "east")) and not status_of(lab, "east")["book_trouble"])
    lab.run("--site", "east", "group", "set", "db", "max_loss=32s")
    wait_all(lab, "all of it")


def store_is_damaged(lab):
    """Without links the book is in the store's file: who cannot read authority begins nothing."""
    lab.run("lab", "up", "--storage", "disk")
    lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size", "16M")
    store = lab.top + "/lab/store.db"
    for site in ("east", "west"):
        lab.kill_controller(site)
    shell = subprocess.run(["sqlite3", store, "DROP TABLE book; CREATE TABLE book(x); PRAGMA wal_checkpoint(TRUNCATE)"],
                           capture_output=True, text=True, timeout=30)
    assert shell.returncode == 0, shell
    for damage, words in ((None, "it is not moved away"), (b"no store at all" * 1000, store)):
        if damage:
            with open(store, "wb") as f:
                f.write(damage)
        before = open(store, "rb").read()
        p = subprocess.run([lab.env["CAUSEWAY_CONTROL"], "--config", f"{lab.top}/lab/east/node.yaml"], capture_output=True,
                           text=True, timeout=30)
        assert p.returncode == 1 and store in p.stderr and words in p.stderr, p
        assert not glob.glob(store + ".damaged*") and len(open(store, "rb").read()) == len(before), "it is left where it is"
        shell = subprocess.run(["sqlite3", store, "SELECT name FROM groups"], capture_output=True, text=True, timeout=30)
        assert damage or shell.stdout == "db\n", shell


if __name__ == "__main__":
    play(Linked, (make, damaged_at_start, not_to_be_opened, taken_away), (store_is_damaged,))
