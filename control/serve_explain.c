/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `causeway explain GROUP` asks. The facts are those of the group's status, as JSON, so that both say
 * the same; the yes and no of each command is asked of what decides it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/explain.h"
#include "control/serve.h"
#include "control/survey.h"

struct gathering {
    struct cw_controller *controller;
    const struct cw_store_group *group;
    json_t *status; /* of the group */
    struct cw_survey *survey;
    struct cw_explain_facts facts;
    struct cw_explanation explanation;
    char unreadable[700];
    struct cw_verdict older;
    char votes[CW_SURVIVAL_WORDS], burn_words[CW_SURVIVAL_WORDS], burn_command[CW_EXPLAIN_COMMAND];
    char outside_words[480];
};

/* ---------------------------------------------------------------- the holder */

/* Since its engine opened this epoch, by the clock of the holder's machine, which both it and its controller
 * tell; below 0: it does not say. */
static double holder_for_seconds(const struct gathering *of)
{
    const struct cw_authority *authority = &of->group->authority;
    const struct cw_site_seen *seen = cw_site_seen(of->controller, authority->holder);
    const json_t *told = cw_facts_group(of->controller, authority->holder, of->group->id);
    struct cw_turn_told turn = cw_turn_from_json(json_object_get(told, "turn"));
    double clock = cw_json_number(seen ? seen->facts : NULL, "clock_seconds", -1);
    if (turn.opened_ns == 0 || turn.opened_epoch != authority->epoch || clock < 0)
        return -1;
    double at_word = CW_MAX(clock - (double)turn.opened_ns / 1e9, 0.0);
    return at_word + CW_MAX(cw_site_word_age_seconds(of->controller, authority->holder), 0.0);
}

/* By the engine's last word; below 0: not known. */
static double lease_left_seconds(const struct gathering *of)
{
    const char *holder = of->group->authority.holder;
    const struct cw_site_seen *seen = cw_site_seen(of->controller, holder);
    bool is_self = strcmp(holder, of->controller->config.site) == 0;
    const json_t *engine = is_self && of->controller->engine.status
                               ? of->controller->engine.status
                               : json_object_get(seen ? seen->facts : NULL, "engine");
    double left = cw_json_number(engine, "lease_remaining_ms", -1) / 1e3;
    return json_object_get(engine, "lease_remaining_ms") ? CW_MAX(left, 0.0) : -1;
}

/* Until nobody can have a lease; below 0: this site does not watch it. */
static double taker_wait_seconds(const struct gathering *of)
{
    const struct cw_controller *controller = of->controller;
    for (uint32_t i = 0; i < CW_COUNT_OF(controller->works); i++) {
        const struct cw_work *work = &controller->works[i];
        if (work->group == of->group->id && work->lease.is_seen &&
            work->lease.epoch == of->group->authority.epoch)
            return (double)cw_lease_watch_remaining_ns(&work->lease, of->group->authority.epoch,
                                                       controller->config.lease_ms * CW_MS,
                                                       cw_monotonic_ns()) /
                   1e9;
    }
    return -1;
}

static void learn_holder(struct gathering *of)
{
    const struct cw_authority *authority = &of->group->authority;
    const char *role = cw_json_text(of->status, "role", "");
    struct cw_explain_facts *facts = &of->facts;
    facts->holder = authority->holder;
    facts->first = of->group->first;
    facts->epoch = authority->epoch;
    facts->holder_for_seconds = authority->holder[0] ? holder_for_seconds(of) : -1;
    facts->is_holder_heard = authority->holder[0] && cw_site_is_heard(of->controller, authority->holder);
    facts->holder_age_seconds =
        authority->holder[0] ? cw_site_age_seconds(of->controller, authority->holder) : -1;
    facts->is_open =
        strcmp(role, "primary") == 0 || strcmp(role, "draining") == 0 || strcmp(role, "drained") == 0;
    facts->is_frozen = facts->health.level == CW_HEALTH_FROZEN;
    facts->is_opening = facts->is_frozen && !facts->is_open;
    facts->down_words = "";
    facts->lease_seconds = (double)of->controller->config.lease_ms / 1e3;
    facts->lease_left_seconds = lease_left_seconds(of);
    facts->taker_wait_seconds = taker_wait_seconds(of);
    facts->is_let_go = authority->epoch != 0 && authority->fenced_epoch == authority->epoch;
    facts->taker = of->group->request.taker;
}

/* ---------------------------------------------------------------- replicas */

