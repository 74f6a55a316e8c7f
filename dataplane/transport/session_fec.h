/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forward error correction of a path: what is a symbol, and when a lost packet is sent again nevertheless. On
 * which path repairs leave is said in session_repair.c.
 *
 * A symbol is 16 bytes in the place of bytes 24..39 of the datagram, then the payload in clear:
 *
 *     0 u16 length of the payload   2 u8 stream   3 u8 type   4 u32 low half of the IV   8 u64 position
 *
 * so a symbol given back is a packet as if it had been opened, with its number. Only DATA is protected.
 *
 * A loss is a loss at its usual time, for statistics and rate control. What it carried is sent again only
 * when its repairs have had their chance: as much later as the last repair of its stripe left after it, and
 * as it is longer under way, at most once more the time that made it a loss. A probe time-out waits for
 * nothing.
 *
 * A packet given back is acknowledged like any other; RECOVERED beside the ACK says that the path lost it.
 * A repair that came on another path may be there before the packets that it repairs. What it gives back
 * before CW_FEC_OVERTAKEN newer ones came on their path is told as early: its sender knows that the bytes are
 * there, and waits to see what becomes of the packet, which is no loss as long as it may come.
 */
#pragma once

#include "transport/fec_auto.h"
#include "transport/fec_sender.h"
#include "transport/frames.h"

#define CW_FEC_NEWS_MAX   64u
#define CW_FEC_NEWS_TIMES 3u /* in so many acks each */

#define CW_FEC_BLOCKS_SHIFT 24u /* of the meter of blocks: 8 * 2^24 ns = 134 ms */
#define CW_FEC_OVERTAKEN    16u /* newer packets by which one that was given back is missing */

struct cw_fec_news {
    uint64_t number;
    uint8_t times_left;
    bool is_early; /* in no ACK; told once, it waits */
};

struct cw_session_fec {
    bool is_on;           /* in the session that is up: both sides have it */
    uint32_t held_count;  /* lost packets not to be sent again yet */
    uint64_t verdict_ns;  /* when the first of them may be due; CW_NEVER: there is none */
    uint64_t detour_ns;   /* by which repairs are longer under way than their sources, of late */
    uint32_t early_count; /* of news */
    uint32_t news_count;  /* numbers given back and to be told, oldest first */
    struct cw_fec_news news[CW_FEC_NEWS_MAX];
    uint64_t left_before[CW_FEC_STRIPES]; /* live messages that had wholly left when it was opened */
    struct cw_meter blocks_opened;
    struct cw_fec_auto automatic;
    struct cw_fec_sender sender;
    struct cw_fec_receiver receiver;
    struct cw_fec_code code;
};

struct cw_path;
struct cw_sent;
struct cw_lost;
struct cw_packet;
struct cw_sa;

/* NULL when the configuration says off, and when measuring. */
struct cw_session_fec *cw_session_fec_carve(const struct cw_session_path_config *config,
                                            struct cw_arena *arena);
/* What the handshake offers. */
uint16_t cw_session_fec_offer(const struct cw_session_fec *fec);
/* Does the peer's offer agree with ours? */
bool cw_session_fec_agreed(const struct cw_session_fec *fec, uint16_t peer_offer);
void cw_session_fec_open(struct cw_path *path, const struct cw_sa *sa);
void cw_session_fec_close(struct cw_path *path);
/* The path is down: repairs that have not left are not wanted any more. */
void cw_session_fec_abandon(struct cw_path *path);

/* Out. The payload lies in the datagram; writes packet's place in a block. Before it is sealed. */
void cw_session_fec_protect(struct cw_path *path, struct cw_packet *packet, uint8_t *datagram, size_t length,
                            uint64_t now_ns);
/* Closes stripes whose time has come, or that wait for nothing more. */
void cw_session_fec_look(struct cw_path *path, bool latency_is_empty, uint64_t now_ns);
/* Of so many live messages that have left, those whose repairs have left too. */
uint64_t cw_session_fec_live_left(const struct cw_path *path, uint64_t left);
bool cw_session_fec_has_fresh_news(const struct cw_path *path);
/* The RECOVERED frame that goes before an ACK, fresh news first; 0 when there is nothing to tell. */
size_t cw_session_fec_write_news(struct cw_path *path, uint8_t *at, uint64_t now_ns);

/* In, opened. */
void cw_session_fec_on_source(struct cw_path *path, const struct cw_packet *packet, uint8_t *datagram,
                              uint64_t now_ns);
/* Of any path's block; a packet that cw_packet_check took. */
void cw_session_fec_on_repair(struct cw_path *path, const struct cw_packet *packet, const uint8_t *symbol,
                              uint64_t now_ns);
/* The packet itself. Only where something was given back early. */
void cw_session_fec_on_came(struct cw_path *path, uint64_t number);
/* false: it speaks of what was never sent. */
bool cw_session_fec_on_recovered(struct cw_path *path, const struct cw_recovered_list *recovered,
                                 uint64_t now_ns);

/* Fills in those that are not counted one by one. */
void cw_session_fec_stats(const struct cw_path *path, uint64_t counters[CW_SESSION_COUNTER_COUNT]);

/* Losses. True: what it carried is not to be sent again yet; it becomes a lost one that is held. */
bool cw_session_fec_holds(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);
/* Held no longer; is_acked: what it carried has arrived. */
void cw_session_fec_let_go(struct cw_path *path, struct cw_lost *lost, bool is_acked);
void cw_session_fec_on_lost(struct cw_path *path, uint64_t number, uint64_t now_ns);
void cw_session_fec_on_time(struct cw_path *path, uint64_t now_ns);
uint64_t cw_session_fec_deadline_ns(const struct cw_path *path);
