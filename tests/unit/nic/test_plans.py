#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The plan of every wish for a recorded machine, word by word: machines/NAME.WISH.yaml makes machines/NAME.WISH.plan.

    test_plans.py CAUSEWAY-NIC             compares; the same plan as JSON says the same steps
    test_plans.py CAUSEWAY-NIC --write     writes them anew, for a person to read: git diff says what has changed

The unit of a plan names the program that made it: in the goldens that is /usr/bin/causeway-nic.
"""

import difflib
import json
import os
import pathlib
import re
import sys
import tempfile

import expand
import test_golden

MACHINES = test_golden.MACHINES
COLUMNS = 100


def plan(program, root, wish, *options):
    """What `plan` prints, and whether it says by its exit that the wish is refused."""
    text, code = test_golden.run(program, "plan", wish, "--root", root, *options, exits=(0, 3))
    return text.replace(os.path.realpath(program), "/usr/bin/causeway-nic"), code == 3


def check_form(name, text, told, is_refused):
    """What must be so of every plan."""
    for line in text.split("\n"):
        if re.match(r"     why: |  - | +[0-9]+[. ]", line) and len(line) > COLUMNS:
            yield f"{name}: {len(line)} columns: {line}"
    numbers = re.findall(r"^ *([0-9]+)(?: to ([0-9]+))?\. ", text, re.MULTILINE)
    counted = [n for first, last in numbers for n in range(int(first), int(last or first) + 1)]
    if counted != list(range(1, len(told["steps"]) + 1)):
        yield f"{name}: the JSON tells other steps"
    if not told["refused"] == is_refused == text.startswith("This plan is refused"):
        yield f"{name}: the text, the JSON and the exit tell otherwise whether it is refused"


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--write"]):
        sys.exit(__doc__)
    program, is_writing = sys.argv[1], len(sys.argv) > 2
    wishes = sorted(MACHINES.glob("*.*.yaml"))
    planned = {wish.name.split(".")[0] for wish in wishes}
    wrong = [f"{machine.stem}: no wish" for machine in MACHINES.glob("*.machine") if machine.stem not in planned]
    for wish in wishes:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "root"
            expand.expand(MACHINES / (wish.name.split(".")[0] + ".machine"), root)
            text, is_refused = plan(program, root, wish)
            told, _ = plan(program, root, wish, "--json")
        wrong += check_form(wish.name, text, json.loads(told), is_refused)
        golden = wish.with_suffix(".plan")
        if is_writing:
            golden.write_text(text)
            continue
        expected = golden.read_text() if golden.exists() else ""
        if text != expected:
            wrong.append(f"{golden.name}: differs")
            sys.stdout.writelines(difflib.unified_diff(
                expected.splitlines(True), text.splitlines(True), golden.name, "planned now"))
    print("\n".join(wrong + [f"{len(wishes)} plans, {len(wrong)} wrong" + (", written anew" if is_writing else "")]))
    return 1 if wrong or not wishes else 0


if __name__ == "__main__":
    sys.exit(main())
