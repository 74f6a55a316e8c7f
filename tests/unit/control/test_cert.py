# SPDX-License-Identifier: BSD-3-Clause
"""causeway cert: judged by OpenSSL's own program, never by ourselves."""
import concurrent.futures
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

CAUSEWAY = sys.argv[1]


def causeway(verb, *words, directory=None, expect=0):
    command = [CAUSEWAY, "cert", verb, "--directory", directory or DIRECTORY, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, f"{command}: {done.returncode}, not {expect}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def openssl(*words):
    return subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60)


def verifies(name, purpose="sslserver", trust=None):
    """By the authority's certificate and revocations, as a node of `trust` has them."""
    trust = trust or f"{DIRECTORY}/issued/{name}"
    return openssl("verify", "-x509_strict", "-purpose", purpose, "-crl_check", "-CAfile", f"{trust}/ca-cert.pem",
                   "-CRLfile", f"{trust}/ca-crl.pem", f"{DIRECTORY}/issued/{name}/server-cert.pem").returncode == 0


def lines():
    return json.loads(causeway("list", "--json"))["certificates"]


def mode(path):
    return stat.S_IMODE(os.stat(f"{DIRECTORY}/{path}").st_mode)


def pair_fits(name, role):
    folder = f"{DIRECTORY}/issued/{name}/{role}"
    of_certificate = openssl("x509", "-in", f"{folder}-cert.pem", "-noout", "-pubkey").stdout
    return of_certificate and of_certificate == openssl("pkey", "-in", f"{folder}-key.pem", "-pubout").stdout


def makes_lists_and_is_believed():
    causeway("issue", "east", expect=1)  # no authority yet
    causeway("init", "production")
    causeway("init", "production", expect=3)
    causeway("issue", "east", "--host", "east.example.net", "--host", "10.0.0.1", "--host", "fd00::1")
    causeway("issue", "west-2/node_b")
    assert verifies("east/east") and verifies("east/east", "sslclient") and verifies("west-2/node_b")
    for role in ("server", "client"):
        assert pair_fits("east/east", role)
    text = openssl("x509", "-in", f"{DIRECTORY}/issued/east/east/server-cert.pem", "-noout", "-text").stdout
    for word in ("URI:causeway://production/east/east", "DNS:east.example.net", "IP Address:10.0.0.1",
                 "IP Address:FD00:0:0:0:0:0:0:1", "OU = east", "CA:FALSE"):
        assert word in text, (word, text)
    assert mode("ca-key.pem") == 0o600 and mode("") == 0o700 and mode("certificates.json") == 0o600
    assert mode("issued/east/east/server-key.pem") == 0o600 and mode("issued/east/east/client-key.pem") == 0o600
    assert [(c["site"], c["node"], c["state"]) for c in lines()] == [("east", "east", "valid"), ("west-2", "node_b", "valid")]
    assert "valid" in causeway("list")


def refuses_with_words():
    causeway("issue", "east", expect=3)
    for wrong in ("", "a b", "../x", ".", "-x" * 20, "x/", "/x", "x" * 33, "a/b/c", "ä"):
        assert "expected" in causeway("issue", "--", wrong, expect=2), wrong
    for days in ("0", "-1", "x", "1e3", "99999999999"):
        causeway("issue", "new", f"--days={days}", expect=2)
    causeway("issue", "new", "--host", "bad,DNS:evil", "--days", "1", "--host", "a b", expect=2)
    causeway("issue", "new", "--days", "3651", expect=1)  # longer than its authority
    causeway("renew", "nobody", expect=1)
    causeway("revoke", "nobody", expect=1)
    assert len(lines()) == 2


def renews_and_revokes():
    old = lines()[0]
    shutil.copy(f"{DIRECTORY}/issued/east/east/server-cert.pem", f"{DIRECTORY}/old.pem")
    causeway("renew", "east")
    new = lines()[-1]
    assert new["serial"] != old["serial"] and new["hosts"] == old["hosts"] and pair_fits("east/east", "server")
    causeway("revoke", old["serial"].lower())
    trust = f"{DIRECTORY}/issued/west-2/node_b"  # another node hears of it
    check = openssl("verify", "-crl_check", "-CAfile", f"{trust}/ca-cert.pem", "-CRLfile", f"{trust}/ca-crl.pem",
                    f"{DIRECTORY}/old.pem")
    assert check.returncode != 0 and "revoked" in check.stderr
    assert verifies("east/east")
    causeway("revoke", "east")
    assert not verifies("east/east") and not verifies("east/east", trust=trust) and verifies("west-2/node_b")
    assert [c["state"] for c in lines()] == ["revoked", "valid", "revoked"]
    assert "0 certificates" in causeway("revoke", "east")
    causeway("issue", "east")
    assert verifies("east/east")


