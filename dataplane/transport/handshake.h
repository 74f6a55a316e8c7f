/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake: how two nodes that hold the cluster key, or certificates of one authority, come to fresh
 * traffic keys.
 *
 *      initiator                                      responder
 *      HELLO   random, share, no cookie      ------>  keeps nothing
 *              random again, cookie          <------  COOKIE
 *      HELLO   the same, with the cookie     ------>  derives the keys
 *              random, share, confirm        <------  ANSWER
 *      CONFIRM confirm                       ------>  up
 *      up                                    <------  any sealed packet
 *
 *      RESTING --start--> ASKING --COOKIE--> SHOWING --ANSWER--> CONFIRMING --sealed packet--> RESTING
 *                           \________________ANSWER_____________/    |  too long without one
 *                     stop: ASKING, SHOWING --> RESTING              +-----------------------> RESTING
 *      LISTENING --HELLO with its cookie--> ANSWERED --CONFIRM, or too long without one--> LISTENING
 *
 * With certificates ANSWER confirms nothing: both sides now let their authenticators talk (authenticator.h),
 * their bytes in CARRY datagrams, and the secret that these share takes the place of the cluster key.
 *
 *      ANSWER  random, share                 <------  begins to judge
 *      CARRY   bytes, acknowledged, resent   <----->  CARRY
 *      CONFIRM confirm                       ------>  up, if its own verdict is good
 *      up                                    <------  any sealed packet
 *
 *      SHOWING --ANSWER--> CARRYING --verdict good--> CONFIRMING
 *      LISTENING --HELLO with its cookie--> JUDGING --verdict good--> ANSWERED
 *      CARRYING, CONFIRMING --refused--> RESTING
 *      JUDGING --refused--> LISTENING
 *
 * A session may have several paths. What is to leave leaves on one of them: the one on which the last message
 * of use came, or, after a resend timer, the next; so one dead path stops nothing.
 *
 * Every message but CARRY is CW_HANDSHAKE_BYTES long, so no answer is larger than its question, and carries a
 * MAC under a key that only holders of the cluster key with these two names have. Until a cookie came back
 * the responder keeps nothing but one answer waiting to leave; a newer question replaces it.
 *
 * A live session is no business of this module: only CW_HANDSHAKE_COMPLETED or a sealed packet under the
 * new keys makes the session change over, and both need the fresh random of both sides.
 *
 * With certificates there is no key before the verdict: the MAC is under a key that everybody can know, and
 * is a checksum. What holds strangers off then is the cookie; who sees the path's datagrams can have a
 * judgement begin, one in REPLACE_NS however it ends, and spoil one that is under way by bytes of his own,
 * but not end a session or be believed.
 *
 * Each attempt uses up one seed; while there is none, nothing starts and nothing is answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fsm.h"
#include "transport/authenticator.h"
#include "transport/carry.h"
#include "transport/keys.h"

#define CW_HANDSHAKE_BYTES 256u

enum cw_handshake_state {
    CW_HANDSHAKE_RESTING = 0, /* initiator: nothing wanted, or waits for a seed */
    CW_HANDSHAKE_ASKING,      /* waits for COOKIE (or ANSWER) */
    CW_HANDSHAKE_SHOWING,     /* waits for ANSWER */
    CW_HANDSHAKE_CARRYING,    /* waits for the verdict of our authenticator */
    CW_HANDSHAKE_CONFIRMING,  /* waits for a sealed packet under the new keys */
    CW_HANDSHAKE_LISTENING,   /* responder: waits for HELLO */
    CW_HANDSHAKE_JUDGING,     /* waits for the verdict of our authenticator */
    CW_HANDSHAKE_ANSWERED,    /* waits for CONFIRM */
    CW_HANDSHAKE_STATE_COUNT
};

enum cw_handshake_kind {
    CW_HANDSHAKE_NONE = 0,
    CW_HANDSHAKE_HELLO,
    CW_HANDSHAKE_COOKIE,
    CW_HANDSHAKE_ANSWER,
    CW_HANDSHAKE_CONFIRM,
    CW_HANDSHAKE_CARRY,
    CW_HANDSHAKE_KIND_COUNT
};

enum cw_handshake_result {
    CW_HANDSHAKE_TAKEN = 0, /* of use, or a harmless repetition */
    CW_HANDSHAKE_DROPPED,   /* malformed, MAC wrong, or not of this attempt */
    CW_HANDSHAKE_ASKED,     /* a HELLO without a cookie: whose it is nobody knows yet */
    CW_HANDSHAKE_BAD_COOKIE,
    CW_HANDSHAKE_OTHER_LANES, /* the peer has another number of lanes; lanes_heard says how many */
    CW_HANDSHAKE_KEYED,       /* keys and peer are ready: the session prepares its next keys */
    CW_HANDSHAKE_COMPLETED,   /* responder: the initiator has proved the keys of the last KEYED */
    CW_HANDSHAKE_REFUSED,     /* the verdict is no; refusal says why */
    CW_HANDSHAKE_REPEATED,    /* responder: CONFIRM again; the initiator has not heard from us yet */
};

