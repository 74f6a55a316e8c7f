/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a WAN shall be like, as text: "rate=1gbit,delay=80ms,loss=1%,seed=7". README.md tells every setting.
 * One spec is one direction; nothing here reads a clock or allocates.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_WAN_CERTAIN            1000000000u /* shares are in parts of this */
#define CW_WAN_MTU_STEPS_MAX      8u
#define CW_WAN_DIRECTIONS         2u
#define CW_WAN_RATE_BITS_LEAST    1000ull /* so that no queue lasts longer than times are counted */
#define CW_WAN_RATE_BITS_MAX      1000000000000ull
#define CW_WAN_QUEUE_BYTES_MAX    1000000000ull
#define CW_WAN_QUEUE_PACKETS_MAX  1000000u
#define CW_WAN_TIME_NS_MAX        (3600ull * 1000000000ull)
#define CW_WAN_FRAME_HEADER_BYTES 14u /* what a frame has more than its IP packet */

/* From from_ns after the start on, IP packets of more than `bytes` vanish. */
struct cw_wan_mtu_step {
    uint64_t from_ns;
    uint32_t bytes;
};

struct cw_wan_spec {
    uint64_t rate_bits; /* of frames, a second; 0: unlimited, and then there is no queue */
    uint64_t delay_ns;  /* the least a frame takes besides its turn on the line */
    uint64_t jitter_ns; /* up to this is added; keeps the order */
    uint32_t loss;
    uint32_t burst_loss;    /* Gilbert-Elliott: the average share lost */
    uint32_t burst_packets; /* mean length of a bad time in packets; 0: there is none */
    uint32_t burst_density; /* share lost in a bad time */
    uint32_t reorder;
    uint64_t reorder_ns; /* by how much those are later */
    uint32_t duplicate;
    uint32_t corrupt;
    uint32_t mark;        /* share marked CE at random */
    uint64_t mark_bytes;  /* what meets more than this before it is marked; 0: nothing is. With a rate only */
    uint64_t queue_bytes; /* one of the two is 0 where there is a rate, both without */
    uint32_t queue_packets; /* those on the line count */
    uint64_t dark_ns;       /* the last dark_ns of every period_ns nothing gets in; 0: never */
    uint64_t period_ns;
    uint32_t mtu_steps;
    struct cw_wan_mtu_step mtu[CW_WAN_MTU_STEPS_MAX]; /* ascending */
    uint64_t seed;
};

/* Reads a whole spec, "" too: a plain wire. False: every mistake is in why, with what was expected. */
bool cw_wan_spec_read(const char *text, struct cw_wan_spec *spec, char *why, size_t why_size);
/* Bytes that may be under way at once when no frame is later than the spec makes it; rate_bits counts as
 * assumed_bits where it is unlimited. */
uint64_t cw_wan_spec_bytes_held(const struct cw_wan_spec *spec, uint64_t assumed_bits, uint32_t frame_bytes);
/* The settings with an example and a few words each, a line a setting, for --help and mistakes. */
extern const char cw_wan_spec_help[];
