/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a datagram the path carries, found by probing (DPLPMTUD, RFC 8899), without trusting anybody.
 *
 *      OFF        not probed: always the largest
 *
 *      SEARCHING --the largest came through, or nothing larger is left to try--> DONE
 *      a probe is out,  <--600 s after a search that ended below the largest-----/
 *      or due           <--a black hole: the base at once, and anew after 1 s (of both states)
 *                       --a hint below what is in use: that, at once (of both states)--> DONE
 *
 * Sizes are base, or base and some steps. The largest is tried first, since mostly it works; then the middle
 * of what is left. A size is given up when CW_PMTU_TRIES probes of it were lost. A probe carries nothing that
 * is needed, its loss says nothing about congestion.
 *
 * Black hole: datagrams larger than the base are lost in CW_PMTU_BLACK_ROUNDS rounds, with none of their kind
 * acknowledged between. A round is what was sent after the last one was counted, so one burst of losses is
 * one. A path that is dead altogether looks the same: going back to the base then costs a round trip when it
 * returns.
 *
 *   base <= bytes <= largest;  bytes is raised only by what was acknowledged
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_PMTU_BASE_BYTES   1200u /* of UDP payload: what every path must carry (RFC 8899 section 5.1.2) */
#define CW_PMTU_BYTES_MIN    512u
#define CW_PMTU_TRIES        3u
#define CW_PMTU_BLACK_ROUNDS 3u

enum cw_pmtu_state { CW_PMTU_OFF = 0, CW_PMTU_SEARCHING, CW_PMTU_DONE, CW_PMTU_STATE_COUNT };

struct cw_pmtu {
    uint8_t state;
    uint32_t base, step, steps_max; /* sizes are base + step * (0..steps_max) */
    uint32_t steps;                 /* known to come through */
    uint32_t steps_low, steps_high; /* to be tried: above low, up to high */
    uint32_t trying;                /* 0: the next size is to be chosen */
    uint32_t tries;
    bool is_out;     /* a probe is, whose fate is open */
    uint64_t due_ns; /* of the next probe, or the next search; CW_NEVER: of none */
    uint32_t black_rounds;
    uint64_t black_round_ns; /* what was sent before it is of a round that was counted */
};

/* The session is up. The base is rounded down so that whole steps lead from it to the largest; off when it is
 * not below that, or would be below CW_PMTU_BYTES_MIN. */
void cw_pmtu_start(struct cw_pmtu *pmtu, bool is_probed, uint32_t base, uint32_t step, uint32_t largest,
                   uint64_t now_ns);
/* What datagrams may have now. */
uint32_t cw_pmtu_bytes(const struct cw_pmtu *pmtu);
/* When a probe is due; CW_NEVER: none is. */
uint64_t cw_pmtu_deadline_ns(const struct cw_pmtu *pmtu);
/* The size of the probe that is to leave now, which counts as sent; 0: none. One is out at a time. */
uint32_t cw_pmtu_probe(struct cw_pmtu *pmtu, uint64_t now_ns);
/* Its fate. An ack may come after the loss, or of an earlier search: it is true all the same. */
void cw_pmtu_on_probe_acked(struct cw_pmtu *pmtu, uint32_t bytes, uint64_t now_ns);
void cw_pmtu_on_probe_lost(struct cw_pmtu *pmtu, uint32_t bytes, uint64_t now_ns);
/* Of other datagrams. True: the size has changed. */
void cw_pmtu_on_acked(struct cw_pmtu *pmtu, uint32_t bytes);
bool cw_pmtu_on_lost(struct cw_pmtu *pmtu, uint32_t bytes, uint64_t sent_ns, uint64_t now_ns);
/* A router says that it carries at most this; the caller has seen that it speaks of a datagram that is out.
 * Less than the base is not believed. True: the size has changed. */
bool cw_pmtu_on_hint(struct cw_pmtu *pmtu, uint32_t bytes, uint64_t now_ns);
