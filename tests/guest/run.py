#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""run.py BUILD: what needs network cards, in a guest that has two, back to back. 77: skipped, the last line says why."""
import os
import sys
import time

import guest

HERE = os.path.dirname(os.path.abspath(__file__))
JOB = guest.TAKE_CARDS + """
failed=0
timeout 400 {build}/tests/guest/test_card $cards || failed=1
timeout 700 /usr/bin/python3 {here}/test_engines.py {build}/dataplane/engine/causeway-engine $cards || failed=1
exit $failed
"""


def cards(kind):
    devices = []
    for i in range(2):
        devices += ["-netdev", f"hubport,id=h{i},hubid=0", "-device", f"{kind},netdev=h{i},mac=52:54:00:00:00:0{1 + i}"]
    return devices


def main():
    build = os.path.abspath(sys.argv[1])
    began = time.monotonic()
    try:
        code, said = guest.boot(os.path.join(os.path.dirname(build), "guest"), os.path.commonpath([build, HERE]),
                                JOB.format(build=build, here=HERE), cards("e1000e"), hugepages=384, memory="2G", timeout=1200)
    except guest.Missing as what:
        print(f"skipped: {what}")
        sys.exit(77)
    print(said)
    print(f"{'failed' if code else 'passed'} after {time.monotonic() - began:.0f} s")
    sys.exit(1 if code else 0)


if __name__ == "__main__":
    main()
