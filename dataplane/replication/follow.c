/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The replica's side of the stream.
 *
 *     NONE -> SALVAGING -> CUTTING -> STREAMING
 *        '-------------------'-----------^          (each may be skipped when there is nothing to do)
 *
 * ATTACH names the common point. What we hold above it and never applied is kept in a salvage file, then the
 * new history goes into the superblock: from then on the tail does not count, also after a crash. Only then
 * is it forgotten in memory, and ATTACHED says so.
 */
#include "replication/group_private.h"

#include <string.h>

#include "base/hash.h"

#define ACK_DELAY_NS CW_MS
#define HEARTBEAT_NS (100 * CW_MS)

void cw_follow_stop(struct cw_group *g)
{
    if (g->follow.state == CW_FOLLOW_STREAMING)
        cw_log_drop_above(g, g->head); /* what stands beyond a gap is sent again */
    g->follow.primary = CW_SITES_MAX;
    cw_target_forget(g);
    if (g->follow.state == CW_FOLLOW_CUTTING)
        return; /* the superblock may say so already: it ends by itself, with or without a primary */
    g->follow.state = CW_FOLLOW_NONE;
    g->is_journal_cutting = g->target.state == CW_TARGET_MARKING || g->revert.state == CW_REVERT_MARKING;
}

/* We cannot go on in this stream: say hello without following, and the primary will attach us anew. */
static void leave_stream(struct cw_group *g)
{
    uint8_t primary = g->follow.primary;

    cw_follow_stop(g);
    if (primary < CW_SITES_MAX && g->peers[primary].is_up)
        cw_group_send_hello(g, &g->peers[primary], 0);
}

static void reply(struct cw_group *g, uint8_t site, uint64_t epoch, uint64_t reign,
                  enum cw_attach_result result, uint64_t sequence)
{
    struct cw_message m = {.type = CW_MSG_ATTACHED, .epoch = epoch, .reign = reign};

    m.attached.result = result;
    m.attached.sequence = sequence;
    cw_group_send(g, site, 0, &m, NULL, 0, 0);
}

/* ---------------------------------------------------------------- attaching */

static bool is_of_reign(const struct cw_history_entry *last, const struct cw_message *m)
{
    return last && last->epoch == m->epoch && last->reign == m->reign;
}

static enum cw_attach_result judge(struct cw_group *g, const struct cw_message *m)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    const struct cw_history_entry *theirs = cw_history_last(&m->attach.history);

    if (!theirs || theirs->epoch != m->epoch || theirs->reign != m->reign)
        return CW_ATTACH_FAILED;
    if (last && m->epoch < last->epoch)
        return CW_ATTACH_STALE;
    if (last && m->epoch == last->epoch && m->reign != last->reign)
        return CW_ATTACH_DIVERGED;
    if (g->super.image_state != CW_IMAGE_WHOLE || g->target.state != CW_TARGET_NONE)
        return CW_ATTACH_NEEDS_COPY;
    if (m->attach.sequence > g->head)
        return CW_ATTACH_FAILED;
    /* Of this very reign nothing is foreign: what came in since our HELLO may be applied already. */
    if (is_of_reign(last, m) || cw_group_applied_limit(g) <= m->attach.sequence)
        return CW_ATTACH_OK;
    /* Or it came from who reigned before, and they have it too: they are to ask where we stand now. */
    uint64_t common;
    cw_history_common(&g->super.history, g->head, &m->attach.history, UINT64_MAX, &common);
    return cw_group_applied_limit(g) > common ? CW_ATTACH_DIVERGED : CW_ATTACH_FAILED;
}

/* What we noted of peers is of our own last reign; under another primary they moved on. */
void cw_forget_cursors(struct cw_group *g)
{
    memset(g->super.peers, 0, sizeof g->super.peers);
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        g->peers[s].needs_copy = false;
}

static void adopt(struct cw_group *g, uint8_t site, uint64_t epoch, uint64_t reign)
{
    cw_forget_cursors(g);
    g->follow.primary = site;
    g->follow.epoch = g->epoch = epoch;
    g->follow.reign = g->reign = reign;
    memset(&g->follow.acked, 0, sizeof g->follow.acked);
    g->follow.ack_ns = 0;
}

static void stream(struct cw_group *g)
{
    g->follow.state = CW_FOLLOW_STREAMING;
    g->is_journal_cutting = false;
    reply(g, g->follow.primary, g->follow.epoch, g->follow.reign, CW_ATTACH_OK, g->follow.attach.sequence);
}

/* The primary may be gone meanwhile: the next one finds the cut made. */
static void end_cutting(struct cw_group *g)
{
    if (g->follow.primary < CW_SITES_MAX) {
        stream(g);
        return;
    }
    g->follow.state = CW_FOLLOW_NONE;
    g->is_journal_cutting = false;
}

/* Between the word and the deed: the history in the superblock does not fit the records in memory. Nothing
 * true can be said of ourselves. */
