#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest whose state folder is on a disk that outlives it: apply, reboot, and what is done then.

    test_reboot.py BUILD MODEL first|boot|revert
"""
import os
import sys

import models
import nics

from nic_command import PREPARED, STATE, UNITS, Command, files, write_wish

DISK = "/dev/vda"


def mount_state():
    """The state folder and that of the units, as they outlive a reboot; the rest of this guest's files does not."""
    nics.sh("mount", DISK, "/mnt")
    for name, folder in (("state", os.path.dirname(STATE)), ("units", UNITS)):
        os.makedirs(f"/mnt/{name}", exist_ok=True)
        os.makedirs(folder, exist_ok=True)
        nics.sh("mount", "--bind", f"/mnt/{name}", folder)


def main():
    build, model, what = sys.argv[1:]
    command = Command(build)
    if what == "first":
        nics.sh("mkfs.ext4", "-q", DISK)
    mount_state()
    os.makedirs("/run/systemd/system")  # by that a machine with systemd is known: it gets a unit
    nic = nics.Nic(model, 1, 11)
    nics.far_end([nic.net])
    if what == "first":
        nic.configure()
        nic.ping()
        print(command.must("apply", write_wish([nic]), "--yes"))
    else:  # as the unit does, which comes before the network: the kernel has the card, and nobody has configured it
        nic.give_name()
        assert nic.driver() != "vfio-pci"
        print(command.must("boot"))
    assert nic.driver() == "vfio-pci", nic.driver()
    if what in ("first", "boot"):
        assert files(PREPARED), "no prepared path"
        assert f"{UNITS}/causeway-nic.service" in files(UNITS), files(UNITS)
    else:
        print(command.must("revert", "--yes"))
        assert nic.driver() != "vfio-pci"
        assert not files(PREPARED) and not files(UNITS) and not os.path.exists(f"{STATE}/journal"), files(UNITS)
        nic.ping()  # by the addresses and routes of the first boot
        assert "10.99.11.0/24" in nics.sh("ip", "route"), nics.sh("ip", "route")
    os.sync()
    nics.sh("umount", UNITS)
    nics.sh("umount", os.path.dirname(STATE))
    nics.sh("umount", "/mnt")
    print(f"{what}: as it should be", flush=True)


if __name__ == "__main__":
    main()
