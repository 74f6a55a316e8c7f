/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the messages of the handshake have their fields. Each is the clear header of packet.h, the fields
 * below, zeros, and in the last 16 bytes the MAC. Fields are arrays of bytes, so these structs are the
 * layout, to the byte, on any machine: a datagram is looked at through them in place. Numbers in them are
 * little-endian.
 *
 * No message but CARRY is of another size than CW_HANDSHAKE_BYTES; CARRY's bytes go up to its MAC, which ends
 * the datagram.
 */
#pragma once

#include <stddef.h>

#include "base/assert.h"
#include "transport/frames.h"
#include "transport/handshake.h"
#include "wire/packet.h"

/* All but HELLO begin with the initiator's random: whose attempt it is about. HELLO's own random is that. */
struct cw_handshake_head {
    uint8_t header[CW_PACKET_HEADER_SIZE];
    uint8_t initiators_random[CW_RANDOM_SIZE];
};

struct cw_handshake_hello {
    uint8_t header[CW_PACKET_HEADER_SIZE];
    uint8_t random[CW_RANDOM_SIZE];
    uint8_t share[CW_SHARE_SIZE];
    uint8_t cookie[CW_HASH_SIZE]; /* zeros: it asks for one */
    uint8_t numbers[CW_OFFER_NUMBERS_SIZE];
};

struct cw_handshake_cookie {
    struct cw_handshake_head head;
    uint8_t cookie[CW_HASH_SIZE];
};

struct cw_handshake_answer {
    struct cw_handshake_head head;
    uint8_t random[CW_RANDOM_SIZE];
    uint8_t share[CW_SHARE_SIZE];
    uint8_t numbers[CW_OFFER_NUMBERS_SIZE];
    uint8_t confirm[CW_HASH_SIZE]; /* zeros with certificates */
};

struct cw_handshake_confirm {
    struct cw_handshake_head head;
    uint8_t responders_random[CW_RANDOM_SIZE];
    uint8_t confirm[CW_HASH_SIZE];
};

struct cw_handshake_carry {
    struct cw_handshake_head head;
    uint8_t responders_random[CW_RANDOM_SIZE];
    uint8_t got[4];    /* u32: bytes of the other stream that came */
    uint8_t offset[4]; /* u32: of these in the sender's stream */
    uint8_t bytes[];
};
#define CW_HANDSHAKE_CARRY_OVERHEAD (sizeof(struct cw_handshake_carry) + CW_MAC_SIZE)

/* PROTOCOL.md has these numbers. */
static_assert(_Alignof(struct cw_handshake_answer) == 1 && _Alignof(struct cw_handshake_carry) == 1,
              "nothing but bytes: no padding");
static_assert(offsetof(struct cw_handshake_head, initiators_random) == 40, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_hello, random) == 40, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_hello, share) == 72, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_hello, cookie) == 104, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_hello, numbers) == 136, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_cookie, cookie) == 72, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_answer, random) == 72, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_answer, share) == 104, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_answer, numbers) == 136, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_answer, confirm) == 208, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_confirm, responders_random) == 72, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_confirm, confirm) == 104, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_carry, got) == 104, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_carry, offset) == 108, "as in PROTOCOL.md");
static_assert(offsetof(struct cw_handshake_carry, bytes) == 112, "as in PROTOCOL.md");

static_assert(CW_MAC_SIZE == CW_PACKET_TAG_SIZE, "the MAC stands where a sealed packet has its tag");
static_assert(sizeof(struct cw_handshake_answer) + CW_MAC_SIZE <= CW_HANDSHAKE_BYTES,
              "ANSWER, the longest, fits");
static_assert(CW_HANDSHAKE_CARRY_OVERHEAD < CW_DATAGRAM_BYTES_MIN,
              "a CARRY has room for bytes in any datagram");
