#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""causeway.lua in a real tshark: every field of the golden datagrams; what is foreign is left to others; what is
cut short, changed or random gives no error of Lua (capture.tshark fails on one)."""

import pathlib
import random
import sys
import tempfile
import unittest

import capture

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
NAMES = ("datagram_data", "datagram_source", "datagram_control", "datagram_repair", "handshake_hello",
         "handshake_cookie", "handshake_answer", "handshake_confirm", "handshake_carry")


def golden(name):
    return bytes.fromhex((GOLDEN / (name + ".hex")).read_text())


def hex_of(first, length):
    return bytes((first + i) % 256 for i in range(length)).hex()


HELLO_RANDOM, ANSWER_RANDOM, SHARE, COOKIE, CONFIRM = (hex_of(f, 32) for f in (0x10, 0x30, 0x50, 0x70, 0x90))
PSP = {"psp.next_header": "254", "psp.extension": "1", "psp.crypt_offset": "6", "psp.version": "1",
       "psp.sample": "0", "psp.drop": "0", "psp.virtual": "0", "version": "3"}
SEALED = PSP | {"spi": "0x12345678", "session": "0x5678", "ticks": str(0xAABBCCDD), "length": "32",
                "sealed": hex_of(0xB0, 32), "tag": hex_of(0xF0, 16), "kind": "", "mac": ""}
OF_NO_BLOCK = {"fec.repairs": "0", "fec.block": "0", "fec.index": "0"}
HANDSHAKE = PSP | OF_NO_BLOCK | {"type": "3", "spi": "0x00000000", "packet": "0", "mac": hex_of(0xF0, 16), "sealed": "",
                                 "ack_wanted": "0", "retransmission": "0", "lane": "1", "stream": ""}
OFFER = {"offer.paths": "2", "offer.name": "0x8877665544332211,0x0000000000000007", "offer.spi": "0x12345678,0x00000009",
         "offer.datagram_bytes": "1472,8972", "offer.fec_blocks": "64,0", "offer.fec_repairs": "2,0", "offer.window": "4096", "offer.lane": "1", "offer.lane_last": "3",
         "share": SHARE}
EXPECTED = {
    "datagram_data": SEALED | OF_NO_BLOCK | {
        "type": "1", "packet": str(0x0102030405060708), "ack_wanted": "1", "retransmission": "1", "lane": "2", "stream": "2",
        "position": str(0x1122334455667788)},
    "datagram_source": SEALED | {
        "type": "1", "packet": "9", "ack_wanted": "1", "retransmission": "0", "stream": "1", "position": "17",
        "fec.repairs": "2", "fec.block": str(0x123456), "fec.index": "33"},
    "datagram_control": SEALED | OF_NO_BLOCK | {
        "type": "2", "packet": "10", "ack_wanted": "0", "stream": "", "zero": "0", "position": "0"},
    "datagram_repair": SEALED | {
        "type": "4", "packet": "11", "fec.sources": "34", "fec.repairs": "2", "fec.block": str(0x123456),
        "fec.index": "1", "fec.path": "2", "position": "", "stream": ""},
    "handshake_hello": HANDSHAKE | OFFER | {"kind": "1", "hello.random": HELLO_RANDOM, "cookie": COOKIE},
    "handshake_cookie": HANDSHAKE | {"kind": "2", "hello.random": HELLO_RANDOM, "cookie": COOKIE,
                                     "offer.spi": ""},
    "handshake_answer": HANDSHAKE | OFFER | {"kind": "3", "hello.random": HELLO_RANDOM, "answer.random": ANSWER_RANDOM,
                                             "confirm": CONFIRM},
    "handshake_confirm": HANDSHAKE | {"kind": "4", "hello.random": HELLO_RANDOM, "answer.random": ANSWER_RANDOM,
                                      "confirm": CONFIRM},
    "handshake_carry": HANDSHAKE | {"kind": "5", "hello.random": HELLO_RANDOM, "answer.random": ANSWER_RANDOM,
                                    "carry.received": "1200", "carry.offset": "700", "carry.bytes": hex_of(0x16, 9),
                                    "length": "81"},
}
# (where, what byte stands there then) of datagram_data, and what the dissector says of it on its own port
BROKEN = (
    (16, 0x21, "unknown version"),
    (16, 0x30, "unknown type"),
    (16, 0x35, "unknown type"),
    (17, 0x10, "unknown flags"),
    (16, 0x34, "a place in a block, without a block"),
    (31, 1, "a place in a block, without a block"),
    (28, 1, "a place in a block, without a block"),
    (16, 0x33, "SPI and type do not belong together"),
    (24, 31, "its length is not the datagram's"),
    (16, 0x32, "what is to be zero is not"),
)


def changed(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1:]


class Dissector(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-dissector-")
        self.addCleanup(self.folder.cleanup)
        self.file = pathlib.Path(self.folder.name) / "test.pcap"

    def claimed(self, payloads, port, *arguments):
        """Numbers, from 0, of those that the dissector took."""
        capture.write(self.file, payloads, port)
        lines = capture.tshark(self.file, "-Y", "causeway", "-T", "fields", "-e", "frame.number", *arguments)
        return [int(line) - 1 for line in lines]

    def test_every_field(self):
        names = sorted({name for of_one in EXPECTED.values() for name in of_one})
        for port in (7400, 33333):
            capture.write(self.file, [golden(name) for name in NAMES], port)
            rows = capture.fields(self.file, ["causeway." + name for name in names])
            self.assertEqual(len(rows), len(NAMES))
            for name, row in zip(NAMES, rows):
                for field, value in EXPECTED[name].items():
                    self.assertEqual(row["causeway." + field], value, f"{field} of {name}, port {port}")
            self.assertEqual(self.claimed([golden(name) for name in NAMES], port, "-Y", "causeway.malformed"), [])

    def test_foreign_is_left_to_others(self):
        data = golden("datagram_data")
        broken = [changed(data, at, value) for at, value, _ in BROKEN]
        psp = [changed(data, at, data[at] ^ 1) for at in range(4)]
        repair = changed(golden("datagram_control"), 27, 1)
        other = [b"", b"x", b"x" * 100, data[:-1], data + b"x", data[:40], data[:3]]
        self.assertEqual(self.claimed(broken + psp + other + [repair], 33333), [])
        self.assertEqual(self.claimed(psp + other[:3], 7400), [])

    def test_broken_ones_on_our_port(self):
        data = golden("datagram_data")
        payloads = [changed(data, at, value) for at, value, _ in BROKEN]
        reasons = [reason for _, _, reason in BROKEN]
        payloads += [data[:55], changed(golden("handshake_hello"), 26, 9), changed(golden("datagram_control"), 27, 1)]
        reasons += ["Shorter than headers and tag", "Unknown handshake message",
                    "of a block, but neither data nor a repair"]
        hello = golden("handshake_hello")
        payloads.append(hello[:24] + bytes([199]) + hello[25:-1])
        reasons.append("No HELLO has this length")
        capture.write(self.file, payloads)
        rows = capture.fields(self.file, ["_ws.expert.message"])
        self.assertEqual(len(rows), len(reasons))
        for row, reason in zip(rows, reasons):
            self.assertIn(reason, row["_ws.expert.message"])

    def test_preferences(self):
        data = golden("datagram_data")
        off = ("-o", "causeway.heuristic:FALSE")
        both = [(data, 7400), (data, 9000), (data[:60], 9000)]
        self.assertEqual(self.claimed(both, 0), [0, 1])
        self.assertEqual(self.claimed(both, 0, *off), [0])
        self.assertEqual(self.claimed(both, 0, *off, "-o", "causeway.ports:9000-9001"), [1, 2])

    def test_cut_ones(self):
        """Captured short of what was on the wire: what was captured is shown, nothing complains."""
        headers = 28  # of IP and UDP
        cuts = [(name, cut) for name in NAMES for cut in range(4, len(golden(name)))]
        capture.write(self.file, [(golden(name), 7400, headers + cut) for name, cut in cuts])
        rows = capture.fields(self.file, ["causeway.spi", "causeway.cut"])
        self.assertEqual(len(rows), len(cuts))
        for (name, cut), row in zip(cuts, rows):
            self.assertEqual(row["causeway.spi"], EXPECTED[name]["spi"] if cut >= 40 else "")
            self.assertEqual(row["causeway.cut"], "1")
        capture.tshark(self.file, "-V")

    def test_garbage(self):
        rng = random.Random(7)
        payloads = []
        for name in NAMES:
            data = golden(name)
            payloads += [data[:length] for length in range(len(data))]
            payloads += [changed(data, at, data[at] ^ 1 << rng.randrange(8)) for at in range(48)]
        for _ in range(500):
            payloads.append(bytes.fromhex("fe010605") + rng.randbytes(rng.randrange(400)))
        capture.write(self.file, payloads)
        lines = capture.tshark(self.file, "-V")
        self.assertGreater(sum("Causeway datagram" in line for line in lines), len(payloads) // 2)


if __name__ == "__main__":
    if not capture.have_tshark():
        print("skipped: the dissector: there is no tshark")
        sys.exit(77)
    unittest.main()
