/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primary's side of each peer.
 *
 *     DISCONNECTED -> GREETING -> ATTACHING -> STREAMING
 *                        |------> COPY_BEGIN -> COPYING -> GREETING (whole now)
 *                        '------> DIVERGED
 *
 * A session that comes up greets; the two histories are compared; either a common point is found and the peer
 * attaches there, or it must be copied in full, or it has applied what we do not know and is diverged. A
 * peer has its own cursor: records come from memory while they are there, from the journal when not, so a
 * slow peer slows nobody.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#define COMMIT_DELAY_NS   CW_MS /* a commit that no record carries is said this much later at most */
#define HEARTBEAT_NS      (100 * CW_MS)
#define GREETING_AGAIN_NS (500 * CW_MS)
#define LACKING_NS        (10 * CW_SECOND)

/* ---------------------------------------------------------------- greeting */

void cw_group_send_hello(struct cw_group *g, struct cw_peer *peer, uint8_t flags)
{
    struct cw_message m = {.type = CW_MSG_HELLO, .flags = flags};
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    bool follows = g->follow.state == CW_FOLLOW_STREAMING && g->follow.primary == peer->site;

    peer->owes_hello = cw_group_is_cutting(g);
    if (peer->owes_hello)
        return;
    if (cw_group_is_open(g))
        m.flags |= CW_HELLO_PRIMARY;
    else if (g->role > CW_ROLE_REPLICA)
        m.flags |= CW_HELLO_OPENING;
    if (follows)
        m.flags |= CW_HELLO_FOLLOWING;
    if (g->super.image_state != CW_IMAGE_WHOLE || g->is_recovered_damaged)
        m.flags |= CW_HELLO_NEEDS_COPY;
    if (!cw_group_is_open(g)) { /* speak in the name of what we hold, or of what we follow */
        m.epoch = follows ? g->follow.epoch : last ? last->epoch : 0;
        m.reign = follows ? g->follow.reign : last ? last->reign : 0;
    }
    m.hello.identity = g->config.identity;
    m.hello.sequences = (struct cw_sequences){.received = g->head,
                                              .written = cw_group_written(g),
                                              .durable = cw_group_durable(g),
                                              .applied = g->applied,
                                              .commit = g->commit};
    m.hello.applied_limit = cw_group_applied_limit(g);
    m.hello.history = g->super.history;
    m.hello.volume_count = g->super.volume_count;
    for (uint32_t i = 0; i < g->super.volume_count; i++) {
        m.hello.volumes[i].volume = g->super.volumes[i].volume;
        m.hello.volumes[i].size = g->super.volumes[i].size;
        m.hello.volumes[i].base = g->super.volumes[i].base;
    }
    peer->hello_asked_ns = g->now_ns;
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
}

static void drop_read_slot(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->read_slot < 0)
        return;
    struct cw_read_slot *slot = &g->read_slots[peer->read_slot];
    slot->is_current = false;
    if (slot->state == CW_SLOT_LOADED && slot->references == 0)
        slot->state = CW_SLOT_FREE;
    peer->read_slot = -1;
}

void cw_source_reset(struct cw_group *g, struct cw_peer *peer, enum cw_peer_state state)
{
    drop_read_slot(g, peer);
    peer->read_ahead = 0;
    cw_copy_abandon(g, peer);
    peer->is_awaited = false;
    peer->state = peer->is_up ? (uint8_t)state : CW_PEER_DISCONNECTED;
    peer->fetch_last = 0;
    peer->told_commit = 0;
    peer->told_commit_ns = 0;
    peer->told_sync = 0;
    if (state == CW_PEER_GREETING)
        peer->hello_asked_ns = 0;
}

/* Does a volume differ in the data that it began with? One that the other has not made yet begins as zeros.
 */
