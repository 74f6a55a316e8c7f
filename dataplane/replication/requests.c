/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of front ends: how they enter the order, and when they may be answered. */
#include "replication/group_private.h"

#include <string.h>

#include "base/hash.h"

static bool queue_is_empty(const struct cw_waiter_queue *q)
{
    return q->head == q->tail;
}

static bool queue_is_full(const struct cw_waiter_queue *q)
{
    return q->tail - q->head > q->mask;
}

static struct cw_waiter *queue_first(struct cw_waiter_queue *q)
{
    return &q->ring[q->head & q->mask];
}

static void queue_add(struct cw_waiter_queue *q, struct cw_block_request *request, uint64_t sequence)
{
    CW_ASSERT(!queue_is_full(q));
    CW_ASSERT(queue_is_empty(q) || q->ring[(q->tail - 1) & q->mask].sequence <= sequence);
    q->ring[q->tail++ & q->mask] = (struct cw_waiter){.request = request, .sequence = sequence};
}

static uint64_t record_count(const struct cw_group_write *write)
{
    if (write->kind == CW_RECORD_WRITE)
        return write->payload_count;
    return (write->length + CW_RECORD_EXTENT_MAX - 1) / CW_RECORD_EXTENT_MAX;
}

static enum cw_status may_enter(struct cw_group *g, uint64_t records, uint64_t bytes)
{
    uint64_t sectors = 3 * (records + g->head - g->logged) + (bytes + g->unlogged_bytes) / CW_SECTOR_SIZE;

    if (g->is_stopping || !cw_group_is_open(g))
        return CW_SHUTDOWN;
    if (g->role != CW_ROLE_PRIMARY || g->now_ns >= cw_cover_ends_ns(g))
        return CW_AGAIN;
    if (!cw_log_has_room(g, records) || queue_is_full(&g->writes) || queue_is_full(&g->flushes))
        return CW_AGAIN;
    if (cw_journal_room(g->journal) < sectors + CW_JOURNAL_RESERVE || !cw_landing_lets(g, records)) {
        if (g->no_room_since_ns == 0)
            g->no_room_since_ns = g->now_ns;
        return CW_AGAIN;
    }
    g->no_room_since_ns = 0;
    return CW_OK;
}

static void enter_record(struct cw_group *g, const struct cw_group_write *write, uint32_t i, uint64_t offset,
                         uint64_t length, bool is_last)
{
    const struct cw_payload *payload = write->kind == CW_RECORD_WRITE ? &write->payloads[i] : NULL;
    struct cw_record record = {
        .kind = write->kind,
        .flags = (uint8_t)((write->fua ? CW_RECORD_FUA : 0) | (is_last ? 0 : CW_RECORD_MORE)),
        .volume = write->volume,
        .length = (uint32_t)length,
        .sequence = ++g->head,
        .epoch = g->epoch,
        .reign = g->reign,
        .offset = offset,
        .time_ns = g->now_ns,
        .payload_hash = payload ? cw_hash64(payload->data, payload->length) : 0,
        .group = g->config.group,
    };
    cw_log_add(g, &record, payload);
    g->unlogged_bytes += cw_record_payload_length(&record);
    cw_overlay_insert(&g->overlay, record.volume, offset, length, record.sequence);
    cw_copy_note_write(g, &record);
}

enum cw_status cw_group_write(struct cw_group *g, const struct cw_group_write *write, uint64_t now_ns)
{
    uint64_t records = record_count(write);
    uint64_t offset = write->offset, left = write->length;

    cw_group_clock(g, now_ns);
    CW_ASSERT(write->volume < CW_VOLUMES_PER_GROUP_MAX && g->volumes[write->volume].is_present);
    CW_ASSERT(left > 0 && left % CW_BLOCK_SIZE_MIN == 0 && offset % CW_BLOCK_SIZE_MIN == 0);
    CW_ASSERT(offset + left <= g->volumes[write->volume].size);
    enum cw_status status = may_enter(g, records, write->kind == CW_RECORD_WRITE ? left : 0);
    if (status != CW_OK)
        return status;
    cw_ages_note(&g->ages, g->head, now_ns);
    for (uint32_t i = 0; i < records; i++) {
        uint64_t length = write->kind == CW_RECORD_WRITE ? write->payloads[i].length
                                                         : CW_MIN(left, (uint64_t)CW_RECORD_EXTENT_MAX);
        enter_record(g, write, i, offset, length, i + 1 == records);
        offset += length;
        left -= length;
    }
    CW_ASSERT(left == 0);
    queue_add(write->fua ? &g->flushes : &g->writes, write->request, g->head);
    cw_count(&g->counters[CW_GROUP_WRITES], 1);
    cw_count(&g->counters[CW_GROUP_WRITE_BYTES], write->kind == CW_RECORD_WRITE ? write->length : 0);
    return CW_OK;
}

