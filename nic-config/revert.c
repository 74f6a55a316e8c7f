/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything is given back, last first. One undo that fails does not keep the others from being done: each finds its way
 * from whatever is there, and the journal stays until none is left.
 */
#include <stdio.h>
#include <string.h>

#include "nic-config/before.h"
#include "nic-config/work.h"

static uint32_t count_left(const struct cw_undo_journal *journal)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < journal->count; i++)
        left += !journal->steps[i].is_undone;
    return left;
}

/* ---------------------------------------------------------------- what would be undone */

static int show(struct cw_work *work)
{
    char words[512];
    const struct cw_undo_journal *journal = work->journal;
    json_t *steps = json_array();
    cw_nic_tell(work->command, "Of %s, last first:\n", journal->head.wish_file);
    for (uint32_t i = journal->count; i-- > 0;) {
        const struct cw_journal_step *step = &journal->steps[i];
        if (step->is_undone)
            continue;
        bool is_gone = cw_step_is_volatile(&step->step) && strcmp(step->boot, work->boot) != 0;
        cw_step_words(&step->step, words, sizeof words);
        cw_nic_tell(work->command, "  undo: %s%s%s\n", words, step->is_done ? "" : " (was begun)",
                    is_gone ? " (the reboot has undone it)" : "");
        json_array_append_new(steps, json_pack("{s:s,s:s,s:s,s:b}", "kind", cw_step_names[step->step.kind],
                                               "subject", step->step.subject, "value", step->step.value,
                                               "done", step->is_done));
    }
    return cw_nic_say_with(work->command, CW_NIC_DONE, json_pack("{s:o}", "steps", steps),
                           "Nothing was changed. To undo %s: causeway nic revert --yes",
                           count_left(journal) == 1 ? "it" : "them");
}

/* ---------------------------------------------------------------- undoing */

/* A card in use is not taken from under an engine. */
static int check_users(struct cw_work *work)
{
    for (uint32_t i = 0; i < work->journal->count; i++) {
        const struct cw_journal_step *step = &work->journal->steps[i];
        bool is_ours = !step->is_undone && strcmp(step->boot, work->boot) == 0;
        if (!is_ours || !work->command->hands->is_used(&step->step, work->why, sizeof work->why))
            continue;
        return cw_nic_say(
            work->command, CW_NIC_REFUSED,
            "%s. Stop that process first (an engine: systemctl stop causeway-engine, or what else "
            "runs it), then causeway nic revert --yes",
            work->why);
    }
    return 0;
}

/* Its interface is not there before its card is the kernel's again: to undo it then would be to give up what was kept. */
static bool has_to_wait(const struct cw_work *work, uint32_t index)
{
    const struct cw_undo_journal *journal = work->journal;
    const struct cw_journal_step *step = &journal->steps[index];
    bool has_to = false;
    if (step->step.kind != CW_STEP_GIVE_UP || strcmp(step->boot, work->boot) != 0)
        return false;
    for (uint32_t i = index + 1; i < journal->count && !has_to; i++)
        has_to = journal->steps[i].step.kind == CW_STEP_BIND && !journal->steps[i].is_undone &&
                 cw_before_is_of_device(step->before, journal->steps[i].before);
    return has_to;
}

/* A revert that was begun before may have been killed in the middle of any step. */
static enum cw_step_left how_left(const struct cw_work *work, const struct cw_journal_step *step,
                                  bool is_resumed)
{
    if (strcmp(step->boot, work->boot) != 0)
        return CW_LEFT_TO_REBOOT;
    return step->is_done && !is_resumed ? CW_LEFT_WHOLE : CW_LEFT_HALF;
}

