/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fixed ring of binary trace entries, the last thing written before a crash and the first thing read
 * after it. One writer. An entry is a time, a code and four numbers; the text belongs to whoever prints.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

struct cw_trace_entry {
    uint64_t time_ns;
    uint32_t code;   /* index into the names given at print time */
    uint32_t object; /* which group, session, ... */
    uint64_t values[3];
};

struct cw_trace {
    struct cw_trace_entry *entries;
    uint64_t count; /* ever written; the ring holds the last of them */
    uint32_t mask;
};

/* entry_count is a power of two. */
void cw_trace_init(struct cw_trace *trace, struct cw_arena *arena, uint32_t entry_count);
void cw_trace_add(struct cw_trace *trace, uint64_t time_ns, uint32_t code, uint32_t object, uint64_t a,
                  uint64_t b, uint64_t c);
/* Oldest first, one line each; codes at or past name_count print as numbers. */
void cw_trace_print(const struct cw_trace *trace, FILE *out, const char *const *names, uint32_t name_count);
