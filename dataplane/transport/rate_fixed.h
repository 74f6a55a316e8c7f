/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `fixed`: the configured rate, for a circuit that is leased; and what keeps it from harm where the circuit
 * does not carry that rate: a circuit breaker (RFC 8084, sections 4 and 5) and a guard against delay.
 *
 * Meters: what was sent in an interval is acknowledged or lost in the end. An interval is a second, four
 * round trips and CW_FIXED_PACKETS_MIN of such packets, whichever takes longest. One in which nothing is
 * acknowledged does not end: a dead path is the path's matter (session_path.c). Lost is what the path lost,
 * whether repairs gave it back or not, but for what turned out to be late only.
 *
 *      FREE --a queue stands for ROUNDS intervals--> YIELDING --it is gone and the hold is over--> FREE
 *                                                    YIELDING --it does not get shorter--> FREE, longer path
 *      FREE, YIELDING --too much is lost in ROUNDS intervals in a row--> TRIPPED --the hold is over--> FREE
 *
 * TRIPPED sends data at CW_FIXED_TRIPPED_SHARE of the rate, YIELDING at three quarters of what arrived when
 * it began; acks, credit and probes do not obey (session_rate.c). The first hold is ten seconds, each further
 * one twice as long, up to five minutes; half of that is forgiven for each minute at the full rate.
 *
 * A queue stands if the least round trip of an interval is above the least one known by more than the bound.
 * While less than a quarter of the rate arrives it is not taken for ours. If it does not get shorter by half
 * though less is sent, it is none: the route got longer, or the queue is another's. Then this is the delay
 * that is known from now on.
 *
 * Holds outlive a session: the circuit is the same one after it. Acks drive it, so it has no timer: a path on
 * which nothing is sent has nothing to try again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_FIXED_INTERVAL_NS    1000000000ull
#define CW_FIXED_INTERVAL_TRIPS 4u   /* round trips */
#define CW_FIXED_PACKETS_MIN    100u /* in an interval */
#define CW_FIXED_ROUNDS         5u   /* intervals in a row */
#define CW_FIXED_TRIPPED_SHARE  100u /* this part of the rate; without one, */
#define CW_FIXED_ARRIVED_SHARE  20u  /* this part of what arrived */
#define CW_FIXED_YIELD_PERCENT  75u  /* per cent of what arrived */
#define CW_FIXED_BUSY_SHARE     4u   /* a queue is ours if at least this part of the rate arrives */
#define CW_FIXED_RATE_MIN       16000u
#define CW_FIXED_HOLD_NS_MIN    10000000000ull
#define CW_FIXED_HOLD_NS_MAX    300000000000ull
#define CW_FIXED_QUIET_NS       60000000000ull

struct cw_fixed_config {
    uint32_t loss_percent; /* more than that is too much; 0: no circuit breaker */
    uint64_t delay_ns;     /* the bound above the least round trip; 0: no guard */
};

enum cw_fixed_state { CW_FIXED_FREE = 0, CW_FIXED_YIELDING, CW_FIXED_TRIPPED, CW_FIXED_STATE_COUNT };

struct cw_fixed {
    struct cw_fixed_config config;
    uint64_t rate_full; /* bytes per second; 0: no limit */
    uint8_t state;      /* enum cw_fixed_state */
    uint64_t rate;      /* YIELDING, TRIPPED: of data */
    uint32_t amount;    /* what made it so: per cent lost, or milliseconds of queue */
    /* the interval */
    uint64_t begin_ns;
    uint64_t acked, acked_bytes; /* packets */
    int64_t lost;                /* below 0: more of earlier intervals turned out to be late only */
    uint64_t rtt_ns;             /* the least; CW_NEVER: no sample */
    /* intervals in a row */
    uint32_t lossy_rounds, queued_rounds;
    uint32_t yielding_rounds; /* since the rate was lowered last */
    uint64_t queue_ns;        /* then */
    uint64_t rtt_ns_known;    /* the least; CW_NEVER: none */
    uint64_t hold_ns;         /* the last one's length */
    uint64_t since_ns;        /* the state is what it is */
};

/* cw_fixed_start follows before anything else. */
void cw_fixed_init(struct cw_fixed *fixed, const struct cw_fixed_config *config, uint64_t bytes_per_second);
/* A new session: nothing is known of the path but what is held. */
void cw_fixed_start(struct cw_fixed *fixed, uint64_t now_ns);

static inline void cw_fixed_on_acked(struct cw_fixed *fixed, uint32_t bytes, bool was_lost)
{
    fixed->acked++;
    fixed->acked_bytes += bytes;
    fixed->lost -= was_lost;
}
static inline void cw_fixed_on_lost(struct cw_fixed *fixed)
{
    fixed->lost++;
}
static inline void cw_fixed_on_round_trip(struct cw_fixed *fixed, uint64_t rtt_ns)
{
    fixed->rtt_ns = rtt_ns < fixed->rtt_ns ? rtt_ns : fixed->rtt_ns;
}
/* An ack was taken. */
void cw_fixed_on_ack(struct cw_fixed *fixed, uint64_t rtt_ns_smoothed, uint64_t now_ns);

static inline bool cw_fixed_is_held(const struct cw_fixed *fixed)
{
    return fixed->state != CW_FIXED_FREE;
}
/* When the full rate is tried again, if no queue stands then; 0: it is not held. */
uint64_t cw_fixed_retry_ns(const struct cw_fixed *fixed);
const char *cw_fixed_state_name(uint8_t state);
