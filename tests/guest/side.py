#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""One of two guests: what is done in each. East calls its own; west's waits here to be called, over the card that both kernels keep.

    side.py BUILD MODEL...        west: serves until east says that it is over
"""
import os
import signal
import socket
import subprocess
import sys
import threading

from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import models
import nics

from nic_command import Before, Command, write_wish

EAST, WEST = 1, 2
PORT = 7000


def address(side):
    return f"10.8.0.{side}"


def keep_a_card(side):
    """The one that causeway-nic is told nothing of."""
    kept = nics.interface_of(models.mac(None, side))
    nics.sh("ip", "address", "add", f"{address(side)}/24", "dev", kept)
    nics.sh("ip", "link", "set", kept, "up")


def west():
    return ServerProxy(f"http://{address(WEST)}:{PORT}", allow_none=True, use_builtin_types=True)


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one that is gone: the other way ends by itself


class Side:
    """Its cards, the command that prepares them, and the process of an engine. All that is passed and returned fits XML-RPC."""

    def __init__(self, build, number, wanted):
        self.build, self.number, self.ended = build, number, False
        self.nics = [nics.Nic(model, number, 10 * models.number(model), peer=EAST + WEST - number) for model in wanted]
        self.command = Command(build)
        self.before = self.engine = self.answering = None

    def configure(self):
        for nic in self.nics:
            nic.configure()
        return ", ".join(f"{nic.name} by {nic.driver()}" for nic in self.nics)

    def look(self):
        """How all is before anything was done to it."""
        for nic in self.nics:
            nic.ping()
        self.before = Before(self.command, self.nics)

    def apply(self):
        said = self.command.must("apply", write_wish(self.nics, hugepages="260M"), "--yes")
        for nic in self.nics:
            assert nic.driver() == "vfio-pci", f"{nic.name}: its driver is {nic.driver()!r}"
        return said

    def revert(self):
        return self.command.must("revert", "--yes")

    def check(self):
        self.before.check()

    def answer(self, path):
        """To `verify` at the other end, until `answer_no_more`."""
        self.answering = subprocess.Popen([self.command.program, "verify", path, "--answer", *self._ends()],
                                          stderr=subprocess.PIPE, text=True)
        while "answering" not in (said := self.answering.stderr.readline()):
            assert said, f"{path}: it ends without answering"

    def answer_no_more(self):
        self.answering.send_signal(signal.SIGINT)
        self.answering.communicate(timeout=60)
        return self.answering.returncode

    def verify(self, path):
        """With who answers at the other end. Returns what it said."""
        return self.command.run("verify", path, *self._ends(), "--seconds", "1")[1]

    def _ends(self):
        return "--local", f"10.9.0.{self.number}", "--peer", f"10.9.0.{EAST + WEST - self.number}"

    def start_engine(self, folder, files, config, log, control, environment):
        """folder: where it stores. files: [(path, content)] of what it reads. Returns a port of TCP that leads to its control socket."""
        os.makedirs(folder, mode=0o700)
        for path, content in files:
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
        program = os.path.join(self.build, "dataplane", "engine", "causeway-engine")
        with open(log, "wb") as file:
            self.engine = subprocess.Popen([program, "--config", config], stdout=file, stderr=file, env=dict(os.environ, **environment))
        listener = socket.create_server((address(self.number), 0))
        threading.Thread(target=self._carry, args=(listener, control), daemon=True).start()
        return listener.getsockname()[1]

    def _carry(self, listener, control):
        with listener:
            far, _ = listener.accept()
        near = socket.socket(socket.AF_UNIX)

        def is_there():
            try:
                near.connect(control)
                return True
            except OSError:
                return self.poll_engine() is not None
        with far, near:
            nics.wait_for("the engine serves its socket", is_there, 300)
            back = threading.Thread(target=pump, args=(near, far))
            back.start()
            pump(far, near)
            back.join()

    def poll_engine(self):
        return self.engine.poll()

    def kill_engine(self):
        self.engine.kill()

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def is_there(self):
        return True

    def end(self):
        self.ended = True


def main():
    build, *wanted = sys.argv[1:]
    keep_a_card(WEST)
    side = Side(build, WEST, wanted)
    with SimpleXMLRPCServer((address(WEST), PORT), logRequests=False, allow_none=True, use_builtin_types=True) as server:
        server.register_instance(side)
        while not side.ended:
            server.handle_request()
    print("west: east says that it is over", flush=True)


if __name__ == "__main__":
    main()