static enum cw_explain_state state_of(const char *word)
{
    static const char *const words[] = {"in-sync", "streaming", "resync", "disconnected", "diverged"};
    for (unsigned i = 0; i < CW_COUNT_OF(words); i++) {
        if (strcmp(words[i], word) == 0)
            return (enum cw_explain_state)i;
    }
    return CW_STATE_AWAY;
}

static void learn_verdicts(const struct gathering *of, struct cw_explain_replica *replica)
{
    struct cw_candidate candidate;
    const struct cw_authority *authority = &of->group->authority;
    replica->is_told = cw_candidate_at(of->controller, of->group, replica->site, &candidate);
    if (!replica->is_told)
        return;
    replica->promote = cw_decide_candidate(authority, &candidate);
    replica->switchover = cw_switchover_level(of->controller, of->group, &candidate);
    candidate.accept_loss = true;
    replica->promote_loss = cw_decide_candidate(authority, &candidate);
}

/* NULL: none, or what it has is not known. */
static const char *lacked_volume(const struct gathering *of, const char *site)
{
    const struct cw_store_place *lacked = cw_place_lacked(of->controller, of->group->id, site);
    return lacked && cw_site_is_heard(of->controller, site) ? cw_place_volume(of->controller, lacked) : NULL;
}

static void learn_replica(struct gathering *of, const json_t *status)
{
    struct cw_explain_replica *replica = &of->facts.replicas[of->facts.replica_count++];
    const char *site = cw_json_text(status, "site", "");
    const json_t *copy = json_object_get(status, "copy");
    const json_t *primary = cw_facts_group(of->controller, of->group->authority.holder, of->group->id);
    const json_t *peer = cw_facts_peer(primary, site);
    const char *answer;
    *replica = (struct cw_explain_replica){.site = site,
                                           .state = state_of(cw_json_text(status, "state", "")),
                                           .reason = cw_json_text(status, "reason", ""),
                                           .is_heard = cw_site_is_heard(of->controller, site),
                                           .age_seconds = cw_site_age_seconds(of->controller, site),
                                           .is_member = cw_json_bool(status, "member", false),
                                           .is_stalled = cw_json_bool(peer, "stalled", false),
                                           .needs_copy = cw_json_bool(peer, "needs_copy", false),
                                           .is_lag_known = peer && cw_json_bool(status, "lag_known", true),
                                           .lag_seconds = cw_json_number(status, "lag_seconds", 0),
                                           .lag_bytes = cw_json_u64(status, "lag_bytes", 0),
                                           .copy_done_bytes = cw_json_number(copy, "done_bytes", 0),
                                           .copy_total_bytes = cw_json_number(copy, "total_bytes", 0),
                                           .copy_eta_seconds = cw_json_number(copy, "eta_seconds", 0)};
    /* A session that is made anew is no change of health: nor is it one of words. */
    if (replica->state == CW_STATE_AWAY && of->facts.health.level == CW_HEALTH_PROTECTED)
        replica->state = replica->is_member ? CW_STATE_IN_SYNC : CW_STATE_STREAMING;
    replica->is_reachable = replica->state != CW_STATE_AWAY;
    replica->ready_words = cw_survey_failover(of->controller, of->group, site, &answer);
    replica->is_ready = cw_survey_is_ready(answer);
    replica->lacks = lacked_volume(of, site);
    learn_verdicts(of, replica);
}

/* ---------------------------------------------------------------- what does not hang on the group */

static void learn_authority(struct gathering *of)
{
    struct cw_survival_loss none = {0};
    struct cw_survival_votes votes = cw_survival_count(&of->survey->facts, &none);
    of->facts.store = of->controller->store_name;
    of->facts.store_fault = cw_store_fault(of->controller->store);
    of->facts.store_trouble = cw_store_wrong(of->controller);
    (void)cw_unreadable_words(of->controller, of->group->id, of->unreadable, sizeof of->unreadable);
    of->facts.unreadable = of->unreadable;
    of->facts.book_wrong = cw_book_wrong(of->controller);
    of->facts.is_store_full = cw_store_full_seconds(of->controller) > 0;
    of->facts.is_embedded = of->survey->facts.is_embedded;
    of->facts.store_silent_seconds = cw_store_silent_seconds(of->controller);
    of->facts.has_votes = votes.level == CW_SURVIVES;
    of->facts.votes = cw_survival_say_now(&of->survey->facts, &votes, of->votes, sizeof of->votes);
}

/* What an engine has open, or in its history, the store had first: a copy of it that is a moment behind looks
 * older for that moment. */
