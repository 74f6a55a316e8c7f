/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Appending: one batch is open at a time, several are in flight, and they retire in the order in which they
 * were closed. `written` and `durable` are marks of unbroken runs: a batch that finishes before the one in
 * front of it waits, and nobody hears of it.
 *
 * A batch is laid out while records are added. The bytes that are not borrowed stand in the slot's staging
 * memory in the order of the device, in runs; each run and each borrowed payload is one segment. A run may
 * end only at a sector (padded with zeroes), which it must only before a borrowed payload and at the end.
 *
 * Not done: batches that wrap around the ring's end, and records added to a batch after it was closed. Both
 * would save a sector now and then and cost a case in every reader.
 */
#include "journal/append.h"

#include <string.h>

#include "base/assert.h"

struct cw_journal *cw_journal_new(const struct cw_journal_config *config, struct cw_arena *arena)
{
    CW_ASSERT(config->ring_sectors >= CW_JOURNAL_RING_SECTORS_MIN);
    CW_ASSERT(config->ring_sectors <= CW_RING_SECTORS_MAX);
    CW_ASSERT(cw_is_power_of_two(config->batch_slots));
    CW_ASSERT(config->batch_slots >= 2 && config->batch_slots <= CW_BATCH_SLOTS_MAX);
    struct cw_journal_index index;
    struct cw_journal *journal = cw_arena_take(arena, sizeof *journal, 64);
    uint8_t *staging = cw_arena_take(
        arena, (size_t)config->batch_slots * (CW_BATCH_STAGING_SIZE + CW_SECTOR_SIZE), CW_SECTOR_SIZE);

    cw_journal_index_init(&index, config->ring_sectors, arena);
    if (!journal)
        return NULL; /* measuring */
    journal->config = *config;
    journal->index = index;
    for (uint32_t i = 0; i < config->batch_slots; i++) {
        journal->slots[i].filler = staging + (size_t)i * (CW_BATCH_STAGING_SIZE + CW_SECTOR_SIZE);
        journal->slots[i].staging = journal->slots[i].filler + CW_SECTOR_SIZE;
        journal->slots[i].batch.slot = i;
    }
    return journal;
}

void cw_journal_start(struct cw_journal *journal, const struct cw_journal_tip *tip)
{
    CW_ASSERT(!journal->is_started);
    CW_ASSERT(tip->tail_position <= tip->head_position);
    CW_ASSERT(tip->head_position == 0 || tip->next_number > 0);
    CW_ASSERT(tip->head_position - tip->tail_position <= journal->config.ring_sectors);
    journal->is_started = true;
    journal->head_position = tip->head_position;
    journal->tail_position = tip->tail_position;
    journal->next_number = tip->next_number;
    journal->chain = tip->chain;
    journal->last_sequence = tip->last_sequence;
    journal->written = (struct cw_journal_mark){
        .number = tip->next_number,
        .sequence = tip->last_sequence,
        .commit = tip->commit,
        .last_position = CW_MAX(journal->written.last_position, tip->tail_position),
        .end_position = tip->head_position,
    };
    journal->durable = (struct cw_journal_mark){.last_position = tip->tail_position};
    if (tip->head_position == 0)
        journal->durable = journal->written; /* an empty log has nothing to sync */
}

static uint64_t ring_rest(const struct cw_journal *journal, uint64_t position)
{
    return journal->config.ring_sectors - position % journal->config.ring_sectors;
}

static uint64_t ring_limit(const struct cw_journal *journal)
{
    return journal->tail_position + journal->config.ring_sectors;
}

static struct cw_journal_slot *slot_of(struct cw_journal *journal, uint64_t ordinal)
{
    return &journal->slots[ordinal & (journal->config.batch_slots - 1)];
}

static struct cw_journal_slot *open_slot(struct cw_journal *journal)
{
    CW_ASSERT(journal->is_open);
    return slot_of(journal, journal->opened - 1);
}

static struct cw_journal_segment *add_segment(struct cw_journal *journal, struct cw_journal_slot *slot,
                                              const uint8_t *data, uint32_t length, uint32_t at)
{
    struct cw_journal_batch *batch = &slot->batch;
    struct cw_journal_segment *segment = &batch->segments[batch->segment_count++];

    CW_ASSERT(batch->segment_count <= CW_BATCH_SEGMENTS_MAX);
    segment->data = data;
    segment->length = length;
    segment->offset = cw_journal_device_offset(batch->position, journal->config.ring_sectors) + at;
    return segment;
}

