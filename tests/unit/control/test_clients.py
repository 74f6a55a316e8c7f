#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What those who ask at a controller's socket can do to it by how they ask, over engines that only talk: who asks more
than he reads is served one by one, between all others and the engine's lease.

test_clients.py CAUSEWAY CONTROL
"""
import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, pair, play  # noqa: E402

LIMIT = 120  # seconds for what hangs


class Asker:
    """A connection that asks without waiting for answers."""

    def __init__(self, lab, site):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        self.socket.connect(f"{lab.top}/lab/{site}/control.sock")
        self.asked, self.answered, self.rest = 0, 0, b""

    def ask(self, what, /, times=1, **params):
        """All at once: of many small pieces a socket takes fewer."""
        lines = [json.dumps({"jsonrpc": "2.0", "id": self.asked + 1 + i, "method": what, "params": params}) + "\n"
                 for i in range(times)]
        self.asked += times
        self.socket.sendall("".join(lines).encode())

    def read(self):
        """Some bytes; how many answers ended in them, each the next one."""
        got = self.socket.recv(1 << 18)
        assert got, f"the connection was closed after {self.answered} of {self.asked} answers"
        *lines, self.rest = (self.rest + got).split(b"\n")
        for line in lines:
            self.answered += 1
            assert b'"id":%d,' % self.answered in line[:60] and b'"result"' in line[:80], line[:200]
        return len(lines)

    def answer(self, what, /, **params):
        """Asks, and waits for that answer."""
        self.ask(what, **params)
        while self.answered < self.asked:
            self.read()

    def close(self):
        self.socket.close()


def lease(lab):
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        return store.execute("SELECT lease_counter FROM sites WHERE name='east'").fetchone()[0]


def flood(lab):
    """Three that ask for much and read nothing, and then read as fast as they can and ask on: others are answered, the
    lease is renewed, and each gets all of his answers, in order."""
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        store.executemany("INSERT INTO events(time, level, site, group_name, text) VALUES(0, 0, 'east', '', ?)",
                          [("x" * 200,)] * 1000)
    floods, other = [Asker(lab, "east") for _ in range(3)], Asker(lab, "east")
    for f in floods:
        f.ask("events", times=150, limit=1000)
    for _ in range(20):
        other.answer("status")
    before, end, asked = lease(lab), time.monotonic() + LIMIT, other.answered
    other.ask("status")
    while any(f.answered < f.asked for f in floods):
        assert time.monotonic() < end, "the lease is not renewed, or nobody is answered"
        is_over = lease(lab) > before + 2 and other.answered > asked + 20
        for ready in select.select([a.socket for a in (other, *floods)], [], [], 1)[0]:
            if ready is other.socket:
                if other.read() and not is_over:
                    other.ask("status")
                continue
            one = next(f for f in floods if f.socket is ready)
            if one.read() and not is_over and one.asked - one.answered < 50:
                one.ask("events", times=100, limit=1000)
    for one in (other, *floods):
        one.close()
    lab.wait("as it was", lambda: lab.group("east")["health"] == "protected")
    assert lab.group("east")["epoch"] == 1


def audit(lab, command):
    lines = [json.loads(line)["line"] for line in lab.run("events", "--audit", "--json").splitlines()]
    return [(line["what"], line["words"]) for line in lines if line["command"].startswith(command)]


def too_long_is_refused(lab):
    """What somebody asks the engine for does not cut it off: written anew, these numbers are longer than a line may be."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT)
        s.connect(f"{lab.top}/lab/east/control.sock")
        numbers = ",".join(["1e9"] * 250000)
        s.sendall(('{"jsonrpc":"2.0","id":1,"method":"engine","params":{"method":"status","params":{"a":[%s]}}}\n'
                   % numbers).encode())
        answer = json.loads(s.makefile().readline())
    assert answer["error"]["data"]["exit"] == 2 and "too long" in answer["error"]["message"], str(answer)[:500]
    assert "is gone" not in lab.run("--site", "east", "events"), lab.run("--site", "east", "events")


class SlowEngine:
    """In the place of a site's engine, for as long as it takes to hear in which order the controller answers."""

    def __init__(self, lab, site):
        path = f"{lab.top}/lab/{site}/engine.sock"
        os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(LIMIT)
        self.site, first = site, ""
        while not first:  # the other site's engine only looks whether this one lives
            self.socket = listener.accept()[0]
            self.socket.settimeout(LIMIT)
            self.lines = self.socket.makefile()
            first = self.lines.readline()
        listener.close()
        self.send({"id": json.loads(first)["id"], "result": {"site": site}})

    def send(self, *messages):
        self.socket.sendall("".join(json.dumps({"jsonrpc": "2.0", **m}) + "\n" for m in messages).encode())

    def next_answer(self):
        """Calls of the controller in between get what an engine without groups would say."""
        while True:
            message = json.loads(self.lines.readline())
            if "method" not in message:
                return message
            if "id" in message:
                self.send({"id": message["id"], "result": {"site": self.site, "groups": [], "paths": []}})
            if message["method"] == "control.register":
                return message


