# SPDX-License-Identifier: BSD-3-Clause
"""Planned moves, one after the other, under clients that reconnect; and an operator who wants the wrong thing.
Imported by lab_test.py."""
import json
import os
import subprocess

import load
from hostile import goes_on
from lab import Lab, expect, group, has_etcd

ROUND = (("switchover", "db", "--site", "west"), ("failback", "db"), ("evacuate", "east"), ("failback", "db"),
         ("switchover", "db", "--site", "west"), ("switchover", "db", "--site", "east"))


def places_of(lab, name, volumes, here="east", there="west"):
    """The URIs at each site: those of the primary's, and the same of the other one."""
    uris = [lab.uri(name, v, here) for v in volumes]
    return [uris, [u.replace(f"/{here}/", f"/{there}/") for u in uris]]


def other(site):
    return "west" if site == "east" else "east"


class Machine:
    """What a virtual machine's disk is: QEMU's NBD client, several writes at a time; it passes on every I/O error."""

    def __init__(self, lab, link, export):
        self.said, self.asked = open(f"{lab.dir}/qemu-io", "w+", errors="replace"), 0
        options = f"driver=nbd,server.type=unix,server.path={link},export={export},reconnect-delay=60"
        self.p = subprocess.Popen(["qemu-io", "--image-opts", options], stdin=subprocess.PIPE, stdout=self.said,
                                  stderr=subprocess.STDOUT, text=True)

    def write(self, count):
        for _ in range(count):
            self.p.stdin.write(f"aio_write -P {self.asked % 250 + 1} {self.asked % 2000 * 4096} 4k\n")
            self.asked += 1
        self.p.stdin.flush()

    def end(self):
        self.p.stdin.write("aio_flush\n")
        self.p.stdin.close()
        expect(self.p.wait(120) == 0, "qemu-io ended in order")
        self.said.seek(0)
        said = self.said.read()
        self.said.close()
        failed = [line for line in said.splitlines() if "failed" in line or "rror" in line]
        expect(not failed, f"the machine saw I/O errors: {failed[:3]}")
        expect(said.count("wrote 4096/4096") == self.asked, f"{said.count('wrote 4096/4096')} of {self.asked} writes")


def move(lab, words, at=()):
    """Asks for it, and gives back the pause; then waits until the other site is level again."""
    told = json.loads(lab.run(*at, *words, "--json"))
    pause = told["pause"] if "pause" in told else told["moved"][0]["pause"]
    lab.wait_state("db", "in-sync", other(lab.group("db")["primary"]))
    return pause["pause_ms"]


def test_moves(build):
    """Switchovers, failbacks, evacuations under a verifying load and a virtual machine's disk, both of which reconnect:
    nothing is lost, and neither sees an I/O error."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M"), ("disk", "16M")))
        link = lab.dir + "/disk"
        lab.run("volume", "attach", "db/disk", "--nbd", link)
        w = load.Patient(61, places_of(lab, "db", ("a", "b")))
        w.start()
        lab.wait("the link", lambda: os.path.exists(link))
        machine = Machine(lab, link, "disk")
        pauses = []
        for words in ROUND:
            goes_on(lab, w, "writes")
            machine.write(200)
            pauses.append(move(lab, words))
            machine.write(200)
        goes_on(lab, w, "writes")
        w.stop()
        machine.end()
        expect(w.error is None, f"the client never saw an I/O error: {w.error}")
        load.check(w, [lab.uri("db", v, "east") for v in ("a", "b")], w.acknowledged)
        return (f"{w.acknowledged} operations and {machine.asked} of a machine; pauses {' '.join(f'{p:.0f}' for p in pauses)} "
                f"ms, seen by the client {' '.join(f'{g * 1e3:.0f}' for g in w.gaps)} ms")


def test_moves_witness(build):
    """The same over a real etcd, some of it asked for at the witness."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness="central") as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        w = load.Patient(62, places_of(lab, "db", "a"))
        w.start()
        pauses = []
        for words in ROUND[:4]:
            goes_on(lab, w, "writes")
            pauses.append(move(lab, words, ("--site", "central") if words[0] != "switchover" else ()))
        goes_on(lab, w, "writes")
        w.stop()
        expect(w.error is None, f"the client never saw an I/O error: {w.error}")
        load.check(w, [lab.uri("db", "a", "east")], w.acknowledged)
        return (f"{w.acknowledged} operations; pauses {' '.join(f'{p:.0f}' for p in pauses)} ms, seen by the client "
                f"{' '.join(f'{g * 1e3:.0f}' for g in w.gaps)} ms")


