/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load generator inside the store lcore: what a group can do when nothing stands between the application
 * and the seam. It keeps `depth` requests in flight on one volume and measures each from its first attempt
 * to its completion, so that time spent waiting for buffers or room is in the figures.
 *
 * Time comes from the owner's function. Nothing allocates; the struct is large (a histogram of each kind and
 * all requests) and is the owner's to place. Single thread: the store lcore.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/status.h"
#include "frontend/block.h"

#define CW_DIRECT_DEPTH_MAX 256u
/* Latency buckets: exact below 64 ns, then 32 to each power of two: an error of 3 % at most, up to 2^40 ns.
 */
#define CW_DIRECT_BUCKET_BITS 5u
#define CW_DIRECT_BUCKETS     ((41u - CW_DIRECT_BUCKET_BITS) << CW_DIRECT_BUCKET_BITS)

struct cw_direct_config {
    uint32_t write_percent; /* 0..100; the rest are reads */
    bool fua;               /* on writes */
    uint32_t flush_every;   /* a FLUSH after so many requests; 0: never */
    uint32_t size;          /* bytes of a request: whole blocks, at most CW_REQUEST_BYTES_MAX */
    uint32_t depth;         /* 1..CW_DIRECT_DEPTH_MAX in flight */
    bool is_sequential;
    uint64_t span;        /* bytes from offset 0 that are used; 0: the volume */
    uint64_t count;       /* stop after so many requests; 0: by time only */
    uint64_t duration_ns; /* stop after; 0: by count only. One of the two is set */
    uint64_t seed;
};

struct cw_direct_histogram {
    uint64_t buckets[CW_DIRECT_BUCKETS];
    uint64_t count, sum_ns, min_ns, max_ns;
};

struct cw_direct_stats {
    uint64_t ops, bytes, errors, waits; /* waits: times that the seam said CW_AGAIN */
    uint64_t elapsed_ns;                /* start to last completion */
    enum cw_status first_error;
    struct cw_direct_histogram read, write, flush;
};

struct cw_direct;

struct cw_direct_slot {
    struct cw_block_request block;
    struct cw_direct *direct;
    struct cw_direct_slot *next; /* idle or waiting */
    uint64_t begun_ns;
    bool has_buffers, is_prepared;
};

struct cw_direct {
    struct cw_direct_config config;
    struct cw_block_volume *volume;
    uint64_t (*now)(void *context);
    void *context;
    struct cw_rng rng;
    uint64_t started_ns, next_offset, begun, since_flush;
    uint32_t in_flight;
    bool is_stopping, is_stepping, is_full;
    struct cw_direct_slot *idle;
    struct cw_direct_slot *waiting_first, *waiting_last; /* for buffers or room, in order */
    struct cw_direct_stats stats;
    uint64_t pattern; /* next content of a write */
    struct cw_direct_slot slots[CW_DIRECT_DEPTH_MAX];
};

/* Borrows the volume until is_done. CW_INVALID with words in why: an impossible configuration; nothing was
 * started. Submits the first requests. */
enum cw_status cw_direct_start(struct cw_direct *direct, struct cw_block_volume *volume,
                               const struct cw_direct_config *config, uint64_t (*now)(void *context),
                               void *context, char *why, size_t why_size) CW_MUST_CHECK;
/* Once a loop turn: begins what completions have made place for. Requests are never begun from inside a
 * completion. True when something was submitted. */
bool cw_direct_step(struct cw_direct *direct);
/* Buffers or room may be had again. */
void cw_direct_on_room(struct cw_direct *direct);
/* No more requests; done when those in flight are. */
void cw_direct_stop(struct cw_direct *direct);
bool cw_direct_is_done(const struct cw_direct *direct);
const struct cw_direct_stats *cw_direct_stats(const struct cw_direct *direct);

/* Latency below which per_million of the requests were: 500000 is the median. 0 when there were none. */
uint64_t cw_direct_quantile_ns(const struct cw_direct_histogram *histogram, uint32_t per_million);
void cw_direct_histogram_add(struct cw_direct_histogram *histogram, uint64_t ns);
