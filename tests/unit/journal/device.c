/* SPDX-License-Identifier: BSD-3-Clause */
/* See device.h. Two images and a list of writes; simple before fast. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void cw_device_init(struct cw_device *device, uint64_t size)
{
    *device = (struct cw_device){.size = size, .seen = calloc(1, size), .stable = calloc(1, size)};
    CW_ASSERT(device->seen && device->stable);
}

static void forget_writes(struct cw_device *device)
{
    for (uint32_t i = 0; i < device->write_count; i++)
        free(device->writes[i].data);
    device->write_count = 0;
}

void cw_device_fini(struct cw_device *device)
{
    forget_writes(device);
    free(device->writes);
    free(device->seen);
    free(device->stable);
}

uint32_t cw_device_submit(struct cw_device *device, const void *data, uint32_t length, uint64_t offset,
                          bool dsync)
{
    CW_ASSERT(length > 0 && length % CW_DEVICE_UNIT == 0 && offset % CW_DEVICE_UNIT == 0);
    CW_ASSERT(offset + length <= device->size);
    if (device->write_count == device->write_capacity) {
        device->write_capacity = device->write_capacity * 2 + 16;
        device->writes = realloc(device->writes, device->write_capacity * sizeof *device->writes);
        CW_ASSERT(device->writes);
    }
    if (device->misdirect_next_write) {
        offset = device->misdirect_next_write;
        device->misdirect_next_write = 0;
    }
    struct cw_device_write *write = &device->writes[device->write_count];
    *write = (struct cw_device_write){
        .data = malloc(length), .offset = offset, .length = length, .is_dsync = dsync};
    CW_ASSERT(write->data);
    memcpy(write->data, data, length);
    if (device->lose_next_write) { /* the device says done and did nothing */
        memcpy(write->data, device->seen + offset, length);
        device->lose_next_write = false;
    }
    return device->write_count++;
}

void cw_device_complete(struct cw_device *device, uint32_t number)
{
    CW_ASSERT(number < device->write_count);
    struct cw_device_write *write = &device->writes[number];

    CW_ASSERT(!write->is_done);
    write->is_done = true;
    memcpy(device->seen + write->offset, write->data, write->length);
    if (write->is_dsync)
        memcpy(device->stable + write->offset, write->data, write->length);
}

void cw_device_write(struct cw_device *device, const void *data, uint32_t length, uint64_t offset)
{
    cw_device_complete(device, cw_device_submit(device, data, length, offset, false));
}

void cw_device_sync(struct cw_device *device)
{
    bool is_all_done = true;

    for (uint32_t i = 0; i < device->write_count; i++) {
        struct cw_device_write *write = &device->writes[i];

        is_all_done = is_all_done && write->is_done;
        if (write->is_done && !write->is_synced)
            memcpy(device->stable + write->offset, write->data, write->length);
        write->is_synced = write->is_done;
    }
    if (is_all_done)
        forget_writes(device);
}

bool cw_device_read(struct cw_device *device, void *data, uint32_t length, uint64_t offset)
{
    CW_ASSERT(offset + length <= device->size);
    device->reads++;
    if (device->fail_read_in > 0 && --device->fail_read_in == 0)
        return false;
    for (uint32_t i = 0; i < device->bad_count; i++)
        if (device->bad[i] < offset + length && offset < device->bad[i] + 4096)
            return false;
    memcpy(data, device->seen + offset, length);
    return true;
}

static bool may_tear(const struct cw_device_write *write, enum cw_device_crash kind)
{
    if (write->is_synced)
        return false;
    if (!write->is_done)
        return true;
    return kind == CW_DEVICE_POWER_FAILS && !write->is_dsync;
}

uint64_t cw_device_units(const struct cw_device *device, enum cw_device_crash kind)
{
    uint64_t units = 0;

    for (uint32_t i = 0; i < device->write_count; i++)
        if (may_tear(&device->writes[i], kind))
            units += device->writes[i].length / CW_DEVICE_UNIT;
    return units;
}

void cw_device_crash_by(struct cw_device *device, enum cw_device_crash kind, cw_device_lands lands,
                        void *context)
{
    uint64_t unit = 0;

    for (uint32_t i = 0; i < device->write_count; i++) {
        const struct cw_device_write *write = &device->writes[i];
        bool tears = may_tear(write, kind);

        for (uint32_t at = 0; at < write->length && !write->is_synced; at += CW_DEVICE_UNIT)
            if (!tears || lands(context, i, unit++))
                memcpy(device->stable + write->offset + at, write->data + at, CW_DEVICE_UNIT);
    }
    memcpy(device->seen, device->stable, device->size);
    forget_writes(device);
}

struct chance {
    struct cw_rng *rng;
    uint32_t write; /* of which fate tells */
    uint32_t fate;  /* 0 whole, 1 nothing, else by unit */
};

static bool lands_by_chance(void *context, uint32_t write, uint64_t unit)
{
    struct chance *chance = context;

    (void)unit;
    if (write != chance->write) {
        chance->write = write;
        chance->fate = (uint32_t)cw_rng_below(chance->rng, 4);
    }
    if (chance->fate < 2)
        return chance->fate == 0;
    return cw_rng_below(chance->rng, 2) == 0;
}

void cw_device_crash(struct cw_device *device, enum cw_device_crash kind, struct cw_rng *rng)
{
    struct chance chance = {.rng = rng, .write = UINT32_MAX};

    cw_device_crash_by(device, kind, lands_by_chance, &chance);
}

void cw_device_flip(struct cw_device *device, uint64_t offset, uint32_t bit)
{
    device->seen[offset] ^= (uint8_t)(1u << bit);
    device->stable[offset] ^= (uint8_t)(1u << bit);
}

void cw_device_copy(struct cw_device *device, uint64_t target, uint64_t source, uint64_t length)
{
    memmove(device->seen + target, device->seen + source, length);
    memmove(device->stable + target, device->stable + source, length);
}

void cw_device_fill(struct cw_device *device, uint64_t offset, uint8_t byte, uint64_t length)
{
    memset(device->seen + offset, byte, length);
    memset(device->stable + offset, byte, length);
}
