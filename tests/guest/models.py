# SPDX-License-Identifier: BSD-3-Clause
"""The models of network cards that are tested, for the host that emulates them and for the guest that finds them."""
import subprocess

# Behind an IOMMU a virtio card has to be told that there is one; without, it writes past it and DPDK waits for ever.
MODELS = {
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "virtio-net": "virtio-net-pci,disable-legacy=on,iommu_platform=on,ats=on",
    "igb": "igb",
    "e1000": "e1000",  # of PCI, without Express: for a bus that several share
}
KEPT = "virtio-net-pci"  # a card that the guest's kernel keeps


def number(model):
    return 1 + list(MODELS).index(model)


def mac(model, side):
    """side: 1 or 2, of the two ends that belong together; 9: the other end of all. model None: of a card that the kernel keeps."""
    return f"52:54:00:00:00:{16 * (15 if model is None else number(model) - 1) + side:02x}"


def missing():
    """Models that this QEMU has not."""
    known = subprocess.run(["qemu-system-x86_64", "-device", "help"], check=True, capture_output=True, text=True).stdout
    return [model for model, device in MODELS.items() if f'name "{device.split(",")[0]}"' not in known]


def card(model, side, netdev):
    """Of QEMU's command line, but for the netdev itself. Without the ROM that would try to boot from it."""
    device = KEPT if model is None else MODELS[model]
    return ["-device", f"{device},netdev={netdev},mac={mac(model, side)},romfile="]


def cabled(models, side, sockets):
    """A card of each model, and one that the kernel keeps, in the guest of this side: each has a socket for its cable."""
    devices = []
    for i, (model, socket) in enumerate(zip(models + [None], sockets, strict=True)):
        devices += ["-netdev", f"socket,id=c{i},fd={socket.fileno()}"] + card(model, side, f"c{i}")
    return devices


def hub(models):
    """Two cards of each model in one guest, and one that the kernel keeps, all on one hub."""
    devices = []
    for i, (model, side) in enumerate([(model, side) for model in models for side in (1, 2)] + [(None, 9)]):
        devices += ["-netdev", f"hubport,id=h{i},hubid=0"] + card(model, side, f"h{i}")
    return devices
