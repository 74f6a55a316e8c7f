# SPDX-License-Identifier: BSD-3-Clause
"""causeway-nic in a guest, in its own folders: there they are the guest's; and what a machine looks like without asking it."""
import glob
import json
import os
import shutil
import subprocess

from nics import sh, wait_for

WISH = "/run/wish.yaml"
PREPARED = "/run/causeway/nic"
STATE = "/var/lib/causeway/nic"
UNITS = "/etc/systemd/system"
NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


class Command:
    def __init__(self, build):
        """Installed, as its units will start only what root alone may write."""
        self.program = shutil.copy(os.path.join(build, "nic-config", "causeway-nic"), "/run/causeway-nic")
        os.chown(self.program, 0, 0)
        os.chmod(self.program, 0o755)
        os.environ["CAUSEWAY_PORT_CHECK"] = os.path.join(build, "dataplane", "io", "check", "causeway-port-check")

    def run(self, *arguments, under=()):
        done = subprocess.run([*under, self.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout

    def must(self, *arguments, code=0):
        """Returns what it said."""
        got, said = self.run(*arguments)
        assert got == code, f"causeway-nic {' '.join(arguments)}: exit {got}, not {code}\n{said}"
        return said

    def show(self):
        return self.must("show")


def write_wish(nics, force=True, hugepages="64M", mtu=1500, driver="vfio", also=()):
    """A path wan0, wan1… for each card; by force, as they have addresses. also: what else is forced."""
    lines = ["paths:"]
    for i, nic in enumerate(nics):
        lines += [f"  - name: wan{i}", f"    card: {nic.card}", f"    driver: {driver}", f"    mtu: {mtu}"]
    lines += [f"hugepages: {hugepages}"]
    if force:
        lines += [f"force: [{', '.join([nic.name for nic in nics] + list(also))}]"]
    with open(WISH, "w") as file:
        file.write("\n".join(lines) + "\n")
    return WISH


def text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        return error.strerror


def files(folder):
    return {path: os.readlink(path) if os.path.islink(path) else text(path)
            for path in glob.glob(f"{folder}/**", recursive=True) if os.path.islink(path) or os.path.isfile(path)}


def has_settled():
    """No address is tentative, and no link on its way."""
    return "tentative" not in sh("ip", "address") and "NO-CARRIER" not in sh("ip", "link")


def snapshot(nics):
    """What the kernel itself says of all that the command may change."""
    wait_for("links are up and addresses checked", has_settled)
    seen = {"hugepages": text("/proc/sys/vm/nr_hugepages"), "units": files(UNITS), "prepared": files(PREPARED), "state": files(STATE)}
    seen["mounts"] = sorted(line for line in text("/proc/mounts").split("\n") if " hugetlbfs " in line)
    seen["modules"] = sorted(line.split()[0] for line in text("/proc/modules").split("\n") if line.startswith(("vfio", "uio")))
    seen["noiommu"] = text(NOIOMMU)
    for nic in nics:
        at = f"/sys/bus/pci/devices/{nic.card}"
        seen[nic.name] = {"driver": nic.driver(), "override": text(f"{at}/driver_override")}
        link = json.loads(sh("ip", "-json", "address", "show", "dev", nic.name) if os.path.exists(f"/sys/class/net/{nic.name}") else "[]")
        for one in link:
            for name in ("ifindex", "flags", "operstate"):  # the flags say LOWER_UP, which comes a little later
                one.pop(name, None)
            for address in one["addr_info"]:
                address.pop("tentative", None)
            one["addr_info"].sort(key=lambda address: address["local"])
        seen[nic.name]["link"] = link
        for version in ("-4", "-6"):
            routes = json.loads(sh("ip", "-json", version, "route", "show", "table", "all", "dev", nic.name) or "[]") if link else []
            seen[nic.name]["routes " + version] = sorted(json.dumps(route, sort_keys=True) for route in routes)
    return seen


def differences(before, after, where=""):
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in sorted(before.keys() | after.keys())
                for line in differences(before.get(key), after.get(key), f"{where} {key}")]
    return [] if before == after else [f"{where.strip()}: {before} before, {after} after"]


class Before:
    """The machine as it was: `show` and the kernel's own words."""

    def __init__(self, command, nics):
        self.command, self.nics = command, nics
        self.seen, self.shown = snapshot(nics), command.show()

    def check(self):
        """All is again as it was, and the cards carry packets. Links come up late, so it may take a while."""
        for nic in self.nics:
            assert os.path.exists(f"/sys/class/net/{nic.name}"), f"{nic.name} is not there; {sh('ip', '-brief', 'link')}"
        last = []

        def is_same():
            last[:] = differences(self.seen, snapshot(self.nics))
            if not last and (shown := self.command.show()) != self.shown:
                last[:] = ["show: " + line for line in set(self.shown.split("\n")) ^ set(shown.split("\n"))]
            return not last
        try:
            wait_for("all is as before", is_same, 15)
        except AssertionError:
            raise AssertionError("not as before: " + "\n".join(last)) from None
        for nic in self.nics:
            nic.ping()
