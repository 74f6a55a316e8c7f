/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What acks and time do to the packets that are out, and the one deadline that a shell has to know.
 *
 * Timers, of the session and of each path: handshake resend and give-up; ack; credit; loss; probe; ping;
 * silence (initiator: a new handshake beside the live session once half the idle time-out has passed
 * unheard); idle; pacer.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

void cw_session_forget_sent(struct cw_path *p, struct cw_sent *sent)
{
    cw_session_fec_let_go(p, sent, false);
    cw_inflight_drop(&p->inflight, sent);
}

void cw_session_give_back(struct cw_path *p, struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_DATA)
        cw_send_on_lost(&p->session->send, sent->reference, sent->fragment, (uint8_t)p->index);
    if (sent->kind == CW_SENT_CONTROL && sent->fragment & CW_SENT_HAD_CREDIT) {
        cw_receive_credit_lost(&p->session->receive);
        p->session->credit_ns = now_ns;
    }
}

/* Without counting: a probe is not a loss, and waits not. */
static void give_up(struct cw_path *p, struct cw_sent *sent, bool is_probe, uint64_t now_ns)
{
    cw_session_mtu_on_lost(p, sent, now_ns);
    if (is_probe || sent->kind != CW_SENT_DATA || !cw_session_fec_holds(p, sent, now_ns))
        cw_session_give_back(p, sent, now_ns);
    cw_inflight_lose(&p->inflight, sent, now_ns);
    if (p->inflight.lost.count > CW_LOST_REMEMBERED)
        cw_session_forget_sent(p, cw_inflight_oldest_lost(&p->inflight));
}

void cw_session_lose(struct cw_path *p, struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_MTU) {
        give_up(p, sent, false, now_ns);
        return;
    }
    cw_path_count(p, CW_SESSION_LOST);
    cw_meter_add(&p->packets_lost, 1, now_ns);
    cw_loss_on_lost(&p->loss, sent->number, p->inflight.next_number);
    cw_rate_on_lost(&p->rate, sent->number, sent->bytes, now_ns);
    cw_session_fec_on_lost(p, sent->number, now_ns);
    give_up(p, sent, false, now_ns);
}

void cw_session_detect_losses(struct cw_path *p, uint64_t now_ns)
{
    uint64_t delay_ns = cw_loss_delay_ns(&p->loss);
    p->loss.detect_ns = CW_NEVER;
    for (struct cw_sent *sent; (sent = cw_inflight_oldest(&p->inflight)) != NULL;) {
        if (sent->number >= p->loss.largest_acked)
            return;
        if (sent->sent_ns + delay_ns > now_ns) {
            p->loss.detect_ns = sent->sent_ns + delay_ns;
            return;
        }
        cw_session_lose(p, sent, now_ns);
    }
}

static void take_acked(struct cw_path *p, struct cw_sent *sent, uint64_t now_ns)
{
    cw_session_mtu_on_acked(p, sent, now_ns);
    if (sent->kind == CW_SENT_MTU) {
        cw_inflight_drop(&p->inflight, sent);
        return;
    }
    if (!sent->is_recovered) /* the path did not deliver it, and its loss was one */
        cw_rate_on_acked(&p->rate, sent->number, sent->bytes, sent->state == CW_SENT_LOST, now_ns);
    cw_session_fec_let_go(p, sent, true);
    if (sent->kind == CW_SENT_DATA || sent->kind == CW_SENT_COPY) {
        struct cw_message_out *message = cw_send_on_acked(&p->session->send, sent->reference, sent->fragment);
        if (message)
            cw_session_push_sent(p->session, message, true);
    } else if (sent->kind == CW_SENT_CONTROL && sent->reference > 0) {
        cw_ack_ranges_forget(&p->acks, sent->reference - 1);
    }
    cw_inflight_drop(&p->inflight, sent);
}

static bool covers(const struct cw_ack *ack, uint64_t number)
{
    for (uint32_t i = 0; i < ack->range_count; i++)
        if (number >= ack->ranges[i].first)
            return number <= ack->ranges[i].last;
    return false;
}

