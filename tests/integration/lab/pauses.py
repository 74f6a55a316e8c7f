# SPDX-License-Identifier: BSD-3-Clause
"""Engines that stand still under load. Imported by lab_test.py."""
import os
import signal
import time

import load
from hostile import goes_on
from lab import Lab, expect, group

PAUSES = (1.2, 0.3, 1.5, 2.0, 0.05, 1.1, 2.5, 1.3)  # shorter than the lease


def stand_still(pid, seconds):
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def test_paused_engines(build):
    """Each engine in turn stands still for some seconds, wherever it is in its turn, under load in each mode: it goes on
    as the same process, no writer notices, and everything is there."""
    with Lab(build) as lab:
        modes = ("sync", "semi-sync", "async", "network-sync")
        for mode in modes:
            group(lab, mode[:2], mode, (("v", "8M"),))
        writers = [load.Writer(90 + n).connect([lab.uri(mode[:2], "v", "east")]) for n, mode in enumerate(modes)]
        for w in writers:
            w.start()
        pids = {site: lab.pids(site)["causeway-engine"] for site in ("east", "west")}
        for pause in PAUSES:
            for site in ("east", "west"):
                for w in writers:
                    goes_on(lab, w, f"writes go on after pauses, before {pause} s at {site}")
                stand_still(pids[site], pause)
        for mode, w in zip(modes, writers):
            goes_on(lab, w, f"writes go on in {mode}")
            w.stop()
            expect(w.error is None, f"the writer in {mode} never noticed: {w.error}")
            load.check(w, [lab.uri(mode[:2], "v", "east")], w.acknowledged)
        expect({site: lab.pids(site)["causeway-engine"] for site in pids} == pids, "the same processes are there")
        return f"{2 * len(PAUSES)} pauses, {sum(w.acknowledged for w in writers)} operations"


def told(lab, site):
    g = lab.group("db", site)
    east = next(s for s in lab.status(site)["sites"] if s["name"] == "east")
    return g, east


def says_down(lab, site, seconds):
    """Down, and what is shown is said to be as old as it is."""
    g, east = told(lab, site)
    return g["health"] == "down" and not east["alive"] and east["last_seen_seconds"] >= seconds \
        and g["as_of_seconds"] >= seconds


def test_engine_hangs_while_controllers_live(build):
    """The primary's engine stands still, then is gone, its controller lives: no site says protected, and what it said
    last is shown with its true age."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("v", "8M"),))
        engine = lab.pids("east")["causeway-engine"]
        os.kill(engine, signal.SIGSTOP)
        for site in ("east", "west"):
            lab.wait(f"{site} says that east is not heard", lambda s=site: says_down(lab, s, 6))
            expect(lab.try_run("--site", site, "status", "--check").returncode == 1, f"{site}: a check that is good")
        os.kill(engine, signal.SIGCONT)
        for site in ("east", "west"):
            lab.wait_health("db", "protected", site=site)
        os.kill(engine, signal.SIGKILL)
        for site in ("east", "west"):
            lab.wait(f"{site} says how old it is", lambda s=site: says_down(lab, s, 4))
        return f"as of {told(lab, 'west')[0]['as_of_seconds']:.1f} s ago"
