#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What needs network cards, in guests that have them."""
import argparse
import concurrent.futures
import itertools
import os
import socket
import sys
import tempfile
import time

import guest
import models

HERE = os.path.dirname(os.path.abspath(__file__))
KILL_SECONDS = os.environ.get("CW_KILL_SECONDS", "")
KILL_MODELS = os.environ.get("CW_KILL_MODELS", "e1000e").split()
NOIOMMU = os.environ.get("CW_VFIO_NOIOMMU")
PYTHON = f"/usr/bin/python3 {HERE}"


class Run:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.cache = os.path.join(os.path.dirname(self.build), "guest")
        self.tree = os.path.commonpath([self.build, HERE])
        self.models = []

    def guest(self, job, devices, **options):
        return guest.Guest(self.cache, self.tree, job, devices, **options)

    def boot(self, job, devices, **options):
        return guest.boot(self.cache, self.tree, job, devices, **options)

    def timed(self, test):
        began = time.monotonic()
        code, said = test(self)
        return code, f"{said}\n{'failed' if code else 'passed'}: {test.__name__} after {time.monotonic() - began:.0f} s"


def port(run):
    """What has left a card, and what the engine makes of it: two, back to back."""
    job = guest.TAKE_CARDS + f"""
        failed=0
        timeout 700 {PYTHON}/test_engines.py {run.build}/dataplane/engine/causeway-engine $cards || failed=1
        timeout 400 {run.build}/tests/guest/test_card $cards || failed=1  # at its end the cards are gone
        exit $failed
    """
    return run.boot(job, models.hub(["e1000e"])[:8], hugepages=384, memory="2G", timeout=1200)


def port_check(run):
    """What causeway-port-check says of two cards, back to back, and of one that is in use."""
    job = guest.TAKE_CARDS + f"""
        timeout 500 {PYTHON}/test_port_check.py {run.build}/dataplane/io/check/causeway-port-check $cards
    """
    return run.boot(job, models.hub(["e1000e"])[:8], hugepages=384, memory="2G", timeout=600)


def two_guests(run):
    """Engines in two guests replicate over cards of each model, cabled to each other, that their kernels had before and have again."""
    cables = [socket.socketpair() for _ in run.models + [None]]
    wests, easts = zip(*cables)
    options = {"hugepages": 0, "memory": "1G"}
    with (run.guest(f"{PYTHON}/side.py {run.build} {' '.join(run.models)}",
                    models.cabled(run.models, 2, wests), sockets=wests, **options) as there,
          run.guest(f"timeout 1100 {PYTHON}/test_two_guests.py {run.build} {' '.join(run.models)}",
                    models.cabled(run.models, 1, easts), sockets=easts, **options) as here):
        for one in wests + easts:
            one.close()
        code, said = here.wait(1200)
        code_there, said_there = there.wait(60)
    return code or code_there, f"{said}---- west\n{said_there}"


def steps(run):
    """What nic-config does to a machine, done, undone, and killed in between: module, hugepages, driver, interface, functions."""
    job = f"timeout 500 {run.build}/tests/guest/test_steps $(basename $(readlink -f /sys/class/net/eth0/device))"
    functions = ["-device", "pcie-root-port,id=above,slot=9", "-device", "nvme-subsys,id=subsys",
                 "-device", "nvme,id=nvme,serial=1,subsys=subsys,bus=above,sriov_max_vfs=2,max_ioqpairs=6,msix_qsize=7,"
                 "sriov_vq_flexible=4,sriov_vi_flexible=2"]
    return run.boot(job, models.hub(["e1000e"])[:4] + functions, hugepages=0, memory="512M", timeout=600)


def kills(run):
    """causeway-nic killed in each step of apply and of revert, and after each; with CW_KILL_SECONDS at each change."""
    def one(model_and_verb):
        model, verb = model_and_verb
        job = f"{PYTHON}/test_kills.py {run.build} {model} {verb} {KILL_SECONDS}"
        return run.boot(job, models.hub([model]), hugepages=0, timeout=900 + float(KILL_SECONDS or 0))
    with concurrent.futures.ThreadPoolExecutor(2) as two:  # half of the time each only waits for links
        done = list(two.map(one, itertools.product(KILL_MODELS, ("apply", "revert"))))
    return max(code for code, _ in done), "".join(said for _, said in done)


