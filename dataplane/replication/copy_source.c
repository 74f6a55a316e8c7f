/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The full copy, primary's side.
 *
 * A copy has parts. In most of them the live stream starts at start_sequence + 1 and goes on all the time.
 * Chunks are read from the volume's file and then patched with the overlay as it is when the read has
 * finished: no overlay entry that the read may have missed is dropped before (the read counts as one, see
 * cw_log_retire), so the bytes are exactly the volume after record S = head of that moment. Until the replica
 * has got a chunk of place S, the commit sequence it is told stays at or below S; so it cannot have gone past
 * the chunk's place when it arrives. With the last chunk and the records up to the highest S the copy ends.
 *
 * The ledger knows what the replica may lack. A part that is cut short, by the session or because the journal
 * is to lose what it still needs, costs the chunks that were on their way and what was written meanwhile: the
 * next part brings that. Once a copy has fallen off the journal, bulk parts follow: chunks only, of place
 * start_sequence, while writes are just noted. They hold no journal, so nothing can take it from them; each
 * leaves to the next what was written while it lasted. When that is little, or gets no less, a part with
 * records is tried again, in which chunks and records share the path evenly.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define PART_BITS 16u /* of a copy's id: number of the part */
#define PART_MAX  ((1u << PART_BITS) - 1)
#define TELL_NS   (10 * CW_SECOND)

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
    uint64_t id = cw_hash64(mix, sizeof mix) & ~(uint64_t)PART_MAX;

    return (id ? id : 1ull << PART_BITS) | 1;
}

