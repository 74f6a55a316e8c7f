/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recovery: one pass over the ring from the superblock's tail, in two parts. The *run* follows the chain and
 * yields whole sound batches; it ends at the first place that is not the continuation, the hole. The *lap*
 * reads the rest of the ring, yields nothing, and listens: every sound header of this journal is a witness
 * of how far the log had come when it was written, and each sector is counted by what it is.
 *
 * Why a witness cannot lie. What a batch calls written or durable lies before it in its own run of the
 * engine. Leftovers of an earlier run, behind the hole of that run's recovery, call nothing behind that hole
 * written, or it was reported then; and since a start takes numbers above all that were seen, leftovers have
 * smaller numbers than anything good that came after, and than the superblock of that start says: they are
 * not heard again about what lies behind it.
 *
 * A batch is taken whole or not at all: the log goes on at the hole, so nothing behind it may be yielded.
 * A read that fails is asked for again sector by sector, once, so that one bad sector does not hide the
 * batches around it. The number of wants is bounded by twice the sectors of the ring.
 *
 * Not done: starting from the newest header's tail when the superblock's tail is gone. It would guess.
 */
#include "journal/journal.h"

#include <string.h>

#include "base/assert.h"
#include "journal/append.h"
#include "journal/batch_format.h"

#define WINDOW_SECTORS (2u * CW_BATCH_SECTORS_MAX)
/* After a read error there may be leftovers that nobody saw: as many as one run can have in flight. */
#define UNSEEN_NUMBERS (2u * CW_BATCH_SLOTS_MAX)
#define NOT_TOLD       CW_SECTOR_CLASS_COUNT

struct cw_recovery {
    uint64_t journal_id[2];
    uint64_t ring_sectors;
    uint64_t floor_sequence;
    uint64_t start_position, start_number; /* of the last start, by the superblock */
    uint64_t end;                          /* one lap after the tail */
    uint32_t group;
    /* window */
    uint8_t *window; /* sectors base .. base + filled */
    uint64_t base;
    uint32_t filled;
    uint32_t wanted;             /* sectors of the read under way; 0: none */
    uint64_t careful_until;      /* below this position one sector a read */
    uint8_t bad[WINDOW_SECTORS]; /* the device did not give it */
    /* run */
    uint64_t cursor; /* next sector to judge */
    bool is_lap, is_finished;
    bool is_drained;            /* the last pop said false */
    bool has_batch, has_record; /* any good one yet */
    uint64_t number, chain;     /* of the last good batch */
    uint64_t epoch, reign;      /* of the last record */
    struct cw_batch_view batch; /* being popped */
    uint32_t next_record, laid_out;
    /* lap */
    uint64_t number_max;                  /* of any sound header */
    uint64_t claim_number;                /* the latest witness of a loss, */
    uint64_t claim_sequence;              /* and what it calls written */
    uint64_t extent_first, extent_until;  /* a batch whose payloads are not all sound */
    uint8_t extent[CW_BATCH_SECTORS_MAX]; /* enum cw_sector_class of its sectors, or NOT_TOLD */
    struct cw_recovery_report report;
};

struct cw_recovery *cw_recovery_new(const struct cw_superblock *superblock, uint64_t floor_sequence,
                                    struct cw_arena *arena)
{
    struct cw_recovery *recovery = cw_arena_take(arena, sizeof *recovery, 64);
    uint8_t *window = cw_arena_take(arena, (size_t)WINDOW_SECTORS * CW_SECTOR_SIZE, CW_SECTOR_SIZE);

    if (!recovery)
        return NULL; /* measuring */
    CW_ASSERT(superblock->ring_sectors >= CW_JOURNAL_RING_SECTORS_MIN);
    CW_ASSERT(superblock->ring_sectors <= CW_RING_SECTORS_MAX);
    CW_ASSERT(superblock->tail_position <= CW_POSITION_MAX);
    *recovery = (struct cw_recovery){
        .journal_id = {superblock->journal_id[0], superblock->journal_id[1]},
        .ring_sectors = superblock->ring_sectors,
        .floor_sequence = floor_sequence,
        .start_position = superblock->start_position,
        .start_number = superblock->start_number,
        .end = superblock->tail_position + superblock->ring_sectors,
        .group = superblock->group,
        .window = window,
        .base = superblock->tail_position,
        .cursor = superblock->tail_position,
        .is_drained = true,
    };
    recovery->report.tip.tail_position = superblock->tail_position;
    recovery->report.tip.last_sequence = superblock->tail_sequence;
    return recovery;
}

/* ---- The window ---- */

static uint32_t sectors_at_hand(const struct cw_recovery *recovery)
{
    uint64_t until = recovery->base + recovery->filled;

    return recovery->cursor < until ? (uint32_t)(until - recovery->cursor) : 0;
}

