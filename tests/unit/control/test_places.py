#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two sites on machines of their own: what is at west's paths only west sees, by a mount in a namespace of its processes.
Over a real etcd, links, and engines that only talk (fake_engine.py): what stands at a path is not taken unless somebody
says so, whoever is asked, and what a site has not made it does not remove.

test_places.py CAUSEWAY CONTROL
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_lab import ENGINE, free_port, only_with_etcd, play  # noqa: E402
from test_late_store import CONFIG, Late  # noqa: E402

MIB = 1 << 20
OLD = b"somebody's data " * (MIB // 16)


class Apart(Late):
    def __init__(self, cli, control):
        self.ports = {site: free_port() for site in ("east", "west")}
        super().__init__(cli, control)
        os.mkdir(self.top + "/disks")  # empty here and at east
        os.mkdir(self.top + "/of-west")
        for what in (("init", "apart"), ("issue", "east"), ("issue", "west")):
            subprocess.run([cli, "cert", *what, "--directory", self.top + "/authority"], check=True, capture_output=True)
        self.processes["machine"] = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"mount --bind {self.top}/of-west {self.top}/disks && echo up && exec sleep 600"],
            stdout=subprocess.PIPE)
        assert self.processes["machine"].stdout.readline() == b"up\n"

    def configure(self, site, lease):
        other = "west" if site == "east" else "east"
        issued = f"{self.top}/authority/issued/{site}/{site}"
        text = CONFIG.format(site=site, top=self.top, port=self.port, lease=lease)
        text = text.replace(f"directory: {self.top}/{other}}}", f'directory: {self.top}/{other}, control: "127.0.0.1:{self.ports[other]}"}}')
        text = text.replace(f"cluster_key: {self.top}/key\n", f"""security:
  certificate: {issued}/server-cert.pem
  key: {issued}/server-key.pem
  authority: {issued}/ca-cert.pem
  revocations: {issued}/ca-crl.pem
control_address: "127.0.0.1:{self.ports[site]}"
""")
        with open(f"{self.top}/{site}/node.yaml", "w") as f:
            f.write(text)

    def start_at(self, site, name, program):
        machine = [] if site == "east" else ["nsenter", f"--mount=/proc/{self.processes['machine'].pid}/ns/mnt"]
        self.start(f"{name}-{site}", *machine, program, "--config", f"{self.top}/{site}/node.yaml")

    def start_controller(self, site):
        self.start_at(site, "control", self.control)

    def start_site(self, site):
        self.start_at(site, "engine", ENGINE)
        self.start_controller(site)

    def kill_site(self, site):
        self.kill("control-" + site)
        self.kill("engine-" + site)

    def show(self):
        super().show()
        print(self.run("east", "events"))

    def file(self, name, content=OLD):
        """Of west alone, as --path says it."""
        with open(f"{self.top}/of-west/{name}", "wb") as f:
            f.write(content)
        return f"west={self.top}/disks/{name}"

    def is_untouched(self, name):
        with open(f"{self.top}/of-west/{name}", "rb") as f:
            return f.read() == OLD

    def groups(self, site="east"):
        return {g["name"]: g for g in self.status(site)["groups"]}

    def volumes(self, site, group):
        """As the engine there has them."""
        status = json.loads(self.run(site, "rpc", "status", "{}"))
        return {v["name"]: v for g in status["groups"] if g["name"] == group for v in g["volumes"]}

    def facts_image(self, site, group):
        """As that site's controller has heard it from its engine."""
        return next(r["image"] for r in self.groups(site)[group]["replicas"] if r["site"] == site)

    def create_group(self, name, primary, replica, *more, code=0):
        return self.run("east", "group", "create", name, "--mode", "sync", "--primary", primary, "--replica", replica,
                        "--journal-size", "16M", *more, code=code)

    def is_alive(self, site, at="east"):
        return any(s["name"] == site and s["alive"] for s in self.status(at).get("sites", []))

    def start_all(self, *sites):
        for site in sites:
            self.start_site(site)
        self.meet()

    def meet(self):
        self.wait("both see both", lambda: all(self.is_alive(s, at) for s in ("east", "west") for at in ("east", "west")))