static void send_begin(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_message m = {.type = CW_MSG_COPY_BEGIN};

    if ((peer->ledger.id & PART_MAX) > 1)
        m.flags = CW_COPY_CONTINUES;
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

/* ---------------------------------------------------------------- parts */

/* What of the log may not be over there yet and is above `start`, where the live stream begins. */
static void note_stream(struct cw_group *g, struct cw_peer *peer, uint64_t start)
{
    for (uint64_t s = start + 1; s <= g->head; s++) {
        const struct cw_record *r = &cw_log_at(g, s)->record;
        CW_ASSERT(cw_log_has(g, s) && "it is not committed, so it is not applied");
        if (r->kind != CW_RECORD_MARKER)
            cw_ledger_write(
                &peer->ledger,
                (struct cw_extent){.volume = r->volume, .offset = r->offset, .length = r->length});
    }
}

static void begin_ledger(struct cw_group *g, struct cw_peer *peer, uint64_t start)
{
    uint64_t sizes[CW_VOLUMES_PER_GROUP_MAX];

    for (uint32_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++)
        sizes[v] = g->volumes[v].is_present ? g->volumes[v].size : 0;
    cw_ledger_begin(&peer->ledger, sizes, g->config.copy_chunk_bytes, start);
    peer->ledger.id = fresh_copy_id(g);
    peer->ledger.reign = g->reign;
    peer->ledger.started_ns = g->now_ns;
    peer->has_fallen_off = false;
    peer->bulk_bytes = 0;
    note_stream(g, peer, start);
}

/* The ledger is of this reign, and has room for the number of another part. */
static bool goes_on(const struct cw_group *g, const struct cw_peer *peer)
{
    const struct cw_ledger *l = &peer->ledger;

#if CW_PLANTED_BUG == 25 /* a copy that is cut short begins with the first byte again */
    return false;
#endif
    return l->id != 0 && l->reign == g->reign && (l->id & PART_MAX) < PART_MAX;
}

/* Is so much lacking that records which go along would fall off again? When a part without them leaves as
 * much as it found, another one would, too. */
static bool wants_bulk(const struct cw_group *g, const struct cw_peer *peer, uint64_t lacking)
{
    uint64_t ring = cw_journal_ring_sectors(g->journal) * CW_SECTOR_SIZE;
    uint64_t little = CW_MIN(ring, total_bytes(g)) / 4 + CW_COPY_SLOTS * peer->ledger.unit;

    return peer->has_fallen_off && lacking > little &&
           (peer->bulk_bytes == 0 || lacking < peer->bulk_bytes - peer->bulk_bytes / 8);
}

static void tell_begin(struct cw_group *g, struct cw_peer *peer, uint64_t lacking)
{
    if ((peer->ledger.id & PART_MAX) == 1)
        cw_group_event(g, 0, "copying %llu bytes to site %llu in full", peer->copy.bytes_total, peer->site,
                       0);
    else if (g->now_ns - peer->copy_told_ns < TELL_NS)
        return;
    else
        cw_group_event(g, 0, "the copy to site %llu goes on: %llu of %llu bytes are left", peer->site,
                       lacking, peer->copy.bytes_total);
    peer->copy_told_ns = g->now_ns;
}

void cw_copy_begin(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_ledger *l = &peer->ledger;

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
    if (goes_on(g, peer)) {
        cw_ledger_fold(l, start);
        l->id++;
    } else {
        begin_ledger(g, peer, start);
    }
    uint64_t lacking = cw_ledger_lacking_bytes(l), total = total_bytes(g);
    bool is_bulk = wants_bulk(g, peer, lacking);
    peer->bulk_bytes = is_bulk ? lacking : 0;
    peer->copy = (struct cw_copy_source){.id = l->id,
                                         .is_bulk = is_bulk,
                                         .start_sequence = start,
                                         .sequence_max = start,
                                         .bytes_done = total - lacking,
                                         .bytes_total = total,
                                         .started_ns = l->started_ns};
    peer->next = start + 1;
    peer->acked =
        (struct cw_sequences){.received = start, .written = start, .durable = start, .applied = start};
    peer->is_measured = false; /* until it is whole it holds an old image, or none */
    peer->hello_asked_ns = g->now_ns;
    g->super.peers[peer->site].is_used = true;
    g->super.peers[peer->site].needs_copy = true;
    cw_super_ask(g);
    send_begin(g, peer);
    tell_begin(g, peer, lacking);
}

/* What is on its way, or came and may not be in place, is lacking. */
void cw_copy_abandon(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_copy_source *copy = &peer->copy;
    static_assert(
        CW_COUNT_OF(copy->sent) == 2 * CW_COPY_SLOTS,
        "what is called received is at most so many beyond what is in place, and what is sent beyond that");

    if (copy->id == 0)
        return;
    uint64_t in_place = copy->chunks_acked - CW_MIN(copy->chunks_acked, (uint64_t)CW_COPY_SLOTS);
    for (uint64_t i = in_place; i < copy->chunks_sent; i++)
        cw_ledger_lack(&peer->ledger, copy->sent[i % CW_COUNT_OF(copy->sent)].extent);
    for (uint32_t i = 0; i < CW_COPY_SLOTS; i++) {
        const struct cw_copy_slot *slot = &g->copy_slots[i];
        if (slot->state == CW_COPY_SLOT_READING && slot->copy_id == copy->id)
            cw_ledger_lack(&peer->ledger, slot->extent);
    }
    cw_ledger_lack(&peer->ledger, copy->now);
    memset(copy, 0, sizeof *copy); /* slots of an old id free themselves when they come back */
}

void cw_copy_fall_off(struct cw_group *g, struct cw_peer *peer)
{
    if (!peer->has_fallen_off)
        cw_group_event(
            g, 1,
            "the journal is full: writes come faster than site %llu is copied; the copy goes on, and "
            "takes what is written meanwhile from the volumes",
            peer->site, 0, 0);
    peer->has_fallen_off = true;
    snprintf(
        peer->reason, sizeof peer->reason, "%s",
        "it is being copied, and writes come faster than the copy: it ends when they get fewer, or the path "
        "carries more");
    cw_source_reset(g, peer, CW_PEER_GREETING);
}

bool cw_copy_brakes(const struct cw_group *g, const struct cw_peer *peer)
{
    return peer->state == CW_PEER_COPYING && !peer->copy.is_bulk && peer->has_fallen_off &&
           cw_brake_may_hold(g);
}

void cw_copy_note_write(struct cw_group *g, const struct cw_record *r)
{
    struct cw_extent extent = {.volume = r->volume, .offset = r->offset, .length = r->length};

    for (uint32_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].ledger.id != 0 && g->peers[s].ledger.reign == g->reign)
            cw_ledger_write(&g->peers[s].ledger, extent);
}

