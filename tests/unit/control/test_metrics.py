#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The endpoint for Prometheus, of real controllers over engines that only talk: what it says is read by a strict parser
(and by promtool and python3-prometheus-client where they are installed), counters only grow, other sites are served
also when they are dead, and whoever talks nonsense, dribbles or floods harms nobody. By TLS only who has the token is
answered.

test_metrics.py CAUSEWAY CONTROL
"""
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, free_port, pair, play  # noqa: E402

SAMPLE = re.compile(r'^([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
NONE_OF_THESE = re.compile(r"_(ms|us|ns|bps|milliseconds|bits|kb|mb)(_|$)")


def parse(text):
    """{(name, labels): value}; fails on whatever the format forbids."""
    assert text.endswith("\n")
    kinds, samples, current, ended = {}, {}, None, set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in kinds and name not in ended and len(line.split(" ", 3)[3]) > 8, line
            ended.add(current)
            current = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and name not in kinds and kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total") and not NONE_OF_THESE.search(name), line
            kinds[name] = kind
        else:
            found = SAMPLE.match(line)
            assert found and found.group(1) == current, line
            labels = {k: re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), v)
                      for k, v in LABEL.findall(found.group(2) or "")}
            key = (found.group(1), frozenset(labels.items()))
            assert key not in samples, line
            samples[key] = float(found.group(3))
    return kinds, samples


class Absent(AssertionError):
    pass


class Scraped:
    def __init__(self, text):
        self.text = text
        self.kinds, self.samples = parse(text)

    def get(self, name, **labels):
        """The only sample of that name that has these labels."""
        found = [v for (n, l), v in self.samples.items() if n == name and labels.items() <= dict(l).items()]
        if len(found) != 1:
            raise Absent(name, labels, found)
        return found[0]

    def has(self, name, **labels):
        return any(n == name and labels.items() <= dict(l).items() for n, l in self.samples)


class Watched(Lab):
    def __init__(self, cli, control):
        super().__init__(cli, control)
        self.env["FAKE_COUNTERS"] = "1"
        self.made = time.time()

    def configure(self, site, address):
        with open(f"{self.top}/lab/{site}/node.yaml", "a") as f:
            f.write(f'metrics_address: "{address}"\n')

    def ask(self, port, request, host="127.0.0.1", context=None, limit=20):
        """Status, headers, body."""
        with socket.create_connection((host, port), timeout=limit) as plain:
            s = context.wrap_socket(plain, server_hostname=None) if context else plain
            s.sendall(request)
            answer = b""
            while True:
                try:
                    got = s.recv(65536)
                except ssl.SSLError:
                    break
                if not got:
                    break
                answer += got
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split(" ")[1]), dict(l.lower().split(": ", 1) for l in lines[1:]), body.decode()

    def scrape(self, site, **more):
        code, headers, body = self.ask(self.ports[site], b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", **more)
        assert code == 200 and headers["content-type"].startswith("text/plain; version=0.0.4"), (code, headers)
        assert headers["connection"] == "close" and int(headers["content-length"]) == len(body.encode()), headers
        return Scraped(body)

    def scraped(self, site, check):
        try:
            return check(self.scrape(site))
        except Absent:
            return False


def make(lab):
    pair(lab)
    lab.ports = {}
    for site in ("east", "west"):
        lab.ports[site] = free_port()
        lab.configure(site, f"127.0.0.1:{lab.ports[site]}")
        lab.kill_controller(site)
        lab.run("lab", "start", site)
    lab.wait("protected", lambda: lab.group("east")["health"] == "protected")


def what_is_said(lab):
    """At either site all of both, as status says it."""
    for site in ("east", "west"):
        lab.wait("all is known", lambda: lab.scraped(site, lambda m: m.get("causeway_group_health", health="protected") == 1
                 and m.get("causeway_replica_state", site="west", state="in-sync") == 1
                 and all(m.get("causeway_site_alive", site=of) == 1 and m.get("causeway_path_up", site=of) == 1
                         and m.get("causeway_engine_lease_remaining_seconds", site=of) > 0
                         and m.get("causeway_group_writes_total", site=of) > 0 for of in ("east", "west"))))
        m = lab.scrape(site)
        assert m.get("causeway_build_info", site=site) == 1
        for of in ("east", "west"):
            assert m.get("causeway_site_alive", site=of) == 1 and m.get("causeway_site_age_seconds", site=of) < 2.5
            assert m.get("causeway_site_loss_survivable", site=of) in (0, 1)
            assert 0 < m.get("causeway_engine_lease_remaining_seconds", site=of) <= 5
            assert m.get("causeway_path_up", site=of, path="wan0") == 1
            assert abs(m.get("causeway_path_rtt_seconds", site=of) - 80e-6) < 1e-9
            assert m.get("causeway_path_out_bytes_total", site=of, path="wan0") > 0
            assert m.get("causeway_group_writes_total", site=of, group="db") > 0
            assert m.get("causeway_engine_store_cycle_seconds_max", site=of) == 0.0015
            assert m.kinds["causeway_engine_store_turns_total"] == "counter"
        assert m.get("causeway_group_epoch", group="db") == 1 and m.get("causeway_group_sequence", group="db") == 7
        assert m.get("causeway_group_rpo_seconds") == 0 and m.get("causeway_group_rpo_bytes") == 0
        assert m.get("causeway_group_role_info", site="east", role="primary") == 1
        assert m.get("causeway_group_role_info", site="west", role="replica") == 1
        assert m.get("causeway_group_info", group="db", mode="sync", primary="east") == 1
        assert m.get("causeway_replica_state", site="west", state="in-sync") == 1
        assert m.get("causeway_replica_state", site="west", state="diverged") == 0
        assert m.get("causeway_replica_in_sync_set", group="db", site="west") == 1
        assert m.get("causeway_replica_lag_seconds", site="west") == 0
        assert m.get("causeway_store_answers") == 1 and m.get("causeway_store_fault") == 0
        assert m.get("causeway_store_refused") == 0 and m.get("causeway_store_full") == 0
        assert m.get("causeway_store_unreadable_rows") == 0 and m.get("causeway_book_in_memory") == 0
        assert m.kinds["causeway_book_damaged_total"] == "counter"
        assert m.get("causeway_audit_log_whole") == 1 and m.get("process_cpu_seconds_total") > 0
        assert 1e6 < m.get("process_resident_memory_bytes") < 1e9
        assert lab.made - 1 <= m.get("process_start_time_seconds") <= time.time(), "since the lab was made"
        assert sum(m.get("causeway_group_health", group="db", health=h) for h in
                   ("protected", "degraded", "unprotected", "frozen", "down")) == 1
        assert not m.has("causeway_group_as_of_seconds") and not m.has("causeway_replica_verified_age_seconds")


def odd_names(lab):
    """What an engine calls things is foreign: escaped, or left out."""
    m = lab.scrape("east")
    assert m.get("causeway_engine_info", site="west", version='a "b\\c\nd é') == 1, m.text
    assert "odd" not in m.text.lower().replace("odd_1", ""), "a counter whose name is none is left out"
    assert m.get("causeway_path_odd_1_total", site="west", path="wan0") == float(2**63 - 1)
    assert f" {2**63 - 1}\n" in m.text, "counts are exact"


def by_others(lab, site="east"):
    """The same by other parsers, where they are installed."""
    text = lab.scrape(site).text
    try:
        from prometheus_client.parser import text_string_to_metric_families
        assert sum(len(f.samples) for f in text_string_to_metric_families(text)) == len(parse(text)[1])
    except ImportError:
        print("skipped: python3-prometheus-client is not installed")
    promtool = shutil.which("promtool") or os.environ.get("PROMTOOL")
    if promtool:
        p = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert p.returncode == 0 and p.stdout + p.stderr == "", p
    else:
        print("skipped: promtool is not installed")


def counters_grow(lab):
    before = {site: lab.scrape(site) for site in ("east", "west")}
    for _ in range(5):
        time.sleep(0.3)
        for site, old in before.items():
            new = lab.scrape(site)
            for key, value in old.samples.items():
                if old.kinds[key[0]] == "counter":
                    assert new.samples[key] >= value, (key, value, new.samples[key])
            before[site] = new
    assert before["west"].get("causeway_path_out_bytes_total", site="east") > 1000


def only_that(lab):
    port = lab.ports["east"]
    for method, url, code in (("POST", "/metrics", 405), ("PUT", "/metrics", 405), ("DELETE", "/metrics", 405),
                              ("OPTIONS", "*", 405), ("GET", "/", 404), ("GET", "/metrics/", 404), ("GET", "/status", 404),
                              ("GET", "//metrics", 404), ("GET", "/metrics?x=1", 200)):
        request = f"{method} {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
        assert lab.ask(port, request)[0] == code, (method, url)
    code, headers, body = lab.ask(port, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert code == 200 and body == "" and int(headers["content-length"]) > 1000
    code, headers, _ = lab.ask(port, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert code == 405 and headers["allow"] == "get, head"
    assert lab.ask(port, b"GET /metrics HTTP/1.0\r\n\r\n")[0] == 200


def garbage(lab):
    """Nobody else notices, and the controller goes on renewing leases."""
    port = lab.ports["east"]
    for bytes_ in (b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01" + os.urandom(500), b"GET /metrics\r\n" * 3, b"\r\n" * 5000,
                   b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", b"GET /" + b"a" * 100000, os.urandom(30000)):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            try:
                s.sendall(bytes_)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
        lab.scrape("east")
    slow = []
    for i in range(100):  # more than it takes: the oldest make room
        s = socket.create_connection(("127.0.0.1", port), timeout=20)
        s.sendall(b"GET /metrics HT")
        slow.append(s)
    lab.scrape("east")

    def all_are_gone():
        for s in list(slow):
            try:
                s.setblocking(False)
                if s.recv(100) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                try:
                    s.send(b"T")
                except OSError:
                    slow.remove(s)
            except OSError:
                slow.remove(s)
        if len(slow) < 40:  # none of them has to make room for it
            lab.scrape("east")
        return not slow
    lab.wait("one byte now and then keeps nobody", all_are_gone, 120)
    assert lab.group("east")["health"] == "protected" and lab.scrape("east").get("causeway_group_epoch") == 1


def store_is_gone(lab):
    locker = sqlite3.connect(lab.top + "/lab/store.db", isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    try:
        lab.wait("it is shown", lambda: lab.scraped("east", lambda m: m.get("causeway_store_answers") == 0
                                                    and m.get("causeway_store_silent_seconds") > 1))
        assert lab.scrape("east").get("causeway_group_epoch", group="db") == 1
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    lab.wait("it is back", lambda: lab.scraped("east", lambda m: m.get("causeway_store_answers") == 1))


def others_are_dead(lab):
    lab.run("lab", "kill", "east")
    lab.wait("it is missed", lambda: lab.scraped("west", lambda m: m.get("causeway_site_alive", site="east") == 0
                                                 and m.get("causeway_site_age_seconds", site="east") > 2.5))
    m = lab.scrape("west")
    assert m.get("causeway_group_health", health="down") == 1 and m.get("causeway_path_up", site="east") == 0
    assert m.get("causeway_group_as_of_seconds") > 2 and m.get("causeway_engine_info", site="east") == 1
    assert m.get("causeway_path_out_bytes_total", site="east") > 0, "the last known"
    lab.wait("its lease runs out", lambda: lab.scraped(
        "west", lambda m: m.get("causeway_engine_lease_remaining_seconds", site="east") == 0))
    by_others(lab, "west")
    lab.run("lab", "start", "east")
    lab.wait("it is back", lambda: lab.scraped("west", lambda m: m.get("causeway_group_health", health="protected") == 1))


def by_tls(lab):
    """At an address that is not of this machine alone: TLS 1.3 and the token, or nothing; both are read again."""
    found = subprocess.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, text=True).stdout
    host = next((a.split("/")[0] for a in found.split() if re.fullmatch(r"[0-9.]+/\d+", a)), None)
    if not host:
        print("skipped: no address but of loopback: metrics by TLS are not tried")
        return
    port, authority, token = free_port(), lab.top + "/lab/authority", lab.top + "/token"
    lab.run("lab", "up", "--storage", "disk", "--tls")
    lab.configure("east", f"{host}:{port}")
    with open(f"{lab.top}/lab/east/node.yaml", "a") as f:
        f.write(f"metrics_token: {token}\n")

    def write(text):
        with open(token + ".new", "w") as f:
            os.chmod(f.name, 0o600)
            f.write(text)
        os.rename(token + ".new", token)
    write("0123456789abcdef\n")
    lab.kill_controller("east")
    lab.run("lab", "start", "east")
    lab.ports = {"east": port}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority + "/ca-cert.pem")

    def code(shown):
        head = f"Authorization: {shown}\r\n" if shown else ""
        return lab.ask(port, f"GET /metrics HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode(), host=host, context=context)[0]
    good = "Bearer 0123456789abcdef"
    assert code(good) == 200 and code("bearer 0123456789abcdef") == 200
    for bad in ("", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer 0123456789abcdeF",
                "Basic 0123456789abcdef", "0123456789abcdef", "Bearer " + "0123456789abcdef" * 20):
        assert code(bad) == 401, bad
    with socket.create_connection((host, port), timeout=20) as s:
        s.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {good}\r\n\r\n".encode())
        assert b"HTTP/1.1 200" not in s.recv(1000), "not in clear"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, port), timeout=20) as s:
        try:
            old.wrap_socket(s)
            raise AssertionError("TLS 1.2 was taken")
        except (ssl.SSLError, ConnectionError):
            pass
    write("another-token-of-some-length")
    lab.wait("the new one holds", lambda: code(good) == 401 and code("Bearer another-token-of-some-length") == 200)
    os.unlink(token)
    lab.wait("nobody is answered", lambda: code("Bearer another-token-of-some-length") == 401)
    assert "nobody is answered" in lab.run("events")

    def serial():
        try:
            with socket.create_connection((host, port), timeout=20) as s:
                return context.wrap_socket(s).getpeercert()["serialNumber"]
        except OSError:  # just when the pair is changed
            return before
    before = None
    before = serial()
    directory = os.path.dirname(re.search(r'certificate: "?([^",}\s]+)', open(f"{lab.top}/lab/east/node.yaml").read()).group(1))
    os.rename(f"{directory}/server-key.pem", f"{directory}/away")
    lab.wait("it is told", lambda: "TLS does not start" in lab.run("events"))
    assert serial() == before, "the one that was read before is in use"
    for name in ("server-cert.pem", "server-key.pem"):
        other = os.path.join(authority, "issued", "west", "west", name)
        shutil.copy(other, f"{directory}/{name}")
    lab.wait("the new one is in use", lambda: serial() != before)


STEPS = (make, what_is_said, odd_names, by_others, counters_grow, only_that, garbage, store_is_gone, others_are_dead)

if __name__ == "__main__":
    play(Watched, STEPS, (by_tls,))
