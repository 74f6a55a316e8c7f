#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The frames of an opened capture in a real tshark: test_opened.py TEST_KEY_LOG. That program captures two sessions
and says which frames it sent; the dissector must show those, and nothing malformed."""

import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
import capture  # noqa: E402

OPENED_TAG = b"causeway: opened"
HEAD = struct.pack("<BBBBIQQQ", 4, 1, 2, 1, 0x34333231, 7, 0x1817161514131211, 99)
ACK = struct.pack("<BBHIQIIII", 1, 2 | 1 << 6, 3, 25000, 1000, 0, 10, 5, 1)
CREDIT = struct.pack("<B7xQQQ", 2, 11, 12, 13)
RECOVERED = struct.pack("<BBH4xQII", 6, 2, 2, 100, 3, 0)
DATA = struct.pack("<BBHIIIQ", 5, 1, 96, 4096, 0, 0x34333231, 7) + HEAD + bytes(64)

PROBE = b"\7" + bytes(99)


def opened(kind, payload):
    psp = struct.pack(">BBBBIQ", 254, 1, 6, 5, 77, 5)
    return psp + struct.pack("<BBHIHBBIQ", 3 << 4 | kind, 1, 77, 0, len(payload), 0, 0, 0, 0) + payload + OPENED_TAG


class Opened(unittest.TestCase):
    program = ""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-opened-")
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def test_a_session(self):
        environment = os.environ | {"CW_KEEP_IN": self.folder.name}
        done = subprocess.run([self.program], env=environment, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        frames = (self.path / "frames.txt").read_text().split("\n")[:-1]
        rows = capture.fields(self.path / "opened.pcap",
                              ["causeway.frame", "causeway.type", "causeway.fec.symbol", "causeway.malformed",
                               "causeway.sealed", "causeway.spi", "causeway.offer.spi"])
        self.assertEqual(len(rows), len(frames))
        for row, expected in zip(rows, frames):
            self.assertEqual(row["causeway.frame"], expected)
            self.assertEqual(row["causeway.malformed"] + row["causeway.sealed"], "")
            self.assertEqual(row["causeway.fec.symbol"] != "", row["causeway.type"] == "4")

        spis = [row["causeway.spi"] for row in rows if row["causeway.spi"] != "0x00000000"]
        offers = {row["causeway.offer.spi"] for row in rows} - {""}
        self.assertLessEqual(set(spis[:10]), offers)
        self.assertGreater(len(set(spis) - offers), 2, "keys were replaced")

    def test_every_field(self):
        file = self.path / "made.pcap"
        capture.write(file, [opened(1, ACK + CREDIT + RECOVERED + DATA), opened(2, b"\3" + bytes(7) + b"\4\5" + bytes(6) + PROBE)])
        expected = {
            "frame": "1,2,6,5", "ack.ranges": "2", "path": "1,0", "ack.marked": "3", "ack.delay": "25000", "ack.largest": "1000",
            "ack.range": "991..1000,985..985", "credit": "11,12,13", "recovered": "97,100", "recovered.early": "0x0002", "data.has_group": "1",
            "data.head_length": "96", "data.body_length": "4096", "data.offset": "0", "data.group": str(0x34333231),
            "data.epoch": "7", "message": "4", "message.version": "1", "message.from_site": "2",
            "message.flags": "0x01", "message.reign": "0x1817161514131211", "message.serial": "99",
        }
        rows = capture.fields(file, ["causeway." + name for name in expected] + ["causeway.close.why", "causeway.malformed"])
        for name, value in expected.items():
            self.assertEqual(rows[0]["causeway." + name], value, name)
        self.assertEqual(rows[1]["causeway.frame"], "3,4,7")
        self.assertEqual(rows[1]["causeway.close.why"], "5")
        self.assertEqual([row["causeway.malformed"] for row in rows], ["", ""])

    def test_cut_and_changed_frames(self):
        """Any beginning of a payload, and any byte of it changed: shown or called malformed, no error of Lua."""
        whole = ACK + CREDIT + RECOVERED + DATA
        payloads = [opened(1, whole[:length]) for length in range(len(whole))]
        payloads += [opened(1, whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1:]) for at in range(len(whole))]
        payloads += [opened(1, bytes([kind]) + bytes(length)) for kind in range(8) for length in range(40)]
        file = self.path / "made.pcap"
        capture.write(file, payloads)
        rows = capture.fields(file, ["causeway.malformed"])
        self.assertEqual(len(rows), len(payloads))
        ends = {0, len(ACK), len(ACK + CREDIT), len(ACK + CREDIT + RECOVERED)}
        for length, row in enumerate(rows[:len(whole)]):
            is_data = length > len(ACK + CREDIT + RECOVERED) + 24
            self.assertEqual(row["causeway.malformed"] == "", length in ends or is_data, length)
        capture.tshark(file, "-V")


if __name__ == "__main__":
    if not capture.have_tshark():
        print("skipped: the dissector and opened captures: there is no tshark")
        sys.exit(77)
    Opened.program = sys.argv.pop(1)
    unittest.main()
