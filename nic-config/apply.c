/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wish is carried out. The machine is looked at, and the plan made, under the journal's lock: what was planned before
 * may be true no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nic-config/work.h"

/* ---------------------------------------------------------------- the wish */

/* -1 with words, or its length. */
static ssize_t read_file(const char *file, char *text, size_t size, char *why, size_t why_size)
{
    size_t length = 0;
    ssize_t bytes = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && length < size && bytes > 0) {
        bytes = read(fd, text + length, size - length);
        length += bytes > 0 ? (size_t)bytes : 0;
    }
    int error = fd < 0 || bytes < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (error)
        snprintf(why, why_size, "%s: %s", file, strerror(error));
    else if (length == size)
        snprintf(why, why_size, "%s: is longer than the %u bytes that a wish has at most", file,
                 CW_WISH_BYTES_MAX);
    return error || length == size ? -1 : (ssize_t)length;
}

static int read_wish(struct cw_work *work, const char *file)
{
    char *text = malloc(CW_WISH_BYTES_MAX + 1);
    if (!text)
        return cw_nic_say(work->command, CW_NIC_FAILED, "no memory");
    ssize_t length = read_file(file, text, CW_WISH_BYTES_MAX + 1, work->why, sizeof work->why);
    if (length >= 0)
        return cw_work_take_wish(work, file, text, (size_t)length);
    free(text);
    return cw_nic_say(work->command, CW_NIC_USAGE, "the wish cannot be read: %s", work->why);
}

/* ---------------------------------------------------------------- what was applied before */

/* What stands in the way, and what to do about it. */
struct obstacle {
    char words[512]; /* "" nothing does */
    const char *remedy;
};

static void find_obstacle(const struct cw_work *work, struct obstacle *obstacle)
{
    char hash[CW_WISH_HASH];
    const struct cw_undo_journal *journal = work->journal;
    *obstacle = (struct obstacle){.remedy = "causeway nic revert --yes, then apply"};
    if (journal->file < 0)
        return;
    cw_wish_hash(work->text, work->length, hash);
    if (journal->is_reverting)
        snprintf(obstacle->words, sizeof obstacle->words, "a revert was begun and has not come to its end");
    else if (strcmp(hash, journal->head.wish) != 0)
        snprintf(obstacle->words, sizeof obstacle->words,
                 "another wish is applied (%s, as it was then), and there is one way back only",
                 journal->head.wish_file);
    else if (!cw_work_is_whole(journal, work->boot))
        snprintf(obstacle->words, sizeof obstacle->words,
                 "an earlier apply did not come to its end, and is not gone on with");
}

static int say_obstacle(const struct cw_nic_command *command, const struct obstacle *obstacle)
{
    return cw_nic_say(command, CW_NIC_REFUSED, "%s. %s", obstacle->words, obstacle->remedy);
}

/* ---------------------------------------------------------------- plan */

/* What is in the way on this machine. A recorded one has no journal. */
static void look_for_obstacle(struct cw_work *work, struct obstacle *obstacle)
{
    const struct cw_nic_command *command = work->command;
    *obstacle = (struct obstacle){.remedy = ""};
    if (command->root[0])
        return;
    enum cw_status status = cw_work_open(work, CW_UNDO_LOOK, false);
    if (status == CW_OK) {
        find_obstacle(work, obstacle);
    } else if (status != CW_NOT_FOUND && command->is_root) { /* others may not look into it */
        snprintf(obstacle->words, sizeof obstacle->words, "%s", work->why);
        obstacle->remedy = cw_work_remedy(status);
    }
}

/* For programs, which read no more than the plan. Where there is no room it takes that of the last. */
static void add_obstacle(struct cw_plan *plan, const struct obstacle *obstacle)
{
    plan->refusal_count += plan->refusal_count < CW_REFUSALS_MAX;
    struct cw_refusal *refusal = &plan->refusals[plan->refusal_count - 1];
    *refusal = (struct cw_refusal){.path = ""};
    snprintf(refusal->words, sizeof refusal->words, "%s", obstacle->words);
    snprintf(refusal->remedy, sizeof refusal->remedy, "%s", obstacle->remedy);
}

