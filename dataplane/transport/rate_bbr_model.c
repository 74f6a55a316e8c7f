/* SPDX-License-Identifier: BSD-3-Clause */
/* BBR's model of the path, section 5.5 of the draft, and the volumes made of it, 5.6.4.2. */
#include "base/numbers.h"
#include "transport/ack_ranges.h"
#include "transport/pacer.h"
#include "transport/rate_bbr_internal.h"

/* Shares of loss are parts of this. */
#define WHOLE       1000000u
#define PER_CENT(n) (WHOLE * (n) / 100)

/* ---- rounds and the full pipe ------------------------------------------------------------------------ */

void cw_bbr_start_round(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    bbr->next_round_delivered = path->delivered;
}

static void update_round(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    bbr->round_start = path->sample.prior_delivered >= bbr->next_round_delivered;
    if (!bbr->round_start)
        return;
    cw_bbr_start_round(bbr, path);
    bbr->round_count++;
    bbr->rounds_since_probe_up++;
}

void cw_bbr_reset_full_bw(struct cw_bbr *bbr)
{
    bbr->full_bw = 0;
    bbr->full_bw_count = 0;
    bbr->full_bw_now = false;
}

void cw_bbr_check_full_bw_reached(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t rate = path->sample.delivery_rate;
    if (bbr->full_bw_now || !bbr->round_start || path->sample.is_app_limited)
        return;
    if (rate >= bbr->full_bw + bbr->full_bw / 4) {
        cw_bbr_reset_full_bw(bbr);
        bbr->full_bw = rate;
        return;
    }
    bbr->full_bw_now = ++bbr->full_bw_count >= 3;
    bbr->full_bw_reached |= bbr->full_bw_now;
}

/* ---- bandwidth --------------------------------------------------------------------------------------- */

/* 5.5.6: two slots are the whole filter, the present cycle and the one before. A cycle without samples does
 * not push the last good one out. */
void cw_bbr_advance_max_bw_filter(struct cw_bbr *bbr)
{
    bbr->cycle_count++;
    if (bbr->max_bw_slots[1] == 0)
        return;
    bbr->max_bw_slots[0] = bbr->max_bw_slots[1];
    bbr->max_bw_slots[1] = 0;
    bbr->max_bw = bbr->max_bw_slots[0];
}

static void update_max_bw(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t rate = path->sample.delivery_rate;
    update_round(bbr, path);
    if (rate == 0 || (rate < bbr->max_bw && path->sample.is_app_limited))
        return;
    bbr->max_bw_slots[1] = CW_MAX(bbr->max_bw_slots[1], rate);
    bbr->max_bw = CW_MAX(bbr->max_bw_slots[0], bbr->max_bw_slots[1]);
}

/* ---- loss, 5.5.10.3 ---------------------------------------------------------------------------------- */

void cw_bbr_reset_congestion_signals(struct cw_bbr *bbr)
{
    bbr->is_loss_in_round = bbr->is_ce_in_round = false;
    bbr->bw_latest = 0;
    bbr->inflight_latest = 0;
}

void cw_bbr_reset_short_term_model(struct cw_bbr *bbr)
{
    bbr->bw_shortterm = CW_BBR_INFINITE;
    bbr->inflight_shortterm = CW_BBR_INFINITE;
}

void cw_bbr_update_latest_delivery_signals(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    const struct cw_rate_sample *sample = &path->sample;
    bbr->bw_latest = CW_MAX(bbr->bw_latest, sample->delivery_rate);
    bbr->inflight_latest = CW_MAX(bbr->inflight_latest, sample->delivered);
    bbr->loss_round_start = sample->prior_delivered >= bbr->loss_round_delivered;
    if (bbr->loss_round_start)
        bbr->loss_round_delivered = path->delivered;
}

void cw_bbr_advance_latest_delivery_signals(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    if (!bbr->loss_round_start)
        return;
    bbr->bw_latest = path->sample.delivery_rate;
    bbr->inflight_latest = path->sample.delivered;
}

static bool is_probing_bw(const struct cw_bbr *bbr)
{
    return bbr->state == CW_BBR_STARTUP || bbr->state == CW_BBR_PROBE_REFILL || bbr->state == CW_BBR_PROBE_UP;
}

static uint64_t calm_loss(const struct cw_bbr *bbr)
{
    return bbr->calm_ended ? bbr->calm_lost * WHOLE / bbr->calm_ended : 0;
}

/* The share that may be lost without being congestion; see the header. */
static uint64_t allowed_loss(const struct cw_bbr *bbr)
{
    return PER_CENT(CW_BBR_LOSS_THRESH) + CW_MIN(calm_loss(bbr), PER_CENT(CW_BBR_CALM_LOSS_MAX));
}

