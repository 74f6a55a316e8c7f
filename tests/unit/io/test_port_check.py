#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""causeway-port-check as a program: over memif, through a wanem that loses, cuts and damages, and over veth pairs.

    test_port_check.py PROGRAM WANEM [NAME...]
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LIMIT = 240


class Skipped(Exception):
    pass


class Ends:
    """A folder for sockets, and what runs: ended with the test."""

    def __init__(self, program, wanem):
        self.program, self.wanem = program, wanem
        self.folder = tempfile.mkdtemp(prefix="cw-port-check-")
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()  # killed, it would leave DPDK's folder of its own
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def memif(self, number, role, socket):
        return f"net_memif{number},role={role},socket={self.folder}/{socket},socket-abstract=no"

    def start(self, *arguments):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def between(self, spec, mtu=1500):
        """A wanem; returns the devices of its ends."""
        process = self.start(self.wanem, "--a", self.memif(0, "server", "a"), "--b", self.memif(1, "server", "b"),
                             "--wan", spec, "--mtu", str(mtu))
        wait_for(lambda: os.path.exists(f"{self.folder}/b") or process.poll() is not None)
        return self.memif(0, "client", "a"), self.memif(1, "client", "b")

    def run(self, *arguments, seconds=1):
        done = subprocess.run([self.program, "--json", "--seconds", str(seconds), *arguments], capture_output=True,
                              text=True, timeout=LIMIT, check=False)
        try:
            return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr
        except ValueError:
            raise AssertionError(f"{done.returncode}: {done.stdout} {done.stderr}") from None

    def answer(self, device, *more):
        """The other end, as soon as it answers."""
        process = self.start(self.program, "--answer", "--json", "--device", device, "--local", "10.0.0.2", "--peer",
                             "10.0.0.1", *more)
        said = process.stderr.readline()
        assert "answering" in said, said + process.stderr.read()
        return process


def wait_for(what):
    end = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def verdict(result, name, to=None):
    """Of the check with this name, of the direction that ends there."""
    found = [one for one in result["checks"] if one["name"] == name and to in (None, one["to"])]
    assert found, (name, result["checks"])
    return found[0]["verdict"], found[0]["words"]


def expect(result, name, wanted, words="", to=None):
    got, said = verdict(result, name, to)
    assert got == wanted and words in said, f"{name}: {got}: {said}"


HERE = ["--local", "10.0.0.1", "--peer", "10.0.0.2"]


def two_ports(ends):
    code, result, _ = ends.run("--device", ends.memif(0, "server", "s"), "--to", ends.memif(1, "client", "s"),
                               "--name", "one", "--to-name", "two", "--mtu", "9000", "--queues", "2", "--vlan", "120")
    assert code == 0 and result["failed"] == 0 and result["mode"] == "pair", result
    for to in "one", "two":
        expect(result, "loss", "passed", "none", to)
        expect(result, "mtu", "passed", "9000", to)
        expect(result, "rate", "passed", "8972 bytes", to)
        expect(result, "queues", "passed", "all 2 receive", to)
    expect(result, "vlan", "passed", "120")
    assert [way["mtu"] for way in result["directions"]] == [9000, 9000], result
    assert result["round_trip_us"]["count"] == result["directions"][0]["sent"] > 0, result


def a_peer_that_answers(ends):
    there = ends.answer(ends.memif(0, "server", "s"), "--queues", "2", "--port", "7500", "--peer-port", "7400",
                        "--mac", "02:00:00:00:00:0b")
    code, result, _ = ends.run("--device", ends.memif(0, "client", "s"), *HERE, "--queues", "2", "--name", "here", "--peer-port",
                               "7500", "--peer-mac", "02:00:00:00:00:0B")
    assert code == 0 and result["mode"] == "peer", result
    expect(result, "other end", "passed", "1500")
    expect(result, "rate", "passed", to="peer")
    expect(result, "rate", "passed", to="here")
    expect(result, "checksums received", "not tried", "from the other end", to="here")
    there.send_signal(signal.SIGINT)
    said, _ = there.communicate(timeout=LIMIT)
    assert there.returncode == 0 and json.loads(said)["echoed"] > 0 and json.loads(said)["garbage"] == 0, said


def loss_is_found(ends):
    a, b = ends.between("loss=20%,seed=3")
    code, result, _ = ends.run("--device", a, "--to", b, "--name", "a", "--to-name", "b", seconds=2)
    assert code == 1 and result["failed"] >= 2, result
    for to in "a", "b":
        expect(result, "loss", "failed", "%", to)
    for way in result["directions"]:
        assert 0 < 1 - way["arrived"] / way["sent"] < 0.5, way
    expect(result, "mtu", "passed", "1500", "a")
    expect(result, "checksums received", "passed")


def a_smaller_mtu_is_found(ends):
    a, b = ends.between("mtu=1500", mtu=9000)
    code, result, _ = ends.run("--device", a, "--to", b, "--mtu", "9000", "--name", "a", "--to-name", "b")
    assert code == 1, result
    for to in "a", "b":
        expect(result, "mtu", "failed", "the path's mtu is 9000, and no datagram longer than 1472 bytes arrives: a switch", to)
        expect(result, "loss", "passed", to=to)
        expect(result, "rate", "passed" if verdict(result, "rate", to)[0] == "passed" else "warned", "1472 bytes", to)


