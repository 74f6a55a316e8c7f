#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rows in a real etcd that another hand has overwritten, over engines that only talk: told by their key, the group's
authority does not move, others go on, a controller that starts goes on too, and what was there can be put back.

test_rows.py CAUSEWAY CONTROL
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import only_with_etcd, play  # noqa: E402
from test_automatic import start  # noqa: E402
from test_late_store import Late  # noqa: E402

BAD = "/late/authority/0000000001"


def etcdctl(late, *args):
    p = subprocess.run(["etcdctl", "--endpoints", f"http://127.0.0.1:{late.port}", *args], env=dict(os.environ, ETCDCTL_API="3"),
                       capture_output=True, text=True, timeout=30)
    assert p.returncode == 0, p
    return p.stdout


def make(late):
    late.start_etcd()
    for site in ("east", "west"):
        start(late, site)
    for site in ("east", "west"):
        late.wait("it begins", lambda: late.status(site)["store_answers"])
    late.wait("all are known", lambda: len(late.status("east").get("sites", [])) == 2)
    for name in ("db", "other"):
        late.run("east", "group", "create", name, "--mode", "sync", "--primary", "east", "--replica", "west",
                 "--journal-size", "16M")
    late.wait("both are open", lambda: all(group["role"] == "primary" for group in late.status("east")["groups"]))
    late.wait("all are in the sets", lambda: all("west" in group["members"] for group in late.status("east")["groups"]))


def told(late, site):
    return [row["key"] for row in late.status(site).get("store_unreadable", [])]


def authority_is_garbage(late):
    late.wait("the copy has all", lambda: "authority/0000000002" in late.copy("east"))
    etcdctl(late, "put", BAD, "garbage")
    for site in ("east", "west"):
        late.wait("it is told", lambda: told(late, site) == ["authority/0000000001"])
        late.wait("an event, too", lambda: BAD in late.run(site, "events"))
        assert {group["name"] for group in late.status(site)["groups"]} == {"db", "other"}
        assert BAD in late.run(site, "explain", "db") and BAD in late.run(site, "status")
        assert BAD not in late.run(site, "explain", "other")
        assert BAD in late.run(site, "status", "--check", code=1)
    for command in (("promote", "db", "--site", "west"), ("promote", "db", "--site", "west", "--accept-loss"),
                    ("switchover", "db", "--site", "west")):
        words = late.run("west", *command, code=3)
        assert BAD in words and "store-copy.json" in words, words
    late.run("west", "promote", "other", "--site", "west")
    late.wait("it has moved", lambda: late.status("east")["groups"][1]["primary"] == "west")
    assert etcdctl(late, "get", "--print-value-only", BAD) == "garbage\n", "nobody has written there"


def controller_starts(late):
    """It does not know the group, says why, and goes on with the other one."""
    late.kill("control-west")
    late.start_controller("west")
    late.wait("it is told", lambda: told(late, "west") == ["authority/0000000001"])
    assert [group["name"] for group in late.status("west")["groups"]] == ["other"]
    late.run("west", "group", "set", "other", "max_loss=31s")
    late.wait("it holds it", lambda: late.status("west")["groups"][0]["role"] == "primary")


def row_is_put_back(late):
    """As the words have it: from the copy of the site that holds the group."""
    etcdctl(late, "put", BAD, json.dumps(late.copy("east")["authority/0000000001"]))
    for site in ("east", "west"):
        late.wait("all are there", lambda: told(late, site) == [] and len(late.status(site)["groups"]) == 2)
        late.wait("an event, too", lambda: "can be read again" in late.run(site, "events"))
    late.run("west", "promote", "db", "--site", "west")


class Rows(Late):
    def copy(self, site):
        with open(f"{self.top}/{site}/store-copy.json") as f:
            return json.load(f)["rows"]


STEPS = (make, authority_is_garbage, controller_starts, row_is_put_back)

if __name__ == "__main__":
    only_with_etcd()
    play(Rows, STEPS)
