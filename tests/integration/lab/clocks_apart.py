# SPDX-License-Identifier: BSD-3-Clause
"""Sites whose monotonic clocks are not one, as on machines of their own. Imported by lab_test.py.

The engine and the controller of west run in a time namespace, a day and more ahead of the machine's clock, with a boot
id of their own over the machine's.
"""
import json
import os
import subprocess
import time

import load
from hostile import goes_on
from lab import Lab, expect, group, may_make_namespaces
from moves import other, places_of

AHEAD_S = 100000
BOOT_ID = "/proc/sys/kernel/random/boot_id"
WRAPPER = """#!/bin/sh
case $2 in
*/west/*) exec unshare --mount --time --fork --kill-child --monotonic {ahead} sh -c \
    'mount --bind {boot} {boot_id} && exec "$0" "$@"' {program} "$@" ;;
esac
exec {program} "$@"
"""


class ApartLab(Lab):
    def __init__(self, build, **options):
        super().__init__(build, **options)
        boot = self.dir + "/boot_id"
        with open(boot, "w") as f:
            f.write("2f4a7e2c-90b1-4a55-8f10-0c5d3c1e7a21\n")
        for variable, program in (("CAUSEWAY_ENGINE", "dataplane/engine/causeway-engine"),
                                  ("CAUSEWAY_CONTROL", "control/causeway-control")):
            self.env[variable] = wrapper = f"{self.dir}/{os.path.basename(program)}"
            with open(wrapper, "w") as f:
                f.write(WRAPPER.format(ahead=AHEAD_S, boot=boot, boot_id=BOOT_ID,
                                       program=os.path.join(self.build, program)))
            os.chmod(wrapper, 0o755)

    def ahead_ns(self, site):
        return AHEAD_S * 10 ** 9 if site == "west" else 0


def can_part_clocks():
    p = subprocess.run(["unshare", "--mount", "--time", "--fork", "--monotonic", "5", "mount", "--bind", "/dev/null", BOOT_ID],
                       capture_output=True)
    return p.returncode == 0


class Steady(load.Patient):
    """Writes no faster than a replica that is far away catches up: four batches of the journal a round trip."""

    def choose(self):
        time.sleep(0.015)
        return super().choose()


def true_pause_ms(lab, old, new):
    """From when the old one held requests until the new one took them, on one clock: the test knows how both stand."""
    held = lab.engine_group(old, "db")["turn"]["held_ns"] - lab.ahead_ns(old)
    return (lab.engine_group(new, "db")["turn"]["opened_ns"] - lab.ahead_ns(new) - held) / 1e6


def move(lab, new):
    """What is said of the pause is an upper bound, its parts are all of it, and it is no more than the command took."""
    old, began = other(new), time.monotonic()
    told = json.loads(lab.run("switchover", "db", "--site", new, "--json"))["pause"]
    took_ms, true_ms = (time.monotonic() - began) * 1e3, true_pause_ms(lab, old, new)
    parts = sum(told[k] for k in ("drain_ms", "fence_ms", "hand_over_ms", "open_ms"))
    expect(not told["exact"] and 0 < true_ms <= told["pause_ms"] <= took_ms, f"{true_ms:.1f} {told} {took_ms:.1f}")
    expect(parts >= told["pause_ms"] - 0.1, f"{told}")
    lab.wait("the event says that it is a bound", lambda: any(
        f"switchover from {old} to {new}" in line and "at most" in line for line in lab.run("events").splitlines()))
    lab.wait_state("db", "in-sync", old)
    return true_ms, told["pause_ms"]


def test_moves_far_apart(build):
    """Switchovers over a way of 40 ms, between machines whose clocks are not one, under a verifying load that reconnects:
    nothing is lost, and the pause that is told is an upper bound of the true one. CW_CYCLES: so many, an even number."""
    if not may_make_namespaces() or not can_part_clocks():
        return "SKIP: no right to make network and time namespaces"
    with ApartLab(build, link="veth", extra=("--wan", "rtt=40ms")) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = Steady(81, places_of(lab, "db", "a"))
        w.start()
        pauses = []
        for turn in range(int(os.environ.get("CW_CYCLES", "4"))):
            goes_on(lab, w, "writes")
            pauses.append(move(lab, "west" if turn % 2 == 0 else "east"))
            if turn % 5 == 4:
                w.rebase(w.acknowledged - 1)
        goes_on(lab, w, "writes")
        w.stop()
        expect(w.error is None, f"the client never saw an I/O error: {w.error}")
        load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
        true, told = (sorted(x) for x in zip(*pauses))
        return f"{w.acknowledged} operations; the longest of {len(pauses)} pauses {true[-1]:.0f} ms, told {told[-1]:.0f}"
