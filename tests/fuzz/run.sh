#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh BUILD SECONDS: every libFuzzer target of a fuzz build, so many seconds each, one on each core. A crash
# leaves its input in BUILD/crashes and fails.
set -u
build=$1 seconds=$2
mkdir -p "$build/crashes"
export build seconds
fuzz_one() { # TARGET
    local name corpus
    name=$(basename "$1")
    corpus=$(mktemp -d)
    if "$1" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "$corpus" >"$build/$name.log" 2>&1; then
        printf '%-28s %s executions\n' "$name" "$(awk '/number_of_executed_units/ {print $2}' "$build/$name.log")"
    else
        echo "$name FAILED: $(tail -n 30 "$build/$name.log")"
    fi
    rm -rf "$corpus"
}
export -f fuzz_one
targets=$(find "$build/tests/fuzz" -type f -executable | while read -r f; do
    nm "$f" 2>/dev/null | grep -q ' T LLVMFuzzerTestOneInput' && echo "$f"; done | sort)
[ -n "$targets" ] || { echo "no fuzz targets in $build"; exit 1; }
# shellcheck disable=SC2016
xargs -P "$(nproc)" -I{} bash -c 'fuzz_one {}' <<<"$targets" | tee "$build/fuzz.told"
ran=$(wc -l <<<"$targets") passed=$(grep -c ' executions$' "$build/fuzz.told")
echo "$ran targets, $((ran - passed)) failed"
[ "$ran" = "$passed" ]