def the_peer_s_mtu_is_named(ends):
    ends.between("mtu=1400", mtu=9000)
    ends.answer(ends.memif(0, "client", "b"), "--mtu", "1400")
    code, result, _ = ends.run("--device", ends.memif(0, "client", "a"), *HERE, "--mtu", "9000", "--name", "here")
    assert code == 1, result
    expect(result, "mtu", "failed", "9000 here and 1400 at the other end: nothing longer than 1372 bytes", "peer")


def damage_is_found(ends):
    """UDP over IPv4 has no checksum: the hash finds what the header's does not cover. Over IPv6 all of it is found."""
    a, b = ends.between("corrupt=20%,seed=9")
    code, result, _ = ends.run("--device", a, "--to", b)
    assert code == 1, result
    expect(result, "damage", "failed", "damaged")
    code, result, _ = ends.run("--device", a, "--to", b, "--local", "fd00::1", "--peer", "fd00::2")
    assert code == 1, result
    assert sum(way["wrong_checksums"] for way in result["directions"]) > 0, result
    expect(result, "loss", "failed", "came with a wrong checksum")


def nobody_is_there(ends):
    code, result, _ = ends.run("--device", ends.memif(0, "client", "s"), *HERE)
    assert code == 1, result
    expect(result, "link", "failed", "is the cable in")
    expect(result, "loss", "not tried", "there is no link")


def another_vlan_is_no_neighbour(ends):
    ends.answer(ends.memif(0, "server", "s"), "--vlan", "7")
    code, result, _ = ends.run("--device", ends.memif(0, "client", "s"), *HERE, "--vlan", "8")
    assert code == 1, result
    expect(result, "link", "passed")
    expect(result, "neighbour", "failed", "another network or VLAN (8 here)")


def a_port_in_use_is_refused(ends):
    device = ends.memif(0, "server", "s")
    ends.answer(device)
    code, _, words = ends.run("--device", device, *HERE)
    assert code == 3 and "another" in words, (code, words)


def catches(process, number):
    with open(f"/proc/{process.pid}/status") as file:
        mask = next(line for line in file if line.startswith("SigCgt")).split()[1]
    return int(mask, 16) >> number - 1 & 1


def interrupted_it_ends_well(ends):
    ends.answer(ends.memif(0, "server", "s"))
    process = ends.start(ends.program, "--json", "--seconds", "60", "--device", ends.memif(0, "client", "s"), *HERE)
    wait_for(lambda: catches(process, signal.SIGINT))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said, words = process.communicate(timeout=LIMIT)
    result = json.loads(said)
    assert process.returncode == 1 and result["interrupted"] and result["failed"] == 0, (said, words)
    expect(result, "queues", "not tried", "interrupted")


