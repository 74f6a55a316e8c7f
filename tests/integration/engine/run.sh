#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh BUILD: every test_*.py here, with Debian's python3, which has libnbd's module.
set -u
here=$(cd "$(dirname "$0")" && pwd)
failed=0
for test in "$here"/test_*.py; do
    timeout 1800 /usr/bin/python3 "$test" "$1/dataplane/engine/causeway-engine" || failed=1
done
exit "$failed"
