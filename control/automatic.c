/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Automatic failover at this controller: what it saw of each group that wants it goes into failover.h, and
 * what comes out is begun as a promotion to this site (operations.c), with "automatic" in the place of who
 * asks. It puts no request into the store: a primary that comes back in the last moment shall not let go, and
 * is found out by the claim. As long as the claim is not made, the verdict is asked for again, and calls it
 * off.
 */
#include <stdio.h>
#include <string.h>

#include "control/automatic.h"

#define LIMIT_NS       (30 * CW_SECOND)
#define BRIEF_NS       (3 * CW_SECOND)
#define RELAY_NS       (2 * CW_SECOND) /* a controller's word comes by way of others, once a second each */
#define TAKER_ALIVE_NS (3 * CW_SECOND) /* it says so every second */

/* ---------------------------------------------------------------- facts */

static uint64_t before(uint64_t now_ns, double seconds)
{
    uint64_t age_ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    return now_ns > age_ns ? now_ns - age_ns : 0;
}

/* Of a holder whose controller tells of a living engine: why that has stopped the group; "": it has not. One
 * whose disk is gone for good comes back from its restart as one that could not attach it. */
static const char *stopped_by(const struct cw_controller *controller, const struct cw_store_group *group)
{
    const char *holder = group->authority.holder;
    const json_t *engine = cw_facts_group(controller, holder, group->id);
    const char *role = cw_json_text(engine, "role", "attaching");
    if (!cw_site_is_alive(controller, holder))
        return "";
    if (strcmp(role, "down") == 0)
        return cw_json_text(engine, "reason", "it says no reason");
    return strcmp(role, "attaching") == 0 ? cw_view_place_error(controller->view, group->id, holder) : "";
}

/* When the holder's controller last had a living engine that serves the group, by its own word; 0: it did not
 * say so. One whose lease is over holds all writes. */
static uint64_t told_ns(const struct cw_controller *controller, const struct cw_store_group *group,
                        struct cw_work *work)
{
    const char *holder = group->authority.holder;
    const struct cw_site_seen *seen = cw_site_seen(controller, holder);
    if (!seen || !seen->changed_ns || !cw_json_bool(seen->facts, "engine_alive", false) ||
        cw_json_bool(cw_facts_group(controller, holder, group->id), "frozen", false))
        return 0;
    if (work->served_epoch != group->authority.epoch)
        work->served_ns = 0;
    work->served_epoch = group->authority.epoch;
    if (!stopped_by(controller, group)[0])
        work->served_ns = before(seen->changed_ns, cw_json_number(seen->facts, "engine_age_seconds", 0));
    return work->served_ns;
}

/* Since when the store is seen to know that nothing of this epoch is answered any more; 0: it does not. */
static uint64_t fenced_ns(const struct cw_controller *controller, const struct cw_store_group *group,
                          struct cw_work *work)
{
    bool is_fenced = group->authority.fenced_epoch == group->authority.epoch;
    if (!is_fenced || work->fenced_epoch != group->authority.epoch)
        work->fenced_ns = is_fenced ? controller->now_ns : 0;
    work->fenced_epoch = group->authority.epoch;
    return work->fenced_ns;
}

/* What our engine heard of the holder's in this epoch; NULL: nothing. */
static const json_t *heard_of(const json_t *engine, const struct cw_authority *authority)
{
    const json_t *heard = json_object_get(engine, "heard");
    bool is_of_now =
        cw_json_u64(heard, "epoch", 0) == authority->epoch && json_object_get(heard, "age_seconds");
    return is_of_now ? heard : NULL;
}

/* Until when our engine lets the holder go on without the store, or may have let it before its start, which it
 * says of nobody by name; 0: it does not. */
