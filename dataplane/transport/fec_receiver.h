/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving side of forward error correction: blocks of symbols, of which lost ones are given back.
 *
 * A block is a slot of memory, found by its number modulo their count, with one row a repair. Each source is
 * added to all rows when it comes, each repair to its own; nothing else is kept of either. As soon as as many
 * repairs have come as sources are missing, what is missing is solved from those rows (fec_code.h). A slot is
 * taken from its block when a newer block needs it, so memory is bounded whatever the peer says.
 *
 *   state of a slot   FREE -- first symbol --> FILLING -- all there, or recovered --> DONE
 *                     any  -- symbol of a newer block --> FILLING (of the newer one)
 *
 * Sealed does not mean true: sizes and indexes are checked here, and what a peer does to its own blocks it
 * does to itself. Whether a symbol given back is a packet is for the caller to find out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "transport/fec_code.h"

#define CW_FEC_NUMBER_MASK 0xffffffu /* block numbers are 24 bits and wrap */

/* Where a symbol stands. */
struct cw_fec_place {
    uint32_t block;
    uint8_t index;   /* of a source, or of a repair */
    uint8_t repairs; /* rows the block may have; the same in all its symbols */
};

enum cw_fec_block_state { CW_FEC_BLOCK_FREE = 0, CW_FEC_BLOCK_FILLING, CW_FEC_BLOCK_DONE };

struct cw_fec_block_in {
    uint32_t number;
    uint32_t length; /* of its longest symbol so far; beyond it the rows are not defined */
    uint64_t sources_have;
    uint8_t rows_have;
    uint8_t source_count; /* 0: no repair came yet */
    uint8_t repairs;
    uint8_t state;
    uint8_t *rows;
};

enum cw_fec_in_count {
    CW_FEC_IN_BLOCKS = 0,
    CW_FEC_IN_RECOVERED,     /* sources given back */
    CW_FEC_IN_UNRECOVERABLE, /* blocks that ended with a source missing */
    CW_FEC_IN_LATE,          /* symbols of a block forgotten, and sources after they were recovered */
    CW_FEC_IN_BAD,           /* symbols that disagree with our limits or with their block */
    CW_FEC_IN_COUNT
};

struct cw_fec_receiver {
    const struct cw_fec_code *code;
    struct cw_fec_block_in *blocks;
    uint32_t mask;
    uint32_t repairs_max;
    uint32_t symbol_bytes_max;
    uint32_t row_bytes;
    uint8_t *solved; /* repairs_max rows */
    uint64_t counts[CW_FEC_IN_COUNT];
};

/* Symbols given back, padded with zeros to `length`. Valid until the next call. */
struct cw_fec_recovered {
    uint32_t count;
    uint32_t length;
    const uint8_t *symbols[CW_FEC_REPAIRS_MAX];
};

/* blocks: a power of two. Borrows code. */
void cw_fec_receiver_init(struct cw_fec_receiver *receiver, struct cw_arena *arena,
                          const struct cw_fec_code *code, uint32_t blocks, uint32_t repairs_max,
                          uint32_t symbol_bytes_max);
/* A new session: all blocks are forgotten. Counts stay. */
void cw_fec_receiver_reset(struct cw_fec_receiver *receiver);

/* A source came. Fills recovered, often with nothing. */
void cw_fec_receiver_source(struct cw_fec_receiver *receiver, const struct cw_fec_place *place,
                            const uint8_t *symbol, uint32_t length, struct cw_fec_recovered *recovered);
/* A repair came, of a block of so many sources. */
void cw_fec_receiver_repair(struct cw_fec_receiver *receiver, const struct cw_fec_place *place,
                            uint32_t source_count, const uint8_t *symbol, uint32_t length,
                            struct cw_fec_recovered *recovered);
bool cw_fec_receiver_is_valid(const struct cw_fec_receiver *receiver);
