# SPDX-License-Identifier: BSD-3-Clause
"""What stays and what goes: attachments, events, files with data, configurations, and nothing after lab down.
Imported by lab_test.py."""
import json
import os
import signal
import subprocess
import time

import load
from lab import Lab, MIB, expect, group, has_etcd, may_make_namespaces, shell


def test_configuration(build):
    """--check of broken configurations: file, line and what was expected, also for mistakes of meaning."""
    engine = os.path.join(build, "dataplane", "engine", "causeway-engine")
    control = os.path.join(build, "control", "causeway-control")
    with Lab(build) as lab:
        with open(f"{lab.dir}/lab/east/node.yaml") as f:
            good = f.read()
        number = good[:good.index("poll: adaptive")].count("\n") + 1
        cases = {"poll: sometimes": number, "poll: [": number, "pol: adaptive": number}
        path = lab.dir + "/broken.yaml"
        for text, line in cases.items():
            with open(path, "w") as f:
                f.write(good.replace("poll: adaptive", text))
            for program in (engine, control):
                p = subprocess.run([program, "--config", path, "--check"], capture_output=True, text=True, timeout=60)
                said = p.stdout + p.stderr
                expect(p.returncode != 0, f"{text} passes in {program}")
                expect(f"broken.yaml:{line}" in said, f"{text}: no file and line {line} in: {said}")
        with open(path, "w") as f:
            f.write(good.replace("remote: west", "remote: nowhere"))
        p = subprocess.run([engine, "--config", path, "--check"], capture_output=True, text=True, timeout=60)
        expect(p.returncode != 0 and "nowhere" in p.stderr + p.stdout and "broken.yaml:" in p.stderr + p.stdout,
               f"a remote that is no site: {p.returncode} {p.stdout}{p.stderr}")
        p = subprocess.run([engine, "--config", "/nonexistent.yaml", "--check"], capture_output=True, text=True, timeout=60)
        expect(p.returncode != 0 and "/nonexistent.yaml" in p.stderr + p.stdout, "a file that is not there")
        shell(engine, "--config", f"{lab.dir}/lab/east/node.yaml", "--check", timeout=60)
        return said.strip().splitlines()[0][-100:]


def test_controller_restart(build):
    """kill -9 of a controller alone, both sites in turn: the reign goes on, nothing is lost; the longest wait is told."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = load.Writer(47).connect([lab.uri("db", "a", "east")])
        w.start()
        longest = 0.0
        for site in ("east", "west"):
            os.kill(lab.pids(site)["causeway-control"], signal.SIGKILL)
            lab.wait("it is gone", lambda: "causeway-control" not in lab.pids(site))
            time.sleep(0.5)
            lab.run("lab", "start", site)
            last, since, end = w.acknowledged, time.monotonic(), time.monotonic() + 4
            while time.monotonic() < end:
                if w.acknowledged != last:
                    last, since = w.acknowledged, time.monotonic()
                longest = max(longest, time.monotonic() - since)
                time.sleep(0.005)
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.wait_health("db", "protected")
        epoch = lab.group("db")["epoch"]
        expect(epoch == 1, f"the same reign: {epoch}")
        w.stop()
        load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
        return f"longest wait {longest * 1000:.0f} ms"


def test_attachments(build):
    """volume attach and detach follow the primary; delete refuses while clients are there; events tell it all."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "8M"),))
        link = lab.dir + "/a.sock"
        uri = f"nbd+unix:///a?socket={link}"
        lab.run("volume", "attach", "db/a", "--nbd", link)
        lab.wait("the link is there", lambda: os.path.exists(link))
        shell("nbdinfo", uri)
        w = load.Writer(53).connect([uri])
        for _ in range(20):
            w.one()
        lab.wait("the client is counted", lambda: lab.group("db")["volumes"][0]["connections"] == 1)
        p = lab.try_run("volume", "delete", "db/a")
        expect(p.returncode == 3 and "--force" in p.stderr, f"clients are there: {p.returncode} {p.stderr}")
        w.close()
        lab.run("switchover", "db", "--site", "west")
        lab.wait("the link leads to west", lambda: "/west/" in os.path.realpath(link))
        load.check(w, [uri], w.acknowledged)
        lab.run("volume", "detach", "db/a", "--nbd")
        lab.wait("the link is gone", lambda: not os.path.lexists(link))
        lab.run("volume", "detach", "db/a", "--nbd", code=1)
        lab.run("volume", "attach", "db/none", "--nbd", code=1)
        lab.run("volume", "attach", "db/a", "--vhost", "/tmp/x", code=2)
        events = lab.run("events")
        for words in ("created", "switchover", "west is primary", "volume a created"):
            expect(words in events, f"{words} is not in:\n{events}")
        lines = [json.loads(line) for line in lab.run("--json", "events").splitlines()]
        expect(len(lines) >= 8, f"{len(lines)} events as JSON lines")
        p = lab.try_run("group", "delete", "db")
        expect(p.returncode in (1, 3) and "a" in p.stderr, f"a group with volumes: {p.returncode} {p.stderr}")
        lab.wait("no client any more", lambda: all(v["connections"] == 0 for v in lab.group("db")["volumes"]))
        lab.run("volume", "delete", "db/a")
        lab.run("group", "delete", "db")
        expect(lab.status()["groups"] == [], "no group is left")
        left = [f for _, _, files in os.walk(lab.settings()["storage_root"]) for f in files]
        expect(left == [], f"files of a deleted group: {left}")
        return f"{len(events.splitlines())} events"


