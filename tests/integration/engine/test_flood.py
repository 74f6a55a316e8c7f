#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients of an engine's control socket that ask for all that they can.

test_flood.py PATH-OF-causeway-engine [CASE...]
"""
import select
import socket
import threading

from rig import run_cases, wait_for
from test_two_engines import Client, attach_both, in_sync, open_at


class Flood(threading.Thread):
    """Asks for as much as the socket takes, without end, and reads what it is answered."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.answered, self.is_over = 0, False
        self.start()

    def run(self):
        some = b"".join(b'{"jsonrpc":"2.0","id":1,"method":"%s"}\n' % name for name in (b"status", b"trace.dump", b"none") * 400)
        left = some
        while not self.is_over:
            readable, writable, _ = select.select([self.socket], [self.socket], [], 1)
            try:
                self.answered += self.socket.recv(1 << 20).count(b"\n") if readable else 0
                left = left[self.socket.send(left) if writable else 0:] or some
            except OSError:  # the engine has ended: the case is over
                return


def is_flooded(rig):
    """Clients that ask for all that they can keep nobody waiting but themselves: the lease goes on, others are answered."""
    rig.start()
    attach_both(rig)
    open_at(rig.east)
    in_sync(rig.east)
    client = Client(rig.east)
    floods = [Flood(rig.east.socket) for _ in range(12)]
    try:
        renewed = set()
        while len(renewed) < 8:
            client.write(b"x" * 4096, 0, fua=True)
            assert not rig.east.group()["frozen"]
            renewed.add(rig.store.renewed["east"])
        wait_for("each of them is served", lambda: all(flood.answered > 0 for flood in floods))
    finally:
        for flood in floods:
            flood.is_over = True


if __name__ == "__main__":
    run_cases([(is_flooded, "", {})])
