/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After a reboot: what it has undone is done again, by the kept wish, with the same checks as before and one more: each
 * path has to get the card that it had. Only what was wholly applied is done again; a wish that failed half way, or that
 * somebody began to revert, stays as the reboot has left it.
 */
#include <string.h>

#include "nic-config/work.h"

/* 0: to be done again. *is_over: it is done, and said. */
static int look_back(struct cw_work *work, bool *is_over)
{
    const struct cw_nic_command *command = work->command;
    const struct cw_undo_journal *journal = work->journal;
    *is_over = false;
    if (journal->is_reverting)
        return cw_nic_say(
            command, CW_NIC_FAILED,
            "a revert was begun and has not come to its end: nothing is applied again. causeway nic "
            "revert --yes goes on with it");
    if (!cw_work_is_whole(journal, work->boot))
        return cw_nic_say(
            command, CW_NIC_FAILED,
            "an earlier apply did not come to its end: nothing is applied again. causeway nic revert "
            "--yes, then apply");
    *is_over = strcmp(journal->applied, work->boot) == 0;
    if (*is_over)
        return cw_nic_say(command, CW_NIC_DONE, "nothing to do: it was applied since this machine started");
    return 0;
}

static int read_kept_wish(struct cw_work *work)
{
    size_t length;
    char *text = cw_undo_wish(work->journal, &length, work->why, sizeof work->why);
    if (!text)
        return cw_nic_say(work->command, CW_NIC_FAILED, "%s. Nothing is applied again", work->why);
    return cw_work_take_wish(work, work->journal->head.wish_file, text, length);
}

/* What no reboot undoes was changed by somebody since, who may have had a reason. */
static void leave_the_rest(struct cw_work *work)
{
    char words[512];
    uint32_t kept = 0;
    struct cw_plan *plan = &work->plan;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (cw_step_is_volatile(&plan->steps[i])) {
            if (kept != i)
                plan->steps[kept] = plan->steps[i];
            kept++;
            continue;
        }
        cw_step_words(&plan->steps[i], words, sizeof words);
        cw_nic_tell(work->command, "left out, as no reboot has undone it: %s\n", words);
    }
    plan->step_count = kept;
}

static int do_again(struct cw_work *work)
{
    uint32_t made;
    int code = read_kept_wish(work);
    if (!code)
        code = cw_work_forget(work);
    if (code)
        return code;
    cw_work_plan(work);
    code = cw_work_check_refusals(work);
    if (!code)
        code = cw_work_check_cards(work);
    if (code)
        return code;
    leave_the_rest(work);
    code = cw_work_run(work, &made);
    if (code)
        return code;
    return cw_nic_say(work->command, CW_NIC_DONE, "done again: %u step%s", made, made == 1 ? "" : "s");
}

static int boot(struct cw_work *work)
{
    bool is_over;
    if (!work->command->is_root || !work->boot[0])
        return cw_nic_say(work->command, CW_NIC_FAILED,
                          "has to be run as root, with /proc there. Nothing was changed");
    enum cw_status status =
        cw_undo_open(work->command->folders.state, false, &work->journal, work->why, sizeof work->why);
    if (status == CW_NOT_FOUND)
        return cw_nic_say(work->command, CW_NIC_DONE, "nothing was applied");
    if (status != CW_OK)
        return cw_work_say_journal(work, status);
    int code = look_back(work, &is_over);
    return code || is_over ? code : do_again(work);
}

int cw_nic_boot(const struct cw_nic_command *command)
{
    struct cw_work *work = cw_work_begin(command);
    if (!work)
        return CW_NIC_FAILED;
    cw_stop_begin();
    int code = boot(work);
    cw_work_end(work);
    cw_stop_end();
    return code;
}
