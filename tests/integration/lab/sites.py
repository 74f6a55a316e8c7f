# SPDX-License-Identifier: BSD-3-Clause
"""Two whole sites as a user has them: the command line, real NBD clients, promotion, switchover, cuts, faults.
Imported by lab_test.py."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import load
from lab import MIB, Lab, expect, group, may_make_namespaces, shell, socket_of

NBD_TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "nbd")


def test_status_and_usage(build):
    """JSON fields that others rely on, exit codes, refusals in words."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("data", "8M"), ("log", "8M")))
        s = lab.status()
        expect({"site", "sites", "groups", "paths"} <= set(s), f"status fields: {list(s)}")
        g = s["groups"][0]
        want = {"name", "mode", "epoch", "primary", "health", "reason", "sequence", "rpo_seconds", "rpo_bytes",
                "volumes", "replicas"}
        expect(want <= set(g), f"group fields missing: {want - set(g)}")
        want = {"site", "state", "durable_sequence", "applied_sequence", "lag_bytes", "lag_seconds",
                "verified_seconds", "drill_seconds"}
        expect(want <= set(g["replicas"][0]), f"replica fields missing: {want - set(g['replicas'][0])}")
        want = {"local", "remote", "name", "up", "rtt_us", "loss", "rate_bps"}
        expect(want <= set(s["paths"][0]), f"path fields missing: {want - set(s['paths'][0])}")
        expect(g["health"] == "protected", f"health is {g['health']}: {g['reason']}")
        expect(g["rpo_bytes"] == 0, "rpo in sync with a member is 0")
        west = lab.group("db", "west")
        expect(all(v["uri"] == "" for v in west["volumes"]), "no uri at a site that is not primary")
        lab.run("status", "--check")
        for args in (["nonsense"], ["group", "create"], ["lab", "up", "--witness", "east"], ["lab", "up", "--wan", "rtt=1"],
                     ["promote"], ["failback"]):
            lab.run(*args, code=2)
        p = lab.try_run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west")
        expect(p.returncode in (1, 3) and "db" in p.stderr, f"a group twice: {p.returncode} {p.stderr}")
        expect(lab.run("version").strip() != "", "version prints nothing")
        lab.run("--help")
        return "fields, exit codes"


