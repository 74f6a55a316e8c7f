/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate control in a session. Two pacers stand one behind the other: the shaper, which everything passes, and
 * the one that a controller sets (`fixed` only while it is held), which holds back data alone, so that
 * neither acks nor probes nor credit wait for a path that was estimated slow. The window holds back data
 * alone too, and after a probe time-out not even the two packets that are sent again (RFC 9002 section 7.5).
 * What leaves first when little may is decided by send.c: control before live before resync.
 *
 * A path is app-limited when it could have carried more at a time when there was nothing to send. What a
 * caller holds back because credit or slots are used up is not seen here and counts the same: such samples
 * never lower an estimate.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

void cw_session_rate_init(struct cw_path *p, const struct cw_session_path_config *config,
                          struct cw_arena *arena)
{
    struct cw_rate_config rate = {
        .kind = config->rate_kind,
        .bytes_per_second = config->rate_bytes_per_second,
        .bursts = CW_MAX(config->packets_in_flight_max, CW_RATE_BURSTS_MIN),
        .fixed = config->guard,
    };
    cw_rate_init(&p->rate, arena, &rate);
}

void cw_session_rate_start(struct cw_path *p, uint32_t datagram_bytes, uint64_t now_ns)
{
    p->marked_told = 0;
    p->probes_left = 0;
    p->is_dry = true;
    p->rate.config.seed = p->live->spi_out;
    cw_rate_start(&p->rate, datagram_bytes, now_ns);
    cw_pacer_init(&p->rate_pacer, 0, datagram_bytes);
    cw_session_rate_obey(p);
}

void cw_session_rate_obey(struct cw_path *p)
{
    uint64_t rate = cw_rate_is_free(&p->rate) ? 0 : cw_rate_pacing(&p->rate);
    cw_pacer_rate_set(&p->rate_pacer, rate, p->rate.path.datagram_bytes);
    if (cw_rate_is_fixed(&p->rate))
        return;
    cw_pacer_late_set(&p->rate_pacer, cw_rate_late_ns(&p->rate));
}

/* The path ran out of data if the pacer has been ready for longer than there was something to send, or for
 * longer than is made up for before somebody looked. */
static void look_for_a_gap(struct cw_path *p, enum cw_sent_kind kind, uint64_t now_ns)
{
    bool was_dry = p->is_dry && p->rate_pacer.drained_ns < now_ns;
    if (was_dry || cw_pacer_is_too_late(&p->rate_pacer, now_ns))
        cw_rate_on_app_limited(&p->rate);
    if (kind != CW_SENT_DATA)
        return;
    p->is_dry = false;
    p->probes_left -= p->probes_left > 0;
}

void cw_session_rate_sent(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (!cw_rate_is_fixed(&p->rate))
        look_for_a_gap(p, (enum cw_sent_kind)sent->kind, now_ns);
    cw_rate_on_sent(&p->rate, sent->number, sent->bytes, now_ns);
    if (cw_rate_is_free(&p->rate))
        return;
    cw_session_rate_obey(p); /* a restart from idle sets the rate */
    cw_pacer_on_sent(&p->rate_pacer, sent->bytes, now_ns);
}

bool cw_session_rate_has_room(const struct cw_path *p)
{
    return cw_rate_has_room(&p->rate, p->rate.path.datagram_bytes) || p->probes_left > 0;
}

uint64_t cw_session_rate_next_ns(const struct cw_path *p)
{
    return cw_rate_is_free(&p->rate) ? 0 : cw_pacer_next_ns(&p->rate_pacer);
}

bool cw_session_rate_lets(struct cw_path *p, uint64_t now_ns)
{
    if (cw_rate_is_free(&p->rate))
        return true;
    if (cw_session_rate_has_room(p))
        return cw_pacer_next_ns(&p->rate_pacer) <= now_ns;
    cw_rate_on_window_full(&p->rate);
    cw_session_rate_waits(p);
    return false;
}

void cw_session_rate_waits(struct cw_path *p)
{
    cw_pacer_on_idle(&p->rate_pacer);
}

void cw_session_rate_idle(struct cw_path *p)
{
    p->is_dry = true;
    cw_session_rate_waits(p);
}

/* Of an ack that is older than another one seen, the count is older too. */
void cw_session_rate_marks(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    uint16_t more = (uint16_t)(ack->marked - p->marked_told);
    if (more == 0 || ack->ranges[0].last < p->loss.largest_acked)
        return;
    p->marked_told = ack->marked;
    cw_count(&p->counters[CW_SESSION_MARKS_TOLD], more);
    cw_rate_on_ecn(&p->rate, more, now_ns);
}