def wrong_usage(ends):
    for arguments, words in (([], "--device is missing"), (["--device", "x"], "--local and --peer"),
                             (["--device", "x", *HERE, "--mtu", "90000"], "--mtu 90000: expected 576 to 9600"),
                             (["--device", "x", *HERE, "--mac", "03:00:00:00:00:01"], "the address of a card"),
                             (["--device", "x", *HERE, "--peer-mac", "02:00:00:00:00"], "the address of a card"),
                             (["--device", "x", "--local", "10.0.0.300"], "expected an IP address"),
                             (["--device", "x", "--local", "fd00::1", "--peer", "10.0.0.1"], "one version"),
                             (["--device", "x", "--to", "y", "--shared"], "--to"),
                             (["--device", "x", *HERE, "--cpus", "2"], "two numbers"),
                             (["--device", "x", *HERE, "more"], "more: expected options only")):
        done = subprocess.run([ends.program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and words in done.stderr, (arguments, done)
    done = subprocess.run([ends.program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--answer" in done.stdout


# In namespaces: this program again, with one of these names and --inside.

def shell(*lines):
    for line in lines:
        subprocess.run(line, shell=True, check=True)


def veth_pair(ends):
    shell("ip link add one type veth peer name two", "ip link set one up", "ip link set two up")
    device = "net_af_packet{},iface={}"
    ends.answer(device.format(0, "two"))
    code, result, _ = ends.run("--device", device.format(0, "one"), *HERE)
    assert result["mode"] == "peer", result
    expect(result, "loss", "passed", to="peer")
    expect(result, "mtu", "passed", "1500", to="peer")
    code, _, words = ends.run("--device", device.format(0, "two"), *HERE)
    assert code == 3 and "iface=two: causeway-port" in words and "has a port on it" in words, (code, words)


def the_mode_of_xdp_is_told(ends):
    shell("ip link add one type veth peer name two", "ip link set one up", "ip link set two up")
    ends.answer("net_af_packet0,iface=two")
    code, result, words = ends.run("--device", "net_af_xdp0,iface=one", *HERE)
    if code != 0 and not result:
        raise AssertionError(words)
    said = verdict(result, "link")[1]
    assert ", XDP native" in said or ", XDP generic" in said, said
    assert "each frame copied" in said or "zero-copy" in said, said
    expect(result, "loss", "passed", to="peer")


def echo_of_a_kernel(ends):
    """At the other end of the pair is a namespace that knows no program of ours."""
    holder = ends.start("unshare", "-n", "sh", "-c", "echo here; sleep 1000")
    holder.stdout.readline()
    shell("ip link add one type veth peer name two", f"ip link set two netns {holder.pid}", "ethtool -K one tx off > /dev/null",
          f"nsenter -t {holder.pid} -n sh -c 'ethtool -K two tx off > /dev/null; ip link set two up; ip addr add 10.0.0.2/24 dev two; "
          "ip addr add fd00::2/64 dev two nodad; ip addr add 10.9.0.2/32 dev two'", "ip link set one up")
    for addresses in HERE, ["--local", "fd00::1", "--peer", "fd00::2"]:
        code, result, _ = ends.run("--device", "net_af_packet0,iface=one", *addresses)
        assert code == 0 and result["mode"] == "echo", result
        expect(result, "other end", "warned", "only echo")
        expect(result, "echo of the peer", "passed", "of 100 lost")
        expect(result, "rate", "not tried", "--answer at the other end")
    code, result, _ = ends.run("--device", "net_af_packet0,iface=one", "--local", "10.0.0.1", "--peer", "10.9.0.9",
                               "--gateway", "10.0.0.2")
    assert code == 1, result
    expect(result, "echo of the gateway", "passed")
    expect(result, "echo of the peer", "failed", "none of")


def nobody_on_the_link(ends):
    shell("ip link add one type veth peer name two", "ip link set one up", "ip link set two up")
    code, result, _ = ends.run("--device", "net_af_packet0,iface=one", *HERE)
    assert code == 1, result
    expect(result, "neighbour", "failed", "nobody answers for 10.0.0.2")


def devices_that_compute(ends):
    """net_tap computes and looks at checksums behind the same flags as a card; a bridge joins two."""
    shell("ip link add hub type bridge", "ip link set hub up")
    for version, addresses in (4, []), (6, ["--local", "fd00::1", "--peer", "fd00::2"]):
        process = ends.start(ends.program, "--json", "--seconds", "1", "--device", f"net_tap0,iface=one{version}", "--to",
                             f"net_tap1,iface=two{version}", "--mac", "02:00:00:00:00:0a", "--peer-mac", "02:00:00:00:00:0b",
                            *addresses)  # the bridge keeps what is for the interfaces' own addresses
        for name in f"one{version}", f"two{version}":
            wait_for(lambda n=name: os.path.exists(f"/sys/class/net/{n}") or process.poll() is not None)
            if process.poll() is not None:
                raise AssertionError(process.stderr.read())
            shell(f"ip link set {name} master hub", f"ip link set {name} up")
        said, words = process.communicate(timeout=LIMIT)
        assert said, words
        result = json.loads(said)
        expect(result, "link", "passed", "checksums by the device")
        assert "is being asked" not in verdict(result, "link")[1], result  # of an IPv6 address that is new
        for to in "net_tap0", "net_tap1":
            expect(result, "checksums sent", "passed", "the device's are right", to)
            expect(result, "checksums received", "passed", "none of 256 wrong ones is called right", to)


TESTS = (two_ports, a_peer_that_answers, loss_is_found, a_smaller_mtu_is_found, the_peer_s_mtu_is_named, damage_is_found,
         nobody_is_there, another_vlan_is_no_neighbour, a_port_in_use_is_refused, interrupted_it_ends_well, wrong_usage)
INSIDE = (veth_pair, the_mode_of_xdp_is_told, echo_of_a_kernel, nobody_on_the_link, devices_that_compute)


def run_inside(program, wanem, name):
    probe = subprocess.run(["unshare", "-n", "-m", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"],
                           capture_output=True, check=False)
    if probe.returncode != 0:
        raise Skipped("no network namespaces with a veth pair can be had here (needs root and ip)")
    if name == "devices_that_compute" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skipped("no tap devices can be had here (needs /dev/net/tun)")
    subprocess.run(["unshare", "-n", "-m", sys.executable, os.path.abspath(__file__), program, wanem, "--inside", name], check=True)


def main():
    program, wanem, *names = sys.argv[1:]
    if names[:1] == ["--inside"]:
        shell("mount --make-rprivate /", "mount -t sysfs sysfs /sys", "ip link set lo up")
        with Ends(program, wanem) as ends:
            next(test for test in INSIDE if test.__name__ == names[1])(ends)
        return
    for test in TESTS + INSIDE:
        if names and test.__name__ not in names:
            continue
        began = time.monotonic()
        try:
            if test in INSIDE:
                run_inside(program, wanem, test.__name__)
            else:
                with Ends(program, wanem) as ends:
                    test(ends)
            print(f"passed {test.__name__} ({time.monotonic() - began:.0f} s)", flush=True)
        except Skipped as why:
            print(f"skipped: {why}", flush=True)


if __name__ == "__main__":
    main()
