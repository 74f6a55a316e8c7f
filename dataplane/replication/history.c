/* SPDX-License-Identifier: BSD-3-Clause */
#include "replication/history.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

const struct cw_history_entry *cw_history_find(const struct cw_history *history, uint64_t sequence)
{
    for (uint32_t i = history->count; i-- > 0;)
        if (history->entries[i].first_sequence <= sequence)
            return &history->entries[i];
    return NULL;
}

bool cw_history_has(const struct cw_history *history, uint64_t sequence, uint64_t epoch, uint64_t reign)
{
    const struct cw_history_entry *entry = cw_history_find(history, sequence);

    return entry && entry->epoch == epoch && entry->reign == reign;
}

bool cw_history_is_first(const struct cw_history *history, uint64_t sequence)
{
    const struct cw_history_entry *entry = cw_history_find(history, sequence);

    return entry && entry->first_sequence == sequence;
}

void cw_history_add(struct cw_history *history, uint64_t epoch, uint64_t reign, uint64_t first_sequence)
{
    CW_ASSERT(epoch > 0);
    CW_ASSERT(history->count == 0 || history->entries[history->count - 1].epoch < epoch);
    while (history->count > 0 && history->entries[history->count - 1].first_sequence > first_sequence)
        history->count--; /* adopted, but of that reign no record was ever here */
    /* One that wrote nothing names no record and parts no two logs; the first is what blank sites share. */
    if (history->count > 1 && history->entries[history->count - 1].first_sequence == first_sequence)
        history->count--;
    if (history->count == CW_HISTORY_MAX) {
        memmove(&history->entries[0], &history->entries[1],
                sizeof history->entries[0] * (CW_HISTORY_MAX - 1));
        history->count--;
    }
    history->entries[history->count++] =
        (struct cw_history_entry){.epoch = epoch, .reign = reign, .first_sequence = first_sequence};
}

bool cw_history_may_add(const struct cw_history *history, uint64_t first_sequence, uint64_t in_place)
{
    struct cw_history after = *history;
    const struct cw_history_entry *last = cw_history_last(history);

    cw_history_add(&after, last ? last->epoch + 1 : 1, 1, first_sequence);
    return history->count < CW_HISTORY_MAX || after.entries[0].epoch == history->entries[0].epoch ||
           after.entries[0].first_sequence <= in_place + 1;
}

bool cw_history_is_forgotten(const struct cw_history *history, uint64_t epoch)
{
    return history->count == CW_HISTORY_MAX && epoch < history->entries[0].epoch;
}

const struct cw_history_entry *cw_history_last(const struct cw_history *history)
{
    return history->count ? &history->entries[history->count - 1] : NULL;
}

/* Where entry i's reign ends in a log that holds 1..end. */
static uint64_t end_of(const struct cw_history *history, uint32_t i, uint64_t end)
{
    if (i + 1 < history->count)
        return CW_MIN(end, history->entries[i + 1].first_sequence - 1);
    return end;
}

bool cw_history_common(const struct cw_history *a, uint64_t a_end, const struct cw_history *b, uint64_t b_end,
                       uint64_t *common)
{
    for (uint32_t i = a->count; i-- > 0;) {
        for (uint32_t j = b->count; j-- > 0;) {
            const struct cw_history_entry *x = &a->entries[i], *y = &b->entries[j];
            if (x->epoch != y->epoch || x->reign != y->reign)
                continue;
            /* one log may have been cut below the reign's first record: then they share what is before */
            *common = CW_MIN(end_of(a, i, a_end), end_of(b, j, b_end));
            return true;
        }
    }
    *common = 0;
    return false;
}
