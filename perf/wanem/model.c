/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line is a time: when it will have sent all that was given to it. What waits is that time minus now, in
 * bytes or as a list of the moments at which each packet will have left. A remainder is carried from frame to
 * frame, so that the rate is exact over any number of them.
 */
#include "wanem/model.h"

#include <assert.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "base/rng.h"

#define FATE_NAME(symbol, name) name,
const char *const cw_wan_fate_names[CW_WAN_FATE_COUNT] = {CW_WAN_FATES(FATE_NAME)};

enum cause {
    CAUSE_BURST,
    CAUSE_LOSS,
    CAUSE_JITTER,
    CAUSE_REORDER,
    CAUSE_DUPLICATE,
    CAUSE_CORRUPT,
    CAUSE_MARK,
    CAUSES
};

/* What chance says of one arrival. */
struct luck {
    bool is_burst_lost, is_lost, is_late, is_twice, is_corrupt, is_marked;
    uint64_t jitter_ns, corrupt_draw;
};

struct way {
    struct cw_wan_spec spec;
    struct cw_rng generators[CAUSES];
    uint32_t bad_begins, bad_ends; /* chances per packet */
    bool is_bad_time;
    uint64_t now_ns;
    uint64_t line_free_ns, line_rest; /* rest: below rate_bits, in parts of a nanosecond */
    uint64_t queue_ns, mark_ns;       /* queue_bytes and mark_bytes at this rate */
    uint64_t *leaves_ns;              /* ring of queue_packets: when each will have left the line */
    uint32_t leaves_head, leaves_count;
    uint32_t mtu_step;
    uint64_t departure_ns; /* the latest of those in order */
    struct cw_wan_counts counts;
};

struct cw_wan_model {
    uint64_t start_ns;
    struct way ways[CW_WAN_DIRECTIONS];
};

/* ---------------------------------------------------------------- making */

/* In the long run a share of burst_loss / burst_density of the packets falls into bad times, which are
 * burst_packets long in the mean: begins / (begins + ends) = share, ends = 1 / burst_packets. */
static void plan_bursts(struct way *way)
{
    const struct cw_wan_spec *spec = &way->spec;
    if (spec->burst_packets == 0)
        return;
    double share = (double)spec->burst_loss / spec->burst_density, ends = 1.0 / spec->burst_packets;
    double begins = CW_MIN(ends * share / (1 - share), 1.0);
    way->bad_ends = (uint32_t)(ends * CW_WAN_CERTAIN + 0.5);
    way->bad_begins = (uint32_t)(begins * CW_WAN_CERTAIN + 0.5);
}

static bool plan_queue(struct way *way)
{
    const struct cw_wan_spec *spec = &way->spec;
    static_assert(CW_WAN_QUEUE_BYTES_MAX <= UINT64_MAX / (8 * CW_SECOND), "the product below does not wrap");
    if (spec->rate_bits == 0)
        return true;
    CW_ASSERT(spec->queue_bytes <= CW_WAN_QUEUE_BYTES_MAX);
    way->queue_ns = spec->queue_bytes * 8 * CW_SECOND / spec->rate_bits;
    way->mark_ns = spec->mark_bytes * 8 * CW_SECOND / spec->rate_bits;
    if (spec->queue_packets > 0)
        way->leaves_ns = calloc(spec->queue_packets, sizeof way->leaves_ns[0]);
    return spec->queue_packets == 0 || way->leaves_ns != NULL;
}

struct cw_wan_model *cw_wan_model_new(const struct cw_wan_spec specs[CW_WAN_DIRECTIONS], uint64_t start_ns)
{
    struct cw_wan_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    model->start_ns = start_ns;
    for (uint32_t i = 0; i < CW_WAN_DIRECTIONS; i++) {
        struct way *way = &model->ways[i];
        struct cw_rng seeds = {specs[i].seed * CW_WAN_DIRECTIONS + i};
        way->spec = specs[i];
        way->now_ns = start_ns;
        for (unsigned cause = 0; cause < CAUSES; cause++)
            way->generators[cause].state = cw_rng_next(&seeds);
        plan_bursts(way);
        if (!plan_queue(way)) {
            cw_wan_model_free(model);
            return NULL;
        }
    }
    return model;
}

