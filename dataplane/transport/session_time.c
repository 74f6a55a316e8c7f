/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What acks and time do to the packets that are out, and the one deadline that a shell has to know. (When
 * something is to leave, session_out.c says, which also sends it.)
 *
 * Timers, of the session and of each path: handshake resend and give-up; ack; credit; loss; probe; ping;
 * silence (initiator: a new handshake beside the live session once half the idle time-out has passed
 * unheard); idle; pacer.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

void cw_session_forget_lost(struct cw_path *p, struct cw_lost *lost)
{
    cw_session_fec_let_go(p, lost, false);
    cw_inflight_forget(&p->inflight, lost);
}

void cw_session_give_back(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_DATA)
        cw_send_on_lost(&p->session->send, sent->message, sent->fragment, (uint8_t)p->index);
    if (sent->kind == CW_SENT_CONTROL && sent->had & CW_SENT_HAD_CREDIT) {
        cw_receive_credit_lost(&p->session->receive);
        p->session->credit_ns = now_ns;
    }
}

/* Without counting: a probe is not a loss, and waits not. */
static struct cw_lost *give_up(struct cw_path *p, const struct cw_sent *sent, bool is_probe, uint64_t now_ns)
{
    cw_session_mtu_on_lost(p, sent, now_ns);
    bool holds = !is_probe && sent->kind == CW_SENT_DATA && cw_session_fec_holds(p, sent, now_ns);
    if (!holds)
        cw_session_give_back(p, sent, now_ns);
    struct cw_lost *lost = cw_inflight_lose(&p->inflight, sent, now_ns);
    lost->is_held = holds;
    if (p->inflight.lost_count > CW_LOST_REMEMBERED)
        cw_session_forget_lost(p, cw_inflight_oldest_lost(&p->inflight));
    return lost;
}

struct cw_lost *cw_session_lose(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_MTU)
        return give_up(p, sent, false, now_ns);
    cw_path_count(p, CW_SESSION_LOST);
    cw_meter_add(&p->packets_lost, 1, now_ns);
    cw_loss_on_lost(&p->loss, sent->number, p->inflight.next_number);
    cw_rate_on_lost(&p->rate, sent->number, sent->bytes, now_ns);
    cw_session_fec_on_lost(p, sent->number, now_ns);
    struct cw_lost *lost = give_up(p, sent, false, now_ns);
    lost->is_declared = true;
    return lost;
}

void cw_session_detect_losses(struct cw_path *p, uint64_t now_ns)
{
    uint64_t delay_ns = cw_loss_delay_ns(&p->loss);
    p->loss.detect_ns = CW_NEVER;
    for (struct cw_sent sent; cw_inflight_oldest(&p->inflight, &sent);) {
        if (sent.number >= p->loss.largest_acked)
            return;
        if (sent.sent_ns + delay_ns > now_ns) {
            p->loss.detect_ns = sent.sent_ns + delay_ns;
            return;
        }
        cw_session_lose(p, &sent, now_ns);
    }
}

/* The path delivered it. */
static void note_delivered(struct cw_path *p, const struct cw_sent *sent, enum cw_rate_was was,
                           uint64_t now_ns)
{
    cw_session_mtu_on_acked(p, sent, now_ns);
    if (sent->kind != CW_SENT_MTU)
        cw_rate_on_acked(&p->rate, sent->number, sent->bytes, was, now_ns);
}

/* What it carried has arrived. */
static void take_acked(struct cw_path *p, const struct cw_sent *sent)
{
    if (sent->kind == CW_SENT_DATA || sent->kind == CW_SENT_COPY) {
        struct cw_message_out *message = cw_send_on_acked(&p->session->send, sent->message, sent->fragment);
        if (message)
            cw_session_push_sent(p->session, message, true);
    } else if (sent->kind == CW_SENT_CONTROL && sent->acknowledged > 0) {
        cw_ack_ranges_forget(&p->acks, sent->acknowledged - 1);
    }
}

