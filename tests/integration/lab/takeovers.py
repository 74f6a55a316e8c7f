#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Three sites with data fail over by themselves: who takes over, one of them alone, though its controller is killed in
the middle of it, or the primary comes back at the last moment. Imported by lab_test.py; by hand, with other seeds:

    takeovers.py BUILD [ROUNDS [SEED]]
"""
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from hostile import goes_on  # noqa: E402
from lab import Lab, expect, has_etcd  # noqa: E402
from store_loss import by_its_socket  # noqa: E402
from witness import Rounds, killed, one_writer, primary_of, stopped  # noqa: E402

SITES = ("east", "west", "south")
MEMBER = """name: {site}
data-dir: "{storage}/{site}/etcd"
listen-client-urls: {client}
advertise-client-urls: {client}
listen-peer-urls: {peer}
initial-advertise-peer-urls: {peer}
initial-cluster: {cluster}
initial-cluster-state: new
enable-grpc-gateway: true
logger: zap
log-outputs: [stderr]
"""


class ThreeSites(Lab):
    """Each with data, a controller, and a member of etcd; lab up itself makes a witness of the third one."""

    def __init__(self, build):
        super().__init__(build, sites=",".join(SITES), extra=("--tls",))
        self.members = {}

    def __enter__(self):
        super().__enter__()
        try:
            self.to_etcd()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            super().__exit__(kind, value, trace)
        finally:
            for p in self.members.values():
                p.kill()
                p.wait()

    def address(self, site, which):
        """Below the ports that the kernel gives to anybody, and of this lab."""
        first = 10000 + int(self.settings()["tag"], 16) % 2000 * 10
        return f"127.0.0.1:{first + 3 * SITES.index(site) + ('client', 'peer', 'control').index(which)}"

    def to_etcd(self):
        """What lab up made is of one machine's store: its controllers get etcd in its place, and links."""
        cluster = ",".join(f"{s}=http://{self.address(s, 'peer')}" for s in SITES)
        for site in SITES:
            self.run("lab", "kill", site)
            with open(f"{self.dir}/lab/{site}/etcd.yaml", "w") as f:
                f.write(MEMBER.format(site=site, storage=self.settings()["storage_root"], cluster=cluster,
                                      client="http://" + self.address(site, "client"),
                                      peer="http://" + self.address(site, "peer")))
            self.configure(site)
            self.start_member(site)
        for site in SITES:
            self.run("lab", "start", site)

    def configure(self, site):
        path = f"{self.dir}/lab/{site}/node.yaml"
        with open(path) as f:
            lines = f.read().splitlines()
        for i, line in enumerate(lines):
            for s in SITES:
                if line.startswith(f"  - {{name: {s},"):
                    lines[i] = line.replace("}", f', control: "{self.address(s, "control")}"}}')
            if line.startswith("store:"):
                own_first = (site, *(s for s in SITES if s != site))
                lines[i] = "\n".join(("etcd:", "  prefix: /causeway/lab", "  endpoints:",
                                      *(f'    - "http://{self.address(s, "client")}"' for s in own_first),
                                      f'control_address: "{self.address(site, "control")}"'))
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")

    def start_member(self, site):
        with open(f"{self.dir}/lab/{site}/etcd.log", "a") as log:
            self.members[site] = subprocess.Popen(["etcd", "--config-file", f"{self.dir}/lab/{site}/etcd.yaml"],
                                                  stdout=log, stderr=log, start_new_session=True)

    def burn(self, site):
        self.members[site].kill()
        self.members[site].wait()
        self.run("lab", "kill", site)

    def rebuild(self, site):
        self.start_member(site)
        self.run("lab", "start", site)


class WithKeys(ThreeSites):
    """And with operators' keys for break-glass."""

    def to_etcd(self):
        self.lines = [self.run("break-glass", "key", n, "--directory", self.dir).strip() for n in ("alice", "bob")]
        super().to_etcd()

    def configure(self, site):
        super().configure(site)
        with open(f"{self.dir}/lab/{site}/node.yaml", "a") as f:
            f.write("break_glass:\n  threshold: 2\n  cluster: prod\n  keys:\n" + "".join(f'    - "{x}"\n' for x in self.lines))

    def tokens(self, site):
        """Good ones, as soon as nothing speaks against a promotion there."""
        def ask():
            said = self.try_run("promote", "db", "--site", site, "--break-glass").stderr
            return re.search(r"causeway-break-glass-1:\S+", said)
        request = self.wait(f"a request of {site}", ask).group(0)
        return ",".join(self.run("break-glass", "sign", request, "--key", f"{self.dir}/{n}.key").strip()
                        for n in ("alice", "bob"))


