#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Settings of a group that two people change at a time, each at another site, over a real etcd and engines that only talk
(fake_engine.py): nobody's change is lost, and a group that is being deleted stays so.

test_settings.py CAUSEWAY CONTROL
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import ENGINE, play  # noqa: E402
from test_late_store import Late  # noqa: E402

ROUNDS = 15


def begin(late):
    late.start_etcd()
    for site in ("east", "west"):
        late.start("engine-" + site, ENGINE, "--config", f"{late.top}/{site}/node.yaml")
        late.start_controller(site)
    for site in ("east", "west"):
        late.wait("it begins", lambda: late.status(site)["store_answers"])
    late.wait("all are known", lambda: len(late.status("east").get("sites", [])) == 2)
    late.run("east", "group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size",
             "16M")


def both(late, *commands):
    """At the same time, one at each site; their exit codes."""
    asked = [subprocess.Popen([late.cli, "--socket", f"{late.top}/{site}/control.sock", *words], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) for site, words in zip(("east", "west"), commands)]
    return [p.wait(timeout=60) for p in asked]


def settings(late, site):
    """The last ones that the site has put down."""
    words = [line.split("settings: ")[1] for line in late.run(site, "events").splitlines() if "settings: " in line]
    return dict(pair.split("=") for pair in words[-1].split())


def nothing_is_lost(late):
    for i in range(ROUNDS):
        wanted = {"after": f"{2000 + i}ms", "replica_timeout": f"{3000 + i}ms"}
        codes = both(late, *[("group", "set", "db", f"{key}={value}") for key, value in wanted.items()])
        assert codes == [0, 0], codes
        late.run("east", "group", "set", "db", "home=east")
        now = settings(late, "east")
        assert {key: now[key] for key in wanted} == wanted, (i, wanted, now)


STEPS = (begin, nothing_is_lost)

if __name__ == "__main__":
    if not shutil.which("etcd"):
        print("skipped: no etcd here")
        sys.exit(77)
    play(Late, STEPS)
