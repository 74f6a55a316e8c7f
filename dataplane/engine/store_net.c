/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages between groups and peers, by way of the net lcore.
 *
 * A site has one session, on all paths that lead there: groups see a site come and go, and of its paths
 * nothing. What happens to those is said in words.
 */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/store.h"

bool cw_store_has_room_to_net(struct cw_store *store)
{
    return cw_ring_room(&store->engine->to_net) > 0 && cw_ring_room(&store->engine->large_heads) > 0;
}

static void push_to_net(struct cw_store *store, const struct cw_to_net *element)
{
    bool pushed = cw_ring_push(&store->engine->to_net, element);
    CW_ASSERT(pushed && "room was seen before");
    store->has_told_net = true;
}

bool cw_store_is_site_up(const struct cw_store *store, uint8_t site)
{
    return store->peer_of[site] >= 0 && store->peers[store->peer_of[site]].is_up;
}

/* If the site went away in this very turn, the message comes back undelivered. */
void cw_store_send(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_store *store = group->store;
    CW_ASSERT(store->peer_of[action->peer] >= 0 && "groups speak only to peers that were up");
    const struct cw_store_peer *peer = &store->peers[store->peer_of[action->peer]];
    struct cw_to_net element;
    element.type = CW_TO_NET_SEND;
    element.peer = (uint8_t)store->peer_of[action->peer];
    element.stream = action->stream;
    element.slot = group->slot;
    element.wants_answer = action->token != 0 || action->body_length > 0;
    element.generation = peer->is_up ? peer->generation : 0;
    group->sends_in_flight += element.wants_answer;
    store->has_worked |= action->body_length > 0;
    element.head_length = action->head_length;
    element.body_length = action->body_length;
    element.group = group->id;
    element.departure = action->departure;
    element.tag = action->token;
    element.body = action->memory;
    CW_ASSERT(action->head_length <= CW_MESSAGE_HEAD_MAX);
    if (action->head_length > CW_HEAD_INLINE) {
        uint8_t head[CW_MESSAGE_HEAD_MAX];
        memcpy(head, action->head, action->head_length);
        bool pushed = cw_ring_push(&store->engine->large_heads, head);
        CW_ASSERT(pushed && "room was seen before");
    } else {
        memcpy(element.head, action->head, action->head_length);
    }
    push_to_net(store, &element);
}

static void release_received(struct cw_store *store, uint8_t peer, uint64_t buffer)
{
    struct cw_to_net element;
    memset(&element, 0, offsetof(struct cw_to_net, head));
    element.type = CW_TO_NET_RELEASE;
    element.peer = peer;
    element.buffer = buffer;
    push_to_net(store, &element);
}

static void release_message(struct cw_store *store, uint64_t handle)
{
    struct cw_handle slot = cw_payload_slot(handle);
    struct cw_store_received *received = cw_pool_get(&store->received, slot);
    CW_ASSERT(received != NULL && "a payload comes back once");
    release_received(store, received->peer, received->buffer);
    cw_pool_give(&store->received, slot);
}

void cw_store_release(struct cw_store_group *group, uint64_t handle)
{
    unsigned kind = cw_payload_kind(handle);
    if (kind == CW_HANDLE_RECEIVED) {
        release_message(group->store, handle);
    } else if (kind == CW_HANDLE_RECOVERED) {
        CW_ASSERT(group->recovered_live > 0);
        group->recovered_live--; /* their memory is freed with the group: an lcore does not call free */
    } else {
        cw_payload_give(&group->store->payloads, handle);
    }
}

/* ---------------------------------------------------------------- peers and sites */

static void tell_groups(struct cw_store *store, uint8_t site, bool is_up)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        struct cw_store_group *group = store->groups[i];
        if (group == NULL || (group->sites & 1u << site) == 0)
            continue;
        if (is_up)
            cw_group_on_peer_up(group->group, site, store->now_ns);
        else
            cw_group_on_peer_down(group->group, site, store->now_ns);
    }
}

