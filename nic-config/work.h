/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What apply and boot have in common: a wish is read, a journal opened, the machine looked at under its lock, steps run.
 * Functions that return int: 0, go on; else an exit code, everything said.
 */
#pragma once

#include "nic-config/commands.h"
#include "nic-config/say.h"

/* Some MiB: begun and ended with the command. */
struct cw_work {
    const struct cw_nic_command *command;
    struct cw_undo_journal *journal; /* NULL: not open */
    const char *wish_file;
    char *text; /* of the wish */
    size_t length;
    char boot[CW_BOOT_ID]; /* that runs now */
    char why[1024];
    char doubt[512]; /* the last one about users that was told */
    bool is_early;   /* the network is not configured yet: paths on what it makes may wait */
    struct cw_wish wish;
    struct cw_facts facts;
    struct cw_plan plan;
};

/* NULL: said why. */
struct cw_work *cw_work_begin(const struct cw_nic_command *command);
void cw_work_end(struct cw_work *work);
/* Takes the text. */
int cw_work_take_wish(struct cw_work *work, const char *file, char *text, size_t length);
/* Opens the journal. Where another command has it, it is waited for: by boot as long as command->lock_tries say, as nobody
 * runs the unit again; by others a moment, as it may be one who only looks. */
enum cw_status cw_work_open(struct cw_work *work, enum cw_undo_purpose purpose, bool is_boot) CW_MUST_CHECK;
/* What to do about a journal that could not be opened. */
const char *cw_work_remedy(enum cw_status status);
/* Says what is wrong with the journal: of cw_undo_open that was not CW_OK. The exit code. */
int cw_work_say_journal(struct cw_work *work, enum cw_status status);
/* All that was begun is done, but for what a reboot has undone since. */
bool cw_work_is_whole(const struct cw_undo_journal *journal, const char *boot);
/* Facts and a plan, by the wish; each path means the card that the journal has of it. */
void cw_work_plan(struct cw_work *work);
int cw_work_check_refusals(struct cw_work *work);
/* The plan's warnings, for the outcome as JSON; the caller's to decref. */
json_t *cw_work_warnings(const struct cw_work *work);
/* The plan gives each path the same card as the journal tells. */
int cw_work_check_cards(struct cw_work *work);
/* Nobody works with what this step, or its undo, changes; or that cannot be told, which is said once and is no reason to stop.
 * then: what to do when that process has ended. */
int cw_work_check_user(struct cw_work *work, const struct cw_step *step, const char *then);
/* Of all steps of the plan. */
int cw_work_check_users(struct cw_work *work);
/* What the journal is told of the paths. */
void cw_work_head(const struct cw_work *work, struct cw_journal_head *head);
/* What was begun in an earlier boot and is gone with it leaves the journal, after its undo has removed what may be left of
 * it (a file, where /run is on a disk). */
int cw_work_forget(struct cw_work *work);
/* The steps of the plan, each in the journal before it is done; then that all are. *made: how many were not done yet. */
int cw_work_run(struct cw_work *work, uint32_t *made);
