#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several net lcores: each has a lane of the session, and a group's data travels in one.

    test_lanes.py PATH-OF-causeway-engine [CASE...]

What any number of net lcores must do is in test_two_engines.py, whose cases run with two of them as well.
"""
import os
import re
import subprocess
import time

from rig import run_cases, wait_for
from test_two_engines import MIB, Client, open_at, readdress


class Veth:
    """A pair of interfaces in the place of the rig's memif: its two ends meet whatever the number of queues."""

    def __init__(self, rig):
        self.names = [f"cwl{os.getpid()}{end}" for end in "ab"]
        near, far = self.names
        subprocess.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far], check=True)
        for name, engine in zip(self.names, rig.engines):
            subprocess.run(f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6; ip link set {name} up", shell=True,
                           check=True)
            with open(engine.config) as file:
                device = re.search(r"device: (\S+)", file.read())[1]
            readdress(engine, (device, f"net_af_packet0,iface={name}"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self.names[0]], check=True)


def lanes_of(engine):
    return engine.status()["paths"][0]["lanes"]


def begin_groups(rig):
    rig.start()
    for group in (1, 2):
        for engine in rig.engines:
            engine.attach(group=group)
            engine.volume(group=group)
        open_at(rig.east, group)
    for group in (1, 2):
        wait_for("the replica is in sync",
                 lambda g=group: (p := rig.east.group(g)["peers"]) and p[0]["state"] == "in-sync")


def write_in(rig, group):
    """Returns what each lane of east sent meanwhile."""
    before = lanes_of(rig.east)
    client = Client(rig.east, group)
    client.write(os.urandom(4 * MIB), 0, fua=True)
    client.some_writes(group, 100)
    client.nbd.shutdown()
    return [now["datagrams_out"] - was["datagrams_out"] for now, was in zip(lanes_of(rig.east), before)]


def same_image(rig, group):
    def level():
        a, b = rig.east.group(group), rig.west.group(group)
        return a["head"] == b["applied"] == a["applied"]
    wait_for("level", level, 20)
    assert rig.west.image(group) == rig.east.image(group), f"group {group} differs"


def spreads_groups_over_lanes(rig):
    """Each lane has its session; status shows the sums and the parts."""
    begin_groups(rig)
    for group in (2, 1):
        sent = write_in(rig, group)
        busy, idle = sent[group % 2], sent[1 - group % 2]  # an idle lane says as much a second, however long that takes
        assert busy > 2000 and idle < busy / 4, (group, sent)
        same_image(rig, group)
    for engine in rig.engines:
        status = engine.status()
        path = status["paths"][0]
        assert status["net_lcores"] == 2 and [lane["up"] for lane in path["lanes"]] == [True, True], path
        assert path["counters"]["handshakes_completed"] == 2, path
        assert path["counters"]["datagrams_out"] == sum(lane["datagrams_out"] for lane in path["lanes"]), path
        assert path["counters"]["lane_handed_over"] == 0, "memif's queues meet"
        assert status["counters"]["message_wrong_lane"] == 0 and status["allocations_on_lcore"] == 0
        told = [event["text"] for event in engine.rpc.call("events")["events"] if "is up" in event["text"]]
        assert len(told) == 1, told
        assert {entry["lane"] for entry in engine.rpc.call("trace.dump")["net"]} == {0, 1}


def passes_on_what_another_queue_got(rig):
    """The kernel spreads by a hash of its own: what it gives to the wrong queue arrives all the same."""
    with Veth(rig):
        begin_groups(rig)
        for group in (1, 2):
            write_in(rig, group)
            same_image(rig, group)
        counters = [engine.status()["paths"][0]["counters"] for engine in rig.engines]
        print(f"  passed on: {[one['lane_handed_over'] for one in counters]}")
        for engine in rig.engines:
            assert engine.status()["counters"]["message_wrong_lane"] == 0
            assert engine.status()["allocations_on_lcore"] == 0


def refuses_another_number(rig):
    """With words at the side that is asked; and after a start with the same number they meet."""
    readdress(rig.west, ("net: [1, 2]", "net: [1, 2, 3]"))
    with Veth(rig):
        for engine in rig.engines:
            engine.start()
        words = "path wan0 to east: refused: the other end has 2 net lcores and this one 3"
        wait_for("it is refused with words", lambda: any(words in event["text"] for event in
                                                         rig.west.rpc.call("events")["events"]))
        time.sleep(1)
        assert not any(engine.status()["paths"][0]["up"] for engine in rig.engines)
        told = [event for event in rig.west.rpc.call("events")["events"] if words in event["text"]]
        assert len(told) == 1, told
        rig.west.stop()
        readdress(rig.west, ("net: [1, 2, 3]", "net: [1, 2]"))
        rig.west.start()
        wait_for("the path is up", lambda: all(engine.status()["paths"][0]["up"] for engine in rig.engines))


def does_not_meet_another_number_by_memif(rig):
    """The driver could not bear it; the port says what to look at."""
    readdress(rig.west, ("net: [1, 2]", "net: 1"))
    for engine in rig.engines:
        engine.start()
    time.sleep(3)
    for engine in rig.engines:
        path = engine.status()["paths"][0]
        assert not path["up"] and "another number of net lcores" in path["port"], path


CASES = [spreads_groups_over_lanes, passes_on_what_another_queue_got, refuses_another_number,
         does_not_meet_another_number_by_memif]


if __name__ == "__main__":
    run_cases([(case, "", {"net_lcores": 2}) for case in CASES])
