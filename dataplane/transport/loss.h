/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round-trip time (RFC 6298 as in RFC 9002 section 5), when a packet counts as lost (by time, as RFC 8985),
 * and when silence is answered by a probe (RFC 9002 section 6.2).
 *
 * A packet is lost when a later one was acknowledged and it was sent more than
 *     max(smoothed, latest) + reordering window    ago,
 *     window = max(smoothed / 8, CW_REORDER_NS_MIN) * multiplier, at most smoothed or the minimum
 * The multiplier grows with every loss that turns out to have been none, and is 1 again after sixteen
 * episodes of loss without such a one (RFC 8985 section 6.2: recoveries, not losses, since a path may lose
 * many packets a round trip and reorder only now and then). With nothing acknowledged for a probe time-out
 * after the last packet that wanted an ack, the oldest are sent again; each further time-out doubles the
 * wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_REORDER_NS_MIN     20000u
#define CW_RTT_NS_INITIAL     100000000u
#define CW_RTT_GRANULARITY_NS 1000000u    /* what a busy shell may add on either side */
#define CW_PROBE_NS_MAX       1000000000u /* cap of the doubled wait, unless one time-out is longer */

struct cw_loss {
    uint64_t rtt_ns_smoothed; /* 0: no sample yet */
    uint64_t rtt_ns_variation;
    uint64_t rtt_ns_min;
    uint64_t rtt_ns_latest;
    uint64_t largest_acked; /* packet number */
    uint64_t sent_ns_last;  /* of the last packet that wants an ack */
    uint64_t detect_ns;     /* when the next missing packet becomes a loss; CW_NEVER: none is missing */
    uint32_t probe_count;   /* time-outs since the last ack */
    uint32_t reorder_multiplier;
    uint32_t episodes_since_spurious;
    uint64_t episode_end; /* the loss of a packet with a lower number belongs to the last episode */
};

void cw_loss_reset(struct cw_loss *loss);
/* The path may be another one from now on; packet numbers go on. */
void cw_loss_restart(struct cw_loss *loss);
void cw_loss_on_sent(struct cw_loss *loss, uint64_t now_ns);
/* The largest newly acknowledged packet took this long; the peer says it held the ack back for delay. */
void cw_loss_on_sample(struct cw_loss *loss, uint64_t elapsed_ns, uint64_t delay_ns);
/* Something that was outstanding is acknowledged. */
void cw_loss_on_acked(struct cw_loss *loss);
/* next_number: the one that the next packet sent will have. */
void cw_loss_on_lost(struct cw_loss *loss, uint64_t number, uint64_t next_number);
void cw_loss_on_spurious(struct cw_loss *loss);
void cw_loss_on_probe(struct cw_loss *loss, uint64_t now_ns);
/* Age at which an overtaken packet is lost. */
uint64_t cw_loss_delay_ns(const struct cw_loss *loss);
/* A probe time-out that was never doubled. */
uint64_t cw_loss_probe_wait_ns(const struct cw_loss *loss);
/* When to probe, given that something is outstanding. */
uint64_t cw_loss_probe_ns(const struct cw_loss *loss);
