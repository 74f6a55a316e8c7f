/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fixed ring of trace entries, the last thing written before a crash and the first thing read after it. One
 * writer. An entry is a time, a constant text and four numbers: nothing is formatted until somebody reads, so
 * that an entry costs a few stores.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

struct cw_trace_entry {
    uint64_t time_ns;
    const char *text; /* lives as long as the program; at most three %llu, for the values */
    uint64_t object;  /* which group, path, ...; 0: none */
    uint64_t values[3];
};

struct cw_trace {
    struct cw_trace_entry *entries;
    uint64_t count; /* ever written; the ring holds the last of them */
    uint32_t mask;
};

/* entry_count is a power of two. */
void cw_trace_init(struct cw_trace *trace, struct cw_arena *arena, uint32_t entry_count);
void cw_trace_add(struct cw_trace *trace, uint64_t time_ns, uint64_t object, const char *text, uint64_t a,
                  uint64_t b, uint64_t c);
/* Copies the last `max`, oldest first; how many there were. The writer's thread, or one that accepts that an
 * entry being written is half of each. */
uint32_t cw_trace_last(const struct cw_trace *trace, struct cw_trace_entry *entries, uint32_t max);
/* The entry's text with its numbers. No allocation. */
void cw_trace_words(const struct cw_trace_entry *entry, char *words, size_t size);
/* The last `max`, oldest first, a line each with how long before now_ns it was. From a failing thread too. */
void cw_trace_print(const struct cw_trace *trace, FILE *out, uint32_t max, uint64_t now_ns);
