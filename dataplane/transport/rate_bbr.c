/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine and its control parameters; the model of the path is in rate_bbr_model.c. The order of
 * the functions is the draft's.
 */
#include "transport/rate_bbr.h"

#include "base/numbers.h"
#include "transport/rate_bbr_internal.h"

static const struct {
    const char *name;
    uint32_t pacing_gain, cwnd_gain;
} states[CW_BBR_STATE_COUNT] = {
    /* section 5.6.1, the table */
    [CW_BBR_STARTUP] = {"startup", CW_BBR_STARTUP_PACING_GAIN, CW_BBR_DEFAULT_CWND_GAIN},
    [CW_BBR_DRAIN] = {"drain", CW_BBR_DRAIN_PACING_GAIN, CW_BBR_DEFAULT_CWND_GAIN},
    [CW_BBR_PROBE_DOWN] = {"probe-bw-down", CW_BBR_DOWN_PACING_GAIN, CW_BBR_DEFAULT_CWND_GAIN},
    [CW_BBR_PROBE_CRUISE] = {"probe-bw-cruise", 100, CW_BBR_DEFAULT_CWND_GAIN},
    [CW_BBR_PROBE_REFILL] = {"probe-bw-refill", 100, CW_BBR_DEFAULT_CWND_GAIN},
    [CW_BBR_PROBE_UP] = {"probe-bw-up", CW_BBR_UP_PACING_GAIN, CW_BBR_UP_CWND_GAIN},
    [CW_BBR_PROBE_RTT] = {"probe-rtt", 100, CW_BBR_PROBE_RTT_CWND_GAIN},
};

const char *cw_bbr_state_name(uint8_t state)
{
    return states[state].name;
}

static void enter(struct cw_bbr *bbr, enum cw_bbr_state state)
{
    bbr->state = (uint8_t)state;
    bbr->pacing_gain = states[state].pacing_gain;
    bbr->cwnd_gain = states[state].cwnd_gain;
}

/* ---- 5.6.2, pacing ----------------------------------------------------------------------------------- */

static uint64_t initial_rate(const struct cw_rate_path *path, uint64_t rtt_ns)
{
    return cw_rate_of(path->initial_window, rtt_ns) * CW_BBR_STARTUP_PACING_GAIN / 100;
}

static void set_pacing_rate(struct cw_bbr *bbr, struct cw_rate_path *path, uint32_t gain)
{
    uint64_t rate = bbr->bw / 100 * gain / 100 * (100 - CW_BBR_PACING_MARGIN);
    if (bbr->full_bw_reached || rate > path->pacing_rate)
        path->pacing_rate = rate;
}

/* ---- 5.3.1, Startup ---------------------------------------------------------------------------------- */

static void check_startup_high_loss(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    const struct cw_rate_sample *sample = &path->sample;
    if (bbr->loss_round_start && path->is_in_recovery && bbr->state == CW_BBR_STARTUP &&
        bbr->loss_events_in_round >= CW_BBR_STARTUP_LOSSES &&
        cw_bbr_is_inflight_too_high(bbr, sample->lost, sample->tx_in_flight)) {
        bbr->undo_state = CW_BBR_STARTUP;
        bbr->full_bw_now = bbr->full_bw_reached = true;
        bbr->inflight_longterm = CW_MAX(cw_bbr_bdp(bbr, path, 100), bbr->inflight_latest);
    }
    if (bbr->loss_round_start)
        bbr->loss_events_in_round = 0;
}

static void check_startup_done(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    check_startup_high_loss(bbr, path);
    if (bbr->state == CW_BBR_STARTUP && bbr->full_bw_reached) {
        enter(bbr, CW_BBR_DRAIN);
        bbr->drain_start_round = bbr->round_count;
    }
}

/* ---- 5.3.3.9, ProbeBW -------------------------------------------------------------------------------- */

static void start_probe_bw_down(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    cw_bbr_reset_congestion_signals(bbr);
    bbr->probe_up_acked_per_inc = CW_BBR_INFINITE;
    bbr->rounds_since_probe_up = (uint32_t)cw_rng_below(&bbr->rng, 2);
    bbr->bw_probe_wait_ns = 2 * CW_SECOND + cw_rng_below(&bbr->rng, CW_SECOND);
    bbr->cycle_ns = now_ns;
    bbr->ack_phase = CW_BBR_ACKS_PROBE_STOPPING;
    cw_bbr_start_round(bbr, path);
    enter(bbr, CW_BBR_PROBE_DOWN);
}

