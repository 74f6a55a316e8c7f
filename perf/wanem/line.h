/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is under way in one direction: frames by the time at which they leave. Nearly all come in the order in
 * which they leave, so they stand in a ring; only those held back stand in a heap. Bounded: `capacity` in
 * all, allocated at its making.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cw_line_entry {
    uint64_t departure_ns;
    uint64_t number; /* of its arrival: equal times leave in that order */
    void *frame;
};

struct cw_line {
    uint32_t capacity, mask; /* the ring has a power of two of places */
    uint32_t ring_head, ring_count, heap_count;
    uint64_t number;
    struct cw_line_entry *ring, *heap;
};

bool cw_line_init(struct cw_line *line, uint32_t capacity); /* false: out of memory, or too large */
void cw_line_fini(struct cw_line *line);
/* is_late: others may be put in later that leave before it. There must be room. */
void cw_line_put(struct cw_line *line, uint64_t departure_ns, bool is_late, void *frame);
/* The frame that leaves next, if that is at now_ns or before; else NULL. */
void *cw_line_take(struct cw_line *line, uint64_t now_ns);
/* When the next one leaves; UINT64_MAX: there is none. */
uint64_t cw_line_next_ns(const struct cw_line *line);

static inline uint32_t cw_line_count(const struct cw_line *line)
{
    return line->ring_count + line->heap_count;
}

static inline bool cw_line_is_full(const struct cw_line *line)
{
    return cw_line_count(line) == line->capacity;
}
