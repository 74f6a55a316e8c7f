/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a path within a session.
 *
 *      UNUSED --the session is up, by a packet of this path--> UP
 *      UNUSED --the session is up, and both sides have it--> PROBING --a PING is acknowledged--> UP
 *      UP --probe time-outs, silence--> DOWN --a PING is acknowledged, and it was held long enough--> UP
 *      any --the session is down--> UNUSED
 *
 * A path that is up carries data. While others are up too, silence is judged sooner than on a single path:
 * probe time-outs do not double and do not begin anew with each packet sent, and a path with one behind it
 * gets no data. It falls after CW_PATH_STRIKES of them in a row, each of which counts only if another path
 * was heard meanwhile: a peer that sleeps brings no path down. What it had in flight is sent again on others
 * at the first of them, so that nobody waits for the verdict. The last path that is up stays so until the
 * session ends.
 *
 * Each fall costs: before it carries data again a path is held back for twice as long as the last time; half
 * of that is forgiven for each CW_PATH_QUIET_NS that it was up. So one that comes and goes harms no other.
 *
 * A path that is not up sends PINGs and nothing else. Acks of what came on it leave on another path; an ack
 * names its path. So a path of which one direction is dead still serves the other.
 */
#include "transport/session.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

static const struct cw_fsm_row path_rows[] = {
    [CW_PATH_UNUSED] = {"unused", CW_TO(CW_PATH_PROBING) | CW_TO(CW_PATH_UP)},
    [CW_PATH_PROBING] = {"probing", CW_TO(CW_PATH_UP) | CW_TO(CW_PATH_UNUSED)},
    [CW_PATH_UP] = {"up", CW_TO(CW_PATH_DOWN) | CW_TO(CW_PATH_UNUSED)},
    [CW_PATH_DOWN] = {"down", CW_TO(CW_PATH_UP) | CW_TO(CW_PATH_UNUSED)},
};
static_assert(CW_COUNT_OF(path_rows) == CW_PATH_STATE_COUNT, "a row a state");

void cw_path_fsm_init(struct cw_session *s)
{
    cw_fsm_init(&s->path_fsm, "path", path_rows, CW_COUNT_OF(path_rows));
    for (uint32_t i = 0; i < s->config.path_count; i++)
        cw_fsm_enter(&s->path_fsm, &s->paths[i].state, CW_PATH_UNUSED);
}

static void move(struct cw_path *p, uint8_t to)
{
    p->session->up_count += to == CW_PATH_UP;
    p->session->up_count -= p->state == CW_PATH_UP;
    cw_fsm_move(&p->session->path_fsm, &p->state, to);
}

static void come_up(struct cw_path *p, uint64_t now_ns)
{
    move(p, CW_PATH_UP);
    p->up_ns = p->silent_ns = now_ns;
    p->strikes = 0;
    p->ping_ns = now_ns + p->session->config.idle_timeout_ns / 4;
    p->copies_head = p->copies_tail;
    cw_schedule_learn(p);
    cw_path_count(p, CW_SESSION_PATH_UPS);
}

static void ping_from(struct cw_path *p, uint64_t first_ns)
{
    p->probe_each_ns = CW_PATH_PING_NS_FIRST;
    p->probe_at_ns = first_ns;
}

void cw_path_open(struct cw_path *p, bool is_first, uint32_t unit_bytes, uint64_t now_ns)
{
    cw_session_rate_start(p, p->live->datagram_bytes, now_ns);
    cw_session_mtu_open(p, unit_bytes, now_ns);
    cw_session_fec_open(p, p->live);
    p->heard_ns = now_ns;
    p->hold_ns = p->hold_end_ns = 0;
    if (is_first) {
        come_up(p, now_ns);
        return;
    }
    move(p, CW_PATH_PROBING);
    ping_from(p, now_ns);
}

