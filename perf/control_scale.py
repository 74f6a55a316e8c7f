#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Control with many groups on many nodes, at a real etcd of three members.

    ./run bench control/scale
    perf/control_scale.py [--nodes N] [--groups G] [--real R] [--seconds S]     one world of that size

R nodes (in pairs) have a real causeway-control each, with an engine that only talks
(tests/unit/control/fake_engine.py). The others are simulated: a process writes what their controllers would write, a
renewal a second each (the same transaction), and puts what they would tell of themselves once a second into the books
of the real ones, in the place of the links; another one reads what they would read, a watch and a question a second
each. The rows of groups are written into etcd as copies of those of a group that was made by `causeway group create`.

What is measured: the time of `causeway status` as a person waits for it, of `evacuate --dry-run` where there is
one; memory and CPU of a real controller; what goes between it and etcd (of its sockets, as the kernel counts: with
HTTP, without TLS); requests at etcd, and what its files grow by; how long a controller takes from its start to its
first answer. CPU is of /proc, so it is right on a busy machine, too; times are not: three members of etcd that serve
100 nodes are more than two processors. `alone` is while the simulated nodes ask etcd nothing (they and its members would
be on other machines); what they tell of themselves goes on.
"""
import argparse
import base64
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("CAUSEWAY_BUILD", os.path.join(TOP, "build", "gcc"))
sys.path.insert(0, os.path.join(TOP, "tests", "unit", "control"))
from fake_engine import Engine  # noqa: E402

PREFIX = "/causeway/scale/"
PARTS = 4  # processes that share the simulated nodes: one would wait for each answer alone


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"waited for: {what}")


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Member:
    """A connection to one member's gateway."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def rows(self, prefix=PREFIX):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.call("/v3/kv/range", {"key": b64(prefix), "range_end": b64(end)})
        return {base64.b64decode(kv["key"]).decode(): (base64.b64decode(kv["value"]).decode(), int(kv["mod_revision"]))
                for kv in answer.get("kvs", [])}

    def txn(self, compares, puts):
        return self.call("/v3/kv/txn", {
            "compare": [{"key": b64(k), "target": "MOD", "result": "EQUAL", "mod_revision": str(r)} for k, r in compares],
            "success": [{"request_put": {"key": b64(k), "value": b64(v)}} for k, v in puts]})

    def put_all(self, rows):
        rows = list(rows.items())
        for at in range(0, len(rows), 100):
            self.txn([], rows[at:at + 100])

    def metrics(self):
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        return {name: float(value) for name, value in re.findall(r"^(\w[^ #]*) ([-+0-9.e]+)$", text, re.M)}


class Etcd:
    """Three members on this machine, with what control/README.md says about compaction."""

    def __init__(self, top):
        self.ports = [free_port() for _ in range(3)]
        peers = [free_port() for _ in range(3)]
        everybody = ",".join(f"m{i}=http://127.0.0.1:{p}" for i, p in enumerate(peers))
        self.processes = []
        for i in range(3):
            client, peer = f"http://127.0.0.1:{self.ports[i]}", f"http://127.0.0.1:{peers[i]}"
            log = open(f"{top}/etcd{i}.log", "w")
            self.processes.append(subprocess.Popen(
                ["etcd", "--name", f"m{i}", "--data-dir", f"{top}/etcd{i}", "--listen-client-urls", client,
                 "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", everybody, "--auto-compaction-mode", "revision", "--auto-compaction-retention", "10000"],
                stdout=log, stderr=log))
        self.members = [wait("etcd", lambda p=p: self.reach(p)) for p in self.ports]

    @staticmethod
    def reach(port):
        try:
            member = Member(port)
            member.rows("/x")
            return member
        except (OSError, RuntimeError, http.client.HTTPException):
            return None

    def counts(self):
        """Requests by method, bytes in the database, of all members; CPU seconds."""
        total = {"cpu": 0.0}
        for member, process in zip(self.members, self.processes):
            total["cpu"] += cpu_seconds(process.pid)
            for name, value in member.metrics().items():
                found = re.match(r'grpc_server_handled_total\{grpc_code="OK",grpc_method="(\w+)"', name)
                if found or name in ("etcd_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_use_in_bytes",
                                     "etcd_debugging_mvcc_events_total"):
                    key = found.group(1) if found else name
                    total[key] = total.get(key, 0) + value
        return total

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1)) for key in ("Rss", "Pss")}