static void start_probe_bw_refill(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    cw_bbr_reset_short_term_model(bbr);
    bbr->bw_probe_up_rounds = 0;
    bbr->bw_probe_up_acked = 0;
    bbr->prev_probe_precautionary = false;
    bbr->ack_phase = CW_BBR_ACKS_REFILLING;
    cw_bbr_start_round(bbr, path);
    enter(bbr, CW_BBR_PROBE_REFILL);
}

static void raise_inflight_longterm_slope(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t growth_this_round = 1ull << bbr->bw_probe_up_rounds;
    bbr->bw_probe_up_rounds = CW_MIN(bbr->bw_probe_up_rounds + 1, 30u);
    bbr->probe_up_acked_per_inc = CW_MAX(path->window / growth_this_round, path->datagram_bytes);
}

static void start_probe_bw_up(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    bbr->ack_phase = CW_BBR_ACKS_PROBE_STARTING;
    cw_bbr_start_round(bbr, path);
    cw_bbr_reset_full_bw(bbr);
    bbr->full_bw = path->sample.delivery_rate;
    enter(bbr, CW_BBR_PROBE_UP);
    raise_inflight_longterm_slope(bbr, path);
}

bool cw_bbr_is_in_probe_bw(const struct cw_bbr *bbr)
{
    return bbr->state >= CW_BBR_PROBE_DOWN && bbr->state <= CW_BBR_PROBE_UP;
}

static uint64_t target_inflight(const struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    return CW_MIN(bbr->bdp, path->window);
}

/* 5.3.3.8.3 */
static bool is_time_to_probe_bw(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    uint64_t reno_rounds = target_inflight(bbr, path) / path->datagram_bytes;
    bool is_reno_time = bbr->rounds_since_probe_up >= CW_MIN(reno_rounds, CW_BBR_RENO_ROUNDS);
    if (now_ns <= bbr->cycle_ns + bbr->bw_probe_wait_ns && !is_reno_time)
        return false;
    start_probe_bw_refill(bbr, path);
    return true;
}

static bool is_time_to_cruise(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    return path->in_flight <= cw_bbr_inflight_with_headroom(bbr, path) &&
           path->in_flight <= cw_bbr_inflight(bbr, path, 100);
}

static bool is_time_to_go_down(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    if (bbr->prev_probe_too_high && path->in_flight >= bbr->inflight_longterm) {
        bbr->prev_probe_precautionary = true; /* 5.3.3.6 */
        return true;
    }
    if (cw_rate_is_window_limited(path) && path->window >= bbr->inflight_longterm) {
        cw_bbr_reset_full_bw(bbr); /* it is inflight_longterm that limits */
        bbr->full_bw = path->sample.delivery_rate;
        return false;
    }
    return bbr->full_bw_now;
}

static void probe_inflight_longterm_upward(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    if (!cw_rate_is_window_limited(path) || path->window < bbr->inflight_longterm)
        return;
    bbr->bw_probe_up_acked += path->sample.newly_acked;
    if (bbr->bw_probe_up_acked >= bbr->probe_up_acked_per_inc) {
        uint64_t delta = bbr->bw_probe_up_acked / bbr->probe_up_acked_per_inc;
        bbr->bw_probe_up_acked -= delta * bbr->probe_up_acked_per_inc;
        bbr->inflight_longterm += delta * path->datagram_bytes;
    }
    if (bbr->round_start)
        raise_inflight_longterm_slope(bbr, path);
}

/* The end of the samples of a bandwidth probe. True: it decided a transition. */
static bool end_probe_feedback(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    bbr->is_bw_probe_sample = false;
    bbr->ack_phase = CW_BBR_ACKS_INIT;
    if (!cw_bbr_is_in_probe_bw(bbr))
        return false;
    if (!path->sample.is_app_limited)
        cw_bbr_advance_max_bw_filter(bbr);
    if (!bbr->prev_probe_precautionary || bbr->prev_probe_too_high)
        return false;
    start_probe_bw_refill(bbr, path);
    return true;
}

static bool adapt_long_term_model(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    const struct cw_rate_sample *sample = &path->sample;
    if (bbr->ack_phase == CW_BBR_ACKS_PROBE_STARTING && bbr->round_start)
        bbr->ack_phase = CW_BBR_ACKS_PROBE_FEEDBACK;
    if (bbr->ack_phase == CW_BBR_ACKS_PROBE_STOPPING && bbr->round_start && end_probe_feedback(bbr, path))
        return true;
    if (cw_bbr_is_inflight_too_high(bbr, sample->lost, sample->tx_in_flight) ||
        bbr->inflight_longterm == CW_BBR_INFINITE)
        return false;
    bbr->inflight_longterm = CW_MAX(bbr->inflight_longterm, sample->tx_in_flight);
    if (bbr->state == CW_BBR_PROBE_UP)
        probe_inflight_longterm_upward(bbr, path);
    return false;
}

