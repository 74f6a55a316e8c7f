/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/session_address.h"

#include "base/numbers.h"
#include "transport/session_internal.h"

#define WAIT_PROBES     2u
#define WAIT_NS         (50 * CW_MS)
#define ASK_FIRST_NS    (50 * CW_MS)
#define ASK_MOST_NS     (400 * CW_MS)
#define ATTEMPT_NS      (2 * CW_SECOND)
#define ATTEMPT_EACH_NS (100 * CW_MS)
#define VALUE_MASK      ((1ull << (8 * CW_FRAME_VALUE_BYTES)) - 1)
#define DATAGRAM_BYTES  (CW_PACKET_OVERHEAD + CW_FRAME_CHALLENGE_SIZE)
static_assert(CW_FRAME_CHALLENGE_SIZE <= CW_FRAME_PING_SIZE, "the smallest packet lets one be sent");

void cw_address_reset(struct cw_address *a)
{
    *a = (struct cw_address){.attempt = a->attempt, .came_from = a->came_from, .goes_to = a->goes_to};
}

void cw_address_end_attempt(struct cw_address *a)
{
    a->state = CW_ADDRESS_SETTLED;
    a->asks_candidate = a->asks_present = false;
    a->owed_count = 0;
}

/* The candidate is none any more. */
static void owe_present_alone(struct cw_address *a)
{
    uint8_t count = 0;
    for (uint8_t i = 0; i < a->owed_count; i++)
        if (a->owed[i].to == a->present)
            a->owed[count++] = a->owed[i];
    a->owed_count = count;
}

static void settle(struct cw_path *p, uint32_t counter)
{
    p->address.state = CW_ADDRESS_SETTLED;
    p->address.asks_candidate = p->address.asks_present = false;
    owe_present_alone(&p->address);
    cw_path_count(p, counter);
}

static void begin(struct cw_path *p, uint64_t number, uint64_t bytes, uint64_t now_ns)
{
    struct cw_address *a = &p->address;
    a->state = CW_ADDRESS_ASKING;
    a->candidate = a->came_from;
    a->number = number;
    a->attempt++;
    a->received = bytes;
    a->sent = 0;
    a->is_answered = false;
    a->asks_candidate = a->asks_present = true;
    owe_present_alone(a);
    a->began_ns = now_ns;
    a->ask_each_ns = ASK_FIRST_NS;
    a->ask_ns = now_ns + a->ask_each_ns;
    a->earliest_ns = now_ns + ATTEMPT_EACH_NS;
    cw_path_count(p, CW_SESSION_ADDRESS_ASKED);
}

void cw_address_on_packet(struct cw_path *p, uint64_t number, bool is_newest, uint64_t bytes, uint64_t now_ns)
{
    struct cw_address *a = &p->address;
    if (a->came_from == a->present) {
        if (a->state == CW_ADDRESS_ASKING && number > a->number)
            settle(p, CW_SESSION_ADDRESS_KEPT);
        return;
    }
    if (a->state == CW_ADDRESS_ASKING && a->came_from == a->candidate) {
        a->received += bytes;
        return;
    }
    bool is_busy = a->state == CW_ADDRESS_ASKING && a->is_answered;
    if (is_newest && !is_busy && now_ns >= a->earliest_ns)
        begin(p, number, bytes, now_ns);
}

bool cw_address_minds_old(const struct cw_path *p, uint64_t number)
{
    const struct cw_address *a = &p->address;
    return a->state == CW_ADDRESS_ASKING && a->came_from == a->present && number >= a->number;
}

void cw_address_on_old(struct cw_path *p)
{
    settle(p, CW_SESSION_ADDRESS_KEPT);
}

static bool is_known(const struct cw_address *a, uint64_t token)
{
    return token == a->present || (a->state == CW_ADDRESS_ASKING && token == a->candidate);
}