def etcd_bytes(pid, ports):
    """Of each connection of this process to etcd, by its own address: bytes sent and received."""
    text = subprocess.run(["ss", "-tinpH", "state", "established"], capture_output=True, text=True).stdout
    found = {}
    for head, info in zip(*[iter(text.splitlines())] * 2):
        own, peer = head.split()[2:4]
        if f"pid={pid}," in head and int(peer.rsplit(":", 1)[1]) in ports:
            found[own] = tuple(int((re.search(rf"{key}:(\d+)", info) or [0, 0])[1]) for key in ("bytes_sent", "bytes_received"))
    return found


# ---------------------------------------------------------------- nodes

class World:
    def __init__(self, top, etcd, nodes, groups, real):
        self.top, self.etcd, self.groups, self.real = top, etcd, groups, real
        self.names = [f"n{i:03}" for i in range(nodes)]
        self.controllers = {}
        for site in self.names[:real]:
            os.makedirs(f"{top}/{site}/storage")
            os.makedirs(f"{top}/{site}/nbd")
            self.configure(site)

    def partner(self, site):
        return self.names[self.names.index(site) ^ 1]

    def configure(self, site):
        number = self.names.index(site)
        pair = sorted((number, number ^ 1))
        sites = "\n".join(f"  - {{name: {self.names[i]}, id: {i % 8}, directory: {self.top}/{self.names[i]}}}" for i in pair)
        other = self.partner(site)
        with open(f"{self.top}/key", "wb") as f:
            f.write(bytes(range(32)))
        os.chmod(f"{self.top}/key", 0o600)
        with open(f"{self.top}/{site}/node.yaml", "w") as f:
            f.write(f"""site: {site}
sites:
{sites}
directory: {self.top}/{site}
cluster_key: {self.top}/key
etcd:
  endpoints: [{", ".join(f'"http://127.0.0.1:{p}"' for p in self.etcd.ports)}]
  prefix: {PREFIX[:-1]}
paths:
  - name: wan0
    remote: {other}
    device: net_memif0
    mtu: 1500
    local: {{ip: 10.0.0.{number % 2 + 1}, port: 7400, mac: "02:ca:00:00:00:01"}}
    peer: {{ip: 10.0.0.{(number ^ 1) % 2 + 1}, port: 7400, mac: "02:ca:00:00:00:02"}}
""")

    def start(self, site):
        """Until its first answer, in seconds."""
        log = open(f"{self.top}/{site}/control.log", "a")
        began = time.monotonic()
        self.controllers[site] = subprocess.Popen(
            [f"{BUILD}/control/causeway-control", "--config", f"{self.top}/{site}/node.yaml"], stdout=log, stderr=log)
        wait("the controller's first answer", lambda: self.hello(site))
        return time.monotonic() - began

    def hello(self, site):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f"{self.top}/{site}/control.sock")
                s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello"}\n')
                return s.recv(65536)
        except OSError:
            return None

    def causeway(self, site, *args):
        return subprocess.run([f"{BUILD}/control/causeway", "--socket", f"{self.top}/{site}/control.sock", *args],
                              capture_output=True, text=True, timeout=120)

    def status(self, site):
        p = self.causeway(site, "status", "--json")
        return json.loads(p.stdout) if p.returncode == 0 else None

    def stop(self):
        for process in self.controllers.values():
            process.terminate()
        for process in self.controllers.values():
            process.wait()
        self.controllers.clear()

    # ------------------------------------------------------------ rows
    def make_first(self):
        """One group by the command line: what it became is the model of the others."""
        one, other = self.names[:2]
        for args in (("group", "create", "g0001", "--mode", "sync", "--primary", one, "--replica", other,
                      "--journal-size", "64M"),
                     ("volume", "create", "g0001/data", "--size", "1M")):
            p = self.causeway(one, *args)
            if p.returncode != 0:
                raise RuntimeError(f"causeway {' '.join(args)}: {p.stdout}{p.stderr}")

    def make_others(self):
        """Group K is first at node K - 1 (in turn), its replica at that one's partner."""
        member = self.etcd.members[0]
        rows = {key[len(PREFIX):]: json.loads(value) for key, (value, _) in member.rows().items()
                if not key.startswith(PREFIX + "meta/format")}
        puts = {}
        site_row = rows[f"sites/{self.names[0]}"]
        for i, name in enumerate(self.names[self.real:], self.real):
            puts[f"sites/{name}"] = {**site_row, "name": name, "id": i % 8}
            puts[f"lease/{name}"] = 0
            puts[f"held/{name}"] = 1
        for number in range(2, self.groups + 1):
            first = self.names[(number - 1) % len(self.names)]
            puts.update(self.group_rows(rows, number, first))
        puts["meta/next_group"] = self.groups + 1
        member.put_all({PREFIX + key: json.dumps(value) for key, value in puts.items()})

    def group_rows(self, rows, number, first):
        is_real = first in self.names[:self.real]
        name, other = f"g{number:04}", self.partner(first)
        model = {self.names[0]: first, self.names[1]: other, "g0001": name}

        def change(text):
            return re.sub("|".join(model), lambda found: model[found.group()], text)

        made = {}
        for key, value in rows.items():
            kind, _, rest = key.partition("/")
            if kind == "names":
                made[f"names/{name}"] = number
            elif rest.split("/")[0] == "0000000001":
                value = json.loads(change(json.dumps(value)))
                key = change(key.replace("0000000001", f"{number:010}"))
                if kind == "groups":
                    value["id"] = number
                elif kind in ("places", "volumes", "attachments"):
                    value["group"] = number
                if kind == "places":
                    value["made"] = not is_real
                if kind == "authority" and is_real:
                    value.update(epoch=0, reign="0", holder="", first_sequence=0, members=[], fenced_epoch=0, moves=0)
                made[key] = value
        return made