def on_terminal(lab, is_enough, *args):
    """What the command writes on a terminal of 40 columns until it is enough, or it ends; then it is interrupted."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the suite runs in the background of a shell
        os.environ.update(lab.env)
        os.execv(lab.cli, [lab.cli, *args])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 40, 0, 0))
    said, end = b"", time.monotonic() + 60
    while not is_enough(said) and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                said += os.read(fd, 65536)
            except OSError:  # it has ended
                break
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    os.close(fd)
    return said.decode()


def test_terminal(build):
    """--watch draws frames, progress never wraps, following goes on; nobody writes into a pipe that was closed."""
    with Lab(build) as lab:
        group(lab, "db")
        frames = on_terminal(lab, lambda said: said.count(b"\033[H\033[J") > 3, "status", "--watch").split("\033[H\033[J")
        expect(len(frames) > 2 and all("group db" in f and "Ctrl-C" in f for f in frames[1:-1]), f"frames: {frames[:2]}")
        expect("\033[" not in lab.run("status"), "colour in a pipe")
        for args in (("status", "--watch"), ("events", "--follow")):
            p = subprocess.Popen([lab.cli, *args], env=lab.env, stdout=subprocess.PIPE, text=True)
            expect(p.stdout.readline() != "", f"{args}: nothing said")
            p.stdout.close()
            if args[0] == "events":
                lab.run("volume", "create", "db/more", "--size", "1M")
            p.wait(timeout=60)
        lab.run("lab", "kill", "east")
        said = on_terminal(lab, lambda said: False, "promote", "db", "--site", "west")
        lines = [part for line in said.split("\n") for part in line.split("\r\033[K")]
        waits = [line for line in lines if "lease" in line]
        expect(waits and all(len(line) < 40 for line in waits), f"progress: {waits[:3]}")
        expect("west is primary of db" in said, said)
        return f"{len(frames) - 1} frames, {len(waits)} lines of progress"


def test_real_clients(build):
    """nbdinfo, nbdcopy, qemu-img, fio with verify, the protocol cases; in sync, semi-sync and async."""
    with Lab(build) as lab:
        for mode, mib in (("sync", 64), ("semi-sync", 24), ("async", 24)):
            name = mode.replace("-", "")
            group(lab, name, mode, (("v", f"{mib}M"),))
            uri = lab.uri(name, "v", "east")
            shell("bash", os.path.join(NBD_TESTS, "clients.sh"), socket_of(uri), "v", "1", timeout=300)
            shell("bash", os.path.join(NBD_TESTS, "clients.sh"), socket_of(uri), "v", timeout=600)
            shell("/usr/bin/python3", os.path.join(NBD_TESTS, "protocol.py"), socket_of(uri), "v", str(mib * MIB),
                  "--connects", "500", timeout=300)
        return "clients and protocol in sync, semi-sync, async"


def test_network_sync(build):
    """Writes wait until they have left, no longer; who does not answer holds up nobody; promotion as in async."""
    with Lab(build) as lab:
        group(lab, "db", "network-sync", (("data", "16M"),))

        def nbd(site, commands):
            return shell("/usr/bin/python3", "-m", "nbd", "-u", lab.uri("db", "data", site), "-c", commands, timeout=60)

        def is_awaited():
            replica = lab.group("db", "east")["replicas"][0]
            return replica["awaited"] and replica["state"] == "streaming"

        lab.wait("west to be awaited", is_awaited)
        nbd("east", "[h.pwrite(bytes([i + 1]) * 65536, i * 65536) for i in range(64)]; h.flush()")
        lab.run("lab", "cut", "east", "west")
        nbd("east", "[h.pwrite(b'x' * 4096, i * 4096) for i in range(64)]; h.flush()")
        lab.wait("west not to be awaited", lambda: not is_awaited())
        lab.run("lab", "heal")
        lab.wait("west to be awaited again", is_awaited)
        lab.run("group", "set", "db", "mode=sync")
        lab.wait_state("db", "in-sync")
        lab.run("group", "set", "db", "mode=network-sync")
        lab.wait("west to be awaited in the new mode", is_awaited)
        lab.run("lab", "kill", "east")
        refused = lab.try_run("promote", "db", "--site", "west")
        expect(refused.returncode == 3, f"promotion without --accept-loss: {refused.returncode}")
        lab.run("promote", "db", "--site", "west", "--accept-loss")
        expect(nbd("west", "print(h.pread(512, 0)[:1], h.pread(512, 63 * 65536)[:1])").strip() == "bytearray(b'x') bytearray(b'@')",
               "what had been in sync is there")
        return "awaited, cut, changed to and from sync, promoted accepting a loss"


def test_odd_sizes(build):
    """Sizes that are multiples of 512 but not of 4096; never-written blocks read as zeroes."""
    with Lab(build) as lab:
        group(lab, "odd", volumes=(("v", str(10 * MIB + 512)),))
        uri = lab.uri("odd", "v", "east")
        info = json.loads(shell("nbdinfo", "--json", uri))
        expect(info["exports"][0]["export-size"] == 10 * MIB + 512, "size")
        w = load.Writer(3, first=10 * MIB // 512 - 400, count=401).connect([uri])
        h = w.handles[0]
        expect(h.pread(512, 10 * MIB) == bytes(512), "never written: zeroes")
        for _ in range(300):
            w.one()
        h.pwrite(b"x" * 512, 10 * MIB)
        h.flush()
        w.close()
        lab.run("switchover", "odd", "--site", "west")
        west = lab.uri("odd", "v", "west")
        last = load.read_blocks([west], 10 * MIB // 512, 1)[0]
        expect(last == b"x" * 512, "the last block is there at the other site")
        return "10 MiB + 512"


def test_promote_and_return(build):
    """The primary's site dies; promotion; the old one returns and rejoins by itself; nothing lost."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        w = load.Writer(7).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        time.sleep(1)
        lab.wait("writes", lambda: w.acknowledged > 20)
        p = lab.try_run("promote", "db", "--site", "nowhere")
        expect(p.returncode in (1, 2), "an unknown site")
        lab.run("lab", "kill", "east")
        w.stop()
        lab.run("promote", "db", "--site", "west")
        end = load.check(w, [lab.uri("db", v, "west") for v in ("a", "b")], w.acknowledged)
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east", site="west")
        lab.wait_health("db", "protected", site="east")
        lab.run("lab", "kill", "east")
        lab.wait("idle, and its replica's site is dead", lambda: lab.group("db", "west")["health"] == "degraded"
                 and "east" in lab.group("db", "west")["reason"])
        lab.run("lab", "start", "east")
        lab.wait_health("db", "protected", site="west")
        expect(lab.group("db")["primary"] == "west", "the survivor stays primary")
        return f"{w.acknowledged} operations acknowledged, state ends with {end}"