static bool covers(const struct cw_ack *ack, uint64_t number)
{
    if (number < ack->ranges[ack->range_count - 1].first)
        return false;
    for (uint32_t i = 0; i < ack->range_count; i++)
        if (number >= ack->ranges[i].first)
            return number <= ack->ranges[i].last;
    return false;
}

static void take_late(struct cw_path *p, struct cw_lost *lost, uint64_t now_ns)
{
    if (lost->sent.kind == CW_SENT_MTU) {
        cw_session_mtu_on_acked(p, &lost->sent, now_ns);
    } else if (lost->is_recovered) { /* the path did not deliver it, and its loss was one */
        cw_path_count(p, CW_SESSION_LOSSES_RECOVERED);
    } else {
        cw_path_count(p, CW_SESSION_SPURIOUS);
        cw_loss_on_spurious(&p->loss);
        note_delivered(p, &lost->sent, lost->is_declared ? CW_RATE_WAS_LOST : CW_RATE_WAS_GIVEN_UP, now_ns);
    }
    cw_session_fec_let_go(p, lost, true);
    take_acked(p, &lost->sent);
    cw_inflight_forget(&p->inflight, lost);
}

/* Losses that were none: the packet was only late. At most CW_LOST_REMEMBERED are looked at. */
static void take_spurious(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_lost *next;
    for (struct cw_lost *lost = cw_inflight_oldest_lost(&p->inflight); lost; lost = next) {
        next = cw_inflight_lost_after(&p->inflight, lost);
        if (cw_inflight_is_long_ago(&p->inflight, lost))
            cw_session_forget_lost(p, lost);
        else if (covers(ack, lost->sent.number))
            take_late(p, lost, now_ns);
    }
}

struct newest {
    uint64_t number; /* 0: there is none */
    uint64_t sent_ns;
};

/* Upwards. Gives the newest. */
static struct newest take_outstanding(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_sent sent;
    struct newest newest = {.number = 0};
    for (uint32_t i = ack->range_count; i-- > 0;) {
        struct cw_sent_walk walk;
        cw_inflight_walk(&p->inflight, ack->ranges[i].first, ack->ranges[i].last, &walk);
        while (cw_inflight_take(&p->inflight, &walk, &sent)) {
            note_delivered(p, &sent, CW_RATE_WAS_OUT, now_ns);
            take_acked(p, &sent);
            newest = (struct newest){sent.number, sent.sent_ns};
        }
    }
    return newest;
}

void cw_session_on_ack(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    uint64_t largest = ack->ranges[0].last;
    cw_rate_ack_begin(&p->rate, now_ns);
    take_spurious(p, ack, now_ns);
    struct newest newest = take_outstanding(p, ack, now_ns);
    cw_session_rate_marks(p, ack, now_ns);
    p->loss.largest_acked = CW_MAX(p->loss.largest_acked, largest);
    if (newest.number > 0) {
        cw_loss_on_acked(&p->loss);
        p->probes_left = 0;
    }
    if (newest.number == largest)
        cw_loss_on_sample(&p->loss, now_ns - newest.sent_ns, ack->delay_ns);
    if (newest.number == largest)
        cw_rate_on_round_trip(&p->rate, p->loss.rtt_ns_latest);
    cw_session_detect_losses(p, now_ns);
    cw_rate_ack_end(&p->rate, p->loss.rtt_ns_smoothed, now_ns);
    cw_session_rate_obey(p);
    if (newest.number > 0)
        cw_path_on_acked(p, now_ns);
}

/* Nothing was acknowledged for long: send the oldest again, and a PING, which asks for an ack in any case. */
static void probe(struct cw_path *p, uint64_t now_ns)
{
    cw_path_count(p, CW_SESSION_PROBES);
    if (cw_path_on_probe(p, now_ns))
        return;
    uint32_t count = cw_path_resends(p);
    for (uint32_t i = 0; i < count; i++) {
        struct cw_sent sent;
        if (!cw_inflight_oldest(&p->inflight, &sent))
            break;
        if (sent.kind != CW_SENT_MTU)
            cw_rate_on_given_up(&p->rate, sent.bytes);
        give_up(p, &sent, true, now_ns);
    }
    p->ping_due = true;
    p->probes_left = CW_PROBE_PACKETS;
    cw_loss_on_probe(&p->loss, now_ns);
    cw_rate_on_probe_timeout(&p->rate, p->loss.probe_count, now_ns);
    cw_session_rate_obey(p);
}

