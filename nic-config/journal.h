/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The undo journal: a file of JSON lines, each synced before what it announces is begun. Format 1:
 *
 *     {"causeway-nic":1,"boot":"…","wish":"…","wish_file":"…"}    the first line
 *     {"begin":0,"kind":"bind","subject":…,"value":…,"interface":…,"before":{…},"boot":"…"}
 *     {"done":0}
 *     {"undone":0}                                                 by revert, opposite order
 *     {"applied":true}                                             all steps are done
 *
 * `before` is made by the step's own kind (steps.h) and read by nothing else. A last line without its end is of a writer
 * that was killed, and counts as not written; anything else that is wrong is refused with its line: nothing is undone by
 * guessing. Whoever has it open holds the lock.
 */
#pragma once

#include <jansson.h>

#include "base/status.h"
#include "nic-config/plan.h"

#define CW_JOURNAL_STEPS_MAX 512u /* of all runs of apply until a revert */

struct cw_journal_step {
    struct cw_step step;
    json_t *before;
    char boot[40];
    bool is_done, is_undone;
};

struct cw_undo_journal; /* opaque: the file, its lock, and the steps in memory */

/* Opens or (may_create) begins the journal in this folder. CW_NOT_FOUND; CW_REFUSED: somebody else has it;
 * CW_CORRUPT, CW_IO, CW_INVALID (format of another version): with words in why. */
enum cw_status cw_undo_open(const char *folder, bool may_create, struct cw_undo_journal **journal, char *why,
                            size_t why_size) CW_MUST_CHECK;
void cw_undo_close(struct cw_undo_journal *journal);