static bool bases_differ(const struct cw_group *g, const struct cw_message_hello *hello, bool *is_lacking)
{
    bool differ = false;

    *is_lacking = false;
    for (uint32_t i = 0; i < g->super.volume_count; i++) {
        uint64_t base = 0;
        bool has = false;
        for (uint32_t j = 0; j < hello->volume_count; j++)
            if (hello->volumes[j].volume == g->super.volumes[i].volume) {
                base = hello->volumes[j].base;
                has = true;
            }
        differ |= base != g->super.volumes[i].base;
        *is_lacking |= !has && g->super.volumes[i].base != 0;
    }
    return differ;
}

/* It lacks a volume that began with data here. Either it has not made it yet, then a copy has no place to go
 * to; or it has deleted it already, and we shall hear of that: a moment decides between a copy and none. */
static bool waits_for_volume(struct cw_group *g, struct cw_peer *peer, bool is_lacking)
{
    if (!is_lacking)
        peer->lacks_since_ns = 0;
    else if (peer->lacks_since_ns == 0)
        peer->lacks_since_ns = g->now_ns;
    if (!is_lacking || g->now_ns - peer->lacks_since_ns >= LACKING_NS)
        return false;
    peer->hello_asked_ns = g->now_ns; /* again in a while */
    return true;
}

static bool can_stream_from(struct cw_group *g, uint64_t first)
{
    uint64_t position;
    uint32_t sectors;

    if (first > g->head || cw_log_has(g, first))
        return true;
    return cw_journal_find(g->journal, first, &position, &sectors) == CW_OK;
}

static void set_diverged(struct cw_group *g, struct cw_peer *peer, uint64_t common)
{
    peer->state = CW_PEER_DIVERGED;
    snprintf(peer->reason, sizeof peer->reason, "%s",
             "it applied writes that this history does not have; causeway resync GROUP --site SITE keeps "
             "them, then copies in full");
    cw_group_event(g, 2,
                   "site %llu is diverged: it applied up to %llu, common are only records up to %llu; "
                   "resync it to keep its tail in a salvage file and copy it in full",
                   peer->site, peer->hello.applied_limit, common);
}

static void send_attach(struct cw_group *g, struct cw_peer *peer, uint64_t common)
{
    struct cw_message m = {.type = CW_MSG_ATTACH};

    m.attach.sequence = common;
    m.attach.history = g->super.history;
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
    peer->state = CW_PEER_ATTACHING;
    peer->hello_asked_ns = g->now_ns;
    peer->next = common + 1;
}

/* The peer has told all it knows of itself: how do we go on with it? */
static void decide(struct cw_group *g, struct cw_peer *peer)
{
    const struct cw_message_hello *hello = &peer->hello;
    uint64_t common;

    if (peer->hello_epoch > g->epoch) {
        cw_group_leave(g, peer->hello_epoch);
        return;
    }
    bool is_fresh = hello->history.count == 0 && hello->sequences.received == 0;
    bool is_lacking, differ = bases_differ(g, hello, &is_lacking);
    if (waits_for_volume(g, peer, is_lacking))
        return;
    if (peer->needs_copy || (peer->hello_flags & CW_HELLO_NEEDS_COPY) || differ) {
        cw_copy_begin(g, peer);
        return;
    }
    bool shared =
        cw_history_common(&g->super.history, g->head, &hello->history, hello->sequences.received, &common);
    const struct cw_history_entry *theirs = cw_history_last(&hello->history);
    if (!shared && theirs && cw_history_is_forgotten(&g->super.history, theirs->epoch)) {
        cw_group_event(
            g, 1,
            "site %llu follows epoch %llu, which is older than all that this site still knows: it is "
            "copied in full",
            peer->site, theirs->epoch, 0);
        cw_copy_begin(g, peer);
        return;
    }
    if (!shared && !is_fresh) {
        set_diverged(g, peer, 0);
        return;
    }
    if (hello->applied_limit > common) {
        set_diverged(g, peer, common);
        return;
    }
    if (!can_stream_from(g, common + 1)) {
        cw_group_event(g, 1,
                       "site %llu stands at %llu, which is no longer in the journal: it is copied in full",
                       peer->site, common, 0);
        cw_copy_begin(g, peer);
        return;
    }
    peer->reason[0] = 0;
    send_attach(g, peer, common);
}