enum cw_status cw_group_flush(struct cw_group *g, struct cw_block_request *request, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    if (g->is_stopping || !cw_group_is_open(g))
        return CW_SHUTDOWN;
    if (g->role != CW_ROLE_PRIMARY || queue_is_full(&g->flushes))
        return CW_AGAIN;
    queue_add(&g->flushes, request, g->head);
    cw_count(&g->counters[CW_GROUP_FLUSHES], 1);
    return CW_OK;
}

/* ---------------------------------------------------------------- answers */

/* Whoever the store may take for a member is waited for, in async too: there the set is emptied at once, but
 * until the store has done so, it would let that site be promoted as one that lacks nothing. */
uint8_t cw_wait_mask(const struct cw_group *g)
{
#if CW_PLANTED_BUG ==                                                                                        \
    7 /* what was asked for counts as granted: waits end before the store has shrunk the set */
    if (g->set.asked)
        return (uint8_t)(g->set.asked & ~cw_bit(g->config.self));
#endif
    return (uint8_t)((g->set.members | g->set.asked) & ~cw_bit(g->config.self));
}

/* A site that is being copied, or has to be, holds nothing, whatever of the live stream it has. */
static bool is_whole(const struct cw_peer *peer)
{
    return !peer->needs_copy && !cw_is_copying(peer);
}

uint64_t cw_member_holds(const struct cw_group *g, const struct cw_peer *peer)
{
    if (!is_whole(peer))
        return 0;
    return g->config.mode == CW_MODE_SEMI_SYNC ? peer->acked.received : peer->acked.written;
}

uint64_t cw_member_keeps(const struct cw_group *g, const struct cw_peer *peer)
{
    if (!is_whole(peer))
        return 0;
    return g->config.mode == CW_MODE_SEMI_SYNC ? peer->acked.received : peer->acked.durable;
}

static uint64_t held_by_all(const struct cw_group *g, uint64_t own,
                            uint64_t (*of_member)(const struct cw_group *, const struct cw_peer *))
{
    uint8_t mask = cw_wait_mask(g) | cw_landing_mask(g);

    if (g->config.mode == CW_MODE_NETWORK_SYNC)
        own = CW_MIN(own, cw_departures_all(g));
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (mask & cw_bit(s))
            own = CW_MIN(own, of_member(g, &g->peers[s]));
    return own;
}

uint64_t cw_requests_written_by_all(struct cw_group *g)
{
#if CW_PLANTED_BUG == 1 /* acknowledged before the journal has it */
    return held_by_all(g, g->head, cw_member_holds);
#endif
#if CW_PLANTED_BUG == 2 /* acknowledged over a hole: a later batch was written, an earlier one was not */
    return held_by_all(g, g->batches_in_flight < CW_BATCHES_IN_FLIGHT - 1 ? g->logged : cw_group_written(g),
                       cw_member_holds);
#endif
    return held_by_all(g, cw_group_written(g), cw_member_holds);
}

/* While a question is out the store may have either set. */
static uint8_t surely_members(const struct cw_group *g)
{
    return g->set.asked ? g->set.members & g->set.asked : g->set.members;
}

static bool may_complete(const struct cw_group *g)
{
    if (!cw_group_is_open(g) || g->now_ns >= cw_cover_ends_ns(g))
        return false;
    if (g->config.min_in_sync > 0 && cw_mode_has_set(g->config.mode))
        return (surely_members(g) & ~cw_bit(g->config.self)) != 0;
    return true;
}

static void answer(struct cw_group *g, struct cw_waiter_queue *q, enum cw_status status)
{
    struct cw_action *action = cw_group_act(g, CW_ACT_COMPLETE);

    action->request = queue_first(q)->request;
    action->status = status;
    q->head++;
}

