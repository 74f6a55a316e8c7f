# SPDX-License-Identifier: BSD-3-Clause
"""Two engines of a rig over real drivers, a verified load, and a replica that is compared byte by byte."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "engine"))

import nbd  # noqa: E402

import rig as engines  # noqa: E402

from rig import wait_for  # noqa: E402

engines.LIMIT_SECONDS = 300.0

SIZE = 8 << 20


def give_card(engine, path, own_mac, peer_mac):
    """The engine's configuration gets this prepared path in place of its memif, and the engine less memory."""
    own = engines.SITES.index(engine.site) + 1
    with open(engine.config) as file:
        lines = file.read().split("\n")
    with open(engine.config, "w") as file:
        for line in lines:
            if "device: net_memif" in line:
                line = "    device: prepared"
            line = line.replace("name: wan0", f"name: {path}")
            line = line.replace("payload_mb: 32, receive_mb: 32", "payload_mb: 16, receive_mb: 16")
            line = line.replace(f"02:ca:00:00:00:0{own}", own_mac).replace(f"02:ca:00:00:00:0{3 - own}", peer_mac)
            file.write(line + "\n")


def open_volume(rig, mode="sync"):
    for engine in rig.engines:
        engine.attach(mode=mode, journal_mb=16, replica_timeout_ms=60000)
        engine.volume(size=SIZE)
    rig.east.open()
    rig.east.wait_role("primary")
    return wait_for("the volume is open", lambda: rig.east.group()["volumes"][0]["uri"])


def fio(uri):
    """Every block once, in random order, some of them again; each read back and its checksum compared."""
    command = ["fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bsrange=4k-64k", "--blockalign=4k",
               f"--size={SIZE}", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--randrepeat=1",
               "--output-format=terse", "--terse-version=3"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=engines.LIMIT_SECONDS)
    fields = done.stdout.strip().split("\n")[-1].split(";")
    assert done.returncode == 0 and fields[4] == "0", f"fio: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return int(fields[46]) >> 10, int(fields[5]) >> 10  # MiB written, read


def contents(uri):
    client = nbd.NBD()
    client.connect_uri(uri)
    client.flush()
    data = b"".join(bytes(client.pread(1 << 20, at)) for at in range(0, SIZE, 1 << 20))
    client.shutdown()
    return data


def replicate(rig):
    """rig: with its cards, not started. Says what it has seen."""
    rig.start()
    uri = open_volume(rig)
    wait_for("west to be in the set", lambda: "west" in [m["site"] for m in rig.store.row(1)["set"]])
    written, verified = fio(uri)
    data = contents(uri)
    wait_for("west has it all", lambda: rig.west.group()["applied"] == rig.east.group()["head"])
    image = rig.west.image()
    different = [at for at in range(0, SIZE, 4096) if image[at:at + 4096] != data[at:at + 4096]]
    assert image == data, f"{len(different)} blocks of west differ, the first at {different[0]}"
    for engine in rig.engines:
        status = engine.status()
        assert status["allocations_on_lcore"] == 0
        assert status["paths"][0]["up"]
    for engine in rig.engines:
        engine.stop()
    return f"{written} MiB written, {verified} MiB verified by fio, {SIZE >> 20} MiB of the replica the same byte by byte"
