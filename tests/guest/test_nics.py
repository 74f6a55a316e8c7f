#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In a guest with two cards of each model, all on one hub: causeway-nic takes them from its kernel, two engines replicate
over what it has prepared, it gives them back, and all is as it was.

    test_nics.py BUILD MODEL...
"""
import os
import sys
import time

from load import give_card, replicate  # first: it knows where the rig is

from rig import Rig

import models
import nics

from nic_command import Before, Command, write_wish


def test(build, model, pair):
    began = time.monotonic()
    for nic in pair:
        nic.configure()
        nic.ping()
    print(f"{model}: {', '.join(nic.name for nic in pair)} by {pair[0].driver()}, pinged ({time.monotonic() - began:.0f} s)")
    command = Command(build)
    before = Before(command, pair)
    print(command.must("apply", write_wish(pair, hugepages="520M"), "--yes"), flush=True)
    with Rig(os.path.join(build, "dataplane", "engine", "causeway-engine")) as rig:
        for engine, own, peer in zip(rig.engines, pair, reversed(pair)):
            give_card(engine, "prepared", own.mac, peer.mac)
        print(f"{model}: {replicate(rig)} ({time.monotonic() - began:.0f} s)", flush=True)
    print(command.must("revert", "--yes"), flush=True)
    before.check()
    print(f"{model}: as before, pinged ({time.monotonic() - began:.0f} s)", flush=True)


def main():
    build, *wanted = sys.argv[1:]
    pairs = {model: [nics.Nic(model, side, 10 * models.number(model) + side) for side in (1, 2)] for model in wanted}
    nics.far_end([nic.net for pair in pairs.values() for nic in pair])
    for model, pair in pairs.items():
        test(build, model, pair)


if __name__ == "__main__":
    main()
