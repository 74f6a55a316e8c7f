# SPDX-License-Identifier: BSD-3-Clause
"""What audit and explain say of real engines over a real etcd, and whether what they tell somebody to type works.
Imported by lab_test.py."""
import json
import shlex
import signal
import os
import time

from lab import Lab, expect, group, has_etcd

CENTRAL = "central"


def explain(lab, site, name="db"):
    return json.loads(lab.run("--site", site, "explain", name, "--json"))


def words(explained, section):
    return " ".join(x["text"] for x in explained["lines"] if x["section"] == section)


def commands(explained, section="type"):
    return [x["command"] for x in explained["lines"] if x["section"] == section and x["command"]]


def type_it(lab, site, command):
    program, *args = shlex.split(command)
    expect(program == "causeway", command)
    lab.run(*args if "--site" in args else ["--site", site, *args])


def audit(lab, site):
    """(exit code, {"east": {...}, "east west": {...}}, the text)"""
    p = lab.try_run("--site", site, "audit", "--json")
    losses = {" ".join(x["sites"]): x for x in json.loads(p.stdout)["losses"]}
    return p.returncode, losses, lab.try_run("--site", site, "audit").stdout


def is_green(lab, site):
    code, losses, text = audit(lab, site)
    return code == 0 and all(losses[s]["survivable"] for s in ("east", "west", CENTRAL)) and "That of any one" in text


def test_explained(build):
    """A healthy group, one whose primary burned, one that lost its store, and its peer: what explain tells to type is
    typed, and works. audit is green with three votes at three sites, and red with the votes in the primary's site."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=CENTRAL) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        for site in ("east", "west", CENTRAL):
            lab.wait(f"{site} says that every site may burn", lambda s=site: is_green(lab, s))
        _, losses, _ = audit(lab, CENTRAL)
        expect(losses["east"]["groups"][0]["command"] == "causeway promote db --site west", losses["east"])
        expect(losses[CENTRAL]["verdict"] == "survivable" and losses[CENTRAL]["groups_go_on"] == 1, losses[CENTRAL])
        expect(not losses["east west"]["survivable"] and not losses["east " + CENTRAL]["survivable"], "two at once")
        lab.wait("status says so, too", lambda: all(s["loss_survivable"] for s in lab.status("east")["sites"]))

        e = explain(lab, "west")
        expect(e["health"] == "protected" and e["survives_loss_of_primary"], e)
        expect("3 of 3 answer" in words(e, "now") and "Nothing" in words(e, "next"), e)
        move = next(c for c in commands(e) if "switchover" in c)
        type_it(lab, "west", move)  # to the west, and back
        lab.wait_state("db", "in-sync", "east", site="west")
        lab.wait("it can be moved back", lambda: [c for c in commands(explain(lab, "east")) if "switchover" in c])
        type_it(lab, "east", next(c for c in commands(explain(lab, "east")) if "switchover" in c))
        lab.wait_state("db", "in-sync", "west", site="east")

        # the primary's site burns: what is left tells what to type
        lab.run("lab", "kill", "east")
        lab.wait("that it is down", lambda: explain(lab, CENTRAL)["health"] == "down")
        e = explain(lab, CENTRAL)
        expect("failover=manual" in words(e, "next") and commands(e) == ["causeway promote db --site west"], e)
        type_it(lab, CENTRAL, commands(e)[0])
        expect(lab.group("db", "west")["primary"] == "west", lab.group("db", "west"))
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east", site="west")

        without_etcd(lab)
        outage_of_2022(lab)
    return "green, red; what explain tells to type works"


def without_etcd(lab):
    """No member of it answers: west, the primary, goes on by east's grants; cut from east, it is frozen."""
    def is_said(health, text):
        e = explain(lab, "west")
        return e["health"] == health and "has not answered" in words(e, "now") and text in words(e, "now")
    etcds = [lab.pids(site)["etcd"] for site in ("east", "west", CENTRAL)]
    for pid in etcds:
        os.kill(pid, signal.SIGSTOP)
    try:
        lab.wait("that it goes on by grants", lambda: is_said("protected", "it goes on by what its peers grant"))
        lab.run("lab", "cut", "east", "west", "--only", "data")
        lab.wait("that it is frozen", lambda: is_said("frozen", "run out, and not renewed"))
        e = explain(lab, "west")
        expect("As soon as the store answers" in words(e, "next") and not commands(e), e)
        expect("Bring back members of etcd" in words(e, "type"), e)
        expect(audit(lab, "west")[0] == 1, "nobody knows what would be left")
    finally:
        for pid in etcds:
            os.kill(pid, signal.SIGCONT)
        lab.run("lab", "heal")
    lab.wait("it goes on", lambda: explain(lab, "west")["health"] == "protected")


def outage_of_2022(lab):
    """All votes are where the primary is: at west. Three controllers, two of them elsewhere, do not help."""
    for site in ("east", CENTRAL):
        listed = json.loads(lab.etcdctl("west", "member", "list", "-w", "json").stdout)["members"]
        member = next(m for m in listed if m.get("name") == site)
        end = time.monotonic() + 60
        while lab.etcdctl("west", "member", "remove", f"{member['ID']:x}").returncode != 0:
            expect(time.monotonic() < end, f"the member of {site} is not removed")
            time.sleep(0.3)
    lab.wait("that east sees all votes at west", lambda: "the only vote is at west" in " ".join(audit(lab, "east")[2].split()))
    code, losses, text = audit(lab, "east")
    text = " ".join(text.split())
    expect(code == 1 and not losses["west"]["survivable"] and losses["east"]["survivable"], losses)
    expect("west burns: not survivable: all votes are at west: nobody is left who could promote anything" in text, text)
    expect([s["name"] for s in lab.status("east")["sites"] if not s["loss_survivable"]] == ["west"],
           lab.status("east")["sites"])
    e = explain(lab, "east")
    expect(not e["survives_loss_of_primary"] and "for lack of votes" in words(e, "burns"), e)
