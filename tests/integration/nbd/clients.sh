#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Real clients against an NBD server of ours: nbdinfo, nbdcopy, qemu-img, fio with verification.
#
#     clients.sh SOCKET EXPORT [SECONDS]
#
# EXPORT's content is overwritten. SECONDS (default 2) is how long each fio job runs. Clients that are not
# installed are skipped, and that is said. Exit 0: all that ran passed.
set -u

socket=$1 export=$2 seconds=${3:-2}
uri="nbd+unix:///$export?socket=$socket"
work=$(mktemp -d /tmp/nbd-clients.XXXXXX)
trap 'rm -rf "$work"' EXIT
failed=0

step() { # step NAME COMMAND...: runs it, tells how it went
    local name=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        sed 's/^/     /' "$work/log" | tail -20
        failed=1
    fi
}

has() {
    command -v "$1" > /dev/null && return
    echo "skipped: no $1"
    return 1
}

info() {
    size=$(nbdinfo --size "$uri") && [ "$size" -gt 0 ] && nbdinfo "$uri" | grep -q 'can_fast_zero: true' &&
        nbdinfo --list "nbd+unix://?socket=$socket" | grep -q "export=\"$export\""
}

copy() { # copy REQUEST_SIZE CONNECTIONS: there, back, and the same
    head -c "$size" /dev/urandom > "$work/in" &&
        nbdcopy --request-size="$1" --connections="$2" --requests=16 --flush "$work/in" "$uri" &&
        nbdcopy --request-size="$1" --connections="$2" "$uri" "$work/out" && cmp "$work/in" "$work/out"
}

zeroes_and_map() {
    : > "$work/empty" && truncate -s "$size" "$work/empty" &&
        nbdcopy --destination-is-zero "$work/in" "$uri" && nbdcopy --allocated "$work/empty" "$uri" &&
        nbdinfo --map --totals "$uri" && nbdcopy "$uri" "$work/out" && cmp "$work/empty" "$work/out"
}

qemu() {
    qemu-img convert -n -f raw -O raw -m 8 -W "$work/in" "$uri" &&
        qemu-img compare -f raw -F raw "$work/in" "$uri" &&
        qemu-img convert -f raw -O qcow2 "$uri" "$work/copy.qcow2" &&
        qemu-img compare -f qcow2 -F raw "$work/copy.qcow2" "$uri" &&
        qemu-io -f raw -c 'write -P 7 -f 0 64k' -c 'write -z 4k 8k' -c 'discard 16k 16k' -c flush \
            -c 'read -P 7 0 4k' -c 'read -P 0 4k 8k' -c 'read -P 7 12k 4k' "$uri"
}

load() { # load ARGUMENTS...: fio with verification of every block read
    (cd "$work" && fio --name=job --ioengine=nbd --uri="$uri" --size="$((size / 4096 * 4096))" --verify=crc32c \
        --verify_fatal=1 --verify_backlog=256 --time_based --runtime="$seconds" --randrepeat=1 --output=fio.txt "$@" &&
        ! grep -q 'err=[^ ]*[1-9]' fio.txt)
}

two_writers() { # two connections at once, each on its own half
    local half=$((size / 2 / 65536 * 65536))
    (cd "$work" && fio --ioengine=nbd --uri="$uri" --size="$half" --rw=randwrite --bs=4k --iodepth=16 \
        --verify=crc32c --verify_fatal=1 --verify_backlog=256 --time_based --runtime="$seconds" \
        --output=fio.txt --name=a --offset=0 --name=b --offset="$half" && ! grep -q 'err=[^ ]*[1-9]' fio.txt)
}

if has nbdinfo; then
    step "nbdinfo" info
    step "nbdcopy 4 KiB x 1" copy 4096 1
    step "nbdcopy 256 KiB x 4" copy 262144 4
    step "nbdcopy 4 MiB x 2" copy 4194304 2
    step "zeroes and the map" zeroes_and_map
fi
size=${size:-$(qemu-img info --output=json "$uri" | sed -n 's/.*"virtual-size": \([0-9]*\).*/\1/p')}
if has qemu-img; then
    [ -f "$work/in" ] || head -c "$size" /dev/urandom > "$work/in"
    step "qemu-img and qemu-io" qemu
fi
if has fio; then
    step "fio 512 x 1" load --rw=randrw --bs=512 --iodepth=1
    step "fio 4k x 16, flushes" load --rw=randwrite --bs=4k --iodepth=16 --fsync=8
    step "fio mixed sizes x 64" load --rw=randwrite --bsrange=512-128k --bs_unaligned=0 --blockalign=512 --iodepth=64
    step "fio 4k with trims x 8" load --rw=randtrimwrite --bs=4k --iodepth=8 --do_verify=0
    step "fio 1m x 8" load --rw=write --bs=1m --iodepth=8
    [ "$size" -ge $((64 << 20)) ] && step "fio 4m x 4" load --rw=randwrite --bs=4m --iodepth=4
    step "fio two writers" two_writers
fi
exit $failed
