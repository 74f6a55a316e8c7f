# SPDX-License-Identifier: BSD-3-Clause
"""What a takeover cost, by the test's own log of what was acknowledged: the estimate at once, the exact list when the
old primary is back. Imported by lab_test.py.

Each write goes to a block of its own, so that a block of the survivor tells whether that write is there.
"""
import glob
import json
import os
import socket
import struct
import threading
import time

import nbd

from lab import Lab, expect, group, socket_of

BLOCK = 4096
DEPTH = 16  # writes on their way at a time


def pattern(number):
    return struct.pack("<QQ", number, number ^ 0xA5A5A5A5A5A5A5A5) * (BLOCK // 16)


class Client:
    """Writes by NBD, without a library: an answer that is in the socket when the server dies is read all the same."""

    def __init__(self, uri):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(socket_of(uri))
        name = uri.split("///", 1)[1].split("?", 1)[0].encode()
        self.read(18)
        go = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 7, len(go)) + go)
        kind = 0
        while kind != 1:  # what it tells, then its consent
            _, _, kind, length = struct.unpack(">QIII", self.read(20))
            self.read(length)
            expect(kind < 1 << 31, f"the server refused {name}: {kind:x}")

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise OSError("the server is gone")
            data += more
        return data

    def write(self, cookie, offset, data):
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, cookie, offset, len(data)) + data)

    def answer(self):
        _, error, cookie = struct.unpack(">IIQ", self.read(16))
        return cookie, error


class Log(threading.Thread):
    """Writes block after block of a volume, many at a time, and remembers what was answered."""

    def __init__(self, uri, first, seed):
        super().__init__(daemon=True)
        self.client = Client(uri)
        self.next, self.first, self.seed = first, first, seed
        self.submitted, self.acknowledged = {}, set()  # block -> wall clock; blocks
        self.room = threading.Semaphore(DEPTH)
        self.stopping = threading.Event()
        self.reader = threading.Thread(target=self.read_answers, daemon=True)
        self.reader.start()

    def read_answers(self):
        try:
            while True:
                block, error = self.client.answer()
                if error == 0:
                    self.acknowledged.add(block)
                self.room.release()
        except OSError:
            pass  # the site died, and every answer that it gave is read

    def run(self):
        try:
            while not self.stopping.is_set():
                if not self.room.acquire(timeout=0.1):
                    continue
                block = self.next
                self.next += 1
                self.submitted[block] = time.time()
                self.client.write(block, block * BLOCK, pattern(block + self.seed))
                time.sleep(0.001)  # a steady load: the path carries it
        except OSError:
            pass  # the site died

    def stop(self):
        """After the site has died."""
        self.stopping.set()
        self.join(60)
        self.reader.join(60)
        expect(not self.is_alive() and not self.reader.is_alive(), "the connection has ended")

    def present(self, uri):
        """Blocks of ours that a volume has."""
        h = nbd.NBD()
        h.connect_uri(uri)
        found, count = set(), self.next - self.first
        for at in range(0, count, 256):
            n = min(256, count - at)
            data = h.pread(n * BLOCK, (self.first + at) * BLOCK)
            for i in range(n):
                block = self.first + at + i
                if data[i * BLOCK:(i + 1) * BLOCK] == pattern(block + self.seed):
                    found.add(block)
        h.shutdown()
        return found


def failovers(lab, site=None):
    args = ["--site", site] if site else []
    return json.loads(lab.run(*args, "--json", "losses", "db"))["failovers"]


def listed(lab, epoch):
    return [json.loads(line) for line in lab.run("--json", "losses", "db", "--list", "--epoch", str(epoch)).splitlines()]


def storage(lab, site):
    return lab.settings()["storage_root"] + "/" + site


def salvage_files(lab, site):
    return sorted(glob.glob(storage(lab, site) + "/salvage-*"))


def wait_listed(lab, epoch, site=None):
    def check():
        return any(f["epoch"] == epoch and f["lost"] == "listed" for f in failovers(lab, site))
    lab.wait(f"the tail of before epoch {epoch} is listed", check)


