/* SPDX-License-Identifier: BSD-3-Clause */
/* What the programs of this folder have in common: how they start, read a number, and give up. */
#pragma once

#include <stdint.h>

/* First of all, and once: EAL on these lcores (as EAL's --lcores has them), and the name for what is said.
 * Ends the process where EAL cannot start, and with exit code 77, as meson has it, where there is one
 * processor only. */
void bench_start(const char *name, const char *lcores, uint32_t memory_mb);
/* To stderr, behind the name; exit code 1. */
__attribute__((noreturn)) void bench_fail(const char *words);
/* A decimal number of 1 to `most`; anything else ends the process. */
uint64_t bench_number(const char *text, uint64_t most);
