# SPDX-License-Identifier: BSD-3-Clause
"""Two real engines on one machine, joined by memif, and a controller that grants what it is told to grant.

The controller here is a dictionary: it stands for the store, obeys its rules of compare-and-swap for one
process, and can be told to stop renewing. It is no model of control/: it exists so that the engine can be
driven by its socket alone.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from results import summary  # noqa: E402

SITES = ["east", "west"]
KEY = bytes(range(32))


LIMIT_SECONDS = 60.0  # of a wait that says nothing else; an emulated machine sets more


def wait_for(what, condition, seconds=None):
    """Polls until the condition holds and returns its value."""
    seconds = seconds or LIMIT_SECONDS
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
        except (ConnectionError, OSError) as error:
            last = error
        if last and not isinstance(last, Exception):
            return last
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s; last seen: {last!r}")


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error.get("message", ""))
        self.status = error.get("data", {}).get("status", "")


class Connection:
    """One JSON-RPC connection, both ways; answers are waited for in the caller's thread."""

    def __init__(self, address, on_request=None):
        """address: the path of a socket, or host and port of what leads to one."""
        self.socket = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb")
        self.on_request = on_request
        self.lock = threading.Lock()
        self.answers = {}
        self.arrived = threading.Condition()
        self.next_id = 0
        self.events = []
        self.is_closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def _send(self, message):
        with self.lock:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def _read(self):
        try:
            for line in self.file:
                self._take(json.loads(line))
        except (OSError, ValueError):
            pass
        with self.arrived:
            self.is_closed = True
            self.arrived.notify_all()

    def _take(self, message):
        if message.get("method") == "event":
            self.events.append(message["params"])
        elif "method" in message:
            reply = {"jsonrpc": "2.0", "id": message["id"]}
            try:
                reply["result"] = self.on_request(message["method"], message["params"])
            except RpcError as error:
                reply["error"] = {"code": -32000, "message": str(error), "data": {"status": error.status}}
            if reply.get("result") is not False:  # False: the controller is silent
                self._send(reply)
        else:
            with self.arrived:
                self.answers[message["id"]] = message
                self.arrived.notify_all()

    def call(self, method, timeout=60.0, **params):
        self.next_id += 1
        mine = self.next_id
        self._send({"jsonrpc": "2.0", "id": mine, "method": method, "params": params})
        with self.arrived:
            if not self.arrived.wait_for(lambda: mine in self.answers or self.is_closed, timeout):
                raise AssertionError(f"{method}: no answer within {timeout} s")
            if mine not in self.answers:
                raise ConnectionError(f"{method}: the engine closed the connection")
            message = self.answers.pop(mine)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class Store:
    """Epoch, holder and set of each group, changed by compare-and-swap."""

    def __init__(self, lease_ms=5000):
        self.lock = threading.Lock()
        self.lease_ms = lease_ms
        self.rows = {}
        self.silent = set()  # sites whose engines get no answer
        self.renewed = {}    # site -> monotonic time of the last renewal that covered a group

    def row(self, group):
        return self.rows.setdefault(group, {"epoch": 0, "holder": "", "set": []})

    def request(self, site, method, params):
        with self.lock:
            if site in self.silent:
                return False
            return getattr(self, method.replace(".", "_"))(site, params)

    def lease_renew(self, site, params):
        lost = []
        for one in params["groups"]:
            row = self.row(one["group"])
            if row["holder"] != site or row["epoch"] != one["epoch"]:
                lost.append(one["group"])
            else:
                self.renewed[site] = time.monotonic()
        return {"lease_ms": self.lease_ms, "lost": lost}

    def store_claim(self, site, params):
        row = self.row(params["group"])
        if row["epoch"] == params["epoch"] and row.get("reign") == params["reign"]:
            return {}
        if params["from_epoch"] != row["epoch"] or params["epoch"] <= row["epoch"]:
            raise RpcError({"message": f"the store has epoch {row['epoch']}", "data": {"status": "refused"}})
        if row["holder"] not in ("", site):
            quiet = time.monotonic() - self.renewed.get(row["holder"], 0.0)
            if quiet < self.lease_ms / 1000 * 1.01:
                raise RpcError({"message": "an old lease may run", "data": {"status": "again"}})
        row.update(epoch=params["epoch"], holder=site, set=params["members"], reign=params["reign"])
        return {}

    def store_set(self, site, params):
        row = self.row(params["group"])
        names = sorted(m["site"] for m in row["set"])
        if row["holder"] != site or row["epoch"] != params["epoch"] or names != sorted(params["from"]):
            raise RpcError({"message": "the store has another set", "data": {"status": "refused"}})
        row["set"] = params["to"]
        return {}


