/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The superblock: what a group must know of itself before it reads its log. 4 KiB, four copies in the first
 * sixteen sectors; odd generations go to sectors 0 and 8, even ones to 4 and 12, so that a write that tears
 * never touches the last good generation. The highest valid generation counts; copies that disagree within
 * one generation, or carry another journal's id, are reported by name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/message.h"

#define CW_SECTOR_SIZE 4096u
#define CW_SUPERBLOCK_COPIES 4u
#define CW_JOURNAL_RING_SECTOR 16u /* the ring begins here */
#define CW_SUPERBLOCK_VERSION 2u

#define CW_OPENINGS_MAX 16u /* reigns of this site of which it is known when they were */

enum cw_image_state {
    CW_IMAGE_WHOLE = 1, /* volumes plus journal give a prefix */
    CW_IMAGE_COPYING,   /* a copy fills new files beside the old whole ones: those stand at image_sequence */
    CW_IMAGE_BROKEN     /* a device is being overwritten by a copy: nothing whole is here */
};

struct cw_superblock {
    uint64_t generation;
    uint64_t generation_named;   /* not stored: the highest that a copy names which was not written whole; 0: none */
    uint64_t journal_id[2];
    uint32_t group;
    uint32_t site;
    uint64_t ring_sectors;
    uint64_t boot_id[2];         /* of the last start */
    uint64_t process_start;      /* of the last start */
    struct cw_history history;
    /* Checkpoint: all up to here is in place and the volumes were synced. Redo starts after it. */
    uint64_t applied_sequence;
    uint64_t applied_limit;      /* nothing above was applied in place when this was written; batches may raise it */
    uint64_t tail_position;      /* first batch still needed, in sectors since the journal began */
    uint64_t tail_sequence;      /* no record at or below is promised to be in the ring */
    /* Where the log went on at the last start: recovery's tip.head_position and tip.next_number, written in
     * the same superblock as boot_id. A loss that was reported then is not reported as a new one later. */
    uint64_t start_position;
    uint64_t start_number;
    uint32_t image_state;        /* enum cw_image_state */
    /* COPYING: the old files are the group's state after this sequence of this history, and have been since
     * image_time_s (this site's wall clock, for people only). An empty history: nothing whole is there. */
    uint64_t image_sequence;
    uint64_t image_time_s;
    struct cw_history image_history;
    uint64_t copy_id;            /* of the copy under way; 0: none */
    bool must_switch;            /* the copy is whole: its files are to be renamed over the old ones */
    bool is_clean;               /* closed in order: durable == end of log */
    bool is_damaged;             /* acknowledged records were found unreadable; cleared once refilled by a peer */
    uint32_t volume_count;
    struct {
        uint16_t volume;
        uint64_t size;
        uint64_t base; /* see cw_message_hello */
    } volumes[CW_VOLUMES_PER_GROUP_MAX];
    /* Where each peer stands: records above its cursor are kept for it until space runs out. */
    struct {
        bool is_used;
        bool needs_copy; /* its cursor was passed by the tail, or an operator asked */
        uint64_t sequence;
    } peers[CW_SITES_MAX];
    /* Room for the primary's own view, mirrored from the store so that it can be rebuilt. */
    uint32_t primary_site;
    uint32_t member_sites; /* bits */
    /* Reigns that were opened here, the newest first: what the monotonic clock of their records lacked to the
     * wall clock then. For people only: when was it that a record was written? epoch 0: unused. */
    struct {
        uint64_t epoch;
        int64_t wall_offset_ns;
    } openings[CW_OPENINGS_MAX];
};

enum cw_sector_class {
    CW_SECTOR_VALID = 0,
    CW_SECTOR_EMPTY,      /* all zero */
    CW_SECTOR_TORN,       /* ours by its magic, but the check fails */
    CW_SECTOR_STALE,      /* sound, of an earlier lap or of a branch that was cut */
    CW_SECTOR_MISDIRECTED,/* sound, but written for another place */
    CW_SECTOR_FOREIGN,    /* another journal, another format or no magic at all */
    CW_SECTOR_CLASS_COUNT
};
const char *cw_sector_class_name(enum cw_sector_class class_);

/* Our own struct to one 4096-byte block. */
void cw_superblock_encode(const struct cw_superblock *superblock, uint8_t *block);
/* Foreign bytes. sector is where the block was read (MISDIRECTED when it says otherwise; two homes a generation). */
enum cw_sector_class cw_superblock_decode(const uint8_t *block, uint32_t sector, struct cw_superblock *superblock);
/* The two sectors to which this generation goes. */
void cw_superblock_homes(uint64_t generation, uint32_t sectors[2]);
/* Reads the four copies (16 sectors as read from the device) and picks the newest valid one. CW_NOT_FOUND:
 * all empty or foreign: not a journal. CW_CORRUPT: it was one. classes tells each copy's fate. */
enum cw_status cw_superblock_pick(const uint8_t *sectors, struct cw_superblock *superblock,
                                  enum cw_sector_class classes[CW_SUPERBLOCK_COPIES]);
/* The generation to write after this one: never one that a torn copy names. Its sectors may hold parts of an
 * earlier try, which a second try that tears as well would complete: two sound copies that differ. */
uint64_t cw_superblock_next(const struct cw_superblock *superblock);
