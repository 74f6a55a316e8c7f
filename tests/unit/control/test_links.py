#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Controllers of three sites with links between them, over engines that only talk: each with a book of its own. Who is
silent is told, what was missed is caught up, commands reach the site that must do them, people come from elsewhere
with the rights of their certificate. Every link goes through a proxy of this test, which can cut it.

test_links.py CAUSEWAY CONTROL
"""
import json
import os
import select
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, free_port, play  # noqa: E402

SITES = ("east", "west", "north")


class Proxy(threading.Thread):
    """From one site to another one's controller. "cut": nobody gets through; "hole": what is sent goes nowhere."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.mode = target, "open"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = {}
        self.start()

    def drop(self, end):
        other = self.pairs.pop(end, None)
        self.pairs.pop(other, None)
        for s in (end, other):
            if s:
                s.close()

    def accept(self):
        near = self.listener.accept()[0]
        try:
            if self.mode == "cut":
                raise OSError
            far = socket.create_connection(("127.0.0.1", self.target), timeout=2)
        except OSError:
            return near.close()
        self.pairs[near], self.pairs[far] = far, near

    def run(self):
        while True:
            ready, _, _ = select.select([self.listener, *self.pairs], [], [], 0.05)
            if self.mode == "cut":
                for end in list(self.pairs):
                    self.drop(end)
            for end in ready:
                if end is self.listener:
                    self.accept()
                elif end in self.pairs:
                    try:
                        data = end.recv(65536)
                        if not data:
                            self.drop(end)
                        elif self.mode == "open":
                            self.pairs[end].sendall(data)
                    except OSError:
                        self.drop(end)


class Linked(Lab):
    def link_all(self):
        """Restarts the controllers of a lab with links between them."""
        self.ports = {site: free_port() for site in SITES}
        self.proxies = {(a, b): Proxy(self.ports[b]) for a in SITES for b in SITES if a != b}
        for site in SITES:
            self.kill_controller(site)
            config = f"{self.top}/lab/{site}/node.yaml"
            with open(config) as f:
                lines = f.read().splitlines()
            for i, line in enumerate(lines):
                for other in SITES:
                    if line.startswith(f"  - {{name: {other},") and other != site:
                        lines[i] = line.replace("}", f', control: "127.0.0.1:{self.proxies[site, other].port}"'
                                                + (", witness: true}" if other == "north" else "}"))
            with open(config, "w") as f:
                f.write("\n".join(lines) + f'\ncontrol_address: "127.0.0.1:{self.ports[site]}"\n')
        for site in SITES:
            self.run("lab", "start", site)

    def set_between(self, one, other, mode):
        self.proxies[one, other].mode = mode

    def show(self):
        for site in SITES:
            print(site, self.try_run("--site", site, "events").stdout)

    def sites(self, at):
        return {s["name"]: s for s in json.loads(self.run("--site", at, "status", "--json"))["sites"]}

    def events(self, at):
        return [json.loads(line) for line in self.run("--site", at, "events", "--json").splitlines()]

    def audit(self, at):
        return [json.loads(line) for line in self.run("--site", at, "events", "--audit", "--json").splitlines()]

    def remote(self, site, identity, *args):
        p = self.try_run("--connect", f"127.0.0.1:{self.ports[site]}", "--identity", f"{self.top}/lab/authority/{identity}",
                         *args)
        return p.returncode, p.stdout + p.stderr

    def told(self, at, *words):
        return any(all(word in event["text"] for word in words) for event in self.events(at))

    def wait_same(self, what):
        """Every event and every line of audit is at every site, once, those of a site in its order."""
        def lists(of, key):
            every = {}
            for at in SITES:
                mine = of(at)
                every[at] = {site: [key(x) for x in mine if (x.get("site") or x["line"]["site"]) == site] for site in SITES}
            return every
        self.wait(what + ": events", lambda: len({json.dumps(v) for v in lists(self.events, lambda e: e["text"]).values()}) == 1)
        self.wait(what + ": audit", lambda: len({json.dumps(v) for v in lists(self.audit, lambda e: e["hash"]).values()}) == 1)


