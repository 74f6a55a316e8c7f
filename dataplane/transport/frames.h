/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: what stands inside the seal. A payload is one or more frames; DATA, whose fragment runs to the
 * end of the payload, comes last. Little-endian.
 *
 *   ACK    u8 1, u8 ranges | path << 6, u16 marked, u32 delay ns, u64 largest, then ranges * { u32 gap, u32
 * length } CREDIT u8 2, 7 zeros, u64 granted[3] PING   u8 3, 7 zeros CLOSE  u8 4, u8 why, 6 zeros PROBE  u8
 * 7, zeros to the end of the payload, at least 7 RECOVERED  u8 6, u8 n | path << 6, u16 early, 4 zeros, u64
 * highest, then n * u32 below highest DATA   u8 5, u8 flags, u16 head length, u32 body length, u32 offset,
 * u32 group, u64 epoch, bytes
 *
 * Path: whose packets the frame speaks of, on whichever it travels. ACK: the first range ends at largest and
 * has gap 0; each next one ends gap numbers below the last one's beginning; marked counts the packets that
 * arrived with a CE mark, modulo 2^16. RECOVERED: packets that the path lost and their repairs gave back;
 * said a few times, beside the ACK that has them as received; early, a bit for each: it may still come, and
 * no ACK has it before it does. CREDIT: messages granted since the session came up, by size class. DATA: a
 * fragment of the message whose stream and number the clear header has; offset counts in head followed by
 * body. Group and epoch repeat bytes 4..7 and 8..15 of the head (wire/message.h) wherever the head is that
 * long, so that every frame that speaks for a group says so itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/session.h"
#include "wire/packet.h"

#define CW_DATAGRAM_BYTES_MIN      512u
#define CW_ACK_RANGES_MAX          32u
#define CW_FRAME_ACK_SIZE(ranges)  (16u + 8u * (ranges))
#define CW_FRAME_CREDIT_SIZE       32u
#define CW_FRAME_PING_SIZE         8u
#define CW_FRAME_CLOSE_SIZE        8u
#define CW_FRAME_CHALLENGE_SIZE    8u /* RESPONSE too */
#define CW_FRAME_VALUE_BYTES       7u /* of what they say */
#define CW_FRAME_DATA_SIZE         24u
#define CW_RECOVERED_MAX           16u
#define CW_FRAME_RECOVERED_SIZE(n) (16u + 4u * (n))
#define CW_FRAME_HEAD_WITH_GROUP   16u /* a head this long has group and epoch */

#define CW_MESSAGE_BYTES_MAX (CW_MESSAGE_HEAD_MAX + CW_RECORD_PAYLOAD_MAX)
/* Bytes of message in a full fragment. */
#define CW_FRAGMENT_BYTES(datagram_bytes) ((datagram_bytes)-CW_PACKET_OVERHEAD - CW_FRAME_DATA_SIZE)
#define CW_FEC_HEAD_SIZE                  16u /* what a repair is longer than the longest packet that it repairs */
#define CW_FRAGMENT_BYTES_MIN             (CW_FRAGMENT_BYTES(CW_DATAGRAM_BYTES_MIN) - CW_FEC_HEAD_SIZE)

/*
 * A message is counted in units; a fragment is a run of them, as many as the path's datagrams hold at the
 * time. So what was sent in large datagrams can be sent again in smaller ones, and both sides need one bit a
 * unit. The unit is what divides the largest fragment evenly, so that the largest datagrams waste nothing,
 * and at least this.
 */
#define CW_UNIT_BYTES_MIN        170u
#define CW_UNITS_OF_FRAGMENT_MAX 60u
#define CW_UNITS_MAX             ((CW_MESSAGE_BYTES_MAX + CW_UNIT_BYTES_MIN - 1) / CW_UNIT_BYTES_MIN)
#define CW_UNIT_WORDS            ((CW_UNITS_MAX + 63u) / 64u)
static_assert(CW_FRAGMENT_BYTES_MIN >= CW_UNIT_BYTES_MIN, "every fragment holds a unit");

/* Those units of [first, end) that are in this word of a bitmap; word is first / 64 or a later one up to the
 * end. */
