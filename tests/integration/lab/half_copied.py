# SPDX-License-Identifier: BSD-3-Clause
"""Labs in the middle of a full copy: the source dies, the target dies, again and again. What is opened is the image
of before the copy or the one after it, never a mix. Imported by lab_test.py.

A slow path makes a copy last seconds; two volumes full of numbered blocks tell one image from the other.
"""
import glob
import os
import random
import time

import load
from lab import Lab, expect

BLOCKS = 16384  # of each volume: 8 MiB
STEP = 256
VOLUMES = ("a", "b")


def slow_lab(build, rate="50mbit"):
    """A lab whose path is paced."""
    lab = Lab(build)
    up = lab.__enter__()
    try:
        for site in lab.sites:
            up.run("lab", "kill", site)
            config = f"{up.dir}/lab/{site}/node.yaml"
            with open(config) as f:
                lines = f.read().splitlines()
            with open(config, "w") as f:
                for line in lines:
                    f.write(line + "\n" + (f"    rate: {rate}\n" if line.startswith("    peer:") else ""))
        for site in lab.sites:
            up.run("lab", "start", site)
    except BaseException as e:
        lab.__exit__(type(e), e, None)
        raise
    return up


class Bulk(load.Writer):
    """A writer that owns whole volumes and can write all of them anew."""

    def __init__(self, lab, seed):
        super().__init__(seed, count=BLOCKS)
        self.lab = lab

    def fill(self, site):
        """Every block of every volume anew, in numbered operations."""
        self.connect([self.lab.uri("db", v, site) for v in VOLUMES])
        for first in range(0, BLOCKS, STEP):
            for volume, handle in enumerate(self.handles):
                op = self.next_op
                self.next_op += 1
                self.history.append((op, volume, first, STEP, False))
                handle.pwrite(b"".join(load.pattern(op, volume, first + i) for i in range(STEP)), first * load.BLOCK)
                self.acknowledged = op
        for handle in self.handles:
            handle.flush()
        self.close()

    def check(self, site, at_least):
        """The state at a site is a prefix; what came after it is forgotten."""
        end = load.check(self, [self.lab.uri("db", v, site) for v in VOLUMES], at_least)
        self.history = [h for h in self.history if h[0] <= end]
        self.acknowledged = end
        return end


def make(lab, journal="128M"):
    lab.run("group", "create", "db", "--mode", "async", "--primary", "east", "--replica", "west", "--journal-size", journal)
    for v in VOLUMES:
        lab.run("volume", "create", f"db/{v}", "--size", f"{BLOCKS * load.BLOCK}")


def is_level(lab, primary, replica):
    return lab.engine_group(replica, "db")["applied"] == lab.engine_group(primary, "db")["head"]


def image_of(lab, site):
    """whole, copying or broken; "" while the group is not attached."""
    return next((g.get("image", "") for g in lab.rpc(site, "status")["groups"] if g["name"] == "db"), "")


def wait_copying(lab, site, least=1):
    """Until chunks are on their way to this site's new files."""
    def check():
        copy = next(r for r in lab.group("db")["replicas"] if r["site"] == site).get("copy", {})
        return copy.get("done_bytes", 0) >= least and image_of(lab, site) == "copying"
    lab.wait(f"a copy to {site} on its way", check)


def copy_files(lab, site):
    return glob.glob(lab.settings()["storage_root"] + f"/{site}/**/*.copy", recursive=True)


def half_copied(lab):
    """west has a whole image, east has gone on without it, and west is being copied in full. Returns the writer and
    the operation that west's image ends with."""
    make(lab)
    w = Bulk(lab, 51)
    w.fill("east")
    lab.wait("west is level", lambda: is_level(lab, "east", "west"))
    known = w.acknowledged
    lab.run("lab", "cut", "east", "west")
    w.fill("east")
    lab.wait_state("db", "disconnected", "west")
    words = lab.run("resync", "db", "--site", "west")
    expect("nothing is copied yet" in words, f"west is cut off: {words}")
    lab.run("lab", "heal")
    wait_copying(lab, "west", 2 << 20)
    lab.wait("west's controller knows it", lambda: lab.group("db", "west")["replicas"][0].get("old_image"))
    return w, known


