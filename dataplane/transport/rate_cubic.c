/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/rate_cubic.h"

#include <math.h>

#include "base/numbers.h"

#define INFINITE_WINDOW 1e15

static const char *const state_names[CW_CUBIC_STATE_COUNT] = {"slow-start", "conservative-slow-start",
                                                              "avoidance", "recovery"};

const char *cw_cubic_state_name(uint8_t state)
{
    return state_names[state];
}

/* The window tells the rate: twice it a round trip while it doubles, a quarter more otherwise (RFC 9002
 * section 7.7), so that the pacer is not what limits. */
static void set_answers(const struct cw_cubic *cubic, struct cw_rate_path *path)
{
    bool is_slow = cubic->state == CW_CUBIC_SLOW_START;
    path->window = (uint64_t)(cubic->at.cwnd * path->datagram_bytes);
    uint64_t rtt_ns = path->rtt_ns_smoothed ? path->rtt_ns_smoothed : CW_MS;
    path->pacing_rate = cw_rate_of(path->window, rtt_ns) * (is_slow ? 8 : 5) / 4;
}

static void begin_round(struct cw_cubic *cubic, const struct cw_rate_path *path)
{
    cubic->round_end = path->next_number;
    cubic->last_round_rtt_ns = cubic->round_rtt_ns;
    cubic->round_rtt_ns = CW_NEVER;
    cubic->round_samples = 0;
}

void cw_cubic_start(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    *cubic = (struct cw_cubic){
        .state = CW_CUBIC_SLOW_START,
        .at = {.cwnd = (double)path->initial_window / path->datagram_bytes,
               .ssthresh = INFINITE_WINDOW,
               .epoch_ns = CW_NEVER},
        .round_rtt_ns = CW_NEVER,
        .last_round_rtt_ns = CW_NEVER,
        .css_baseline_ns = CW_NEVER,
    };
    set_answers(cubic, path);
}

double cw_cubic_window_at(const struct cw_cubic *cubic, double t)
{
    double from_k = t - cubic->at.k;
    return CW_CUBIC_C * from_k * from_k * from_k + cubic->at.w_max;
}

/* ---- slow start, RFC 9406 ---------------------------------------------------------------------------- */

/* Section 4.2: has the delay of this round risen by an eighth of the last one's, within bounds? */
static bool delay_has_risen(const struct cw_cubic *cubic, uint64_t baseline_ns)
{
    if (cubic->round_samples < CW_HYSTART_SAMPLES || cubic->round_rtt_ns == CW_NEVER ||
        baseline_ns == CW_NEVER)
        return false;
    uint64_t threshold_ns =
        CW_MAX(CW_HYSTART_RTT_NS_MIN, CW_MIN(baseline_ns / CW_HYSTART_RTT_DIVISOR, CW_HYSTART_RTT_NS_MAX));
    return cubic->round_rtt_ns >= baseline_ns + threshold_ns;
}

static void enter_avoidance(struct cw_cubic *cubic)
{
    cubic->state = CW_CUBIC_AVOIDANCE;
    cubic->at.epoch_ns = CW_NEVER;
}

static void hystart(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    cubic->round_rtt_ns = CW_MIN(cubic->round_rtt_ns, path->sample.rtt_ns);
    cubic->round_samples++;
    if (cubic->state == CW_CUBIC_SLOW_START && delay_has_risen(cubic, cubic->last_round_rtt_ns)) {
        cubic->state = CW_CUBIC_CONSERVATIVE;
        cubic->css_baseline_ns = cubic->round_rtt_ns;
        cubic->css_rounds = 0;
    } else if (cubic->state == CW_CUBIC_CONSERVATIVE && cubic->round_samples >= CW_HYSTART_SAMPLES &&
               cubic->round_rtt_ns < cubic->css_baseline_ns) {
        cubic->state = CW_CUBIC_SLOW_START; /* the rise was none */
        cubic->css_baseline_ns = CW_NEVER;
    }
    if (path->sample.newest < cubic->round_end)
        return;
    begin_round(cubic, path);
    if (cubic->state == CW_CUBIC_CONSERVATIVE && ++cubic->css_rounds >= CW_HYSTART_CSS_ROUNDS) {
        cubic->at.ssthresh = cubic->at.cwnd;
        cubic->at.w_max = 0; /* 4.10: the first epoch begins at its plateau */
        enter_avoidance(cubic);
    }
}

static void grow_slowly(struct cw_cubic *cubic, double acked)
{
    cubic->at.cwnd += cubic->state == CW_CUBIC_CONSERVATIVE ? acked / CW_HYSTART_CSS_DIVISOR : acked;
    if (cubic->at.cwnd >= cubic->at.ssthresh)
        enter_avoidance(cubic);
}

/* ---- congestion avoidance ---------------------------------------------------------------------------- */