void cw_wan_model_free(struct cw_wan_model *model)
{
    for (uint32_t i = 0; model != NULL && i < CW_WAN_DIRECTIONS; i++)
        free(model->ways[i].leaves_ns);
    free(model);
}

const struct cw_wan_counts *cw_wan_model_counts(const struct cw_wan_model *model, uint32_t direction)
{
    return &model->ways[direction].counts;
}

/* ---------------------------------------------------------------- chance */

static bool draw(struct way *way, enum cause cause, uint32_t share)
{
    return share > 0 && cw_rng_below(&way->generators[cause], CW_WAN_CERTAIN) < share;
}

static bool draw_burst(struct way *way)
{
    if (way->spec.burst_packets == 0)
        return false;
    bool changes = draw(way, CAUSE_BURST, way->is_bad_time ? way->bad_ends : way->bad_begins);
    way->is_bad_time ^= changes;
    return way->is_bad_time && draw(way, CAUSE_BURST, way->spec.burst_density);
}

static void draw_luck(struct way *way, struct luck *luck)
{
    const struct cw_wan_spec *spec = &way->spec;
    luck->is_burst_lost = draw_burst(way);
    luck->is_lost = draw(way, CAUSE_LOSS, spec->loss);
    luck->is_late = draw(way, CAUSE_REORDER, spec->reorder);
    luck->is_twice = draw(way, CAUSE_DUPLICATE, spec->duplicate);
    luck->is_corrupt = draw(way, CAUSE_CORRUPT, spec->corrupt);
    luck->is_marked = draw(way, CAUSE_MARK, spec->mark);
    luck->corrupt_draw = spec->corrupt > 0 ? cw_rng_next(&way->generators[CAUSE_CORRUPT]) : 0;
    luck->jitter_ns =
        spec->jitter_ns > 0 ? cw_rng_below(&way->generators[CAUSE_JITTER], spec->jitter_ns + 1) : 0;
}

/* ---------------------------------------------------------------- schedules */

static bool is_too_long(struct way *way, uint64_t age_ns, uint32_t frame_bytes)
{
    const struct cw_wan_spec *spec = &way->spec;
    if (spec->mtu_steps == 0)
        return false;
    while (way->mtu_step + 1 < spec->mtu_steps && spec->mtu[way->mtu_step + 1].from_ns <= age_ns)
        way->mtu_step++;
    return frame_bytes > spec->mtu[way->mtu_step].bytes + CW_WAN_FRAME_HEADER_BYTES;
}

static bool is_dark(const struct cw_wan_spec *spec, uint64_t age_ns)
{
    return spec->dark_ns > 0 && age_ns % spec->period_ns >= spec->period_ns - spec->dark_ns;
}

/* ---------------------------------------------------------------- the line */

static void forget_departed(struct way *way, uint64_t now_ns)
{
    while (way->leaves_count > 0 && way->leaves_ns[way->leaves_head] <= now_ns) {
        way->leaves_head = (way->leaves_head + 1) % way->spec.queue_packets;
        way->leaves_count--;
    }
}

static bool stands_long(const struct way *way)
{
    return way->spec.mark_bytes > 0 && way->line_free_ns > way->now_ns + way->mark_ns;
}

/* True: the frame is on the line, and *sent_ns is when its last bit has left. An idle line takes any frame.
 */
