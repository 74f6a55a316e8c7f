# SPDX-License-Identifier: BSD-3-Clause
"""Disks that fill up for true: thin volumes and journals with holes on a small tmpfs, and no room at creation.
Imported by lab_test.py."""
import os
import signal
import subprocess

import nbd

import load
from lab import MIB, Lab, expect, shell


class SmallDisk:
    """A tmpfs of its own; `full()` and `room()` take and give what is left of it."""

    def __init__(self, lab, name, mib):
        self.path = f"{lab.dir}/{name}"
        self.mib = mib
        os.mkdir(self.path)
        shell("mount", "-t", "tmpfs", "-o", f"size={mib}m", "cw-test", self.path)

    def full(self, but_mib):
        """Takes all room but so many MiB."""
        about = os.statvfs(self.path)
        shell("fallocate", "-l", str(about.f_bavail * about.f_frsize - but_mib * MIB), self.path + "/ballast")

    def room(self):
        os.unlink(self.path + "/ballast")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path])


def can_mount():
    probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "cw-test", "/mnt"], capture_output=True)
    return probe.returncode == 0


def one_group(lab, name, journal, volume):
    """`journal` and `volume`: words of the command line that place them."""
    lab.run("group", "create", name, "--mode", "sync", "--primary", "east", "--replica", "west",
            "--journal-size", "32M", *journal)
    lab.run("volume", "create", f"{name}/v", "--size", "32M", "--thin", *volume)
    lab.run("group", "set", name, "replica_timeout=2s")


def test_disk_full(build):
    """No room at creation: refused in words, nothing left. No room in mid-flight, for a volume or a journal, at
    primary and replica: out of the set or down, with the reason; nothing acknowledged is lost; back by itself."""
    if not can_mount():
        print("SKIP: disk_full: no right to mount a tmpfs")
        return "skipped"
    with Lab(build) as lab, SmallDisk(lab, "small", 96) as disk:
        path = disk.path
        p = lab.try_run("group", "create", "big", "--mode", "sync", "--primary", "east", "--replica", "west",
                        "--journal-size", "200M", "--journal", f"west={path}/big.journal")
        expect(p.returncode == 1 and "No space" in p.stderr and "west" in p.stderr, f"{p.returncode} {p.stderr}")
        one_group(lab, "vw", (), ("--path", f"west={path}/vw.img"))
        one_group(lab, "ve", (), ("--path", f"east={path}/ve.img"))
        one_group(lab, "jw", ("--journal", f"west={path}/jw.journal"), ())
        one_group(lab, "je", ("--journal", f"east={path}/je.journal"), ())
        p = lab.try_run("volume", "create", "vw/big", "--size", "200M", "--path", f"east={path}/big.img")
        expect(p.returncode == 1 and "No space" in p.stderr and "east" in p.stderr, f"{p.returncode} {p.stderr}")
        expect([v["name"] for v in lab.group("vw")["volumes"]] == ["v"], "no second volume")
        expect(sorted(os.listdir(path)) == ["je.journal", "jw.journal", "ve.img", "vw.img"], os.listdir(path))
        for j in ("jw", "je"):  # as if its file system had promised more than it has
            shell("fallocate", "--punch-hole", "-o", str(4 * MIB), "-l", str(28 * MIB), f"{path}/{j}.journal")
        disk.full(6)
        writers = {}
        for i, name in enumerate(("vw", "ve", "jw", "je")):
            writers[name] = load.Writer(60 + i, count=32768).connect([lab.uri(name, "v", "east")])
            writers[name].start()
        told = {}
        for name in ("vw", "jw"):
            lab.wait_health(name, "unprotected", site="east")
            before = writers[name].acknowledged
            lab.wait(f"{name} goes on alone", lambda: writers[name].acknowledged > before + 5)
        for name in ("ve", "je"):
            lab.wait_health(name, "down", site="east")
        for name, w in writers.items():
            w.stop()
            g = lab.group(name, "east")
            told[name] = g["reason"]
            expect("full" in g["reason"], f"{name}: the reason is {g['reason']}, {g['replicas']}")
        disk.room()
        for name, w in writers.items():
            lab.wait_state(name, "in-sync", "west", limit=60)
            load.check(w, [lab.uri(name, "v", "east")], w.acknowledged)
            w.close()
            lab.run("switchover", name, "--site", "west")
            load.check(w, [lab.uri(name, "v", "west")], w.acknowledged)
        return f"{sum(w.acknowledged for w in writers.values())} operations"


def fill_ring(lab, uri):
    """Asks for more than the ring takes, in flight all at once, and waits for no answer: what must be kept alive."""
    clients, buffers = [nbd.NBD() for _ in range(3)], []
    for i, h in enumerate(clients):
        h.connect_uri(uri)
        for k in range(60):
            buffers.append(nbd.Buffer.from_bytearray(bytearray(bytes([k + 1]) * (128 << 10))))
            h.aio_pwrite(buffers[-1], (8 + 8 * i) * MIB + k * (128 << 10))

    def full():
        for h in clients:
            while h.poll(20) == 1:
                pass
        j = lab.engine_group("east", "db")["journal"]
        return j["used_bytes"] > 0.9 * j["bytes"] and j
    lab.wait("the ring is full", full)
    return clients, buffers


def test_journal_brim(build):
    """A ring that is full to the brim, because nothing may be applied, and kill -9: recovered, whatever was
    acknowledged is there, it goes on; once with the primary killed alone, once with its replica."""
    with Lab(build) as lab:
        lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west",
                "--journal-size", "16M")
        lab.run("volume", "create", "db/a", "--size", "32M")
        lab.run("group", "set", "db", "replica_timeout=60s")
        lab.wait_state("db", "in-sync")
        told, w = [], load.Writer(97).connect([lab.uri("db", "a", "east")])
        for _ in range(100):
            w.one()
        for both in (False, True):
            engine = lab.pids("west")["causeway-engine"]
            os.kill(engine, signal.SIGSTOP)
            try:
                held = fill_ring(lab, lab.uri("db", "a", "east"))
                j = lab.engine_group("east", "db")["journal"]
                told.append(f"{j['used_bytes'] * 100 // j['bytes']} %")
                lab.run("lab", "kill", "east")
            finally:
                os.kill(engine, signal.SIGCONT)
            if both:
                lab.run("lab", "kill", "west")
                lab.run("lab", "start", "west")
            lab.run("lab", "start", "east")
            uri = lab.uri("db", "a", "east")
            load.check(w, [uri], w.acknowledged)
            w.connect([uri])
            for _ in range(100):
                w.one()
            lab.wait_state("db", "in-sync", "west")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"ring {', '.join(told)} full"