def run_engine(world, site):
    engine = Engine(f"{world.top}/{site}/node.yaml")
    engine.listener.listen(1024)  # its peer asks for each group whether it is there
    engine.run()


class Links:
    """In the place of the links: of the real controllers each gets the others' facts into its book."""

    def __init__(self, world):
        self.world, self.copied = world, {}
        self.books = [sqlite3.connect(f"{world.top}/{s}/book.sqlite", timeout=5, isolation_level=None)
                      for s in world.names[:world.real]]
        for book in self.books:
            book.execute("PRAGMA synchronous=NORMAL")

    @staticmethod
    def put(book, site, text):
        try:
            book.execute("INSERT INTO facts VALUES(?,1,?) ON CONFLICT(site) DO UPDATE SET counter=counter+1,"
                         "json=excluded.json", (site, text))
        except sqlite3.OperationalError:
            pass  # locked: again in a second

    def exchange(self):
        for i, site in enumerate(self.world.names[:self.world.real]):
            row = self.books[i].execute("SELECT counter, json FROM facts WHERE site=?", (site,)).fetchone()
            if not row or self.copied.get(site) == row[0]:
                continue
            self.copied[site] = row[0]
            for j, book in enumerate(self.books):
                if j != i:
                    self.put(book, site, row[1])

    def run(self):
        while True:
            self.exchange()
            time.sleep(0.05)


