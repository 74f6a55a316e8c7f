# SPDX-License-Identifier: BSD-3-Clause
"""The transport's own benchmarks: `./run bench transport`. Used by bench.py.

transport/bulk/mtuN             payload of AES-256, hashed, FEC (32,2)x16, paced, reliable, one net lcore a side
                                over memif; the limit is what seal, FEC and bare memif leave of a core, measured
                                between slices of the same run
transport/pingpong/4k           a 4 KiB message there and back, beside a bare memif frame of 4 KiB
transport/rekey/256mib/...      what renewing keys each 256 MiB takes of the throughput, how long the session was down for
                                one, and how many there were
transport/flood/live-rate       what a session keeps of the throughput of its receiver's core while 50000 HELLOs a second
                                come to it, of all kinds; by the CPU time of its thread, so others do not spoil it.
                                core-share: what the HELLOs alone take of a core; unseen: how many were dropped unseen
transport/wan/LINE/loss-P/...   through perf/wanem, under bbr; `goodput` with FEC, `goodput/plain` without,
                                `goodput/fixed` and `goodput/fixed/plain` at 99 % of the line whatever happens,
                                as on a leased circuit, `goodput/tcp-CC` is kernel TCP over the same emulator;
                                `latency-p99` of a 4 KiB message each millisecond, with FEC and by resending alone.
                                Also by shorter names: `tcp-CC` is `goodput/tcp-CC`, `latency-p99` is `latency-p99/fec`
transport/wan/LINE/bursts-50/... a record of 64 KiB each 800 us on a leased circuit that loses 0.1 % in runs of 50 packets, as the
                                mean: `late-share` of the records comes later than one way and the 22 ms that repairs may
                                take (a stripe is closed after 20); with FEC (64,4)x32 and by resending alone
transport/paths2/aggregate      goodput of one session on two lines (PATHS below), each sent on at 96 % of its rate, beside the
                                sum of each of them alone (paths2/alone/N) in the same run
transport/paths2/kill-one/stall how long the oldest message held up those behind it when one of the two lines was cut under
                                full load, beside 3 probe time-outs; /before: the same in the seconds before the cut
"""
import json
import statistics
import subprocess

WAN = "1gbit-80ms"
SPEC = "rate=1gbit,rtt=80ms"
LOSSES = ("0", "0.1", "1", "2")
LINE_MBIT = 1000
CIRCUIT_MBIT = 990  # a leased circuit of that line: what is not data finds room, and no queue grows
OURS = {"": ("fec",), "/plain": ("plain",), "/fixed": ("fec", CIRCUIT_MBIT), "/fixed/plain": ("plain", CIRCUIT_MBIT)}
FRAME, PAYLOAD, SEGMENT = 1514, 1376, 1448  # bytes on the line, and of ours and TCP's data in them
LATENCY_SECONDS = 4
BURSTS, BURST_SECONDS, ONE_WAY_MS, REPAIR_MS = "ge=0.1%:50", 10, 40, 22
PATHS, PATHS_MBIT = "rate=200mbit,rtt=20ms", 192
BULK_SLICES, REKEY_PAIRS, FLOOD_PAIRS = 8, 12, 8
FLOOD_PER_SECOND = 50000


