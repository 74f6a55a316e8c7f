/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The part that is the same for every controller: what is in flight, the delivery-rate sample, episodes of
 * loss. An episode begins with the loss of a packet that was sent after the last one began, so there is at
 * most one a round trip; when all that it declared lost arrives after all, the controller takes back what it
 * did.
 */
#include "transport/rate.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define TIMEOUTS_IN_A_ROW 3u /* are taken for a retransmission time-out */

void cw_rate_init(struct cw_rate *rate, struct cw_arena *arena, const struct cw_rate_config *config)
{
    CW_ASSERT(config->kind < CW_RATE_KIND_COUNT);
    CW_ASSERT(cw_is_power_of_two(config->bursts));
    *rate = (struct cw_rate){.config = *config};
    if (config->kind == CW_RATE_FIXED) {
        cw_fixed_init(&rate->fixed, &config->fixed, config->bytes_per_second);
        return;
    }
    rate->path.ring = cw_arena_take(arena, config->bursts * sizeof *rate->path.ring, 64);
    rate->path.mask = config->bursts - 1;
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
    else
        cw_fixed_start(&rate->fixed, now_ns);
}

static uint64_t in_flight_of(const struct cw_rate_burst *burst)
{
    return burst->in_flight & ~CW_RATE_APP_LIMITED;
}

/* Is the packet that leaves now, and is in flight already, one of the newest burst? Of one that it differs
 * from only while the ring reaches back too little. */
static bool joins(const struct cw_rate_path *path, const struct cw_rate_burst *newest, uint64_t now_ns)
{
    if (path->next_burst == 0 || cw_rate_is_app_limited(newest) != (path->app_limited != 0))
        return false;
    int64_t grown = (int64_t)(path->in_flight - in_flight_of(newest));
    if (grown != (int32_t)grown)
        return false;
    uint64_t after_ns = now_ns - newest->sent_ns;
    if (after_ns == 0 && path->delivered == newest->delivered && path->lost == newest->lost)
        return true;
    uint64_t reach_ns = CW_RATE_ROUND_TRIPS * path->rtt_ns_smoothed;
    const struct cw_rate_burst *oldest = &path->ring[path->next_burst & path->mask]; /* in whose place */
    bool is_short = path->next_burst > path->mask && now_ns - oldest->sent_ns < reach_ns;
    return is_short && after_ns < reach_ns / (path->mask + 1ull);
}

/* The one that the packet of this number left in; NULL: it is forgotten. Mostly asked for upwards. */
static const struct cw_rate_burst *burst_of(struct cw_rate_path *path, uint64_t number)
{
    const struct cw_rate_burst *ring = path->ring;
    uint64_t count = CW_MIN(path->next_burst, path->mask + 1ull), low = path->next_burst - count;
    uint64_t found = path->found;
    if (count == 0 || number < ring[low & path->mask].first)
        return NULL;
    if (found - low < count && number >= ring[found & path->mask].first) {
        count -= found - low;
        low = found;
        if (count > 2 && number < ring[(low + 2) & path->mask].first) /* it, or the next */
            count = 2;
    }
    while (count > 1) {
        uint64_t half = count / 2;
        bool is_above = ring[(low + half) & path->mask].first > number;
        low = is_above ? low : low + half;
        count = is_above ? half : count - half;
    }
    path->found = low;
    return &ring[low & path->mask];
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
    struct cw_rate_burst *newest = &path->ring[(path->next_burst - 1) & path->mask];
    bool is_alone = path->in_flight == 0;
    path->in_flight += bytes;
    path->next_number = number + 1;
    if (!is_alone && joins(path, newest, now_ns)) {
        newest->numbers = (uint32_t)(number - newest->first + 1);
        newest->grown = (int32_t)(path->in_flight - in_flight_of(newest));
        return;
    }
    path->ring[path->next_burst++ & path->mask] = (struct cw_rate_burst){
        .first = number,
        .sent_ns = now_ns,
        .delivered = path->delivered,
        .delivered_ns = path->delivered_ns,
        .first_sent_ns = path->first_sent_ns,
        .lost = path->lost,
        .in_flight = path->in_flight | (path->app_limited ? CW_RATE_APP_LIMITED : 0),
        .numbers = 1,
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

static void take_spurious(struct cw_rate *rate, uint64_t number, uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    if (number < path->recovery_first || number >= path->recovery_end)
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
void cw_rate_take_acked(struct cw_rate *rate, uint64_t number, uint32_t bytes, enum cw_rate_was was,
                        uint64_t now_ns)
{
    struct cw_rate_path *path = &rate->path;
    struct cw_rate_sample *sample = &path->sample;
    if (was == CW_RATE_WAS_LOST)
        take_spurious(rate, number, now_ns);
    path->delivered += bytes;
    path->delivered_ns = now_ns;
    sample->newly_acked += bytes;
    if (sample->has_data && number < sample->newest) /* IsNewestPacket: numbers rise with time */
        return;
    const struct cw_rate_burst *burst = burst_of(path, number);
    if (!burst)
        return;
    sample->has_data = true;
    sample->prior_delivered = burst->delivered;
    sample->prior_ns = burst->delivered_ns;
    sample->is_app_limited = cw_rate_is_app_limited(burst);
    sample->send_elapsed_ns = burst->sent_ns - burst->first_sent_ns;
    sample->ack_elapsed_ns = now_ns - burst->delivered_ns;
    sample->rtt_ns = now_ns - burst->sent_ns;
    sample->newest = number;
    sample->newest_lost = burst->lost;
    sample->tx_in_flight = cw_rate_tx_in_flight(burst, number);
    path->first_sent_ns = burst->sent_ns;
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
    if (cw_rate_is_fixed(rate)) {
        cw_fixed_on_lost(&rate->fixed);
        return;
    }
    path->lost += bytes;
    path->sample.newly_lost += bytes;
    if (number >= path->recovery_end)
        begin_episode(rate, number, 1);
    else
        path->recovery_lost += number >= path->recovery_first;
    if (rate->config.kind == CW_RATE_BBR)
        cw_bbr_on_lost(&rate->bbr, path, burst_of(path, number), number, bytes, now_ns);
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
    if (cw_rate_is_fixed(rate))
        cw_fixed_on_ack(&rate->fixed, rtt_ns_smoothed, now_ns);
    path->rtt_ns_smoothed = rtt_ns_smoothed;
    if (cw_rate_is_fixed(rate) || !path->sample.has_data)
        return;
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
        return cw_rate_is_free(rate) ? rate->config.bytes_per_second : rate->fixed.rate;
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
        return cw_fixed_state_name(rate->fixed.state);
    }
}
