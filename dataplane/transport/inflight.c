/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/inflight.h"

#include <stdalign.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

static const struct cw_sent_list empty_list = {CW_SENT_NONE, CW_SENT_NONE, 0};

void cw_inflight_init(struct cw_inflight *inflight, struct cw_arena *arena, uint32_t ring_size)
{
    CW_ASSERT(cw_is_power_of_two(ring_size));
    inflight->ring = cw_arena_take(arena, ring_size * sizeof *inflight->ring, alignof(struct cw_sent));
    inflight->mask = ring_size - 1;
    inflight->next_number = 1;
    inflight->outstanding = inflight->lost = empty_list;
}

void cw_inflight_reset(struct cw_inflight *inflight)
{
    memset(inflight->ring, 0, (inflight->mask + 1ull) * sizeof *inflight->ring);
    inflight->next_number = 1;
    inflight->outstanding = inflight->lost = empty_list;
}

static struct cw_sent *at(const struct cw_inflight *inflight, uint32_t index)
{
    return index == CW_SENT_NONE ? NULL : &inflight->ring[index];
}

static uint32_t index_of(const struct cw_inflight *inflight, const struct cw_sent *sent)
{
    return (uint32_t)(sent - inflight->ring);
}

static void append(struct cw_inflight *inflight, struct cw_sent_list *list, struct cw_sent *sent)
{
    uint32_t index = index_of(inflight, sent);
    sent->previous = list->last;
    sent->next = CW_SENT_NONE;
    if (list->last == CW_SENT_NONE)
        list->first = index;
    else
        inflight->ring[list->last].next = index;
    list->last = index;
    list->count++;
}

static void unlink_from(struct cw_inflight *inflight, struct cw_sent_list *list, struct cw_sent *sent)
{
    if (sent->previous == CW_SENT_NONE)
        list->first = sent->next;
    else
        inflight->ring[sent->previous].next = sent->next;
    if (sent->next == CW_SENT_NONE)
        list->last = sent->previous;
    else
        inflight->ring[sent->next].previous = sent->previous;
    CW_ASSERT(list->count > 0);
    list->count--;
}

struct cw_sent *cw_inflight_in_the_way(const struct cw_inflight *inflight)
{
    struct cw_sent *sent = &inflight->ring[inflight->next_number & inflight->mask];
    return sent->state == CW_SENT_FREE ? NULL : sent;
}

struct cw_sent *cw_inflight_find(const struct cw_inflight *inflight, uint64_t number)
{
    struct cw_sent *sent = &inflight->ring[number & inflight->mask];
    return sent->state != CW_SENT_FREE && sent->number == number ? sent : NULL;
}

struct cw_sent *cw_inflight_add(struct cw_inflight *inflight, enum cw_sent_kind kind, uint64_t reference,
                                uint16_t fragment, uint64_t now_ns)
{
    struct cw_sent *sent = &inflight->ring[inflight->next_number & inflight->mask];
    CW_ASSERT(sent->state == CW_SENT_FREE);
    *sent = (struct cw_sent){
        .number = inflight->next_number,
        .sent_ns = now_ns,
        .reference = reference,
        .fragment = fragment,
        .kind = (uint8_t)kind,
        .state = CW_SENT_OUTSTANDING,
    };
    append(inflight, &inflight->outstanding, sent);
    inflight->next_number++;
    return sent;
}

void cw_inflight_skip(struct cw_inflight *inflight)
{
    CW_ASSERT(cw_inflight_in_the_way(inflight) == NULL);
    inflight->next_number++;
}

struct cw_sent *cw_inflight_oldest(const struct cw_inflight *inflight)
{
    return at(inflight, inflight->outstanding.first);
}

struct cw_sent *cw_inflight_oldest_lost(const struct cw_inflight *inflight)
{
    return at(inflight, inflight->lost.first);
}

struct cw_sent *cw_inflight_after(const struct cw_inflight *inflight, const struct cw_sent *sent)
{
    return at(inflight, sent->next);
}

void cw_inflight_lose(struct cw_inflight *inflight, struct cw_sent *sent, uint64_t now_ns)
{
    CW_ASSERT(sent->state == CW_SENT_OUTSTANDING);
    unlink_from(inflight, &inflight->outstanding, sent);
    sent->state = CW_SENT_LOST;
    sent->sent_ns = now_ns;
    append(inflight, &inflight->lost, sent);
}

void cw_inflight_drop(struct cw_inflight *inflight, struct cw_sent *sent)
{
    CW_ASSERT(sent->state != CW_SENT_FREE);
    unlink_from(inflight, sent->state == CW_SENT_LOST ? &inflight->lost : &inflight->outstanding, sent);
    sent->state = CW_SENT_FREE;
}
