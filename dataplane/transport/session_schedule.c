/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which path takes what: earliest arrival.
 *
 * Paths pull. One that could send now looks at what waits, in order, and leaves it if another path would
 * bring it earlier, all that waits before and with it included:
 *
 *     arrival on this path = now + the fragment at its rate + half its round trip
 *     arrival on another   = when that may send + what waits at its rate + half its round trip
 *
 * so a slow path gets something only when so much waits that the fast ones would not have sent it before it
 * arrives here. And then not what is next, which those behind it would wait for: the message whose turn it
 * would be on the other path by the time at which this one delivers. What a path lost itself costs a round
 * trip more on it, which mostly sends it on another. What it leaves, the next in line may still be for it: a
 * lower stream waits behind more.
 *
 * Decisions change by events alone: time makes no path that declined willing, and the path with the earliest
 * arrival never declines. So whatever waits has a path that takes it or waits for an ack, whose probe
 * time-out then takes that path out of the comparison.
 *
 * Copies: with is_latency_duplicated, what leaves of control and live while little waits leaves on the next
 * best path too. A copy that is lost is not missed, one that is late is a duplicate at the receiver.
 *
 * With one path nothing here is looked at.
 */
#include "base/numbers.h"
#include "transport/session_internal.h"

#define COST_SHIFT 20u

static uint64_t packets_bytes(const struct cw_path *p)
{
    return (uint64_t)p->config->packets_in_flight_max * p->rate.path.datagram_bytes;
}

void cw_schedule_learn(struct cw_path *p)
{
    uint64_t rtt_ns = p->loss.rtt_ns_smoothed, rate = UINT64_MAX;
    if (p->session->config.path_count == 1)
        return;
    if (p->config->rate_bytes_per_second > 0)
        rate = p->config->rate_bytes_per_second;
    if (cw_rate_pacing(&p->rate) > 0)
        rate = CW_MIN(rate, cw_rate_pacing(&p->rate));
    if (rtt_ns > 0)
        rate = CW_MIN(rate, cw_rate_of(CW_MIN(cw_rate_window(&p->rate), packets_bytes(p)), rtt_ns));
    p->byte_cost = (CW_SECOND << COST_SHIFT) / CW_MAX(rate, CW_RATE_BYTES_MIN);
}

static uint64_t sending_ns(const struct cw_path *p, uint64_t bytes)
{
    return (bytes * p->byte_cost) >> COST_SHIFT;
}

/* When the path may send; if its window is full, when the ack of the oldest is to be expected. */
static uint64_t next_ns(const struct cw_path *p, uint64_t at_ns)
{
    uint64_t next_ns = CW_MAX(at_ns, CW_MAX(cw_pacer_next_ns(&p->pacer), cw_session_rate_next_ns(p)));
    struct cw_sent oldest;
    if ((!cw_session_has_room_for_data(p) || !cw_session_rate_has_room(p)) &&
        cw_inflight_oldest(&p->inflight, &oldest))
        next_ns = CW_MAX(next_ns, oldest.sent_ns + p->loss.rtt_ns_smoothed);
    return next_ns;
}

/* What was lost on a path is better sent on another. */
static uint64_t penalty_ns(const struct cw_path *p, const struct cw_fragment *fragment)
{
    bool is_own_loss = fragment->is_again && fragment->message->lost_path == p->index;
    return is_own_loss ? CW_MAX(p->loss.rtt_ns_smoothed, CW_MS) : 0;
}

/* Does no other path bring it earlier? Adds to ahead the units that others bring until it would be there. */
static bool takes(const struct cw_path *p, const struct cw_fragment *fragment, uint64_t at_ns,
                  uint64_t *ahead)
{
    const struct cw_session *s = p->session;
    uint64_t own = (uint64_t)fragment->count * s->send.unit_bytes, waiting = own;
    if (!fragment->is_again) /* else it is the next of any path */
        waiting = cw_send_waiting_units(&s->send, fragment->message->stream) * s->send.unit_bytes;
    uint64_t here_ns = at_ns + sending_ns(p, own) + p->loss.rtt_ns_smoothed / 2 + penalty_ns(p, fragment);
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        const struct cw_path *q = &s->paths[i];
        if (q == p || !cw_path_is_good(q))
            continue;
        uint64_t there_ns = next_ns(q, at_ns) + q->loss.rtt_ns_smoothed / 2 + penalty_ns(q, fragment);
        if (there_ns + sending_ns(q, waiting) < here_ns)
            return false;
        if (there_ns < here_ns && !fragment->is_again)
            *ahead += ((here_ns - there_ns) << COST_SHIFT) / (CW_MAX(q->byte_cost, 1) * s->send.unit_bytes);
    }
    return true;
}