bool cw_group_is_cutting(const struct cw_group *g)
{
    return g->follow.state == CW_FOLLOW_CUTTING || g->target.state == CW_TARGET_MARKING ||
           g->revert.state == CW_REVERT_MARKING;
}

/* Something was begun that has to end before anything else may begin. */
bool cw_group_is_changing(const struct cw_group *g)
{
    return g->is_image_busy || g->is_salvage_wanted || cw_group_is_cutting(g) ||
           g->target.state == CW_TARGET_SEALING || g->target.state >= CW_TARGET_SWITCHING ||
           g->revert.state != CW_REVERT_NONE;
}

static void begin_cutting(struct cw_group *g)
{
    g->super.history = g->follow.attach.history;
    g->follow.super_ticket = cw_super_ask(g);
    g->follow.state = CW_FOLLOW_CUTTING;
    g->is_journal_cutting = true;
}

void cw_follow_on_attach(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    if (g->role > CW_ROLE_REPLICA) {
        if (m->epoch <= g->epoch) {
            cw_count(&g->counters[CW_GROUP_STALE], 1);
            return;
        }
        cw_group_leave(g, m->epoch); /* another reigns already */
    }
    if (g->role != CW_ROLE_REPLICA)
        return;
    enum cw_attach_result result = cw_group_is_changing(g) ? CW_ATTACH_FAILED : judge(g, m);
    if (result != CW_ATTACH_OK) {
        if (result == CW_ATTACH_STALE)
            cw_count(&g->counters[CW_GROUP_STALE], 1);
        reply(g, peer->site, m->epoch, m->reign, result, g->head);
        return;
    }
    cw_follow_stop(g);
    adopt(g, peer->site, m->epoch, m->reign);
    g->follow.attach = m->attach;
    if (is_of_reign(last, m)) {
        stream(g); /* what we hold above the common point is of this very reign: it comes again, unneeded */
        return;
    }
    /* What was committed above it was so in a reign that is not ours any more: it must neither get into place
     * before it is cut, nor into a batch as committed. */
    g->commit = CW_MIN(g->commit, m->attach.sequence);
#if CW_PLANTED_BUG == 32 /* a tail is cut that is in no file */
    begin_cutting(g);
    return;
#endif
    if (g->head > m->attach.sequence) {
        g->follow.state = CW_FOLLOW_SALVAGING;
        cw_salvage_ask(g, m->attach.sequence);
        cw_group_event(
            g, 1,
            "records %llu to %llu are not in the new primary's order: they go to a salvage file and are cut",
            m->attach.sequence + 1, g->head, 0);
    } else {
        begin_cutting(g);
    }
}

void cw_group_on_salvaged(struct cw_group *g, enum cw_status status)
{
    g->is_image_busy = false;
    g->is_salvaging = false;
    if (g->tail.is_salvaging) {
        cw_tail_on_salvaged(g, status);
        return;
    }
    if (g->revert.state == CW_REVERT_SALVAGING) {
        cw_revert_on_salvaged(g, status);
        return;
    }
    if (g->target.state == CW_TARGET_SALVAGING) {
        cw_target_on_salvaged(g, status);
        return;
    }
    if (g->follow.state != CW_FOLLOW_SALVAGING)
        return;
    if (status != CW_OK) { /* never cut what could not be kept */
        cw_group_event(g, 2,
                       "the tail could not be saved to a salvage file; free some space: it is tried again", 0,
                       0, 0);
        reply(g, g->follow.primary, g->follow.epoch, g->follow.reign, CW_ATTACH_FAILED, g->head);
        cw_follow_stop(g);
        return;
    }
    begin_cutting(g);
}

/* What the tail covered comes to light again. */
static void put_under_overlay_anew(struct cw_group *g, uint64_t last)
{
    cw_overlay_clear(&g->overlay);
    for (uint64_t s = g->log_first; s <= last; s++) {
        const struct cw_record *r = &cw_log_at(g, s)->record;
        if (cw_log_has(g, s) && r->kind != CW_RECORD_MARKER)
            cw_overlay_insert(&g->overlay, r->volume, r->offset, r->length, s);
    }
}

void cw_group_cut(struct cw_group *g, uint64_t sequence)
{
    CW_ASSERT(cw_group_applied_limit(g) <= sequence);
    cw_log_drop_above(g, sequence);
    if (g->head > sequence)
        put_under_overlay_anew(g, sequence);
    g->head = CW_MIN(g->head, sequence);
    g->commit = CW_MIN(g->commit, sequence);
    g->sync_wanted = CW_MIN(g->sync_wanted, sequence);
#if CW_PLANTED_BUG != 13 /* the tail stays in the journal's account */
    if (g->logged > sequence)
        cw_journal_cut(g->journal, sequence);
#endif
    g->logged = CW_MIN(g->logged, sequence);
}

static bool is_journal_quiet(const struct cw_group *g)
{
    return g->batches_in_flight == 0 && !g->is_syncing;
}

