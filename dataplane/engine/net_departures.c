/* SPDX-License-Identifier: BSD-3-Clause */
/* What has left the node, for writes that wait for that. */
#include "base/numbers.h"
#include "engine/net_lcore.h"

#define LOOK_NS_MIN (20 * CW_US)
#define LOOK_NS_MAX CW_MS

/* A queue that always has something in it is no reason to say nothing: a sample is good once the frames of
 * its time are gone, on all paths but those that are down: what these held is sent again on another. */
static bool has_sample_left(const struct cw_net_peer *peer)
{
    for (unsigned i = 0; i < peer->path_count; i++) {
        const struct cw_net_path *path = peer->paths[i];
        if (path->is_up && !cw_port_has_left(path->port, path->sample_frames))
            return false;
    }
    return true;
}

static void look_what_left(struct cw_net_peer *peer, uint64_t now_ns)
{
    struct cw_net_departures *all = &peer->departures;
    if (!has_sample_left(peer))
        return;
    all->left = all->sample;
    all->sample = cw_session_live_left(peer->session);
    all->sampled_ns = now_ns;
    for (unsigned i = 0; i < peer->path_count; i++)
        peer->paths[i]->sample_frames = cw_port_committed(peer->paths[i]->port);
    if (has_sample_left(peer))
        all->left = all->sample;
}

uint32_t cw_net_peer_tell_departures(struct cw_net *net, struct cw_net_peer *peer)
{
    struct cw_net_departures *all = &peer->departures;
    uint32_t count = 0;
    if (all->head == all->tail)
        return 0;
    look_what_left(peer, net->now_ns);
    while (all->head != all->tail && cw_net_has_room(net)) {
        const struct cw_net_departure *first = &all->ring[all->head % CW_NET_MESSAGES_MAX];
        if (first->number >= all->left)
            break;
        struct cw_from_net left = {.type = CW_FROM_NET_LEFT,
                                   .peer = peer->index,
                                   .slot = first->slot,
                                   .group = first->group,
                                   .departure = first->departure};
        all->head++;
        count++;
        cw_net_push(net, &left);
    }
    return count;
}

/* A device that is done tells nobody: it is looked at again soon, and less often the longer it takes. */
uint64_t cw_net_peer_departures_deadline_ns(const struct cw_net_peer *peer, uint64_t now_ns)
{
    const struct cw_net_departures *all = &peer->departures;
    if (all->head == all->tail)
        return CW_NEVER;
    uint64_t number = all->ring[all->head % CW_NET_MESSAGES_MAX].number;
    if (number < all->left || number >= cw_session_live_left(peer->session))
        return CW_NEVER; /* the store has no room for it, or the session is not done: both have their own */
    uint64_t waited_ns = now_ns - CW_MIN(now_ns, all->sampled_ns);
    return now_ns + CW_MIN(CW_MAX(waited_ns / 4, LOOK_NS_MIN), LOOK_NS_MAX);
}
