/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring for what is in order, a binary heap for what is not. */
#include "wanem/line.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/assert.h"

bool cw_line_init(struct cw_line *line, uint32_t capacity)
{
    uint32_t places = 1;
    *line = (struct cw_line){.capacity = capacity};
    if (capacity == 0 || capacity > 1u << 30)
        return false;
    while (places < capacity)
        places *= 2;
    line->mask = places - 1;
    line->ring = calloc(places, sizeof line->ring[0]);
    line->heap = calloc(capacity, sizeof line->heap[0]);
    if (line->ring != NULL && line->heap != NULL)
        return true;
    cw_line_fini(line);
    return false;
}

void cw_line_fini(struct cw_line *line)
{
    free(line->ring);
    free(line->heap);
    line->ring = line->heap = NULL;
}

static bool is_before(const struct cw_line_entry *a, const struct cw_line_entry *b)
{
    if (a->departure_ns != b->departure_ns)
        return a->departure_ns < b->departure_ns;
    return a->number < b->number;
}

static void heap_put(struct cw_line *line, const struct cw_line_entry *entry)
{
    uint32_t at = line->heap_count++;
    for (; at > 0 && is_before(entry, &line->heap[(at - 1) / 2]); at = (at - 1) / 2)
        line->heap[at] = line->heap[(at - 1) / 2];
    line->heap[at] = *entry;
}

static void heap_drop_first(struct cw_line *line)
{
    struct cw_line_entry last = line->heap[--line->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < line->heap_count && is_before(&line->heap[child + 1], &line->heap[child]))
            child++;
        if (child >= line->heap_count || !is_before(&line->heap[child], &last))
            break;
        line->heap[at] = line->heap[child];
        at = child;
    }
    line->heap[at] = last;
}

void cw_line_put(struct cw_line *line, uint64_t departure_ns, bool is_late, void *frame)
{
    struct cw_line_entry entry = {departure_ns, line->number++, frame};
    const struct cw_line_entry *last = &line->ring[(line->ring_head + line->ring_count - 1) & line->mask];
    CW_ASSERT(!cw_line_is_full(line));
    if (is_late || (line->ring_count > 0 && departure_ns < last->departure_ns))
        heap_put(line, &entry);
    else
        line->ring[(line->ring_head + line->ring_count++) & line->mask] = entry;
}

/* The next to leave; NULL: none. */
static const struct cw_line_entry *first(const struct cw_line *line)
{
    const struct cw_line_entry *ring =
        line->ring_count > 0 ? &line->ring[line->ring_head & line->mask] : NULL;
    const struct cw_line_entry *heap = line->heap_count > 0 ? &line->heap[0] : NULL;
    if (ring == NULL || heap == NULL)
        return ring != NULL ? ring : heap;
    return is_before(heap, ring) ? heap : ring;
}

void *cw_line_take(struct cw_line *line, uint64_t now_ns)
{
    const struct cw_line_entry *next = first(line);
    if (next == NULL || next->departure_ns > now_ns)
        return NULL;
    void *frame = next->frame;
    if (line->heap_count > 0 && next == &line->heap[0]) {
        heap_drop_first(line);
    } else {
        line->ring_head++;
        line->ring_count--;
    }
    return frame;
}

uint64_t cw_line_next_ns(const struct cw_line *line)
{
    const struct cw_line_entry *next = first(line);
    return next != NULL ? next->departure_ns : UINT64_MAX;
}
