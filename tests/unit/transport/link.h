/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One direction of a network in virtual time, for tests: datagrams go in at a time and come out later,
 * twice, changed, in another order, or never. One seed decides everything; nothing here reads a clock.
 *
 * It uses malloc: it is a test's, not the data plane's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

struct cw_link_config {
    uint64_t rate_bytes_per_second; /* 0: unlimited */
    uint64_t queue_ns;              /* a datagram that would wait longer for the rate is dropped; 0: never */
    uint64_t delay_ns;
    uint64_t jitter_ns;         /* added, uniform; larger than the spacing, it reorders */
    uint32_t loss_per_million;  /* each alone */
    uint32_t burst_per_million; /* chance that a run of losses begins */
    uint32_t burst_length;      /* mean, in datagrams; no burst lasts longer than CW_LINK_BURST_NS */
    uint32_t duplicate_per_million;
    uint32_t late_per_million; /* held back by late_ns: reordering */
    uint64_t late_ns;
    uint32_t corrupt_per_million; /* one bit */
    uint32_t truncate_per_million;
    uint32_t mtu;            /* longer datagrams are lost; 0: none is too long */
    uint64_t hole_period_ns; /* a black hole for the first hole_ns of every period; 0: none */
    uint64_t hole_ns;
};

#define CW_LINK_BURST_NS 200000000u

struct cw_link_item;

struct cw_link {
    struct cw_link_config config; /* may be changed at any time */
    struct cw_rng rng;
    struct cw_link_item *items; /* a heap by time, then by order of arrival */
    size_t count, room;
    uint64_t order;
    uint64_t free_ns; /* when the last byte is on the wire */
    uint32_t burst_left;
    uint64_t burst_end_ns;
    uint64_t dropped, delivered;
};

void cw_link_init(struct cw_link *link, const struct cw_link_config *config, uint64_t seed);
void cw_link_fini(struct cw_link *link);
/* Copies. */
void cw_link_push(struct cw_link *link, const uint8_t *bytes, size_t length, uint64_t now_ns);
/* When the next one comes out; UINT64_MAX: none is under way. */
uint64_t cw_link_next_ns(const struct cw_link *link);
/* The next one that is due, into bytes (64 KiB of room); its length, or SIZE_MAX when none is. */
size_t cw_link_pop(struct cw_link *link, uint8_t *bytes, uint64_t now_ns);
/* Loses all that is under way. */
void cw_link_clear(struct cw_link *link);