def refusals(run):
    """What is refused; and a card with a disk beside it, behind a bridge that cannot keep them apart, forced."""
    devices = [one.replace("netdev=h1,", "netdev=h1,bus=old,addr=1,") for one in models.hub(["e1000"])]
    with tempfile.NamedTemporaryFile(prefix="cw-guest-disk-") as disk:
        disk.truncate(16 << 20)
        behind = ["-device", "pcie-pci-bridge,id=old", "-drive", f"if=none,id=disk,format=raw,file={disk.name}"]
        behind += devices + ["-device", "virtio-blk-pci,drive=disk,bus=old,addr=2"]
        return run.boot(f"{PYTHON}/test_refusals.py {run.build} e1000", behind, hugepages=0)


def reboot(run):
    """Prepared again after a reboot, by a card that nobody has configured yet; and after one more, then reverted."""
    said = ""
    with tempfile.NamedTemporaryFile(prefix="cw-guest-disk-") as disk:
        disk.truncate(16 << 20)
        devices = models.hub(["e1000e"]) + ["-drive", f"if=none,id=disk,format=raw,file={disk.name}"]
        devices += ["-device", "virtio-blk-pci,drive=disk"]
        for what in ("first", "boot", "revert"):
            code, more = run.boot(f"{PYTHON}/test_reboot.py {run.build} e1000e {what}", devices, hugepages=0)
            said += more
            if code:
                break
    return code, said


def drivers(run):
    """A machine without an IOMMU: uio, or with CW_VFIO_NOIOMMU vfio; and af_xdp."""
    modules = {"vfio.ko": NOIOMMU} if NOIOMMU else {}
    return run.boot(f"{PYTHON}/test_drivers.py {run.build}", models.hub(["e1000e", "virtio-net"]), hugepages=0, timeout=600,
                    has_iommu=False, modules=modules)


ALONE = [port, port_check, two_guests, kills]  # the last two boot two guests each
BESIDE = [drivers, steps, reboot, refusals]  # one guest each, two at a time
TESTS = ALONE + BESIDE


def arguments():
    what = "\n".join(f"  {test.__name__:<11} {test.__doc__}" for test in TESTS)
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n\n{what}", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit: 0 passed, 1 failed, 2 wrong usage, 77 skipped: the last line says why\n"
               "CW_KILL_SECONDS=N: kills goes on for so long; 3000 suffices for all changes\n"
               "CW_KILL_MODELS=...: with these cards, such as 'e1000e vmxnet3'\n"
               "CW_VFIO_NOIOMMU=FILE: drivers has this vfio.ko, of Debian's kernel with CONFIG_VFIO_NOIOMMU, and uses it")
    parser.add_argument("build", metavar="BUILD", help="a folder that has been built, such as build/gcc")
    parser.add_argument("tests", metavar="TEST", nargs="*", help="these of the above, in their order; default: all")
    given = parser.parse_args()
    if not os.access(os.path.join(given.build, "nic-config", "causeway-nic"), os.X_OK):
        parser.error(f"{given.build} has no nic-config/causeway-nic: ./run build gcc makes build/gcc")
    if unknown := set(given.tests) - {test.__name__ for test in TESTS}:
        parser.error(f"no such test: {', '.join(sorted(unknown))}; there are {', '.join(test.__name__ for test in TESTS)}")
    return given


def main():
    given = arguments()
    run, wanted = Run(given.build), given.tests
    try:
        guest.prepare(run.cache)
    except guest.Missing as what:
        print(f"skipped: {what}")
        sys.exit(77)
    missing = models.missing()
    run.models = [model for model in models.MODELS if model not in missing and model != "e1000"]
    for model in missing:
        print(f"skipped: {model}: this QEMU has none")
    has_failed = False
    for count, tests in ((1, ALONE), (2, BESIDE)):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            for code, said in pool.map(run.timed, [one for one in tests if not wanted or one.__name__ in wanted]):
                print(said, flush=True)
                has_failed |= code != 0
    sys.exit(1 if has_failed else 0)


if __name__ == "__main__":
    main()
