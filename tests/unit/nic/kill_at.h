/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that is killed at every place where it matters: as it begins a system call that changes something. */
#pragma once

#include <stdbool.h>

/* Runs what in a child; it and all that it has started are killed as the nth such call of theirs begins, n from 1. false:
 * there were fewer, and it came to its end. */
bool kill_at(unsigned n, void (*what)(void));