static uint64_t granted_ns(const struct cw_controller *controller, const struct cw_store_group *group)
{
    const json_t *lease = json_object_get(cw_engine_group(controller, group->id), "lease");
    double seconds = cw_json_number(lease, "granted_seconds", 0);
    const char *to = cw_json_text(lease, "granted_to", "");
    bool may_be_his = !to[0] || strcmp(to, group->authority.holder) == 0;
    return may_be_his && seconds > 0 ? cw_monotonic_ns() + (uint64_t)(seconds * 1e9) : 0;
}

static void learn_lag(const struct cw_controller *controller, const struct cw_store_group *group,
                      const json_t *heard, struct cw_failover_facts *facts)
{
    const char *holder = group->authority.holder;
    const struct cw_site_seen *seen = cw_site_seen(controller, holder);
    const json_t *there = cw_facts_group(controller, holder, group->id);
    const json_t *peer = cw_facts_peer(there, controller->config.site);
    bool is_of_now = cw_json_u64(there, "epoch", 0) == group->authority.epoch;
    if (!seen || !seen->changed_ns || !peer || !is_of_now || !cw_json_bool(peer, "lag_known", true))
        return;
    uint64_t told = before(seen->changed_ns,
                           cw_json_number(seen->facts, "engine_age_seconds", 0) + (double)RELAY_NS / 1e9);
    facts->lag =
        (struct cw_failover_lag){.is_known = true,
                                 .as_of_ns = told,
                                 .lag_ns = (uint64_t)(cw_json_number(peer, "lag_seconds", 0) * 1e9),
                                 .bytes_as_of_ns = told,
                                 .lag_bytes = cw_json_u64(peer, "lag_bytes", 0),
                                 .bytes_per_second = cw_json_u64(there, "throughput_bytes_per_second", 0)};
    uint64_t heard_ns = before(controller->engine.status_at_ns, cw_json_number(heard, "age_seconds", 0));
    if (!heard || heard_ns < told)
        return;
    const json_t *here = cw_engine_group(controller, group->id);
    bool has_all = cw_json_u64(here, "received", 0) >= cw_json_u64(heard, "head", UINT64_MAX);
    facts->lag.as_of_ns = heard_ns;
    facts->lag.lag_ns = has_all ? 0 : (uint64_t)(cw_json_number(heard, "newest_age_seconds", 0) * 1e9);
}

/* Could that site take it as well, by what it says itself? */
static bool is_candidate(const struct cw_controller *controller, const struct cw_store_group *group,
                         const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    char key[16];
    snprintf(key, sizeof key, "%u", group->id);
    const json_t *said = json_object_get(json_object_get(seen ? seen->facts : NULL, "failover"), key);
    bool is_no = strcmp(cw_json_text(said, "answer", "ready"), "no") == 0;
    bool is_member = cw_set_find(&group->authority.set, site) != NULL;
    return cw_site_is_alive(controller, site) && !is_no && (is_member || !cw_mode_word_has_set(group->mode));
}

static uint64_t durable_at(const struct cw_controller *controller, const struct cw_store_group *group,
                           const char *site)
{
    return cw_json_u64(cw_facts_group(controller, site, group->id), "durable", 0);
}

/* The order of the group's sites; without a set, who holds more comes first. */
static bool comes_before(const struct cw_controller *controller, const struct cw_store_group *group,
                         const char *site, bool is_earlier)
{
    uint64_t there = durable_at(controller, group, site);
    uint64_t here = durable_at(controller, group, controller->config.site);
    if (cw_mode_word_has_set(group->mode) || there == here)
        return is_earlier;
    return there > here;
}

static void learn_rank(const struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_failover_facts *facts)
{
    bool is_earlier = true;
    for (uint32_t i = 0; i < group->site_count; i++) {
        const char *site = group->sites[i];
        if (strcmp(site, controller->config.site) == 0) {
            is_earlier = false;
            continue;
        }
        if (strcmp(site, group->authority.holder) == 0 || !is_candidate(controller, group, site) ||
            !comes_before(controller, group, site, is_earlier))
            continue;
        if (facts->rank++ == 0)
            facts->preferred = site;
    }
}