void cw_store_tell_peers_up(struct cw_store_group *group)
{
    for (uint8_t site = 0; site < CW_SITES_MAX; site++) {
        if (cw_store_is_site_up(group->store, site) && (group->sites & 1u << site) != 0)
            cw_group_on_peer_up(group->group, site, group->store->now_ns);
    }
}

static void on_up(struct cw_store *store, const struct cw_from_net *element)
{
    struct cw_store_peer *peer = &store->peers[element->peer];
    peer->is_up = true;
    peer->generation = element->generation;
    tell_groups(store, peer->site, true);
}

#define DOWN_TEXTS(who)                                                                                      \
    {                                                                                                        \
        [CW_DOWN_NONE] = who, [CW_DOWN_IDLE] = who ": nothing is heard from there",                          \
        [CW_DOWN_CLOSED_BY_PEER] = who ": the other end closed the session",                                 \
        [CW_DOWN_PEER_RESTARTED] = who ": the other end was restarted",                                      \
        [CW_DOWN_KEYS_WORN] = who ": the keys are used up, new ones are made",                               \
        [CW_DOWN_LOCAL] = who ": the session was closed here",                                               \
        [CW_DOWN_UNTRUSTED] = who ": the certificate of the other end is not good any more",                 \
    }
static const char *const path_texts[CW_DOWN_COUNT] = DOWN_TEXTS("path %llu is down");
static const char *const site_texts[CW_DOWN_COUNT] = DOWN_TEXTS("all paths to site %llu are down");

static void on_down(struct cw_store *store, const struct cw_from_net *element)
{
    const struct cw_config_peer *config = &store->engine->config.peers[element->peer];
    struct cw_store_peer *peer = &store->peers[element->peer];
    peer->is_up = false;
    CW_ASSERT(element->why < CW_DOWN_COUNT);
    for (unsigned p = 0; p < config->path_count; p++)
        store->is_path_up[config->paths[p]] = store->was_path_down[config->paths[p]] = false;
    if (config->path_count == 1)
        cw_store_event(store, 1, 0, path_texts[element->why], config->paths[0], 0, 0);
    else
        cw_store_event(store, 1, 0, site_texts[element->why], peer->site, 0, 0);
    tell_groups(store, peer->site, false);
}

/* ---------------------------------------------------------------- paths, in words */

static void on_path_up(struct cw_store *store, uint8_t path)
{
    store->is_path_up[path] = true;
    cw_store_event(store, 0, 0, store->was_path_down[path] ? "path %llu is back" : "path %llu is up", path, 0,
                   0);
    store->was_path_down[path] = false;
}

static const char *const path_down_texts[CW_PATH_DOWN_COUNT] = {
    [CW_PATH_DOWN_PROBES] = "path %llu is down: 3 probe time-outs; path %llu carries on",
    [CW_PATH_DOWN_SILENT] = "path %llu is down: nothing is heard on it; path %llu carries on",
};

/* The last path of a session does not go down before the session does. */
static void on_path_down(struct cw_store *store, const struct cw_from_net *element)
{
    const struct cw_config_peer *peer = &store->engine->config.peers[element->peer];
    uint8_t other = element->path;
    store->is_path_up[element->path] = false;
    store->was_path_down[element->path] = true;
    for (unsigned p = 0; p < peer->path_count; p++) {
        if (store->is_path_up[peer->paths[p]])
            other = peer->paths[p];
    }
    CW_ASSERT(element->why < CW_PATH_DOWN_COUNT);
    cw_store_event(store, 1, 0, path_down_texts[element->why], element->path, other, 0);
}

/* ---------------------------------------------------------------- messages */

static struct cw_store_group *group_of(struct cw_store *store, uint32_t id)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL && store->groups[i]->id == id)
            return store->groups[i];
    }
    return NULL;
}

