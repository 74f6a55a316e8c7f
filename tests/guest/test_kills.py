#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest with a card that its kernel drives: causeway-nic is killed at every call that changes something, then reverts.

    test_kills.py BUILD MODEL SECONDS

A whole run under strace says which calls there are; then each is the last of a run that is killed as it enters it, by
strace's injection. First the syncs of the journal, of apply and of revert, then the others, as far as the seconds go.
"""
import re
import sys
import time

import models
import nics

from nic_command import Before, Command, write_wish

CALLS = ("write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,symlink,symlinkat,link,"
         "linkat,rmdir,mount,umount2,ftruncate,clone,clone3,vfork,wait4,sendto,sendmsg,ioctl,finit_module")
TRACE = "/run/trace"


def calls_of(text):
    """[(call, its number in its process, the line)] of a trace, in order: what the command's own process changes."""
    counts, found, first = {}, [], None
    for line in text.split("\n"):
        match = re.match(r"(\d+) +([a-z0-9]+)\(", line)
        if not match:
            continue
        process, call = match.groups()
        first = first or process
        counts[process, call] = counts.get((process, call), 0) + 1
        if process == first and not re.search(r"(write\([12]<|ioctl\([^,]*, (TCGETS|SIOCETHTOOL))", line):
            found.append((call, counts[process, call], line.split(maxsplit=1)[1]))
    return found


def trace(command, *arguments):
    code, said = command.run(*arguments, under=["strace", "-f", "-y", "-s", "64", "-o", TRACE, "-e", f"trace={CALLS}"])
    assert code == 0, said
    with open(TRACE, errors="replace") as file:
        return calls_of(file.read())


def kill(command, call, number, *arguments):
    """True: it was killed there."""
    code, _ = command.run(*arguments, under=["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", "signal=none",
                                             "-e", f"inject={call}:signal=SIGKILL:when={number}"])
    return code in (-9, 137)


class Kills:
    def __init__(self, command, nic):
        self.command, self.nic, self.failed, self.done = command, nic, [], 0
        self.wish = write_wish([nic])
        self.before = Before(command, [nic])

    def points(self):
        """[(verb, call, number, line)], syncs first. Leaves all as it was."""
        points = [("apply", *point) for point in trace(self.command, "apply", self.wish, "--yes")]
        points += [("revert", *point) for point in trace(self.command, "revert", "--yes")]
        self.before.check()
        return sorted(points, key=lambda point: "sync" not in point[1])

    def one(self, verb, call, number, line):
        arguments = ["apply", self.wish, "--yes"] if verb == "apply" else ["revert", "--yes"]
        if verb == "revert":
            self.command.must("apply", self.wish, "--yes")
        was_killed = kill(self.command, call, number, *arguments)
        code, said = self.command.run("revert", "--yes")
        result = "killed, reverted, as before" if was_killed else "not killed: it ended before"
        try:
            assert code == 0, f"revert: exit {code}: {said}"
            self.before.check()
        except AssertionError as error:
            result = f"FAILED: {error}"
            self.failed.append(f"{verb} killed at {call} {number}: {error}")
        self.done += 1
        print(f"{verb:6} {call} {number:<3} {line[:90]:90} {result}", flush=True)
        return not result.startswith("FAILED")


def main():
    build, model, seconds = sys.argv[1:]
    nic = nics.Nic(model, 1, 11)
    nics.far_end([nic.net])
    nic.configure()
    nic.ping()
    kills = Kills(Command(build), nic)
    points, began = kills.points(), time.monotonic()
    for point in points:
        if not kills.one(*point) and len(kills.failed) > 5 or time.monotonic() - began > float(seconds):
            break
    print(f"{kills.done} of {len(points)} points, {len(kills.failed)} failed", flush=True)
    for line in kills.failed:
        print(f"failed: {line}")
    sys.exit(1 if kills.failed else 0)


if __name__ == "__main__":
    main()
