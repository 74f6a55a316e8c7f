#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""causeway-port-check between two cards of a guest: what a real driver promises is kept, and a card in use is refused.

    test_port_check.py PATH-OF-causeway-port-check ADDRESS ADDRESS
"""
import json
import subprocess
import sys

LIMIT = 300


def run(program, *arguments):
    done = subprocess.run([program, "--json", "--seconds", "1", *arguments], capture_output=True, text=True, timeout=LIMIT,
                          check=False)
    print(done.stdout, done.stderr, flush=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def expect(result, name, wanted, words=""):
    """Of this check, in both directions where it has them."""
    found = [one for one in result["checks"] if one["name"] == name]
    assert found, name
    for one in found:
        assert one["verdict"] == wanted and words in one["words"], one


def expect_good(result):
    for name, words in (("link", "checksums by the device"), ("neighbour", ""), ("loss", "none"), ("mtu", ""), ("damage", ""),
                        ("checksums sent", "the device's are right"), ("checksums received", "none of 256 wrong ones")):
        expect(result, name, "passed", words)


def a_pair(program, cards):
    code, result, _ = run(program, "--device", cards[0], "--to", cards[1])
    assert code == 0, result
    expect_good(result)
    code, result, _ = run(program, "--device", cards[0], "--to", cards[1], "--mtu", "9000", "--vlan", "120", "--local", "fd00::1",
                          "--peer", "fd00::2")
    assert code == 0, result
    expect_good(result)
    expect(result, "mtu", "passed", "9000")
    expect(result, "vlan", "passed", "120")


def in_use(program, cards):
    there = subprocess.Popen([program, "--answer", "--device", cards[1], "--local", "10.0.0.2", "--peer", "10.0.0.1"],
                             stderr=subprocess.PIPE, text=True)
    try:
        assert "answering" in there.stderr.readline()
        code, _, words = run(program, "--device", cards[1], "--local", "10.0.0.1", "--peer", "10.0.0.2")
        assert code == 3 and "causeway-port" in words, (code, words)
        code, result, _ = run(program, "--device", cards[0], "--local", "10.0.0.1", "--peer", "10.0.0.2")
        assert code == 0 and result["mode"] == "peer", result
        expect(result, "damage", "passed")
    finally:
        there.kill()
        there.wait()


def main():
    program, *cards = sys.argv[1:]
    a_pair(program, cards)
    in_use(program, cards)
    print("port check: passed", flush=True)


if __name__ == "__main__":
    main()
