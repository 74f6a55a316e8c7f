#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
exec /usr/bin/python3 "$(dirname "$0")/lab_test.py" "$@"
