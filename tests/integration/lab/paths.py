# SPDX-License-Identifier: BSD-3-Clause
"""Sites with several paths between them: cut, lost, unknown to one side. Imported by lab_test.py."""
import subprocess

import load
from hostile import goes_on, writer
from lab import Lab, expect, group, shell
from wan import replicate_over_wan, wan_status

SITES = ("east", "west")


def engine_paths(lab, site):
    return {p["name"]: p for p in lab.rpc(site, "status")["paths"]}


def is_state(lab, name, state):
    """At both ends."""
    return lambda: all(engine_paths(lab, site)[name]["state"] == state for site in SITES)


def carries(lab, name):
    """East sends data on this path, not just a ping."""
    def sent():
        return engine_paths(lab, "east")[name]["counters"]["bytes_out"]
    before = sent()
    lab.wait(f"data leaves on {name}", lambda: sent() > before + 100000)


def is_said(lab, site, *words):
    return lambda: any(all(word in line for word in words) for line in lab.run("--site", site, "events").splitlines())


def shown(lab):
    """East's paths in its status for people."""
    lines = [line.split() for line in lab.run("--site", "east", "status").splitlines() if line.startswith("path east")]
    return {words[4]: words[5] for words in lines}


def sessions_down(lab):
    return sum(engine_paths(lab, site)["wan0"]["counters"]["sessions_down"] for site in SITES)


def copied(lab):
    return sum(path["counters"]["fragments_copied"] for path in engine_paths(lab, "east").values())


def set_up(lab):
    lab.wait("both paths are up", lambda: is_state(lab, "wan0", "up")() and is_state(lab, "wan1", "up")())
    group(lab, "db", volumes=(("a", "16M"),))
    lab.run("group", "set", "db", "replica_timeout=300s")  # what goes on goes on with the replica


def ends_well(lab, w):
    w.stop()
    expect(w.error is None, f"the writer never noticed: {w.error}")
    lab.wait_state("db", "in-sync", "west")
    lab.run("switchover", "db", "--site", "west")
    load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
    return f"{w.acknowledged} operations"


def each_path_goes_and_returns(lab, w):
    for gone, left in (("wan1", "wan0"), ("wan0", "wan1")):
        lab.run("lab", "cut", "east", "west", "--path", gone)
        lab.wait(f"{gone} is down", is_state(lab, gone, "down"))
        for site, other in (SITES, SITES[::-1]):
            lab.wait(f"{site} says so", is_said(lab, site, f"path {gone} to {other} is down", f"{left} to {other} carries on"))
        carries(lab, left)
        goes_on(lab, w, f"writes go on by {left}")
        lab.wait("status tells of each", lambda: shown(lab) == {gone: "down", left: "up"})
        lab.run("lab", "heal", "--path", gone)
        lab.wait(f"{gone} is up", is_state(lab, gone, "up"))
        lab.wait("it is said", is_said(lab, "east", f"path {gone} to west is back"))
        carries(lab, gone)
        expect(lab.group("db", "east")["replicas"][0]["state"] == "in-sync", "the replica never left")


def two_paths(build, link):
    with Lab(build, link=link, extra=["--paths", "2"]) as lab:
        expect("on 2 paths" in lab.run("lab", "up", "--paths", "2") and "between two sites 2" in lab.run("lab", "status"),
               "the lab says how many paths it has")
        lab.run("lab", "up", "--paths", "3", code=2)
        lab.run("lab", "cut", "east", "west", "--path", "wan7", code=1)
        set_up(lab)
        w = writer(lab, 61)
        for name in ("wan0", "wan1"):
            carries(lab, name)
        each_path_goes_and_returns(lab, w)
        expect(sessions_down(lab) == 0, "a session outlives its paths but the last")
        lab.wait("what is short leaves on both", lambda: copied(lab) > 0)
        lab.run("group", "set", "db", "replica_timeout=1s")
        lab.run("lab", "cut", "east", "west")
        lab.wait("that is said", is_said(lab, "east", "all paths to west are down"))
        lab.wait_health("db", "unprotected", site="east")
        lab.run("lab", "heal", "--path", "wan1")
        lab.wait_state("db", "in-sync", "west")
        lab.run("lab", "heal")
        lab.wait("both are up again", lambda: is_state(lab, "wan0", "up")() and is_state(lab, "wan1", "up")())
        lab.run("lab", "kill", "west")
        lab.wait_health("db", "unprotected", site="east")
        lab.run("lab", "start", "west")
        lab.wait_state("db", "in-sync", "west")
        lab.wait("both are up after a kill", lambda: is_state(lab, "wan0", "up")() and is_state(lab, "wan1", "up")())
        goes_on(lab, w, "writes go on")
        return ends_well(lab, w)


