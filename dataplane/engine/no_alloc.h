/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After start the lcores allocate nothing. This proves it: the program's malloc and its family are ours, a
 * thin layer over glibc's, and count whatever is asked for on a thread that has said it does not allocate,
 * libraries included. With CAUSEWAY_ABORT_ON_ALLOCATION in the environment the first one stops the program,
 * for its stack. Under a sanitizer, which has a malloc of its own, nothing is counted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern _Thread_local bool cw_no_alloc;

/* Any thread. */
uint64_t cw_no_alloc_count(void);
void cw_no_alloc_init(void);
