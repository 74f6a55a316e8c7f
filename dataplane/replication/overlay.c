/* SPDX-License-Identifier: BSD-3-Clause */
#include "replication/overlay.h"

#include "base/assert.h"
#include "base/numbers.h"

#define NONE CW_OVERLAY_NONE

void cw_overlay_init(struct cw_overlay *overlay, struct cw_arena *arena, uint32_t record_count)
{
    CW_ASSERT(cw_is_power_of_two(record_count));
    overlay->node_count = 2 * record_count + 2;
    overlay->nodes = cw_arena_take(arena, sizeof(struct cw_overlay_node) * overlay->node_count, 64);
    overlay->record_first = cw_arena_take(arena, sizeof(uint32_t) * record_count, 64);
    overlay->mask = record_count - 1;
    overlay->seed = 2463534242u;
    if (arena->memory)
        cw_overlay_clear(overlay);
}

void cw_overlay_clear(struct cw_overlay *overlay)
{
    overlay->used = 0;
    for (uint32_t i = 0; i < overlay->node_count; i++)
        overlay->nodes[i].next = i + 1 < overlay->node_count ? i + 1 : NONE;
    overlay->free_first = 0;
    for (uint32_t i = 0; i <= overlay->mask; i++)
        overlay->record_first[i] = NONE;
    for (uint32_t i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++)
        overlay->roots[i] = NONE;
}

/* xorshift32 (Marsaglia, 2003): a treap only needs priorities that do not follow the keys. */
static uint32_t next_priority(struct cw_overlay *o)
{
    o->seed ^= o->seed << 13;
    o->seed ^= o->seed >> 17;
    o->seed ^= o->seed << 5;
    return o->seed;
}

static uint32_t node_new(struct cw_overlay *o, uint16_t volume, uint64_t start, uint64_t end,
                         uint64_t sequence)
{
    uint32_t i = o->free_first;
    uint32_t *first = &o->record_first[sequence & o->mask];

    CW_ASSERT(i != NONE && "two nodes a live record are enough");
    CW_ASSERT(start < end);
    o->free_first = o->nodes[i].next;
    o->used++;
    o->nodes[i] = (struct cw_overlay_node){.start = start,
                                           .end = end,
                                           .sequence = sequence,
                                           .priority = next_priority(o),
                                           .left = NONE,
                                           .right = NONE,
                                           .previous = NONE,
                                           .next = *first,
                                           .volume = volume};
    if (*first != NONE) {
        CW_ASSERT(o->nodes[*first].sequence == sequence && "live sequences span less than the table");
        o->nodes[*first].previous = i;
    }
    *first = i;
    return i;
}

static void node_free(struct cw_overlay *o, uint32_t i)
{
    struct cw_overlay_node *n = &o->nodes[i];

    if (n->previous != NONE)
        o->nodes[n->previous].next = n->next;
    else
        o->record_first[n->sequence & o->mask] = n->next;
    if (n->next != NONE)
        o->nodes[n->next].previous = n->previous;
    n->next = o->free_first;
    o->free_first = i;
    o->used--;
}

/* Splits the tree `i` into starts below key and the rest. */
static void split(struct cw_overlay *o, uint32_t i, uint64_t key, uint32_t *below, uint32_t *rest)
{
    if (i == NONE) {
        *below = *rest = NONE;
    } else if (o->nodes[i].start < key) {
        split(o, o->nodes[i].right, key, &o->nodes[i].right, rest);
        *below = i;
    } else {
        split(o, o->nodes[i].left, key, below, &o->nodes[i].left);
        *rest = i;
    }
}

/* All starts of a are below all starts of b. */
static uint32_t merge(struct cw_overlay *o, uint32_t a, uint32_t b)
{
    if (a == NONE)
        return b;
    if (b == NONE)
        return a;
    if (o->nodes[a].priority > o->nodes[b].priority) {
        o->nodes[a].right = merge(o, o->nodes[a].right, b);
        return a;
    }
    o->nodes[b].left = merge(o, a, o->nodes[b].left);
    return b;
}