static bool is_calm(const struct cw_bbr *bbr)
{
    uint64_t queue_ns = CW_MAX(bbr->min_rtt_ns / CW_BBR_CALM_QUEUE, CW_BBR_CALM_QUEUE_NS);
    return bbr->state != CW_BBR_PROBE_UP && bbr->loss_round_rtt_ns_min <= bbr->min_rtt_ns + queue_ns;
}

/* A round trip that loses less than the calm ones do tells of the path in any case. */
static void learn_calm_loss(struct cw_bbr *bbr, uint64_t lost, uint64_t ended)
{
    if (!is_calm(bbr) && lost * WHOLE >= ended * calm_loss(bbr))
        return;
    bbr->calm_lost += lost - bbr->calm_lost / CW_BBR_CALM_ROUNDS;
    bbr->calm_ended += ended - bbr->calm_ended / CW_BBR_CALM_ROUNDS;
}

/* Of what came to its end in the round trip that ended just now. */
static bool is_round_lossy(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t lost = path->lost - bbr->loss_round_lost_at;
    uint64_t ended = lost + path->delivered - bbr->loss_round_delivered_at;
    bool is_lossy = lost * WHOLE > ended * allowed_loss(bbr);
    learn_calm_loss(bbr, lost, ended);
    return is_lossy;
}

/* For whole round trips, though this flow does not probe; see the header. The first one in ProbeBW_CRUISE
 * still hears of the queue that was drained before. */
static bool does_queue_stand(struct cw_bbr *bbr)
{
    uint64_t queue_ns = bbr->min_rtt_ns / CW_BBR_STANDING_QUEUE + CW_BBR_CALM_QUEUE_NS;
    bool is_delayed = bbr->state == CW_BBR_PROBE_CRUISE && bbr->loss_round_rtt_ns_min != CW_NEVER &&
                      bbr->loss_round_rtt_ns_min > bbr->min_rtt_ns + queue_ns;
    bbr->queue_rounds = is_delayed ? CW_MIN(bbr->queue_rounds + 1, CW_BBR_STANDING_ROUNDS) : 0;
    return bbr->queue_rounds == CW_BBR_STANDING_ROUNDS;
}

static void adapt_lower_bounds(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    bool is_lossy = is_round_lossy(bbr, path), is_queued = does_queue_stand(bbr);
    bool is_congested = bbr->is_loss_in_round && (bbr->is_ce_in_round || is_lossy);
    if (is_probing_bw(bbr) || !(is_congested || is_queued))
        return;
    if (bbr->bw_shortterm == CW_BBR_INFINITE)
        bbr->bw_shortterm = bbr->max_bw;
    bbr->bw_shortterm = CW_MAX(bbr->bw_latest, bbr->bw_shortterm / 100 * CW_BBR_BETA);
    if (!is_congested)
        return;
    if (bbr->inflight_shortterm == CW_BBR_INFINITE)
        bbr->inflight_shortterm = path->window;
    bbr->inflight_shortterm = CW_MAX(bbr->inflight_latest, bbr->inflight_shortterm * CW_BBR_BETA / 100);
}

void cw_bbr_update_congestion_signals(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    update_max_bw(bbr, path);
    bbr->loss_round_rtt_ns_min = CW_MIN(bbr->loss_round_rtt_ns_min, path->sample.rtt_ns);
    if (!bbr->loss_round_start)
        return;
    adapt_lower_bounds(bbr, path);
    bbr->is_loss_in_round = bbr->is_ce_in_round = false;
    bbr->loss_round_delivered_at = path->delivered;
    bbr->loss_round_lost_at = path->lost;
    bbr->loss_round_rtt_ns_min = CW_NEVER;
}

bool cw_bbr_is_inflight_too_high(const struct cw_bbr *bbr, uint64_t lost, uint64_t tx_in_flight)
{
    return lost * WHOLE > tx_in_flight * allowed_loss(bbr);
}

/* 5.5.10.2: the in-flight volume at which loss crossed the threshold. */
uint64_t cw_bbr_inflight_at_loss(const struct cw_bbr *bbr, uint64_t tx_in_flight, uint64_t lost,
                                 uint32_t bytes)
{
    uint64_t inflight_prev = tx_in_flight - CW_MIN(tx_in_flight, bytes),
             lost_prev = lost - CW_MIN(lost, bytes);
    uint64_t share = allowed_loss(bbr), allowed = inflight_prev * share, prefix = 0;
    if (allowed > lost_prev * WHOLE)
        prefix = (allowed - lost_prev * WHOLE) / (WHOLE - share);
    return inflight_prev + prefix;
}

/* ---- delay and aggregation --------------------------------------------------------------------------- */

