/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of sent packets that want an ack. Two parts:
 *
 *   outstanding  sent, neither acknowledged nor given up: bursts and items, in order of number, so of time
 *   lost         given up; a table of a few, in order of that, to notice that a loss was none (spurious)
 *
 * A burst is a cache line for the packets among 32 numbers in a row, that left within four seconds: which of
 * them want an ack, which are still outstanding, when the first one left. Beside it an item of 16 bytes a
 * packet: what it carried, and how long after the first one it left, to the nanosecond. Bursts and items are
 * rings of their own. A packet that wants no ack takes neither, but uses up its number. One that is lost is
 * moved to the table, so that it is in nobody's way.
 *
 *      busy    .  .  #  .  .  .  #  #        a bit a burst: something of it is outstanding
 *      bursts  [ | |o| | | |o|o ]            oldest ... next - 1; each names the first of its items
 *      items   ................              as many a burst as want an ack
 *
 * A walk goes from bit to bit, by busy over bursts of which nothing is left. So the cost of an ack is what it
 * newly acknowledges, 32 packets a cache line and their items, and next to nothing for what is missing below
 * it. A packet is handed out as a copy, struct cw_sent, which is good until it is dropped or lost.
 *
 *   items of the oldest burst to the newest <= ring of items;   of bursts likewise
 *   outstanding count <= what the owner allows
 *
 * The rings hold twice as many packets as may be outstanding, and bursts for four times as many numbers: in
 * the round trip or two until a missing packet is lost, so many may leave behind it, and acks among them.
 *
 * Chosen not to do: one time a burst. A slow sender has bursts of one packet, and a map that holds as many
 * bursts as packets needs more memory than the time of each.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum cw_sent_kind {
    CW_SENT_DATA = 0, /* message and fragment say of what */
    CW_SENT_COPY,     /* the same, of what left on another path too: not missed when it is lost */
    CW_SENT_REPAIR,   /* nothing to say again */
    CW_SENT_MTU,      /* a probe of its size; its fate is session_mtu.c's */
    CW_SENT_CONTROL,  /* acknowledged and had */
};
#define CW_SENT_HAD_CREDIT 0x1u
#define CW_SENT_HAD_PING   0x2u

#define CW_SENT_OF_BURST   32u  /* numbers */
#define CW_LOST_REMEMBERED 256u /* losses watched for being none */

/* A packet, unpacked. */
struct cw_sent {
    uint64_t number;
    uint64_t sent_ns;
    union {
        uint64_t message;      /* handle, packed */
        uint64_t acknowledged; /* CONTROL: the largest number that it acknowledges, 0: none */
    };
    union {
        uint16_t fragment; /* packed */
        uint16_t had;      /* CONTROL: CW_SENT_HAD_ bits */
    };
    uint8_t kind;     /* enum cw_sent_kind */
    uint8_t fec_lane; /* 1 + enum cw_fec_lane; 0: not protected */
    uint16_t bytes;   /* of its datagram */
    uint32_t burst;   /* the map's own */
};

/* One that was given up. What is not about the map is its owner's to write (session_time.c, session_fec.h).
 */
struct cw_lost {
    struct cw_sent sent;
    uint64_t lost_ns;
    uint32_t next; /* indexes, CW_LOST_NONE at the ends */
    uint32_t previous;
    bool is_taken;
    bool is_declared;  /* a loss to rate control; else a probe or what one sent again */
    bool is_held;      /* not to be sent again before its repairs had their chance */
    bool is_recovered; /* the peer says that it has it from its repairs */
};
#define CW_LOST_NONE UINT32_MAX

struct cw_sent_burst {
    uint64_t first; /* number */
    uint64_t sent_ns;
    uint32_t wanted; /* bit i: number first + i wants an ack; not 0, but in a ring entry never used */
    uint32_t outstanding;
    uint32_t item;                   /* of the first wanted; free-running */
    uint8_t kinds[CW_SENT_OF_BURST]; /* kind, fec_lane << 4 */
};
static_assert(sizeof(struct cw_sent_burst) == 64, "a cache line");

struct cw_sent_item {
    uint64_t reference; /* message or acknowledged */
    uint32_t after_ns;  /* its burst's sent_ns */
    uint16_t detail;    /* fragment or had */
    uint16_t bytes;
};
static_assert(sizeof(struct cw_sent_item) == 16, "four a cache line");

