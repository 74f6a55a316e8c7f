/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was ever written, by whom, and in which line. A branch is one reign; its records are indexed by
 * sequence; its parent is the branch that it continues below its first sequence. So "the line that ends in
 * (epoch, reign)" names one record for every sequence, and one state of the volumes after each.
 *
 * Beside it, for each site, the truth about its journal: what its disk has really finished writing, and what
 * a finished sync covers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"

#define CHECKED_BACK  128u
#define PARENT_UNTOLD (-2) /* its first record was seen before any history that has it */

struct branch *oracle_branch(struct world *w, uint64_t epoch, uint64_t reign)
{
    struct oracle *o = &w->oracle;
    struct branch *last = &o->branches[o->branch_found]; /* mostly the same is asked for again */

    if (o->branch_count && last->epoch == epoch && last->reign == reign)
        return last;
    for (uint32_t i = o->branch_count; i-- > 0;)
        if (o->branches[i].epoch == epoch && o->branches[i].reign == reign) {
            o->branch_found = i;
            return &o->branches[i];
        }
    return NULL;
}

static struct branch *branch_add(struct world *w, uint64_t epoch, uint64_t reign, uint64_t first, int parent)
{
    struct oracle *o = &w->oracle;

    CW_ASSERT(o->branch_count < SIM_BRANCHES_MAX);
    struct branch *b = &o->branches[o->branch_count++];
    *b = (struct branch){.epoch = epoch, .reign = reign, .first = first, .parent = parent};
    return b;
}

/* A history as a site tells it must say of each branch what every other history says. */
void oracle_history(struct world *w, const struct cw_history *history)
{
    int parent = -1;

    for (uint32_t i = 0; i < history->count; i++) {
        const struct cw_history_entry *e = &history->entries[i];
        struct branch *b = oracle_branch(w, e->epoch, e->reign);
        if (!b)
            b = branch_add(w, e->epoch, e->reign, e->first_sequence, parent);
        if (b->parent == PARENT_UNTOLD)
            b->parent = parent;
        if (b->first != e->first_sequence || (i > 0 && b->parent != parent))
            world_fail(w, "two histories disagree on epoch %llu: first %llu or %llu, after branch %d or %d",
                       (unsigned long long)e->epoch, (unsigned long long)b->first,
                       (unsigned long long)e->first_sequence, b->parent, parent);
        parent = (int)(b - w->oracle.branches);
    }
}

static struct sim_record *record_slot(struct branch *b, uint64_t sequence)
{
    uint64_t i = sequence - b->first;

    CW_ASSERT(sequence >= b->first);
    CW_ASSERT(i < 1u << 24);
    if (i >= b->capacity) {
        uint64_t capacity = CW_MAX(256, 2 * i);
        b->records = realloc(b->records, capacity * sizeof *b->records);
        CW_ASSERT(b->records != NULL);
        memset(b->records + b->capacity, 0, (capacity - b->capacity) * sizeof *b->records);
        b->capacity = capacity;
    }
    b->count = CW_MAX(b->count, i + 1);
    return &b->records[i];
}

struct sim_record *oracle_line(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence,
                               struct branch **of)
{
    struct branch *b = oracle_branch(w, epoch, reign);

    while (b && sequence < b->first)
        b = b->parent >= 0 ? &w->oracle.branches[b->parent] : NULL;
    *of = b;
    if (!b || sequence - b->first >= b->count || !b->records[sequence - b->first].is_known)
        return NULL;
    return &b->records[sequence - b->first];
}

void oracle_submitted(struct world *w, struct client_op *op)
{
    struct branch *b = oracle_branch(w, op->epoch, op->reign);

    if (!b) {
        world_fail(w, "a write was taken in epoch %llu, which no history has", (unsigned long long)op->epoch);
        return;
    }
    uint64_t done = 0;
    for (uint64_t s = op->first_sequence; s <= op->last_sequence; s++) {
        struct sim_record *r = record_slot(b, s);
        if (r->is_known) {
            world_fail(w, "epoch %llu: sequence %llu was given out twice", (unsigned long long)op->epoch,
                       (unsigned long long)s);
            return;
        }
        uint64_t part = op->kind == OP_WRITE ? CW_MIN(op->length - done, CW_RECORD_PAYLOAD_MAX) : op->length;
        *r = (struct sim_record){.is_known = true,
                                 .volume = op->volume,
                                 .offset = op->offset + done,
                                 .length = part,
                                 .op = op->kind == OP_WRITE ? op->id : 0};
        r->kind = op->kind == OP_WRITE    ? CW_RECORD_WRITE
                  : op->kind == OP_ZEROES ? CW_RECORD_ZEROES
                                          : CW_RECORD_DISCARD;
        done += part;
    }
}

bool oracle_is_committed(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence)
{
    const struct branch *b = oracle_branch(w, epoch, reign);

    while (b && sequence > b->commit && sequence < b->first)
        b = b->parent >= 0 ? &w->oracle.branches[b->parent] : NULL;
    return b ? sequence <= b->commit : sequence == 0;
}

static uint64_t record_hash(const struct cw_record *record)
{
    uint8_t bytes[CW_RECORD_HEADER_SIZE];

    cw_record_encode(record, bytes);
    return cw_hash64(bytes, sizeof bytes);
}

