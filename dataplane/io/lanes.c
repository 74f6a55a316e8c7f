/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define PASSED_MAX 512u /* frames from one queue to another: a turn or two of a busy one */
#define HINTS_MAX  4u   /* routers say it a few times a second at most */
#define HOP_KNOWN  (1ull << 48)

static struct cw_lanes *carve(struct cw_arena *arena, uint32_t count)
{
    struct cw_lanes *lanes = cw_arena_take(arena, sizeof *lanes, 64), measured;
    struct cw_lanes *to_fill = lanes != NULL ? lanes : &measured;
    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t to = 0; to < count; to++) {
            if (from == to)
                continue;
            cw_ring_init(&to_fill->passed[from][to], arena, PASSED_MAX, sizeof(void *));
            cw_ring_init(&to_fill->hints[from][to], arena, HINTS_MAX, sizeof(struct cw_host_too_big));
        }
    }
    return lanes;
}

struct cw_lanes *cw_lanes_new(uint32_t count)
{
    struct cw_arena arena;
    CW_ASSERT(count > 1);
    CW_ASSERT(count <= CW_LANES_MAX);
    cw_arena_measure(&arena);
    (void)carve(&arena, count);
    size_t size = (arena.used + 4095) & ~(size_t)4095;
    void *memory = aligned_alloc(4096, size);
    if (memory == NULL)
        return NULL;
    cw_arena_init(&arena, memory, size);
    struct cw_lanes *lanes = carve(&arena, count); /* the first of it, so that it is what is freed */
    CW_ASSERT((void *)lanes == memory);
    lanes->count = count;
    return lanes;
}

void cw_lanes_free(struct cw_lanes *lanes)
{
    free(lanes);
}

bool cw_lanes_pass(struct cw_lanes *lanes, uint32_t from, uint32_t to, void *frame)
{
    CW_ASSERT(from != to);
    CW_ASSERT(to < lanes->count);
    return cw_ring_push(&lanes->passed[from][to], &frame);
}

uint32_t cw_lanes_take(struct cw_lanes *lanes, uint32_t to, void **frames, uint32_t frames_max)
{
    uint32_t taken = 0, each = frames_max / (lanes->count - 1);
    for (uint32_t from = 0; from < lanes->count; from++) {
        uint32_t end = taken + each;
        while (from != to && taken < end && cw_ring_pop(&lanes->passed[from][to], &frames[taken]))
            taken++;
    }
    return taken;
}

void cw_lanes_hint(struct cw_lanes *lanes, uint32_t from, uint32_t to, const struct cw_host_too_big *hint)
{
    CW_ASSERT(from != to);
    CW_ASSERT(to < lanes->count);
    (void)cw_ring_push(&lanes->hints[from][to], hint);
}

bool cw_lanes_take_hint(struct cw_lanes *lanes, uint32_t to, struct cw_host_too_big *hint)
{
    for (uint32_t from = 0; from < lanes->count; from++) {
        if (from != to && cw_ring_pop(&lanes->hints[from][to], hint))
            return true;
    }
    return false;
}

void cw_lanes_publish_hop(struct cw_lanes *lanes, const uint8_t mac[6])
{
    uint64_t word = 0;
    for (unsigned i = 0; mac != NULL && i < 6; i++)
        word |= (uint64_t)mac[i] << 8 * i;
    word |= mac != NULL ? HOP_KNOWN : 0;
    if (word == lanes->hop_told)
        return;
    lanes->hop_told = word;
    atomic_store_explicit(&lanes->hop, word, memory_order_relaxed); /* all of it is in this word */
}

bool cw_lanes_hop(const struct cw_lanes *lanes, uint8_t mac[6])
{
    uint64_t word = atomic_load_explicit(&lanes->hop, memory_order_relaxed);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)(word >> 8 * i);
    return (word & HOP_KNOWN) != 0;
}
