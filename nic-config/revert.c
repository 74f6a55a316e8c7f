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
        json_array_append_new(steps,
                              json_pack("{s:s,s:s,s:s,s:b,s:O}", "kind", cw_step_names[step->step.kind],
                                        "subject", step->step.subject, "value", step->step.value, "done",
                                        step->is_done, "before", step->before));
    }
    return cw_nic_say_with(work->command, CW_NIC_DONE, json_pack("{s:o}", "steps", steps),
                           "Nothing was changed. To undo %s: causeway nic revert --yes",
                           count_left(journal) == 1 ? "it" : "them");
}

/* ---------------------------------------------------------------- undoing */

/* A card or an interface in use is not taken from under an engine. */
static int check_users(struct cw_work *work)
{
    int code = 0;
    for (uint32_t i = 0; i < work->journal->count && !code; i++) {
        const struct cw_journal_step *step = &work->journal->steps[i];
        bool is_ours = !step->is_undone && strcmp(step->boot, work->boot) == 0;
        if (is_ours)
            code = cw_work_check_user(work, &step->step, "causeway nic revert --yes");
    }
    return code;
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

struct undoing {
    struct cw_work *work;
    json_t *kept;     /* what stays in the journal, and why */
    char first[1024]; /* that failed */
    bool is_resumed, has_told;
    bool is_waiting; /* something that was gone is kept */
};

/* "before" is all that was kept, for programs, and for whoever has to put it back by hand. */
static json_t *item_of(const struct cw_journal_step *step, const char *why)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:O}", "kind", cw_step_names[step->step.kind], "subject",
                     step->step.subject, "value", step->step.value, "why", cw_nic_words(why), "before",
                     step->before);
}

static void tell_kept(const struct undoing *undoing, const struct cw_journal_step *step, const char *of)
{
    char words[512];
    if (step->step.kind != CW_STEP_GIVE_UP || strcmp(step->boot, undoing->work->boot) != 0)
        return;
    cw_before_words(step->before, words, sizeof words);
    cw_nic_tell(undoing->work->command, "      %s %s\n", of, words);
}

static void keep_step(struct undoing *undoing, const struct cw_journal_step *step, const char *why)
{
    char what[512];
    tell_kept(undoing, step, "kept in the journal of");
    if (json_array_size(undoing->kept) == 0) {
        cw_step_words(&step->step, what, sizeof what);
        snprintf(undoing->first, sizeof undoing->first, "%.400s: %.600s", what, why);
    }
    json_array_append_new(undoing->kept, item_of(step, why));
}

/* Undone is what was undone; that it could not be written is only told, as to undo twice does no harm. */
static void mark_undone(struct undoing *undoing, uint32_t index, const char *left)
{
    char why[1024];
    if (cw_undo_undone(undoing->work->journal, index, left, why, sizeof why) == CW_OK || undoing->has_told)
        return;
    undoing->has_told = true;
    cw_nic_tell(undoing->work->command, "warning: %s\n", why);
}

static void undo_step(struct undoing *undoing, uint32_t index)
{
    static const char waits[] = "waits until its card is the kernel's again";
    struct cw_work *work = undoing->work;
    const struct cw_journal_step *step = &work->journal->steps[index];
    char words[1024] = "", what[512], left[1100];
    cw_step_words(&step->step, what, sizeof what);
    cw_nic_tell(work->command, "undo: %s\n", what);
    if (has_to_wait(work, index)) {
        cw_nic_tell(work->command, "      %s\n", waits);
        keep_step(undoing, step, waits);
        return;
    }
    enum cw_status status = work->command->hands->undo(
        &step->step, step->before, how_left(work, step, undoing->is_resumed), words, sizeof words);
    bool is_forgotten = status == CW_NOT_FOUND && work->command->is_forget;
    if (words[0])
        cw_nic_tell(work->command, "      %s%s\n", status == CW_OK || is_forgotten ? "" : "failed: ", words);
    if (status != CW_OK && !is_forgotten) {
        undoing->is_waiting = undoing->is_waiting || status == CW_NOT_FOUND;
        keep_step(undoing, step, words);
        return;
    }
    if (is_forgotten)
        tell_kept(undoing, step, "forgotten, as --forget says, is what was kept of");
    snprintf(left, sizeof left, "%s%s", is_forgotten ? "forgotten: " : "", words);
    mark_undone(undoing, index, left);
}

