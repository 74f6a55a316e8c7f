# SPDX-License-Identifier: BSD-3-Clause
"""The disk under members of etcd is full, which ends them: not their quota, which raises an alarm. Imported by
lab_test.py."""
import contextlib
import itertools
import os
import shutil

from hostile import goes_on
from lab import MIB, Lab, expect, has_etcd
from space import SmallDisk, can_mount
from store_loss import covered
from store_trouble import goes_on_unmoved, says
from witness import WITNESS, Promotion, Rounds

SITES = ("east", "west", WITNESS)
DISK_MIB = 160  # a member takes 128 for its log, and its rows


def on_a_small_disk(lab, site):
    """Its member's data are moved to a disk of its own."""
    lab.run("lab", "kill", site)
    disk = SmallDisk(lab, f"disk-{site}", DISK_MIB)
    with open(f"{lab.dir}/lab/{site}/etcd.yaml") as f:
        text = f.read()
    before = f"{lab.settings()['storage_root']}/{site}/etcd"
    shutil.copytree(before, disk.path + "/etcd", ignore=shutil.ignore_patterns("*.tmp"))
    expect(f'"{before}"' in text, text)
    with open(f"{lab.dir}/lab/{site}/etcd.yaml", "w") as f:
        f.write(text.replace(f'"{before}"', f'"{disk.path}/etcd"'))
    os.chmod(disk.path + "/etcd", 0o700)
    lab.run("lab", "start", site)
    return disk


def runs(lab, site):
    return "etcd" in lab.pids(site)


def fill(lab, disks, sites):
    """Their disks are full, and what is written meanwhile ends one of them at least; without a quorum the other has
    nothing to write."""
    numbers = itertools.count()
    for site in sites:
        disks[site].full(0)

    def ended():
        at = next((s for s in SITES if runs(lab, s)), None)
        if at:  # else the last of them has ended as well
            lab.etcdctl(at, "put", f"/filler/{next(numbers)}", value="x" * MIB)
        return [s for s in sites if not runs(lab, s)]
    for site in lab.wait(f"etcd ends at {' or '.join(sites)}", ended):
        with open(f"{lab.dir}/lab/{site}/etcd.log", errors="replace") as f:
            expect("no space left on device" in f.read(), f"{site}'s member ended of something else")


def test_store_disk_full(build):
    """The disk of the member that leads is full, and nothing changes but that it is told; then those of the others are:
    writes go on by grants, nobody is promoted, each site says why. With room again the members start, and roles change."""
    if not has_etcd() or not can_mount():
        return "SKIP: no etcd, or no right to mount a tmpfs"
    with Lab(build, witness=WITNESS) as lab, contextlib.ExitStack() as mounted:
        disks = {}
        for site in SITES:
            disks[site] = mounted.enter_context(on_a_small_disk(lab, site))
        rounds = Rounds(lab)
        rounds.begin()
        leader = lab.wait("a leader", lab.etcd_leader)
        others = [s for s in SITES if s != leader]
        fill(lab, disks, [leader])
        lab.wait("another leads", lab.etcd_leader)
        goes_on(lab, rounds.w, "writes go on with two members")
        lab.wait("by the store", lambda: covered(lab) == "store")
        lab.wait("the audit tells of the member", lambda: f"vote {leader} (does not answer)" in lab.try_run(
            "--site", others[0], "audit").stdout)
        fill(lab, disks, others)
        lab.wait("east goes on by grants", lambda: covered(lab) == "grants")
        asker = Promotion(lab, "west", "west")
        goes_on_unmoved(lab, rounds)
        says(lab, "that the store does not renew", "goes on by grants", "goes on by what its peers grant")
        why = lab.status("west")["store_trouble"]
        expect(asker.end() != 0 and rounds.w.error is None, f"{asker.process} {rounds.w.error}")
        for site in SITES:
            disks[site].room()
        for site in SITES:
            lab.try_run("lab", "start", site)
        lab.wait("the store renews again", lambda: covered(lab) == "store")
        expect(rounds.end() == "east", "nobody was promoted")
        primary, other = rounds.begin()
        lab.run("--site", WITNESS, "switchover", "db", "--site", other)
        expect(rounds.end() == other, "it was switched over")
        rounds.close()
        print(why, asker.process)
        return f"{leader} first; {rounds.w.next_op} operations; {why}"