def test_switchover_under_load(build):
    """Planned moves there and back: nothing lost, clients reconnect, the pause is told with its parts."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        here, there, pauses = "east", "west", []
        w = load.Writer(11)
        for _ in range(6):
            w.connect([lab.uri("db", v, here) for v in ("a", "b")])
            w.start()
            time.sleep(0.5)
            lab.wait("writes", lambda: w.acknowledged > 20)
            move = ("failback", "db") if there == "east" else ("switchover", "db", "--site", there)
            pauses.append(json.loads(lab.run(*move, "--json"))["pause"])
            w.stop()
            here, there = there, here
            end = load.check(w, [lab.uri("db", v, here) for v in ("a", "b")], w.acknowledged)
            w = w.next(w.rng.random(), end)
            lab.wait_state("db", "in-sync", there)
        expect(all(p["exact"] and p["pause_ms"] >= p["open_ms"] > 0 for p in pauses), f"{pauses}")
        return f"6 moves, {w.next_op} operations, pauses {' '.join(str(round(p['pause_ms'])) for p in pauses)} ms"


def test_cut_and_heal(build):
    """A cut replica leaves the set when the store has said so, and returns by itself."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        w = load.Writer(13).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        time.sleep(0.5)
        lab.wait("writes", lambda: w.acknowledged > 20)
        lab.run("lab", "cut", "east", "west")
        lab.wait_health("db", "unprotected", site="east")
        before = w.acknowledged
        lab.wait("writes go on alone", lambda: w.acknowledged > before)
        expect(lab.group("db", "east")["reason"] != "", "a reason in words")
        p = lab.try_run("promote", "db", "--site", "west")
        expect(p.returncode == 3, f"west is not in the set: exit {p.returncode} {p.stderr}")
        lab.run("lab", "heal")
        lab.wait_state("db", "in-sync", "west")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        load.check(w, [lab.uri("db", v, "east") for v in ("a", "b")], w.acknowledged)
        return "out of the set, back by itself"


def test_journal_full(build):
    """A replica cut off until the journal is full: the primary goes on, degraded with a reason; then a full copy."""
    with Lab(build) as lab:
        lab.run("group", "create", "db", "--mode", "async", "--primary", "east", "--replica", "west", "--journal-size", "32M")
        lab.run("volume", "create", "db/a", "--size", "32M")
        lab.wait_state("db", "streaming")
        lab.run("lab", "cut", "east", "west")
        uri = lab.uri("db", "a", "east")
        shell("fio", "--name=fill", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bs=64k", "--size=24M",
              "--offset=8M", "--io_size=128M", "--iodepth=8")
        lab.wait("degraded, with a reason", lambda: lab.group("db")["health"] in ("degraded", "unprotected")
                 and lab.group("db")["reason"] != "")
        w = load.Writer(17).connect([uri])
        w.start()
        lab.run("lab", "heal")
        lab.wait_state("db", "streaming", "west", limit=120)
        w.stop()
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return "copied in full while writes went on"


def test_existing_data(build):
    """A volume over a file with data: the replica is filled by a copy; compared byte by byte after a switchover."""
    with Lab(build) as lab:
        image = os.path.join(lab.dir, "existing.img")
        with open(image, "wb") as f:
            f.write(os.urandom(24 * MIB))
        shell("cp", image, image + ".kept")
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west")
        lab.run("volume", "create", "db/old", "--path", f"east={image}")
        lab.wait_state("db", "in-sync", "west", limit=120)
        lab.run("switchover", "db", "--site", "west")
        shell("qemu-img", "compare", "-f", "raw", "-F", "raw", lab.uri("db", "old", "west"), image + ".kept")
        return "24 MiB copied, equal"


def fault(lab, site, group_name, volume, errno):
    s = json.loads(lab.run("--site", site, "rpc", "status", "{}"))
    gid = next(g["group"] for g in s["groups"] if g["name"] == group_name)
    lab.run("--site", site, "rpc", "lab.fault",
            json.dumps({"group": gid, "volume": volume, "errno": errno, "after_writes": 20}))


