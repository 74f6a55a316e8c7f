# SPDX-License-Identifier: BSD-3-Clause
"""Volumes that are deleted while journals still have their records, or peers still send them. Imported by
lab_test.py."""
import os
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
    return sorted(n for n in os.listdir(f"{lab.settings()['storage_root']}/{site}") if n.endswith(".img"))


def delete_in_background(lab, volume):
    """The command waits for a site that is away, for a while."""
    return subprocess.Popen([lab.cli, "volume", "delete", volume, "--force"], env=lab.env,
                            stdout=subprocess.DEVNULL)


def come_back(lab, writer, volume="keep"):
    """Both sites in sync, and what was acknowledged is there; the writer goes on."""
    lab.wait_state("db", "in-sync", "west")
    uri = lab.uri("db", volume, "east")
    load.check(writer, [uri], writer.acknowledged)
    writer.connect([uri])
    for _ in range(10):
        writer.one()
    writer.handles[0].flush()


def test_deleted_while_away(build):
    """A volume deleted while the replica is down; one that was made, written and deleted meanwhile: the replica comes
    back by itself, and no file of them is left."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("keep", "8M"), ("v", "8M")))
        w = load.Writer(61).connect([lab.uri("db", "keep", "east")])
        some(lab.uri("db", "v", "east"), 1)
        lab.run("lab", "kill", "west")
        deleting = [delete_in_background(lab, "db/v")]
        lab.run("volume", "create", "db/brief", "--size", "8M")
        some(lab.uri("db", "brief", "east"), 2)
        for _ in range(20):
            w.one()
        deleting.append(delete_in_background(lab, "db/brief"))
        lab.wait("east has let go of both", lambda: files(lab, "east") == ["db-keep.img"])
        lab.run("lab", "start", "west")
        come_back(lab, w)
        lab.wait("the volumes are gone", lambda: [v["name"] for v in lab.group("db")["volumes"]] == ["keep"])
        lab.wait("their files, too", lambda: files(lab, "east") == files(lab, "west") == ["db-keep.img"])
        expect([d.wait(60) for d in deleting] == [0, 0], "both were said to be deleted")
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
        lab.wait("east and west hold the same", lambda: image(lab, "east", "keep") == image(lab, "west", "keep"))
        return f"4 times, {w.acknowledged} operations on the volume that stayed"