def run(words, seconds):
    """One that is not waited for any longer is told to end, and has time to take down what it made."""
    p = subprocess.Popen([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, complaints = p.communicate(timeout=seconds)
    except BaseException:
        p.terminate()
        try:
            p.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            p.kill()
        raise
    if p.returncode != 0:
        raise RuntimeError(f"{words[0]}: {complaints[-2000:]}")
    return json.loads(said.strip().splitlines()[-1])


class Bench:
    def __init__(self, build, top, results, a, note):
        self.note = note
        self.paths_program = f"{build}/perf/bench-paths"
        self.program, self.wanem = f"{build}/perf/bench-transport", f"{build}/perf/wanem/wanem"
        self.tcp_py, self.results, self.a = f"{top}/perf/wanem/tcp.py", results, a
        self.slices = 1 if a.quick else None
        self.wan_seconds = a.seconds + (3 if a.quick else 4)  # what ramps up takes of it

    def rounds(self, what, *words):
        return [run([self.program, what, *words], 600)[what] for _ in range(self.a.rounds)]

    def bulk(self, mtu):
        slices = [s for r in self.rounds("bulk", mtu, self.slices or BULK_SLICES) for s in r["slices"]]
        middle = {k: statistics.median(s[k] for s in slices) for k in slices[0]}
        for part in ("seal", "open", "fec", "memif", "hash-and-copy"):
            self.results.add(f"transport/bulk/mtu{mtu}/part/{part}", middle[f"{part.replace('-', '_')}_ns"], "ns")
        self.results.add(f"transport/bulk/mtu{mtu}", middle["gbps"], "Gb/s", middle["limit_gbps"],
                         "AEAD + FEC + memif")

    def pingpong(self, fec, suffix):
        found = self.rounds("pingpong", 9000, fec)
        middle = {k: statistics.median(r[k] for r in found) for k in found[0] if k.endswith(("us", "ns"))}
        name = f"transport/pingpong/4k{suffix}"
        self.results.add(name, middle["p50_us"], "us", middle["bare_p50_us"], "bare memif")
        self.results.add(f"{name}/p99", middle["p99_us"], "us", middle["bare_p99_us"], "bare memif")
        if not suffix:
            seals = 2 * (middle["seal_ns"] + middle["open_ns"]) / 1000
            self.results.add("transport/pingpong/4k/wire-and-seals", middle["bare_p50_us"] + seals, "us")

    def rekey(self):
        found = self.rounds("rekey", 9000, self.slices or REKEY_PAIRS)
        costs = [100 * (1 - s["gbps_rekeying"] / s["gbps"]) for r in found for s in r["slices"]]
        self.results.add("transport/rekey/256mib/cost", statistics.median(costs), "%")
        self.results.add("transport/rekey/256mib/gap", statistics.median(r["gap_us"] for r in found), "us")
        self.results.add("transport/rekey/256mib/renewals", sum(r["counters"]["keys_rotated"] for r in found), "1")

    def flood(self):
        found = self.rounds("flood", 1500, self.slices or FLOOD_PAIRS)
        kept = [100 * s["gbps_flooded"] / s["gbps"] for r in found for s in r["slices"]]
        self.results.add("transport/flood/live-rate", statistics.median(kept), "%")
        share = statistics.median(r["hello_ns"] for r in found) * FLOOD_PER_SECOND / 1e7
        self.results.add("transport/flood/core-share", share, "%")
        self.results.add("transport/flood/unseen", 100 * sum(r["unseen"] for r in found) / sum(r["sent"] for r in found), "%")

    def tcp(self, congestion, spec):
        try:
            return run(["/usr/bin/python3", self.tcp_py, self.wanem, spec, "--seconds", self.wan_seconds, "--congestion",
                        congestion], 300)["goodput_mbit"]
        except RuntimeError as e:
            self.note(f"no kernel TCP with {congestion} here: {str(e).strip().splitlines()[-1]}")
            return None

    def goodput(self, loss):
        spec = SPEC + (f",loss={loss}%" if loss != "0" else "")
        runs = {}
        for i in range(self.a.rounds):
            for suffix, words in OURS.items():
                r = run([self.program, "goodput", self.wanem, f"{spec},seed={i + 1}", self.wan_seconds, *words], 600)
                runs.setdefault(suffix, []).append(r["goodput"]["mbps"])
            for congestion in ("cubic", "bbr"):
                runs.setdefault(congestion, []).append(self.tcp(congestion, f"{spec},seed={i + 1}"))
        name, line = f"wan/{WAN}/loss-{loss}", LINE_MBIT / FRAME
        for suffix in OURS:
            self.results.add(f"transport/{name}/goodput{suffix}", statistics.median(runs[suffix]), "Mb/s", line * PAYLOAD,
                             "the line")
        for congestion in ("cubic", "bbr"):
            if None not in runs[congestion]:
                for full in ("goodput/tcp-", "tcp-"):
                    self.results.add(f"transport/{name}/{full}{congestion}", statistics.median(runs[congestion]), "Mb/s",
                                     line * SEGMENT, "the line")

    def latency(self, loss):
        for fec, suffix in (("fec", "fec"), ("plain", "resend")):
            found = self.rounds("latency", self.wanem, f"{SPEC},loss={loss}%", LATENCY_SECONDS, fec)
            name = f"transport/wan/{WAN}/loss-{loss}/latency-p99"
            for order, word in (("each", ""), ("ordered", "-ordered")):
                for full in (f"/{suffix}", "") if fec == "fec" else (f"/{suffix}",):
                    self.results.add(f"{name}{word}{full}", statistics.median(r[order]["p99_ms"] for r in found), "ms",
                                     ONE_WAY_MS, "one way")

    def bursts(self):
        for fec, suffix in (("fec", "fec"), ("plain", "resend")):
            found = self.rounds("bursts", self.wanem, f"{SPEC},{BURSTS}", BURST_SECONDS, fec,
                                (ONE_WAY_MS + REPAIR_MS) * 1000)
            name = f"transport/wan/{WAN}/bursts-50"
            self.results.add(f"{name}/late-share/{suffix}", 100 * statistics.median(r["late_share"] for r in found), "%")
            for what in ("p99", "max"):
                self.results.add(f"{name}/latency-{what}/{suffix}", statistics.median(r["each"][f"{what}_ms"] for r in found),
                                 "ms", ONE_WAY_MS, "one way")

    def paths(self):
        found = [run([self.paths_program, self.wanem, PATHS, PATHS_MBIT, self.a.seconds + 2], 600)["paths"] for _ in range(self.a.rounds)]
        middle = {k: statistics.median(r[k] for r in found) for k in ("both", "stall_ms", "probes_ms", "before_ms")}
        alone = [statistics.median(r["alone"][i] for r in found) for i in range(2)]
        for i in range(2):
            self.results.add(f"transport/paths2/alone/{i}", alone[i], "Mb/s")
        self.results.add("transport/paths2/aggregate", middle["both"], "Mb/s", sum(alone), "the sum of each alone")
        self.results.add("transport/paths2/kill-one/before", middle["before_ms"], "ms")
        self.results.add("transport/paths2/kill-one/stall", middle["stall_ms"], "ms", middle["probes_ms"],
                         "3 probe time-outs")


def transport(build, top, results, a, note):
    bench = Bench(build, top, results, a, note)
    cases = [(f"transport/bulk/mtu{mtu}", bench.bulk, (mtu,)) for mtu in (1500, 9000)]
    cases += [("transport/pingpong/4k", bench.pingpong, ("plain", "")),
              ("transport/pingpong/4k/fec", bench.pingpong, ("fec", "/fec")), ("transport/rekey", bench.rekey, ()),
              ("transport/flood", bench.flood, ())]
    for loss in LOSSES:
        line = f"transport/wan/{WAN}/loss-{loss}"
        by_tcp = results.wants(f"{line}/tcp-") and not results.wants(f"{line}/goodput")
        cases.append((f"{line}/tcp-" if by_tcp else f"{line}/goodput", bench.goodput, (loss,)))
    cases += [(f"transport/wan/{WAN}/loss-1/latency-p99", bench.latency, ("1",)),
              (f"transport/wan/{WAN}/bursts-50", bench.bursts, ()), ("transport/paths2", bench.paths, ())]
    for name, measure, arguments in cases:
        if results.wants(name):
            note(name)
            results.attempt(name, measure, *arguments)
