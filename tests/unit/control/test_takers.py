#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a site does that takes a group, and what becomes of the group, when its own engine takes its time, or dies: over
engines that only talk (fake_engine.py).

test_takers.py CAUSEWAY CONTROL
"""
import os
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, pair, play, tell_engine  # noqa: E402


def opening(lab, site, word):
    """What the fake engine makes of an opening."""
    tell_engine(f"{lab.top}/lab/{site}", "fake-open", word)


def request(lab):
    """Who asks for the group, and how often that was renewed."""
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        return (store.execute("SELECT taker, heartbeat FROM requests").fetchall() or [("", 0)])[0]


def kill_engine(lab, site):
    pid = int(open(f"{lab.top}/lab/{site}/engine.pid").read())
    assert f"{lab.top}/lab/{site}/node.yaml" in open(f"/proc/{pid}/cmdline").read()
    os.kill(pid, signal.SIGKILL)


def ask(lab, *words):
    return subprocess.Popen([lab.cli, *words], env=lab.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def renewed_while_it_opens(lab):
    """However long its engine gathers, the request does not lapse."""
    opening(lab, "west", "wait")
    asked = ask(lab, "promote", "db", "--site", "west")
    lab.wait("west opens", lambda: lab.group("west")["role_here"] == "gathering")
    taker, renewed = request(lab)
    assert taker == "west", taker
    lab.wait("it is renewed", lambda: request(lab) >= ("west", renewed + 3))
    assert lab.group("west")["role_here"] == "gathering"
    opening(lab, "west", "")
    said = asked.communicate(timeout=90)
    assert asked.returncode == 0, said
    lab.level("west", "east")


def engine_dies(lab):
    """The taker's engine ends while it opens, or while the holder drains for it: the holder has the group again."""
    for command, words in (("promote", "causeway promote db --site east"), ("switchover", "causeway switchover db --site east")):
        epoch = lab.group("west")["epoch"]
        opening(lab, "east", "wait")
        asked = ask(lab, command, "db", "--site", "east")
        lab.wait("east opens", lambda: lab.group("east")["role_here"] == "gathering")
        kill_engine(lab, "east")
        said = asked.communicate(timeout=90)[1]
        assert asked.returncode == 1 and "the engine of east has ended, and is not back" in said, said
        assert "west opens it again, if it is there" in said and words in said, said
        lab.wait("west opens again", lambda: lab.group("west")["role"] == "primary" and lab.group("west")["epoch"] == epoch + 1)
        assert lab.group("west")["primary"] == "west" and request(lab)[0] == ""
        opening(lab, "east", "")
        lab.run("lab", "start", "east")
        lab.level("west", "east")


def holder_is_unknown(lab):
    """As a rebuilt store may have it: an epoch, and nobody who held it. All that tells says so, and what to type."""
    for site in ("east", "west"):
        lab.kill_controller(site)
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        store.execute("UPDATE authority SET holder='', moves=moves+1")
    for site in ("east", "west"):
        lab.run("lab", "start", site)
    lab.wait("both are there", lambda: all(lab.group(s)["role_here"] == "replica" for s in ("east", "west")))
    group = lab.group("west")
    assert group["health"] == "down" and "who held it last is not known" in group["reason"], group
    assert "causeway promote db --site SITE --accept-loss" in group["reason"], group
    assert sorted(r["site"] for r in group["replicas"]) == ["east", "west"], group
    assert "who held group db last is not known" in lab.run("switchover", "db", "--site", "west", code=3)
    assert "is not known since the store was rebuilt" in lab.run("promote", "db", "--site", "west", code=3)
    lab.wait("audit tells", lambda: "db is down already now: who held it last is not known" in lab.try_run("audit").stdout)
    words = lab.run("explain", "db")
    assert "Nobody has opened it yet" not in words and "Only if no other site has newer writes: open it at west" in words, words
    lab.run("promote", "db", "--site", "west", "--accept-loss")
    lab.level("west", "east")


def other_lane_is_dead(lab):
    """Of two lanes one is down: the group that it carries has lost its replica, and no other one."""
    lab.create_group("two", "west", "east")
    lab.level("west", name="two")
    down = f"{lab.top}/lab/west/fake-lane-down"
    for lane, dead, well in (("0", "two", "db"), ("1", "db", "two")):
        with open(down + ".new", "w") as f:
            f.write(lane)
        os.rename(down + ".new", down)
        lab.wait("it is seen", lambda: lab.group("east", dead)["health"] == "degraded")
        assert "east cannot be reached" in lab.group("east", dead)["reason"], lab.group("east", dead)
        assert lab.group("east", well)["health"] == "protected", lab.group("east", well)
    os.unlink(down)
    for name in ("db", "two"):
        lab.level("west", "east", name=name)


STEPS = (pair, renewed_while_it_opens, engine_dies, holder_is_unknown, other_lane_is_dead)

if __name__ == "__main__":
    play(Lab, STEPS)
