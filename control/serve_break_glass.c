/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * promote --break-glass: is it time for that, and are the tokens good? What follows is a promotion like any
 * other (taking.c), but that its claim goes into this site's file (store_outside.h).
 *
 * The tokens are the operators' word that whoever held the group writes no more: nothing here can know it, as
 * a quorum may live where this site does not reach. What can be seen against it is seen all the same: a store
 * that answers, and what every site of the group says that is heard: that it lives as primary, holds the
 * group by tokens or is about to, or has seen a later epoch.
 *
 * Of two sites that tokens promote at once, and that hear each other, the one that comes later among the
 * group's sites gives up, and the other one waits until it has: each tells for TELL_NS that it is about to
 * before it opens, so whoever began later has heard of the other by then. Sites that do not hear each other
 * are two primaries, until they do.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/serve.h"

#define TELL_NS (3 * CW_SECOND) /* what a site says reaches those that hear it before */

/* Of this group, as far as anybody said who was heard here: rows, our engine, the engines of others. */
static uint64_t known_epoch(const struct cw_controller *controller, const struct cw_store_group *group)
{
    uint64_t known = group->authority.epoch;
    known = CW_MAX(known, cw_json_u64(cw_engine_group(controller, group->id), "epoch", 0));
    for (uint32_t i = 0; i < group->site_count; i++)
        known =
            CW_MAX(known, cw_json_u64(cw_facts_group(controller, group->sites[i], group->id), "epoch", 0));
    return known;
}

static bool has_path_to(const struct cw_controller *controller, const char *site)
{
    size_t index;
    const json_t *path;
    json_array_foreach(json_object_get(controller->engine.status, "paths"), index, path)
    {
        if (strcmp(cw_json_text(path, "remote", ""), site) == 0 && cw_json_bool(path, "up", false))
            return true;
    }
    return false;
}

static bool is_serving(const json_t *engine)
{
    static const char *const roles[] = {"primary", "draining", "drained", "claiming"};
    for (size_t i = 0; i < CW_COUNT_OF(roles); i++) {
        if (strcmp(cw_json_text(engine, "role", ""), roles[i]) == 0)
            return true;
    }
    return false;
}

static void learn_site(const struct cw_controller *controller, const struct cw_store_group *group,
                       const char *name, struct cw_token_site *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, name);
    const json_t *engine = cw_facts_group(controller, name, group->id);
    const json_t *tokens = json_object_get(seen ? seen->facts : NULL, "break_glass");
    char key[16];
    snprintf(key, sizeof key, "%u", group->id);
    const json_t *said = json_object_get(tokens, key);
    *site = (struct cw_token_site){.name = name,
                                   .is_told = cw_site_is_told(controller, name),
                                   .is_alive = cw_site_is_alive(controller, name),
                                   .has_path = has_path_to(controller, name),
                                   .is_primary = is_serving(engine),
                                   .epoch = cw_json_u64(engine, "epoch", 0),
                                   .breaking = cw_json_u64(said, "breaking", 0),
                                   .held = cw_json_u64(said, "held", 0)};
}

static struct cw_verdict judge_sites(const struct cw_controller *controller,
                                     const struct cw_store_group *group, bool accept_loss)
{
    struct cw_token_sites sites = {.group = group->name,
                                   .site = controller->config.site,
                                   .holder = group->authority.holder,
                                   .store_epoch = group->authority.epoch,
                                   .own_epoch =
                                       cw_json_u64(cw_engine_group(controller, group->id), "epoch", 0),
                                   .accept_loss = accept_loss};
    for (uint32_t i = 0; i < group->site_count; i++) {
        if (strcmp(group->sites[i], controller->config.site) == 0) {
            sites.rank = i;
            continue;
        }
        sites.ranks[sites.count] = i;
        learn_site(controller, group, group->sites[i], &sites.others[sites.count++]);
    }
    return cw_tokens_judge_sites(&sites);
}

/* Told to every site, so that no two are promoted at once that hear each other. */
json_t *cw_break_glass_facts(const struct cw_controller *controller)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        uint64_t breaking = cw_outside_permitted(controller->store, group->id);
        bool is_held = cw_outside_is_held(controller->store, group->id);
        char key[16];
        snprintf(key, sizeof key, "%u", group->id);
        if (breaking || is_held)
            json_object_set_new(all, key,
                                json_pack("{s:I,s:I}", "breaking", (json_int_t)breaking, "held",
                                          (json_int_t)(is_held ? group->authority.epoch : 0)));
    }
    return all;
}

struct cw_verdict cw_break_glass_goes_on(const struct cw_controller *controller,
                                         const struct cw_operation *operation,
                                         const struct cw_store_group *group)
{
    uint64_t now_ns = cw_monotonic_ns(), told_ns = now_ns - operation->started_ns;
    struct cw_verdict verdict = judge_sites(controller, group, operation->accept_loss);
    if (verdict.answer == CW_ANSWER_LATER)
        snprintf(verdict.words, sizeof verdict.words,
                 "waiting for another site to give up: tokens are about to promote it for %s as well",
                 group->name);
    if (verdict.answer != CW_ANSWER_YES || told_ns >= TELL_NS)
        return verdict;
    verdict.answer = CW_ANSWER_LATER;
    snprintf(verdict.words, sizeof verdict.words,
             "telling every site that is heard that tokens promote %s: %.1f s left", controller->config.site,
             (double)(TELL_NS - told_ns) / 1e9);
    return verdict;
}

