/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages between groups and peers, by way of the net lcore.
 *
 * A site has one session a lane, each on all paths that lead there: groups see the site come and go in their
 * lane, and of its paths nothing. What happens to those is said in words (store_paths.c).
 */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/store.h"

bool cw_store_has_room_to_net(struct cw_store *store, uint32_t lane)
{
    struct cw_engine_lane *mail = &store->engine->lanes[lane];
    return cw_ring_room(&mail->to_net) > 0 && cw_ring_room(&mail->large_heads) > 0;
}

bool cw_store_has_room_to_all(struct cw_store *store)
{
    for (uint32_t lane = 0; lane < store->engine->config.lane_count; lane++) {
        if (!cw_store_has_room_to_net(store, lane))
            return false;
    }
    return true;
}

void cw_store_push_to_net(struct cw_store *store, uint32_t lane, const struct cw_to_net *element)
{
    bool pushed = cw_ring_push(&store->engine->lanes[lane].to_net, element);
    CW_ASSERT(pushed && "room was seen before");
    store->told_lanes |= 1u << lane;
}

bool cw_store_is_site_up(const struct cw_store *store, uint32_t lane, uint8_t site)
{
    return store->peer_of[site] >= 0 && store->peers[store->peer_of[site]].sessions[lane].is_up;
}

/* If the site went away in this very turn, the message comes back undelivered. */
void cw_store_send(struct cw_store_group *group, const struct cw_action *action)
{
    struct cw_store *store = group->store;
    CW_ASSERT(store->peer_of[action->peer] >= 0 && "groups speak only to peers that were up");
    const struct cw_store_session *session =
        &store->peers[store->peer_of[action->peer]].sessions[group->lane];
    struct cw_to_net element;
    element.type = CW_TO_NET_SEND;
    element.peer = (uint8_t)store->peer_of[action->peer];
    element.stream = action->stream;
    element.slot = group->slot;
    element.wants_answer = action->token != 0 || action->body_length > 0;
    element.generation = session->is_up ? session->generation : 0;
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
        bool pushed = cw_ring_push(&store->engine->lanes[group->lane].large_heads, head);
        CW_ASSERT(pushed && "room was seen before");
    } else {
        memcpy(element.head, action->head, action->head_length);
    }
    cw_store_push_to_net(store, group->lane, &element);
}

static void release_received(struct cw_store *store, const struct cw_store_received *received)
{
    struct cw_to_net element;
    memset(&element, 0, offsetof(struct cw_to_net, head));
    element.type = CW_TO_NET_RELEASE;
    element.peer = received->peer;
    element.buffer = received->buffer;
    cw_store_push_to_net(store, received->lane, &element);
}

static void release_message(struct cw_store *store, uint64_t handle)
{
    struct cw_handle slot = cw_payload_slot(handle);
    struct cw_store_received *received = cw_pool_get(&store->received, slot);
    CW_ASSERT(received != NULL && "a payload comes back once");
    release_received(store, received);
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

static void tell_groups(struct cw_store *store, uint32_t lane, uint8_t site, bool is_up)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        struct cw_store_group *group = store->groups[i];
        if (group == NULL || group->lane != lane || (group->sites & 1u << site) == 0)
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
        if (cw_store_is_site_up(group->store, group->lane, site) && (group->sites & 1u << site) != 0)
            cw_group_on_peer_up(group->group, site, group->store->now_ns);
    }
}

static void on_up(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    struct cw_store_peer *peer = &store->peers[element->peer];
    peer->sessions[lane] = (struct cw_store_session){.is_up = true, .generation = element->generation};
    tell_groups(store, lane, peer->site, true);
}

static bool is_up_in_all(const struct cw_store *store, const struct cw_store_peer *peer)
{
    bool is_up = true;
    for (uint32_t lane = 0; lane < store->engine->config.lane_count; lane++)
        is_up = is_up && peer->sessions[lane].is_up;
    return is_up;
}

static void on_down(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    struct cw_store_peer *peer = &store->peers[element->peer];
    bool was_whole = is_up_in_all(store, peer);
    peer->sessions[lane].is_up = false;
    cw_store_paths_end(store, lane, element, was_whole);
    tell_groups(store, lane, peer->site, false);
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
static struct cw_store_group *group_for(struct cw_store *store, uint32_t lane,
                                        const struct cw_from_net *element, struct cw_message *message)
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
    if (group->lane != lane) {
        cw_count(&store->counters[CW_STORE_WRONG_LANE], 1);
        return NULL;
    }
    return group;
}

static void on_received(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    const struct cw_received *received = &element->received;
    struct cw_message message;
    store->has_worked |= received->body_length > 0;
    struct cw_store_group *group = group_for(store, lane, element, &message);
    struct cw_handle slot = cw_pool_take(&store->received);
    CW_ASSERT(!cw_handle_is_none(slot) && "as many as all sessions have buffers");
    struct cw_store_received *kept = cw_pool_get(&store->received, slot);
    *kept =
        (struct cw_store_received){.buffer = received->buffer, .peer = element->peer, .lane = (uint8_t)lane};
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
    if (--snapshot->lanes_due == 0)
        cw_store_answer_command(store, snapshot->command);
}

static void on_element(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    switch (element->type) {
    case CW_FROM_NET_UP:
        on_up(store, lane, element);
        break;
    case CW_FROM_NET_DOWN:
        on_down(store, lane, element);
        break;
    case CW_FROM_NET_PATH_UP:
    case CW_FROM_NET_PATH_DOWN:
    case CW_FROM_NET_PATH_HELD:
    case CW_FROM_NET_PATH_MOVED:
    case CW_FROM_NET_PATH_ONE_SIDED:
    case CW_FROM_NET_OTHER_LANES:
        cw_store_on_path(store, lane, element);
        break;
    case CW_FROM_NET_RECEIVED:
        on_received(store, lane, element);
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

static uint32_t receive_lane(struct cw_store *store, uint32_t lane, uint32_t count_max)
{
    struct cw_engine_lane *mail = &store->engine->lanes[lane];
    struct cw_from_net element;
    uint32_t count = 0;
    /* a received message may be given back at once: that takes room */
    while (count < count_max && cw_ring_room(&mail->to_net) > 0 && cw_ring_pop(&mail->from_net, &element)) {
        on_element(store, lane, &element);
        count++;
    }
    return count;
}

uint32_t cw_store_receive(struct cw_store *store)
{
    uint32_t count = 0, lanes = store->engine->config.lane_count;
    for (uint32_t lane = 0; lane < lanes; lane++)
        count += receive_lane(store, lane, CW_STORE_RECEIVE_MAX / lanes);
    return count;
}
