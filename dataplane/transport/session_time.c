/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What acks and time do to the packets that are out, and the one deadline that a shell has to know.
 *
 * Timers: handshake resend and give-up; ack; credit; loss; probe; ping; silence (initiator: a new handshake
 * beside the live session once half the idle time-out has passed unheard); idle; pacer.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

void cw_session_forget_sent(struct cw_session *s, struct cw_sent *sent)
{
    cw_session_fec_let_go(s, sent, false);
    cw_inflight_drop(&s->inflight, sent);
}

/* What the packet carried has to be said again. Without counting: a probe is not a loss, and waits not. */
static void give_up(struct cw_session *s, struct cw_sent *sent, bool is_probe, uint64_t now_ns)
{
    cw_session_mtu_on_lost(s, sent, now_ns);
    if (sent->kind == CW_SENT_DATA && (is_probe || !cw_session_fec_holds(s, sent, now_ns)))
        cw_send_on_lost(&s->send, sent->reference, sent->fragment);
    if (sent->kind == CW_SENT_CONTROL && sent->fragment & CW_SENT_HAD_CREDIT) {
        cw_receive_credit_lost(&s->receive);
        s->credit_ns = now_ns;
    }
    cw_inflight_lose(&s->inflight, sent, now_ns);
    if (s->inflight.lost.count > CW_LOST_REMEMBERED)
        cw_session_forget_sent(s, cw_inflight_oldest_lost(&s->inflight));
}

void cw_session_lose(struct cw_session *s, struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_MTU) {
        give_up(s, sent, false, now_ns);
        return;
    }
    cw_session_count(s, CW_SESSION_LOST);
    cw_meter_add(&s->packets_lost, 1, now_ns);
    cw_loss_on_lost(&s->loss, sent->number, s->inflight.next_number);
    cw_rate_on_lost(&s->rate, sent->number, sent->bytes, now_ns);
    cw_session_fec_on_lost(s, sent->number, now_ns);
    give_up(s, sent, false, now_ns);
}

void cw_session_detect_losses(struct cw_session *s, uint64_t now_ns)
{
    uint64_t delay_ns = cw_loss_delay_ns(&s->loss);
    s->loss.detect_ns = CW_NEVER;
    for (struct cw_sent *sent; (sent = cw_inflight_oldest(&s->inflight)) != NULL;) {
        if (sent->number >= s->loss.largest_acked)
            return;
        if (sent->sent_ns + delay_ns > now_ns) {
            s->loss.detect_ns = sent->sent_ns + delay_ns;
            return;
        }
        cw_session_lose(s, sent, now_ns);
    }
}

static void take_acked(struct cw_session *s, struct cw_sent *sent, uint64_t now_ns)
{
    cw_session_mtu_on_acked(s, sent, now_ns);
    if (sent->kind == CW_SENT_MTU) {
        cw_inflight_drop(&s->inflight, sent);
        return;
    }
    if (!sent->is_recovered) /* the path did not deliver it, and its loss was one */
        cw_rate_on_acked(&s->rate, sent->number, sent->bytes, sent->state == CW_SENT_LOST, now_ns);
    cw_session_fec_let_go(s, sent, true);
    if (sent->kind == CW_SENT_DATA) {
        struct cw_message_out *message = cw_send_on_acked(&s->send, sent->reference, sent->fragment);
        if (message)
            cw_session_push_sent(s, message, true);
    } else if (sent->kind == CW_SENT_CONTROL && sent->reference > 0) {
        cw_ack_ranges_forget(&s->acks, sent->reference - 1);
    }
    cw_inflight_drop(&s->inflight, sent);
}

static bool covers(const struct cw_ack *ack, uint64_t number)
{
    for (uint32_t i = 0; i < ack->range_count; i++)
        if (number >= ack->ranges[i].first)
            return number <= ack->ranges[i].last;
    return false;
}

/* Losses that were none: the packet was only late. At most CW_LOST_REMEMBERED are looked at. */
static void take_spurious(struct cw_session *s, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_sent *next;
    for (struct cw_sent *sent = cw_inflight_oldest_lost(&s->inflight); sent; sent = next) {
        next = cw_inflight_after(&s->inflight, sent);
        if (!covers(ack, sent->number))
            continue;
        if (sent->kind == CW_SENT_MTU) {
            cw_session_mtu_on_acked(s, sent, now_ns);
            cw_inflight_drop(&s->inflight, sent);
            continue;
        }
        if (sent->is_recovered) {
            cw_session_count(s, CW_SESSION_LOSSES_RECOVERED);
        } else {
            cw_session_count(s, CW_SESSION_SPURIOUS);
            cw_loss_on_spurious(&s->loss);
        }
        take_acked(s, sent, now_ns);
    }
}

/* The oldest outstanding and the lowest range go upwards together: each is looked at once. */
static struct cw_sent take_outstanding(struct cw_session *s, const struct cw_ack *ack, uint64_t now_ns)
{
    struct cw_sent *next, newest = {.number = 0};
    uint32_t i = ack->range_count - 1;
    for (struct cw_sent *sent = cw_inflight_oldest(&s->inflight); sent; sent = next) {
        next = cw_inflight_after(&s->inflight, sent);
        while (i > 0 && ack->ranges[i].last < sent->number)
            i--;
        if (sent->number > ack->ranges[i].last)
            break;
        if (sent->number < ack->ranges[i].first)
            continue;
        newest = *sent;
        take_acked(s, sent, now_ns);
    }
    return newest;
}

