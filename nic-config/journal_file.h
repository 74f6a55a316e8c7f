/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the two halves of the journal: its files, and what is in them. */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "nic-config/journal.h"

#define CW_JOURNAL_FORMAT 1
#define CW_JOURNAL_FILE   "journal"
#define CW_WISH_FILE      "wish"
#define CW_MARKS_FILE     "marks"

/* The sum of a line, without its own sum and its end, after one whose sum is given. */
uint64_t cw_undo_sum(uint64_t before, const char *line, size_t length);
/* Fills head, steps, size, sum and the rest from what is in the file. CW_CORRUPT, CW_INVALID with words. */
enum cw_status cw_undo_read(struct cw_undo_journal *journal, char *why, size_t why_size) CW_MUST_CHECK;
/* false, with words: in the place of this file of ours there is something else, which may not even be opened (a FIFO waits
 * for a writer). true also where there is nothing. */
bool cw_undo_is_file(const struct cw_undo_journal *journal, const char *name, char *why, size_t why_size);
/* All of a file in this folder, at most limit bytes, with a 0 at its end; the caller's to free. It has to be of our own
 * user, and nobody else may write it. NULL with words. */
char *cw_undo_slurp(const struct cw_undo_journal *journal, int file, const char *name, size_t limit,
                    size_t *length, char *why, size_t why_size);

/* Of the folder, before the journal is read: text is the caller's to free, NULL there are none. CW_IO with words. */
enum cw_status cw_undo_read_marks(struct cw_undo_journal *journal, char **text, char *why,
                                  size_t why_size) CW_MUST_CHECK;
/* And after that, or when there is none. CW_STALE with words: lines that were synced are missing. */
enum cw_status cw_undo_check_marks(const struct cw_undo_journal *journal, const char *text, char *why,
                                   size_t why_size) CW_MUST_CHECK;
/* The last line is synced; step: that it begins, or NULL. */
void cw_undo_mark(struct cw_undo_journal *journal, const struct cw_step *step);
/* Before the journal becomes shorter, or goes. 0 or an errno. */
int cw_undo_drop_marks(struct cw_undo_journal *journal);

static inline enum cw_status __attribute__((format(printf, 4, 5)))
cw_undo_why(enum cw_status status, char *why, size_t why_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return status;
}
