# SPDX-License-Identifier: BSD-3-Clause
"""Sites that know each other by certificates: revocation under load, and everybody who is refused, in words.
Imported by lab_test.py."""
import os
import re
import shutil
import subprocess
import time

import load
from hostile import goes_on, writer
from lab import Lab, expect, group


def authority(lab):
    return lab.dir + "/lab/authority"


def refused(lab, site, reason):
    return lab.rpc(site, "status")["paths"][0]["counters"]["refused_" + reason]


def says(lab, *words):
    """The events, once one line of them has all these words."""
    return lab.wait(" ".join(words), lambda: next((line for line in lab.run("events").splitlines()
                                                   if all(w in line for w in words)), None))


def is_up(lab):
    return lambda: all(p["up"] for p in lab.status("east")["paths"])


def check_configuration(lab, site):
    engine = os.path.join(lab.build, "dataplane", "engine", "causeway-engine")
    return subprocess.run([engine, "--config", f"{lab.dir}/lab/{site}/node.yaml", "--check"], capture_output=True,
                          text=True)


def test_certificates(build):
    """Revoked under load: the session ends and that is said, writes go on alone; with a new certificate the site
    comes back by itself; nothing is lost."""
    with Lab(build, extra=("--tls",)) as lab:
        expect(not os.path.exists(lab.dir + "/lab/cluster.key"), "there is no key beside the certificates")
        expect(lab.run("lab", "status").count("with certificates") == 1, "lab status tells")
        group(lab, "db", volumes=(("a", "16M"),))
        w = writer(lab, 51)
        goes_on(lab, w, "writes arrive")
        name = lab.rpc("east", "status")["paths"][0]["certificate"]
        expect(name.startswith("west/west (serial "), f"who is there: {name}")
        since = time.monotonic()
        lab.run("cert", "revoke", "west", "--directory", authority(lab))
        said = says(lab, "west is refused", "revoked", "cert issue")
        says(lab, "path wan0 to west is down", "certificate")
        says(lab, "own certificate will be refused", "revoked")
        lab.wait_health("db", "unprotected", site="east")
        goes_on(lab, w, "writes go on alone")
        lab.wait("each attempt is counted", lambda: refused(lab, "east", "revoked") >= 3)
        minutes = (time.monotonic() - since) / 60
        expect(lab.run("events").count("west is refused") <= 2 + minutes, "and told once a minute")
        lab.run("cert", "issue", "west", "--directory", authority(lab))
        lab.rpc("west", "certificates.reload")
        lab.wait_state("db", "in-sync", "west")
        w.stop()
        expect(w.error is None, f"the writer never noticed: {w.error}")
        lab.run("switchover", "db", "--site", "west")
        load.check(w, [lab.uri("db", "a", "west")], w.acknowledged)
        for site in ("east", "west"):
            expect(lab.rpc(site, "status")["allocations_on_lcore"] == 0, "no allocation on lcores")
        return said.split("path", 1)[-1][:90]


def restart(lab, site, change):
    config = f"{lab.dir}/lab/{site}/node.yaml"
    lab.run("lab", "kill", site)
    with open(config) as f:
        text = f.read()
    with open(config, "w") as f:
        f.write(change(text))
    lab.run("lab", "start", site)
    return text


def other_authority(lab):
    """One of the same name that is not ours; west takes its certificate and trusts both."""
    theirs, ours = lab.dir + "/theirs", authority(lab) + "/issued/west/west"
    lab.run("cert", "init", "lab", "--directory", theirs)
    lab.run("cert", "issue", "west", "--directory", theirs)
    for name in ("ca-cert.pem", "ca-crl.pem"):
        with open(f"{theirs}/issued/west/west/{name}", "a") as to, open(f"{ours}/{name}") as f:
            to.write(f.read())
    return theirs + "/issued/west/west"


