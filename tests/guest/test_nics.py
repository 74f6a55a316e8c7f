#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest with two cards of each model, all on one hub: taken from its kernel, two engines replicate over them, given
back.

    test_nics.py BUILD MODEL...
"""
import os
import sys
import time

from load import give_card, replicate  # first: it knows where the rig is

from rig import Rig

import models
import nics


def test(build, model, pair):
    began = time.monotonic()
    for nic in pair:
        nic.configure()
        nic.ping()
    before = [nic.driver() for nic in pair]
    print(f"{model}: {', '.join(nic.name for nic in pair)} by {before[0]}, pinged ({time.monotonic() - began:.0f} s)", flush=True)
    for nic in pair:
        nic.take_by_hand()
        assert nic.driver() == "vfio-pci", nic.driver()
    with Rig(os.path.join(build, "dataplane", "engine", "causeway-engine")) as rig:
        for engine, own, peer in zip(rig.engines, pair, reversed(pair)):
            give_card(engine, own.card, own.mac, peer.mac)
        said = replicate(rig)
    print(f"{model}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    for nic in pair:
        nic.give_back_by_hand()
        nic.configure()
        nic.ping()
    assert [nic.driver() for nic in pair] == before
    print(f"{model}: given back, pinged ({time.monotonic() - began:.0f} s)", flush=True)


def main():
    build, *wanted = sys.argv[1:]
    pairs = {model: [nics.Nic(model, side, 10 * models.number(model) + side) for side in (1, 2)] for model in wanted}
    nics.far_end([nic.net for pair in pairs.values() for nic in pair])
    for model, pair in pairs.items():
        test(build, model, pair)


if __name__ == "__main__":
    main()
