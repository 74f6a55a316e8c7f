/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a site that is copied in full does not surely have: so that a copy which is interrupted, or falls off
 * the journal, goes on with that instead of beginning anew. In memory only: a crash of either side starts it
 * over.
 *
 * Three maps over the volumes, laid end to end in units of a chunk or, where there are more than CW_LEDGER_UNITS of
 * those, of a power of two more:
 *     lacking   to be read and sent yet, in this part of the copy
 *     newer     touched by a write above turned_at
 *     older     touched by a write up to turned_at that may not be in place over there
 * What the site is behind in is at any time in newer or older; when a part of a copy ends before the copy
 * does, both are put to what is lacking (cw_ledger_fold). Pure; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "wire/message.h"

#define CW_LEDGER_UNITS (1u << 20) /* 128 GiB in units of 128 KiB; three maps of 128 KiB a peer */

struct cw_ledger {
    uint64_t id; /* of the part of the copy that is under way, or was last; 0: there is no copy */
    uint64_t reign;
    uint64_t started_ns;
    uint64_t *lacking, *newer, *older;
    uint64_t turned_at;                           /* a sequence */
    uint64_t unit;                                /* bytes */
    uint64_t sizes[CW_VOLUMES_PER_GROUP_MAX];     /* 0: no volume */
    uint32_t first[CW_VOLUMES_PER_GROUP_MAX + 1]; /* unit; the last: how many there are */
    uint32_t lacking_units;
};

/* A piece of a volume. */
struct cw_extent {
    uint16_t volume;
    uint64_t offset, length;
};

void cw_ledger_carve(struct cw_ledger *ledger, struct cw_arena *arena);
/* Everything is lacking. sizes: bytes of each volume, 0 where there is none. unit: at least so many bytes, a power
 * of two. */
void cw_ledger_begin(struct cw_ledger *ledger, const uint64_t sizes[CW_VOLUMES_PER_GROUP_MAX], uint64_t unit,
                     uint64_t sequence);
/* There is no copy. */
void cw_ledger_end(struct cw_ledger *ledger);
/* All of it, again: the site has nothing of before. */
void cw_ledger_lack_all(struct cw_ledger *ledger);
/* It may not have this, after all. */
void cw_ledger_lack(struct cw_ledger *ledger, struct cw_extent extent);
/* A write entered above turned_at. */
void cw_ledger_write(struct cw_ledger *ledger, struct cw_extent extent);
/* Everything up to `applied` is in place over there; `head` is the last write that entered. */
void cw_ledger_turn(struct cw_ledger *ledger, uint64_t applied, uint64_t head);
/* The next part begins: what was written and may not be there is lacking. `sequence`: it has all up to there
 * then. */
void cw_ledger_fold(struct cw_ledger *ledger, uint64_t sequence);
void cw_ledger_remove(struct cw_ledger *ledger, uint16_t volume);
/* Takes the first piece that is lacking, of one unit at most, from `after` on. false: nothing is. */
bool cw_ledger_take(struct cw_ledger *ledger, struct cw_extent after, struct cw_extent *taken);
uint64_t cw_ledger_lacking_bytes(const struct cw_ledger *ledger);
uint64_t cw_ledger_lacking_bytes_of(const struct cw_ledger *ledger, uint16_t volume);