static void complete_up_to(struct cw_group *g, struct cw_waiter_queue *q, uint64_t sequence, uint64_t *mark)
{
    while (!queue_is_empty(q) && queue_first(q)->sequence <= sequence && cw_group_can_send(g)) {
        *mark = CW_MAX(*mark, queue_first(q)->sequence);
        answer(g, q, CW_OK);
    }
}

/* A request of a reign that is over, or of a group that is down, is answered SHUTDOWN, nothing else. */
static void fail_all(struct cw_group *g, struct cw_waiter_queue *q)
{
    while (!queue_is_empty(q) && cw_group_can_send(g))
        answer(g, q, CW_SHUTDOWN);
}

void cw_requests_complete(struct cw_group *g)
{
    if (!cw_group_is_open(g) || g->is_stopped) {
        fail_all(g, &g->writes);
        fail_all(g, &g->flushes);
        return;
    }
    if (queue_is_empty(&g->writes) && queue_is_empty(&g->flushes))
        return;
    if (!may_complete(g)) {
        cw_count(&g->counters[CW_GROUP_HELD], 1);
        return;
    }
    uint64_t written = cw_requests_written_by_all(g);
    uint64_t durable = held_by_all(g, cw_group_durable(g), cw_member_keeps);
#if CW_PLANTED_BUG == 11 /* a flush is answered when it is only written */
    durable = written;
#endif
    complete_up_to(g, &g->writes, written, &g->completed);
    complete_up_to(g, &g->flushes, CW_MIN(written, durable), &g->flushed);
    g->completed = CW_MAX(g->completed, g->flushed);
    if (!queue_is_empty(&g->flushes))
        g->sync_wanted = CW_MAX(g->sync_wanted, queue_first(&g->flushes)->sequence);
}

enum cw_status cw_group_may_answer(const struct cw_group *g, uint64_t now_ns)
{
    if (!cw_group_is_open(g))
        return CW_SHUTDOWN;
    return now_ns < cw_cover_ends_ns(g) ? CW_OK : CW_AGAIN;
}

enum cw_status cw_group_read_may_answer(const struct cw_group *g, const struct cw_group_read *read,
                                        uint64_t now_ns)
{
    return g->reign == read->reign ? cw_group_may_answer(g, now_ns) : CW_SHUTDOWN;
}

/* ---------------------------------------------------------------- reads */

enum cw_status cw_group_read_begin(struct cw_group *g, struct cw_group_read *read)
{
    if (!cw_group_is_open(g))
        return CW_SHUTDOWN;
    read->ticket = g->read_phase;
    read->reign = g->reign;
    g->reads[g->read_phase]++;
    read->is_covered = cw_overlay_covers(&g->overlay, read->volume, read->offset, read->length);
    cw_count(&g->counters[CW_GROUP_READS], 1);
    return CW_OK;
}

struct patch {
    struct cw_group *group;
    const struct cw_group_read *read;
    uint8_t *const *slices;
    uint32_t slice_count;
};

/* Copies one piece of a record over the answer, slice by slice. */
static void patch_piece(void *context, uint64_t start, uint64_t end, uint64_t sequence)
{
    struct patch *p = context;
    const struct cw_log_entry *entry = cw_log_at(p->group, sequence);
    const struct cw_payload *payload = cw_log_payload(p->group, entry);

    CW_ASSERT(entry->is_present && entry->record.sequence == sequence);
    while (start < end) {
        uint64_t at = start - p->read->offset;
        uint32_t slice = (uint32_t)(at / CW_RECORD_PAYLOAD_MAX), inside = at % CW_RECORD_PAYLOAD_MAX;
        uint64_t n = CW_MIN(end - start, CW_RECORD_PAYLOAD_MAX - inside);
        CW_ASSERT(slice < p->slice_count);
        if (payload)
            memcpy(p->slices[slice] + inside, payload->data + (start - entry->record.offset), n);
        else
            memset(p->slices[slice] + inside, 0, n);
        start += n;
    }
}

void cw_group_read_end(struct cw_group *g, struct cw_group_read *read, uint8_t *const *slices,
                       uint32_t slice_count)
{
    struct patch patch = {.group = g, .read = read, .slices = slices, .slice_count = slice_count};

    CW_ASSERT(g->reads[read->ticket] > 0);
    cw_overlay_walk(&g->overlay, read->volume, read->offset, read->length, patch_piece, &patch);
    g->reads[read->ticket]--;
}
