#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The flows of controllers and command line, over engines that only talk (fake_engine.py): who holds what, what
is refused, what a crash of a controller changes (nothing), what a failed creation leaves (nothing).

test_flows.py CAUSEWAY CONTROL
"""
import glob
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import Lab, pair, play  # noqa: E402


def make(lab):
    pair(lab)
    assert "is up" in lab.run("lab", "up"), "a lab that runs is left as it is"
    lab.run("lab", "up", "--mtu", "9000", code=2)
    east, west = lab.group("east"), lab.group("west")
    assert east["volumes"][0]["uri"].startswith("nbd+unix:///data?socket="), east
    assert west["volumes"][0]["uri"] == "", west
    assert east["rpo_bytes"] == 0 and east["primary"] == "east" and east["epoch"] == 1, east
    lab.run("status", "--check")


def creation_that_fails(lab):
    lab.run("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west", code=1)
    lab.run("volume", "create", "db/data", "--size", "1M", code=1)
    lab.run("volume", "create", "none/data", "--size", "1M", code=1)
    for size in ("18446744073709551615", "9223372036854775808", "1025T", "0"):
        words = lab.run("volume", "create", "db/huge", "--size", size, code=2)
        assert f"--size {size} is out of range" in words and "1024T" in words, words
    words = lab.run("group", "create", "huge", "--mode", "sync", "--primary", "east", "--replica", "west",
                    "--journal-size", "18446744073709551615", code=2)
    assert "--journal-size 18446744073709551615 is out of range" in words, words
    assert "--size is missing" in lab.run("volume", "create", "db/none", code=2)
    for _ in range(2):  # what cannot fit takes none of the group's 64 numbers
        words = lab.run("volume", "create", "db/huge", "--size", "1000T", code=1)
        assert "east: No space left" in words and "--thin" in words, words
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        assert store.execute("SELECT next_volume FROM groups").fetchall() == [(1,)]
    existing = lab.top + "/existing"
    with open(existing, "wb") as f:
        f.write(bytes(1 << 20))
    words = lab.run("volume", "create", "db/over", "--size", "1M", "--path", "west=" + existing, code=3)
    assert "--overwrite west" in words, words
    fifo = lab.top + "/fifo"  # nobody ever writes to it: whoever opens it as a file waits
    os.mkfifo(fifo)
    words = lab.run("volume", "create", "db/over", "--size", "1M", "--path", "east=" + fifo, code=1)
    assert "neither a file nor a block device" in words, words
    lab.run("group", "set", "db", "failover=auto", code=2)
    assert "embedded store" in lab.run("group", "set", "db", "failover=automatic", code=3)
    for wrong in ("max_loss=1s,", "max_loss=,1M", "max_loss=1M,1s", "max_loss=1s,2M,3M", "max_loss=1ms", "max_loss=2P",
                  "after=10ms", "after=2h"):
        lab.run("group", "set", "db", wrong, code=2)
    lab.run("group", "set", "db", "max_loss=10s,64M", "after=2s")
    lab.run("group", "set", "db", "max_loss=25s", "failover=manual")
    failover = lab.group("east")["failover"]
    assert (failover["max_loss_seconds"], failover["max_loss_bytes"], failover["after_seconds"]) == (25, 64 << 20, 2)
    assert failover["mode"] == "manual" and "causeway promote db" in failover["words"], failover
    lab.run("group", "set", "db", "max_loss=0")
    assert lab.group("east")["failover"]["max_loss_bytes"] == 0
    lab.run("group", "set", "db", "min_in_sync=1", "max_loss=30s")
    assert lab.group("east")["min_in_sync"] == 1
    lab.run("group", "set", "db", "min_in_sync=0")
    lab.run("group", "delete", "db", code=3)


def roles(lab):
    lab.run("promote", "db", "--site", "west")
    assert lab.group("west")["primary"] == "west" and lab.group("west")["epoch"] == 2
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    assert lab.group("east")["epoch"] == 3
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")
    assert "is copied to west" in lab.run("resync", "db", "--site", "west")
    lab.run("resync", "db", "--site", "east", code=3)
    lab.run("promote", "db", "--site", "nowhere", code=2)


def answer_is_lost(lab):
    """The store has the claim, its engine was not told: asked again, the answer is yes, and no epoch is lost by it."""
    epoch = lab.group("east")["epoch"]
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west", FAKE_LOSE_CLAIMS="2")
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")
    lab.run("promote", "db", "--site", "west")
    assert (lab.group("west")["primary"], lab.group("west")["epoch"]) == ("west", epoch + 1), lab.group("west")
    assert "look again" not in lab.run("events")
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west")
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")


def handed_over(lab):
    """A group on its way from one site to another: the reason is that, and no lease that has run out."""
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_DRAIN="2")
    lab.wait("it is back", lambda: lab.group("east")["health"] == "protected")
    asked = subprocess.Popen([lab.cli, "switchover", "db", "--site", "west"], env=lab.env)
    seen = set()
    while asked.poll() is None:
        for site in ("east", "west"):
            group = lab.group(site)
            seen.add((group["health"], group["reason"]))
    assert asked.returncode == 0
    assert ("frozen", "writes are held: it is being handed over to west, which gets what is written first") in seen, seen
    assert not any("lease" in reason or "has not said" in reason for _, reason in seen), seen
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east")
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")


def explained(lab):
    """explain and audit of the embedded store: what is told to type is what works, whoever is asked."""
    lab.wait("both say that both may burn", lambda: all(lab.try_run("--site", s, "audit").returncode == 0 and
                                                        lab.group(s)["health"] == "protected" for s in ("east", "west")))
    survey = json.loads(lab.run("--site", "west", "audit", "--json"))
    losses = {" ".join(x["sites"]): x for x in survey["losses"]}
    assert survey["embedded"] and set(losses) == {"east", "west"} and not survey["votes"], survey
    primary = lab.group("east")["primary"]
    other = "west" if primary == "east" else "east"
    assert losses[primary]["groups"][0]["command"] == f"causeway promote db --site {other}", losses[primary]
    text = lab.run("--site", other, "audit")
    assert "All sites are on this one machine" in text and "\033" not in text, text
    for site in ("east", "west"):
        told = json.loads(lab.run("--site", site, "explain", "db", "--json"))
        typed = [x["command"] for x in told["lines"] if x["section"] == "type"]
        assert told["health"] == "protected" and typed[0] == f"causeway switchover db --site {other}", told
        assert told["survives_loss_of_primary"] and told["primary"] == primary, told
        assert any(re.match(rf"{primary} is primary \(epoch {told['epoch']} for .* now\)", x["text"]) for x in told["lines"]), told
    text = lab.run("explain", "db")
    assert text.startswith("Group db is protected. ") and f"{primary} is primary (epoch " in text, text
    assert "the store is a file on this machine" in text, text
    assert "there is no group nobody" in lab.run("explain", "nobody", code=1)
    lab.run("explain", code=2)
    lab.run("audit", "db", code=2)


def audit_lines(lab, site="east"):
    return [json.loads(line) for line in lab.run("--site", site, "events", "--audit", "--json").splitlines()]


def audit_is_kept(lab):
    """Who asked for what, why, and what came of it; what looks leaves no line."""
    before = len(audit_lines(lab))
    lab.run("group", "set", "db", "max_loss=20s", "--reason", "a drill \033[31m")
    lab.run("switchover", "db", "--site", "east", "--reason", "it is there already")
    lab.run("group", "delete", "db", code=3)
    lab.run("status")
    lab.run("rpc", "status")
    lab.run("rpc", "group.fence", '{"group":77,"epoch":1}', code=1)
    lines = [entry["line"] for entry in audit_lines(lab)[before:]]
    assert all(entry["good"] for entry in audit_lines(lab))
    told = [(line["command"].split()[0], line["what"], line["exit"]) for line in lines]
    assert told == [("group.set", "done", 0), ("switchover", "begun", 0), ("switchover", "done", 0),
                    ("group.delete", "refused", 3), ("engine", "failed", 1)], told
    assert "group.fence" in lines[4]["command"], lines[4]
    assert lines[0]["reason"] == "a drill ?[31m" and '"max_loss":"20s"' in lines[0]["command"], lines[0]
    assert lines[2]["reason"] == "it is there already" and lines[1]["operation"] == lines[2]["operation"], lines[2]
    assert f"(uid {os.geteuid()}, gid {os.getegid()}, pid " in lines[0]["who"], lines[0]
    assert lines[0]["from"].startswith("control socket of "), lines[0]
    words = lab.run("events", "--audit")
    assert "group.set" in words and "(because: a drill ?[31m)" in words, words
    lab.run("group", "set", "db", "max_loss=30s")


def audit_is_changed(lab):
    """A line that was changed by hand is told: by the command that reads, by an event, by status."""
    assert json.loads(lab.run("status", "--json"))["audit_damage"] == ""

    def by_hand(what):
        with sqlite3.connect(lab.top + "/lab/store.db") as store:
            assert store.execute(what).rowcount == 1
    by_hand("UPDATE audit_lines SET text=replace(text,'20s','99s') WHERE text LIKE '%20s%'")
    p = lab.try_run("events", "--audit")
    assert p.returncode == 1 and "was changed" in p.stderr and "CHANGED" in p.stdout, p
    for site in ("east", "west"):
        lab.wait("it is told", lambda: "was changed" in json.loads(lab.run("--site", site, "status", "--json"))["audit_damage"])
    assert "is not whole" in lab.run("status")
    lab.wait("there is an event", lambda: "the audit at east is not whole" in lab.run("events"))
    by_hand("UPDATE audit_lines SET text=replace(text,'99s','20s') WHERE text LIKE '%99s%'")


def rights(lab):
    """Who is let in by the sockets' group and is none of the operators' may look, and is told who may do more."""
    if os.geteuid() != 0:
        print("not root: rights are not tried")
        return
    viewer = {"user": 65534, "group": 100, "extra_groups": []}
    operator = {"user": 65534, "group": 100, "extra_groups": [37]}

    def as_user(user, *args):
        p = subprocess.run([lab.cli, "--socket", lab.top + "/lab/east/control.sock", *args], capture_output=True, text=True,
                           timeout=90, **user)
        return p.returncode, p.stdout + p.stderr

    import grp
    names = {gid: grp.getgrgid(gid).gr_name for gid in (100, 37)}
    config = lab.top + "/lab/east/node.yaml"
    with open(config) as f:
        before = f.read()
    for folder in (lab.top, lab.top + "/lab", lab.top + "/lab/east"):
        os.chmod(folder, 0o755)

    def restart(sockets):
        with open(config, "w") as f:
            f.write(before + sockets)
        lab.kill_controller("east")
        lab.run("lab", "start", "east")
    restart(f'sockets: {{mode: "0660", group: {names[100]}}}\n')
    assert as_user(viewer, "group", "set", "db", "max_loss=31s")[0] == 0, "all whom the group lets in, as ever"
    restart(f'sockets: {{mode: "0660", group: {names[100]}, operators: {names[37]}}}\n')
    count = len(audit_lines(lab))
    for look in (("status",), ("events",), ("events", "--audit"), ("rpc", "status")):
        code, words = as_user(viewer, *look)
        assert code == 0, (look, words)
    epoch = lab.group("east")["epoch"]
    for change in (("promote", "db", "--site", "east", "--reason", "I want to"), ("switchover", "db", "--site", "east"),
                   ("group", "set", "db", "max_loss=32s"), ("group", "delete", "db"), ("volume", "delete", "db/data"),
                   ("resync", "db", "--site", "west"), ("rpc", "group.fence", '{"group":1,"epoch":9}'),
                   ("rpc", "engine.stop"), ("rpc", "lab.cut", '{"remote":""}'), ("rpc", "direct.start")):
        code, words = as_user(viewer, *change)
        assert code == 3 and "may look and change nothing" in words and "sockets.operators" in words, (change, words)
    refused = [entry["line"] for entry in audit_lines(lab)[count:]]
    assert len(refused) == 10 and all(line["what"] == "refused" and line["exit"] == 3 for line in refused), refused
    assert "uid 65534, gid 100" in refused[0]["who"] and refused[0]["reason"] == "I want to", refused[0]
    assert lab.group("east")["epoch"] == epoch
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        assert store.execute("SELECT max_loss_ms FROM groups").fetchall() == [(31000,)]
    for _ in range(60):
        as_user(viewer, "group", "delete", "db")
    flood = len(audit_lines(lab)) - count
    assert 10 < flood <= 45, f"{flood} lines: of many in a row not each has one"
    assert as_user(operator, "group", "set", "db", "max_loss=30s")[0] == 0
    with open(config, "w") as f:
        f.write(before)
    lab.kill_controller("east")
    lab.run("lab", "start", "east")
    lab.wait("as it was", lambda: lab.group("east")["health"] == "protected")


def controller_dies(lab):
    lab.kill_controller("east")
    lab.run("lab", "start", "east")
    lab.wait("as it was", lambda: lab.group("east")["health"] == "protected")
    assert lab.group("east")["epoch"] == 3, "the engine lived: it is primary still, and nothing was opened anew"
    lab.kill_controller("west")
    lab.run("lab", "start", "west")
    lab.run("switchover", "db", "--site", "west")  # a controller that has not yet heard of the others waits for that
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    lab.wait("as it was", lambda: lab.group("east")["health"] == "protected")


def site_is_lost(lab):
    """As long as the old lease moves in the store its group is not taken, for longer than a lease lasts; then it is."""
    def renewed_and_asked_for():
        with sqlite3.connect(lab.top + "/lab/store.db") as store:
            store.execute("UPDATE sites SET lease_counter=lease_counter+1 WHERE name='east'")
            heartbeats.update(store.execute("SELECT heartbeat FROM requests WHERE taker='west'").fetchall())
        return len(heartbeats) == 8 or asked.poll() is not None  # one a second
    heartbeats = set()
    lab.run("lab", "kill", "east")
    asked = subprocess.Popen([lab.cli, "promote", "db", "--site", "west"], env=lab.env)
    lab.wait("it is asked for again and again", renewed_and_asked_for)
    assert asked.poll() is None and lab.group("west")["primary"] == "east", "the old lease was not waited for"
    assert asked.wait(timeout=90) == 0
    lab.wait("unprotected", lambda: lab.group("west")["health"] == "unprotected")
    lab.run("status", "--check", code=1)
    lab.run("lab", "start", "east")
    lab.wait("it is back", lambda: lab.group("west")["health"] == "protected")
    assert lab.group("east")["primary"] == "west"


def cut_replica_is_refused(lab):
    lab.run("lab", "cut", "east", "west")
    lab.wait("out of the set", lambda: lab.group("west")["health"] == "unprotected")
    words = lab.run("promote", "db", "--site", "east", code=3)
    assert "--accept-loss" in words and "in-sync set" in words, words
    assert lab.group("west")["primary"] == "west"
    words = lab.run("promote", "db", "--site", "east", "--accept-loss")
    assert "when west was last seen" in words and "east lacked 0 bytes" in words, words
    assert lab.group("east")["primary"] == "east"
    words = lab.run("resync", "db", "--site", "west")
    assert "nothing is copied yet" in words and "does not reach west" in words, words
    lab.run("lab", "heal")
    lab.wait("whole", lambda: lab.group("east")["health"] == "protected")


def rebooted_member_is_refused(lab):
    lab.run("lab", "kill", "east")
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west", FAKE_REBOOTED="1")
    words = lab.run("promote", "db", "--site", "west", code=3)
    assert "rebooted" in words, words
    lab.run("lab", "start", "east")
    lab.wait("its holder opens it", lambda: lab.group("east")["health"] == "protected")


def volumes_come_late(lab):
    """A copy that ended just before a crash is known to the engine only: it is asked when its volumes are there."""
    late = lab.top + "/late"
    lab.run("lab", "kill", "east")  # first: it would take west out of the set
    lab.run("lab", "kill", "west")
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        assert store.execute("UPDATE places SET base=5 WHERE site='west' AND volume=0").rowcount == 1
    lab.run("lab", "start", "west", FAKE_LATE=late)
    promotion = subprocess.Popen([lab.cli, "promote", "db", "--site", "west"], env=lab.env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        time.sleep(4)
        assert promotion.poll() is None, promotion.communicate()
        open(late, "x").close()
        words = promotion.communicate(timeout=60)[0]
        assert promotion.returncode == 0, words
    finally:
        promotion.kill()
    lab.run("lab", "start", "east")
    lab.run("switchover", "db", "--site", "east")
    lab.wait("both are there", lambda: lab.group("east")["health"] == "protected")


def stopped_beside_a_hanging_disk(lab, east):
    """An error stops the group while the disk of another volume hangs: the store hears of it all the same."""
    epoch = lab.group("east")["epoch"]
    lab.run("volume", "create", "db/brief", "--size", "1M")
    os.unlink(east + "fake-held")
    open(east + "fake-hold", "x").close()
    deletion = subprocess.Popen([lab.cli, "volume", "delete", "db/brief"], env=lab.env, stdout=subprocess.PIPE)
    lab.wait("its disk hangs", lambda: os.path.exists(east + "fake-held"))
    open(east + "fake-down", "x").close()
    lab.wait("it lets go", lambda: f"db: east has let go of epoch {epoch}" in lab.run("events"))
    assert "db: east has stopped it: the disk is gone" in lab.run("events") and deletion.poll() is None, "and hangs still"
    os.unlink(east + "fake-down")
    os.unlink(east + "fake-hold")
    assert deletion.wait(timeout=60) == 0
    lab.wait("it opens again", lambda: lab.group("east")["epoch"] == epoch + 1)
    lab.level("east")


def disk_keeps_nobody(lab):
    """A volume that is not let go of by its disk, and one whose device is missing: who holds the group hands it over."""
    hold, east = lab.top + "/lab/east/fake-hold", lab.top + "/lab/east/"
    lab.run("volume", "create", "db/brief", "--size", "1M")
    open(hold, "x").close()
    deletion = subprocess.Popen([lab.cli, "volume", "delete", "db/brief"], env=lab.env, stdout=subprocess.PIPE)
    lab.wait("its disk hangs", lambda: os.path.exists(east + "fake-held"))
    lab.run("switchover", "db", "--site", "west")
    assert lab.group("west")["primary"] == "west" and deletion.poll() is None, "and hangs still"
    os.unlink(hold)
    assert deletion.wait(timeout=60) == 0
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    lab.level("east")
    stopped_beside_a_hanging_disk(lab, east)
    lab.run("lab", "kill", "east")
    missed = lab.run("events").count("the device is not there yet")
    lab.run("lab", "start", "east", FAKE_LATE=lab.top + "/never")
    lab.wait("its device is missed", lambda: lab.run("events").count("the device is not there yet") > missed)
    lab.wait("west hears of east", lambda: all(site["alive"] for site in json.loads(
        lab.run("--site", "west", "status", "--json"))["sites"]))
    lab.run("switchover", "db", "--site", "west")
    assert lab.group("west")["primary"] == "west"
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east")
    lab.wait("both in the set", lambda: lab.group("west")["health"] == "protected")
    lab.run("switchover", "db", "--site", "east")
    lab.wait("both in the set", lambda: lab.group("east")["health"] == "protected")


def no_space(lab):
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west", FAKE_FAIL_ATTACH="1")
    lab.wait("west is seen", lambda: lab.group("east")["health"] == "protected")
    words = lab.run("volume", "create", "db/more", "--size", "1M", code=1)
    assert "no space" in words, words
    assert [v["name"] for v in lab.group("east")["volumes"]] == ["data"]
    assert not os.path.exists(lab.top + "/lab/storage/east/db-more.img"), "nothing is left"


def store_is_lost(lab):
    """A new, empty store where there was one: all that is left is not taken for rubbish, and nothing looks well."""
    create = ("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west")

    def restart(move):
        for site in ("east", "west"):
            lab.kill_controller(site)
        for file in (lab.top + "/lab/store.db" + more for more in ("", "-wal", "-shm")):
            move(file)
        for site in ("east", "west"):
            lab.run("lab", "start", site)

    def put_back(file):
        if os.path.exists(file):
            os.unlink(file)
        if os.path.exists(file + ".kept"):
            os.rename(file + ".kept", file)

    lab.run("status", "--check")
    restart(lambda file: os.path.exists(file) and os.rename(file, file + ".kept"))
    for site in ("east", "west"):
        lab.wait("it is seen", lambda: lab.try_run("--site", site, "status", "--check").returncode == 1)
    lab.wait("of both", lambda: len(json.loads(lab.run("status", "--json"))["unknown"]) == 2)
    words = lab.run("status", "--check", code=1)
    journal = lab.top + "/lab/storage/east/db.journal"
    assert f"east has group db with its journal {journal}, which the store does not know" in words, words
    assert f"put the last one back as {lab.top}/lab/store.db" in words and "west has group db" in words, words
    assert "east has group db" in lab.run("status") and "east has group db" in lab.run("events")
    words = lab.run(*create, code=3)
    assert "only copy" in words and "put the last one back" in words, words
    for site in ("east", "west"):
        lab.run("lab", "kill", site)
        lab.run("lab", "start", site)
    lab.wait("only journals", lambda: f"east has the journal {journal}" in lab.try_run("status", "--check").stderr)
    restart(put_back)
    lab.wait("as it was", lambda: lab.group("east")["health"] == "protected")
    lab.wait("all is known", lambda: lab.try_run("status", "--check").returncode == 0)


def store_is_locked(lab):
    """Somebody else has the store's lock: status is answered on, and says so; when the lock goes, all is as it was."""
    lab.wait("both are there", lambda: lab.group("east")["health"] == "protected")
    locker = sqlite3.connect(lab.top + "/lab/store.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    for site in ("east", "west"):
        lab.wait("it is told", lambda: not json.loads(lab.run("--site", site, "status", "--json"))["store_answers"])
    answered = 0

    def ask():
        nonlocal answered
        for site in ("east", "west"):
            assert json.loads(lab.run("--site", site, "status", "--json"))["store_silent_seconds"] > 0
        answered += 1
        return answered == 30

    lab.wait("60 answers, which one after the other waiting for the lock would not give", ask)
    assert "has not answered for" in lab.run("--site", "east", "status", "--check", code=1)
    lab.wait("west has words", lambda: "nothing newer is known of east" in lab.group("west")["reason"])
    assert "did not take" in lab.run("group", "set", "db", "max_loss=30s", code=1)
    locker.execute("ROLLBACK")
    locker.close()
    for site in ("east", "west"):
        lab.wait("it answers", lambda: json.loads(lab.run("--site", site, "status", "--json"))["store_answers"])
        lab.wait("as it was", lambda: lab.group(site)["health"] == "protected")
    lab.wait("all is well", lambda: lab.try_run("status", "--check").returncode == 0)


def no_export(lab):
    """A volume that cannot be exported is no volume that is served: the command and the health say so, and why."""
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_NO_EXPORT="more")
    lab.run("lab", "kill", "west")
    lab.run("lab", "start", "west")
    lab.wait("both are there", lambda: lab.group("east")["health"] == "protected")
    words = lab.run("volume", "create", "db/more", "--size", "1M", code=1)
    assert "made, but east does not export it: no socket is left" in words, words
    words = lab.run("status", "--check", code=1)
    assert "degraded: east does not export volume more: no socket is left" in words, words
    shown = {v["name"]: (v["uri"] != "", v["error"]) for v in lab.group("east")["volumes"]}
    assert shown == {"data": (True, ""), "more": (False, "no socket is left")}, shown
    lab.run("volume", "delete", "db/more")
    lab.wait("it is gone", lambda: lab.group("east")["health"] == "protected")


