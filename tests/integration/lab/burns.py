#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A whole site burns, and its group fails over by itself. Imported by lab_test.py; by hand, with the distribution of
the times and of their parts:

    burns.py BUILD [TIMES]
"""
import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import load  # noqa: E402
import nbd  # noqa: E402
from lab import Lab, expect, group, has_etcd  # noqa: E402

VOLUMES = (("a", "16M"), ("b", "16M"))
APART = 12 << 20  # where no Writer writes
PARTS = ("silence noticed", "lease waited", "gathered, claimed", "opened", "client is back", "kill to first write")


class Victim(load.Writer):
    """Knows when its connection broke: its site was killed then."""
    ended = None

    def run(self):
        super().run()
        self.ended = time.time()


class Returning(threading.Thread):
    """A client that tries again and again, and writes once it is let."""

    def __init__(self, uri):
        super().__init__(daemon=True)
        self.uri, self.written, self.stopping = uri, None, False

    def run(self):
        while not self.stopping and self.written is None:
            try:
                h = nbd.NBD()
                h.connect_uri(self.uri)
                h.pwrite(b"here" * 1024, APART)
                self.written = time.time()
            except nbd.Error:
                time.sleep(0.005)


def told(lab, site, since, *words):
    """When an event with these words was told by this site, after `since`; a client may be back before it is told."""
    times = []

    def look():
        events = [json.loads(line) for line in lab.run("--site", site, "events", "--json").splitlines()]
        times[:] = [e["time"] for e in events
                    if e["site"] == site and e["time"] >= since and all(w in e["text"] for w in words)]
        return times

    lab.wait(f"an event of {site} with {words}", look)
    return times[0]


def all_is_well(lab):
    """Every site, member of etcd and replica: the next fire may come."""
    for site in (*lab.sites, lab.witness):
        lab.wait(f"etcd at {site}", lambda s=site: lab.etcdctl(s, "endpoint", "health").returncode == 0)
        lab.wait(f"{site} sees all", lambda s=site: all(x["alive"] for x in lab.status(s)["sites"]))
        lab.wait(f"{site} has the store", lambda s=site: lab.status(s)["store_answers"])
        lab.wait_health("db", "protected", site=site)


def burn(lab, w, here, there):
    """One fire: the parts of the time in seconds, and the Writer that goes on at the survivor."""
    uris = [lab.uri("db", v, here) for v, _ in VOLUMES]
    far = [u.replace(f"/{here}/", f"/{there}/") for u in uris]
    lab.wait(f"{there} is ready", lambda: lab.group("db", there)["failover"]["answer"] == "ready")
    w.connect(uris)
    w.start()
    before = w.acknowledged
    lab.wait("writes", lambda: w.acknowledged > before + 100)
    client = Returning(far[0])
    client.start()
    lab.run("lab", "kill", here)
    lab.wait("the first write at the survivor", lambda: client.written)
    w.stop()
    end = load.check(w, far, w.acknowledged)
    times = [w.ended, told(lab, there, w.ended, f"{here} is silent for"),
             told(lab, there, w.ended, "automatic failover", "begins"), told(lab, there, w.ended, f"{there} holds epoch"),
             told(lab, there, w.ended, "open for writes"), client.written]
    parts = [b - a for a, b in zip(times, times[1:])] + [client.written - w.ended]
    audit = lab.run("--site", there, "events", "--audit")
    expect("automatic failover, automatic: promote group=db" in audit, f"a line of audit: {audit[-400:]}")
    # Nothing more by itself, until it is allowed again or has come to rest.
    expect(lab.group("db", there)["failover"]["automatic_epoch"] > 0, "it is remembered")
    n = Victim(end, w.first, w.count, w.flush_every, w.next_op)
    n.__dict__.update({k: v for k, v in w.next(1, end).__dict__.items() if k in
                       ("base_op", "base", "history", "acknowledged", "flushed")})
    lab.run("lab", "start", here)
    all_is_well(lab)
    expect(lab.group("db", here)["primary"] == there, "nothing returns by itself")
    verdict = lab.group("db", here)["failover"]
    expect(verdict["answer"] == "no" and "not come to rest" in verdict["words"], f"{verdict}")
    lab.run("group", "set", "db", "failover=automatic")
    n.rebase(end)
    return parts, n


def fires(build, count, tell=lambda words: None):
    with Lab(build, witness="central") as lab:
        group(lab, "db", volumes=VOLUMES)
        lab.run("group", "set", "db", "failover=automatic")
        all_is_well(lab)
        w, here, there, rows = Victim(7), "east", "west", []
        for i in range(count):
            parts, w = burn(lab, w, here, there)
            rows.append(parts)
            here, there = there, here
            tell(f"{i + 1}: " + ", ".join(f"{n} {p:.3f}" for n, p in zip(PARTS, parts)))
        return rows, w.acknowledged, lab.settings().get("lease_seconds", 5.0)


def distribution(rows):
    lines = [f"{'seconds':22s} {'min':>7s} {'median':>7s} {'p90':>7s} {'max':>7s}"]
    for i, name in enumerate(PARTS):
        column = sorted(r[i] for r in rows)
        picked = [column[min(len(column) - 1, int(len(column) * q))] for q in (0, 0.5, 0.9, 1)]
        lines.append(f"{name:22s} " + " ".join(f"{p:7.3f}" for p in picked))
    return "\n".join(lines)


def test_site_burns(build):
    """The primary's site burns under load, five times, each time the other one: it fails over by itself, every
    acknowledged write is there, nothing returns by itself. The times are printed, and none is asserted."""
    if not has_etcd():
        return "SKIP: no etcd"
    rows, operations, _ = fires(build, 5)
    print(distribution(rows))
    return f"{operations} operations; kill to first write: {', '.join(f'{r[-1]:.2f}' for r in rows)} s"


def wait_answer(lab, site, answer, *words):
    def check():
        verdict = lab.group("db", site)["failover"]
        return verdict["answer"] == answer and all(w in verdict["words"] for w in words)
    lab.wait(f"{site}: {answer}, {words}", check)


def test_failover_within_the_objective(build):
    """async: not without a size, not when a lease alone is more than may be lost, and within it, by itself. A primary
    that comes back in time stays primary."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness="central") as lab:
        group(lab, "db", mode="async", volumes=VOLUMES)
        wait_answer(lab, "west", "off", "failover is manual")
        lab.run("group", "set", "db", "failover=automatic", "after=4s")
        wait_answer(lab, "west", "no", "no limit in bytes")
        lab.run("group", "set", "db", "max_loss=4s,64M")
        wait_answer(lab, "west", "no", "may lack up to", "max_loss of group db is 4.0 s", "--accept-loss")
        lab.run("group", "set", "db", "max_loss=30s,64M")
        all_is_well(lab)
        wait_answer(lab, "west", "ready")
        # The controller and the engine are away for less than a lease: a word, and nothing more.
        for name in ("causeway-engine", "causeway-control"):
            os.kill(lab.pids("east")[name], signal.SIGSTOP)
        wait_answer(lab, "west", "wait", "unless it comes back")
        for name in ("causeway-engine", "causeway-control"):
            os.kill(lab.pids("east")[name], signal.SIGCONT)
        wait_answer(lab, "west", "ready")
        expect(lab.group("db", "west")["primary"] == "east", "it came back in time")
        w = Victim(9).connect([lab.uri("db", v, "east") for v, _ in VOLUMES])
        far = [h.replace("/east/", "/west/") for h in (lab.uri("db", v, "east") for v, _ in VOLUMES)]
        w.start()
        lab.wait("writes", lambda: w.acknowledged > 100)
        lab.run("lab", "kill", "east")
        lab.wait("west is primary", lambda: lab.group("db", "west")["primary"] == "west")
        lab.wait("it is open", lambda: lab.uri("db", "a", "west"))
        w.stop()
        end = load.check(w, far, 0)
        return f"{w.acknowledged - end} of {w.acknowledged} acknowledged operations lost"