static const char *trouble_of_store(struct cw_controller *controller, uint32_t group)
{
    if (cw_view_unreadable(controller->view, group))
        return "a row of the group in it cannot be read";
    if (cw_store_fault(controller->store)[0])
        return cw_store_fault(controller->store);
    if (cw_store_silent_ms(controller->store) == 0 && cw_store_full_seconds(controller) == 0)
        return "";
    return cw_store_wrong(controller)[0] ? cw_store_wrong(controller) : "it is silent";
}

static const char *other_taker(const struct cw_controller *controller, const struct cw_store_group *group,
                               const struct cw_work *work)
{
    bool is_other = group->request.taker[0] && group->request.epoch == group->authority.epoch &&
                    strcmp(group->request.taker, controller->config.site) != 0;
    return is_other && controller->now_ns - work->request.since_ns < TAKER_ALIVE_NS ? group->request.taker
                                                                                    : "";
}

/* What was tried in vain in another epoch says nothing about this one. */
static uint64_t not_before_ns(const struct cw_store_group *group, const struct cw_work *work)
{
    return work->tries.epoch == group->authority.epoch ? work->tries.not_before_ns : 0;
}

void cw_automatic_judge(struct cw_controller *controller, const struct cw_store_group *group,
                        struct cw_failover_verdict *verdict)
{
    static const struct cw_lease_watch none;
    const struct cw_authority *authority = &group->authority;
    bool is_ours = group->is_automatic && cw_group_has_site(group, controller->config.site);
    struct cw_work *work = is_ours ? cw_work_of(controller, group->id) : NULL; /* a node has few */
    const json_t *heard = heard_of(cw_engine_group(controller, group->id), authority);
    struct cw_candidate candidate = {0};
    bool is_known = is_ours && cw_candidate_here(controller, group, &candidate);
    candidate.accept_loss = candidate.inconsistent = false;
    struct cw_failover_facts facts = {.group = group->name,
                                      .site = controller->config.site,
                                      .is_automatic = group->is_automatic,
                                      .is_embedded = controller->config.etcd.count == 0,
                                      .is_deleting = group->is_deleting,
                                      .is_site_of_group = cw_group_has_site(group, controller->config.site),
                                      .store_trouble = trouble_of_store(controller, group->id),
                                      .now_ns = cw_monotonic_ns(),
                                      .lease_ns = controller->config.lease_ms * CW_MS,
                                      .after_ns = group->after_ms * CW_MS,
                                      .authority = authority,
                                      .candidate =
                                          is_known && controller->engine.is_registered ? &candidate : NULL,
                                      .lease = work ? &work->lease : &none,
                                      .began_ns = controller->started_ns,
                                      .told_ns = work ? told_ns(controller, group, work) : 0,
                                      .fenced_ns = work ? fenced_ns(controller, group, work) : 0,
                                      .stopped = stopped_by(controller, group),
                                      .granted_ns = granted_ns(controller, group),
                                      .not_before_ns = work ? not_before_ns(group, work) : 0,
                                      .failed = work ? work->tries.words : "",
                                      .preferred = "",
                                      .taker = work ? other_taker(controller, group, work) : "",
                                      .max_loss_ns = group->max_loss_ms * CW_MS,
                                      .max_loss_bytes = group->max_loss_bytes};
    if (is_ours) {
        learn_rank(controller, group, &facts);
        learn_lag(controller, group, heard, &facts);
    }
    cw_failover_judge(&facts, verdict);
}

json_t *cw_automatic_facts(struct cw_controller *controller)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        struct cw_failover_verdict verdict;
        char key[16];
        if (!group->is_automatic || !cw_group_has_site(group, controller->config.site))
            continue;
        cw_automatic_judge(controller, group, &verdict);
        if (verdict.answer == CW_FAILOVER_OFF)
            continue;
        snprintf(key, sizeof key, "%u", group->id);
        json_object_set_new(
            all, key,
            json_pack("{s:s,s:s}", "answer", cw_failover_name(verdict.answer), "words", verdict.words));
    }
    return all;
}

