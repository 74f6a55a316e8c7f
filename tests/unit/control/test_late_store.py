#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Controllers that start while their etcd is silent: they stay, say so, touch nothing, and begin when it answers. And a
promotion while it is silent, or has no space.

test_late_store.py CAUSEWAY CONTROL
"""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import ENGINE, free_port, only_with_etcd, play, wait  # noqa: E402

CONFIG = """site: {site}
sites:
  - {{name: east, id: 0, directory: {top}/east}}
  - {{name: west, id: 1, directory: {top}/west}}
directory: {top}/{site}
storage: {top}/{site}
etcd: {{endpoints: ["http://127.0.0.1:{port}"], prefix: /late}}
cluster_key: {top}/key
lease_seconds: {lease}
"""


class Late:
    def __init__(self, cli, control):
        self.cli, self.control = cli, control
        self.top = tempfile.mkdtemp(prefix="cwl-", dir="/tmp")
        self.port, self.peer_port = free_port(), free_port()
        self.processes = {}
        with open(self.top + "/key", "wb") as f:
            os.chmod(f.name, 0o600)
            f.write(bytes(range(32)))
        for site in ("east", "west"):
            os.mkdir(f"{self.top}/{site}")
            self.configure(site, 5)

    def configure(self, site, lease):
        with open(f"{self.top}/{site}/node.yaml", "w") as f:
            f.write(CONFIG.format(site=site, top=self.top, port=self.port, lease=lease))

    def start(self, name, *command):
        with open(f"{self.top}/{name}.log", "a") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_etcd(self):
        self.start("etcd", "etcd", "--data-dir", self.top + "/etcd", "--listen-client-urls",
                   f"http://127.0.0.1:{self.port}", "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
                   "--listen-peer-urls", f"http://127.0.0.1:{self.peer_port}", "--initial-advertise-peer-urls",
                   f"http://127.0.0.1:{self.peer_port}", "--initial-cluster", f"default=http://127.0.0.1:{self.peer_port}")

    def start_controller(self, site):
        self.start("control-" + site, self.control, "--config", f"{self.top}/{site}/node.yaml")

    def kill(self, name):
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def run(self, site, *args, code=0):
        p = subprocess.run([self.cli, "--socket", f"{self.top}/{site}/control.sock", *args], capture_output=True, text=True,
                           timeout=60)
        assert p.returncode == code, (args, p)
        return p.stdout + p.stderr

    def status(self, site):
        try:
            return json.loads(self.run(site, "status", "--json"))
        except AssertionError:  # it does not listen yet
            return {"store_answers": None, "groups": []}

    def group(self, site):
        return next(iter(self.status(site)["groups"]), {"health": "none"})

    def wait(self, what, check, limit=60):
        wait(what, check, limit)

    def show(self):
        for name in ("east", "west"):
            print(open(f"{self.top}/control-{name}.log").read())

    def down(self):
        for name in list(self.processes):
            self.processes[name].send_signal(signal.SIGCONT)
            self.kill(name)
        shutil.rmtree(self.top, ignore_errors=True)


def nobody_is_there(late):
    for site in ("east", "west"):
        late.start("engine-" + site, ENGINE, "--config", f"{late.top}/{site}/node.yaml")
        late.start_controller(site)
    late.wait("it serves", lambda: late.status("east")["store_answers"] is False)
    late.wait("it says why", lambda: "connection refused" in late.status("east")["store_trouble"])
    assert late.status("east")["store_silent_seconds"] > 0
    words = late.run("east", "events")
    assert "the store /late does not answer" in words and "nothing is decided here" in words, words
    words = late.run("east", "group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", code=1)
    assert "the store /late has not answered yet" in words and "start that member" in words, words
    late.wait("its engine is there", lambda: "the engine of east is here" in open(late.top + "/control-east.log").read())
    late.start_etcd()
    for site in ("east", "west"):
        late.wait("it begins", lambda: late.status(site)["store_answers"])
        late.wait("it is told", lambda: "the store /late answers: this controller begins" in late.run(site, "events"))


def other_lease(late):
    """What is there is not for it: it ends, with the reason."""
    late.kill("control-west")
    late.processes["etcd"].send_signal(signal.SIGSTOP)
    late.configure("west", 7)
    late.start_controller("west")
    late.wait("it serves", lambda: late.status("west")["store_answers"] is False)
    late.processes["etcd"].send_signal(signal.SIGCONT)
    assert late.processes["control-west"].wait(timeout=60) == 3
    words = open(late.top + "/control-west.log").read()
    assert "refused: lease_seconds is 7 here, and 5 at every site" in words, words
    late.configure("west", 5)
    late.start_controller("west")
    late.wait("it is back", lambda: late.status("west")["store_answers"])


def started_beside_a_primary(late):
    """What the engine has is no stranger, and stays as it is."""
    late.wait("all are known", lambda: len(late.status("east").get("sites", [])) == 2)
    late.run("east", "group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", "--journal-size",
             "16M")
    late.wait("it is opened", lambda: late.group("east").get("role") == "primary")
    late.processes["etcd"].send_signal(signal.SIGSTOP)
    late.kill("control-east")
    late.start_controller("east")
    late.wait("it serves", lambda: late.status("east")["store_answers"] is False)
    late.wait("its engine is there", lambda: open(late.top + "/control-east.log").read().count("the engine of east is here") == 2)
    time.sleep(4)  # longer than a stranger has to last
    status = late.status("east")
    assert status["unknown"] == [] and status["groups"] == [], status
    engine = json.loads(late.run("east", "rpc", "status"))
    assert [(g["name"], g["role"], g["epoch"]) for g in engine["groups"]] == [("db", "primary", 1)], engine
    late.processes["etcd"].send_signal(signal.SIGCONT)
    late.wait("it goes on", lambda: late.group("east").get("role") == "primary")
    assert late.group("east")["epoch"] == 1
    late.wait("it may write", lambda: late.group("east")["health"] != "frozen")
    assert "nobody knows" not in late.run("east", "events")


def alarm(late, action):
    """etcd's own, as it is raised when its quota is used up."""
    def call(path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{late.port}/v3/maintenance/{path}", json.dumps(body).encode())
        return json.load(urllib.request.urlopen(request, timeout=30))
    member = call("status", {})["header"]["member_id"]
    call("alarm", {"action": action, "memberID": member, "alarm": "NOSPACE"})


def requests(late):
    key = base64.b64encode(b"/late/requests/").decode()
    request = urllib.request.Request(f"http://127.0.0.1:{late.port}/v3/kv/range", json.dumps(
        {"key": key, "range_end": base64.b64encode(b"/late/requests0").decode()}).encode())
    return int(json.load(urllib.request.urlopen(request, timeout=30)).get("count", 0))


def west_is_replica(late):
    return json.loads(late.run("west", "rpc", "status"))["groups"][0]["role"] == "replica"


def no_space(late):
    """etcd answers and takes no writes: it is seen before somebody promotes, and who does is told what to do."""
    alarm(late, "ACTIVATE")
    for site in ("east", "west"):
        late.wait("it is seen", lambda: late.status(site)["store_answers"] is False)
        status = late.status(site)
        assert status["store_full"] and "etcdctl alarm disarm" in status["store_trouble"], status["store_trouble"]
        assert "has taken no changes" in late.run(site, "status")
        assert "answers and takes no changes" in late.run(site, "events")
    words = late.run("west", "promote", "db", "--site", "west", code=3)
    assert "takes no changes" in words and "Nothing was changed" in words, words
    assert "etcdctl alarm disarm" in words and "causeway promote db --site west" in words, words
    words = late.run("west", "explain", "db")
    assert "answers and takes no changes" in words and "Make room in etcd" in words, words
    alarm(late, "DEACTIVATE")
    for site in ("east", "west"):
        late.wait("it is over", lambda: late.status(site)["store_answers"])
        assert "takes changes again" in late.run(site, "events")


def no_quorum(late):
    """Asked for while none answers, and on its way when the quorum is lost: both end with the cause, and leave nothing."""
    late.wait("west is in the set", lambda: "west" in late.group("east").get("members", []))
    late.kill("control-east")
    late.kill("engine-east")
    began = subprocess.Popen([late.cli, "--socket", f"{late.top}/west/control.sock", "promote", "db", "--site", "west"],
                             text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    late.wait("the store has its request", lambda: requests(late))
    late.processes["etcd"].send_signal(signal.SIGSTOP)
    words = began.communicate(timeout=120)[1]
    assert began.returncode in (1, 3) and "has no quorum that answers" in words, words
    assert "did not answer in time" in words and "causeway promote db --site west" in words, words
    late.wait("it ended there, too", lambda: west_is_replica(late))
    words = late.run("west", "promote", "db", "--site", "west", code=3)
    assert "has no quorum that answers" in words and "Nothing was changed" in words, words
    late.wait("it is told", lambda: "does not answer: " in late.run("west", "events"))
    late.processes["etcd"].send_signal(signal.SIGCONT)
    late.wait("it answers", lambda: late.status("west")["store_answers"])
    late.wait("nobody is asked for any more", lambda: "the request of west is taken back" in late.run("west", "events"))
    assert requests(late) == 0
    late.run("west", "promote", "db", "--site", "west")
    assert late.group("west")["role"] == "primary" and late.group("west")["epoch"] == 2


def copy_comes_first(late):
    """The store has the claim, this site's copy of the store can be neither written nor removed: the engine is told when it
    can, and not because it asks again."""
    late.start("engine-east", ENGINE, "--config", f"{late.top}/east/node.yaml")
    late.start_controller("east")
    late.wait("east is in the set", lambda: "east" in late.group("west").get("members", []))
    copy = f"{late.top}/east/store-copy.json"

    def put_in_its_way():
        try:
            os.unlink(copy)
            os.mkdir(copy)
        except OSError:  # it was written just now, or not yet
            return False
        return True

    def failures():
        return open(late.top + "/control-east.log").read().count("store-copy.json: Is a directory")

    def has_row():
        return late.group("west")["primary"] == "east"
    late.wait("a directory is in its place", put_in_its_way)
    asked = subprocess.Popen([late.cli, "--socket", f"{late.top}/east/control.sock", "promote", "db", "--site", "east"])
    late.wait("the store has it", has_row)
    before = failures()
    late.wait("it was asked again", lambda: failures() > before + 5)
    role = json.loads(late.run("east", "rpc", "status"))["groups"][0]["role"]
    assert role != "primary" and asked.poll() is None, role
    os.rmdir(copy)
    assert asked.wait(timeout=90) == 0
    assert late.group("east")["role"] == "primary"


def leaves_time_to_others(late):
    """It was the primary, and is by the store: a site that knows better may be starting just now, and cannot say so, as no
    links are here."""
    late.kill("control-east")
    late.kill("engine-east")
    late.start("engine-east", ENGINE, "--config", f"{late.top}/east/node.yaml")
    late.start_controller("east")
    late.wait("it opens in the end", lambda: late.group("east").get("role") == "primary")
    assert "db: epoch 4 is put off" in open(late.top + "/engine-east.log").read()


STEPS = (nobody_is_there, other_lease, started_beside_a_primary, no_space, no_quorum, copy_comes_first, leaves_time_to_others)

if __name__ == "__main__":
    only_with_etcd()
    play(Late, STEPS)