def test_two_paths(build):
    """Two memifs between two sites, under a verifying load: data on both; each is cut in turn, and no write fails, the
    session stays, status and events say it, it returns and is used; both cut; kill -9 of an engine."""
    return two_paths(build, "memif")


def may_make_namespaces():
    return subprocess.run(["ip", "netns", "add", "cw-probe"], capture_output=True).returncode == 0 and \
        subprocess.run(["ip", "netns", "del", "cw-probe"], capture_output=True).returncode == 0


def test_two_paths_veth(build):
    """The same by veth."""
    if not may_make_namespaces():
        print("SKIP: two_paths_veth: no right to make network namespaces")
        return "skipped"
    return two_paths(build, "veth")


def test_port_vanishes(build):
    """The interface of one of two paths is deleted under load: writes go on by the other, and the engines live."""
    if not may_make_namespaces():
        print("SKIP: port_vanishes: no right to make network namespaces")
        return "skipped"
    with Lab(build, link="veth", extra=["--paths", "2"]) as lab:
        set_up(lab)
        w = writer(lab, 67)
        carries(lab, "wan1")
        tag, pids = lab.settings()["tag"], {site: lab.pids(site) for site in SITES}
        shell("ip", "-n", f"cw{tag}-east", "link", "del", f"cw{tag}a1")
        lab.wait("wan1 is down", is_state(lab, "wan1", "down"))
        carries(lab, "wan0")
        goes_on(lab, w, "writes go on by wan0")
        expect(sessions_down(lab) == 0 and pids == {site: lab.pids(site) for site in SITES}, "nobody was started again")
        return ends_well(lab, w)


def change_configuration(lab, site, change):
    """change: a function of the text of each path of a site's configuration, which returns the new one or ""."""
    file = f"{lab.dir}/lab/{site}/node.yaml"
    with open(file) as f:
        head, *paths = f.read().split("  - name: wan")
    with open(file, "w") as f:
        f.write(head + "".join("  - name: wan" + new for new in map(change, paths) if new))


def test_path_of_one_side(build):
    """West lacks one of east's two paths: the other is used, east says once which one is not, and what to do."""
    with Lab(build, extra=["--paths", "2"]) as lab:
        for site in SITES:
            lab.run("lab", "kill", site)
        change_configuration(lab, "west", lambda text: text if text.startswith("0") else "")
        for site in SITES:
            lab.run("lab", "start", site)
        group(lab, "db", volumes=(("a", "16M"),))
        lab.wait("east knows it", lambda: engine_paths(lab, "east")["wan1"]["state"] == "not at both ends")
        expect(engine_paths(lab, "east")["wan0"]["state"] == "up", "the other is up")
        w = writer(lab, 71)
        goes_on(lab, w, "writes go on")
        lab.run("lab", "kill", "west")
        lab.run("lab", "start", "west")
        lab.wait_state("db", "in-sync", "west")
        lab.wait("it is said", is_said(lab, "east", "path wan1 to west is not used", "give it one"))
        said = [line for line in lab.run("--site", "east", "events").splitlines() if "is not used" in line]
        expect(len(said) == 1, f"once: {said}")
        return ends_well(lab, w)


def test_two_paths_wan(build):
    """--paths 2 --wan: a WAN on each path, both are as long as they should be and both carry; with certificates."""
    with Lab(build, extra=["--paths", "2", "--wan", "rtt=20ms,loss=1%,seed=3", "--tls"]) as lab:
        operations, rtt = replicate_over_wan(lab, 20000)
        wans = wan_status(lab)["wans"]
        expect([wan["path"] for wan in wans] == ["wan0", "wan1"] and all(wan["running"] for wan in wans), f"{wans}")
        for site in SITES:
            for path in engine_paths(lab, site).values():
                expect(path["state"] == "up" and path["rtt_us"] >= 20000 and path["certificate"] != "", f"{site}: {path}")
        return f"{operations} operations, {rtt:.0f} us"