/* What was not read of it is not read any more: nobody over there waits for it. */
void cw_copy_on_volume_removed(struct cw_group *g, uint16_t volume)
{
#if CW_PLANTED_BUG == 21 /* a copy goes on with a volume that was deleted */
    return;
#endif
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_copy_source *copy = &g->peers[s].copy;
        struct cw_ledger *l = &g->peers[s].ledger;
        if (l->id == 0)
            continue;
        uint64_t bytes = cw_ledger_lacking_bytes_of(l, volume);
        cw_ledger_remove(l, volume);
        if (copy->id == 0)
            continue;
        if (copy->now.volume == volume) {
            bytes += copy->now.length;
            copy->now.length = 0;
        }
        copy->bytes_total -= bytes;
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

static bool has_more(const struct cw_peer *peer)
{
    return peer->copy.now.length > 0 || peer->ledger.lacking_units > 0;
}

static struct cw_extent next_piece(struct cw_peer *peer, uint64_t chunk_bytes)
{
    struct cw_extent *now = &peer->copy.now;

    if (now->length == 0)
        (void)cw_ledger_take(&peer->ledger, *now, now); /* there is more */
    struct cw_extent piece = *now;
    piece.length = CW_MIN(piece.length, chunk_bytes);
    now->offset += piece.length;
    now->length -= piece.length;
    return piece;
}

static void read_chunk(struct cw_group *g, struct cw_peer *peer, struct cw_copy_slot *slot)
{
    slot->state = CW_COPY_SLOT_READING;
    slot->generation++;
    slot->peer = peer->site;
    slot->copy_id = peer->copy.id;
    slot->extent = next_piece(peer, g->config.copy_chunk_bytes);
    slot->ticket_phase = g->read_phase;
    g->reads[g->read_phase]++;
    peer->copy.in_flight++;
    struct cw_action *action = cw_group_act(g, CW_ACT_COPY_READ);
    action->volume = slot->extent.volume;
    action->offset = slot->extent.offset;
    action->length = slot->extent.length;
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
    uint32_t length = (uint32_t)slot->extent.length, index = (uint32_t)(slot - g->copy_slots);
    bool zero = is_zero(slot->memory, length);
    /* Without records nothing over there can be beyond that place, and another part brings what was written.
     */
    uint64_t place = copy->is_bulk ? copy->start_sequence : g->head;

    m.copy_chunk = (struct cw_message_copy_chunk){.copy_id = copy->id,
                                                  .index = copy->chunks_sent,
                                                  .sequence = place,
                                                  .volume = slot->extent.volume,
                                                  .is_zero = zero,
                                                  .length = length,
                                                  .offset = slot->extent.offset,
                                                  .payload_hash = zero ? 0 : cw_hash64(slot->memory, length)};
    uint32_t at = copy->chunks_sent++ % CW_COUNT_OF(copy->sent);
    copy->sent[at].sequence = copy->sequence_max = place;
    copy->sent[at].extent = slot->extent;
    copy->bytes_done += length;
    peer->progress_ns = g->now_ns;
    cw_count(&g->counters[CW_GROUP_COPY_CHUNKS], 1);
    slot->state = zero ? CW_COPY_SLOT_FREE : CW_COPY_SLOT_SENT;
    cw_group_send(g, peer->site, 2, &m, zero ? NULL : slot->memory, zero ? 0 : length,
                  zero ? 0 : cw_tag(peer, CW_TAG_COPY_SLOT, index));
}

void cw_group_on_copy_read(struct cw_group *g, uint64_t token, enum cw_status status)
{
    struct cw_copy_slot *slot = &g->copy_slots[(uint32_t)token];
    struct cw_peer *peer = &g->peers[slot->peer];
    uint8_t *slices[1] = {slot->memory};
    struct cw_group_read read = {.ticket = slot->ticket_phase,
                                 .volume = slot->extent.volume,
                                 .offset = slot->extent.offset,
                                 .length = slot->extent.length};

    CW_ASSERT(slot->state == CW_COPY_SLOT_READING && slot->generation == (uint32_t)(token >> 32));
    cw_group_read_end(g, &read, slices, 1);
    slot->state = CW_COPY_SLOT_FREE;
    if (peer->state != CW_PEER_COPYING || peer->copy.id != slot->copy_id)
        return;
    peer->copy.in_flight--;
    if (g->volumes[slot->extent.volume]
            .is_removed) { /* asked for, and not begun before its file was closed */
        peer->copy.bytes_done += slot->extent.length;
        return;
    }
    if (status != CW_OK) {
        cw_ledger_lack(&peer->ledger, slot->extent);
        cw_group_event(g, 2, "a volume could not be read at byte %llu: the copy to site %llu tries again",
                       slot->extent.offset, peer->site, 0);
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

bool cw_copy_lets_records(const struct cw_group *g, const struct cw_peer *peer)
{
    const struct cw_copy_source *copy = &peer->copy;

    if (peer->state != CW_PEER_COPYING)
        return true;
    if (copy->is_bulk)
        return false;
    bool has_all = !has_more(peer) && copy->chunks_acked == copy->chunks_sent && copy->in_flight == 0;
    return !peer->has_fallen_off || has_all ||
           copy->record_bytes < (copy->chunks_acked + CW_COPY_SLOTS) * g->config.copy_chunk_bytes;
}

static void send_end(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_copy_source *copy = &peer->copy;
    struct cw_message m = {.type = CW_MSG_COPY_END};

    m.copy_end = (struct cw_message_copy_end){
        .copy_id = copy->id, .chunk_count = copy->chunks_sent, .sequence = copy->sequence_max};
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
    copy->is_end_sent = true;
}

void cw_copy_step(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_copy_source *copy = &peer->copy;

    cw_ledger_turn(&peer->ledger, peer->acked.applied, g->head);
    while (has_more(peer) && cw_group_can_send(g) &&
           copy->chunks_sent + copy->in_flight - copy->chunks_acked < CW_COPY_SLOTS) {
        struct cw_copy_slot *slot = free_slot(g);
        if (!slot)
            return;
        read_chunk(g, peer, slot);
    }
    if (has_more(peer) || copy->in_flight || copy->is_end_sent || !cw_group_can_send(g))
        return;
    if (!copy->is_bulk)
        send_end(g, peer);
    else if (copy->chunks_acked == copy->chunks_sent)
        cw_copy_begin(g, peer);
}

static void finish(struct cw_group *g, struct cw_peer *peer)
{
    cw_group_event(g, 0, "site %llu is whole: %llu bytes were copied in %llu ms", peer->site,
                   peer->copy.bytes_total, (g->now_ns - peer->copy.started_ns) / CW_MS);
    peer->needs_copy = false;
    peer->reason[0] = 0;
    cw_ledger_end(&peer->ledger);
    peer->moved_ns = g->now_ns;
    if (peer->has_fallen_off)
        cw_landing_begin(g, peer);
    g->super.peers[peer->site].needs_copy = false;
    g->super.peers[peer->site].sequence = peer->acked.durable;
    cw_super_ask(g);
    cw_source_reset(g, peer, CW_PEER_GREETING);
}

/* Its files are new: what they were taken to have is lacking. */
static void begin_over(struct cw_group *g, struct cw_peer *peer)
{
    cw_ledger_lack_all(&peer->ledger);
    peer->copy.bytes_done = 0;
    peer->bulk_bytes = 0;
    if (!peer->copy.is_bulk && wants_bulk(g, peer, peer->copy.bytes_total)) /* it was to be the last part */
        cw_source_reset(g, peer, CW_PEER_GREETING);
    if ((peer->ledger.id & PART_MAX) > 1)
        cw_group_event(g, 1,
                       "site %llu has nothing of an earlier part of the copy: all of it goes there again",
                       peer->site, 0, 0);
}

/* It was still busy with an earlier part when the newer one was asked for, and did not hear of it. */
static bool is_late_begin(const struct cw_peer *peer, const struct cw_message_copy_ack *ack)
{
    return peer->state == CW_PEER_COPY_BEGIN && ack->state == CW_COPY_BEGUN &&
           ack->copy_id >> PART_BITS == peer->copy.id >> PART_BITS && ack->copy_id < peer->copy.id;
}

void cw_copy_on_ack(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    struct cw_copy_source *copy = &peer->copy;
    const struct cw_message_copy_ack *ack = &m->copy_ack;

    if (copy->id == 0)
        return;
    if (is_late_begin(peer, ack) && cw_group_can_send(g))
        send_begin(g, peer);
    if (ack->copy_id != copy->id)
        return;
    switch (ack->state) {
    case CW_COPY_BEGUN:
        if (peer->state == CW_PEER_COPY_BEGIN && !(m->flags & CW_COPY_CONTINUES))
            begin_over(g, peer);
        if (peer->state == CW_PEER_COPY_BEGIN)
            peer->state = CW_PEER_COPYING;
        peer->heard_ns = g->now_ns;
        return;
    case CW_COPY_CHUNKS:
        if (ack->chunks_received <= copy->chunks_acked || ack->chunks_received > copy->chunks_sent)
            return;
        copy->chunks_acked = ack->chunks_received;
        peer->moved_ns = g->now_ns;
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
                 : ack->reason == CW_EXISTS
                     ? "a full copy needs the name PATH.copy beside a volume, and somebody's file is there: "
                       "move it away (the replica's events name it)"
                     : "the replica could not take a full copy (see its events)");
        cw_group_event(g, 2, "site %llu refused a full copy (status %llu)", peer->site, ack->reason, 0);
        cw_source_reset(g, peer, CW_PEER_GREETING);
        peer->hello_asked_ns = g->now_ns + 5 * CW_SECOND;
    }
}
