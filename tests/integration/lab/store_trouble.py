# SPDX-License-Identifier: BSD-3-Clause
"""etcd in trouble under load: it answers after seconds, and it has no space left. Imported by lab_test.py."""
import itertools
import json
import os
import random
import signal
import threading
import time

from hostile import goes_on
from lab import MIB, Lab, expect, has_etcd
from store_loss import LEASE, covered
from witness import WITNESS, Rounds, promoted_meanwhile

SITES = ("east", "west", WITNESS)
QUOTA = 8 * MIB
NO_SPACE = "database space exceeded"


def configured(lab, policy):
    """What is done on the loss of the store, and a small space for it, at one site after the other: two of three
    members are a quorum."""
    for site in SITES:
        lab.run("lab", "kill", site)
        for name, line in (("node.yaml", f"on_store_loss: {policy}"), ("etcd.yaml", f"quota-backend-bytes: {QUOTA}")):
            with open(f"{lab.dir}/lab/{site}/{name}", "a") as f:
                f.write(line + "\n")
        lab.run("lab", "start", site)


def asked_meanwhile(lab, at):
    """west's promotion is asked for there, and what comes of it is told later."""
    told = []
    asker = threading.Thread(target=promoted_meanwhile, args=(lab, at, "west", told), daemon=True)
    asker.start()
    return asker, told


def goes_on_unmoved(lab, rounds):
    """More than a lease, in which writes go on and nobody else is promoted."""
    end = time.monotonic() + 1.2 * LEASE
    while time.monotonic() < end:
        goes_on(lab, rounds.w, "writes go on")
        g = lab.engine_group("east", "db")
        expect(g["role"] == "primary" and g["epoch"] == 1 and not g["frozen"],
               f"{g['role']} {g['epoch']} {g['reason']}")


def is_held(lab, rounds):
    """From now on nothing is acknowledged until somebody renews the lease."""
    lab.wait("east is frozen", lambda: lab.engine_group("east", "db")["frozen"])
    before = rounds.w.acknowledged
    time.sleep(1)
    g = lab.engine_group("east", "db")
    expect(g["frozen"] and rounds.w.acknowledged == before,
           f"{rounds.w.acknowledged - before} written while {g['reason']}")
    expect("on_store_loss: freeze" in g["reason"], g["reason"])


def says(lab, what, *words):
    """At each site, in what somebody would look at first."""
    for site in SITES:
        for command in (("status",), ("explain", "db")):
            lab.wait(f"{command} at {site} says {what}", lambda c=command, s=site: any(
                w in " ".join(lab.run("--site", s, *c).split()) for w in words))
        lab.wait(f"an event at {site}", lambda s=site: "the store does not renew" in lab.run("--site", s, "events"))


def by_etcdctl(lab, what, site, *args):
    """It may have other things to do, or elect a leader."""
    return lab.wait(what, lambda: (lambda p: p if p.returncode == 0 else None)(lab.etcdctl(site, *args)))


def forget(lab):
    """All revisions but the newest."""
    status = json.loads(by_etcdctl(lab, "a revision", "east", "endpoint", "status", "-w", "json").stdout)
    revision = str(status[0]["Status"]["header"]["revision"])
    lab.wait("the past is gone", lambda: (lambda p: p.returncode == 0 or "been compacted" in p.stderr)(
        lab.etcdctl("east", "compaction", "--physical", revision)))


# ---------------------------------------------------------------- answers after seconds

def late_answers(lab, rng, turns, meanwhile):
    """All members stand still for some seconds, and go on for less than one, in turns: whatever they are asked is
    answered, and late."""
    pids = [lab.pids(site)["etcd"] for site in SITES]
    for _ in range(turns):
        end = time.monotonic() + rng.uniform(1.5, 4)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            meanwhile()
            time.sleep(max(0, end - time.monotonic()))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        time.sleep(rng.uniform(0.2, 0.8))


# ---------------------------------------------------------------- no space

def fill(lab):
    """Until it takes no more: the alarm is of all members then, until somebody disarms it."""
    numbers = itertools.count()
    lab.wait("etcd is full", lambda: NO_SPACE in lab.etcdctl("east", "put", f"/filler/{next(numbers)}",
                                                             value="x" * MIB).stderr)


def make_room(lab):
    """What etcd's handbook says for that alarm."""
    by_etcdctl(lab, "the filler is gone", "east", "del", "--prefix", "/filler/")
    forget(lab)
    for site in SITES:
        by_etcdctl(lab, f"the file of {site} is small again", site, "defrag", "--command-timeout=20s")
    by_etcdctl(lab, "the alarm is off", "east", "alarm", "disarm")


# ---------------------------------------------------------------- both ways to bear it

def test_store_trouble_peer_grants(build):
    """etcd answers after seconds, then has no space left, under load: writes go on by grants, nobody is promoted,
    it is said, and with room again the store renews and roles change."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed = int(os.environ.get("CW_SEED", "23"))
    rng = random.Random(seed)
    with Lab(build, witness=WITNESS) as lab:
        configured(lab, "peer-grants")
        rounds = Rounds(lab)
        rounds.begin()
        late_answers(lab, rng, 3, lambda: goes_on(lab, rounds.w, "writes go on while nobody answers"))
        goes_on_unmoved(lab, rounds)
        fill(lab)
        lab.wait("east goes on by grants", lambda: covered(lab) == "grants")
        asker, told = asked_meanwhile(lab, "west")
        goes_on_unmoved(lab, rounds)
        says(lab, "that the store does not renew", "goes on by grants", "goes on by what its peers grant")
        expect(rounds.w.error is None and not any(code == 0 for _, code, _ in told), f"{rounds.w.error} {told}")
        make_room(lab)
        asker.join(150)
        rounds.end()  # asked for all the time, it may have been promoted by now
        primary, other = rounds.begin()
        lab.wait("the store renews again", lambda: covered(lab, primary) == "store")
        lab.run("--site", WITNESS, "switchover", "db", "--site", other)
        expect(rounds.end() == other, "it was switched over")
        rounds.close()
        return (f"seed {seed}: {rounds.w.next_op} operations; asked while it was full: exit {told[0][1]}; "
                f"{', '.join(rounds.epochs)}")


def test_store_trouble_freeze(build):
    """The same with on_store_loss: freeze: held while the store does not renew, and that alone; then writes go on by
    themselves, on the same connection."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed = int(os.environ.get("CW_SEED", "29"))
    rng = random.Random(seed)
    with Lab(build, witness=WITNESS) as lab:
        configured(lab, "freeze")
        rounds = Rounds(lab)
        rounds.begin()
        late_answers(lab, rng, 2, lambda: None)
        goes_on(lab, rounds.w, "writes go on after answers that came late")
        fill(lab)
        is_held(lab, rounds)
        says(lab, "why writes are held", "on_store_loss: freeze")
        make_room(lab)
        goes_on(lab, rounds.w, "writes go on with the store")
        expect(rounds.w.error is None, f"the writer waited: {rounds.w.error}")
        asker, told = asked_meanwhile(lab, WITNESS)
        late_answers(lab, rng, 2, lambda: None)
        asker.join(150)
        rounds.end()
        rounds.close()
        return (f"seed {seed}: {rounds.w.next_op} operations; asked with late answers: exit {told[0][1]}; "
                f"{', '.join(rounds.epochs)}")
