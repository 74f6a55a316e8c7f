/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine asks its controller: leases, claims, sets. No answer is no permission: a lost connection
 * turns an open claim into "ask again" and an open set into "not done", and a renewal into nothing at all.
 */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/control.h"

/* The oldest renewal gives way: the next one is never far. Claims and sets are one a group. */
static struct cw_ask *ask_slot(struct cw_control *control)
{
    struct cw_ask *oldest = NULL;
    for (unsigned i = 0; i < CW_ASKS_MAX; i++) {
        struct cw_ask *ask = &control->asks[i];
        if (ask->kind == CW_ASK_NONE)
            return ask;
        if (ask->kind == CW_ASK_LEASE && (oldest == NULL || ask->id < oldest->id))
            oldest = ask;
    }
    CW_ASSERT(oldest != NULL && "two a group at most are not renewals");
    return oldest;
}

static struct cw_ask *ask(struct cw_control *control, enum cw_ask_kind kind, const char *method,
                          json_t *params)
{
    struct cw_ask *slot = ask_slot(control);
    *slot = (struct cw_ask){.kind = kind, .id = ++control->next_ask};
    cw_rpc_send(&control->server, control->controller,
                json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)slot->id, "method",
                          method, "params", params));
    return slot;
}

/* ---------------------------------------------------------------- asking */

void cw_control_ask_lease(struct cw_control *control, const struct cw_mail *mail)
{
    if (control->controller == 0)
        return;
    json_t *groups = json_array();
    for (uint32_t i = 0; i < mail->lease.count; i++)
        json_array_append_new(groups,
                              json_pack("{s:I, s:I}", "group", (json_int_t)mail->lease.groups[i].group,
                                        "epoch", (json_int_t)mail->lease.groups[i].epoch));
    struct cw_ask *slot = ask(control, CW_ASK_LEASE, "lease.renew", json_pack("{s:o}", "groups", groups));
    slot->asked_ns = mail->lease.asked_ns;
    slot->count = mail->lease.count;
    memcpy(slot->groups, mail->lease.groups, sizeof slot->groups);
}

static json_t *members_json(const struct cw_control *control, const struct cw_mail *mail)
{
    json_t *members = json_array();
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        if (mail->claim.members_to & 1u << site)
            json_array_append_new(members,
                                  cw_json_identity(control->engine, site, &mail->claim.identities[site]));
    }
    return members;
}

static json_t *names_json(const struct cw_control *control, uint8_t sites)
{
    json_t *names = json_array();
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        if (sites & 1u << site)
            json_array_append_new(names, json_string(cw_engine_site_name(control->engine, site)));
    }
    return names;
}

static void answer_claim(struct cw_control *control, uint8_t slot, uint64_t serial,
                         enum cw_claim_result result, const char *why)
{
    struct cw_command *command = cw_control_command(CW_COMMAND_CLAIMED, slot, cw_control_free_command, NULL);
    command->claimed.result = result;
    command->claimed.serial = serial;
    memcpy(command->why, why, strnlen(why, sizeof command->why - 1));
    cw_control_post(control, command);
}

static void answer_set(struct cw_control *control, uint8_t slot, uint64_t serial, bool is_ok)
{
    struct cw_command *command =
        cw_control_command(CW_COMMAND_SET_CHANGED, slot, cw_control_free_command, NULL);
    command->set_changed.is_ok = is_ok;
    command->set_changed.serial = serial;
    cw_control_post(control, command);
}

void cw_control_ask_claim(struct cw_control *control, const struct cw_mail *mail)
{
    const struct cw_control_group *group = &control->groups[mail->slot];
    if (control->controller == 0) {
        answer_claim(control, mail->slot, mail->claim.serial, CW_CLAIM_AGAIN, "no controller is connected");
        return;
    }
    json_t *params =
        json_pack("{s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:s}", "group", (json_int_t)group->id,
                  "from_epoch", (json_int_t)mail->claim.from_epoch, "epoch", (json_int_t)mail->claim.epoch,
                  "reign", cw_json_from_hex(mail->claim.reign), "first_sequence",
                  (json_int_t)mail->claim.first_sequence, "members", members_json(control, mail), "reached",
                  names_json(control, mail->claim.reached), "own_epoch", (json_int_t)mail->claim.own_epoch,
                  "highest_seen_epoch", (json_int_t)mail->claim.highest_seen_epoch, "seen_by",
                  cw_engine_site_name(control->engine, mail->claim.seen_by));
    struct cw_ask *slot = ask(control, CW_ASK_CLAIM, "store.claim", params);
    slot->slot = mail->slot;
    slot->group = group->id;
    slot->serial = mail->claim.serial;
}