static uint64_t silence_ns(const struct cw_session *s)
{
    const struct cw_handshake *h = &s->handshake;
    if (!h->is_initiator || h->state != CW_HANDSHAKE_RESTING || h->wanted)
        return CW_NEVER;
    return s->heard_ns + s->config.idle_timeout_ns / 2;
}

static bool is_mtu_probe_alone(const struct cw_path *p)
{
    struct cw_sent oldest;
    return p->inflight.outstanding_count == 1 && cw_inflight_oldest(&p->inflight, &oldest) &&
           oldest.kind == CW_SENT_MTU;
}

/* An MTU probe alone needs none: the PING behind it was acknowledged, or is not sent yet. */
static uint64_t probe_ns(const struct cw_path *p)
{
    if (p->state != CW_PATH_UP || p->inflight.outstanding_count == 0 || is_mtu_probe_alone(p))
        return CW_NEVER;
    return cw_path_probe_ns(p);
}

static void path_on_time(struct cw_path *p, uint64_t now_ns)
{
    cw_session_forget_last(p, now_ns);
    cw_address_on_time(p, now_ns);
    cw_path_on_time(p, now_ns);
    if (p->state != CW_PATH_UP)
        return;
    if (now_ns >= p->loss.detect_ns) {
        cw_rate_ack_begin(&p->rate, now_ns);
        cw_session_detect_losses(p, now_ns);
        cw_session_rate_obey(p);
    }
    cw_session_fec_on_time(p, now_ns);
    if (now_ns >= probe_ns(p))
        probe(p, now_ns);
    if (now_ns >= p->ping_ns && p->state == CW_PATH_UP) {
        p->ping_due = true;
        p->ping_ns = now_ns + p->session->config.idle_timeout_ns / 4;
    }
}

static void on_time_up(struct cw_session *s, uint64_t now_ns)
{
    if (now_ns >= s->heard_ns + s->config.idle_timeout_ns) {
        cw_session_go_down(s, CW_DOWN_IDLE, now_ns);
        return;
    }
    for (uint32_t i = 0; i < s->config.path_count; i++)
        path_on_time(&s->paths[i], now_ns);
    if (now_ns >= silence_ns(s))
        cw_handshake_start(&s->handshake, now_ns);
}

void cw_session_on_time(struct cw_session *s, uint64_t now_ns)
{
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    cw_handshake_on_time(&s->handshake, now_ns);
    cw_session_forget_unproved(s);
    if (s->state == CW_STATE_UP)
        on_time_up(s, now_ns);
    else
        cw_handshake_start(&s->handshake, now_ns);
}

static uint64_t path_deadline_ns(const struct cw_path *p)
{
    uint64_t deadline_ns = CW_MIN(cw_session_output_ns(p), cw_path_deadline_ns(p));
    if (p->live->last_until_ns > 0)
        deadline_ns = CW_MIN(deadline_ns, p->live->last_until_ns);
    deadline_ns = CW_MIN(deadline_ns, cw_address_deadline_ns(p));
    if (p->state != CW_PATH_UP)
        return deadline_ns;
    deadline_ns = CW_MIN(deadline_ns, CW_MIN(p->loss.detect_ns, probe_ns(p)));
    return CW_MIN(deadline_ns, CW_MIN(cw_session_fec_deadline_ns(p), p->ping_ns));
}

uint64_t cw_session_deadline_ns(const struct cw_session *s)
{
    uint64_t deadline_ns = cw_handshake_deadline_ns(&s->handshake);
    for (uint32_t i = 0; i < s->config.path_count; i++)
        deadline_ns = CW_MIN(deadline_ns, path_deadline_ns(&s->paths[i]));
    if (s->state != CW_STATE_UP)
        return deadline_ns;
    return CW_MIN(deadline_ns, CW_MIN(silence_ns(s), s->heard_ns + s->config.idle_timeout_ns));
}