def test_engine_burns_alone(build):
    """The primary's engine goes, its controller stays and says so: the survivor takes over by itself as well. An engine
    that comes back does not get the group back."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness="central") as lab:
        group(lab, "db", mode="semi-sync", volumes=VOLUMES)
        lab.run("group", "set", "db", "failover=automatic", "after=1s")
        all_is_well(lab)
        wait_answer(lab, "west", "ready")
        w = Victim(11).connect([lab.uri("db", v, "east") for v, _ in VOLUMES])
        far = [lab.uri("db", v, "east").replace("/east/", "/west/") for v, _ in VOLUMES]
        w.start()
        lab.wait("writes", lambda: w.acknowledged > 100)
        os.kill(lab.pids("east")["causeway-engine"], signal.SIGKILL)
        lab.wait("west is primary", lambda: lab.group("db", "west")["primary"] == "west")
        lab.wait("it is open", lambda: lab.uri("db", "a", "west"))
        w.stop()
        load.check(w, far, w.acknowledged)
        lab.run("lab", "start", "east")
        all_is_well(lab)
        expect(lab.group("db", "east")["primary"] == "west", "nothing returns by itself")
        return f"{w.acknowledged} operations"


def test_disk_of_the_primary_dies(build):
    """Its engine and controller live, and serve another group: the survivor takes over what it has stopped, by itself, and
    nothing that was acknowledged is lost."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness="central") as lab:
        group(lab, "db", volumes=VOLUMES)
        group(lab, "other", volumes=(("a", "16M"),))
        lab.run("group", "set", "db", "failover=automatic", "after=1s")
        all_is_well(lab)
        wait_answer(lab, "west", "ready")
        w = Victim(12).connect([lab.uri("db", v, "east") for v, _ in VOLUMES])
        other = load.Writer(14).connect([lab.uri("other", "a", "east")])
        far = [lab.uri("db", v, "east").replace("/east/", "/west/") for v, _ in VOLUMES]
        for writer in (w, other):
            writer.start()
            lab.wait("writes", lambda writer=writer: writer.acknowledged > 100)
        lab.run("--site", "east", "rpc", "lab.fault", json.dumps(
            {"group": lab.engine_group("east", "db")["group"], "volume": -1, "errno": "EIO", "after_writes": 20}))
        lab.wait("west is primary", lambda: lab.group("db", "west")["primary"] == "west")
        lab.wait("it is open", lambda: lab.uri("db", "a", "west"))
        w.stop()
        load.check(w, far, w.acknowledged)
        before = other.acknowledged
        lab.wait("the other group goes on", lambda: other.acknowledged > before)
        other.stop()
        expect(other.error is None and lab.group("other", "west")["primary"] == "east", f"{other.error}")
        events = lab.run("--site", "west", "events")
        expect("automatic failover to west begins: east" in events and "it for" in events, events)
        return f"{w.acknowledged} operations"


