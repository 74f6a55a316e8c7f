# SPDX-License-Identifier: BSD-3-Clause
"""etcd is lost for good, or put back to an older copy, and rebuilt from what the sites have. Imported by lab_test.py."""
import json
import os
import shutil
import signal
import threading

import load
from hostile import goes_on
from lab import Lab, expect, group, has_etcd, shell
from store_loss import covered

WITNESS = "central"
SITES = ("east", "west", WITNESS)


def kill(lab, program, sites=SITES):
    for site in sites:
        pid = lab.pids(site).get(program)
        if pid:
            os.kill(pid, signal.SIGKILL)
    lab.wait(f"{program} is gone", lambda: not any(program in lab.pids(s) for s in sites))


def member_directory(lab, site):
    with open(f"{lab.dir}/lab/{site}/etcd.yaml") as f:
        return next(line.split(": ", 1)[1].strip().strip('"') for line in f if line.startswith("data-dir"))


def wipe_etcd(lab):
    kill(lab, "etcd")
    for site in SITES:
        shutil.rmtree(member_directory(lab, site))


def start_all(lab, sites=SITES):
    """At once, as a member alone waits for a quorum."""
    threads = [threading.Thread(target=lab.try_run, args=("lab", "start", site)) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shown(lab, site):
    p = lab.try_run("--site", site, "store", "show", "--json")
    return json.loads(p.stdout) if p.stdout else {}


def rows_of(lab, site):
    with open(f"{lab.dir}/lab/{site}/store-copy.json") as f:
        return json.load(f)["rows"]


def remember(lab):
    """Every controller's copy has the set as it is."""
    lab.wait("every site has a copy of the store", lambda: all(
        len(rows_of(lab, site)["authority/0000000001"]["members"]) == 2 for site in SITES))


def test_etcd_lost_for_good(build):
    """All three members lose everything under a running load; nobody opens; rebuilt, the group goes on as it was."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        remember(lab)
        before = lab.group("db", "east")
        w = load.Writer(91).connect([lab.uri("db", "a", "east")])
        w.start()
        goes_on(lab, w, "writes")
        wipe_etcd(lab)
        lab.wait("east goes on by grants", lambda: covered(lab) == "grants")
        kill(lab, "causeway-control")
        start_all(lab)
        for site in SITES:
            lab.wait(f"{site} does not work with the empty store",
                     lambda s=site: "causeway store rebuild" in shown(lab, s).get("why_not", ""))
        goes_on(lab, w, "writes go on")
        p = lab.try_run("--site", "west", "promote", "db", "--site", "west", "--accept-loss")
        expect(p.returncode == 3 and "store rebuild" in p.stderr, f"a promotion: {p.returncode} {p.stderr}")
        p = lab.try_run("status")
        expect("causeway store rebuild" in p.stdout, p.stdout)
        # A site that does not answer may know better: refused, and nothing is written.
        kill(lab, "causeway-control", ["west"])
        lab.wait("refused without west", lambda: "of west does not answer" in
                 lab.try_run("--site", "east", "store", "rebuild", "--dry-run").stderr)
        expect(lab.try_run("--site", "east", "store", "rebuild").returncode == 3, "with exit 3")
        lab.try_run("lab", "start", "west")
        plan = lab.wait("all have answered", lambda: json.loads(
            lab.run("--site", WITNESS, "store", "rebuild", "--dry-run", "--json")))
        expect(not plan["written"] and [(g["name"], g["kind"], g["holder"], g["epoch"]) for g in plan["groups"]] ==
               [("db", "held", "east", before["epoch"])], f"{plan}")
        lab.run("--site", WITNESS, "store", "rebuild", "--reason", "etcd burnt")
        lab.wait("the store renews again", lambda: covered(lab) == "store")
        for site in SITES:
            lab.wait_health("db", "protected", site=site)
        expect(lab.group("db", "east")["epoch"] == before["epoch"], "the reign went on")
        goes_on(lab, w, "writes go on")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        p = lab.try_run("--site", "east", "store", "rebuild")
        expect(p.returncode == 3 and "not empty" in p.stderr, f"a store that is whole: {p.returncode} {p.stderr}")
        return f"{w.acknowledged} operations"


def restore(lab, snapshot):
    """Each member begins with the snapshot, under its own name, in a cluster of that name."""
    kill(lab, "etcd")
    yaml = {site: open(f"{lab.dir}/lab/{site}/etcd.yaml").read() for site in SITES}
    for site in SITES:
        def value(key, s=site):
            return next(line.split(": ", 1)[1].strip() for line in yaml[s].splitlines() if line.startswith(key))
        shutil.rmtree(member_directory(lab, site))
        shell("etcdctl", "snapshot", "restore", snapshot, "--name", value("name"), "--initial-cluster",
              value("initial-cluster:"), "--initial-cluster-token", value("initial-cluster-token"),
              "--initial-advertise-peer-urls", value("initial-advertise-peer-urls"), "--data-dir",
              member_directory(lab, site))


def test_etcd_put_back(build):
    """etcd is put back to a snapshot of before a promotion, and everything started anew: the holder of then does not
    open, by the word of the sites that know better; rebuilt, the last one opens, with every acknowledged write. What was
    deleted since the snapshot stays deleted."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "8M")))
        group(lab, "old", volumes=(("c", "8M"),))
        remember(lab)
        snapshot = f"{lab.dir}/snapshot.db"
        p = lab.etcdctl(WITNESS, "snapshot", "save", snapshot)
        expect(p.returncode == 0, p.stderr)
        lab.run("volume", "delete", "db/b")
        lab.run("volume", "delete", "old/c")
        lab.run("group", "delete", "old")
        lab.wait("every site has it so", lambda: all(
            not any(key.startswith(("volumes/0000000001/0001", "groups/0000000002")) for key in rows_of(lab, site))
            for site in SITES))
        lab.run("lab", "kill", "east")
        lab.run("--site", WITNESS, "promote", "db", "--site", "west")
        w = load.Writer(92).connect([lab.uri("db", "a", "west")])
        w.start()
        goes_on(lab, w, "writes at west")
        w.stop()
        epoch = lab.group("db", "west")["epoch"]
        lab.wait("the witness knows", lambda: rows_of(lab, WITNESS)["authority/0000000001"]["epoch"] == epoch)
        for site in ("west", WITNESS):
            lab.run("lab", "kill", site)
        restore(lab, snapshot)
        # Of those that begin, only the witness can know that the store is older: it tells all.
        start_all(lab, (WITNESS, "east"))
        for site in ("east", WITNESS):
            lab.wait(f"{site} is told", lambda s=site: "--replace" in shown(lab, s).get("why_not", ""))
        lab.wait("east has read its superblock", lambda: lab.engine_group("east", "db").get("history"))
        old = lab.engine_group("east", "db")
        expect(old["role"] != "primary" and old["history"][-1]["epoch"] < epoch, f"the old holder has not opened: {old}")
        p = lab.try_run("--site", "east", "store", "rebuild", "--replace")
        expect(p.returncode == 3 and "west does not answer" in p.stderr, f"without west: {p.returncode} {p.stderr}")
        lab.run("lab", "start", "west")
        p = lab.wait("all have answered", lambda: lab.run("--site", "east", "store", "rebuild", "--replace", "--json"))
        plan = json.loads(p)
        done = plan["groups"][0]
        expect((done["kind"], done["holder"], done["epoch"]) == ("held", "west", epoch), f"{done}")
        expect(len(plan["groups"]) == 1 and {"groups/0000000002", "volumes/0000000001/0001", "volumes/0000000002/0000"} <=
               set(plan["removed"]), f"{plan}")
        for site in SITES:
            lab.wait_health("db", "protected", site=site)
            expect(lab.group("db", site)["primary"] == "west", "west holds it")
            expect([v["name"] for v in lab.group("db", site)["volumes"]] == ["a"], "b stays deleted")
            expect([g["name"] for g in lab.status(site)["groups"]] == ["db"], "and so does old")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        lab.run("switchover", "db", "--site", "east")
        load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
        return f"{w.acknowledged} operations"


def test_etcd_lost_with_a_copy(build):
    """etcd is lost, and with it what the holder's controller remembered, while its engine is down: nobody becomes the
    holder by a guess, the first primary least of all; who accepts a loss opens it."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        remember(lab)
        wipe_etcd(lab)
        for site in SITES:
            lab.run("lab", "kill", site)
        os.unlink(f"{lab.dir}/lab/east/store-copy.json")
        start_all(lab)
        for site in ("west", WITNESS):
            lab.wait(f"{site} is told", lambda s=site: "causeway store rebuild" in shown(lab, s).get("why_not", ""))
        def is_refused():
            p = lab.try_run("--site", "west", "store", "rebuild")
            expect(p.returncode == 3, f"east has no copy: {p.returncode} {p.stderr}")
            return "the engine of " in p.stderr  # before that, other sites are not heard yet
        lab.wait("east has no copy, and its engine is asked for", is_refused)
        done = json.loads(lab.wait("west has read its superblock", lambda: lab.run(
            "--site", "west", "store", "rebuild", "--without", "east", "--json")))["groups"][0]
        expect((done["kind"], done["holder"], done["epoch"]) == ("nobody", "", 2), f"{done}")
        lab.wait("all work with the store", lambda: all(shown(lab, s).get("used") for s in SITES))
        for site in ("east", "west"):
            p = lab.wait(f"{site} is judged", lambda s=site: refused(lab, s))
            expect("--accept-loss" in p, p)
        expect(lab.group("db", "east")["epoch"] == 2, "nobody has opened")
        lab.run("promote", "db", "--site", "east", "--accept-loss")
        lab.wait_health("db", "protected", site="west")
        return "opened by accepting a loss only"


def refused(lab, site):
    p = lab.try_run("--site", site, "promote", "db", "--site", site)
    return p.stderr if p.returncode == 3 and "since the store was rebuilt" in p.stderr else None
