#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Test of the test: builds the simulator with each planted bug and runs seeds until it is caught, PLANTED_RUNS
# times (1); tells how many seeds it took (the median), and which rule caught it. Caught is what a rule or an
# assert told of a seed that passes without the bug.
#
#     planted.sh [OUT] [N…]     builds below OUT, all bugs or those named. Without OUT in a folder of its own, which
#                               stays when a bug got away, and only then: OUT/N/last is what the simulator said
#
# A bug has PLANTED_SEEDS seeds to be caught in, the same ones every time, so that a slow machine gives the same
# verdict as a fast one. They have the focus (focus.c) under which the bug must show; any: each seed draws its own,
# and PLANTED_FOCUS=any does that for all bugs. A bug on each core. Compiles with a plain cc, only what the
# simulator needs. Prints a table; exit 1 if a bug got away.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$(mktemp -d /tmp/causeway-planted-XXXXXX)} || exit 1
[ $# -gt 0 ] || trap 'code=$?; if [ $code = 1 ]; then echo "kept: $out"; else rm -rf "$out"; fi' EXIT
shift || true
seeds=${PLANTED_SEEDS:-300}
runs=${PLANTED_RUNS:-1}          # times that each is to be caught
seconds=${PLANTED_SECONDS:-1500} # for one catch: only against a simulator that hangs
declare -A what=() focus=() times=()
bug() { # N FOCUS WHAT [TIMES: of a rare one, so many times the seeds]
    times[$1]=${4:-1}
    focus[$1]=${PLANTED_FOCUS:-$2}
    what[$1]=$3
}
bug 1 any "acknowledge before the journal"
bug 2 any "acknowledge over a hole"
bug 3 any "apply beyond the commit sequence"
bug 4 any "go on in an epoch after a restart"
bug 5 lease "skip an epoch check on a record"
bug 6 restart "count a rebooted member"
bug 7 lease "complete before the set has shrunk"
bug 8 any "apply out of order"
bug 9 any "forget a dirty tail at recovery"
bug 10 lease "lease from the receipt, not the request"
bug 11 any "acknowledge a flush when only written"
bug 12 any "a replica reports received as written"
bug 13 lease "cut nothing when attaching with a longer tail"
bug 14 copy "a copy chunk goes in regardless of its place"
bug 15 super "a reign is told when one superblock has it"
bug 16 revert "the old image under the history of the copy"
bug 17 lease "a taker does not wait for the old lease"
bug 18 volumes "records of a volume to come are not waited for"
bug 19 volumes "a copy goes on without a volume that came"
bug 20 restart "recovery puts in place what is not durable"
bug 21 volumes "a copy goes on with a volume that was deleted"
bug 22 volumes "a copy without what waits for its volume" 6
bug 23 slow "what was written in a part of a copy is forgotten"
bug 24 slow "no write waits for who would join the set"
bug 25 slow "a copy cut short begins with the first byte"
bug 26 grants "a grant counts from its receipt" 2
bug 27 grants "a granter forgets its grants when it restarts" 3
bug 28 grants "claims while its own grant runs"
bug 29 grants "a reign that is over is granted" 10
bug 30 grants "goes on with a grant of one of two sites"
bug 31 grants "a release of an old epoch is believed" 3
bug 32 lease "a tail is cut that is in no file"
bug 33 revert "a copy begins over a tail that is in no file"
bug 34 glass "a token is not bound to the epoch"
bug 40 failover "a failover does not look at the set"
bug 41 failover "one failover after the other"
bug 42 failover "a controller's silence is its site's"
bug 43 failover "the age of the last word is not counted"
bug 44 failover "a failover does not wait for \`after\`"
bug 45 failover "a fence counts for whatever epoch there is" 3
bug 46 failover "grants are not looked at by a failover"
bug 47 glass "the old side renews at once"
bug 48 lease "a store that was put back is believed"
bugs=("$@")
# 29 shows in one seed of a thousand only, as others stop what comes of it: tests/unit/replication/test_grants.c is built
# with it, and must fail.
[ ${#bugs[@]} -gt 0 ] || bugs=({1..28} {30..34} {40..48})

# The files of which bug N makes others; of bug 0, all of them.
files_of() { # N
    local f all=()
    for f in "$root"/dataplane/{base,wire,transport,journal,replication}/*.c "$root"/tests/sim/*.c "$root"/control/{decide,failover,break_glass,outside}.c "$root"/dataplane/engine/config/quantity.c; do
        [ "$(basename "$f")" = stories.c ] || all+=("$f")
    done
    if [ "$1" = 0 ]; then
        printf '%s\n' "${all[@]}"
    else
        grep -lzE "CW_PLANTED_BUG [=!]=[^0-9]*$1[^0-9]" "${all[@]}"
    fi
}

build() { # N
    local dir=$out/$1 objects=() f
    mkdir -p "$dir"
    files_of "$1" | CW_N=$1 CW_DIR=$dir CW_ROOT=$root xargs -P "$(nproc)" -I{} bash -c '
        ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -DCW_PLANTED_BUG="$CW_N" -march=x86-64-v2 -fno-strict-aliasing -O1 -g \
            -I"$CW_ROOT" -I"$CW_ROOT/dataplane" -I"$CW_ROOT/tests/sim" -c {} -o "$CW_DIR/$(echo {} | tr / _).o"' || return 1
    for f in "$out"/0/*.o; do
        [ -f "$dir/$(basename "$f")" ] && f=$dir/$(basename "$f")
        objects+=("$f")
    done
    ${CC:-cc} -o "$dir/causeway-sim" "${objects[@]}" -lxxhash -lsodium -lisal -lcrypto -lm
}

# Why a run of the simulator failed: the rule of its seed, or an assert; nothing when it died of something else.
rule_of() { # FILE
    grep -aE '^seed [0-9]+.*: |bug:' "$1" | head -1
}

# Seeds from one catch to the next, up to $runs times: one number a line.
catch() { # N
    local from=1 caught
    : > "$out/$1/told"
    for ((i = 0; i < runs; i++)); do
        timeout "$seconds" "$out/$1/causeway-sim" --focus "${focus[$1]}" --seed $from --count $((seeds * times[$1])) \
            > "$out/$1/last" 2>&1 && return 0
        [ -s "$out/$1/told" ] || cp "$out/$1/last" "$out/$1/told" # the first catch is the one that is shown
        [ -n "$(rule_of "$out/$1/last")" ] || return 0
        caught=$(grep -aoE 'seed [0-9]+' "$out/$1/last" | tail -1 | cut -d' ' -f2)
        if ! "$out/0/causeway-sim" --focus "${focus[$1]}" --seed "$caught" > "$out/$1/without" 2>&1; then
            echo "seed $caught fails without any bug: $(rule_of "$out/$1/without")" >&2
            return 0
        fi
        echo $((caught - from + 1))
        from=$((caught + 1))
    done
}

look_for() { # N
    local began=$SECONDS distances rule
    mapfile -t distances < <(catch "$1" | sort -n)
    if [ ${#distances[@]} -eq 0 ]; then
        printf '%3s  %-45s %-8s %6s %6s %7s\n' "$1" "${what[$1]}" "${focus[$1]}" ESCAPED 0 $((SECONDS - began))
        return 1
    fi
    rule=$(rule_of "$out/$1/told" | sed -E 's/^seed [^:]*: //; s/^(.{70}).*/\1/')
    printf '%3s  %-45s %-8s %6s %6s %7s  %s\n' "$1" "${what[$1]}" "${focus[$1]}" "${distances[$((${#distances[@]} / 2))]}" \
        ${#distances[@]} $((SECONDS - began)) "$rule"
}

rm -rf "${out:?}"/[0-9]* # only what a run makes: OUT may be a folder with other things
for n in 0 "${bugs[@]}"; do
    if ! build "$n"; then
        echo "$n: does not build"
        exit 1
    fi
done
echo "built in $SECONDS s; $seeds seeds each, for rare ones more"
printf '%3s  %-45s %-8s %6s %6s %7s  %s\n' N what focus median caught seconds 'by rule, the first time'
escaped=0 running=0
for n in "${bugs[@]}"; do
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || escaped=1
        running=$((running - 1))
    fi
    look_for "$n" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || escaped=1
    running=$((running - 1))
done
exit $escaped
