# SPDX-License-Identifier: BSD-3-Clause
"""Labs in trouble: half of a path, two operators at once, nonsense on every socket, a key that does not fit,
reigns that part. Imported by lab_test.py."""
import glob
import json
import os
import random
import socket
import subprocess
import threading
import time

import load
from lab import MIB, Failed, Lab, expect, group, shell


def writer(lab, seed, volumes=("a",), site="east"):
    w = load.Writer(seed).connect([lab.uri("db", v, site) for v in volumes])
    w.start()
    return w


def goes_on(lab, w, what, limit=60):
    before = w.acknowledged
    lab.wait(what, lambda: w.acknowledged > before + 5, limit)


def test_one_way_cut(build):
    """Frames are lost in one direction only, each in turn: writes go on when the set has shrunk, nothing is lost."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = writer(lab, 31)
        for receive in (True, False):
            lab.rpc("east", "lab.cut", remote="west", receive=receive, transmit=not receive)
            lab.wait_health("db", "unprotected", site="east")
            goes_on(lab, w, "writes go on alone")
            lab.run("promote", "db", "--site", "west", code=3)
            lab.run("lab", "heal")
            lab.wait_state("db", "in-sync", "west")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"{w.acknowledged} operations"


def open_primary(lab, site):
    g = lab.engine_group(site, "db")
    return g["epoch"] if g["role"] == "primary" and not g["frozen"] else 0


def watch_primaries(lab, stop, seen, looks):
    """east, west, east: open at both ends of the look and at west in between is two at once. looks grows by what was
    open in each look that succeeded."""
    while not stop.is_set():
        try:
            first, middle, last = (open_primary(lab, s) for s in ("east", "west", "east"))
        except Failed:
            continue
        looks.append((first, middle, last))
        if first and first == last and middle:
            seen.append((first, middle))


def test_two_operators(build):
    """Both sites are promoted at the same moment, nothing being wrong: one primary at most, nothing lost."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        stop, seen, looks = threading.Event(), [], []
        watcher = threading.Thread(target=watch_primaries, args=(lab, stop, seen, looks), daemon=True)
        watcher.start()
        w, told, during = None, [], []
        for attempt in range(3):
            primary = lab.group("db")["primary"]
            w = (w.next(100 + attempt, end) if w else load.Writer(100)).connect([lab.uri("db", "a", primary, 90)])
            w.start()
            time.sleep(0.3)
            results, before = {}, len(looks)
            both = [threading.Thread(target=lambda s=s: results.update({s: lab.try_run("promote", "db", "--site", s)}))
                    for s in ("east", "west")]
            for t in both:
                t.start()
            for t in both:
                t.join(120)
            during.append(len(looks) - before)
            told.append("/".join(str(results[s].returncode) for s in ("east", "west")))
            expect(any(r.returncode == 0 for r in results.values()),
                   "nobody got it: " + " ".join(r.stderr for r in results.values()))
            for site, r in results.items():
                expect(r.returncode in (0, 1, 3), f"{site}: {r.returncode} {r.stderr}")
                expect(r.returncode == 0 or r.stderr.strip(), f"{site}: a refusal without words")
            lab.wait("both agree who is primary", lambda: len({lab.group("db", s)["primary"] for s in ("east", "west")}) == 1
                     and lab.group("db")["health"] == "protected", 60)
            w.stop()
            primary = lab.group("db")["primary"]
            end = load.check(w, [lab.uri("db", "a", primary)], w.acknowledged)
        stop.set()
        watcher.join(60)
        expect(sum(during) > 0, "both engines were looked at while both were promoted")  # not each time: it is short
        expect(not seen, f"two primaries at once, epochs {seen}")
        expect(any(first or last for first, _, last in looks) and any(middle for _, middle, _ in looks),
               "the looks saw each site open, one after the other")
        return f"exits {', '.join(told)}; {during} looks meanwhile, {len(looks)} in all; {w.acknowledged} operations"


NONSENSE = (b"", b"\0" * 4096, b"{" * 100000, b"[" * 100000, b'{"jsonrpc":"2.0","id":1}\n', b'{"jsonrpc":"2.0"',
            b'[1,2,3]\n', b'"x"\n', b'{"jsonrpc":"2.0","id":1,"method":"status","params":[[]]}\n',
            b'{"jsonrpc":"2.0","id":{},"method":7,"params":"x"}\n', b"\xff\xfe" * 3000 + b"\n",
            b"GET / HTTP/1.0\r\n\r\n", b"IHAVEOPT" + b"\xff" * 64, b"\0\0\0\3IHAVEOPT\0\0\0\7\xff\xff\xff\xff")


