/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast a path may be sent on, and how much may be on its way: one controller a path.
 *
 *   fixed  the configured rate, for a leased circuit; and a circuit breaker (rate_fixed.c)
 *   bbr    BBR version 3 as in draft-ietf-ccwg-bbr-06 (rate_bbr.c)
 *   cubic  RFC 9438 with the slow start of RFC 9406 (rate_cubic.c)
 *
 * A controller answers two questions: the pacing rate in bytes per second and the window, the most bytes that
 * may be in flight. It learns from what is sent, acknowledged, lost and marked. For each burst in flight it
 * keeps what the delivery-rate sample of section 4.1 of the BBR draft (draft-cheng-iccrg-delivery-rate-
 * estimation) needs, in a ring beside the in-flight map, so that `fixed` pays nothing for it.
 *
 * Order of calls for an ack:  ack_begin, on_acked for each packet newly acknowledged, on_lost for each packet
 * newly lost, on_ecn, ack_end. on_lost may also come alone, from a timer. Bytes are those of UDP payloads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "transport/rate_bbr.h"
#include "transport/rate_cubic.h"
#include "transport/rate_fixed.h"
#include "transport/rate_sample.h"
#include "transport/session.h"

#define CW_RATE_INITIAL_PACKETS 10u     /* RFC 6928, RFC 9002 section 7.2 */
#define CW_RATE_BYTES_MIN       1000ull /* per second: what the pacer can do */
/* What a sender that nobody looked after makes up for, at once: as much as the path carries in this part of
 * its least round trip, and never more than in so long. It stands in the queue as a probe's excess does. */
#define CW_RATE_LATE_SHARE  8u
#define CW_RATE_LATE_NS_MAX 10000000u

/* What a packet was when its ack came. */
enum cw_rate_was {
    CW_RATE_WAS_OUT = 0,
    CW_RATE_WAS_LOST,     /* declared so by cw_rate_on_lost */
    CW_RATE_WAS_GIVEN_UP, /* by cw_rate_on_given_up */
};

struct cw_rate_config {
    enum cw_rate_kind kind;
    uint64_t bytes_per_second; /* fixed: the rate; else the most that is ever asked for. 0: no limit */
    uint32_t bursts;           /* that are remembered; power of two */
    uint64_t seed;             /* of BBR's random waits, which keep flows apart: no secret */
    struct cw_fixed_config fixed;
};

struct cw_rate {
    struct cw_rate_config config;
    struct cw_rate_path path; /* what all controllers know */
    union {
        struct cw_bbr bbr;
        struct cw_cubic cubic;
        struct cw_fixed fixed;
    };
};

/* Carves the ring (nothing for fixed). cw_rate_start follows before anything else. */
void cw_rate_init(struct cw_rate *rate, struct cw_arena *arena, const struct cw_rate_config *config);
/* A new session: nothing is in flight and nothing is known of the path. */
void cw_rate_start(struct cw_rate *rate, uint32_t datagram_bytes, uint64_t now_ns);

static inline bool cw_rate_is_fixed(const struct cw_rate *rate)
{
    return rate->config.kind == CW_RATE_FIXED;
}

/* Nothing but the shaper holds it back. */
static inline bool cw_rate_is_free(const struct cw_rate *rate)
{
    return cw_rate_is_fixed(rate) && !cw_fixed_is_held(&rate->fixed);
}

/* The two that are called for every packet, as other controllers than fixed have them. */
void cw_rate_remember_sent(struct cw_rate *rate, uint64_t number, uint32_t bytes, uint64_t now_ns);
void cw_rate_take_acked(struct cw_rate *rate, uint64_t number, uint32_t bytes, enum cw_rate_was was,
                        uint64_t now_ns);

/* The packet leaves. Numbers rise; those of packets that want no ack are left out. */
static inline void cw_rate_on_sent(struct cw_rate *rate, uint64_t number, uint32_t bytes, uint64_t now_ns)
{
    if (cw_rate_is_fixed(rate))
        rate->path.in_flight += bytes;
    else
        cw_rate_remember_sent(rate, number, bytes, now_ns);
}
/* A packet could have left now but for the window. */
void cw_rate_on_window_full(struct cw_rate *rate);
/* Window and pacer would have let a packet leave before the next one, and there was none. */
void cw_rate_on_app_limited(struct cw_rate *rate);

void cw_rate_ack_begin(struct cw_rate *rate, uint64_t now_ns);
static inline void cw_rate_on_acked(struct cw_rate *rate, uint64_t number, uint32_t bytes,
                                    enum cw_rate_was was, uint64_t now_ns)
{
    if (was == CW_RATE_WAS_OUT) {
        CW_ASSERT(rate->path.in_flight >= bytes);
        rate->path.in_flight -= bytes;
    }
    if (cw_rate_is_fixed(rate))
        cw_fixed_on_acked(&rate->fixed, bytes, was != CW_RATE_WAS_OUT);
    else
        cw_rate_take_acked(rate, number, bytes, was, now_ns);
}
void cw_rate_on_lost(struct cw_rate *rate, uint64_t number, uint32_t bytes, uint64_t now_ns);
/* The newest packet of the ack took this long, without what the peer held it back; for fixed. */
static inline void cw_rate_on_round_trip(struct cw_rate *rate, uint64_t rtt_ns)
{
    if (cw_rate_is_fixed(rate))
        cw_fixed_on_round_trip(&rate->fixed, rtt_ns);
}
/* That many packets more arrived with a CE mark. */
void cw_rate_on_ecn(struct cw_rate *rate, uint32_t marked, uint64_t now_ns);
void cw_rate_ack_end(struct cw_rate *rate, uint64_t rtt_ns_smoothed, uint64_t now_ns);

/* The packet is sent again without being lost: a probe. It is no longer in flight. */
void cw_rate_on_given_up(struct cw_rate *rate, uint32_t bytes);
/* Nothing was acknowledged for the count-th probe time-out in a row. */
void cw_rate_on_probe_timeout(struct cw_rate *rate, uint32_t count, uint64_t now_ns);

/* Bytes per second; 0: not paced. */
uint64_t cw_rate_pacing(const struct cw_rate *rate);
/* Lateness that is made up for; 0: what a pacer does by itself. */
uint64_t cw_rate_late_ns(const struct cw_rate *rate);
/* Bytes; UINT64_MAX: no limit. */
uint64_t cw_rate_window(const struct cw_rate *rate);
static inline bool cw_rate_has_room(const struct cw_rate *rate, uint32_t bytes)
{
    return cw_rate_is_fixed(rate) || rate->path.in_flight + bytes <= rate->path.window;
}
const char *cw_rate_state_name(const struct cw_rate *rate);
const char *cw_rate_kind_name(enum cw_rate_kind kind);
