# SPDX-License-Identifier: BSD-3-Clause
"""Labs whose engines have several net lcores. Imported by lab_test.py."""
import load
from hostile import goes_on
from lab import Lab, expect, group, shell
from paths import SITES, engine_paths, is_said, is_state

GROUPS = ("a", "b", "c")


def lanes_up(lab):
    return all(lane["up"] for site in SITES for path in engine_paths(lab, site).values() for lane in path["lanes"])


def port_sum(lab, site, counter):
    return sum(path["counters"][counter] for path in engine_paths(lab, site).values())


def fio_verifies(lab, name):
    """Before the writers, on a volume of its own."""
    shell("fio", "--name=v", "--ioengine=nbd", f"--uri={lab.uri(name, 'f', 'east')}", "--rw=randwrite", "--bs=4k-64k",
          "--size=16M", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
          "--verify_state_save=0", timeout=300)


def several_groups(lab):
    """fio and verifying writers in three groups on two lanes; one path is cut and returns; kill -9, promotion, return."""
    lab.wait("all lanes are up on both paths", lambda: lanes_up(lab))
    for name in GROUPS:
        group(lab, name, volumes=(("v", "16M"), ("f", "16M")))
        lab.run("group", "set", name, "replica_timeout=300s")
        fio_verifies(lab, name)
    writers = {name: load.Writer(80 + n).connect([lab.uri(name, "v", "east")]) for n, name in enumerate(GROUPS)}
    for w in writers.values():
        w.start()
    lab.run("lab", "cut", "east", "west", "--path", "wan1")
    lab.wait("wan1 is down", is_state(lab, "wan1", "down"))
    lab.wait("it is said", is_said(lab, "east", "path wan1 to west is down", "wan0 to west carries on"))
    for name, w in writers.items():
        goes_on(lab, w, f"writes go on in {name}")
    lab.run("lab", "heal", "--path", "wan1")
    lab.wait("all lanes are up again", lambda: lanes_up(lab))
    for name, w in writers.items():
        goes_on(lab, w, f"writes go on in {name}")
    for site in SITES:
        status = lab.rpc(site, "status")
        expect(status["net_lcores"] == 2 and status["counters"]["message_wrong_lane"] == 0, f"{status['counters']}")
        expect({g["lane"] for g in status["groups"]} == {0, 1}, "groups of both lanes")
        expect(status["allocations_on_lcore"] == 0, "no allocation on lcores")
        expect(port_sum(lab, site, "drop_lane_full") == 0, "what is passed on finds room")
        expect(all(lane["datagrams_out"] > 100 for lane in engine_paths(lab, site)["wan0"]["lanes"]), "each lane carries")
    passed = [port_sum(lab, site, "lane_handed_over") for site in SITES]
    lab.run("lab", "kill", "east")
    for name, w in writers.items():
        w.stop()
        lab.run("promote", name, "--site", "west")
        load.check(w, [lab.uri(name, "v", "west")], w.acknowledged)
    lab.run("lab", "start", "east")
    for name in GROUPS:
        lab.wait_state(name, "in-sync", "east", site="west")
    return f"{sum(w.acknowledged for w in writers.values())} operations, passed on {passed}"


def test_net_lcores(build):
    """Two net lcores an engine by memif: queue meets queue, nothing is passed on between lanes."""
    with Lab(build, extra=["--net-lcores", "2", "--paths", "2"]) as lab:
        lab.run("lab", "up", "--net-lcores", "3", code=2)
        told = several_groups(lab)
        expect(told.endswith("passed on [0, 0]"), told)
        return told


def test_net_lcores_over_wan(build):
    """The same with a WAN that gives everything to the first queue: half of it is passed on to the other lane."""
    with Lab(build, extra=["--net-lcores", "2", "--paths", "2", "--wan", "rtt=4ms"]) as lab:
        told = several_groups(lab)
        expect("passed on [0" not in told and ", 0]" not in told, told)
        return told
