/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CUBIC, RFC 9438, with the slow start of RFC 9406 (HyStart++). Windows are kept in datagrams, as the RFC has
 * segments, in floating point: this runs once an ack. Sections in comments are of RFC 9438 unless said.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/rate_sample.h"

#define CW_CUBIC_BETA        0.7
#define CW_CUBIC_C           0.4
#define CW_CUBIC_ALPHA       (3 * (1 - CW_CUBIC_BETA) / (1 + CW_CUBIC_BETA)) /* 4.3 */
#define CW_CUBIC_MIN_PACKETS 2.0

/* RFC 9406 section 4.3 */
#define CW_HYSTART_RTT_NS_MIN  4000000ull
#define CW_HYSTART_RTT_NS_MAX  16000000ull
#define CW_HYSTART_RTT_DIVISOR 8u
#define CW_HYSTART_SAMPLES     8u
#define CW_HYSTART_CSS_DIVISOR 4u
#define CW_HYSTART_CSS_ROUNDS  5u

enum cw_cubic_state {
    CW_CUBIC_SLOW_START = 0,
    CW_CUBIC_CONSERVATIVE, /* slow start of RFC 9406's second phase */
    CW_CUBIC_AVOIDANCE,
    CW_CUBIC_RECOVERY, /* the window stands until what was in flight at the loss is accounted for */
    CW_CUBIC_STATE_COUNT
};

/* What a loss that was none gives back, 4.9.2. */
struct cw_cubic_curve {
    double cwnd, ssthresh, w_max, k, w_est, cwnd_prior, cwnd_epoch;
    uint64_t epoch_ns; /* CW_NEVER: no epoch begun */
};

struct cw_cubic {
    uint8_t state; /* enum cw_cubic_state */
    struct cw_cubic_curve at, undo;
    uint8_t undo_state;
    bool can_undo;
    uint64_t acked_ns; /* of the last ack */
    /* RFC 9406 */
    uint64_t round_end; /* packet number */
    uint64_t round_rtt_ns, last_round_rtt_ns, css_baseline_ns;
    uint32_t round_samples, css_rounds;
};

void cw_cubic_start(struct cw_cubic *cubic, struct cw_rate_path *path);
void cw_cubic_on_congestion(struct cw_cubic *cubic, struct cw_rate_path *path);
void cw_cubic_on_recovery_end(struct cw_cubic *cubic, struct cw_rate_path *path);
void cw_cubic_on_ack(struct cw_cubic *cubic, struct cw_rate_path *path, uint64_t now_ns);
void cw_cubic_on_spurious(struct cw_cubic *cubic, struct cw_rate_path *path);
void cw_cubic_on_timeout(struct cw_cubic *cubic, struct cw_rate_path *path);
const char *cw_cubic_state_name(uint8_t state);
/* W_cubic(t) of the present epoch, figure 1; t in seconds. In datagrams. */
double cw_cubic_window_at(const struct cw_cubic *cubic, double t);
