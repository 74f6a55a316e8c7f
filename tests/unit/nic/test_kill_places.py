#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The guest test of kills: in which step a run was killed, by the log of what it had changed, and which kills it chooses."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "guest"))
import test_kills  # noqa: E402

JOURNAL = "pwrite /var/lib/causeway/nic/journal "
APPLY = ["mkdir  /var", JOURNAL + '{"begin":0,"kind":"bind","subject":"0000:00', "write a", "write b", JOURNAL + '{"done":0,"sum"',
         JOURNAL + '{"begin":1,"kind":"file","subject":"/run/x","value"', JOURNAL + '{"done":1,"sum"', JOURNAL + '{"applied":"d74e"']
REVERT = ["create  x", JOURNAL + '{"reverting":true', "write a", "write b", JOURNAL + '{"undone":1,"sum"',
          JOURNAL + '{"undone":0,"sum"', "unlink  journal", "unlink  wish", "rmdir  nic"]


class Places(unittest.TestCase):
    def test_apply(self):
        self.assertEqual(test_kills.places(APPLY, 2), [[], [], [(0, "in")], [(0, "in")], [(0, "in")], [(0, "after")], [(1, "in")],
                                                       [(1, "after")]])

    def test_revert(self):
        """What comes after its last step is in none."""
        self.assertEqual(test_kills.places(REVERT, 2), [[], [], [], [(1, "in")], [(1, "in")], [(1, "after"), (0, "in")],
                                                        [(0, "after")], [], []])

    def test_of_a_killed_run(self):
        """The log ends with the call that was not done, and says the same of it as that of a whole run."""
        for changes in (APPLY, REVERT):
            whole = test_kills.places(changes, 2)
            for end in range(1, len(changes) + 1):
                self.assertEqual(test_kills.places(changes[:end], 2)[-1], whole[end - 1])

    def test_marks(self):
        """They belong to no step, and move none."""
        marks = ["create  marks", "ftruncate /var/lib/causeway/nic/marks ", "pwrite /var/lib/causeway/nic/marks 0f3e begin bind"]
        for changes in (APPLY, REVERT):
            longer = [line for change in changes for line in [change, *marks]] + ["unlink  marks"]
            found = test_kills.places(longer, 2)
            self.assertEqual([here for line, here in zip(longer, found) if "marks" not in line], test_kills.places(changes, 2))
            self.assertEqual([here for line, here in zip(longer, found) if "marks" in line and here], [])
        self.assertFalse(test_kills.MARKS.match("pwrite /var/lib/causeway/nic/journal x /marks "))

    def test_choice(self):
        """One in each step, half done, and one after each."""
        for changes in (APPLY, REVERT):
            found = test_kills.places(changes, 2)
            chosen = {place for i in test_kills.choose(found).values() for place in found[i]}
            self.assertEqual(chosen, {(step, where) for step in (0, 1) for where in ("in", "after")})
        self.assertEqual(sorted(test_kills.choose(test_kills.places(APPLY, 2)).values()), [3, 5, 6, 7])

    def test_positions(self):
        """By the journal: what comes after its next line is where it was, also in a run that has a change more before that."""
        self.assertEqual(test_kills.positions(REVERT), ["0.1", "0.2", "1.1", "1.2", "1.3", "2.1", "3.1", "3.2", "3.3"])
        longer = REVERT[:2] + ["write first"] + REVERT[2:]
        self.assertEqual(test_kills.positions(longer)[6:], test_kills.positions(REVERT)[5:])


if __name__ == "__main__":
    unittest.main()