/* The group that may see this message, or NULL with the reason counted. */
static struct cw_store_group *group_for(struct cw_store *store, const struct cw_from_net *element,
                                        struct cw_message *message)
{
    const struct cw_received *received = &element->received;
    if (cw_message_decode(received->head, received->head_length, received->body_length, message) !=
        CW_MESSAGE_OK) {
        cw_count(&store->counters[CW_STORE_BAD_MESSAGE], 1);
        return NULL;
    }
    if (message->from_site != store->peers[element->peer].site) {
        cw_count(&store->counters[CW_STORE_WRONG_SITE], 1);
        return NULL;
    }
    struct cw_store_group *group = group_of(store, message->group);
    if (group == NULL || (group->sites & 1u << message->from_site) == 0) {
        cw_count(&store->counters[CW_STORE_UNKNOWN_GROUP], 1);
        return NULL;
    }
    return group;
}

static void on_received(struct cw_store *store, const struct cw_from_net *element)
{
    const struct cw_received *received = &element->received;
    struct cw_message message;
    store->has_worked |= received->body_length > 0;
    struct cw_store_group *group = group_for(store, element, &message);
    struct cw_handle slot = cw_pool_take(&store->received);
    CW_ASSERT(!cw_handle_is_none(slot) && "as many as all sessions have buffers");
    struct cw_store_received *kept = cw_pool_get(&store->received, slot);
    *kept = (struct cw_store_received){.buffer = received->buffer, .peer = element->peer};
    uint64_t handle = cw_payload_handle(slot, CW_HANDLE_RECEIVED);
    if (group != NULL && cw_group_on_message(group->group, &message, received->body, received->body_length,
                                             handle, store->now_ns))
        return;
    release_message(store, handle);
}

static void on_sent(struct cw_store *store, const struct cw_from_net *element)
{
    struct cw_store_group *group = store->groups[element->slot];
    CW_ASSERT(group != NULL && "a group leaves when its last message has been answered");
    CW_ASSERT(group->sends_in_flight > 0);
    group->sends_in_flight--;
    cw_group_on_sent(group->group, store->peers[element->peer].site, element->tag, element->delivered);
}

/* A group that was removed meanwhile does not wait for it. */
static void on_left(struct cw_store *store, const struct cw_from_net *element)
{
    struct cw_store_group *group = store->groups[element->slot];
    if (group != NULL && group->id == element->group)
        cw_group_on_left(group->group, store->peers[element->peer].site, element->departure, store->now_ns);
}

static void on_snapshot(struct cw_store *store, struct cw_snapshot *snapshot)
{
    cw_store_answer_command(store, snapshot->command);
}

static void on_element(struct cw_store *store, const struct cw_from_net *element)
{
    switch (element->type) {
    case CW_FROM_NET_UP:
        on_up(store, element);
        break;
    case CW_FROM_NET_DOWN:
        on_down(store, element);
        break;
    case CW_FROM_NET_PATH_UP:
        on_path_up(store, element->path);
        break;
    case CW_FROM_NET_PATH_DOWN:
        on_path_down(store, element);
        break;
    case CW_FROM_NET_PATH_UNSHARED:
        cw_store_event(
            store, 1, 0,
            "path %llu is not used: the other end has none of that name; give it one, or take this "
            "one away",
            element->path, 0, 0);
        break;
    case CW_FROM_NET_RECEIVED:
        on_received(store, element);
        break;
    case CW_FROM_NET_SENT:
        on_sent(store, element);
        break;
    case CW_FROM_NET_LEFT:
        on_left(store, element);
        break;
    case CW_FROM_NET_SNAPSHOT:
        on_snapshot(store, element->snapshot);
        break;
    default:
        CW_ASSERT(!"the net lcore sends nothing else");
    }
}

uint32_t cw_store_receive(struct cw_store *store)
{
    struct cw_from_net element;
    uint32_t count = 0;
    /* a received message may be given back at once: that takes room */
    while (count < CW_STORE_RECEIVE_MAX && cw_ring_room(&store->engine->to_net) > 0 &&
           cw_ring_pop(&store->engine->from_net, &element)) {
        on_element(store, &element);
        count++;
    }
    return count;
}
