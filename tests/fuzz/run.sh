#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh BUILD SECONDS: every libFuzzer target of a fuzz build, so many seconds each. A crash leaves its input
# in BUILD/crashes and fails.
set -u
build=$1 seconds=$2
mkdir -p "$build/crashes"
ran=0 failed=0
while read -r target; do
    name=$(basename "$target")
    corpus=$(mktemp -d)
    if "$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "$corpus" >"$build/$name.log" 2>&1; then
        printf '%-28s %s executions\n' "$name" "$(awk '/number_of_executed_units/ {print $2}' "$build/$name.log")"
    else
        failed=$((failed + 1))
        echo "$name FAILED:"
        tail -n 30 "$build/$name.log"
    fi
    rm -rf "$corpus"
    ran=$((ran + 1))
done < <(find "$build/tests/fuzz" -type f -executable | while read -r f; do
    nm "$f" 2>/dev/null | grep -q ' T LLVMFuzzerTestOneInput' && echo "$f"; done | sort)
[ "$ran" -gt 0 ] || { echo "no fuzz targets in $build"; exit 1; }
echo "$ran targets, $failed failed"
[ "$failed" = 0 ]
