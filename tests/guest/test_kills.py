#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest with a card that its kernel drives: causeway-nic is killed as it begins a change, then reverts; all has to be
as it was before.

    test_kills.py BUILD MODEL apply|revert [SECONDS]

A whole run of it, under killed_at, says which changes there are. Without SECONDS: one kill in each step of apply, or of
revert, half done, and one after each. With them: at every change there is, those first, as far as they go. In which step it
was, the log of each killed run tells: at the end none may be left out.
"""
import glob
import os
import re
import shutil
import sys
import time

import nics

from nic_command import Before, Command, write_wish

LOG = "/run/changes"
EVENT = re.compile(r'pwrite \S*/journal \{"(begin|done|applied|reverting|undone)":(\d*)'
                   r'(?:,"kind":"([^"]*)","subject":"([^"]*))?')
JOURNAL_LINE = re.compile(r'pwrite \S*/journal \{')  # as killed_at has it
MARKS = re.compile(r'\w+ (?:\S*/| )marks(?: |$)')  # beside the journal: of the machine they change nothing


def make_guest_cheaper():
    """What the command reads of this machine and does not change, cut to what is about these cards; no second of waiting for
    each address of IPv6; and a machine with systemd, which gets a unit."""
    for folder in glob.glob("/usr/lib/*/dpdk/pmds-*"):
        kept = [path for name in ("e1000", "vmxnet3", "virtio") for path in glob.glob(f"{folder}/librte_net_{name}.so.*.*")]
        os.makedirs("/run/plug-ins")
        for path in kept:
            shutil.copy(path, "/run/plug-ins")
        nics.sh("mount", "--bind", "/run/plug-ins", folder)
    with open("/usr/share/misc/pci.ids", errors="replace") as file:
        of_vendors = re.findall(r"^(?:8086|15ad|1af4) .*\n(?:\t.*\n)*", file.read(), re.MULTILINE)
    with open("/run/pci.ids", "w") as file:
        file.write("".join(of_vendors))
    nics.sh("mount", "--bind", "/run/pci.ids", "/usr/share/misc/pci.ids")
    for path in glob.glob("/proc/sys/net/ipv6/conf/*/accept_dad"):
        with open(path, "w") as file:
            file.write("0")
    os.makedirs("/run/systemd/system")


def places(changes, count):
    """For each change: where a kill is that comes as it begins: [(step, "in" or "after")]; none before the first step. Of a
    revert, whose journal does not say that a step begins, one that has not changed anything is not in it yet."""
    event, step, since, found = "", count, 0, []
    for change in changes:
        match = EVENT.match(change)
        here = []
        if MARKS.match(change):
            found.append(here)
            continue
        if event in ("done", "undone") and since == 0:
            here.append((step, "after"))
        if event == "begin":
            here.append((step, "in"))
        elif event in ("reverting", "undone") and step > 0 and (since > 0 or match):
            here.append((step - 1, "in"))
        found.append(here)
        since += 1
        if match:
            event, step, since = match[1], int(match[2] or step), 0
    return found


def choose(found):
    """Of the places of a whole run: for each step the middle change of those in it, and the one after it. {place: index}"""
    chosen = {}
    for place in sorted({place for here in found for place in here}):
        at = [i for i, here in enumerate(found) if place in here]
        chosen[place] = at[len(at) // 2]
    return chosen


def positions(changes):
    """For each change, how killed_at is told of it: the lines of the journal before it, and which one it is after those."""
    line, since, found = 0, 0, []
    for change in changes:
        since += 1
        found.append(f"{line}.{since}")
        if JOURNAL_LINE.match(change):
            line, since = line + 1, 0
    return found


class Kills:
    def __init__(self, build, model, verb):
        self.verb, self.command, self.tracer = verb, Command(build), os.path.join(build, "tests", "guest", "killed_at")
        self.nic = nics.Nic(model, 1, 11)
        nics.far_end([self.nic.net])
        self.nic.configure()
        self.nic.ping()
        wish = write_wish([self.nic])
        self.verbs = {"apply": ["apply", wish, "--yes"], "revert": ["revert", "--yes"]}
        self.before = Before(self.command, [self.nic])
        self.steps, self.failed, self.counts, self.killed = [], [], {}, 0

    def traced(self, verb, position):
        """Its exit code, and what it has changed."""
        code, said = self.command.run(*self.verbs[verb], under=[self.tracer, position, LOG])
        assert code in (0, 137), f"{verb}: exit {code}: {said}"
        with open(LOG, errors="replace") as file:
            return code, file.read().splitlines()

    def points(self):
        """Positions of changes: one in and one after each step; and all others."""
        changes = {verb: self.traced(verb, "0.0")[1] for verb in self.verbs}
        self.before.check()
        begun = [match for match in map(EVENT.match, changes["apply"]) if match and match[1] == "begin"]
        self.steps = [f"{match[3]} {match[4]}" for match in begun]
        found = places(changes[self.verb], len(self.steps))
        self.counts = {(step, where): [0, 0] for step in range(len(self.steps)) for where in ("in", "after")}
        first = set(choose(found).values())
        at = positions(changes[self.verb])
        return [at[i] for i in sorted(first)], [at[i] for i in range(len(found))
                                                 if i not in first and not MARKS.match(changes[self.verb][i])]

    def one(self, position):
        if self.verb == "revert":
            self.command.must(*self.verbs["apply"])
        code, changes = self.traced(self.verb, position)
        self.killed += code != 0
        result = "killed, reverted, as before" if code else "not killed: it ended before"
        is_good = True
        try:
            self.command.must(*self.verbs["revert"])
            self.before.check()
        except AssertionError as error:
            is_good, result = False, f"FAILED: {error}"
            self.failed.append(f"{self.verb} killed at {position} ({changes[-1]}): {error}")
        for place in places(changes, len(self.steps))[-1] if code else []:
            self.counts[place][not is_good] += 1
        print(f"{self.verb:6} {position:<5} {changes[-1][:110]:110} {result}", flush=True)

    def tell(self):
        """A line for each step; a step that was left out is a failure."""
        for i, step in enumerate(self.steps):
            inside, after = self.counts[i, "in"], self.counts[i, "after"]
            print(f"{self.verb:6} step {i + 1} {step:84} in it {inside[0]} restored, {inside[1]} not; "
                  f"after it {after[0]} restored, {after[1]} not")
        self.failed += [f"{self.verb} was never killed {where} step {step + 1}"
                        for (step, where), count in self.counts.items() if sum(count) == 0]


def main():
    build, model, verb, *seconds = sys.argv[1:]
    make_guest_cheaper()
    kills = Kills(build, model, verb)
    first, rest = kills.points()
    began, done = time.monotonic(), 0
    for position in first + (rest if seconds else []):
        if len(kills.failed) > 5 or (done >= len(first) and time.monotonic() - began > float(seconds[0])):
            break
        kills.one(position)
        done += 1
    kills.tell()
    print(f"{model}: {verb} killed at {kills.killed} of {len(first) + len(rest)} changes in {time.monotonic() - began:.0f} s, "
          f"{len(kills.failed)} failed", flush=True)
    for line in kills.failed:
        print(f"failed: {line}")
    sys.exit(1 if kills.failed else 0)


if __name__ == "__main__":
    main()