def test_cut_primary_fails_over(build):
    """The primary's site is cut from everybody under load, and goes on running: it holds its writes, the survivor takes
    over by itself; healed, the old side acknowledges nothing of what it held, and catches up."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness="central", link="veth") as lab:
        if not lab.can_cut_control():
            return "SKIP: no network namespaces"
        group(lab, "db", volumes=VOLUMES)
        lab.run("group", "set", "db", "failover=automatic")
        all_is_well(lab)
        wait_answer(lab, "west", "ready")
        w = Victim(13).connect([lab.uri("db", v, "east") for v, _ in VOLUMES])
        far = [lab.uri("db", v, "east").replace("/east/", "/west/") for v, _ in VOLUMES]
        w.start()
        lab.wait("writes", lambda: w.acknowledged > 100)
        lab.run("lab", "cut", "east")
        lab.wait("west is primary", lambda: lab.group("db", "west")["primary"] == "west")
        lab.wait("it is open", lambda: lab.uri("db", "a", "west"))
        acknowledged = w.acknowledged
        load.check(w, far, acknowledged)
        lab.run("lab", "heal")
        all_is_well(lab)
        w.stop()
        expect(w.acknowledged == acknowledged, f"the old side acknowledged {w.acknowledged - acknowledged} more")
        expect(lab.group("db", "east")["primary"] == "west", "nothing returns by itself")
        return f"{acknowledged} operations"


if __name__ == "__main__":
    TIMES = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    FIRES, OPERATIONS, LEASE = fires(sys.argv[1], TIMES, lambda words: print(words, flush=True))
    print(distribution(FIRES))
    OVER = [r for r in FIRES if r[-1] > LEASE + 2]
    print(f"{len(FIRES)} fires, {OPERATIONS} operations, none that was acknowledged lost; "
          f"{len(FIRES) - len(OVER)} within the lease and 2 s ({LEASE + 2:.1f} s)")
