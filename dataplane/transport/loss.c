/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/loss.h"

#include "base/numbers.h"
#include "transport/ack_ranges.h"

#define MULTIPLIER_MAX    8u
#define EPISODES_TO_RESET 16u
#define DOUBLINGS_MAX     10u

void cw_loss_reset(struct cw_loss *loss)
{
    *loss = (struct cw_loss){.rtt_ns_min = CW_NEVER, .detect_ns = CW_NEVER, .reorder_multiplier = 1};
}

void cw_loss_restart(struct cw_loss *loss)
{
    uint64_t largest_acked = loss->largest_acked;
    cw_loss_reset(loss);
    loss->largest_acked = largest_acked;
}

void cw_loss_on_sent(struct cw_loss *loss, uint64_t now_ns)
{
    loss->sent_ns_last = now_ns;
}

void cw_loss_on_sample(struct cw_loss *loss, uint64_t elapsed_ns, uint64_t delay_ns)
{
    loss->rtt_ns_min = CW_MIN(loss->rtt_ns_min, elapsed_ns);
    uint64_t sample = elapsed_ns;
    if (sample >= loss->rtt_ns_min + delay_ns) /* never below the minimum by what the peer claims */
        sample -= delay_ns;
    sample = CW_MAX(sample, 1);
    loss->rtt_ns_latest = sample;
    if (loss->rtt_ns_smoothed == 0) {
        loss->rtt_ns_smoothed = sample;
        loss->rtt_ns_variation = sample / 2;
        return;
    }
    uint64_t smoothed = loss->rtt_ns_smoothed;
    uint64_t apart = smoothed > sample ? smoothed - sample : sample - smoothed;
    loss->rtt_ns_variation = (3 * loss->rtt_ns_variation + apart) / 4;
    loss->rtt_ns_smoothed = CW_MAX((7 * smoothed + sample) / 8, 1);
}

void cw_loss_on_acked(struct cw_loss *loss)
{
    loss->probe_count = 0;
}

void cw_loss_on_lost(struct cw_loss *loss, uint64_t number, uint64_t next_number)
{
    if (number < loss->episode_end)
        return;
    loss->episode_end = next_number;
    if (++loss->episodes_since_spurious >= EPISODES_TO_RESET)
        loss->reorder_multiplier = 1;
}

void cw_loss_on_spurious(struct cw_loss *loss)
{
    loss->episodes_since_spurious = 0;
    if (loss->reorder_multiplier < MULTIPLIER_MAX)
        loss->reorder_multiplier++;
}

void cw_loss_on_probe(struct cw_loss *loss, uint64_t now_ns)
{
    loss->probe_count++;
    loss->sent_ns_last = now_ns; /* the wait begins anew even if the probe cannot leave at once */
}

uint64_t cw_loss_delay_ns(const struct cw_loss *loss)
{
    uint64_t smoothed = loss->rtt_ns_smoothed ? loss->rtt_ns_smoothed : CW_RTT_NS_INITIAL;
    uint64_t window = CW_MAX(smoothed / 8, CW_REORDER_NS_MIN) * loss->reorder_multiplier;
    window = CW_MIN(window, CW_MAX(smoothed, CW_REORDER_NS_MIN));
    return CW_MAX(smoothed, loss->rtt_ns_latest) + window;
}

uint64_t cw_loss_probe_wait_ns(const struct cw_loss *loss)
{
    uint64_t smoothed = loss->rtt_ns_smoothed ? loss->rtt_ns_smoothed : CW_RTT_NS_INITIAL;
    uint64_t variation = loss->rtt_ns_smoothed ? loss->rtt_ns_variation : CW_RTT_NS_INITIAL / 2;
    return smoothed + CW_MAX(4 * variation, CW_RTT_GRANULARITY_NS) + CW_ACK_DELAY_NS;
}

uint64_t cw_loss_probe_ns(const struct cw_loss *loss)
{
    uint64_t wait = cw_loss_probe_wait_ns(loss);
    uint64_t doubled = wait << CW_MIN(loss->probe_count, DOUBLINGS_MAX);
    return loss->sent_ns_last + CW_MIN(doubled, CW_MAX(wait, CW_PROBE_NS_MAX));
}
