/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams out: which may leave next, and building it in the caller's buffer, where it is sealed in place.
 *
 * Chosen not to do, yet: sealing straight from the message's body into the datagram, which would save the
 * copy; the frame header before it would have to be sealed as a piece of its own.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

#define BLOCKS_OF_SEAL(length) (((length) + 15) / 16 + 2) /* and the two that a tag may cost */

size_t cw_session_seal(struct cw_path *p, struct cw_packet *packet, uint8_t *datagram, size_t length,
                       uint64_t now_ns)
{
    struct cw_lane *lane = p->live;
    uint8_t nonce[CW_PACKET_IV_SIZE];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    CW_ASSERT(length + CW_PACKET_OVERHEAD <= lane->datagram_bytes);
    packet->spi = lane->spi_out;
    packet->iv = lane->next_iv++;
    packet->session = (uint16_t)lane->spi_out;
    packet->length = (uint16_t)length;
    packet->ticks = (uint32_t)(now_ns / CW_PACKET_TICK_NS);
    cw_packet_encode(packet, datagram);
    cw_packet_nonce(datagram, nonce);
    p->session->config.aead->seal(lane->key_out, payload, payload, length, nonce, datagram,
                                  CW_PACKET_HEADER_SIZE, payload + length);
    lane->blocks_out += BLOCKS_OF_SEAL(length);
    return length + CW_PACKET_OVERHEAD;
}

static size_t build_close(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_packet packet = {.type = CW_PACKET_CONTROL};
    size_t length = cw_frame_write_close(datagram + CW_PACKET_HEADER_SIZE, p->session->close_why);
    p->close_due = false;
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

/* Makes the ring entry of the next number free. Data waits for a packet that is still out, control does not.
 */
static bool make_room(struct cw_path *p, bool insist, uint64_t now_ns)
{
    struct cw_sent *sent = cw_inflight_in_the_way(&p->inflight);
    if (!sent)
        return true;
    if (sent->state == CW_SENT_OUTSTANDING) {
        if (!insist)
            return false;
        cw_session_lose(p, sent, now_ns);
    }
    cw_session_forget_sent(p, sent);
    return true;
}

/* The path whose acks are due first of those that leave on this one; itself when none are. */
static struct cw_path *acks_first(const struct cw_path *p)
{
    struct cw_session *s = p->session;
    if (s->config.path_count == 1)
        return (struct cw_path *)p;
    const struct cw_path *first = cw_path_of_acks(p) == p ? p : NULL;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        const struct cw_path *q = &s->paths[i];
        if (q == p || q->acks.deadline_ns == CW_NEVER || cw_path_of_acks(q) != p)
            continue;
        if (!first || q->acks.deadline_ns < first->acks.deadline_ns)
            first = q;
    }
    return (struct cw_path *)first;
}

uint64_t cw_session_acks_due_ns(const struct cw_path *p)
{
    const struct cw_path *first = acks_first(p);
    return first ? first->acks.deadline_ns : CW_NEVER;
}

static bool credit_is_due(const struct cw_path *p, uint64_t now_ns)
{
    return p->session->credit_ns <= now_ns && cw_path_best(p->session) == p;
}

static bool control_is_due(const struct cw_path *p, uint64_t now_ns)
{
    bool has_room = cw_session_has_room_for_control(p);
    return cw_session_acks_due_ns(p) <= now_ns || (has_room && (p->ping_due || credit_is_due(p, now_ns)));
}

static size_t write_credit_and_ping(struct cw_path *p, uint8_t *at, uint16_t *had)
{
    size_t length = 0;
    if (p->session->credit_ns != CW_NEVER && cw_path_best(p->session) == p) {
        uint64_t granted[CW_CLASS_COUNT];
        cw_receive_credit_take(&p->session->receive, granted);
        length += cw_frame_write_credit(at, granted);
        p->session->credit_ns = CW_NEVER;
        *had |= CW_SENT_HAD_CREDIT;
    }
    if (p->ping_due) {
        length += cw_frame_write_ping(at + length);
        p->ping_due = false;
        *had |= CW_SENT_HAD_PING;
    }
    return length;
}

