/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which members an etcd has, where they listen, and which of them answer: asked every CW_CENSUS_MS by a
 * thread of its own, of every endpoint that is configured, so that a member that is away keeps nobody
 * waiting. Nothing is decided by it: it is what `causeway audit` and `causeway explain` tell about votes.
 *
 * A member counts as answering when it says itself who it is and that it knows a leader.
 */
#pragma once

#include <jansson.h>

#include "control/etcd_client.h"

#define CW_CENSUS_MS 3000u

struct cw_census;

/* NULL: no memory, no thread. */
struct cw_census *cw_census_start(const struct cw_etcd_address *address);
void cw_census_stop(struct cw_census *census);

/* {"age_seconds": of the list of members, below 0: there is none yet,
 *  "own": the member that answered last at the first endpoint, "" when none did,
 *  "members":[{"id","name","hosts":["10.0.1.1"...],"age_seconds": since it answered here, below 0:
 * never}...]} Learners, who have no vote, are left out. New reference; any thread. */
json_t *cw_census_json(struct cw_census *census);

/* Does it answer, and take no writes, since its space is used up? With words. Any thread. */
bool cw_census_is_full(struct cw_census *census, char *words, size_t size);

/* The host of "https://10.0.1.1:2379" or "https://[2001:db8::1]:2379". false: none. Foreign bytes. */
bool cw_census_host(const char *url, char *host, size_t size);
