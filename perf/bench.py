#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks, each beside the limits of this machine and a peer, measured in the same run.

    ./run bench [NAME...] [--json FILE] [--rounds N] [--seconds S]

NAME is a prefix of result names, such as `replicate/sync` or `limit`. Rounds are interleaved (ours, peer, ours,
peer, ...) and the median is reported, because other work on the machine comes and goes. A ratio is value over
limit for times, and the share of the limit for rates.

Result names: replicate/MODE/SIZE/qdN/FRONT/METRIC[/mtuN]; FRONT is nbd (fio's nbd engine on the Unix socket) or
direct (a load generator inside the engine). peer/qemu-mirror/... is QEMU's write-blocking mirror doing the same
NBD work: memory-backed files at both sides, a stock nbdkit as its far side over TCP on loopback, in clear.
limit/nbd-alone/... is the same client at a server that keeps blocks in memory and does nothing else: no server
gets more out of it on this machine. transport/... and what stands beside it: transport.py. control/scale/GROUPSxNODES/...:
control_scale.py.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
from lab import Failed, Lab, end_by_exception  # noqa: E402
from results import failures, reason_of  # noqa: E402
from transport import transport  # noqa: E402
from control_scale import scale  # noqa: E402

BUILD = os.environ.get("CAUSEWAY_BUILD", os.path.join(TOP, "build", "gcc"))
SIZES = {"4k": 4096, "1m": 1 << 20}
VOLUME_MIB = 512


def note(text):
    print(f"  ... {text}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- load by fio

def fio(uri, size, depth, seconds, ioengine=None):
    """One fio run of random writes; {'iops', 'mbps', 'p50', 'p99'}: microseconds, MB/s."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        where = ["--ioengine=nbd", f"--uri={uri}"] if ioengine is None else ioengine
        p = subprocess.run(["fio", "--name=bench", *where, "--rw=randwrite", f"--bs={size}", f"--iodepth={depth}",
                            "--time_based", f"--runtime={seconds}", "--ramp_time=0.5", f"--size={VOLUME_MIB}M",
                            "--randrepeat=0", "--output-format=json", f"--output={out.name}"],
                           capture_output=True, text=True, timeout=seconds * 6 + 60)
        if p.returncode != 0:
            raise RuntimeError(f"fio: {p.stdout}{p.stderr}")
        text = open(out.name).read()
    w = json.loads(text[text.index("{"):])["jobs"][0]["write"]
    pct = w["clat_ns"]["percentile"]
    return {"iops": w["iops"], "mbps": w["bw_bytes"] / 1e6, "p50": pct["50.000000"] / 1e3, "p99": pct["99.000000"] / 1e3}


# ---------------------------------------------------------------- the peer

def unix_connection(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


def wait_until_served(connect, server, is_kept=False):
    """A connection to a server that was just started; it is closed again unless it is to be kept."""
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"{server.args[0]} has ended: exit {server.returncode}")
        try:
            connection = connect()
        except OSError:
            time.sleep(0.1)
            continue
        if is_kept:
            return connection
        connection.close()
        return None
    raise RuntimeError(f"{server.args[0]} does not serve")


class QemuMirror:
    """QEMU's block mirror in write-blocking mode over two memory-backed files."""

    def __init__(self):
        self.dir, self.near, self.far = tempfile.mkdtemp(prefix="cw-peer-", dir="/dev/shm"), None, None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        for f in ("near.img", "far.img"):
            subprocess.run(["fallocate", "-l", f"{VOLUME_MIB}M", f"{self.dir}/{f}"], check=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.far = subprocess.Popen(["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "file", f"{self.dir}/far.img"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_served(lambda: socket.create_connection(("127.0.0.1", port)), self.far)
        d = self.dir
        self.near = subprocess.Popen(
            ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=near,filename={d}/near.img",
             "--blockdev", f"driver=nbd,node-name=far,server.type=inet,server.host=127.0.0.1,server.port={port}",
             "--nbd-server", f"addr.type=unix,addr.path={d}/near.sock",
             "--export", "type=nbd,id=e0,node-name=near,writable=on,name=near",
             "--chardev", f"socket,id=q,path={d}/qmp.sock,server=on,wait=off", "--monitor", "chardev=q"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_served(lambda: unix_connection(f"{d}/near.sock"), self.near)
        self.qmp = wait_until_served(lambda: unix_connection(f"{d}/qmp.sock"), self.near, is_kept=True)
        self.file = self.qmp.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")
        self.ask("blockdev-mirror", **{"job-id": "m", "device": "near", "target": "far", "sync": "none",
                                       "copy-mode": "write-blocking"})
        self.uri = f"nbd+unix:///near?socket={d}/near.sock"

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "error" in reply:
                raise RuntimeError(f"qemu-storage-daemon: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def close(self):
        for p in (self.near, self.far):
            if p:
                p.terminate()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Alone:
    """nbdkit's memory plugin on a Unix socket: no journal, no peer, no crypto. What the client itself can do."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="cw-alone-", dir="/dev/shm")
        self.server = subprocess.Popen(["nbdkit", "-f", "-U", f"{self.dir}/sock", "memory", f"{VOLUME_MIB}M"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.uri = f"nbd+unix:///?socket={self.dir}/sock"
        try:
            wait_until_served(lambda: unix_connection(f"{self.dir}/sock"), self.server)
        except BaseException:
            self.close()
            raise

    def close(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---------------------------------------------------------------- ours

class Ours:
    def __init__(self, mode, mtu):
        self.lab = Lab(BUILD, extra=["--mtu", str(mtu)])
        self.lab.__enter__()
        try:
            self.lab.run("group", "create", "b", "--mode", mode, "--primary", "east", "--replica", "west")
            self.lab.run("volume", "create", "b/v", "--size", f"{VOLUME_MIB}M")
            self.lab.wait_state("b", "streaming" if mode == "async" else "in-sync")
            self.uri = self.lab.uri("b", "v", "east")
        except BaseException:
            self.close()
            raise

    def rpc(self, method, params):
        return json.loads(self.lab.run("--site", "east", "rpc", method, json.dumps(params)))

    def direct(self, size, depth, seconds):
        status = self.rpc("status", {})["groups"][0]
        run = self.rpc("direct.start", {"group": status["group"], "volume": 0, "op": "write", "size": size,
                                        "depth": depth, "duration_ms": int(seconds * 1000), "seed": 1,
                                        "span": VOLUME_MIB << 20, "sequential": False})["run"]
        while True:
            s = self.rpc("direct.stats", {"run": run})
            if s["done"]:
                break
            time.sleep(0.1)
        if s["errors"]:
            raise RuntimeError(f"direct: {s['errors']} errors")
        return {"iops": s["ops"] / s["seconds"], "mbps": s["bytes"] / s["seconds"] / 1e6, "p50": s["p50_us"], "p99": s["p99_us"]}

    def close(self):
        self.lab.__exit__(None, None, None)


# ---------------------------------------------------------------- limits

def micro():
    """XXH3, AEAD, memcpy per packet or block: microseconds by name, from the Google Benchmark binary. Where one round of
    it is of many packets, or datagrams, what one takes stands beside it."""
    p = subprocess.run([f"{BUILD}/perf/bench-micro", "--benchmark_format=json", "--benchmark_min_time=0.2"],
                       capture_output=True, text=True, timeout=300)
    unit = {"ns": 1e-3, "us": 1, "ms": 1e3}
    found = {}
    for b in json.loads(p.stdout)["benchmarks"]:
        found[b["name"]] = b["real_time"] * unit[b["time_unit"]]
        for counter in ("time_per_packet", "time_per_datagram"):
            if counter in b:
                found[f"{b['name']}/{counter[5:]}"] = b[counter] * 1e6
    return found


def memif():
    p = subprocess.run([f"{BUILD}/perf/bench-memif"], capture_output=True, text=True, timeout=300)
    if p.returncode != 0:
        raise RuntimeError(f"bench-memif: {p.stderr}")
    m = json.loads(p.stdout.strip().splitlines()[-1])["memif"]
    found = {}
    for mtu in (1500, 9000):
        found[f"{mtu}/packets_per_second"] = m[f"packets_per_second_{mtu}"]
        found[f"{mtu}/gbps"] = m[f"gigabits_per_second_{mtu}"]
    for size in (64, 4096):
        found[f"{size}/rtt_us"] = m[f"round_trip_us_{size}"]["p50"]
    return found


def wanem():
    """What the emulated WAN carries; late_us is how much after its time a frame comes out."""
    p = subprocess.run([f"{BUILD}/perf/wanem/bench-wanem", f"{BUILD}/perf/wanem/wanem"], capture_output=True, text=True,
                       timeout=300)
    if p.returncode != 0:
        raise RuntimeError(f"bench-wanem: {p.stderr}")
    m = json.loads(p.stdout.strip().splitlines()[-1])["wanem"]
    found = {"line-1gbit/gbps": m["line_1gbit_gigabits_per_second"]}
    for mtu in (1500, 9000):
        found[f"{mtu}/packets_per_second"] = m[f"packets_per_second_{mtu}"]
        found[f"{mtu}/gbps"] = m[f"gigabits_per_second_{mtu}"]
        found[f"{mtu}/frame_us"] = m[f"frame_ns_{mtu}"] / 1000
    for poll in ("busy", "adaptive"):
        for share in ("p50", "p99", "quietest_p99"):
            found[f"late/{poll}/{share}_us"] = m[f"late_us_{poll}"][share]
    return found


def disk(seconds):
    """io_uring on a memory-backed file, as our journal and volumes have it here."""
    with tempfile.TemporaryDirectory(prefix="cw-disk-", dir="/dev/shm") as d:
        engine = ["--ioengine=io_uring", f"--filename={d}/f"]
        return {"4k": fio(None, 4096, 1, seconds, engine), "1m": fio(None, 1 << 20, 8, seconds, engine)}


# ---------------------------------------------------------------- the run

class Results:
    def __init__(self, wanted):
        self.wanted, self.rows, self.failed = wanted, [], []

    def wants(self, name):
        return not self.wanted or any(name.startswith(w) or w.startswith(name) for w in self.wanted)

    def add(self, name, value, unit, limit=None, limit_name=None):
        if self.wanted and not any(name.startswith(w) for w in self.wanted):
            return
        row = {"name": name, "value": round(value, 3), "unit": unit}
        if limit:
            row.update(limit=round(limit, 3), limit_name=limit_name, ratio=round(value / limit, 3))
        self.rows.append(row)

    def attempt(self, name, measure, *arguments):
        """What cannot be measured is told, and the rest is measured; None."""
        try:
            return measure(*arguments)
        except (AssertionError, Failed, OSError, RuntimeError, subprocess.SubprocessError) as e:
            self.failed.append((name, reason_of(e)))
            note(f"{name} could not be measured: {reason_of(e).strip().splitlines()[-1]}")
            return None

    def table(self):
        width = max((len(r["name"]) for r in self.rows), default=10)
        for r in self.rows:
            beside = f"   {r['ratio']:7.2f} x {r['limit_name']} ({r['limit']:.1f})" if "ratio" in r else ""
            print(f"{r['name']:{width}s}  {r['value']:12.1f} {r['unit']:5s}{beside}")


def median(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


CASES = [("4k", 1), ("4k", 32), ("1m", 8)]


def replicate(results, mode, mtu, a, limits):
    """One mode at one MTU, NBD and direct, rounds interleaved with the peer's where the work is the same."""
    last = f"/mtu{mtu}"
    with_peer = mode == "sync" and mtu == 1500
    ours, peer, alone, runs = Ours(mode, mtu), None, None, {}
    try:
        peer = QemuMirror() if with_peer else None
        alone = Alone() if with_peer else None
        for _ in range(a.rounds):
            for size, depth in CASES:
                key = f"{size}/qd{depth}"
                runs.setdefault(("nbd", key), []).append(fio(ours.uri, SIZES[size], depth, a.seconds))
                runs.setdefault(("direct", key), []).append(ours.direct(SIZES[size], depth, a.seconds))
                if peer:
                    runs.setdefault(("peer", key), []).append(fio(peer.uri, SIZES[size], depth, a.seconds))
                if alone:
                    runs.setdefault(("alone", key), []).append(fio(alone.uri, SIZES[size], depth, a.seconds))
    finally:
        ours.close()
        for other in (peer, alone):
            if other:
                other.close()
    for size, depth in CASES:
        key = f"{size}/qd{depth}"
        theirs = median(runs["peer", key]) if peer else None
        for front in ("nbd", "direct"):
            m = median(runs[front, key])
            name = f"replicate/{mode}/{key}/{front}"
            qemu = lambda what: (theirs[what], "QEMU mirror") if theirs and front == "nbd" else None
            rtt = (limits.get("memif/4096/rtt_us"), "memif ping-pong") if size == "4k" else (None, None)
            wire = limits.get(f"memif/{mtu}/gbps")
            results.add(f"{name}/p50{last}", m["p50"], "us", *(qemu("p50") or rtt))
            results.add(f"{name}/p99{last}", m["p99"], "us", *(qemu("p99") or rtt))
            results.add(f"{name}/iops{last}", m["iops"], "1/s", *(qemu("iops") or (None, None)))
            results.add(f"{name}/throughput{last}", m["mbps"], "MB/s",
                        *(qemu("mbps") or ((wire * 1000 / 8, "bare memif") if wire else (None, None))))
        if theirs:
            for what, unit in (("p50", "us"), ("p99", "us"), ("iops", "1/s"), ("mbps", "MB/s")):
                results.add(f"peer/qemu-mirror/{key}/{what}", theirs[what], unit)
                results.add(f"limit/nbd-alone/{key}/{what}", median(runs["alone", key])[what], unit)


def measure_limits(results, a):
    limits = {}
    note("limits: memif")
    for k, v in memif().items():
        limits[f"memif/{k}"] = v
        results.add(f"limit/memif/{k}", v, "us" if k.endswith("us") else "Gb/s" if k.endswith("gbps") else "1/s")
    if results.wants("limit/wanem"):
        note("limits: wanem")
        for k, v in wanem().items():
            unit = "us" if k.endswith("us") else "Gb/s" if k.endswith("gbps") else "1/s"
            results.add(f"limit/wanem/{k}", v, unit)
    note("limits: AEAD, XXH3, memcpy")
    for k, v in micro().items():
        results.add(f"limit/micro/{k}", v, "us")
    note("limits: io_uring on a memory-backed file")
    for size, m in disk(a.seconds).items():
        results.add(f"limit/disk/{size}/p50", m["p50"], "us")
        results.add(f"limit/disk/{size}/throughput", m["mbps"], "MB/s")
    return limits


def machine():
    model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    return {"cpu": model.group(1) if model else "?", "cores": os.cpu_count(), "kernel": os.uname().release,
            "hugepages": int(open("/proc/sys/vm/nr_hugepages").read())}


def main():
    p = argparse.ArgumentParser(prog="./run bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    p.add_argument("--json", metavar="FILE", help="the results there too")
    p.add_argument("--rounds", type=int, default=3, help="of which the median is reported, default 3")
    p.add_argument("--seconds", type=float, default=3, help="of each measurement, whole ones, default 3")
    p.add_argument("--quick", action="store_true",
                   help="one short round each: to see that all of it works, no figures to be believed")
    a = p.parse_args()
    if a.quick:
        a.rounds, a.seconds = 1, 1
    a.seconds = int(a.seconds) if a.seconds >= 1 else 1
    end_by_exception()
    results = Results(a.names)
    others = any(results.wants(name) for name in ("limit", "peer", "replicate"))
    limits = others and results.attempt("limit", measure_limits, results, a) or {}
    transport(BUILD, TOP, results, a, note)
    if results.wants("control/scale"):
        results.attempt("control/scale", scale, results, a, note)
    for mode in ("sync", "semi-sync", "async"):
        for mtu in (1500, 9000):
            if results.wants(f"replicate/{mode}") and (mtu == 1500 or mode != "semi-sync"):
                note(f"replicate {mode}, MTU {mtu}")
                results.attempt(f"replicate/{mode}/mtu{mtu}", replicate, results, mode, mtu, a, limits)
    results.table()
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"machine": machine(), "results": results.rows}, f, indent=1)
        print(f"written: {a.json}")
    for line in failures(results.failed):
        print(line)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