static size_t build_control(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_packet packet = {.type = CW_PACKET_CONTROL};
    struct cw_ack ack;
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    uint64_t acknowledged = 0;
    size_t length = 0;
    uint16_t had = 0;
    make_room(p, true, now_ns);
    struct cw_path *heard = acks_first(p);
    if (heard)
        length = cw_session_fec_write_news(heard, payload, now_ns);
    if (heard && cw_ack_ranges_take(&heard->acks, &ack, now_ns)) {
        ack.path = heard->live->number;
        length += cw_frame_write_ack(payload + length, &ack);
        acknowledged = heard == p ? ack.ranges[0].last : 0;
    }
    if (cw_session_has_room_for_control(p))
        length += write_credit_and_ping(p, payload + length, &had);
    if (length == 0)
        return 0;
    if (heard && cw_session_fec_has_fresh_news(heard)) /* more than one frame holds */
        heard->acks.deadline_ns = now_ns;
    CW_ASSERT(p->live->next_iv == p->inflight.next_number);
    if (had) {
        packet.flags = CW_PACKET_ACK_WANTED;
        struct cw_sent *sent = cw_inflight_add(&p->inflight, CW_SENT_CONTROL, acknowledged, had, now_ns);
        cw_session_rate_sent(p, sent, length + CW_PACKET_OVERHEAD, now_ns);
        cw_path_on_sent(p, now_ns);
    } else {
        cw_inflight_skip(&p->inflight);
    }
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

bool cw_session_has_room_for_data(const struct cw_path *p)
{
    if (p->inflight.outstanding.count >= p->config->packets_in_flight_max - CW_IN_FLIGHT_RESERVE)
        return false;
    const struct cw_sent *sent = cw_inflight_in_the_way(&p->inflight);
    return !sent || sent->state == CW_SENT_LOST;
}

bool cw_session_make_room_for_data(struct cw_path *p, uint64_t now_ns)
{
    if (!cw_session_has_room_for_data(p)) {
        cw_session_rate_waits(p);
        return false;
    }
    return cw_session_rate_lets(p, now_ns) && make_room(p, false, now_ns);
}

bool cw_session_data_may_leave(const struct cw_path *p, uint64_t at_ns)
{
    struct cw_fragment fragment;
    if (p->state != CW_PATH_UP || !cw_session_rate_has_room(p) || !cw_session_has_room_for_data(p))
        return false;
    return p->copies_head != p->copies_tail || cw_schedule_pick(p, at_ns, &fragment);
}

/* An ack that would have to leave soon rides along where a short fragment leaves room for it. */
static size_t ride_along(struct cw_path *p, uint8_t *payload, uint32_t data_length, uint64_t now_ns)
{
    struct cw_ack ack;
    size_t room = cw_session_data_bytes_max(p) - CW_FRAME_DATA_SIZE - data_length;
    if (p->acks.deadline_ns == CW_NEVER || cw_path_of_acks(p) != p || cw_session_fec_has_fresh_news(p) ||
        CW_FRAME_ACK_SIZE(p->acks.count) > room)
        return 0;
    if (!cw_ack_ranges_take(&p->acks, &ack, now_ns))
        return 0;
    ack.path = p->live->number;
    return cw_frame_write_ack(payload, &ack);
}

/* The caller has made room. */
static size_t build_fragment(struct cw_path *p, const struct cw_fragment *fragment, enum cw_sent_kind kind,
                             uint8_t *datagram, uint64_t now_ns)
{
    struct cw_session *s = p->session;
    struct cw_data data;
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    cw_send_describe(&s->send, fragment, &data);
    size_t length = ride_along(p, payload, data.length, now_ns);
    length += cw_frame_write_data(payload + length, &data);
    cw_send_copy(fragment, &data, payload + length);
    length += data.length;
    struct cw_packet packet = {
        .type = CW_PACKET_DATA,
        .flags = CW_PACKET_ACK_WANTED,
        .stream = fragment->message->stream,
        .position = fragment->message->number,
    };
    if (fragment->is_again) {
        packet.flags |= CW_PACKET_RETRANSMISSION;
        cw_path_count(p, CW_SESSION_RETRANSMITTED);
    }
    CW_ASSERT(p->live->next_iv == p->inflight.next_number);
    struct cw_sent *sent = cw_inflight_add(&p->inflight, kind, cw_handle_pack(fragment->message->self),
                                           cw_fragment_pack(fragment), now_ns);
    cw_session_rate_sent(p, sent, length + CW_PACKET_OVERHEAD, now_ns);
    cw_path_on_sent(p, now_ns);
    cw_meter_add(&p->packets_sent, 1, now_ns);
    if (kind == CW_SENT_DATA) {
        cw_send_on_sent(&s->send, fragment);
        cw_session_fec_protect(p, &packet, datagram, length, now_ns);
    }
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

static size_t build_copy(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_fragment fragment;
    if (!cw_schedule_next_copy(p, &fragment) || !cw_session_make_room_for_data(p, now_ns))
        return 0;
    p->copies_head++;
    cw_path_count(p, CW_SESSION_COPIES);
    return build_fragment(p, &fragment, CW_SENT_COPY, datagram, now_ns);
}

size_t cw_session_build_data(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_fragment fragment;
    size_t length = p->copies_head != p->copies_tail ? build_copy(p, datagram, now_ns) : 0;
    if (length > 0)
        return length;
    bool is_alone = p->session->up_count == 1;
    if (is_alone ? !cw_send_next(&p->session->send, p->units_of_fragment, &fragment)
                 : !cw_schedule_pick(p, now_ns, &fragment)) {
        cw_session_rate_idle(p);
        return 0;
    }
    if (!cw_session_make_room_for_data(p, now_ns))
        return 0;
    length = build_fragment(p, &fragment, CW_SENT_DATA, datagram, now_ns);
    if (!is_alone)
        cw_schedule_copy(p, &fragment);
    return length;
}

/* A peer that never acknowledged anything of this generation has, for all we know, not followed yet. */
static void rotate_if_due(struct cw_path *p, uint64_t now_ns)
{
    const struct cw_lane *lane = p->live;
    bool is_due = lane->blocks_out >= p->session->rotate_blocks || now_ns >= lane->rotate_ns;
    if (is_due && p->loss.largest_acked >= lane->first_iv)
        cw_session_lane_rotate(p, now_ns);
}

static size_t build_sealed(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    rotate_if_due(p, now_ns);
    if (p->live->blocks_out >= p->session->key_blocks_max)
        cw_session_go_down(p->session, CW_DOWN_KEYS_WORN, now_ns);
    if (p->close_due)
        return build_close(p, datagram, now_ns);
    size_t length = control_is_due(p, now_ns) ? build_control(p, datagram, now_ns) : 0;
    if (length == 0 && p->state != CW_PATH_UP)
        return 0;
    if (length == 0 && cw_session_mtu_deadline_ns(p) <= now_ns && make_room(p, false, now_ns))
        length = cw_session_mtu_build(p, datagram, now_ns);
    if (length > 0)
        return length;
    return cw_session_fec_is_on(p) ? cw_session_fec_build(p, datagram, now_ns)
                                   : cw_session_build_data(p, datagram, now_ns);
}

size_t cw_session_transmit(struct cw_session *s, uint32_t path, uint8_t *datagram, uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    struct cw_path *p = &s->paths[path];
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    if (cw_pacer_next_ns(&p->pacer) > now_ns) {
        cw_session_rate_waits(p);
        return 0;
    }
    size_t length = 0;
    if (p->close_due)
        length = build_close(p, datagram, now_ns);
    if (length == 0)
        length = cw_handshake_transmit(&s->handshake, path, datagram, now_ns);
    if (length == 0 && p->state != CW_PATH_UNUSED)
        length = build_sealed(p, datagram, now_ns);
    if (length == 0) {
        cw_pacer_on_idle(&p->pacer);
        return 0;
    }
    cw_pacer_on_sent(&p->pacer, (uint32_t)length, now_ns);
    cw_meter_add(&p->bytes_sent, length, now_ns);
    cw_path_count(p, CW_SESSION_DATAGRAMS_OUT);
    cw_count(&p->counters[CW_SESSION_BYTES_OUT], length);
    return length;
}