def test_data_in_the_way(build):
    """--path over a file with data at a replica: refused before anything is touched, until --overwrite says so."""
    with Lab(build) as lab:
        images = {s: f"{lab.dir}/{s}.img" for s in ("east", "west")}
        for path in images.values():
            with open(path, "wb") as f:
                f.write(os.urandom(4 * MIB))
        before = open(images["west"], "rb").read()
        group(lab, "db", volumes=())
        paths = [w for s, p in images.items() for w in ("--path", f"{s}={p}")]
        p = lab.try_run("volume", "create", "db/v", *paths)
        expect(p.returncode == 3 and "--overwrite west" in p.stderr, f"exit {p.returncode}: {p.stderr}")
        expect(open(images["west"], "rb").read() == before, "untouched")
        expect(lab.group("db")["volumes"] == [], "no volume was made")
        lab.run("volume", "create", "db/v", *paths, "--overwrite", "west")
        lab.wait("west is what east is", lambda: lab.group("db")["health"] == "protected"
                 and open(images["west"], "rb").read() == open(images["east"], "rb").read())
        lab.run("volume", "delete", "db/v")
        expect(all(os.path.exists(p) for p in images.values()), "files that were there before stay")
        return p.stderr.strip()[:100]


def processes_with(needle):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace")
        except OSError:
            continue
        if needle in words and int(pid) != os.getpid():
            found.append((int(pid), words.replace("\0", " ")))
    return found


def runtime_directories(needle):
    """DPDK's runtime directories of the processes whose command lines have `needle`: by the sockets they hold open."""
    found = set()
    for pid, _ in processes_with(needle):
        try:
            held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            with open(f"/proc/{pid}/net/unix") as f:  # of the network namespace that it is in
                sockets = [line.split() for line in f if "/var/run/dpdk/" in line]
        except OSError:
            continue
        found |= {os.path.dirname(words[7]) for words in sockets if f"socket:[{words[6]}]" in held}
    return found


def leave_nothing(build, link, witness=None):
    with Lab(build, link=link, witness=witness) as lab:
        group(lab, "db", volumes=(("a", "8M"),))
        settings, where = lab.settings(), lab.dir + "/lab"
        mine = runtime_directories(where)
        expect(len(mine) == 2 and all(map(os.path.isdir, mine)), f"two engines, runtime directories: {mine}")
        lab.run("lab", "kill", "west")
        lab.run("lab", "down")
        expect(not os.path.exists(where), f"{where} is there")
        expect(not os.path.exists(settings["storage_root"]), f"{settings['storage_root']} is there")
        left = processes_with(where)
        expect(left == [], f"processes: {left}")
        for what in ("/proc/mounts", "/proc/net/unix"):
            with open(what) as f:
                expect(where not in f.read(), f"{where} is in {what}")
        spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        expect(f"cw{settings['tag']}" not in spaces, f"namespaces: {spaces}")
        still = [d for d in mine if os.path.exists(d)]
        expect(still == [], f"runtime directories: {still}")
        lab.run("lab", "down", code=1)


def test_nothing_left(build):
    """lab down leaves no process, namespace, mount, file in /dev/shm or runtime directory of DPDK behind."""
    leave_nothing(build, "memif")
    if not may_make_namespaces():
        return "memif; SKIP veth: no right to make network namespaces"
    leave_nothing(build, "veth")
    return "memif and veth"


def leaves_nothing_after(lab):
    """lab down, of a lab that is there as far as it came."""
    is_begun = os.path.exists(lab.dir + "/lab/lab.json")
    settings = lab.settings() if is_begun else {"tag": "none", "storage_root": "/none"}
    lab.run("lab", "down", code=0 if is_begun else 1)
    left = processes_with(lab.dir + "/lab")
    expect(left == [], f"processes: {left}")
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    expect(f"cw{settings['tag']}" not in spaces, f"namespaces: {spaces}")
    expect(not os.path.exists(lab.dir + "/lab") and not os.path.exists(settings["storage_root"]), "files are left")


def test_witness_nothing_left(build):
    """The same of a lab with a witness, members of etcd and namespaces; also where lab up was killed on its way."""
    if not has_etcd():
        return "SKIP: no etcd"
    leave_nothing(build, "memif", "central")
    told = []
    for seconds in (0.15, 0.6, 1.2):
        lab = Lab(build, witness="central")
        p = subprocess.Popen([lab.cli, "lab", "up", *lab.options], env=lab.env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            time.sleep(seconds)
            p.kill()
            p.wait()
            leaves_nothing_after(lab)
        finally:
            p.kill()
            p.wait()
            lab.down()
        told.append(f"{seconds} s")
    return f"whole, and killed after {', '.join(told)}"
