#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kernel TCP through a WAN: two network namespaces, a veth pair from each to wanem, one stream.

    tcp.py WANEM SPEC [--seconds S] [--congestion cubic|bbr] [--port af_packet|af_xdp]

Prints one line of JSON: goodput at the receiver after the first second, and what wanem counted. Offloads of the
interfaces are off, so that real packets go over the WAN. Root.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

MTU = 1500
TAG = f"wtcp{os.getpid() % 10000}"
SETTINGS = {"net.ipv4.tcp_wmem": "4096 65536 134217728", "net.ipv4.tcp_rmem": "4096 131072 134217728",
            "net.ipv6.conf.all.disable_ipv6": "1"}


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def space(name):
    return f"{TAG}-{name}"


def make_spaces():
    run("ip", "netns", "add", space("wan"))
    for i, name in enumerate(("a", "b")):
        near, far = f"{TAG}{name}", f"{TAG}{name}w"
        run("ip", "netns", "add", space(name))
        for key, value in SETTINGS.items():
            run("ip", "netns", "exec", space(name), "sysctl", "-q", "-w", f"{key}={value}")
        run("ip", "link", "add", near, "netns", space(name), "type", "veth", "peer", "name", far, "netns", space("wan"))
        run("ip", "-n", space(name), "addr", "add", f"10.78.0.{i + 1}/24", "dev", near)
        for where, interface in ((name, near), ("wan", far)):
            run("ip", "netns", "exec", space(where), "ethtool", "-K", interface, "tso", "off", "gso", "off",
                "gro", "off", "tx", "off")
            run("ip", "-n", space(where), "link", "set", interface, "mtu", str(MTU), "up")


def remove_spaces():
    for name in ("a", "b", "wan"):
        subprocess.run(["ip", "netns", "del", space(name)], stderr=subprocess.DEVNULL)


def start_wanem(options, folder):
    devices = [f"net_{options.port}{i},iface={TAG}{name}w" for i, name in enumerate("ab")]
    stats = f"{folder}/stats"
    wanem = subprocess.Popen(["ip", "netns", "exec", space("wan"), options.wanem, "--a", devices[0], "--b", devices[1],
                              "--wan", options.spec, "--mtu", str(MTU), "--stats", stats],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if os.path.exists(stats):
            return wanem
        if wanem.poll() is not None:
            raise RuntimeError("wanem ended: look at it by hand")
        time.sleep(0.1)
    raise RuntimeError("wanem does not come up")


def enter(name):
    """This thread, and the sockets it makes, into a namespace."""
    with open(f"/run/netns/{space(name)}") as f:
        os_setns(f.fileno())


def os_setns(fd):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def receive(result, ready):
    enter("b")
    listener = socket.create_server(("10.78.0.2", 5001))
    ready.set()
    connection, _ = listener.accept()
    buffer, total, marks = bytearray(1 << 20), 0, []
    while True:
        n = connection.recv_into(buffer)
        if n == 0:
            break
        total += n
        marks.append((time.monotonic(), total))
    begin = next((m for m in marks if m[0] >= marks[0][0] + 1), marks[0])
    span = marks[-1][0] - begin[0]
    result["goodput_mbit"] = round((total - begin[1]) * 8e-6 / span, 1) if span > 0 else 0
    result["bytes"] = total


def send(options):
    enter("a")
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, options.congestion.encode())
    s.settimeout(60)
    s.connect(("10.78.0.2", 5001))
    end, data = time.monotonic() + options.seconds, bytes(1 << 18)
    while time.monotonic() < end:
        s.send(data)
    s.close()


def transfer(options):
    result, ready = {}, threading.Event()
    receiver = threading.Thread(target=receive, args=(result, ready), daemon=True)
    receiver.start()
    if not ready.wait(60):
        raise RuntimeError("no receiver")
    sender = threading.Thread(target=send, args=(options,), daemon=True)
    sender.start()
    sender.join(options.seconds + 60)
    receiver.join(120)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wanem")
    parser.add_argument("spec")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--congestion", default="cubic")
    parser.add_argument("--port", default="af_packet", choices=("af_packet", "af_xdp"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of what removes the namespaces
    folder, wanem = tempfile.mkdtemp(prefix="wtcp-", dir="/tmp"), None
    try:
        make_spaces()
        wanem = start_wanem(options, folder)
        result = transfer(options)
        time.sleep(1.2)  # until it has written its counters
        with open(f"{folder}/stats") as f:
            counters = json.load(f)
        print(json.dumps({"tcp": options.congestion, "port": options.port, "spec": options.spec, **result,
                          "directions": counters["directions"]}))
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # a second one does not end this
            signal.signal(number, signal.SIG_IGN)
        if wanem:
            wanem.terminate()
            wanem.wait(60)
        remove_spaces()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
