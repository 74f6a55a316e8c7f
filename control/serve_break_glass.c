/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * promote --break-glass: is it time for that, and are the tokens good? What follows is a promotion like any
 * other (operations.c), but that its claim goes into this site's file (store_outside.h).
 *
 * The tokens are the operators' word that whoever held the group writes no more: nothing here can know it, as
 * a quorum may live where this site does not reach. What can be seen against it is seen all the same: a store
 * that answers, a controller or an engine of the holder that is heard.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/serve.h"

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

/* What speaks against it, tokens or not; NULL: nothing. */
static json_t *judge_time(struct cw_controller *controller, const struct cw_rpc_message *message,
                          const struct cw_store_group *group)
{
    const char *holder = group->authority.holder, *site = controller->config.site;
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
    if (!holder[0])
        return cw_answer(message, 3, "group %s was never open: bring a quorum of the store back",
                         group->name);
    bool is_own = strcmp(holder, site) == 0;
    if (!is_own && (cw_site_is_alive(controller, holder) || has_path_to(controller, holder)))
        return cw_answer(message, 3,
                         "%s, which holds %s, is heard here: it lives, and may go on by grants of the other "
                         "sites. Stop its engine and controller first, and see that they stay off",
                         holder, group->name);
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

/* Why not, what is to be signed, and how to come back. */
static json_t *ask_for_tokens(const struct cw_rpc_message *message, const struct cw_config_break_glass *keys,
                              const struct cw_token_request *wanted, const char *why)
{
    char request[CW_TOKEN_SIZE];
    cw_token_request_format(wanted, request);
    return cw_answer(message, 3,
                     "%s. By signing, %u of the %u operators state that who held %s in epoch %lu writes no "
                     "more: causeway break-glass sign %s --key NAME.key; then: causeway promote %s --site %s "
                     "--break-glass TOKEN,TOKEN",
                     why, keys->threshold, keys->key_count, wanted->name, wanted->epoch, request,
                     wanted->name, wanted->site);
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
    *wanted = (struct cw_token_request){.group = group->id, .epoch = known_epoch(controller, group)};
    snprintf(wanted->cluster, sizeof wanted->cluster, "%s", facts.keys->cluster);
    snprintf(wanted->name, sizeof wanted->name, "%s", group->name);
    snprintf(wanted->site, sizeof wanted->site, "%s", controller->config.site);
    facts.used = cw_outside_used(controller->store, &facts.used_count);
    uint32_t count = read_tokens(json_object_get(message->params, "tokens"), texts);
    struct cw_verdict verdict = cw_tokens_judge(texts, count, &facts, marks);
    if (verdict.answer != CW_ANSWER_YES)
        return ask_for_tokens(message, facts.keys, wanted, verdict.words);
    uint64_t epoch = cw_break_glass_epoch(wanted->epoch);
    if (cw_outside_permit(controller->store, group->id, epoch, marks, count) != CW_OK)
        return cw_fail(message,
                       "the store has just answered, or too many groups are held by tokens: try again");
    cw_event(controller, 2, group->name,
             "%s may take %s from %s without the store, in epoch %lu, by the tokens of %s",
             controller->config.site, group->name, group->authority.holder, epoch, verdict.words);
    return NULL;
}
