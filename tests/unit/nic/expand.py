#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the folder of a recorded machine (nic-config/machine.h) of its description, a .machine file.

    expand.py MACHINE FOLDER

A line at the left begins a statement, lines indented below it belong to it; `#` begins a line that is a comment.

    /path VALUE                 a file. With no value: the indented lines are its text. Also one of answers/, which is
                                then not made from the interfaces
    /path -> TARGET             a symbolic link; an absolute target is made relative, as sysfs has them. The target may
                                also be an address of PCI
    /path/                      an empty folder
    copy FILE /path             a file that lies beside the description
    unreadable /path            nobody may read it
    user ID                     who recorded it: /proc/self/status; else root
    kernel RELEASE              /proc/sys/kernel/osrelease, /proc/version
    modules NAME...             loaded: /proc/modules, /sys/module/NAME
    modules_there NAME...       not loaded, and can be: /lib/modules/RELEASE/modules.dep
    modules_builtin NAME...     the same, in the kernel: modules.builtin
    cpus LIST cores LIST node N package N [khz MIN-MAX DRIVER GOVERNOR]
                                topology, cpufreq, and each node's list; pairs with the same core are siblings
    isolated LIST               of isolcpus=; nohz_full LIST; offline LIST (of those in `cpus`); allowed LIST (that this
                                process may use)
    node N KIB [SIZEkB:TOTAL/FREE]...   memory, and its hugepages; a node without a `cpus` line has none. Where some node
                                has hugepages, their default size is 2048 kB, unless /proc/meminfo says another
    group N TYPE                an IOMMU group; who is in it says so itself
    pci ADDRESS below PATH      a device. Each line below it is a file of its folder, but for
        driver NAME             both links
        iommu_group N           both links
        msi_irqs LIST           msi_irqs/N, /proc/irq/N
        disk PATH PARTITION...  a block device below its folder
    vmbus ID                    a device of Hyper-V; as pci
    interface NAME [on DEVICE[/PATH]]   of /sys/class/net, and in the answers of ip and ethtool, in ip's own shape
        mac, perm MAC, mtu MTU/MAX, state up|down [carrier], speed MBPS, kind vlan ID|bond MODE|another,
        lower NAME, master NAME, queues N/MAX, rx N/MAX, tx N, port N, xdp, netns NAME, address ADDRESS/PREFIX
    netns NAME [ID]             a network namespace; an ID if this one knows it by a number
    route WORDS                 as `ip route` prints it; those of the kernel come with the addresses
    login WHO from ADDRESS to ADDRESS