void cw_path_close(struct cw_path *p, uint64_t now_ns)
{
    if (p->state != CW_PATH_UNUSED)
        move(p, CW_PATH_UNUSED);
    cw_inflight_reset(&p->inflight);
    cw_ack_ranges_reset(&p->acks);
    cw_loss_reset(&p->loss);
    cw_session_rate_start(p, p->config->datagram_bytes_max, now_ns);
    cw_session_fec_close(p);
    cw_address_end_attempt(&p->address);
    p->ping_due = false;
    p->is_told_up = false;
}

/* Nothing of it is out any more, and rate control begins anew. */
static void forget_all(struct cw_path *p, uint64_t now_ns)
{
    for (struct cw_sent sent; cw_inflight_oldest(&p->inflight, &sent);)
        cw_inflight_drop(&p->inflight, &sent);
    for (struct cw_lost *lost; (lost = cw_inflight_oldest_lost(&p->inflight)) != NULL;)
        cw_session_forget_lost(p, lost);
    cw_session_rate_start(p, p->live->datagram_bytes, now_ns);
}

static void lengthen_hold(struct cw_path *p, uint64_t now_ns)
{
    uint64_t forgiven = (now_ns - p->up_ns) / CW_PATH_QUIET_NS;
    uint64_t kept_ns = forgiven < 64 ? p->hold_ns >> forgiven : 0;
    p->hold_ns = CW_MIN(CW_MAX(2 * kept_ns, CW_PATH_HOLD_NS_MIN), CW_PATH_HOLD_NS_MAX);
    p->hold_end_ns = now_ns + p->hold_ns;
}

/* What is out is lost, and what was known of the way is not true any more. */
static void lose_all(struct cw_path *p, uint64_t now_ns)
{
    for (struct cw_sent sent; cw_inflight_oldest(&p->inflight, &sent);) {
        cw_path_count(p, CW_SESSION_LOST);
        cw_meter_add(&p->packets_lost, 1, now_ns);
        cw_session_give_back(p, &sent, now_ns);
        cw_inflight_drop(&p->inflight, &sent);
    }
    forget_all(p, now_ns);
    cw_loss_restart(&p->loss);
    cw_session_fec_abandon(p);
}

void cw_path_on_moved(struct cw_path *p, uint64_t now_ns)
{
    if (p->state != CW_PATH_UP) {
        ping_from(p, now_ns);
        return;
    }
    lose_all(p, now_ns);
    cw_session_mtu_open(p, p->session->send.unit_bytes, now_ns);
    p->silent_ns = now_ns;
    p->strikes = 0;
    p->ping_due = true;
    cw_schedule_learn(p);
}

static void fall(struct cw_path *p, enum cw_path_down why, uint64_t now_ns)
{
    CW_ASSERT(p->session->up_count > 1);
    move(p, CW_PATH_DOWN);
    p->down_why = (uint8_t)why;
    cw_path_count(p, CW_SESSION_PATH_DOWNS);
    lose_all(p, now_ns);
    p->ping_due = false;
    lengthen_hold(p, now_ns);
    ping_from(p, now_ns + CW_PATH_PING_NS_FIRST);
}

static bool other_was_heard(const struct cw_path *p, uint64_t since_ns)
{
    const struct cw_session *s = p->session;
    for (uint32_t i = 0; i < s->config.path_count; i++)
        if (&s->paths[i] != p && s->paths[i].state == CW_PATH_UP && s->paths[i].heard_ns > since_ns)
            return true;
    return false;
}

/* Whether it is the path or the peer that is silent, the others find out; those that wait for an ack anyway
 * without being asked. */
static void ask_others(const struct cw_path *p)
{
    struct cw_session *s = p->session;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        struct cw_path *q = &s->paths[i];
        if (q != p && q->state == CW_PATH_UP && q->inflight.outstanding_count == 0)
            q->ping_due = true;
    }
}

void cw_path_begin_to_wait(struct cw_path *p, uint64_t now_ns)
{
    struct cw_sent oldest;
    if (p->inflight.outstanding_count > 2 || !cw_inflight_oldest(&p->inflight, &oldest))
        return;
    if (p->inflight.outstanding_count == 1u + (oldest.kind == CW_SENT_MTU))
        p->silent_ns = now_ns;
}