class Facts(Links):
    """And what the controllers of the simulated nodes tell of themselves, once a second."""

    def __init__(self, world):
        super().__init__(world)
        self.sites = world.names[world.real:]
        self.facts = self.make_facts(Member(world.etcd.ports[0]).rows())

    def make_facts(self, rows):
        """As of the engine of the first real node, with other groups."""
        text = None
        while not text:
            row = self.books[0].execute("SELECT json FROM facts WHERE site=?", (self.world.names[0],)).fetchone()
            text = row[0] if row and json.loads(row[0]).get("engine") and json.loads(row[0])["engine"]["groups"] else None
            time.sleep(0.1)
        model = json.loads(text)
        shown = model["engine"]["groups"][0]
        groups = {s: [] for s in self.sites}
        for key, (value, _) in rows.items():
            if not key.startswith(PREFIX + "groups/"):
                continue
            group = json.loads(value)
            for site in group["sites"]:
                if site in groups:
                    other = next(s for s in group["sites"] if s != site)
                    is_primary = site == group["sites"][0]
                    groups[site].append({
                        **shown, "group": group["id"], "name": group["name"], "role": "primary" if is_primary else "replica",
                        "frozen": False, "members": group["sites"], "peers": [{**shown["peers"][0], "site": other,
                                                                              "state": "in-sync", "member": True}],
                        "volumes": [dict(v, open=is_primary) for v in shown["volumes"]]})
        path = model["engine"]["paths"][0]
        del model["wall_seconds"]
        model.update(engine_age_seconds=0.1, engine_alive=True)
        return {s: json.dumps({**model, "engine": {**model["engine"], "site": s, "groups": groups[s], "paths": [
            {**path, "local": s, "remote": self.world.partner(s)}]}})[1:] for s in self.sites}

    def run(self):
        def tell(site):
            for book in self.books:
                self.put(book, site, f'{{"wall_seconds":{time.time()},' + self.facts[site])
            self.exchange()
        in_turn(self.sites, tell, self.exchange)


class Renewals:
    """What they write into etcd: as store_etcd.c's renewal."""

    def __init__(self, world, part):
        self.member = Member(world.etcd.ports[part % 3])
        rows = self.member.rows()
        holders = {json.loads(value)["holder"] for key, (value, _) in rows.items() if key.startswith(PREFIX + "authority/")}
        self.sites = [s for s in world.names[world.real:][part::PARTS] if s in holders]
        self.leases = {s: [rows[f"{PREFIX}lease/{s}"][1], 0, rows[f"{PREFIX}held/{s}"][1]] for s in self.sites}

    def renew(self, site):
        lease, counter, held = self.leases[site]
        try:
            answer = self.member.txn([(f"{PREFIX}held/{site}", held), (f"{PREFIX}lease/{site}", lease)],
                                     [(f"{PREFIX}lease/{site}", str(counter + 1))])
        except (RuntimeError, OSError, http.client.HTTPException):  # on a busy machine etcd may be late
            self.leases[site][0] = self.member.rows(f"{PREFIX}lease/{site}")[f"{PREFIX}lease/{site}"][1]
            return
        if answer.get("succeeded"):
            self.leases[site][:2] = [int(answer["header"]["revision"]), counter + 1]

    def run(self):
        in_turn(self.sites, self.renew, lambda: None)


def in_turn(sites, act, idle):
    """Each once a second, evenly; for ever."""
    due = {s: time.monotonic() + i / max(len(sites), 1) for i, s in enumerate(sites)}
    while True:
        for site in sites:
            if time.monotonic() >= due[site]:
                due[site] = max(due[site] + 1, time.monotonic())
                act(site)
        idle()
        time.sleep(0.02)


