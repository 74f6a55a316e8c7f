#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every way in which three sites can be cut: six directions of the control network and two of the data network, each
cut or not, 256 in all, under load, while every site asks for the other site's promotion. After each: never two that
answered, by both engines' own logs, every acknowledged write there, and all sites in sync again. Not part of
./run test: about 13 seconds each on a quiet machine.

cuts.py BUILD [--part I/N] [--seed S] [--way NUMBER]     each of N processes does a part; a way's number is told with it
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


def go_through(build, numbers, results):
    """As many of them as one lab stands; pops what it has done, and adds what came of it. Stops where one failed."""
    with Lab(build, witness=WITNESS) as lab:
        rounds = Rounds(lab)
        while numbers:
            number = numbers.pop()
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
        rounds.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--way", type=int)
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    numbers = list(range(WAYS))
    random.Random(options.seed).shuffle(numbers)
    numbers = numbers[part - 1::parts] if options.way is None else [options.way]
    results = []
    while numbers:
        known = len(results)
        try:
            go_through(options.build, numbers, results)
        except Exception as error:  # the others are gone through in another lab
            traceback.print_exc()
            if all(reason is None for _, reason in results[known:]):  # no way of its own failed
                results.append(("the lab", reason_of(error)))
                break
    print("\n".join(summary(results, "ways")))
    sys.exit(0 if all(reason is None for _, reason in results) else 1)


if __name__ == "__main__":
    main()
