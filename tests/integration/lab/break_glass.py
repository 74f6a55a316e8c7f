# SPDX-License-Identifier: BSD-3-Clause
"""No quorum of the store is left: operators' tokens bring the data up, at one site of those that hear each other, and the
old side stays fenced when it returns.
Imported by lab_test.py."""
import json
import os
import re
import signal
import subprocess
import time

import nbd

import load
import losses
from lab import Lab, expect, group, has_etcd, may_make_namespaces
from hostile import goes_on

CENTRAL = "central"
SITES = ("east", "west", CENTRAL)
FIRST_OF_TOKENS = 1 << 32  # epochs of reigns that the store did not give


def make_keys(lab):
    """Operators' keys; those of alice, bob and carol in every node's configuration, two of them needed."""
    lab.keys = lab.dir + "/keys"
    os.mkdir(lab.keys)
    lines = {n: lab.run("break-glass", "key", n, "--directory", lab.keys).strip() for n in ("alice", "bob", "carol", "dave")}
    expect(os.stat(lab.keys + "/alice.key").st_mode & 0o777 == 0o600, "a key is its owner's")
    lab.run("break-glass", "key", "alice", "--directory", lab.keys, code=3)
    for site in SITES:
        os.kill(lab.pids(site)["causeway-control"], signal.SIGKILL)
        with open(f"{lab.dir}/lab/{site}/node.yaml", "a") as f:
            f.write("break_glass:\n  threshold: 2\n  cluster: prod\n  keys:\n")
            f.writelines(f'    - "{lines[n]}"\n' for n in ("alice", "bob", "carol"))
    for site in SITES:
        lab.wait(f"the controller of {site} is gone", lambda s=site: "causeway-control" not in lab.pids(s))
        lab.run("lab", "start", site)
        lab.wait("its store answers", lambda s=site: lab.status(s).get("store_answers"))


def refused(lab, words, *args):
    p = lab.try_run("promote", "db", "--site", "west", "--break-glass", *args)
    expect(p.returncode == 3 and words in p.stderr, f"--break-glass {args}: {p.returncode} {p.stdout}{p.stderr}")
    return p.stderr


def sign(lab, who, request):
    return lab.run("break-glass", "sign", request, "--key", f"{lab.keys}/{who}.key").strip()


def request_of(lab, site="west"):
    """What operators are to sign, once nothing is heard of the old side."""
    def ask():
        p = lab.try_run("promote", "db", "--site", site, "--break-glass")
        expect(p.returncode == 3, f"without tokens: {p.returncode} {p.stdout}{p.stderr}")
        return re.search(r"causeway-break-glass-1:\S+", p.stderr)
    found = lab.wait("a request", ask).group(0)
    expect(re.fullmatch(r"causeway-break-glass-1:prod:\d+:db:\d+:" + site, found), found)
    return found


def wrong_tokens(lab, request):
    """What two operators did not say of this group, at this site, in this epoch, is nothing."""
    head, group_id, name, epoch, site = request.rsplit(":", 4)
    alice, bob = sign(lab, "alice", request), sign(lab, "bob", request)

    def other(*parts):
        return sign(lab, "bob", ":".join((head, *parts)))
    refused(lab, "1 of 2 tokens, of alice", alice)
    refused(lab, "alice signed two", f"{alice},{alice}")
    refused(lab, "dave is not among", f"{alice},{sign(lab, 'dave', request)}")
    refused(lab, "is for group other", f"{alice},{other(group_id, 'other', epoch, site)}")
    refused(lab, "promotes east, not west", f"{alice},{other(group_id, name, epoch, 'east')}")
    refused(lab, f"from epoch {int(epoch) - 1}", f"{alice},{other(group_id, name, str(int(epoch) - 1), site)}")
    refused(lab, "was not signed with the key", f"{alice},{bob[:-1]}{'0' if bob[-1] != '0' else '1'}")
    refused(lab, "is no token", f"{alice},{bob[:-1]}")
    expect(lab.engine_group("west", "db")["role"] == "replica", "nothing has happened")


def leave_request(lab, taker, at):
    """As of a promotion to another site that the fire cut short: nobody renews it, and nobody can take it back."""
    g = lab.engine_group("west", "db")
    row = {"taker": taker, "drain": False, "epoch": g["epoch"], "heartbeat": 1}
    lab.wait("a request stands", lambda: lab.etcdctl(at, "put", f"/causeway/lab/requests/{g['group']:010}",
                                                     value=json.dumps(row)).returncode == 0)
    words = f"{taker} is asking for it right now"
    lab.wait("west knows of it", lambda: words in " ".join(lab.run("--site", "west", "explain", "db").split()))


