# SPDX-License-Identifier: BSD-3-Clause
"""Three sites with a witness: real engines over a real etcd of three members. Imported by lab_test.py."""
import os
import random
import signal
import threading
import time

import nbd

import load
from lab import Lab, expect, group, has_etcd, may_make_namespaces
from hostile import goes_on
from results import Broken

WITNESS = "central"


def sites_are_seen(lab, at, alive):
    s = {x["name"]: x["alive"] for x in lab.status(at)["sites"]}
    return s == {name: name in alive for name in ("east", "west", WITNESS)}


def test_witness_burns(build):
    """The primary's site burns, with its controller and member of etcd; promoted from what is left, by the witness;
    every acknowledged write is there, the old side comes back fenced, and catches up."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        for site in ("east", "west", WITNESS):
            lab.wait(f"{site} sees all", lambda s=site: sites_are_seen(lab, s, ("east", "west", WITNESS)))
        p = lab.try_run("group", "create", "no", "--mode", "sync", "--primary", "east", "--replica", WITNESS)
        expect(p.returncode == 2 and "witness" in p.stderr, f"a replica at the witness: {p.returncode} {p.stderr}")
        w = load.Writer(41).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        goes_on(lab, w, "writes")
        expect(set(lab.pids("east")) == {"causeway-engine", "causeway-control", "etcd"}, f"{lab.pids('east')}")
        lab.run("lab", "kill", "east")
        expect(lab.pids("east") == {}, "all of it is gone")
        w.stop()
        lab.run("--site", WITNESS, "promote", "db", "--site", "west")
        end = load.check(w, [lab.uri("db", v, "west") for v in ("a", "b")], w.acknowledged)
        lab.wait("the witness sees who is left", lambda: sites_are_seen(lab, WITNESS, ("west", WITNESS)))
        w = w.next(42, end).connect([lab.uri("db", v, "west") for v in ("a", "b")])
        w.start()
        goes_on(lab, w, "writes at the survivor")
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east", site="west")
        for site in ("east", "west", WITNESS):
            lab.wait_health("db", "protected", site=site)
            expect(lab.group("db", site)["primary"] == "west", "the survivor stays primary")
        w.stop()
        expect(w.error is None, f"{w.error}")
        load.check(w, [lab.uri("db", v, "west") for v in ("a", "b")], w.acknowledged)
        return f"{w.acknowledged} operations"


# ---------------------------------------------------------------- never two writers

class Prober(threading.Thread):
    """Reads a block at a site again and again, whoever is primary: each engine that would answer does, and logs it."""

    def __init__(self, lab, site):
        super().__init__(daemon=True)
        self.path = f"{lab.dir}/lab/{site}/nbd/db-a.sock"
        self.stopping, self.answers = threading.Event(), 0
        self.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                h = nbd.NBD()
                h.connect_uri(f"nbd+unix:///a?socket={self.path}")
                while not self.stopping.is_set():
                    h.pread(512, 0)
                    self.answers += 1
                    time.sleep(0.002)
            except nbd.Error:
                time.sleep(0.05)


def answered(lab, sites):
    """The reigns of the engines' own logs, by their first answer: (first ns, last ns, epoch, site)."""
    found = []
    for site in sites:
        found += [(a["first_ns"], a["last_ns"], a["epoch"], site) for a in lab.engine_group(site, "db")["answered"]]
    return sorted(found)


def one_writer(lab, sites=None):
    """No two engines have answered at a time, and epochs only grow, as the engines' own logs say."""
    reigns = answered(lab, sites or lab.sites)
    for (_, last, epoch, site), (first, _, later, other) in zip(reigns, reigns[1:]):
        if last >= first or epoch >= later:
            raise Broken(f"{site} in epoch {epoch} answered after {other} in {later}: {reigns}")
    return reigns


