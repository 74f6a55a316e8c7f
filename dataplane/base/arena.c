/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/arena.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

void cw_arena_init(struct cw_arena *arena, void *memory, size_t size)
{
    CW_ASSERT(memory != NULL);
    CW_ASSERT(((uintptr_t)memory & 4095) == 0);
    *arena = (struct cw_arena){.memory = memory, .size = size};
}

void cw_arena_measure(struct cw_arena *arena)
{
    *arena = (struct cw_arena){.size = SIZE_MAX};
}

void *cw_arena_take_untouched(struct cw_arena *arena, size_t size, size_t alignment)
{
    CW_ASSERT(!arena->sealed);
    CW_ASSERT(cw_is_power_of_two(alignment) && alignment <= 4096);
    size_t at = cw_round_up(arena->used, alignment);
    CW_ASSERT(at <= arena->size && "rounding up may pass the end");
    CW_ASSERT(size <= arena->size - at && "the arena was measured by the same calls");
    arena->used = at + size;
    return arena->memory ? arena->memory + at : NULL;
}

void *cw_arena_take(struct cw_arena *arena, size_t size, size_t alignment)
{
    void *memory = cw_arena_take_untouched(arena, size, alignment);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void cw_arena_seal(struct cw_arena *arena)
{
    arena->sealed = true;
}
