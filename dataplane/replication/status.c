/* SPDX-License-Identifier: BSD-3-Clause */
/* What a group knows of itself, in one plain struct: truth from sequences and ages. */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

/* What a record holds on the average: as this process's writes did, else, before the first, by the journal's
 * own density, which is more than the truth. */
static uint64_t average_bytes(struct cw_group *g)
{
    uint64_t writes = cw_counter_read(&g->counters[CW_GROUP_WRITES]);
    uint64_t oldest = cw_journal_oldest_sequence(g->journal), ring = cw_journal_ring_sectors(g->journal);
    uint64_t used = ring - CW_MIN(ring, cw_journal_room(g->journal));

    if (writes)
        return cw_counter_read(&g->counters[CW_GROUP_WRITE_BYTES]) / writes;
    return oldest && g->logged >= oldest ? used * CW_SECTOR_SIZE / (g->logged - oldest + 1) : 0;
}

/* Payload of acknowledged records from `first` on: what is still in memory is counted, the rest estimated,
 * which is exact enough for a warning. */
static uint64_t lag_bytes(struct cw_group *g, uint64_t first)
{
    uint64_t bytes = 0;

    for (uint64_t s = first; s <= g->completed; s++) {
        if (s < g->log_first) { /* gone from memory: skip to what is there */
            uint64_t older = CW_MIN(g->log_first - 1, g->completed) - s + 1;
            bytes += older * average_bytes(g);
            s += older - 1;
            continue;
        }
        if (cw_log_has(g, s))
            bytes += cw_record_payload_length(&cw_log_at(g, s)->record);
    }
    return bytes;
}

/* The first record of a client that the peer has not made durable: a reign's first record is its marker. Of
 * one that has not attached since we opened we only know that it lacks what we wrote. */
static uint64_t first_lacked(const struct cw_group *g, const struct cw_peer *peer)
{
    const struct cw_history_entry *reign = cw_history_last(&g->super.history);
    uint64_t first = peer->is_measured ? peer->acked.durable + 1 : reign ? reign->first_sequence : 1;

    while (first <= g->head && cw_history_is_first(&g->super.history, first))
        first++;
    return first;
}

/* Its age by our clock. A record of an earlier reign bears a time of whoever wrote it, on a clock that is not
 * ours: then the age of our own reign is what can be said. */
static uint64_t lag_ns(struct cw_group *g, uint64_t first, uint64_t now_ns)
{
    const struct cw_record *record = cw_log_has(g, first) ? &cw_log_at(g, first)->record : NULL;

    if (first > g->head)
        return 0;
    bool is_exact = record && record->reign == g->reign;
    return now_ns - CW_MIN(now_ns, is_exact ? record->time_ns : cw_ages_since(&g->ages, first));
}

static void peer_status(struct cw_group *g, struct cw_peer *peer, uint64_t now_ns,
                        struct cw_peer_status *status)
{
    status->state = peer->is_up && cw_group_is_open(g) ? peer->state
                    : peer->is_up                      ? CW_PEER_GREETING
                                                       : CW_PEER_DISCONNECTED;
    status->is_member = (g->set.members & cw_bit(peer->site)) != 0;
    status->is_awaited = peer->is_awaited && g->config.mode == CW_MODE_NETWORK_SYNC;
    status->left = peer->left;
    status->needs_copy = peer->needs_copy;
    status->sequences = cw_group_is_open(g) ? peer->acked : peer->hello.sequences;
    status->identity = peer->hello.identity;
    status->cursor = g->super.peers[peer->site].sequence;
    status->copy_done_bytes = peer->copy.bytes_done;
    status->copy_total_bytes = peer->copy.bytes_total;
    status->copy_started_ns = peer->copy.started_ns;
    status->is_stalled = peer->is_stalled;
    memcpy(status->reason, peer->reason, sizeof status->reason);
    if (peer->is_stalled && peer->reason[0] == 0)
        snprintf(status->reason, sizeof status->reason, "%s",
                 "it is connected and lacks something, but nothing moves: look at its events and disks, then "
                 "restart its engine");
    if (cw_group_is_open(g)) {
        uint64_t first = first_lacked(g, peer);
        status->is_lag_known = peer->is_measured;
        status->lag_bytes = lag_bytes(g, first);
        status->lag_ns = lag_ns(g, first, now_ns);
    }
}

static bool is_frozen(struct cw_group *g, uint64_t now_ns, struct cw_group_status *status)
{
    if (!cw_group_is_open(g))
        return false;
    if (now_ns >= cw_cover_ends_ns(g))
        return true; /* the reason is there */
    if (g->config.min_in_sync > 0 && cw_mode_has_set(g->config.mode) &&
        (g->set.members & ~cw_bit(g->config.self)) == 0) {
        snprintf(status->reason, sizeof status->reason, "%s",
                 "min_in_sync is 1 and no replica is in the set: writes are held");
        return true;
    }
    return false;
}

/* Until the superblock that goes back to the old image is durable, what is in memory does not fit it: the
 * word on ourselves stays as it was. */
static void image_status(const struct cw_group *g, struct cw_group_status *status)
{
    bool is_going_back = g->revert.state == CW_REVERT_MARKING && g->revert.is_whole;
    const struct cw_history_entry *last =
        cw_history_last(is_going_back ? &g->revert.history : &g->super.image_history);

    status->image_state = is_going_back ? CW_IMAGE_COPYING : g->super.image_state;
    if (!is_going_back && !cw_group_has_old_image(g))
        return;
    status->image_sequence = is_going_back ? g->revert.sequence : g->super.image_sequence;
    status->image_epoch = last->epoch;
    status->image_time_s = is_going_back ? g->revert.time_s : g->super.image_time_s;
}

void cw_group_status(struct cw_group *g, uint64_t now_ns, struct cw_group_status *status)
{
    memset(status, 0, sizeof *status);
    status->role = g->role;
    status->primary = cw_group_is_open(g) ? g->config.self : g->follow.primary;
    status->mode = g->config.mode;
    status->epoch = g->epoch;
    status->reign = g->reign;
    memcpy(status->reason, g->reason, sizeof status->reason);
    memcpy(status->refusal, g->refusal, sizeof status->refusal);
    cw_cover_status(g, now_ns, status);
    status->is_frozen = is_frozen(g, now_ns, status);
    status->is_damaged = g->is_recovered_damaged;
    image_status(g, status);
    status->head = g->head;
    status->completed = g->completed;
    status->heard = g->follow.heard;
    status->sequences = (struct cw_sequences){.received = g->head,
                                              .written = cw_group_written(g),
                                              .durable = cw_group_durable(g),
                                              .applied = g->applied,
                                              .commit = g->commit};
    status->applied_limit = cw_group_applied_limit(g);
    status->members = g->set.members;
    status->turn = g->turn;
    status->identity = g->config.identity;
    status->history = g->super.history;
    uint64_t ring = cw_journal_ring_sectors(g->journal);
    status->journal_bytes = ring * CW_SECTOR_SIZE;
    status->journal_used_bytes = (ring - CW_MIN(ring, cw_journal_room(g->journal))) * CW_SECTOR_SIZE;
    status->journal_oldest = cw_journal_oldest_sequence(g->journal);
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].is_configured)
            peer_status(g, &g->peers[s], now_ns, &status->peers[s]);
    for (uint32_t i = 0; i < CW_GROUP_COUNTER_COUNT; i++)
        status->counters[i] = cw_counter_read(&g->counters[i]);
}