/* Losses that were none: the packet was only late. At most CW_LOST_REMEMBERED are looked at. */
static void take_spurious(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_sent *next;
    for (struct cw_sent *sent = cw_inflight_oldest_lost(&p->inflight); sent; sent = next) {
        next = cw_inflight_after(&p->inflight, sent);
        if (!covers(ack, sent->number))
            continue;
        if (sent->kind == CW_SENT_MTU) {
            cw_session_mtu_on_acked(p, sent, now_ns);
            cw_inflight_drop(&p->inflight, sent);
            continue;
        }
        if (sent->is_recovered) {
            cw_path_count(p, CW_SESSION_LOSSES_RECOVERED);
        } else {
            cw_path_count(p, CW_SESSION_SPURIOUS);
            cw_loss_on_spurious(&p->loss);
        }
        take_acked(p, sent, now_ns);
    }
}

/* The oldest outstanding and the lowest range go upwards together: each is looked at once. */
static struct cw_sent take_outstanding(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_sent *next, newest = {.number = 0};
    uint32_t i = ack->range_count - 1;
    for (struct cw_sent *sent = cw_inflight_oldest(&p->inflight); sent; sent = next) {
        next = cw_inflight_after(&p->inflight, sent);
        while (i > 0 && ack->ranges[i].last < sent->number)
            i--;
        if (sent->number > ack->ranges[i].last)
            break;
        if (sent->number < ack->ranges[i].first)
            continue;
        newest = *sent;
        take_acked(p, sent, now_ns);
    }
    return newest;
}

void cw_session_on_ack(struct cw_path *p, const struct cw_ack *ack, uint64_t now_ns)
{
    uint64_t largest = ack->ranges[0].last;
    cw_rate_ack_begin(&p->rate, now_ns);
    take_spurious(p, ack, now_ns);
    struct cw_sent newest = take_outstanding(p, ack, now_ns);
    cw_session_rate_marks(p, ack, now_ns);
    p->loss.largest_acked = CW_MAX(p->loss.largest_acked, largest);
    if (newest.number > 0) {
        cw_loss_on_acked(&p->loss);
        p->probes_left = 0;
    }
    if (newest.number == largest)
        cw_loss_on_sample(&p->loss, now_ns - newest.sent_ns, ack->delay_ns);
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
        struct cw_sent *sent = cw_inflight_oldest(&p->inflight);
        if (!sent)
            break;
        if (sent->kind != CW_SENT_MTU)
            cw_rate_on_given_up(&p->rate, sent->bytes);
        give_up(p, sent, true, now_ns);
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

/* An MTU probe alone needs none: the PING behind it was acknowledged, or is not sent yet. */
static uint64_t probe_ns(const struct cw_path *p)
{
    const struct cw_sent *oldest = cw_inflight_oldest(&p->inflight);
    if (p->state != CW_PATH_UP || !oldest ||
        (oldest->kind == CW_SENT_MTU && p->inflight.outstanding.count == 1))
        return CW_NEVER;
    return cw_path_probe_ns(p);
}

static void path_on_time(struct cw_path *p, uint64_t now_ns)
{
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
    if (s->state == CW_STATE_UP)
        on_time_up(s, now_ns);
    else
        cw_handshake_start(&s->handshake, now_ns);
}

/* What a transmit would send is due when it is due and the pacer lets it. */
static uint64_t output_ns(const struct cw_path *p)
{
    const struct cw_session *s = p->session;
    uint64_t due_ns = CW_NEVER;
    bool has_room = cw_session_has_room_for_control(p);
    if (p->state != CW_PATH_UNUSED)
        due_ns = p->ping_due && has_room ? 0 : cw_session_acks_due_ns(p);
    if (cw_handshake_has_output(&s->handshake, p->index) || p->close_due)
        due_ns = 0;
    if (p->state == CW_PATH_UP && due_ns > s->now_ns) {
        if (cw_path_best(s) == p && has_room)
            due_ns = CW_MIN(due_ns, s->credit_ns);
        uint64_t lets_ns = CW_MAX(cw_session_rate_next_ns(p), CW_MAX(cw_pacer_next_ns(&p->pacer), s->now_ns));
        if (cw_session_data_may_leave(p, lets_ns) || cw_session_fec_has_output(p))
            due_ns = CW_MIN(due_ns, lets_ns);
        due_ns = CW_MIN(due_ns, cw_session_mtu_deadline_ns(p));
    }
    if (due_ns == CW_NEVER)
        return CW_NEVER;
    return CW_MAX(due_ns, CW_MAX(cw_pacer_next_ns(&p->pacer), s->now_ns));
}

static uint64_t path_deadline_ns(const struct cw_path *p)
{
    uint64_t deadline_ns = CW_MIN(output_ns(p), cw_path_deadline_ns(p));
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