static uint8_t *window_at(const struct cw_recovery *recovery, uint64_t position)
{
    return recovery->window + (size_t)(position - recovery->base) * CW_SECTOR_SIZE;
}

static bool is_bad(const struct cw_recovery *recovery, uint64_t position)
{
    return recovery->bad[position - recovery->base];
}

static void drop_judged(struct cw_recovery *recovery)
{
    uint32_t keep = sectors_at_hand(recovery);
    uint64_t from = recovery->cursor - recovery->base;

    if (from == 0)
        return;
    if (keep > 0) {
        memmove(recovery->window, window_at(recovery, recovery->cursor), (size_t)keep * CW_SECTOR_SIZE);
        memmove(recovery->bad, recovery->bad + from, keep);
    }
    recovery->base = recovery->cursor;
    recovery->filled = keep;
}

bool cw_recovery_want(struct cw_recovery *recovery, uint64_t *offset, uint32_t *length, uint8_t **memory)
{
    CW_ASSERT(recovery->wanted == 0);
    CW_ASSERT(recovery->is_drained && "all records are popped before the window moves");
    if (recovery->is_finished)
        return false;
    drop_judged(recovery);
    uint64_t next = recovery->base + recovery->filled;
    uint64_t sectors = WINDOW_SECTORS - recovery->filled;

    sectors = CW_MIN(sectors, recovery->end - next);
    sectors = CW_MIN(sectors, recovery->ring_sectors - next % recovery->ring_sectors);
    if (next < recovery->careful_until)
        sectors = 1;
    CW_ASSERT(sectors > 0 && "a window of two batches always has room for what is missing");
    recovery->wanted = (uint32_t)sectors;
    *offset = cw_journal_device_offset(next, recovery->ring_sectors);
    *length = recovery->wanted * CW_SECTOR_SIZE;
    *memory = window_at(recovery, next);
    return true;
}

void cw_recovery_feed(struct cw_recovery *recovery, bool ok)
{
    uint32_t wanted = recovery->wanted;

    CW_ASSERT(wanted > 0);
    recovery->wanted = 0;
    if (!ok && wanted > 1) {
        recovery->careful_until = recovery->base + recovery->filled + wanted;
        return;
    }
    if (!ok) {
        memset(recovery->window + (size_t)recovery->filled * CW_SECTOR_SIZE, 0, CW_SECTOR_SIZE);
        recovery->report.read_errors++;
    }
    memset(recovery->bad + recovery->filled, !ok, wanted);
    recovery->filled += wanted;
    recovery->is_drained = false;
}

/* ---- The run ---- */

static void count(struct cw_recovery *recovery, enum cw_sector_class class_, uint64_t sectors)
{
    recovery->report.sectors[class_] += sectors;
    recovery->cursor += sectors;
}

static bool has_bad_sector(const struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    for (uint32_t i = 0; i < view->sectors; i++)
        if (is_bad(recovery, recovery->cursor + i))
            return true;
    return false;
}

static bool payloads_match(const struct cw_batch_view *view)
{
    uint32_t laid_out = CW_SECTOR_SIZE;

    for (uint32_t i = 0; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;

        if (cw_batch_walk(view, i, &laid_out, &record, &payload) != CW_OK)
            return false;
        if (!cw_batch_payload_matches(&record, payload))
            return false;
    }
    return true;
}

/* Sequences rise by one; a batch may begin lower (a cut stands before it), never higher. */
static bool sequences_go_on(const struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    uint32_t laid_out = CW_SECTOR_SIZE;
    uint64_t before = 0;

    for (uint32_t i = 0; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;

        if (cw_batch_walk(view, i, &laid_out, &record, &payload) != CW_OK)
            return false;
        if (i > 0 && record.sequence != before + 1)
            return false;
        if (i == 0 && recovery->has_record && record.sequence > recovery->report.tip.last_sequence + 1)
            return false;
        before = record.sequence;
    }
    return true;
}

static bool is_continuation(const struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    if (view->group != recovery->group || view->position + view->sectors > recovery->end)
        return false;
    if (recovery->has_batch)
        return view->chain_before == recovery->chain && view->number > recovery->number;
    return view->position > 0 || view->chain_before == 0;
}

static void accept_records(struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    struct cw_recovery_report *report = &recovery->report;

    for (uint32_t i = 0, laid_out = CW_SECTOR_SIZE; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;
        enum cw_status status = cw_batch_walk(view, i, &laid_out, &record, &payload);

        CW_ASSERT(status == CW_OK && "the batch was found sound");
        if (i == 0) /* what was committed beyond a cut was committed in another history */
            report->tip.commit = CW_MIN(report->tip.commit, record.sequence - 1);
        report->tip.last_sequence = record.sequence;
        recovery->epoch = record.epoch;
        recovery->reign = record.reign;
        report->bytes += cw_record_payload_length(&record);
        report->records++;
    }
}

