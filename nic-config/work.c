/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nic-config/before.h"

struct cw_work *cw_work_begin(const struct cw_nic_command *command)
{
    struct cw_work *work = calloc(1, sizeof *work);
    if (!work) {
        (void)cw_nic_say(command, CW_NIC_FAILED, "no memory");
        return NULL;
    }
    work->command = command;
    command->hands->boot_id(work->boot, sizeof work->boot);
    return work;
}

void cw_work_end(struct cw_work *work)
{
    cw_undo_close(work->journal);
    free(work->text);
    free(work);
}

int cw_work_take_wish(struct cw_work *work, const char *file, char *text, size_t length)
{
    char mistakes[1900] = "";
    work->wish_file = file;
    work->text = text;
    work->length = length;
    if (work->command->hands->read_wish(file, text, length, &work->wish, mistakes, sizeof mistakes))
        return 0;
    size_t end = strlen(mistakes);
    if (end > 0 && mistakes[end - 1] == '\n')
        mistakes[end - 1] = 0;
    return cw_nic_say(work->command, CW_NIC_USAGE, "the wish cannot be read:\n%s", mistakes);
}

enum cw_status cw_work_open(struct cw_work *work, enum cw_undo_purpose purpose, bool is_boot)
{
    const struct timespec moment = {0, 100 * 1000 * 1000};
    const struct cw_nic_command *command = work->command;
    uint32_t tries = command->lock_tries < 10 || is_boot ? command->lock_tries : 10;
    for (;;) {
        enum cw_status status =
            cw_undo_open(command->folders.state, purpose, &work->journal, work->why, sizeof work->why);
        if (status != CW_REFUSED || tries-- == 0)
            return status;
        nanosleep(&moment, NULL);
    }
}

const char *cw_work_remedy(enum cw_status status)
{
    switch (status) {
    case CW_CORRUPT:
        return "Nothing is undone by guessing. The file says in plain JSON what was changed, and under \"before\" what "
               "was there: put that back by hand, last line first, then move it away, and the file marks beside it";
    case CW_STALE:
        return "What came last has to be undone first, and nothing is known of it any more. If there is a copy of the "
               "journal, put it back. Else see what is not as it should be (causeway nic show: cards without "
               "their driver), put that back by hand, and remove the file marks: then causeway nic revert --yes undoes the rest";
    case CW_REFUSED:
        return "Try again then";
    case CW_INVALID:
        return "causeway nic revert --yes of that version gives everything back";
    default:
        return "See to that, then try again";
    }
}

int cw_work_say_journal(struct cw_work *work, enum cw_status status)
{
    return cw_nic_say(work->command, status == CW_REFUSED ? CW_NIC_REFUSED : CW_NIC_FAILED, "%s. %s",
                      work->why, cw_work_remedy(status));
}

