/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffers that clients' data lives in: three classes of 4096-aligned memory, carved at start.
 *
 * A handle is opaque to everybody else: generation << 32 | kind << 28 | slot, where kind is the class, or
 * CW_HANDLE_RECEIVED for a message that lies in a session's receive memory. So whoever gives a payload back
 * need not know where it came from. Thread: the store lcore.
 *
 * Writers may not take the last CW_PAYLOAD_RESERVE large buffers: a read always ends by itself, a write may
 * wait for a peer, so with this reserve reads never wait for writes.
 */
#pragma once

#include "base/arena.h"
#include "base/pool.h"
#include "frontend/block.h"
#include "transport/session.h"

#define CW_HANDLE_RECEIVED  CW_CLASS_COUNT
#define CW_HANDLE_RECOVERED (CW_CLASS_COUNT + 1) /* read back from the journal at start */
#define CW_HANDLE_SLOT_BITS 28u
#define CW_PAYLOAD_RESERVE  CW_REQUEST_SLICES_MAX

struct cw_payload_memory {
    struct cw_pool classes[CW_CLASS_COUNT];
    void *block; /* all buffers, one piece: for io_uring */
    size_t block_size;
};

static inline uint64_t cw_payload_handle(struct cw_handle handle, unsigned kind)
{
    return (uint64_t)handle.generation << 32 | (uint64_t)kind << CW_HANDLE_SLOT_BITS | handle.index;
}

static inline unsigned cw_payload_kind(uint64_t handle)
{
    return (unsigned)(handle >> CW_HANDLE_SLOT_BITS) & 0xfu;
}

static inline struct cw_handle cw_payload_slot(uint64_t handle)
{
    return (struct cw_handle){.index = (uint32_t)handle & ((1u << CW_HANDLE_SLOT_BITS) - 1),
                              .generation = (uint32_t)(handle >> 32)};
}

/* bytes: what the configuration allows; a quarter small, a quarter medium, half large buffers. */
void cw_payload_memory_init(struct cw_payload_memory *memory, struct cw_arena *arena, uint64_t bytes);
/* The least that holds one largest write beside the reserve. */
uint64_t cw_payload_memory_bytes_min(void);

/* One buffer of at least length bytes. CW_AGAIN: none now. */
enum cw_status cw_payload_take(struct cw_payload_memory *memory, uint32_t length, bool may_use_reserve,
                               struct cw_slice *slice) CW_MUST_CHECK;
void cw_payload_give(struct cw_payload_memory *memory, uint64_t handle);
/* Bytes of free buffers that requests of that length may use, less the reserve. */
uint64_t cw_payload_free_bytes(const struct cw_payload_memory *memory, uint64_t length);
/* All slices of a request of `length` bytes, or none. */
enum cw_status cw_payload_take_all(struct cw_payload_memory *memory, uint64_t length, bool may_use_reserve,
                                   struct cw_slice *slices, uint16_t *slice_count) CW_MUST_CHECK;
