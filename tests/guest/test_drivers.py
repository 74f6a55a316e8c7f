#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest without an IOMMU: what causeway-nic refuses there; two cards that it gives away on explicit wish, by uio, or by vfio
where the kernel can do that without an IOMMU; and a path on an interface that the kernel keeps (af_xdp). Each carries packets by
the engine's own port code, and is given back.

    test_drivers.py BUILD

Two cards of e1000e, one of virtio-net, and one that only the kernel has, all on one hub.
"""
import os
import subprocess
import sys

import nics

from nic_command import Before, Command, text, write_wish

RELEASE = os.uname().release
PAGES = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"


def write(path, words):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(words)


def has_noiommu():
    with open(f"/lib/modules/{RELEASE}/kernel/vfio.ko", "rb") as module:
        has = b"enable_unsafe_noiommu_mode" in module.read()
    write(f"/boot/config-{RELEASE}", "CONFIG_VFIO_NOIOMMU=y\n" if has else "# CONFIG_VFIO_NOIOMMU is not set\n")
    return has


def refused(command, wish, *words):
    said = command.must("apply", wish, "--yes", code=3)
    for word in words:
        assert word in said, f"no word of {word!r} in\n{said}"
    print(said.strip(), flush=True)


def given_away(command, pair, driver, kernels):
    said = command.must("apply", write_wish(pair, driver=driver, hugepages="384M"), "--yes")
    print(said, flush=True)
    assert f"the card {pair[0].card}, and whoever drives it, may read and write all memory of this machine" in said
    assert [nic.driver() for nic in pair] == [kernels] * 2
    print(command.must("verify", "wan0", "wan1", "--seconds", "1"), flush=True)
    pages = text(PAGES)
    write(PAGES, "8")
    said = command.must("verify", "wan0", "wan1", code=1)
    assert f"{pair[0].card} is driven without an IOMMU, which takes hugepages" in said, said
    write(PAGES, pages)
    command.must("revert", "--yes")


def kept_by_the_kernel(command, program, nic, far):
    """The peer is a card in another namespace, by af_packet."""
    print(command.must("apply", write_wish([nic], driver="af_xdp", force=False), "--yes"))
    nic.ping()
    peer, local = f"10.9.{nic.net}.9", f"10.9.{nic.net}.{nic.side}"
    there = subprocess.Popen(["ip", "netns", "exec", "far", program, "--answer", "--shared", "--device",
                              f"net_af_packet0,iface={far}", "--local", peer, "--peer", local], stderr=subprocess.PIPE, text=True)
    try:
        assert any("answering" in line for line in there.stderr)
        said = command.must("verify", "wan0", "--local", local, "--peer", peer, "--seconds", "1")
        print(said, flush=True)
        assert "XDP native" in said and "each frame copied" in said and "it answers" in said, said
    finally:
        there.terminate()
        there.wait()
    nic.ping()
    command.must("revert", "--yes")


def main():
    build = sys.argv[1]
    command = Command(build)
    program = os.environ["CAUSEWAY_PORT_CHECK"]
    pair = [nics.Nic("e1000e", side, 10 + side) for side in (1, 2)]
    kept = nics.Nic("virtio-net", 1, 13)
    nics.sh("sysctl", "-q", "net.ipv4.conf.all.arp_ignore=1")  # all are on one link: each would answer for the others
    far = nics.far_end([nic.net for nic in [*pair, kept]])
    for nic in [*pair, kept]:
        nic.configure()
        nic.ping()
    driver, kernels = ("noiommu", "vfio-pci") if has_noiommu() else ("uio", "uio_pci_generic")
    before = Before(command, [*pair, kept])
    refused(command, write_wish(pair), "no IOMMU that the kernel uses", f"driver: {driver}")
    if driver == "uio":
        refused(command, write_wish(pair, driver="noiommu"), "CONFIG_VFIO_NOIOMMU", "driver: uio")
    refused(command, write_wish(pair, driver=driver, hugepages="0"), "with hugepages only")
    given_away(command, pair, driver, kernels)
    kept_by_the_kernel(command, program, kept, far)
    before.check()


if __name__ == "__main__":
    main()
