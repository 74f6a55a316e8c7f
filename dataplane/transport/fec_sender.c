/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A row is zeroed as far as symbols reach, when they reach it. Blocks of a stripe have consecutive numbers,
 * taken when it is opened. The peer holds peer_blocks of them at a time, so a stripe is closed when numbers
 * have run half of that ahead of it, whatever its lane thinks.
 */
#include "transport/fec_sender.h"

#include <stdalign.h>
#include <string.h>

#include "base/numbers.h"

#define ROW_ALIGNMENT 64u

void cw_fec_sender_init(struct cw_fec_sender *sender, struct cw_arena *arena, const struct cw_fec_code *code,
                        const struct cw_fec_shape *limits, uint32_t symbol_bytes_max)
{
    CW_ASSERT(limits->sources >= 1 && limits->sources <= CW_FEC_SOURCES_MAX);
    CW_ASSERT(limits->repairs >= 1 && limits->repairs <= CW_FEC_REPAIRS_MAX);
    CW_ASSERT(limits->depth >= 1 && limits->depth <= CW_FEC_DEPTH_MAX);
    *sender = (struct cw_fec_sender){.code = code,
                                     .limits = *limits,
                                     .shape = *limits,
                                     .row_bytes = (uint32_t)cw_round_up(symbol_bytes_max, ROW_ALIGNMENT)};
    size_t rows = (size_t)limits->depth * limits->repairs * sender->row_bytes;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++) {
        struct cw_fec_stripe *stripe = &sender->stripes[i];
        stripe->lengths = cw_arena_take(arena, limits->depth * sizeof *stripe->lengths, alignof(uint32_t));
        stripe->rows = cw_arena_take(arena, rows, ROW_ALIGNMENT);
    }
}

void cw_fec_sender_open(struct cw_fec_sender *sender, uint32_t peer_blocks, uint32_t peer_repairs)
{
    CW_ASSERT(peer_blocks >= 4 && peer_repairs >= 1);
    sender->peer_blocks = peer_blocks;
    sender->peer_repairs = peer_repairs;
    sender->next_block = 0;
    sender->next_order = 0;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++)
        sender->stripes[i].state = CW_FEC_STRIPE_FREE;
    for (uint32_t l = 0; l < CW_FEC_LANE_COUNT; l++)
        sender->lanes[l] = (struct cw_fec_lane_out){.depth = CW_FEC_DEPTH_MAX};
}

void cw_fec_sender_abandon(struct cw_fec_sender *sender)
{
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++)
        sender->stripes[i].state = CW_FEC_STRIPE_FREE;
    for (uint32_t l = 0; l < CW_FEC_LANE_COUNT; l++)
        sender->lanes[l].open = NULL;
}

void cw_fec_sender_shape(struct cw_fec_sender *sender, const struct cw_fec_shape *shape)
{
    CW_ASSERT(shape->sources >= 1 && shape->repairs >= 1 && shape->depth >= 1);
    sender->shape = *shape;
}

uint32_t cw_fec_sender_room(const struct cw_fec_sender *sender)
{
    return (uint32_t)CW_MIN(sender->shape.sources, sender->limits.sources) *
           CW_MIN(sender->shape.depth, sender->limits.depth);
}

uint32_t cw_fec_repairs_of(const struct cw_fec_shape *shape, uint32_t sources)
{
    uint32_t share = (shape->repairs * sources + shape->sources / 2u) / shape->sources;
    return sources == 0 ? 0 : CW_MAX(share, 1u);
}

/* Sources of the block in this column. */
static uint32_t sources_of(const struct cw_fec_stripe *stripe, uint32_t column)
{
    uint32_t depth = stripe->shape.depth;
    return stripe->source_count / depth + (column < stripe->source_count % depth);
}

static void close_stripe(struct cw_fec_sender *sender, struct cw_fec_stripe *stripe)
{
    CW_ASSERT(stripe->state == CW_FEC_STRIPE_OPEN && stripe->source_count > 0);
    stripe->state = CW_FEC_STRIPE_REPAIRING;
    stripe->repair_at = 0;
    stripe->order = sender->next_order++;
    sender->lanes[stripe->lane].open = NULL;
}

/* Too old to wait for more: at this pace a stripe should be as wide as what came. */
static void close_by_age(struct cw_fec_sender *sender, struct cw_fec_stripe *stripe)
{
    uint32_t full_blocks = stripe->source_count / stripe->shape.sources;
    sender->lanes[stripe->lane].depth = (uint16_t)CW_MAX(full_blocks, 1u);
    close_stripe(sender, stripe);
}

static void close_by_being_full(struct cw_fec_sender *sender, struct cw_fec_stripe *stripe)
{
    struct cw_fec_lane_out *lane = &sender->lanes[stripe->lane];
    lane->depth = (uint16_t)CW_MIN(2u * lane->depth, CW_FEC_DEPTH_MAX);
    close_stripe(sender, stripe);
}

