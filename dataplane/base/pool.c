/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/pool.h"

#include "base/assert.h"
#include "base/numbers.h"

void cw_pool_init(struct cw_pool *pool, struct cw_arena *arena, uint32_t slot_count, size_t slot_size,
                  size_t alignment)
{
    CW_ASSERT(slot_count > 0);
    CW_ASSERT(slot_size > 0);
    pool->slot_count = slot_count;
    pool->slot_size = cw_round_up(slot_size, alignment);
    pool->slots = cw_arena_take(arena, pool->slot_size * slot_count, alignment);
    pool->generations = cw_arena_take(arena, sizeof(uint32_t) * slot_count, alignof(uint32_t));
    pool->free = cw_arena_take(arena, sizeof(uint32_t) * slot_count, alignof(uint32_t));
    pool->free_count = slot_count;
    if (!arena->memory)
        return;
    for (uint32_t i = 0; i < slot_count; i++)
        pool->free[i] = slot_count - 1 - i;
}

bool cw_pool_is_valid(const struct cw_pool *pool)
{
    if (pool->free_count > pool->slot_count)
        return false;
    for (uint32_t i = 0; i < pool->free_count; i++) {
        if (pool->free[i] >= pool->slot_count)
            return false;
        if (pool->generations[pool->free[i]] & 1)
            return false;
    }
    return true;
}

struct cw_handle cw_pool_take(struct cw_pool *pool)
{
    if (pool->free_count == 0)
        return CW_HANDLE_NONE;
    uint32_t index = pool->free[--pool->free_count];
    CW_ASSERT((pool->generations[index] & 1) == 0 && "it was on the free list");
    return (struct cw_handle){.index = index, .generation = ++pool->generations[index]};
}

void cw_pool_give(struct cw_pool *pool, struct cw_handle handle)
{
    CW_ASSERT(handle.index < pool->slot_count);
    CW_ASSERT(pool->generations[handle.index] == handle.generation && "given back once");
    CW_ASSERT(handle.generation & 1);
    pool->generations[handle.index]++;
    if (pool->generations[handle.index] == 0) /* wrapped: skip the value that names nothing */
        pool->generations[handle.index] = 2;
    pool->free[pool->free_count++] = handle.index;
}

void *cw_pool_get(const struct cw_pool *pool, struct cw_handle handle)
{
    if (handle.index >= pool->slot_count || !(handle.generation & 1))
        return NULL;
    if (pool->generations[handle.index] != handle.generation)
        return NULL;
    return pool->slots + (size_t)handle.index * pool->slot_size;
}
