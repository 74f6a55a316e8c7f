#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 at random moments under verifying load.

One lab with a group in each mode, two volumes a group, one writer a group. Each cycle kills something, lets the
survivors and the returned do what they promise, and checks every block:

    replica     the replica's site dies and returns: writers never notice, it rejoins by itself
    restart     the primary's site dies and returns: nothing acknowledged is lost (the page cache lived on)
    failover    the primary's site dies, the other is promoted: in sync and semi-sync nothing acknowledged is
                lost; in async the state is some prefix (--accept-loss)
    both        both die at once, and return in either order
"""
import argparse
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import load  # noqa: E402
from lab import Lab  # noqa: E402

MODES = ["sync", "semi-sync", "async"]
OTHER = {"east": "west", "west": "east"}


class Group:
    def __init__(self, lab, mode, seed):
        self.lab, self.mode, self.name = lab, mode, mode.replace("-", "")
        self.seed = seed
        lab.run("group", "create", self.name, "--mode", mode, "--primary", "east", "--replica", "west",
                "--journal-size", "96M")
        for v in ("a", "b"):
            lab.run("volume", "create", f"{self.name}/{v}", "--size", "16M")
        self.writer, self.end = load.Writer(seed), 0

    def uris(self, site):
        return [self.lab.uri(self.name, v, site) for v in ("a", "b")]

    def start(self, site):
        """A fresh thread goes on where the last one ended."""
        self.writer = self.writer.next(self.writer.rng.random(), self.end)
        self.writer.connect(self.uris(site)).start()

    def settled(self, site):
        want = "streaming" if self.mode == "async" else "in-sync"
        self.lab.wait_state(self.name, want, site=site)

    def rebase(self, site):
        """Nobody writes since the last check. What it found is there for good once both journals have it on disk."""
        head = self.lab.engine_group(site, self.name)["head"]
        if self.lab.engine_group(OTHER[site], self.name)["durable"] >= head:
            self.writer.rebase(self.end)

    def check(self, site, at_least):
        self.end = load.check(self.writer, self.uris(site), at_least)


class Test:
    def __init__(self, lab, seed):
        self.lab, self.rng = lab, random.Random(seed)
        self.groups = [Group(lab, m, self.rng.random()) for m in MODES]
        self.primary = "east"

    def load_for_a_while(self):
        for g in self.groups:
            g.settled(self.primary)
            g.rebase(self.primary)
            g.start(self.primary)
        time.sleep(self.rng.uniform(0.05, 0.6))

    def stop_load(self):
        for g in self.groups:
            g.writer.stop()
            g.writer.close()

    def replica(self):
        victim = OTHER[self.primary]
        self.lab.run("lab", "kill", victim)
        time.sleep(self.rng.uniform(0, 0.3))
        self.lab.run("lab", "start", victim)
        for g in self.groups:
            g.settled(self.primary)
            if g.writer.error:
                raise AssertionError(f"{g.name}: a writer noticed the death of a replica: {g.writer.error}")
        self.stop_load()
        for g in self.groups:
            g.check(self.primary, g.writer.acknowledged)

    def restart(self):
        self.lab.run("lab", "kill", self.primary)
        self.stop_load()
        self.lab.run("lab", "start", self.primary)
        for g in self.groups:
            g.check(self.primary, g.writer.acknowledged)

    def failover(self):
        dead, survivor = self.primary, OTHER[self.primary]
        self.lab.run("lab", "kill", dead)
        self.stop_load()
        for g in self.groups:
            self.lab.run("promote", g.name, "--site", survivor, *(["--accept-loss"] if g.mode == "async" else []))
            g.check(survivor, 0 if g.mode == "async" else g.writer.acknowledged)
        self.primary = survivor
        self.lab.run("lab", "start", dead)
        for g in self.groups:
            if g.mode == "async":
                self.return_of_async(g, dead)

    def return_of_async(self, g, dead):
        """In async the old primary may have applied what the new one never had: then it says diverged."""
        def state():
            return next((r["state"] for r in self.lab.group(g.name)["replicas"]
                         if r["site"] == dead and r["state"] in ("streaming", "in-sync", "diverged")), None)
        if self.lab.wait(f"{g.name}: {dead} back or diverged", state) == "diverged":
            self.lab.run("resync", g.name, "--site", dead)

    def both(self):
        order = self.rng.sample(["east", "west"], 2)
        for site in order:
            self.lab.run("lab", "kill", site)
        self.stop_load()
        for site in self.rng.sample(order, 2):
            self.lab.run("lab", "start", site)
            time.sleep(self.rng.uniform(0, 0.5))
        for g in self.groups:
            g.check(self.primary, g.writer.acknowledged)

    def cycle(self, what):
        self.load_for_a_while()
        getattr(self, what)()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--kills", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--link", default="memif")
    p.add_argument("--only", default="", help="one kind of cycle")
    a = p.parse_args()
    done, acknowledged = {}, 0
    with Lab(a.build, link=a.link) as lab:
        test = Test(lab, a.seed)
        weights = {"replica": 3, "restart": 3, "failover": 2, "both": 2}
        kills = 0
        while kills < a.kills:
            what = a.only or test.rng.choices(list(weights), list(weights.values()))[0]
            started = time.monotonic()
            try:
                test.cycle(what)
            except BaseException as e:
                print(f"FAILED in kill {kills}, {what}, seed {a.seed}: {e}", flush=True)
                raise
            kills += 2 if what == "both" else 1
            done[what] = done.get(what, 0) + 1
            print(f"{kills:4d} {what:9s} {time.monotonic() - started:5.1f} s  primary {test.primary}  "
                  + "  ".join(f"{g.name} {g.writer.acknowledged}" for g in test.groups), flush=True)
        acknowledged = sum(g.writer.acknowledged for g in test.groups)
    print(f"{kills} kills ({', '.join(f'{n} {w}' for w, n in sorted(done.items()))}), seed {a.seed}: "
          f"nothing lost; operations numbered up to {acknowledged} in all")


if __name__ == "__main__":
    main()
