#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The store does not answer any more: what goes on, what freezes, and who may take over when.

    test_store_loss.py PATH-OF-causeway-engine [CASE...]
"""
import os
import signal
import threading
import time

import nbd

from rig import SITES, RpcError, run_cases, wait_for
from test_two_engines import MIB, Client, begin, in_sync, reattach, same

LEASE = 2.0
CASES = []


def case(on_store_loss):
    def add(function):
        CASES.append((function, "", {"lease_ms": int(LEASE * 1000), "on_store_loss": on_store_loss}))
        return function
    return add


def covered(engine):
    return engine.group()["lease"]["by"]


def wait_covered(engine, by):
    wait_for(f"{engine.site} is covered by {by}", lambda: covered(engine) == by)


def texts(engine):
    return [event["text"] for event in engine.rpc.call("events", after=0, limit=1000)["events"]]


def try_open(engine, accept_loss=False):
    """True: the opening has begun. False: later, and why stands in the answer."""
    try:
        engine.open(accept_loss=accept_loss)
        return True
    except RpcError as error:
        assert error.status == "again", (error, error.status)
        assert "east lives" in str(error), error
        return False


def lose_store(rig, *sites):
    rig.store.silent.update(sites or SITES)
    wait_covered(rig.east, "grants")


@case("peer-grants")
def goes_on_while_the_sites_are_up(rig):
    begin(rig)
    wait_covered(rig.east, "store")
    client = Client(rig.east)
    lose_store(rig)
    end, seed = time.monotonic() + 4 * LEASE, 0
    while time.monotonic() < end:
        client.some_writes(seed := seed + 1, 20)
        client.nbd.flush()
        client.nbd.pread(4096, 0)
    group = rig.east.group()
    assert group["lease"]["by"] == "grants" and not group["frozen"], group["lease"]
    assert "goes on by grants" in group["reason"], group["reason"]
    assert [g["site"] for g in group["lease"]["grants"]] == ["west"], group["lease"]
    assert rig.west.group()["lease"]["granted_to"] == "east", rig.west.group()["lease"]
    assert sum("goes on by grants" in text for text in texts(rig.east)) == 1, texts(rig.east)
    rig.store.silent.clear()
    wait_covered(rig.east, "store")
    assert rig.east.group()["reason"] == "", rig.east.group()["reason"]
    same(rig.east, rig.west, client)


@case("freeze")
def freezes_at_once_where_it_is_told_to(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(1, 20)
    rig.store.silent.update(SITES)
    wait_for("frozen", lambda: rig.east.group()["frozen"])
    assert "on_store_loss: freeze" in rig.east.group()["reason"], rig.east.group()["reason"]
    done = []
    thread = threading.Thread(target=lambda: done.append(client.some_writes(2, 1)))
    thread.start()
    time.sleep(2 * LEASE)
    assert not done, "a write was acknowledged without a lease"
    rig.store.silent.clear()
    thread.join(60)
    assert done
    same(rig.east, rig.west, client)


@case("peer-grants")
def freezes_when_a_site_goes_too(rig):
    begin(rig)
    client = Client(rig.east)
    lose_store(rig)
    rig.east.rpc.call("lab.cut", remote="west", receive=True, transmit=False)  # one way: what it grants is lost
    wait_for("frozen", lambda: rig.east.group()["frozen"])
    assert "site west grants one" in rig.east.group()["reason"] or "west" in rig.east.group()["reason"], \
        rig.east.group()["reason"]
    assert any("frozen" in text and "west" in text for text in texts(rig.east)), texts(rig.east)
    done = []
    thread = threading.Thread(target=lambda: done.append(client.some_writes(2, 1)))
    thread.start()
    time.sleep(LEASE)
    assert not done, "a write was acknowledged without a lease or a grant"
    rig.east.rpc.call("lab.cut", remote="", receive=False, transmit=False)
    thread.join(60)
    assert done and covered(rig.east) == "grants"
    same(rig.east, rig.west, client)


@case("peer-grants")
def nobody_takes_over_from_who_lives_by_a_grant(rig):
    begin(rig)
    client = Client(rig.east)
    lose_store(rig, "east")  # the other site reaches it
    for i in range(8):
        assert not try_open(rig.west, accept_loss=i % 2 == 1)
        client.some_writes(100 + i, 5)
        time.sleep(0.3)
    assert covered(rig.east) == "grants"
    rig.east.kill()
    wait_for("the opening begins", lambda: try_open(rig.west))
    rig.west.wait_role("primary")
    other = Client(rig.west)
    other.model = client.model
    other.check()
    other.some_writes(7, 20)


@case("peer-grants")
def a_primary_that_slept_answers_nothing_late(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(1, 20)
    lose_store(rig, "east")
    os.kill(rig.east.process.pid, signal.SIGSTOP)
    with open(f"/proc/{rig.east.process.pid}/stat") as stat:
        wait_for("east has stopped", lambda: stat.seek(0) == 0 and stat.read().rsplit(")", 1)[1].split()[0] == "T")
    done, failed = [], []

    def ask():
        try:
            client.nbd.pwrite(b"late" * 128, MIB)
            done.append(1)
        except nbd.Error as error:
            failed.append(error)
    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    wait_for("the opening begins", lambda: try_open(rig.west))
    rig.west.wait_role("primary")
    other = Client(rig.west)
    other.model = bytearray(client.model)
    other.some_writes(2, 20)
    os.kill(rig.east.process.pid, signal.SIGCONT)
    time.sleep(LEASE)
    assert not done, "a write was acknowledged after another site had taken over"
    rig.store.silent.clear()
    wait_for("east follows", lambda: rig.east.group()["role"] == "replica")
    asker.join(60)
    assert failed and not done
    in_sync(rig.west)
    other.check()


@case("peer-grants")
def a_restarted_granter_lets_nobody_take_over_for_a_lease(rig):
    begin(rig)
    client = Client(rig.east)
    lose_store(rig, "east")
    rig.west.kill()  # what it granted a moment ago runs on
    rig.west.start()
    reattach(rig.west)
    wait_for("west has started", lambda: rig.west.group()["role"] == "replica")
    if try_open(rig.west):  # before east has asked it again: then it waits, and east freezes
        wait_for("it waits", lambda: "waits" in rig.west.group()["reason"] or rig.west.group()["role"] == "primary")
        assert rig.store.row(1)["holder"] == "east" or rig.east.group()["frozen"]
        rig.west.wait_role("primary")
        assert rig.east.group()["frozen"] or rig.east.group()["role"] != "primary"
    else:
        client.some_writes(3, 20)
        assert covered(rig.east) == "grants"


if __name__ == "__main__":
    run_cases(CASES)