static void begin_epoch(struct cw_cubic *cubic, uint64_t now_ns)
{
    struct cw_cubic_curve *at = &cubic->at;
    at->epoch_ns = now_ns;
    at->cwnd_epoch = at->w_est = at->cwnd;
    at->w_max = CW_MAX(at->w_max, at->cwnd);
    at->k = cbrt((at->w_max - at->cwnd_epoch) / CW_CUBIC_C); /* figure 2 */
}

/* Sections 4.2 to 4.5. */
static void avoid(struct cw_cubic *cubic, const struct cw_rate_path *path, double acked, uint64_t now_ns)
{
    struct cw_cubic_curve *at = &cubic->at;
    if (at->epoch_ns == CW_NEVER)
        begin_epoch(cubic, now_ns);
    double t = (double)(now_ns - at->epoch_ns) / 1e9, rtt = (double)path->rtt_ns_smoothed / 1e9;
    at->w_est += (at->w_est >= at->cwnd_prior ? 1.0 : CW_CUBIC_ALPHA) * acked / at->cwnd; /* figure 4 */
    if (cw_cubic_window_at(cubic, t) < at->w_est) {
        at->cwnd = CW_MAX(at->cwnd, at->w_est);
        return;
    }
    double target = cw_cubic_window_at(cubic, t + rtt);
    target = CW_MIN(CW_MAX(target, at->cwnd), 1.5 * at->cwnd);
    at->cwnd += (target - at->cwnd) / at->cwnd * acked;
}

void cw_cubic_on_ack(struct cw_cubic *cubic, struct cw_rate_path *path, uint64_t now_ns)
{
    double acked = (double)path->sample.newly_acked / path->datagram_bytes;
    bool is_slow = cubic->state == CW_CUBIC_SLOW_START || cubic->state == CW_CUBIC_CONSERVATIVE;
    if (is_slow)
        hystart(cubic, path);
    if (!cw_rate_is_window_limited(path)) { /* 5.8: who does not use the window does not grow it */
        if (cubic->at.epoch_ns != CW_NEVER)
            cubic->at.epoch_ns += now_ns - cubic->acked_ns;
    } else if (cubic->state == CW_CUBIC_AVOIDANCE) {
        avoid(cubic, path, acked, now_ns);
    } else if (cubic->state != CW_CUBIC_RECOVERY) {
        grow_slowly(cubic, acked);
    }
    cubic->acked_ns = now_ns;
    set_answers(cubic, path);
}

/* ---- loss -------------------------------------------------------------------------------------------- */

/* 4.7, fast convergence */
static void remember_maximum(struct cw_cubic_curve *at)
{
    at->w_max = at->cwnd < at->w_max ? at->cwnd * (1 + CW_CUBIC_BETA) / 2 : at->cwnd;
}

/* 4.6: what was really on its way counts, if that was less than the window. */
static double used(const struct cw_cubic *cubic, const struct cw_rate_path *path)
{
    if (cw_rate_is_window_limited(path))
        return cubic->at.cwnd;
    uint64_t bytes = path->in_flight + path->sample.newly_lost + path->sample.newly_acked;
    return CW_MIN(cubic->at.cwnd, (double)bytes / path->datagram_bytes);
}

void cw_cubic_on_congestion(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    struct cw_cubic_curve *at = &cubic->at;
    cubic->undo = *at;
    cubic->undo_state = cubic->state;
    cubic->can_undo = true;
    remember_maximum(at);
    at->cwnd_prior = at->cwnd;
    at->ssthresh = CW_MAX(used(cubic, path) * CW_CUBIC_BETA, CW_CUBIC_MIN_PACKETS);
    at->cwnd = at->ssthresh;
    at->epoch_ns = CW_NEVER;
    cubic->state = CW_CUBIC_RECOVERY;
    set_answers(cubic, path);
}

void cw_cubic_on_recovery_end(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    if (cubic->state == CW_CUBIC_RECOVERY)
        enter_avoidance(cubic);
}

void cw_cubic_on_spurious(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    if (!cubic->can_undo || cubic->undo.cwnd < cubic->at.cwnd)
        return;
    cubic->at = cubic->undo;
    cubic->state = cubic->undo_state == CW_CUBIC_RECOVERY ? CW_CUBIC_AVOIDANCE : cubic->undo_state;
    cubic->can_undo = false;
    set_answers(cubic, path);
}

/* 4.8 */
void cw_cubic_on_timeout(struct cw_cubic *cubic, struct cw_rate_path *path)
{
    struct cw_cubic_curve *at = &cubic->at;
    at->ssthresh = CW_MAX(at->cwnd * CW_CUBIC_BETA, CW_CUBIC_MIN_PACKETS);
    at->cwnd = CW_CUBIC_MIN_PACKETS;
    at->w_max = 0;
    cubic->can_undo = false;
    cubic->state = CW_CUBIC_SLOW_START;
    begin_round(cubic, path);
    set_answers(cubic, path);
}
