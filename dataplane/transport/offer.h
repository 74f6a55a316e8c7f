/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The offer: what one side of a handshake says in the open, and its bytes.
 *
 * An offer stands in HELLO and in ANSWER, and both are in the transcript that the keys are made with. Its
 * random and its share are fields of those messages (handshake_messages.h); the rest is its *numbers*, a
 * block of CW_OFFER_NUMBERS_SIZE bytes, little-endian, whose layout offer.c alone knows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_RANDOM_SIZE     32u
#define CW_SHARE_SIZE      32u /* X25519 */
#define CW_OFFER_PATHS_MAX 4u

struct cw_path_offer {
    uint64_t name_hash;      /* tells which of the other side's paths it is, when there are several */
    uint32_t spi;            /* the other side is to send to it */
    uint32_t datagram_bytes; /* the largest UDP payload it takes */
    uint16_t fec;            /* blocks of forward error correction that it holds | repairs of each << 12 */
};

struct cw_offer {
    uint8_t random[CW_RANDOM_SIZE];
    uint8_t share[CW_SHARE_SIZE];
    uint32_t window;         /* how far a message number may run ahead of the oldest unfinished one */
    uint32_t path_count;     /* 1..CW_OFFER_PATHS_MAX; the initiator's order numbers the paths */
    uint8_t lane, lane_last; /* which of how many sessions of these two nodes; both sides say the same */
    struct cw_path_offer paths[CW_OFFER_PATHS_MAX];
};

/* u32 window, u8 count of paths, u8 lane, u8 the last lane, a zero, then for each path u64 hash of its name,
 * u32 SPI, u16 datagram bytes, u16 FEC; zeros. */
#define CW_OFFER_NUMBERS_SIZE (8u + 16u * CW_OFFER_PATHS_MAX)

/* Our own offer. */
void cw_offer_write(const struct cw_offer *offer, uint8_t numbers[CW_OFFER_NUMBERS_SIZE]);
/* Foreign bytes. False: a number is impossible, what is to be zero is not, or two paths have one name. */
bool cw_offer_read(const uint8_t random[CW_RANDOM_SIZE], const uint8_t share[CW_SHARE_SIZE],
                   const uint8_t numbers[CW_OFFER_NUMBERS_SIZE], struct cw_offer *offer);

/* Which of the paths of `other` the path `index` of `own` is; CW_OFFER_NO_PATH: none. A single path on both
 * sides is the same one, whatever they call it. */
#define CW_OFFER_NO_PATH UINT32_MAX
uint32_t cw_offer_match(const struct cw_offer *own, uint32_t index, const struct cw_offer *other);
