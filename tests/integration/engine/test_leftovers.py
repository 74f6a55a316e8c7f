#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What DPDK keeps for an engine that was killed is removed by the next engine of the machine; what it keeps for one that
runs is not.

    test_leftovers.py PATH-OF-causeway-engine [CASE...]
"""
import os

from rig import run_cases


def folder_of(engine):
    """By the lock that it holds there."""
    place = f"/proc/{engine.process.pid}/fd"
    locks = [link for fd in os.listdir(place) if (link := os.readlink(f"{place}/{fd}")).endswith("/causeway.lock")]
    assert len(locks) == 1 and os.path.isfile(locks[0]), locks
    return os.path.dirname(locks[0])


def a_killed_engine_leaves_nothing(rig):
    rig.east.start()
    of_east = folder_of(rig.east)
    rig.west.start()
    of_west = folder_of(rig.west)
    assert os.path.exists(f"{of_east}/dpdk_telemetry.v2"), "one that runs keeps its folder when another starts"
    rig.east.kill()
    rig.west.stop()
    assert not os.path.exists(of_west), "it is removed at the end"
    rig.west.start()
    assert not os.path.exists(of_east), "the next one that starts removes what is left of the killed one"
    rig.east.start()
    assert folder_of(rig.east) == of_east and os.path.exists(f"{of_east}/dpdk_telemetry.v2")


if __name__ == "__main__":
    run_cases([(a_killed_engine_leaves_nothing, "", {})])
