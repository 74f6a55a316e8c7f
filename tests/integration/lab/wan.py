# SPDX-License-Identifier: BSD-3-Clause
"""Labs whose sites a WAN lies between. Imported by lab_test.py."""
import json
import os
import signal

import load
from lab import Lab, expect, group


def wan_status(lab):
    return json.loads(lab.run("lab", "status", "--json"))


def wan_pid(lab, pair=0):
    with open(f"{lab.dir}/lab/link/wan{pair}.pid") as f:
        return int(f.read())


def runs(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"wanem" in f.read()  # a zombie has none
    except OSError:
        return False


def write(w, count):
    """One after the other: no load that outruns what a replica can catch up with."""
    for _ in range(count):
        w.one()


def replicate_over_wan(lab, floor_us):
    """A sync group under load; the path is as long as it should be; all of it is at west."""
    group(lab, "db", volumes=(("a", "16M"),))
    w = load.Writer(51).connect([lab.uri("db", "a", "east")])
    write(w, 200)
    for site in ("east", "west"):
        rtt = lab.status(site)["paths"][0]["rtt_us"]
        expect(rtt >= floor_us, f"the path of {site} has {rtt} us, and light alone takes {floor_us}")
    w.close()
    lab.run("switchover", "db", "--site", "west")
    load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
    return w.acknowledged, rtt


def change_paths(lab, site, line):
    """The site again, with this line in each of its paths."""
    lab.run("lab", "kill", site)
    config = f"{lab.dir}/lab/{site}/node.yaml"
    with open(config) as f:
        text = f.read()
    with open(config, "w") as f:
        f.write(text.replace("    mtu: ", line + "    mtu: "))
    lab.run("lab", "start", site)


def check_counters(lab, pairs):
    def written():
        return all(d["drop_loss"] > 0 for wan in wan_status(lab)["wans"] for d in wan["counters"]["directions"])
    lab.wait("losses in both directions, counted", written)
    status = wan_status(lab)
    expect(len(status["wans"]) == pairs and all(w["running"] for w in status["wans"]), f"{status['wans']}")
    for direction in (d for wan in status["wans"] for d in wan["counters"]["directions"]):
        expect(direction["drop_no_memory"] == 0, f"its memory is enough: {direction}")
        expect(direction["passed"] < direction["frames"], f"{direction}")


def test_wan_memif(build):
    """--wan rtt=20ms,loss=1% on memif: a sync group replicates, the path shows the distance, the losses are counted."""
    with Lab(build, extra=["--wan", "rtt=20ms,loss=1%,seed=3"]) as lab:
        operations, rtt = replicate_over_wan(lab, 20000)
        check_counters(lab, 1)
        expect("WAN rtt=20ms,loss=1%,seed=3" in lab.run("lab", "status"), "status names the WAN")
        lab.run("lab", "up", "--wan", "rtt=21ms", code=2)
        return f"{operations} operations, {rtt:.0f} us"


def test_wan_veth(build):
    """The same by veth, with network namespaces."""
    if os.geteuid() != 0:
        return "SKIP: root is needed for network namespaces"
    with Lab(build, link="veth", extra=["--wan", "rtt=20ms,loss=1%,seed=3"]) as lab:
        operations, rtt = replicate_over_wan(lab, 20000)
        check_counters(lab, 1)
        tag = lab.settings()["tag"]
    left = [n for n in os.listdir("/run/netns") if tag in n] if os.path.isdir("/run/netns") else []
    expect(not left, f"namespaces are left: {left}")
    return f"{operations} operations, {rtt:.0f} us"


def path_counters(lab, site):
    return lab.rpc(site, "status")["paths"][0]["counters"]


def marked(lab):
    return sum(d["marked"] for wan in wan_status(lab)["wans"] for d in wan["counters"]["directions"])


def test_wan_marks(build):
    """A WAN that marks (CE) a fifth of what may be marked: nothing under a fixed rate; under bbr and cubic the receiver
    counts them and the sender is told."""
    with Lab(build, extra=["--wan", "rtt=2ms,mark=20%"]) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = load.Writer(57).connect([lab.uri("db", "a", "east")])
        write(w, 50)
        for site in ("east", "west"):
            counters = path_counters(lab, site)
            expect(counters["packets_marked"] == counters["marks_told"] == 0, f"{site} is marked at a fixed rate: {counters}")
        expect(marked(lab) == 0, "nobody who is deaf to marks says that he hears them")
        w.close()
        for site, kind in (("east", "bbr"), ("west", "cubic")):
            change_paths(lab, site, f"    rate_control: {kind}\n")
        lab.wait_state("db", "in-sync", "west")
        w = w.next(58, w.acknowledged).connect([lab.uri("db", "a", "east")])
        write(w, 300)
        for site, other in (("east", "west"), ("west", "east")):
            lab.wait(f"{site} sees marks", lambda: path_counters(lab, site)["packets_marked"] > 0)
            lab.wait(f"{other} is told", lambda: path_counters(lab, other)["marks_told"] > 0)
        expect(marked(lab) > 0, "the WAN has them, too")
        w.close()
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        told = path_counters(lab, "west")
        return f"{w.acknowledged} operations, west saw {told['packets_marked']} marks"


def test_wan_and_faults(build):
    """Three sites: a WAN for each two. Cut and heal, a site killed, wanem itself killed: each time it goes on."""
    with Lab(build, sites="east,west,north", extra=["--wan", "rtt=2ms,loss=0.5%"]) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        expect(len(wan_status(lab)["wans"]) == 3, "a WAN for each two sites")
        w = load.Writer(53).connect([lab.uri("db", "a", "east")])

        def alone_then_together(bring_back):
            lab.wait_health("db", "unprotected", site="east")
            write(w, 50)
            bring_back()
            lab.wait_state("db", "in-sync", "west")
            write(w, 50)

        write(w, 50)
        lab.run("lab", "cut", "east", "west")
        alone_then_together(lambda: lab.run("lab", "heal"))
        lab.run("lab", "kill", "west")
        alone_then_together(lambda: lab.run("lab", "start", "west"))
        os.kill(wan_pid(lab), signal.SIGKILL)
        lab.wait("status tells that it does not run", lambda: not wan_status(lab)["wans"][0]["running"])
        alone_then_together(lambda: lab.run("lab", "up"))
        pids = [wan_pid(lab, pair) for pair in range(3)]
        w.close()
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
    expect(not any(runs(pid) for pid in pids), "lab down ends them")
    return f"{w.acknowledged} operations"
