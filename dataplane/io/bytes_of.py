#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bytes_of.py NAME FROM TO: writes the bytes of a file as a C array of that name, for a program that carries it."""
import sys

name, source, target = sys.argv[1:]
with open(source, "rb") as f:
    data = f.read()
with open(target, "w", encoding="ascii") as f:
    f.write(f"/* Made of {source.rsplit('/', 1)[-1]}. */\nstatic const unsigned char {name}[{len(data)}] = {{\n")
    for at in range(0, len(data), 16):
        f.write("    " + " ".join(f"{b:#04x}," for b in data[at:at + 16]) + "\n")
    f.write("};\n")