struct cw_journal_batch *cw_journal_begin(struct cw_journal *journal)
{
    CW_ASSERT(journal->is_started);
    CW_ASSERT(!journal->is_open);
    struct cw_journal_slot *slot = slot_of(journal, journal->opened);
    uint64_t rest = ring_rest(journal, journal->head_position);
    uint32_t filler = rest < CW_BATCH_ONE_RECORD_SECTORS ? (uint32_t)rest : 0;

    if (slot->state != CW_SLOT_FREE || journal->head_position + filler + 1 > ring_limit(journal))
        return NULL;
    struct cw_journal_batch *batch = &slot->batch;
    batch->record_count = 0;
    batch->first_sequence = batch->last_sequence = 0;
    batch->segment_count = 0;
    batch->is_dsync = false;
    batch->sectors = 1;
    slot->filler_sectors = filler;
    if (filler) {
        batch->position = journal->head_position;
        add_segment(journal, slot, slot->filler, CW_SECTOR_SIZE, 0);
    }
    batch->position = journal->head_position + filler;
    batch->number = journal->next_number + (filler ? 1 : 0);
    add_segment(journal, slot, slot->staging, CW_SECTOR_SIZE, 0);
    slot->is_run_open = true;
    slot->staged = slot->laid_out = CW_SECTOR_SIZE;
    slot->state = CW_SLOT_OPEN;
    journal->is_open = true;
    journal->opened++;
    return batch;
}

/* How a payload of this length would be added: `at` in the batch, so many bytes borrowed, the rest copied. */
struct plan {
    uint32_t at, borrowed, copied;
};

static struct plan plan_payload(const struct cw_journal_slot *slot, uint32_t length)
{
    struct plan plan = {.at = cw_batch_place(slot->laid_out, length), .copied = length};

    if (length > CW_BATCH_COPY_MAX) {
        plan.borrowed = length & ~(CW_SECTOR_SIZE - 1);
        plan.copied = length - plan.borrowed;
    }
    return plan;
}

static bool fits(const struct cw_journal *journal, const struct cw_journal_slot *slot,
                 const struct plan *plan)
{
    const struct cw_journal_batch *batch = &slot->batch;
    uint32_t sectors = cw_batch_sectors_of(plan->at + plan->borrowed + plan->copied);

    if (batch->record_count == CW_BATCH_RECORDS_MAX || sectors > CW_BATCH_SECTORS_MAX)
        return false;
    if (sectors > ring_rest(journal, batch->position) ||
        batch->position + sectors + CW_JOURNAL_RESERVE_SECTORS > ring_limit(journal))
        return false;
    if (batch->segment_count + (plan->borrowed ? 2 : 1) > CW_BATCH_SEGMENTS_MAX)
        return false;
    uint32_t staged = slot->staged + (plan->at - slot->laid_out) + plan->copied;
    return cw_round_up(staged, CW_SECTOR_SIZE) <= CW_BATCH_STAGING_SIZE;
}

static void stage_zeroes(struct cw_journal_slot *slot, uint32_t length)
{
    memset(slot->staging + slot->staged, 0, length);
    slot->staged += length;
}

static void end_run(struct cw_journal_slot *slot)
{
    struct cw_journal_segment *run = &slot->batch.segments[slot->batch.segment_count - 1];

    if (!slot->is_run_open)
        return;
    stage_zeroes(slot, (uint32_t)cw_round_up(slot->staged, CW_SECTOR_SIZE) - slot->staged);
    run->length = (uint32_t)(slot->staging + slot->staged - run->data);
    slot->is_run_open = false;
}

static void lay_payload(struct cw_journal *journal, struct cw_journal_slot *slot, const uint8_t *payload,
                        const struct plan *plan)
{
    if (plan->borrowed) {
        end_run(slot);
        add_segment(journal, slot, payload, plan->borrowed, plan->at);
        slot->laid_out = plan->at + plan->borrowed;
    }
    if (plan->copied && !slot->is_run_open) {
        CW_ASSERT(slot->laid_out % CW_SECTOR_SIZE == 0 && "a borrowed payload ends with a sector");
        add_segment(journal, slot, slot->staging + slot->staged, 0, slot->laid_out);
        slot->is_run_open = true;
    }
    if (plan->copied) {
        stage_zeroes(slot, plan->at + plan->borrowed - slot->laid_out);
        memcpy(slot->staging + slot->staged, payload + plan->borrowed, plan->copied);
        slot->staged += plan->copied;
    }
    slot->laid_out = plan->at + plan->borrowed + plan->copied;
    slot->batch.sectors = cw_batch_sectors_of(slot->laid_out);
}

