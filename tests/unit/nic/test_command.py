#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command line: causeway nic becomes causeway-nic; help, exit codes, and that what is refused leaves nothing behind.

    test_command.py CAUSEWAY CAUSEWAY_NIC

Nothing here may change this machine: cards that are wished for are not there, folders are of the test.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import expand

CAUSEWAY, NIC = sys.argv[1:3]
MACHINES = pathlib.Path(__file__).parent / "machines"
COMMANDS = ("show", "plan", "apply", "verify", "revert", "boot", "boot-late")
AS_NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []


def run(*arguments, expect, before=()):
    command = [*before, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "CAUSEWAY_NIC": NIC})
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def nic(*arguments, expect=0, **more):
    return run(CAUSEWAY, "nic", *arguments, expect=expect, **more)


def test_help():
    overview = nic("--help")[0]
    assert overview == run(NIC, "--help", expect=0)[0]
    for command in COMMANDS:
        assert command in ("boot", "boot-late") or f"  {command} " in overview, command
        text = nic(command, "--help")[0]
        assert text.startswith(f"usage: causeway nic {command}") and "Exit: 0 " in text, text
    assert "nic " in run(CAUSEWAY, "--help", expect=0)[0]
    text = nic("revert", "--help")[0]
    assert "revert [--yes [--forget]]" in text and "give up what was kept of what is gone" in text, text
    for command in ("plan", "apply", "revert"):
        assert "xit 3" in nic(command, "--help")[0].partition("Everywhere")[0], command


def test_usage():
    for arguments in ((), ("nonsense",), ("plan",), ("plan", "a", "b"), ("show", "extra"), ("show", "--nonsense"),
                      ("show", "--state"), ("show", "--state", "relative"), ("show", "--yes"), ("plan", "a", "--yes"),
                      ("apply", "a", "--root", "/"), ("apply", "a", "--forget"), ("revert", "--root", "/"), ("revert", "a"), ("boot", "a"),
                      ("boot-late", "a"), ("show", "--state", "/" + "x" * 300),
                      ("show", "--state", "/a\nb")):
        out, err = nic(*arguments, expect=2)
        assert err and not out, arguments


def test_recorded(folder):
    machine = folder / "machine"
    expand.expand(MACHINES / "one-socket-e810.machine", machine)
    shown = nic("show", "--json", "--root", machine)[0]
    assert shown == run(NIC, "show", "--json", f"--root={machine}", expect=0)[0]
    cards = json.loads(shown)["cards"]
    wish = folder / "wish.yaml"
    wish.write_text("paths:\n  - name: wan0\n    speed: 25G\n")
    state = folder / "state"
    plan = ("plan", wish, "--root", machine, "--json", "--state", state)
    planned = nic(*plan)[0]
    assert json.loads(planned)["steps"], planned
    assert "wan0" in nic("plan", wish, "--root", machine)[0]
    assert cards
    unit = next(step["value"] for step in json.loads(planned)["steps"] if step["subject"].endswith(".service"))
    assert f" boot --state {state}\n" in unit, unit  # what a boot has to find
    state.mkdir(mode=0o700)  # of this machine, and of no matter to that one
    (state / "journal").write_text("nonsense\n")
    (state / "journal").chmod(0o600)
    assert nic(*plan)[0] == planned


def test_root_that_is_none(folder):
    """Nothing is told of it: a machine without cards would be an answer, too."""
    machine = folder / "machine"
    wish = folder / "wish.yaml"
    wish.write_text("paths:\n  - name: wan0\n    speed: 25G\n")
    expand.expand(MACHINES / "one-socket-e810.machine", machine)
    for root, words in ((folder / "none", f"{folder}/none/sys: No such file"), (folder, f"{folder}/sys: No such file"),
                        (wish, f"{wish}/sys: Not a directory"), ("", "expected the folder"),
                        ("/" + "x" * 250, "shorter path")):
        for command in (("show",), ("show", "--json"), ("plan", wish)):
            out, err = nic(*command, f"--root={root}", expect=2)
            assert words in err and not out, (out, err)
    for name in ("answers", "proc"):
        (machine / name).rename(machine / f"no-{name}")
        assert f"{machine}/{name}: No such file" in nic("show", "--root", machine, expect=2)[1]


