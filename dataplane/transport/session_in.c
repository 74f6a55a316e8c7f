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
static bool on_data(struct cw_path *p, const struct cw_packet *packet, const struct cw_data *data)
{
    struct cw_received whole;
    if (packet->type != CW_PACKET_DATA) {
        cw_path_count(p, CW_SESSION_DROP_FRAME);
        return false;
    }
    switch (cw_receive_fragment(&p->session->receive, packet->stream, packet->position, data, &whole)) {
    case CW_RECEIVE_WHOLE:
        cw_session_push_received(p->session, &whole);
        break;
    case CW_RECEIVE_KEPT:
        break;
    case CW_RECEIVE_DUPLICATE:
        cw_path_count(p, CW_SESSION_DUPLICATE);
        break;
    case CW_RECEIVE_BAD:
        cw_path_count(p, CW_SESSION_DROP_FRAME);
        return false;
    case CW_RECEIVE_OVER_CREDIT:
        cw_path_count(p, CW_SESSION_DROP_CREDIT);
        return false;
    }
    cw_session_credit_look(p->session, CW_ACK_DELAY_NS);
    return true;
}

/* The peer knows. */
static void tell_nobody(struct cw_session *s)
{
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        if (s->paths[i].close_due) {
            s->paths[i].close_due = false;
            cw_session_forget_sa(&s->paths[i], s->paths[i].live);
            cw_address_reset(&s->paths[i].address);
        }
    }
}

/* Of what we sent on the path that it names, on which it need not have come itself. */
static bool on_ack(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_path *of = p->session->numbered[ack->path];
    if (!of || ack->ranges[0].last >= of->inflight.next_number) {
        cw_path_count(p, CW_SESSION_DROP_FRAME);
        if (of) /* under our keys and with our numbers somebody has sent it: we, later than we know of */
            cw_session_start_over(p->session, now_ns);
        return false;
    }
    cw_session_on_ack(of, ack, now_ns);
    return true;
}

static bool on_recovered(struct cw_path *p, const struct cw_recovered_list *recovered, uint64_t now_ns)
{
    struct cw_path *of = p->session->numbered[recovered->path];
    if (of && cw_session_fec_on_recovered(of, recovered, now_ns))
        return true;
    cw_path_count(p, CW_SESSION_DROP_FRAME);
    return false;
}

/* One frame. false: stop here and do not acknowledge. */
static bool on_frame(struct cw_path *p, const struct cw_packet *packet, const struct cw_frame *frame,
                     uint64_t now_ns)
{
    switch (frame->type) {
    case CW_FRAME_RECOVERED:
        return on_recovered(p, &frame->recovered, now_ns);
    case CW_FRAME_ACK:
        return on_ack(p, &frame->ack, now_ns);
    case CW_FRAME_CREDIT:
        cw_send_on_credit(&p->session->send, frame->granted);
        return true;
    case CW_FRAME_CLOSE:
        cw_session_go_down(
            p->session, frame->why == CW_DOWN_KEYS_WORN ? CW_DOWN_KEYS_WORN : CW_DOWN_CLOSED_BY_PEER, now_ns);
        tell_nobody(p->session);
        return false;
    case CW_FRAME_DATA:
        return on_data(p, packet, &frame->data);
    case CW_FRAME_CHALLENGE:
        cw_address_on_challenge(p, frame->value);
        return true;
    case CW_FRAME_RESPONSE:
        cw_address_on_response(p, frame->value);
        return true;
    default:
        CW_ASSERT(frame->type == CW_FRAME_PING || frame->type == CW_FRAME_PROBE);
        return true;
    }
}

bool cw_session_on_payload(struct cw_path *p, const struct cw_packet *packet, const uint8_t *payload,
                           bool is_recovered, uint64_t now_ns)
{
    struct cw_frame frame;
    size_t left = packet->length;
    bool wants_ack = false;
    while (left > 0) {
        size_t size = cw_frame_decode(payload, left, &frame);
        if (size == 0) {
            cw_path_count(p, CW_SESSION_DROP_FRAME);
            return false;
        }
        bool is_about_ours = frame.type == CW_FRAME_ACK || frame.type == CW_FRAME_RECOVERED ||
                             frame.type == CW_FRAME_CHALLENGE || frame.type == CW_FRAME_RESPONSE;
        bool is_old = is_recovered && is_about_ours; /* said again since; it would spoil a sample */
        if (!is_old && !on_frame(p, packet, &frame, now_ns))
            return false;
        wants_ack |= !is_about_ours;
        payload += size;
        left -= size;
    }
    if (is_recovered) /* it is acknowledged when it is told that it was */
        return true;
    cw_ack_ranges_add(&p->acks, packet->iv, wants_ack, now_ns);
    if (cw_session_fec_is_on(p) && p->fec->early_count > 0)
        cw_session_fec_on_came(p, packet->iv);
    return true;
}