def long_path(lab):
    """A path that cannot have on its way what its rate wants is told of, once, with what to do."""
    lab.run("lab", "kill", "east")
    lab.run("lab", "start", "east", FAKE_LONG="1")

    def told():
        return [line for line in lab.run("events").splitlines() if "in_flight" in line]
    lab.wait("it is told", told)
    lab.wait("both are there", lambda: lab.group("east")["health"] == "protected")
    assert len(told()) == 1, told()
    assert ("path wan0: a round trip of 200 ms and the packets that may be on their way let it carry 241 Mbit/s at "
            "most, of the 1000 of its rate: set its in_flight to 30M, and memory.receive_mb at the other end to at "
            "least 120") in told()[0], told()


def numbers_end(lab):
    """A group has 64 volumes over its life: the one after them is refused in words, and nothing is left of it."""
    lab.wait("both are there", lambda: lab.group("east")["health"] == "protected")
    with sqlite3.connect(lab.top + "/lab/store.db") as store:
        store.execute("UPDATE groups SET next_volume=64")
    words = lab.run("volume", "create", "db/more", "--size", "1M", code=1)
    assert "64 volumes" in words and "another group" in words, words
    assert [v["name"] for v in lab.group("east")["volumes"]] == ["data"]


def clients_go(lab):
    """A client that has just gone does not keep a volume; one that is there does."""
    file = lab.top + "/lab/east/fake-clients"
    for site in ("east", "west"):
        lab.run("volume", "create", "db/brief", "--size", "1M")
        with open(file, "w") as f:
            f.write("2")
        lab.wait("they are seen", lambda: all(v["connections"] == 2 for v in lab.group(site)["volumes"]))
        words = lab.run("--site", site, "volume", "delete", "db/brief", code=3)
        assert "2 clients are connected to db/brief" in words, words
        lab.wait("they are seen", lambda: all(v["connections"] == 2 for v in lab.group(site)["volumes"]))
        os.unlink(file)
        lab.run("--site", site, "volume", "delete", "db/brief")
        assert [v["name"] for v in lab.group(site)["volumes"]] == ["data"]