class Readers:
    """What the controllers of the simulated nodes would read from etcd: a watch each, and each second the question what
    there is by now, which an up-to-date copy has already."""

    def __init__(self, world, part):
        self.members = [Member(p) for p in world.etcd.ports]
        self.nodes = world.names[world.real:][part::PARTS]
        self.ends = selectors.DefaultSelector()
        end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
        watch = json.dumps({"create_request": {"key": b64(PREFIX), "range_end": b64(end), "progress_notify": True}})
        for i in range(len(self.nodes)):
            port = world.etcd.ports[i % 3]
            s = socket.create_connection(("127.0.0.1", port))
            s.sendall((f"POST /v3/watch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(watch)}\r\n\r\n{watch}").encode())
            self.ends.register(s, selectors.EVENT_READ)
        self.question = {"key": b64(PREFIX), "range_end": b64(end), "keys_only": True, "limit": "500"}

    def run(self):
        at, revision, next_ask = 0, 0, time.monotonic()
        while True:
            for key, _ in self.ends.select(0.01):
                if not key.fileobj.recv(1 << 16):
                    self.ends.unregister(key.fileobj)
            while self.nodes and time.monotonic() >= next_ask:
                next_ask = max(next_ask + 1 / len(self.nodes), time.monotonic() - 1)
                try:
                    answer = self.members[at % 3].call("/v3/kv/range", {**self.question, "min_mod_revision": str(revision)})
                    revision = int(answer["header"]["revision"])
                except (RuntimeError, OSError, http.client.HTTPException):
                    pass
                at += 1


def in_process(function):
    process = multiprocessing.get_context("fork").Process(target=function, daemon=True)
    process.start()
    return process


# ---------------------------------------------------------------- measuring

def milliseconds_of(call, times=5):
    """The shortest of some (other work on the machine only adds), and the size of what was printed."""
    taken = []
    for _ in range(times):
        began = time.monotonic()
        p = call()
        taken.append(time.monotonic() - began)
        if p.returncode != 0:
            raise RuntimeError(p.stdout + p.stderr)
    return min(taken) * 1e3, len(p.stdout)