def at_once(lab, *commands):
    both = [subprocess.Popen([lab.cli, *c], env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for c in commands]
    return [(p.communicate(timeout=120)[0], p.returncode) for p in both]


def one_primary(lab, name):
    roles = [lab.engine_group(site, name)["role"] for site in ("east", "west")]
    return sorted(roles) == ["primary", "replica"]


def settle(lab):
    lab.wait("one is primary", lambda: one_primary(lab, "db"))
    lab.wait_state("db", "in-sync", other(lab.group("db")["primary"]))
    return lab.group("db")["primary"]


def test_wrong_operator(build):
    """Under a verifying load: the wrong site, two sites at once, twice, in the middle of catching up, to itself, nowhere,
    both sites evacuated. Each is refused with the reason, or safe; nothing is lost."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        group(lab, "far", "async", volumes=(("a", "8M"),))
        w = load.Patient(63, places_of(lab, "db", "a"))
        w.start()
        goes_on(lab, w, "writes")
        epoch = lab.group("db")["epoch"]
        refusals = [(("failback", "db"), 3, "that is where it belongs"), (("promote", "db", "--site", "nowhere"), 2, "nowhere"),
                    (("evacuate", "nowhere"), 2, "no site is called"), (("switchover", "db", "--site", "nowhere"), 2, "nowhere"),
                    (("promote", "far", "--site", "west"), 3, "causeway switchover far --site west")]
        for words, code, why in refusals:
            p = lab.try_run(*words)
            expect(p.returncode == code and why in p.stderr, f"{words}: {p.returncode} {p.stderr}")
        lab.run("switchover", "db", "--site", "east")  # to itself
        lab.run("promote", "db", "--site", "east")
        expect(lab.group("db")["epoch"] == epoch, "nothing has moved")
        for commands in ((("switchover", "db", "--site", "west"), ("switchover", "db", "--site", "west")),
                         (("promote", "db", "--site", "east"), ("promote", "db", "--site", "west")),
                         (("switchover", "db", "--site", "east"), ("promote", "db", "--site", "west")),
                         (("failback", "db"), ("failback", "db")),
                         (("evacuate", "east"), ("evacuate", "east")),
                         (("--site", "east", "evacuate", "east"), ("--site", "west", "evacuate", "west"))):
            told = at_once(lab, *commands)
            expect(all(code in (0, 1, 3) and said.strip() for said, code in told), f"{commands}: {told}")
            settle(lab)
            goes_on(lab, w, "writes")
        here = settle(lab)
        lab.run("lab", "cut", "east", "west")
        lab.wait("the other one has left the set", lambda: lab.group("db")["members"] == [here])
        for words in (("promote", "db", "--site", other(here)), ("switchover", "db", "--site", other(here))):
            p = lab.try_run(*words)
            expect(p.returncode == 3 and "not in the in-sync set" in p.stderr, f"{words}: {p.returncode} {p.stderr}")
        lab.run("lab", "heal")
        p = lab.try_run("promote", "db", "--site", other(here))  # it catches up: not yet, or just so
        expect(p.returncode in (0, 3), f"{p.returncode} {p.stderr}")
        here = settle(lab)
        goes_on(lab, w, "writes")
        w.stop()
        expect(w.error is None, f"the client never saw an I/O error: {w.error}")
        load.check(w, [lab.uri("db", "a", here)], w.acknowledged)
        return f"{w.acknowledged} operations, {len(w.gaps)} reconnections, epoch {lab.group('db')['epoch']}"