def primary_of(lab):
    """Who it is, once all sites agree, and everybody is in sync."""
    def check():
        seen = [lab.group("db", s) for s in lab.controllers()]
        is_one = len({g["primary"] for g in seen}) == 1 and all(g["health"] == "protected" for g in seen)
        return seen[0]["primary"] if is_one else None
    return lab.wait("all sites agree, and are in sync", check, 90)


class Rounds:
    """A verifying load at the primary, rounds of trouble, after each of which nothing acknowledged may be missing."""

    def __init__(self, lab):
        self.lab, self.w, self.epochs = lab, load.Writer(1), []
        group(lab, "db", "sync", (("a", "16M"),), lab.sites[0], ",".join(lab.sites[1:]))
        self.probers = [Prober(lab, site) for site in lab.sites]

    def begin(self):
        self.primary = primary_of(self.lab)
        self.w.connect([self.lab.uri("db", "a", self.primary)])
        self.w.start()
        goes_on(self.lab, self.w, "writes")
        return self.primary, next(site for site in self.lab.sites if site != self.primary)

    def end(self):
        now = primary_of(self.lab)
        before = self.w.acknowledged  # one that was fenced for a taker who gave up has closed its connections
        self.lab.wait("writes go on, or it is said that they do not", lambda: now != self.primary or self.w.error
                      or self.w.acknowledged > before + 5)
        self.w.stop()
        end = load.check(self.w, [self.lab.uri("db", "a", now)], self.w.acknowledged)
        self.epochs = [f"{site} {epoch}" for _, _, epoch, site in one_writer(self.lab)]
        self.w = self.w.next(end, end)
        return now

    def close(self, engines=2):
        """So many of them have answered, or it was no test."""
        for p in self.probers:
            p.stopping.set()
        expect(sum(p.answers > 0 for p in self.probers) >= engines, "engines were read from")


DIRECTIONS = [(a, b) for a in ("east", "west", WITNESS) for b in ("east", "west", WITNESS) if a != b]


def cut(lab, control, data):
    """Both are sets of (from, to)."""
    for name, directions in (("control", control), ("data", data)):
        for a, b in directions:
            lab.run("lab", "cut", a, b, "--one-way", "--only", name)


class Promotion(threading.Thread):
    """Asked for meanwhile; what came of it is looked at by whoever asks for its end: a failure here is one there."""

    def __init__(self, lab, at, site):
        super().__init__(daemon=True)
        self.lab, self.at, self.site, self.process = lab, at, site, None
        self.start()

    def run(self):
        self.process = self.lab.try_run("--site", self.at, "promote", "db", "--site", self.site, timeout=120)

    def is_done(self):
        """By now, and with the group promoted."""
        return self.process is not None and self.process.returncode == 0

    def end(self):
        """Its exit code."""
        self.join(125)
        p = self.process
        expect(p is not None, f"the promotion of {self.site} that {self.at} was asked for does not end")
        expect(p.returncode in (0, 1, 3) and (p.returncode == 0 or p.stderr.strip()),
               f"{p.returncode} without words: {p.stdout} {p.stderr}")
        return p.returncode


def cut_round(lab, rounds, control, data, seconds=7.5):
    """The sites are cut; the other one is asked to take over, from everywhere; after some time all is healed."""
    primary, other = rounds.begin()
    cut(lab, control, data)
    askers = [Promotion(lab, at, other) for at in ("east", "west", WITNESS)]
    time.sleep(seconds)
    reigns = one_writer(lab)
    lab.run("lab", "heal")
    codes = sorted(a.end() for a in askers)
    return primary, rounds.end(), codes, reigns[-1][3]


def around(site):
    return {(a, b) for a, b in DIRECTIONS if site in (a, b)}


def of_data(directions):
    return {(a, b) for a, b in directions if WITNESS not in (a, b)}


def needs(lab):
    if not lab.can_cut_control():
        return "SKIP: no right to make network namespaces: the control network cannot be cut"
    return None