bool cw_journal_add(struct cw_journal *journal, const struct cw_record *record, const uint8_t *payload)
{
    struct cw_journal_slot *slot = open_slot(journal);
    struct cw_journal_batch *batch = &slot->batch;
    uint32_t length = cw_record_payload_length(record);
    struct plan plan = plan_payload(slot, length);

    CW_ASSERT(record->sequence == journal->last_sequence + 1);
    CW_ASSERT(record->group == journal->config.group);
    CW_ASSERT(length == 0 || payload);
    if (!fits(journal, slot, &plan))
        return false;
    cw_record_encode(record, slot->staging + cw_batch_header_used(batch->record_count));
    if (length)
        lay_payload(journal, slot, payload, &plan);
    if (batch->record_count == 0)
        batch->first_sequence = record->sequence;
    batch->last_sequence = record->sequence;
    batch->record_count++;
    journal->last_sequence = record->sequence;
    return true;
}

/* The open batch and its filler included. */
static uint64_t head_with_open(const struct cw_journal *journal)
{
    if (!journal->is_open)
        return journal->head_position;
    const struct cw_journal_batch *batch =
        &journal->slots[(journal->opened - 1) & (journal->config.batch_slots - 1)].batch;
    return batch->position + batch->sectors;
}

uint64_t cw_journal_room(const struct cw_journal *journal)
{
    uint64_t taken = head_with_open(journal) + CW_JOURNAL_RESERVE_SECTORS;

    return taken < ring_limit(journal) ? ring_limit(journal) - taken : 0;
}

uint64_t cw_journal_sectors_for(uint32_t payload_length)
{
    CW_ASSERT(payload_length <= CW_RECORD_PAYLOAD_MAX);
    return 1 + cw_batch_sectors_of(payload_length) + CW_BATCH_FILLER_SECTORS_MAX;
}

static void seal(struct cw_journal *journal, struct cw_batch_head *head, uint8_t *sector)
{
    head->number = journal->next_number++;
    head->chain_before = journal->chain;
    journal->chain = cw_batch_seal(head, sector);
}

const struct cw_journal_batch *cw_journal_close(struct cw_journal *journal, uint64_t commit, bool dsync)
{
    struct cw_journal_slot *slot = open_slot(journal);
    struct cw_journal_batch *batch = &slot->batch;
    struct cw_batch_head head = {
        .journal_id = {journal->config.journal_id[0], journal->config.journal_id[1]},
        .position = journal->head_position,
        .written_sequence = journal->written.sequence,
        .durable_sequence = journal->durable.sequence,
        .written_position = journal->written.end_position,
        .durable_position = journal->durable.end_position,
        .commit = CW_MIN(commit, journal->last_sequence),
        .tail_position = journal->tail_position,
        .answered = CW_MIN(journal->answered, journal->written.sequence),
        .group = journal->config.group,
    };

    end_run(slot);
    batch->commit = head.commit;
    batch->is_dsync = dsync && journal->durable.number == journal->next_number;
    if (slot->filler_sectors) {
        head.is_filler = true;
        head.sectors = slot->filler_sectors;
        seal(journal, &head, slot->filler);
    }
    head.is_filler = false;
    head.position = batch->position;
    head.sectors = batch->sectors;
    head.record_count = batch->record_count;
    uint32_t used = cw_batch_header_used(batch->record_count);
    if (slot->header_dirty > used)
        memset(slot->staging + used, 0, slot->header_dirty - used);
    slot->header_dirty = used;
    seal(journal, &head, slot->staging);
    journal->head_position = batch->position + batch->sectors;
    journal->is_open = false;
    slot->state = CW_SLOT_FLYING;
    return batch;
}

void cw_journal_answered(struct cw_journal *journal, uint64_t sequence)
{
    journal->answered = sequence;
}

static void retire(struct cw_journal *journal, struct cw_journal_slot *slot)
{
    const struct cw_journal_batch *batch = &slot->batch;
    bool is_durable = batch->is_dsync;

    CW_ASSERT(!is_durable || journal->durable.number == journal->written.number);
    journal->written.number = batch->number + 1;
    journal->written.commit = CW_MAX(journal->written.commit, batch->commit);
    journal->written.last_position = batch->position;
    journal->written.end_position = batch->position + batch->sectors;
    if (batch->record_count > 0) {
        struct cw_journal_index_entry entry = {.position = batch->position,
                                               .first_sequence = batch->first_sequence,
                                               .count = batch->record_count,
                                               .sectors = batch->sectors};

        journal->written.sequence = batch->last_sequence;
        cw_journal_index_push(&journal->index, &entry);
    }
    if (is_durable)
        journal->durable = journal->written;
    slot->state = CW_SLOT_FREE;
    journal->retired++;
}

void cw_journal_written(struct cw_journal *journal, uint32_t slot)
{
    CW_ASSERT(slot < journal->config.batch_slots);
    CW_ASSERT(journal->slots[slot].state == CW_SLOT_FLYING);
    journal->slots[slot].state = CW_SLOT_WRITTEN;
    while (journal->retired < journal->opened && slot_of(journal, journal->retired)->state == CW_SLOT_WRITTEN)
        retire(journal, slot_of(journal, journal->retired));
}

