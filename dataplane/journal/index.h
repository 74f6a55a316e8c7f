/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which batch holds a sequence: private to journal/. A ring of entries, oldest first, in which both positions
 * and sequences rise, so that a lookup is a binary search and a release drops from the front. A batch with
 * records takes a sector at least, so one entry a sector of the ring is always enough; batches without
 * records have none. Not done: folding neighbours to save memory (24 bytes a sector are 0.6 % of the ring).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct cw_journal_index_entry {
    uint64_t position;
    uint64_t first_sequence;
    uint32_t count; /* sequences first .. first + count - 1 */
    uint32_t sectors;
};

struct cw_journal_index {
    struct cw_journal_index_entry *entries;
    uint64_t capacity;
    uint64_t first; /* index of the oldest, < capacity */
    uint64_t count;
};

void cw_journal_index_init(struct cw_journal_index *index, uint64_t capacity, struct cw_arena *arena);
void cw_journal_index_clear(struct cw_journal_index *index);
/* Positions rise. Whatever stands at or above first_sequence was cut: the newer batch wins. */
void cw_journal_index_push(struct cw_journal_index *index, const struct cw_journal_index_entry *entry);
void cw_journal_index_cut(struct cw_journal_index *index, uint64_t sequence);
void cw_journal_index_release(struct cw_journal_index *index, uint64_t tail_position);
/* NULL: not here. */
const struct cw_journal_index_entry *cw_journal_index_find(const struct cw_journal_index *index,
                                                           uint64_t sequence);
const struct cw_journal_index_entry *cw_journal_index_at(const struct cw_journal_index *index, uint64_t i);
