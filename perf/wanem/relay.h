/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two ports with a WAN between them: takes frames at each, asks the model, holds them, gives them to the
 * other. One thread. Everything it may hold is allocated at its making.
 *
 * What is held is bounded: per direction so many frames of full size, and as many small ones in small
 * buffers, so that acknowledgements do not use up what data needs. What finds no room is dropped and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "io/port.h"
#include "wanem/line.h"
#include "wanem/model.h"

#define CW_RELAY_SMALL_BYTES  256u
#define CW_RELAY_ASSUMED_BITS 10000000000ull /* memory for an unlimited rate is sized for this one */

/* A passed frame, and its duplicate, is sent, under way, or dropped. Marked: of those that passed. */
/* clang-format off */
#define CW_RELAY_COUNTERS(X)                                                                                 \
    X(CW_RELAY_SENT, "sent_frames") X(CW_RELAY_SENT_BYTES, "sent_bytes")                                     \
    X(CW_RELAY_NO_MEMORY, "drop_no_memory") X(CW_RELAY_NO_LINK, "drop_no_link")                              \
    X(CW_RELAY_PEER_SLOW, "drop_peer_slow") X(CW_RELAY_MOST_HELD, "most_under_way")                          \
    X(CW_RELAY_MARKED, "marked")
/* clang-format on */
enum { CW_RELAY_COUNTERS(CW_COUNTER_ENUM) CW_RELAY_COUNTER_COUNT };
extern const char *const cw_relay_counter_names[CW_RELAY_COUNTER_COUNT];

#define CW_RELAY_LATE_US 1024u

/* What one direction may hold, and what that takes. */
struct cw_relay_size {
    uint32_t frames;       /* of full size; the same number of small ones */
    uint32_t port_buffers; /* of the port that they are received at */
    uint64_t bytes;        /* of memory for both kinds */
};

void cw_relay_size_plan(const struct cw_wan_spec *spec, uint16_t mtu, struct cw_relay_size *size);

struct cw_relay;

struct cw_relay_config {
    struct cw_port *ports[CW_WAN_DIRECTIONS]; /* borrowed; direction i is from port i to the other */
    struct cw_wan_spec specs[CW_WAN_DIRECTIONS];
    struct cw_relay_size sizes[CW_WAN_DIRECTIONS];
    uint64_t (*clock_ns)(void); /* what now_ns below is from; read again when frames were received */
    uint32_t queues;            /* of each port, all of which are received by; 0: one */
};

/* After cw_eal_start. NULL: no memory. */
struct cw_relay *cw_relay_new(const struct cw_relay_config *config, uint64_t start_ns);
/* What is under way is dropped. */
void cw_relay_free(struct cw_relay *relay);
/* Receives and sends at most a burst each way; frames received and sent, so each passed one counts twice.
 * now_ns never goes back. */
uint32_t cw_relay_turn(struct cw_relay *relay, uint64_t now_ns);
/* When the next frame leaves; UINT64_MAX: none is under way. */
uint64_t cw_relay_next_ns(const struct cw_relay *relay);

struct cw_relay_report {
    const struct cw_wan_counts *counts; /* valid as long as the relay */
    uint64_t counters[CW_RELAY_COUNTER_COUNT];
    uint32_t under_way;
    uint32_t late_us_p50, late_us_p99, late_us_max; /* sent so much after the time they should leave */
};

void cw_relay_report(const struct cw_relay *relay, uint32_t direction, struct cw_relay_report *report);
