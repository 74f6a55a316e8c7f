/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BBR version 3, draft-ietf-ccwg-bbr-06. Names of states, variables and constants are the draft's; comments
 * cite its sections. What differs from it:
 *
 * - 5.5.10.3: outside of probing, a round trip lowers the short-term bounds only if more than LossThresh was
 *   lost in it. The draft lowers them for any loss, each round trip until the next probe; its own objective
 *   (3.2) tolerates LossThresh. Simulated at 1 Gb/s x 80 ms and 1 % of random loss, 98 % of the link are
 *   filled instead of 87 %, and the shares of competing flows differ little.
 * - 5.3.1.3, 5.5.10.2, 5.5.10.3: LossThresh is what may be lost beyond what the path loses by itself. That is
 *   learned in calm round trips, whose least delay is within 1/16 of min_rtt, or 1 ms: about the last eight,
 *   without those of ProbeBW_UP. At most CALM_LOSS_MAX of it counts, so 4 % in all is the most that passes
 *   where a buffer is too short to show as delay. Simulated at 1 Gb/s x 80 ms and 2 % of random loss, 96 %
 *   of the link are filled instead of 4 to 24 %; flows at a buffer of a tenth of a BDP lose what they lost
 *   before, which is what they lose under the draft's own rule.
 * - 5.5.10.3: in ProbeBW_CRUISE a queue that stands for two round trips (the least delay of each is above
 *   min_rtt by a quarter of it, and 1 ms) lowers bw_shortterm to what is delivered, as loss does, but not
 *   inflight_shortterm. max_bw remembers two probes, so flows together send more than the link carries, and
 *   the queue that this makes leaves the smaller ones no room to probe. Simulated, two flows come nearer to
 *   equal shares (Jain's index at 200 ms 0.80 to 0.82 instead of 0.70 to 0.76); CUBIC beside them gets more.
 * - 5.5.10.2: where a probe loses too much, inflight_longterm becomes 15 % less than what was in flight, but
 * no less than the estimated BDP. The draft takes what was in flight: at a buffer of a BDP that is twice the
 *   BDP for all flows together, each comes back to its part of it at once, and the parts stay what they are.
 *   What all take back as a share, and then add at the same pace, gets equal. Simulated at 40 ms, two flows
 *   have Jain's index 0.98 from the tenth second to the thirtieth, which was 0.88; one beside three of CUBIC
 *   takes 34 % instead of 52. Where the buffer is a tenth of a BDP two fill 96 % instead of 99.
 * - 5.5.11: the state to go back to is saved once an episode of loss.
 * - 5.3.4.3: a delay equal to the least one refreshes it: an unloaded path need not be probed for its delay.
 * - 3.7: a CE mark counts as loss above the threshold: it ends Startup and ProbeBW_UP, and lowers the
 *   short-term bounds, once a round trip.
 * - 5.6.4.4: a probe time-out is no retransmission time-out; the third in a row is taken for one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "transport/rate_sample.h"

#define CW_BBR_STARTUP_PACING_GAIN 277u /* gains and shares in per cent */
#define CW_BBR_DRAIN_PACING_GAIN   50u
#define CW_BBR_DOWN_PACING_GAIN    90u
#define CW_BBR_UP_PACING_GAIN      125u
#define CW_BBR_DEFAULT_CWND_GAIN   200u
#define CW_BBR_UP_CWND_GAIN        225u
#define CW_BBR_PROBE_RTT_CWND_GAIN 50u
#define CW_BBR_PACING_MARGIN       1u
#define CW_BBR_LOSS_THRESH         2u
#define CW_BBR_CALM_LOSS_MAX       2u
#define CW_BBR_CALM_QUEUE          16u /* no queue: this part of min_rtt, or */
#define CW_BBR_CALM_QUEUE_NS       1000000u
#define CW_BBR_CALM_ROUNDS         8u
#define CW_BBR_STANDING_QUEUE      4u /* this part of min_rtt, and CALM_QUEUE_NS */
#define CW_BBR_STANDING_ROUNDS     2u
#define CW_BBR_BETA                70u
#define CW_BBR_HEADROOM            15u
#define CW_BBR_TOO_HIGH_CUT        15u
#define CW_BBR_MIN_PIPE_PACKETS    4u
#define CW_BBR_STARTUP_LOSSES      6u /* BBRStartupFullLossCnt */
#define CW_BBR_EXTRA_ACKED_ROUNDS  10u
#define CW_BBR_MIN_RTT_NS          10000000000ull /* MinRTTFilterLen */
#define CW_BBR_PROBE_RTT_NS        5000000000ull  /* ProbeRTTInterval */
#define CW_BBR_PROBE_RTT_HOLD_NS   200000000ull   /* ProbeRTTDuration */
#define CW_BBR_RENO_ROUNDS         63u

enum cw_bbr_state {
    CW_BBR_STARTUP = 0,
    CW_BBR_DRAIN,
    CW_BBR_PROBE_DOWN,
    CW_BBR_PROBE_CRUISE,
    CW_BBR_PROBE_REFILL,
    CW_BBR_PROBE_UP,
    CW_BBR_PROBE_RTT,
    CW_BBR_STATE_COUNT
};

enum cw_bbr_ack_phase {
    CW_BBR_ACKS_INIT = 0,
    CW_BBR_ACKS_REFILLING,
    CW_BBR_ACKS_PROBE_STARTING,
    CW_BBR_ACKS_PROBE_FEEDBACK,
    CW_BBR_ACKS_PROBE_STOPPING,
};

struct cw_bbr {
    uint8_t state;      /* enum cw_bbr_state */
    uint8_t ack_phase;  /* enum cw_bbr_ack_phase */
    uint8_t undo_state; /* CW_BBR_STATE_COUNT: none */
    uint32_t pacing_gain, cwnd_gain;
    struct cw_rng rng;
    /* rounds, 5.5.1 */
    uint64_t round_count, next_round_delivered;
    bool round_start;
    uint64_t drain_start_round;
    /* bandwidth */
    uint64_t max_bw_slots[2]; /* of the last cycle and of this one */
    uint64_t cycle_count;
    uint64_t max_bw, bw_shortterm, bw, bw_latest;
    /* volume */
    uint64_t bdp, inflight_longterm, inflight_shortterm, inflight_latest, max_inflight, prior_cwnd;
    uint64_t extra_acked_rounds[CW_BBR_EXTRA_ACKED_ROUNDS]; /* the most in each of the last rounds */
    uint64_t extra_acked, extra_acked_delivered, extra_acked_ns;
    /* the pipe is full, 5.3.1.2 */
    uint64_t full_bw;
    uint32_t full_bw_count;
    bool full_bw_now, full_bw_reached;
    /* loss, 5.5.10 */
    bool is_loss_in_round, is_ce_in_round, loss_round_start;
    uint64_t loss_round_delivered;
    uint64_t loss_round_delivered_at, loss_round_lost_at; /* C.delivered and C.lost at its beginning */
    uint32_t loss_events_in_round;                        /* ranges of numbers lost */
    uint64_t loss_round_rtt_ns_min;
    uint32_t queue_rounds;          /* in ProbeBW_CRUISE, with a queue; see the header */
    uint64_t calm_lost, calm_ended; /* bytes lost, and lost or delivered, in the last calm round trips */
    uint64_t last_lost_number;
    uint64_t undo_bw_shortterm, undo_inflight_shortterm, undo_inflight_longterm;
    /* probing for bandwidth, 5.3.3 */
    bool is_bw_probe_sample, prev_probe_too_high, prev_probe_precautionary;
    uint64_t bw_probe_up_acked, probe_up_acked_per_inc;
    uint32_t bw_probe_up_rounds, rounds_since_probe_up;
    uint64_t bw_probe_wait_ns, cycle_ns;
    /* the least delay, 5.3.4 */
    uint64_t min_rtt_ns, min_rtt_at_ns, probe_rtt_min_delay_ns, probe_rtt_min_at_ns, probe_rtt_done_ns;
    bool probe_rtt_expired, probe_rtt_round_done, idle_restart;
};

void cw_bbr_start(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t seed, uint64_t now_ns);
void cw_bbr_on_transmit(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns);
void cw_bbr_on_lost(struct cw_bbr *bbr, struct cw_rate_path *path, const struct cw_rate_burst *burst,
                    uint64_t number, uint32_t bytes, uint64_t now_ns);
void cw_bbr_on_ecn(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns);
void cw_bbr_on_ack(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns);
void cw_bbr_on_recovery_begin(struct cw_bbr *bbr, const struct cw_rate_path *path, bool was_in_recovery);
void cw_bbr_on_recovery_end(struct cw_bbr *bbr, struct cw_rate_path *path);
void cw_bbr_on_spurious(struct cw_bbr *bbr, struct cw_rate_path *path, uint64_t now_ns);
void cw_bbr_on_timeout(struct cw_bbr *bbr, struct cw_rate_path *path);
const char *cw_bbr_state_name(uint8_t state);
