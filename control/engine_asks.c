/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine asks the store for, through its controller: to renew its lease, to write the next epoch, to
 * change a set. The answer is sent on the connection that asked; if the store does not answer, an error goes
 * back, and an error is no permission.
 */
#include <stdio.h>
#include <string.h>

#include "control/controller.h"
#include "control/store_copy.h"
#include "control/words.h"

static json_t *refused(const struct cw_rpc_message *message, const char *status, const char *words)
{
    return cw_rpc_error(message->id, CW_RPC_FAILED, words, json_pack("{s:s}", "status", status));
}

/* ---------------------------------------------------------------- lease.renew */

static bool read_leases(const json_t *groups, struct cw_store_lease *leases, uint32_t *count)
{
    size_t index;
    json_t *entry;
    if (groups && (!json_is_array(groups) || json_array_size(groups) > CW_NODE_GROUPS_MAX))
        return false;
    *count = 0;
    json_array_foreach(groups, index, entry)
    {
        leases[*count] = (struct cw_store_lease){.group = (uint32_t)cw_json_u64(entry, "group", 0),
                                                 .epoch = cw_json_u64(entry, "epoch", 0)};
        ++*count;
    }
    return true;
}

/* Before the store has answered for the first time, this site's own file may still say who holds what. */
static bool renew(struct cw_controller *controller, struct cw_store_lease *leases, uint32_t count)
{
    const char *site = controller->config.site;
    bool is_any = false;
    if (controller->is_store_begun)
        return count == 0 || cw_store_renew(controller->store, site, leases, count) == CW_OK;
    for (uint32_t i = 0; i < count; i++) {
        leases[i].is_held = !cw_outside_is_held(controller->store, leases[i].group) ||
                            cw_store_renew(controller->store, site, &leases[i], 1) != CW_OK;
        is_any = is_any || !leases[i].is_held;
    }
    return is_any;
}

/* Open in a later epoch than the row has: that is not a lease lost to somebody, the row was put back, or is of
 * before a promotion by tokens. It is not renewed; what the engine has it keeps, and its data are to speak when
 * the rows are put right. That it is lost was compared by the store, and what is read here is no older. */
static void keep_from_older(struct cw_controller *controller, struct cw_store_lease *lease)
{
    struct cw_authority now;
    uint64_t counter;
    struct cw_verdict told;
    struct cw_work *work = cw_work_of(controller, lease->group);
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, lease->group);
    if (!group || !work || cw_store_authority(controller->store, lease->group, &now, &counter) != CW_OK ||
        !cw_decide_is_older(&now, lease->epoch))
        return;
    lease->is_lost = false;
    lease->is_held = true;
    cw_decide_say_older(&now, group->name, controller->config.site, lease->epoch, told.words,
                        sizeof told.words);
    if (work->older_epoch != lease->epoch)
        cw_event(controller, 2, group->name, "the lease of %s is not renewed: %s", controller->config.site,
                 told.words);
    work->older_epoch = lease->epoch;
}

static json_t *lease_renew(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_lease leases[CW_NODE_GROUPS_MAX];
    uint32_t count = 0;
    if (!read_leases(json_object_get(message->params, "groups"), leases, &count))
        return cw_rpc_error(message->id, CW_RPC_PARAMS, "groups: expected a list of group and epoch", NULL);
    if (!renew(controller, leases, count))
        return refused(message, "i/o error",
                       cw_store_fault(controller->store)[0]     ? cw_store_fault(controller->store)
                       : cw_store_trouble(controller->store)[0] ? cw_store_trouble(controller->store)
                                                                : "the store does not answer");
    json_t *lost = json_array(), *held = json_array();
    for (uint32_t i = 0; i < count; i++) {
        if (leases[i].is_lost && !leases[i].is_held)
            keep_from_older(controller, &leases[i]);
        if (leases[i].is_lost || leases[i].is_held)
            json_array_append_new(leases[i].is_lost ? lost : held, json_integer(leases[i].group));
    }
    return cw_rpc_result(message->id,
                         json_pack("{s:I,s:o,s:o}", "lease_ms", (json_int_t)controller->config.lease_ms,
                                   "lost", lost, "held", held));
}

/* ---------------------------------------------------------------- store.claim */

/* The engine may claim what it already holds, what is its to open first, or what somebody asked for here. */
static bool is_wanted_here(struct cw_controller *controller, const struct cw_store_group *group,
                           const struct cw_authority *now)
{
    const char *site = controller->config.site;
    return strcmp(now->holder, site) == 0 ||
           (now->holder[0] == 0 && now->epoch == 0 && strcmp(group->first, site) == 0) ||
           cw_operation_taking(controller, group->id) != NULL;
}