def delete_while_away(lab):
    """A site that is away keeps neither the command nor the name; it deletes its part when it returns."""
    lab.run("volume", "create", "db/again", "--size", "1M")
    link = lab.top + "/link"
    lab.run("volume", "attach", "db/again", "--nbd", link)
    lab.run("lab", "kill", "west")
    lab.wait("it is missed", lambda: not json.loads(lab.run("status", "--json"))["sites"][1]["alive"])
    for turn in range(2):
        words = lab.run("volume", "delete", "db/again")
        assert "west is not there and deletes its part when it returns" in words, words
        lab.run("volume", "create", "db/again", "--size", "2M")
        lab.run("volume", "attach", "db/again", "--nbd", link)
        shown = [(v["name"], v["size"] >> 20, v["uri"] != "") for v in lab.group("east")["volumes"] if not v["deleting"]]
        assert shown == [("data", 1, True), ("again", 2, True)], shown
    lab.wait("the link leads there", lambda: os.path.islink(link))
    lab.run("lab", "start", "west")
    lab.wait("whole", lambda: lab.group("east")["health"] == "protected")
    lab.wait("nothing of them is left", lambda: [v["size"] >> 20 for v in lab.group("west")["volumes"]] == [1, 2])
    lab.wait("nor a file", lambda: len(glob.glob(lab.top + "/lab/storage/west/*.img")) == 2)
    lab.run("volume", "delete", "db/again")
    assert not glob.glob(lab.top + "/lab/storage/*/db-again*"), glob.glob(lab.top + "/lab/storage/*/*")