def test_wishes(folder):
    wish, state = folder / "bad.yaml", folder / "state"
    wish.write_text("paths:\n  - nam: wan0\n")
    for arguments in (("plan", wish), ("apply", wish), ("apply", wish, "--yes")):
        assert f"{wish}:2:" in nic(*arguments, "--state", state, expect=2)[1]
    assert "longer than" in nic("plan", "/dev/zero", expect=2)[1]
    assert "No such file" in nic("plan", folder / "none", expect=2)[1]
    wish.write_text("paths:\n  - name: wan0\n    card: 0000:ff:1f.7\n")
    assert "0000:ff:1f.7" in nic("plan", wish, "--state", state, expect=3)[0]
    if os.geteuid() == 0:
        assert "refused: wan0: " in nic("apply", wish, "--yes", "--state", state, expect=3)[1]
        outcome = json.loads(nic("apply", wish, "--yes", "--json", "--state", state, expect=3)[0])
        assert outcome["exit"] == 3 and "wan0" in outcome["error"]
    assert not state.exists()


def test_nothing_applied(folder):
    state = folder / "state"
    for command in (("revert",), ("revert", "--yes"), ("boot",), ("boot-late",)):
        if os.geteuid() == 0:
            assert nic(*command, "--state", state)[0] == "nothing was applied\n"
    wish = folder / "nobody.yaml"
    wish.write_text("paths:\n  - name: wan0\n    card: 0000:ff:1f.7\n")
    folder.chmod(0o755)
    for command in (("revert", "--yes"), ("boot",), ("apply", wish, "--yes")):
        assert "root" in nic(*command, "--state", state, expect=1, before=AS_NOBODY)[1]
    assert not state.exists()


def test_damaged(folder):
    if os.geteuid() != 0:
        return
    state = folder / "state"
    state.mkdir(mode=0o700)
    journal = state / "journal"
    for text, code, words in (("", 1, "line 1"), ("nonsense\n", 1, "line 1"),
                              ('{"causeway-nic":2,"sum":"0"}\n', 1, "format 2")):
        journal.write_text(text)
        journal.chmod(0o600)
        assert words in nic("revert", "--yes", "--state", state, expect=code)[1], text
        wish = state.parent / "wish.yaml"
        wish.write_text("paths:\n  - name: wan0\n    card: 0000:ff:1f.7\n")
        planned = json.loads(nic("plan", wish, "--json", "--state", state, expect=3)[0])
        assert planned["refused"] and words in planned["refusals"][-1]["why"], planned
        remedy = planned["refusals"][-1]["remedy"]
        assert ("revert --yes of that version" if "format" in words else "put that back by hand") in remedy, planned
        assert remedy in nic("plan", wish, "--state", state, expect=3)[1]
    journal.chmod(0o666)
    assert "somebody else" in nic("revert", "--yes", "--state", state, expect=1)[1]
    state.chmod(0o777)
    assert "not believed" in nic("revert", "--yes", "--state", state, expect=1)[1]
    assert journal.exists()


def test_verify():
    assert "expected the name of a path" in nic("verify", "../wan0", expect=2)[1]
    assert "nothing is prepared" in nic("verify", "--prepared", "/nowhere", "--local", "10.9.0.1", "--peer", "10.9.0.2",
                                        expect=1)[1]


def main():
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory(prefix="cw-test-nic-") as folder:
            test(*([pathlib.Path(folder)] if test.__code__.co_argcount else []))
        print(f"passed: {name}")


if __name__ == "__main__":
    main()