void cw_control_ask_set(struct cw_control *control, const struct cw_mail *mail)
{
    const struct cw_control_group *group = &control->groups[mail->slot];
    if (control->controller == 0) {
        answer_set(control, mail->slot, mail->claim.serial, false);
        return;
    }
    json_t *params = json_pack(
        "{s:I, s:I, s:o, s:o}", "group", (json_int_t)group->id, "epoch", (json_int_t)mail->claim.epoch,
        "from", names_json(control, mail->claim.members_from), "to", members_json(control, mail));
    struct cw_ask *slot = ask(control, CW_ASK_SET, "store.set", params);
    slot->slot = mail->slot;
    slot->group = group->id;
    slot->serial = mail->claim.serial;
}

/* ---------------------------------------------------------------- answers */

static bool is_listed(const json_t *list, uint32_t group)
{
    size_t i;
    const json_t *one;
    json_array_foreach(list, i, one)
    {
        if (json_integer_value(one) == (json_int_t)group)
            return true;
    }
    return false;
}

static void on_lease(struct cw_control *control, const struct cw_ask *asked, const json_t *result)
{
    json_int_t lease_ms = json_integer_value(json_object_get(result, "lease_ms"));
    const json_t *lost = json_object_get(result, "lost"), *held = json_object_get(result, "held");
    if (lease_ms <= 0)
        return;
    struct cw_command *command = cw_control_command(CW_COMMAND_LEASE, 0, cw_control_free_command, NULL);
    command->lease.asked_ns = asked->asked_ns;
    command->lease.lease_ms = (uint64_t)lease_ms;
    for (uint32_t i = 0; i < asked->count; i++) {
        if (is_listed(lost, asked->groups[i].group))
            command->lease.lost[command->lease.lost_count++] = asked->groups[i];
        else if (!is_listed(held, asked->groups[i].group))
            command->lease.groups[command->lease.count++] = asked->groups[i];
    }
    cw_control_post(control, command);
}

static void on_claim(struct cw_control *control, const struct cw_ask *asked, const json_t *result,
                     const json_t *error)
{
    const char *status = json_string_value(json_object_get(json_object_get(error, "data"), "status"));
    const char *words = json_string_value(json_object_get(error, "message"));
    if (result != NULL)
        answer_claim(control, asked->slot, asked->serial, CW_CLAIM_OK, "");
    else if (status != NULL && strcmp(status, "refused") == 0)
        answer_claim(control, asked->slot, asked->serial, CW_CLAIM_REFUSED,
                     words != NULL ? words : "the store refused");
    else
        answer_claim(control, asked->slot, asked->serial, CW_CLAIM_AGAIN, "");
}

static void on_answer(struct cw_control *control, const struct cw_ask *asked, const json_t *result,
                      const json_t *error)
{
    if (asked->kind != CW_ASK_LEASE && control->groups[asked->slot].id != asked->group)
        return;
    switch ((enum cw_ask_kind)asked->kind) {
    case CW_ASK_LEASE:
        if (result != NULL)
            on_lease(control, asked, result);
        break;
    case CW_ASK_CLAIM:
        on_claim(control, asked, result, error);
        break;
    case CW_ASK_SET:
        answer_set(control, asked->slot, asked->serial, result != NULL);
        break;
    case CW_ASK_NONE:
        break;
    }
}

void cw_control_on_answer(struct cw_control *control, json_t *message)
{
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    for (unsigned i = 0; i < CW_ASKS_MAX; i++) {
        struct cw_ask asked = control->asks[i];
        if (asked.kind == CW_ASK_NONE || asked.id != (uint64_t)id)
            continue;
        control->asks[i].kind = CW_ASK_NONE;
        on_answer(control, &asked, json_object_get(message, "result"), json_object_get(message, "error"));
        return;
    }
}

void cw_control_lost_controller(struct cw_control *control)
{
    for (unsigned i = 0; i < CW_ASKS_MAX; i++) {
        struct cw_ask asked = control->asks[i];
        control->asks[i].kind = CW_ASK_NONE;
        if (asked.kind != CW_ASK_NONE)
            on_answer(control, &asked, NULL, NULL);
    }
}