def make(lab):
    """Each engine tells so much of itself that all together are more than one line of a question may have."""
    lab.run("lab", "up", "--storage", "disk", "--sites", ",".join(SITES), "--tls", FAKE_LARGE="500000")
    for role in ("operator", "viewer"):
        lab.run("cert", "issue", f"--{role}", "alice", "--directory", lab.top + "/lab/authority")
    lab.link_all()
    for site in SITES:
        assert os.path.exists(f"{lab.top}/lab/{site}/book.sqlite")
        lab.wait("all are seen", lambda: all(s["alive"] for s in lab.sites(site).values()))
    words = lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "north", code=2)
    assert "north is a witness" in words, words
    lab.create_group("db", "east", "west")
    lab.wait("protected", lambda: lab.group("north")["health"] == "protected")
    lab.wait_same("at first")


def commands_are_sent_on(lab):
    """Given at any controller: the one that must do it does; the audit says by way of whom."""
    north = lab.top + "/lab/north/control.sock"
    assert json.loads(lab.run("--socket", north, "--site", "east", "status", "--json"))["site"] == "east"
    assert "west is primary" in lab.run("--socket", north, "promote", "db", "--site", "west", "--reason", "because")
    lab.wait("it is seen", lambda: lab.group("east")["primary"] == "west" and lab.group("east")["health"] == "protected")
    lab.run("--socket", north, "resync", "db", "--site", "east")
    lab.run("--socket", north, "promote", "db", "--site", "nowhere", code=2)
    lab.wait_same("after a promotion")
    lines = [e["line"] for e in lab.audit("east") if e["line"]["command"].startswith("promote")]
    assert [line["what"] for line in lines] == ["begun", "done"], lines
    assert lines[1]["site"] == "west" and lines[1]["reason"] == "because", lines
    assert lines[1]["from"] == "control socket of north, by way of north" and "uid " in lines[1]["who"], lines


def people_come_from_elsewhere(lab):
    for role in ("viewers", "operators"):
        code, words = lab.remote("north", role + "/alice", "status", "--json")
        assert code == 0 and json.loads(words)["site"] == "north", words
    code, words = lab.remote("north", "viewers/alice", "--site", "east", "status", "--json")
    assert code == 0 and json.loads(words)["site"] == "east", words
    epoch = lab.group("west")["epoch"]
    for change in (("promote", "db", "--site", "east"), ("--site", "west", "group", "set", "db", "max_loss=9s"),
                   ("group", "delete", "db")):
        code, words = lab.remote("north", "viewers/alice", *change)
        assert code == 3 and "viewer alice" in words and "may look and change nothing" in words, (change, words)
    assert lab.group("west")["epoch"] == epoch
    code, words = lab.remote("north", "operators/alice", "switchover", "db", "--site", "east", "--reason", "a drill")
    assert code == 0 and "east is primary" in words, words
    lab.wait_same("after that")
    for site in SITES:
        lines = [e["line"] for e in lab.audit(site)]
        assert sum(line["what"] == "refused" and "viewer alice (serial " in line["who"] for line in lines) == 3, lines
        done = [line for line in lines if "operator alice (serial " in line["who"] and line["what"] == "done"]
        assert len(done) == 1 and done[0]["site"] == "east" and done[0]["reason"] == "a drill", lines
        assert done[0]["from"].startswith("127.0.0.1:") and done[0]["from"].endswith(", by way of north"), done
    lab.wait("protected", lambda: lab.group("north")["health"] == "protected")


def alarm_from_elsewhere(lab):
    """The hook of UPS daemons by a controller elsewhere and a certificate of its own: an operator's moves all, a
    viewer's nothing."""
    hook = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../control/examples/evacuate-hook")

    def alarm(role):
        with open(lab.top + "/conf", "w") as f:
            f.write(f"SITE=east\nCAUSEWAY={lab.cli}\nCONNECT=127.0.0.1:{lab.ports['north']}\nLOG={lab.top}/log\n"
                    f"LOCK={lab.top}/lock\nIDENTITY={lab.top}/lab/authority/{role}/alice\n")
        return subprocess.run([hook, "UPS a battery is low"], timeout=90, env=dict(
            lab.env, NOTIFYTYPE="LOWBATT", UPSNAME="a", EVACUATE_CONF=lab.top + "/conf")).returncode
    assert alarm("viewers") == 3 and lab.group("north")["primary"] == "east"
    assert "viewer alice" in open(lab.top + "/log").read()
    assert alarm("operators") == 0, open(lab.top + "/log").read()
    assert lab.group("north")["primary"] == "west"
    done = [e["line"] for e in lab.audit("west") if e["line"]["what"] == "done" and e["line"]["reason"] == "LOWBATT of a"]
    moved = [line for line in done if line["command"].startswith("switchover ")]  # north's own line of it may be here, too
    assert len(moved) == 1 and "operator alice" in moved[0]["who"] and moved[0]["from"].endswith(", by way of north"), done
    lab.wait("protected", lambda: lab.group("north")["health"] == "protected")
    lab.run("--site", "west", "failback", "db")
    lab.wait("protected", lambda: lab.group("north")["health"] == "protected")


