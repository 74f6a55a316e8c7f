#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Automatic failover over a real etcd and engines that only talk (fake_engine.py): what happens when it does not succeed.

test_automatic.py CAUSEWAY CONTROL
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import ENGINE, only_with_etcd, play, tell_engine  # noqa: E402
from test_late_store import Late, alarm  # noqa: E402


def start(late, site):
    late.start("engine-" + site, ENGINE, "--config", f"{late.top}/{site}/node.yaml")
    late.start_controller(site)


def begin(late):
    late.start_etcd()
    for site in ("east", "west"):
        start(late, site)
    for site in ("east", "west"):
        late.wait("it begins", lambda: late.status(site)["store_answers"])
    late.wait("all are known", lambda: len(late.status("east").get("sites", [])) == 2)
    late.run("east", "group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size",
             "16M")
    late.wait("west is in the set", lambda: "west" in late.group("east").get("members", []))
    late.run("east", "group", "set", "db", "failover=automatic", "after=1s")


def may_have_granted(late):
    """The taker's engine has just started, and cannot know what it granted before: while that may run, nobody takes over."""
    tell_engine(late.top + "/west", "fake-open", "refuse")
    tell_engine(late.top + "/west", "fake-granted", "60")
    late.kill("control-east")
    late.kill("engine-east")
    late.wait("the lease is over", lambda: "Lease: that of the store has run out" in late.run("west", "explain", "db"))
    assert late.group("west")["failover"]["answer"] == "ready", late.group("west")["failover"]
    assert "automatic failover to west begins" not in late.run("west", "events")
    tell_engine(late.top + "/west", "fake-granted", "")


def fails(late):
    """The taker's engine refuses: each try is left alone for longer than the one before, and explain says so."""
    for seconds in (5, 10):
        words = f"automatic failover to west ends: the disk says no; not tried again for {seconds} s"
        late.wait("it failed", lambda: words in late.run("west", "events"))
        late.wait("it is explained", lambda: "in vain (the disk says no), and tries again in" in late.run("west", "explain", "db"))


def begins(late):
    return late.run("west", "events").count("automatic failover to west begins")


def tries_again(late):
    """And its engine gathers, for as long as it is told to."""
    begun = begins(late)
    tell_engine(late.top + "/west", "fake-open", "wait")
    late.wait("it tries again", lambda: begins(late) > begun)
    late.wait("it opens", lambda: late.group("west")["role_here"] == "gathering")


def store_is_full(late):
    """While it opens etcd has no space any more: it ends with that cause, and does not begin before there is some."""
    tries_again(late)
    alarm(late, "ACTIVATE")
    ended = "automatic failover to west ends: the store /late takes no changes"
    late.wait("it ends", lambda: ended in late.run("west", "events"))
    begun = begins(late)
    late.wait("it is explained", lambda: "while the store is in trouble, by itself or by hand" in late.run("west", "explain", "db"))
    words = late.run("west", "promote", "db", "--site", "west", code=3)
    assert "takes no changes" in words and "Nothing was changed" in words, words
    assert begins(late) == begun
    alarm(late, "DEACTIVATE")
    late.wait("the store answers", lambda: late.status("west")["store_answers"])


def gives_way(late):
    """A promotion by hand takes its place, unless it would be refused; and goes through."""
    tries_again(late)
    asked = subprocess.Popen([late.cli, "--socket", f"{late.top}/west/control.sock", "promote", "db", "--site", "west"],
                             stderr=subprocess.PIPE, text=True)
    late.wait("it has given way", lambda: "automatic failover to west ends: it gives way to what " in late.run("west", "events"))
    words = late.run("west", "promote", "db", "--site", "west", code=3)
    assert "west is already taking db" in words, words
    tell_engine(late.top + "/west", "fake-open", "")
    said = asked.communicate(timeout=90)[1]
    assert asked.returncode == 0, said
    assert late.group("west")["role"] == "primary" and late.group("west")["epoch"] == 2, late.group("west")


STEPS = (begin, may_have_granted, fails, store_is_full, gives_way)

if __name__ == "__main__":
    only_with_etcd()
    play(Late, STEPS)