def test_witness_cuts(build):
    """Sites cut from each other in some of the ways there are (tests/integration/lab/cuts.py goes through all of them):
    never two that answer, by both engines' own logs; nothing acknowledged is lost; all come together again."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        if needs(lab):
            return needs(lab)
        rounds, told = Rounds(lab), []
        ways = ((around("east"), "the primary is alone"),
                ({("east", "west"), ("west", "east")}, "data sites from each other"),
                ({("west", "east"), (WITNESS, "east"), ("west", WITNESS)}, "one way each"))
        for way, words in ways:
            primary, now, codes, _ = cut_round(lab, rounds, way, of_data(way))
            told.append(f"{words}: {primary} to {now}, exits {codes}")
            if words == "the primary is alone":
                expect(now != primary and 0 in codes, f"the other one was promoted: {told[-1]}")
        rounds.close()
        return f"{'; '.join(told)}; {', '.join(rounds.epochs)}"


def has_gone(pid):
    """Its first thread may end before the others."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return words[0] in "ZX" and int(words[17]) <= 1
    except OSError:
        return True


def killed(lab, site, name):
    """kill -9 of one process, until it is gone: lab start would take a dying one for one that runs."""
    pid = lab.pids(site)[name]
    os.kill(pid, signal.SIGKILL)
    lab.wait(f"{name} of {site} is gone", lambda: has_gone(pid))


def stopped(lab, site, name):
    pid = lab.pids(site)[name]
    os.kill(pid, signal.SIGSTOP)
    return pid


def stale_refused(lab, site):
    return sum(v for k, v in lab.engine_group(site, "db")["counters"].items() if "stale" in k)


def engine_stands_still(lab, rounds, primary, other):
    """Until the other one has answered."""
    pid = stopped(lab, primary, "causeway-engine")
    lab.run("--site", WITNESS, "promote", "db", "--site", other)
    prober = rounds.probers[("east", "west").index(other)]
    before = prober.answers
    lab.wait("the survivor answers", lambda: prober.answers > before + 20)
    os.kill(pid, signal.SIGCONT)


def controller_stands_still(lab, rounds, primary, other):
    """For more than a lease. Whether the other one takes over meanwhile, or waits because the primary goes on by its
    grant, is on_store_loss's to say; when the controller is awake, it lets go."""
    pid = stopped(lab, primary, "causeway-control")
    asker = Promotion(lab, WITNESS, other)
    time.sleep(7.5)
    os.kill(pid, signal.SIGCONT)
    expect(asker.end() == 0, f"promotion while the controller stood still: {asker.process}")