def who_is_nobody(lab):
    """A node's certificate is no person's; one that is revoked is refused, and its connection ends; garbage is told."""
    node = f"{lab.top}/lab/authority/issued/east/east"
    p = lab.try_run("--connect", f"127.0.0.1:{lab.ports['east']}", "--identity", node, "status")
    assert p.returncode == 1 and "people have certificates of their own" in p.stderr, p
    lab.wait("it is told", lambda: lab.told("north", "was not let in", "people have certificates of their own"))
    lab.run("cert", "revoke", "--viewer", "alice", "--directory", lab.top + "/lab/authority")
    lab.wait("it is refused", lambda: lab.remote("north", "viewers/alice", "status")[0] == 1)
    code, words = lab.remote("north", "viewers/alice", "status")
    assert code == 1 and "certificate revoked" in words, words
    assert lab.remote("north", "operators/alice", "status")[0] == 0
    with socket.create_connection(("127.0.0.1", lab.ports["west"])) as garbage:
        garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
        lab.wait("it is told", lambda: lab.told("east", "was not let in", "no TLS as it is wanted here"))
    slow = [socket.create_connection(("127.0.0.1", lab.ports["west"])) for _ in range(80)]
    assert lab.remote("west", "operators/alice", "status")[0] == 0, "who says nothing makes room"
    assert all(s["alive"] for s in lab.sites("west").values())
    for s in slow:
        s.close()


def controller_dies(lab):
    lab.kill_controller("north")
    for site in ("east", "west"):
        lab.wait("it is missed", lambda: not lab.sites(site)["north"]["alive"])
        lab.wait("that is told", lambda: lab.told(site, "the controller of north is silent"))
    lab.run("--site", "east", "group", "set", "db", "max_loss=33s")
    lab.run("lab", "start", "north")
    for site in ("east", "west"):
        lab.wait("it is back", lambda: lab.told(site, "the controller of north is heard of again"))
    lab.wait_same("what it missed")
    assert any('"max_loss":"33s"' in e["line"]["command"] for e in lab.audit("north"))


def controller_stands_still(lab):
    pid = lab.pid("west")
    os.kill(pid, signal.SIGSTOP)
    try:
        for site in ("east", "north"):
            lab.wait("it is missed", lambda: sum("the controller of west is silent" in e["text"] for e in lab.events(site)) >= 2)
            status = lab.sites(site)
            assert not status["west"]["alive"] and status["west"]["last_seen_seconds"] > 2, status
        p = lab.try_run("--socket", lab.top + "/lab/north/control.sock", "--site", "west", "status")
        assert p.returncode == 1 and "the controller of west" in p.stderr, p
    finally:
        os.kill(pid, signal.SIGCONT)
    lab.wait("it is back", lambda: all(s["alive"] for s in lab.sites("north").values()))
    lab.wait_same("what it missed")


def asker_has_gone(lab):
    """Neither here nor elsewhere is done what nobody waits for any more, whichever way he came."""
    change = {"group": "db", "settings": {"max_loss": "91s"}}
    calls = [json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n" for method, params in
             (("group.set", change), ("at", {"site": "west", "method": "group.set", "params": change}))]
    identity = lab.top + "/lab/authority/operators/alice"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(identity + "/client-cert.pem", identity + "/client-key.pem")
    ends = [context.wrap_socket(socket.create_connection(("127.0.0.1", lab.ports["north"]), timeout=60)) for _ in calls]
    for end in ends:
        end.sendall(b'{"jsonrpc": "2.0", "id": 0, "method": "hello"}\n')
        assert b"result" in end.recv(65536)
    pid = lab.pid("north")
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in calls:
            ends.append(socket.socket(socket.AF_UNIX))
            ends[-1].connect(lab.top + "/lab/north/control.sock")
        for end, call in zip(ends, calls * 2):
            end.sendall(call)
            end.close()
    finally:
        os.kill(pid, signal.SIGCONT)

    def lines():
        return [e["line"] for e in lab.audit("north") if '"91s"' in e["line"]["command"]]
    # Of a connection over TLS the end may be seen before what came on it: then there is no line.
    lab.wait("those of the socket are told", lambda: len(lines()) >= 2)
    assert {line["what"] for line in lines()} == {"dropped"} and len(lines()) <= 4, lines()
    assert lab.group("north")["failover"]["max_loss_seconds"] != 91
    lab.wait("it is back", lambda: all(s["alive"] for s in lab.sites("north").values()))
    assert {line["what"] for line in lines()} == {"dropped"}, lines()
    assert lab.group("north")["failover"]["max_loss_seconds"] != 91


