#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long nobody can write while a group moves: switchovers and failbacks in turn, under a verifying load that
reconnects. Prints the distribution of the pause and its parts as the engines tell it, and of what a client sees (its last
answer at the old primary to the first at the new one); fails where something was lost or a client saw an I/O error.

moves.py BUILD [--moves 100] [--witness] [--link memif|veth] [--wan SPEC] [--mode sync] [--json FILE]
"""
import argparse
import json
import os
import sys
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import load  # noqa: E402
from lab import Lab, group  # noqa: E402
from results import failures, reason_of  # noqa: E402

PARTS = ("pause_ms", "drain_ms", "fence_ms", "hand_over_ms", "open_ms")


def quantile(values, q):
    """The smallest value that at least this share of all does not exceed."""
    values = sorted(values)
    return values[max(0, -int(-q * len(values) // 1) - 1)]


def row(name, values):
    return {"name": name, "count": len(values), "p50": quantile(values, 0.5), "p99": quantile(values, 0.99),
            "max": max(values)}


def run(args):
    extra = ["--wan", args.wan] if args.wan else []
    told, seconds = [], []
    with Lab(args.build, link=args.link, extra=extra, witness="central" if args.witness else None) as lab:
        group(lab, "db", args.mode, volumes=(("a", "16M"), ("b", "16M")))
        uris = [lab.uri("db", v, "east") for v in ("a", "b")]
        w = load.Patient(71, [uris, [u.replace("/east/", "/west/") for u in uris]])
        w.start()
        for i in range(args.moves):
            lab.wait("writes", lambda a=w.acknowledged: w.acknowledged > a + 5)
            began = time.monotonic()
            move = ("switchover", "db", "--site", "west") if i % 2 == 0 else ("failback", "db")
            told.append(json.loads(lab.run(*move, "--json"))["pause"])
            seconds.append((time.monotonic() - began) * 1e3)
            lab.wait_state("db", "streaming" if args.mode in ("async", "network-sync") else "in-sync",
                           "east" if i % 2 == 0 else "west")
            if i % 10 == 9:
                w.rebase(w.acknowledged - 1)
        lab.wait("writes", lambda a=w.acknowledged: w.acknowledged > a + 5)
        w.stop()
        if w.error:
            raise RuntimeError(f"the client saw an I/O error: {w.error}")
        load.check(w, [lab.uri("db", v, "west" if args.moves % 2 else "east") for v in ("a", "b")], w.acknowledged)
        rows = [row(part[:-3], [t[part] for t in told]) for part in PARTS]
        rows += [row("seen by the client", [g * 1e3 for g in w.gaps]), row("the command", seconds)]
        return rows, w.acknowledged


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--witness", action="store_true")
    parser.add_argument("--link", default="memif")
    parser.add_argument("--wan")
    parser.add_argument("--mode", default="sync")
    parser.add_argument("--json")
    args = parser.parse_args()
    try:
        rows, operations = run(args)
    except BaseException as e:  # the lab is down; who sees only the tail of a log knows why
        print("\n".join(failures([("moves", reason_of(e))])), flush=True)
        raise
    print(f"{args.moves} moves, {args.mode}, {args.link}{', ' + args.wan if args.wan else ''}, store: "
          f"{'etcd, three members' if args.witness else 'embedded'}; {operations} operations, nothing lost, no I/O error")
    print(f"{'ms':20s} {'count':>6s} {'p50':>8s} {'p99':>8s} {'max':>8s}")
    for r in rows:
        print(f"{r['name']:20s} {r['count']:6d} {r['p50']:8.1f} {r['p99']:8.1f} {r['max']:8.1f}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"moves": args.moves, "mode": args.mode, "link": args.link, "wan": args.wan,
                       "store": "etcd" if args.witness else "embedded", "unit": "ms", "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()
