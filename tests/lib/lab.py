# SPDX-License-Identifier: BSD-3-Clause
"""Labs for tests: whole sites on this machine, driven by the command line as a user drives them.

A Lab owns a directory, brings sites up in it, and takes everything down again whatever happens, also when a
test fails or is interrupted. Waiting is for a state, with a generous limit; nothing here asserts a duration.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from results import Broken

MIB = 1 << 20
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    pass


def shell(*args, timeout=300):
    p = subprocess.run(args, capture_output=True, text=True, timeout=timeout)
    if p.returncode != 0:
        raise Failed(f"{' '.join(args)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def group(lab, name, mode="sync", volumes=(("data", "64M"),), primary="east", replica="west", *more):
    lab.run("group", "create", name, "--mode", mode, "--primary", primary, "--replica", replica,
            "--journal-size", "64M", *more)
    for volume, size in volumes:
        lab.run("volume", "create", f"{name}/{volume}", "--size", size)
    lab.wait_state(name, "streaming" if mode in ("async", "network-sync") else "in-sync")


def end_by_exception():
    """Who is told to end, or whose terminal goes, takes down what it made, as when interrupted from the keyboard."""
    def end(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


@contextlib.contextmanager
def undisturbed():
    """Whoever says meanwhile that this is to end."""
    is_main = threading.current_thread() is threading.main_thread()  # the only one that may say what signals do
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDS} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def socket_of(uri):
    return uri.split("socket=", 1)[1]


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def has_etcd():
    return shutil.which("etcd") is not None


def may_make_namespaces():
    """Has this machine network namespaces for us? Several may ask at a time."""
    name = f"cw-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return False
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return True


def command_lines():
    """(pid, words) of every process that is there."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                yield int(pid), f.read().decode(errors="replace").split("\0")
        except OSError:
            continue