/* Of the streams before this one all leave first. */
static uint64_t ahead_in_stream(const struct cw_path *p, uint8_t stream, uint64_t ahead)
{
    uint64_t before = stream > 0 ? cw_send_waiting_units(&p->session->send, (uint8_t)(stream - 1)) : 0;
    return ahead > before ? ahead - before : 0;
}

/* The first place of which this path takes something. */
static bool find(const struct cw_path *p, uint64_t at_ns, struct cw_fragment *fragment, uint64_t *ahead)
{
    const struct cw_session *s = p->session;
    if (s->up_count == 1)
        return cw_send_next(&s->send, p->units_of_fragment, fragment);
    if (!cw_path_is_good(p))
        return !cw_path_has_good_other(p) && cw_send_next(&s->send, p->units_of_fragment, fragment);
    for (uint32_t place = 0; place < CW_SEND_PLACES; place++) {
        *ahead = 0;
        if (cw_send_at(&s->send, place, p->units_of_fragment, fragment) && takes(p, fragment, at_ns, ahead))
            return true;
    }
    return false;
}

bool cw_schedule_has(const struct cw_path *p, uint64_t at_ns)
{
    struct cw_fragment fragment;
    uint64_t ahead;
    return find(p, at_ns, &fragment, &ahead);
}

bool cw_schedule_pick(const struct cw_path *p, uint64_t at_ns, struct cw_fragment *fragment)
{
    uint64_t ahead = 0;
    if (!find(p, at_ns, fragment, &ahead))
        return false;
    ahead = ahead_in_stream(p, fragment->message->stream, ahead);
    if (ahead > 0)
        cw_send_skip(&p->session->send, ahead, p->units_of_fragment, fragment);
    return true;
}

/* ---- copies ------------------------------------------------------------------------------------------ */

static struct cw_path *second_best(const struct cw_path *first)
{
    struct cw_session *s = first->session;
    struct cw_path *best = NULL;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        struct cw_path *p = &s->paths[i];
        if (p != first && cw_path_is_good(p) &&
            (!best || p->loss.rtt_ns_smoothed < best->loss.rtt_ns_smoothed))
            best = p;
    }
    return best;
}

/* In pieces that the other path's datagrams hold; what does not fit into the list has no copy. */
static void put_copies(struct cw_path *p, const struct cw_fragment *fragment)
{
    struct cw_fragment piece = *fragment;
    uint32_t left = fragment->count;
    while (left > 0 && p->copies_tail - p->copies_head < CW_PATH_COPIES) {
        piece.count = (uint16_t)CW_MIN(left, p->units_of_fragment);
        p->copies[p->copies_tail++ % CW_PATH_COPIES] =
            (struct cw_copy){cw_handle_pack(fragment->message->self), cw_fragment_pack(&piece)};
        piece.first += piece.count;
        left -= piece.count;
    }
}

void cw_schedule_copy(struct cw_path *p, const struct cw_fragment *fragment)
{
    const struct cw_session *s = p->session;
    if (!s->config.is_latency_duplicated || s->up_count == 1 || fragment->is_again ||
        fragment->message->stream > CW_STREAM_LIVE)
        return;
    if (cw_send_waiting_units(&s->send, CW_STREAM_LIVE) * s->send.unit_bytes > CW_COPIED_BYTES_MAX)
        return;
    struct cw_path *other = second_best(p);
    if (other)
        put_copies(other, fragment);
}

bool cw_schedule_next_copy(struct cw_path *p, struct cw_fragment *fragment)
{
    for (; p->copies_head != p->copies_tail; p->copies_head++) {
        const struct cw_copy *copy = &p->copies[p->copies_head % CW_PATH_COPIES];
        if (cw_send_find(&p->session->send, copy->message, copy->fragment, fragment) &&
            fragment->count <= p->units_of_fragment)
            return true;
    }
    return false;
}
