#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What `show` says of every recorded machine, word by word: machines/NAME.show, and as JSON machines/NAME.json.

    test_golden.py CAUSEWAY-NIC             compares
    test_golden.py CAUSEWAY-NIC --write     writes them anew, for a person to read: git diff says what has changed

Root reads what nobody may read, so that for it the capability to do so is dropped first.
"""

import difflib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import expand

MACHINES = pathlib.Path(__file__).parent / "machines"
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def run(program, *arguments, exits=(0,)):
    """What it prints; with several exits that may be, its exit too."""
    command = (AS_ANYBODY if os.geteuid() == 0 else []) + [program] + [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode not in exits or done.stderr:
        raise SystemExit(f"{command}: exit {done.returncode}: {done.stderr}")
    return done.stdout if len(exits) == 1 else (done.stdout, done.returncode)


def readable(text):
    """A line for each thing of a list, so that a change is a line too. The order of keys stays."""
    lines = []
    for key, value in json.loads(text).items():
        if isinstance(value, list) and value:
            things = ",\n".join("  " + json.dumps(thing) for thing in value)
            lines.append(f" {json.dumps(key)}: [\n{things}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--write"]):
        sys.exit(__doc__)
    program, is_writing = sys.argv[1], len(sys.argv) > 2
    machines = sorted(MACHINES.glob("*.machine"))
    wrong = 0
    for machine in machines:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "root"
            expand.expand(machine, root)
            said = {".show": run(program, "show", "--root", root),
                    ".json": readable(run(program, "show", "--root", root, "--json"))}
        for suffix, text in said.items():
            golden = machine.with_suffix(suffix)
            if is_writing:
                golden.write_text(text)
                continue
            expected = golden.read_text() if golden.exists() else ""
            if text != expected:
                wrong += 1
                sys.stdout.writelines(difflib.unified_diff(
                    expected.splitlines(True), text.splitlines(True), golden.name, "said now"))
    print(f"{len(machines)} machines, {wrong} differences" + (", written anew" if is_writing else ""))
    return 1 if wrong or not machines else 0


if __name__ == "__main__":
    sys.exit(main())
