/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The head of a salvage file: 4096 bytes that say whose records follow, which, and what was known of them.
 * The engine writes it, last of all, when every record is in the file; whoever reads the file checks it
 * first.
 *
 *     head | record header (64) | its payload, if it is a write | record header | ...
 *
 *    0 line  "causeway salvage 2\n", for people; zero up to 32
 *   32 u64 check (XXH3-64 over 40..4095)
 *   40 u32 group        44 u32 site         48 u64 journal_id[2]
 *   64 u64 above        72 u64 last_wanted  80 u64 first          88 u64 last
 *   96 u64 records     104 u64 writes      112 u64 bytes         120 u64 size (of the file)
 *  128 u64 digest      136 i64 wall_ns     144 u32 flags (1: lacks some)   148 u32 reign_count
 *  152 zero            160 group's name, 64, zero-filled          224 site's name, 32
 *  256 reigns 32 x (u64 epoch, u64 reign, u64 answered, i64 wall_offset_ns, u32 flags (1: has the offset),
 * u32 0) 1536 zero
 *
 * Little-endian. digest is the XXH3-64 chain over record headers: of (digest so far, header), from 0. The
 * same records give the same digest. Version 1 was a line of text, "causeway salvage 1 group G above S", and
 * the records; it is still read (control/salvage_file.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/record.h"

#define CW_SALVAGE_HEAD_SIZE  4096u
#define CW_SALVAGE_VERSION    2u
#define CW_SALVAGE_REIGNS_MAX 32u
#define CW_SALVAGE_NAME_SIZE  64u
#define CW_SALVAGE_SITE_SIZE  32u

/* A reign that records in the file are of. */
struct cw_salvage_reign {
    uint64_t epoch, reign;
    uint64_t answered;      /* its writes up to here had been answered to whoever wrote them; 0: not known */
    int64_t wall_offset_ns; /* wall clock less the clock of its records */
    bool has_wall;
};

struct cw_salvage_head {
    uint32_t group, site;
    char name[CW_SALVAGE_NAME_SIZE];
    char site_name[CW_SALVAGE_SITE_SIZE];
    uint64_t journal_id[2];
    uint64_t above, last_wanted; /* records above the one, up to the other, were to be kept */
    uint64_t first, last;        /* records that are in the file; 0: none */
    uint64_t records, writes;    /* writes: without markers, which no client wrote */
    uint64_t bytes;              /* of payload */
    uint64_t size;               /* of the file */
    uint64_t digest;
    int64_t wall_ns; /* when the file was written */
    bool lacks_some; /* what should have been in the journal could not be read, twice */
    uint32_t reign_count;
    struct cw_salvage_reign reigns[CW_SALVAGE_REIGNS_MAX];
};

enum cw_salvage_error {
    CW_SALVAGE_OK = 0,
    CW_SALVAGE_FOREIGN,     /* no salvage file */
    CW_SALVAGE_UNFINISHED,  /* its head was not written: whoever wrote it died, or the disk was full */
    CW_SALVAGE_BAD_VERSION, /* a salvage file of a version that is not known here */
    CW_SALVAGE_BAD_CHECK,   /* the head is damaged */
    CW_SALVAGE_BAD_FIELD,   /* it says what cannot be */
    CW_SALVAGE_ERROR_COUNT
};

/* Our own struct, asserted to be sound; writes CW_SALVAGE_HEAD_SIZE bytes. */
void cw_salvage_encode(const struct cw_salvage_head *head, uint8_t *bytes);
/* Foreign bytes, CW_SALVAGE_HEAD_SIZE of them. Version 1 is BAD_VERSION here. */
enum cw_salvage_error cw_salvage_decode(const uint8_t *bytes, struct cw_salvage_head *head);
const char *cw_salvage_error_name(enum cw_salvage_error error);
/* One record more. */
uint64_t cw_salvage_digest(uint64_t digest, const uint8_t *record_header);
const struct cw_salvage_reign *cw_salvage_reign_of(const struct cw_salvage_head *head,
                                                   const struct cw_record *record);