static inline uint64_t cw_units_mask(uint32_t first, uint32_t end, uint32_t word)
{
    uint32_t low = first > 64 * word ? first - 64 * word : 0;
    uint32_t high = end < 64 * (word + 1) ? end - 64 * word : 64;
    return ~0ull >> (64 - (high - low)) << low;
}

/* Of the largest fragment that a session can have. */
static inline uint32_t cw_unit_bytes(uint32_t fragment_bytes_max)
{
    uint32_t units = fragment_bytes_max / CW_UNIT_BYTES_MIN;
    return fragment_bytes_max / (units > CW_UNITS_OF_FRAGMENT_MAX ? CW_UNITS_OF_FRAGMENT_MAX : units);
}

static_assert(CW_PACKET_OVERHEAD + CW_FRAME_ACK_SIZE(CW_ACK_RANGES_MAX) + CW_FRAME_CREDIT_SIZE +
                      CW_FRAME_PING_SIZE + CW_FRAME_RECOVERED_SIZE(CW_RECOVERED_MAX) <=
                  CW_DATAGRAM_BYTES_MIN,
              "all control frames fit in the smallest datagram");

enum cw_frame_type {
    CW_FRAME_NONE = 0,
    CW_FRAME_ACK,
    CW_FRAME_CREDIT,
    CW_FRAME_PING,
    CW_FRAME_CLOSE,
    CW_FRAME_DATA,
    CW_FRAME_RECOVERED,
    CW_FRAME_PROBE,
    CW_FRAME_CHALLENGE,
    CW_FRAME_RESPONSE,
    CW_FRAME_TYPE_COUNT
};

struct cw_range {
    uint64_t first;
    uint64_t last;
};

struct cw_ack {
    uint32_t delay_ns; /* between the arrival of the largest and this frame */
    uint32_t range_count;
    uint8_t path;                              /* number of the one whose packets it speaks of */
    uint16_t marked;                           /* CE marks seen since the session came up, modulo 2^16 */
    struct cw_range ranges[CW_ACK_RANGES_MAX]; /* highest first; ranges[0].last is the largest */
};

struct cw_data {
    uint16_t head_length; /* at least 1 */
    uint32_t body_length;
    uint32_t offset;
    bool has_group;
    uint32_t group;
    uint64_t epoch;
    const uint8_t *bytes; /* in the payload */
    uint32_t length;
};

struct cw_recovered_list {
    uint8_t path;   /* number of the one whose packets they are */
    uint32_t count; /* at least 1 */
    uint16_t early; /* bits by place in numbers: they may still come themselves */
    uint64_t numbers[CW_RECOVERED_MAX];
};

struct cw_frame {
    uint8_t type;
    uint8_t why; /* CLOSE */
    union {
        uint64_t value; /* CHALLENGE, RESPONSE */
        struct cw_ack ack;
        uint64_t granted[CW_CLASS_COUNT];
        struct cw_data data;
        struct cw_recovered_list recovered;
    };
};

/* Each writes its frame and returns the bytes written; the caller has made room. DATA: without its bytes. */
size_t cw_frame_write_ack(uint8_t *at, const struct cw_ack *ack);
size_t cw_frame_write_credit(uint8_t *at, const uint64_t granted[CW_CLASS_COUNT]);
size_t cw_frame_write_ping(uint8_t *at);
/* A CHALLENGE or a RESPONSE; value below 2^(8 * CW_FRAME_VALUE_BYTES). */
size_t cw_frame_write_value(uint8_t *at, enum cw_frame_type type, uint64_t value);
/* As long as it is to be, at least 8 bytes. */
size_t cw_frame_write_probe(uint8_t *at, size_t length);
/* Numbers less than 2^32 apart. */
size_t cw_frame_write_recovered(uint8_t *at, const struct cw_recovered_list *recovered);
size_t cw_frame_write_close(uint8_t *at, uint8_t why);
size_t cw_frame_write_data(uint8_t *at, const struct cw_data *data);

/* Foreign bytes. Decodes the frame at `at` of `left` bytes: its size, or 0 when it is none of the above. */
size_t cw_frame_decode(const uint8_t *at, size_t left, struct cw_frame *frame);
