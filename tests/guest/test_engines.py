#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two engines in a guest, each with a card of its own: what network-sync waits for when the driver tells.

    test_engines.py PATH-OF-causeway-engine ADDRESS ADDRESS
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "engine"))

import nbd  # noqa: E402

import rig as engines  # noqa: E402

from rig import Rig, wait_for  # noqa: E402

engines.LIMIT_SECONDS = 300.0

SIZE = 4 << 20
COMMAND_AT, BUS_MASTER = 4, 4


def give_card(engine, own, card):
    with open(engine.config) as file:
        lines = file.read().split("\n")
    with open(engine.config, "w") as file:
        for line in lines:
            if "device: net_memif" in line:
                line = f"    device: {card}"
            file.write(line.replace("02:ca:00:00:00:0", "52:54:00:00:00:0") + "\n")


def may_read_memory(card, may):
    """A card that may not can neither fetch what it is to send nor say that it is done."""
    with open(f"/sys/bus/pci/devices/{card}/config", "r+b", buffering=0) as file:
        file.seek(COMMAND_AT)
        word = file.read(1)[0]
        file.seek(COMMAND_AT)
        file.write(bytes([word | BUS_MASTER if may else word & ~BUS_MASTER]))


def path(engine):
    return engine.status()["paths"][0]


def is_awaited(engine):
    return next(peer["awaited"] for peer in engine.group()["peers"])


def test(rig, cards):
    for own, engine in enumerate(rig.engines):
        give_card(engine, own, cards[own])
    rig.start()
    for engine in rig.engines:
        wait_for(f"{engine.site}: the driver has shown that it tells", lambda e=engine: path(e)["left_means"] == "descriptor done")
        engine.attach(mode="network-sync", journal_mb=16)
        engine.volume(size=SIZE)
    rig.east.open()
    rig.east.wait_role("primary")
    wait_for("west to be awaited", lambda: is_awaited(rig.east))
    client = nbd.NBD()
    client.connect_uri(wait_for("the volume is open", lambda: rig.east.group()["volumes"][0]["uri"]))
    model = bytearray(SIZE)

    def write(data, offset):
        client.pwrite(data, offset)
        model[offset:offset + len(data)] = data

    for i in range(100):
        write(bytes([1 + i]) * 8192, 8192 * i)
    assert is_awaited(rig.east), rig.east.group()
    print("100 writes have left", flush=True)

    may_read_memory(cards[0], False)
    write(b"x" * 4096, 1 << 20)
    is_waited_for = is_awaited(rig.east) and path(rig.east)["up"]
    assert not is_waited_for, "it has not left, and was acknowledged while west was awaited"
    print("what cannot leave was held while west was awaited", flush=True)

    may_read_memory(cards[0], True)
    wait_for("west to be awaited again", lambda: is_awaited(rig.east))
    write(b"y" * 4096, 2 << 20)
    client.flush()
    wait_for("west has it all", lambda: rig.west.group()["applied"] == rig.east.group()["head"])
    assert rig.west.image() == bytes(model), "the file of west differs"
    for engine in rig.engines:
        assert engine.status()["allocations_on_lcore"] == 0
    client.shutdown()


def main():
    program, *cards = sys.argv[1:]
    with Rig(program) as rig:
        test(rig, cards)


if __name__ == "__main__":
    main()
