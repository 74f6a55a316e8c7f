/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asserts that stay on in release builds.
 *
 * A failed assert is a bug in this program: it prints where, runs the hook (the engine dumps its trace
 * ring there) and aborts. Foreign bytes are never asserted about; they are checked and counted.
 */
#pragma once

#include <assert.h> /* static_assert */

#define CW_ASSERT(condition)                                                                                 \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0))                                                               \
            cw_panic(__FILE__, __LINE__, #condition);                                                        \
    } while (0)

/* Prints, runs the hook once, aborts. Any thread. */
__attribute__((noreturn, cold)) void cw_panic(const char *file, int line, const char *expression);

/* The hook runs on the failing thread; it must not assert. */
void cw_panic_hook_set(void (*hook)(void));