def delete_all(lab):
    """What a site that is away has yet keeps the group's name: who wants it is told which site, and what to do."""
    create = ("group", "create", "db", "--mode", "sync", "--primary", "east", "--replica", "west")
    lab.run("lab", "kill", "west")
    lab.wait("it is missed", lambda: not json.loads(lab.run("status", "--json"))["sites"][1]["alive"])
    lab.run("volume", "delete", "db/data")
    words = lab.run("group", "delete", "db", code=1)
    assert "db/data is still being deleted" in words and "Start west" in words, words
    lab.run("lab", "start", "west")
    lab.wait("the volume is gone", lambda: lab.group("east")["volumes"] == [])
    assert "there is a group db already" in lab.run(*create, code=1)
    lab.run("lab", "kill", "west")
    lab.wait("it is missed", lambda: not json.loads(lab.run("status", "--json"))["sites"][1]["alive"])
    words = lab.run("group", "delete", "db")
    assert "west is not there" in words and "the name db is taken" in words, words
    words = lab.run(*create, code=1)
    assert "still being deleted" in words and "Start west" in words and "another name" in words, words
    lab.run("lab", "start", "west")
    lab.wait("it is gone", lambda: json.loads(lab.run("status", "--json"))["groups"] == [])
    assert os.listdir(lab.top + "/lab/storage/east") == []
    assert "promotion" in lab.run("events")
    lab.run("lab", "down")
    assert not os.path.exists(lab.top + "/lab")