/* Whoever closed the batch spoke of the reign of its last record, or of the last one before it. */
static void note_answered(struct cw_recovery *recovery, uint64_t sequence)
{
    struct cw_recovery_report *report = &recovery->report;
    struct cw_answered *last = report->answered_count ? &report->answered[report->answered_count - 1] : NULL;

    if (sequence == 0 || !recovery->has_record)
        return;
    if (!last || last->epoch != recovery->epoch || last->reign != recovery->reign) {
        if (report->answered_count == CW_ANSWERED_MAX) {
            memmove(&report->answered[0], &report->answered[1],
                    sizeof report->answered[0] * (CW_ANSWERED_MAX - 1));
            report->answered_count--;
        }
        last = &report->answered[report->answered_count++];
        *last = (struct cw_answered){.epoch = recovery->epoch, .reign = recovery->reign};
    }
    last->sequence = CW_MAX(last->sequence, sequence);
}

static void accept(struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    struct cw_recovery_report *report = &recovery->report;

    if (view->record_count > 0) {
        accept_records(recovery, view);
        recovery->has_record = true;
    }
    note_answered(recovery, view->answered);
    /* more than the log had was never carried: if so now, the records were cut and their batches released */
    report->tip.commit = CW_MAX(report->tip.commit, CW_MIN(view->commit, report->tip.last_sequence));
    report->batches += !view->is_filler;
    recovery->has_batch = true;
    recovery->number = view->number;
    recovery->chain = view->chain;
    recovery->batch = *view;
    recovery->next_record = 0;
    recovery->laid_out = CW_SECTOR_SIZE;
    count(recovery, CW_SECTOR_VALID, view->sectors);
}

/* One batch further, or the hole. false: more has to be read first. */
static bool run_step(struct cw_recovery *recovery)
{
    const uint8_t *bytes = window_at(recovery, recovery->cursor);
    size_t length = (size_t)sectors_at_hand(recovery) * CW_SECTOR_SIZE;
    struct cw_batch_view view;

    if (length == 0)
        return false;
    if (!is_bad(recovery, recovery->cursor) &&
        cw_batch_check(bytes, length, recovery->cursor, recovery->ring_sectors, recovery->journal_id,
                       &view) == CW_SECTOR_VALID &&
        is_continuation(recovery, &view)) {
        if (!view.is_filler && sectors_at_hand(recovery) < view.sectors)
            return false;
        if (view.is_filler ||
            (!has_bad_sector(recovery, &view) && payloads_match(&view) && sequences_go_on(recovery, &view))) {
            accept(recovery, &view);
            return true;
        }
    }
    recovery->is_lap = true;
    recovery->report.hole_position = recovery->cursor;
    return true;
}

/* ---- The lap ---- */

static void hear_witness(struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    uint64_t hole = recovery->report.hole_position;

    recovery->number_max = CW_MAX(recovery->number_max, view->number);
    if (recovery->has_batch && view->number <= recovery->number)
        return;
    if (hole >= recovery->start_position && view->number < recovery->start_number)
        return;
    if (view->written_position <= hole)
        return;
    if (view->durable_position > hole)
        recovery->report.is_damaged = true;
    else
        recovery->report.is_written_lost = true;
    if (view->number >= recovery->claim_number) {
        recovery->claim_number = view->number;
        recovery->claim_sequence = view->written_sequence;
    }
}

/* A header that stands where it says may still be of a branch that was cut. */
static bool is_leftover(const struct cw_recovery *recovery, const struct cw_batch_view *view)
{
    if (!recovery->has_batch)
        return false;
    return view->number <= recovery->number ||
           (view->position == recovery->report.hole_position && view->chain_before != recovery->chain);
}

/* Tells each sector of a batch by the hashes of the records in it. true: all of them are sound. */
static bool judge_extent(struct cw_recovery *recovery, const struct cw_batch_view *view,
                         enum cw_sector_class sound, uint8_t unsound)
{
    uint32_t laid_out = CW_SECTOR_SIZE;
    bool is_whole = true;

    memset(recovery->extent, (int)sound, view->sectors);
    for (uint32_t i = 0; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;
        enum cw_status status = cw_batch_walk(view, i, &laid_out, &record, &payload);

        CW_ASSERT(status == CW_OK && "the check walked it");
        if (!payload || cw_batch_payload_matches(&record, payload))
            continue;
        uint32_t at = (uint32_t)(payload - view->bytes);
        uint32_t last = (at + record.length - 1) / CW_SECTOR_SIZE;
        is_whole = false;
        memset(recovery->extent + at / CW_SECTOR_SIZE, unsound, last - at / CW_SECTOR_SIZE + 1);
    }
    for (uint32_t i = 1; i < view->sectors; i++) {
        if (!is_bad(recovery, recovery->cursor + i))
            continue;
        is_whole = false;
        recovery->extent[i] = CW_SECTOR_TORN;
    }
    recovery->extent_first = recovery->cursor;
    recovery->extent_until = recovery->cursor + view->sectors;
    return is_whole;
}

