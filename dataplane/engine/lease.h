/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's lease, as the engine sees it. Pure: times and answers go in, requests and a deadline come out.
 *
 * A renewal asked at time A (before the request left) and granted for L is good until A + 0.99 L - 100 ms:
 * a taker waits 1.01 L from when it saw the counter move, which was after A. Renewals are begun by the store
 * lcore, never by the thread that talks to the controller: an engine whose store loop hangs loses its lease
 * though its sockets still answer.
 *
 * A request is never repeated: the next one, a second later, is a new one. Answers may come late or in any
 * order; each counts from its own request's time, so the deadline never moves back by one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"

#define CW_LEASE_INTERVAL_NS CW_SECOND
#define CW_LEASE_MARGIN_NS   (100 * CW_MS)
#define CW_LEASE_MS_MAX      600000u

struct cw_lease {
    uint64_t deadline_ns; /* 0: none was ever granted */
    uint64_t next_ns;     /* when to ask again */
};

void cw_lease_init(struct cw_lease *lease, uint64_t now_ns);
/* Asks once when it is time; the caller sends a request that carries now_ns as its time. */
bool cw_lease_wants_request(struct cw_lease *lease, uint64_t now_ns);
/* A group has just become ours: do not wait for the second to pass. */
void cw_lease_hurry(struct cw_lease *lease, uint64_t now_ns);
/* True when the deadline moved. lease_ms above CW_LEASE_MS_MAX is nonsense and grants nothing. */
bool cw_lease_on_granted(struct cw_lease *lease, uint64_t asked_ns, uint64_t lease_ms);
static inline uint64_t cw_lease_wake_ns(const struct cw_lease *lease)
{
    return lease->next_ns;
}
