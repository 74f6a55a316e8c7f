# SPDX-License-Identifier: BSD-3-Clause
"""NBD clients as many as a node takes, and clients that take no replies. Imported by lab_test.py."""
import json
import os
import resource
import socket
import struct
import subprocess

from lab import MIB, Lab, expect, group, socket_of

PER_VOLUME, VOLUMES = 128, 8
READ, WRITE = 0, 1


class Client:
    """A bare NBD connection: simple replies, and only those that are asked for are read."""

    def __init__(self, path, name):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path)
        self.take(18)
        name = name.encode()
        self.s.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 1, len(name)) + name)
        self.take(10)

    def take(self, count):
        data = b""
        while len(data) < count:
            piece = self.s.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def ask(self, kind, offset, length, payload=b""):
        self.s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length) + payload)

    def call(self, kind, offset, length, payload=b""):
        self.ask(kind, offset, length, payload)
        magic, error, _ = struct.unpack(">IIQ", self.take(16))
        expect(magic == 0x67446698 and error == 0, f"{magic:x} {error}")
        return self.take(length) if kind == READ else b""


def counters(lab):
    return json.loads(lab.run("--site", "east", "rpc", "status", "{}"))["nbd"]


def memory(pid):
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
    return (int(status["VmRSS"].split()[0]) + int(status.get("HugetlbPages", "0 kB").split()[0])) // 1024


def refused_to_start(lab):
    """A hard limit that is too low, and no right to raise it."""
    p = subprocess.run(["setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=512:512",
                        f"{lab.build}/dataplane/engine/causeway-engine", "--config",
                        f"{lab.dir}/lab/west/node.yaml"], capture_output=True, text=True, timeout=60, env=lab.env)
    expect(p.returncode == 1 and "open files" in p.stderr and "512" in p.stderr, f"{p.returncode} {p.stderr}")


def test_many_clients(build):
    """1024 clients of 8 volumes, with a soft limit of 256 open files where the lab was brought up: all are served,
    one more of a volume is closed, and they cost little memory; a hard limit that is too low is said at the start."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    with Lab(build) as lab:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, before[1]))
        try:
            group(lab, "db", volumes=[(f"v{i}", "8M") for i in range(VOLUMES)])
            clients, idle = [], memory(lab.pids("east")["causeway-engine"])
            for i in range(VOLUMES):
                path = socket_of(lab.uri("db", f"v{i}", "east"))
                clients += [Client(path, f"v{i}") for _ in range(PER_VOLUME)]
            for i, client in enumerate(clients):
                client.call(WRITE, i % PER_VOLUME * 4096, 4096, bytes([i % 251]) * 4096)
            for i, client in enumerate(clients):
                expect(client.call(READ, i % PER_VOLUME * 4096, 4096) == bytes([i % 251]) * 4096, f"client {i}")
            used = memory(lab.pids("east")["causeway-engine"])
            expect(used - idle < 64, f"{used} MiB with {len(clients)} clients, {idle} with none")
            try:
                Client(path, f"v{VOLUMES - 1}")
            except ConnectionError:
                pass
            else:
                raise AssertionError("one more client of a volume than it may have")
            lab.run("lab", "kill", "west")
            refused_to_start(lab)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        return f"{len(clients)} clients, {used - idle} MiB for them"


def test_deaf_clients(build):
    """Four clients ask for all that they can have, in requests of one size, and read nothing, and come again: one
    that takes its replies is served on, without anybody having to be cut off for it."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("v", "16M"),))
        path = socket_of(lab.uri("db", "v", "east"))
        good = Client(path, "v")
        for length in (4096, 131072, MIB, 4 * MIB):
            for _ in range(3):
                deaf = [Client(path, "v") for _ in range(4)]
                for client in deaf:
                    client.s.settimeout(0.3)
                    try:
                        for _ in range(64):
                            client.ask(READ, 0, length)
                    except TimeoutError:
                        pass
                for n in (4096, 131072, MIB, 4 * MIB):  # the last one is more than its share then
                    good.call(WRITE, 0, n, os.urandom(n))
                    good.call(READ, 0, n)
                for client in deaf:
                    client.s.close()
        told = counters(lab)
        expect(told["stalled"] == 0, f"cut off: {told}")
        return f"waits for own replies {told['waits_for_own_replies']}"
