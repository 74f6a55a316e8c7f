/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams in. What a stranger can reach, in this order: the shape of the headers, the SPI, the replay
 * window's test, the seal; for SPI 0 the MAC of the handshake. Nothing changes but a counter until one of
 * the last two is good. MACs are looked at up to a rate (flood.h).
 *
 * A packet whose frames cannot all be taken is not acknowledged.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

/* Takes one fragment in. false: the packet is not to be acknowledged. */
static bool on_data(struct cw_session *s, const struct cw_packet *packet, const struct cw_data *data)
{
    struct cw_received whole;
    if (packet->type != CW_PACKET_DATA) {
        cw_session_count(s, CW_SESSION_DROP_FRAME);
        return false;
    }
    switch (cw_receive_fragment(&s->receive, packet->stream, packet->position, data, &whole)) {
    case CW_RECEIVE_WHOLE:
        cw_session_push_received(s, &whole);
        break;
    case CW_RECEIVE_KEPT:
        break;
    case CW_RECEIVE_DUPLICATE:
        cw_session_count(s, CW_SESSION_DUPLICATE);
        break;
    case CW_RECEIVE_BAD:
        cw_session_count(s, CW_SESSION_DROP_FRAME);
        return false;
    case CW_RECEIVE_OVER_CREDIT:
        cw_session_count(s, CW_SESSION_DROP_CREDIT);
        return false;
    }
    cw_session_credit_look(s, CW_ACK_DELAY_NS);
    return true;
}

/* One frame. false: stop here and do not acknowledge. */
static bool on_frame(struct cw_session *s, const struct cw_packet *packet, const struct cw_frame *frame,
                     uint64_t now_ns)
{
    switch (frame->type) {
    case CW_FRAME_RECOVERED:
        if (cw_session_fec_on_recovered(s, &frame->recovered, now_ns))
            return true;
        cw_session_count(s, CW_SESSION_DROP_FRAME);
        return false;
    case CW_FRAME_ACK:
        if (frame->ack.ranges[0].last >= s->inflight.next_number) {
            cw_session_count(s, CW_SESSION_DROP_FRAME);
            return false;
        }
        cw_session_on_ack(s, &frame->ack, now_ns);
        return true;
    case CW_FRAME_CREDIT:
        cw_send_on_credit(&s->send, frame->granted);
        return true;
    case CW_FRAME_CLOSE:
        cw_session_go_down(s, frame->why == CW_DOWN_KEYS_WORN ? CW_DOWN_KEYS_WORN : CW_DOWN_CLOSED_BY_PEER,
                           now_ns);
        s->close_due = false;
        return false;
    case CW_FRAME_DATA:
        return on_data(s, packet, &frame->data);
    default:
        CW_ASSERT(frame->type == CW_FRAME_PING || frame->type == CW_FRAME_PROBE);
        return true;
    }
}

bool cw_session_on_payload(struct cw_session *s, const struct cw_packet *packet, const uint8_t *payload,
                           bool is_recovered, uint64_t now_ns)
{
    struct cw_frame frame;
    size_t left = packet->length;
    bool wants_ack = false;
    while (left > 0) {
        size_t size = cw_frame_decode(payload, left, &frame);
        if (size == 0) {
            cw_session_count(s, CW_SESSION_DROP_FRAME);
            return false;
        }
        bool is_about_ours = frame.type == CW_FRAME_ACK || frame.type == CW_FRAME_RECOVERED;
        bool is_old = is_recovered && is_about_ours; /* said again since; it would spoil a sample */
        if (!is_old && !on_frame(s, packet, &frame, now_ns))
            return false;
        wants_ack |= !is_about_ours;
        payload += size;
        left -= size;
    }
    if (!is_recovered) /* else when it is told that it was */
        cw_ack_ranges_add(&s->acks, packet->iv, wants_ack, now_ns);
    return true;
}

/* The key that this SPI of the lane names; NULL for none. */
static void *key_of(const struct cw_lane *lane, uint32_t spi, uint64_t now_ns)
{
    if (spi == lane->spi_in)
        return lane->key_in;
    if (spi == cw_spi_after(lane->spi_in))
        return lane->key_in_next;
    if (now_ns < lane->last_until_ns && cw_spi_after(spi) == lane->spi_in)
        return lane->key_in_last;
    return NULL;
}

/* Opens in place. The replay window moves only if the seal is good. */
static bool open_packet(struct cw_session *s, struct cw_lane *lane, const void *key,
                        const struct cw_packet *packet, uint8_t *datagram)
{
    uint8_t nonce[CW_PACKET_IV_SIZE];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    if (!cw_replay_test(&lane->replay, packet->iv)) {
        cw_session_count(s, CW_SESSION_DROP_REPLAY);
        return false;
    }
    cw_packet_nonce(datagram, nonce);
    lane->blocks_in += (packet->length + 15u) / 16 + 2;
    if (!s->config.aead->open(key, payload, payload, packet->length, nonce, datagram, CW_PACKET_HEADER_SIZE,
                              payload + packet->length)) {
        cw_session_count(s, CW_SESSION_DROP_TAG);
        return false;
    }
    cw_replay_commit(&lane->replay, packet->iv);
    return true;
}