static bool read_claim(const json_t *params, struct cw_claim *claim)
{
    *claim = (struct cw_claim){.from_epoch = cw_json_u64(params, "from_epoch", UINT64_MAX),
                               .epoch = cw_json_u64(params, "epoch", 0),
                               .reign = cw_json_hex(params, "reign", 0),
                               .first_sequence = cw_json_u64(params, "first_sequence", 0),
                               .own_epoch = cw_json_u64(params, "own_epoch", 0),
                               .highest_seen_epoch = cw_json_u64(params, "highest_seen_epoch", 0)};
    snprintf(claim->seen_by, sizeof claim->seen_by, "%s", cw_json_text(params, "seen_by", "another site"));
    const json_t *reached = json_object_get(params, "reached");
    return (!reached || cw_set_from_names(reached, &claim->reached)) &&
           cw_set_from_json(json_object_get(params, "members"), &claim->members);
}

/* Does this row stand? That is the store's to say, by a change that compares it: what was read may be behind. */
static bool stands(struct cw_controller *controller, uint32_t group, const struct cw_authority *now)
{
    return cw_store_swap(controller->store, group, now, now, false, 0) == CW_OK;
}

/* It was written, and the answer got lost. */
static struct cw_verdict confirm_claim(struct cw_controller *controller, const struct cw_store_group *group,
                                       const struct cw_authority *now)
{
    bool ok = stands(controller, group->id, now) && cw_store_copy_authority(controller, group->id, now);
    return (struct cw_verdict){.answer = ok ? CW_ANSWER_YES : CW_ANSWER_LATER, .wait_ms = 100};
}

static struct cw_verdict claim_from_store(struct cw_controller *controller,
                                          const struct cw_store_group *group, const struct cw_claim *claim)
{
    struct cw_authority now, next;
    struct cw_candidate candidate;
    struct cw_work *work = cw_work_of(controller, group->id);
    struct cw_verdict verdict = {.answer = CW_ANSWER_LATER, .wait_ms = 100};
    uint64_t counter = 0;
    bool compare_counter = false;
    if (!work || cw_store_authority(controller->store, group->id, &now, &counter) != CW_OK ||
        !cw_candidate_here(controller, group, &candidate))
        return verdict;
    if (!is_wanted_here(controller, group, &now)) {
        verdict.answer = CW_ANSWER_NO;
        snprintf(verdict.words, sizeof verdict.words,
                 "%s is held by %s, and nobody asks for it here any more", group->name,
                 now.holder[0] ? now.holder : "nobody");
        return verdict;
    }
    bool is_outside = cw_outside_is_held(controller->store, group->id) ||
                      cw_outside_permitted(controller->store, group->id) != 0;
    if (!is_outside && !cw_store_copy_is_settled(controller))
        return verdict;
    const struct cw_member *self = cw_set_find(&claim->members, controller->config.site);
    if (self)
        candidate.identity = *self; /* its newest word on itself, and the one that will be recorded */
    candidate.is_by_tokens = cw_outside_permitted(controller->store, group->id) != 0;
    if (cw_decide_is_claimed(&now, controller->config.site, claim))
        return confirm_claim(controller, group, &now);
    cw_lease_watch_see(&work->lease, now.epoch, counter, cw_monotonic_ns());
    verdict = cw_decide_claim(&now, &candidate, claim, &work->lease, controller->config.lease_ms * CW_MS,
                              cw_monotonic_ns(), &next, &compare_counter);
    if (verdict.is_older && !stands(controller, group->id, &now))
        return (struct cw_verdict){.answer = CW_ANSWER_LATER, .wait_ms = 100};
    if (verdict.answer != CW_ANSWER_YES)
        return verdict;
    cw_failover_note(controller, group, &now, &candidate, claim);
    enum cw_status status =
        cw_store_swap(controller->store, group->id, &now, &next, compare_counter, counter);
    struct cw_operation *operation = cw_operation_taking(controller, group->id);
    if (operation)
        cw_operation_heard(controller, operation, status != CW_IO);
    if (status == CW_STALE)
        cw_failover_drop(controller, group->id, claim->epoch);
    if (status != CW_OK)
        return (struct cw_verdict){.answer = CW_ANSWER_LATER,
                                   .wait_ms = 100}; /* somebody moved: look again */
    if (!cw_store_copy_authority(controller, group->id, &next))
        return (struct cw_verdict){.answer = CW_ANSWER_LATER, .wait_ms = 1000};
    return verdict;
}