/* Of this revert, and of those before it that did not come to their end. */
static json_t *list_left(const struct cw_undo_journal *journal)
{
    json_t *left = json_array();
    for (uint32_t i = journal->count; i-- > 0;)
        if (journal->steps[i].is_undone && journal->steps[i].left[0])
            json_array_append_new(left, item_of(&journal->steps[i], journal->steps[i].left));
    return left;
}

static void tell_left(const struct cw_work *work)
{
    char what[512];
    cw_nic_tell(work->command, "not as it was before:\n");
    for (uint32_t i = work->journal->count; i-- > 0;) {
        const struct cw_journal_step *step = &work->journal->steps[i];
        if (!step->is_undone || !step->left[0])
            continue;
        cw_step_words(&step->step, what, sizeof what);
        cw_nic_tell(work->command, "  %s\n      %s\n", what, step->left);
    }
}

static int say_kept(const struct undoing *undoing, json_t *left)
{
    size_t kept = json_array_size(undoing->kept);
    return cw_nic_say_with(
        undoing->work->command, CW_NIC_FAILED, json_pack("{s:o,s:O}", "left", left, "kept", undoing->kept),
        "%zu step%s not undone, the others are. The first: %s. See to it, then causeway nic revert --yes "
        "again%s",
        kept, kept == 1 ? " is" : "s are", undoing->first,
        undoing->is_waiting
            ? "; what was kept waits for that in the journal, also over many reverts. If it never "
              "comes back: causeway nic revert --yes --forget, which gives up what was kept of it "
              "(causeway nic revert --json shows that)"
            : "");
}

static int say_outcome(struct undoing *undoing)
{
    struct cw_work *work = undoing->work;
    json_t *left = list_left(work->journal);
    size_t count = json_array_size(left);
    if (count > 0)
        tell_left(work);
    if (json_array_size(undoing->kept) > 0)
        return say_kept(undoing, left);
    bool is_gone = cw_undo_remove(work->journal, work->why, sizeof work->why) == CW_OK;
    json_t *more = json_pack("{s:o}", "left", left);
    if (!is_gone)
        return cw_nic_say_with(
            work->command, CW_NIC_FAILED, more,
            "all is undone, and the journal cannot be removed: %s. As soon as it can: causeway nic revert --yes again, "
            "or the next boot may apply the wish anew",
            work->why);
    if (count > 0)
        return cw_nic_say_with(work->command, CW_NIC_DONE, more,
                               "done: all is as it was before but for %zu step%s", count,
                               count == 1 ? "" : "s");
    return cw_nic_say_with(work->command, CW_NIC_DONE, more, "done: all is as it was before");
}

static int undo_all(struct cw_work *work)
{
    bool is_stopped = false;
    struct undoing undoing = {.work = work, .kept = json_array(), .is_resumed = work->journal->is_reverting};
    if (cw_undo_reverting(work->journal, work->why, sizeof work->why) != CW_OK) {
        cw_nic_tell(work->command, "warning: %s\n", work->why);
        undoing.has_told = true;
    }
    for (uint32_t i = work->journal->count; i-- > 0 && !is_stopped;) {
        if (work->journal->steps[i].is_undone)
            continue;
        is_stopped = cw_stop_is_asked();
        if (!is_stopped)
            undo_step(&undoing, i);
    }
    uint32_t steps = count_left(work->journal);
    int code = is_stopped
                   ? cw_nic_say(work->command, CW_NIC_FAILED,
                                "interrupted: %u step%s left. causeway nic revert --yes goes on with it",
                                steps, steps == 1 ? " is" : "s are")
                   : say_outcome(&undoing);
    json_decref(undoing.kept);
    return code;
}

static int revert(struct cw_work *work)
{
    const struct cw_nic_command *command = work->command;
    enum cw_status status = cw_work_open(work, command->is_yes ? CW_UNDO_CHANGE : CW_UNDO_LOOK, false);
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
