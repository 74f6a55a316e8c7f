/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate control in a session. Two pacers stand one behind the other: the shaper, which everything passes, and
 * the one that a controller other than `fixed` sets, which holds back data alone, so that neither acks nor
 * probes nor credit wait for a path that was estimated slow. The window holds back data alone too, and after
 * a probe time-out not even the two packets that are sent again (RFC 9002 section 7.5). What leaves first
 * when little may is decided by send.c: control before live before resync.
 *
 * A path is app-limited when it could have carried more at a time when there was nothing to send. What a
 * caller holds back because credit or slots are used up is not seen here and counts the same: such samples
 * never lower an estimate.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

void cw_session_rate_init(struct cw_session *s, const struct cw_session_config *config,
                          struct cw_arena *arena)
{
    struct cw_rate_config rate = {
        .kind = config->rate_kind,
        .bytes_per_second = config->rate_bytes_per_second,
        .ring_size = CW_RING_OF_SENT * config->packets_in_flight_max,
    };
    cw_rate_init(&s->rate, arena, &rate);
}

void cw_session_rate_start(struct cw_session *s, uint32_t datagram_bytes, uint64_t now_ns)
{
    s->marked_told = 0;
    s->probes_left = 0;
    s->is_dry = true;
    s->rate.config.seed = s->live->spi_out;
    cw_rate_start(&s->rate, datagram_bytes, now_ns);
    cw_pacer_init(&s->rate_pacer, 0, datagram_bytes);
    cw_session_rate_obey(s);
}

void cw_session_rate_obey(struct cw_session *s)
{
    if (!cw_rate_is_fixed(&s->rate))
        cw_pacer_rate_set(&s->rate_pacer, cw_rate_pacing(&s->rate), s->rate.path.datagram_bytes);
}

/* The path ran out of data if the pacer has been ready for longer than there was something to send. */
static void look_for_a_gap(struct cw_session *s, const struct cw_sent *sent, uint64_t now_ns)
{
    if (s->is_dry && s->rate_pacer.drained_ns < now_ns)
        cw_rate_on_app_limited(&s->rate);
    if (sent->kind != CW_SENT_DATA)
        return;
    s->is_dry = false;
    s->probes_left -= s->probes_left > 0;
}

void cw_session_rate_sent(struct cw_session *s, struct cw_sent *sent, size_t bytes, uint64_t now_ns)
{
    sent->bytes = (uint16_t)bytes;
    if (!cw_rate_is_fixed(&s->rate))
        look_for_a_gap(s, sent, now_ns);
    cw_rate_on_sent(&s->rate, sent->number, (uint32_t)bytes, now_ns);
    if (cw_rate_is_fixed(&s->rate))
        return;
    cw_session_rate_obey(s); /* a restart from idle sets the rate */
    cw_pacer_on_sent(&s->rate_pacer, (uint32_t)bytes, now_ns);
}

bool cw_session_rate_has_room(const struct cw_session *s)
{
    return cw_rate_has_room(&s->rate, s->rate.path.datagram_bytes) || s->probes_left > 0;
}

uint64_t cw_session_rate_next_ns(const struct cw_session *s)
{
    return cw_rate_is_fixed(&s->rate) ? 0 : cw_pacer_next_ns(&s->rate_pacer);
}

bool cw_session_rate_lets(struct cw_session *s, uint64_t now_ns)
{
    if (cw_rate_is_fixed(&s->rate))
        return true;
    if (cw_session_rate_has_room(s))
        return cw_pacer_next_ns(&s->rate_pacer) <= now_ns;
    cw_rate_on_window_full(&s->rate);
    return false;
}

void cw_session_rate_idle(struct cw_session *s)
{
    s->is_dry = true;
}

/* Of an ack that is older than another one seen, the count is older too. */
void cw_session_rate_marks(struct cw_session *s, const struct cw_ack *ack, uint64_t now_ns)
{
    uint16_t more = (uint16_t)(ack->marked - s->marked_told);
    if (more == 0 || ack->ranges[0].last < s->loss.largest_acked)
        return;
    s->marked_told = ack->marked;
    cw_rate_on_ecn(&s->rate, more, now_ns);
}