/* What speaks against it, tokens or not; NULL: nothing. */
static json_t *judge_time(struct cw_controller *controller, const struct cw_rpc_message *message,
                          const struct cw_store_group *group)
{
    const char *site = controller->config.site;
    uint64_t silent_ms = cw_store_silent_ms(controller->store);
    if (controller->config.etcd.count == 0)
        return cw_answer(
            message, 3,
            "the store is this machine's own file, which has no quorum to lose: causeway promote "
            "%s --site %s",
            group->name, site);
    if (controller->config.break_glass.threshold == 0)
        return cw_answer(message, 3,
                         "no operators' keys are in the configuration of %s (break_glass:), so no token can "
                         "be good. Bring a quorum of the store back",
                         site);
    if (cw_store_fault(controller->store)[0])
        return cw_answer(message, 3, "%s", cw_store_fault(controller->store));
    if (cw_outside_is_held(controller->store, group->id))
        return cw_answer(message, 3, "%s holds %s by tokens already, epoch %lu", site, group->name,
                         group->authority.epoch);
    if (silent_ms == 0)
        return cw_answer(message, 3,
                         "a quorum of the store answers, and tokens are for when none does: causeway promote "
                         "%s --site %s",
                         group->name, site);
    if (silent_ms < controller->config.lease_ms)
        return cw_answer(
            message, 3,
            "the store has been silent for %.1f s only, which may pass: tokens are taken when it was "
            "for a lease, %.1f s",
            (double)silent_ms / 1e3, (double)controller->config.lease_ms / 1e3);
    if (cw_authority_is_unknown(&group->authority))
        return cw_answer(
            message, 3,
            "who held group %s last is not known since the store was rebuilt: bring a quorum of the "
            "store back",
            group->name);
    if (!group->authority.holder[0])
        return cw_answer(message, 3, "group %s was never open: bring a quorum of the store back",
                         group->name);
    return NULL;
}

static uint32_t read_tokens(const json_t *list, const char **texts)
{
    uint32_t count = (uint32_t)CW_MIN(json_array_size(list), (size_t)CW_TOKENS_MAX + 1);
    for (uint32_t i = 0; i < CW_MIN(count, CW_TOKENS_MAX); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        texts[i] = text ? text : "";
    }
    return count;
}

/* As far as is known here: whoever said so last, whom our engine followed, or the store's word. */
static const char *holder_of(const struct cw_controller *controller, const struct cw_store_group *group,
                             uint64_t epoch)
{
    const json_t *here = cw_engine_group(controller, group->id);
    const char *followed = cw_json_text(here, "primary", "");
    for (uint32_t i = 0; i < group->site_count; i++) {
        const json_t *engine = cw_facts_group(controller, group->sites[i], group->id);
        if (is_serving(engine) && cw_json_u64(engine, "epoch", 0) == epoch)
            return group->sites[i];
    }
    return followed[0] && cw_json_u64(here, "epoch", 0) == epoch ? followed : group->authority.holder;
}

/* Why not, what is to be signed, and how to come back. silent: sites that are not heard. */
static json_t *ask_for_tokens(const struct cw_rpc_message *message, const struct cw_config_break_glass *keys,
                              const struct cw_token_request *wanted, const char *holder, const char *silent,
                              const char *why)
{
    char request[CW_TOKEN_SIZE];
    cw_token_request_format(wanted, request);
    return cw_answer(message, 3,
                     "%s. By signing, %u of the %u operators state that who held %s in epoch %lu (%s, as far "
                     "as is known here) writes no more: causeway break-glass sign %s --key NAME.key; then: "
                     "causeway promote %s --site %s --break-glass TOKEN,TOKEN%s%s%s",
                     why, keys->threshold, keys->key_count, wanted->name, wanted->epoch, holder, request,
                     wanted->name, wanted->site, silent[0] ? ". Not heard here: " : "", silent,
                     silent[0] ? ". Promote one site only: two that do not hear each other would be two "
                                 "reigns, which diverge and are never merged"
                               : "");
}

json_t *cw_break_glass_judge(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group)
{
    const char *texts[CW_TOKENS_MAX];
    struct cw_token_mark marks[CW_TOKENS_MAX];
    struct cw_token_facts facts = {.keys = &controller->config.break_glass, .now = (int64_t)time(NULL)};
    struct cw_token_request *wanted = &facts.wanted;
    json_t *reply = judge_time(controller, message, group);
    if (reply)
        return reply;
    struct cw_verdict sites =
        judge_sites(controller, group, cw_json_bool(message->params, "accept_loss", false));
    if (sites.answer == CW_ANSWER_NO)
        return cw_refuse(message, sites.words);
    *wanted = (struct cw_token_request){.group = group->id, .epoch = known_epoch(controller, group)};
    snprintf(wanted->cluster, sizeof wanted->cluster, "%s", facts.keys->cluster);
    snprintf(wanted->name, sizeof wanted->name, "%s", group->name);
    snprintf(wanted->site, sizeof wanted->site, "%s", controller->config.site);
    facts.used = cw_outside_used(controller->store, &facts.used_count);
    uint32_t count = read_tokens(json_object_get(message->params, "tokens"), texts);
    struct cw_verdict verdict = cw_tokens_judge(texts, count, &facts, marks);
    if (verdict.answer != CW_ANSWER_YES)
        return ask_for_tokens(message, facts.keys, wanted, holder_of(controller, group, wanted->epoch),
                              sites.words, verdict.words);
    uint64_t epoch = cw_break_glass_epoch(wanted->epoch);
    if (cw_outside_permit(controller->store, group->id, epoch, marks, count) != CW_OK)
        return cw_fail(message,
                       "the store has just answered, or too many groups are held by tokens: try again");
    cw_event(controller, 2, group->name,
             "%s may take %s from %s without the store, in epoch %lu, by the tokens of %s",
             controller->config.site, group->name, group->authority.holder, epoch, verdict.words);
    return NULL;
}