void cw_path_on_acked(struct cw_path *p, uint64_t now_ns)
{
    p->silent_ns = now_ns;
    p->strikes = 0;
    cw_path_on_heard(p, now_ns);
    cw_schedule_learn(p);
    if (p->state == CW_PATH_UP || now_ns < p->hold_end_ns)
        return;
    forget_all(p, now_ns);
    cw_session_mtu_open(p, p->session->send.unit_bytes, now_ns);
    come_up(p, now_ns);
}

bool cw_path_on_probe(struct cw_path *p, uint64_t now_ns)
{
    uint64_t since_ns = p->silent_ns;
    p->silent_ns = now_ns;
    if (p->session->up_count == 1)
        return false;
    p->strikes += other_was_heard(p, since_ns);
    if (p->strikes < CW_PATH_STRIKES) {
        ask_others(p);
        return false;
    }
    fall(p, CW_PATH_DOWN_PROBES, now_ns);
    return true;
}

uint32_t cw_path_resends(const struct cw_path *p)
{
    if (!cw_path_has_good_other(p))
        return CW_PROBE_PACKETS;
    return p->strikes > 0 ? UINT32_MAX : CW_PATH_RESENDS;
}

static bool is_up_among_others(const struct cw_path *p)
{
    return p->state == CW_PATH_UP && p->session->up_count > 1;
}

void cw_path_on_time(struct cw_path *p, uint64_t now_ns)
{
    if (is_up_among_others(p)) {
        if (now_ns >= p->heard_ns + p->session->config.idle_timeout_ns)
            fall(p, CW_PATH_DOWN_SILENT, now_ns);
        return;
    }
    if (p->state != CW_PATH_PROBING && p->state != CW_PATH_DOWN)
        return;
    if (now_ns < p->probe_at_ns)
        return;
    for (struct cw_sent sent;
         p->inflight.outstanding_count >= CW_PATH_PINGS && cw_inflight_oldest(&p->inflight, &sent);)
        cw_inflight_drop(&p->inflight, &sent);
    p->ping_due = true;
    p->probe_at_ns = now_ns + p->probe_each_ns;
    p->probe_each_ns = CW_MIN(2 * p->probe_each_ns, CW_PATH_PING_NS_MAX);
}

uint64_t cw_path_deadline_ns(const struct cw_path *p)
{
    if (is_up_among_others(p))
        return p->heard_ns + p->session->config.idle_timeout_ns;
    return p->state == CW_PATH_PROBING || p->state == CW_PATH_DOWN ? p->probe_at_ns : CW_NEVER;
}

uint64_t cw_path_probe_ns(const struct cw_path *p)
{
    if (!is_up_among_others(p))
        return cw_loss_probe_ns(&p->loss);
    uint32_t beyond = p->loss.probe_count - CW_MIN(p->loss.probe_count, CW_PATH_STRIKES);
    uint64_t wait_ns = cw_loss_probe_wait_ns(&p->loss), doubled_ns = wait_ns << CW_MIN(beyond, 10u);
    return p->silent_ns + CW_MIN(doubled_ns, CW_MAX(wait_ns, CW_PROBE_NS_MAX));
}

bool cw_path_has_good_other(const struct cw_path *p)
{
    const struct cw_session *s = p->session;
    for (uint32_t i = 0; i < s->config.path_count; i++)
        if (&s->paths[i] != p && cw_path_is_good(&s->paths[i]))
            return true;
    return false;
}

static bool is_better(const struct cw_path *p, const struct cw_path *than)
{
    if (cw_path_is_good(p) != cw_path_is_good(than))
        return cw_path_is_good(p);
    return p->loss.rtt_ns_smoothed < than->loss.rtt_ns_smoothed;
}

struct cw_path *cw_path_best(const struct cw_session *s)
{
    if (s->config.path_count == 1)
        return (struct cw_path *)&s->paths[0];
    const struct cw_path *best = NULL;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        const struct cw_path *p = &s->paths[i];
        if (p->state == CW_PATH_UP && (!best || is_better(p, best)))
            best = p;
    }
    CW_ASSERT(best && "one is up while the session is");
    return (struct cw_path *)best;
}