void cw_source_on_hello(struct cw_group *g, struct cw_peer *peer)
{
    bool follows_us = (peer->hello_flags & CW_HELLO_FOLLOWING) && peer->hello_epoch == g->epoch &&
                      peer->hello_reign == g->reign;

    if ((peer->state == CW_PEER_STREAMING || peer->state == CW_PEER_COPYING) && !follows_us)
        cw_source_reset(g, peer, CW_PEER_GREETING);
    if (peer->state == CW_PEER_DIVERGED && peer->needs_copy)
        cw_source_reset(g, peer, CW_PEER_GREETING);
    if (peer->state == CW_PEER_GREETING && cw_group_can_send(g))
        decide(g, peer);
}

void cw_source_on_attached(struct cw_group *g, struct cw_peer *peer,
                           const struct cw_message_attached *attached)
{
    if (peer->state != CW_PEER_ATTACHING)
        return;
    if (attached->result == CW_ATTACH_DIVERGED) {
        set_diverged(g, peer, peer->next - 1);
        return;
    }
    if (attached->result != CW_ATTACH_OK || attached->sequence != peer->next - 1) {
        cw_source_reset(g, peer, CW_PEER_GREETING);
        peer->hello_asked_ns = g->now_ns; /* it is busy, or full: not again at once */
        return;
    }
    uint64_t common = attached->sequence;
    peer->acked = (struct cw_sequences){.received = common,
                                        .written = CW_MIN(common, peer->hello.sequences.written),
                                        .durable = CW_MIN(common, peer->hello.sequences.durable),
                                        .applied = CW_MIN(common, peer->hello.sequences.applied)};
    peer->is_measured = true;
    peer->state = CW_PEER_STREAMING;
    cw_ledger_end(&peer->ledger);
    peer->attaches++;
    peer->left = common;
    peer->left_ns = g->now_ns;
    peer->heard_ns = g->now_ns;
    cw_note_cursor(g, peer);
    cw_group_event(g, 0, "site %llu is attached at sequence %llu and catches up to %llu", peer->site, common,
                   g->head);
}

void cw_source_on_ack(struct cw_group *g, struct cw_peer *peer, const struct cw_message_ack *ack)
{
    if (peer->state != CW_PEER_STREAMING && peer->state != CW_PEER_COPYING)
        return;
    if (ack->process_start != peer->hello.identity.process_start)
        return;
    if (ack->sequences.received > g->head || ack->sequences.written > ack->sequences.received ||
        ack->sequences.durable > ack->sequences.written || ack->sequences.applied > g->head) {
        cw_count(&g->counters[CW_GROUP_BAD_FIELD], 1);
        return;
    }
    peer->heard_ns = g->now_ns;
    if (ack->sequences.written > peer->acked.written || ack->sequences.durable > peer->acked.durable ||
        ack->sequences.received > peer->acked.received)
        peer->progress_ns = peer->moved_ns = g->now_ns;
    peer->acked.received = CW_MAX(peer->acked.received, ack->sequences.received);
    peer->acked.written = CW_MAX(peer->acked.written, ack->sequences.written);
    peer->acked.durable = CW_MAX(peer->acked.durable, ack->sequences.durable);
    peer->acked.applied = CW_MAX(peer->acked.applied, ack->sequences.applied);
}

/* ---------------------------------------------------------------- sending records */

uint64_t cw_peer_commit(const struct cw_group *g, const struct cw_peer *peer)
{
    const struct cw_copy_source *copy = &peer->copy;

#if CW_PLANTED_BUG == 14 /* chunks may come in after records of a later place were applied */
    return g->commit;
#endif
    /* A replica must not apply beyond the place of a chunk that it has not got yet. */
    if (peer->state == CW_PEER_COPYING && copy->is_bulk)
        return CW_MIN(g->commit, copy->start_sequence);
    if (peer->state == CW_PEER_COPYING && copy->chunks_acked < copy->chunks_sent)
        return CW_MIN(g->commit, copy->sent[copy->chunks_acked % CW_COUNT_OF(copy->sent)].sequence);
    return g->commit;
}