/* A holder whose row is older than the data tries every two seconds, and that is told once. */
static void tell_refused(struct cw_controller *controller, const struct cw_store_group *group,
                         const struct cw_claim *claim, const struct cw_verdict *verdict)
{
    struct cw_work *work = cw_work_of(controller, group->id);
    struct cw_operation *operation = cw_operation_taking(controller, group->id);
    if (!verdict->is_older || operation || !work || work->older_epoch != claim->highest_seen_epoch)
        cw_event(controller, 1, group->name, "%s was refused: %s", controller->config.site, verdict->words);
    if (verdict->is_older && work)
        work->older_epoch = claim->highest_seen_epoch;
    if (operation && operation->is_open_sent) /* the engine keeps less of the words */
        cw_operation_end(controller, operation, 3, "%s", verdict->words);
}

static json_t *store_claim(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_claim claim;
    uint32_t id = (uint32_t)cw_json_u64(message->params, "group", 0);
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, id);
    if (!group || !read_claim(message->params, &claim))
        return refused(message, "refused",
                       "the claim is malformed, or of a group that the store does not know");
    struct cw_verdict verdict = claim_from_store(controller, group, &claim);
    if (verdict.answer == CW_ANSWER_LATER)
        return refused(message, "again", "an old lease may still run");
    if (verdict.answer == CW_ANSWER_NO) {
        tell_refused(controller, group, &claim, &verdict);
        return refused(message, "refused", verdict.words);
    }
    cw_event(controller, 0, group->name, "%s holds epoch %lu, from sequence %lu on", controller->config.site,
             claim.epoch, claim.first_sequence);
    (void)cw_view_refresh(controller);
    return cw_rpc_result(message->id, NULL);
}

/* ---------------------------------------------------------------- store.set */

/* The group may have left semi-sync in the store, and the engine not yet: whom it takes in then holds in
 * memory what is acknowledged, as those do that were marked when the group left. */
static void mark_in_memory(const struct cw_controller *controller, uint32_t group, struct cw_set *set)
{
    const json_t *engine = cw_engine_group(controller, group);
    bool is_semi_sync = strcmp(cw_json_text(engine, "mode", ""), cw_mode_word_name(CW_WORD_SEMI_SYNC)) == 0;
    for (uint32_t i = 0; i < set->count; i++)
        set->list[i].in_memory = is_semi_sync;
}

static json_t *store_set(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_set from, to;
    struct cw_authority now, next;
    uint64_t counter;
    uint32_t id = (uint32_t)cw_json_u64(message->params, "group", 0);
    if (!cw_set_from_names(json_object_get(message->params, "from"), &from) ||
        !cw_set_from_json(json_object_get(message->params, "to"), &to))
        return refused(message, "refused", "from: expected site names; to: expected identities");
    mark_in_memory(controller, id, &to);
    if (cw_store_authority(controller->store, id, &now, &counter) != CW_OK)
        return refused(message, "i/o error", "the store does not answer");
    struct cw_verdict verdict = cw_decide_set(&now, controller->config.site,
                                              cw_json_u64(message->params, "epoch", 0), &from, &to, &next);
    if (verdict.answer != CW_ANSWER_YES)
        return refused(message, "refused", verdict.words);
    enum cw_status status = cw_store_swap(controller->store, id, &now, &next, false, 0);
    if (status != CW_OK)
        return refused(message, status == CW_STALE ? "refused" : "i/o error",
                       "the store did not take the set");
    if (!cw_store_copy_authority(controller, id, &next))
        return refused(message, "i/o error", "this site's copy of the store cannot be written");
    (void)cw_view_refresh(controller);
    return cw_rpc_result(message->id, NULL);
}

json_t *cw_engine_asks(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    bool is_own = cw_outside_is_held(controller->store, (uint32_t)cw_json_u64(message->params, "group", 0));
    if (strcmp(message->method, "lease.renew") == 0)
        return lease_renew(controller, message);
    if (!controller->is_store_begun && !is_own)
        return refused(message, "i/o error", "the store has not answered yet since this controller started");
    if (strcmp(message->method, "store.claim") == 0)
        return store_claim(controller, message);
    if (strcmp(message->method, "store.set") == 0)
        return store_set(controller, message);
    return cw_rpc_error(message->id, CW_RPC_METHOD, "the controller knows no such method", NULL);
}
