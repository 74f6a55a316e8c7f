# SPDX-License-Identifier: BSD-3-Clause
"""NBD over TLS: a stock nbdkit in front of a volume, with certificates made here and real clients.
Imported by lab_test.py."""
import json
import os
import signal
import socket
import subprocess

import nbd

import load
from lab import MIB, Lab, command_lines, expect, group, shell


class Authority:
    """A certificate authority, and directories with what it signed, as nbdkit and libnbd want them."""

    def __init__(self, directory, name):
        self.key, self.certificate = f"{directory}/{name}-key.pem", f"{directory}/{name}.pem"
        self.directory, self.name = directory, name
        shell("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
              "-days", "2", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)
        self.revocations, self.book = f"{directory}/{name}-crl.pem", f"{directory}/{name}.book"
        with open(f"{directory}/{name}.conf", "w") as f:
            f.write(f"[ca]\ndefault_ca=us\n[us]\ndatabase={self.book}\ndefault_md=sha256\ndefault_crl_days=2\n")
        open(self.book, "w").close()
        self._list()

    def _ca(self, *words):
        shell("openssl", "ca", "-config", f"{self.directory}/{self.name}.conf", "-keyfile", self.key, "-cert",
              self.certificate, *words)

    def _list(self):
        self._ca("-gencrl", "-out", self.revocations)

    def revoke(self, where, role):
        """The pair of `role` in that directory; the new list is in self.revocations."""
        self._ca("-revoke", f"{where}/{role}-cert.pem")
        self._list()

    def sign(self, role, trusts=None, number=1):
        """A directory for `role`, "server" or "client": its pair signed by us, and whom it trusts."""
        where = f"{self.directory}/{role}{number}-of-{self.name}-{(trusts or self).name}"
        os.mkdir(where)
        pair, request = f"{where}/{role}", f"{where}/request.pem"
        shell("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
              "-subj", f"/CN={role}", "-keyout", f"{pair}-key.pem", "-out", request)
        with open(f"{where}/extensions", "w") as f:
            f.write(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={role}Auth\n")
        shell("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
              "-CAcreateserial", "-days", "2", "-extfile", f"{where}/extensions", "-out", f"{pair}-cert.pem")
        shell("cp", (trusts or self).certificate, f"{where}/ca-cert.pem")
        shell("cp", (trusts or self).revocations, f"{where}/ca-crl.pem")
        return where


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def tls_client(port, certificates):
    h = nbd.NBD()
    h.set_tls(nbd.TLS_REQUIRE)
    if certificates:
        h.set_tls_certificates(certificates)
    h.connect_tcp("127.0.0.1", str(port))
    return h


def is_refused(port, certificates):
    """Neither a connection nor a byte. (A refused client of TLS 1.3 may notice with its first request only.)"""
    try:
        tls_client(port, certificates).pread(512, 0)
    except nbd.Error:
        return True
    return False


def has_ended(client):
    try:
        client.pread(512, 0)
    except nbd.Error:
        return True
    return False


def nbdkits(lab, port):
    """Processes that serve the port for this lab: {pid: site}"""
    found = {}
    for pid, words in command_lines():
        where = next((w for w in words if w.startswith(f"socket={lab.dir}/lab/")), None)
        if os.path.basename(words[0]) == "nbdkit" and where and str(port) in words:
            found[pid] = where[len(f"socket={lab.dir}/lab/"):].split("/")[0]
    return found


def test_tls(build):
    """--nbd-tls: real clients read and write; a stranger's certificate or none is refused, and so is plain NBD;
    nbdkit is started again after kill -9; the port follows a switchover and is closed by detach."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        port = free_port()
        ours, theirs = Authority(lab.dir, "ours"), Authority(lab.dir, "theirs")
        server, client = ours.sign("server"), ours.sign("client")
        lab.run("volume", "attach", "db/a", "--nbd-tls", f"127.0.0.1:{port}", "--certificates", client, code=2)
        lab.run("volume", "attach", "db/a", "--nbd-tls", f"127.0.0.1:{port}", "--certificates", server)
        lab.wait("the port is open", lambda: is_open(port))
        w = load.Writer(71)
        w.handles = [tls_client(port, client)]
        for _ in range(100):
            w.one()
        info = json.loads(shell("nbdinfo", "--json", f"nbds://127.0.0.1:{port}/?tls-certificates={client}"))
        expect(info["exports"][0]["export-size"] == 16 * MIB and info["TLS"], f"nbdinfo: {info}")
        for what, certificates in (("none", None), ("theirs", theirs.sign("client")),
                                   ("trusts us, signed by them", theirs.sign("client", ours)),
                                   ("trusts them, signed by us", ours.sign("client", theirs))):
            expect(is_refused(port, certificates), f"a client was let in with certificates: {what}")
        expect(subprocess.run(["nbdinfo", f"nbd://127.0.0.1:{port}/"], capture_output=True).returncode != 0,
               "plain NBD was let in")
        w.close()

        first = set(nbdkits(lab, port))
        os.kill(next(iter(first)), signal.SIGKILL)
        # A process that ends loses its words before its sockets: another one's are waited for.
        lab.wait("nbdkit is there again", lambda: set(nbdkits(lab, port)) - first and is_open(port))
        through = f"driver=nbd,host=127.0.0.1,port={port},tls-creds=t,tls-hostname=127.0.0.1"
        shell("qemu-img", "compare", "--object", f"tls-creds-x509,id=t,dir={client},endpoint=client",
              "--image-opts", through, f"driver=nbd,export=a,path={lab.dir}/lab/east/nbd/db-a.sock")

        lab.run("switchover", "db", "--site", "west")
        lab.wait("nbdkit of west alone", lambda: set(nbdkits(lab, port).values()) == {"west"} and is_open(port))
        w.handles = [tls_client(port, client)]
        for _ in range(50):
            w.one()
        w.close()
        held, engine = tls_client(port, client), lab.pids("west")["causeway-engine"]
        os.kill(engine, signal.SIGSTOP)
        try:  # a client whose request hangs keeps nothing open
            held.aio_pread(nbd.Buffer(512), 0)
            lab.run("volume", "detach", "db/a", "--nbd-tls")
            lab.wait("the port is closed, nbdkit gone", lambda: not is_open(port) and not nbdkits(lab, port))
        finally:
            os.kill(engine, signal.SIGCONT)
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        return f"{w.acknowledged} operations"


def test_tls_revoked(build):
    """A list of revocations that is copied while nbdkit runs ends the session of who is revoked and keeps him out,
    others come back, and so do they after a renewal; without a list, or with another authority's, nothing is
    served."""
    with Lab(build) as lab:
        group(lab, "db", volumes=(("a", "16M"),))
        port, ours = free_port(), Authority(lab.dir, "ours")
        server, good, bad = ours.sign("server"), ours.sign("client"), ours.sign("client", number=2)
        attach = ("volume", "attach", "db/a", "--nbd-tls", f"127.0.0.1:{port}", "--certificates", server)
        os.rename(server + "/ca-crl.pem", server + "/away")
        refusal = lab.try_run(*attach)
        expect(refusal.returncode == 2 and "ca-crl.pem" in refusal.stderr and "copy" in refusal.stderr,
               f"a directory without a list: {refusal}")
        os.rename(server + "/away", server + "/ca-crl.pem")
        os.mkdir(lab.dir + "/again")
        others = {"another's list": Authority(lab.dir, "theirs").revocations,
                  "a list of another authority of the same name": Authority(lab.dir + "/again", "ours").revocations,
                  "no list": server + "/ca-cert.pem"}
        for what, crl in others.items():
            shell("cp", crl, server + "/ca-crl.pem")
            refusal = lab.try_run(*attach)
            expect(refusal.returncode == 2 and "copy " in refusal.stderr, f"{what}: {refusal}")
        shell("cp", ours.revocations, server + "/ca-crl.pem")
        lab.run(*attach)
        lab.wait("the port is open", lambda: is_open(port))
        held = tls_client(port, bad)
        held.pread(512, 0)
        ours.revoke(bad, "client")
        shell("cp", ours.revocations, server + "/ca-crl.pem")
        lab.wait("the session of who is revoked has ended", lambda: has_ended(held))
        lab.wait("the others come back", lambda: not is_refused(port, good))
        expect(is_refused(port, bad), "a revoked client was let in")

        first, renewed = set(nbdkits(lab, port)), ours.sign("server", number=2)
        os.replace(renewed + "/server-cert.pem", server + "/server-cert.pem")
        os.replace(renewed + "/server-key.pem", server + "/server-key.pem")
        lab.wait("the new certificate is in use", lambda: set(nbdkits(lab, port)) - first and not is_refused(port, good))

        os.rename(server + "/ca-crl.pem", server + "/away")
        lab.wait("it is told", lambda: "stays with the certificates" in lab.run("events"))
        expect(not is_refused(port, good) and is_refused(port, bad), "what was read stays")
        first = set(nbdkits(lab, port))
        os.kill(next(iter(first)), signal.SIGKILL)
        lab.wait("it is told", lambda: "is not served" in lab.run("events"))
        expect(not is_open(port), "served without a list of revocations")
        os.rename(server + "/away", server + "/ca-crl.pem")
        lab.wait("it is served again", lambda: not is_refused(port, good))
        expect(is_refused(port, bad), "a revoked client was let in")
        let_nobody_in_by_anothers_list(lab, port, server, others, (good, bad))
        expect(is_refused(port, bad), "a revoked client was let in")
        return "revoked, renewed, without a list, with another's"


def let_nobody_in_by_anothers_list(lab, port, server, others, clients):
    """While it runs it stays with the list that it has read; when it has ended, nothing is served."""
    good, bad = clients
    for what, crl in others.items():
        told = lab.run("events").count("is not served")
        first = set(nbdkits(lab, port))
        shell("cp", crl, server + "/ca-crl.pem")
        lab.wait(f"{what}: it is told", lambda: lab.run("events").count("stays with the certificates") > told)
        expect(not is_refused(port, good) and is_refused(port, bad), f"{what}: what was read stays")
        os.kill(next(iter(first)), signal.SIGKILL)
        lab.wait(f"{what}: it is told", lambda: lab.run("events").count("is not served") > told)
        expect(not is_open(port), f"{what}: served with it")
        shell("cp", f"{lab.dir}/ours-crl.pem", server + "/ca-crl.pem")
        lab.wait("it is served again", lambda: not is_refused(port, good))