static void update_probe_bw_cycle_phase(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    if (!bbr->full_bw_reached || adapt_long_term_model(bbr, path))
        return;
    switch (bbr->state) {
    case CW_BBR_PROBE_DOWN:
        if (!is_time_to_probe_bw(bbr, path, now_ns) && is_time_to_cruise(bbr, path))
            enter(bbr, CW_BBR_PROBE_CRUISE);
        break;
    case CW_BBR_PROBE_CRUISE:
        (void)is_time_to_probe_bw(bbr, path, now_ns);
        break;
    case CW_BBR_PROBE_REFILL:
        if (bbr->round_start) {
            bbr->is_bw_probe_sample = true;
            start_probe_bw_up(bbr, path);
        }
        break;
    case CW_BBR_PROBE_UP:
        if (is_time_to_go_down(bbr, path)) {
            bbr->prev_probe_too_high = false;
            start_probe_bw_down(bbr, path, now_ns);
        }
        break;
    default:
        break;
    }
}

/* 5.3.2 */
static void check_drain_done(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    if (bbr->state == CW_BBR_DRAIN &&
        (path->in_flight <= cw_bbr_inflight(bbr, path, 100) || bbr->round_count > bbr->drain_start_round + 3))
        start_probe_bw_down(bbr, path, now_ns);
}

/* A share less than what was in flight, but what the path holds without a queue; see the header. */
static uint64_t below_too_high(const struct cw_bbr *bbr, const struct cw_rate_path *path,
                               uint64_t tx_in_flight)
{
    uint64_t target = target_inflight(bbr, path);
    uint64_t cut = tx_in_flight * (100 - CW_BBR_TOO_HIGH_CUT) / 100;
    return CW_MAX(CW_MAX(cut, CW_MIN(tx_in_flight, target)), target * CW_BBR_BETA / 100);
}

/* 5.5.10.2 */
static void handle_inflight_too_high(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t tx_in_flight,
                                     bool is_app_limited, uint64_t now_ns)
{
    bbr->prev_probe_too_high = true;
    bbr->is_bw_probe_sample = false;
    if (!is_app_limited)
        bbr->inflight_longterm = below_too_high(bbr, path, tx_in_flight);
    if (bbr->state == CW_BBR_PROBE_UP) {
        bbr->undo_state = CW_BBR_PROBE_UP;
        start_probe_bw_down(bbr, path, now_ns);
    }
}

/* ---- 5.6.4.4, what is kept over loss and ProbeRTT ------------------------------------------------------ */

static void save_cwnd(struct cw_bbr *bbr, const struct cw_rate_path *path, bool is_in_recovery)
{
    if (!is_in_recovery && bbr->state != CW_BBR_PROBE_RTT)
        bbr->prior_cwnd = path->window;
    else
        bbr->prior_cwnd = CW_MAX(bbr->prior_cwnd, path->window);
}

static void restore_cwnd(const struct cw_bbr *bbr, struct cw_rate_path *path)
{
    path->window = CW_MAX(path->window, bbr->prior_cwnd);
}

/* ---- 5.3.4, ProbeRTT --------------------------------------------------------------------------------- */

static uint64_t probe_rtt_cwnd(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    return CW_MAX(cw_bbr_bdp(bbr, path, CW_BBR_PROBE_RTT_CWND_GAIN), cw_bbr_min_pipe(path));
}

static void exit_probe_rtt(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    cw_bbr_reset_short_term_model(bbr);
    if (bbr->full_bw_reached) {
        start_probe_bw_down(bbr, path, now_ns);
        enter(bbr, CW_BBR_PROBE_CRUISE);
    } else {
        enter(bbr, CW_BBR_STARTUP);
    }
}

static void check_probe_rtt_done(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    if (bbr->probe_rtt_done_ns == 0 || now_ns <= bbr->probe_rtt_done_ns)
        return;
    bbr->probe_rtt_min_at_ns = now_ns;
    restore_cwnd(bbr, path);
    exit_probe_rtt(bbr, path, now_ns);
}

