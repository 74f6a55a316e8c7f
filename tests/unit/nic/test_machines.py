#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every description of a machine becomes a folder whose links lead somewhere and whose answers are JSON."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import expand # pylint: disable=wrong-import-position

MACHINES = sorted((pathlib.Path(__file__).parent / "machines").glob("*.machine"))


class Machines(unittest.TestCase):
    def tree(self, text, beside=MACHINES[0].parent):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name).resolve() / "root"
        with tempfile.NamedTemporaryFile("w", dir=folder.name, suffix=".machine") as file:
            file.write(text)
            file.flush()
            machine = pathlib.Path(file.name)
            if beside != machine.parent:
                for name in ("pci.ids", "pmds.json"):
                    (machine.parent / name).write_text((beside / name).read_text())
            expand.expand(machine, root)
        return root

    def test_every_description(self):
        self.assertGreaterEqual(len(MACHINES), 4)
        for machine in MACHINES:
            with self.subTest(machine.name):
                root = self.tree(machine.read_text())
                found = list(root.rglob("*"))
                self.assertEqual([], [str(path) for path in found if path.is_symlink() and not path.exists()])
                self.assertEqual([], [str(path) for path in found
                                      if root not in path.resolve().parents], "a link that leaves the folder")
                for path in (root / "answers").iterdir():
                    if machine.stem != "absurd" and os.access(path, os.R_OK):
                        json.loads(path.read_text())

    def test_statements(self):
        root = self.tree("# a comment\n/proc/value 7\n/sys/devices/pci0/block\n    one\n      two\n\n    three\n"
                         "/sys/empty/\npci 0000:01:00.0 below pci0000:00\n    vendor 0x1234\n    driver ice\n"
                         "    physfn -> /sys/empty\n/sys/short -> 0000:01:00.0\n"
                         "cpus 0-1,4-5 cores 0-1,0-1 node 0 package 0\noffline 5\n/answers/ip-link.json []\n")
        self.assertEqual("[]\n", (root / "answers/ip-link.json").read_text())
        self.assertEqual("7\n", (root / "proc/value").read_text())
        self.assertEqual("one\n  two\n\nthree\n", (root / "sys/devices/pci0/block").read_text())
        self.assertTrue((root / "sys/empty").is_dir())
        device = root / "sys/devices/pci0000:00/0000:01:00.0"
        self.assertEqual(device, (root / "sys/short").resolve())
        self.assertEqual(root / "sys/empty", (device / "physfn").resolve())
        self.assertEqual(device, (root / "sys/bus/pci/drivers/ice/0000:01:00.0").resolve())
        self.assertEqual("../../../devices/pci0000:00/0000:01:00.0",
                         str((root / "sys/bus/pci/devices/0000:01:00.0").readlink()))
        cpu = root / "sys/devices/system/cpu"
        self.assertEqual("0-1,4\n", (cpu / "online").read_text())
        self.assertEqual("0,4\n", (cpu / "cpu4/topology/thread_siblings_list").read_text())
        self.assertEqual("1\n", (cpu / "cpu1/topology/thread_siblings_list").read_text())
        self.assertFalse((cpu / "cpu5/topology").exists())

    def test_a_mistake_is_told_with_its_line(self):
        for text, words in (("/proc/a 1\nnonsense 2\n", ".machine:2: nonsense 2"),
                            ("cpus 0-3 cores 0-1 node 0 package 0\n", ".machine:1: "),
                            ("/sys/x -> 0000:09:00.0\n", ".machine:1: ")):
            with self.assertRaises(SystemExit) as caught:
                self.tree(text)
            self.assertIn(words, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