static void send_record(struct cw_group *g, struct cw_peer *peer, const struct cw_record *record,
                        const uint8_t *payload, uint64_t tag)
{
    struct cw_message m = {.type = CW_MSG_RECORD};
    uint32_t length = cw_record_payload_length(record);

    m.flags = peer->fetch_last ? CW_RECORD_MSG_FETCHED : 0;
    m.record.record = *record;
    if (!peer->fetch_last) {
        m.record.commit = cw_peer_commit(g, peer);
        peer->told_commit = m.record.commit;
        peer->told_commit_ns = g->now_ns;
    }
    cw_group_send(g, peer->site, 1, &m, (uint8_t *)(uintptr_t)payload, length, tag);
    if (g->config.mode == CW_MODE_NETWORK_SYNC && !peer->fetch_last)
        cw_departure_ask(g, peer, record->sequence);
    peer->copy.record_bytes += CW_BLOCK_SIZE_MIN + length;
    if (tag) {
        peer->sends++;
        if (cw_log_has(g, record->sequence)) /* read slots bound themselves */
            peer->send_bytes += length;
    }
    peer->next++;
}

static void send_from_memory(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_log_entry *entry = cw_log_at(g, peer->next);
    struct cw_held *held = cw_pool_get(&g->held, entry->held);

    if (held) {
        held->references++;
        g->held_sends++;
    }
    send_record(g, peer, &entry->record, held ? held->payload.data : NULL,
                held ? cw_tag(peer, CW_TAG_HELD, entry->held.index) : 0);
}

static void journal_is_unreadable(struct cw_group *g, struct cw_peer *peer)
{
    drop_read_slot(g, peer);
    if (!cw_group_is_open(g)) { /* it was fetching: it asks again, or gives up */
        peer->fetch_last = 0;
        return;
    }
    peer->needs_copy = true;
    cw_group_event(g, 2, "the journal could not be read at sequence %llu: site %llu must be copied in full",
                   peer->next, peer->site, 0);
    cw_source_reset(g, peer, CW_PEER_GREETING);
}

static void issue_read(struct cw_group *g, uint32_t index)
{
    const struct cw_read_slot *slot = &g->read_slots[index];
    struct cw_action *action = cw_group_act(g, CW_ACT_JOURNAL_READ);

    action->memory = slot->memory;
    action->offset = cw_journal_device_offset(slot->position, cw_journal_ring_sectors(g->journal));
    action->length = (uint64_t)slot->loaded * CW_SECTOR_SIZE;
    action->token = (uint64_t)slot->generation << 32 | index;
    cw_count(&g->counters[CW_GROUP_CATCHUP_READS], 1);
}

/* Asks for the batch that holds the peer's next record, and for some of what follows: where each write was a
 * batch of its own, a batch at a time would be a handful of writes a round trip. How much doubles each time that
 * all of it was used, as a kernel reads ahead, so that a slow disk is not kept busy with what is served from memory
 * in the end. What is not written yet there, or is of an earlier lap, is found out when it is its turn. */
static void read_batch(struct cw_group *g, struct cw_peer *peer)
{
    uint64_t position, ring = cw_journal_ring_sectors(g->journal);
    uint32_t sectors;

    if (cw_journal_find(g->journal, peer->next, &position, &sectors) != CW_OK) {
        journal_is_unreadable(g, peer);
        return;
    }
    for (uint32_t i = 0; i < CW_READ_SLOTS; i++) {
        struct cw_read_slot *slot = &g->read_slots[i];
        if (slot->state != CW_SLOT_FREE)
            continue;
        slot->state = CW_SLOT_READING;
        slot->peer = peer->site;
        slot->is_current = true;
        slot->generation++;
        slot->position = position;
        slot->offset = 0;
        slot->sectors = sectors;
        slot->loaded = (uint32_t)CW_MIN((uint64_t)CW_MAX(sectors, peer->read_ahead), ring - position % ring);
        CW_ASSERT(sectors <= slot->loaded && "a batch does not go round the end of the ring");
        slot->next_record = 0;
        peer->read_slot = (int32_t)i;
        issue_read(g, i);
        return;
    }
}

