/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters with one writer. A module lists its counters once as an X-macro and gets an enum, a name table
 * and an array; readers on other threads see each value whole, never a sum that is consistent across them.
 *
 *     #define FOO_COUNTERS(X) X(FOO_SENT, "sent") X(FOO_LOST, "lost")
 *     enum { FOO_COUNTERS(CW_COUNTER_ENUM) FOO_COUNTER_COUNT };
 *     static const char *const foo_counter_names[] = { FOO_COUNTERS(CW_COUNTER_NAME) };
 *     cw_counter foo[FOO_COUNTER_COUNT];
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t cw_counter;

#define CW_COUNTER_ENUM(symbol, name) symbol,
#define CW_COUNTER_NAME(symbol, name) name,

/* The single writer's thread. Relaxed: a reader needs no order between counters. */
static inline void cw_count(cw_counter *counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

static inline uint64_t cw_counter_read(cw_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
