#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The program that runs the lab tests: which it finds, that two of one name are refused, and what its last lines tell."""
import contextlib
import importlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cuts  # noqa: E402
import lab_test  # noqa: E402
from lab import Lab  # noqa: E402


class Runner(unittest.TestCase):
    def module(self, name, source):
        with open(os.path.join(self.folder, f"{name}.py"), "w") as f:
            f.write(source)
        importlib.invalidate_caches()
        self.addCleanup(sys.modules.pop, name, None)
        return importlib.import_module(name)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="cw-runner-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        sys.path.insert(0, self.folder)
        self.addCleanup(sys.path.remove, self.folder)

    def test_collects_what_a_module_defines(self):
        one = self.module("runner_one", "def test_a(build):\n    return 'a'\n\n\ndef helper():\n    pass\n")
        two = self.module("runner_two", "from runner_one import test_a, helper\n\n\ndef test_b(build):\n    return 'b'\n")
        tests = lab_test.collect([one, two])
        self.assertEqual({"a", "b"}, set(tests))
        self.assertEqual("b", tests["b"](""))

    def test_refuses_two_of_one_name(self):
        source = "def test_a(build):\n    return 'a'\n"
        apart = [self.module("runner_here", source), self.module("runner_there", source)]
        together = [self.module("runner_twice", source + source)]
        for modules, words in ((apart, "a: in runner_here.py and in runner_there.py"), (together, "a: in runner_twice.py")):
            with self.assertRaises(SystemExit) as refused:
                lab_test.collect(modules)
            self.assertIn(words, str(refused.exception))

    def test_summary_is_one_line_each(self):
        lines = lab_test.summary([("a", None), ("b", "first\nsecond"), ("c", "x" * 1000)], "lab tests")
        self.assertEqual(["1 of 3 lab tests passed", "failed: b: first second"], lines[:2])
        self.assertEqual(3, len(lines))
        self.assertTrue(lines[2].startswith("failed: c: xxx") and lines[2].endswith("...") and len(lines[2]) < 400)

    def test_reason_of_one_that_failed(self):
        def fails(build):
            raise lab_test.Failed("why")

        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual("why", lab_test.run_one("", "a", fails))
            self.assertIsNone(lab_test.run_one("", "a", lambda build: "told"))

    def test_second_attempts(self):
        """Of few, and never where a promise was broken."""
        ran = []

        def run(names):
            ran.extend(names)
            return [(name, "again" if name == "bad" else None) for name in names]

        few = [("good", None), ("slow", "waited"), ("bad", "waited")]
        self.assertEqual(([("good", None), ("slow", None), ("bad", "again")], [("slow", "waited")]),
                         lab_test.second_attempts(few, run))
        self.assertEqual(["slow", "bad"], ran)
        many = [(str(i), "waited") for i in range(lab_test.ATTEMPTS_EXCUSED_MAX + 1)]
        self.assertEqual((many, []), lab_test.second_attempts(many, run))
        lost = [("slow", "waited"), ("lost", self.broken())]
        self.assertEqual((lost, []), lab_test.second_attempts(lost, run))
        self.assertEqual(["slow", "bad"], ran)
        self.assertEqual(["1 of 1 lab tests passed, 1 at the second attempt", "second attempt: slow: waited"],
                         lab_test.summary([("slow", None)], "lab tests", [("slow", "waited")]))

    def broken(self):
        def loses(build):
            raise lab_test.Broken("lost")

        with contextlib.redirect_stdout(io.StringIO()):
            return lab_test.run_one("", "lost", loses)

    def test_failed_assert_is_found(self):
        lab = Lab(os.path.join(self.folder, "no-build"))
        self.addCleanup(shutil.rmtree, lab.dir)
        self.assertEqual("", lab.asserts())
        os.mkdir(os.path.join(lab.dir, "east"))
        with open(os.path.join(lab.dir, "east", "engine.log"), "w") as f:
            f.write("starts\ncauseway: bug: a.c:1: x == y\n")
        self.assertIn("a.c:1: x == y", lab.asserts())

    def test_nothing_stays_of_a_lab_without_programs(self):
        lab = Lab(os.path.join(self.folder, "no-build"))
        self.assertTrue(os.path.isdir(lab.dir))
        with self.assertRaises(FileNotFoundError), lab:
            self.fail("it was brought up")
        self.assertFalse(os.path.exists(lab.dir))

    def test_program(self):
        """No build: all fail, each in its own process, and the tail tells."""
        p = subprocess.run([sys.executable, lab_test.__file__, os.path.join(self.folder, "no-build"), "idle", "odd_sizes"],
                           capture_output=True, text=True, timeout=100)
        lines = p.stdout.splitlines()[-3:]
        self.assertEqual((1, "0 of 2 lab tests passed"), (p.returncode, lines[0]), p.stdout + p.stderr)
        self.assertTrue(lines[1].startswith("failed: idle: ") and "no-build" in lines[1], lines)
        self.assertTrue(lines[2].startswith("failed: odd_sizes: ") and "no-build" in lines[2], lines)
        p = subprocess.run([sys.executable, lab_test.__file__, "build", "no_such_test"], capture_output=True, text=True, timeout=100)
        self.assertEqual(2, p.returncode)
        self.assertIn("no such test: no_such_test (there are: ", p.stderr)


class Cuts(unittest.TestCase):
    """Which ways cuts.py goes through."""

    def test_parts_are_all_of_them(self):
        every = set(range(cuts.WAYS))
        parts = [cuts.chosen(f"{i}/3", 1, every, set()) for i in (1, 2, 3)]
        self.assertEqual(sorted(every), sorted(sum(parts, [])))

    def test_some_by_number(self):
        self.assertEqual({3, 10, 11, 12}, cuts.numbers_of("3,10-12"))
        self.assertEqual({3, 10, 11, 12}, set(cuts.chosen("1/1", 1, cuts.numbers_of("3,10-12"), set())))
        with self.assertRaises(ValueError):
            cuts.numbers_of(f"{cuts.WAYS}")

    def test_goes_on_where_it_was(self):
        every = set(range(cuts.WAYS))
        order = cuts.chosen("1/1", 1, every, set())
        path = os.path.join(tempfile.gettempdir(), f"cw-passed-{os.getpid()}")
        self.assertEqual(set(), cuts.passed_before(path))
        self.addCleanup(os.unlink, path)
        with open(path, "w") as f:
            f.writelines(f"{n}\n" for n in order[:100])
        self.assertEqual(order[100:], cuts.chosen("1/1", 1, every, cuts.passed_before(path)))


if __name__ == "__main__":
    unittest.main()
