/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The full copy, primary's side.
 *
 * The live stream starts at start_sequence + 1 and goes on all the time. Chunks are read from the volume's
 * file and then patched with the overlay as it is when the read has finished: no overlay entry that the read
 * may have missed is dropped before (the read counts as one, see cw_log_retire), so the bytes are exactly
 * the volume after record S = head of that moment. Until the replica has got a chunk of place S, the commit
 * sequence it is told stays at or below S; so it cannot have gone past the chunk's place when it arrives.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static uint16_t next_volume(const struct cw_group *g, uint32_t from)
{
    while (from < CW_VOLUMES_PER_GROUP_MAX && !g->volumes[from].is_present)
        from++;
    return (uint16_t)from;
}

static uint64_t total_bytes(const struct cw_group *g)
{
    uint64_t total = 0;

    for (uint32_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++)
        total += g->volumes[v].is_present ? g->volumes[v].size : 0;
    return total;
}

static uint64_t fresh_copy_id(struct cw_group *g)
{
    uint64_t mix[3] = {g->reign, ++g->copy_serial, g->now_ns};
    uint64_t id = cw_hash64(mix, sizeof mix);

    return id ? id : 1;
}

static void send_begin(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_message m = {.type = CW_MSG_COPY_BEGIN};

    m.copy_begin.copy_id = peer->copy.id;
    m.copy_begin.sequence = peer->copy.start_sequence;
    m.copy_begin.history = g->super.history;
    for (uint32_t i = 0; i < g->super.volume_count; i++) {
        if (!g->volumes[g->super.volumes[i].volume].is_present)
            continue;
        uint32_t n = m.copy_begin.volume_count++;
        m.copy_begin.volumes[n].volume = g->super.volumes[i].volume;
        m.copy_begin.volumes[n].size = g->super.volumes[i].size;
        m.copy_begin.volumes[n].base = g->super.volumes[i].base;
    }
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
}

/* Records of a volume that has not come here yet are in no file, and no copy would bring them: but it would
 * count them as in place over there. All of them are above what is applied, since they hold that up. */
static bool lacks_a_volume(struct cw_group *g)
{
#if CW_PLANTED_BUG == 22 /* a copy without what waits for its volume */
    return false;
#endif
    for (uint64_t s = g->issued + 1; s <= g->head; s++) {
        const struct cw_record *r = &cw_log_at(g, s)->record;
        if (cw_log_has(g, s) && r->kind != CW_RECORD_MARKER && !g->volumes[r->volume].is_present &&
            !g->volumes[r->volume].is_removed)
            return true;
    }
    return false;
}

void cw_copy_begin(struct cw_group *g, struct cw_peer *peer)
{
    peer->needs_copy = true;
    if (lacks_a_volume(g)) {
        snprintf(
            peer->reason, sizeof peer->reason, "%s",
            "the primary itself lacks a volume that was written to: the full copy begins when it has made "
            "that volume");
        return;
    }
    /* A copy begins by dropping the log over there: not while the store believes that it holds everything. */
    bool may_count = ((g->set.members | g->set.asked) & cw_bit(peer->site)) != 0;
    if (may_count || !cw_group_can_send(g))
        return;
    cw_source_reset(g, peer, CW_PEER_COPY_BEGIN);
    uint64_t start = g->commit; /* over there it counts as applied, and that may not be cut any more */
    peer->copy = (struct cw_copy_source){.id = fresh_copy_id(g),
                                         .volume = next_volume(g, 0),
                                         .start_sequence = start,
                                         .sequence_max = start,
                                         .bytes_total = total_bytes(g),
                                         .started_ns = g->now_ns};
    peer->next = start + 1;
    peer->acked =
        (struct cw_sequences){.received = start, .written = start, .durable = start, .applied = start};
    peer->is_measured = false; /* until it is whole it holds an old image, or none */
    peer->hello_asked_ns = g->now_ns;
    g->super.peers[peer->site].is_used = true;
    g->super.peers[peer->site].needs_copy = true;
    cw_super_ask(g);
    send_begin(g, peer);
    cw_group_event(g, 0, "copying %llu bytes to site %llu in full", peer->copy.bytes_total, peer->site, 0);
}