/* The key of the association that this SPI names; NULL for none. */
static void *key_of(const struct cw_sa *sa, uint32_t spi, uint64_t now_ns)
{
    if (spi == sa->spi_in)
        return sa->key_in;
    if (spi == cw_spi_after(sa->spi_in))
        return sa->key_in_next;
    if (now_ns < sa->last_until_ns && cw_spi_after(spi) == sa->spi_in)
        return sa->key_in_last;
    return NULL;
}

static bool is_seal_good(const struct cw_path *p, const void *key, const struct cw_packet *packet,
                         uint8_t *datagram)
{
    uint8_t nonce[CW_PACKET_IV_SIZE];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    cw_packet_nonce(datagram, nonce);
    return p->session->config.aead->open(key, payload, payload, packet->length, nonce, datagram,
                                         CW_PACKET_HEADER_SIZE, payload + packet->length);
}

/* Opens in place. The replay window moves only if the seal is good. */
static bool open_packet(struct cw_path *p, struct cw_sa *sa, const void *key, const struct cw_packet *packet,
                        uint8_t *datagram)
{
    if (!cw_replay_test(&sa->replay, packet->iv)) {
        cw_path_count(p, CW_SESSION_DROP_REPLAY);
        if (cw_address_minds_old(p, packet->iv) && is_seal_good(p, key, packet, datagram))
            cw_address_on_old(p);
        return false;
    }
    if (!is_seal_good(p, key, packet, datagram)) {
        cw_path_count(p, CW_SESSION_DROP_TAG);
        return false;
    }
    cw_replay_commit(&sa->replay, packet->iv);
    sa->blocks_in += (packet->length + 15u) / 16 + 2; /* a forged one wears no key: 2^52 may be tried */
    return true;
}

/* The association that this SPI names and that may be used now; NULL for none. */
static struct cw_sa *sa_of(struct cw_path *p, uint32_t spi, uint64_t now_ns)
{
    if (p->state != CW_PATH_UNUSED && key_of(p->live, spi, now_ns))
        return p->live;
    bool confirming = p->session->handshake.state == CW_HANDSHAKE_CONFIRMING &&
                      !p->session->handshake.is_refused && p->address.came_from == p->address.present;
    if (confirming && p->next->is_ready && spi == p->next->spi_in && cw_session_may_go_up(p->session))
        return p->next;
    return NULL;
}

static void on_sealed(struct cw_path *p, const struct cw_packet *packet, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_sa *sa = sa_of(p, packet->spi, now_ns);
    if (!sa) {
        cw_path_count(p, CW_SESSION_DROP_SPI);
        return;
    }
    if (!open_packet(p, sa, key_of(sa, packet->spi, now_ns), packet, datagram))
        return;
    if (sa == p->live && packet->spi == cw_spi_after(sa->spi_in))
        cw_session_sa_follow(p, now_ns);
    bool is_newest = p->acks.count == 0 || packet->iv > p->acks.ranges[0].last;
    if (sa == p->next) {
        cw_handshake_done(&p->session->handshake);
        cw_session_go_up(p->session, p, now_ns);
    } else {
        cw_handshake_stop(&p->session->handshake); /* the live session lives: no need of another */
    }
    cw_address_on_packet(p, packet->iv, is_newest, packet->length + CW_PACKET_OVERHEAD, now_ns);
    p->session->heard_ns = now_ns;
    cw_path_on_heard(p, now_ns);
    p->acks.marked += p->is_marked;
    cw_count(&p->counters[CW_SESSION_MARKED], p->is_marked);
    if (packet->type == CW_PACKET_REPAIR) {
        cw_session_fec_on_repair(p, packet, datagram + CW_PACKET_HEADER_SIZE, now_ns);
    } else {
        cw_session_on_payload(p, packet, datagram + CW_PACKET_HEADER_SIZE, false, now_ns);
        cw_session_fec_on_source(p, packet, datagram, now_ns);
    }
    if (p->session->state == CW_STATE_UP && p->live->blocks_in >= p->session->key_blocks_max)
        cw_session_go_down(p->session, CW_DOWN_KEYS_WORN, now_ns);
}

