/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pacer: a rate and a quantum, kept as the time at which everything sent so far will have drained; and
 * how much of it is made up for when the caller comes late.
 *
 *   bytes sent in any interval T <= rate * (T + lateness) + quantum
 *   quantum = rate * CW_PACER_SPAN_NS, at least two datagrams (or one, if only one fits), at most 64 KiB
 *   rate * lateness + quantum = rate * CW_PACER_BURST_NS, at most 64 KiB, at least the quantum,
 *                               unless cw_pacer_late_set asked for a longer lateness
 *
 * A caller that looks often sends a quantum at once at most, after a pause too. Lateness is time in which the
 * pacer would have let a datagram leave, one was there, and nobody looked. Time in which something else held
 * the data back (there was none, the window was full) is told by cw_pacer_on_idle and never made up for.
 *
 * Bytes are those of UDP payloads. Whether the next datagram may leave is decided before its length is
 * known, so for the longest one. The cost of a byte is kept in 2^-20 ns, rounded up: the error is below
 * 1.2e-5 at 100 Gb/s and always to the slow side.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_PACER_QUANTUM_MAX 65536u
#define CW_PACER_SPAN_NS     50000u
#define CW_PACER_BURST_NS    1000000u /* draft-ietf-ccwg-bbr-06 section 5.6.3 */

struct cw_pacer {
    uint64_t rate;
    uint64_t byte_cost;        /* 2^-20 ns; 0: not paced */
    uint64_t quantum_ns;       /* what may stand undrained */
    uint64_t datagram_ns;      /* cost of the longest datagram */
    uint64_t late_ns;          /* lateness made up for, at most */
    uint64_t late_ns_asked;    /* by cw_pacer_late_set */
    uint64_t drained_ns;       /* when the last byte sent will have drained */
    uint32_t drained_fraction; /* 2^-20 ns */
    bool is_idle;
};

/* rate 0: never holds anything back. */
void cw_pacer_init(struct cw_pacer *pacer, uint64_t rate_bytes_per_second, uint32_t datagram_bytes_max);
/* Another rate from now on; what was sent drains at the rate it was sent at. Cheap when it is the same. */
void cw_pacer_rate_set(struct cw_pacer *pacer, uint64_t rate_bytes_per_second, uint32_t datagram_bytes_max);
/* A longer lateness than the usual is made up for; 0: the usual. */
void cw_pacer_late_set(struct cw_pacer *pacer, uint64_t late_ns);
/* When the next datagram may leave: now or earlier, it may leave now. */
static inline uint64_t cw_pacer_next_ns(const struct cw_pacer *pacer)
{
    uint64_t full_ns = pacer->drained_ns + (pacer->drained_fraction ? 1 : 0) + pacer->datagram_ns;
    return full_ns > pacer->quantum_ns ? full_ns - pacer->quantum_ns : 0;
}
/* Something else than this pacer keeps the next datagram from leaving now. */
static inline void cw_pacer_on_idle(struct cw_pacer *pacer)
{
    pacer->is_idle = true;
}
/* A datagram that leaves now is later than what is made up for: the rate cannot be reached. */
bool cw_pacer_is_too_late(const struct cw_pacer *pacer, uint64_t now_ns);
void cw_pacer_on_sent(struct cw_pacer *pacer, uint32_t bytes, uint64_t now_ns);
