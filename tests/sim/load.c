/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients. Every block that is ever written is made from the number of the op that wrote it, so whoever finds
 * a block anywhere knows who wrote it, or that nobody did.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"

#define READERS       4u
#define CONTENT_MAGIC 0x6b636f6c626d6973ull

struct content {
    uint64_t magic, op, place, check;
    uint64_t fill[(SIM_BLOCK - 32) / 8];
};
static_assert(sizeof(struct content) == SIM_BLOCK, "one block");

void content_fill(uint8_t *data, uint64_t op, uint16_t volume, uint64_t block)
{
    struct content c = {.magic = CONTENT_MAGIC, .op = op, .place = (uint64_t)volume << 32 | block};

    for (uint32_t i = 0; i < CW_COUNT_OF(c.fill); i++)
        c.fill[i] = (op * 0x9e3779b97f4a7c15ull) ^ (block << 20) ^ i;
    c.check = cw_hash64(&c, sizeof c);
    memcpy(data, &c, sizeof c);
}

uint64_t content_op(const uint8_t *data, uint16_t volume, uint64_t block)
{
    struct content c;

    memcpy(&c, data, sizeof c);
    uint64_t check = c.check;
    c.check = 0;
    if (c.magic == CONTENT_MAGIC && c.place == ((uint64_t)volume << 32 | block) &&
        cw_hash64(&c, sizeof c) == check)
        return c.op;
    for (uint32_t i = 0; i < SIM_BLOCK; i++)
        if (data[i])
            return UINT64_MAX;
    return 0;
}

/* ------------------------------------------------------------------ one op */

static void op_free(struct client_op *op)
{
    free(op->buffer);
    free(op);
}

static void op_unlink(struct world *w, struct client_op *op)
{
    struct client_op **at = &w->live_ops[op->site];

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    w->in_flight[op->site]--;
}

static enum cw_status submit_write(struct site *site, struct client_op *op)
{
    static const uint8_t kinds[] = {
        [OP_WRITE] = CW_RECORD_WRITE, [OP_ZEROES] = CW_RECORD_ZEROES, [OP_DISCARD] = CW_RECORD_DISCARD};
    struct cw_group_write write = {.request = &op->request,
                                   .kind = kinds[op->kind],
                                   .fua = op->fua,
                                   .volume = op->volume,
                                   .offset = op->offset,
                                   .length = op->length};

    if (op->kind == OP_WRITE)
        for (uint64_t done = 0; done < op->length;) {
            struct cw_payload *p = &write.payloads[write.payload_count++];
            p->length = (uint32_t)CW_MIN(op->length - done, CW_RECORD_PAYLOAD_MAX);
            p->handle = site_payload_take(site, p->length, &p->data);
            for (uint64_t at = 0; at < p->length; at += SIM_BLOCK)
                content_fill(p->data + at, op->id, op->volume, (op->offset + done + at) / SIM_BLOCK);
            done += p->length;
        }
    enum cw_status status = cw_group_write(site->group, &write, site_clock(site, site->world->now_ns));
    if (status != CW_OK)
        for (uint32_t i = 0; i < write.payload_count; i++)
            site_payload_release(site, write.payloads[i].handle);
    return status;
}

static enum cw_status submit(struct site *site, struct client_op *op)
{
    switch (op->kind) {
    case OP_FLUSH:
        return cw_group_flush(site->group, &op->request, site_clock(site, site->world->now_ns));
    case OP_READ:
        op->buffer = malloc(op->length);
        CW_ASSERT(op->buffer != NULL);
        op->read = (struct cw_group_read){.volume = op->volume, .offset = op->offset, .length = op->length};
        return cw_group_read_begin(site->group, &op->read);
    default:
        return submit_write(site, op);
    }
}

static void op_began(struct site *site, struct client_op *op)
{
    struct world *w = site->world;
    uint64_t records =
        op->kind == OP_WRITE ? (op->length + CW_RECORD_PAYLOAD_MAX - 1) / CW_RECORD_PAYLOAD_MAX : 1;

    cw_group_status(site->group, site_clock(site, w->now_ns), &site->status);
    op->epoch = site->status.epoch;
    op->reign = site->status.reign;
    op->last_sequence = op->head_at_begin = site->status.head;
    op->first_sequence = op->last_sequence - records + 1;
    if (op->kind <= OP_DISCARD)
        oracle_submitted(w, op);
    note(w, site, "op", op->kind, op->id, op->last_sequence);
    note(w, site, "  at", op->volume, op->offset, op->length);
    if (op->kind != OP_READ)
        return;
    if (op->read.is_covered)
        load_read_done(site, op, CW_OK);
    else
        site_read_volume(site, op);
}

struct client_op *load_submit(struct site *site, enum op_kind kind, uint16_t volume, uint64_t block,
                              uint64_t blocks, bool fua)
{
    struct world *w = site->world;
    struct client_op *op = calloc(1, sizeof *op);

    CW_ASSERT(op != NULL);
    op->request.op = op;
    op->id = ++w->next_op;
    op->kind = (uint8_t)kind;
    op->fua = fua && kind <= OP_DISCARD;
    op->site = site->id;
    op->life = site->life;
    op->volume = volume;
    op->offset = block * SIM_BLOCK;
    op->length = kind == OP_FLUSH ? 0 : blocks * SIM_BLOCK;
    op->submitted_ns = w->now_ns;
    op->mode = w->mode;
    enum cw_status status = submit(site, op);
    if (status != CW_OK) {
        note(w, site, "op not taken", op->kind, op->id, status);
        w->rejected++;
        op_free(op);
        return NULL;
    }
    op->next = w->live_ops[site->id];
    w->live_ops[site->id] = op;
    w->in_flight[site->id]++;
    op_began(site, op);
    return op;
}