int cw_nic_plan(const struct cw_nic_command *command, const char *wish_file)
{
    struct cw_work *work = cw_work_begin(command);
    if (!work)
        return CW_NIC_FAILED;
    int code = read_wish(work, wish_file);
    if (!code) {
        struct obstacle obstacle;
        look_for_obstacle(work, &obstacle);
        cw_work_plan(work);
        if (obstacle.words[0] && command->is_json)
            add_obstacle(&work->plan, &obstacle);
        command->hands->print_plan(&work->plan, &work->facts, command->is_json);
        if (obstacle.words[0] && !command->is_json)
            (void)say_obstacle(command, &obstacle);
        code =
            obstacle.words[0] || work->plan.refusal_count || work->plan.is_cut ? CW_NIC_REFUSED : CW_NIC_DONE;
    }
    cw_work_end(work);
    return code;
}

/* ---------------------------------------------------------------- apply */

static int open_journal(struct cw_work *work)
{
    struct obstacle obstacle;
    enum cw_status status = cw_work_open(work, CW_UNDO_CREATE, false);
    if (status == CW_IO || status == CW_NO_SPACE)
        return cw_nic_say(work->command, CW_NIC_FAILED, "%s. Nothing was changed", work->why);
    if (status != CW_OK && status != CW_NOT_FOUND)
        return cw_work_say_journal(work, status);
    bool is_of_nothing = status == CW_OK && work->journal->count == 0 && !work->journal->applied[0];
    if (is_of_nothing && cw_undo_remove(work->journal, work->why, sizeof work->why) != CW_OK)
        return cw_nic_say(work->command, CW_NIC_FAILED, "%s", work->why);
    find_obstacle(work, &obstacle);
    return obstacle.words[0] ? say_obstacle(work->command, &obstacle) : 0;
}

static int begin_journal(struct cw_work *work)
{
    struct cw_journal_head head;
    cw_work_head(work, &head);
    if (cw_undo_start(work->journal, &head, work->text, work->length, work->why, sizeof work->why) == CW_OK)
        return 0;
    return cw_nic_say(work->command, CW_NIC_FAILED,
                      "the journal cannot be written, and nothing was changed: %s", work->why);
}

static int carry_out(struct cw_work *work)
{
    const struct cw_nic_command *command = work->command;
    uint32_t made;
    bool is_begun = work->journal->file >= 0;
    int code = is_begun ? cw_work_forget(work) : 0;
    if (code)
        return code;
    cw_work_plan(work);
    code = cw_work_check_refusals(work);
    if (!code && is_begun)
        code = cw_work_check_cards(work);
    if (!code)
        code = cw_work_check_users(work);
    if (code)
        return code;
    for (uint32_t i = 0; i < work->plan.warning_count; i++)
        cw_nic_tell(command, "warning: %s\n", work->plan.warnings[i]);
    if (work->plan.step_count == 0)
        return cw_nic_say_with(command, CW_NIC_DONE, cw_work_warnings(work),
                               "nothing to do: all is as %s wants it", work->wish_file);
    if (!is_begun)
        code = begin_journal(work);
    if (!code)
        code = cw_work_run(work, &made);
    if (code)
        return code;
    return cw_nic_say_with(command, CW_NIC_DONE, cw_work_warnings(work),
                           "done: %u step%s. The way back: causeway nic revert --yes", made,
                           made == 1 ? "" : "s");
}

int cw_nic_apply(const struct cw_nic_command *command, const char *wish_file)
{
    if (!command->is_yes) {
        int code = cw_nic_plan(command, wish_file);
        if (code == CW_NIC_DONE)
            cw_nic_tell(command, "Nothing was changed. To do so: causeway nic apply %s --yes\n", wish_file);
        return code;
    }
    struct cw_work *work = cw_work_begin(command);
    if (!work)
        return CW_NIC_FAILED;
    int code = read_wish(work, wish_file);
    if (!code && !command->is_root)
        code = cw_nic_say(command, CW_NIC_FAILED,
                          "this changes drivers, /sys, /proc and files of root, so it has to be run as root. "
                          "Nothing was changed; without --yes everybody may see what it would do");
    if (!code && !work->boot[0])
        code = cw_nic_say(
            command, CW_NIC_FAILED,
            "/proc/sys/kernel/random/boot_id cannot be read: without it nobody could tell later what "
            "a reboot has undone. Nothing was changed");
    cw_stop_begin();
    if (!code)
        code = open_journal(work);
    if (!code)
        code = carry_out(work);
    cw_work_end(work);
    cw_stop_end();
    return code;
}