static void on_handshake(struct cw_path *p, const uint8_t *datagram, size_t length, uint64_t now_ns)
{
    struct cw_session *s = p->session;
    bool is_heard = s->state == CW_STATE_UP && now_ns - s->heard_ns < s->config.idle_timeout_ns / 2;
    if (p->address.came_from != p->address.present) { /* a live session is followed, nothing else */
        cw_path_count(p, CW_SESSION_DROP_HANDSHAKE);
        return;
    }
    if (!cw_flood_take(&p->flood, is_heard, now_ns)) {
        cw_path_count(p, CW_SESSION_DROP_FLOOD);
        return;
    }
    if (!cw_session_may_go_up(p->session)) { /* the caller does not read its events */
        cw_path_count(p, CW_SESSION_DROP_HANDSHAKE);
        return;
    }
    switch (cw_handshake_on_datagram(&p->session->handshake, p->index, datagram, length, now_ns)) {
    case CW_HANDSHAKE_DROPPED:
        cw_path_count(p, CW_SESSION_DROP_HANDSHAKE);
        break;
    case CW_HANDSHAKE_BAD_COOKIE:
        cw_path_count(p, CW_SESSION_DROP_COOKIE);
        break;
    case CW_HANDSHAKE_OTHER_LANES:
        cw_path_count(p, CW_SESSION_DROP_LANES);
        p->session->other_lanes = p->session->handshake.lanes_heard;
        break;
    case CW_HANDSHAKE_KEYED:
        cw_session_sa_prepare(p->session);
        break;
    case CW_HANDSHAKE_COMPLETED:
        cw_session_go_up(p->session, cw_session_first_path(p->session), now_ns);
        break;
    case CW_HANDSHAKE_REPEATED:
        p->ping_due = p->ping_due || p->state != CW_PATH_UNUSED;
        break;
    case CW_HANDSHAKE_REFUSED: /* only an authenticator refuses */
    case CW_HANDSHAKE_ASKED:
    case CW_HANDSHAKE_TAKEN:
        break;
    }
    cw_session_forget_unproved(s);
}

static uint32_t counter_of(enum cw_packet_error error)
{
    switch (error) {
    case CW_PACKET_SHORT:
        return CW_SESSION_DROP_SHORT;
    case CW_PACKET_BAD_VERSION:
        return CW_SESSION_DROP_VERSION;
    case CW_PACKET_BAD_RESERVED:
        return CW_SESSION_DROP_RESERVED;
    default:
        return CW_SESSION_DROP_FORMAT;
    }
}

static void on_datagram(struct cw_path *p, uint8_t *datagram, size_t length, uint64_t now_ns)
{
    struct cw_packet packet;
    p->session->now_ns = now_ns = CW_MAX(p->session->now_ns, now_ns);
    cw_path_count(p, CW_SESSION_DATAGRAMS_IN);
    cw_count(&p->counters[CW_SESSION_BYTES_IN], length);
    enum cw_packet_error error = cw_packet_check(datagram, length, &packet);
    if (error != CW_PACKET_OK)
        cw_path_count(p, counter_of(error));
    else if (packet.lane != p->session->config.lane)
        cw_path_count(p, CW_SESSION_DROP_LANE);
    else if (packet.spi == CW_SPI_HANDSHAKE)
        on_handshake(p, datagram, length, now_ns);
    else
        on_sealed(p, &packet, datagram, now_ns);
}

void cw_session_on_datagram(struct cw_session *s, uint32_t path, uint8_t *datagram, size_t length,
                            uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    s->paths[path].address.came_from = s->paths[path].address.present;
    on_datagram(&s->paths[path], datagram, length, now_ns);
}

void cw_session_on_datagram_marked(struct cw_session *s, uint32_t path, uint8_t *datagram, size_t length,
                                   uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    s->paths[path].is_marked = true;
    cw_session_on_datagram(s, path, datagram, length, now_ns);
    s->paths[path].is_marked = false;
}

void cw_session_on_datagram_from(struct cw_session *s, uint32_t path, uint64_t from, bool is_marked,
                                 uint8_t *datagram, size_t length, uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    struct cw_path *p = &s->paths[path];
    p->address.came_from = from;
    p->is_marked = is_marked;
    on_datagram(p, datagram, length, now_ns);
    p->is_marked = false;
}

uint64_t cw_session_goes_to(const struct cw_session *s, uint32_t path)
{
    CW_ASSERT(path < s->config.path_count);
    return s->paths[path].address.goes_to;
}

uint64_t cw_session_address(const struct cw_session *s, uint32_t path)
{
    CW_ASSERT(path < s->config.path_count);
    return s->paths[path].address.present;
}

bool cw_session_needs_address(const struct cw_session *s, uint32_t path, uint64_t token)
{
    CW_ASSERT(path < s->config.path_count);
    const struct cw_address *a = &s->paths[path].address;
    return token == a->present || (a->state == CW_ADDRESS_ASKING && token == a->candidate);
}
