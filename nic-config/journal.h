/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The undo journal: a file of JSON lines, each synced by itself before what it announces is begun. Format 1:
 *
 *     {"causeway-nic":1,"boot":"…","wish":"…","wish_file":"…","paths":[…],"sum":"…"}    the first line
 *     {"begin":0,"kind":"bind","subject":…,"value":…,"why":…,"interface":…,"before":{…},"boot":"…","sum":…}
 *     {"done":0,"sum":"…"}
 *     {"applied":"…","sum":"…"}                                    all steps are done, in this boot
 *     {"reverting":true,"sum":"…"}                                 from here on nothing is applied any more
 *     {"undone":0,"sum":"…"}                                       by revert, opposite order
 *     {"undone":0,"left":"…","sum":"…"}                            the same, and why it is not as it was before
 *
 * `before` is made by the step's own kind (steps.h) and read by nothing else but before.h. `sum` is a hash of the line
 * before it and of the sum of the line above: a line that was changed, lost or put elsewhere is noticed. A last line that
 * is not whole, or has bytes of 0 in it, is of a writer that was killed, and counts as not written; anything else that is
 * wrong is refused with its line: nothing is undone by guessing. Beside it lies `wish`, the text that was applied, and
 * `marks` (journal_marks.c), by which lines are missed that the end of the journal has lost.
 *
 * Whoever has it open to change it holds the lock, which is on the folder: no file is left of it. Who only looks shares
 * it with others of the kind, and not longer than until it has been read.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/status.h"
#include "nic-config/plan.h"

#define CW_JOURNAL_STEPS_MAX 512u      /* of all runs of apply until a revert */
#define CW_JOURNAL_LINE_MAX  131072u   /* bytes */
#define CW_JOURNAL_BYTES_MAX 16777216u /* of the file */
#define CW_BOOT_ID           40u
#define CW_WISH_HASH         17u

struct cw_journal_step {
    struct cw_step step;
    json_t *before;
    char boot[CW_BOOT_ID];
    bool is_done, is_undone;
    char left[512]; /* of what is undone: why it is not as it was before; "" it is */
};

/* Which card a path of the wish got. After a reboot it has to be the same one; and a wish that names it by what
 * was given up, or is not there yet (interface, mac, speed), is understood again: the plan is told (wish.h, given). */
struct cw_journal_path {
    char name[CW_PATH_NAME];
    char card[CW_PCI_ADDRESS];
    char identity[24]; /* vendor:device, and of the subsystem; "" not known */
};

struct cw_journal_head {
    char boot[CW_BOOT_ID];
    char wish[CW_WISH_HASH];
    char wish_file[CW_FACT_PATH];
    struct cw_journal_path paths[CW_WISH_PATHS_MAX];
    uint32_t path_count;
};

/* Read by all, written by journal*.c only. */
struct cw_undo_journal {
    char path[CW_FACT_PATH]; /* of the folder */
    int folder;              /* has the lock; -1: of one who only looks */
    int file;                /* -1: nothing has been applied */
    bool is_bare;            /* there is none: what else of ours is in the folder goes when it is closed */
    bool is_read_only;       /* its file system is: it can be read, and not written */
    bool is_torn;            /* there is more in the file than size: cut off before the next line */
    off_t size;
    uint64_t sum; /* of the last line */
    int marks;    /* -1: not open */
    off_t marks_size;
    uint64_t marked;            /* sum of the line that was marked last, if */
    bool is_marked, has_marked; /* one was; and it is there */
    struct cw_journal_head head;
    struct cw_journal_step *steps;
    uint32_t count;
    char applied[CW_BOOT_ID]; /* the last boot in which all was done; "" never */
    uint32_t applied_count;   /* steps that were begun before that was written */
    bool is_reverting;
};

enum cw_undo_purpose {
    CW_UNDO_LOOK,   /* of plan: nothing is changed, not even what a command that was killed has left */
    CW_UNDO_CHANGE, /* what is there */
    CW_UNDO_CREATE, /* a folder, where there is none */
};

/* Opens the journal in this folder, and locks it. CW_NOT_FOUND: there is none; to create it there is a folder then, and
 * file is -1. CW_REFUSED: somebody else has it; CW_STALE: lines of its end are missing; CW_CORRUPT, CW_IO, CW_INVALID
 * (format of another version): with words in why. The journal is the caller's to close; nothing is written by opening. */
enum cw_status cw_undo_open(const char *folder, enum cw_undo_purpose purpose,
                            struct cw_undo_journal **journal, char *why, size_t why_size) CW_MUST_CHECK;
/* A folder in which nothing was begun goes, but from under one who only looks. NULL is allowed. */
void cw_undo_close(struct cw_undo_journal *journal);

/* Of a text: as journal->head.wish has it. */
void cw_wish_hash(const char *text, size_t length, char hash[CW_WISH_HASH]);
/* The kept wish, with a 0 at its end; the caller's to free. NULL with words: it is gone, or is not what was applied. */
char *cw_undo_wish(const struct cw_undo_journal *journal, size_t *length, char *why, size_t why_size);

/* The rest changes the file. Not CW_OK: words in why, and nothing was written that counts. */

/* Begins the journal: the wish is kept, then the first line; head->wish is filled. */
enum cw_status cw_undo_start(struct cw_undo_journal *journal, struct cw_journal_head *head, const char *wish,
                             size_t length, char *why, size_t why_size) CW_MUST_CHECK;
/* Room on the disk and in the table for these steps, as far as the file system can promise any. */
enum cw_status cw_undo_reserve(struct cw_undo_journal *journal, const struct cw_step *steps, uint32_t count,
                               char *why, size_t why_size) CW_MUST_CHECK;
/* The step's number is journal->count - 1 then. before is taken, whatever comes of it. */
enum cw_status cw_undo_begin(struct cw_undo_journal *journal, const struct cw_step *step, json_t *before,
                             const char *boot, char *why, size_t why_size) CW_MUST_CHECK;
enum cw_status cw_undo_done(struct cw_undo_journal *journal, uint32_t index, char *why,
                            size_t why_size) CW_MUST_CHECK;
enum cw_status cw_undo_applied(struct cw_undo_journal *journal, const char *boot, char *why,
                               size_t why_size) CW_MUST_CHECK;
enum cw_status cw_undo_reverting(struct cw_undo_journal *journal, char *why, size_t why_size) CW_MUST_CHECK;
/* left: as in the step. */
enum cw_status cw_undo_undone(struct cw_undo_journal *journal, uint32_t index, const char *left, char *why,
                              size_t why_size) CW_MUST_CHECK;
/* Writes it anew without the steps that this reboot has undone, so that it does not grow with every boot; but for the last
 * GIVE_UP of each interface. */
enum cw_status cw_undo_shorten(struct cw_undo_journal *journal, const char *boot, char *why,
                               size_t why_size) CW_MUST_CHECK;
/* All is undone: the journal goes, and with cw_undo_close the wish and the folder. */
enum cw_status cw_undo_remove(struct cw_undo_journal *journal, char *why, size_t why_size) CW_MUST_CHECK;
