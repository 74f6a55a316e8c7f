#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Settings of a group that two people change at a time, each at another site, over a real etcd and engines that only talk
(fake_engine.py): nobody's change is lost, and a group that is being deleted stays so. And who waits for its end; and that sites of no lab play no faults.

test_settings.py CAUSEWAY CONTROL
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import ENGINE, only_with_etcd, play  # noqa: E402
from test_late_store import Late  # noqa: E402

ROUNDS = 15


def begin(late):
    late.start_etcd()
    for site in ("east", "west"):
        late.start("engine-" + site, ENGINE, "--config", f"{late.top}/{site}/node.yaml")
        late.start_controller(site)
    for site in ("east", "west"):
        late.wait("it begins", lambda: late.status(site)["store_answers"])
    late.wait("all are known", lambda: len(late.status("east").get("sites", [])) == 2)
    late.run("east", "group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size",
             "16M")


def both(late, *commands):
    """At the same time, one at each site; their exit codes."""
    asked = [subprocess.Popen([late.cli, "--socket", f"{late.top}/{site}/control.sock", *words], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) for site, words in zip(("east", "west"), commands)]
    return [p.wait(timeout=60) for p in asked]


def settings(late, site):
    """The last ones that the site has put down."""
    words = [line.split("settings: ")[1] for line in late.run(site, "events").splitlines() if "settings: " in line]
    return dict(pair.split("=") for pair in words[-1].split())


def nothing_is_lost(late):
    for i in range(ROUNDS):
        wanted = {"after": f"{2000 + i}ms", "replica_timeout": f"{3000 + i}ms"}
        codes = both(late, *[("group", "set", "db", f"{key}={value}") for key, value in wanted.items()])
        assert codes == [0, 0], codes
        late.run("east", "group", "set", "db", "home=east")
        now = settings(late, "east")
        assert {key: now[key] for key in wanted} == wanted, (i, wanted, now)


def deletion(late):
    """A site that is there, and does not let go, is named, and the command has failed; so it has when nobody answers."""
    hold, held = late.top + "/west/fake-hold", late.top + "/west/fake-held"
    open(hold, "w").close()
    words = late.run("west", "group", "delete", "db", code=1)
    assert "west has not let go of it" in words and "it goes on" in words, words
    words = late.run("east", "group", "set", "db", "after=5s", code=1)
    assert "db is being deleted" in words, words
    os.unlink(held)
    asked = subprocess.Popen([late.cli, "--socket", f"{late.top}/west/control.sock", "group", "delete", "db"],
                             stderr=subprocess.PIPE, text=True)
    late.wait("it waits", lambda: late.run("west", "events").count("is being deleted") == 2)
    late.kill("control-west")
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 1 and "let go of db by themselves" in said, (asked.returncode, said)
    os.unlink(hold)
    late.start_controller("west")
    late.wait("it is gone", lambda: late.status("west")["groups"] == [] and late.status("east")["groups"] == [])


def no_lab(late):
    """Nobody plays faults where it is meant, and who asks for that, or for load, leaves a line."""
    words = late.run("west", "rpc", "lab.cut", '{"remote":"east","receive":true,"transmit":true}', code=3)
    assert "west is no site of a lab" in words, words
    late.kill("engine-west")
    late.wait("it is missed", lambda: "does not answer" in late.run("west", "rpc", "direct.start", "{}", code=1))
    lines = [json.loads(line)["line"] for line in late.run("west", "events", "--audit", "--json").splitlines()]
    told = [(line["command"], line["what"]) for line in lines if line["command"].startswith("engine")]
    assert "lab.cut" in told[0][0] and told[0][1] == "refused", told
    assert "direct.start" in told[-1][0] and told[-1][1] == "failed", told


STEPS = (begin, nothing_is_lost, deletion, no_lab)

if __name__ == "__main__":
    only_with_etcd()
    play(Late, STEPS)