const struct cw_journal_batch *cw_journal_batch(const struct cw_journal *journal, uint32_t slot)
{
    CW_ASSERT(slot < journal->config.batch_slots);
    return &journal->slots[slot].batch;
}

bool cw_journal_sync_is_needed(const struct cw_journal *journal)
{
    return journal->durable.number < journal->written.number;
}

void cw_journal_sync_begin(struct cw_journal *journal)
{
    CW_ASSERT(!journal->is_syncing);
    journal->is_syncing = true;
    journal->syncing = journal->written;
}

void cw_journal_sync_end(struct cw_journal *journal)
{
    CW_ASSERT(journal->is_syncing);
    journal->is_syncing = false;
    if (journal->syncing.number > journal->durable.number)
        journal->durable = journal->syncing;
}

uint64_t cw_journal_written_sequence(const struct cw_journal *journal)
{
    return journal->written.sequence;
}

uint64_t cw_journal_durable_sequence(const struct cw_journal *journal)
{
    return journal->durable.sequence;
}

uint64_t cw_journal_durable_commit(const struct cw_journal *journal)
{
    return journal->durable.commit;
}

uint64_t cw_journal_head_position(const struct cw_journal *journal)
{
    return journal->head_position;
}

uint64_t cw_journal_tail_position(const struct cw_journal *journal)
{
    return journal->tail_position;
}

uint64_t cw_journal_ring_sectors(const struct cw_journal *journal)
{
    return journal->config.ring_sectors;
}

bool cw_journal_is_idle(const struct cw_journal *journal)
{
    return journal->retired == journal->opened;
}

/* Where the tail may go for `sequence` as the log stands: the first batch that still counts, and never past
 * the last one that is durable, where recovery has to find something. */
static uint64_t release_target(const struct cw_journal *journal, uint64_t sequence)
{
    const struct cw_journal_index_entry *next = cw_journal_index_find(&journal->index, sequence + 1);
    uint64_t target = journal->durable.last_position;

    if (next)
        target = CW_MIN(target, next->position);
    else if (cw_journal_oldest_sequence(journal) > sequence)
        return journal->tail_position;
    return CW_MAX(target, journal->tail_position);
}

uint64_t cw_journal_release_gain(const struct cw_journal *journal, uint64_t sequence)
{
    return release_target(journal, sequence) - journal->tail_position;
}

uint64_t cw_journal_release_position(struct cw_journal *journal, uint64_t sequence)
{
    journal->promise.sequence = sequence;
    journal->promise.position = release_target(journal, sequence);
    journal->promise.is_made = true;
    return journal->promise.position;
}

uint64_t cw_journal_release(struct cw_journal *journal, uint64_t sequence)
{
    uint64_t target = release_target(journal, sequence);

    if (journal->promise.is_made)
        target = CW_MIN(target, journal->promise.position);
    journal->tail_position = CW_MAX(journal->tail_position, target);
    cw_journal_index_release(&journal->index, journal->tail_position);
    return journal->tail_position;
}

static void cut_mark(struct cw_journal_mark *mark, uint64_t sequence)
{
    mark->sequence = CW_MIN(mark->sequence, sequence);
    mark->commit = CW_MIN(mark->commit, sequence);
}

void cw_journal_cut(struct cw_journal *journal, uint64_t sequence)
{
    CW_ASSERT(cw_journal_is_idle(journal));
    CW_ASSERT(sequence <= journal->last_sequence);
    cw_journal_index_cut(&journal->index, sequence);
    cut_mark(&journal->written, sequence);
    cut_mark(&journal->durable, sequence);
    cut_mark(&journal->syncing, sequence);
    journal->last_sequence = sequence;
    journal->answered = 0;
}

void cw_journal_reset(struct cw_journal *journal, const uint64_t journal_id[2], uint64_t last_sequence)
{
    CW_ASSERT(cw_journal_is_idle(journal));
    CW_ASSERT(!journal->is_syncing);
    CW_ASSERT(
        (journal_id[0] != journal->config.journal_id[0] || journal_id[1] != journal->config.journal_id[1]) &&
        "the same id would make old batches good again");
    struct cw_journal_tip tip = {.last_sequence = last_sequence};

    journal->config.journal_id[0] = journal_id[0];
    journal->config.journal_id[1] = journal_id[1];
    journal->promise.is_made = false;
    journal->is_started = false;
    journal->written.last_position = 0;
    cw_journal_index_clear(&journal->index);
    cw_journal_start(journal, &tip);
}