static void show_others(const struct cw_controller *controller, const struct cw_store_group *group,
                        json_t *sites)
{
    char key[16];
    snprintf(key, sizeof key, "%u", group->id);
    for (uint32_t i = 0; i < group->site_count; i++) {
        const struct cw_site_seen *seen = cw_site_seen(controller, group->sites[i]);
        const json_t *said = json_object_get(json_object_get(seen ? seen->facts : NULL, "failover"), key);
        if (!said || strcmp(group->sites[i], controller->config.site) == 0 ||
            strcmp(group->sites[i], group->authority.holder) == 0)
            continue;
        json_array_append_new(sites, json_pack("{s:s,s:s,s:s}", "site", group->sites[i], "answer",
                                               cw_json_text(said, "answer", ""), "words",
                                               cw_json_text(said, "words", "")));
    }
}

json_t *cw_automatic_status(struct cw_controller *controller, const struct cw_store_group *group)
{
    struct cw_failover_verdict verdict;
    json_t *sites = json_array();
    cw_automatic_judge(controller, group, &verdict);
    if (group->is_automatic)
        show_others(controller, group, sites);
    return json_pack("{s:s,s:f,s:f,s:I,s:I,s:s,s:s,s:o}", "mode",
                     group->is_automatic ? "automatic" : "manual", "after_seconds",
                     (double)group->after_ms / 1e3, "max_loss_seconds", (double)group->max_loss_ms / 1e3,
                     "max_loss_bytes", (json_int_t)group->max_loss_bytes, "automatic_epoch",
                     (json_int_t)group->authority.automatic_epoch, "answer", cw_failover_name(verdict.answer),
                     "words", verdict.words, "sites", sites);
}

/* ---------------------------------------------------------------- what comes of it */

static void fail(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                 const char *words)
{
    cw_failover_failed(&work->tries, group->authority.epoch, controller->now_ns, words);
    cw_event(controller, 2, group->name, "automatic failover to %s ends: %s; not tried again for %.0f s",
             controller->config.site, words, (double)(work->tries.not_before_ns - controller->now_ns) / 1e9);
}

void cw_automatic_ended(struct cw_controller *controller, const struct cw_operation *operation)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, operation->group);
    struct cw_work *work = group ? cw_work_of(controller, group->id) : NULL;
    if (work && operation->exit)
        fail(controller, group, work, operation->words);
    else if (work)
        cw_event(controller, 1, group->name, "automatic failover to %s is done: %s", controller->config.site,
                 operation->words);
}

void cw_automatic_give_way(struct cw_controller *controller, struct cw_operation *operation)
{
    cw_operation_end(controller, operation, 1, "it gives way to what %s asks for",
                     controller->asking->asker.who);
}

static void begin(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                  const struct cw_failover_verdict *verdict)
{
    struct cw_asking asking = {
        .asker = {.role = CW_LINK_OPERATOR, .who = "automatic failover", .from = "automatic"}};
    snprintf(asking.command, sizeof asking.command, "promote group=%s site=%s", group->name,
             controller->config.site);
    snprintf(asking.reason, sizeof asking.reason, "%s", verdict->words);
    const struct cw_asking *asked = controller->asking;
    controller->asking = &asking;
    struct cw_operation *operation = cw_operation_start(controller, CW_OP_PROMOTE, group->id, LIMIT_NS);
    controller->asking = asked;
    if (!operation) {
        fail(controller, group, work, "there are too many commands at once");
        return;
    }
    operation->is_automatic = true;
    operation->accept_loss = verdict->accept_loss;
    cw_event(controller, 1, group->name, "automatic failover to %s begins: %s", controller->config.site,
             verdict->words);
    cw_audit(controller, &asking, "begun", 0, verdict->words, operation->id);
}