/* ------------------------------------------------------------------ answers */

void load_complete(struct site *site, struct cw_block_request *request, enum cw_status status)
{
    struct world *w = site->world;
    struct client_op *op = request->op;

    CW_ASSERT(!op->is_done && "completed once");
    CW_ASSERT(op->life == site->life);
    op->is_done = true;
    op->acked_ns = w->now_ns;
    op_unlink(w, op);
    note(w, site, "complete", op->id, status, op->last_sequence);
    tell(w, site, "%s %llu: %s", op->kind == OP_FLUSH ? "flush after" : "write",
         (unsigned long long)op->last_sequence, status == CW_OK ? "acknowledged" : cw_status_name(status));
    if (status != CW_OK) {
        op_free(op);
        return;
    }
    op->is_acked = true;
    check_ack(site, op);
    if (op->kind == OP_FLUSH)
        w->acked_flushes++;
    else
        w->acked_writes++;
    op->next = w->oracle.ops;
    w->oracle.ops = op;
}

/* true: it is over */
static bool answer_read(struct site *site, struct client_op *op)
{
    struct world *w = site->world;
    enum cw_status may = cw_group_may_answer(site->group, site_clock(site, w->now_ns));

    if (may == CW_AGAIN)
        return false;
    if (may == CW_OK) {
        check_answered(site, op->epoch, op->reign);
        check_read(site, op);
        w->acked_reads++;
    }
    note(w, site, "read answered", op->id, may, 0);
    op_unlink(w, op);
    op_free(op);
    return true;
}

void load_read_done(struct site *site, struct client_op *op, enum cw_status status)
{
    struct world *w = site->world;
    uint8_t *slices[SIM_BLOCKS_MAX * SIM_BLOCK / CW_RECORD_PAYLOAD_MAX + 1];
    uint32_t count = 0;

    for (uint64_t at = 0; at < op->length; at += CW_RECORD_PAYLOAD_MAX)
        slices[count++] = op->buffer + at;
    cw_group_read_end(site->group, &op->read, slices, count);
    cw_group_status(site->group, site_clock(site, w->now_ns), &site->status);
    op->head_at_end = site->status.head;
    op->is_read = true;
    if (site->status.epoch != op->epoch || site->status.reign != op->reign || status != CW_OK) {
        op_unlink(w, op); /* the front end that asked is gone */
        op_free(op);
    }
}

/* Reads that wait for the lease ask again in every turn. */
void load_answers(struct site *site)
{
    struct client_op *op = site->world->live_ops[site->id];

    while (op) {
        struct client_op *next = op->next;
        if (op->is_read)
            answer_read(site, op);
        op = next;
    }
}

/* ------------------------------------------------------------------ many */

static void submit_random(struct site *site, bool only_looks)
{
    struct world *w = site->world;
    uint16_t volume = (uint16_t)world_random(w, w->volume_count);
    if (!volume_is_used(site, volume))
        return;
    uint64_t size = w->volume_blocks[volume];
    uint64_t dice = world_random(w, 100);
    enum op_kind kind = dice < 55   ? OP_WRITE
                        : dice < 62 ? OP_ZEROES
                        : dice < 66 ? OP_DISCARD
                        : dice < 76 ? OP_FLUSH
                                    : OP_READ;
    uint64_t blocks = world_chance(w, 30)    ? size
                      : w->focus->is_slow    ? 64 /* few ops fill a journal: they are what a run costs */
                      : world_chance(w, 200) ? 32
                                             : 8;

    bool is_lax = w->focus->syncs_seldom && !world_chance(w, 100);
    if (only_looks || (is_lax && kind == OP_FLUSH))
        kind = OP_READ;
    blocks = 1 + world_random(w, CW_MIN(blocks, size));
    load_submit(site, kind, volume, world_random(w, size - blocks + 1), blocks,
                !is_lax && world_chance(w, 100));
}

void load_turn(struct site *site)
{
    struct world *w = site->world;

    if (!w->load_on || !w->load_due[site->id])
        return;
    w->load_due[site->id] = false;
    if (site->status.role != CW_ROLE_PRIMARY && site->status.role != CW_ROLE_DRAINING)
        return;
    /* While answers are held, applications that do not wait send more. */
    uint32_t depth = site->status.is_frozen ? 8 * w->depth : w->depth;
    while (w->in_flight[site->id] < depth && world_chance(w, 600))
        submit_random(site, false);
    /* Who only reads does not wait for writers: what holds up writes must not hide what a read would show. */
    if (w->in_flight[site->id] >= depth && w->in_flight[site->id] < depth + READERS && world_chance(w, 300))
        submit_random(site, true);
}

static void load_tick(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;

    queue_at(w, w->now_ns + 1 + world_random(w, 2 * w->think_ns), load_tick, site, 0);
    w->load_due[site->id] = true;
    if (w->load_on && site->status.role == CW_ROLE_PRIMARY)
        site_turn_soon(site);
}

void load_init(struct world *w)
{
    for (uint32_t i = 0; i < w->site_count; i++)
        queue_at(w, w->think_ns, load_tick, &w->sites[i], 0);
}

void load_crash(struct site *site)
{
    struct world *w = site->world;

    while (w->live_ops[site->id]) {
        struct client_op *op = w->live_ops[site->id];
        w->live_ops[site->id] = op->next;
        op_free(op);
    }
    w->in_flight[site->id] = 0;
}

void load_fini(struct world *w)
{
    for (uint32_t i = 0; i < w->site_count; i++)
        load_crash(&w->sites[i]);
}