/* 5.3.4.3. A sample that equals the least one refreshes it too: it shows that no queue stands. */
void cw_bbr_update_min_rtt(struct cw_bbr *bbr, const struct cw_rate_path *path, uint64_t now_ns)
{
    uint64_t rtt_ns = path->sample.rtt_ns;
    bbr->probe_rtt_expired = now_ns > bbr->probe_rtt_min_at_ns + CW_BBR_PROBE_RTT_NS;
    if (rtt_ns != CW_NEVER && (rtt_ns <= bbr->probe_rtt_min_delay_ns || bbr->probe_rtt_expired)) {
        bbr->probe_rtt_expired &= rtt_ns > bbr->probe_rtt_min_delay_ns;
        bbr->probe_rtt_min_delay_ns = rtt_ns;
        bbr->probe_rtt_min_at_ns = now_ns;
    }
    bool is_expired = now_ns > bbr->min_rtt_at_ns + CW_BBR_MIN_RTT_NS;
    if (bbr->probe_rtt_min_delay_ns <= bbr->min_rtt_ns || is_expired) {
        bbr->min_rtt_ns = bbr->probe_rtt_min_delay_ns;
        bbr->min_rtt_at_ns = bbr->probe_rtt_min_at_ns;
    }
}

/* The window is the rounds of the array; in Startup only the present one counts. */
static uint64_t extra_acked_max(const struct cw_bbr *bbr)
{
    uint64_t most = bbr->extra_acked_rounds[bbr->round_count % CW_BBR_EXTRA_ACKED_ROUNDS];
    for (uint32_t i = 0; bbr->full_bw_reached && i < CW_BBR_EXTRA_ACKED_ROUNDS; i++)
        most = CW_MAX(most, bbr->extra_acked_rounds[i]);
    return most;
}

void cw_bbr_update_ack_aggregation(struct cw_bbr *bbr, const struct cw_rate_path *path, uint64_t now_ns)
{
    uint64_t *round = &bbr->extra_acked_rounds[bbr->round_count % CW_BBR_EXTRA_ACKED_ROUNDS];
    uint64_t expected = cw_rate_times(bbr->bw, now_ns - bbr->extra_acked_ns);
    if (bbr->extra_acked_delivered <= expected) {
        bbr->extra_acked_delivered = 0;
        bbr->extra_acked_ns = now_ns;
        expected = 0;
    }
    bbr->extra_acked_delivered += path->sample.newly_acked;
    uint64_t extra = CW_MIN(bbr->extra_acked_delivered - expected, path->window);
    *round = bbr->round_start ? extra : CW_MAX(*round, extra);
    bbr->extra_acked = extra_acked_max(bbr);
}

/* ---- volume ------------------------------------------------------------------------------------------ */

uint64_t cw_bbr_min_pipe(const struct cw_rate_path *path)
{
    return (uint64_t)CW_BBR_MIN_PIPE_PACKETS * path->datagram_bytes;
}

uint64_t cw_bbr_bdp(struct cw_bbr *bbr, const struct cw_rate_path *path, uint32_t gain)
{
    if (bbr->min_rtt_ns == CW_NEVER)
        return path->initial_window;
    bbr->bdp = cw_rate_times(bbr->bw, bbr->min_rtt_ns);
    return bbr->bdp / 100 * gain + bbr->bdp % 100 * gain / 100;
}

/* 5.5.8.2: a quantum of the pacer, and what an ack of ours may have to wait for. */
static uint64_t offload_budget(const struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t quantum = CW_MIN(cw_rate_times(path->pacing_rate, CW_PACER_SPAN_NS), CW_PACER_QUANTUM_MAX);
    uint64_t ack =
        CW_MIN((uint64_t)CW_ACK_PACKETS * path->datagram_bytes, cw_rate_times(bbr->max_bw, CW_ACK_DELAY_NS));
    return CW_MAX(quantum, 2ull * path->datagram_bytes) + ack;
}

static uint64_t quantized(const struct cw_bbr *bbr, const struct cw_rate_path *path, uint64_t cap)
{
    cap = CW_MAX(cap, offload_budget(bbr, path));
    cap = CW_MAX(cap, cw_bbr_min_pipe(path));
    return bbr->state == CW_BBR_PROBE_UP ? cap + 2ull * path->datagram_bytes : cap;
}

uint64_t cw_bbr_inflight(struct cw_bbr *bbr, const struct cw_rate_path *path, uint32_t gain)
{
    return quantized(bbr, path, cw_bbr_bdp(bbr, path, gain));
}

/* 5.3.3.9 */
uint64_t cw_bbr_inflight_with_headroom(const struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    if (bbr->inflight_longterm == CW_BBR_INFINITE)
        return CW_BBR_INFINITE;
    uint64_t headroom = CW_MAX(bbr->inflight_longterm * CW_BBR_HEADROOM / 100, path->datagram_bytes);
    uint64_t rest = bbr->inflight_longterm - CW_MIN(headroom, bbr->inflight_longterm);
    return CW_MAX(rest, cw_bbr_min_pipe(path));
}

uint64_t cw_bbr_max_inflight(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    return quantized(bbr, path, cw_bbr_bdp(bbr, path, bbr->cwnd_gain) + bbr->extra_acked);
}
