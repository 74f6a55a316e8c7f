#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest: what causeway-nic refuses, and that it then changes nothing.

    test_refusals.py BUILD MODEL

A card with addresses; the same with the default route; one that is in a group with a disk, behind a bridge of old PCI: that
group is taken when it is forced by its name and nobody uses the disk, and is given back whole, but not while a program
has kept a device of it open.
"""
import fcntl
import os
import struct
import sys

import models
import nics

from nic_command import Before, Command, write_wish

VFIO_SET_IOMMU, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD = ((ord(";") << 8) + 100 + i for i in (2, 4, 6))


def refused(command, what, before, wish, *words):
    said = command.must("apply", wish, "--yes", code=3)
    for word in words:
        assert word in said, f"{what}: no word of {word!r} in\n{said}"
    before.check()
    print(f"{what}: {said.strip()}", flush=True)


def neighbour_of(card):
    """The card's group, and the device with a driver that is in it too."""
    group = os.path.realpath(f"/sys/bus/pci/devices/{card}/iommu_group")
    for address in os.listdir(f"{group}/devices"):
        driver = f"/sys/bus/pci/devices/{address}/driver"
        if address != card and os.path.islink(driver) and os.readlink(driver).endswith("virtio-pci"):
            return os.path.basename(group), address
    raise AssertionError(f"{card} shares its group with no disk: {os.listdir(f'{group}/devices')}")


def driver(card):
    return os.path.basename(os.readlink(f"/sys/bus/pci/devices/{card}/driver"))


def device_only(card, group):
    """The card's device of vfio, with its group and container closed again."""
    container, of_group = (os.open(f"/dev/vfio/{name}", os.O_RDWR) for name in ("vfio", group))
    fcntl.ioctl(of_group, VFIO_GROUP_SET_CONTAINER, struct.pack("i", container))
    fcntl.ioctl(container, VFIO_SET_IOMMU, 1)
    device = fcntl.ioctl(of_group, VFIO_GROUP_GET_DEVICE_FD, bytearray(card.encode() + b"\0"), True)
    os.close(of_group)
    os.close(container)
    return device


def forced_group(command, before, nic, group, disk):
    wish = write_wish([nic], also=[f"group {group}"])
    nics.sh("mkfs.ext4", "-q", "/dev/vda")
    nics.sh("mount", "/dev/vda", "/mnt")
    with_mount = Before(command, before.nics)
    refused(command, "a forced group with a disk that is mounted", with_mount, wish, disk, "also after revert", "umount")
    nics.sh("umount", "/mnt")
    said = command.must("apply", wish, "--yes")
    assert f"forced: {disk}" in said, said
    assert [driver(nic.card), driver(disk)] == ["vfio-pci"] * 2 and not os.path.exists("/dev/vda")
    print(said, flush=True)
    device = device_only(nic.card, group)
    said = command.must("revert", "--yes", code=3)
    assert f"process {os.getpid()}" in said, said
    print(said, flush=True)
    os.close(device)
    command.must("revert", "--yes")
    nics.wait_for("the disk is there", lambda: os.path.exists("/dev/vda"))
    nics.sh("mount", "/dev/vda", "/mnt")
    nics.sh("umount", "/mnt")
    before.check()
    print("a forced group: taken, given back", flush=True)


def main():
    build, model = sys.argv[1:]
    command = Command(build)
    first, beside = nics.Nic(model, 1, 11), nics.Nic(model, 2, 12)
    nics.far_end([first.net, beside.net])
    for nic in (first, beside):
        nic.configure()
        nic.ping()
    before = Before(command, [first, beside])
    refused(command, "addresses", before, write_wish([first], force=False), first.name, "10.9.11.1", "force")

    group, disk = neighbour_of(beside.card)
    refused(command, "a group with a disk", before, write_wish([beside]), f"group {group}", disk, "vd")

    forced_group(command, before, beside, group, disk)

    nics.sh("ip", "route", "add", "default", "via", first.peers[0])
    with_default = Before(command, [first, beside])
    refused(command, "the default route", with_default, write_wish([first], force=False), first.name, "default route")
    nics.sh("ip", "route", "del", "default")
    before.check()


if __name__ == "__main__":
    main()