/* ---------------------------------------------------------------- the stream */

void cw_follow_take_unbroken(struct cw_group *g)
{
    while (cw_log_has(g, g->head + 1)) {
        const struct cw_record *r = &cw_log_at(g, ++g->head)->record;
        cw_heard_record(g, r);
        if (r->kind != CW_RECORD_MARKER)
            cw_overlay_insert(&g->overlay, r->volume, r->offset, r->length, r->sequence);
    }
}

bool cw_follow_on_record(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m, uint8_t *body,
                         uint32_t body_length, uint64_t handle)
{
    const struct cw_record *r = &m->record.record;

    if (g->follow.state != CW_FOLLOW_STREAMING)
        return false;
    g->commit = CW_MAX(g->commit, m->record.commit);
    if (r->sequence <= g->head || cw_log_has(g, r->sequence)) {
        cw_count(&g->counters[CW_GROUP_DUPLICATE], 1);
        return false;
    }
    if (r->sequence > g->log_first + g->log_mask) {
        cw_count(&g->counters[CW_GROUP_OVER_WINDOW], 1);
        leave_stream(g);
        return false;
    }
    if (!cw_history_has(&g->super.history, r->sequence, r->epoch, r->reign) || r->group != g->config.group) {
        cw_count(&g->counters[CW_GROUP_BAD_FIELD], 1);
        leave_stream(g);
        return false;
    }
    if (body_length > 0 && cw_hash64(body, body_length) != r->payload_hash) {
        cw_count(&g->counters[CW_GROUP_BAD_HASH], 1);
        leave_stream(g);
        return false;
    }
    struct cw_payload payload = {.handle = handle, .data = body, .length = body_length};
    cw_log_add(g, r, body_length > 0 ? &payload : NULL);
    cw_count(&g->counters[CW_GROUP_RECEIVED], 1);
    cw_follow_take_unbroken(g);
    return body_length > 0;
}

void cw_follow_on_commit(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    if (g->follow.state != CW_FOLLOW_STREAMING)
        return;
    g->commit = CW_MAX(g->commit, m->commit.commit);
    g->sync_wanted = CW_MAX(g->sync_wanted, m->commit.sync_to);
    g->follow.echo_time_ns = m->commit.time_ns;
}

static bool ack_is_due(const struct cw_group *g, const struct cw_sequences *now)
{
    const struct cw_sequences *said = &g->follow.acked;
    uint64_t since = g->now_ns - g->follow.ack_ns;
    bool is_lazy = !cw_mode_has_set(g->config.mode);

    if (since >= HEARTBEAT_NS)
        return true;
    if (now->received > said->received && g->config.mode == CW_MODE_SEMI_SYNC)
        return true;
    if (now->written > said->written || now->durable > said->durable)
        return !is_lazy || since >= ACK_DELAY_NS;
    if (now->applied > said->applied)
        return since >= 10 * ACK_DELAY_NS || now->applied - said->applied > g->log_mask / 8;
    return false;
}

/* An acknowledgement that is put off for company is due then. */
uint64_t cw_follow_deadline(const struct cw_group *g)
{
    const struct cw_sequences *said = &g->follow.acked;

    if (g->follow.state != CW_FOLLOW_STREAMING)
        return CW_NEVER;
    if (cw_group_written(g) > said->written || cw_group_durable(g) > said->durable)
        return g->follow.ack_ns + ACK_DELAY_NS;
    return g->follow.ack_ns + (g->applied > said->applied ? 10 * ACK_DELAY_NS : HEARTBEAT_NS);
}

static void acknowledge(struct cw_group *g)
{
    struct cw_message m = {.type = CW_MSG_ACK, .epoch = g->follow.epoch, .reign = g->follow.reign};
    uint64_t written = CW_MIN(cw_group_written(g), g->head);

#if CW_PLANTED_BUG == 12 /* received is reported as written */
    written = g->head;
#endif
    m.ack.sequences = (struct cw_sequences){.received = g->head,
                                            .written = written,
                                            .durable = CW_MIN(cw_group_durable(g), written),
                                            .applied = g->applied,
                                            .commit = g->commit};
    if (!ack_is_due(g, &m.ack.sequences) || !cw_group_can_send(g))
        return;
    m.ack.echo_time_ns = g->follow.echo_time_ns;
    m.ack.process_start = g->config.identity.process_start;
    g->follow.acked = m.ack.sequences;
    g->follow.ack_ns = g->now_ns;
    cw_group_send(g, g->follow.primary, 0, &m, NULL, 0, 0);
}

void cw_follow_step(struct cw_group *g)
{
    struct cw_follow *f = &g->follow;

    if (f->state == CW_FOLLOW_CUTTING && cw_super_is_done(g, f->super_ticket) && is_journal_quiet(g)) {
        cw_group_cut(g, f->attach.sequence);
        end_cutting(g);
    }
    if (f->state == CW_FOLLOW_STREAMING)
        acknowledge(g);
}
