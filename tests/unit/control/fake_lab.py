# SPDX-License-Identifier: BSD-3-Clause
"""Labs of real controllers and the real command line over engines that only talk (fake_engine.py), and how a test
of them runs: `play(Lab, STEPS)`, STEPS being functions that get the lab, one after the other. A step waits for a
state, with a generous limit; it asserts no duration.

tests/lib/lab.py is the other one: with engines that move data.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINE = os.path.join(HERE, "fake_engine.py")


def wait(what, check, limit=60):
    end = time.monotonic() + limit
    while not check():
        assert time.monotonic() < end, "waited for: " + what
        time.sleep(0.05)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def only_with_etcd():
    if not shutil.which("etcd"):
        print("skipped: no etcd here")
        sys.exit(77)


def tell_engine(directory, name, word):
    """What the fake engine of that directory is to know by a file of this name, all at once; "": nothing any more."""
    path = f"{directory}/{name}"
    if word:
        with open(path + ".new", "w") as f:
            f.write(word)
        os.rename(path + ".new", path)
    else:
        os.unlink(path)


class Lab:
    def __init__(self, cli, control):
        self.cli, self.top = cli, tempfile.mkdtemp(prefix="cwf-", dir="/tmp")
        self.env = dict(os.environ, CAUSEWAY_LAB=self.top + "/lab", CAUSEWAY_CONTROL=control, CAUSEWAY_ENGINE=ENGINE)

    def try_run(self, *args, **extra):
        return subprocess.run([self.cli, *args], env=dict(self.env, **extra), capture_output=True, text=True,
                              timeout=90)

    def run(self, *args, code=0, **extra):
        p = self.try_run(*args, **extra)
        assert p.returncode == code, f"{' '.join(args)}: exit {p.returncode}, wanted {code}: {p.stdout}{p.stderr}"
        return p.stdout + p.stderr

    def create_group(self, name, primary, *replicas, mode="sync"):
        self.run("group", "create", name, "--mode", mode, "--primary", primary, "--replica", ",".join(replicas),
                 "--journal-size", "16M")

    def group(self, site, name="db"):
        status = json.loads(self.run("--site", site, "status", "--json"))
        return next(g for g in status["groups"] if g["name"] == name)

    def wait(self, what, check, limit=60):
        wait(what, check, limit)

    def level(self, *sites, name="db"):
        """All these sites show that every replica is within its objective."""
        self.wait(f"{name} is level", lambda: all(self.group(s, name)["health"] == "protected" for s in sites))

    def pid(self, site):
        """Of the site's controller, which is looked at before anybody kills it."""
        pid = int(open(f"{self.top}/lab/{site}/control.pid").read())
        assert f"{self.top}/lab/{site}/node.yaml" in open(f"/proc/{pid}/cmdline").read()
        return pid

    def kill_controller(self, site):
        pid = self.pid(site)
        os.kill(pid, signal.SIGKILL)
        self.wait("it is gone", lambda: not os.path.exists(f"/proc/{pid}/exe"))

    def show(self):
        """For whoever looks into a failure."""
        print(self.try_run("events").stdout)
        print(self.try_run("status").stdout)

    def down(self):
        self.try_run("lab", "down")
        shutil.rmtree(self.top, ignore_errors=True)


def pair(lab):
    """The step that most begin with: two sites, a group with a volume."""
    lab.run("lab", "up", "--storage", "disk")
    lab.create_group("db", "east", "west")
    lab.run("volume", "create", "db/data", "--size", "1M")
    lab.level("east")


def play(kind, *rounds):
    """Each round: a lab of that kind, of the programs that the command line names; it is taken down whatever happens."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of what takes the lab down
    for steps in rounds:
        lab = kind(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
        try:
            for step in steps:
                began = time.monotonic()
                step(lab)
                print(f"{step.__name__:28s} {time.monotonic() - began:5.1f} s", flush=True)
        except BaseException:
            lab.show()
            raise
        finally:
            lab.down()