struct cw_handshake {
    /* constant */
    bool is_initiator;
    uint8_t cluster_key[CW_KEY_SIZE];
    struct cw_names names;
    struct cw_mac_keys mac_keys;
    uint8_t cookie_secret[CW_KEY_SIZE];
    struct cw_offer own_offer; /* random, share and SPIs are those of the attempt */
    struct cw_fsm fsm;
    /* the attempt */
    uint8_t state;
    bool has_seed;
    bool wanted; /* initiator: start as soon as there is a seed */
    uint8_t seed[CW_SEED_SIZE];
    struct cw_ephemeral own;
    struct cw_offer peer; /* valid from KEYED on */
    struct cw_session_keys keys;
    uint8_t lanes_heard;                  /* with OTHER_LANES */
    uint8_t cookie[CW_HASH_SIZE];         /* initiator: to be shown */
    uint8_t ended_random[CW_RANDOM_SIZE]; /* the initiator's of the attempt that came to its end last, good or
                                             bad */
    uint32_t spi_avoid[CW_OFFER_PATHS_MAX]; /* in use by the live session */
    uint64_t replace_ns;                    /* responder: until then no HELLO begins another attempt */
    /* with certificates */
    struct cw_carry *carry; /* NULL: without */
    uint32_t attempt;       /* counts those that were begun; names the present one to the authenticator */
    bool begin_due;         /* towards the authenticator */
    bool is_refused;        /* its last bytes may still leave */
    uint8_t refusal;        /* enum cw_auth_reason */
    bool has_early_confirm; /* responder: CONFIRM came before our own verdict */
    uint8_t early_confirm[CW_HASH_SIZE];
    uint64_t pause_ns; /* initiator: no new attempt before it */
    /* what is to leave */
    uint32_t path;   /* on which */
    uint8_t due;     /* enum cw_handshake_kind, NONE: nothing */
    bool cookie_due; /* to whoever said the last HELLO without a good one; beside all else, on his path */
    uint32_t cookie_path;
    uint8_t cookie_out[CW_HASH_SIZE];
    uint8_t cookie_random[CW_RANDOM_SIZE];
    /* time */
    uint64_t resend_ns; /* CW_NEVER: nothing to resend */
    uint64_t backoff_ns;
    uint64_t give_up_ns;
};

struct cw_handshake_config {
    bool is_initiator;
    const char *local_name; /* 32 bytes, zero-padded if shorter */
    const char *remote_name;
    const uint8_t *cluster_key; /* all zeros with certificates */
    struct cw_carry *carry;     /* memory for the use of certificates, or NULL */
    const uint8_t *seed;
    uint32_t window;
    uint32_t lane, lane_count; /* lane_count 0: one */
    uint32_t path_count;
    struct cw_path_offer paths[CW_OFFER_PATHS_MAX]; /* but for the SPIs */
};

void cw_handshake_init(struct cw_handshake *handshake, const struct cw_handshake_config *config);
bool cw_handshake_wants_seed(const struct cw_handshake *handshake);
void cw_handshake_seed(struct cw_handshake *handshake, const uint8_t seed[CW_SEED_SIZE]);

/* Initiator: have a new attempt, now or as soon as there is a seed. No effect while one is under way, or at a
 * responder. */
void cw_handshake_start(struct cw_handshake *handshake, uint64_t now_ns);
/* Initiator: the live session was heard; an attempt that has not got an ANSWER is dropped. */
void cw_handshake_stop(struct cw_handshake *handshake);
/* After KEYED: the session has the keys of the paths. They and what they were made with are wiped; the proofs
 * stay, which may have to be sent again. */
void cw_handshake_forget_keys(struct cw_handshake *handshake);
/* The attempt ends, and the seed in reserve is thrown away; an initiator begins anew when it has another. */
void cw_handshake_start_over(struct cw_handshake *handshake);
/* Initiator: a packet under the new keys was opened. */
void cw_handshake_done(struct cw_handshake *handshake);

enum cw_handshake_result cw_handshake_on_datagram(struct cw_handshake *handshake, uint32_t path,
                                                  const uint8_t *datagram, size_t length, uint64_t now_ns);
/* Writes CW_HANDSHAKE_BYTES, or a CARRY of at most what both sides take; or returns 0. */
size_t cw_handshake_transmit(struct cw_handshake *handshake, uint32_t path, uint8_t *datagram,
                             uint64_t now_ns);
bool cw_handshake_has_output(const struct cw_handshake *handshake, uint32_t path);
void cw_handshake_on_time(struct cw_handshake *handshake, uint64_t now_ns);
uint64_t cw_handshake_deadline_ns(const struct cw_handshake *handshake);

/* Certificates: the next thing for the authenticator; false: nothing. */
bool cw_handshake_auth_request(struct cw_handshake *handshake, struct cw_auth_request *request);
/* TAKEN, DROPPED (of another attempt), REFUSED, or KEYED: then cw_handshake_early follows. */
enum cw_handshake_result cw_handshake_auth_answer(struct cw_handshake *handshake,
                                                  const struct cw_auth_answer *answer, uint64_t now_ns);
/* COMPLETED, if the responder has the CONFIRM of the attempt just KEYED already; else TAKEN. */
enum cw_handshake_result cw_handshake_early(struct cw_handshake *handshake);
