#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Test of the test: builds the simulator with each planted bug and runs seeds until it is caught, PLANTED_RUNS
# times (1); tells how many seeds it took (the median), and which rule caught it. Caught is what a rule or an
# assert told of a seed that passes without the bug.
#
#     planted.sh [OUT] [N…]     builds below OUT (default /tmp/causeway-planted), all bugs or those named
#
# Compiles with a plain cc, only what the simulator needs. Prints a table; exit 1 if a bug got away.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-/tmp/causeway-planted}
shift || true
seconds=${PLANTED_SECONDS:-300} # for each, to be caught in
runs=${PLANTED_RUNS:-1}         # times that each is to be caught
declare -A what=(
    [1]="acknowledge before the journal" [2]="acknowledge over a hole" [3]="apply beyond the commit sequence"
    [4]="go on in an epoch after a restart" [5]="skip an epoch check on a record" [6]="count a rebooted member"
    [7]="complete before the set has shrunk" [8]="apply out of order" [9]="forget a dirty tail at recovery"
    [10]="lease from the receipt, not the request" [11]="acknowledge a flush when only written"
    [12]="a replica reports received as written" [13]="cut nothing when attaching with a longer tail"
    [14]="a copy chunk goes in regardless of its place" [15]="a reign is told when one superblock has it"
    [16]="the old image under the history of the copy")
bugs=("$@")
[ ${#bugs[@]} -gt 0 ] || bugs=({1..16})

build() { # N
    local dir=$out/$1 files=() f
    mkdir -p "$dir"
    for f in "$root"/dataplane/{base,wire,transport,journal,replication}/*.c "$root"/tests/sim/*.c "$root"/control/decide.c; do
        [ "$(basename "$f")" = stories.c ] || files+=("$f")
    done
    printf '%s\n' "${files[@]}" | CW_N=$1 CW_DIR=$dir CW_ROOT=$root xargs -P "$(nproc)" -I{} bash -c '
        o=$CW_DIR/$(echo {} | tr / _).o
        # what does not know of planted bugs is built once, for all
        if ! grep -q CW_PLANTED_BUG {}; then o=$CW_DIR/../common/$(echo {} | tr / _).o; mkdir -p "$CW_DIR/../common"; fi
        [ "$o" -nt {} ] && exit 0
        ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -DCW_PLANTED_BUG="$CW_N" -march=x86-64-v2 -fno-strict-aliasing -O1 -g \
            -I"$CW_ROOT" -I"$CW_ROOT/dataplane" -I"$CW_ROOT/tests/sim" -c {} -o "$o"' || return 1
    local objects=()
    for f in "${files[@]}"; do
        f=$(echo "$f" | tr / _).o
        [ -f "$dir/$f" ] && objects+=("$dir/$f") || objects+=("$out/common/$f")
    done
    ${CC:-cc} -o "$dir/causeway-sim" "${objects[@]}" -lxxhash -lsodium -lisal -lm
}

# Why a run of the simulator failed: the rule of its seed, or an assert; nothing when it died of something else.
rule_of() { # FILE
    grep -aE '^seed [0-9]+.*: |bug:' "$1" | head -1
}

# Seeds from one catch to the next, up to $runs times or until the time is over: one number a line.
catch() { # N
    local from=1 began=$SECONDS left caught
    : > "$out/$1/told"
    for ((i = 0; i < runs; i++)); do
        left=$((seconds - (SECONDS - began)))
        [ "$left" -gt 0 ] || return 0
        "$out/$1/causeway-sim" --seed $from --count 100000 --seconds "$left" > "$out/$1/last" 2>&1 && return 0
        [ -s "$out/$1/told" ] || cp "$out/$1/last" "$out/$1/told" # the first catch is the one that is shown
        [ -n "$(rule_of "$out/$1/last")" ] || return 0
        caught=$(grep -aoE 'seed [0-9]+' "$out/$1/last" | tail -1 | cut -d' ' -f2)
        if ! "$out/0/causeway-sim" --seed "$caught" > "$out/0/last" 2>&1; then
            echo "seed $caught fails without any bug: $(rule_of "$out/0/last")" >&2
            return 0
        fi
        echo $((caught - from + 1))
        from=$((caught + 1))
    done
}

escaped=0
rm -rf "$out"/common "$out"/[0-9]* # only what a run makes: OUT may be a folder with other things
printf '%3s  %-45s %8s %6s %8s  %s\n' N what 'median' caught seconds 'by rule, the first time'
if ! build 0; then
    echo "it does not build"
    exit 1
fi
for n in "${bugs[@]}"; do
    if ! build "$n"; then
        echo "$n: does not build"
        exit 1
    fi
    began=$SECONDS
    mapfile -t distances < <(catch "$n" | sort -n)
    if [ ${#distances[@]} -eq 0 ]; then
        printf '%3s  %-45s %8s %6s %8s\n' "$n" "${what[$n]}" ESCAPED 0 $((SECONDS - began))
        escaped=1
        continue
    fi
    rule=$(rule_of "$out/$n/told" | sed -E 's/^seed [^:]*: //; s/^(.{70}).*/\1/')
    printf '%3s  %-45s %8s %6s %8s  %s\n' "$n" "${what[$n]}" "${distances[$((${#distances[@]} / 2))]}" \
        ${#distances[@]} $((SECONDS - began)) "$rule"
done
exit $escaped
