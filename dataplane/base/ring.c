/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/ring.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

void cw_ring_init(struct cw_ring *ring, struct cw_arena *arena, uint32_t element_count, uint32_t element_size)
{
    CW_ASSERT(cw_is_power_of_two(element_count));
    CW_ASSERT(element_size > 0);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    ring->head_seen = 0;
    ring->tail_seen = 0;
    ring->mask = element_count - 1;
    ring->element_size = element_size;
    ring->slots = cw_arena_take(arena, (size_t)element_count * element_size, 64);
}

static uint8_t *slot_of(const struct cw_ring *ring, uint32_t index)
{
    return ring->slots + (size_t)(index & ring->mask) * ring->element_size;
}

bool cw_ring_push(struct cw_ring *ring, const void *element)
{
    /* relaxed: only this thread writes tail */
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return false;
    }
    memcpy(slot_of(ring, tail), element, ring->element_size);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

uint32_t cw_ring_room(struct cw_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->mask + 1 - (tail - ring->head_seen);
}

/* The slot of the oldest element; NULL when empty. */
static uint8_t *oldest(struct cw_ring *ring, uint32_t head)
{
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return NULL;
    }
    return slot_of(ring, head);
}

bool cw_ring_pop(struct cw_ring *ring, void *element)
{
    /* relaxed: only this thread writes head */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const uint8_t *slot = oldest(ring, head);

    if (slot == NULL)
        return false;
    memcpy(element, slot, ring->element_size);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

bool cw_ring_pop_secret(struct cw_ring *ring, void *element)
{
    /* relaxed: only this thread writes head */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint8_t *slot = oldest(ring, head);

    if (slot == NULL)
        return false;
    memcpy(element, slot, ring->element_size);
    explicit_bzero(slot, ring->element_size);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

bool cw_ring_is_empty(struct cw_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head == ring->tail_seen)
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head == ring->tail_seen;
}
