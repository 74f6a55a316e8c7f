/* SPDX-License-Identifier: BSD-3-Clause */
/* See index.h for the design; the public index functions of journal.h are here too. */
#include "journal/index.h"

#include "base/assert.h"
#include "base/numbers.h"
#include "journal/append.h"

void cw_journal_index_init(struct cw_journal_index *index, uint64_t capacity, struct cw_arena *arena)
{
    *index = (struct cw_journal_index){.capacity = capacity};
    index->entries = cw_arena_take(arena, capacity * sizeof *index->entries, 64);
}

void cw_journal_index_clear(struct cw_journal_index *index)
{
    index->first = 0;
    index->count = 0;
}

static struct cw_journal_index_entry *entry_at(const struct cw_journal_index *index, uint64_t i)
{
    uint64_t at = index->first + i;

    return &index->entries[at >= index->capacity ? at - index->capacity : at];
}

const struct cw_journal_index_entry *cw_journal_index_at(const struct cw_journal_index *index, uint64_t i)
{
    CW_ASSERT(i < index->count);
    return entry_at(index, i);
}

static uint64_t last_sequence_of(const struct cw_journal_index_entry *entry)
{
    return entry->first_sequence + entry->count - 1;
}

void cw_journal_index_cut(struct cw_journal_index *index, uint64_t sequence)
{
    while (index->count > 0) {
        struct cw_journal_index_entry *last = entry_at(index, index->count - 1);

        if (last->first_sequence <= sequence) {
            last->count = (uint32_t)CW_MIN((uint64_t)last->count, sequence - last->first_sequence + 1);
            return;
        }
        index->count--;
    }
}

/* Recovery tells a batch record by record: a call for the batch told last makes its entry longer. */
static bool extend_last(struct cw_journal_index *index, const struct cw_journal_index_entry *entry)
{
    if (index->count == 0)
        return false;
    struct cw_journal_index_entry *last = entry_at(index, index->count - 1);
    if (last->position != entry->position || last_sequence_of(last) + 1 != entry->first_sequence)
        return false;
    last->count += entry->count;
    return true;
}

void cw_journal_index_push(struct cw_journal_index *index, const struct cw_journal_index_entry *entry)
{
    CW_ASSERT(entry->count > 0);
    CW_ASSERT(entry->first_sequence > 0);
    cw_journal_index_cut(index, entry->first_sequence - 1);
    if (extend_last(index, entry))
        return;
    if (index->count > 0) {
        const struct cw_journal_index_entry *last = entry_at(index, index->count - 1);

        CW_ASSERT(last->position + last->sectors <= entry->position);
    }
    CW_ASSERT(index->count < index->capacity && "a batch takes a sector at least");
    index->count++;
    *entry_at(index, index->count - 1) = *entry;
}

void cw_journal_index_release(struct cw_journal_index *index, uint64_t tail_position)
{
    while (index->count > 0 && entry_at(index, 0)->position < tail_position) {
        index->first = index->first + 1 == index->capacity ? 0 : index->first + 1;
        index->count--;
    }
}

const struct cw_journal_index_entry *cw_journal_index_find(const struct cw_journal_index *index,
                                                           uint64_t sequence)
{
    uint64_t low = 0; /* the first entry that ends at or after sequence is in [low, high] */
    uint64_t high = index->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (last_sequence_of(entry_at(index, middle)) < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->count || entry_at(index, low)->first_sequence > sequence)
        return NULL;
    return entry_at(index, low);
}

void cw_journal_index_add(struct cw_journal *journal, uint64_t position, uint32_t sectors,
                          uint64_t first_sequence, uint64_t last_sequence)
{
    CW_ASSERT(first_sequence > 0);
    CW_ASSERT(last_sequence >= first_sequence && last_sequence - first_sequence < CW_BATCH_RECORDS_MAX);
    CW_ASSERT(journal->opened == 0 && "what was in the ring comes before what is appended");
    struct cw_journal_index_entry entry = {.position = position,
                                           .first_sequence = first_sequence,
                                           .count = (uint32_t)(last_sequence - first_sequence + 1),
                                           .sectors = sectors};

    cw_journal_index_push(&journal->index, &entry);
    journal->written.last_position = CW_MAX(journal->written.last_position, position);
}

enum cw_status cw_journal_find(const struct cw_journal *journal, uint64_t sequence, uint64_t *position,
                               uint32_t *sectors)
{
    const struct cw_journal_index_entry *entry = cw_journal_index_find(&journal->index, sequence);

    if (!entry)
        return CW_NOT_FOUND;
    *position = entry->position;
    *sectors = entry->sectors;
    return CW_OK;
}

uint64_t cw_journal_oldest_sequence(const struct cw_journal *journal)
{
    return journal->index.count == 0 ? 0 : cw_journal_index_at(&journal->index, 0)->first_sequence;
}
