/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending side of forward error correction: which block a packet belongs to, and the repairs.
 *
 * Blocks are filled in stripes: source i of a stripe belongs to block i modulo its depth, and its repairs
 * leave as repair 0 of every block, then repair 1 of every block, and so on. So
 *
 *     a burst of B lost packets takes at most ceil(B / depth) symbols of any block:
 *     it is survived when B <= depth * repairs.
 *
 * A source is added to its rows when it is about to be sealed and leaves at once: nothing waits for a block
 * to become full. A stripe that is closed before it is full has shorter blocks and fewer repairs, in
 * proportion, at least one a block; a stripe of one packet is that packet and one repair.
 *
 *     FREE -- first source --> OPEN -- full, or closed --> REPAIRING -- last repair taken --> FREE
 *
 * There are two lanes with an open stripe each. The latency lane (control and live) is closed as soon as
 * nothing more is waiting to be sent in it, the bulk lane (resync) when it was quiet for CW_FEC_QUIET_NS.
 * A stripe is opened no wider than what is waiting then will fill. Either is closed CW_FEC_AGE_NS after its
 * first source, and the next one is narrower then, so that on a slow path too blocks become full.
 *
 * With no stripe free a source leaves without protection, and is counted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "transport/fec_receiver.h"

#define CW_FEC_DEPTH_MAX 256u
#define CW_FEC_STRIPES   4u /* one open in each lane, and two whose repairs are leaving */
#define CW_FEC_AGE_NS    20000000u
#define CW_FEC_QUIET_NS  1000000u

enum cw_fec_lane { CW_FEC_LANE_LATENCY = 0, CW_FEC_LANE_BULK, CW_FEC_LANE_COUNT };

struct cw_fec_shape {
    uint8_t sources; /* of a block: k */
    uint8_t repairs; /* of a block: p */
    uint16_t depth;  /* blocks of a stripe */
};

enum cw_fec_stripe_state { CW_FEC_STRIPE_FREE = 0, CW_FEC_STRIPE_OPEN, CW_FEC_STRIPE_REPAIRING };

struct cw_fec_stripe {
    struct cw_fec_shape shape;
    uint8_t state;
    uint8_t lane;
    uint32_t first;        /* number of its first block */
    uint32_t source_count; /* of all blocks */
    uint32_t repair_at;    /* next to leave: row repair_at / depth of block repair_at % depth */
    uint64_t order;        /* of closing */
    uint64_t opened_ns, last_ns;
    uint32_t longest;  /* symbol */
    uint32_t *lengths; /* of the longest symbol, a block */
    uint8_t *rows;     /* depth * repairs */
};

struct cw_fec_lane_out {
    struct cw_fec_stripe *open; /* NULL: none */
    uint16_t depth;             /* that fits into CW_FEC_AGE_NS at the pace of late */
    uint64_t lag_ns;            /* between the first source of a stripe and its last repair, of late */
};

enum cw_fec_out_count {
    CW_FEC_OUT_BLOCKS = 0,
    CW_FEC_OUT_UNPROTECTED, /* sources that found no stripe */
    CW_FEC_OUT_COUNT
};

struct cw_fec_sender {
    const struct cw_fec_code *code;
    struct cw_fec_shape limits; /* what there is memory for */
    struct cw_fec_shape shape;  /* wanted of the stripes to come */
    uint32_t peer_blocks;       /* that the peer holds at a time */
    uint32_t peer_repairs;      /* of each */
    uint32_t next_block;
    uint64_t next_order;
    uint32_t row_bytes;
    struct cw_fec_lane_out lanes[CW_FEC_LANE_COUNT];
    struct cw_fec_stripe stripes[CW_FEC_STRIPES];
    uint64_t counts[CW_FEC_OUT_COUNT];
};

/* Memory for stripes of these limits. Borrows code. */
void cw_fec_sender_init(struct cw_fec_sender *sender, struct cw_arena *arena, const struct cw_fec_code *code,
                        const struct cw_fec_shape *limits, uint32_t symbol_bytes_max);
/* A new session with a peer that holds so many blocks (at least 4) of so many repairs (at least 1). */
void cw_fec_sender_open(struct cw_fec_sender *sender, uint32_t peer_blocks, uint32_t peer_repairs);
/* What was begun is left unfinished; block numbers go on. */
void cw_fec_sender_abandon(struct cw_fec_sender *sender);
/* For the stripes to come; each is cut to what own memory and the peer's allow. */
void cw_fec_sender_shape(struct cw_fec_sender *sender, const struct cw_fec_shape *shape);

/*
 * Adds a source and says where it stands. waiting: packets that wait behind it in its lane, as far as known;
 * it only matters when a stripe is opened. false: it leaves without protection.
 */
bool cw_fec_sender_add(struct cw_fec_sender *sender, enum cw_fec_lane lane, uint32_t waiting,
                       const uint8_t *symbol, uint32_t length, uint64_t now_ns, struct cw_fec_place *place);
/* Packets that a stripe holds at most: how far it is worth counting what waits. */
uint32_t cw_fec_sender_room(const struct cw_fec_sender *sender);
/* Repairs of a block of this shape that was closed with so many sources. */
uint32_t cw_fec_repairs_of(const struct cw_fec_shape *shape, uint32_t sources);

/* Closes what time or, in the latency lane, an empty queue has ended. */
void cw_fec_sender_look(struct cw_fec_sender *sender, bool latency_is_empty, uint64_t now_ns);
/* When time closes something; CW_NEVER: nothing is open. */
uint64_t cw_fec_sender_deadline_ns(const struct cw_fec_sender *sender);

/* Does a repair wait in this lane or a higher one? */
bool cw_fec_sender_has_repair(const struct cw_fec_sender *sender, enum cw_fec_lane lane);
/* Copies it out, of the stripe that was closed first: its length, with place and count of sources. */
uint32_t cw_fec_sender_take_repair(struct cw_fec_sender *sender, enum cw_fec_lane lane, uint8_t *symbol,
                                   struct cw_fec_place *place, uint32_t *source_count, uint64_t now_ns);
/* No repair of what is open or closed is longer. */
uint32_t cw_fec_sender_next_bytes(const struct cw_fec_sender *sender);
/* Would another stripe find room? */
bool cw_fec_sender_has_free(const struct cw_fec_sender *sender);
/* How long after a source the last repair of its block may leave. */
uint64_t cw_fec_sender_lag_ns(const struct cw_fec_sender *sender, enum cw_fec_lane lane, uint64_t now_ns);
bool cw_fec_sender_is_valid(const struct cw_fec_sender *sender);
