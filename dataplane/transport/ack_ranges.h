/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has arrived, as ranges of packet numbers, and when an ack has to leave.
 *
 * An ack leaves at most every CW_ACK_PACKETS packets or CW_ACK_DELAY_NS after the first packet not yet
 * acknowledged, and at once when a packet opens a new gap. Every ack repeats all ranges held, so a lost ack
 * costs nothing. The ranges are few (CW_ACK_RANGES_MAX): when a new one does not fit, the lowest is
 * forgotten; at worst its packets are sent again and dropped as duplicates. Ranges that the peer is known
 * to have heard of are forgotten by cw_ack_ranges_forget.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/frames.h"

#define CW_ACK_PACKETS  64u
#define CW_ACK_DELAY_NS 25000u

struct cw_ack_ranges {
    uint32_t count;
    uint16_t marked;                           /* packets that came with a CE mark, modulo 2^16 */
    struct cw_range ranges[CW_ACK_RANGES_MAX]; /* highest first; neither empty nor touching */
    uint64_t largest_ns;                       /* when the largest came */
    uint32_t unacked;                          /* packets that want an ack, since the last one left */
    uint64_t deadline_ns;                      /* CW_NEVER: nothing to say */
};

void cw_ack_ranges_reset(struct cw_ack_ranges *acks);
/* A new packet (never a replayed one) came. wants_ack: it carried something besides acks. */
void cw_ack_ranges_add(struct cw_ack_ranges *acks, uint64_t number, bool wants_ack, uint64_t now_ns);
/* Fills the frame to send; what is pending is thereby done. False when nothing ever came. */
bool cw_ack_ranges_take(struct cw_ack_ranges *acks, struct cw_ack *ack, uint64_t now_ns);
/* The peer has heard what was said about all up to number. No effect while something is still to be told. */
void cw_ack_ranges_forget(struct cw_ack_ranges *acks, uint64_t number);
bool cw_ack_ranges_is_valid(const struct cw_ack_ranges *acks);
