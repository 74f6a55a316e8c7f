/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A copy of all rows under a prefix of an etcd, kept by a thread of its own: read in whole, then followed by
 * a watch. Once a second it asks etcd for what it should have by now: so silence is noticed, and a watch that
 * says nothing. After anything odd all is read again; whatever then has gone back is a fault, for good.
 *
 * The copy may be behind. That costs time only: every write compares what it rests on.
 *
 * All functions are for the one thread that uses the store.
 */
#pragma once

#include "control/etcd_client.h"
#include "control/etcd_rows.h"

#define CW_MIRROR_SILENT_MS                                                                                  \
    2000u /* without an answer: nothing is asked of the store any more until it is back */
#define CW_MIRROR_PREFIX_MAX 160u

struct cw_mirror;

/* prefix: ends with '/'. Waits for nothing: until there is a whole copy the version is 0, and etcd counts as
 * silent. NULL with words in why: this process lacks what it takes. */
struct cw_mirror *cw_mirror_open(const struct cw_etcd_address *address, const char *prefix, char *why,
                                 size_t why_size);
void cw_mirror_close(struct cw_mirror *mirror);

/* A consistent snapshot into an empty draft. */
enum cw_status cw_mirror_snapshot(struct cw_mirror *mirror, struct cw_draft *draft) CW_MUST_CHECK;
/* One row's value, new reference; NULL: not there. */
json_t *cw_mirror_get(struct cw_mirror *mirror, const char *key);
/* Moves with every change but those of leases. */
uint64_t cw_mirror_version(struct cw_mirror *mirror);
/* Waits until the copy has that revision. */
void cw_mirror_wait(struct cw_mirror *mirror, uint64_t revision, uint32_t wait_ms);
/* For how long etcd has not answered; 0: less than CW_MIRROR_SILENT_MS, and there is a copy. */
uint64_t cw_mirror_silent_ms(struct cw_mirror *mirror);
/* "": none. Into the caller's buffer. */
void cw_mirror_fault(struct cw_mirror *mirror, char *fault, size_t size);
/* What was wrong when etcd last did not answer. */
void cw_mirror_trouble(struct cw_mirror *mirror, char *trouble, size_t size);

/* Revisions of answers that had to be decided by the quorum: before asking, what the answer may not be below.
 */
uint64_t cw_mirror_floor(struct cw_mirror *mirror);
/* The answer to somebody else's question: CW_IO with a fault when it is older, or of another etcd. */
enum cw_status cw_mirror_judge(struct cw_mirror *mirror, const json_t *answer, uint64_t floor,
                               uint64_t *revision) CW_MUST_CHECK;
