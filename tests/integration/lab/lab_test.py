#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the lab tests: whole sites as a user has them.

lab_test.py BUILD [NAME...] runs all tests or those named; each brings up its own lab. Two run at a time, each in
a process of its own: they wait more than they work. A test NAME is a function test_NAME(build) of one of MODULES; it
returns what there is to tell, and raises when it failed.

A lab is whole sites under a clock: leases, silences, a machine that stands still for seconds. When the run is over, tests
that failed are run once more, alone, and both attempts are told; not those that saw a promise broken (results.Broken), and
not when more than ATTEMPTS_EXCUSED_MAX failed.
"""
import argparse
import concurrent.futures
import importlib
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Failed  # noqa: E402
from results import ATTEMPTS_EXCUSED_MAX, Broken, reason_of, summary  # noqa: E402

# Of this folder; one a line, so that two who add one do not meet.
MODULES = (
    "break_glass",
    "burns",
    "certificates",
    "changes",
    "clients",
    "clocks_apart",
    "deletion",
    "devices",
    "explained",
    "half_copied",
    "hostile",
    "lanes",
    "losses",
    "moves",
    "paths",
    "pauses",
    "power",
    "revoked",
    "router",
    "scenarios",
    "shared",
    "sites",
    "slow",
    "space",
    "rebuild",
    "store_disk",
    "store_loss",
    "store_trouble",
    "takeovers",
    "tls",
    "traces",
    "wall_clocks",
    "wan",
    "wire",
    "witness",
)
LONG = (  # these begin first
    "real_clients", "killed_while_copied", "disk_full", "wan_scenarios", "site_burns", "witness_cuts", "witness_members")
AT_A_TIME = 2
TEST_SECONDS_MAX = 900  # the longest take a minute; a hang is ended, and said
BROKEN = "a promise is broken: "


def collect(modules):
    """{name: test} of the tests that each module's own source defines; two of one name are an error."""
    tests, places = {}, {}
    for module in modules:
        for name in re.findall(r"^def test_(\w+)\(", inspect.getsource(module), re.MULTILINE):
            if name in tests:
                raise SystemExit(f"two lab tests are called {name}: in {places[name]}.py and in {module.__name__}.py")
            tests[name], places[name] = vars(module)[f"test_{name}"], module.__name__
    return tests


def run_one(build, name, test):
    """The reason why it failed, or None."""
    started = time.monotonic()
    try:
        told = test(build)
        if told.startswith("SKIP: "):
            print(f"SKIP: {name}: {told[6:]}")
        print(f"passed  {name:24s} {time.monotonic() - started:6.1f} s  {told}", flush=True)
        return None
    except Exception as e:
        print(f"FAILED  {name:24s} {time.monotonic() - started:6.1f} s  {e}", flush=True)
        if not isinstance(e, (Failed, AssertionError)):
            traceback.print_exc()
        return (BROKEN if isinstance(e, Broken) else "") + reason_of(e)


def run_apart(build, name, running):
    """The test in its own process; what it says is printed when it has ended, so that lines do not mix. The reason why
    it failed, or None."""
    with tempfile.NamedTemporaryFile(mode="r", prefix="cw-lab-reason-", errors="replace") as reason:
        p = subprocess.Popen([sys.executable, os.path.abspath(__file__), build, name, "--reason", reason.name],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace")
        running.add(p)
        try:
            said = p.communicate(timeout=TEST_SECONDS_MAX)[0]
            failed = None if p.returncode == 0 else reason.read() or f"its process ended with {p.returncode}"
        except subprocess.TimeoutExpired:
            p.terminate()  # its lab is taken down
            failed = f"not ended after {TEST_SECONDS_MAX} s"
            said = p.communicate()[0] + f"FAILED  {name:24s} {failed}\n"
    running.discard(p)
    sys.stdout.write(said)
    sys.stdout.flush()
    return failed


def run_all(build, order, at_a_time=AT_A_TIME):
    """(name, reason of the failure or None) of each. Ended by a signal: no more are begun, and those
    that run take their labs down."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    running, pool = set(), concurrent.futures.ThreadPoolExecutor(at_a_time)
    try:
        return list(zip(order, pool.map(lambda name: run_apart(build, name, running), order)))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for p in list(running):
            p.terminate()
        raise
    finally:
        pool.shutdown()


def second_attempts(results, run):
    """The results after them, and the first attempts that they excuse. run(names): results of theirs."""
    failed = [(name, reason) for name, reason in results if reason is not None]
    if len(failed) > ATTEMPTS_EXCUSED_MAX or any(reason.startswith(BROKEN) for _, reason in failed):
        return results, []
    again = dict(run([name for name, _ in failed]))
    return ([(name, again.get(name, reason)) for name, reason in results],
            [(name, reason) for name, reason in failed if again[name] is None])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--reason", metavar="FILE", help="where to write why the one test failed, for the process above")
    options = parser.parse_args()
    tests = collect(importlib.import_module(module) for module in MODULES)
    if unknown := [name for name in options.names if name not in tests]:
        parser.error(f"no such test: {', '.join(unknown)} (there are: {', '.join(sorted(tests))})")
    if len(options.names) == 1:
        name = options.names[0]
        reason = run_one(options.build, name, tests[name])
        if reason is not None and options.reason:
            with open(options.reason, "w", errors="replace") as f:
                f.write(reason)
        sys.exit(0 if reason is None else 1)
    results = run_all(options.build, options.names or sorted(tests, key=lambda name: name not in LONG))
    results, excused = second_attempts(results, lambda names: run_all(options.build, names, at_a_time=1))
    print("\n".join(summary(results, "lab tests", excused)))
    sys.exit(0 if all(reason is None for _, reason in results) else 1)


if __name__ == "__main__":
    main()
