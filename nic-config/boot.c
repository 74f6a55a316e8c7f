/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After a reboot: what it has undone is done again, by the kept wish, with the same checks as before and one more: each
 * path has to get the card that it had. Only what was wholly applied is done again; a wish that failed half way, or that
 * somebody began to revert, stays as the reboot has left it.
 *
 * In two halves. Early, before the network is configured, what is given away is taken; a path on an interface that the
 * network makes is left out while that is not there. Late, where some interface stays the kernel's, the same is done as by
 * a second apply: what was left out, and what configuring the network has changed.
 */
#include <stdio.h>
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
    bool is_applied = strcmp(journal->applied, work->boot) == 0;
    if (!work->is_early && !is_applied)
        return cw_nic_say(
            command, CW_NIC_FAILED,
            "it was not applied since this machine started: journalctl -u causeway-nic tells why");
    *is_over = work->is_early && is_applied;
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
    code = cw_work_check_users(work);
    if (!code)
        code = cw_work_run(work, &made);
    if (code)
        return code;
    char waiting[64] = "";
    if (work->plan.awaited_count > 0)
        snprintf(waiting, sizeof waiting, "; until the network is configured wait: %u of the paths",
                 work->plan.awaited_count);
    return cw_nic_say(work->command, CW_NIC_DONE, "done again: %u step%s%s", made, made == 1 ? "" : "s",
                      waiting);
}

static int boot(struct cw_work *work)
{
    bool is_over;
    if (!work->command->is_root || !work->boot[0])
        return cw_nic_say(work->command, CW_NIC_FAILED,
                          "has to be run as root, with /proc there. Nothing was changed");
    enum cw_status status = cw_work_open(work, CW_UNDO_CHANGE, true);
    if (status == CW_NOT_FOUND)
        return cw_nic_say(work->command, CW_NIC_DONE, "nothing was applied");
    if (status != CW_OK)
        return cw_work_say_journal(work, status);
    int code = look_back(work, &is_over);
    return code || is_over ? code : do_again(work);
}

static int run(const struct cw_nic_command *command, bool is_early)
{
    struct cw_work *work = cw_work_begin(command);
    if (!work)
        return CW_NIC_FAILED;
    work->is_early = is_early;
    cw_stop_begin();
    int code = boot(work);
    cw_work_end(work);
    cw_stop_end();
    return code;
}

int cw_nic_boot(const struct cw_nic_command *command)
{
    return run(command, true);
}

int cw_nic_boot_late(const struct cw_nic_command *command)
{
    return run(command, false);
}
