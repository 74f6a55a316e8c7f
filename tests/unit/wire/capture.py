# SPDX-License-Identifier: BSD-3-Clause
"""Captures for tests: UDP payloads into a pcap file, and what tshark with our dissector makes of it."""

import pathlib
import shutil
import struct
import subprocess

DISSECTOR = pathlib.Path(__file__).resolve().parents[3] / "dataplane/wire/causeway.lua"
RAW_IP = 101  # LINKTYPE_RAW


def have_tshark():
    return shutil.which("tshark") is not None


def packet(payload, port):
    udp = struct.pack(">HHHH", 49999, port, 8 + len(payload), 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0, bytes([10, 0, 0, 1]),
                       bytes([10, 0, 0, 2])) + udp


def write(path, payloads, port=7400):
    """payloads: bytes, or (bytes, port), or (bytes, port, how much of the packet was captured)."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW_IP))
        for number, payload in enumerate(payloads):
            payload = payload if isinstance(payload, tuple) else (payload, port)
            whole = packet(payload[0], payload[1])
            captured = whole[:payload[2]] if len(payload) > 2 else whole
            file.write(struct.pack("<IIII", number, 0, len(captured), len(whole)) + captured)


def tshark(path, *arguments):
    """Its lines. Whatever Lua complains of, on stderr or in a tree, fails."""
    command = ["tshark", "-n", "-X", f"lua_script:{DISSECTOR}", "-r", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Lua" not in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    errors = [line for line in lines if "Lua Error" in line]
    assert not errors, errors[:4]
    return lines


def fields(path, names, only="causeway"):
    """One dict a packet: field -> text as tshark has it, '' when it is not there."""
    arguments = ["-Y", only, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a"]
    for name in names:
        arguments += ["-e", name]
    return [dict(zip(names, line.split("|"))) for line in tshark(path, *arguments)]
