#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two sites, a replicated file system with a database on it, kill -9 of the first site in mid-commit, promotion
# of the second: the file system is clean and every acknowledged transaction is there.
set -u -o pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
causeway=$top/build/gcc/control/causeway
export CAUSEWAY_LAB
work=$(mktemp -d /tmp/cw-demo-XXXX) && CAUSEWAY_LAB=$work/lab
mount_point=$work/mnt fuse=$work/fuse image=$work/fuse/nbd loop='' fuse_pid='' writer=''

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' green='' red='' dim='' plain=''; fi
began=$(date +%s.%N)
elapsed() { awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN {printf "%6.2f", b - a}'; }
say() { printf '%s%s s%s  %s\n' "$dim" "$(elapsed)" "$plain" "$*"; }
head_line() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
die() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; exit 1; }

unmount_all() {
    mountpoint -q "$mount_point" && umount -l "$mount_point"
    if [ -n "$loop" ]; then losetup -d "$loop" 2>/dev/null; loop=''; fi
    if [ -n "$fuse_pid" ]; then
        fusermount3 -uz "$fuse" 2>/dev/null
        kill "$fuse_pid" 2>/dev/null
        { wait "$fuse_pid"; } 2>/dev/null
        fuse_pid=''
    fi
}
clean_up() {
    [ -n "$writer" ] && kill "$writer" 2>/dev/null && wait "$writer" 2>/dev/null
    unmount_all
    "$causeway" lab down >/dev/null 2>&1
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

uri_at() { # SITE: the URI of demo/data there, once it is exported
    local uri i
    for i in $(seq 600); do
        uri=$("$causeway" --site "$1" status --json 2>/dev/null | jq -r '.groups[0].volumes[] | select(.name == "data") | .uri')
        [ -n "$uri" ] && [ "$uri" != null ] && { echo "$uri"; return; }
        sleep 0.1
    done
    return 1
}

attach() { # URI: the volume as a loop device, and its file system
    mkdir -p "$fuse" "$mount_point"
    nbdfuse "$fuse" "$1" 2>>"$work/nbdfuse.log" & # it aborts when its server dies: known, and cleaned up
    fuse_pid=$!
    for _ in $(seq 600); do [ -e "$image" ] && break; sleep 0.1; done
    [ -e "$image" ] || die "nbdfuse did not start"
    loop=$(losetup -f --show "$image") || die "no loop device"
}

can_mount() { [ -e /dev/fuse ] && [ -e /dev/loop-control ] && [ "$(id -u)" = 0 ]; }

# Commits transactions as fast as they go; a line in acknowledged.txt for each that sqlite called committed.
transactions() {
    local database=$1 log=$2
    /usr/bin/python3 - "$database" "$log" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode=wal"); db.execute("pragma synchronous=full")
db.execute("create table if not exists ledger (id integer primary key, text)")
log = open(sys.argv[2], "a", buffering=1)
i = db.execute("select coalesce(max(id), 0) from ledger").fetchone()[0]
while True:
    i += 1
    db.execute("insert into ledger values (?, ?)", (i, "payment %d " % i * 20))
    log.write("%d\n" % i)
PY
}

head_line "1. Two sites"
"$causeway" lab up --sites east,west --link memif --storage memory >/dev/null || die "lab up failed"
say "east and west are up, joined by a memif link (no kernel between them)"
"$causeway" group create demo --mode sync --primary east --replica west >/dev/null || die "group create failed"
for v in data log; do "$causeway" volume create "demo/$v" --size 256M >/dev/null || die "volume create failed"; done
for _ in $(seq 600); do
    [ "$("$causeway" status --json | jq -r '.groups[0].health')" = protected ] && break
    sleep 0.1
done
[ "$("$causeway" status --json | jq -r '.groups[0].health')" = protected ] || die "the group did not become protected"
say "group demo: two volumes, mode sync, ${green}protected${plain}"
uri=$(uri_at east) || die "demo/data is not exported at east"

if ! can_mount; then
    head_line "No FUSE or no loop devices here: the image is written through NBD instead"
    mkdir -p "$work/root" && sqlite3 "$work/root/ledger.db" "create table ledger (id integer primary key); insert into ledger values (1);"
    truncate -s 256M "$work/image" && mkfs.ext4 -q -d "$work/root" "$work/image" && nbdcopy --flush "$work/image" "$uri" || die "copy failed"
    "$causeway" lab kill east >/dev/null && say "${red}kill -9${plain} of the whole first site"
    "$causeway" promote demo --site west || die "promotion failed"
    nbdcopy "$(uri_at west)" "$work/copy" && cmp "$work/image" "$work/copy" && e2fsck -fn "$work/copy" >/dev/null || die "the copy differs"
    say "${green}the image at west is the same, and its file system is clean${plain}"
    exit 0
fi

head_line "2. A file system with a database"
attach "$uri"
mkfs.ext4 -q "$loop" && mount "$loop" "$mount_point" || die "mkfs or mount failed"
say "ext4 on $loop on nbdfuse on demo/data"
started=$(date +%s.%N)
transactions "$mount_point/ledger.db" "$work/acknowledged.txt" 2>"$work/writer.log" &
writer=$!
sleep 4
for _ in $(seq 600); do [ -s "$work/acknowledged.txt" ] && break; sleep 0.1; done
say "$(wc -l <"$work/acknowledged.txt") transactions committed so far"
before=$("$causeway" status --json)

head_line "3. The first site burns"
"$causeway" lab kill east >/dev/null || die "lab kill failed"
killed=$(date +%s.%N)
say "${red}kill -9${plain} of engine and controller of east, in mid-commit"
sleep 0.3
kill "$writer" 2>/dev/null; wait "$writer" 2>/dev/null; writer=''
unmount_all
committed=$(tail -n 1 "$work/acknowledged.txt")

head_line "4. The second takes over"
"$causeway" promote demo --site west >/dev/null || die "promotion failed"
uri=$(uri_at west) || die "demo/data is not exported at west"
took=$(awk -v a="$killed" -v b="$(date +%s.%N)" 'BEGIN {printf "%.2f", b - a}')
say "west is primary; $took s after the kill, of which the old lease had to run out"
attach "$uri"
mount "$loop" "$mount_point" || die "the file system at west does not mount"
umount "$mount_point"
if e2fsck -fn "$loop" >"$work/fsck.log" 2>&1; then say "fsck: ${green}clean${plain}"; else cat "$work/fsck.log"; die "fsck found errors"; fi
mount "$loop" "$mount_point" || die "the file system at west does not mount again"
found=$(sqlite3 "$mount_point/ledger.db" "select count(*) from ledger where id <= $committed")
check=$(sqlite3 "$mount_point/ledger.db" "pragma integrity_check")
[ "$check" = ok ] || die "the database says: $check"
[ "$found" = "$committed" ] || die "LOST: $committed transactions were acknowledged, $found are there"
say "database: integrity ok, ${green}all $committed acknowledged transactions are there${plain}"
unmount_all

head_line "Report"
after=$("$causeway" --site west status --json)
field() { jq -r ".groups[0].$2" <<<"$1"; }
printf '  %-34s %s\n' "epoch before, after" "$(field "$before" epoch), $(field "$after" epoch)" \
    "sequence at east before the kill" "$(field "$before" sequence)" \
    "sequence at west now" "$(field "$after" sequence)" \
    "acknowledged transactions" "$committed, 0 lost" \
    "from kill to usable at west" "$took s" \
    "commits per second under sync" "$(awk -v n="$committed" -v a="$started" -v b="$killed" 'BEGIN {printf "%.0f", n / (b - a)}')"
