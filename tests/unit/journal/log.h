/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal on a test device, driven by hand: what the engine's shell does, without an engine. Record
 * contents follow from (epoch, sequence), so that what recovery yields can be checked against nothing else.
 */
#pragma once

#include "base/arena.h"
#include "device.h"
#include "journal/batch_format.h"
#include "journal/journal.h"

#define LOG_GROUP        7u
#define LOG_SLOTS        4u
#define LOG_RECORDS_MAX  20000u
#define LOG_RING_SECTORS CW_JOURNAL_RING_SECTORS_MIN

struct log_found { /* what a recovery yielded */
    uint32_t count;
    uint64_t sequences[LOG_RECORDS_MAX];
    uint64_t epochs[LOG_RECORDS_MAX];
    uint64_t positions[LOG_RECORDS_MAX];
    uint32_t sectors[LOG_RECORDS_MAX];
    struct cw_recovery_report report;
};

struct log {
    struct cw_device device;
    struct cw_superblock superblock;
    struct cw_journal *journal;
    void *memory;
    uint8_t *payloads[CW_BATCH_RECORDS_MAX * LOG_SLOTS]; /* borrowed by the journal until written */
    uint32_t payload_count;
    uint32_t writes[LOG_SLOTS][CW_BATCH_SEGMENTS_MAX];
    uint64_t epoch;
    uint64_t next_sequence;
};

void log_make_payload(uint64_t epoch, uint64_t sequence, uint8_t *payload, uint32_t length);
/* kind, volume, offset and length are the caller's; the rest is made. length 0 for a marker. */
struct cw_record log_make_record(uint64_t epoch, uint64_t sequence, uint8_t kind, uint32_t length,
                                 uint8_t *payload);

void log_init(struct log *log, uint64_t ring_sectors);
void log_fini(struct log *log);
/* A new journal object over what recovery found (NULL: fresh), its index filled record by record. */
void log_start(struct log *log, const struct log_found *found);
void log_stop(struct log *log);
/* Adds the next record, which the test has room for; false if it does not fit the open batch. */
bool log_add(struct log *log, uint8_t kind, uint32_t length);
/* Closes and submits; returns the slot. */
uint32_t log_submit(struct log *log, uint64_t commit, bool dsync);
void log_complete(struct log *log, uint32_t slot);
/* begin, one record, submit, complete */
void log_put(struct log *log, uint32_t length);
void log_sync(struct log *log);
/* The whole dance: superblock first (in log->superblock, taken as durable at once), then the ring. */
void log_release(struct log *log, uint64_t sequence);
/* Reads the device with fresh memory; every record is checked byte by byte. */
void log_recover(struct log *log, uint64_t floor_sequence, struct log_found *found);

/* A test that has one log, fresh and started: cmocka's setup and teardown. */
extern struct log log_;
int log_setup(void **state);
int log_teardown(void **state);
