/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Single-producer, single-consumer ring of fixed-size elements: how lcores talk.
 *
 * Indexes run freely and are compared by unsigned difference; the slot is index & mask. The producer's
 * release store of `tail` pairs with the consumer's acquire load: without it the consumer could read a slot
 * before its bytes. The consumer's release store of `head` pairs with the producer's acquire load: without
 * it the producer could overwrite a slot that is still being read. Each side caches the other's index and
 * reads it again only when the cache says full or empty.
 *
 * When it is full, push says so and the caller keeps the element: every caller has an answer to that.
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct cw_ring {
    alignas(64) _Atomic uint32_t tail; /* written by the producer */
    uint32_t head_seen;                /* producer's cache of head */
    alignas(64) _Atomic uint32_t head; /* written by the consumer */
    uint32_t tail_seen;                /* consumer's cache of tail */
    alignas(64) uint8_t *slots;        /* constant after init, from here on */
    uint32_t mask;
    uint32_t element_size;
};

/* element_count is a power of two. */
void cw_ring_init(struct cw_ring *ring, struct cw_arena *arena, uint32_t element_count, uint32_t element_size);

/* Producer. Copies the element in; false when full. */
bool cw_ring_push(struct cw_ring *ring, const void *element);
/* Producer. How many pushes will succeed without the consumer moving. */
uint32_t cw_ring_room(struct cw_ring *ring);
/* Consumer. Copies the oldest element out; false when empty. */
bool cw_ring_pop(struct cw_ring *ring, void *element);
/* The same, of elements that hold secrets: the slot is zeros before the producer has it again. */
bool cw_ring_pop_secret(struct cw_ring *ring, void *element);
/* Consumer. */
bool cw_ring_is_empty(struct cw_ring *ring);