void cw_address_on_challenge(struct cw_path *p, uint64_t value)
{
    struct cw_address *a = &p->address;
    if (!is_known(a, a->came_from))
        return;
    if (a->owed_count == CW_ADDRESS_OWED) /* it will be asked again */
        a->owed_count--;
    a->owed[a->owed_count++] = (struct cw_address_response){.value = value, .to = a->came_from};
}

/* Even: to the candidate; odd: to the one in use. */
static uint64_t value_for(const struct cw_address *a, bool is_candidate)
{
    return (2 * a->attempt + !is_candidate) & VALUE_MASK;
}

void cw_address_on_response(struct cw_path *p, uint64_t value)
{
    struct cw_address *a = &p->address;
    if (a->state == CW_ADDRESS_ASKING && a->came_from == a->candidate && value == value_for(a, true))
        a->is_answered = true;
}

static uint64_t decision_ns(const struct cw_path *p)
{
    return p->address.began_ns + WAIT_NS + WAIT_PROBES * cw_loss_probe_wait_ns(&p->loss);
}

static uint64_t end_ns(const struct cw_path *p)
{
    return CW_MAX(p->address.began_ns + ATTEMPT_NS, decision_ns(p) + 1);
}

void cw_address_on_time(struct cw_path *p, uint64_t now_ns)
{
    struct cw_address *a = &p->address;
    if (a->state != CW_ADDRESS_ASKING)
        return;
    if (a->is_answered && now_ns >= decision_ns(p)) {
        a->present = a->candidate;
        a->has_moved = true;
        settle(p, CW_SESSION_ADDRESS_MOVED);
        cw_path_on_moved(p, now_ns);
        return;
    }
    if (now_ns >= end_ns(p)) {
        settle(p, CW_SESSION_ADDRESS_KEPT);
        return;
    }
    if (now_ns < a->ask_ns)
        return;
    a->asks_candidate = !a->is_answered;
    a->asks_present = true;
    a->ask_each_ns = CW_MIN(2 * a->ask_each_ns, ASK_MOST_NS);
    a->ask_ns = now_ns + a->ask_each_ns;
}

uint64_t cw_address_deadline_ns(const struct cw_path *p)
{
    const struct cw_address *a = &p->address;
    if (a->state != CW_ADDRESS_ASKING)
        return CW_NEVER;
    return CW_MIN(a->ask_ns, a->is_answered ? decision_ns(p) : end_ns(p));
}

static bool may_go_to(const struct cw_address *a, uint64_t token)
{
    return token == a->present || a->sent + DATAGRAM_BYTES <= a->received;
}

static bool response_may_leave(const struct cw_address *a)
{
    return a->owed_count > 0 && may_go_to(a, a->owed[0].to);
}

bool cw_address_has_output(const struct cw_path *p)
{
    const struct cw_address *a = &p->address;
    return response_may_leave(a) || a->asks_present || (a->asks_candidate && may_go_to(a, a->candidate));
}

uint64_t cw_address_build(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_address *a = &p->address;
    struct cw_packet packet = {.type = CW_PACKET_CONTROL};
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    size_t length;
    if (response_may_leave(a)) {
        length = cw_frame_write_value(payload, CW_FRAME_RESPONSE, a->owed[0].value);
        a->goes_to = a->owed[0].to;
        a->owed[0] = a->owed[--a->owed_count];
    } else {
        bool is_candidate = a->asks_candidate && may_go_to(a, a->candidate);
        CW_ASSERT(is_candidate || a->asks_present);
        length = cw_frame_write_value(payload, CW_FRAME_CHALLENGE, value_for(a, is_candidate));
        a->goes_to = is_candidate ? a->candidate : a->present;
        *(is_candidate ? &a->asks_candidate : &a->asks_present) = false;
    }
    if (a->goes_to != a->present)
        a->sent += length + CW_PACKET_OVERHEAD;
    cw_inflight_skip(&p->inflight);
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}
