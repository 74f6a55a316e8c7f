# SPDX-License-Identifier: BSD-3-Clause
"""A stranger on the wire between two sites: noise, lies, captured datagrams again and turned round.
Imported by lab_test.py."""
import ctypes
import os
import random
import select
import socket
import struct
import threading
import time

import load
from lab import Failed, Lab, expect, group, may_make_namespaces

LIBC = ctypes.CDLL(None, use_errno=True)
ETH_P_ALL = 3
MACS = {"east": bytes.fromhex("02ca00000001"), "west": bytes.fromhex("02ca00000002")}
IPS = {"east": bytes([10, 77, 0, 1]), "west": bytes([10, 77, 0, 2])}
PORT = 7400


def in_space(space, make):
    """What make returns, such as a socket, of another network namespace; this thread is back in its own afterwards."""
    with open("/proc/thread-self/ns/net") as own, open(f"/var/run/netns/{space}") as there:
        expect(LIBC.setns(there.fileno(), 0) == 0, f"cannot enter {space}")
        try:
            return make()
        finally:
            expect(LIBC.setns(own.fileno(), 0) == 0, "cannot come back")


def packet_socket(space, interface):
    """A raw socket on an interface of another network namespace."""
    def make():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.bind((interface, 0))
        return s
    return in_space(space, make)


def checksum(header):
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def frame(site, payload, source=None, lie=None):
    """An Ethernet frame with a datagram to a site, as from the other; `lie` spoils one thing."""
    other = "west" if site == "east" else "east"
    length = 8 + len(payload) + (100 if lie == "length" else 0)
    fragment = 0x2000 if lie == "fragment" else 0x4000
    fields = [0x45, 0, 20 + length, 0, fragment, 64, 17, 0, source or IPS[other], IPS[site]]
    fields[7] = checksum(struct.pack("!BBHHHBBH4s4s", *fields)) ^ (0x55 if lie == "checksum" else 0)
    udp = struct.pack("!HHHH", PORT, PORT + 1 if lie == "port" else PORT, length, 0)
    return MACS[site] + MACS[other] + b"\x08\x00" + struct.pack("!BBHHHBBH4s4s", *fields) + udp + payload


def packet(spi, iv, body, kind=1, stream=1):
    """A datagram of the right shape (transport/PROTOCOL.md)."""
    return struct.pack("!BBBBIQ", 254, 1, 6, 5, spi, iv) + struct.pack("<BBHIHBBIQ", 0x30 | kind, 0, spi & 0xFFFF, 0,
                                                                      len(body) - 16, stream, 0, 0, 0) + body


class Wire:
    """Both ends of the veth pair: sends to a site, and keeps what each site sent."""

    def __init__(self, lab):
        tag = lab.settings()["tag"]
        self.ends = {"east": packet_socket(f"cw{tag}-west", f"cw{tag}b0"),
                     "west": packet_socket(f"cw{tag}-east", f"cw{tag}a0")}
        self.sent = {"east": [], "west": []}  # frames that a site sent, as they came to the other end
        self.thrown = set()  # by us: they come to the other end as well
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        sender = {s.fileno(): (site, s) for site, s in self.ends.items()}
        while not self.stopping.is_set():
            for fd in select.select(list(sender), [], [], 0.1)[0]:
                site, s = sender[fd]
                data, about = s.recvfrom(65536)
                if about[2] != socket.PACKET_OUTGOING and data not in self.thrown:
                    self.sent[site].append(data)

    def close(self):
        self.stopping.set()
        self.thread.join(60)
        for s in self.ends.values():
            s.close()

    def throw(self, site, frames):
        self.thrown.update(frames)
        for i, f in enumerate(frames):
            self.ends[site].send(f)
            if i % 32 == 31:
                time.sleep(0.002)  # rings of a few hundred frames: what is lost there attacks nobody


def is_handshake(f):
    return len(f) == 42 + 256 and f[46:50] == bytes(4)