void cw_copy_abandon(struct cw_group *g, struct cw_peer *peer)
{
    memset(&peer->copy, 0, sizeof peer->copy); /* slots of an old id free themselves when they come back */
}

/* What was not read of it is not read any more: nobody over there waits for it. */
void cw_copy_on_volume_removed(struct cw_group *g, uint16_t volume)
{
#if CW_PLANTED_BUG == 21 /* a copy goes on with a volume that was deleted */
    return;
#endif
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_copy_source *copy = &g->peers[s].copy;
        if (copy->id == 0 || copy->volume > volume)
            continue;
        copy->bytes_total -= g->volumes[volume].size - (copy->volume == volume ? copy->offset : 0);
        if (copy->volume == volume) {
            copy->offset = 0;
            copy->volume = next_volume(g, volume + 1u);
        }
    }
}

/* ---------------------------------------------------------------- chunks */

static struct cw_copy_slot *free_slot(struct cw_group *g)
{
    for (uint32_t i = 0; i < CW_COPY_SLOTS; i++)
        if (g->copy_slots[i].state == CW_COPY_SLOT_FREE)
            return &g->copy_slots[i];
    return NULL;
}

static void read_chunk(struct cw_group *g, struct cw_peer *peer, struct cw_copy_slot *slot)
{
    struct cw_copy_source *copy = &peer->copy;
    uint64_t left = g->volumes[copy->volume].size - copy->offset;

    slot->state = CW_COPY_SLOT_READING;
    slot->generation++;
    slot->peer = peer->site;
    slot->copy_id = copy->id;
    slot->volume = copy->volume;
    slot->offset = copy->offset;
    slot->length = (uint32_t)CW_MIN(left, (uint64_t)CW_COPY_CHUNK);
    slot->ticket_phase = g->read_phase;
    g->reads[g->read_phase]++;
    copy->in_flight++;
    copy->offset += slot->length;
    if (copy->offset == g->volumes[copy->volume].size) {
        copy->offset = 0;
        copy->volume = next_volume(g, copy->volume + 1u);
    }
    struct cw_action *action = cw_group_act(g, CW_ACT_COPY_READ);
    action->volume = slot->volume;
    action->offset = slot->offset;
    action->length = slot->length;
    action->memory = slot->memory;
    action->token = (uint64_t)slot->generation << 32 | (uint64_t)(slot - g->copy_slots);
}

