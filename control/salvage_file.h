/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a salvage file: foreign bytes. Head, each record header and each payload are checked; what follows
 * the first that is not sound cannot be found, since lengths are in the headers. A file of version 2 says how
 * long it is and how many records it has: one that was cut short is told, also between two records.
 *
 * Version 1, which older engines left behind, began with a line of text, "causeway salvage 1 group G above
 * S", and says nothing of that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wire/salvage.h"

struct cw_salvage_file {
    FILE *from; /* borrowed */
    bool is_old;
    struct cw_salvage_head head; /* version 1: group and above only */
    uint64_t at;                 /* byte of the record in hand, then of the next */
    struct cw_record record;
    uint8_t payload[CW_RECORD_PAYLOAD_MAX];
    uint64_t count, bytes, digest; /* read so far, from the beginning */
    bool is_partial;               /* begun in the middle: nothing is counted */
    char why[256];                 /* "": sound so far */
};

/* Reads the head. size: of the file, 0: not known. false, with words in why. */
bool cw_salvage_file_begin(struct cw_salvage_file *file, FILE *from, uint64_t size);
/* Goes on at a byte that an earlier reader was told as `at`. */
bool cw_salvage_file_seek(struct cw_salvage_file *file, uint64_t at);
/* false: the end, or, with words in why, no further. */
bool cw_salvage_file_next(struct cw_salvage_file *file);

enum cw_acknowledged { CW_ACKNOWLEDGED_UNKNOWN = 0, CW_ACKNOWLEDGED_YES, CW_ACKNOWLEDGED_NO };
/*
 * Of the record in hand. YES: a later word of the journal says that its answer had gone out. NO:
 * takeover_lost_none, that is, whoever took over had all that was acknowledged, and this is beyond it. Else
 * nobody can know: it was in the journal, and its answer may have been on the way when the site died. Markers
 * are no client's: NO.
 */
enum cw_acknowledged cw_salvage_file_acknowledged(const struct cw_salvage_file *file,
                                                  bool takeover_lost_none);
const char *cw_acknowledged_name(enum cw_acknowledged acknowledged);
/* Wall clock, ns since 1970, at which the record in hand entered; false: not known. */
bool cw_salvage_file_wall(const struct cw_salvage_file *file, int64_t *wall_ns);
const char *cw_record_kind_word(uint8_t kind);
