/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The datagram: a PSP header, 24 clear but authenticated bytes of ours, a sealed payload, the tag.
 *
 *  PSP, 16 bytes, big-endian (github google/psp, PSP Architecture Specification):
 *   0  u8  next header (254: experiments)   1  u8  extension length (1)   2  u8  crypt offset (6 words)
 *   3  u8  S 0, D 0, version 1 (AES-GCM-256), V 0, 1                      4  u32 SPI      8  u64 IV
 *
 *  Ours, 24 bytes, little-endian:
 *  16  u8  version << 4 | type   17  u8  flags | lane << 2   18  u16 session   20  u32 time, 128 ns ticks
 *  24  u16 length of the sealed payload           26  u8  stream    27  u8  FEC repairs of the block
 *  28  u24 FEC block             31  u8  FEC index                  32  u64 position
 *  40  payload                   then 16 bytes of tag
 *
 * The IV is the packet number, from 1; it goes on when the SPI steps to the next generation of the key.
 * Position counts the messages of a stream, not its bytes, so that a receiver knows what it has by a table
 * indexed by it; where a fragment lies inside its message is said by the sealed DATA frame. SPI 0, which PSP
 * reserves, carries handshakes: not sealed, their last 16 bytes are a MAC. The session number is the low half
 * of the SPI, for whoever reads a capture.
 *
 * FEC repairs 0: the packet is in no block. A REPAIR has its row as index, the number of its block's sources
 * as stream, the number of the path whose block it is as position, and as payload the bare symbol; what that
 * covers is said in transport/session_fec.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define CW_PSP_HEADER_SIZE    16u
#define CW_PACKET_CLEAR_SIZE  24u
#define CW_PACKET_HEADER_SIZE (CW_PSP_HEADER_SIZE + CW_PACKET_CLEAR_SIZE) /* the AAD of the seal */
#define CW_PACKET_TAG_SIZE    16u
#define CW_PACKET_OVERHEAD    (CW_PACKET_HEADER_SIZE + CW_PACKET_TAG_SIZE)
#define CW_PACKET_IV_SIZE     12u
#define CW_PACKET_VERSION     3u
#define CW_PACKET_TICK_NS     128u
#define CW_PACKET_BYTES_MAX   65507u /* of a UDP payload over IPv4 */
#define CW_SPI_HANDSHAKE      0u
#define CW_PACKET_PATHS_MAX   4u /* of a session */

#define CW_PSP_NEXT_HEADER      254u
#define CW_PSP_EXTENSION_LENGTH 1u
#define CW_PSP_CRYPT_OFFSET     (CW_PACKET_CLEAR_SIZE / 4u)
#define CW_PSP_VERSION_BYTE     0x05u /* version 1 in bits 5..2, bit 0 always 1 */

static_assert(CW_PACKET_CLEAR_SIZE % 4 == 0 && CW_PSP_CRYPT_OFFSET < 64, "PSP counts words in six bits");

enum cw_packet_type {
    CW_PACKET_NONE = 0,
    CW_PACKET_DATA,
    CW_PACKET_CONTROL,
    CW_PACKET_HANDSHAKE,
    CW_PACKET_REPAIR,
    CW_PACKET_TYPE_COUNT
};

#define CW_PACKET_ACK_WANTED     0x01u
#define CW_PACKET_RETRANSMISSION 0x02u
#define CW_PACKET_FLAGS_KNOWN    0x03u
/* Two nodes have as many sessions as each has net lcores, numbered: lanes. This says which one a datagram is
 * of, also a handshake, to whoever receives it before any key is looked at. */
#define CW_PACKET_LANE_AT    17u
#define CW_PACKET_LANE_SHIFT 2u
#define CW_LANES_MAX         4u

struct cw_packet {
    uint32_t spi;
    uint64_t iv;
    uint8_t type; /* enum cw_packet_type */
    uint8_t flags;
    uint8_t lane;   /* below CW_LANES_MAX */
    uint8_t stream; /* of a handshake: which message; of a repair: how many sources */
    uint8_t fec_repairs;
    uint8_t fec_index;
    uint32_t fec_block; /* 24 bits */
    uint16_t session;
    uint16_t length;   /* of the payload without the tag */
    uint32_t ticks;    /* the sender's clock, CW_PACKET_TICK_NS each, modulo 2^32 */
    uint64_t position; /* of a repair: the path whose block it is */
};

enum cw_packet_error {
    CW_PACKET_OK = 0,
    CW_PACKET_SHORT,   /* no room for headers and tag */
    CW_PACKET_BAD_PSP, /* not the one shape of PSP header that we send */
    CW_PACKET_BAD_VERSION,
    CW_PACKET_BAD_TYPE,
    CW_PACKET_BAD_FIELD,    /* SPI or block, and a type to which it does not belong */
    CW_PACKET_BAD_LENGTH,   /* length disagrees with the datagram's */
    CW_PACKET_BAD_RESERVED, /* what is to be 0 is not */
    CW_PACKET_ERROR_COUNT
};

/* Our own struct. Writes exactly CW_PACKET_HEADER_SIZE bytes. */
void cw_packet_encode(const struct cw_packet *packet, uint8_t *bytes);
/* Foreign bytes, a whole UDP payload. Nothing here is authenticated yet. */
enum cw_packet_error cw_packet_check(const uint8_t *datagram, size_t length, struct cw_packet *packet);
/* Of foreign bytes of any length; what is too short for a datagram is lane 0's to drop. */
static inline uint32_t cw_packet_lane(const uint8_t *datagram, size_t length)
{
    return length < CW_PACKET_OVERHEAD
               ? 0
               : (uint32_t)datagram[CW_PACKET_LANE_AT] >> CW_PACKET_LANE_SHIFT & (CW_LANES_MAX - 1);
}
/* The nonce of the seal: SPI || IV, as they stand in the header. */
static inline void cw_packet_nonce(const uint8_t *datagram, uint8_t nonce[CW_PACKET_IV_SIZE])
{
    memcpy(nonce, datagram + 4, CW_PACKET_IV_SIZE);
}
