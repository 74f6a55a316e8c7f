#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a session went through, as a picture.

    plot_session.py record LAB/SITE/engine.sock FILE.jsonl [--seconds 10] [--every-us 1000]
    plot_session.py plot FILE.jsonl PICTURE.png [--path NAME]

`record` asks an engine for samples of its paths (RPC path.log) and writes one JSON object a line: time_ns, path, up,
state of the rate controller, rtt_ns, pacing_bytes_per_second, window_bytes, bytes_in_flight, counters. Lines can be
cut out, joined and filtered (jq) before they are drawn. `plot` wants python3-matplotlib, which nothing else here does.
"""

import argparse
import json
import socket
import sys
import time

ASK_EACH_S = 0.2       # at most; a log holds 2048 samples, of all paths together
BINS_MAX = 400         # per picture: what is finer cannot be seen


class Engine:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self.lines:
            answer = json.loads(line)
            if answer.get("id") != 1 or "method" in answer:
                continue
            if "error" in answer:
                sys.exit(f"plot_session: {method}: {answer['error']['message']}")
            return answer["result"]
        sys.exit("plot_session: the engine closed the connection")


def write_samples(log, file):
    for row in log["samples"]:
        file.write(json.dumps(dict(zip(log["columns"], row))) + "\n")
    if log["is_full"]:
        print("plot_session: samples are missing: ask for fewer (--every-us)", file=sys.stderr)
    return len(log["samples"])


def record(options):
    engine = Engine(options.socket)
    engine.call("path.log", every_us=options.every_us)
    count, end = 0, time.monotonic() + options.seconds
    pause = min(ASK_EACH_S, options.every_us * 500 / 1e6)
    with open(options.file, "w", encoding="utf-8") as file:
        try:
            while time.monotonic() < end:
                time.sleep(pause)
                count += write_samples(engine.call("path.log", every_us=options.every_us), file)
        except KeyboardInterrupt:
            pass
        count += write_samples(engine.call("path.log", every_us=0), file)
    print(f"{count} samples in {options.file}")


def load(options):
    """The samples of one path, oldest first."""
    with open(options.file, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    paths = sorted({row["path"] for row in rows})
    wanted = options.path or (paths[0] if paths else None)
    if len(paths) > 1 and not options.path:
        print(f"plot_session: drawing {wanted}; there are also {', '.join(paths[1:])} (--path)", file=sys.stderr)
    rows = sorted((row for row in rows if row["path"] == wanted), key=lambda row: row["time_ns"])
    if len(rows) < 3:
        sys.exit(f"plot_session: {options.file} has {len(rows)} samples of {wanted}; that makes no picture")
    return wanted, rows


def per_bin(rows, name, times, width):
    """(middle of bin, how much a counter rose in it): at most BINS_MAX bins."""
    rises = {}
    for earlier, later, at in zip(rows, rows[1:], times[1:]):
        rise = later[name] - earlier[name]
        rises[int(at / width)] = rises.get(int(at / width), 0) + max(rise, 0)  # a restarted engine counts anew
    last = int(times[-1] / width)
    return [(i + 0.5) * width for i in range(last)], [rises.get(i, 0) for i in range(last)]


def spans(rows, times, name):
    """(value, from, to) of runs of equal values."""
    found = []
    for row, at in zip(rows, times):
        if found and found[-1][0] == row[name]:
            found[-1][2] = at
            continue
        if found:
            found[-1][2] = at
        found.append([row[name], at, at])
    return found


def line(rows, name, scale):
    """Values for a line: a hole where the path is down, or where there is none."""
    return [row[name] / scale if row["up"] and row[name] else float("nan") for row in rows]


def limit(axes, highest):
    """What is allowed may be far above what is used (in start-up): then it is left out, and not the rest made small."""
    axes.set_ylim(0, min(axes.get_ylim()[1], 2.5 * highest) if highest else None)


def draw_rate(axes, rows, times, width):
    at, sent = per_bin(rows, "bytes_out", times, width)
    axes.fill_between(at, [b * 8 / width / 1e6 for b in sent], step="mid", alpha=0.35, label="sent", color="tab:blue")
    at, got = per_bin(rows, "bytes_in", times, width)
    axes.plot(at, [b * 8 / width / 1e6 for b in got], drawstyle="steps-mid", lw=0.8, label="received", color="tab:green")
    axes.plot(times, line(rows, "pacing_bytes_per_second", 1e6 / 8), lw=1, label="pacing", color="tab:red")
    limit(axes, max(b * 8 / width / 1e6 for b in sent))
    axes.set_ylabel("Mbit/s")


def draw_rtt(axes, rows, times):
    axes.plot(times, line(rows, "rtt_ns_latest", 1e6), ".", ms=1.5, alpha=0.5, label="latest", color="tab:gray")
    axes.plot(times, line(rows, "rtt_ns", 1e6), lw=1.2, label="smoothed", color="tab:blue")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("round trip, ms")


def draw_window(axes, rows, times):
    in_flight = [row["bytes_in_flight"] / 1e6 for row in rows]
    axes.fill_between(times, in_flight, alpha=0.35, label="in flight", color="tab:blue")
    if any(row["window_bytes"] for row in rows):
        axes.plot(times, line(rows, "window_bytes", 1e6), lw=1, label="window", color="tab:red")
    limit(axes, max(in_flight))
    axes.set_ylabel("MB")


def draw_losses(axes, rows, times, width):
    kinds = (("packets_lost", "lost", "tab:red"), ("losses_recovered", "of them given back by repairs", "tab:green"),
             ("packets_retransmitted", "sent again", "tab:orange"), ("losses_spurious", "lost, and came", "tab:purple"),
             ("probe_timeouts", "probe time-outs", "black"))
    for name, label, colour in kinds:
        at, rises = per_bin(rows, name, times, width)
        total = rows[-1][name] - rows[0][name]
        if any(rises):
            axes.plot(at, rises, drawstyle="steps-mid", lw=1, label=f"{label} ({total})", color=colour)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"packets each {width * 1000:.3g} ms")


def mark_down_and_states(all_axes, rows, times):
    for is_up, begin, end in spans(rows, times, "up"):
        if not is_up:
            for axes in all_axes:
                axes.axvspan(begin, end, color="black", alpha=0.15, lw=0)
    states = spans(rows, times, "state")
    for number, (state, begin, end) in enumerate(states):
        if len(states) <= 60:
            all_axes[0].axvline(begin, color="gray", lw=0.5, ls=":")
        if end - begin > times[-1] / 15:
            all_axes[0].annotate(state, ((begin + end) / 2, 1.02), xycoords=("data", "axes fraction"), ha="center",
                                 fontsize=8, color="dimgray")


def plot(options):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    name, rows = load(options)
    times = [(row["time_ns"] - rows[0]["time_ns"]) / 1e9 for row in rows]
    width = times[-1] / min(BINS_MAX, len(rows) - 1)
    figure, all_axes = pyplot.subplots(4, 1, sharex=True, figsize=(12, 10), constrained_layout=True)
    draw_rate(all_axes[0], rows, times, width)
    draw_rtt(all_axes[1], rows, times)
    draw_window(all_axes[2], rows, times)
    draw_losses(all_axes[3], rows, times, width)
    mark_down_and_states(all_axes, rows, times)
    for axes in all_axes:
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    all_axes[-1].set_xlabel("seconds (grey: the path is down)")
    all_axes[-1].set_xlim(0, times[-1])
    figure.suptitle(f"path {name}: {len(rows)} samples in {times[-1]:.1f} s")
    figure.savefig(options.picture, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    one.add_argument("socket")
    one.add_argument("file")
    one.add_argument("--seconds", type=float, default=10)
    one.add_argument("--every-us", type=int, default=1000)
    one.set_defaults(run=record)
    one = commands.add_parser("plot")
    one.add_argument("file")
    one.add_argument("picture")
    one.add_argument("--path")
    one.set_defaults(run=plot)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