bool cw_automatic_goes_on(struct cw_controller *controller, const struct cw_store_group *group,
                          struct cw_failover_verdict *verdict)
{
    struct cw_work *work = cw_work_of(controller, group->id);
    uint64_t not_before_ns = work ? work->tries.not_before_ns : 0;
    if (work)
        work->tries.not_before_ns = 0; /* it has begun */
    cw_automatic_judge(controller, group, verdict);
    if (work)
        work->tries.not_before_ns = not_before_ns;
    return verdict->answer == CW_FAILOVER_GO;
}

/* What changes is told, but for a countdown; a refusal when it lasts: a store that elects a leader is silent
 * for a moment. */
static void tell(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                 const struct cw_failover_verdict *verdict)
{
    enum cw_failover_answer before = work->failover_told;
    if (verdict->answer != work->failover_seen) {
        work->failover_seen = verdict->answer;
        work->failover_since_ns = controller->now_ns;
    }
    bool is_brief = controller->now_ns - work->failover_since_ns < BRIEF_NS;
    if (verdict->answer == before || (verdict->answer == CW_FAILOVER_NO && is_brief))
        return;
    work->failover_told = verdict->answer;
    if (verdict->answer == CW_FAILOVER_WAIT)
        cw_event(controller, 1, group->name, "%s", verdict->words);
    else if (before == CW_FAILOVER_WAIT && verdict->answer == CW_FAILOVER_READY)
        cw_event(controller, 0, group->name, "%s serves it again: no failover to %s", group->authority.holder,
                 controller->config.site);
    else if (verdict->answer == CW_FAILOVER_NO)
        cw_event(controller, 1, group->name, "no automatic failover to %s: %s", controller->config.site,
                 verdict->words);
}

static void step(struct cw_controller *controller, const struct cw_store_group *group)
{
    struct cw_work *work = cw_work_of(controller, group->id);
    struct cw_failover_verdict verdict;
    if (!work || cw_operation_taking(controller, group->id))
        return;
    cw_automatic_judge(controller, group, &verdict);
    tell(controller, group, work, &verdict);
    if (verdict.deadline_ns > controller->now_ns)
        controller->wake_ns = CW_MIN(controller->wake_ns, verdict.deadline_ns);
    if (verdict.answer == CW_FAILOVER_READY)
        work->tries = (struct cw_failover_tries){0};
    if (verdict.answer == CW_FAILOVER_GO)
        begin(controller, group, work, &verdict);
}

/* The new primary's: has the group come to rest? */
static void look_for_rest(struct cw_controller *controller, const struct cw_store_group *group)
{
    struct cw_work *work = cw_work_of(controller, group->id);
    const char *site = controller->config.site;
    struct cw_authority now, next;
    uint64_t counter;
    if (!work || strcmp(group->authority.holder, site) != 0 || group->authority.automatic_epoch == 0)
        return;
    enum cw_health_level level = cw_group_health(controller, group);
    if (!cw_failover_rests(&work->rest, &group->authority, level == CW_HEALTH_PROTECTED,
                           level == CW_HEALTH_DEGRADED, controller->now_ns))
        return;
    if (cw_store_authority(controller->store, group->id, &now, &counter) != CW_OK ||
        cw_decide_rest(&now, site, group->authority.epoch, &next).answer != CW_ANSWER_YES ||
        cw_store_swap(controller->store, group->id, &now, &next, false, 0) != CW_OK)
        return;
    cw_event(controller, 0, group->name,
             "it has come to rest after its failover: it may fail over by itself again");
    (void)cw_view_refresh(controller);
}

void cw_automatic_run(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *found = &controller->view->groups[i];
        if (!found->is_automatic || controller->config.etcd.count == 0 ||
            !cw_group_has_site(found, controller->config.site))
            continue;
        struct cw_store_group group = *found; /* a step may load the view anew */
        step(controller, &group);
        look_for_rest(controller, &group);
    }
}