def engine_is_asked_for_much(lab):
    """Of calls that the engine does not answer each connection has eight, all have 64; the controller's own go on."""
    with open(f"{lab.top}/lab/east/engine.pid") as f:
        pid = int(f.read())
    assert f"{lab.top}/lab/east/node.yaml" in open(f"/proc/{pid}/cmdline").read()
    askers, refused = [Asker(lab, "east") for _ in range(9)], []
    os.kill(pid, signal.SIGSTOP)
    try:
        for asker in askers:
            asker.ask("engine", times=9, method="status")
            line = asker.socket.makefile().readline()
            refused.append(json.loads(line)["error"])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert all(error["data"]["exit"] == 3 for error in refused), refused
    assert all("has 8 calls of this connection to answer" in error["message"] for error in refused[:8]), refused
    assert "has 64 calls of those who ask here to answer" in refused[8]["message"], refused
    lab.wait("it is here", lambda: lab.group("east")["health"] == "protected")
    for asker in askers[:8]:
        assert "result" in json.loads(asker.socket.makefile().readline())
    for asker in askers:
        asker.close()
    lab.run("--site", "east", "rpc", "status")


def lease_before_all_else(lab):
    """A lease is renewed before what other groups ask the store for, whoever came first."""
    pid = int(open(f"{lab.top}/lab/east/engine.pid").read())
    assert f"{lab.top}/lab/east/node.yaml" in open(f"/proc/{pid}/cmdline").read()
    os.kill(pid, signal.SIGKILL)
    lab.wait("it is gone", lambda: not os.path.exists(f"/proc/{pid}/exe"))
    engine = SlowEngine(lab, "east")
    assert engine.next_answer()["method"] == "control.register"
    sets = [{"id": i, "method": "store.set", "params": {"group": 1, "epoch": 9, "from": [], "to": []}} for i in range(1, 6)]
    engine.send(*sets, {"id": 6, "method": "lease.renew", "params": {"groups": []}})
    order = [engine.next_answer()["id"] for _ in range(6)]
    assert order == [6, 1, 2, 3, 4, 5], order
    many = [dict(sets[0], id=i) for i in range(1000)]
    engine.send(*many)
    with contextlib.suppress(ConnectionError):  # more than all groups could ask at once: the connection ends
        engine.lines.readlines()
    engine.socket.close()
    lab.wait("it is told", lambda: "asks for more than all of its groups could" in lab.run("--site", "east", "events"))
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east")
    lab.level("east", "west")


def asker_has_gone(lab):
    """What a controller that stood still was asked meanwhile is not done when nobody waits for it any more."""
    known = Asker(lab, "west")
    known.answer("status")
    pid = lab.pid("west")
    os.kill(pid, signal.SIGSTOP)
    try:
        for one in (known, Asker(lab, "west")):
            one.ask("promote", group="db", site="west", reason="nobody waits")
            one.close()
        many = Asker(lab, "west")
        many.ask("status", times=2)
        many.ask("group.set", times=20, group="db", max_loss="19s")
        many.close()
        one, there = Asker(lab, "west"), Asker(lab, "west")
        one.ask("engine", method="group.fence", params={"group": 1, "epoch": 9})
        one.close()
        there.ask("group.set", group="db", max_loss="17s")  # who ends only what he asks waits still
        there.socket.shutdown(socket.SHUT_WR)
    finally:
        os.kill(pid, signal.SIGCONT)
    while there.answered < there.asked:
        there.read()
    there.close()
    dropped = ("dropped", "the one who asked has gone")
    lab.wait("all are told", lambda: len(audit(lab, "promote ") + audit(lab, "engine ")) >= 3)
    assert audit(lab, "promote ") == [dropped] * 2 and audit(lab, "engine ") == [dropped], audit(lab, "")
    lab.wait("the rest, too", lambda: audit(lab, "group.set group=db max_loss=19s").count(dropped) >= 8)
    assert "more calls of " in lab.run("--site", "west", "events")
    assert set(audit(lab, "group.set group=db max_loss=19s")) == {dropped}, audit(lab, "")
    assert audit(lab, "group.set group=db max_loss=17s") == [("done", "")], audit(lab, "")
    assert (lab.group("west")["primary"], lab.group("west")["epoch"]) == ("east", 1), lab.group("west")


def idle_give_way(lab):
    """Connections that say nothing take no place from who comes: who has been silent for longest makes room."""
    idle = [Asker(lab, "east") for _ in range(64)]
    for one in idle[1:]:
        one.answer("hello")
    late = Asker(lab, "east")
    late.answer("status")
    assert idle[0].socket.recv(1) == b"", "the one that never asked was the first to go"
    idle[63].answer("hello")
    for one in (late, *idle):
        one.close()
    more = [Asker(lab, "east") for _ in range(64)]
    for _ in range(3):
        lab.run("--site", "east", "status")
    for one in more:
        one.close()


if __name__ == "__main__":
    play(Lab, (pair, too_long_is_refused, asker_has_gone, idle_give_way, flood, engine_is_asked_for_much,
               lease_before_all_else))
