/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which path carries the repairs of whose blocks, and building them.
 *
 * What takes the packets of a path for a while takes its repairs too. So repairs leave on another path than
 * their sources: on the one that brings them first, of those that are up and good, could send now, and hold
 * them in a datagram. A REPAIR says of which path's block it is; all else about it (number, ack, loss, rate)
 * is of the path that carries it.
 *
 * They stay on their own path
 *   - when it is the only one that is good
 *   - when every other one would bring them later by more than half of what makes a packet of theirs a loss:
 *     a resend would be there as soon, and nobody is to wait longer for a verdict than without this
 *   - when the round trips are so far apart that the peer would have begun the slots' next blocks meanwhile
 *   - as well, when no stripe is free: the others do not get them away as fast as they come
 *
 * With one path that is up nothing here is looked at.
 */
#include "base/numbers.h"
#include "transport/session_internal.h"

/* Of the blocks that the peer holds, those that may pass in the time by which two ways differ; half of all
 * may be of stripes that are open (fec_sender.c). */
#define PASSING_OF_BLOCKS 4u
#define LATE_OF_DELAY     2u

static uint64_t apart_ns(const struct cw_path *a, const struct cw_path *b)
{
    uint64_t x = a->loss.rtt_ns_smoothed, y = b->loss.rtt_ns_smoothed;
    return (x > y ? x - y : y - x) / 2;
}

/* When a datagram that is ready now would arrive on it. */
static uint64_t arrival_ns(const struct cw_path *p)
{
    uint64_t lets_ns = CW_MAX(cw_pacer_next_ns(&p->pacer), cw_session_rate_next_ns(p));
    return CW_MAX(lets_ns, p->session->now_ns) + p->loss.rtt_ns_smoothed / 2;
}

/* The next repair's, as long as it may become. */
static bool fits(const struct cw_path *p, struct cw_path *of)
{
    return cw_fec_sender_next_bytes(&of->fec->sender) + CW_PACKET_OVERHEAD <= cw_pmtu_bytes(&p->pmtu);
}

/* Does the peer still hold the block then, or hold it already without losing another? */
static bool meets_its_block(const struct cw_path *p, struct cw_path *of)
{
    uint64_t blocks = cw_meter_sum(&of->fec->blocks_opened, p->session->now_ns);
    uint64_t passing = blocks * apart_ns(p, of) / (CW_METER_BUCKETS << CW_FEC_BLOCKS_SHIFT);
    return passing <= of->fec->sender.peer_blocks / PASSING_OF_BLOCKS;
}

static bool can_carry(const struct cw_path *p, struct cw_path *of)
{
    return cw_path_is_good(p) && cw_session_has_room_for_data(p) && cw_session_rate_has_room(p) &&
           fits(p, of) && meets_its_block(p, of);
}

/* The path on which the next repair of this one's blocks is to leave. */
static const struct cw_path *carrier_of(struct cw_path *of)
{
    const struct cw_session *s = of->session;
    const struct cw_path *best = NULL;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        const struct cw_path *p = &s->paths[i];
        if (p != of && can_carry(p, of) && (!best || arrival_ns(p) < arrival_ns(best)))
            best = p;
    }
    if (!best || !cw_path_is_good(of))
        return best ? best : of;
    uint64_t late_ns = cw_loss_delay_ns(&of->loss) / LATE_OF_DELAY;
    return arrival_ns(best) <= arrival_ns(of) + late_ns ? best : of;
}

/* May this path take a repair of that one's blocks, which waits? */
static bool takes(const struct cw_path *p, struct cw_path *of)
{
    if (p->session->up_count == 1)
        return p == of;
    return carrier_of(of) == p || (p == of && !cw_fec_sender_has_free(&of->fec->sender));
}

/* Nothing of the latency lane waits to be sent: repairs of the other may leave, and its stripe is closed. */
static bool latency_is_empty(const struct cw_path *p)
{
    return cw_send_waiting_units(&p->session->send, CW_STREAM_LIVE) == 0;
}