void cw_session_on_ack(struct cw_session *s, const struct cw_ack *ack, uint64_t now_ns)
{
    uint64_t largest = ack->ranges[0].last;
    cw_rate_ack_begin(&s->rate, now_ns);
    take_spurious(s, ack, now_ns);
    struct cw_sent newest = take_outstanding(s, ack, now_ns);
    cw_session_rate_marks(s, ack, now_ns);
    s->loss.largest_acked = CW_MAX(s->loss.largest_acked, largest);
    if (newest.number > 0) {
        cw_loss_on_acked(&s->loss);
        s->probes_left = 0;
    }
    if (newest.number == largest)
        cw_loss_on_sample(&s->loss, now_ns - newest.sent_ns, ack->delay_ns);
    cw_session_detect_losses(s, now_ns);
    cw_rate_ack_end(&s->rate, s->loss.rtt_ns_smoothed, now_ns);
    cw_session_rate_obey(s);
}

/* Nothing was acknowledged for long: send the oldest again, and a PING, which asks for an ack in any case. */
static void probe(struct cw_session *s, uint64_t now_ns)
{
    cw_session_count(s, CW_SESSION_PROBES);
    for (uint32_t i = 0; i < CW_PROBE_PACKETS; i++) {
        struct cw_sent *sent = cw_inflight_oldest(&s->inflight);
        if (!sent)
            break;
        if (sent->kind != CW_SENT_MTU)
            cw_rate_on_given_up(&s->rate, sent->bytes);
        give_up(s, sent, true, now_ns);
    }
    s->ping_due = true;
    s->probes_left = CW_PROBE_PACKETS;
    cw_loss_on_probe(&s->loss, now_ns);
    cw_rate_on_probe_timeout(&s->rate, s->loss.probe_count, now_ns);
    cw_session_rate_obey(s);
}

static uint64_t silence_ns(const struct cw_session *s)
{
    const struct cw_handshake *h = &s->handshake;
    if (!h->is_initiator || h->state != CW_HANDSHAKE_RESTING || h->wanted)
        return CW_NEVER;
    return s->heard_ns + s->config.idle_timeout_ns / 2;
}

/* An MTU probe alone needs none: the PING behind it was acknowledged, or is not sent yet. */
static uint64_t probe_ns(const struct cw_session *s)
{
    const struct cw_sent *oldest = cw_inflight_oldest(&s->inflight);
    if (!oldest || (oldest->kind == CW_SENT_MTU && s->inflight.outstanding.count == 1))
        return CW_NEVER;
    return cw_loss_probe_ns(&s->loss);
}

static void on_time_up(struct cw_session *s, uint64_t now_ns)
{
    if (now_ns >= s->heard_ns + s->config.idle_timeout_ns) {
        cw_session_go_down(s, CW_DOWN_IDLE, now_ns);
        return;
    }
    if (now_ns >= s->loss.detect_ns) {
        cw_rate_ack_begin(&s->rate, now_ns);
        cw_session_detect_losses(s, now_ns);
        cw_session_rate_obey(s);
    }
    cw_session_fec_on_time(s, now_ns);
    if (now_ns >= probe_ns(s))
        probe(s, now_ns);
    if (now_ns >= s->ping_ns) {
        s->ping_due = true;
        s->ping_ns = now_ns + s->config.idle_timeout_ns / 4;
    }
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
static uint64_t output_ns(const struct cw_session *s)
{
    uint64_t due_ns = CW_NEVER;
    if (cw_handshake_has_output(&s->handshake) || s->close_due)
        due_ns = 0;
    if (s->state == CW_STATE_UP) {
        due_ns = CW_MIN(due_ns, CW_MIN(s->acks.deadline_ns, s->credit_ns));
        if (s->ping_due)
            due_ns = 0;
        else if (cw_session_data_may_leave(s) || cw_session_fec_has_output(s))
            due_ns = CW_MIN(due_ns, cw_session_rate_next_ns(s));
        due_ns = CW_MIN(due_ns, cw_session_mtu_deadline_ns(s));
    }
    if (due_ns == CW_NEVER)
        return CW_NEVER;
    return CW_MAX(due_ns, CW_MAX(cw_pacer_next_ns(&s->pacer), s->now_ns));
}

uint64_t cw_session_deadline_ns(const struct cw_session *s)
{
    uint64_t deadline_ns = CW_MIN(output_ns(s), cw_handshake_deadline_ns(&s->handshake));
    if (s->state != CW_STATE_UP)
        return deadline_ns;
    deadline_ns = CW_MIN(deadline_ns, CW_MIN(s->loss.detect_ns, probe_ns(s)));
    deadline_ns = CW_MIN(deadline_ns, cw_session_fec_deadline_ns(s));
    deadline_ns = CW_MIN(deadline_ns, CW_MIN(s->ping_ns, silence_ns(s)));
    return CW_MIN(deadline_ns, s->heard_ns + s->config.idle_timeout_ns);
}
