#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two engines over memif, driven by their sockets and by NBD: what is acknowledged is there, whoever dies.

    test_two_engines.py PATH-OF-causeway-engine [CASE...]

Every engine runs with CAUSEWAY_ABORT_ON_ALLOCATION: an allocation on an lcore ends it, and the case with it.
"""
import contextlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import nbd

from rig import Connection, RpcError, run_cases, wait_for

MIB = 1 << 20
CASES = []


def case(function):
    CASES.append(function)
    return function


class Client:
    """An NBD client with its own idea of what the volume holds."""

    def __init__(self, engine, group=1, volume=0):
        uri = engine.group(group)["volumes"][volume]["uri"]
        assert uri, f"{engine.site} exports no volume {volume}"
        self.nbd = nbd.NBD()
        self.nbd.add_meta_context("base:allocation")
        self.nbd.connect_uri(uri)
        self.size = self.nbd.get_size()
        self.model = bytearray(self.size)

    def write(self, data, offset, fua=False):
        self.nbd.pwrite(data, offset, nbd.CMD_FLAG_FUA if fua else 0)
        self.model[offset:offset + len(data)] = data

    def zero(self, length, offset):
        self.nbd.zero(length, offset)
        self.model[offset:offset + length] = bytes(length)

    def trim(self, length, offset):
        self.nbd.trim(length, offset)
        self.model[offset:offset + length] = bytes(length)

    def zero_bytes(self, offset):
        """How much from there on is said to be zero."""
        found = []
        self.nbd.block_status(self.size - offset, offset, lambda name, at, entries, error: found.extend(entries))
        return sum(length for length, flags in zip(found[::2], found[1::2]) if flags & nbd.STATE_ZERO)

    def some_writes(self, seed, count):
        rng = random.Random(seed)
        for i in range(count):
            length = 512 * rng.choice([1, 1, 3, 8, 8, 8, 8, 32, 250, 600])
            offset = 512 * rng.randrange((self.size - length) // 512)
            kind = rng.randrange(12)
            if kind == 0:
                self.zero(length, offset)
            elif kind == 1:
                self.trim(length, offset)
            else:
                self.write(rng.randbytes(length), offset, fua=kind == 2)

    def check(self):
        for offset in range(0, self.size, MIB):
            length = min(MIB, self.size - offset)
            got = self.nbd.pread(length, offset)
            if got != self.model[offset:offset + length]:
                first = next(i for i in range(length) if got[i] != self.model[offset + i])
                raise AssertionError(f"byte {offset + first} differs: {got[first]} instead of "
                                     f"{self.model[offset + first]}")


def attach_both(rig, **settings):
    for engine in rig.engines:
        engine.attach(**settings)
        engine.volume()


def open_at(engine, group=1, **more):
    engine.open(group, **more)
    engine.wait_role("primary", group)


def in_sync(engine, state="in-sync"):
    def there():
        peers = engine.group()["peers"]
        return peers and peers[0]["state"] == state
    wait_for(f"{engine.site} has its replica {state}", there)


def level(primary, replica):
    def there():
        a, b = primary.group(), replica.group()
        return a["head"] == b["applied"] == a["applied"] == a["peers"][0]["durable"]
    wait_for(f"{replica.site} has applied all that {primary.site} has", there)


def begin(rig):
    """Both engines, one group, east its primary and west in its set."""
    rig.start()
    attach_both(rig)
    open_at(rig.east)
    in_sync(rig.east)


def same(primary, replica, client):
    """The replica has everything in place, and its file is what the client wrote."""
    level(primary, replica)
    assert replica.image() == bytes(client.model), f"the file of {replica.site} differs"


def reattach(engine):
    """As a controller does after a restart: the group tells what it waits for."""
    missing = engine.attach(create=False)["missing_volumes"]
    assert missing == [0], missing
    assert engine.group()["role"] == "attaching"
    engine.volume(create=False)


@case
def replicates(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(1, 300)
    client.check()
    client.nbd.flush()
    same(rig.east, rig.west, client)
    assert rig.east.status()["allocations_on_lcore"] == 0
    assert f"poll: {rig.east.status()['poll']}" in open(rig.east.config).read()
    client.nbd.shutdown()
    rig.east.stop()
    rig.west.stop()


@case
def replicates_as_the_network_answers(rig):
    """One side under BBR, the other under CUBIC: the same data, and the status tells who decides the rate."""
    kinds = {"east": "bbr", "west": "cubic"}
    for engine in rig.engines:
        with open(engine.config, "a") as file:
            file.write(f"    rate_control: {kinds[engine.site]}\n    rate: 2gbit\n")
    begin(rig)
    client = Client(rig.east)
    client.some_writes(2, 300)
    same(rig.east, rig.west, client)
    for engine in rig.engines:
        path = engine.status()["paths"][0]["rate_control"]
        assert path["kind"] == kinds[engine.site], path
        assert path["state"] in ("startup", "drain", "probe-rtt", "slow-start", "conservative-slow-start", "avoidance",
                                 "recovery") or path["state"].startswith("probe-bw-"), path
        assert 0 < path["pacing_bps"] <= 2_000_000_000, path
        # 2: what CUBIC goes back to when a busy machine let all of a window wait for too long
        assert path["window_bytes"] >= 2 * 1400 and path["rtt_min_us"] > 0, path
        assert engine.status()["allocations_on_lcore"] == 0


@case
def replicates_with_repairs(rig):
    """Both sides have forward error correction, each of its kind: the same data, and repairs on the way."""
    kinds = {"east": "fixed 16,2,4", "west": "auto"}
    for engine in rig.engines:
        with open(engine.config, "a") as file:
            file.write(f"    fec: {kinds[engine.site]}\n")
    begin(rig)
    client = Client(rig.east)
    client.some_writes(3, 300)
    same(rig.east, rig.west, client)
    for engine, other in ((rig.east, rig.west), (rig.west, rig.east)):
        out = engine.status()["paths"][0]["counters"]
        assert out["fec_repairs_out"] > 0 and out["fec_blocks_out"] > 0, out
        assert out["fec_unrecoverable"] == out["drop_bad_symbol"] == out["drop_bad_frame"] == 0, out
        assert other.status()["paths"][0]["counters"]["fec_repairs_in"] > 0
        assert engine.status()["allocations_on_lcore"] == 0


def readdress(engine, *changes):
    """Changes words of the paths in an engine's configuration."""
    with open(engine.config) as file:
        text = file.read()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with open(engine.config, "w") as file:
        file.write(text)


