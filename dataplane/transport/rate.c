/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The part that is the same for every controller: what is in flight, the delivery-rate sample, episodes of
 * loss. An episode begins with the loss of a packet that was sent after the last one began, so there is at
 * most one a round trip; when all that it declared lost arrives after all, the controller takes back what it
 * did.
 */
#include "transport/rate.h"

#include <stdalign.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define SENT_LOST         (1ull << 62) /* in cw_rate_sent.in_flight */
#define SENT_FLAGS        (CW_RATE_APP_LIMITED | SENT_LOST)
#define TIMEOUTS_IN_A_ROW 3u /* are taken for a retransmission time-out */

void cw_rate_init(struct cw_rate *rate, struct cw_arena *arena, const struct cw_rate_config *config)
{
    CW_ASSERT(config->kind < CW_RATE_KIND_COUNT);
    CW_ASSERT(cw_is_power_of_two(config->ring_size));
    *rate = (struct cw_rate){.config = *config};
    if (config->kind == CW_RATE_FIXED)
        return;
    rate->path.ring =
        cw_arena_take(arena, config->ring_size * sizeof *rate->path.ring, alignof(struct cw_rate_sent));
    rate->path.mask = config->ring_size - 1;
}

void cw_rate_start(struct cw_rate *rate, uint32_t datagram_bytes, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    uint64_t limit = rate->config.bytes_per_second;
    *path = (struct cw_rate_path){
        .ring = path->ring,
        .mask = path->mask,
        .datagram_bytes = datagram_bytes,
        .initial_window = (uint64_t)CW_RATE_INITIAL_PACKETS * datagram_bytes,
        .rate_max = limit ? limit : UINT64_MAX,
        .delivered_ns = now_ns,
        .first_sent_ns = now_ns,
        .rtt_ns_min = CW_NEVER,
        .window = UINT64_MAX,
        .pacing_rate = limit,
    };
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_start(&rate->bbr, path, rate->config.seed, now_ns);
    else if (rate->config.kind == CW_RATE_CUBIC)
        cw_cubic_start(&rate->cubic, path);
}

/* OnPacketSent, section 4.1.2.2 */
void cw_rate_remember_sent(struct cw_rate *rate, uint64_t number, uint32_t bytes, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    CW_ASSERT(number >= path->next_number);
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_transmit(&rate->bbr, path, now_ns);
    if (path->in_flight == 0)
        path->first_sent_ns = path->delivered_ns = now_ns;
    path->in_flight += bytes;
    path->next_number = number + 1;
    path->ring[number & path->mask] = (struct cw_rate_sent){
        .sent_ns = now_ns,
        .delivered = path->delivered,
        .delivered_ns = path->delivered_ns,
        .first_sent_ns = path->first_sent_ns,
        .lost = path->lost,
        .in_flight = path->in_flight | (path->app_limited ? CW_RATE_APP_LIMITED : 0),
    };
}

void cw_rate_on_window_full(struct cw_rate *rate)
{
    rate->path.window_full_number = rate->path.next_number;
}

/* MarkConnectionAppLimited, section 4.1.2.4 */
void cw_rate_on_app_limited(struct cw_rate *rate)
{
    struct cw_rate_path *path = &rate->path;
    if (path->in_flight < path->window)
        path->app_limited = CW_MAX(path->delivered + path->in_flight, 1);
}

static void take_out(struct cw_rate_path *path, uint32_t bytes)
{
    CW_ASSERT(path->in_flight >= bytes);
    path->in_flight -= bytes;
}

void cw_rate_on_given_up(struct cw_rate *rate, uint32_t bytes)
{
    take_out(&rate->path, bytes);
}

void cw_rate_ack_begin(struct cw_rate *rate, uint64_t now_ns)
{
    rate->path.sample = (struct cw_rate_sample){.rtt_ns = CW_NEVER, .newest = rate->path.sample.newest};
}

static void take_spurious(struct cw_rate *rate, uint64_t number, struct cw_rate_sent *sent, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    bool was_declared = sent->in_flight & SENT_LOST;
    sent->in_flight &= ~SENT_LOST;
    if (!was_declared || number < path->recovery_first || number >= path->recovery_end)
        return;
    if (path->recovery_lost == 0 || ++path->recovery_spurious < path->recovery_lost)
        return;
    path->recovery_lost = 0;
    path->recovery_end = 0; /* what else of this flight is lost begins another one */
    path->is_in_recovery = false;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_spurious(&rate->bbr, path, now_ns);
    else
        cw_cubic_on_spurious(&rate->cubic, path);
}

/* UpdateRateSample, section 4.1.2.3 */
void cw_rate_take_acked(struct cw_rate *rate, uint64_t number, uint32_t bytes, bool was_lost, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    struct cw_rate_sample *sample = &path->sample;
    struct cw_rate_sent *sent = &path->ring[number & path->mask];
    if (was_lost)
        take_spurious(rate, number, sent, now_ns);
    path->delivered += bytes;
    path->delivered_ns = now_ns;
    sample->newly_acked += bytes;
    if (sample->has_data && number < sample->newest) /* IsNewestPacket: numbers rise with time */
        return;
    sample->has_data = true;
    sample->prior_delivered = sent->delivered;
    sample->prior_ns = sent->delivered_ns;
    sample->is_app_limited = sent->in_flight & CW_RATE_APP_LIMITED;
    sample->send_elapsed_ns = sent->sent_ns - sent->first_sent_ns;
    sample->ack_elapsed_ns = now_ns - sent->delivered_ns;
    sample->rtt_ns = now_ns - sent->sent_ns;
    sample->newest = number;
    sample->newest_lost = sent->lost;
    sample->tx_in_flight = sent->in_flight & ~SENT_FLAGS;
    path->first_sent_ns = sent->sent_ns;
}

