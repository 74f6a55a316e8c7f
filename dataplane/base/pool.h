/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fixed slots handed out by generation handles.
 *
 * A handle names a slot and the generation in which it was taken, so that whatever crosses an asynchronous
 * gap can be recognised as late: after the slot is given back, the old handle no longer resolves. One owner
 * thread; the free list is a stack, so a hot slot is used again first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdalign.h>
#include <stdint.h>

#include "base/arena.h"

struct cw_handle {
    uint32_t index;
    uint32_t generation; /* odd while taken; 0 never names anything */
};

#define CW_HANDLE_NONE ((struct cw_handle){0, 0})

struct cw_pool {
    uint8_t *slots;
    uint32_t *generations; /* one a slot; odd: taken */
    uint32_t *free;        /* stack of slot indexes */
    uint32_t free_count;
    uint32_t slot_count;
    size_t slot_size;      /* bytes, a multiple of the alignment asked for */
};

/* Carves slot_count slots of at least slot_size bytes, each at the given alignment. */
void cw_pool_init(struct cw_pool *pool, struct cw_arena *arena, uint32_t slot_count, size_t slot_size,
                  size_t alignment);
bool cw_pool_is_valid(const struct cw_pool *pool);

/* CW_HANDLE_NONE when empty. The slot's bytes are whatever its last user left. */
struct cw_handle cw_pool_take(struct cw_pool *pool);
/* Asserts that the handle is current. */
void cw_pool_give(struct cw_pool *pool, struct cw_handle handle);
/* NULL for a handle that is not current. */
void *cw_pool_get(const struct cw_pool *pool, struct cw_handle handle);

static inline bool cw_handle_is_none(struct cw_handle handle)
{
    return handle.generation == 0;
}

static inline uint64_t cw_handle_pack(struct cw_handle handle)
{
    return (uint64_t)handle.generation << 32 | handle.index;
}

static inline struct cw_handle cw_handle_unpack(uint64_t packed)
{
    return (struct cw_handle){.index = (uint32_t)packed, .generation = (uint32_t)(packed >> 32)};
}
