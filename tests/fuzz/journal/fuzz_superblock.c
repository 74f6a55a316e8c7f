/* SPDX-License-Identifier: BSD-3-Clause */
/* cw_superblock_pick over any sixteen sectors: what it picks is sound, and can be written again as it was. */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "journal/journal.h"
#include "sizes.h"

const size_t cw_fuzz_input_max = CW_FUZZ_INPUT_MAX;

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t sectors[16 * CW_SECTOR_SIZE], again[CW_SECTOR_SIZE];
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
    struct cw_superblock superblock;
    uint32_t homes[2];

    memset(sectors, 0, sizeof sectors);
    memcpy(sectors, data, CW_MIN(size, sizeof sectors));
    enum cw_status status = cw_superblock_pick(sectors, &superblock, classes);
    CW_ASSERT(status == CW_OK || status == CW_NOT_FOUND || status == CW_CORRUPT);
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++)
        CW_ASSERT((unsigned)classes[i] < CW_SECTOR_CLASS_COUNT);
    if (status != CW_OK)
        return 0;
    CW_ASSERT(superblock.ring_sectors >= CW_JOURNAL_RING_SECTORS_MIN);
    cw_superblock_encode(&superblock, again);
    cw_superblock_homes(superblock.generation, homes);
    /* unknown flag bits are dropped on the way back: sound bytes with such are not made by us */
    CW_ASSERT(memcmp(again, sectors + homes[0] * CW_SECTOR_SIZE, 8) == 0 ||
              memcmp(again, sectors + homes[1] * CW_SECTOR_SIZE, 8) == 0);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    memset(data, 0, 16 * CW_SECTOR_SIZE);
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++) {
        struct cw_superblock superblock = {.generation = 1 + cw_rng_below(rng, 5),
                                           .ring_sectors = CW_FUZZ_RING_SECTORS + cw_rng_below(rng, 1000),
                                           .journal_id = {cw_rng_below(rng, 2), 1},
                                           .tail_position = cw_rng_next(rng) >> 2,
                                           .image_state = 1 + (uint32_t)cw_rng_below(rng, 3),
                                           .volume_count = (uint32_t)cw_rng_below(rng, 65),
                                           .history.count = (uint32_t)cw_rng_below(rng, 33)};
        uint32_t homes[2];

        cw_superblock_homes(superblock.generation, homes);
        cw_superblock_encode(&superblock, data + homes[i % 2] * CW_SECTOR_SIZE);
    }
    return 16 * CW_SECTOR_SIZE;
}