def restart(lab, site, program):
    """Without lab start, which waits for a quorum of etcd."""
    name = "causeway-" + program
    pid = lab.pids(site)[name]
    with open(f"/proc/{pid}/cmdline") as f:
        words = f.read().split("\0")[:-1]
    os.kill(pid, signal.SIGKILL)
    lab.wait("it is gone", lambda: name not in lab.pids(site))
    with open(f"{lab.dir}/lab/{site}/{program}.log", "a") as log:
        started = subprocess.Popen([*lab.inside(site), *words], stdout=log, stderr=log, start_new_session=True)
    with open(f"{lab.dir}/lab/{site}/{program}.pid", "w") as f:
        f.write(f"{started.pid}\n")


def is_everywhere(lab, what):
    """Told at each of these sites, as events and audit go from book to book."""
    lab.wait("every site has the event", lambda: all("without the store" in lab.run("--site", s, "events") for s in what))
    lab.wait("and the audit", lambda: all(
        any(line["line"]["command"].startswith("promote") and line["line"]["what"] == "done"
            and "outside of the store" in line["line"]["words"]
            for line in map(json.loads, lab.run("--site", s, "events", "--audit", "--json").splitlines())) for s in what))


def test_break_glass(build):
    """Two of three votes burn with the primary: its data comes up at the survivor by tokens, which is still so after a
    restart of the engine and one of the controller, and the old side, back first, writes nothing, and follows. A request
    of another site stands as the quorum dies, and holds up nothing."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=CENTRAL) as lab:
        make_keys(lab)
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        lab.wait_health("db", "protected", site="west")
        refused(lab, "a quorum of the store answers")
        w = load.Writer(51).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        goes_on(lab, w, "writes")
        lab.run("lab", "kill", "east")
        leave_request(lab, CENTRAL, "west")
        lab.run("lab", "kill", CENTRAL)
        w.stop()
        request = request_of(lab)
        wrong_tokens(lab, request)
        with open(lab.keys + "/token", "w") as f:
            f.write(sign(lab, "carol", request) + "\n")
        tokens = sign(lab, "alice", request) + "," + lab.keys + "/token"
        words = lab.run("promote", "db", "--site", "west", "--break-glass", tokens, "--reason", "east burned")
        expect("west is primary of db" in words and "outside of the store" in words, words)
        expect("is cleared" not in lab.run("--site", "west", "events"), "nobody can clear a request there")
        uris = [lab.uri("db", v, "west") for v in ("a", "b")]
        end = load.check(w, uris, w.acknowledged)
        g = lab.group("db", "west")
        expect(g["epoch"] == FIRST_OF_TOKENS and g["outside_store"] and g["primary"] == "west", f"{g}")
        refused(lab, "holds db by tokens already", tokens)
        first, w = w.acknowledged, w.next(52, end).connect(uris)
        w.start()
        goes_on(lab, w, "writes without a quorum")
        w.stop()
        restart(lab, "west", "engine")
        lab.wait("it opens again", lambda: lab.engine_group("west", "db")["role"] == "primary")
        expect(lab.group("db", "west")["epoch"] == FIRST_OF_TOKENS + 1, "in the next epoch")
        uris = [lab.uri("db", v, "west") for v in ("a", "b")]
        end = load.check(w, uris, w.acknowledged)
        second, w = w.acknowledged, w.next(53, end).connect(uris)
        w.start()
        goes_on(lab, w, "writes after the restart")
        restart(lab, "west", "control")
        time.sleep(6)  # more than the lease that was there: it is this site's file that renews
        goes_on(lab, w, "writes under a controller that waits for the store")
        lab.run("lab", "start", "east")
        lab.wait("the store has it", lambda: not lab.group("db", "west")["outside_store"])
        lab.run("lab", "start", CENTRAL)
        lab.wait_state("db", "in-sync", "east", site="west")
        for site in SITES:
            lab.wait_health("db", "protected", site=site)
            g = lab.group("db", site)
            expect(g["primary"] == "west" and g["epoch"] == FIRST_OF_TOKENS + 1, f"{site}: {g}")
        w.stop()
        expect(w.error is None, f"{w.error}")
        load.check(w, uris, w.acknowledged)
        is_everywhere(lab, SITES)
        reigns = [h["epoch"] for h in lab.engine_group("east", "db")["history"]]
        expect(sorted(e for e in reigns if e > int(request.rsplit(":", 2)[1])) == [FIRST_OF_TOKENS, FIRST_OF_TOKENS + 1],
               f"the old side began no reign of its own: {reigns}")
        refused(lab, "a quorum of the store answers", tokens)
        return f"{first} operations before, {second + w.acknowledged} by tokens"


def test_break_glass_cut(build):
    """The old side was only cut off: it answers nothing any more, and nothing again when it is back."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, link="veth" if may_make_namespaces() else "memif", witness=CENTRAL) as lab:
        if not lab.can_cut_control():
            return "SKIP: the control network cannot be cut here"
        make_keys(lab)
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        lab.wait_health("db", "protected", site="west")
        w = load.Writer(61).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        goes_on(lab, w, "writes")
        lab.run("lab", "kill", CENTRAL)
        lab.run("lab", "cut", "east", "west")
        request = request_of(lab)
        lab.wait("the old side holds its writes", lambda: lab.engine_group("east", "db")["frozen"])
        before = w.acknowledged
        tokens = ",".join(sign(lab, who, request) for who in ("bob", "carol"))
        lab.run("promote", "db", "--site", "west", "--break-glass", tokens)
        uris = [lab.uri("db", v, "west") for v in ("a", "b")]
        end = load.check(w, uris, before)
        late, new = w, w.next(62, end).connect(uris)
        new.start()
        goes_on(lab, new, "writes without a quorum")
        lab.run("lab", "heal")
        lab.wait("the old side is no primary", lambda: lab.engine_group("east", "db")["role"] == "replica")
        lab.wait("the store has it", lambda: not lab.group("db", "west")["outside_store"])
        expect(late.acknowledged == before, f"the old side answered {late.acknowledged - before} writes late")
        lab.run("lab", "start", CENTRAL)
        lab.wait_state("db", "in-sync", "east", site="west")
        new.stop()
        late.stop()
        expect(late.acknowledged == before and new.error is None, f"{late.acknowledged} {before} {new.error}")
        load.check(new, uris, new.acknowledged)
        return f"{before} operations before, {new.acknowledged} by tokens"


