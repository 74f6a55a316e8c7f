#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Seeds that no suite has run, for as long as one likes: soak.sh BUILD [MINUTES [FIRST]]. FIRST is of the clock where it is not
# given, and said, so that the same can be had again. It ends at the first failure, with what runs that again.
set -u -o pipefail
build=${1:?usage: soak.sh BUILD [MINUTES [FIRST]]} minutes=${2:-10} seed=${3:-$(date +%s)}
end=$((SECONDS + 60 * minutes))
log=$(mktemp /tmp/cw-soak-XXXXXX)
trap 'rm -f "$log"' EXIT
echo "seeds from $seed on, for $minutes minutes"

batch() { # COUNT PROGRAM ARGUMENT...: FIRST and COUNT in the arguments are numbers of this round
    local count=$1 words=("${@:2}")
    words=("${words[@]/#FIRST/$seed}")
    words=("${words[@]/#COUNT/$count}")
    if ! "${words[@]}" >"$log" 2>&1 </dev/null; then
        tr '\r' '\n' <"$log" | tail -n 30
        echo "failed: ${words[*]}"
        exit 1
    fi
}

rounds=0 first=$seed
while [ $SECONDS -lt $end ]; do
    batch 50 "$build/tests/unit/transport/test_transport_scenarios" FIRST COUNT
    batch 50 "$build/tests/sim/causeway-sim" --seed FIRST --count COUNT
    batch 50 "$build/tests/unit/journal/test_journal_crash" FIRST COUNT
    batch 50 "$build/tests/unit/replication/test_replication_overlay" FIRST COUNT
    rounds=$((rounds + 1)) seed=$((seed + 50))
done
echo "good: $((50 * rounds)) seeds from $first on"