/* Numbers have run so far ahead that the peer may soon need the slots of this stripe. */
static void close_what_is_left_behind(struct cw_fec_sender *sender)
{
    for (uint32_t l = 0; l < CW_FEC_LANE_COUNT; l++) {
        struct cw_fec_stripe *stripe = sender->lanes[l].open;
        if (stripe && ((sender->next_block - stripe->first) & CW_FEC_NUMBER_MASK) > sender->peer_blocks / 2)
            close_stripe(sender, stripe);
    }
}

static struct cw_fec_shape shape_now(const struct cw_fec_sender *sender, const struct cw_fec_lane_out *lane,
                                     uint32_t waiting)
{
    uint32_t sources = CW_MIN(sender->shape.sources, sender->limits.sources);
    uint32_t repairs = CW_MIN(sender->shape.repairs, CW_MIN(sender->limits.repairs, sender->peer_repairs));
    uint32_t depth = CW_MIN(sender->shape.depth, CW_MIN(sender->limits.depth, sender->peer_blocks / 4));
    uint32_t fills = waiting / sources + 1; /* blocks, of what waits and the one that is here */
    depth = CW_MIN(depth, CW_MIN(lane->depth, fills));
    return (struct cw_fec_shape){(uint8_t)sources, (uint8_t)repairs, (uint16_t)depth};
}

static struct cw_fec_stripe *open_stripe(struct cw_fec_sender *sender, enum cw_fec_lane lane,
                                         uint32_t waiting, uint64_t now_ns)
{
    struct cw_fec_stripe *stripe = sender->stripes;
    while (stripe < sender->stripes + CW_FEC_STRIPES && stripe->state != CW_FEC_STRIPE_FREE)
        stripe++;
    if (stripe == sender->stripes + CW_FEC_STRIPES)
        return NULL;
    stripe->shape = shape_now(sender, &sender->lanes[lane], waiting);
    stripe->state = CW_FEC_STRIPE_OPEN;
    stripe->lane = (uint8_t)lane;
    stripe->first = sender->next_block;
    stripe->source_count = 0;
    stripe->longest = 0;
    stripe->opened_ns = now_ns;
    memset(stripe->lengths, 0, stripe->shape.depth * sizeof *stripe->lengths);
    sender->next_block = (sender->next_block + stripe->shape.depth) & CW_FEC_NUMBER_MASK;
    sender->counts[CW_FEC_OUT_BLOCKS] += stripe->shape.depth;
    sender->lanes[lane].open = stripe;
    close_what_is_left_behind(sender);
    return stripe;
}

static uint8_t *row_of(const struct cw_fec_sender *sender, const struct cw_fec_stripe *stripe,
                       uint32_t column, uint32_t row)
{
    return stripe->rows + ((size_t)column * sender->limits.repairs + row) * sender->row_bytes;
}

static void add(struct cw_fec_sender *sender, struct cw_fec_stripe *stripe, uint32_t column, uint32_t index,
                const uint8_t *symbol, uint32_t length)
{
    uint8_t *rows[CW_FEC_REPAIRS_MAX];
    uint32_t *reached = &stripe->lengths[column];
    for (uint32_t j = 0; j < stripe->shape.repairs; j++) {
        rows[j] = row_of(sender, stripe, column, j);
        if (length > *reached)
            memset(rows[j] + *reached, 0, length - *reached);
    }
    *reached = CW_MAX(*reached, length);
    stripe->longest = CW_MAX(stripe->longest, length);
    cw_fec_code_add(sender->code, stripe->shape.repairs, index, symbol, length, rows);
}

bool cw_fec_sender_add(struct cw_fec_sender *sender, enum cw_fec_lane lane, uint32_t waiting,
                       const uint8_t *symbol, uint32_t length, uint64_t now_ns, struct cw_fec_place *place)
{
    CW_ASSERT(length <= sender->row_bytes);
    struct cw_fec_stripe *stripe = sender->lanes[lane].open;
    if (!stripe)
        stripe = open_stripe(sender, lane, waiting, now_ns);
    if (!stripe) {
        sender->counts[CW_FEC_OUT_UNPROTECTED]++;
        return false;
    }
    const struct cw_fec_shape *shape = &stripe->shape;
    uint32_t column = stripe->source_count % shape->depth, index = stripe->source_count / shape->depth;
    add(sender, stripe, column, index, symbol, length);
    *place = (struct cw_fec_place){.block = (stripe->first + column) & CW_FEC_NUMBER_MASK,
                                   .index = (uint8_t)index,
                                   .repairs = shape->repairs};
    stripe->last_ns = now_ns;
    if (++stripe->source_count == (uint32_t)shape->sources * shape->depth)
        close_by_being_full(sender, stripe);
    return true;
}

static uint64_t ends_ns(const struct cw_fec_stripe *stripe)
{
    uint64_t age_ns = stripe->opened_ns + CW_FEC_AGE_NS;
    return stripe->lane == CW_FEC_LANE_BULK ? CW_MIN(age_ns, stripe->last_ns + CW_FEC_QUIET_NS) : age_ns;
}