def takes_nothing(lab, site):
    """A client that comes to the old primary is not let in, or its write is not answered well."""
    try:
        h = nbd.NBD()
        h.connect_uri(f"nbd+unix:///a?socket={lab.dir}/lab/{site}/nbd/db-a.sock")
        h.pwrite(bytes(4096), 0)
    except nbd.Error:
        return True
    return False


def test_break_glass_async(build):
    """async: the old side, cut off, goes on alone until the store is gone as well. By tokens the other one takes over
    when the loss is accepted; the old side, back, takes no writes, and its tail is the list and in its salvage file."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, link="veth" if may_make_namespaces() else "memif", witness=CENTRAL) as lab:
        if not lab.can_cut_control():
            return "SKIP: the control network cannot be cut here"
        make_keys(lab)
        group(lab, "db", "async", volumes=(("a", "128M"),))
        w = losses.Log(lab.uri("db", "a", "east"), 0, 91)
        w.start()
        lab.wait("writes arrive there", lambda: lab.engine_group("west", "db")["received"] > 300)
        lab.run("lab", "cut", "east", "west", "--only", "data")
        known = len(w.acknowledged)
        lab.wait("writes go on alone", lambda: len(w.acknowledged) > known + 300)
        lab.wait("and are in place", lambda: lab.engine_group("east", "db")["applied"]
                 > lab.engine_group("west", "db")["received"] + 100)
        lab.wait("and west is told of them", lambda: lab.group("db", "west")["sequence"]
                 > lab.engine_group("west", "db")["received"] + 100)
        lab.run("lab", "kill", CENTRAL)
        lab.run("lab", "cut", "east", "west")
        request = request_of(lab)
        lab.wait("the old side holds its writes", lambda: lab.engine_group("east", "db")["frozen"])
        tokens = ",".join(sign(lab, who, request) for who in ("bob", "carol"))
        refused(lab, "--accept-loss", tokens)
        before = len(w.acknowledged)
        lab.run("promote", "db", "--site", "west", "--break-glass", tokens, "--accept-loss")
        present = w.present(lab.uri("db", "a", "west"))
        missing = w.acknowledged - present
        f = losses.failovers(lab, "west")[-1]
        expect(f["from"] == "east" and f["lost"] == "away" and f["accept_loss"], f"{f}")
        expect(len(missing) > 100 and f["writes"] + f["after"]["writes"] > 100, f"{len(missing)}: {f}")
        said = lab.run("--site", "west", "losses", "db")
        expect("not known before east is back" in said and "at most" in said, said)
        lab.run("lab", "heal")
        lab.wait("the old side is no primary", lambda: lab.engine_group("east", "db")["role"] == "replica")
        lab.wait("the store has it", lambda: not lab.group("db", "west")["outside_store"])
        w.stop()
        expect(len(w.acknowledged) == before, f"the old side answered {len(w.acknowledged) - before} writes late")
        expect(takes_nothing(lab, "east"), "the old side takes a write")
        lab.run("lab", "start", CENTRAL)
        lab.wait_state("db", "diverged", "east", site="west")
        losses.wait_listed(lab, f["epoch"], "west")
        yes, count = losses.check_list(lab, w, present, missing, f)
        losses.get_back(lab, w, f, "east")
        lab.run("resync", "db", "--site", "east")
        lab.wait_state("db", "streaming", "east", site="west")
        expect(takes_nothing(lab, "east") and w.present(lab.uri("db", "a", "west")) == present, "west's data stand")
        return f"{before} operations before, {len(missing)} missing, {count} kept, of {yes} it is proven"


def test_break_glass_second(build):
    """west was promoted by tokens while east was cut off. The two see each other again, and no quorum answers: the store
    as east last heard of it still has east as primary. Good tokens for east are refused while west lives, by any word."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, link="veth" if may_make_namespaces() else "memif", witness=CENTRAL) as lab:
        if not lab.can_cut_control():
            return "SKIP: the control network cannot be cut here"
        make_keys(lab)
        group(lab, "db", volumes=(("a", "16M"),))
        lab.wait_health("db", "protected", site="west")
        lab.run("lab", "kill", CENTRAL)
        lab.run("lab", "cut", "east", "west")
        tokens = ",".join(sign(lab, who, request_of(lab)) for who in ("bob", "carol"))
        lab.run("promote", "db", "--site", "west", "--break-glass", tokens)
        os.kill(lab.pids("east")["etcd"], signal.SIGKILL)
        lab.run("lab", "heal")
        lab.wait("east follows west", lambda: lab.engine_group("east", "db")["epoch"] == FIRST_OF_TOKENS)
        expect(lab.engine_group("east", "db")["primary"] == "west", "by its engine's word")
        told = lab.group("db", "east")
        expect(told["primary"] == "east" and told["epoch"] < FIRST_OF_TOKENS, f"the store's last word: {told}")
        group_id = lab.engine_group("east", "db")["group"]
        request = f"causeway-break-glass-1:prod:{group_id}:db:{FIRST_OF_TOKENS}:east"
        tokens = ",".join(sign(lab, who, request) for who in ("alice", "carol"))
        p = lab.try_run("promote", "db", "--site", "east", "--break-glass", tokens)
        expect(p.returncode == 3 and "west is heard here, and holds db by tokens itself" in p.stderr, p.stdout + p.stderr)
        os.kill(lab.pids("west")["causeway-control"], signal.SIGKILL)
        lab.wait("its engine alone speaks against it", lambda: "the engine of west is heard here" in lab.try_run(
            "promote", "db", "--site", "east", "--break-glass", tokens).stderr)
        expect(lab.engine_group("east", "db")["role"] == "replica", "nothing has happened")
        return "one primary"