/* A sound header in its own place, with its payloads in the window. */
static void lap_batch(struct cw_recovery *recovery, const struct cw_batch_view *view,
                      enum cw_sector_class class_)
{
    uint8_t unsound = class_ == CW_SECTOR_VALID ? CW_SECTOR_TORN : NOT_TOLD;

    if (class_ == CW_SECTOR_VALID && is_leftover(recovery, view))
        class_ = CW_SECTOR_STALE;
    if (judge_extent(recovery, view, class_, unsound))
        count(recovery, class_, view->sectors);
    else
        count(recovery, class_, 1); /* the rest sector by sector: newer ones may stand in it */
}

/* One sector, or one sound batch, further. false: more has to be read first. */
static bool lap_step(struct cw_recovery *recovery)
{
    uint32_t at_hand = sectors_at_hand(recovery);
    enum cw_sector_class class_ = CW_SECTOR_TORN;
    struct cw_batch_view view;

    if (at_hand == 0)
        return false;
    if (!is_bad(recovery, recovery->cursor))
        class_ = cw_batch_check(window_at(recovery, recovery->cursor), (size_t)at_hand * CW_SECTOR_SIZE,
                                recovery->cursor, recovery->ring_sectors, recovery->journal_id, &view);
    bool is_header =
        class_ == CW_SECTOR_VALID || class_ == CW_SECTOR_STALE || class_ == CW_SECTOR_MISDIRECTED;
    if (is_header)
        hear_witness(recovery, &view);
    if (recovery->cursor < recovery->extent_until && class_ != CW_SECTOR_VALID) {
        uint8_t told = recovery->extent[recovery->cursor - recovery->extent_first];

        if (told != NOT_TOLD) {
            count(recovery, (enum cw_sector_class)told, 1);
            return true;
        }
    }
    if (!is_header || class_ == CW_SECTOR_MISDIRECTED || recovery->cursor + view.sectors > recovery->end) {
        count(recovery, class_, 1);
        return true;
    }
    if (view.is_filler)
        view.sectors = 1; /* only its header was written */
    if (at_hand < view.sectors)
        return false;
    lap_batch(recovery, &view, class_);
    return true;
}

/* ---- The end ---- */

static void finish(struct cw_recovery *recovery)
{
    struct cw_recovery_report *report = &recovery->report;
    struct cw_journal_tip *tip = &report->tip;

    if (recovery->is_finished)
        return;
    recovery->is_finished = true;
    if (!recovery->is_lap)
        report->hole_position = recovery->cursor;
    if (!recovery->has_batch && tip->tail_position > 0)
        report->is_damaged = true; /* the tail names a durable batch, always */
    if (recovery->floor_sequence > tip->last_sequence) {
        report->is_damaged = true;
        recovery->claim_sequence = CW_MAX(recovery->claim_sequence, recovery->floor_sequence);
    }
    report->lost_up_to = recovery->claim_sequence;
    tip->head_position = report->hole_position;
    tip->chain = recovery->has_batch ? recovery->chain : 0;
    if (recovery->has_batch || recovery->number_max > 0 || tip->tail_position > 0)
        tip->next_number = CW_MAX(recovery->has_batch ? recovery->number : 0, recovery->number_max) + 1;
    if (report->read_errors > 0)
        tip->next_number += UNSEEN_NUMBERS;
}

static bool advance(struct cw_recovery *recovery)
{
    if (recovery->cursor == recovery->end) {
        finish(recovery);
        return false;
    }
    return recovery->is_lap ? lap_step(recovery) : run_step(recovery);
}

bool cw_recovery_record(struct cw_recovery *recovery, struct cw_record *record, const uint8_t **payload,
                        uint64_t *position, uint32_t *sectors)
{
    while (recovery->next_record == recovery->batch.record_count) {
        recovery->next_record = recovery->batch.record_count = 0;
        if (!advance(recovery)) {
            recovery->is_drained = true;
            return false;
        }
    }
    enum cw_status status =
        cw_batch_walk(&recovery->batch, recovery->next_record++, &recovery->laid_out, record, payload);
    CW_ASSERT(status == CW_OK && "the batch was found sound");
    *position = recovery->batch.position;
    *sectors = recovery->batch.sectors;
    return true;
}

const struct cw_recovery_report *cw_recovery_report(const struct cw_recovery *recovery)
{
    return &recovery->report;
}