bool cw_work_is_whole(const struct cw_undo_journal *journal, const char *boot)
{
    if (!journal->applied[0])
        return false;
    for (uint32_t i = journal->applied_count; i < journal->count; i++) {
        const struct cw_journal_step *step = &journal->steps[i];
        if (!cw_step_is_volatile(&step->step) || strcmp(step->boot, boot) == 0)
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- what is to be done */

/* What has no card stands on an interface that the network makes, which comes later than the boot's first half. */
static void recall(struct cw_wish_path *path, const struct cw_journal_path *had, bool is_early)
{
    snprintf(path->given, sizeof path->given, "%s", had->card);
    path->may_wait = is_early && had->card[0] == 0;
}

/* What the journal tells of this wish's paths: which card each has. */
static void recall_cards(struct cw_work *work)
{
    char hash[CW_WISH_HASH];
    const struct cw_undo_journal *journal = work->journal;
    if (!journal || journal->file < 0)
        return;
    cw_wish_hash(work->text, work->length, hash);
    if (strcmp(hash, journal->head.wish) != 0)
        return;
    for (uint32_t i = 0; i < work->wish.path_count; i++)
        for (uint32_t k = 0; k < journal->head.path_count; k++)
            if (strcmp(work->wish.paths[i].name, journal->head.paths[k].name) == 0)
                recall(&work->wish.paths[i], &journal->head.paths[k], work->is_early);
}

void cw_work_plan(struct cw_work *work)
{
    recall_cards(work);
    const struct cw_nic_command *command = work->command;
    command->hands->probe(command, &work->facts);
    command->hands->plan(&work->facts, &work->wish, &command->folders, &work->plan);
}

json_t *cw_work_warnings(const struct cw_work *work)
{
    json_t *warnings = json_array();
    for (uint32_t i = 0; i < work->plan.warning_count; i++)
        json_array_append_new(warnings, cw_nic_words(work->plan.warnings[i]));
    return json_pack("{s:o}", "warnings", warnings);
}

/* All of them, however many: to see to one is of no use if the next is told only then. */
static int say_refusals(const struct cw_work *work)
{
    char *words = NULL;
    size_t length;
    FILE *to = open_memstream(&words, &length);
    for (uint32_t i = 0; to && i < work->plan.refusal_count; i++) {
        const struct cw_refusal *refusal = &work->plan.refusals[i];
        fprintf(to, "%s%s%s%s. %s", i ? "\n" : "", refusal->path, refusal->path[0] ? ": " : "",
                refusal->words, refusal->remedy);
    }
    bool is_whole = to && fclose(to) == 0;
    int code = cw_nic_say_text(work->command, CW_NIC_REFUSED, cw_work_warnings(work),
                               is_whole ? words : "causeway nic plan says why");
    free(words);
    return code;
}

int cw_work_check_refusals(struct cw_work *work)
{
    if (work->plan.refusal_count > 0)
        return say_refusals(work);
    if (work->plan.is_cut)
        return cw_nic_say(work->command, CW_NIC_REFUSED,
                          "this takes more than %u steps, and that is as many as there is room for: ask for "
                          "fewer paths",
                          CW_STEPS_MAX);
    return 0;
}

static void identify(const struct cw_facts *facts, const char *address, char *identity, size_t size)
{
    const struct cw_card_fact *card = cw_facts_card(facts, address);
    identity[0] = 0;
    if (card)
        snprintf(identity, size, "%04x:%04x %04x:%04x", card->vendor, card->device, card->subsystem_vendor,
                 card->subsystem_device);
}

void cw_work_head(const struct cw_work *work, struct cw_journal_head *head)
{
    *head = (struct cw_journal_head){.path_count = work->plan.prepared_count};
    snprintf(head->boot, sizeof head->boot, "%s", work->boot);
    snprintf(head->wish_file, sizeof head->wish_file, "%s", work->wish_file);
    for (uint32_t i = 0; i < head->path_count; i++) {
        struct cw_journal_path *path = &head->paths[i];
        const struct cw_prepared *prepared = &work->plan.prepared[i];
        snprintf(path->name, sizeof path->name, "%s", prepared->name);
        snprintf(path->card, sizeof path->card, "%s", prepared->card);
        identify(&work->facts, path->card, path->identity, sizeof path->identity);
    }
}

static int check_card(struct cw_work *work, const struct cw_journal_path *was, const struct cw_prepared *is)
{
    static const char remedy[] = "Nothing is done: causeway nic revert --yes, then apply the wish anew";
    char identity[sizeof was->identity];
    identify(&work->facts, is->card, identity, sizeof identity);
    if (strcmp(was->card, is->card) != 0)
        return cw_nic_say(work->command, CW_NIC_REFUSED, "%s: had the card %s, and would get %s now. %s",
                          is->name, was->card[0] ? was->card : "(none)", is->card[0] ? is->card : "(none)",
                          remedy);
    if (was->identity[0] && identity[0] && strcmp(was->identity, identity) != 0)
        return cw_nic_say(work->command, CW_NIC_REFUSED,
                          "%s: at %s there was a card %s, and now there is %s. %s", is->name, is->card,
                          was->identity, identity, remedy);
    return 0;
}

int cw_work_check_cards(struct cw_work *work)
{
    const struct cw_journal_head *head = &work->journal->head;
    int code = 0;
    for (uint32_t i = 0; i < work->plan.prepared_count && !code; i++)
        for (uint32_t k = 0; k < head->path_count && !code; k++)
            if (strcmp(head->paths[k].name, work->plan.prepared[i].name) == 0)
                code = check_card(work, &head->paths[k], &work->plan.prepared[i]);
    return code;
}

/* ---------------------------------------------------------------- who is there already */

int cw_work_check_user(struct cw_work *work, const struct cw_step *step, const char *then)
{
    char who[512];
    if (work->command->hands->is_used(step, who, sizeof who))
        return cw_nic_say(work->command, CW_NIC_REFUSED,
                          "%s. Stop that process first (an engine: systemctl stop causeway-engine, or what "
                          "else runs it), then %s",
                          who, then);
    if (who[0] && strcmp(who, work->doubt) != 0) {
        snprintf(work->doubt, sizeof work->doubt, "%s", who);
        cw_nic_tell(work->command, "warning: %s\n", who);
    }
    return 0;
}

int cw_work_check_users(struct cw_work *work)
{
    int code = 0;
    for (uint32_t i = 0; i < work->plan.step_count && !code; i++)
        code = cw_work_check_user(work, &work->plan.steps[i], "again");
    return code;
}

/* ---------------------------------------------------------------- doing it */

int cw_work_forget(struct cw_work *work)
{
    const struct cw_undo_journal *journal = work->journal;
    for (uint32_t i = journal->count; i-- > 0;) {
        const struct cw_journal_step *step = &journal->steps[i];
        bool is_gone = cw_step_is_volatile(&step->step) && strcmp(step->boot, work->boot) != 0 &&
                       step->step.kind != CW_STEP_GIVE_UP; /* leaves nothing; and its last stays on record */
        char words[1024] = "", what[512];
        if (!is_gone || work->command->hands->undo(&step->step, step->before, CW_LEFT_TO_REBOOT, words,
                                                   sizeof words) == CW_OK)
            continue;
        cw_step_words(&step->step, what, sizeof what);
        return cw_nic_say(work->command, CW_NIC_FAILED,
                          "what the reboot has left of this cannot be cleaned away: %s: %s", what, words);
    }
    if (cw_undo_shorten(work->journal, work->boot, work->why, sizeof work->why) == CW_OK)
        return 0;
    return cw_nic_say(work->command, CW_NIC_FAILED,
                      "the journal cannot be written, and nothing was changed: %s", work->why);
}

/* What of it stays, and the way back. A journal of nothing is removed. */
static int stopped(struct cw_work *work, const char *what)
{
    char ignored[256];
    json_t *warnings = cw_work_warnings(work);
    if (work->journal->count > 0 || work->journal->applied[0])
        return cw_nic_say_with(work->command, CW_NIC_FAILED, warnings,
                               "%s. What was done before stays; causeway nic revert --yes undoes it", what);
    if (cw_undo_remove(work->journal, ignored, sizeof ignored) != CW_OK)
        return cw_nic_say_with(work->command, CW_NIC_FAILED, warnings, "%s. Nothing was changed but this: %s",
                               what, ignored);
    return cw_nic_say_with(work->command, CW_NIC_FAILED, warnings, "%s. Nothing was changed", what);
}

/* What an interface had when it was given up last, in an earlier boot: after a reboot it has nothing yet, as the unit comes
 * before the network. What it has been given since is the better word. */
static json_t *carry(const struct cw_work *work, const struct cw_step *step, json_t *before)
{
    const struct cw_undo_journal *journal = work->journal;
    bool is_bare = before && step->kind == CW_STEP_GIVE_UP && cw_before_is_bare(before);
    for (uint32_t i = journal->count; i-- > 0 && is_bare;) {
        const struct cw_journal_step *last = &journal->steps[i];
        if (last->step.kind != CW_STEP_GIVE_UP || strcmp(last->boot, work->boot) == 0 ||
            !cw_before_is_same_interface(last->before, before))
            continue;
        json_t *carried = cw_before_carry(last->before, before);
        json_decref(before);
        return carried;
    }
    return before;
}

/* false: words say what failed. */
static bool run_step(struct cw_work *work, const struct cw_step *step, char *words, size_t size)
{
    const struct cw_nic_hands *hands = work->command->hands;
    char why[1024];
    json_t *before = carry(work, step, hands->keep(step, why, sizeof why));
    if (!before) {
        snprintf(words, size, "cannot be done: %s", why);
        return false;
    }
    if (cw_undo_begin(work->journal, step, before, work->boot, why, sizeof why) != CW_OK) {
        snprintf(words, size, "was not begun, as the journal cannot be written: %s", why);
        return false;
    }
    why[0] = 0;
    if (hands->make(step, why, sizeof why) != CW_OK) {
        snprintf(words, size, "failed: %s", why);
        return false;
    }
    if (why[0])
        cw_nic_tell(work->command, "        %s\n", why);
    if (cw_undo_done(work->journal, work->journal->count - 1, why, sizeof why) == CW_OK)
        return true;
    snprintf(words, size, "is done, and the journal cannot be written: %s", why);
    return false;
}

static int run_steps(struct cw_work *work, uint32_t *made)
{
    char words[512], why[1200], what[1400];
    const struct cw_plan *plan = &work->plan;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct cw_step *step = &plan->steps[i];
        if (cw_stop_is_asked()) {
            snprintf(what, sizeof what, "interrupted before step %u of %u", i + 1, plan->step_count);
            return stopped(work, what);
        }
        why[0] = 0;
        cw_step_words(step, words, sizeof words);
        bool is_done = work->command->hands->is_done(step, why, sizeof why);
        if (is_done && !why[0])
            snprintf(why, sizeof why, "is so already");
        cw_nic_tell(work->command, "[%u/%u] %s%s%s\n", i + 1, plan->step_count, words, is_done ? ": " : "",
                    is_done ? why : "");
        *made += !is_done;
        if (!is_done && !run_step(work, step, why, sizeof why)) {
            snprintf(what, sizeof what, "step %u of %u %s", i + 1, plan->step_count, why);
            return stopped(work, what);
        }
    }
    return 0;
}

int cw_work_run(struct cw_work *work, uint32_t *made)
{
    *made = 0;
    enum cw_status status =
        cw_undo_reserve(work->journal, work->plan.steps, work->plan.step_count, work->why, sizeof work->why);
    if (status != CW_OK)
        return stopped(work, work->why);
    int code = run_steps(work, made);
    if (code)
        return code;
    status = cw_undo_applied(work->journal, work->boot, work->why, sizeof work->why);
    return status == CW_OK ? 0 : stopped(work, work->why);
}