def test_certificates_refused(build):
    """Another authority, another node, a cluster key: no path, counted by reason, said with the next step."""
    with Lab(build, extra=("--tls",)) as lab:
        lab.wait("the path", is_up(lab))
        ours, theirs = authority(lab) + "/issued/west/west", other_authority(lab)
        good = restart(lab, "west", lambda text: text.replace(ours, theirs))
        says(lab, "west is refused", "authority")
        expect(refused(lab, "east", "other_authority") >= 1, "counted")
        two = good.replace("lcores: {net: 0, store: 0}", "lcores: {net: 0, store: 1}")
        restart(lab, "west", lambda _: two if os.cpu_count() > 1 else good)  # a net thread of its own asks and hears, too
        lab.wait("the path", is_up(lab))

        plain = restart(lab, "east", lambda text: re.sub("(    remote: west\n)", "\\1    remote_node: west-9\n", text))
        says(lab, "west is refused", "west/west", "west/west-9", "remote_node")
        says(lab, "refuses our certificate")
        expect(refused(lab, "east", "other_site") >= 1 and refused(lab, "west", "by_peer") >= 1, "counted")
        restart(lab, "east", lambda _: plain)
        lab.wait("the path", is_up(lab))

        key = lab.dir + "/some.key"
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(32))
        restart(lab, "west", lambda text: re.sub(r"security:\n(  .*\n){4}", f"cluster_key: {key}\n", text))
        said = says(lab, "handshakes from east are refused", "certificates")
        lab.wait("no path", lambda: not is_up(lab)())
        return said.strip()[-90:]


def test_certificates_check(build):
    """--check tells file, line and what was expected; an engine that runs keeps what it has when files break."""
    with Lab(build, extra=("--tls",)) as lab:
        lab.wait("the path", is_up(lab))
        folder = authority(lab) + "/issued/west/west"
        p = check_configuration(lab, "west")
        expect(p.returncode == 0 and "good" in p.stdout and not p.stderr, f"{p.returncode} {p.stdout} {p.stderr}")
        shutil.copy(folder + "/server-key.pem", folder + "/kept")
        shutil.copy(authority(lab) + "/issued/east/east/server-key.pem", folder + "/server-key.pem")
        p = check_configuration(lab, "west")
        expect(p.returncode == 1 and re.search(r"node\.yaml:8: security\.key is .*: expected the private key", p.stderr),
               f"{p.returncode} {p.stderr}")
        says(lab, "security.key", "stays in use")
        refusal = lab.try_run("--site", "west", "rpc", "certificates.reload")
        expect(refusal.returncode != 0 and "stays in use" in refusal.stderr, f"{refusal.stderr}")
        lab.wait("the session lives", is_up(lab))
        os.replace(folder + "/kept", folder + "/server-key.pem")
        lab.rpc("west", "certificates.reload")
        os.chmod(folder + "/server-key.pem", 0o644)  # read when it was private, and still a mistake
        says(lab, "security.key", "chmod 600", "it is 0644", "stays in use")
        os.chmod(folder + "/server-key.pem", 0o600)
        lab.rpc("west", "certificates.reload")
        lab.run("cert", "revoke", "west", "--directory", authority(lab))
        p = check_configuration(lab, "west")
        expect(p.returncode == 0 and re.search(r"node\.yaml:7: warning: .*revoked", p.stderr), f"{p.stderr}")
        return p.stderr.strip()[-70:]


def test_certificates_partly(build):
    """A wrong key that comes with a new list of revocations does not keep the list from working."""
    with Lab(build, extra=("--tls",)) as lab:
        lab.wait("the path", is_up(lab))
        folder = authority(lab) + "/issued/west/west"
        shutil.copy(folder + "/server-key.pem", folder + "/kept")
        shutil.copy(authority(lab) + "/issued/east/east/server-key.pem", folder + "/server-key.pem")
        lab.run("cert", "revoke", "east", "--directory", authority(lab))
        says(lab, "security.key", "expected the private key", "with the revocations of now")
        said = says(lab, "east is refused", "revoked")
        expect(refused(lab, "west", "revoked") >= 1, "counted")
        lab.wait("no path", lambda: not any(p["up"] for p in lab.status("west")["paths"]))
        lab.run("cert", "issue", "east", "--directory", authority(lab))
        lab.wait("the path, by the pair that stays", is_up(lab))
        os.replace(folder + "/kept", folder + "/server-key.pem")
        lab.rpc("west", "certificates.reload")  # which succeeds
        return said.split("path", 1)[-1][:90]