static void handle_probe_rtt(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    path->app_limited = CW_MAX(path->delivered + path->in_flight, 1); /* low rates are our own doing */
    if (bbr->probe_rtt_done_ns == 0) {
        if (path->in_flight > probe_rtt_cwnd(bbr, path))
            return;
        bbr->probe_rtt_done_ns = now_ns + CW_BBR_PROBE_RTT_HOLD_NS;
        bbr->probe_rtt_round_done = false;
        cw_bbr_start_round(bbr, path);
        return;
    }
    bbr->probe_rtt_round_done |= bbr->round_start;
    if (bbr->probe_rtt_round_done)
        check_probe_rtt_done(bbr, path, now_ns);
}

static void check_probe_rtt(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    if (bbr->state != CW_BBR_PROBE_RTT && bbr->probe_rtt_expired && !bbr->idle_restart) {
        save_cwnd(bbr, path, path->is_in_recovery);
        enter(bbr, CW_BBR_PROBE_RTT);
        bbr->probe_rtt_done_ns = 0;
        bbr->ack_phase = CW_BBR_ACKS_PROBE_STOPPING;
        cw_bbr_start_round(bbr, path);
    }
    if (bbr->state == CW_BBR_PROBE_RTT)
        handle_probe_rtt(bbr, path, now_ns);
    if (path->sample.delivered > 0)
        bbr->idle_restart = false;
}

/* ---- 5.6.4, the window ------------------------------------------------------------------------------- */

/* 5.6.4.7 */
static uint64_t model_cap(const struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    uint64_t cap = CW_BBR_INFINITE;
    if (bbr->state == CW_BBR_PROBE_RTT || bbr->state == CW_BBR_PROBE_CRUISE)
        cap = cw_bbr_inflight_with_headroom(bbr, path);
    else if (cw_bbr_is_in_probe_bw(bbr))
        cap = bbr->inflight_longterm;
    return CW_MAX(CW_MIN(cap, bbr->inflight_shortterm), cw_bbr_min_pipe(path));
}