/* The one whose blocks have a repair for this path, in this lane or a higher one; NULL: none. */
static struct cw_path *next_of(const struct cw_path *p, enum cw_fec_lane lane)
{
    struct cw_session *s = p->session;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        struct cw_path *of = &s->paths[(p->index + i) % s->config.path_count];
        if (of->state == CW_PATH_UP && cw_session_fec_is_on(of) &&
            cw_fec_sender_has_repair(&of->fec->sender, lane) && takes(p, of))
            return of;
    }
    return NULL;
}

/* How much later than on its own path it arrives; what was, is forgotten slowly. */
static void note_detour(const struct cw_path *p, struct cw_path *of)
{
    uint64_t late_ns = p->loss.rtt_ns_smoothed > of->loss.rtt_ns_smoothed ? apart_ns(p, of) : 0;
    of->fec->detour_ns = CW_MAX(late_ns, of->fec->detour_ns - of->fec->detour_ns / 8);
}

static size_t build_repair(struct cw_path *p, enum cw_fec_lane lane, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_fec_place place;
    uint32_t source_count;
    struct cw_path *of = next_of(p, lane);
    if (!of || !cw_session_lets_data(p, now_ns))
        return 0;
    uint32_t length = cw_fec_sender_take_repair(&of->fec->sender, lane, datagram + CW_PACKET_HEADER_SIZE,
                                                &place, &source_count, now_ns);
    struct cw_packet packet = {.type = CW_PACKET_REPAIR,
                               .flags = CW_PACKET_ACK_WANTED,
                               .stream = (uint8_t)source_count,
                               .position = of->live->number,
                               .fec_block = place.block,
                               .fec_index = place.index,
                               .fec_repairs = place.repairs};
    CW_ASSERT(p->live->next_iv == p->inflight.next_number);
    struct cw_sent sent = {
        .kind = CW_SENT_REPAIR, .sent_ns = now_ns, .bytes = (uint16_t)(length + CW_PACKET_OVERHEAD)};
    cw_inflight_add(&p->inflight, &sent);
    cw_session_rate_sent(p, &sent, now_ns);
    cw_path_on_sent(p, now_ns);
    cw_meter_add(&p->packets_sent, 1, now_ns);
    cw_path_count(p, CW_SESSION_FEC_REPAIRS_OUT);
    if (p != of)
        cw_path_count(p, CW_SESSION_FEC_REPAIRS_CROSSED);
    note_detour(p, of);
    p->repair_was_last = true;
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

/* Closes stripes whose repairs may then leave here. */
static void look(struct cw_path *p, uint64_t now_ns)
{
    struct cw_session *s = p->session;
    bool is_empty = latency_is_empty(p);
    for (uint32_t i = 0; i < s->config.path_count; i++)
        if (cw_session_fec_is_on(&s->paths[i]))
            cw_session_fec_look(&s->paths[i], is_empty, now_ns);
}

size_t cw_session_repair_build(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    look(p, now_ns);
    /* Repairs of a lane leave beside its data and after all data of a higher one. */
    enum cw_fec_lane lane = latency_is_empty(p) ? CW_FEC_LANE_BULK : CW_FEC_LANE_LATENCY;
    size_t length = p->repair_was_last ? 0 : build_repair(p, lane, datagram, now_ns);
    if (length == 0)
        length = cw_session_build_data(p, datagram, now_ns);
    return length ? length : build_repair(p, lane, datagram, now_ns);
}

bool cw_session_repair_has_output(const struct cw_path *p)
{
    struct cw_session *s = p->session;
    if (!cw_session_repair_is_wanted(p) || p->state != CW_PATH_UP || !cw_session_has_room_for_data(p) ||
        !cw_session_rate_has_room(p))
        return false;
    bool is_empty = latency_is_empty(p);
    if (next_of(p, is_empty ? CW_FEC_LANE_BULK : CW_FEC_LANE_LATENCY))
        return true;
    for (uint32_t i = 0; i < s->config.path_count && is_empty; i++) {
        struct cw_path *of = &s->paths[i];
        if (of->state == CW_PATH_UP && cw_session_fec_is_on(of) &&
            of->fec->sender.lanes[CW_FEC_LANE_LATENCY].open && takes(p, of))
            return true;
    }
    return false;
}