def test_old_image(build):
    """The primary dies in the middle of a full copy: --accept-loss opens the whole image of before it; the primary
    that returns is diverged, keeps its tail, and is copied."""
    with slow_lab(build, "20mbit") as lab:
        w, known = half_copied(lab)
        p = lab.try_run("promote", "db", "--site", "west")
        expect(p.returncode == 3 and "--accept-loss" in p.stderr and "whole image of before" in p.stderr,
               f"exit {p.returncode}: {p.stderr}")
        lab.run("lab", "kill", "east")
        expect(image_of(lab, "west") == "copying", "the copy had not ended")
        expect(copy_files(lab, "west"), "new files beside the old ones")
        old = lab.engine_group("west", "db")["old_image"]
        shown = lab.group("db", "west")["replicas"][0]["old_image"]
        expect(old["sequence"] == shown["sequence"] and old["epoch"] == 1, f"{old} {shown}")
        lab.run("promote", "db", "--site", "west", code=3)
        lab.run("promote", "db", "--site", "west", "--accept-loss")
        end = w.check("west", known)
        expect(end == known, f"the image of before the copy ends with operation {known}, not {end}")
        g = lab.engine_group("west", "db")
        expect(g["image"] == "whole" and g["old_image"] is None, f"{g['image']} {g['old_image']}")
        expect(g["history"][-1]["first_sequence"] == old["sequence"] + 1, f"{g['history']} after {old}")
        expect(not copy_files(lab, "west"), f"left: {copy_files(lab, 'west')}")
        lab.run("lab", "kill", "west")
        lab.run("lab", "start", "west")
        w.check("west", known)
        w.fill("west")
        lab.run("lab", "start", "east")
        lab.wait_state("db", "diverged", "east", site="west")
        lab.run("resync", "db", "--site", "east")
        lab.wait_state("db", "streaming", "east", site="west", limit=120)
        kept = glob.glob(lab.settings()["storage_root"] + "/east/salvage-*")
        expect(kept, "the tail of east is kept")
        lab.run("switchover", "db", "--site", "east")
        w.check("east", w.acknowledged)
        return f"opened at operation {known}, sequence {old['sequence']}"


def test_no_old_image(build):
    """The first copy to a site is under way when the primary dies: nothing whole is there, also for --accept-loss."""
    with slow_lab(build) as lab:
        lab.run("lab", "cut", "east", "west")
        make(lab, "64M")
        w = Bulk(lab, 52)
        for _ in range(5):  # more than the journal holds
            w.fill("east")
        lab.run("lab", "heal")
        wait_copying(lab, "west", 1 << 20)
        lab.run("lab", "kill", "east")
        expect(lab.engine_group("west", "db")["old_image"] is None, "no old image")
        lab.wait("east is missed", lambda: not lab.status("west")["sites"][0]["alive"])  # else that is why it is refused
        for more in ((), ("--accept-loss",)):
            p = lab.try_run("promote", "db", "--site", "west", *more)
            expect(p.returncode == 3 and "whole" in p.stderr and "--inconsistent" in p.stderr,
                   f"exit {p.returncode}: {p.stderr}")
        lab.run("promote", "db", "--site", "west", "--inconsistent")
        lab.uri("db", "a", "west")
        lab.run("lab", "start", "east")
        lab.wait_state("db", "diverged", "east", site="west")  # it must not take these files for its own
        return p.stderr.strip()[:100]


def kill_at_random(lab, rng):
    """kill -9 of the target's site somewhere in a copy; every other time around its end, where files are renamed."""
    total = BLOCKS * load.BLOCK * len(VOLUMES)
    is_late = rng.random() < 0.5
    least = 0.98 * total if is_late else rng.randrange(total)

    def is_so_far():
        peer = lab.engine_group("east", "db")["peers"][0]
        return peer["state"] == "streaming" or peer["copy"]["done_bytes"] >= least
    lab.wait("a copy to west so far on its way, or ended", is_so_far)
    time.sleep(rng.uniform(0, 0.5) if is_late else 0)
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west")
    return lab.wait("west answers", lambda: image_of(lab, "west"))


def promote_west(lab, w, known):
    """Whatever is whole at west is opened. Then east takes the group back."""
    lab.run("lab", "kill", "east")
    lab.run("promote", "db", "--site", "west", "--accept-loss")
    end = w.check("west", known)
    lab.run("lab", "start", "east")

    def state():
        return next((r["state"] for r in lab.group("db", "west")["replicas"] if r["state"] in ("streaming", "diverged")),
                    None)
    if lab.wait("east is back", state) == "diverged":
        lab.run("resync", "db", "--site", "east")
    lab.wait_state("db", "streaming", "east", site="west", limit=120)
    lab.run("switchover", "db", "--site", "east")
    w.check("east", end)
    return end


def test_killed_while_copied(build):
    """kill -9 of the target of full copies at random moments, around the switch too: old image or new, never a mix."""
    seed, cycles = int(os.environ.get("CW_SEED", "3")), int(os.environ.get("CW_CYCLES", "4"))
    rng = random.Random(seed)
    seen = []
    with slow_lab(build, "100mbit") as lab:
        make(lab)
        w = Bulk(lab, seed)
        w.fill("east")
        for _ in range(cycles):
            lab.wait_state("db", "streaming", "west", limit=120)
            lab.wait("west is level", lambda: is_level(lab, "east", "west"))
            known = w.acknowledged
            lab.run("lab", "cut", "east", "west")
            w.fill("east")
            lab.run("resync", "db", "--site", "west")
            lab.run("lab", "heal")
            image = kill_at_random(lab, rng)
            last = w.acknowledged
            end = promote_west(lab, w, known)
            expect(end in (known, last), f"seed {seed}: {image} after the kill, opened at operation {end} of {known}, {last}")
            seen.append("old" if end == known else "new")
    return f"seed {seed}: {' '.join(seen)}"