def clients_are_no_nodes():
    """A certificate for the client's end alone, in a folder of its own, which names no site."""
    causeway("issue", "--client", "west-2")
    causeway("issue", "--client", "west-2", expect=3)
    for words in (("--client", "a/b"), ("--client", ""), ("--client", "x", "--host", "x")):
        assert "unknown option" not in causeway("issue", *words, expect=2), words
    folder = f"{DIRECTORY}/clients/west-2"
    assert sorted(os.listdir(folder)) == ["ca-cert.pem", "ca-crl.pem", "client-cert.pem", "client-key.pem"]
    text = openssl("x509", "-in", f"{folder}/client-cert.pem", "-noout", "-text").stdout
    assert "URI:causeway-client://production/west-2\n" in text and "OU" not in text and "causeway://" not in text
    assert "TLS Web Client Authentication\n" in text and "Server Authentication" not in text

    def is_good(purpose, certificate=f"{folder}/client-cert.pem"):
        trust = f"{DIRECTORY}/issued/west-2/node_b"
        return openssl("verify", "-x509_strict", "-purpose", purpose, "-crl_check", "-CAfile", f"{trust}/ca-cert.pem",
                       "-CRLfile", f"{trust}/ca-crl.pem", certificate).returncode == 0

    assert is_good("sslclient") and not is_good("sslserver")
    assert (lines()[-1]["site"], lines()[-1]["node"]) == ("", "west-2") and "(client)" in causeway("list")
    shutil.copy(f"{folder}/client-cert.pem", f"{DIRECTORY}/first.pem")
    causeway("renew", "--client", "west-2")
    causeway("renew", "--client", "nobody", expect=1)
    causeway("revoke", lines()[-2]["serial"])
    assert is_good("sslclient") and not is_good("sslclient", f"{DIRECTORY}/first.pem")
    causeway("revoke", "--client", "node_b", expect=1)
    causeway("revoke", "--client", "west-2")
    assert not is_good("sslclient") and verifies("west-2/node_b")


def people_are_nobody_elses():
    """An operator's and a viewer's: for controllers alone, who know their extension; nobody else believes them."""
    causeway("issue", "--operator", "alice")
    causeway("issue", "--viewer", "alice")  # another certificate: the role is part of the name
    causeway("issue", "--viewer", "alice", expect=3)
    causeway("issue", "--viewer", "--operator", "bob", expect=2)
    causeway("issue", "--operator", "x", "--host", "x", expect=2)
    for role in ("operator", "viewer"):
        folder = f"{DIRECTORY}/{role}s/alice"
        assert sorted(os.listdir(folder)) == ["ca-cert.pem", "ca-crl.pem", "client-cert.pem", "client-key.pem"]
        text = openssl("x509", "-in", f"{folder}/client-cert.pem", "-noout", "-text").stdout
        assert f"URI:causeway-{role}://production/alice\n" in text and "OU" not in text, text
        told = openssl("verify", "-purpose", "sslclient", "-CAfile", f"{DIRECTORY}/ca-cert.pem", f"{folder}/client-cert.pem")
        assert told.returncode != 0 and "unhandled critical extension" in told.stderr, told
        told = openssl("verify", "-ignore_critical", "-purpose", "sslclient", "-CAfile", f"{DIRECTORY}/ca-cert.pem",
                       f"{folder}/client-cert.pem")
        assert told.returncode == 0, told
    assert [(c["role"], c["site"], c["node"]) for c in lines()[-2:]] == [("operator", "", "alice"), ("viewer", "", "alice")]
    assert [c["role"] for c in lines()[:2]] == ["node", "node"] and "(operator)" in causeway("list")
    causeway("renew", "--operator", "nobody", expect=1)
    causeway("renew", "--operator", "alice")
    causeway("revoke", "--viewer", "bob", expect=1)
    causeway("revoke", "--viewer", "alice")
    assert [(c["role"], c["state"]) for c in lines()[-3:]] == [("operator", "valid"), ("viewer", "revoked"), ("operator", "valid")]
    assert openssl("crl", "-in", f"{DIRECTORY}/operators/alice/ca-crl.pem", "-noout", "-text").stdout.count("Serial Number") >= 1


def survives_what_happens_to_it():
    """Two at once; a foreign list; a file left by a command that was killed; no room; a full directory gone."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: causeway("issue", f"many{i}"), range(8)))
    serials = [c["serial"] for c in lines()]
    assert len(serials) == len(set(serials)) == 17 and all(verifies(f"many{i}/many{i}") for i in range(8))
    path = f"{DIRECTORY}/certificates.json"
    good = open(path).read()
    for bad in ("", "{", "[]", "{}", good[:-2], good.replace('"serial"', '"cereal"', 1), good.replace("[", "{", 1), "null"):
        open(path, "w").write(bad)
        causeway("list", expect=1)
        causeway("issue", "more", expect=1)
        causeway("revoke", "east", expect=1)
    open(path, "w").write(good)
    open(f"{path}.new", "w").write("half of a li")
    causeway("issue", "after")
    os.rename(f"{DIRECTORY}/ca-key.pem", f"{DIRECTORY}/away.pem")
    causeway("issue", "keyless", expect=1)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{DIRECTORY}/ca-key.pem")
    assert "do not belong together" in causeway("issue", "wrongkey", expect=1)
    os.rename(f"{DIRECTORY}/away.pem", f"{DIRECTORY}/ca-key.pem")
    shutil.rmtree(f"{DIRECTORY}/issued/after")  # its line is there, its files are not: as after a crash
    causeway("renew", "after")
    assert verifies("after/after")


def an_authority_that_was_cut_short_is_begun_anew():
    directory = f"{DIRECTORY}/second"
    causeway("init", "second", directory=directory)
    os.remove(f"{directory}/certificates.json")  # what is written last
    causeway("list", directory=directory, expect=1)
    causeway("init", "second", directory=directory)
    causeway("issue", "x", directory=directory)


DIRECTORY = tempfile.mkdtemp(prefix="cw-cert-")
os.rmdir(DIRECTORY)
try:
    for case in (makes_lists_and_is_believed, refuses_with_words, renews_and_revokes, clients_are_no_nodes, people_are_nobody_elses, survives_what_happens_to_it,
                 an_authority_that_was_cut_short_is_begun_anew):
        case()
        print("passed:", case.__name__.replace("_", " "))
finally:
    shutil.rmtree(DIRECTORY, ignore_errors=True)