static void learn_older(struct gathering *of)
{
    const struct cw_store_group *group = of->group;
    uint64_t highest = 0;
    for (uint32_t i = 0; i < group->site_count; i++) {
        uint64_t epoch = cw_json_u64(cw_facts_group(of->controller, group->sites[i], group->id), "epoch", 0);
        if (epoch > highest && cw_decide_is_older(&group->authority, epoch))
            cw_decide_say_older(&group->authority, group->name, group->sites[i], epoch, of->older.words,
                                sizeof of->older.words);
        highest = CW_MAX(highest, epoch);
    }
    of->facts.older_words = of->older.words;
}

static void learn_burn(struct gathering *of)
{
    const struct cw_survival_facts *facts = &of->survey->facts;
    size_t name = strlen(of->group->name);
    of->facts.burn_words = of->facts.burn_command = "";
    if (!of->facts.is_holder_heard || of->facts.unreadable[0])
        return; /* perhaps it has; or nobody takes over */
    for (int i = 0; i < facts->group_count; i++) {
        const struct cw_survival_group *group = &facts->groups[i];
        struct cw_survival_loss loss = {.count = 1, .sites = {group->holder}};
        if (strcmp(group->name, of->group->name) != 0 || group->holder == CW_SURVIVAL_NOWHERE)
            continue;
        struct cw_survival_votes votes = cw_survival_count(facts, &loss);
        struct cw_survival_group_fate fate = cw_survival_of_group(facts, &loss, &votes, group);
        of->facts.is_burn_good = cw_survival_is_good(fate.level);
        of->facts.burn_words =
            cw_survival_say_group(facts, group, &fate, of->burn_words, sizeof of->burn_words);
        if (strncmp(of->burn_words, of->group->name, name) == 0 && of->burn_words[name] == ':')
            of->facts.burn_words += name + 2;
        of->facts.burn_command =
            cw_survival_say_command(facts, group, &fate, of->burn_command, sizeof of->burn_command);
    }
}

static void gather(struct gathering *of)
{
    size_t index;
    json_t *replica;
    of->facts = (struct cw_explain_facts){.group = of->group->name,
                                          .site = of->controller->config.site,
                                          .mode = of->group->mode,
                                          .health = cw_status_health(of->controller, of->group),
                                          .is_outside = cw_json_bool(of->status, "outside_store", false),
                                          .outside_trouble =
                                              cw_outside_trouble(of->controller->store, of->group->id,
                                                                 of->outside_words, sizeof of->outside_words),
                                          .break_glass = of->controller->config.break_glass.threshold,
                                          .min_in_sync = of->group->min_in_sync,
                                          .max_loss_seconds = (double)of->group->max_loss_ms / 1e3,
                                          .is_automatic = of->group->is_automatic,
                                          .after_seconds = (double)of->group->after_ms / 1e3};
    learn_holder(of);
    of->facts.lacks = lacked_volume(of, of->group->authority.holder);
    learn_authority(of);
    learn_older(of);
    json_array_foreach(json_object_get(of->status, "replicas"), index, replica)
    {
        if (of->facts.replica_count < CW_SET_MAX)
            learn_replica(of, replica);
    }
    learn_burn(of);
    cw_explain(&of->facts, &of->explanation);
}

/* ---------------------------------------------------------------- answering */

static json_t *show(const struct gathering *of)
{
    json_t *lines = json_array();
    for (uint32_t i = 0; i < of->explanation.count; i++) {
        const struct cw_explain_line *line = &of->explanation.lines[i];
        json_array_append_new(lines,
                              json_pack("{s:s,s:s,s:s}", "section", cw_explain_section_name(line->section),
                                        "text", line->text, "command", line->command));
    }
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:o,s:O}", "site", of->controller->config.site, "group",
                     of->group->name, "health", cw_health_name(of->explanation.health), "why",
                     of->explanation.why, "primary", of->facts.holder, "epoch", (json_int_t)of->facts.epoch,
                     "survives_loss_of_primary", of->facts.is_burn_good, "lines", lines, "status",
                     of->status);
}

json_t *cw_serve_explain(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    struct gathering *of = calloc(1, sizeof *of);
    const struct cw_store_group *group = cw_asked_group(controller, message, &reply);
    if (!group || !of) {
        free(of);
        return group ? cw_fail(message, "no memory") : reply;
    }
    of->controller = controller;
    of->group = group;
    of->survey = cw_survey_make(controller);
    of->status = cw_status_group(controller, group);
    if (of->survey && of->status) {
        gather(of);
        reply = cw_rpc_result(message->id, show(of));
    } else {
        reply = cw_fail(message, "no memory");
    }
    json_decref(of->status);
    free(of->survey);
    free(of);
    return reply;
}