def begin(apart):
    apart.start_etcd()
    apart.start_all("east", "west")
    apart.create_group("db", "east", "west")


def data_elsewhere(apart):
    """Asked at east, which sees nothing there: refused by west, and nothing is touched."""
    path = apart.file("v")
    words = apart.run("east", "volume", "create", "db/v", "--size", "1M", "--path", path, code=3)
    assert "all its data would be overwritten" in words and "--overwrite west" in words, words
    assert apart.groups()["db"]["volumes"] == [] and apart.is_untouched("v")


def data_where_a_copy_goes(apart):
    """PATH.copy is as much somebody's as PATH, at a site of another machine and at this one."""
    apart.file("n.copy")
    words = apart.run("east", "volume", "create", "db/n", "--size", "1M", "--path", f"west={apart.top}/disks/n", code=3)
    assert f"{apart.top}/disks/n.copy is there already at west" in words and "Move it away" in words, words
    words = apart.run("west", "volume", "create", "db/n", "--size", "1M", "--path", apart.file("n"), "--overwrite", "west", code=3)
    assert f"{apart.top}/disks/n.copy is there already at west" in words, words
    assert apart.groups()["db"]["volumes"] == [] and apart.is_untouched("n") and apart.is_untouched("n.copy")


def data_that_may_go(apart):
    """It is another one than the primary's, so that it is copied over; and it stays when the volume is deleted."""
    apart.run("east", "volume", "create", "db/v", "--size", "1M", "--path", f"west={apart.top}/disks/v", "--overwrite", "west")
    at = {site: apart.volumes(site, "db")["v"]["base"] for site in ("east", "west")}
    assert at["east"] == "0" and at["west"] != "0", at
    apart.run("east", "volume", "delete", "db/v")
    assert apart.is_untouched("v") and not os.path.exists(apart.top + "/east/db-v.img")


def journal_elsewhere(apart):
    path = apart.file("j")
    words = apart.create_group("other", "east", "west", "--journal", path, code=3)
    assert "may be the only copy of a group" in words, words
    assert "other" not in apart.groups() and apart.is_untouched("j")


def size_elsewhere(apart):
    """Of the primary's file, which only the primary's site can measure."""
    apart.create_group("there", "west", "east")
    apart.run("east", "volume", "create", "there/v", "--path", apart.file("p"))
    assert apart.groups()["there"]["volumes"][0]["size"] == MIB
    at = {site: apart.volumes(site, "there")["v"]["base"] for site in ("east", "west")}
    assert at["east"] == "0" and at["west"] != "0", at


def lacks_a_volume(apart, left):
    """West is in the set, and without one of the volumes: that does not look well, and nobody moves there unaware."""
    words = f"west does not have volume w: {left} exists at west"
    apart.wait("it is not well", lambda: apart.groups()["db"]["reason"].startswith(words))
    assert "degraded: " + words in apart.run("east", "status", "--check", code=1)
    words = apart.run("east", "explain", "db")
    assert f"{left} exists at west" in words and "Move it away or remove it" in words, words
    assert "west tries to make or open volume w" in words and "all is as it should be" not in words, words
    assert "west lacks volume w of group db" in apart.run("east", "audit", code=1)
    words = apart.run("west", "switchover", "db", "--site", "west", code=3)
    assert "west lacks volume w of db, and could not serve it" in words and apart.groups()["db"]["primary"] == "east", words
    apart.kill_site("east")
    words = apart.run("west", "promote", "db", "--site", "west", code=3)
    assert "west lacks volume w of group db" in words, words
    apart.run("west", "promote", "db", "--site", "west", "--accept-loss")
    apart.start_all("east")
    apart.wait("nor is it served", lambda: apart.groups()["db"]["reason"].startswith("west does not export volume w: "))
    words = apart.run("west", "explain", "db")
    assert "west tries to make or open volume w" in words and "create the volume with --path west=" in words, words