static uint32_t rightmost(const struct cw_overlay *o, uint32_t i)
{
    while (i != NONE && o->nodes[i].right != NONE)
        i = o->nodes[i].right;
    return i;
}

static void free_tree(struct cw_overlay *o, uint32_t i)
{
    if (i == NONE)
        return;
    free_tree(o, o->nodes[i].left);
    free_tree(o, o->nodes[i].right);
    node_free(o, i);
}

void cw_overlay_insert(struct cw_overlay *o, uint16_t volume, uint64_t offset, uint64_t length,
                       uint64_t sequence)
{
    CW_ASSERT(volume < CW_VOLUMES_PER_GROUP_MAX);
    CW_ASSERT(length > 0);
    uint64_t end = offset + length;
    uint32_t below, middle, rest, remainder = NONE;

    split(o, o->roots[volume], offset, &below, &rest);
    uint32_t before = rightmost(o, below);
    if (before != NONE && o->nodes[before].end > offset) { /* reaches into the new extent */
        if (o->nodes[before].end > end)
            remainder = node_new(o, volume, end, o->nodes[before].end, o->nodes[before].sequence);
        o->nodes[before].end = offset;
    }
    split(o, rest, end, &middle, &rest);
    uint32_t last = rightmost(o, middle);
    if (last != NONE && o->nodes[last].end > end) { /* sticks out on the right */
        CW_ASSERT(remainder == NONE && "extents do not overlap");
        remainder = node_new(o, volume, end, o->nodes[last].end, o->nodes[last].sequence);
    }
    free_tree(o, middle);
    uint32_t fresh = node_new(o, volume, offset, end, sequence);
    o->roots[volume] = merge(o, merge(o, merge(o, below, fresh), remainder), rest);
}

void cw_overlay_remove(struct cw_overlay *o, uint64_t sequence)
{
    uint32_t i;

    while ((i = o->record_first[sequence & o->mask]) != NONE) {
        struct cw_overlay_node *n = &o->nodes[i];
        uint32_t below, self, rest;

        CW_ASSERT(n->sequence == sequence);
        split(o, o->roots[n->volume], n->start, &below, &rest);
        split(o, rest, n->start + 1, &self, &rest);
        CW_ASSERT(self == i);
        o->roots[n->volume] = merge(o, below, rest);
        node_free(o, i);
    }
}

static void walk(const struct cw_overlay *o, uint32_t i, uint64_t from, uint64_t to, cw_overlay_visit *visit,
                 void *context)
{
    if (i == NONE)
        return;
    const struct cw_overlay_node *n = &o->nodes[i];
    if (n->start > from)
        walk(o, n->left, from, to, visit, context);
    if (n->start < to && n->end > from)
        visit(context, CW_MAX(n->start, from), CW_MIN(n->end, to), n->sequence);
    if (n->start < to)
        walk(o, n->right, from, to, visit, context);
}

void cw_overlay_walk(const struct cw_overlay *o, uint16_t volume, uint64_t offset, uint64_t length,
                     cw_overlay_visit *visit, void *context)
{
    walk(o, o->roots[volume], offset, offset + length, visit, context);
}

static void add_length(void *context, uint64_t start, uint64_t end, uint64_t sequence)
{
    *(uint64_t *)context += end - start;
}

bool cw_overlay_covers(const struct cw_overlay *o, uint16_t volume, uint64_t offset, uint64_t length)
{
    uint64_t held = 0;

    if (o->roots[volume] == NONE)
        return false;
    cw_overlay_walk(o, volume, offset, length, add_length, &held);
    return held == length;
}

struct check {
    uint64_t last_end;
    uint32_t count;
    bool ok;
};

static void check_node(void *context, uint64_t start, uint64_t end, uint64_t sequence)
{
    struct check *c = context;

    if (start < c->last_end || end <= start)
        c->ok = false;
    c->last_end = end;
    c->count++;
}

bool cw_overlay_is_valid(const struct cw_overlay *o)
{
    struct check c = {.ok = true};

    for (uint16_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++) {
        c.last_end = 0;
        cw_overlay_walk(o, v, 0, UINT64_MAX, check_node, &c);
    }
    return c.ok && c.count == o->used;
}