static bool view_batch(const struct cw_group *g, struct cw_read_slot *slot)
{
    return cw_batch_check(slot->memory + (size_t)slot->offset * CW_SECTOR_SIZE,
                          (size_t)slot->sectors * CW_SECTOR_SIZE, slot->position,
                          cw_journal_ring_sectors(g->journal), g->super.journal_id,
                          &slot->view) == CW_SECTOR_VALID;
}

/* Goes on to the batch that follows in memory, if the next record is there. false: it is to be read. */
static bool next_batch(const struct cw_group *g, struct cw_peer *peer, struct cw_read_slot *slot)
{
    uint32_t offset = slot->offset + slot->sectors, sectors;
    uint64_t position;

    if (cw_journal_find(g->journal, peer->next, &position, &sectors) != CW_OK ||
        position != slot->position + slot->sectors)
        return false;
    if (offset + sectors > slot->loaded) {
        /* Not while it is copied: records would crowd out the chunks. */
        peer->read_ahead =
            peer->state == CW_PEER_COPYING ? 0 : CW_MIN(2 * slot->loaded, CW_BATCH_SECTORS_MAX);
        return false;
    }
    slot->position = position;
    slot->offset = offset;
    slot->sectors = sectors;
    slot->next_record = 0;
    return view_batch(g, slot);
}

void cw_group_on_journal_read(struct cw_group *g, uint64_t token, enum cw_status status)
{
    struct cw_read_slot *slot = &g->read_slots[(uint32_t)token];

    CW_ASSERT(slot->state == CW_SLOT_READING && slot->generation == (uint32_t)(token >> 32));
    if (status != CW_OK && slot->is_current && slot->loaded > slot->sectors) {
        slot->loaded = slot->sectors; /* what was read ahead may be what cannot be read */
        g->peers[slot->peer].read_ahead = 0;
        issue_read(g, (uint32_t)token);
        return;
    }
    slot->state = CW_SLOT_FREE;
    if (!slot->is_current)
        return;
    struct cw_peer *peer = &g->peers[slot->peer];
    if (status != CW_OK || !view_batch(g, slot)) {
        journal_is_unreadable(g, peer);
        return;
    }
    slot->state = CW_SLOT_LOADED;
    slot->references = 0;
}

/* What was read ahead may be of before it was written, or written anew: only what was asked for tells. false:
 * so did this. */
static bool read_again(struct cw_group *g, struct cw_peer *peer)
{
    bool was_ahead = g->read_slots[peer->read_slot].offset > 0;

    if (was_ahead)
        drop_read_slot(g, peer);
    else
        journal_is_unreadable(g, peer);
    return was_ahead;
}

/* false: nothing more can be sent now. */
static bool send_from_journal(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->read_slot < 0) {
        read_batch(g, peer);
        return false;
    }
    struct cw_read_slot *slot = &g->read_slots[peer->read_slot];
    if (slot->state != CW_SLOT_LOADED)
        return false;
    while (slot->next_record < slot->view.record_count) {
        struct cw_record record;
        const uint8_t *payload;
        if (cw_batch_record(&slot->view, slot->next_record++, &record, &payload) != CW_OK)
            return read_again(g, peer);
        if (record.sequence != peer->next ||
            !cw_history_has(&g->super.history, record.sequence, record.epoch, record.reign))
            continue;
        if (payload)
            slot->references++;
        send_record(g, peer, &record, payload,
                    payload ? cw_tag(peer, CW_TAG_READ_SLOT, (uint32_t)peer->read_slot) : 0);
        return true;
    }
    uint64_t next_position;
    uint32_t sectors;
    if (next_batch(g, peer, slot))
        return true;
    if (cw_journal_find(g->journal, peer->next, &next_position, &sectors) == CW_OK &&
        next_position == slot->position)
        return read_again(g, peer); /* it should have been in there, and counts no longer */
    drop_read_slot(g, peer);
    return true;
}