def counters(lab, site):
    path = lab.rpc(site, "status")["paths"][0]
    return {k: v for k, v in path["counters"].items() if k.startswith("drop")}


def attack(lab, wire, site, what, frames, reasons):
    """Throws frames at a site; more than half of them must be counted under one of the reasons."""
    before = counters(lab, site)
    wire.throw(site, frames)

    def counted():
        now = counters(lab, site)
        grown = {k: now[k] - before.get(k, 0) for k in now if now[k] > before.get(k, 0)}
        return sum(grown.get(r, 0) for r in reasons) > len(frames) // 2 and grown
    try:
        return lab.wait(f"{what} is counted", counted)
    except Failed:
        now = counters(lab, site)
        raise Failed(f"{site}: {what}, {len(frames)} frames: not counted as {reasons}, but "
                     f"{ {k: now[k] - before.get(k, 0) for k in now if now[k] != before.get(k, 0)} }") from None


def noise(rng, site, count=600):
    """What needs no capture: (words, frames, reasons)."""
    pick = lambda low, high: rng.randbytes(rng.randrange(low, high))
    other = bytes([10, 99, 0, 1])
    yield "noise", [pick(14, 1500) for _ in range(count)], ["drop_not_ours"]
    yield "noise to us", [MACS[site] + pick(8, 1400) for _ in range(count)], ["drop_not_ours", "drop_bad_length"]
    yield "a stranger's address", [frame(site, pick(56, 1400), other) for _ in range(count)], ["drop_not_ours"]
    yield "another port", [frame(site, pick(56, 1400), lie="port") for _ in range(count)], ["drop_not_ours"]
    yield "a bad checksum", [frame(site, pick(56, 1400), lie="checksum") for _ in range(count)], ["drop_checksum"]
    yield "a fragment", [frame(site, pick(56, 1400), lie="fragment") for _ in range(count)], ["drop_ip_fragment"]
    yield "a length that lies", [frame(site, pick(56, 1300), lie="length") for _ in range(count)], ["drop_bad_length"]
    yield "short ones", [frame(site, pick(0, 56)) for _ in range(count)], ["drop_short"]
    yield "noise in a datagram", [frame(site, pick(56, 1400)) for _ in range(count)], ["drop_format"]
    yield "unknown sessions", [frame(site, packet(rng.getrandbits(32) | 1, i + 1, pick(16, 1300)))
                               for i in range(count)], ["drop_unknown_spi"]
    yield "forged handshakes", [frame(site, packet(0, 0, pick(216, 217), 3, rng.randrange(1, 5)))
                                for i in range(count)], ["drop_handshake", "drop_handshake_flood"]


def captured(rng, wire, site):
    """What a site that listened can do: datagrams to the site again, spoilt, cut short, and its own turned round."""
    other = "west" if site == "east" else "east"
    to_site, from_site = list(wire.sent[other]), list(wire.sent[site])
    sealed = [f for f in to_site if len(f) > 98 and not is_handshake(f)][-600:]
    expect(len(sealed) > 100, f"{len(sealed)} datagrams to {site} were captured")
    spoil = lambda f: f[:-20] + bytes([f[-20] ^ 1 << rng.randrange(8)]) + f[-19:]
    later = lambda f: f[:50] + struct.pack("!Q", struct.unpack("!Q", f[50:58])[0] + rng.randrange(10**6, 10**9)) + f[58:]
    yield "again", sealed, ["drop_replay", "drop_unknown_spi"]
    yield "again, a bit changed", [spoil(f) for f in sealed], ["drop_replay", "drop_bad_tag", "drop_unknown_spi"]
    yield "again, as if later", [later(f) for f in sealed], ["drop_bad_tag", "drop_unknown_spi"]
    yield "cut short", [frame(site, f[42:42 + rng.randrange(len(f) - 42)]) for f in sealed], ["drop_format", "drop_short"]
    yield "its own", [frame(site, f[42:]) for f in from_site[-600:] if not is_handshake(f)], ["drop_unknown_spi"]


