/* SPDX-License-Identifier: BSD-3-Clause */
/* Events by true time, and by the order of their making within one instant: a binary heap. */
#include <stdlib.h>

#include "sim.h"

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void queue_at(struct world *w, uint64_t at_ns, void (*fire)(struct world *, void *, uint64_t), void *data,
              uint64_t a)
{
    queue_owned_at(w, at_ns, fire, data, a, NULL);
}

void queue_owned_at(struct world *w, uint64_t at_ns, void (*fire)(struct world *, void *, uint64_t),
                    void *data, uint64_t a, void (*dispose)(void *))
{
    struct queue *q = &w->queue;

    CW_ASSERT(at_ns >= w->now_ns);
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 1024;
        q->heap = realloc(q->heap, q->capacity * sizeof *q->heap);
        CW_ASSERT(q->heap != NULL);
    }
    struct event e = {
        .at_ns = at_ns, .order = q->order++, .fire = fire, .data = data, .a = a, .dispose = dispose};
    uint32_t i = q->count++;
    while (i > 0 && is_before(&e, &q->heap[(i - 1) / 2])) {
        q->heap[i] = q->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->heap[i] = e;
}

bool queue_pop(struct queue *q, struct event *event)
{
    if (q->count == 0)
        return false;
    *event = q->heap[0];
    struct event last = q->heap[--q->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= q->count)
            break;
        if (child + 1 < q->count && is_before(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!is_before(&q->heap[child], &last))
            break;
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = last;
    return true;
}