def carries_load(rig, seed, datagram_bytes):
    """The same data at both sides in datagrams of the largest size, and no frame was refused as damaged."""
    begin(rig)
    client = Client(rig.east)
    client.some_writes(seed, 400)
    same(rig.east, rig.west, client)
    for engine in rig.engines:
        path = engine.status()["paths"][0]
        counters = path["counters"]
        assert path["datagram_bytes"] == datagram_bytes and counters["mtu_probes"] >= 1, path
        assert counters["drop_checksum"] == counters["drop_bad_length"] == counters["drop_bad_tag"] == 0, counters
        assert engine.status()["allocations_on_lcore"] == 0
    client.nbd.shutdown()


@case
def replicates_over_ipv6(rig):
    for engine in rig.engines:
        readdress(engine, ("10.77.0.1", '"fd00:77::1"'), ("10.77.0.2", '"fd00:77::2"'))
    carries_load(rig, 4, 1452)


@case
def replicates_over_ipv6_in_a_vlan_with_jumbo_frames(rig):
    for engine in rig.engines:
        readdress(engine, ("10.77.0.1", '"fd00:77::1"'), ("10.77.0.2", '"fd00:77::2"'),
                  ("mtu: 1500", "mtu: 9000\n    vlan: 100"))
    carries_load(rig, 5, 8952)


def without_macs(engine):
    """The devices have addresses of their own, which change with every start."""
    for own in (1, 2):
        readdress(engine, (f'mac: "02:ca:00:00:00:0{own}", ', ""))


def meets_again(rig):
    """The peer comes back with another link address, and is found."""
    rig.west.kill()
    rig.west.start()
    reattach(rig.west)
    wait_for("east has found west at its new address",
             lambda: rig.east.status()["paths"][0]["counters"]["neighbour_changed"] == 2)
    in_sync(rig.east)
    client = Client(rig.east)
    client.nbd.pwrite(b"again" + bytes(507), 0)
    client.nbd.flush()
    wait_for("west has it", lambda: rig.west.group()["head"] == rig.east.group()["head"])
    for engine in rig.engines:
        counters = engine.status()["paths"][0]["counters"]
        assert counters["neighbour_asked"] > 0 and counters["neighbour_told"] > 0, counters
        assert counters["neighbour_changed"] > 0 and counters["address_conflicts"] == 0, counters


