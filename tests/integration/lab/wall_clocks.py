# SPDX-License-Identifier: BSD-3-Clause
"""Wall clocks that jump by hours while roles change. Imported by lab_test.py.

One kernel has one wall clock, so that of each site is what its engine and its controller are told by a library that is
loaded before them (engine/wall_clock.c): as many hours ahead of the machine's or behind it as a file of that site says.
Members of etcd, which is a program of Go and asks nobody, keep the machine's. Certificates are of a day and made two
hours ago, so that none ends by a jump.
"""
import os
import random
import struct
import threading

from hostile import goes_on
from lab import Lab, expect, has_etcd
from witness import WITNESS, Rounds, around, cut_round, engine_stands_still, of_data

HOUR = 3600.0
SITES = ("east", "west", WITNESS)
WRAPPER = """#!/bin/sh
site=${{2%/*}}
exec env LD_PRELOAD={library} CW_WALL_CLOCK={clocks}/${{site##*/}} {program} "$@"
"""


class JumpingLab(Lab):
    """A lab with a witness; from start() on the clocks of its sites jump, each again and again."""

    def __init__(self, build, seed):
        super().__init__(build, witness=WITNESS)
        self.rng, self.jumps, self.stopping = random.Random(seed), 0, threading.Event()
        self.clocks = self.dir + "/clocks"
        os.mkdir(self.clocks)
        self.library = os.path.join(self.build, "tests", "integration", "libcw_wall_clock.so")
        expect(os.path.exists(self.library), f"{self.library} is not built")
        for variable, program in (("CAUSEWAY_ENGINE", "dataplane/engine/causeway-engine"),
                                  ("CAUSEWAY_CONTROL", "control/causeway-control")):
            self.env[variable] = self.wrap(os.path.join(self.build, program))
        self.env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"

    def wrap(self, program):
        wrapper = os.path.join(self.clocks, os.path.basename(program))
        with open(wrapper, "w") as f:
            f.write(WRAPPER.format(library=self.library, clocks=self.clocks, program=program))
        os.chmod(wrapper, 0o755)
        return wrapper

    def set_ahead(self, site, seconds):
        path = f"{self.clocks}/{site}"
        with open(path, "r+b" if os.path.exists(path) else "wb") as f:
            f.write(struct.pack("<q", int(seconds * 1e9)))

    def __enter__(self):
        """Certificates begin by the clock of who makes them."""
        for site in SITES:
            self.set_ahead(site, 0)
        self.set_ahead("maker", -2 * HOUR)
        before, self.env = self.env, dict(self.env, LD_PRELOAD=self.library, CW_WALL_CLOCK=self.clocks + "/maker")
        super().__enter__()
        self.env = before
        return self

    def __exit__(self, kind, value, trace):
        self.stopping.set()
        super().__exit__(kind, value, trace)

    def start(self):
        threading.Thread(target=self.jump, daemon=True).start()

    def jump(self):
        # each jump costs a second without sessions: all sites are in sync at a time only when it is quiet for a while
        while not self.stopping.wait(6 if self.jumps % 10 == 9 else self.rng.uniform(0.2, 2.5)):
            self.set_ahead(self.rng.choice(SITES), self.rng.uniform(-HOUR, HOUR))
            self.jumps += 1


def test_wall_clocks_jump(build):
    """Engines and controllers, a site by up to an hour forth and back, once in a second or two: writes go on, roles
    change by hand, while the primary is cut off, and while its engine stands still; never two that answer, nothing
    acknowledged is lost."""
    if not has_etcd():
        return "SKIP: no etcd"
    seed = int(os.environ.get("CW_SEED", "17"))
    with JumpingLab(build, seed) as lab:
        rounds = Rounds(lab)
        lab.start()
        _, other = rounds.begin()
        lab.wait("clocks have jumped", lambda: lab.jumps > 5)
        goes_on(lab, rounds.w, "writes go on whatever the time is")
        lab.wait("a switchover", lambda: lab.run("--site", WITNESS, "switchover", "db", "--site", other) or True)
        expect(rounds.end() == other, "it was switched over")
        if lab.can_cut_control():  # it answers as long as it may, and meanwhile the other one is asked to take over
            cut_round(lab, rounds, around(other), of_data(around(other)))
        primary, other = rounds.begin()
        engine_stands_still(lab, rounds, primary, other)
        expect(rounds.end() == other, "it was promoted")
        rounds.close()
        return f"seed {seed}: {lab.jumps} jumps; {', '.join(rounds.epochs)}"