def takeover(lab, old, new, first, seed, cut):
    """Load on `old`, which dies under it; `new` takes over. What is known then, against the truth."""
    w = Log(lab.uri("db", "a", old), first, seed)
    w.start()
    lab.wait("writes arrive there", lambda: len(w.acknowledged) > 1500
             and lab.engine_group(new, "db")["received"] > 500)
    lab.wait("and it is told there how fast", lambda: lab.group("db", new)["iops"] > 0)
    if cut:
        lab.run("lab", "cut", old, new)
        known = len(w.acknowledged)
        lab.wait("writes go on alone", lambda: len(w.acknowledged) > known + 300)
        lab.wait("and are in place", lambda: lab.engine_group(old, "db")["applied"]
                 > lab.engine_group(new, "db")["received"] + 100)
    lab.run("lab", "kill", old)
    w.stop()
    refused = lab.run("promote", "db", "--site", new, code=3)
    expect(refused == "", "a refusal is said on stderr")
    lab.run("promote", "db", "--site", new, "--accept-loss")
    f = failovers(lab, new)[-1]
    present = w.present(lab.uri("db", "a", new))
    missing = w.acknowledged - present
    expect(f["from"] == old and f["site"] == new and f["lost"] == "away", f"{f}")
    expect(f["kind"] == "bounded" and f["accept_loss"], f"{f}")
    after = f.get("after", {"writes": 0, "bytes": 0})
    expect(f["writes"] + after["writes"] >= len(missing), f"{len(missing)} are missing, told were {f}")
    expect(f["bytes"] + after["bytes"] >= len(missing) * BLOCK, f"{len(missing)} blocks are missing, told were {f}")
    said = lab.run("losses", "db")
    expect(f"not known before {old} is back" in said and "at most" in said, said)
    return w, present, missing, f


