/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block back end in memory, standing behind the front ends in place of the engine: one volume, a small
 * pool of buffers, completions at once or when the test says so, and refusals where the test wants them.
 * It checks what front ends promised: ranges, alignment, slices that add up, buffers given back once.
 */
#pragma once

#include "base/pool.h"
#include "frontend/block.h"

#define CW_MEMORY_PENDING_MAX 4096u

struct cw_memory {
    struct cw_block_volume volume;
    uint8_t *data; /* NULL: what is written is forgotten, what is read is not filled in */
    struct cw_pool pool;
    uint32_t slices_out;       /* taken and not given back */
    bool is_deferred;          /* completions wait for cw_memory_complete */
    bool is_short;             /* someone was told CW_AGAIN */
    bool has_changed;          /* and since then something came back */
    uint32_t submit_room;      /* requests that may be outstanding; more get CW_AGAIN */
    enum cw_status fail_next;  /* CW_OK: none; else the next request completes with it */
    enum cw_status refuse_all; /* CW_OK: none; else submit says so */
    uint32_t outstanding;
    struct cw_block_request *pending[CW_MEMORY_PENDING_MAX];
    uint64_t submitted, flushes, fua;
    uint64_t trimmed; /* bytes */
};

/* Carves slice_count buffers from the arena; data (size bytes) is borrowed. */
void cw_memory_init(struct cw_memory *memory, struct cw_arena *arena, uint8_t *data, uint64_t size,
                    uint32_t block_size, uint32_t slice_count);
/* Completes up to max pending requests, by index: the one at (which modulo pending) first. */
uint32_t cw_memory_complete(struct cw_memory *memory, uint32_t max, uint64_t which, enum cw_status status);
/* True once after someone was refused and something has come back since: call on_room. A test that sets
 * submit_room sets has_changed too. */
bool cw_memory_room_again(struct cw_memory *memory);