static void begin_episode(struct cw_rate *rate, uint64_t first, uint32_t lost)
{
    struct cw_rate_path *path = &rate->path;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_recovery_begin(&rate->bbr, path, path->is_in_recovery);
    path->is_in_recovery = true;
    path->recovery_first = first;
    path->recovery_end = path->next_number;
    path->recovery_lost = lost;
    path->recovery_spurious = 0;
    if (rate->config.kind == CW_RATE_CUBIC)
        cw_cubic_on_congestion(&rate->cubic, path);
}

void cw_rate_on_lost(struct cw_rate *rate, uint64_t number, uint32_t bytes, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    take_out(path, bytes);
    if (cw_rate_is_fixed(rate))
        return;
    struct cw_rate_sent *sent = &path->ring[number & path->mask];
    path->lost += bytes;
    path->sample.newly_lost += bytes;
    if (number >= path->recovery_end)
        begin_episode(rate, number, 1);
    else
        path->recovery_lost += number >= path->recovery_first;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_lost(&rate->bbr, path, sent, number, bytes, now_ns);
    sent->in_flight |= SENT_LOST;
}

void cw_rate_on_ecn(struct cw_rate *rate, uint32_t marked, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    if (cw_rate_is_fixed(rate) || marked == 0 || !path->sample.has_data ||
        path->sample.newest < path->ecn_end)
        return;
    path->ecn_end = path->next_number;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_ecn(&rate->bbr, path, now_ns);
    else if (path->sample.newest >= path->recovery_end)
        begin_episode(rate, path->sample.newest, 0);
}

/* GenerateRateSample, section 4.1.2.3 */
static void finish_sample(struct cw_rate_path *path)
{
    struct cw_rate_sample *sample = &path->sample;
    if (path->app_limited && path->delivered > path->app_limited)
        path->app_limited = 0;
    sample->lost = path->lost - sample->newest_lost;
    path->rtt_ns_min = CW_MIN(path->rtt_ns_min, sample->rtt_ns);
    sample->delivered = path->delivered - sample->prior_delivered;
    uint64_t interval_ns = CW_MAX(sample->send_elapsed_ns, sample->ack_elapsed_ns);
    if (interval_ns > 0 && interval_ns >= path->rtt_ns_min)
        sample->delivery_rate = cw_rate_of(sample->delivered, interval_ns);
}

static void end_episode(struct cw_rate *rate)
{
    struct cw_rate_path *path = &rate->path;
    if (!path->is_in_recovery || path->sample.newest < path->recovery_end)
        return;
    path->is_in_recovery = false;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_recovery_end(&rate->bbr, path);
    else
        cw_cubic_on_recovery_end(&rate->cubic, path);
}

void cw_rate_ack_end(struct cw_rate *rate, uint64_t rtt_ns_smoothed, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    if (cw_rate_is_fixed(rate) || !path->sample.has_data)
        return;
    path->rtt_ns_smoothed = rtt_ns_smoothed;
    finish_sample(path);
    end_episode(rate);
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_ack(&rate->bbr, path, now_ns);
    else
        cw_cubic_on_ack(&rate->cubic, path, now_ns);
}

void cw_rate_on_probe_timeout(struct cw_rate *rate, uint32_t count, uint64_t now_ns)
{
    if (count != TIMEOUTS_IN_A_ROW)
        return;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_timeout(&rate->bbr, &rate->path);
    else if (rate->config.kind == CW_RATE_CUBIC)
        cw_cubic_on_timeout(&rate->cubic, &rate->path);
}

uint64_t cw_rate_pacing(const struct cw_rate *rate)
{
    if (cw_rate_is_fixed(rate))
        return rate->config.bytes_per_second;
    return CW_MAX(CW_MIN(rate->path.pacing_rate, rate->path.rate_max), CW_RATE_BYTES_MIN);
}

uint64_t cw_rate_late_ns(const struct cw_rate *rate)
{
    uint64_t rtt_ns = rate->path.rtt_ns_min;
    return rtt_ns == CW_NEVER ? 0 : CW_MIN(rtt_ns / CW_RATE_LATE_SHARE, CW_RATE_LATE_NS_MAX);
}

uint64_t cw_rate_window(const struct cw_rate *rate)
{
    return rate->path.window;
}

const char *cw_rate_kind_name(enum cw_rate_kind kind)
{
    static const char *const names[CW_RATE_KIND_COUNT] = {"fixed", "bbr", "cubic"};
    CW_ASSERT(kind < CW_RATE_KIND_COUNT);
    return names[kind];
}

const char *cw_rate_state_name(const struct cw_rate *rate)
{
    switch (rate->config.kind) {
    case CW_RATE_BBR:
        return cw_bbr_state_name(rate->bbr.state);
    case CW_RATE_CUBIC:
        return cw_cubic_state_name(rate->cubic.state);
    default:
        return "fixed";
    }
}