static bool line_take(struct way *way, uint64_t now_ns, uint32_t frame_bytes, uint64_t *sent_ns)
{
    const struct cw_wan_spec *spec = &way->spec;
    *sent_ns = now_ns;
    if (spec->rate_bits == 0)
        return true;
    bool is_idle = way->line_free_ns <= now_ns;
    uint64_t rest = is_idle ? 0 : way->line_rest, begin_ns = is_idle ? now_ns : way->line_free_ns;
    uint64_t parts = (uint64_t)frame_bytes * 8 * CW_SECOND + rest;
    uint64_t free_ns = begin_ns + parts / spec->rate_bits;
    if (spec->queue_packets > 0) {
        forget_departed(way, now_ns);
        if (way->leaves_count == spec->queue_packets)
            return false;
        way->leaves_ns[(way->leaves_head + way->leaves_count++) % spec->queue_packets] = free_ns;
    } else if (!is_idle && free_ns - now_ns > way->queue_ns) {
        return false;
    }
    way->line_free_ns = *sent_ns = free_ns;
    way->line_rest = parts % spec->rate_bits;
    return true;
}

/* ---------------------------------------------------------------- verdicts */

static enum cw_wan_fate fate_of(struct cw_wan_model *model, struct way *way, const struct luck *luck,
                                uint32_t frame_bytes, uint64_t *sent_ns)
{
    uint64_t age_ns = way->now_ns - model->start_ns;
    if (is_too_long(way, age_ns, frame_bytes))
        return CW_WAN_TOO_LONG;
    if (is_dark(&way->spec, age_ns))
        return CW_WAN_DARK;
    if (!line_take(way, way->now_ns, frame_bytes, sent_ns))
        return CW_WAN_QUEUE_FULL;
    if (luck->is_burst_lost)
        return CW_WAN_LOST_BURST;
    return luck->is_lost ? CW_WAN_LOST : CW_WAN_PASSED;
}

/* A bit behind the Ethernet header, or none in a frame that ends there. */
static uint32_t corrupt_bit(const struct luck *luck, uint32_t frame_bytes)
{
    if (!luck->is_corrupt || frame_bytes <= CW_WAN_FRAME_HEADER_BYTES)
        return CW_WAN_INTACT;
    uint32_t bits = (frame_bytes - CW_WAN_FRAME_HEADER_BYTES) * 8;
    return CW_WAN_FRAME_HEADER_BYTES * 8 + (uint32_t)(luck->corrupt_draw % bits);
}

static uint64_t departure(struct way *way, const struct luck *luck, uint64_t sent_ns)
{
    uint64_t departure_ns = sent_ns + way->spec.delay_ns + luck->jitter_ns;
    departure_ns = CW_MAX(departure_ns, way->departure_ns);
    if (luck->is_late)
        return departure_ns + way->spec.reorder_ns;
    way->departure_ns = departure_ns;
    return departure_ns;
}

void cw_wan_decide(struct cw_wan_model *model, uint32_t direction, uint64_t now_ns, uint32_t frame_bytes,
                   struct cw_wan_verdict *verdict)
{
    CW_ASSERT(direction < CW_WAN_DIRECTIONS);
    struct way *way = &model->ways[direction];
    struct luck luck;
    uint64_t sent_ns = now_ns;
    CW_ASSERT(now_ns >= way->now_ns);
    way->now_ns = now_ns;
    draw_luck(way, &luck);
    *verdict = (struct cw_wan_verdict){.corrupt_bit = CW_WAN_INTACT};
    verdict->is_marked = luck.is_marked || stands_long(way); /* of those before it */
    verdict->fate = fate_of(model, way, &luck, frame_bytes, &sent_ns);
    way->counts.frames++;
    way->counts.bytes += frame_bytes;
    way->counts.fates[verdict->fate]++;
    if (verdict->fate != CW_WAN_PASSED)
        return;
    verdict->copies = luck.is_twice ? 2 : 1;
    verdict->is_late = luck.is_late;
    verdict->corrupt_bit = corrupt_bit(&luck, frame_bytes);
    verdict->departure_ns = departure(way, &luck, sent_ns);
    way->counts.duplicated += luck.is_twice;
    way->counts.reordered += luck.is_late;
    way->counts.corrupted += verdict->corrupt_bit != CW_WAN_INTACT;
    CW_ASSERT(verdict->departure_ns >= now_ns + way->spec.delay_ns);
}
