/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk in memory that can lose power. Writes are submitted, then completed in any order; a sync makes
 * stable what was completed before it began. Until then every unit of 512 bytes of every write may or may
 * not survive a power loss, by itself; when only the process dies, completed writes stay and those in flight
 * may tear. Reads see completed writes. Faults on order: failing reads, sectors that never read, lost and
 * misdirected writes, flipped bits. Deterministic: chance comes from the caller's generator.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

#define CW_DEVICE_UNIT    512u
#define CW_DEVICE_BAD_MAX 16u

struct cw_device_write {
    uint8_t *data; /* own copy */
    uint64_t offset;
    uint32_t length;
    bool is_done;
    bool is_synced;
    bool is_dsync;
};

struct cw_device {
    uint8_t *seen;   /* what a read gives */
    uint8_t *stable; /* what the worst power loss leaves */
    uint64_t size;
    struct cw_device_write *writes; /* since the last sync, in order of submission */
    uint32_t write_count, write_capacity;
    uint64_t fail_read_in; /* 0: never; 1: the next read fails, once; ... */
    uint64_t reads;
    uint64_t bad[CW_DEVICE_BAD_MAX]; /* offsets of sectors of 4096 that never read */
    uint32_t bad_count;
    bool lose_next_write;
    uint64_t misdirect_next_write; /* 0: not; else the offset where it goes instead */
};

enum cw_device_crash { CW_DEVICE_PROCESS_DIES, CW_DEVICE_POWER_FAILS };

void cw_device_init(struct cw_device *device, uint64_t size);
void cw_device_fini(struct cw_device *device);
/* Copies the data; returns a number for cw_device_complete, good until it is completed. */
uint32_t cw_device_submit(struct cw_device *device, const void *data, uint32_t length, uint64_t offset,
                          bool dsync);
void cw_device_complete(struct cw_device *device, uint32_t write);
void cw_device_write(struct cw_device *device, const void *data, uint32_t length, uint64_t offset);
/* Makes stable what is completed; what is in flight stays so. */
void cw_device_sync(struct cw_device *device);
bool cw_device_read(struct cw_device *device, void *data, uint32_t length, uint64_t offset);

/* Units of writes that may tear, numbered over all such writes in order of submission: `lands` tells which.
 */
typedef bool (*cw_device_lands)(void *context, uint32_t write, uint64_t unit);
uint64_t cw_device_units(const struct cw_device *device, enum cw_device_crash kind);
void cw_device_crash_by(struct cw_device *device, enum cw_device_crash kind, cw_device_lands lands,
                        void *context);
/* Each unit by chance; a quarter of the writes land whole and a quarter not at all. */
void cw_device_crash(struct cw_device *device, enum cw_device_crash kind, struct cw_rng *rng);
void cw_device_flip(struct cw_device *device, uint64_t offset, uint32_t bit);
/* Copies sectors at rest, in seen and stable. */
void cw_device_copy(struct cw_device *device, uint64_t target, uint64_t source, uint64_t length);
void cw_device_fill(struct cw_device *device, uint64_t offset, uint8_t byte, uint64_t length);