def answers(wire, site, since):
    return [f for f in wire.sent[site][since:] if is_handshake(f)]


def handshakes_again(lab, wire, site):
    """Every handshake that was ever seen, both ways, many times: never an answer more than questions, none longer."""
    other = "west" if site == "east" else "east"
    seen = [f[42:] for f in wire.sent[other] + wire.sent[site] if is_handshake(f)]
    expect(len(seen) >= 4, f"{len(seen)} handshakes were captured")
    asked = [frame(site, f) for f in seen] * (600 // len(seen))
    since = len(wire.sent[site])
    wire.throw(site, asked)
    time.sleep(0.5)
    got = answers(wire, site, since)
    expect(len(got) <= len(asked), f"{len(got)} answers to {len(asked)} handshakes")
    return len(got)


def no_answer_elsewhere(wire, site):
    other = "west" if site == "east" else "east"
    head = MACS[other] + MACS[site] + b"\x08\x00"
    for f in wire.sent[site]:
        # the kernel of a namespace may speak on its own (IPv6 router solicitation); the engine only to its peer
        if f[12:14] != b"\x86\xdd":
            expect(f[:14] == head and f[30:34] == IPS[other], f"{site} sent to a stranger: {f[:42].hex()}")


def attacked(build, use_af_packet):
    with Lab(build, link="veth") as lab:
        if use_af_packet:  # every frame can be captured there
            for site in ("east", "west"):
                lab.run("lab", "kill", site)
                config = f"{lab.dir}/lab/{site}/node.yaml"
                with open(config) as f:
                    text = f.read()
                with open(config, "w") as f:
                    f.write(text.replace("net_af_xdp", "net_af_packet").replace(",start_queue=0,queue_count=1", ""))
        wire = Wire(lab)
        try:
            if use_af_packet:
                for site in ("east", "west"):
                    lab.run("lab", "start", site)
            return under_attack(lab, wire, use_af_packet)
        finally:
            wire.close()


def under_attack(lab, wire, use_af_packet):
    group(lab, "db", volumes=(("a", "16M"),))
    w = load.Writer(81).connect([lab.uri("db", "a", "east")])
    w.start()
    lab.wait("traffic", lambda: w.acknowledged > 200)
    pids = {s: lab.pids(s) for s in ("east", "west")}
    rng, told = random.Random(5), 0
    for site in ("east", "west")[:1 + use_af_packet]:
        attacks = list(noise(rng, site)) + (list(captured(rng, wire, site)) if use_af_packet else [])
        for what, frames, reasons in attacks:
            if what == "a fragment" and use_af_packet:
                continue  # the kernel puts together what comes to a packet socket of this kind
            before = w.acknowledged
            attack(lab, wire, site, what, frames, reasons)
            lab.wait(f"writes go on after {what}", lambda: w.acknowledged > before)
            told += len(frames)
        if use_af_packet:
            told += handshakes_again(lab, wire, site)
        no_answer_elsewhere(wire, site)
    lab.wait("in sync", lambda: lab.group("db", "east")["health"] == "protected")
    expect({s: lab.pids(s) for s in ("east", "west")} == pids, "the same processes are there")
    expect(lab.group("db")["epoch"] == 1, "the same reign")
    w.stop()
    expect(w.error is None, f"the writer never noticed: {w.error}")
    lab.run("switchover", "db", "--site", "west")
    load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
    return f"{told} frames, {w.acknowledged} operations"


def test_hostile_wire(build):
    """Noise, lies, forged and captured datagrams at both sites of a veth pair: counted by reason, nobody crashes,
    nobody but the peer gets an answer, replication goes on, nothing is applied that was not written."""
    if not may_make_namespaces():
        print("SKIP: hostile_wire: no right to make network namespaces")
        return "skipped"
    return "; ".join((attacked(build, False), attacked(build, True)))