def test_witness_pauses(build):
    """By veth where that can be: the primary's engine, then its controller, stand still under load for longer than their
    lease, the other site is to be promoted, and they wake: never two that answer, nothing acknowledged is lost."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS, link="veth" if may_make_namespaces() else "memif") as lab:
        rounds, told = Rounds(lab), []
        for trouble in (engine_stands_still, controller_stands_still):
            primary, other = rounds.begin()
            trouble(lab, rounds, primary, other)
            now = rounds.end()
            expect(now == other, f"{other} was promoted, {now} is primary")
            told.append(trouble.__name__)
        rounds.close()
        return f"{'; '.join(told)}; {', '.join(rounds.epochs)}"


def wait_etcd(lab, sites):
    for site in sites:
        lab.wait(f"etcd of {site} answers",
                 lambda s=site: lab.etcdctl(s, "get", "--limit=1", "--prefix", "/").returncode == 0)


def test_witness_members(build):
    """Members of etcd are killed in turn, the leader's too, then controllers, then the whole witness: writes go on and
    no role changes; without a quorum nobody is promoted; a switchover under load ends it."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        every = ("east", "west", WITNESS)
        rounds = Rounds(lab)
        rounds.begin()
        leaders = [lab.wait("a leader", lab.etcd_leader)]
        for site in (leaders[0], *(s for s in every if s != leaders[0])):
            killed(lab, site, "etcd")
            leaders.append(lab.wait("a leader is there", lab.etcd_leader))
            expect(leaders[-1] != site, f"{site} leads and is dead")
            goes_on(lab, rounds.w, f"writes go on without {site}'s member")
            lab.run("lab", "start", site)
            wait_etcd(lab, every)
        for site in every:
            killed(lab, site, "causeway-control")
            goes_on(lab, rounds.w, f"writes go on without {site}'s controller")
            lab.run("lab", "start", site)
        leader = lab.wait("a leader", lab.etcd_leader)
        pid = stopped(lab, leader, "etcd")
        lab.wait("another leads", lambda: lab.etcd_leader() not in (None, leader))
        goes_on(lab, rounds.w, "writes go on while the member that led stands still")
        os.kill(pid, signal.SIGCONT)
        wait_etcd(lab, every)
        lab.run("lab", "kill", WITNESS)
        time.sleep(6)  # more than a lease
        goes_on(lab, rounds.w, "writes go on without the witness")
        expect(lab.group("db", "west")["epoch"] == 1 and rounds.w.error is None, "nothing has changed")
        killed(lab, "west", "etcd")
        lab.wait("the store is silent", lambda: not lab.status("west")["store_answers"])
        asker = Promotion(lab, "west", "west")
        time.sleep(6.5)  # more than a lease, too
        taken = lab.engine_group("west", "db")
        expect(not asker.is_done() and taken["role"] != "primary" and taken["epoch"] == 1,
               f"promoted without a quorum: {asker.process} {taken['role']} {taken['epoch']}")
        lab.run("lab", "start", "west")
        lab.run("lab", "start", WITNESS)
        code = asker.end()
        rounds.end()
        primary, other = rounds.begin()
        lab.run("--site", WITNESS, "switchover", "db", "--site", other)
        expect(rounds.end() == other, "it was switched over")
        rounds.close()
        return (f"leaders {', '.join(leaders)}; asked without a quorum, and then it was back: exit {code}; "
                f"{', '.join(rounds.epochs)}")


VICTIMS = [(site, name) for site in ("east", "west", WITNESS) for name in ("causeway-control", "etcd")]
VICTIMS += [(site, "causeway-engine") for site in ("east", "west")]


def killed_round(lab, rounds, rng):
    """A change of roles, and in the middle of it a process of a site is killed, and started again."""
    primary, other = rounds.begin()
    command, at = rng.choice(("promote", "switchover")), rng.choice(("east", "west", WITNESS))
    site, name = rng.choice(VICTIMS)
    asked = []
    asker = threading.Thread(daemon=True, target=lambda: asked.append(
        lab.try_run("--site", at, command, "db", "--site", other)))
    asker.start()
    time.sleep(rng.choice((0.05, 0.2, 1.0)) * rng.random())
    killed(lab, site, name)
    lab.run("lab", "start", site)
    asker.join(150)
    expect(asked and asked[0].returncode in (0, 1, 3), f"{command} at {at}: {asked}")
    now = rounds.end()
    expect(asked[0].returncode != 0 or now == other, f"{command} at {at} said done, and {now} is primary")
    return f"{command} at {at}, {name} of {site} killed: exit {asked[0].returncode}, {primary} to {now}"


def test_witness_killed_midway(build):
    """Engines, controllers and members of etcd are killed in the middle of promotions and switchovers, and started again:
    never two that answer, nothing acknowledged is lost, whoever is told that it was done finds it done. CW_SEED and
    CW_CYCLES: others, and more."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed, cycles = int(os.environ.get("CW_SEED", "5")), int(os.environ.get("CW_CYCLES", "3"))
    rng, told = random.Random(seed), []
    with Lab(build, witness=WITNESS) as lab:
        rounds = Rounds(lab)
        for _ in range(cycles):
            told.append(killed_round(lab, rounds, rng))
            if cycles > 3:
                print(told[-1], flush=True)
        rounds.close()
    return f"seed {seed}: {'; '.join(told[:3])}; {len(told)} in all"
