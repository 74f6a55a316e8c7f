#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Planned moves over engines that only talk (fake_engine.py): switchover with its pause, failback, evacuation and its
hook, and what an operator gets who wants the wrong thing.

test_moves.py CAUSEWAY CONTROL
"""
import json
import os
import select
import socket
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, play  # noqa: E402


def make(lab, sites="east,west"):
    lab.run("lab", "up", "--storage", "disk", "--sites", sites)


def create(lab, name, primary, *replicas, mode="sync"):
    lab.create_group(name, primary, *replicas, mode=mode)
    level(lab, name, primary)


def level(lab, name, *sites):
    lab.level(*sites, name=name)


def refused(lab, *args, words):
    said = lab.run(*args, code=3)
    assert words in said, f"{' '.join(args)}: {said}"


def pause_is_told(lab):
    """The pause and its parts: in words, as JSON, as an event; and that it is not known where the old primary is mute."""
    create(lab, "db", "east", "west")
    said = lab.run("switchover", "db", "--site", "west")
    assert "the pause was " in said and "drain" in said and "at most" not in said, said
    level(lab, "db", "west", "east")
    told = json.loads(lab.run("switchover", "db", "--site", "east", "--json"))
    parts = told["pause"]
    assert parts["exact"] is True and told["ok"] is True, told
    assert abs(parts["pause_ms"] - sum(parts[k] for k in ("drain_ms", "fence_ms", "hand_over_ms", "open_ms"))) < 0.01, parts
    assert "db: switchover from west to east, epoch 3; the pause was " in lab.run("events")
    level(lab, "db", "west", "east")
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_MUTE="1")
    level(lab, "db", "west", "east")
    told = json.loads(lab.run("switchover", "db", "--site", "west", "--json"))
    assert told["ok"] is True and "pause" not in told and "not known" in told["words"], told
    told = json.loads(lab.run("switchover", "db", "--site", "west", "--json"))
    assert told["ok"] is True and "pause" not in told and told["words"] == "west is primary of db, epoch 5", told
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east")
    level(lab, "db", "west", "east")


def failback(lab):
    """Home is where it was made, or what was set; refused when it is there, not there, or not level."""
    assert lab.group("east")["home"] == "east"
    assert "east is primary of db, epoch 6" in lab.run("--site", "west", "failback", "db")
    refused(lab, "failback", "db", words="that is where it belongs")
    level(lab, "db", "west", "east")
    said = lab.run("group", "set", "db", "home=nowhere", code=2)
    assert "home wants a site of group db" in said, said
    lab.run("group", "set", "db", "home=west")
    assert lab.group("east")["home"] == "west"
    lab.run("--site", "east", "failback", "db")
    refused(lab, "failback", "db", words="west is primary of db, and that is where it belongs")
    lab.run("group", "set", "db", "home=east")
    level(lab, "db", "west", "east")
    lab.run("lab", "cut", "east", "west")
    lab.wait("east left the set", lambda: lab.group("west")["members"] == ["west"])
    refused(lab, "failback", "db", words="east is not in the in-sync set of db")
    assert lab.group("west")["primary"] == "west"
    lab.run("lab", "heal")
    level(lab, "db", "west", "east")
    lab.run("lab", "kill", "east")
    lab.wait("it is seen", lambda: not [s for s in json.loads(lab.run("--site", "west", "status", "--json"))["sites"]
                                        if s["name"] == "east"][0]["alive"])
    refused(lab, "failback", "db", words="east, where db belongs, does not answer")
    lab.run("lab", "start", "east")
    level(lab, "db", "west", "east")
    lab.run("failback", "db")
    level(lab, "db", "west", "east")
    lab.run("failback", "none", code=1)
    lab.run("failback", code=2)


def wrong_operator(lab):
    """The same twice at once is one move; two sites at once: one of them; async while the primary lives: switchover."""
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_DRAIN="1.5")
    level(lab, "db", "west", "east")
    epoch = lab.group("east")["epoch"]
    first, second = (subprocess.Popen([lab.cli, "switchover", "db", "--site", "west"], env=lab.env, text=True,
                                      stdout=subprocess.PIPE) for _ in range(2))
    lab.wait("it drains", lambda: lab.group("east")["role"] == "draining")
    refused(lab, "promote", "db", "--site", "west", words="west is already taking db")
    third = lab.run("switchover", "db", "--site", "west")
    told = [first.communicate()[0], second.communicate()[0], third]
    assert first.returncode == second.returncode == 0 and len(set(told)) == 1, told
    assert lab.group("west")["epoch"] == epoch + 1, "moved once"
    level(lab, "db", "west", "east")
    create(lab, "slow", "west", "east", mode="async")
    refused(lab, "promote", "slow", "--site", "east", words="causeway switchover slow --site east")
    lab.run("switchover", "slow", "--site", "east")
    assert "slow --site west" in lab.run("promote", "slow", "--site", "west", code=3)
    lab.run("switchover", "db", "--site", "nowhere", code=2)


def holder_dies_meanwhile(lab):
    """A switchover whose old primary dies before it has let go ends at once, and says what is next."""
    lab.run("failback", "db")
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_DRAIN="60")
    level(lab, "db", "west", "east")
    asked = subprocess.Popen([lab.cli, "switchover", "db", "--site", "west"], env=lab.env, text=True, stderr=subprocess.PIPE)
    lab.wait("it drains", lambda: lab.group("east")["role"] == "draining")
    lab.run("lab", "kill", "east")
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 1 and "take over without it: causeway promote db --site west" in said, said
    lab.run("promote", "db", "--site", "west")
    assert lab.group("west")["primary"] == "west"
    lab.run("lab", "start", "east")
    level(lab, "db", "west", "east")


GROUPS = {"a": ("east", "west", "north"), "b": ("east", "west", "north"), "c": ("east", "north"), "d": ("west", "east")}
HOOK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../control/examples/evacuate-hook")


def make_three(lab):
    make(lab, "east,west,north")
    for name, sites in GROUPS.items():
        create(lab, name, *sites)


def primaries(lab, site="north"):
    return {g["name"]: g["primary"] for g in json.loads(lab.run("--site", site, "status", "--json"))["groups"]}


def all_level(lab, *sites):
    lab.wait("all is level", lambda: all(g["health"] == "protected" for s in sites or ("east", "west", "north")
                                         for g in json.loads(lab.run("--site", s, "status", "--json"))["groups"]))


def forget(lab, *sites, **environment):
    """Controllers that start anew know nothing of who was evacuated."""
    for site in sites or ("east", "west", "north"):
        lab.run("lab", "kill", site)
        lab.run("lab", "start", site, **environment)
    all_level(lab)


def bring_home(lab):
    forget(lab)
    for name in (n for n, at in primaries(lab).items() if at != GROUPS[n][0]):
        lab.run("failback", name)
    all_level(lab)


def evacuation(lab):
    """Told before, done, spread, told after; done again there is nothing to do."""
    all_level(lab)
    before = primaries(lab)
    assert before == {n: s[0] for n, s in GROUPS.items()}, before
    said = lab.run("--site", "north", "evacuate", "east", "--dry-run")
    assert "a: from east to north" in said and "b: from east to west" in said and "c: from east to north" in said, said
    plan = json.loads(lab.run("evacuate", "east", "--dry-run", "--json"))
    assert {m["group"]: m["to"] for m in plan["moves"]} == {"a": "north", "b": "west", "c": "north"}, plan
    assert primaries(lab) == before, "a dry run moves nothing"
    lab.run("evacuate", "nowhere", code=2)
    lab.run("evacuate", "east", "--parallel", "0", code=2)
    lab.run("evacuate", "east", "--parallel", "17", code=2)
    assert "north is primary of no group" in lab.run("--site", "north", "evacuate", "north")
    lab.kill_controller("north"), lab.run("lab", "start", "north")
    all_level(lab)
    told = json.loads(lab.run("--site", "west", "evacuate", "east", "--parallel", "2", "--json"))
    assert told["ok"] and told["left"] == [] and {m["group"]: m["to"] for m in told["moved"]} == \
        {"a": "north", "b": "west", "c": "north"}, told
    assert all(m["pause"]["pause_ms"] > 0 for m in told["moved"]), told
    assert primaries(lab) == {"a": "north", "b": "west", "c": "north", "d": "west"}
    assert "nothing is to be moved" in lab.run("--site", "north", "evacuate", "east")
    lines = [json.loads(line)["line"] for line in lab.run("events", "--audit", "--json").splitlines()]
    asked = [x for x in lines if x["command"] == "evacuate site=east"]
    assert asked and all(x["what"] == "done" and x["exit"] == 0 for x in asked), lines[-8:]
    assert len([x for x in lines if x["command"].startswith("switchover ") and x["reason"] == "evacuate east"]) == 6, lines
    bring_home(lab)


def what_cannot_go(lab):
    """What has no level site stays, with the reason and what to type; the others go. Where none can: refused."""
    lab.run("lab", "cut", "east", "north")
    lab.wait("north left the sets", lambda: lab.group("east", "c")["members"] == ["east"])
    p = lab.try_run("evacuate", "east")
    said = p.stdout + p.stderr
    assert p.returncode == 1 and "c is still at east: north is not in the in-sync set" in said, said
    assert "causeway evacuate east again" in said and "causeway promote c --site north" in said, said
    assert primaries(lab)["c"] == "east" and primaries(lab)["a"] == primaries(lab)["b"] == "west"
    left = json.loads(lab.run("evacuate", "east", "--json", code=3))["left"]
    assert [x["group"] for x in left] == ["c"] and left[0]["next"].startswith("causeway evacuate east again"), left
    lab.run("evacuate", "east", "--dry-run", code=3)
    audited = lab.run("events", "--audit").count("evacuate site=east")
    asked = subprocess.Popen([lab.cli, "evacuate", "east"], env=lab.env, text=True, stderr=subprocess.PIPE)
    lab.wait("it asks", lambda: lab.run("events", "--audit").count("evacuate site=east") > audited)
    lab.run("lab", "heal")  # what has nowhere to go is waited for, a few seconds
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 0, said
    assert primaries(lab)["c"] == "north"
    bring_home(lab)


class Front:
    """Stands before a site's controller, at its socket: passes on what is asked and what is answered. Of switchovers it
    keeps in mind which were asked for; while it is mute it answers them nothing."""

    def __init__(self, lab, site):
        self.path = f"{lab.top}/lab/{site}/control.sock"
        self.behind, self.asked = f"{lab.top}/lab/{site}/behind.sock", []
        self.speaks = threading.Event()
        self.speaks.set()
        self.given_up = []

    def __enter__(self):
        os.rename(self.path, self.behind)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.speaks.set()
        os.rename(self.behind, self.path)
        self.listener.close()

    def listen(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:  # closed
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as controller, client.makefile("rb") as lines:
            line = lines.readline()
            if not line:  # he only wanted to know whether somebody is there
                return
            call = json.loads(line)
            if call["method"] == "switchover":
                self.asked.append(call["params"]["group"])
                while not self.speaks.wait(0.02):
                    if select.select([client], [], [], 0)[0]:  # he says no more: he is gone
                        self.given_up.append(call["params"]["group"])
                        return
            controller.connect(self.behind)
            controller.sendall(line)
            with controller.makefile("rb") as answers:
                client.sendall(answers.readline())


def taker_answers_nothing(lab):
    """A taker that answers nothing does not hold up what others take."""
    before = primaries(lab)
    with Front(lab, "west") as west, Front(lab, "north") as north:
        west.speaks.clear()
        asked = subprocess.Popen([lab.cli, "--site", "east", "evacuate", "east"], env=lab.env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lab.wait("west is asked, and north for both of its own", lambda: west.asked == ["b"] and north.asked == ["a", "c"])
        assert not west.given_up, "north was asked only after west"
        west.speaks.set()
        said = asked.communicate(timeout=90)[0]
        assert asked.returncode == 0 and "east is evacuated: 3 groups moved" in said, said
    assert primaries(lab) == dict(before, a="north", b="west", c="north")
    bring_home(lab)


def two_evacuations(lab):
    """Two operators at once: each group moves once, and both are told that it is done."""
    epochs = {n: lab.group("north", n)["epoch"] for n in GROUPS}
    both = [subprocess.Popen([lab.cli, "--site", s, "evacuate", "east"], env=lab.env, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) for s in ("west", "north")]
    told = [p.communicate(timeout=90)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], told
    assert "east" not in primaries(lab).values()
    moved = {n: lab.group("north", n)["epoch"] - epochs[n] for n in GROUPS}
    assert moved == {"a": 1, "b": 1, "c": 1, "d": 0}, moved


def opposite_directions(lab):
    """Who is being evacuated takes nothing of another evacuation: two alarms do not only change sides."""
    forget(lab)  # so that one controller alone knows of both
    lab.run("--site", "north", "evacuate", "east")
    for _ in range(2):
        p = lab.try_run("--site", "north", "evacuate", "west")
        said = p.stdout + p.stderr
        assert p.returncode in (1, 3) and "d is still at west: east is being evacuated itself (asked at north" in said, said
        assert primaries(lab)["d"] == "west"
    bring_home(lab)


def hook(lab):
    """As upsmon and apccontrol call it: what is an alarm moves all, what is none does nothing, one at a time."""
    cli, conf, log = (f"{lab.top}/{name}" for name in ("cli", "conf", "log"))
    with open(cli, "w") as f:
        f.write(f'#!/bin/sh\nCAUSEWAY_LAB={lab.env["CAUSEWAY_LAB"]} exec {lab.cli} "$@"\n')
    os.chmod(cli, 0o755)

    def configure(more=""):
        with open(conf, "w") as f:
            f.write(f"SITE=east\nCAUSEWAY={cli}\nLOG={log}\nLOCK={lab.top}/lock\n{more}")

    def call(*args, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("NOTIFYTYPE", "UPSNAME")}
        return subprocess.Popen([HOOK, *args], env=dict(clean, EVACUATE_CONF=conf, **environment))

    def logged():
        return open(log).read() if os.path.exists(log) else ""
    assert call("failing", "ups1", "1", "0").wait() == 2, "no settings"
    configure()
    before = primaries(lab)
    for args, environment in ((("UPS ups1 on line power",), {"NOTIFYTYPE": "ONLINE"}), (("mainsback", "ups1", "1", "0"), {}),
                              ((), {})):
        assert call(*args, **environment).wait() == 0
    assert logged() == "" and primaries(lab) == before
    configure("SITE=\n")
    assert call("failing", "ups1", "1", "0").wait() == 2 and "wants SITE" in logged()
    configure("CONNECT=127.0.0.1:1\n")
    assert call("failing", "ups1", "1", "0").wait() == 2 and primaries(lab) == before
    configure(f"CONNECT=127.0.0.1:1\nIDENTITY={lab.top}\n")
    assert call("failing", "ups1", "1", "0").wait() != 0 and primaries(lab) == before, "nobody is there"
    configure()
    forget(lab, "east", FAKE_DRAIN="1.5")
    first = call("UPS ups1@localhost battery is low", NOTIFYTYPE="LOWBATT", UPSNAME="ups1@localhost")
    lab.wait("it has begun", lambda: "--reason LOWBATT of ups1@localhost" in logged())
    for _ in range(3):
        assert call("failing", "ups1", "1", "0").wait() == 0
    assert first.poll() is None and logged().count("an evacuation of east runs already") == 3, logged()
    assert first.wait() == 0 and "east is evacuated: 3 groups moved" in logged(), logged()
    assert "east" not in primaries(lab).values()
    assert call("failing", "ups1", "1", "0").wait() == 0 and "event failing: exit 0" in logged(), logged()
    assert "LOWBATT of ups1@localhost" in lab.run("events", "--audit")
    bring_home(lab)


def site_dies_meanwhile(lab):
    """The site that is left dies in the middle: what was not moved is told, with the promotion that is next."""
    forget(lab, "east", FAKE_DRAIN="60")
    asked = subprocess.Popen([lab.cli, "--site", "north", "evacuate", "east", "--parallel", "1"], env=lab.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lab.wait("it drains", lambda: "draining" in [g["role"] for g in json.loads(lab.run("status", "--json"))["groups"]])
    lab.run("lab", "kill", "east")
    said = asked.communicate(timeout=90)[1]
    assert asked.returncode == 1, said
    for name in "abc":
        assert f"{name} is still at east: " in said and f"causeway promote {name} --site " in said, said
    p = lab.try_run("--site", "west", "evacuate", "east")
    assert p.returncode == 3 and "east does not answer" in p.stderr, p
    for name in "abc":
        lab.run("--site", "north", "promote", name, "--site", "north")
    assert "east" not in primaries(lab).values()


def dead_taker(lab):
    """Who asked for the group has died, and so has its holder: the request is cleared by whoever is asked next."""
    lab.run("lab", "start", "east")
    all_level(lab)
    holder = primaries(lab)["a"]
    taker, survivor = (s for s in ("west", "east", "north") if s != holder)

    def request():
        with sqlite3.connect(lab.top + "/lab/store.db") as store:
            return store.execute("SELECT taker FROM requests").fetchall()
    lab.run("lab", "kill", holder)
    asked = subprocess.Popen([lab.cli, "promote", "a", "--site", taker], env=lab.env, stderr=subprocess.DEVNULL)
    lab.wait("it is asked for", lambda: request() == [(taker,)])
    lab.run("lab", "kill", taker)
    assert asked.wait(timeout=90) != 0 and request() == [(taker,)]
    lab.wait("it is missed", lambda: not [s for s in json.loads(lab.run("--site", survivor, "status", "--json"))["sites"]
                                          if s["name"] == taker][0]["alive"])
    lab.run("--site", survivor, "promote", "a", "--site", survivor)
    assert primaries(lab, survivor)["a"] == survivor and request() == []
    cleared = f"the request of {taker} for a is cleared"
    assert cleared in lab.run("--site", survivor, "events")
    assert cleared in lab.run("--site", survivor, "events", "--audit")


TWO_SITES = (make, pause_is_told, failback, wrong_operator, holder_dies_meanwhile)
THREE_SITES = (make_three, evacuation, what_cannot_go, taker_answers_nothing, two_evacuations, opposite_directions, hook,
               site_dies_meanwhile, dead_taker)

if __name__ == "__main__":
    play(Lab, TWO_SITES, THREE_SITES)
