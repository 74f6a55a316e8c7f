# SPDX-License-Identifier: BSD-3-Clause
"""Sites that a router lies between, the kernel's in a network namespace, which says what is too large for the way on.
Imported by lab_test.py."""
import re
import subprocess

import load
from hostile import goes_on, writer
from lab import Lab, expect, group, may_make_namespaces

NETWORK = {"east": 77, "west": 78}
ENDS = {"east": ("a0", "x0"), "west": ("b0", "y0")}
WAY_ON = 1300


def ip_command(words, space=None):
    subprocess.run(["ip", *(["-n", space] if space else []), *words.split()], check=True)


class Router:
    """A namespace between those of two sites that were joined by a veth pair, and forwards."""

    def __init__(self, tag):
        self.tag, self.space = tag, f"cw{tag}--router"

    def __enter__(self):
        ip_command(f"netns add {self.space}")
        ip_command(f"link del dev cw{self.tag}a0", f"cw{self.tag}-east")
        for site, (near, far) in ENDS.items():
            near, far, network = f"cw{self.tag}{near}", f"cw{self.tag}{far}", NETWORK[site]
            ip_command(f"link add {near} type veth peer name {far}")
            ip_command(f"link set {near} netns cw{self.tag}-{site}")
            ip_command(f"link set {far} netns {self.space}")
            ip_command(f"link set {near} address 02:ca:00:00:00:0{1 if site == 'east' else 2} arp off up", f"cw{self.tag}-{site}")
            ip_command(f"addr add 10.{network}.0.254/24 dev {far}", self.space)
            ip_command(f"link set {far} up", self.space)
        subprocess.run(["ip", "netns", "exec", self.space, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.space])

    def narrow(self, site, mtu):
        """The way on to this site."""
        far, network = f"cw{self.tag}{ENDS[site][1]}", NETWORK[site]
        ip_command(f"route replace 10.{network}.0.0/24 dev {far} src 10.{network}.0.254 mtu lock {mtu}", self.space)


def route(lab, site, other):
    config = f"{lab.dir}/lab/{site}/node.yaml"
    with open(config) as f:
        text = f.read()
    own, theirs = (f"10.{NETWORK[s]}.0.{1 if s == 'east' else 2}" for s in (site, other))
    text, count = re.subn(r'(local: \{mac: "[^"]*", ip: )[^,]*', rf"\g<1>{own}/24, gateway: 10.{NETWORK[site]}.0.254", text)
    text, peers = re.subn(r'peer: \{mac: "[^"]*", ip: [^,]*', f"peer: {{ip: {theirs}", text)
    expect(count == 1 and peers == 1, f"{site} has one path: {text}")
    with open(config, "w") as f:
        f.write(text)


def replicate_through(lab, router):
    group(lab, "db", volumes=(("a", "16M"),))
    path = lambda: lab.rpc("east", "status")["paths"][0]
    lab.wait("datagrams of full size", lambda: path()["datagram_bytes"] > 1400)
    w = writer(lab, 63)
    goes_on(lab, w, "writes go on over the router")
    expect(path()["counters"]["mtu_hints"] == 0, "nothing is too large yet")
    router.narrow("west", WAY_ON)
    lab.wait("the router is heard and believed", lambda: path()["counters"]["mtu_hints"] > 0)
    lab.wait("datagrams are smaller", lambda: path()["datagram_bytes"] <= WAY_ON - 28)
    goes_on(lab, w, "writes go on in smaller datagrams")
    counters, size = path()["counters"], path()["datagram_bytes"]
    w.stop()
    expect(w.error is None, f"the writer never noticed: {w.error}")
    lab.run("switchover", "db", "--site", "west")
    load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
    return f"{counters['mtu_hints']} hints, {counters['mtu_black_holes']} black holes, datagrams of {size}"


def narrow_for_all_lanes(lab, router):
    """Only the group of the second lane writes: a datagram of its is the one that is too large, and the first lane,
    in which nothing of the size moves, sends no such ones either."""
    lanes = lambda: lab.rpc("east", "status")["paths"][0]["lanes"]
    for name in ("busy", "quiet"):  # numbers 1 and 2: the second lane and the first
        group(lab, name, volumes=(("a", "16M"),))
    expect(lab.engine_group("east", "busy")["group"] % 2 == 1, "it is of the second lane")
    lab.wait("datagrams of full size", lambda: all(lane["datagram_bytes"] > 1400 for lane in lanes()))
    w = load.Writer(64).connect([lab.uri("busy", "a", "east")])
    w.start()
    goes_on(lab, w, "writes go on over the router")
    router.narrow("west", WAY_ON)
    lab.wait("both lanes have smaller datagrams", lambda: all(lane["datagram_bytes"] <= WAY_ON - 28 for lane in lanes()))
    counters = lab.rpc("east", "status")["paths"][0]["counters"]
    # the busy lane may find out by its losses before it gets to the router's word; the quiet one has but the word
    expect(counters["mtu_hints"] > 0, f"by the router's word: {counters}")
    goes_on(lab, w, "writes go on in smaller datagrams")
    w.stop()
    expect(w.error is None, f"the writer never noticed: {w.error}")
    return f"{counters['mtu_hints']} hints; datagrams of {[lane['datagram_bytes'] for lane in lanes()]}"


def test_router(build):
    """Over a router of the kernel's, whose way on becomes smaller: it is heard, believed and obeyed, writes go on."""
    return over_router(build, replicate_through)


def test_router_lanes(build):
    """The same with two net lcores: what the router says of one lane's datagram holds for both."""
    return over_router(build, narrow_for_all_lanes, extra=["--net-lcores", "2"])


def over_router(build, case, **options):
    if not may_make_namespaces():
        return "SKIP: no right to make network namespaces"
    with Lab(build, link="veth", **options) as lab:
        for site in NETWORK:
            lab.run("lab", "kill", site)
        with Router(lab.settings()["tag"]) as router:
            for site, other in (("east", "west"), ("west", "east")):
                route(lab, site, other)
                lab.run("lab", "start", site)
            return case(lab, router)