class Lab:
    """with Lab(build) as lab: two sites on the embedded store, by memif.

    Lab(build, witness="central"): a third site without an engine, the store an etcd of three members, one at each
    site, controllers linked; everything by certificates. Every command may be given at any of the three
    (lab.run("--site", "central", "promote", ...)). lab.run("lab", "kill", S) burns engine, controller and etcd member;
    lab.run("lab", "cut", A[, B][, "--one-way"][, "--only", "data"|"control"]) cuts data and control network, where
    lab.can_cut_control() (namespaces; else the control network is the loopback: skip). lab.pids(S) has also "etcd";
    lab.inside(S) is what to put before a program so that it runs in the site's network, where etcd
    (lab.etcdctl(S, ...)) and the controllers' ports are; sockets and NBD are reached from anywhere.
    """

    def __init__(self, build, sites="east,west", link="memif", storage="memory", extra=(), witness=None):
        self.build = os.path.abspath(build)
        self.cli = os.path.join(self.build, "control", "causeway")
        self.dir = tempfile.mkdtemp(prefix="cw-", dir="/tmp")
        self.sites = sites.split(",")
        self.witness = witness
        self.options = ["--sites", sites, "--link", link, "--storage", storage, *extra]
        if witness:
            self.options += ["--witness", witness]
        self.env = dict(os.environ, CAUSEWAY_LAB=self.dir + "/lab")
        # In ASan builds: a process that finds something writes it to a file of its own, and the lab fails.
        self.env.setdefault("ASAN_OPTIONS", f"detect_leaks=1:abort_on_error=1:log_path={self.dir}/asan")
        self.env.setdefault("LSAN_OPTIONS", f"suppressions={os.path.dirname(os.path.abspath(__file__))}/lsan.supp:"
                                            "print_suppressions=0")

    def __enter__(self):
        end_by_exception()
        try:
            self.run("lab", "up", *self.options, timeout=180)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind, value, trace):
        with undisturbed():
            self.leave(kind)

    def leave(self, kind):
        if kind is not None:
            self.show_logs()
            if os.environ.get("CW_KEEP"):  # for whoever looks into a failure: the lab stays as it is
                print(f"kept: CAUSEWAY_LAB={self.env['CAUSEWAY_LAB']} {self.cli}")
                return
        found = self.down()
        if found:
            raise Broken("a program of ours is at fault\n" + found)

    def down(self):
        """Takes it down, and gives back what sanitizers and asserts said until then. Its directory goes, too, when there
        was no program to take anything down with."""
        with undisturbed():
            try:
                subprocess.run([self.cli, "lab", "down"], env=self.env, capture_output=True, timeout=120)
                return self.sanitizer_reports() + self.asserts()
            finally:
                shutil.rmtree(self.dir, ignore_errors=True)

    def sanitizer_reports(self):
        found = ""
        for name in sorted(n for n in os.listdir(self.dir) if n.startswith("asan.")):
            with open(os.path.join(self.dir, name), errors="replace") as f:
                found += f"--- {name}\n" + "".join(f.readlines()[:60])
        return found

    def asserts(self):
        """Those that failed, as base/assert.h prints them."""
        found = ""
        for path in self.logs():
            with open(path, errors="replace") as f:
                found += "".join(f"{path}: {line}" for line in f if line.startswith("causeway: bug: "))
        return found

    def logs(self):
        return [os.path.join(root, name) for root, _, files in os.walk(self.dir) for name in sorted(files)
                if name.endswith(".log")]

    def show_logs(self):
        print("--- status --json", subprocess.run([self.cli, "status", "--json"], env=self.env, capture_output=True,
                                                  text=True).stdout[-4000:])
        for path in self.logs():
            with open(path, errors="replace") as f:
                print(f"--- {path}", *f.readlines()[-25:], sep="\n")

    def try_run(self, *args, timeout=120):
        return subprocess.run([self.cli, *args], env=self.env, capture_output=True, text=True, timeout=timeout)

    def run(self, *args, timeout=120, code=0):
        """Runs the command line, expects an exit code, returns its standard output."""
        p = self.try_run(*args, timeout=timeout)
        if p.returncode != code:
            raise Failed(f"causeway {' '.join(args)}: exit {p.returncode}, wanted {code}\n{p.stdout}{p.stderr}")
        return p.stdout

    def status(self, site=None):
        args = ["--site", site] if site else []
        return json.loads(self.run(*args, "status", "--json"))

    def group(self, name, site=None):
        for g in self.status(site)["groups"]:
            if g["name"] == name:
                return g
        raise Failed(f"no group {name}")

    def wait(self, what, check, limit=60.0):
        """Polls check() until it returns something true; a Failed in it counts as not yet."""
        end = time.monotonic() + limit
        last = None
        while time.monotonic() < end:
            try:
                last = check()
                if last:
                    return last
            except (Failed, subprocess.TimeoutExpired, KeyError, IndexError, json.JSONDecodeError) as e:
                last = e
            time.sleep(0.1)
        raise Failed(f"waited {limit:.0f} s for: {what}; last: {last}")

    def wait_state(self, group, state, replica=None, limit=60.0, site=None):
        """state of a replica, and of the process that runs there now: its primary may not have noticed a restart."""
        def check():
            replicas = self.group(group, site)["replicas"]
            return any(r["state"] == state and replica in (None, r["site"])
                       and (state == "disconnected" or self.is_so_now(group, r["site"], state)) for r in replicas)
        return self.wait(f"{group}: a replica {state}", check, limit)

    def is_so_now(self, group, replica, state):
        """Does the primary's engine say it too, and of the process that is the engine of the replica's site now?"""
        primary = self.group(group, replica)["primary"]
        running = self.rpc(replica, "status")["process_start"]
        peers = self.engine_group(primary, group)["peers"] if primary else []
        return any(p["site"] == replica and p["state"] == state and p["identity"].get("process_start") == running
                   for p in peers)

    def wait_health(self, group, health, limit=60.0, site=None):
        return self.wait(f"{group}: {health}", lambda: self.group(group, site)["health"] == health, limit)

    def uri(self, group, volume, site, limit=60.0):
        """The NBD URI of a volume at a site, once it is exported there."""
        def check():
            for v in self.group(group, site)["volumes"]:
                if v["name"] == volume and v["uri"]:
                    return v["uri"]
            return None
        return self.wait(f"{group}/{volume} exported at {site}", check, limit)

    def rpc(self, site, method, **params):
        """A method of the site's engine (dataplane/engine/RPC.md)."""
        return json.loads(self.run("--site", site, "rpc", method, json.dumps(params)))

    def engine_group(self, site, name):
        for g in self.rpc(site, "status")["groups"]:
            if g["name"] == name:
                return g
        raise Failed(f"the engine of {site} has no group {name} (yet)")

    def settings(self):
        with open(self.dir + "/lab/lab.json") as f:
            return json.load(f)

    def controllers(self):
        """The sites that have one: all."""
        return [*self.sites, *([self.witness] if self.witness else [])]

    def can_cut_control(self):
        return self.settings().get("namespaces", False) and self.witness is not None

    def inside(self, site):
        """What a program's arguments begin with so that it runs in the site's network."""
        settings = self.settings()
        return ["ip", "netns", "exec", f"cw{settings['tag']}-{site}"] if settings["namespaces"] else []

    def etcd_url(self, site):
        with open(f"{self.dir}/lab/{site}/etcd.yaml") as f:
            return next(line.split(": ", 1)[1].strip() for line in f if line.startswith("advertise-client-urls"))

    def etcdctl(self, site, *args, value=None, timeout=30):
        """At the member of this site alone; without raising: the caller judges. value: what a put takes."""
        folder = f"{self.dir}/lab/authority/issued/{site}/{site}"
        return subprocess.run([*self.inside(site), "etcdctl", "--endpoints", self.etcd_url(site), "--cacert",
                               f"{folder}/ca-cert.pem", "--cert", f"{folder}/server-cert.pem", "--key",
                               f"{folder}/server-key.pem", "--dial-timeout=1s", "--command-timeout=2s", *args],
                              env=dict(os.environ, ETCDCTL_API="3"), input=value, capture_output=True, text=True,
                              timeout=timeout)

    def etcd_leader(self):
        """The site whose member leads, as those that answer say; None: nobody does."""
        for site in self.controllers():
            p = self.etcdctl(site, "endpoint", "status", "-w", "json")
            if p.returncode == 0:
                status = json.loads(p.stdout)[0]["Status"]
                if status["leader"] == status["header"]["member_id"]:
                    return site
        return None

    def pids(self, site):
        """Processes of a site, by their command line, which names the lab's directory and the site."""
        needle = f"{self.dir}/lab/{site}/"
        found = {}
        for pid, words in command_lines():
            name = os.path.basename(words[0])
            if (name.startswith("causeway-") or name == "etcd") and any(needle in w for w in words):
                found[name] = pid
        return found