def over_a_wan(lab):
    """A WAN is checked before anything is made, runs with the lab, is told of, comes back, and ends with it."""
    for wrong, expected in (("rtt=1", "rtt=1: expected a time there and back such as 80ms"),
                            ("rtt=1ms,delay=1ms", "delay and rtt: expected only one of them"),
                            ("loss=" + "1" * 300, "letters at most")):
        words = lab.run("lab", "up", "--wan", wrong, code=2)
        assert expected in words, words
    words = lab.run("lab", "up", "--wan", "rtt=1ms", code=1, CAUSEWAY_WANEM="/nowhere/wanem")
    assert "/nowhere/wanem" in words, words
    assert not os.path.exists(lab.top + "/lab"), "nothing was made"
    assert "over a WAN of rtt=1ms" in lab.run("lab", "up", "--storage", "disk", "--wan", "rtt=1ms")
    lab.run("lab", "up", "--wan", "rtt=2ms", code=2)
    status = json.loads(lab.run("lab", "status", "--json"))
    assert status["wan"] == "rtt=1ms" and [s["engine"] for s in status["sites"]] == [True, True], status
    assert [(w["sites"], w["running"]) for w in status["wans"]] == [(["east", "west"], True)], status
    pid = int(open(f"{lab.top}/lab/link/wan0.pid").read())
    os.kill(pid, signal.SIGKILL)
    lab.wait("it is told", lambda: "east - west  does not run" in lab.run("lab", "status"))
    lab.run("lab", "start", "west")
    assert "east - west  runs" in lab.run("lab", "status")
    again = int(open(f"{lab.top}/lab/link/wan0.pid").read())
    lab.run("lab", "down")
    assert pid != again and not os.path.exists(f"/proc/{again}/exe"), "it ends with the lab"
    assert not glob.glob(f"/var/run/dpdk/wanem-{status['tag']}-*"), "and leaves nothing"


STEPS = (make, creation_that_fails, roles, audit_is_kept, rights, audit_is_changed, controller_dies, explained, handed_over,
         answer_is_lost, store_is_lost, site_is_lost, cut_replica_is_refused, volumes_come_late, rebooted_member_is_refused,
         disk_keeps_nobody, no_space, store_is_locked, no_export, long_path, clients_go, delete_while_away, numbers_end,
         delete_all, over_a_wan)

if __name__ == "__main__":
    play(Lab, STEPS)