def check_list(lab, w, present, missing, f):
    """The list is what the log of answers says is not at the survivor: all of that, and nothing that is there."""
    records = listed(lab, f["epoch"])
    blocks = {r["offset"] // BLOCK: r for r in records}
    expect(all(r["kind"] == "write" and r["length"] == BLOCK and r["name"] == "a" for r in records), f"{records[:2]}")
    expect(len(blocks) == len(records), "each write once")
    expect(missing <= set(blocks), f"acknowledged, not at the survivor, not listed: {sorted(missing - set(blocks))[:5]}")
    expect(not set(blocks) & present, f"listed, and at the survivor: {sorted(set(blocks) & present)[:5]}")
    yes = {b for b, r in blocks.items() if r["acknowledged"] == "yes"}
    expect(yes <= w.acknowledged, f"said to be acknowledged, and was not: {sorted(yes - w.acknowledged)[:5]}")
    expect(not any(r["acknowledged"] == "no" for r in records), "nobody can know that in async")
    expect(all(r["sequence"] > f["held_sequence"] for r in records), "beyond the common point")
    expect([r["sequence"] for r in records] == sorted(r["sequence"] for r in records), "in order")
    far = [b for b, r in blocks.items() if abs(r["time"] - w.submitted[b]) > 60]
    expect(not far, f"the wall clock of {far[:3]} is another one")
    return len(yes), len(records)


def get_back(lab, w, f, site):
    """What the file has, out of it again: a block, and a place."""
    path = next(t["path"] for g in failovers(lab) if g["epoch"] == f["epoch"] for t in g["kept"])
    first, last = sorted(r["offset"] for r in listed(lab, f["epoch"]))[::len(listed(lab, f["epoch"])) - 1]
    image = f"{lab.dir}/block.img"
    lab.run("salvage", path, "--volume", "0", "--extent", f"{last}+{BLOCK}", "--to", image)
    with open(image, "rb") as i:
        i.seek(last)
        expect(i.read() == pattern(last // BLOCK + w.seed), "that block, and nothing behind it")
        i.seek(0)
        expect(i.read(last) == bytes(last), "nor before it")
    os.unlink(image)
    lines = lab.run("--json", "salvage", path, "--volume", "0", "--extent", f"{first}+1").splitlines()
    expect(len(lines) == 1 and json.loads(lines[0])["offset"] == first, f"{lines}")
    expect(lab.run("--json", "salvage", path, "--volume", "7") == "", "no write of another volume")
    lab.run("salvage", path, "--extent", "0+1", code=2)
    size = os.path.getsize(path)
    copy = f"{lab.dir}/copy.salvage"
    with open(path, "rb") as src, open(copy, "wb") as dst:
        dst.write(src.read(size - BLOCK - 64))  # a whole record less
    p = lab.try_run("salvage", copy)
    expect(p.returncode == 1 and "cut short" in p.stderr, f"exit {p.returncode}: {p.stderr}")


def test_losses(build):
    """async over a WAN; the primary's site is killed under load, twice, each time the other takes over: the estimate
    is no less than the truth, and the list of the site that returns is the truth."""
    with Lab(build, extra=["--wan", "rtt=40ms"]) as lab:
        group(lab, "db", "async", volumes=(("a", "128M"),))
        expect("never taken over" in lab.run("losses", "db"), "before any takeover")
        expect(failovers(lab) == [], "none")
        told, sites = [], ("east", "west")
        for turn, cut in enumerate((False, True)):
            old, new = sites[turn % 2], sites[1 - turn % 2]
            w, present, missing, f = takeover(lab, old, new, turn * 12000, 77 * turn, cut)
            lab.run("lab", "start", old)
            lab.run("lab", "heal")
            lab.wait(f"{old} is back", lambda: next(r["state"] for r in lab.group("db", new)["replicas"]) in
                     ("diverged", "streaming"))
            if missing:
                wait_listed(lab, f["epoch"], new)
                yes, all_ = check_list(lab, w, present, missing, f)
                get_back(lab, w, f, old)
            if cut:
                expect(len(missing) > 100, f"this turn wants a loss: {len(missing)}")
                expect(yes > len(missing) // 2, f"what was answered long ago is known to be: {yes} of {len(missing)}")
                before = salvage_files(lab, old)
                lab.run("resync", "db", "--site", old)
            lab.wait_state("db", "streaming", old, site=new)
            if cut:
                expect(salvage_files(lab, old) == before, "the tail is kept once")
                check_list(lab, w, present, missing, f)
            told.append(f"{len(missing)} of {len(w.acknowledged)} missing, at most {f['writes']}"
                        f" + {f.get('after', {}).get('writes')} told")
            lab.wait("level", lambda: lab.engine_group(old, "db")["applied"] == lab.engine_group(new, "db")["head"])
        for site in sites:
            lab.run("lab", "kill", site)
        for site in sites:
            lab.run("lab", "start", site)
        for site in sites:
            all_of_them = lab.wait("both takeovers are told", lambda s=site: len(failovers(lab, s)) == 2 and failovers(lab, s))
            expect([f["from"] for f in all_of_them] == ["east", "west"], f"{all_of_them}")
        check_list(lab, w, present, missing, f)
        return "; ".join(told)


def test_losses_none(build):
    """sync: the replica takes over from a dead primary, later in order: nothing is lost, and why is said."""
    with Lab(build) as lab:
        group(lab, "db", "sync", volumes=(("a", "64M"),))
        w = Log(lab.uri("db", "a", "east"), 0, 5)
        w.start()
        lab.wait("writes", lambda: len(w.acknowledged) > 200)
        lab.run("lab", "kill", "east")
        w.stop()
        lab.run("promote", "db", "--site", "west")
        present = w.present(lab.uri("db", "a", "west"))
        expect(w.acknowledged <= present, "sync")
        f = failovers(lab, "west")[0]
        expect(f["kind"] == "none" and f["lost"] == "none" and "in-sync set" in f["words"], f"{f}")
        expect("nothing that was acknowledged" in lab.run("losses", "db"), "for people")
        lab.run("lab", "start", "east")
        lab.wait_state("db", "in-sync", "east", site="west")
        f = failovers(lab, "west")[0]
        tail = listed(lab, f["epoch"]) if f["kept"] else []
        expect(all(r["acknowledged"] == "no" and r["offset"] // BLOCK not in w.acknowledged for r in tail),
               f"cut off, and none of it was acknowledged: {tail[:2]}")
        lab.run("switchover", "db", "--site", "east")
        f = failovers(lab, "east")[-1]
        expect(f["site"] == "east" and f["kind"] == "none" and "level" in f["words"], f"{f}")
        return f"{len(w.acknowledged)} operations, {len(tail)} cut"


def image_of(lab, site):
    return lab.engine_group(site, "db").get("image", "")


def test_losses_interrupted(build):
    """The returning site is killed in the middle of its salvage file, then its disk is full at that moment, twice:
    nothing is copied over before the tail is safe, and the list is whole in the end."""
    with Lab(build) as lab:
        group(lab, "db", "async", volumes=(("a", "128M"),))
        w, present, missing, f = takeover(lab, "east", "west", 0, 9, True)
        lab.run("lab", "heal")
        part = storage(lab, "east") + "/salvage-db.part"
        os.mkfifo(part)
        lab.run("lab", "start", "east")
        with open(part, "rb") as pipe:  # opens when the engine does
            got = pipe.read(4096 + 3 * BLOCK)
            expect(len(got) == 4096 + 3 * BLOCK and got[:4096] == bytes(4096), "the records come before the head")
            lab.run("resync", "db", "--site", "east")
            time.sleep(1)
            expect(image_of(lab, "east") == "whole", "no copy has begun")
            expect(failovers(lab, "west")[-1]["lost"] == "away", "half a file is none")
            lab.run("lab", "kill", "east")
        os.unlink(part)
        expect(salvage_files(lab, "east") == [], "half a file has no name")
        os.symlink("/dev/full", part)
        lab.run("lab", "start", "east")
        lab.wait("no room is told", lambda: "No space left" in lab.run("events")
                 and "the copy does not start" in lab.run("events"))
        expect(image_of(lab, "east") == "whole" and salvage_files(lab, "east") == [part], "nothing was begun")
        os.unlink(part)
        wait_listed(lab, f["epoch"], "west")
        lab.wait_state("db", "streaming", "east", site="west")
        yes, count = check_list(lab, w, present, missing, f)
        expect(len(salvage_files(lab, "east")) == 1, f"{salvage_files(lab, 'east')}")
        return f"{count} writes kept, {len(missing)} had been acknowledged, of {yes} that is proven"
