/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/rate_fixed.h"

#include "base/assert.h"
#include "base/numbers.h"
#include "transport/rate_sample.h"

const char *cw_fixed_state_name(uint8_t state)
{
    static const char *const names[CW_FIXED_STATE_COUNT] = {"fixed", "yielding", "tripped"};
    CW_ASSERT(state < CW_FIXED_STATE_COUNT);
    return names[state];
}

static void begin_interval(struct cw_fixed *f, uint64_t now_ns)
{
    f->begin_ns = now_ns;
    f->acked = f->acked_bytes = 0;
    f->lost = 0;
    f->rtt_ns = CW_NEVER;
}

void cw_fixed_start(struct cw_fixed *f, uint64_t now_ns)
{
    f->lossy_rounds = f->queued_rounds = f->yielding_rounds = 0;
    f->rtt_ns_known = CW_NEVER;
    begin_interval(f, now_ns);
}

void cw_fixed_init(struct cw_fixed *f, const struct cw_fixed_config *config, uint64_t bytes_per_second)
{
    CW_ASSERT(config->loss_percent <= 100);
    *f = (struct cw_fixed){.config = *config, .rate_full = bytes_per_second};
}

uint64_t cw_fixed_retry_ns(const struct cw_fixed *f)
{
    return cw_fixed_is_held(f) ? f->since_ns + f->hold_ns : 0;
}

/* ---- moves ------------------------------------------------------------------------------------------- */

static void move(struct cw_fixed *f, enum cw_fixed_state to, uint64_t now_ns)
{
    CW_ASSERT(to != f->state);
    CW_ASSERT(to != CW_FIXED_YIELDING || f->state == CW_FIXED_FREE);
    f->state = (uint8_t)to;
    f->since_ns = now_ns;
    f->lossy_rounds = f->queued_rounds = f->yielding_rounds = 0;
}

static void lengthen_hold(struct cw_fixed *f, uint64_t now_ns)
{
    uint64_t forgiven = f->state == CW_FIXED_FREE ? (now_ns - f->since_ns) / CW_FIXED_QUIET_NS : 0;
    uint64_t kept_ns = forgiven < 64 ? f->hold_ns >> forgiven : 0;
    f->hold_ns = CW_MIN(CW_MAX(2 * kept_ns, CW_FIXED_HOLD_NS_MIN), CW_FIXED_HOLD_NS_MAX);
}

/* Never above the full rate, and as slow as a pacer can be at least. */
static void lower_to(struct cw_fixed *f, uint64_t rate)
{
    rate = CW_MAX(rate, CW_FIXED_RATE_MIN);
    f->rate = f->rate_full ? CW_MIN(rate, f->rate_full) : rate;
}

static void trip(struct cw_fixed *f, uint64_t arrived, uint64_t lost_percent, uint64_t now_ns)
{
    lengthen_hold(f, now_ns);
    lower_to(f, f->rate_full ? f->rate_full / CW_FIXED_TRIPPED_SHARE : arrived / CW_FIXED_ARRIVED_SHARE);
    f->amount = (uint32_t)lost_percent;
    move(f, CW_FIXED_TRIPPED, now_ns);
}

static void lower(struct cw_fixed *f, uint64_t arrived, uint64_t queue_ns)
{
    f->queue_ns = queue_ns;
    f->yielding_rounds = 0;
    lower_to(f, arrived / 100 * CW_FIXED_YIELD_PERCENT);
}

/* ---- what an interval says --------------------------------------------------------------------------- */

static void judge_loss(struct cw_fixed *f, uint64_t arrived, uint64_t now_ns)
{
    uint64_t lost = (uint64_t)CW_MAX(f->lost, 0), percent = lost * 100 / (lost + f->acked);
    bool is_lossy = f->config.loss_percent > 0 && lost * 100 > (lost + f->acked) * f->config.loss_percent;
    f->lossy_rounds = is_lossy ? f->lossy_rounds + 1 : 0;
    if (f->lossy_rounds >= CW_FIXED_ROUNDS && f->state != CW_FIXED_TRIPPED)
        trip(f, arrived, percent, now_ns);
}

/* Less is sent since CW_FIXED_ROUNDS intervals, and the queue still stands. */
static void judge_yielding(struct cw_fixed *f, uint64_t arrived, uint64_t queue_ns, uint64_t now_ns)
{
    if (++f->yielding_rounds < CW_FIXED_ROUNDS)
        return;
    if (queue_ns <= f->queue_ns / 2) {
        lower(f, arrived, queue_ns);
        return;
    }
    f->rtt_ns_known = f->rtt_ns;
    move(f, CW_FIXED_FREE, now_ns);
}

static void judge_delay(struct cw_fixed *f, uint64_t arrived, uint64_t now_ns)
{
    if (f->rtt_ns == CW_NEVER)
        return;
    f->rtt_ns_known = CW_MIN(f->rtt_ns_known, f->rtt_ns);
    uint64_t queue_ns = f->rtt_ns - f->rtt_ns_known;
    bool is_queued = f->config.delay_ns > 0 && queue_ns > f->config.delay_ns;
    f->queued_rounds = is_queued ? f->queued_rounds + 1 : 0;
    if (f->state == CW_FIXED_YIELDING && is_queued) {
        judge_yielding(f, arrived, queue_ns, now_ns);
        return;
    }
    if (f->state != CW_FIXED_FREE || f->queued_rounds < CW_FIXED_ROUNDS ||
        arrived < f->rate_full / CW_FIXED_BUSY_SHARE)
        return;
    lengthen_hold(f, now_ns);
    lower(f, arrived, queue_ns);
    f->amount = (uint32_t)(queue_ns / CW_MS);
    move(f, CW_FIXED_YIELDING, now_ns);
}

void cw_fixed_on_ack(struct cw_fixed *f, uint64_t rtt_ns_smoothed, uint64_t now_ns)
{
    uint64_t length_ns = now_ns - f->begin_ns;
    if (length_ns < CW_FIXED_INTERVAL_NS)
        return;
    bool is_clear = f->state == CW_FIXED_TRIPPED || f->queued_rounds == 0;
    if (cw_fixed_is_held(f) && is_clear && now_ns >= cw_fixed_retry_ns(f)) {
        move(f, CW_FIXED_FREE, now_ns);
        begin_interval(f, now_ns);
        return;
    }
    if (length_ns < CW_FIXED_INTERVAL_TRIPS * rtt_ns_smoothed ||
        f->acked + (uint64_t)CW_MAX(f->lost, 0) < CW_FIXED_PACKETS_MIN || f->acked == 0)
        return;
    uint64_t arrived = cw_rate_of(f->acked_bytes, length_ns);
    judge_loss(f, arrived, now_ns);
    judge_delay(f, arrived, now_ns);
    begin_interval(f, now_ns);
}