/* The lane that this SPI names and that may be used now; NULL for none. */
static struct cw_lane *lane_of(struct cw_session *s, uint32_t spi, uint64_t now_ns)
{
    if (s->state == CW_STATE_UP && key_of(s->live, spi, now_ns))
        return s->live;
    bool confirming = s->handshake.state == CW_HANDSHAKE_CONFIRMING && !s->handshake.is_refused;
    if (confirming && s->next->is_ready && spi == s->next->spi_in && cw_session_may_go_up(s))
        return s->next;
    return NULL;
}

static void on_sealed(struct cw_session *s, const struct cw_packet *packet, uint8_t *datagram,
                      uint64_t now_ns)
{
    struct cw_lane *lane = lane_of(s, packet->spi, now_ns);
    if (!lane) {
        cw_session_count(s, CW_SESSION_DROP_SPI);
        return;
    }
    if (!open_packet(s, lane, key_of(lane, packet->spi, now_ns), packet, datagram))
        return;
    if (lane == s->live && packet->spi == cw_spi_after(lane->spi_in))
        cw_session_lane_follow(s, now_ns);
    if (lane == s->next) {
        cw_handshake_done(&s->handshake);
        cw_session_go_up(s, now_ns);
    } else {
        cw_handshake_stop(&s->handshake); /* the live session lives: no need of another */
    }
    s->heard_ns = now_ns;
    s->ping_ns = now_ns + s->config.idle_timeout_ns / 4;
    s->acks.marked += s->is_marked;
    if (packet->type == CW_PACKET_REPAIR) {
        cw_session_fec_on_repair(s, packet, datagram + CW_PACKET_HEADER_SIZE, now_ns);
    } else {
        cw_session_on_payload(s, packet, datagram + CW_PACKET_HEADER_SIZE, false, now_ns);
        cw_session_fec_on_source(s, packet, datagram, now_ns);
    }
    if (s->state == CW_STATE_UP && s->live->blocks_in >= s->key_blocks_max)
        cw_session_go_down(s, CW_DOWN_KEYS_WORN, now_ns);
}

static void on_handshake(struct cw_session *s, const uint8_t *datagram, size_t length, uint64_t now_ns)
{
    bool is_heard = s->state == CW_STATE_UP && now_ns - s->heard_ns < s->config.idle_timeout_ns / 2;
    if (!cw_flood_take(&s->flood, is_heard, now_ns)) {
        cw_session_count(s, CW_SESSION_DROP_FLOOD);
        return;
    }
    if (!cw_session_may_go_up(s)) { /* the caller does not read its events */
        cw_session_count(s, CW_SESSION_DROP_HANDSHAKE);
        return;
    }
    switch (cw_handshake_on_datagram(&s->handshake, datagram, length, now_ns)) {
    case CW_HANDSHAKE_DROPPED:
        cw_session_count(s, CW_SESSION_DROP_HANDSHAKE);
        break;
    case CW_HANDSHAKE_BAD_COOKIE:
        cw_session_count(s, CW_SESSION_DROP_COOKIE);
        break;
    case CW_HANDSHAKE_KEYED:
        cw_session_lane_prepare(s);
        break;
    case CW_HANDSHAKE_COMPLETED:
        cw_session_go_up(s, now_ns);
        break;
    case CW_HANDSHAKE_REPEATED:
        s->ping_due = s->ping_due || s->state == CW_STATE_UP;
        break;
    case CW_HANDSHAKE_REFUSED: /* only an authenticator refuses */
    case CW_HANDSHAKE_TAKEN:
        break;
    }
}

void cw_session_on_datagram(struct cw_session *s, uint8_t *datagram, size_t length, uint64_t now_ns)
{
    struct cw_packet packet;
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    cw_session_count(s, CW_SESSION_DATAGRAMS_IN);
    cw_count(&s->counters[CW_SESSION_BYTES_IN], length);
    enum cw_packet_error error = cw_packet_check(datagram, length, &packet);
    if (error != CW_PACKET_OK)
        cw_session_count(s, error == CW_PACKET_SHORT ? CW_SESSION_DROP_SHORT : CW_SESSION_DROP_FORMAT);
    else if (packet.spi == CW_SPI_HANDSHAKE)
        on_handshake(s, datagram, length, now_ns);
    else
        on_sealed(s, &packet, datagram, now_ns);
}

void cw_session_on_datagram_marked(struct cw_session *s, uint8_t *datagram, size_t length, uint64_t now_ns)
{
    s->is_marked = true;
    cw_session_on_datagram(s, datagram, length, now_ns);
    s->is_marked = false;
}
