/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two sessions, two links a path and a workload in virtual time, with the promises of session.h checked at
 * every step by plain bookkeeping beside them:
 *   - a message arrives at most once, with the bytes that were sent, on the stream it was sent on
 *   - each accepted message comes back by exactly one SENT event; `delivered` only if it did arrive
 *   - nothing arrives after DOWN that was sent before it
 *   - no (key, SPI, IV) is ever sealed twice, over all lives of a pair
 */
#pragma once

#include "link.h"
#include "transport/session.h"

#define CW_PAIR_MESSAGES 8192u /* a side */

/* How many of a test's random worlds are tried: under a sanitizer, where each costs five times as much, the first of them. */
#ifdef __SANITIZE_ADDRESS__
#define CW_PAIR_SEEDS(all) ((all) / 4u)
#else
#define CW_PAIR_SEEDS(all) (all)
#endif

enum cw_pair_message_state { CW_PAIR_UNUSED = 0, CW_PAIR_OPEN, CW_PAIR_DELIVERED, CW_PAIR_GIVEN_BACK };

struct cw_pair_message {
    uint8_t state;
    uint8_t stream;
    uint8_t arrived; /* times */
    uint32_t life;   /* of the sender, when it was sent */
    uint32_t head_length, body_length;
    uint8_t *body; /* ours until SENT */
    uint64_t sent_ns, arrived_ns;
};

struct cw_pair_side {
    struct cw_session_config config;
    struct cw_session *session;
    uint8_t *memory;
    size_t memory_size;
    struct cw_link out[CW_SESSION_PATHS_MAX]; /* towards the other side */
    struct cw_rng rng;
    bool has_entropy;  /* false: the session asks in vain */
    bool is_deaf;      /* events are left in the queue */
    uint64_t address;  /* where it is (has_addresses): what it sends comes from there, and what goes there it
                          gets */
    uint64_t also;     /* what goes there it gets too */
    bool is_asleep;    /* it does nothing, and what comes waits */
    bool hold_buffers; /* received buffers are kept for a while, released in random order */
    uint64_t held[512];
    uint32_t held_count;
    struct cw_pair_message messages[CW_PAIR_MESSAGES]; /* sent by this side */
    uint32_t sent_count;
    uint32_t finished_count;
    uint32_t arrived_count; /* from the other side */
    uint32_t ups, downs;
    uint32_t path_ups[CW_SESSION_PATHS_MAX], path_downs[CW_SESSION_PATHS_MAX];
    bool is_path_up[CW_SESSION_PATHS_MAX]; /* as told */
    uint8_t last_why;
};

struct cw_pair {
    uint64_t now_ns;
    struct cw_rng rng;
    uint32_t
        leads_to[2][CW_SESSION_PATHS_MAX]; /* whose path a side's datagrams come out on: as the cables are */
    struct cw_pair_side sides[2];          /* 0 initiates */
    void (*tap)(struct cw_pair *pair, int from, uint8_t *datagram, size_t length); /* may be NULL */
    uint32_t tap_path;                                                             /* of what the tap sees */
    bool has_addresses; /* before anything is sent; of the links only delay, loss and reordering may then be
                           used */
    /* What a side sends to where the other is not; may be NULL. */
    void (*stray)(struct cw_pair *pair, int from, uint64_t to, const uint8_t *datagram, size_t length);
    uint32_t moves[2];                                    /* PATH_MOVED events */
    void (*authenticate)(struct cw_pair *pair, int side); /* after each turn of a side; may be NULL */
};

/* AEAD that remembers every nonce it sealed under and asserts that none comes twice. */
const struct cw_aead_ops *cw_pair_aead(void);

void cw_pair_defaults(struct cw_session_config *initiator, struct cw_session_config *responder,
                      uint64_t seed);
/* Draws who is against us: a link, and bounds of both sides on top of the defaults. */
void cw_pair_adversary(struct cw_session_config *initiator, struct cw_session_config *responder,
                       struct cw_link_config *link, struct cw_rng *rng, uint64_t seed);
/* All paths have links of this kind. pair is zeroed memory; start of virtual time is seeded too. */
void cw_pair_init(struct cw_pair *pair, const struct cw_session_config *initiator,
                  const struct cw_session_config *responder, const struct cw_link_config *link,
                  uint64_t seed);
void cw_pair_fini(struct cw_pair *pair);

/* Goes on until the time, or until done(pair) where given. True if done said so (or no done was given). */
bool cw_pair_run(struct cw_pair *pair, uint64_t until_ns, bool (*done)(struct cw_pair *pair));
bool cw_pair_is_up(struct cw_pair *pair);
bool cw_pair_is_finished(struct cw_pair *pair); /* all accepted messages have come back */

/* One message with seeded bytes; false when the session does not take it now. */
bool cw_pair_send(struct cw_pair *pair, int side, enum cw_stream stream, uint32_t head_length,
                  uint32_t body_length);
/* The process dies and starts again: a new session with a new seed; what was in flight stays in the links. */
void cw_pair_restart(struct cw_pair *pair, int side);
/* Gives all held buffers back. */
void cw_pair_release_all(struct cw_pair *pair, int side);
uint64_t cw_pair_counter(struct cw_pair *pair, int side, uint32_t counter);
