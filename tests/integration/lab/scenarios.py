# SPDX-License-Identifier: BSD-3-Clause
"""One lab under verifying load whose WAN becomes bad in one way after the other, and a site whose lcores have cores of
their own: what they ask of the kernel. Imported by lab_test.py."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import load
from lab import Failed, Lab, expect, group
from wan import wan_pid, wan_status

SCENARIOS = ("rtt=20ms,ge=30%:20", "rtt=750ms,loss=1%", "rtt=20ms,jitter=5ms,reorder=10%:30ms", "rtt=20ms,corrupt=2%",
             "rtt=20ms,duplicate=20%", "rtt=20ms,blackhole=2s/5s", "rtt=20ms,mtu=1500:1400@1s:1260@2s")
SECONDS_EACH = 3


def change_configuration(lab, site, *changes):
    lab.run("lab", "kill", site)
    path = f"{lab.dir}/lab/{site}/node.yaml"
    with open(path) as f:
        text = f.read()
    for old, new in changes:
        expect(old in text, f"{site}: {old!r} is in the configuration")
        text = text.replace(old, new)
    with open(path, "w") as f:
        f.write(text)


def set_wan(lab, spec):
    """Another WAN in the place of this one, between the same ports."""
    path = f"{lab.dir}/lab/lab.json"
    settings = lab.settings()
    settings["wan"] = "rate=200mbit,queue=1MB," + spec
    with open(path, "w") as f:
        json.dump(settings, f)
    os.kill(wan_pid(lab), signal.SIGKILL)
    lab.wait("the WAN is gone", lambda: not wan_status(lab)["wans"][0]["running"])
    lab.run("lab", "up")


def resident_mb(lab, site):
    with open(f"/proc/{lab.pids(site)['causeway-engine']}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) // 1024


def under(lab, w, spec):
    """So many operations were answered in some seconds of it."""
    set_wan(lab, spec)
    before = w.acknowledged
    lab.wait(f"writes go on under {spec}", lambda: w.acknowledged > before + 2)
    counted = w.acknowledged
    time.sleep(SECONDS_EACH)
    lab.wait(f"writes still go on under {spec}", lambda: w.acknowledged > counted)
    for direction in wan_status(lab)["wans"][0]["counters"]["directions"]:
        expect(direction["drop_no_memory"] == 0, f"the WAN has memory enough: {direction}")
    expect(w.error is None, f"under {spec} the writer noticed: {w.error}")
    return w.acknowledged - before


def test_wan_scenarios(build):
    """Bursts of 30 %, 750 ms, reordering, damage, doubling, holes of 2 s in 5, an MTU that shrinks: every write arrives
    once and in order, nobody grows."""
    with Lab(build, extra=["--wan", "rtt=5ms"]) as lab:
        for site in ("east", "west"):
            change_configuration(lab, site, ("    mtu: 1500\n", "    mtu: 1500\n    rate: 200mbit\n    fec: fixed 16,2,4\n"))
            lab.run("lab", "start", site)
        group(lab, "db", volumes=(("a", "16M"),))
        lab.run("group", "set", "db", "replica_timeout=300s")  # what goes on goes on with the replica
        w = load.Writer(91).connect([lab.uri("db", "a", "east")])
        w.start()
        lab.wait("writes", lambda: w.acknowledged > 20)
        memory = {site: resident_mb(lab, site) for site in ("east", "west")}
        told = [under(lab, w, spec) for spec in SCENARIOS]
        set_wan(lab, "rtt=5ms")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.wait_state("db", "in-sync", "west")
        for site in ("east", "west"):
            grown = resident_mb(lab, site) - memory[site]
            expect(grown < 24, f"{site} grew by {grown} MiB")
            expect(lab.rpc(site, "status")["allocations_on_lcore"] == 0, f"{site} allocates on no lcore")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"{w.acknowledged} operations: {' '.join(map(str, told))}"


def told_of_circuit(lab, words):
    return any(words in e["text"] for e in lab.rpc("east", "events", after=0, limit=1000)["events"])


def test_circuit_breaker(build):
    """A path whose fixed rate is ten times what the WAN carries: the circuit breaker trips, events and status say so and
    what to do; once the WAN carries the rate it is sent at again."""
    with Lab(build, extra=["--wan", "rtt=20ms,rate=20mbit,queue=100KB"]) as lab:
        change_configuration(lab, "east", ("    rate_control: bbr\n", "    rate: 200mbit\n"))
        lab.run("lab", "start", "east")
        group(lab, "db", volumes=(("a", "16M"),))
        lab.run("group", "set", "db", "replica_timeout=300s")
        lab.rpc("east", "direct.start", group=lab.engine_group("east", "db")["group"], volume=0, op="write", size=65536,
                depth=64, duration_ms=90000, seed=5)
        lab.wait("it trips", lambda: told_of_circuit(lab, "path wan0 to west: the circuit breaker tripped: "), 60)
        control = lab.rpc("east", "status")["paths"][0]["rate_control"]
        expect(control["state"] == "tripped" and control["pacing_bps"] == 2000000, f"{control}")
        expect("or rate_control: bbr" in control["reason"], f"{control}")
        lab.wait("status for people says it, too", lambda: "circuit breaker: " in lab.run("--site", "east", "status"))
        set_wan(lab, "rtt=20ms")
        lab.wait("the rate is tried again", lambda: told_of_circuit(lab, "path wan0 to west sends at its rate again"), 60)
        expect(lab.rpc("east", "status")["paths"][0]["rate_control"]["state"] == "fixed", "and kept")
        return control["reason"].split(";")[0]


def thread_of(pid, name):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            if f.read().strip() == name:
                return int(task)
    raise Failed(f"{pid} has no thread {name}")


def is_traced(pid):
    with open(f"/proc/{pid}/status") as f:
        return "TracerPid:\t0\n" not in f.read()


def why_not_traced():
    """Why strace cannot attach to another process here; "" when it can."""
    if shutil.which("strace") is None:
        return "strace is not there"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        tracer = subprocess.Popen(["strace", "-qq", "-p", str(other.pid), "-o", "/dev/null"], stderr=subprocess.PIPE,
                                  text=True)
        while tracer.poll() is None and not is_traced(other.pid):
            time.sleep(0.01)
        attached = tracer.poll() is None
        tracer.terminate()
        words = tracer.communicate()[1]
    return "" if attached else f"strace may not attach: {words.strip()}"


def system_calls(lab, threads, while_):
    """What strace saw of each thread in some seconds: {site: {call: times}}."""
    files = {site: f"{lab.dir}/calls-{site}" for site in threads}
    tracers = [subprocess.Popen(["strace", "-qq", "-p", str(thread), "-o", files[site]], stderr=subprocess.PIPE, text=True)
               for site, thread in threads.items()]
    try:
        for site, thread in threads.items():
            lab.wait(f"{site} is traced", lambda t=thread: is_traced(t))
        while_()
    finally:
        for t in tracers:
            t.send_signal(signal.SIGINT)
        for t in tracers:
            t.wait(60)
    counts = {}
    for site, path in files.items():
        with open(path) as f:
            names = re.findall(r"^(\w+)\(", f.read(), re.M)
        counts[site] = {n: names.count(n) for n in set(names)}
    return counts


def test_dedicated_calls(build):
    """poll: dedicated, a core for the net lcore alone: while it replicates it makes no system call and allocates nothing."""
    if len(os.sched_getaffinity(0)) < 2:
        return "SKIP: there is one CPU: none can be a net lcore's alone"
    if why := why_not_traced():
        return f"SKIP: {why}"
    with Lab(build) as lab:
        for site in ("east", "west"):
            change_configuration(lab, site, ("poll: adaptive", "poll: dedicated"),
                                 ("lcores: {net: 0, store: 0}", "lcores: {net: 1, store: 0}"))
            lab.run("lab", "start", site)
        group(lab, "db", volumes=(("a", "16M"),))
        w = load.Writer(93).connect([lab.uri("db", "a", "east")])
        w.start()
        lab.wait("it is warm", lambda: w.acknowledged > 20, 90)
        threads = {site: thread_of(lab.pids(site)["causeway-engine"], "causeway-net") for site in ("east", "west")}

        def replicate():
            before = w.acknowledged
            lab.wait("writes while we look", lambda: w.acknowledged > before + 40, 90)
        counts = system_calls(lab, threads, replicate)
        expect(not any(counts.values()), f"system calls of net lcores: {counts}")
        store = {"east": thread_of(lab.pids("east")["causeway-engine"], "causeway-store")}
        seen = system_calls(lab, store, lambda: lab.wait("a few more", lambda a=w.acknowledged: w.acknowledged > a + 5, 60))
        expect(sum(seen["east"].values()) > 0, "what watches does see the calls of a thread that makes them")
        for site in ("east", "west"):
            expect(lab.rpc(site, "status")["allocations_on_lcore"] == 0, f"{site} allocates on no lcore")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        return f"{w.acknowledged} operations; the store lcore's: {seen['east']}"