struct cw_inflight {
    struct cw_sent_burst *bursts;
    struct cw_sent_item *items;
    uint64_t *busy; /* a bit a ring entry of bursts */
    uint32_t burst_mask, item_mask;
    uint32_t oldest; /* burst with something outstanding; next_burst: there is none. Free-running */
    uint32_t next_burst;
    uint32_t oldest_item; /* the oldest burst's first; next_item: there is no such burst */
    uint32_t next_item;
    uint32_t outstanding_count;
    uint64_t next_number; /* the next packet gets it; from 1 */
    uint32_t lost_count;
    uint32_t lost_first, lost_last, lost_free;
    struct cw_lost *lost; /* one more than are remembered, for the one that makes another be forgotten */
};

/* packets: outstanding at most, a power of two. Takes 40 bytes of each, and 16 KB. */
void cw_inflight_init(struct cw_inflight *inflight, struct cw_arena *arena, uint32_t packets);
void cw_inflight_reset(struct cw_inflight *inflight);
bool cw_inflight_is_valid(const struct cw_inflight *inflight);

/* ---- outstanding ------------------------------------------------------------------------------------- */

/* One more packet can be added; else the oldest outstanding one is in its way. */
static inline bool cw_inflight_has_room(const struct cw_inflight *inflight)
{
    return inflight->next_burst - inflight->oldest <= inflight->burst_mask &&
           inflight->next_item - inflight->oldest_item <= inflight->item_mask;
}
/* Uses up the next number, and writes it; the caller has written all else, with a time not before the last
 * one's. Asserts that there is room. */
void cw_inflight_add(struct cw_inflight *inflight, struct cw_sent *sent);
/* The newest, just added, is protected: so much is known of it only later. */
void cw_inflight_protect_newest(struct cw_inflight *inflight, uint8_t fec_lane);
/* A packet that wants no ack uses up a number. */
static inline void cw_inflight_skip(struct cw_inflight *inflight)
{
    inflight->next_number++;
}

/* Both: false when there is no such one. */
bool cw_inflight_oldest(const struct cw_inflight *inflight, struct cw_sent *sent);
bool cw_inflight_find(const struct cw_inflight *inflight, uint64_t number, struct cw_sent *sent);

/* The outstanding ones of these numbers, upwards. The one that was handed out last may be dropped or lost
 * between two steps. */
struct cw_sent_walk {
    uint64_t last;
    uint32_t burst;
    uint32_t left; /* bits of it */
};
void cw_inflight_walk(const struct cw_inflight *inflight, uint64_t first, uint64_t last,
                      struct cw_sent_walk *walk);
bool cw_inflight_next(const struct cw_inflight *inflight, struct cw_sent_walk *walk, struct cw_sent *sent);
/* The same, and drops it. */
bool cw_inflight_take(struct cw_inflight *inflight, struct cw_sent_walk *walk, struct cw_sent *sent);

/* Acknowledged, or forgotten. */
void cw_inflight_drop(struct cw_inflight *inflight, const struct cw_sent *sent);
/* outstanding -> lost. The caller keeps to CW_LOST_REMEMBERED, by forgetting the oldest of more. */
struct cw_lost *cw_inflight_lose(struct cw_inflight *inflight, const struct cw_sent *sent, uint64_t now_ns);

/* ---- lost -------------------------------------------------------------------------------------------- */

static inline struct cw_lost *cw_inflight_lost_at(const struct cw_inflight *inflight, uint32_t index)
{
    return index == CW_LOST_NONE ? NULL : &inflight->lost[index];
}
/* In order of being given up; NULL at the end. */
static inline struct cw_lost *cw_inflight_oldest_lost(const struct cw_inflight *inflight)
{
    return cw_inflight_lost_at(inflight, inflight->lost_first);
}
static inline struct cw_lost *cw_inflight_lost_after(const struct cw_inflight *inflight,
                                                     const struct cw_lost *lost)
{
    return cw_inflight_lost_at(inflight, lost->next);
}
/* So many numbers ago that it will not come any more: each ack would look at it in vain. */
static inline bool cw_inflight_is_long_ago(const struct cw_inflight *inflight, const struct cw_lost *lost)
{
    return inflight->next_number - lost->sent.number > (inflight->burst_mask + 1ull) * CW_SENT_OF_BURST;
}
/* NULL: it is not among them. */
struct cw_lost *cw_inflight_find_lost(const struct cw_inflight *inflight, uint64_t number);
void cw_inflight_forget(struct cw_inflight *inflight, struct cw_lost *lost);