static bool is_zero(const uint8_t *bytes, uint32_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void send_chunk(struct cw_group *g, struct cw_peer *peer, struct cw_copy_slot *slot)
{
    struct cw_copy_source *copy = &peer->copy;
    struct cw_message m = {.type = CW_MSG_COPY_CHUNK};
    bool zero = is_zero(slot->memory, slot->length);

    m.copy_chunk =
        (struct cw_message_copy_chunk){.copy_id = copy->id,
                                       .index = copy->chunks_sent,
                                       .sequence = g->head,
                                       .volume = slot->volume,
                                       .is_zero = zero,
                                       .length = slot->length,
                                       .offset = slot->offset,
                                       .payload_hash = zero ? 0 : cw_hash64(slot->memory, slot->length)};
    copy->sequences[copy->chunks_sent++ % CW_COUNT_OF(copy->sequences)] = g->head;
    copy->sequence_max = g->head;
    copy->bytes_done += slot->length;
    peer->progress_ns = g->now_ns;
    cw_count(&g->counters[CW_GROUP_COPY_CHUNKS], 1);
    slot->state = zero ? CW_COPY_SLOT_FREE : CW_COPY_SLOT_SENT;
    uint32_t index = (uint32_t)(slot - g->copy_slots);
    cw_group_send(g, peer->site, 2, &m, zero ? NULL : slot->memory, zero ? 0 : slot->length,
                  zero ? 0 : cw_tag(peer, CW_TAG_COPY_SLOT, index));
}

void cw_group_on_copy_read(struct cw_group *g, uint64_t token, enum cw_status status)
{
    struct cw_copy_slot *slot = &g->copy_slots[(uint32_t)token];
    struct cw_peer *peer = &g->peers[slot->peer];
    uint8_t *slices[1] = {slot->memory};
    struct cw_group_read read = {
        .ticket = slot->ticket_phase, .volume = slot->volume, .offset = slot->offset, .length = slot->length};

    CW_ASSERT(slot->state == CW_COPY_SLOT_READING && slot->generation == (uint32_t)(token >> 32));
    cw_group_read_end(g, &read, slices, 1);
    slot->state = CW_COPY_SLOT_FREE;
    if (peer->state != CW_PEER_COPYING || peer->copy.id != slot->copy_id)
        return;
    peer->copy.in_flight--;
    if (g->volumes[slot->volume].is_removed) { /* asked for, and not begun before its file was closed */
        peer->copy.bytes_done += slot->length;
        return;
    }
    if (status != CW_OK) {
        cw_group_event(g, 2, "a volume could not be read at byte %llu: the copy to site %llu starts again",
                       slot->offset, peer->site, 0);
        cw_source_reset(g, peer, CW_PEER_GREETING);
        return;
    }
    send_chunk(g, peer, slot);
}

void cw_copy_on_sent(struct cw_group *g, uint32_t index)
{
    CW_ASSERT(index < CW_COPY_SLOTS);
    CW_ASSERT(g->copy_slots[index].state == CW_COPY_SLOT_SENT);
    g->copy_slots[index].state = CW_COPY_SLOT_FREE;
}

void cw_copy_step(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_copy_source *copy = &peer->copy;

    while (copy->volume < CW_VOLUMES_PER_GROUP_MAX && cw_group_can_send(g) &&
           copy->chunks_sent + copy->in_flight - copy->chunks_acked < CW_COPY_SLOTS) {
        struct cw_copy_slot *slot = free_slot(g);
        if (!slot)
            return;
        read_chunk(g, peer, slot);
    }
    if (copy->volume < CW_VOLUMES_PER_GROUP_MAX || copy->in_flight || copy->is_end_sent ||
        !cw_group_can_send(g))
        return;
    struct cw_message m = {.type = CW_MSG_COPY_END};
    m.copy_end = (struct cw_message_copy_end){
        .copy_id = copy->id, .chunk_count = copy->chunks_sent, .sequence = copy->sequence_max};
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
    copy->is_end_sent = true;
}

static void finish(struct cw_group *g, struct cw_peer *peer)
{
    cw_group_event(g, 0, "site %llu is whole: %llu bytes were copied in %llu ms", peer->site,
                   peer->copy.bytes_total, (g->now_ns - peer->copy.started_ns) / CW_MS);
    peer->needs_copy = false;
    peer->reason[0] = 0;
    g->super.peers[peer->site].needs_copy = false;
    g->super.peers[peer->site].sequence = peer->acked.durable;
    cw_super_ask(g);
    cw_source_reset(g, peer, CW_PEER_GREETING);
}

void cw_copy_on_ack(struct cw_group *g, struct cw_peer *peer, const struct cw_message_copy_ack *ack)
{
    struct cw_copy_source *copy = &peer->copy;

    if (ack->copy_id != copy->id || copy->id == 0)
        return;
    switch (ack->state) {
    case CW_COPY_BEGUN:
        if (peer->state == CW_PEER_COPY_BEGIN)
            peer->state = CW_PEER_COPYING;
        peer->heard_ns = g->now_ns;
        return;
    case CW_COPY_CHUNKS:
        if (ack->chunks_received <= copy->chunks_sent)
            copy->chunks_acked = CW_MAX(copy->chunks_acked, ack->chunks_received);
        return;
    case CW_COPY_DONE:
        if (copy->is_end_sent)
            finish(g, peer);
        return;
    default:
        snprintf(peer->reason, sizeof peer->reason, "%s",
                 ack->reason == CW_NO_SPACE
                     ? "a full copy needs as much free space as the volumes beside the old "
                       "image; free some there"
                     : "the replica could not take a full copy (see its events)");
        cw_group_event(g, 2, "site %llu refused a full copy (status %llu)", peer->site, ack->reason, 0);
        cw_source_reset(g, peer, CW_PEER_GREETING);
        peer->hello_asked_ns = g->now_ns + 5 * CW_SECOND;
    }
}