def test_device_errors(build):
    """EIO and ENOSPC in mid-flight, at journal and volume, at replica and primary: nothing acknowledged is lost."""
    told = []
    for errno, volume, site in (("EIO", -1, "west"), ("EIO", 0, "east"), ("ENOSPC", -1, "east"), ("ENOSPC", 0, "west")):
        with Lab(build) as lab:
            group(lab, "db", volumes=(("a", "16M"),))
            lab.run("group", "set", "db", "replica_timeout=2s")
            w = load.Writer(19).connect([lab.uri("db", "a", "east")])
            w.start()
            time.sleep(0.2)
            fault(lab, site, "db", volume, errno)
            if site == "west":
                lab.wait_health("db", "unprotected", site="east")
                before = w.acknowledged
                lab.wait("writes go on", lambda: w.acknowledged > before)
            else:
                lab.wait("the group stops", lambda: lab.group("db", "east")["health"] == "down")
                expect(lab.group("db", "east")["reason"] != "", "a reason in words")
            w.stop()
            lab.run("lab", "kill", site)
            lab.run("lab", "start", site)
            load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
            lab.wait_state("db", "in-sync", "west")
        told.append(f"{errno} {'journal' if volume < 0 else 'volume'} {site}")
    return ", ".join(told)


def test_journal_unreadable(build):
    """A primary that cannot attach its journal says why, and lets go of that group alone: the other site takes it."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        group(lab, "other", volumes=(("a", "16M"),))
        w = load.Writer(29).connect([lab.uri("db", "a", "east")])
        for _ in range(300):
            w.one()
        s = json.loads(lab.run("--site", "east", "rpc", "status", "{}"))
        journal = next(g["journal"]["path"] for g in s["groups"] if g["name"] == "db")
        lab.run("lab", "kill", "east")
        os.truncate(journal, os.path.getsize(journal) - 100)
        lab.run("lab", "start", "east")
        lab.uri("other", "a", "east")
        lab.wait("a reason in words", lambda: "cut short" in lab.group("db", "west")["reason"])
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        expect(lab.group("other")["primary"] == "east", "the other group stays")
        return "a journal cut short, promoted while its site lives"


def test_full_disk_refused(build):
    """A volume that does not fit is refused at creation, and nothing is left behind."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "8M"),))
        p = lab.try_run("volume", "create", "db/huge", "--size", "60000G")
        expect(p.returncode in (1, 3) and p.stderr.strip(), f"exit {p.returncode}: {p.stderr}")
        expect([v["name"] for v in lab.group("db")["volumes"]] == ["a"], "the volume does not exist")
        return p.stderr.strip().splitlines()[-1][:100]


def test_veth(build):
    """The same over veth with af_xdp (af_packet where XDP is missing): writes, switchover, everything there."""
    if not may_make_namespaces():
        print("SKIP: veth: no right to make network namespaces")
        return "skipped"
    with Lab(build, link="veth") as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        w = load.Writer(23).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        time.sleep(2)
        lab.wait("writes", lambda: w.acknowledged > 20)
        lab.run("lab", "kill", "east")
        w.stop()
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", v, "west") for v in ("a", "b")], w.acknowledged)
        shell("bash", os.path.join(NBD_TESTS, "clients.sh"), socket_of(lab.uri("db", "a", "west")), "a", "1")
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east", site="west")
        return f"{w.acknowledged} operations, real clients, back in sync"


def test_idle(build):
    """An idle engine: memory below 512 MiB; CPU reported, not asserted."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        time.sleep(2)
        pid = lab.pids("east")["causeway-engine"]
        ticks = lambda: sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
        a = ticks()
        time.sleep(5)
        cpu = (ticks() - a) / os.sysconf("SC_CLK_TCK") / 5 * 100
        status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
        rss = int(status["VmRSS"].split()[0]) // 1024
        huge = int(status.get("HugetlbPages", "0 kB").split()[0]) // 1024
        expect(rss + huge < 512, f"{rss} MiB and {huge} MiB of hugepages")
        s = json.loads(lab.run("--site", "east", "rpc", "status", "{}"))
        expect(s["allocations_on_lcore"] == 0, "no allocation on lcores after start")
        return f"{rss} MiB + {huge} MiB hugepages, {cpu:.1f} % of a core"