"""

import ipaddress
import json
import os
import pathlib
import re
import sys

PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"


def numbers(text):
    """[0, 1, 2, 5] of "0-2,5", in the order written."""
    found = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def as_list(values):
    """As the kernel prints a set of CPUs: "0-2,5"."""
    parts, values = [], sorted(values)
    while values:
        end = 0
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        parts.append(str(values[0]) if end == 0 else f"{values[0]}-{values[end]}")
        values = values[end + 1:]
    return ",".join(parts)


class Statement:
    def __init__(self, line, text):
        self.line, self.text, self.block = line, text, []
        self.words = text.split()

    def rest(self):
        """The text after its first word."""
        return self.text.partition(" ")[2].strip()


def statements(text):
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            if found and found[-1].block:
                found[-1].block.append(Statement(number, ""))
        elif line[0] == " ":
            found[-1].block.append(Statement(number, line[4:].rstrip()))
        elif line[0] != "#":
            found.append(Statement(number, line.rstrip()))
    for statement in found:
        while statement.block and not statement.block[-1].text:
            statement.block.pop()
    return found


class Machine:
    def __init__(self, folder, beside):
        self.folder, self.beside = folder, beside
        self.release, self.user = "unknown", "0"
        self.cpus, self.isolated, self.nohz, self.offline, self.allowed = {}, [], [], [], None
        self.nodes = {}
        self.pci, self.irqs, self.unreadable = {}, [], []
        self.interfaces, self.routes, self.spaces, self.logins = [], [], [], []

    # ---- files ----

    def place(self, path):
        there = self.folder / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        return there

    def put(self, path, text):
        self.place(path).write_text(text + "\n" if text and not text.endswith("\n") else text)

    def answer(self, name, value):
        """One that the description gives word by word stays."""
        if not (self.folder / f"answers/{name}.json").exists():
            self.put(f"/answers/{name}.json", json.dumps(value, indent=1))

    def make_folder(self, path):
        self.place(path).mkdir(exist_ok=True)

    def link(self, path, target):
        if PCI_ADDRESS.match(target):
            target = self.pci[target]
        place = self.place(path)
        if target.startswith("/"):
            # A link of sysfs may lie in a folder that is reached by a link: what counts is where it really is.
            really = place.parent.resolve().relative_to(self.folder)
            target = os.path.relpath(target, "/" + really.as_posix())
        place.symlink_to(target)

    # ---- statements ----

    def plain(self, statement, path, rest, block):
        if rest.startswith("-> "):
            self.link(path, rest[3:])
        elif path.endswith("/"):
            self.make_folder(path)
        elif block:
            self.put(path, "\n".join(line.text for line in block))
        else:
            self.put(path, rest)

    def on_copy(self, s):
        self.put(s.words[2], (self.beside / s.words[1]).read_text())

    def on_unreadable(self, s):
        self.unreadable.append(s.words[1])

    def on_user(self, s):
        self.user = s.words[1]

    def on_kernel(self, s):
        self.release = s.words[1]
        self.put("/proc/sys/kernel/osrelease", self.release)
        self.put("/proc/version", f"Linux version {self.release} (debian-kernel@lists.debian.org) #1 SMP")

    def on_modules(self, s):
        self.put("/proc/modules", "".join(f"{name} 53248 0 - Live 0x0000000000000000\n" for name in s.words[1:]))
        for name in s.words[1:]:
            self.put(f"/sys/module/{name}/initstate", "live")

    def on_modules_there(self, s):
        self.put(f"/lib/modules/{self.release}/modules.dep",
                 "".join(f"kernel/drivers/{name}.ko:\n" for name in s.words[1:]))

    def on_modules_builtin(self, s):
        self.put(f"/lib/modules/{self.release}/modules.builtin",
                 "".join(f"kernel/drivers/{name}.ko\n" for name in s.words[1:]))

    def on_cpus(self, s):
        given = dict(zip(s.words[2::2], s.words[3::2]))
        clock = s.words[s.words.index("khz") + 1:] if "khz" in s.words else None
        for cpu, core in zip(numbers(s.words[1]), numbers(given["cores"]), strict=True):
            self.cpus[cpu] = (int(given["package"]), core, int(given["node"]), clock)

    def on_isolated(self, s):
        self.isolated = numbers(s.words[1])

    def on_nohz_full(self, s):
        self.nohz = numbers(s.words[1])

    def on_offline(self, s):
        self.offline = numbers(s.words[1])

    def on_allowed(self, s):
        self.allowed = numbers(s.words[1])

    def on_node(self, s):
        node, kib = int(s.words[1]), int(s.words[2])
        self.nodes[node] = []
        folder = f"{NODES}/node{node}"
        self.put(f"{folder}/meminfo", f"Node {node} MemTotal:       {kib} kB\n"
                                       f"Node {node} MemFree:        {kib // 2} kB")
        for words in s.words[3:]:
            size, _, count = words.partition(":")
            total, _, free = count.partition("/")
            for name, value in (("nr", total), ("free", free), ("surplus", "0")):
                self.put(f"{folder}/hugepages/hugepages-{size}/{name}_hugepages", value)
        if s.words[3:] and not self.place("/proc/meminfo").exists():
            self.put("/proc/meminfo", "HugePages_Total:       0\nHugepagesize:       2048 kB")

    def on_group(self, s):
        self.put(f"/sys/kernel/iommu_groups/{s.words[1]}/type", s.words[2])
        self.put(f"/sys/kernel/iommu_groups/{s.words[1]}/reserved_regions",
                 "0x00000000fee00000 0x00000000feefffff msi")
        self.make_folder(f"/sys/kernel/iommu_groups/{s.words[1]}/devices")

    def on_pci(self, s):
        self.device(s, "pci", f"/sys/devices/{s.words[3]}/{s.words[1]}")

    def on_vmbus(self, s):
        self.device(s, "vmbus", f"/sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/{s.words[1]}")

    def device(self, s, bus, folder):
        address = s.words[1]
        self.pci[address] = folder
        self.make_folder(folder)
        self.link(f"{folder}/subsystem", f"/sys/bus/{bus}")
        self.link(f"/sys/bus/{bus}/devices/{address}", folder)
        self.put(f"{folder}/driver_override", "(null)")
        for line in s.block:
            name, rest = line.words[0], line.rest()
            if name == "driver":
                self.link(f"/sys/bus/{bus}/drivers/{rest}/{address}", folder)
                self.link(f"{folder}/driver", f"/sys/bus/{bus}/drivers/{rest}")
            elif name == "iommu_group":
                self.link(f"/sys/kernel/iommu_groups/{rest}/devices/{address}", folder)
                self.link(f"{folder}/iommu_group", f"/sys/kernel/iommu_groups/{rest}")
            elif name == "msi_irqs":
                for irq in numbers(rest):
                    self.put(f"{folder}/msi_irqs/{irq}", "msix")
                    self.irqs.append(irq)
            elif name == "disk":
                self.disk(folder, line.words[1], line.words[2:])
            else:
                self.plain(line, f"{folder}/{name}", rest, [])

    def disk(self, folder, path, partitions):
        name = path.rpartition("/")[2]
        for part in [name] + partitions:
            there = f"{folder}/{path}" + ("" if part == name else f"/{part}")
            self.put(f"{there}/size", "1953525168")
            self.link(f"/sys/class/block/{part}", there)
        self.link(f"/sys/block/{name}", f"{folder}/{path}")

    def on_interface(self, s):
        one = {"name": s.words[1], "on": s.words[3] if len(s.words) > 3 else "", "addresses": []}
        for line in s.block:
            if line.words[0] == "address":
                one["addresses"].append(ipaddress.ip_interface(line.words[1]))
            else:
                one[line.words[0]] = line.rest()
        self.interfaces.append(one)

    def on_netns(self, s):
        self.spaces.append({"name": s.words[1]} | ({"id": int(s.words[2])} if len(s.words) > 2 else {}))

    def on_route(self, s):
        self.routes.append(s.words[1:])

    def on_login(self, s):
        self.logins.append({"who": s.words[1], "from": s.words[3], "local": s.words[5]})

    def take(self, s):
        verb = getattr(self, f"on_{s.words[0]}", None)
        if s.text.startswith("/"):
            self.plain(s, s.words[0], s.rest(), s.block)
        elif verb:
            verb(s)
        else:
            raise ValueError(f"no statement begins with {s.words[0]!r}")

    # ---- what follows from all statements together ----

    def finish(self):
        self.finish_cpus()
        Network(self).write()
        self.answer("logins", self.logins)
        for path in self.unreadable:
            self.place(path).chmod(0)

    def finish_cpus(self):
        served = set(self.cpus) - set(self.offline) - set(self.isolated)
        for irq in self.irqs:
            self.put(f"/proc/irq/{irq}/smp_affinity_list", as_list(served))
        everybody, online = sorted(self.cpus), sorted(set(self.cpus) - set(self.offline))
        for name, cpus in (("present", everybody), ("possible", everybody), ("online", online),
                           ("offline", self.offline), ("isolated", self.isolated)):
            self.put(f"{CPUS}/{name}", as_list(cpus) + "\n")
        self.put(f"{CPUS}/nohz_full", as_list(self.nohz) if self.nohz else "(null)")
        cores = {(package, core) for package, core, _, _ in self.cpus.values()}
        self.put(f"{CPUS}/smt/active", str(int(len(cores) < len(self.cpus))))
        self.put(f"{CPUS}/smt/control", "on" if len(cores) < len(self.cpus) else "notsupported")
        nodes = self.nodes
        for cpu in everybody:
            self.finish_cpu(cpu)
            nodes.setdefault(self.cpus[cpu][2], []).append(cpu)
        for node, cpus in nodes.items():
            self.put(f"{NODES}/node{node}/cpulist", as_list(set(cpus) & set(online)) + "\n")
        if nodes:
            self.put(f"{NODES}/online", as_list(nodes))
            self.put(f"{NODES}/possible", as_list(nodes))
        user = "\t".join([self.user] * 4)
        self.put("/proc/self/status", f"Name:\tcauseway-nic\nUid:\t{user}\n"
                 f"Cpus_allowed_list:\t{as_list(self.allowed or online)}")

    def finish_cpu(self, cpu):
        package, core, node, clock = self.cpus[cpu]
        folder = f"{CPUS}/cpu{cpu}"
        if cpu:
            self.put(f"{folder}/online", str(int(cpu not in self.offline)))
        if cpu in self.offline:
            return # the kernel keeps no topology of it
        siblings = [c for c in self.cpus if self.cpus[c][:2] == (package, core) and c not in self.offline]
        self.put(f"{folder}/topology/physical_package_id", str(package))
        self.put(f"{folder}/topology/core_id", str(core))
        self.put(f"{folder}/topology/thread_siblings_list", as_list(siblings))
        self.link(f"{folder}/node{node}", f"{NODES}/node{node}")
        if clock:
            policy = f"{CPUS}/cpufreq/policy{cpu}"
            low, _, high = clock[0].partition("-")
            for name, value in (("cpuinfo_min_freq", low), ("cpuinfo_max_freq", high), ("scaling_max_freq", high),
                                ("scaling_driver", clock[1]), ("scaling_governor", clock[2]),
                                ("affected_cpus", str(cpu))):
                self.put(f"{policy}/{name}", value)
            self.link(f"{folder}/cpufreq", policy)


class Network:
    """Interfaces and routes as sysfs, `ip -json` and ethtool have them."""

    LOOP = {"name": "lo", "on": "", "mac": "00:00:00:00:00:00", "mtu": "65536/0", "state": "up carrier",
            "addresses": [ipaddress.ip_interface("127.0.0.1/8"), ipaddress.ip_interface("::1/128")]}

    def __init__(self, machine):
        self.machine = machine
        self.all = [dict(self.LOOP)] + machine.interfaces
        for index, one in enumerate(self.all, 1):
            one["index"] = int(one.get("index", index))

    def write(self):
        links, addresses, ethtool, elsewhere = [], [], {}, {}
        for one in self.all:
            if "netns" in one:
                elsewhere.setdefault(one["netns"], []).append(self.link(one))
                self.sysfs_elsewhere(one)
                continue
            links.append(self.link(one))
            addresses.append(self.address(one))
            self.sysfs(one)
            if one["on"] or "queues" in one:
                ethtool[one["name"]] = self.ethtool(one)
        answer = self.machine.answer
        answer("ip-link", links)
        answer("ip-address", addresses)
        answer("ethtool", ethtool)
        answer("ip-netns", self.machine.spaces)
        for space in self.machine.spaces:
            answer(f"netns-{space['name']}-ip-link", elsewhere.get(space["name"], []))
        for version in (4, 6):
            answer(f"ip-route{version}", self.routes(version))

    @staticmethod
    def state(one):
        is_up, has_carrier = "up" in one["state"].split(), "carrier" in one["state"]
        flags = ["LOOPBACK"] if one["name"] == "lo" else ["BROADCAST", "MULTICAST"]
        if is_up and not has_carrier:
            flags.insert(0, "NO-CARRIER")
        if "master" in one and not one["master"].startswith("br"):
            flags.append("SLAVE")
        elif one.get("kind", "").startswith("bond"):
            flags.append("MASTER")
        if is_up:
            flags += ["UP", "LOWER_UP"] if has_carrier else ["UP"]
        operstate = "UNKNOWN" if one["name"] == "lo" else "UP" if is_up and has_carrier else "DOWN"
        return flags, operstate

    def begin(self, one):
        flags, operstate = self.state(one)
        lower = {"link": one["lower"]} if "lower" in one else {}
        below = next((other for other in self.all if other["name"] == one.get("lower")), one)
        if "netns" in one and "netns" not in below: # what is in this namespace is known by number only
            lower = {"link_index": below["index"]}
        master = {"master": one["master"]} if "master" in one else {}
        bridged = one.get("kind", "").split(" ")[0] in ("bridge", "vlan", "bond") or one["name"] == "lo"
        kind = "loopback" if one["name"] == "lo" else "ether"
        return ({"ifindex": one["index"]} | lower
                | {"ifname": one["name"], "flags": flags, "mtu": int(one["mtu"].split("/")[0]),
                   "qdisc": "noqueue" if bridged else "mq"} | master
                | {"operstate": operstate, "linkmode": "DEFAULT", "group": "default", "txqlen": 1000,
                   "link_type": kind, "address": one["mac"],
                   "broadcast": one["mac"] if one["name"] == "lo" else "ff:ff:ff:ff:ff:ff"})

    def link(self, one):
        """Of `ip -json -details link show`."""
        queues = int(one.get("queues", one.get("rx", "1/1")).split("/")[-1])
        found = self.begin(one) | {"promiscuity": 0, "allmulti": 0, "min_mtu": 0 if one["name"] == "lo" else 68,
                                   "max_mtu": int(one["mtu"].split("/")[1])}
        if "perm" in one:
            found["permaddr"] = one["perm"]
        if "xdp" in one:
            program = {"mode": 1, "prog": {"id": 42, "name": "xdp_pass", "tag": "3b185187f1855c4c", "jited": 1}}
            found["xdp"] = program | {"attached": [program]}
        if "link_index" in found:
            found["link_netnsid"] = 0
        information = self.information(one)
        if information:
            found["linkinfo"] = information
        found |= {"inet6_addr_gen_mode": "eui64", "num_tx_queues": queues, "num_rx_queues": queues,
                  "gso_max_size": 65536, "gso_max_segs": 65535, "tso_max_size": 65536, "tso_max_segs": 65535,
                  "gro_max_size": 65536}
        device = one["on"].split("/")
        if PCI_ADDRESS.match(device[0]) and len(device) == 1:
            found |= {"parentbus": "pci", "parentdev": device[0]}
        elif len(device) > 1:
            found |= {"parentbus": "virtio", "parentdev": device[1]}
        elif device[0]:
            found |= {"parentbus": "vmbus", "parentdev": device[0]}
        return found

    def information(self, one):
        found = {}
        kind = one.get("kind", "").split()
        if kind:
            found["info_kind"] = kind[0]
        if kind[:1] == ["vlan"]:
            found["info_data"] = {"protocol": "802.1Q", "id": int(kind[1]), "flags": ["REORDER_HDR"]}
        elif kind[:1] == ["bond"]:
            found["info_data"] = {"mode": kind[1], "miimon": 100, "updelay": 0, "downdelay": 0,
                                  "xmit_hash_policy": "layer3+4"}
        elif kind[:1] == ["bridge"]:
            found["info_data"] = {"forward_delay": 1500, "stp_state": 0, "vlan_filtering": 0}
        elif kind[:1] == ["macvlan"]:
            found["info_data"] = {"mode": "bridge", "bcqueuelen": 1000, "usedbcqueuelen": 1000}
        elif kind[:1] == ["vrf"]:
            found["info_data"] = {"table": int(kind[1])}
        over = next((other for other in self.all if other["name"] == one.get("master")), None)
        if over and "kind" in over:
            over_kind = over["kind"].split()[0]
            found["info_slave_kind"] = over_kind
            bonded = {"state": "ACTIVE", "mii_status": "UP", "perm_hwaddr": one.get("perm", one["mac"])}
            found["info_slave_data"] = bonded if over_kind == "bond" else {"state": "forwarding"}
        return found

    def address(self, one):
        """Of `ip -json address show`."""
        found = self.begin(one)
        del found["linkmode"]
        found["addr_info"] = []
        for address in one["addresses"]:
            version, inside = address.version, address.ip
            information = {"family": "inet" if version == 4 else "inet6", "local": str(inside),
                           "prefixlen": address.network.prefixlen}
            scope = "host" if inside.is_loopback else "link" if inside.is_link_local else "global"
            if version == 4 and scope == "global" and address.network.prefixlen < 31:
                information["broadcast"] = str(address.network.broadcast_address)
            information["scope"] = scope
            if version == 4:
                information["label"] = one["name"]
            found["addr_info"].append(information | {"valid_life_time": 4294967295,
                                                     "preferred_life_time": 4294967295})
        return found

    @staticmethod
    def given_route(words, version):
        """Several ways: "default nexthop via A dev X weight 1 nexthop via B dev Y weight 1"."""
        names = {"via": "gateway", "proto": "protocol", "src": "prefsrc"}
        parts = " ".join(words[1:]).split("nexthop ")
        said = []
        for part in parts:
            pairs = part.split()
            said.append({names.get(name, name): int(value) if name in ("metric", "weight") else value
                         for name, value in zip(pairs[::2], pairs[1::2], strict=True)})
        route = {"dst": words[0]} | said[0] | {"flags": []} | ({"pref": "medium"} if version == 6 else {})
        return route | ({"nexthops": [way | {"flags": []} for way in said[1:]]} if len(said) > 1 else {})

    def routes(self, version):
        """Of `ip -json -4 route show table all`: given ones, then those that come with the addresses."""
        found = [self.given_route(words, version) for words in self.machine.routes
                 if version == (6 if any(":" in word for word in words) else 4)]
        local = []
        for one in self.all:
            if "netns" in one or "up" not in one["state"].split():
                continue
            dev = {"dev": one["name"]}
            flags = {"flags": [] if "carrier" in one["state"] else ["linkdown"]}
            for address in one["addresses"]:
                if address.version != version:
                    continue
                network, inside = str(address.network), str(address.ip)
                if version == 4:
                    tail = {"protocol": "kernel", "scope": "link", "prefsrc": inside} | flags
                    host = {"table": "local", "protocol": "kernel", "scope": "host", "prefsrc": inside} | flags
                    if not address.ip.is_loopback:
                        found.append({"dst": network} | dev | tail)
                    local.append({"type": "local", "dst": inside} | dev | host)
                    local.append({"type": "broadcast", "dst": str(address.network.broadcast_address)} | dev
                                 | {"table": "local"} | tail)
                else:
                    tail = {"protocol": "kernel", "metric": 256} | flags | {"pref": "medium"}
                    if not address.ip.is_loopback:
                        found.append({"dst": network} | dev | tail)
                    local.append({"type": "local", "dst": inside} | dev | {"table": "local"} | tail | {"metric": 0})
            if version == 6 and any(address.version == 6 for address in one["addresses"]) and one["name"] != "lo":
                local.append({"type": "multicast", "dst": "ff00::/8"} | dev
                             | {"table": "local", "protocol": "kernel", "metric": 256} | flags | {"pref": "medium"})
        return found + local

    @staticmethod
    def ethtool(one):
        found = {}
        if "queues" in one:
            now, _, most = one["queues"].partition("/")
            found |= {"queues": int(now), "queues_max": int(most)}
        if "rx" in one:
            now, _, most = one["rx"].partition("/")
            found |= {"rx_queues": int(now), "rx_queues_max": int(most), "tx_queues": int(one["tx"])}
        if "speed" in one:
            found["speed"] = int(one["speed"])
        return found

    def device_folder(self, one):
        address, _, below = one["on"].partition("/")
        folder = self.machine.pci[address]
        return f"{folder}/{below}" if below else folder

    def sysfs_elsewhere(self, one):
        """The kernel keeps the folder, and shows what is in it only to the namespace that has the interface."""
        if one["on"]:
            self.machine.make_folder(self.device_folder(one) + "/net")

    def sysfs(self, one):
        put, link = self.machine.put, self.machine.link
        name = one["name"]
        device = self.device_folder(one) if one["on"] else ""
        folder = f"{device}/net/{name}" if device else f"/sys/devices/virtual/net/{name}"
        _, operstate = self.state(one)
        is_up, has_carrier = "up" in one["state"].split(), "carrier" in one["state"]
        for file, value in (("address", one["mac"]), ("mtu", one["mtu"].split("/")[0]), ("ifindex", one["index"]),
                            ("operstate", operstate.lower()), ("type", 772 if name == "lo" else 1),
                            ("dev_port", one.get("port", 0)), ("tx_queue_len", 1000)):
            put(f"{folder}/{file}", str(value))
        if is_up: # of an interface that is down the kernel says neither
            put(f"{folder}/carrier", str(int(has_carrier)))
            if "speed" in one:
                put(f"{folder}/speed", one["speed"].replace("4294967295", "-1")) # as sysfs has what ethtool has so
        for queue in range(int(one.get("queues", one.get("rx", "1/1")).split("/")[0])):
            put(f"{folder}/queues/rx-{queue}/rps_cpus", "0")
        below = device.rpartition("/")[2]
        if below.startswith("virtio"):
            link(f"{device}/subsystem", "/sys/bus/virtio")
            link(f"/sys/bus/virtio/devices/{below}", device)
        link(f"{folder}/subsystem", "/sys/class/net")
        link(f"/sys/class/net/{name}", folder)
        if device:
            link(f"{folder}/device", device)
        for other in self.all:
            if "netns" in other or (other["name"] != one.get("master") and other.get("lower") != name):
                continue
            if other["name"] == one.get("master"):
                link(f"{folder}/master", f"/sys/devices/virtual/net/{other['name']}")
            link(f"{folder}/upper_{other['name']}", f"/sys/devices/virtual/net/{other['name']}")
            link(f"/sys/devices/virtual/net/{other['name']}/lower_{name}", folder)


def expand(description, folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    machine = Machine(folder, description.parent)
    for statement in statements(description.read_text()):
        try:
            machine.take(statement)
        except (ValueError, IndexError, KeyError, OSError) as error:
            raise SystemExit(f"{description}:{statement.line}: {statement.text}: {error!r}") from error
    machine.finish()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    expand(pathlib.Path(sys.argv[1]), sys.argv[2])