void cw_fec_sender_look(struct cw_fec_sender *sender, bool latency_is_empty, uint64_t now_ns)
{
    for (uint32_t l = 0; l < CW_FEC_LANE_COUNT; l++) {
        struct cw_fec_stripe *stripe = sender->lanes[l].open;
        if (!stripe)
            continue;
        if (now_ns >= stripe->opened_ns + CW_FEC_AGE_NS)
            close_by_age(sender, stripe);
        else if (now_ns >= ends_ns(stripe) || (l == CW_FEC_LANE_LATENCY && latency_is_empty))
            close_stripe(sender, stripe);
    }
}

uint64_t cw_fec_sender_deadline_ns(const struct cw_fec_sender *sender)
{
    uint64_t deadline_ns = CW_NEVER;
    for (uint32_t l = 0; l < CW_FEC_LANE_COUNT; l++)
        if (sender->lanes[l].open)
            deadline_ns = CW_MIN(deadline_ns, ends_ns(sender->lanes[l].open));
    return deadline_ns;
}

/* The one that was closed first. */
static const struct cw_fec_stripe *repairing(const struct cw_fec_sender *sender, enum cw_fec_lane lane)
{
    const struct cw_fec_stripe *first = NULL;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++) {
        const struct cw_fec_stripe *stripe = &sender->stripes[i];
        if (stripe->state == CW_FEC_STRIPE_REPAIRING && stripe->lane <= lane &&
            (!first || stripe->order < first->order))
            first = stripe;
    }
    return first;
}

bool cw_fec_sender_has_repair(const struct cw_fec_sender *sender, enum cw_fec_lane lane)
{
    return repairing(sender, lane) != NULL;
}

/* Goes on to the next repair that there is; false: that was the last. */
static bool advance(struct cw_fec_stripe *stripe)
{
    uint32_t depth = stripe->shape.depth, all = depth * stripe->shape.repairs;
    do
        stripe->repair_at++;
    while (stripe->repair_at < all &&
           cw_fec_repairs_of(&stripe->shape, sources_of(stripe, stripe->repair_at % depth)) <=
               stripe->repair_at / depth);
    return stripe->repair_at < all;
}

uint32_t cw_fec_sender_take_repair(struct cw_fec_sender *sender, enum cw_fec_lane lane, uint8_t *symbol,
                                   struct cw_fec_place *place, uint32_t *source_count, uint64_t now_ns)
{
    const struct cw_fec_stripe *found = repairing(sender, lane);
    CW_ASSERT(found != NULL);
    struct cw_fec_stripe *stripe = &sender->stripes[found - sender->stripes];
    uint32_t column = stripe->repair_at % stripe->shape.depth, row = stripe->repair_at / stripe->shape.depth;
    uint32_t length = stripe->lengths[column];
    memcpy(symbol, row_of(sender, stripe, column, row), length);
    *place = (struct cw_fec_place){.block = (stripe->first + column) & CW_FEC_NUMBER_MASK,
                                   .index = (uint8_t)row,
                                   .repairs = stripe->shape.repairs};
    *source_count = sources_of(stripe, column);
    if (!advance(stripe)) {
        struct cw_fec_lane_out *out = &sender->lanes[stripe->lane];
        out->lag_ns = CW_MAX(now_ns - stripe->opened_ns, out->lag_ns - out->lag_ns / 8);
        stripe->state = CW_FEC_STRIPE_FREE;
    }
    return length;
}

uint32_t cw_fec_sender_next_bytes(const struct cw_fec_sender *sender)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++)
        if (sender->stripes[i].state != CW_FEC_STRIPE_FREE)
            bytes = CW_MAX(bytes, sender->stripes[i].longest);
    return bytes;
}

bool cw_fec_sender_has_free(const struct cw_fec_sender *sender)
{
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++)
        if (sender->stripes[i].state == CW_FEC_STRIPE_FREE)
            return true;
    return false;
}

uint64_t cw_fec_sender_lag_ns(const struct cw_fec_sender *sender, enum cw_fec_lane lane, uint64_t now_ns)
{
    uint64_t lag_ns = sender->lanes[lane].lag_ns;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++) {
        const struct cw_fec_stripe *stripe = &sender->stripes[i];
        if (stripe->state != CW_FEC_STRIPE_FREE && stripe->lane == lane)
            lag_ns = CW_MAX(lag_ns, now_ns - stripe->opened_ns);
    }
    return lag_ns;
}

bool cw_fec_sender_is_valid(const struct cw_fec_sender *sender)
{
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++) {
        const struct cw_fec_stripe *stripe = &sender->stripes[i];
        const struct cw_fec_shape *shape = &stripe->shape;
        if (stripe->state == CW_FEC_STRIPE_FREE)
            continue;
        if (shape->depth > sender->limits.depth || shape->repairs > sender->limits.repairs ||
            shape->sources > sender->limits.sources)
            return false;
        if (stripe->source_count < 1 || stripe->source_count > (uint32_t)shape->sources * shape->depth)
            return false;
        if ((stripe->state == CW_FEC_STRIPE_OPEN) != (sender->lanes[stripe->lane].open == stripe))
            return false;
    }
    return true;
}
