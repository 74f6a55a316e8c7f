/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/offer.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "transport/frames.h"
#include "wire/packet.h"

enum { /* of the numbers */
       WINDOW_AT = 0,
       PATH_COUNT_AT = 4,
       LANE_AT = 5,
       LANE_LAST_AT = 6, /* and a zero */
       PATHS_AT = 8,
};
enum { /* of a path in them */
       PATH_NAME_AT = 0,
       PATH_SPI_AT = 8,
       PATH_BYTES_AT = 12,
       PATH_FEC_AT = 14,
       PATH_SIZE = 16,
};
static_assert(PATHS_AT + PATH_SIZE * CW_OFFER_PATHS_MAX == CW_OFFER_NUMBERS_SIZE, "the paths are the rest");
static_assert(CW_PACKET_BYTES_MAX <= UINT16_MAX, "the size of a datagram fits its field");

static void path_write(const struct cw_path_offer *path, uint8_t *at)
{
    cw_store64le(at + PATH_NAME_AT, path->name_hash);
    cw_store32le(at + PATH_SPI_AT, path->spi);
    cw_store16le(at + PATH_BYTES_AT, (uint16_t)path->datagram_bytes);
    cw_store16le(at + PATH_FEC_AT, path->fec);
}

void cw_offer_write(const struct cw_offer *offer, uint8_t numbers[CW_OFFER_NUMBERS_SIZE])
{
    CW_ASSERT(offer->path_count >= 1);
    CW_ASSERT(offer->path_count <= CW_OFFER_PATHS_MAX);
    memset(numbers, 0, CW_OFFER_NUMBERS_SIZE);
    cw_store32le(numbers + WINDOW_AT, offer->window);
    numbers[PATH_COUNT_AT] = (uint8_t)offer->path_count;
    numbers[LANE_AT] = offer->lane;
    numbers[LANE_LAST_AT] = offer->lane_last;
    for (uint32_t i = 0; i < offer->path_count; i++)
        path_write(&offer->paths[i], numbers + PATHS_AT + PATH_SIZE * i);
}

static bool path_read(const uint8_t *at, struct cw_path_offer *path)
{
    path->name_hash = cw_load64le(at + PATH_NAME_AT);
    path->spi = cw_load32le(at + PATH_SPI_AT);
    path->datagram_bytes = cw_load16le(at + PATH_BYTES_AT);
    path->fec = cw_load16le(at + PATH_FEC_AT);
    return path->spi != CW_SPI_HANDSHAKE && path->datagram_bytes >= CW_DATAGRAM_BYTES_MIN &&
           path->datagram_bytes <= CW_PACKET_BYTES_MAX;
}

static bool has_equal_names(const struct cw_offer *offer)
{
    for (uint32_t i = 0; i < offer->path_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (offer->paths[i].name_hash == offer->paths[j].name_hash)
                return true;
    return false;
}

bool cw_offer_read(const uint8_t random[CW_RANDOM_SIZE], const uint8_t share[CW_SHARE_SIZE],
                   const uint8_t numbers[CW_OFFER_NUMBERS_SIZE], struct cw_offer *offer)
{
    uint8_t again[CW_OFFER_NUMBERS_SIZE];
    *offer = (struct cw_offer){.window = cw_load32le(numbers + WINDOW_AT),
                               .path_count = numbers[PATH_COUNT_AT],
                               .lane = numbers[LANE_AT],
                               .lane_last = numbers[LANE_LAST_AT]};
    memcpy(offer->random, random, sizeof offer->random);
    memcpy(offer->share, share, sizeof offer->share);
    if (offer->window == 0 || offer->path_count < 1 || offer->path_count > CW_OFFER_PATHS_MAX)
        return false;
    if (offer->lane > offer->lane_last || offer->lane_last >= CW_LANES_MAX)
        return false;
    for (uint32_t i = 0; i < offer->path_count; i++)
        if (!path_read(numbers + PATHS_AT + PATH_SIZE * i, &offer->paths[i]))
            return false;
    cw_offer_write(offer, again); /* what is to be zero is */
    return memcmp(again, numbers, sizeof again) == 0 && !has_equal_names(offer);
}

uint32_t cw_offer_match(const struct cw_offer *own, uint32_t index, const struct cw_offer *other)
{
    CW_ASSERT(index < own->path_count);
    if (own->path_count == 1 && other->path_count == 1)
        return 0;
    for (uint32_t i = 0; i < other->path_count; i++)
        if (other->paths[i].name_hash == own->paths[index].name_hash)
            return i;
    return CW_OFFER_NO_PATH;
}