class Engine:
    def __init__(self, rig, site, net_lcores=0, poll="adaptive", on_store_loss="freeze"):
        self.rig = rig
        self.site = site
        self.directory = os.path.join(rig.directory, site)
        self.socket = os.path.join(self.directory, "engine.sock")
        self.config = os.path.join(self.directory, "node.yaml")
        self.log = os.path.join(self.directory, "engine.log")
        self.process = None
        self.rpc = None
        self.on_store_loss = on_store_loss
        os.makedirs(os.path.join(self.directory, "storage"), mode=0o700)
        with open(self.config, "w") as file:
            file.write(self._yaml(net_lcores, poll))

    def _yaml(self, net_lcores, poll):
        own = SITES.index(self.site)
        other = 1 - own
        role = "server" if own == 0 else "client"
        sites = "".join(f"  - {{name: {name}, id: {i}, directory: {self.rig.directory}/{name}}}\n"
                        for i, name in enumerate(SITES))
        net = list(range(1, 1 + net_lcores)) if net_lcores > 1 else net_lcores
        return (f"site: {self.site}\nsites:\n{sites}directory: {self.directory}\n"
                f"store: {self.rig.directory}/store.db\ncluster_key: {self.rig.directory}/cluster.key\n"
                f"poll: {poll}\nlcores: {{net: {net}, store: 0}}\n"
                f"memory: {{payload_mb: 32, receive_mb: 32}}\n"
                f"lease_seconds: {self.rig.store.lease_ms // 1000}\non_store_loss: {self.on_store_loss}\n"
                f"paths:\n  - name: wan0\n    remote: {SITES[other]}\n"
                f"    device: net_memif0,role={role},id=0,socket={self.rig.directory}/link.sock,socket-abstract=no\n"
                f"    mtu: 1500\n"
                f"    local: {{mac: \"02:ca:00:00:00:0{own + 1}\", ip: 10.77.0.{own + 1}, port: 7400}}\n"
                f"    peer: {{mac: \"02:ca:00:00:00:0{other + 1}\", ip: 10.77.0.{other + 1}, port: 7400}}\n")

    def start(self, **more):
        environment = dict(os.environ, CAUSEWAY_ABORT_ON_ALLOCATION="1", **more)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.rig.program, "--config", self.config], stdout=log, stderr=log,
                                            env=environment)
        self.connect()
        return self

    def connect(self):
        def attempt():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.site} ended with {self.process.returncode}:\n{self.tail()}")
            return Connection(self.socket, lambda method, params: self.rig.store.request(self.site, method, params))
        self.rpc = wait_for(f"{self.site} serves its socket", attempt)
        self.rpc.call("control.register")

    def tail(self, lines=40):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.rpc.close()

    def stop(self):
        self.rpc.call("engine.stop")
        code = self.process.wait(timeout=60)
        assert code == 0, f"{self.site} ended with {code}:\n{self.tail()}"
        self.rpc.close()

    def status(self):
        return self.rpc.call("status")

    def group(self, group=1):
        for one in self.status()["groups"]:
            if one["group"] == group:
                return one
        return None

    def attach(self, group=1, mode="sync", create=True, journal_mb=64, **more):
        return self.rpc.call("group.attach", group=group, name=f"g{group}", mode=mode, min_in_sync=0,
                             replica_timeout_ms=more.get("replica_timeout_ms", 2000), sites=SITES,
                             epoch=self.rig.store.row(group)["epoch"],
                             journal={"path": f"{self.directory}/storage/g{group}.journal",
                                      "size": journal_mb << 20, "create": create})

    def nbd_socket(self, group=1, volume=0):
        return f"{self.directory}/g{group}v{volume}.sock"

    def volume(self, group=1, volume=0, size=16 << 20, create=True, base="0"):
        return self.rpc.call("volume.attach", group=group, volume=volume, name=f"v{volume}", size=size,
                             path=f"{self.directory}/storage/g{group}v{volume}.img", create=create, base=base,
                             thin=False, socket=self.nbd_socket(group, volume), block_size=512)

    def open(self, group=1, accept_loss=False):
        row = self.rig.store.row(group)
        return self.rpc.call("group.open", group=group, epoch=row["epoch"], holder=row["holder"], set=row["set"],
                             reign=os.urandom(8).hex().lstrip("0") or "1", accept_loss=accept_loss,
                             inconsistent=False)

    def wait_role(self, role, group=1, seconds=None):
        def there():
            now = self.group(group)
            if now and now.get("refusal"):
                raise AssertionError(f"{self.site} refused: {now['refusal']}")
            return now if now and now["role"] == role and not now["frozen"] else None
        try:
            return wait_for(f"{self.site} is {role}", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.group(group), indent=1)}\n{self.tail()}") from None

    def image(self, group=1, volume=0):
        with open(f"{self.directory}/storage/g{group}v{volume}.img", "rb") as file:
            return file.read()

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rig:
    """with Rig(program) as rig: rig.east, rig.west. net_lcores: 0: the store's thread is the net's, too."""

    def __init__(self, program, net_lcores=0, poll="adaptive", lease_ms=5000, on_store_loss="freeze"):
        self.program = program
        self.directory = tempfile.mkdtemp(prefix="cw-engine-", dir="/tmp")
        self.store = Store(lease_ms)
        with open(os.open(os.path.join(self.directory, "cluster.key"), os.O_CREAT | os.O_WRONLY, 0o600), "wb") as key:
            key.write(KEY)
        self.engines = [Engine(self, site, net_lcores, poll, on_store_loss) for site in SITES]
        self.east, self.west = self.engines

    def start(self, **more):
        for engine in self.engines:
            engine.start(**more if engine is self.east else {})
        for engine in self.engines:
            wait_for(f"{engine.site}: the path is up", lambda e=engine: e.status()["paths"][0]["up"])
        return self

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of __exit__
        return self

    def __exit__(self, kind, error, trace):
        for engine in self.engines:
            if engine.process and engine.process.poll() is None:
                engine.process.kill()
                engine.process.wait()
            if kind is not None and os.path.exists(engine.log):
                print(f"---- {engine.site}\n{engine.tail()}", file=sys.stderr)
        bad = self.sanitizer_lines() if kind is None else []
        if kind is None or not os.environ.get("CW_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
        if bad:
            raise AssertionError("a sanitizer spoke up: " + "; ".join(bad[:5]))

    def sanitizer_lines(self):
        lines = []
        for engine in self.engines:
            if os.path.exists(engine.log):
                with open(engine.log, errors="replace") as log:
                    lines += [line.strip() for line in log if "runtime error" in line or "Sanitizer" in line]
        return lines


def program_from_arguments():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PATH-OF-causeway-engine [CASE...]")
    return sys.argv[1]


def run_cases(cases):
    """All of them, or those that the command line names, each in a rig of its own; ends the process. cases: (function of the
    rig, what tells it from others of that function, the rig's options)."""
    program, wanted = program_from_arguments(), sys.argv[2:]
    if unknown := set(wanted) - {function.__name__ for function, _, _ in cases}:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    results = []
    for function, which, options in cases:
        if wanted and function.__name__ not in wanted:
            continue
        name, began = function.__name__ + which, time.monotonic()
        try:
            with Rig(program, **options) as rig:
                function(rig)
            results.append((name, None))
            print(f"ok   {name} {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # the next case may still tell something
            results.append((name, f"{type(error).__name__}: {error}"))
            print(f"FAIL {name}: {results[-1][1]}", flush=True)
            if os.environ.get("CAUSEWAY_TRACEBACK"):
                traceback.print_exc()
    print("\n".join(summary(results, "cases")))
    sys.exit(0 if all(reason is None for _, reason in results) else 1)
