#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Paths that say `device: prepared`: found where `causeway nic apply` tells of them, and refused with the next step.

    test_prepared.py PATH-OF-causeway-engine [CASE...]
"""
import os
import re
import subprocess

from rig import run_cases
from test_two_engines import Client, begin, readdress, same

PREPARED = """format: 1
path: "wan0"
device: "{device}"
driver: "{driver}"
card: "{card}"
interface: ""
shared: false
node: -1
queues: {queues}
mtu: {mtu}
vlan: 0
lcores: [{lcores}]
"""


def prepare(engine, write=True, **values):
    """The engine's device goes from its configuration to the file of a prepared path; returns the file."""
    folder = os.path.join(engine.directory, "nic")
    os.makedirs(folder, exist_ok=True)
    with open(engine.config) as file:
        device = re.search(r"device: (\S+)", file.read())[1]
    if device != "prepared":
        readdress(engine, (device, "prepared"), ("poll:", f"nic_directory: {folder}\npoll:"))
        engine.device = device
    path = os.path.join(folder, "wan0.yaml")
    if write:
        given = {"device": engine.device, "driver": "", "card": "", "queues": 1, "mtu": 1500, "lcores": "0, 1"} | values
        with open(path, "w") as file:
            file.write(PREPARED.format(**given))
    return path


def run(engine, *options):
    """An engine that must not start: its exit code and what it said."""
    done = subprocess.run([engine.rig.program, "--config", engine.config, *options], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def refuses(engine, *words):
    """Both --check and a start say so, and exit 1; nothing of the engine is there then."""
    for options in (["--check"], []):
        code, said = run(engine, *options)
        assert code == 1 and [w for w in words if w not in said] == [], (options, code, said)
        assert not os.path.exists(engine.socket)


def replicates_over_prepared_paths(rig):
    for engine in rig.engines:
        prepare(engine, mtu=9000)
    assert run(rig.east, "--check") == (0, f"{rig.east.config}: good: node east of site east, 2 sites, 1 paths to 1 of "
                                           "them\n")
    prepare(rig.east, mtu=9000, lcores=1023)
    code, said = run(rig.east, "--check")
    assert code == 0 and "warning: lcores.store has CPU" in said and "prepared with 1023; name those in lcores" in said, said
    begin(rig)
    client = Client(rig.east)
    client.some_writes(1, 100)
    same(rig.east, rig.west, client)


def refuses_what_is_not_prepared(rig):
    east = rig.east
    file = prepare(east, write=False)
    refuses(east, f"path wan0: {file} is not there: run causeway nic apply WISH --yes, or name a device")
    with open(file, "w") as to:
        to.write("format: 1\npath: wan0\nqueues: many\n")
    refuses(east, f"{file}:3: queues is many: expected a number from 1 to 64", f"{file}:1: device is missing",
            "apply the wish again")
    prepare(east, mtu=1400)
    refuses(east, "path wan0 has mtu 1500, and is prepared with 1400", "causeway nic apply")
    prepare(east)
    assert run(east, "--check")[0] == 0


def refuses_a_card_that_is_not_there(rig):
    prepare(rig.east, device="ffff:1f:1f.7", card="ffff:1f:1f.7", driver="vfio-pci")
    refuses(rig.east, "path wan0: ffff:1f:1f.7 is not there: no card has that address (causeway nic show)")


def refuses_a_card_of_the_kernel(rig):
    """Any card of this machine that has a driver, or none: it is asked, never touched."""
    cards = sorted(os.listdir("/sys/bus/pci/devices")) if os.path.isdir("/sys/bus/pci/devices") else []
    cards = [card for card in cards if re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", card)]
    if not cards:
        print("  no card of PCI here")
        return
    link = f"/sys/bus/pci/devices/{cards[0]}/driver"
    has = os.path.basename(os.readlink(link)) if os.path.islink(link) else "no driver"
    prepare(rig.east, device=cards[0], card=cards[0], driver="nobody-s")
    refuses(rig.east, f"path wan0: {cards[0]} is driven by {has}, not by nobody-s: causeway nic apply has not been run "
                      "since the last boot, or was reverted: causeway nic show")


def refuses_too_few_queues(rig):
    prepare(rig.east, queues=1)
    refuses(rig.east, "path wan0 wants 2 queues, one for each net lcore, and is prepared with 1", "queues: 2 in the wish")


if __name__ == "__main__":
    run_cases([(replicates_over_prepared_paths, "", {}), (refuses_what_is_not_prepared, "", {}),
               (refuses_a_card_that_is_not_there, "", {}), (refuses_a_card_of_the_kernel, "", {}),
               (refuses_too_few_queues, "", {"net_lcores": 2})])
