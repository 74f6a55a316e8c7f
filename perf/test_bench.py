#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""That the benchmarks of transport and control run (a minute or two), and that the names which others rely on are there, with
limit and ratio where there is a limit. No figure is looked at: one short round each says nothing about speed.
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = "transport/wan/1gbit-80ms/loss-1"

LIMITED = {"transport/bulk/mtu1500", "transport/bulk/mtu9000", "transport/pingpong/4k", "transport/pingpong/4k/p99",
           "transport/pingpong/4k/fec", "transport/pingpong/4k/fec/p99",
           f"{LINE}/goodput", f"{LINE}/goodput/plain", f"{LINE}/goodput/fixed", f"{LINE}/goodput/fixed/plain",
           f"{LINE}/latency-p99", f"{LINE}/latency-p99/fec", f"{LINE}/latency-p99/resend",
           f"{LINE}/latency-p99-ordered/fec", f"{LINE}/latency-p99-ordered/resend",
           "transport/paths2/aggregate", "transport/paths2/kill-one/stall"}
TCP = {f"{LINE}/{name}tcp-{kind}" for name in ("", "goodput/") for kind in ("cubic", "bbr")}
BARE = {"transport/rekey/256mib/cost", "transport/rekey/256mib/gap", "transport/rekey/256mib/renewals",
        "transport/flood/live-rate", "transport/flood/core-share", "transport/flood/unseen",
        "transport/paths2/alone/0", "transport/paths2/alone/1", "transport/paths2/kill-one/before"}
CONTROL = {f"control/scale/100x10/{name}"
           for name in ("cpu", "pss", "rss", "etcd/sent", "etcd/received", "etcd/traffic-per-group", "etcd/requests", "etcd/cpu",
                        "etcd/growth", "status", "status-json", "status-json/size", "status-json/cpu", "start")}
ASKED_FOR = ["control/scale", "transport/bulk", "transport/pingpong", "transport/rekey", "transport/flood", LINE, "transport/paths2"]


def main():
    with tempfile.TemporaryDirectory(prefix="cw-bench-") as folder:
        p = subprocess.run(["/usr/bin/python3", f"{HERE}/bench.py", "--quick", "--json", f"{folder}/out.json", *ASKED_FOR],
                           capture_output=True, text=True, timeout=540)
        print(p.stdout, p.stderr)
        with open(f"{folder}/out.json") as f:
            rows = {r["name"]: r for r in json.load(f)["results"]}
    for kind in ("cubic", "bbr"):
        if f"no kernel TCP with {kind}" in p.stderr + p.stdout:
            print(f"SKIP: no kernel TCP with {kind} on this machine")
            TCP.difference_update({name for name in TCP if name.endswith(kind)})
    missing = (LIMITED | TCP | BARE | CONTROL) - set(rows)
    without = [name for name in LIMITED | TCP if name in rows and not {"limit", "limit_name", "ratio"} <= set(rows[name])]
    for words, names in (("is not measured", missing), ("has no limit", without)):
        for name in sorted(names):
            print(f"{name} {words}")
    return 1 if missing or without or p.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
