#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every way in which three sites can be cut: six directions of the control network and two of the data network, each
cut or not, 256 in all, under load, while every site asks for the other site's promotion. After each: never two that
answered, by both engines' own logs, every acknowledged write there, and all sites in sync again. Not part of
./run test: about 13 seconds each on a quiet machine.

cuts.py BUILD [--part I/N] [--seed S] [--ways 3,10-20] [--passed FILE] [--seconds T]

The ways of a seed's order, or some of them: each of N processes does a part, a way's number is told with it. FILE gets
the number of each that has passed, and those in it are left out: what was ended goes on where it was. After T seconds no
more are begun; the rest is said, and is no failure.
"""
import argparse
import os
import random
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from lab import Lab  # noqa: E402
from results import reason_of, summary  # noqa: E402
from witness import DIRECTIONS, WITNESS, Rounds, cut_round, of_data  # noqa: E402

DATA = [d for d in DIRECTIONS if WITNESS not in d]
WAYS = 1 << (len(DIRECTIONS) + len(DATA))


def way(number):
    """The directions that are cut, of control and of data."""
    assert set(DATA) == of_data(DIRECTIONS)
    bits = [bool(number >> i & 1) for i in range(len(DIRECTIONS) + len(DATA))]
    return ({d for d, is_cut in zip(DIRECTIONS, bits) if is_cut},
            {d for d, is_cut in zip(DATA, bits[len(DIRECTIONS):]) if is_cut})


def words(directions):
    return " ".join(f"{a}>{b}" for a, b in sorted(directions)) or "whole"


def numbers_of(text):
    """Of "3,10-20"."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    if not found <= set(range(WAYS)):
        raise ValueError(f"ways have numbers from 0 to {WAYS - 1}")
    return found


def chosen(part, seed, ways, passed):
    """What is gone through, in this order."""
    index, parts = map(int, part.split("/"))
    order = list(range(WAYS))
    random.Random(seed).shuffle(order)
    return [n for n in order[index - 1::parts] if n in ways and n not in passed]


def passed_before(path):
    if not path or not os.path.exists(path):
        return set()
    with open(path) as f:
        return {int(line) for line in f}


def go_through(build, numbers, results, path, end):
    """As many of them as one lab stands; takes away what it has begun, and adds what came of it. Stops where one failed."""
    with Lab(build, witness=WITNESS) as lab:
        rounds = Rounds(lab)
        while numbers and time.monotonic() < end:
            number = numbers.pop(0)
            control, data = way(number)
            began = time.monotonic()
            said = f"way {number:3d}: control {words(control)}; data {words(data)}"
            try:
                primary, now, codes, open_last = cut_round(lab, rounds, control, data)
            except Exception as error:
                print(f"FAILED {said}", flush=True)
                results.append((f"way {number}", reason_of(error)))
                raise
            print(f"passed {said}: {primary} to {now}, exits {codes}, last to answer while cut {open_last}, "
                  f"{rounds.w.next_op} operations, {time.monotonic() - began:.0f} s", flush=True)
            results.append((f"way {number}", None))
            if path:
                with open(path, "a") as f:
                    f.write(f"{number}\n")
        rounds.close(1)  # a way alone may leave the group where it is


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", type=numbers_of, default=f"0-{WAYS - 1}")
    parser.add_argument("--passed", metavar="FILE")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    numbers = chosen(options.part, options.seed, options.ways, passed_before(options.passed))
    results = []
    while numbers and time.monotonic() < end:
        known = len(results)
        try:
            go_through(options.build, numbers, results, options.passed, end)
        except Exception as error:  # the others are gone through in another lab
            traceback.print_exc()
            if all(reason is None for _, reason in results[known:]):  # no way of its own failed
                results.append(("the lab", reason_of(error)))
                break
    if numbers:
        print(f"{len(numbers)} ways not begun")
    print("\n".join(summary(results, "ways")))
    sys.exit(0 if all(reason is None for _, reason in results) else 1)


if __name__ == "__main__":
    main()
