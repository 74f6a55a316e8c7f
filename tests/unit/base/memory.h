/* SPDX-License-Identifier: BSD-3-Clause */
/* An arena over plain memory for the tests of this folder; freed by the test's end. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static inline void *test_arena(struct cw_arena *arena, size_t size)
{
    void *memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096);

    assert_non_null(memory);
    memset(memory, 0xa5, size); /* whoever relies on zeroes must get them from the arena */
    cw_arena_init(arena, memory, size);
    return memory;
}