def pester(path, rng, held):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    try:
        s.connect(path)
        s.sendall(rng.choice(NONSENSE) if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 5000)))
        if rng.random() < 0.4:
            held.append(s)  # stays half-open, says no more
            return
        s.shutdown(socket.SHUT_WR)
        s.recv(100)
    except OSError:
        pass
    s.close()


def test_nonsense(build):
    """Random bytes and half-open connections, 50 at a time, on every socket of a site: nobody else notices."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = writer(lab, 37)
        pids = lab.pids("east")
        rng = random.Random(1)
        sockets = [f"{lab.dir}/lab/east/{n}.sock" for n in ("engine", "control")] + glob.glob(f"{lab.dir}/lab/east/nbd/*.sock")
        expect(len(sockets) == 3, f"sockets: {sockets}")
        for path in sockets:
            for _ in range(4):
                held = []
                for _ in range(50):
                    pester(path, rng, held)
                goes_on(lab, w, f"writes go on while {path} is pestered")
                for s in held:
                    s.close()
        lab.wait("status answers as before", lambda: lab.group("db", "east")["health"] == "protected")
        expect(lab.pids("east") == pids, "the same processes are there")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
        return f"{len(sockets) * 200} connections, {w.acknowledged} operations"


def test_wrong_key(build):
    """A site with another cluster key: no path, and that is said; with the right one it joins by itself."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "8M"),))
        lab.run("lab", "kill", "west")
        config, key = f"{lab.dir}/lab/west/node.yaml", f"{lab.dir}/lab/other.key"
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(32))
        with open(config) as f:
            good = f.read()
        with open(config, "w") as f:
            f.write(good.replace("cluster.key", "other.key"))
        lab.run("lab", "start", "west")
        w = writer(lab, 41)
        lab.wait_health("db", "unprotected", site="east")
        said = lab.wait("events speak of a key", lambda: (e := lab.run("events")) and "key" in e and e)
        expect(not any(p["up"] for p in lab.status("east")["paths"]), "no path is up")
        w.stop()
        lab.run("lab", "kill", "west")
        with open(config, "w") as f:
            f.write(good)
        lab.run("lab", "start", "west")
        lab.wait_state("db", "in-sync", "west")
        return next(line for line in said.splitlines() if "key" in line).strip()[-100:]


def test_no_whole_image(build):
    """A replica whose first copy never ran: promotion refused, also with --accept-loss; --inconsistent does it."""
    with Lab(build) as lab:
        image = lab.dir + "/existing.img"
        with open(image, "wb") as f:
            f.write(os.urandom(8 * MIB))
        group(lab, "db", volumes=())
        lab.run("lab", "cut", "east", "west")
        lab.run("volume", "create", "db/old", "--path", f"east={image}")
        lab.run("lab", "kill", "east")
        for more in ((), ("--accept-loss",)):
            p = lab.try_run("promote", "db", "--site", "west", *more)
            expect(p.returncode == 3 and "whole image" in p.stderr and "--inconsistent" in p.stderr,
                   f"exit {p.returncode}: {p.stderr}")
        lab.run("promote", "db", "--site", "west", "--inconsistent")
        lab.uri("db", "old", "west")
        return p.stderr.strip()[:100]