/* Undone is what was undone; that it could not be written is only told, as to undo twice does no harm. */
static bool undo_step(struct cw_work *work, uint32_t index, bool is_resumed, bool *has_told)
{
    const struct cw_journal_step *step = &work->journal->steps[index];
    char words[1024] = "", what[512];
    cw_step_words(&step->step, what, sizeof what);
    cw_nic_tell(work->command, "undo: %s\n", what);
    if (has_to_wait(work, index)) {
        cw_nic_tell(work->command,
                    "      waits until its card is the kernel's again: what was kept stays in the journal\n");
        return false; /* what failed before it is the first, and is told */
    }
    enum cw_status status = work->command->hands->undo(&step->step, step->before,
                                                       how_left(work, step, is_resumed), words, sizeof words);
    if (words[0])
        cw_nic_tell(work->command, "      %s%s\n", status == CW_OK ? "" : "failed: ", words);
    if (status != CW_OK) {
        snprintf(work->why, sizeof work->why, "%.400s: %.600s", what, words);
        return false;
    }
    if (cw_undo_undone(work->journal, index, words, sizeof words) != CW_OK && !*has_told) {
        *has_told = true;
        cw_nic_tell(work->command, "warning: %s\n", words);
    }
    return true;
}

static int undo_all(struct cw_work *work)
{
    uint32_t failures = 0;
    bool has_told = false, is_stopped = false, is_resumed = work->journal->is_reverting;
    char first[1024] = "";
    if (cw_undo_reverting(work->journal, work->why, sizeof work->why) != CW_OK) {
        cw_nic_tell(work->command, "warning: %s\n", work->why);
        has_told = true;
    }
    for (uint32_t i = work->journal->count; i-- > 0 && !is_stopped;) {
        if (work->journal->steps[i].is_undone)
            continue;
        is_stopped = cw_stop_is_asked();
        if (!is_stopped && !undo_step(work, i, is_resumed, &has_told) && failures++ == 0)
            snprintf(first, sizeof first, "%s", work->why);
    }
    uint32_t left = count_left(work->journal);
    if (is_stopped)
        return cw_nic_say(work->command, CW_NIC_FAILED,
                          "interrupted: %u step%s left. causeway nic revert --yes goes on with it", left,
                          left == 1 ? " is" : "s are");
    if (failures)
        return cw_nic_say(
            work->command, CW_NIC_FAILED,
            "%u step%s not undone, the others are. The first: %s. See to it, then causeway nic revert "
            "--yes again",
            left, left == 1 ? " is" : "s are", first);
    if (cw_undo_remove(work->journal, work->why, sizeof work->why) != CW_OK)
        return cw_nic_say(work->command, CW_NIC_FAILED,
                          "all is undone, and the journal cannot be removed: %s", work->why);
    return cw_nic_say(work->command, CW_NIC_DONE, "done: all is as it was before");
}

static int revert(struct cw_work *work)
{
    const struct cw_nic_command *command = work->command;
    enum cw_status status =
        cw_undo_open(command->folders.state, command->is_yes ? CW_UNDO_CHANGE : CW_UNDO_LOOK, &work->journal,
                     work->why, sizeof work->why);
    if (status == CW_NOT_FOUND)
        return cw_nic_say(command, CW_NIC_DONE, "nothing was applied");
    if (status != CW_OK)
        return cw_work_say_journal(work, status);
    if (!command->is_yes)
        return show(work);
    int code = check_users(work);
    return code ? code : undo_all(work);
}

int cw_nic_revert(const struct cw_nic_command *command)
{
    struct cw_work *work = cw_work_begin(command);
    int code = 0;
    if (!work)
        return CW_NIC_FAILED;
    if (!work->boot[0])
        code = cw_nic_say(
            command, CW_NIC_FAILED,
            "/proc/sys/kernel/random/boot_id cannot be read: without it nobody can tell what a reboot "
            "has undone. Nothing was changed");
    if (!code && command->is_yes && !command->is_root)
        code = cw_nic_say(command, CW_NIC_FAILED,
                          "this changes drivers, /sys, /proc and files of root, so it has to be run as root. "
                          "Nothing was changed");
    cw_stop_begin();
    if (!code)
        code = revert(work);
    cw_work_end(work);
    cw_stop_end();
    return code;
}
