#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh BUILD ASAN-BUILD: 90 kills as built for use, 10 under ASan.
set -eu
here=$(dirname "$0")
/usr/bin/python3 "$here/kill.py" "$1" --kills 90 --seed 1
/usr/bin/python3 "$here/kill.py" "$2" --kills 10 --seed 2
