#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh BUILD: the NBD server in front of memory, without an engine: the protocol byte by byte, then real
# clients. The size is a multiple of 512 but not of 4096.
set -u
here=$(cd "$(dirname "$0")" && pwd)
server=$1/tests/unit/nbd/nbd-memory-server
size=$(((64 << 20) + 512))
work=$(mktemp -d /tmp/cw-nbd.XXXXXX)
pid=
clean() {
    [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

"$server" "$work/nbd.sock" "$size" >"$work/server.log" 2>&1 &
pid=$!
for _ in $(seq 600); do
    [ -S "$work/nbd.sock" ] && break
    sleep 0.1
done
failed=0
timeout 900 /usr/bin/python3 "$here/protocol.py" "$work/nbd.sock" memory "$size" || failed=1
timeout 900 bash "$here/clients.sh" "$work/nbd.sock" memory || failed=1
if ! kill -0 "$pid" 2>/dev/null; then
    echo "the server has ended:"
    failed=1
fi
[ "$failed" = 0 ] || cat "$work/server.log"
exit "$failed"
