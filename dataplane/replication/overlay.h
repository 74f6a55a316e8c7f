/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The overlay: which record holds the newest bytes of each extent that is not yet in place.
 *
 * One ordered map per volume (a treap, keyed by start) of extents that never overlap; inserting a newer
 * record trims or removes what it covers. Records leave in sequence order, oldest first, which bounds the
 * nodes: a split of an older record's extent is made by a newer one, which outlives it, so there are never
 * more than two nodes a live record. Chosen over a block-indexed hash because a discard may cover a gigabyte.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "wire/record.h"

#define CW_OVERLAY_NONE UINT32_MAX

struct cw_overlay_node {
    uint64_t start, end; /* bytes, end exclusive */
    uint64_t sequence;
    uint32_t priority;
    uint32_t left, right;
    uint32_t previous, next; /* the other extents of the same record */
    uint16_t volume;
};

struct cw_overlay {
    struct cw_overlay_node *nodes;
    uint32_t *record_first; /* [sequence & mask]: first extent of that record */
    uint32_t roots[CW_VOLUMES_PER_GROUP_MAX];
    uint32_t free_first;
    uint32_t node_count, used;
    uint32_t mask;
    uint32_t seed; /* of the priorities; any sequence will do */
};

/* record_count: most records live at once, a power of two; live sequences span less than that. */
void cw_overlay_init(struct cw_overlay *overlay, struct cw_arena *arena, uint32_t record_count);
/* sequence is above every one inserted before. */
void cw_overlay_insert(struct cw_overlay *overlay, uint16_t volume, uint64_t offset, uint64_t length,
                       uint64_t sequence);
void cw_overlay_clear(struct cw_overlay *overlay);
/* Forgets what is left of a record: the oldest. What a newer one covered does not come back, so after a cut
 * the overlay is cleared and what is left goes in anew. */
void cw_overlay_remove(struct cw_overlay *overlay, uint64_t sequence);

typedef void cw_overlay_visit(void *context, uint64_t start, uint64_t end, uint64_t sequence);
/* Calls visit for every piece of [offset, offset + length) that a record holds, in order of offset, clipped.
 */
void cw_overlay_walk(const struct cw_overlay *overlay, uint16_t volume, uint64_t offset, uint64_t length,
                     cw_overlay_visit *visit, void *context);
bool cw_overlay_covers(const struct cw_overlay *overlay, uint16_t volume, uint64_t offset, uint64_t length);
bool cw_overlay_is_valid(const struct cw_overlay *overlay);