void cw_source_sent(struct cw_group *g, struct cw_peer *peer, uint16_t session, uint32_t body_length)
{
    if (session != peer->session)
        return;
    CW_ASSERT(peer->sends > 0);
    peer->sends--;
    peer->send_bytes -= body_length;
}

void cw_group_on_sent(struct cw_group *g, uint8_t site, uint64_t tag, bool delivered)
{
    struct cw_peer *peer = &g->peers[site];
    uint32_t index = (uint32_t)tag;
    uint16_t session = (uint16_t)(tag >> 48);

    switch ((tag >> 32) & 0xffff) {
    case CW_TAG_HELD: {
        struct cw_handle handle = {.index = index, .generation = g->held.generations[index]};
        const struct cw_held *held = cw_pool_get(&g->held, handle);
        CW_ASSERT(held != NULL && "a send keeps what it sends");
        g->held_sends--;
        cw_source_sent(g, peer, session, held->payload.length);
        cw_held_unref(g, handle);
        return;
    }
    case CW_TAG_READ_SLOT: {
        struct cw_read_slot *slot = &g->read_slots[index];
        CW_ASSERT(slot->references > 0);
        cw_source_sent(g, peer, session, 0);
        if (--slot->references == 0 && !slot->is_current)
            slot->state = CW_SLOT_FREE;
        return;
    }
    case CW_TAG_COPY_SLOT:
        cw_copy_on_sent(g, index);
        return;
    default:
        CW_ASSERT(!"a tag of ours");
    }
}

/* How far this peer may be sent records: what it has room for, in its log and on the way. */
static uint64_t send_limit(const struct cw_group *g, const struct cw_peer *peer)
{
    if (peer->fetch_last)
        return CW_MIN(peer->fetch_last, g->head);
    return CW_MIN(g->head, peer->acked.applied + g->log_mask - 8);
}

/* Bytes on the way: what stands in a queue when a copy goes on with another part was sent in vain. */
static uint64_t send_bytes_max(const struct cw_group *g, const struct cw_peer *peer)
{
    uint64_t ring = cw_journal_ring_sectors(g->journal) * CW_SECTOR_SIZE;

    if (peer->state == CW_PEER_COPYING && peer->has_fallen_off)
        return (uint64_t)CW_COPY_SLOTS * g->config.copy_chunk_bytes;
    return CW_MIN(ring / 4, (uint64_t)CW_PEER_SEND_BYTES_MAX);
}

/* What was on its way when it was attached may have come after it had said where it stands. The journal keeps
 * that for nobody. */
static void skip_what_it_has(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->fetch_last || peer->acked.received < peer->next || cw_log_has(g, peer->next))
        return;
    drop_read_slot(g, peer);
    peer->next = peer->acked.received + 1;
}

static void pump(struct cw_group *g, struct cw_peer *peer)
{
    uint64_t limit = send_limit(g, peer), bytes_max = send_bytes_max(g, peer);

    skip_what_it_has(g, peer);
    while (cw_copy_lets_records(g, peer) && peer->next <= limit && cw_group_can_send(g) &&
           peer->sends < CW_PEER_SENDS_MAX && peer->send_bytes < bytes_max &&
           g->held_sends < CW_HELD_SENDS_MAX) {
        if (cw_log_has(g, peer->next)) {
            drop_read_slot(g, peer);
            peer->read_ahead = 0;
            send_from_memory(g, peer);
        } else if (!send_from_journal(g, peer)) {
            return;
        }
    }
    if (peer->fetch_last && peer->next > peer->fetch_last) {
        drop_read_slot(g, peer);
        peer->fetch_last = 0;
    }
}

void cw_source_on_fetch(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    if (g->role != CW_ROLE_REPLICA || m->fetch.first == 0 || m->fetch.first > m->fetch.last ||
        m->fetch.last > g->head) {
        cw_count(&g->counters[CW_GROUP_STALE], 1);
        return;
    }
    drop_read_slot(g, peer);
    peer->next = m->fetch.first;
    peer->fetch_last = m->fetch.last;
}

