/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the leak sanitizer has to say, in builds that have it: the engine ends by _exit, where nobody asks it.
 * In other builds this is nothing.
 */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CW_HAS_LEAK_CHECK 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CW_HAS_LEAK_CHECK 1
#endif

#ifdef CW_HAS_LEAK_CHECK
#include <sanitizer/lsan_interface.h>

/* What is held only from there is held. */
static inline void cw_leaks_root(const void *memory, size_t size)
{
    __lsan_register_root_region(memory, size);
}

/* Ends the process if something is held by nobody (and ASAN_OPTIONS wants to know). */
static inline void cw_leaks_check(void)
{
    __lsan_do_leak_check();
}
#else
static inline void cw_leaks_root(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

static inline void cw_leaks_check(void)
{
}
#endif
