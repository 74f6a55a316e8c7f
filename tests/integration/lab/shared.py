# SPDX-License-Identifier: BSD-3-Clause
"""Sites whose interfaces stay the kernel's: replication and the kernel's own traffic share them.
Imported by lab_test.py."""
import re
import socket
import subprocess
import threading

import load
from lab import Lab, expect, group, may_make_namespaces
from wire import in_space

MIB = 1 << 20
ADDRESS = {"east": "10.77.0.1", "west": "10.77.0.2"}


def give_to_kernel(lab, site):
    """The path's address is the kernel's from now on, and it may ask for others."""
    space, end = place(lab, site)
    # what the killed engine had there was for an interface of its own
    for words in (f"link set dev {end} xdp off", f"addr add {ADDRESS[site]}/24 dev {end}", f"link set dev {end} arp on"):
        subprocess.run(["ip", "-n", space, *words.split()], check=True)


def place(lab, site):
    tag = lab.settings()["tag"]
    return f"cw{tag}-{site}", f"cw{tag}{'a' if site == 'east' else 'b'}0"


def share(lab, site):
    config = f"{lab.dir}/lab/{site}/node.yaml"
    with open(config) as f:
        text = re.sub(r'mac: "[^"]*", ', "", f.read())
    with open(config, "w") as f:
        f.write(re.sub(r"(\n    mtu: )", r"\n    shared: true\1", text))


def has_program(lab, site):
    space, end = place(lab, site)
    shown = subprocess.run(["ip", "-n", space, "link", "show", "dev", end], capture_output=True, text=True, check=True)
    return "prog/xdp" in shown.stdout


def kernel_s_own(lab):
    """East's kernel sends west's a few MiB by TCP."""
    def make(call, *args):
        s = socket.socket()
        s.settimeout(60)
        getattr(s, call)(*args)
        return s
    listener = in_space(place(lab, "east")[0], lambda: make("bind", (ADDRESS["east"], 7400)))
    listener.listen()
    sender = threading.Thread(target=lambda: listener.accept()[0].sendall(bytes(4 * MIB)))
    sender.start()
    client = in_space(place(lab, "west")[0], lambda: make("connect", (ADDRESS["east"], 7400)))
    got = 0
    while got < 4 * MIB:
        data = client.recv(MIB)
        expect(data, f"the kernel's TCP ended after {got} bytes")
        got += len(data)
    sender.join()
    client.close()
    listener.close()


def test_shared_interface(build):
    """af_xdp on interfaces that the kernel keeps: refused without a word of it; then replication under load with the
    kernel's own TCP beside it, kill -9 leaves no program at the interface, and the site is back in sync."""
    if not may_make_namespaces():
        print("SKIP: shared_interface: no right to make network namespaces")
        return "skipped"
    with Lab(build, link="veth") as lab:
        has_xdp = "net_af_xdp" in open(f"{lab.dir}/lab/east/node.yaml").read()
        for site in ADDRESS:
            lab.run("lab", "kill", site)
            give_to_kernel(lab, site)
        if has_xdp:
            refused = lab.try_run("lab", "start", "east")
            expect(refused.returncode != 0, "an engine took an interface from the kernel")
            expect("say `shared: true`" in open(f"{lab.dir}/lab/east/engine.log").read(), "it is said why")
        for site in ADDRESS:
            share(lab, site)
            lab.run("lab", "start", site)
        group(lab, "db", volumes=(("a", "16M"),))
        told = lab.rpc("east", "status")["paths"][0]["port"]
        expect("shared with the kernel: next hop 10.77.0.2 is 02:ca:" in told, told)
        expect(has_program(lab, "east") == has_xdp, "the program is there")
        w = load.Writer(53).connect([lab.uri("db", "a", "east")])
        w.start()
        lab.wait("traffic", lambda: w.acknowledged > 100)
        before = w.acknowledged
        kernel_s_own(lab)
        lab.wait("writes go on beside it", lambda: w.acknowledged > before)
        lab.run("lab", "kill", "west")
        lab.wait("nothing of west's is left at its interface", lambda: not has_program(lab, "west"))
        lab.run("lab", "start", "west")
        lab.wait_state("db", "in-sync", "west", site="east")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"{w.acknowledged} operations beside the kernel's traffic"
