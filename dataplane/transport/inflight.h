/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of sent packets: a power-of-two ring indexed by packet number, with two lists threaded through it.
 *
 *   outstanding  sent, neither acknowledged nor given up; in order of number, so of time
 *   lost         given up; kept for a while to notice that a loss was none (spurious)
 *
 * A packet that wants no ack only uses up its number. What a packet carried is a reference that the owner
 * understands. Neither acks nor loss detection ever look at a packet that is in neither list, so the cost
 * of an ack is what it newly acknowledges plus what is missing below it.
 *
 *   next number - lowest in either list <= ring size;   outstanding count <= what the owner allows
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

enum cw_sent_kind {
    CW_SENT_DATA = 0, /* reference: handle of the message; fragment: which,
                        packed */
    CW_SENT_COPY,     /* the same, of what left on another path too: not missed when it is lost */
    CW_SENT_REPAIR,   /* nothing to say again */
    CW_SENT_MTU,      /* a probe of its size; its fate is session_mtu.c's */
    CW_SENT_CONTROL, /* reference: the largest number acknowledged by it, 0: none; fragment: CW_SENT_HAD_ bits
                      */
};
#define CW_SENT_HAD_CREDIT 0x1u
#define CW_SENT_HAD_PING   0x2u

enum cw_sent_state { CW_SENT_FREE = 0, CW_SENT_OUTSTANDING, CW_SENT_LOST };

struct cw_sent {
    uint64_t number;
    uint64_t sent_ns; /* of a lost one: when it was given up */
    uint64_t reference;
    uint32_t next; /* ring indexes, CW_SENT_NONE at the ends */
    uint32_t previous;
    uint16_t fragment;
    uint16_t bytes; /* of its datagram; the sender fills it in */
    uint8_t kind;
    uint8_t state;
    /* Of forward error correction (session_fec.h); the map does not look at them. */
    uint8_t fec_lane;  /* 1 + enum cw_fec_lane; 0: not protected */
    bool is_held;      /* lost, and not to be sent again before its repairs had their chance */
    bool is_recovered; /* lost, and the peer says that it has it from its repairs */
};
#define CW_SENT_NONE UINT32_MAX

struct cw_sent_list {
    uint32_t first;
    uint32_t last;
    uint32_t count;
};

struct cw_inflight {
    struct cw_sent *ring;
    uint32_t mask;
    uint64_t next_number; /* the next packet gets it; from 1 */
    struct cw_sent_list outstanding;
    struct cw_sent_list lost;
};

void cw_inflight_init(struct cw_inflight *inflight, struct cw_arena *arena, uint32_t ring_size);
void cw_inflight_reset(struct cw_inflight *inflight);

/* The one of this number, outstanding or lost; NULL when it is neither. */
struct cw_sent *cw_inflight_find(const struct cw_inflight *inflight, uint64_t number);
/* The packet, one ring size old, whose entry the next number needs; NULL when there is room. */
struct cw_sent *cw_inflight_in_the_way(const struct cw_inflight *inflight);
/* Uses up the next number. Asserts that nothing is in the way. */
struct cw_sent *cw_inflight_add(struct cw_inflight *inflight, enum cw_sent_kind kind, uint64_t reference,
                                uint16_t fragment, uint64_t now_ns);
/* The same for a packet that wants no ack. */
void cw_inflight_skip(struct cw_inflight *inflight);

struct cw_sent *cw_inflight_oldest(const struct cw_inflight *inflight); /* NULL when none is outstanding */
struct cw_sent *cw_inflight_oldest_lost(const struct cw_inflight *inflight);
struct cw_sent *cw_inflight_after(const struct cw_inflight *inflight,
                                  const struct cw_sent *sent); /* in its list */
/* outstanding -> lost */
void cw_inflight_lose(struct cw_inflight *inflight, struct cw_sent *sent, uint64_t now_ns);
/* out of its list: acknowledged, or forgotten */
void cw_inflight_drop(struct cw_inflight *inflight, struct cw_sent *sent);