/* 5.6.4.6 */
static void set_cwnd(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    uint64_t cwnd = path->window, acked = path->sample.newly_acked;
    bbr->max_inflight = cw_bbr_max_inflight(bbr, path);
    if (bbr->full_bw_reached)
        cwnd = CW_MIN(cwnd + acked, bbr->max_inflight);
    else if (cwnd < bbr->max_inflight || path->delivered < path->initial_window)
        cwnd += acked;
    cwnd = CW_MAX(cwnd, cw_bbr_min_pipe(path));
    if (bbr->state == CW_BBR_PROBE_RTT)
        cwnd = CW_MIN(cwnd, probe_rtt_cwnd(bbr, path));
    path->window = CW_MIN(cwnd, model_cap(bbr, path));
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* 5.2.1 */
void cw_bbr_start(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t seed, uint64_t now_ns)
{
    *bbr = (struct cw_bbr){
        .rng = {seed},
        .min_rtt_ns = CW_NEVER,
        .min_rtt_at_ns = now_ns,
        .probe_rtt_min_delay_ns = CW_NEVER,
        .probe_rtt_min_at_ns = now_ns,
        .extra_acked_ns = now_ns,
        .loss_round_rtt_ns_min = CW_NEVER,
        .inflight_longterm = CW_BBR_INFINITE,
        .probe_up_acked_per_inc = CW_BBR_INFINITE,
        .undo_state = CW_BBR_STATE_COUNT,
    };
    cw_bbr_reset_short_term_model(bbr);
    path->window = path->initial_window;
    path->pacing_rate = initial_rate(path, CW_MS);
    enter(bbr, CW_BBR_STARTUP);
}

/* 5.4.1 */
void cw_bbr_on_transmit(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    if (path->in_flight > 0 || path->app_limited == 0)
        return;
    bbr->idle_restart = true;
    bbr->extra_acked_ns = now_ns;
    if (cw_bbr_is_in_probe_bw(bbr))
        set_pacing_rate(bbr, path, 100);
    else if (bbr->state == CW_BBR_PROBE_RTT)
        check_probe_rtt_done(bbr, path, now_ns);
}

/* 5.2.3 */
void cw_bbr_on_ack(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    bool is_first = bbr->min_rtt_ns == CW_NEVER;
    cw_bbr_update_latest_delivery_signals(bbr, path);
    cw_bbr_update_congestion_signals(bbr, path);
    cw_bbr_update_ack_aggregation(bbr, path, now_ns);
    cw_bbr_check_full_bw_reached(bbr, path);
    check_startup_done(bbr, path);
    check_drain_done(bbr, path, now_ns);
    update_probe_bw_cycle_phase(bbr, path, now_ns);
    cw_bbr_update_min_rtt(bbr, path, now_ns);
    check_probe_rtt(bbr, path, now_ns);
    cw_bbr_advance_latest_delivery_signals(bbr, path);
    bbr->bw = CW_MIN(bbr->max_bw, bbr->bw_shortterm);
    if (is_first) /* 5.6.2: until now the round trip was a guess */
        path->pacing_rate = initial_rate(path, path->sample.rtt_ns);
    set_pacing_rate(bbr, path, bbr->pacing_gain);
    set_cwnd(bbr, path);
}

/* NoteLoss, 5.5.10.2 */
static void note_loss(struct cw_bbr *bbr, const struct cw_rate_path *path)
{
    if (!bbr->is_loss_in_round)
        bbr->loss_round_delivered = path->delivered;
    bbr->is_loss_in_round = true;
}

/* 5.5.11.1. Once an episode: the draft's NoteLoss does it too, at the first loss of a round, but the answer
 * to that loss may begin a new round, and the next loss would then save what was answered. */
void cw_bbr_on_recovery_begin(struct cw_bbr *bbr, const struct cw_rate_path *path, bool was_in_recovery)
{
    save_cwnd(bbr, path, was_in_recovery);
    bbr->undo_state = CW_BBR_STATE_COUNT;
    bbr->undo_bw_shortterm = bbr->bw_shortterm;
    bbr->undo_inflight_shortterm = bbr->inflight_shortterm;
    bbr->undo_inflight_longterm = bbr->inflight_longterm;
}

void cw_bbr_on_lost(struct cw_bbr *bbr, struct cw_rate_path *path, const struct cw_rate_burst *burst,
                    uint64_t number, uint32_t bytes, uint64_t now_ns)
{
    note_loss(bbr, path);
    bbr->loss_events_in_round += number != bbr->last_lost_number + 1;
    bbr->last_lost_number = number;
    if (!bbr->is_bw_probe_sample || !burst)
        return;
    uint64_t tx_in_flight = cw_rate_tx_in_flight(burst, number), lost = path->lost - burst->lost;
    if (!cw_bbr_is_inflight_too_high(bbr, lost, tx_in_flight))
        return;
    handle_inflight_too_high(bbr, path, cw_bbr_inflight_at_loss(bbr, tx_in_flight, lost, bytes),
                             cw_rate_is_app_limited(burst), now_ns);
}

void cw_bbr_on_ecn(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    const struct cw_rate_sample *sample = &path->sample;
    note_loss(bbr, path);
    bbr->is_ce_in_round = true;
    if (bbr->state == CW_BBR_STARTUP) {
        bbr->full_bw_now = bbr->full_bw_reached = true;
        bbr->inflight_longterm = CW_MAX(cw_bbr_bdp(bbr, path, 100), sample->tx_in_flight);
    } else if (bbr->is_bw_probe_sample) {
        handle_inflight_too_high(bbr, path, sample->tx_in_flight, sample->is_app_limited, now_ns);
    }
}

void cw_bbr_on_recovery_end(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    restore_cwnd(bbr, path);
}

/* 5.5.11.2 */
void cw_bbr_on_spurious(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns)
{
    restore_cwnd(bbr, path);
    bbr->is_loss_in_round = false;
    cw_bbr_reset_full_bw(bbr);
    bbr->bw_shortterm = CW_MAX(bbr->bw_shortterm, bbr->undo_bw_shortterm);
    bbr->inflight_shortterm = CW_MAX(bbr->inflight_shortterm, bbr->undo_inflight_shortterm);
    bbr->inflight_longterm = CW_MAX(bbr->inflight_longterm, bbr->undo_inflight_longterm);
    if (bbr->undo_state == CW_BBR_STARTUP && bbr->state != CW_BBR_STARTUP) {
        bbr->full_bw_reached = false;
        if (bbr->state != CW_BBR_PROBE_RTT)
            enter(bbr, CW_BBR_STARTUP);
    } else if (bbr->undo_state == CW_BBR_PROBE_UP && bbr->state != CW_BBR_PROBE_UP &&
               bbr->state != CW_BBR_PROBE_RTT) {
        start_probe_bw_refill(bbr, path);
    }
    bbr->undo_state = CW_BBR_STATE_COUNT;
}

/* OnEnterRTO, 5.6.4.4 */
void cw_bbr_on_timeout(struct cw_bbr *bbr, struct cw_rate_path *path)
{
    note_loss(bbr, path);
    cw_bbr_on_recovery_begin(bbr, path, path->is_in_recovery);
    path->window = path->in_flight + path->datagram_bytes;
}