@case
def finds_its_peer_by_arp(rig):
    for engine in rig.engines:
        without_macs(engine)
    carries_load(rig, 6, 1472)
    meets_again(rig)


@case
def finds_its_peer_by_neighbour_discovery(rig):
    for engine in rig.engines:
        without_macs(engine)
        readdress(engine, ("10.77.0.1", '"fd00:77::1"'), ("10.77.0.2", '"fd00:77::2"'))
    carries_load(rig, 7, 1452)
    meets_again(rig)


@case
def survives_loss_of_the_primary(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(2, 200)
    rig.east.kill()
    open_at(rig.west)
    after = Client(rig.west)
    after.model = client.model
    after.check()
    after.some_writes(3, 50)
    rig.east.start()
    reattach(rig.east)
    in_sync(rig.west)
    same(rig.west, rig.east, after)
    after.check()


@case
def survives_loss_of_the_replica(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(4, 100)
    rig.west.kill()
    client.some_writes(5, 100)  # held until the replica is out of the set, then alone
    assert rig.east.group()["members"] == ["east"]
    rig.west.start()
    reattach(rig.west)
    in_sync(rig.east)
    client.some_writes(6, 20)
    same(rig.east, rig.west, client)
    client.check()


@case
def restarts_where_it_stood(rig):
    """kill -9 of the primary in the middle of writes: what was acknowledged is there after it opens again."""
    begin(rig)
    client = Client(rig.east)
    client.some_writes(7, 150)
    rig.east.kill()
    rig.east.start()
    reattach(rig.east)
    wait_for("paths are up", lambda: rig.east.status()["paths"][0]["up"])
    open_at(rig.east)
    assert rig.east.group()["epoch"] == 2
    again = Client(rig.east)
    again.model = client.model
    again.check()
    in_sync(rig.east)
    again.some_writes(8, 50)
    same(rig.east, rig.west, again)


def is_held_back(rig, what, ask):
    """Asked without a lease, it is kept (a read at the last check, the others before); answered when the lease is
    there again."""
    def held():
        counters = rig.east.status()["counters"]
        return sum(counters[name] for name in ("replies_held_at_last_check", "requests_waited_for_room", "answers_held"))
    wait_for("not frozen", lambda: not rig.east.group()["frozen"])
    rig.store.silent.add("east")
    wait_for("frozen", lambda: rig.east.group()["frozen"])
    before, done = held(), []
    asker = threading.Thread(target=lambda: done.append(ask()))
    asker.start()
    wait_for(f"{what}: it is kept", lambda: done or held() > before)
    assert not done and rig.east.group()["frozen"], f"{what}: was answered without a lease"
    rig.store.silent.clear()
    asker.join(60)
    assert done, f"{what}: never answered"


@case
def holds_answers_without_a_lease(rig):
    rig.store.lease_ms = 1000
    rig.start()
    attach_both(rig)
    open_at(rig.east)
    client = Client(rig.east)
    client.write(b"x" * 4096, 0)
    wait_for("in place", lambda: client.zero_bytes(MIB) > 0)
    rig.store.silent.add("east")
    wait_for("frozen", lambda: rig.east.group()["frozen"])
    assert client.zero_bytes(MIB) == 0, "who may have been deposed does not know what is zero"
    rig.store.silent.clear()
    for what, ask in (("read", lambda: client.nbd.pread(4096, 0)), ("flush", client.nbd.flush),
                      ("write", lambda: client.write(b"y" * 4096, 0)),
                      ("write that is durable", lambda: client.write(b"z" * 4096, 0, fua=True)),
                      ("zeroes", lambda: client.zero(4096, 0))):
        is_held_back(rig, what, ask)
    assert client.nbd.pread(4096, 0) == bytes(4096)
    open_epoch = rig.east.group()["epoch"]
    rig.east.rpc.call("group.fence", group=1, epoch=open_epoch)
    assert rig.east.group()["role"] == "replica"
    try:
        client.nbd.pread(4096, 0)
    except nbd.Error:
        pass
    else:
        raise AssertionError("a fenced engine answered a read")
    wait_for("the socket is gone", lambda: not os.path.exists(rig.east.nbd_socket()))


@case
def who_registered_before_is_asked_again(rig):
    """Others that register come and go, in any order: the controller is told, and asked again when the last of them is gone."""
    rig.start()
    attach_both(rig)

    def another():
        connection = Connection(rig.east.socket, lambda method, params: False)
        connection.call("control.register")
        return connection
    first, second = another(), another()
    wait_for("it is told", lambda: any("another controller has registered" in e["text"] for e in rig.east.rpc.events))
    first.close()
    assert "controller's connection is gone" not in str(rig.east.rpc.call("events", after=0, limit=100)), "not the last one"
    third = another()
    third.close()
    second.close()
    wait_for("it is told", lambda: any("had registered before it" in e["text"] for e in rig.east.rpc.events))
    open_at(rig.east)
    in_sync(rig.east)
    Client(rig.east).some_writes(43, 20)


@case
def answers_every_status(rig):
    """Asked for many at once, in one turn of the lcore, each gets its own."""
    rig.start()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(rig.east.socket)
        s.settimeout(60)
        for _ in range(20):
            s.sendall(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"status"}\n' % i for i in range(10)))
            lines = s.makefile()
            assert sorted(json.loads(lines.readline())["id"] for _ in range(10)) == list(range(10))


@case
def bears_a_cut(rig):
    rig.start()
    attach_both(rig, mode="async")
    open_at(rig.east)
    in_sync(rig.east, "streaming")
    client = Client(rig.east)
    client.some_writes(9, 50)
    rig.east.rpc.call("lab.cut", remote="west", receive=True, transmit=True)
    client.some_writes(10, 200)
    wait_for("the path is down", lambda: not rig.east.status()["paths"][0]["up"])
    client.check()
    rig.east.rpc.call("lab.cut", remote="", receive=False, transmit=False)
    in_sync(rig.east, "streaming")
    same(rig.east, rig.west, client)


@case
def moves_without_loss(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(11, 100)
    rig.east.rpc.call("group.drain", group=1)
    wait_for("drained", lambda: rig.east.group()["role"] == "drained")
    epoch = rig.east.group()["epoch"]
    rig.east.rpc.call("group.fence", group=1, epoch=epoch)
    rig.store.row(1)["holder"] = "west"  # the controller's transaction of a switchover
    open_at(rig.west)
    after = Client(rig.west)
    after.model = client.model
    after.check()
    after.some_writes(12, 50)
    in_sync(rig.west)
    same(rig.west, rig.east, after)


@case
def a_failed_journal_stops_the_group(rig):
    begin(rig)
    client = Client(rig.east)
    client.some_writes(13, 30)
    rig.east.rpc.call("lab.fault", group=1, volume=-1, errno="EIO", after_writes=0)
    try:
        client.nbd.pwrite(b"y" * 4096, 0)
        client.nbd.flush()
    except nbd.Error:
        pass
    else:
        raise AssertionError("a write was acknowledged by a broken journal")
    wait_for("down", lambda: rig.east.group()["role"] == "down")
    assert rig.east.group()["reason"]


@case
def bears_load_in_two_groups(rig):
    rig.start()
    for group in (1, 2):
        for engine in rig.engines:
            engine.attach(group=group, mode="semi-sync" if group == 2 else "sync")
            engine.volume(group=group, size=64 * MIB)
        rig.east.open(group=group)
        rig.east.wait_role("primary", group)
    runs = [rig.east.rpc.call("direct.start", group=group, volume=0, op="write", size=size, depth=32,
                              duration_ms=3000, seed=group)["run"] for group, size in ((1, 4096), (2, 1 << 20), (1, 131072))]
    for run in runs:
        stats = wait_for("run", lambda r=run: (s := rig.east.rpc.call("direct.stats", run=r))["done"] and s)
        assert stats["errors"] == 0, stats
        print(f"  {stats['ops'] / stats['seconds']:.0f}/s, {stats['bytes'] / stats['seconds'] / MIB:.0f} MiB/s, "
              f"p50 {stats['p50_us']:.0f} us, max {stats['max_us']:.0f} us")
    for group in (1, 2):
        def there():
            a, b = rig.east.group(group), rig.west.group(group)
            return a["head"] == b["applied"] == a["applied"]
        wait_for("level", there)
        assert rig.west.image(group) == rig.east.image(group), f"group {group} differs"
    assert rig.east.status()["allocations_on_lcore"] == 0


@case
def volumes_come_and_go(rig):
    rig.start()
    attach_both(rig)
    open_at(rig.east)
    for engine in (rig.west, rig.east):
        engine.volume(volume=3, size=4 * MIB)
    try:
        rig.east.volume(volume=3, size=4 * MIB)
        raise AssertionError("a volume was created twice")
    except RpcError as error:
        assert error.status == "exists", error.status
    wait_for("exported", lambda: len([v for v in rig.east.group()["volumes"] if v["open"]]) == 2)
    client = Client(rig.east, volume=1)
    client.some_writes(14, 50)
    client.check()
    level(rig.east, rig.west)
    client.nbd.shutdown()
    rig.east.rpc.call("volume.detach", group=1, volume=3)
    assert len(rig.east.group()["volumes"]) == 1
    rig.east.rpc.call("group.detach", group=1)
    assert rig.east.status()["groups"] == []
    rig.east.stop()


@case
def refuses_what_it_must(rig):
    rig.east.start()
    second = subprocess.run([rig.program, "--config", rig.east.config], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "another engine" in second.stderr, second.stderr
    for params, status in (({"create": False}, "not found"), ({"journal_mb": 1}, "invalid")):
        try:
            rig.east.attach(**params)
            raise AssertionError(f"{params} was taken")
        except RpcError as error:
            assert error.status == status, (params, error.status, str(error))
    rig.east.attach()
    try:
        rig.east.rpc.call("group.open", group=1)
        raise AssertionError("an open without anything was taken")
    except RpcError:
        pass
    try:
        rig.east.rpc.call("no.such.method")
        raise AssertionError("a method that is not there was taken")
    except RpcError as error:
        assert "no such method" in str(error)
    rig.east.stop()


@case
def measures_itself(rig):
    begin(rig)
    for op in ("write", "read"):
        run = rig.east.rpc.call("direct.start", group=1, volume=0, op=op, size=4096, depth=4, count=2000, seed=3)
        stats = wait_for(f"{op} run", lambda r=run["run"]: (s := rig.east.rpc.call("direct.stats", run=r))["done"] and s)
        assert stats["ops"] == 2000 and stats["errors"] == 0, stats
        print(f"  {op}: {stats['ops'] / stats['seconds']:.0f}/s, p50 {stats['p50_us']:.0f} us, p99 {stats['p99_us']:.0f} us")
    level(rig.east, rig.west)
    assert rig.west.image() == rig.east.image()


@case
def a_fault_tells_what_came_before(rig):
    """What the trace says on demand, and what the last words of an engine say that ends by a fault of its own."""
    begin(rig)
    client = Client(rig.east)
    client.some_writes(3, 50)
    trace = rig.east.rpc.call("trace.dump")
    store = [entry["text"] for entry in trace["store"] if entry["group"] == 1]
    ways = ("control wants it opened", "is primary, epoch 1", "west is in sync")
    assert [w for w in ways if w in store] == list(ways), store
    assert store.index(ways[0]) < store.index(ways[1]), store
    assert any("path wan0 to west is up" == entry["text"] for entry in trace["store"]), trace["store"]
    assert "durable up to" in trace["journals"][-1]["text"] or "is written" in trace["journals"][-1]["text"], trace
    assert "the session is up" in trace["net"][0]["text"], trace["net"]
    ages = [entry["seconds_ago"] for entry in trace["store"]]
    assert ages == sorted(ages, reverse=True), ages
    rig.east.rpc.call("lab.fault", group=1, volume=-1, errno="EIO", after_writes=0)
    with contextlib.suppress(nbd.Error):
        client.write(b"y" * 4096, 0)
    wait_for("down", lambda: rig.east.group()["role"] == "down")
    rig.east.process.send_signal(signal.SIGSEGV)
    assert rig.east.process.wait(timeout=60) == -signal.SIGSEGV
    words = rig.east.tail(200)
    for want in ("last words of site east", "group 1 g1: role down", "#1 is primary, epoch 1",
                 "#1 a write to the journal failed: errno 5", "#1 is down, epoch 1", "#1 the journal is durable up to",
                 "site 1: the session is up"):
        assert want in words, f"{want!r} is not in the last words:\n{words}"


def draws_what_was_recorded(rig):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../perf/plot_session.py")
    samples, picture = os.path.join(rig.directory, "samples"), os.path.join(rig.directory, "picture.png")
    record = [sys.executable, script, "record", rig.east.socket, samples, "--seconds", "0.5"]
    subprocess.run(record, check=True, stdout=subprocess.DEVNULL, timeout=60)
    with open(samples) as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) > 20 and all(row["path"] == "wan0" for row in rows), rows[:1]
    if importlib.util.find_spec("matplotlib") is None:
        print("skipped: the picture of a session: there is no python3-matplotlib")
        return
    subprocess.run([sys.executable, script, "plot", samples, picture], check=True, timeout=120)
    with open(picture, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@case
def records_its_paths(rig):
    """Samples begin when they are asked for, tell what the status tells, and end."""
    begin(rig)
    call = rig.east.rpc.call
    assert call("path.log", every_us=10_000)["samples"] == []
    client = Client(rig.east)
    client.some_writes(5, 200)
    before = rig.east.status()["paths"][0]["counters"]
    for seconds in (1, 4, 16):  # a hundred samples a second where nothing is in the way
        time.sleep(seconds)
        log = call("path.log", every_us=10_000)
        if len(log["samples"]) > 10:
            break
    after = rig.east.status()["paths"][0]["counters"]
    rows = [dict(zip(log["columns"], row, strict=True)) for row in log["samples"]]
    assert not log["is_full"] and len(rows) > 10, log
    assert {row["path"] for row in rows} == {"wan0"} and all(row["up"] for row in rows), rows[0]
    times = [row["time_ns"] for row in rows]
    assert all(later - earlier >= 10_000_000 for earlier, later in zip(times, times[1:])), times
    names = [name for name in log["columns"] if name in after]
    assert len(names) == 11, names
    for name in names:
        values = [row[name] for row in rows]
        assert values == sorted(values), (name, values)
        assert before[name] <= values[-1] <= after[name], (name, before[name], values[-1], after[name])
    assert rows[-1]["bytes_out"] > rows[0]["bytes_out"]
    assert rows[-1]["rtt_ns"] > 0 and rows[-1]["state"] == "fixed" and rows[-1]["window_bytes"] is None, rows[-1]
    draws_what_was_recorded(rig)
    rig.west.kill()

    def down_is_sampled():
        samples = call("path.log", every_us=10_000)["samples"]
        return samples and samples[-1][1] is False
    wait_for("a sample says that the path is down", down_is_sampled)
    call("path.log", every_us=100)
    for seconds in (1, 4, 16):  # 2048 samples take a fifth of a second where nothing is in the way
        time.sleep(seconds)
        log = call("path.log", every_us=0)
        if log["is_full"]:
            break
        call("path.log", every_us=100)
    assert log["is_full"] and len(log["samples"]) == 2048, len(log["samples"])
    assert call("path.log")["samples"] == []
    assert rig.east.status()["allocations_on_lcore"] == 0
    for bad in (1, 99, 10_000_001):
        with contextlib.suppress(RpcError):
            call("path.log", every_us=bad)
            raise AssertionError(bad)


@case
def writes_keys_only_as_it_was_built(rig):
    """Asked for a key log, an engine of an ordinary build does not start, and one of -Dkey_log=true writes it."""
    keys = os.path.join(rig.directory, "keys")
    os.environ["CAUSEWAY_KEY_LOG"] = keys
    try:
        rig.start()
    except AssertionError as error:
        assert "built without -Dkey_log=true" in str(error), error
        assert not os.path.exists(keys)
        return
    finally:
        del os.environ["CAUSEWAY_KEY_LOG"]
    with open(keys) as file:
        spis = [line.split()[1] for line in file]
    assert len(spis) == 4 and len(set(spis)) == 2, spis
    assert os.stat(keys).st_mode & 0o777 == 0o600


@case
def exports_many_volumes(rig):
    """Two groups with more volumes than one would guess, and one that cannot be exported: it says why, until it is."""
    count = 33
    rig.start()
    for group in (1, 2):
        for engine in rig.engines:
            engine.attach(group=group, journal_mb=16)
            for volume in range(count):
                engine.volume(group=group, volume=volume, size=1 << 16)
    blocked = rig.east.nbd_socket(2, count - 1)
    with open(blocked, "w"):
        pass
    for group in (1, 2):
        open_at(rig.east, group=group)

    def unexported():
        return [(group, v["volume"], v["error"]) for group in (1, 2) for v in rig.east.group(group)["volumes"]
                if not v["open"]]
    wait_for("all but one are exported", lambda: len(unexported()) == 1)
    found = unexported()
    assert found[0][:2] == (2, count - 1) and blocked in found[0][2], found
    os.unlink(blocked)
    wait_for("the last one as well", lambda: not unexported())
    for group in (1, 2):
        volumes = rig.east.group(group)["volumes"]
        assert len(volumes) == count and not any(v["error"] for v in volumes), volumes
        for volume in (0, count - 1):
            client = Client(rig.east, group, volume)
            client.write(os.urandom(4096), 0, fua=True)
            client.check()
    assert rig.east.status()["allocations_on_lcore"] == 0


@case
def uses_two_paths(rig):
    """One session on both; status and path.log tell of each by itself; one that is dead is said to be, and costs no CPU."""
    for own, engine in enumerate(rig.engines):
        add_path(engine, own)
    begin(rig)
    paths = lambda engine: {path["name"]: path for path in engine.status()["paths"]}
    are_up = lambda: all(path["state"] == "up" for engine in rig.engines for path in paths(engine).values())
    wait_for("both are up", are_up)
    rig.east.rpc.call("path.log", every_us=1000)
    client = Client(rig.east)
    client.some_writes(7, 400)
    samples = {row[0] for row in rig.east.rpc.call("path.log", every_us=0)["samples"]}
    assert samples == {"wan0", "wan1"}, samples
    before = paths(rig.east)
    assert all(path["counters"]["bytes_out"] > 100_000 for path in before.values()), before
    for name in ("wan1", "wan0"):
        for engine in rig.engines:
            engine.rpc.call("lab.cut", remote="", path=name, receive=True, transmit=True)
        wait_for(f"{name} is down", lambda: all(paths(e)[name]["state"] == "down" for e in rig.engines))
        client.some_writes(8, 100)
        if name == "wan1":
            rests(rig)
        for engine in rig.engines:
            engine.rpc.call("lab.cut", remote="", path=name, receive=False, transmit=False)
        wait_for("both are up again", are_up)
    same(rig.east, rig.west, client)
    for engine in rig.engines:
        lanes = engine.status()["net_lcores"]
        now = paths(engine)["wan0"]["counters"]
        assert now["sessions_down"] == 0 and now["handshakes_completed"] == lanes, now
        assert engine.status()["allocations_on_lcore"] == 0
    client.nbd.shutdown()


@case
def is_quiet_when_idle(rig):
    begin(rig)
    rests(rig)


def rests(rig):
    time.sleep(1)
    before = [engine.cpu_seconds() for engine in rig.engines]
    time.sleep(4)
    shares = [(engine.cpu_seconds() - b) / 4 * 100 for engine, b in zip(rig.engines, before)]
    print("  idle: " + ", ".join(f"{e.site} {s:.1f} % of a CPU" for e, s in zip(rig.engines, shares)))
    assert max(shares) < 50, shares  # 1 to 2 on a quiet machine; one that spins has 100, or half of that when shared


def add_path(engine, own):
    """A second memif between the two, named wan1."""
    role, other = ("server", "client")[own], ("west", "east")[own]
    ends = [f"{{ip: 10.77.1.{1 + n}, port: 7400}}" for n in (own, 1 - own)]
    with open(engine.config, "a") as file:
        file.write(f"  - name: wan1\n    remote: {other}\n    mtu: 1500\n    local: {ends[0]}\n    peer: {ends[1]}\n"
                   f"    device: net_memif1,role={role},id=0,socket={engine.rig.directory}/second.sock,socket-abstract=no\n")


def ways_of(function):
    """(net lcores an engine; 0: one thread does all, poll). Threads that never sleep share two CPUs for a minute: that is
    left out."""
    if function is replicates:
        return [(0, "adaptive"), (1, "adaptive"), (2, "adaptive"), (0, "dedicated")]
    if function in (survives_loss_of_the_primary, uses_two_paths):
        return [(0, "adaptive"), (1, "adaptive"), (2, "adaptive")]
    return [(0, "adaptive")] + [(2, "adaptive")] * (function in (bears_a_cut, bears_load_in_two_groups))


def ways():
    for function in CASES:
        for net_lcores, poll in ways_of(function):
            which = ("", " (two threads)", " (two net lcores)")[net_lcores] + f" ({poll})" * (poll != "adaptive")
            yield function, which, {"net_lcores": net_lcores, "poll": poll}


if __name__ == "__main__":
    run_cases(list(ways()))
