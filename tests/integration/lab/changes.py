# SPDX-License-Identifier: BSD-3-Clause
"""Changes of what is wanted, and something that dies in the middle of them. Imported by lab_test.py."""
import json
import os
import random
import threading
import time

import load
from lab import Lab, expect, has_etcd
from store_trouble import by_etcdctl
from witness import WITNESS, killed

SITES = ("east", "west", WITNESS)


def row(lab, name):
    """What the store has of the group; None: nothing."""
    p = by_etcdctl(lab, "the store's rows", "east", "get", "--prefix", "/causeway/lab/groups/", "--print-value-only")
    return next((r for r in map(json.loads, p.stdout.splitlines()) if r["name"] == name), None)


VOLUMES = ("a", "b")
CREATION = (("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size", "16M"),
            *(("volume", "create", f"db/{v}", "--size", "8M") for v in VOLUMES))
DELETION = (*(("volume", "delete", f"db/{v}") for v in VOLUMES), ("group", "delete", "db"))
THERE, GONE = ("there already", "already"), ("there is no", "no volume is called", "has no volume", "still being deleted")


def in_order(lab, site, commands, told):
    """Until one fails; what each said."""
    for words in commands:
        p = lab.try_run("--site", site, *words, timeout=150)
        told.append((words, p.returncode, (p.stdout + p.stderr).strip()))
        if p.returncode != 0:
            return


def disturbed(lab, rng, commands):
    """Asked for at one site, while a process of some site is killed and started again. What each command said."""
    at = rng.choice(SITES)
    site, name = rng.choice((at, *SITES)), rng.choice(("causeway-control", "causeway-control", "etcd"))
    told = []
    asker = threading.Thread(target=in_order, args=(lab, at, commands, told), daemon=True)
    asker.start()
    time.sleep(rng.choice((0.05, 0.3, 1.0)) * rng.random())
    killed(lab, site, name)
    lab.run("lab", "start", site)
    asker.join(300)
    expect(told and all(code in (0, 1, 3) and said for _, code, said in told), f"{at}, {name} of {site}: {told}")
    return f"{name} of {site}, asked at {at}", told


def again(lab, commands, known):
    """The same again, without trouble, at other sites: each is done, or was: then it says so."""
    for i, words in enumerate(commands):
        def is_done(at=SITES[i], words=words):
            p = lab.try_run("--site", at, *words, timeout=150)
            said = p.stdout + p.stderr
            done = p.returncode == 0 or any(k in said for k in known)
            expect(done or "give the command again" in said, f"{words}: {p.returncode} {said}")
            return done and "still being deleted" not in said
        lab.wait(f"{words} again", is_done)


def is_whole(lab):
    """Both volumes take writes at the primary, and the replica has them."""
    lab.wait_state("db", "in-sync", "west")
    w = load.Writer(7, count=1024).connect([lab.uri("db", v, "east") for v in VOLUMES])
    for _ in range(10):
        w.one()
    w.handles[0].flush()
    w.close()


def files(lab):
    return [n for s in ("east", "west") for n in os.listdir(f"{lab.settings()['storage_root']}/{s}")
            if ".img" in n or ".journal" in n]


def set_disturbed(lab, rng, turn):
    """All keys of one command, or none."""
    wanted = {"after_ms": 3000 + turn, "replica_timeout_ms": 6000 + turn, "copy_brake_ms": 1000 + turn, "min_in_sync": turn % 2}
    words = ("group", "set", "db", *(f"{k.removesuffix('_ms')}={v}{'ms' * k.endswith('_ms')}" for k, v in wanted.items()))
    before = {k: row(lab, "db")[k] for k in wanted}
    what, told = disturbed(lab, rng, [words])
    found = {k: row(lab, "db")[k] for k in wanted}
    expect(found == wanted or (found == before and told[0][1] != 0), f"{what}: {told}: {before} to {found}")
    lab.run(*words)
    expect({k: row(lab, "db")[k] for k in wanted} == wanted, "again")
    return what, told


def test_changes_interrupted(build):
    """Controllers and members of etcd are killed in the middle of making a group with volumes, setting several things of
    it, and deleting it all: each is whole, or said; given again it is done, and nothing is left over. CW_SEED, CW_CYCLES."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed, cycles = int(os.environ.get("CW_SEED", "3")), int(os.environ.get("CW_CYCLES", "2"))
    rng, met = random.Random(seed), []
    with Lab(build, witness=WITNESS) as lab:
        for turn in range(cycles):
            for commands, known in ((CREATION, THERE), (None, None), (DELETION, GONE)):
                what, told = disturbed(lab, rng, commands) if commands else set_disturbed(lab, rng, turn)
                print(f"{what}: " + "; ".join(f"{' '.join(w[:3])}: {code} {said[-200:]}" for w, code, said in told), flush=True)
                met += [f"{w[0]} {w[1]}" for w, code, _ in told if code]
                if commands:
                    again(lab, commands, known)
                if commands is CREATION:
                    is_whole(lab)
            lab.wait("the store has forgotten it", lambda: row(lab, "db") is None)
            lab.wait("nothing is left", lambda: not files(lab))
    return f"seed {seed}: {cycles} times; the trouble was met by {', '.join(met) or 'nothing'}"