/* ---------------------------------------------------------------- commit */

static bool commit_is_due(const struct cw_group *g, const struct cw_peer *peer)
{
    uint64_t since = g->now_ns - peer->told_commit_ns;

    if (g->sync_wanted > peer->told_sync && g->sync_wanted > peer->acked.durable &&
        peer->next > g->sync_wanted)
        return true;
    if (cw_peer_commit(g, peer) > peer->told_commit)
        return since >= COMMIT_DELAY_NS || g->role == CW_ROLE_DRAINING;
    return since >= HEARTBEAT_NS;
}

static void tell_commit(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_message m = {.type = CW_MSG_COMMIT};

    if (!commit_is_due(g, peer) || !cw_group_can_send(g))
        return;
    peer->told_sync = g->sync_wanted;
    peer->told_commit = cw_peer_commit(g, peer);
    peer->told_commit_ns = g->now_ns;
    m.commit = (struct cw_message_commit){.commit = peer->told_commit,
                                          .head = g->head,
                                          .sync_to = CW_MIN(g->sync_wanted, g->head),
                                          .time_ns = g->now_ns};
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
}

static void greet(struct cw_group *g, struct cw_peer *peer)
{
    if (g->now_ns < peer->hello_asked_ns + GREETING_AGAIN_NS || !cw_group_can_send(g))
        return;
    if (peer->state == CW_PEER_ATTACHING || peer->state == CW_PEER_COPY_BEGIN) {
        if (g->now_ns - peer->hello_asked_ns < 20 * GREETING_AGAIN_NS)
            return; /* a superblock, a salvage file and new files may take their time */
        cw_source_reset(g, peer, CW_PEER_GREETING);
    }
    cw_group_send_hello(g, peer, CW_HELLO_ASK);
}

/* A session may live on when the replica behind it does not follow any more. */
static bool is_silent(struct cw_group *g, struct cw_peer *peer)
{
    if (g->now_ns < peer->heard_ns + CW_MAX(g->config.replica_timeout_ns, 10 * HEARTBEAT_NS))
        return false;
    cw_group_event(g, 1, "site %llu is connected but silent: it is greeted anew", peer->site, 0, 0);
    cw_source_reset(g, peer, CW_PEER_GREETING);
    return true;
}

void cw_source_step(struct cw_group *g)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (!peer->is_configured || !peer->is_up)
            continue;
        if (peer->owes_hello && !cw_group_is_cutting(g))
            cw_group_send_hello(g, peer, CW_HELLO_ASK);
        if (peer->fetch_last)
            pump(g, peer);
        if (!cw_group_is_open(g))
            continue;
        if (peer->state < CW_PEER_COPYING)
            greet(g, peer);
        if (peer->state == CW_PEER_COPYING)
            cw_copy_step(g, peer);
        if ((peer->state == CW_PEER_STREAMING || peer->state == CW_PEER_COPYING) && !is_silent(g, peer)) {
            pump(g, peer);
            tell_commit(g, peer);
        }
    }
}

uint64_t cw_source_deadline(const struct cw_group *g)
{
    uint64_t deadline = CW_NEVER;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        const struct cw_peer *peer = &g->peers[s];
        if (peer->state == CW_PEER_STREAMING && cw_peer_commit(g, peer) > peer->told_commit)
            deadline = CW_MIN(deadline, peer->told_commit_ns + COMMIT_DELAY_NS);
    }
    return deadline;
}

enum cw_status cw_group_resync(struct cw_group *g, uint8_t site)
{
    struct cw_peer *peer = &g->peers[site];

    if (!cw_group_is_open(g) || !peer->is_configured)
        return CW_REFUSED;
    peer->needs_copy = true;
    cw_ledger_end(&peer->ledger); /* nothing that is there is trusted */
    g->super.peers[site].is_used = true;
    g->super.peers[site].needs_copy = true;
    cw_super_ask(g);
    if (peer->is_up)
        cw_source_reset(g, peer, CW_PEER_GREETING);
    return CW_OK;
}
