# SPDX-License-Identifier: BSD-3-Clause
"""Certificates that are revoked in the middle of a failover, in sites with a witness and etcd. Imported by lab_test.py."""
import time

from certificates import authority
from hostile import goes_on
from lab import Lab, expect, has_etcd
from witness import WITNESS, Promotion, Rounds, killed

SITES = ("east", "west", WITNESS)


def revoke(lab, site):
    lab.run("cert", "revoke", site, "--directory", authority(lab))


def issue(lab, site):
    """The next step that is told: files in the place of those that were revoked, which are seen by themselves."""
    address = lab.etcd_url(site).split("//", 1)[1].rsplit(":", 1)[0]
    lab.run("cert", "issue", site, "--host", address, "--directory", authority(lab))


def says(lab, at, *words):
    return lab.wait(f"{at} tells: {' '.join(words)}", lambda: next(
        (line for line in lab.run("--site", at, "events").splitlines() if all(w in line for w in words)), None))


def etcd_looks_at_revocations(lab):
    """Each member is given the authority's list, for its clients."""
    for site in SITES:
        lab.run("lab", "kill", site)
        with open(f"{lab.dir}/lab/{site}/etcd.yaml", "a") as f:
            f.write(f"ClientTLSInfo:\n  CRLFile: \"{authority(lab)}/issued/{site}/{site}/ca-crl.pem\"\n")
        lab.run("lab", "start", site)


def start_anew(lab, site):
    """Its controller; etcd may not take it."""
    killed(lab, site, "causeway-control")
    lab.try_run("lab", "start", site)


def store_says(lab, site, *words):
    return lab.wait(f"{site} says of the store: {' '.join(words)}", lambda: (lambda s: s["store_trouble"] if all(
        w in s["store_trouble"] for w in words) else None)(lab.status(site)))


def test_revoked_taker(build):
    """The primary's site burns, and while the other one waits for the lease its certificate is revoked: whoever asked is
    told what came of it, there is one primary, the old side does not follow whom it must not hear, and says why; with a
    new certificate all come together."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        rounds = Rounds(lab)
        rounds.begin()
        lab.run("lab", "kill", "east")
        asker = Promotion(lab, WITNESS, "west")
        time.sleep(2)
        revoke(lab, "west")
        code = asker.end()
        refused = says(lab, WITNESS, "no link to the controller of west", "revoked")
        if code != 0:  # the link over which it was asked has ended
            lab.run("--site", "west", "promote", "db", "--site", "west")
        expect(lab.engine_group("west", "db")["role"] == "primary", "the store is its own members' to judge")
        lab.run("lab", "start", "east")
        says(lab, "east", "west is refused", "revoked", "cert issue")
        lab.wait("and is a replica", lambda: lab.engine_group("east", "db")["role"] == "replica")
        lab.wait_health("db", "unprotected", site="west")
        issue(lab, "west")
        expect(rounds.end() == "west", "it stays where it is")
        rounds.close()
        return f"asked at the witness: exit {code}; {refused.split('db', 1)[-1][-90:]}"


def test_revoked_primary_at_etcd(build):
    """etcd has the list of revocations, too. A primary whose certificate is revoked while another one is to take over, and
    whose controller starts anew, renews nothing: the other one takes over with all that was acknowledged."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        etcd_looks_at_revocations(lab)
        rounds = Rounds(lab)
        rounds.begin()
        asker = Promotion(lab, WITNESS, "west")
        revoke(lab, "east")
        start_anew(lab, "east")
        expect(asker.end() == 0, f"{asker.process}")
        why = store_says(lab, "east", "certificate")
        issue(lab, "east")
        expect(rounds.end() == "west", "west took over")
        rounds.close()
        return why


def test_revoked_taker_at_etcd(build):
    """A taker of whom etcd takes nothing any more, in the middle of it, is refused with the cause, whoever asks again, and
    nobody is promoted; with a new certificate it is."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=WITNESS) as lab:
        etcd_looks_at_revocations(lab)
        rounds = Rounds(lab)
        lab.run("switchover", "db", "--site", "west")
        rounds.begin()
        lab.run("lab", "kill", "west")
        asker = Promotion(lab, WITNESS, "east")
        time.sleep(1)
        revoke(lab, "east")
        start_anew(lab, "east")
        code = asker.end()
        store_says(lab, "east", "certificate")  # the words are of the member that was asked last: the witness's
        p = lab.try_run("--site", "east", "promote", "db", "--site", "east")
        expect(code != 0 and p.returncode in (1, 3) and "certificate" in p.stderr, f"{code} {p.returncode} {p.stderr}")
        expect(lab.engine_group("east", "db")["role"] != "primary", "nobody holds it")
        issue(lab, "east")
        lab.wait("east is promoted", lambda: lab.try_run("--site", "east", "promote", "db", "--site", "east").returncode == 0)
        lab.run("lab", "start", "west")
        expect(rounds.end() == "east", "east took over")
        rounds.close()
        return p.stderr.strip()