def links_are_cut(lab):
    """One way, both ways, and into a hole: as long as some way is left nobody stays silent, and all is told to all."""
    def silent():
        texts = [e["text"] for e in lab.events("north")]
        return sum("is silent" in text for text in texts) - sum("is heard of again" in text for text in texts)
    before = silent()
    for one, other, mode in (("east", "west", "cut"), ("west", "east", "hole")):
        lab.set_between(one, other, mode)
        lab.run("--site", one, "group", "set", "db", "max_loss=34s")
        lab.wait("it is told", lambda: lab.told("north", "there is no link to the controller of " + other))
    lab.run("--site", "west", "group", "set", "db", "max_loss=35s")
    for site in ("east", "west"):
        lab.wait("all are heard", lambda: all(s["alive"] for s in lab.sites(site).values()))
    p = lab.try_run("--socket", lab.top + "/lab/east/control.sock", "--site", "west", "status")
    assert p.returncode == 1 and "the controller of west" in p.stderr, p
    lab.wait_same("by way of north")
    lab.wait("nobody is silent, by way of north", lambda: silent() <= before)
    lab.set_between("east", "west", "open")
    lab.set_between("west", "east", "open")
    lab.wait("it is told", lambda: lab.told("north", "the link to the controller of west is there again"))
    lab.wait("both", lambda: lab.told("north", "the link to the controller of east is there again"))
    lab.wait_same("as before")


def audit_is_written_anew(lab):
    """A line changed at one site is told there. A log that was written anew, hashes and all, is told by the others."""
    book = lab.top + "/lab/north/book.sqlite"

    def by_hand(*what):
        with sqlite3.connect(book) as store:
            for one in what:
                store.execute(one)
    by_hand("UPDATE audit_lines SET text=replace(text,'33s','99s') WHERE text LIKE '%33s%'")
    lab.wait("it is told", lambda: lab.told("east", "the audit at north is not whole", "was changed"))
    assert lab.try_run("--site", "north", "events", "--audit").returncode == 1
    lab.run("--site", "east", "events", "--audit")
    by_hand("UPDATE audit_lines SET text=replace(text,'99s','33s') WHERE text LIKE '%99s%'")
    with sqlite3.connect(book) as store:
        stream = store.execute("SELECT name FROM streams WHERE name LIKE 'north:%' AND audit>0").fetchall()
    if not stream:
        lab.run("--site", "north", "group", "set", "db", "max_loss=36s")
        lab.wait_same("a line of north")
    lab.kill_controller("north")
    by_hand("DELETE FROM audit_lines WHERE stream LIKE 'north:%'", "UPDATE streams SET audit=0, hash='' WHERE name LIKE 'north:%'")
    lab.run("lab", "start", "north")
    lab.run("--site", "north", "group", "set", "db", "max_loss=37s")
    # Told before it is asked, it finds out by itself; else the others do.
    lab.wait("it is told", lambda: lab.told("east", "the audit of north:", "was written anew")
             or lab.told("east", "than its own book: that was put back to an older copy"))


def all_others_are_lost(lab):
    """The store is locked, the others are dead: the last one still shows all, and how old that is."""
    locker = sqlite3.connect(lab.top + "/lab/store.db", isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    for site in ("east", "west"):
        lab.run("lab", "kill", site)
    try:
        def old():
            status = lab.sites("north")
            return all(not status[s]["alive"] and status[s]["last_seen_seconds"] > 3 for s in ("east", "west"))
        lab.wait("they are shown, with their age", old)
        status = json.loads(lab.run("--site", "north", "status", "--json"))
        assert [g["name"] for g in status["groups"]] == ["db"] and status["groups"][0]["health"] == "down", status
        lab.wait("it is told", lambda: lab.told("north", "the controller of east is silent"))
    finally:
        locker.execute("ROLLBACK")
        locker.close()


STEPS = (make, commands_are_sent_on, people_come_from_elsewhere, alarm_from_elsewhere, who_is_nobody, controller_dies,
         controller_stands_still, asker_has_gone, links_are_cut, audit_is_written_anew, all_others_are_lost)

if __name__ == "__main__":
    play(Linked, STEPS)