static void check_payload(struct world *w, const struct site *site, const struct cw_record *record,
                          const struct sim_record *known, const uint8_t *payload)
{
    for (uint64_t at = 0; at < record->length; at += SIM_BLOCK) {
        uint64_t op = content_op(payload + at, record->volume, (record->offset + at) / SIM_BLOCK);
        if (op == known->op)
            continue;
        world_fail(
            w, "integrity: site %u holds record %llu of epoch %llu with content of op %lld, not of op %llu",
            site->id, (unsigned long long)record->sequence, (unsigned long long)record->epoch, (long long)op,
            (unsigned long long)known->op);
        return;
    }
}

/* A record on its way to a disk, out of a disk or over a wire, its hashes already found right. */
void oracle_seen(struct world *w, const struct site *site, const struct cw_record *record,
                 const uint8_t *payload)
{
    struct branch *b = oracle_branch(w, record->epoch, record->reign);
    uint64_t hash = record_hash(record);

    if (!b)
        b = branch_add(w, record->epoch, record->reign, record->sequence, PARENT_UNTOLD);
    if (record->sequence < b->first) {
        world_fail(w, "site %u: record %llu of epoch %llu, which begins at %llu", site->id,
                   (unsigned long long)record->sequence, (unsigned long long)record->epoch,
                   (unsigned long long)b->first);
        return;
    }
    struct sim_record *r = record_slot(b, record->sequence);
    if (!r->is_known && record->kind == CW_RECORD_MARKER)
        *r = (struct sim_record){.is_known = true, .kind = CW_RECORD_MARKER};
    if (!r->is_known || r->kind != record->kind || (r->hash && r->hash != hash) ||
        (record->kind != CW_RECORD_MARKER &&
         (r->volume != record->volume || r->offset != record->offset || r->length != record->length))) {
        world_fail(w, "site %u: (epoch %llu, sequence %llu) names two things, or one that nobody wrote",
                   site->id, (unsigned long long)record->epoch, (unsigned long long)record->sequence);
        return;
    }
    r->hash = hash;
    if (payload && record->kind == CW_RECORD_WRITE)
        check_payload(w, site, record, r, payload);
}

/* ------------------------------------------------------------------ states */

static void model_apply(struct model *model, const struct sim_record *r)
{
    if (r->kind == CW_RECORD_MARKER)
        return;
    for (uint64_t block = r->offset / SIM_BLOCK; block < (r->offset + r->length) / SIM_BLOCK; block++)
        model->block[r->volume][block] = r->op;
}

static bool branch_state(struct world *w, int index, uint64_t sequence, struct model *model)
{
    struct branch *b = &w->oracle.branches[index];

    if (b->parent >= 0 && !branch_state(w, b->parent, CW_MIN(sequence, b->first - 1), model))
        return false;
    for (uint64_t s = b->first; s <= sequence; s++) {
        bool is_told = s - b->first < b->count && b->records[s - b->first].is_known;
        if (s == b->first && !is_told)
            continue; /* the marker of a reign waits for room in the ring */
        if (!is_told)
            return false;
        model_apply(model, &b->records[s - b->first]);
    }
    return true;
}

bool oracle_state(struct world *w, uint64_t epoch, uint64_t reign, uint64_t sequence, struct model *model)
{
    struct branch *b = oracle_branch(w, epoch, reign);

    memset(model, 0, sizeof *model);
    if (!b)
        return sequence == 0;
    return branch_state(w, (int)(b - w->oracle.branches), sequence, model);
}

void oracle_fini(struct world *w)
{
    for (uint32_t i = 0; i < w->oracle.branch_count; i++)
        free(w->oracle.branches[i].records);
    while (w->oracle.ops) {
        struct client_op *next = w->oracle.ops->next;
        free(w->oracle.ops->buffer);
        free(w->oracle.ops);
        w->oracle.ops = next;
    }
}

/* ------------------------------------------------------------------ the truth about a journal */

void truth_written(struct site *site, const struct truth_entry *entry)
{
    uint64_t s = entry->sequence;

    if (s >= site->truth_capacity) {
        uint64_t capacity = CW_MAX(1024, 2 * s);
        site->truth = realloc(site->truth, capacity * sizeof *site->truth);
        CW_ASSERT(site->truth != NULL);
        memset(site->truth + site->truth_capacity, 0,
               (capacity - site->truth_capacity) * sizeof *site->truth);
        site->truth_capacity = capacity;
    }
    site->truth[s] = *entry;
    site->truth[s].serial = ++site->truth_serial;
}

/* Is all of the line up to sequence in this journal? What was checkpointed and left it counts as held. */
bool truth_holds(struct site *site, uint64_t epoch, uint64_t reign, uint64_t sequence, bool durably)
{
    uint64_t low = sequence > CHECKED_BACK ? sequence - CHECKED_BACK : 0;

    for (uint64_t s = sequence; s > low; s--) {
        const struct truth_entry *e = s < site->truth_capacity ? &site->truth[s] : NULL;
        struct branch *b;
        if (!e || !e->serial) {
            if (s > site->status.sequences.applied)
                return false;
            continue;
        }
        oracle_line(site->world, epoch, reign, s, &b);
        if (!b || e->epoch != b->epoch || e->reign != b->reign)
            return false;
        if (durably && !e->dsync && e->serial > site->truth_durable_serial)
            return false;
    }
    return true;
}

void truth_forget(struct site *site)
{
    free(site->truth);
    site->truth = NULL;
    site->truth_capacity = 0;
}