def still(helpers):
    """Stopped, for the time of a with statement: what other machines would do is not done on this one."""
    @contextlib.contextmanager
    def held():
        for h in helpers:
            os.kill(h.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for h in helpers:
                os.kill(h.pid, signal.SIGCONT)
    return held()


def settled(world, site):
    status = world.status(site)
    if not status or len(status["groups"]) != world.groups:
        return None
    return status if all(g["health"] == "protected" for g in status["groups"]) else None


def steady(world, seconds, note):
    """Of one real controller, over some time in which nobody asks anything."""
    pid, ports = world.controllers[world.names[0]].pid, world.etcd.ports
    for _ in range(3):
        before, cpu, bytes_before, began = world.etcd.counts(), cpu_seconds(pid), etcd_bytes(pid, ports), time.monotonic()
        time.sleep(seconds)
        taken, cpu, bytes_after = time.monotonic() - began, cpu_seconds(pid) - cpu, etcd_bytes(pid, ports)
        if set(bytes_before) == set(bytes_after):
            break
        note("a connection to etcd was made anew meanwhile: once more")
    after = world.etcd.counts()
    rate = {key: (after[key] - before.get(key, 0)) / taken for key in after}
    sent, received = (sum(bytes_after[c][i] - bytes_before.get(c, (0, 0))[i] for c in bytes_after) / taken for i in (0, 1))
    return {"cpu": cpu / taken, "sent": sent, "received": received, "requests": rate.get("Txn", 0) + rate.get("Range", 0),
            "etcd_cpu": rate["cpu"], "growth": rate.get("etcd_mvcc_db_total_size_in_use_in_bytes", 0) / 3 * 3600}


def measure(add, nodes, groups, real, seconds, note):
    """add(name, value, unit): each figure of one world."""
    top, helpers, etcd, world = tempfile.mkdtemp(prefix="cws-"), [], None, None
    try:
        etcd = Etcd(top)
        world = World(top, etcd, nodes, groups, real)
        helpers += [in_process(lambda s=s: run_engine(world, s)) for s in world.names[:real]]
        for site in world.names[:real]:
            world.start(site)
        links = in_process(lambda: Links(world).run())
        helpers.append(links)
        wait("the engines", lambda: all(s["alive"] for s in (world.status(world.names[0]) or {"sites": [{"alive": 0}]})["sites"]))
        world.make_first()
        world.make_others()
        links.kill()
        helpers.append(in_process(lambda: Facts(world).run()))
        elsewhere = [in_process(lambda k=kind, i=part: k(world, i).run()) for kind in (Renewals, Readers) for part in range(PARTS)]
        helpers += elsewhere
        site = world.names[0]
        wait("all groups protected", lambda: settled(world, site), 300)
        note(f"{groups} groups on {nodes} nodes, {real} real: steady")
        figures = steady(world, seconds, note)
        expected = 2 * nodes if groups >= nodes else nodes + groups
        if figures["requests"] < 0.9 * expected:
            note(f"etcd took {figures['requests']:.0f} requests a second and was to take {expected}: the machine is too busy")
        memory = memory_kib(world.controllers[site].pid)
        where = f"control/scale/{groups}x{nodes}"
        traffic = figures["sent"] + figures["received"]
        add(f"{where}/cpu", figures["cpu"] * 100, "% CPU")
        add(f"{where}/pss", memory["Pss"] / 1024, "MiB")
        add(f"{where}/rss", memory["Rss"] / 1024, "MiB")
        add(f"{where}/etcd/sent", figures["sent"], "B/s")
        add(f"{where}/etcd/received", figures["received"], "B/s")
        add(f"{where}/etcd/traffic-per-group", traffic * nodes / groups, "B/s")
        add(f"{where}/etcd/requests", figures["requests"], "1/s")
        add(f"{where}/etcd/cpu", figures["etcd_cpu"] * 100, "% CPU")
        add(f"{where}/etcd/growth", figures["growth"] / 1e6, "MB/h")
        cpu = cpu_seconds(world.controllers[site].pid)
        taken, size = milliseconds_of(lambda: world.causeway(site, "status", "--json"), 10)
        add(f"{where}/status-json/cpu", (cpu_seconds(world.controllers[site].pid) - cpu) / 10 * 1e3, "ms")
        add(f"{where}/status-json", taken, "ms")
        add(f"{where}/status-json/size", size / 1024, "KiB")
        add(f"{where}/status", milliseconds_of(lambda: world.causeway(site, "status"))[0], "ms")
        with still(elsewhere):
            time.sleep(1)  # etcd ends what it was asked
            add(f"{where}/status-json/alone", milliseconds_of(lambda: world.causeway(site, "status", "--json"), 10)[0], "ms")
            add(f"{where}/status/alone", milliseconds_of(lambda: world.causeway(site, "status"), 10)[0], "ms")
        plan = world.causeway(site, "evacuate", site, "--dry-run")
        if plan.returncode == 0:
            add(f"{where}/evacuate-plan",
                milliseconds_of(lambda: world.causeway(site, "evacuate", site, "--dry-run"))[0], "ms")
        else:
            note("no figure for evacuate --dry-run: " + (plan.stderr or plan.stdout).strip().splitlines()[-1])
        process = world.controllers[site]
        process.terminate()
        process.wait()
        add(f"{where}/start", world.start(site) * 1e3, "ms")
    finally:
        for helper in helpers:
            helper.kill()
            helper.join()
        if world:
            world.stop()
        if etcd:
            etcd.stop()
        if os.environ.get("CW_KEEP"):
            print(f"kept: {top}", file=sys.stderr)
        else:
            shutil.rmtree(top, ignore_errors=True)


def scale(results, a, note):
    """For bench.py."""
    for groups, nodes in [(100, 10)] if a.quick else [(1, 100), (100, 100), (1000, 100)]:
        if results.wants(f"control/scale/{groups}x{nodes}"):
            measure(results.add, nodes, groups, 2, 2 if a.quick else max(a.seconds, 10), note)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--nodes", type=int, default=100)
    p.add_argument("--groups", type=int, default=1000)
    p.add_argument("--real", type=int, default=2)
    p.add_argument("--seconds", type=float, default=10)
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    measure(lambda name, value, unit: print(f"{name:<52} {value:12.3f} {unit}", flush=True), a.nodes, a.groups, a.real,
            a.seconds, lambda text: print(f"  ... {text}", file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