def test_break_glass_own(build):
    """The primary itself is what is left, frozen: by tokens it goes on where it is."""
    if not has_etcd():
        return "SKIP: no etcd"
    with Lab(build, witness=CENTRAL) as lab:
        make_keys(lab)
        group(lab, "db", volumes=(("a", "16M"), ("b", "16M")))
        w = load.Writer(71).connect([lab.uri("db", v, "east") for v in ("a", "b")])
        w.start()
        goes_on(lab, w, "writes")
        w.stop()
        lab.run("lab", "kill", CENTRAL)
        lab.run("lab", "kill", "west")
        request = request_of(lab, "east")
        tokens = ",".join(sign(lab, who, request) for who in ("bob", "carol"))
        lab.run("promote", "db", "--site", "east", "--break-glass", tokens)
        uris = [lab.uri("db", v, "east") for v in ("a", "b")]
        new = w.next(72, load.check(w, uris, w.acknowledged)).connect(uris)
        new.start()
        goes_on(lab, new, "writes without a quorum")
        lab.run("lab", "start", "west")
        lab.run("lab", "start", CENTRAL)
        lab.wait_state("db", "in-sync", "west", site="east")
        lab.wait_health("db", "protected", site="west")
        new.stop()
        expect(new.error is None, f"{new.error}")
        g = lab.group("db", "west")
        expect(g["primary"] == "east" and g["epoch"] == FIRST_OF_TOKENS and not g["outside_store"], f"{g}")
        load.check(new, uris, new.acknowledged)
        return f"{w.acknowledged} operations before, {new.acknowledged} by tokens"