def data_at_a_site_that_is_away(apart):
    """Looked at when it is back: refused then, told, and made when it is out of the way."""
    left = apart.top + "/west/db-w.img"
    apart.kill_site("west")
    apart.wait("it is away", lambda: not apart.is_alive("west"))
    apart.run("east", "volume", "create", "db/w", "--size", "1M")
    with open(left, "wb") as f:
        f.write(OLD)
    apart.start_all("west")
    words = f"west cannot attach {left}: {left} exists at west"
    apart.wait("it is told", lambda: words in apart.run("west", "events"))
    assert "w" not in apart.volumes("west", "db")
    apart.wait("it is shown", lambda: apart.groups()["db"]["replicas"][0]["reason"].startswith(f"{left} exists at west"))
    lacks_a_volume(apart, left)
    with open(left, "rb") as f:
        assert f.read() == OLD
    os.unlink(left)
    apart.wait("it is made", lambda: "w" in apart.volumes("west", "db"))
    apart.wait("nothing is wrong", lambda: apart.groups()["db"]["health"] == "protected")
    assert apart.groups()["db"]["replicas"][0]["reason"] == ""
    apart.run("west", "switchover", "db", "--site", "east")
    apart.wait("east has it again", lambda: apart.groups()["db"]["health"] == "protected")
    delete_beside_a_copy(apart, "w", left)


def delete_beside_a_copy(apart, name, path):
    """A file at PATH.copy goes with the volume only while the engine says that it copies: else it is somebody's."""
    apart.file("of-copying")
    shutil.copy(apart.top + "/of-west/of-copying", path + ".copy")
    apart.run("east", "volume", "delete", "db/" + name)
    assert not os.path.exists(path), "what a site has made it removes"
    assert os.path.exists(path + ".copy"), "what it has not made stays"
    os.unlink(path + ".copy")
    apart.run("east", "volume", "create", "db/" + name, "--size", "1M")
    open(apart.top + "/west/fake-copying", "w").close()
    shutil.copy(apart.top + "/of-west/of-copying", path + ".copy")
    apart.wait("it is copied to", lambda: apart.facts_image("west", "db") == "copying")
    apart.run("east", "volume", "delete", "db/" + name)
    os.unlink(apart.top + "/west/fake-copying")
    assert not os.path.exists(path + ".copy"), "its own new file goes, too"


def made_and_not_told(apart):
    """Site and engine die when the file is made, before anybody is told: it is their own."""
    open(apart.top + "/west/fake-mute-attach", "w").close()
    asked = subprocess.Popen([apart.cli, "--socket", f"{apart.top}/east/control.sock", "volume", "create", "db/x", "--size",
                              "1M"], stderr=subprocess.PIPE, text=True)
    apart.wait("it is made", lambda: os.path.exists(apart.top + "/west/fake-muted"))
    apart.kill_site("west")
    os.unlink(apart.top + "/west/fake-mute-attach")
    apart.start_all("west")
    apart.wait("it is attached", lambda: "x" in apart.volumes("west", "db"))
    said = asked.communicate(timeout=90)[1]
    assert asked.returncode == 0, said
    apart.wait("east has it", lambda: "x" in apart.volumes("east", "db"))
    assert "cannot attach" not in apart.run("west", "events").split("volume x created")[1]


def engines_of_another_store(apart):
    """A store made anew gives out the same numbers: what the engines still have is not taken for a new group."""
    for name in ("control-east", "control-west", "etcd"):
        apart.kill(name)
    shutil.rmtree(apart.top + "/etcd")
    for site in ("east", "west"):
        os.unlink(f"{apart.top}/{site}/store-copy.json")
    apart.start_etcd()
    for site in ("east", "west"):
        apart.start_controller(site)
    apart.meet()
    words = apart.create_group("new", "east", "west", code=3)
    assert "the engine here has a group of that number already" in words, words


STEPS = (begin, data_elsewhere, data_where_a_copy_goes, data_that_may_go, journal_elsewhere, size_elsewhere, data_at_a_site_that_is_away,
         made_and_not_told, engines_of_another_store)

if __name__ == "__main__":
    only_with_etcd()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        print("skipped: no mount namespaces to be had")
        sys.exit(77)
    play(Apart, STEPS)
