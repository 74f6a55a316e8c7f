# SPDX-License-Identifier: BSD-3-Clause
"""Volumes that are deleted while journals still have their records, or peers still send them. Imported by
lab_test.py."""
import os
import signal
import subprocess

import load
import nbd
from lab import MIB, Lab, expect, group


def client(uri):
    h = nbd.NBD()
    h.connect_uri(uri)
    return h


def some(uri, seed, count=40):
    """Acknowledged writes from the beginning of a volume on; the connection is closed again."""
    h = client(uri)
    for i in range(count):
        h.pwrite(bytes([(seed + i) % 251 + 1]) * 65536, (i % 8) * 65536)
    h.shutdown()


def image(lab, site, volume):
    with open(f"{lab.settings()['storage_root']}/{site}/db-{volume}.img", "rb") as f:
        return f.read()


def files(lab, site):
    return sorted(n for n in os.listdir(f"{lab.settings()['storage_root']}/{site}") if ".img" in n)


def delete_in_background(lab, volume):
    """The command waits for a site that is away, for a while."""
    return subprocess.Popen([lab.cli, "--site", "east", "volume", "delete", volume, "--force"], env=lab.env,
                            stdout=subprocess.DEVNULL)


def come_back(lab, writer):
    """Both sites in sync, and what was acknowledged is there; the writer goes on, and all comes to its place."""
    lab.wait_state("db", "in-sync", "west")
    uri = lab.uri("db", "keep", "east")
    load.check(writer, [uri], writer.acknowledged)
    writer.connect([uri])
    for _ in range(10):
        writer.one()
    writer.handles[0].flush()
    lab.wait("the same in place", lambda: image(lab, "east", "keep") == image(lab, "west", "keep"))


def test_deleted_while_away(build):
    """A volume deleted while the replica is down; one that was made, written and deleted meanwhile: the replica comes
    back by itself, and no file of them is left."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("keep", "8M"), ("v", "8M")))
        w = load.Writer(61).connect([lab.uri("db", "keep", "east")])
        some(lab.uri("db", "v", "east"), 1)
        lab.run("lab", "kill", "west")
        beside = f"{lab.settings()['storage_root']}/west/db-v.img.copy"
        with open(beside, "wb") as f:
            f.write(b"somebody's")
        deleting = [delete_in_background(lab, "db/v")]
        lab.run("volume", "create", "db/brief", "--size", "8M")
        some(lab.uri("db", "brief", "east"), 2)
        for _ in range(20):
            w.one()
        deleting.append(delete_in_background(lab, "db/brief"))
        expect([d.wait(60) for d in deleting] == [0, 0], "both were said to be deleted")
        expect(files(lab, "east") == ["db-keep.img"], f"east has let go of both: {files(lab, 'east')}")
        lab.run("volume", "create", "db/v", "--size", "4M")  # the name is free, though west has a volume of it
        again = load.Writer(64).connect([lab.uri("db", "v", "east")])
        for _ in range(20):
            again.one()
        lab.run("lab", "start", "west")
        come_back(lab, w)
        lab.wait("the volumes are gone", lambda: [v["name"] for v in lab.group("db")["volumes"]] == ["keep", "v"])
        lab.wait("their files, too", lambda: [len(files(lab, s)) for s in ("east", "west")] == [2, 3])
        expect(os.path.exists(beside), "what no copy here has made stays")
        lab.wait_state("db", "in-sync", "west")
        lab.run("lab", "kill", "east")
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", "keep", "west")], w.acknowledged)
        load.check(again, [lab.uri("db", "v", "west")], again.acknowledged)
        return f"{w.acknowledged} operations on the volume that stayed"


def test_deleted_unseen(build):
    """A volume made, written and deleted while the replica's controller is away and its engine is not: the engine gets
    records of a volume that it never had, and goes on when it is told that there is none."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("keep", "8M"),))
        w = load.Writer(63).connect([lab.uri("db", "keep", "east")])
        os.kill(lab.pids("west")["causeway-control"], signal.SIGKILL)
        lab.wait("east finds west's controller dead",
                 lambda: not any(s["name"] == "west" and s["alive"] for s in lab.status("east")["sites"]))
        lab.run("--site", "east", "volume", "create", "db/brief", "--size", "8M")
        some(lab.uri("db", "brief", "east"), 3)
        for _ in range(20):
            w.one()
        deleting = delete_in_background(lab, "db/brief")
        lab.wait("east has let go of it", lambda: files(lab, "east") == ["db-keep.img"])
        lab.run("lab", "start", "west")
        come_back(lab, w)
        expect(deleting.wait(60) == 0, "it was said to be deleted")
        lab.run("lab", "kill", "east")
        lab.run("promote", "db", "--site", "west")
        load.check(w, [lab.uri("db", "keep", "west")], w.acknowledged)
        return f"{w.acknowledged} operations on the volume that stayed"


def test_deleted_before_a_crash(build):
    """kill -9 of both sites right after a delete, with records of the volume in both journals behind the last
    checkpoint; the same with a file that was there before, which stays."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("keep", "8M"),))
        w = load.Writer(62).connect([lab.uri("db", "keep", "east")])
        paths = {s: f"{lab.dir}/{s}.img" for s in ("east", "west")}
        for path in paths.values():
            with open(path, "wb") as f:
                f.truncate(8 * MIB)
        for turn in range(4):
            extra = [x for s, p in paths.items() for x in ("--path", f"{s}={p}")] if turn == 3 else ["--size", "8M"]
            extra += ["--overwrite", "west"] if turn == 3 else []
            lab.run("volume", "create", "db/v", *extra)
            lab.wait_health("db", "protected")
            some(lab.uri("db", "v", "east"), turn * 10)
            for _ in range(10):
                w.one()
            lab.run("volume", "delete", "db/v", "--force")
            for site in ("west", "east"):
                lab.run("lab", "kill", site)
            for site in ("east", "west"):
                lab.run("lab", "start", site)
            come_back(lab, w)
            expect(files(lab, "east") == files(lab, "west") == ["db-keep.img"], f"{files(lab, 'east')}")
        ours = {s: open(p, "rb").read() for s, p in paths.items()}
        expect(ours["east"] == ours["west"] != bytes(8 * MIB), "what was in the files before stays, and is the same")
        return f"4 times, {w.acknowledged} operations on the volume that stayed"
