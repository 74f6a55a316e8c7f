/* SPDX-License-Identifier: BSD-3-Clause */
/* The append side's own structs: private to journal/ (append.c owns them, index.c reads its part). */
#pragma once

#include "journal/batch_format.h"
#include "journal/index.h"

/* Staging memory of a slot holds what is not written from where it lies: the header sector and copied
 * payloads. 256 KiB of copies: sixty-four 4 KiB records, more than a header can name. */
#define CW_BATCH_STAGING_SIZE (CW_SECTOR_SIZE + 256u * 1024u)
/* Sectors kept for batches without records when the ring is full of records: see cw_journal_room. */
#define CW_JOURNAL_RESERVE_SECTORS 128u
#define CW_BATCH_SLOTS_MAX         32u

static_assert(CW_BATCH_RECORDS_MAX * CW_SECTOR_SIZE <= CW_BATCH_STAGING_SIZE - CW_SECTOR_SIZE,
              "a batch full of 4 KiB records is one segment");
static_assert(CW_JOURNAL_RESERVE_SECTORS > CW_BATCH_FILLER_SECTORS_MAX + 1,
              "the reserve holds a filler and a batch without records, wherever the ring's end is");
static_assert(CW_JOURNAL_RING_SECTORS_MIN > CW_JOURNAL_RESERVE_SECTORS + CW_BATCH_SECTORS_MAX +
                                                CW_BATCH_FILLER_SECTORS_MAX + CW_BATCH_ONE_RECORD_SECTORS,
              "with one batch kept as tail there is always room for one more record");

/* An unbroken run from the log's beginning. */
struct cw_journal_mark {
    uint64_t number;        /* of the batch after the run */
    uint64_t sequence;      /* of its last record */
    uint64_t commit;        /* highest carried in it */
    uint64_t last_position; /* of its last batch; the tail's when none is known */
    uint64_t end_position;  /* where it ends */
};

enum cw_journal_slot_state {
    CW_SLOT_FREE = 0, /* waits for begin */
    CW_SLOT_OPEN,     /* waits for close */
    CW_SLOT_FLYING,   /* waits for written */
    CW_SLOT_WRITTEN   /* waits for the batches before it */
};

struct cw_journal_slot {
    struct cw_journal_batch batch;
    uint8_t *filler;       /* one sector */
    uint8_t *staging;      /* header sector, then copies; runs of it are segments */
    uint32_t staged;       /* bytes of staging in use */
    uint32_t laid_out;     /* bytes of the batch so far, as they will lie on the device */
    uint32_t header_dirty; /* bytes of the header sector that may be other than zero */
    uint32_t filler_sectors;
    bool is_run_open; /* the last segment is staging and still grows */
    uint8_t state;    /* enum cw_journal_slot_state */
};

struct cw_journal {
    struct cw_journal_config config;
    uint64_t head_position; /* of the next batch, or of the open one (its filler) */
    uint64_t tail_position;
    uint64_t next_number;
    uint64_t chain;
    uint64_t last_sequence; /* of the last record added */
    uint64_t answered;      /* to be told by batches; 0: nothing */
    struct cw_journal_mark written, durable, syncing;
    struct {
        uint64_t sequence, position; /* what release_position last said */
        bool is_made;
    } promise;
    uint64_t opened;  /* batches ever opened; slot is this & mask */
    uint64_t retired; /* of those, the unbroken run that is written */
    bool is_started, is_open, is_syncing;
    struct cw_journal_index index;
    struct cw_journal_slot slots[CW_BATCH_SLOTS_MAX];
};
