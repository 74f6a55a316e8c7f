/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log of a group: a ring of 4 KiB sectors filled by batches, each written with one flight of I/O (group
 * commit). Pure: it plans writes and understands reads; the shell moves the bytes.
 *
 * A *position* counts sectors since the journal began and never wraps; its place on the device is
 * CW_JOURNAL_RING_SECTOR + position % ring_sectors. A batch never wraps around the end of the ring: a filler
 * batch takes the rest when the next one does not fit.
 *
 *     batch = header sector | payloads, each at a multiple of 512 (of 4096 from 4 KiB on)
 *     header = magic, version, journal id, position, batch number, sectors, record count,
 *              chain (hash of the previous batch's header), how far the log was written and durable when it
 *              was closed (sequences and positions), commit sequence, tail position, up to 62 record headers,
 *              check over all of that. README.md draws it byte by byte.
 *
 * The chain ties a batch to the very batch before it, so that after a crash a leftover of a cut branch or
 * of an earlier lap can never be taken for the continuation; a start after recovery takes batch numbers that
 * no leftover has, so that not even equal content makes equal chains. The written and durable positions tell
 * a torn tail from damage: when a later sound batch says that a lost place had been durable, losing it is
 * damage; when it says written but not durable, it is what a power loss may do to a volatile cache and what
 * the death of a process alone may not. Both are reported, neither is cut in silence.
 *
 * The tail always names a durable batch of the log (position 0 apart), so that recovery, which knows no chain
 * to expect there, cannot begin on a leftover.
 *
 * Sequences in the log rise by one, but after a cut the log goes on, at a later position, with a smaller
 * sequence of a newer epoch: the newer record wins, and the history in the superblock says which count.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "journal/superblock.h"

#define CW_BATCH_RECORDS_MAX 62u
#define CW_BATCH_PAYLOAD_MAX (1024u * 1024u)
#define CW_BATCH_SECTORS_MAX (1u + CW_BATCH_PAYLOAD_MAX / CW_SECTOR_SIZE)
#define CW_BATCH_COPY_MAX (16u * 1024u)      /* payloads up to this are copied beside the header; larger are written from where they lie */
#define CW_BATCH_SEGMENTS_MAX 72u
#define CW_JOURNAL_RING_SECTORS_MIN (4u * CW_BATCH_SECTORS_MAX)

struct cw_journal_segment {
    const uint8_t *data; /* 4096-aligned unless borrowed payload is not */
    uint32_t length;     /* a multiple of 512, of 4096 when it can be */
    uint64_t offset;     /* bytes on the device */
};

struct cw_journal_batch {
    uint32_t slot;
    uint32_t record_count;
    uint64_t number;
    uint64_t position;
    uint32_t sectors;
    uint64_t first_sequence, last_sequence; /* of its records; 0,0 when it has none */
    uint64_t commit;                        /* commit sequence it carries */
    bool is_dsync;                          /* to be written with RWF_DSYNC: all before it is durable already */
    uint32_t segment_count;
    struct cw_journal_segment segments[CW_BATCH_SEGMENTS_MAX];
};

struct cw_journal_config {
    uint64_t ring_sectors; /* >= CW_JOURNAL_RING_SECTORS_MIN */
    uint64_t journal_id[2];
    uint32_t group;
    uint32_t batch_slots;  /* batches open or in flight, a power of two, 2..32 */
};

/* Where a log stands; what recovery finds and cw_journal_start takes. A fresh journal: all zero. */
struct cw_journal_tip {
    uint64_t head_position; /* next batch goes here */
    uint64_t next_number;
    uint64_t chain;
    uint64_t tail_position;
    uint64_t last_sequence; /* of the last sound record; all of it counts as written and, after a sync, durable */
    uint64_t commit;        /* the highest commit sequence in a sound batch */
};

struct cw_journal; /* size known only to journal/ */

struct cw_journal *cw_journal_new(const struct cw_journal_config *config, struct cw_arena *arena);
/* Begins to append. The index of what is already in the ring is fed by cw_journal_index_add, before or after. */
void cw_journal_start(struct cw_journal *journal, const struct cw_journal_tip *tip);

/* Opens a batch. NULL: no slot free (wait for a write to finish) or not even room for a header and filler. */
struct cw_journal_batch *cw_journal_begin(struct cw_journal *journal);
/* Adds a record to the open batch; payload is borrowed until the batch is written (small ones are copied now).
 * false: it does not fit in this batch (close it and begin another) or the ring is full (room says which). */
bool cw_journal_add(struct cw_journal *journal, const struct cw_record *record, const uint8_t *payload);
/* Sectors that new batches may still take before the tail is hit. A record needs at most
 * cw_journal_sectors_for(record) in a batch of its own, filler included. A reserve is kept back for batches
 * without records: a ring full of records can still carry the commit sequence that lets them be released. */
uint64_t cw_journal_room(const struct cw_journal *journal);
uint64_t cw_journal_sectors_for(uint32_t payload_length);
/* Closes the open batch: header sealed, segments filled, may be written now. `dsync` asks for RWF_DSYNC; it is
 * granted (batch->is_dsync) only if everything before is durable. A batch without records only carries commit.
 * What is carried (batch->commit) is at most the log's last sequence: a promise about records that are not
 * here yet must not outlive a cut. A filler, where one was needed, is a segment of the same batch. */
const struct cw_journal_batch *cw_journal_close(struct cw_journal *journal, uint64_t commit, bool dsync);
/* Answers to the writers of this log's last reign have gone out up to here: batches that are closed from now on
 * say so, for whoever counts losses one day. 0: nothing is told. A cut, and a new start, forget it. */
void cw_journal_answered(struct cw_journal *journal, uint64_t sequence);
/* All segments of the slot's batch are written. Out-of-order finishes are fine. */
void cw_journal_written(struct cw_journal *journal, uint32_t slot);
const struct cw_journal_batch *cw_journal_batch(const struct cw_journal *journal, uint32_t slot);

/* A sync that starts now covers what is written now: begin takes the mark, end (after success) makes it
 * durable. One at a time. */
bool cw_journal_sync_is_needed(const struct cw_journal *journal);
void cw_journal_sync_begin(struct cw_journal *journal);
void cw_journal_sync_end(struct cw_journal *journal);

/* Unbroken runs. durable_commit: the highest commit carried by a durable batch: apply may go up to it. */
uint64_t cw_journal_written_sequence(const struct cw_journal *journal);
uint64_t cw_journal_durable_sequence(const struct cw_journal *journal);
uint64_t cw_journal_durable_commit(const struct cw_journal *journal);
uint64_t cw_journal_head_position(const struct cw_journal *journal);
uint64_t cw_journal_tail_position(const struct cw_journal *journal);
uint64_t cw_journal_ring_sectors(const struct cw_journal *journal);
bool cw_journal_is_idle(const struct cw_journal *journal); /* nothing open or in flight */

/* Frees the ring up to the batch that holds `sequence` + 1, but never beyond the last durable batch: all
 * records <= sequence are no longer needed by anyone, durably so (superblock). Moves the tail to what
 * release_position(sequence) said; returns the new tail position. */
uint64_t cw_journal_release(struct cw_journal *journal, uint64_t sequence);
/* What release(sequence) will make the tail position: goes into the superblock first. The answer is kept, so
 * that the release after the superblock is durable goes exactly there however far the log went on meanwhile:
 * ask only for a superblock that is about to be written, and one at a time. */
uint64_t cw_journal_release_position(struct cw_journal *journal, uint64_t sequence);
/* Sectors that release(sequence) would free as the log stands: a question without a promise. */
uint64_t cw_journal_release_gain(const struct cw_journal *journal, uint64_t sequence);
/* Forgets what is above sequence (it was cut: the next record added is sequence + 1). Idle only. */
void cw_journal_cut(struct cw_journal *journal, uint64_t sequence);
/* Begins an empty log under a new journal id (after a copy, or when damage was found): position 0, nothing in
 * the ring, the next record is last_sequence + 1. Idle only. The superblock with the new id, and with tail and
 * start position and start number 0, goes first. */
void cw_journal_reset(struct cw_journal *journal, const uint64_t journal_id[2], uint64_t last_sequence);

/* Index: which batch holds a sequence? Memory: fixed, sized by the ring. */
void cw_journal_index_add(struct cw_journal *journal, uint64_t position, uint32_t sectors, uint64_t first_sequence,
                          uint64_t last_sequence);
/* CW_OK and where to read; CW_NOT_FOUND: no longer (or not yet) in the ring. */
enum cw_status cw_journal_find(const struct cw_journal *journal, uint64_t sequence, uint64_t *position,
                               uint32_t *sectors) CW_MUST_CHECK;
/* Lowest sequence that can be found; 0 when none. */
uint64_t cw_journal_oldest_sequence(const struct cw_journal *journal);
static inline uint64_t cw_journal_device_offset(uint64_t position, uint64_t ring_sectors)
{
    return (CW_JOURNAL_RING_SECTOR + position % ring_sectors) * CW_SECTOR_SIZE;
}

/* ---- Reading: a batch as read from the device ---- */

struct cw_batch_view {
    uint64_t position, number, chain_before, chain, commit, written_sequence, durable_sequence, tail_position;
    uint64_t written_position, durable_position; /* all before was written, durable when it was closed */
    uint64_t answered; /* writes of the last record's reign up to here had been answered; 0: not told */
    uint32_t sectors, record_count, group;
    bool is_filler;
    const uint8_t *bytes; /* borrowed */
};

/* Looks at a header sector read at `position`'s place. length: bytes available from it on, at least one sector.
 * The view is filled in whenever the sector is a sound header of this journal: VALID, STALE, MISDIRECTED. */
enum cw_sector_class cw_batch_check(const uint8_t *bytes, size_t length, uint64_t position, uint64_t ring_sectors,
                                    const uint64_t journal_id[2], struct cw_batch_view *view);
/* Record i of a batch whose `sectors` are all present in bytes. CW_CORRUPT: payload or header does not match
 * its hash. *payload borrows from bytes; NULL when there is none. */
enum cw_status cw_batch_record(const struct cw_batch_view *view, uint32_t i, struct cw_record *record,
                               const uint8_t **payload) CW_MUST_CHECK;

/* ---- Recovery: a scan that asks for reads ---- */

#define CW_ANSWERED_MAX 16u
/* Writes of one reign, up to this sequence, surely were answered; of later ones the log does not know. */
struct cw_answered {
    uint64_t epoch, reign, sequence;
};

struct cw_recovery_report {
    struct cw_journal_tip tip;
    uint32_t answered_count; /* of the last reigns that the log has records of and that told it, oldest first */
    struct cw_answered answered[CW_ANSWERED_MAX];
    uint64_t batches, records, bytes;
    uint64_t sectors[CW_SECTOR_CLASS_COUNT]; /* of the whole ring as far as it was read */
    uint64_t read_errors;     /* sectors that the device would not give, also when asked for alone */
    bool is_damaged;          /* what a later batch calls durable, or the superblock written, is unreadable */
    bool is_written_lost;     /* a later batch calls it written, not durable: damage if the machine stayed up
                               * (same boot id), the ordinary price of a power loss if not */
    uint64_t hole_position;   /* where the unbroken run ends */
    uint64_t lost_up_to;      /* of the two above: highest sequence known to have been written; 0 else */
};

struct cw_recovery; /* one at a time is enough; memory from the arena: a window of two batches or more */

/* floor_sequence: highest sequence that the superblock itself proves was written (0 if none). */
struct cw_recovery *cw_recovery_new(const struct cw_superblock *superblock, uint64_t floor_sequence,
                                    struct cw_arena *arena);
/* The next read: offset and length on the device, into *memory. false: finished, the report is final. */
bool cw_recovery_want(struct cw_recovery *recovery, uint64_t *offset, uint32_t *length, uint8_t **memory);
/* The read finished; then pop records in log order until false. ok = false: the device failed: those sectors
 * are asked for again one by one, and count as torn if that fails too. Payloads borrow from the window until
 * the next want. */
void cw_recovery_feed(struct cw_recovery *recovery, bool ok);
bool cw_recovery_record(struct cw_recovery *recovery, struct cw_record *record, const uint8_t **payload,
                        uint64_t *position, uint32_t *sectors);
const struct cw_recovery_report *cw_recovery_report(const struct cw_recovery *recovery);
