#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs test suites one after the other, each with a result line, and closes with a count. A suite is a
# function suite_NAME: 0 passed, 77 skipped (its last line of output says why), else failed.
set -u -o pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
logs=build/logs
mkdir -p "$logs"

suites=(build tidy unit unit-asan tsan sim sim-asan planted fuzz nbd engine lab guest kill bench)

describe() {
    case $1 in
        build) echo "gcc and clang, without a warning" ;;
        tidy) echo "include arrows, purity, plain rules of style" ;;
        unit) echo "unit tests and golden bytes of every part" ;;
        unit-asan) echo "the same but for load, and the fuzz drivers, under ASan and UBSan" ;;
        tsan) echo "rings between threads, and the store in etcd with its copy's thread, under TSan" ;;
        sim) echo "the deterministic simulator: seeds, stories, same seed same trace" ;;
        sim-asan) echo "some seeds of it under ASan and UBSan" ;;
        planted) echo "planted bugs that the simulator must catch" ;;
        fuzz) echo "libFuzzer on every parser, briefly" ;;
        nbd) echo "the NBD front end with real clients" ;;
        engine) echo "two real engines by their sockets" ;;
        lab) echo "whole sites: the command line, promotion, switchover, real clients, faults" ;;
        guest) echo "network cards with their real drivers, in an emulated machine" ;;
        bench) echo "that benchmarks run, and say all that they promise; no figures" ;;
        kill) echo "kill -9 at random moments under verifying load" ;;
    esac
}

if [ "${1:-}" = --list ]; then
    for s in "${suites[@]}"; do printf '%-10s %s\n' "$s" "$(describe "$s")"; done
    exit 0
fi

meson_suite() { # VARIANT SUITE..., without those of $without
    local variant=$1 args=() s
    shift
    for s; do args+=(--suite "$s"); done
    [ -z "${without:-}" ] || args+=(--no-suite "$without")
    build_one "$variant" || return 1
    meson test -C "build/$variant" --no-rebuild --print-errorlogs --timeout-multiplier 4 "${args[@]}" || return 1
    # cmocka's skips, which meson counts as passed
    grep -h '^skipped: ' "build/$variant/meson-logs/testlog.txt" || true
}

suite_build() { build_one gcc && build_one clang; }
suite_tidy() { meson_suite gcc tidy; }
suite_unit() { meson_suite gcc unit fuzz perf; }
suite_unit-asan() { without=load meson_suite asan unit fuzz; }
suite_tsan() { meson_suite gcc tsan; }
suite_sim() { meson_suite gcc sim; }
suite_sim-asan() { build_one asan && build/asan/tests/sim/causeway-sim --seed 7001 --count 15; }
suite_planted() { tests/sim/planted.sh; }
suite_fuzz() { build_one fuzz && tests/fuzz/run.sh build/fuzz 6; }
suite_nbd() { build_one gcc && tests/integration/nbd/run.sh build/gcc; }
suite_engine() { build_one gcc && tests/integration/engine/run.sh build/gcc; }
suite_lab() { build_one gcc && tests/integration/lab/run.sh build/gcc; }
suite_guest() { build_one gcc && /usr/bin/python3 tests/guest/run.py build/gcc; }
suite_bench() { build_one gcc && /usr/bin/python3 perf/test_bench.py; }
suite_kill() { build_one gcc && build_one asan && tests/integration/kill/run.sh build/gcc build/asan; }

chosen=("$@")
[ ${#chosen[@]} -gt 0 ] || chosen=("${suites[@]}")
for s in "${chosen[@]}"; do
    declare -F "suite_$s" >/dev/null || { echo "no such suite: $s (./run test --list)" >&2; exit 2; }
done

passed=0 failed=0 skipped=0 reasons=
for s in "${chosen[@]}"; do
    [ -t 1 ] && printf '%-10s ...\r' "$s"
    start=$SECONDS
    "suite_$s" >"$logs/$s.log" 2>&1 </dev/null
    code=$?
    took=$((SECONDS - start))
    case $code in
        0) passed=$((passed + 1)); printf '%-10s passed   %4ds  %s\n' "$s" "$took" "$(describe "$s")" ;;
        77) skipped=$((skipped + 1)); printf '%-10s skipped  %4ds  %s\n' "$s" "$took" "$(tail -n 1 "$logs/$s.log")" ;;
        *)
            failed=$((failed + 1))
            printf '%-10s FAILED   %4ds  exit %d; the end of %s:\n' "$s" "$took" "$code" "$logs/$s.log"
            tail -n 60 "$logs/$s.log" | sed 's/^/    /'
            # said once more at the very end, as the tail of a long log is often all that is read of it
            reasons+="failed: $s: $(grep -aE '^(failed|FAILED):? |ESCAPED|FAIL  ' "$logs/$s.log" | cut -c1-300 | tail -n 6)"$'\n' ;;
    esac
    # what a suite itself skipped, or did twice, is said here too
    grep -hE '^(SKIP|skipped|second attempt):? ' "$logs/$s.log" | sort -u | head -12 | sed "s/^/    $s: /"
done
printf '%s' "$reasons"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
