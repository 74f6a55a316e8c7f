/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk: what a reader sees now (live: page cache and finished writes) over what power loss leaves
 * (durable), in units of 512 bytes. kill -9 keeps the live side; power loss decides for every unsynced unit
 * by itself. A sync makes durable what was written when it began; a unit written again meanwhile stays dirty
 * too.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

void disk_init(struct disk *disk, uint64_t size)
{
    CW_ASSERT(size % SIM_BLOCK == 0);
    *disk = (struct disk){.size = size};
    disk->live = calloc(1, size);
    disk->durable = calloc(1, size);
    disk->flags = calloc(1, size / SIM_BLOCK);
    CW_ASSERT(disk->live && disk->durable && disk->flags);
}

void disk_fini(struct disk *disk)
{
    free(disk->live);
    free(disk->durable);
    free(disk->flags);
    *disk = (struct disk){0};
}

static void write_unit(struct disk *disk, uint64_t at, const uint8_t *data)
{
    if (data)
        memcpy(disk->live + at, data, SIM_BLOCK);
    else
        memset(disk->live + at, 0, SIM_BLOCK);
    disk->flags[at / SIM_BLOCK] |= DISK_DIRTY;
}

static void check_range(const struct disk *disk, uint64_t offset, uint64_t length)
{
    CW_ASSERT(offset % SIM_BLOCK == 0);
    CW_ASSERT(length % SIM_BLOCK == 0);
    CW_ASSERT(offset <= disk->size && length <= disk->size - offset && "the group stays inside its files");
}

void disk_write(struct disk *disk, uint64_t offset, const uint8_t *data, uint64_t length)
{
    check_range(disk, offset, length);
    for (uint64_t done = 0; done < length; done += SIM_BLOCK)
        write_unit(disk, offset + done, data ? data + done : NULL);
}

/* As a crash in the middle leaves it: any of the units, in no order. */
void disk_write_some(struct disk *disk, struct cw_rng *rng, uint64_t offset, const uint8_t *data,
                     uint64_t length)
{
    uint64_t odds = cw_rng_below(rng, 5);

    check_range(disk, offset, length);
    for (uint64_t done = 0; done < length; done += SIM_BLOCK)
        if (cw_rng_below(rng, 4) < odds)
            write_unit(disk, offset + done, data ? data + done : NULL);
}

void disk_make_durable(struct disk *disk, uint64_t offset, uint64_t length)
{
    check_range(disk, offset, length);
    memcpy(disk->durable + offset, disk->live + offset, length);
    memset(disk->flags + offset / SIM_BLOCK, 0, length / SIM_BLOCK);
}

/* The first unit from here on that may have flags: most have none. */
static uint64_t next_flagged(const struct disk *disk, uint64_t unit)
{
    uint64_t units = disk->size / SIM_BLOCK, eight;

    for (; unit + sizeof eight <= units; unit += sizeof eight) {
        memcpy(&eight, disk->flags + unit, sizeof eight);
        if (eight)
            break;
    }
    return unit;
}

void disk_sync_begin(struct disk *disk)
{
    uint64_t units = disk->size / SIM_BLOCK;

    for (uint64_t unit = next_flagged(disk, 0); unit < units; unit = next_flagged(disk, unit + 1))
        if (disk->flags[unit] & DISK_DIRTY)
            disk->flags[unit] = DISK_SYNCING;
}

void disk_sync_end(struct disk *disk)
{
    uint64_t units = disk->size / SIM_BLOCK;

    for (uint64_t unit = next_flagged(disk, 0); unit < units; unit = next_flagged(disk, unit + 1))
        if (disk->flags[unit] & DISK_SYNCING) {
            memcpy(disk->durable + unit * SIM_BLOCK, disk->live + unit * SIM_BLOCK, SIM_BLOCK);
            disk->flags[unit] &= (uint8_t)~DISK_SYNCING;
        }
}

void disk_power_loss(struct disk *disk, struct cw_rng *rng)
{
    uint64_t odds = cw_rng_below(rng, 5); /* 0: nothing unsynced survives; 4: all of it */

    for (uint64_t unit = 0; unit < disk->size / SIM_BLOCK; unit++) {
        if (!disk->flags[unit])
            continue;
        uint8_t *live = disk->live + unit * SIM_BLOCK, *durable = disk->durable + unit * SIM_BLOCK;
        if (cw_rng_below(rng, 4) < odds)
            memcpy(durable, live, SIM_BLOCK);
        else
            memcpy(live, durable, SIM_BLOCK);
        disk->flags[unit] = 0;
    }
}

/* Latent corruption: bits turn on the media and in what is read. */
void disk_rot(struct disk *disk, struct cw_rng *rng, uint64_t offset, uint64_t length)
{
    check_range(disk, offset, length);
    for (uint64_t i = 0; i < length; i += 64 + cw_rng_below(rng, 512)) {
        uint8_t bit = (uint8_t)(1u << cw_rng_below(rng, 8));
        disk->live[offset + i] ^= bit;
        disk->durable[offset + i] ^= bit;
    }
}