def had_back(lab, w, kept):
    """The tail, put onto a copy of the survivor, is the state that the lost primary had acknowledged."""
    records = [json.loads(line) for line in lab.run("--json", "salvage", kept).splitlines()]
    expect(len(records) > 5 and all(r["volume"] == 0 for r in records if r["kind"] == "write"), f"{records[:3]}")
    expect("all sound" in lab.run("salvage", kept), "a list for people")
    image, server = f"{lab.dir}/had-back.img", f"{lab.dir}/had-back.sock"
    shell("qemu-img", "convert", "-f", "raw", "-O", "raw", lab.uri("db", "a", "west"), image)
    lab.run("salvage", kept, "--volume", "0", "--to", image)
    serving = subprocess.Popen(["nbdkit", "-f", "-U", server, "file", image])
    try:
        lab.wait("the image is served", lambda: os.path.exists(server))
        load.check(w, [f"nbd+unix:///?socket={server}"], w.acknowledged)
    finally:
        serving.terminate()
        serving.wait(20)
    with open(kept, "r+b") as f:
        f.seek(os.path.getsize(kept) // 2)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 16]))
    p = lab.try_run("salvage", kept)
    expect(p.returncode == 1 and "records before it are sound" in p.stderr, f"exit {p.returncode}: {p.stderr}")


def test_diverged(build):
    """async; the cut-off primary goes on, the replica is promoted without its tail: diverged, with the command to
    type; resync keeps the tail in a salvage file and ends in streaming."""
    with Lab(build) as lab:
        group(lab, "db", "async", volumes=(("a", "16M"),))
        w = writer(lab, 43)
        goes_on(lab, w, "writes arrive")
        lab.run("lab", "cut", "east", "west")
        goes_on(lab, w, "writes go on")
        lab.wait("what west lacks is in place at east",
                 lambda: lab.engine_group("east", "db")["applied"] > lab.engine_group("west", "db")["received"])
        w.stop()
        lab.run("lab", "kill", "east")
        lab.run("promote", "db", "--site", "west", code=3)
        lab.run("promote", "db", "--site", "west", "--accept-loss")
        end = load.check(w, [lab.uri("db", "a", "west")], 0)
        expect(end < w.acknowledged, "this test wants a loss")
        lab.run("lab", "start", "east")
        lab.run("lab", "heal")
        lab.wait_state("db", "diverged", "east", site="west")
        reason = next(r for r in lab.group("db", "west")["replicas"] if r["site"] == "east")["reason"]
        expect("resync db --site east" in reason, f"the command to type: {reason}")
        lab.run("resync", "db", "--site", "east")
        lab.wait_state("db", "streaming", "east", site="west")
        kept = glob.glob(lab.settings()["storage_root"] + "/east/salvage-*")
        expect(kept and os.path.getsize(kept[0]) > 512, f"the tail of east is kept: {kept}")
        said = lab.run("events")
        expect("are kept in" in said and "read in full" not in said, f"all of it is in that file:\n{said}")
        had_back(lab, w, kept[0])
        lab.run("switchover", "db", "--site", "east")
        load.check(w, [lab.uri("db", "a", "east")], 0)
        return f"{w.acknowledged - end} operations lost and kept: {os.path.basename(kept[0])}"


def keep_store(lab, path):
    db = f"{lab.dir}/lab/store.db"
    shell("sqlite3", db, "PRAGMA busy_timeout=5000", "PRAGMA wal_checkpoint(TRUNCATE)", f".backup {path}")


def put_store_back(lab, path):
    """The same file, with older content, under what has it open."""
    db = f"{lab.dir}/lab/store.db"
    before = os.stat(db).st_ino
    shell("sqlite3", db, "PRAGMA busy_timeout=5000", "PRAGMA wal_checkpoint(TRUNCATE)")
    shell("dd", f"if={path}", f"of={db}", "conv=notrunc,fsync")
    expect(os.stat(db).st_ino == before, "the file is the same one")


def test_old_store(build):
    """An older copy of the store written over it in place, in which a site that left the set is a member: nobody
    renews or decides, the writes stop, the reason is said; the stale member is not promoted."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        copy = f"{lab.dir}/copy.db"
        keep_store(lab, copy)
        lab.run("group", "set", "db", "replica_timeout=1s")
        w = writer(lab, 47)
        goes_on(lab, w, "writes")
        lab.run("lab", "cut", "east", "west")
        lab.wait_health("db", "unprotected", site="east")
        goes_on(lab, w, "writes go on alone")
        put_store_back(lab, copy)
        for site in ("west", "east"):
            lab.wait(f"{site} refuses", lambda s=site: "went back" in
                     lab.try_run("--site", s, "group", "set", "db", "replica_timeout=1s").stderr)
        p = lab.try_run("promote", "db", "--site", "west", "--accept-loss")
        expect(p.returncode == 3 and "went back" in p.stderr, f"exit {p.returncode}: {p.stderr}")
        lab.wait_health("db", "frozen", site="east")
        expect("went back" in lab.group("db", "east")["reason"], lab.group("db", "east")["reason"])
        expect(open_primary(lab, "west") == 0, "west is not open")
        w.close()
        return f"{w.acknowledged} operations before"
