/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Epoch histories: which epoch wrote which sequences. Comparing two of them finds the last record that both
 * sides share, whatever happened since.
 */
#pragma once

#include "wire/message.h"

/* The entry whose epoch wrote (or would write) this sequence; NULL when it is older than the history. */
const struct cw_history_entry *cw_history_find(const struct cw_history *history, uint64_t sequence);
/* Did (epoch, reign) write this sequence, by this history? */
bool cw_history_has(const struct cw_history *history, uint64_t sequence, uint64_t epoch, uint64_t reign);
/* Appends a reign that begins at first_sequence; reigns that would begin above it wrote nothing that this log
 * has, and leave the history, as does the last one if it began there, unless it is the only one. Drops the oldest
 * entry when full. */
void cw_history_add(struct cw_history *history, uint64_t epoch, uint64_t reign, uint64_t first_sequence);
/* false: it would drop a reign of which records above in_place are needed still: without it they do not count. */
bool cw_history_may_add(const struct cw_history *history, uint64_t first_sequence, uint64_t in_place);
/* May reigns up to this epoch have been in it, and dropped? */
bool cw_history_is_forgotten(const struct cw_history *history, uint64_t epoch);
/* Is it the first of a reign, and so a marker that no client wrote? */
bool cw_history_is_first(const struct cw_history *history, uint64_t sequence);
const struct cw_history_entry *cw_history_last(const struct cw_history *history); /* NULL: empty */

/*
 * The highest sequence up to which two logs are the same: a holds 1..a_end, b holds 1..b_end. false: they
 * share no reign (then only sequence 0 can be common, and only if one of them is empty).
 */
bool cw_history_common(const struct cw_history *a, uint64_t a_end, const struct cw_history *b, uint64_t b_end,
                       uint64_t *common);
