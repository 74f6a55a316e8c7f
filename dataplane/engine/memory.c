/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/memory.h"

#include "base/assert.h"
#include "base/numbers.h"

/* Shares of each class, in eighths. */
static const uint32_t shares[CW_CLASS_COUNT] = {2, 2, 4};

static_assert(CW_CLASS_COUNT < 15, "a kind fits four bits, beside the received one");

static uint32_t count_of(uint64_t bytes, unsigned class_)
{
    uint64_t count = bytes / 8 * shares[class_] / CW_CLASS_BYTES(class_);
    return (uint32_t)CW_MIN(CW_MAX(count, 1ull), (1ull << CW_HANDLE_SLOT_BITS) - 1);
}

uint64_t cw_payload_memory_bytes_min(void)
{
    uint64_t large = 2ull * CW_PAYLOAD_RESERVE * CW_CLASS_BYTES(CW_CLASS_LARGE);
    return large * 8 / shares[CW_CLASS_LARGE];
}

void cw_payload_memory_init(struct cw_payload_memory *memory, struct cw_arena *arena, uint64_t bytes)
{
    size_t from = cw_round_up(arena->used, 4096);
    for (unsigned c = 0; c < CW_CLASS_COUNT; c++)
        cw_pool_init(&memory->classes[c], arena, count_of(bytes, c), CW_CLASS_BYTES(c), 4096);
    memory->block = arena->memory != NULL ? arena->memory + from : NULL;
    memory->block_size = cw_round_up(arena->used, 4096) - from;
    (void)cw_arena_take(arena, memory->block_size - (arena->used - from), 1);
}

/* How many of a class a caller must leave. */
static uint32_t reserve_of(unsigned class_, bool may_use_reserve)
{
    return class_ == CW_CLASS_LARGE && !may_use_reserve ? CW_PAYLOAD_RESERVE : 0;
}

enum cw_status cw_payload_take(struct cw_payload_memory *memory, uint32_t length, bool may_use_reserve,
                               struct cw_slice *slice)
{
    CW_ASSERT(length > 0);
    CW_ASSERT(length <= CW_RECORD_PAYLOAD_MAX);
    for (unsigned c = cw_size_class_of(length); c < CW_CLASS_COUNT; c++) {
        struct cw_pool *pool = &memory->classes[c];
        if (pool->free_count <= reserve_of(c, may_use_reserve))
            continue;
        struct cw_handle handle = cw_pool_take(pool);
        *slice = (struct cw_slice){.handle = cw_payload_handle(handle, c),
                                   .data = cw_pool_get(pool, handle),
                                   .length = length,
                                   .capacity = CW_CLASS_BYTES(c)};
        return CW_OK;
    }
    return CW_AGAIN;
}

void cw_payload_give(struct cw_payload_memory *memory, uint64_t handle)
{
    unsigned kind = cw_payload_kind(handle);
    CW_ASSERT(kind < CW_CLASS_COUNT);
    cw_pool_give(&memory->classes[kind], cw_payload_slot(handle));
}

uint64_t cw_payload_free_bytes(const struct cw_payload_memory *memory, uint64_t length)
{
    uint64_t bytes = 0;
    for (unsigned c = cw_size_class_of((uint32_t)CW_MIN(length, CW_RECORD_PAYLOAD_MAX)); c < CW_CLASS_COUNT;
         c++) {
        uint32_t left = memory->classes[c].free_count, kept = reserve_of(c, false);
        bytes += (uint64_t)(left > kept ? left - kept : 0) * CW_CLASS_BYTES(c);
    }
    return bytes;
}

enum cw_status cw_payload_take_all(struct cw_payload_memory *memory, uint64_t length, bool may_use_reserve,
                                   struct cw_slice *slices, uint16_t *slice_count)
{
    CW_ASSERT(length <= CW_REQUEST_BYTES_MAX);
    uint16_t count = 0;
    for (uint64_t done = 0; done < length; count++) {
        uint32_t piece = (uint32_t)CW_MIN(length - done, CW_RECORD_PAYLOAD_MAX);
        if (cw_payload_take(memory, piece, may_use_reserve, &slices[count]) != CW_OK)
            goto give_back;
        done += piece;
    }
    *slice_count = count;
    return CW_OK;

give_back:
    while (count > 0)
        cw_payload_give(memory, slices[--count].handle);
    return CW_AGAIN;
}