def test_break_glass_two_at_once(build):
    """Operators of two sites that hear each other promote both by good tokens at the same moment: one of them is primary,
    and the other is told why not, and follows."""
    if not has_etcd():
        return "SKIP: no etcd"
    with WithKeys(build) as lab:
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west,south",
                "--journal-size", "64M")
        lab.run("volume", "create", "db/a", "--size", "16M")
        for site in ("west", "south"):
            lab.wait_state("db", "in-sync", site)
        for member in lab.members.values():
            member.kill()
            member.wait()
        lab.run("lab", "kill", "east")
        tokens = {site: lab.tokens(site) for site in ("west", "south")}
        asked = {site: subprocess.Popen([lab.cli, "promote", "db", "--site", site, "--break-glass", tokens[site]],
                                        env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                 for site in tokens}
        said = {site: (p.communicate(timeout=120)[0], p.returncode) for site, p in asked.items()}
        expect(sorted(code for _, code in said.values()) == [0, 3], f"{said}")
        taker, other = sorted(said, key=lambda site: said[site][1])
        expect("two would be primary" in said[other][0] or "is heard here" in said[other][0], f"{said}")
        lab.wait(f"{other} follows", lambda: lab.engine_group(other, "db")["primary"] == taker)
        expect(lab.engine_group(taker, "db")["role"] == "primary", "one primary")
        return f"{taker}"


# ---------------------------------------------------------------- rounds of trouble

def begin(lab, rounds):
    """The primary, and who would take over, the first one first: each says that it would, were it asked now."""
    primary, _ = rounds.begin()
    lab.run("group", "set", "db", "failover=automatic")
    others = [s for s in SITES if s != primary]
    for site in others:
        lab.wait(f"{site} is ready", lambda s=site: lab.group("db", s)["failover"]["answer"] == "ready")
    return primary, others


def taken_over(lab, before, by=None):
    """By one site alone, as all say that are there; the others follow it."""
    there = [s for s in SITES if s != before and "causeway-engine" in lab.pids(s)]
    now = lab.wait("a site has taken over", lambda: next(
        (s for s in there if all(lab.group("db", x)["primary"] == s for x in there)), None))
    expect(by in (None, now), f"{now} took over, and {by} was to")
    for site in there:
        if site != now:
            lab.wait(f"{site} follows {now}", lambda s=site: lab.is_so_now("db", s, "in-sync"))
    one_writer(lab, there)
    return now


def burns_for_the_second(lab, rounds, rng):
    """The first of those that are left was cut off, and lacks what was written since: it is no member of the set, and
    the other one takes over."""
    primary, (first, second) = begin(lab, rounds)
    lab.run("lab", "cut", primary, first)
    goes_on(lab, rounds.w, "writes go on without it")
    lab.burn(primary)
    now = taken_over(lab, primary, second)
    lab.run("lab", "heal")
    lab.rebuild(primary)
    return f"{primary} burned, {first} was out of the set: {now}"


def burns(lab, rounds, rng):
    """Both could: the first one does."""
    primary, (first, _) = begin(lab, rounds)
    epoch = lab.group("db", first)["epoch"]
    lab.burn(primary)
    now = taken_over(lab, primary, first)
    expect(lab.group("db", first)["epoch"] == epoch + 1, "one reign more, and not two")
    lab.rebuild(primary)
    return f"{primary} burned: {now}"


def taker_is_killed(lab, rounds, rng):
    """Its controller, at some moment of the wait, or when its engine has begun to open; it is started again, some time
    later or at once."""
    primary, (first, _) = begin(lab, rounds)
    is_opening, later = rng.random() < 0.7, rng.choice((0, rng.uniform(0, 3)))
    lab.burn(primary)
    if is_opening:
        end = time.monotonic() + 60
        while by_its_socket(lab, first)["role"] == "replica" and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(rng.choice((0, rng.uniform(0, 0.3))))
    else:
        time.sleep(rng.uniform(2, 7))
    killed(lab, first, "causeway-control")
    role = by_its_socket(lab, first)["role"]
    time.sleep(later)
    lab.run("lab", "start", first)
    now = taken_over(lab, primary)
    lab.rebuild(primary)
    return f"{primary} burned, the controller of {first} ({role}) was killed, and back {later:.1f} s later: {now}"


def comes_back(lab, rounds, rng):
    """Its engine and its controller stand still for about as long as the others wait."""
    primary, _ = begin(lab, rounds)
    away = rng.uniform(4.5, 6.5)
    pids = [stopped(lab, primary, name) for name in ("causeway-engine", "causeway-control")]
    time.sleep(away)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    now = primary_of(lab)
    return f"{primary} was away for {away:.1f} s: {now}"


ROUNDS = (burns_for_the_second, burns, taker_is_killed, comes_back)


def go_through(build, rounds_of, seed, tell=lambda words: None):
    rng, told = random.Random(seed), []
    with ThreeSites(build) as lab:
        rounds = Rounds(lab)
        for round_of in rounds_of(rng):
            told.append(round_of(lab, rounds, rng))
            rounds.end()
            tell(told[-1])
        rounds.close()
        return f"seed {seed}: {'; '.join(told)}; {rounds.w.next_op} operations, {', '.join(rounds.epochs)}"


def test_takeovers(build):
    """Of two sites that are left the one in the set takes over, alone, and the other one follows; then the taker's
    controller is killed in the middle of it; then a primary comes back at the last moment. Nothing acknowledged is
    lost, never two that answer. CW_SEED: other moments."""
    if not has_etcd():
        return "SKIP: no etcd"
    return go_through(build, lambda rng: (burns_for_the_second, taker_is_killed, comes_back),
                      int(os.environ.get("CW_SEED", "3")))


if __name__ == "__main__":
    COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    print(go_through(sys.argv[1], lambda rng: (rng.choice(ROUNDS) for _ in range(COUNT)), SEED,
                     lambda words: print(words, flush=True)))
