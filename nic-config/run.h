/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a program and takes what it says: ip, modprobe. No shell: the arguments are what the program gets. Its
 * environment is empty but for LC_ALL=C and a PATH of the system's own folders; stdin is empty. It is in a process group
 * of its own, so that a Ctrl-C does not break it off in the middle; it is killed when we are, so that nothing goes on that
 * an undo could meet. Blocking.
 */
#pragma once

#include <stddef.h>

#define CW_RUN_OUTPUT_MAX (16u << 20)

/* What it wrote to stdout, ended by a NUL: the caller's to free. NULL with words: it is not there, took longer than so
 * many seconds, said more than CW_RUN_OUTPUT_MAX, or ended with another code than 0; then with what it wrote to stderr. */
char *cw_run(const char *const arguments[], unsigned seconds_max, char *words, size_t size);
