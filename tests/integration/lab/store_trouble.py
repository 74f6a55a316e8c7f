# SPDX-License-Identifier: BSD-3-Clause
"""etcd in trouble under load: it answers after seconds, forgets what a controller has not read, has no space left.
Imported by lab_test.py; it runs itself in a site's network, for much at once:

    store_trouble.py FOLDER-OF-CERTIFICATES KEY URL...
"""
import base64
import concurrent.futures
import http.client
import itertools
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from hostile import goes_on  # noqa: E402
from lab import MIB, Lab, expect, has_etcd  # noqa: E402
from store_loss import LEASE, covered  # noqa: E402
from witness import WITNESS, Promotion, Rounds, stopped  # noqa: E402

SITES = ("east", "west", WITNESS)
QUOTA = 20 * MIB
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


# ---------------------------------------------------------------- a past that is gone

SLOW = "etcd_debugging_mvcc_slow_watcher_total "


class Member:
    """A connection of its own to one of etcd's."""

    def __init__(self, folder, url):
        context = ssl.create_default_context(cafile=f"{folder}/ca-cert.pem")
        context.load_cert_chain(f"{folder}/server-cert.pem", f"{folder}/server-key.pem")
        address = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=60)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        expect(answer.status == 200, f"{path}: {answer.status} {text[:200]}")
        return text

    def put(self, key, value, times):
        body = json.dumps({"key": base64.b64encode(key.encode()).decode(),
                           "value": base64.b64encode(json.dumps(value).encode()).decode()})
        for _ in range(times):
            self.ask("POST", "/v3/kv/put", body)


def flood(folder, key, *urls):
    """More events than a member keeps for a watch of the key that nobody reads: large ones, which fill what lies
    between, and then some hundred. How many such watches there are is printed."""
    Member(folder, urls[0]).put(key, "x" * MIB, 8)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Member(folder, urls[0]).put(key, "x", 30), range(8)))
    told = "".join(Member(folder, url).ask("GET", "/metrics") for url in urls)
    print(sum(float(line[len(SLOW):]) for line in told.splitlines() if line.startswith(SLOW)))


def reads_anew(lab):
    """west's controller stands still while more changes than its watch can be told of, and then that past is gone."""
    pid, key = stopped(lab, "west", "causeway-control"), "/causeway/lab/flood"
    try:
        lab.run("--site", "east", "group", "set", "db", "after=9s")
        p = subprocess.run([*lab.inside("west"), sys.executable, os.path.abspath(__file__),
                            f"{lab.dir}/lab/authority/issued/west/west", key, *map(lab.etcd_url, SITES)],
                           capture_output=True, text=True, timeout=300)
        expect(p.returncode == 0, p.stderr)
        expect(float(p.stdout) > 0, "the watch of west is told of all")
        forget(lab)
        by_etcdctl(lab, "the flood is over", "east", "del", key)
    finally:
        os.kill(pid, signal.SIGCONT)
    lab.wait("west knows what it was not told", lambda: lab.group("db", "west")["failover"]["after_seconds"] == 9)


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
    """etcd answers after seconds, forgets what a controller has not read, has no space left, under load: writes go on
    by grants, nobody is promoted, it is said, and with room again the store renews and roles change."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed = int(os.environ.get("CW_SEED", "23"))
    rng = random.Random(seed)
    with Lab(build, witness=WITNESS) as lab:
        configured(lab, "peer-grants")
        rounds = Rounds(lab)
        rounds.begin()
        late_answers(lab, rng, 2, lambda: goes_on(lab, rounds.w, "writes go on while nobody answers"))
        reads_anew(lab)
        fill(lab)
        lab.wait("east goes on by grants", lambda: covered(lab) == "grants")
        asker = Promotion(lab, "west", "west")
        goes_on_unmoved(lab, rounds)
        says(lab, "that the store does not renew", "goes on by grants", "goes on by what its peers grant")
        expect(rounds.w.error is None and not asker.is_done(), f"{rounds.w.error} {asker.process}")
        make_room(lab)
        code = asker.end()
        rounds.end()  # asked for all the time, it may have been promoted by now
        primary, other = rounds.begin()
        lab.wait("the store renews again", lambda: covered(lab, primary) == "store")
        lab.run("--site", WITNESS, "switchover", "db", "--site", other)
        expect(rounds.end() == other, "it was switched over")
        rounds.close()
        return (f"seed {seed}: {rounds.w.next_op} operations; asked while it was full: exit {code}; "
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
        asker = Promotion(lab, WITNESS, "west")
        late_answers(lab, rng, 2, lambda: None)
        code = asker.end()
        rounds.end()  # it was promoted, or refused with the cause
        primary, other = rounds.begin()
        lab.run("--site", WITNESS, "switchover", "db", "--site", other)
        expect(rounds.end() == other, "it was switched over")
        rounds.close()
        return (f"seed {seed}: {rounds.w.next_op} operations; asked with late answers: exit {code}; "
                f"{', '.join(rounds.epochs)}")


if __name__ == "__main__":
    flood(*sys.argv[1:])
