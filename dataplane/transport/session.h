/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: the authenticated, sealed association of two nodes over one path or several, carrying messages.
 *
 * Pure: datagrams, sends and a time go in; datagrams and events come out. No clock, no I/O, no allocation
 * after init, no randomness of its own (random bytes come in with the configuration and with
 * cw_session_entropy). One thread owns a session (a net lcore).
 *
 * A message is a head (<= 2048 B, copied at send) and a body (<= 128 KiB, borrowed from send until its
 * CW_SESSION_SENT event). It is cut into fragments, each sealed into a datagram of at most the path's
 * datagram_bytes_max; it is delivered whole, exactly once per session, in any order, with head and
 * body in a receive buffer whose body is aligned to 4096. A session that goes down delivers nothing more
 * and gives every unsent or unacknowledged message back by a CW_SESSION_SENT event with delivered = false;
 * it may or may not have arrived: the layer above compares sequences when a new session is up.
 *
 * A path is a way from one of our ports to one of the peer's. Each has its own keys, packet numbers, round
 * trip, rate and size of datagrams; a message's fragments travel on any. Functions that are of one path take
 * its place in config.paths.
 *
 * Guarantees: packets in flight <= window, on each path; messages in flight towards the peer <= the credit it
 * granted, by size class; bytes sent on a path in any interval T <= rate * T + one burst,
 * which is what a millisecond of the rate carries, at least two datagrams, at most 64 KiB.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/counters.h"
#include "base/status.h"
#include "transport/authenticator.h"
#include "transport/rate_fixed.h"
#include "wire/message.h"

/* Streams differ in priority only, highest first. */
enum cw_stream { CW_STREAM_CONTROL = 0, CW_STREAM_LIVE, CW_STREAM_RESYNC, CW_STREAM_COUNT };

/* Receive buffers come in classes by body size; credit is granted in messages of each class. */
enum cw_size_class { CW_CLASS_SMALL = 0, CW_CLASS_MEDIUM, CW_CLASS_LARGE, CW_CLASS_COUNT };
#define CW_CLASS_BYTES(c)                                                                                    \
    ((c) == CW_CLASS_SMALL ? 4096u : (c) == CW_CLASS_MEDIUM ? 32768u : CW_RECORD_PAYLOAD_MAX)
static inline enum cw_size_class cw_size_class_of(uint32_t body_length)
{
    return body_length <= CW_CLASS_BYTES(CW_CLASS_SMALL)    ? CW_CLASS_SMALL
           : body_length <= CW_CLASS_BYTES(CW_CLASS_MEDIUM) ? CW_CLASS_MEDIUM
                                                            : CW_CLASS_LARGE;
}

/* How AEAD is done: a table of two, ipsec-mb and OpenSSL EVP as the reference (dataplane/io/aead.h). */
struct cw_aead_ops {
    const char *name;
    size_t key_state_size; /* bytes of expanded key, at 64-byte alignment */
    void (*key_expand)(void *key_state, const uint8_t key[32]);
    /* AES-256-GCM. cipher may equal plain. tag is 16 bytes. iv is 12 bytes. */
    void (*seal)(const void *key_state, uint8_t *cipher, const uint8_t *plain, size_t length,
                 const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16]);
    /* false: the tag does not match, and what stands in plain is garbage. */
    bool (*open)(const void *key_state, uint8_t *plain, const uint8_t *cipher, size_t length,
                 const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16]);
};

/* Who decides how fast a path is sent on (rate.h). */
enum cw_rate_kind { CW_RATE_FIXED = 0, CW_RATE_BBR, CW_RATE_CUBIC, CW_RATE_KIND_COUNT };

/*
 * Forward error correction: used when both sides have it, each in the shape of its own configuration. auto:
 * the shape follows the losses of the path.
 */
enum cw_fec_mode { CW_FEC_OFF = 0, CW_FEC_FIXED, CW_FEC_AUTO };
struct cw_fec_config {
    enum cw_fec_mode mode;
    uint8_t sources; /* of a block, 1..64; the rest when it is fixed only */
    uint8_t repairs; /* of a block, 1..8 */
    uint16_t depth;  /* blocks striped, 1..256 */
};

#define CW_SESSION_PATHS_MAX 4u

struct cw_session_path_config {
    uint64_t name_hash; /* of the path's name, which both sides have; no two of a session are equal */
    uint32_t datagram_bytes_max; /* UDP payload: MTU - 28 (v4) or - 48 (v6) */
    enum cw_rate_kind rate_kind;
    uint64_t rate_bytes_per_second; /* fixed: the rate; else never more than it. 0: no limit */
    uint32_t packets_in_flight_max; /* power of two */
    struct cw_fixed_config guard;   /* of CW_RATE_FIXED */
    struct cw_fec_config fec;
    bool is_mtu_probed; /* begin with small datagrams and find what the path carries; else the largest, always
                         */
};

struct cw_session_config {
    bool is_initiator;   /* exactly one of the two; the other answers */
    char local_name[32]; /* node names: mixed into the keys, so a wrong peer cannot finish */
    char remote_name[32];
    bool has_certificates;   /* an authenticator judges the peer; else both have the cluster key */
    uint8_t cluster_key[32]; /* never seals data; all zeros with certificates */
    uint8_t seed[64];        /* fresh from getrandom: ephemeral secrets and nonces come from it */
    const struct cw_aead_ops *aead;
    uint32_t lane, lane_count; /* which of how many sessions between these two nodes; lane_count 0: one */
    uint32_t
        path_count; /* 1..CW_SESSION_PATHS_MAX; the initiator's order numbers them, the peer's may differ */
    struct cw_session_path_config paths[CW_SESSION_PATHS_MAX];
    uint32_t messages_max;                  /* sends accepted and not yet returned, all streams */
    uint32_t receive_count[CW_CLASS_COUNT]; /* buffers of each class = credit granted */
    uint64_t idle_timeout_ns;               /* nothing heard for this long: down. Default 2 s */
    bool is_latency_duplicated; /* what leaves of control and live while little waits leaves on two paths */
};

/* A received message. The buffer is the session's; give it back with cw_session_release. */
struct cw_received {
    uint64_t buffer; /* generation handle */
    uint8_t stream;
    uint32_t head_length;
    uint32_t body_length;
    uint8_t *head;
    uint8_t *body; /* aligned to 4096 */
};

enum cw_session_event_type {
    CW_SESSION_UP = 1, /* both sides have proved the keys; sends are accepted from now on */
    CW_SESSION_DOWN,   /* why says why; a new handshake starts by itself */
    CW_SESSION_RECEIVED,
    CW_SESSION_SENT, /* message `tag` is finished with: delivered, or given back */
    /*
     * A path begins or ceases to carry data. PATH_UP comes for the first one too, after UP; DOWN says that
     * all are down. Told once nothing else is left to be told; what was undone meanwhile is not told.
     */
    CW_SESSION_PATH_UP,
    CW_SESSION_PATH_DOWN,
    /* A path of CW_RATE_FIXED that is up sends less than its rate, or its rate again (rate_fixed.h). Told as
     * those are. */
    CW_SESSION_PATH_HELD,
    CW_SESSION_PATH_MOVED, /* the peer was followed to the address `tag`; told like the two before */
};

enum cw_session_down {
    CW_DOWN_NONE = 0,
    CW_DOWN_IDLE,
    CW_DOWN_CLOSED_BY_PEER,
    CW_DOWN_PEER_RESTARTED,
    CW_DOWN_KEYS_WORN,
    CW_DOWN_LOCAL,
    CW_DOWN_UNTRUSTED, /* the authenticator believes the peer no more */
    CW_DOWN_REWOUND,   /* this memory may be an old picture of itself: cw_session_start_over */
    CW_DOWN_COUNT
};

enum cw_path_down {
    CW_PATH_DOWN_NONE = 0,
    CW_PATH_DOWN_PROBES, /* probe time-outs without an ack, while other paths were heard */
    CW_PATH_DOWN_SILENT, /* nothing heard for the idle time-out */
    CW_PATH_DOWN_COUNT
};

struct cw_session_event {
    uint8_t type;
    uint8_t why;                 /* DOWN: enum cw_session_down; PATH_DOWN: enum cw_path_down;
                                    PATH_HELD: enum cw_fixed_state */
    uint8_t path;                /* PATH_...: its place in config.paths */
    uint32_t amount;             /* PATH_HELD: per cent lost, or milliseconds of queue */
    uint32_t retry_ms;           /* PATH_HELD: from when it was held until the rate is tried again */
    bool delivered;              /* SENT */
    uint64_t tag;                /* SENT; PATH_MOVED: the address */
    struct cw_received received; /* RECEIVED */
};

#define CW_SESSION_COUNTERS(X)                                                                               \
    X(CW_SESSION_DATAGRAMS_OUT, "datagrams_out")                                                             \
    X(CW_SESSION_DATAGRAMS_IN, "datagrams_in")                                                               \
    X(CW_SESSION_BYTES_OUT, "bytes_out")                                                                     \
    X(CW_SESSION_BYTES_IN, "bytes_in")                                                                       \
    X(CW_SESSION_MESSAGES_OUT, "messages_out")                                                               \
    X(CW_SESSION_MESSAGES_IN, "messages_in")                                                                 \
    X(CW_SESSION_RETRANSMITTED, "packets_retransmitted")                                                     \
    X(CW_SESSION_LOST, "packets_lost")                                                                       \
    X(CW_SESSION_SPURIOUS, "losses_spurious")                                                                \
    X(CW_SESSION_PROBES, "probe_timeouts")                                                                   \
    X(CW_SESSION_MTU_PROBES, "mtu_probes")                                                                   \
    X(CW_SESSION_MTU_HINTS, "mtu_hints")                                                                     \
    X(CW_SESSION_BLACK_HOLES, "mtu_black_holes")                                                             \
    X(CW_SESSION_DROP_HINT, "drop_mtu_hint")                                                                 \
    X(CW_SESSION_DROP_SHORT, "drop_short")                                                                   \
    X(CW_SESSION_DROP_FORMAT, "drop_format")                                                                 \
    X(CW_SESSION_DROP_VERSION, "drop_other_version")                                                         \
    X(CW_SESSION_DROP_RESERVED, "drop_reserved")                                                             \
    X(CW_SESSION_DROP_SPI, "drop_unknown_spi")                                                               \
    X(CW_SESSION_DROP_TAG, "drop_bad_tag")                                                                   \
    X(CW_SESSION_DROP_REPLAY, "drop_replay")                                                                 \
    X(CW_SESSION_DROP_HANDSHAKE, "drop_handshake")                                                           \
    X(CW_SESSION_DROP_COOKIE, "drop_bad_cookie")                                                             \
    X(CW_SESSION_DROP_FLOOD, "drop_handshake_flood")                                                         \
    X(CW_SESSION_DROP_FRAME, "drop_bad_frame")                                                               \
    X(CW_SESSION_DROP_CREDIT, "drop_over_credit")                                                            \
    X(CW_SESSION_DUPLICATE, "fragments_duplicate")                                                           \
    X(CW_SESSION_HANDSHAKES, "handshakes_completed")                                                         \
    X(CW_SESSION_DOWNS, "sessions_down")                                                                     \
    X(CW_SESSION_STALE_RELEASES, "stale_releases")                                                           \
    X(CW_SESSION_LOSSES_RECOVERED, "losses_recovered")                                                       \
    X(CW_SESSION_FEC_BLOCKS_OUT, "fec_blocks_out")                                                           \
    X(CW_SESSION_FEC_REPAIRS_OUT, "fec_repairs_out")                                                         \
    X(CW_SESSION_FEC_REPAIRS_CROSSED, "fec_repairs_crossed")                                                 \
    X(CW_SESSION_FEC_UNPROTECTED, "fec_unprotected")                                                         \
    X(CW_SESSION_FEC_BLOCKS_IN, "fec_blocks_in")                                                             \
    X(CW_SESSION_FEC_REPAIRS_IN, "fec_repairs_in")                                                           \
    X(CW_SESSION_FEC_RECOVERED, "fec_recovered")                                                             \
    X(CW_SESSION_FEC_EARLY, "fec_early")                                                                     \
    X(CW_SESSION_FEC_UNRECOVERABLE, "fec_unrecoverable")                                                     \
    X(CW_SESSION_FEC_LATE, "fec_late")                                                                       \
    X(CW_SESSION_FEC_BAD, "drop_bad_symbol")                                                                 \
    X(CW_SESSION_REFUSED_NO_CERTIFICATE, "refused_no_certificate")                                           \
    X(CW_SESSION_REFUSED_AUTHORITY, "refused_other_authority")                                               \
    X(CW_SESSION_REFUSED_SITE, "refused_other_site")                                                         \
    X(CW_SESSION_REFUSED_EXPIRED, "refused_expired")                                                         \
    X(CW_SESSION_REFUSED_NOT_YET, "refused_not_yet_valid")                                                   \
    X(CW_SESSION_REFUSED_REVOKED, "refused_revoked")                                                         \
    X(CW_SESSION_REFUSED_STALE, "refused_stale_revocations")                                                 \
    X(CW_SESSION_REFUSED_BY_PEER, "refused_by_peer")                                                         \
    X(CW_SESSION_REFUSED_BROKEN, "refused_broken")                                                           \
    X(CW_SESSION_KEYS_ROTATED, "keys_rotated")                                                               \
    X(CW_SESSION_KEYS_FOLLOWED, "keys_followed")                                                             \
    X(CW_SESSION_PATH_UPS, "path_ups")                                                                       \
    X(CW_SESSION_PATH_DOWNS, "path_downs")                                                                   \
    X(CW_SESSION_MARKED, "packets_marked")                                                                   \
    X(CW_SESSION_MARKS_TOLD, "marks_told")                                                                   \
    X(CW_SESSION_COPIES, "fragments_copied")                                                                 \
    X(CW_SESSION_ADDRESS_ASKED, "addresses_asked")                                                           \
    X(CW_SESSION_ADDRESS_KEPT, "addresses_kept")                                                             \
    X(CW_SESSION_ADDRESS_MOVED, "addresses_moved")                                                           \
    X(CW_SESSION_DROP_LANE, "drop_other_lane")                                                               \
    X(CW_SESSION_DROP_LANES, "drop_other_lanes")
enum { CW_SESSION_COUNTERS(CW_COUNTER_ENUM) CW_SESSION_COUNTER_COUNT };
extern const char *const cw_session_counter_names[CW_SESSION_COUNTER_COUNT];

struct cw_session; /* opaque outside transport/ */

/* Carves everything from the arena (run twice, as cw_arena_measure tells). When measuring, returns NULL. */
struct cw_session *cw_session_new(const struct cw_session_config *config, struct cw_arena *arena,
                                  uint64_t now_ns);
/* 64 fresh random bytes for the next handshake; asked for by cw_session_wants_entropy. */
bool cw_session_wants_entropy(const struct cw_session *session);
void cw_session_entropy(struct cw_session *session, const uint8_t seed[64]);

bool cw_session_is_up(const struct cw_session *session);
/* How many lanes the peer said that it has, when it was refused for that last; 0: it was not, or is up since.
 */
uint32_t cw_session_other_lanes(const struct cw_session *session);

/*
 * Hands over one message. head is copied; body is borrowed until SENT. CW_AGAIN: no room or no credit; try
 * after the next SENT event or when cw_session_can_send says so. CW_SHUTDOWN: not up.
 */
enum cw_status cw_session_send(struct cw_session *session, enum cw_stream stream, const uint8_t *head,
                               uint32_t head_length, const uint8_t *body, uint32_t body_length,
                               uint64_t tag) CW_MUST_CHECK;
bool cw_session_can_send(const struct cw_session *session, enum cw_stream stream, uint32_t body_length);

/*
 * With certificates: what the session wants of its authenticator, and what that says (authenticator.h). Ask
 * after each turn; what is not asked for stays. An answer has effect at once; its secret is not kept.
 */
bool cw_session_auth_request(struct cw_session *session, struct cw_auth_request *request);
void cw_session_auth_answer(struct cw_session *session, const struct cw_auth_answer *answer, uint64_t now_ns);

/* One UDP payload as received on a path. May be changed (opened in place). Never keeps a pointer to it. */
void cw_session_on_datagram(struct cw_session *session, uint32_t path, uint8_t *datagram, size_t length,
                            uint64_t now_ns);
/* The same for one whose IP header says that it met congestion (CE, RFC 3168): the sender is told. */
void cw_session_on_datagram_marked(struct cw_session *session, uint32_t path, uint8_t *datagram,
                                   size_t length, uint64_t now_ns);

/*
 * The same of one that came from the address `from`, a token of the shell's (session_address.h); 0: that of
 * the configuration. The other two: from the address in use. Where the datagram that cw_session_transmit gave
 * last is to go: the one in use, or one that is being asked. Those are needed, others may be forgotten.
 */
void cw_session_on_datagram_from(struct cw_session *session, uint32_t path, uint64_t from, bool is_marked,
                                 uint8_t *datagram, size_t length, uint64_t now_ns);
uint64_t cw_session_goes_to(const struct cw_session *session, uint32_t path);
uint64_t cw_session_address(const struct cw_session *session, uint32_t path); /* in use */
bool cw_session_needs_address(const struct cw_session *session, uint32_t path, uint64_t token);

/*
 * A router says (ICMP) that it carries datagrams of this size at most, and quotes the first bytes of one that
 * it did not carry. A hint: looked at only if that one is out under the keys of now, or was given up of late,
 * and never below what is the base (pmtu.h). False: it was not believed.
 */
#define CW_SESSION_QUOTED_BYTES 16u
bool cw_session_on_too_big(struct cw_session *session, uint32_t path, const uint8_t *quoted, size_t length,
                           uint32_t datagram_bytes, uint64_t now_ns);
/* Another session, of another lane, has believed that of the same path: this one sends no larger ones either.
 * Below the base it is not obeyed. */
void cw_session_on_narrower(struct cw_session *session, uint32_t path, uint32_t datagram_bytes,
                            uint64_t now_ns);

/*
 * Builds the next datagram that may leave on the path now, highest priority first: handshake, acks, control,
 * live, resync, retransmissions before new data of the same stream. Returns its length, 0 when nothing may
 * leave.
 */
size_t cw_session_transmit(struct cw_session *session, uint32_t path, uint8_t *datagram, uint64_t now_ns);

/* Timers of all paths: call cw_session_on_time when now >= deadline; CW_NEVER when nothing is pending. */
void cw_session_on_time(struct cw_session *session, uint64_t now_ns);
uint64_t cw_session_deadline_ns(const struct cw_session *session);

/* Pops the oldest event; false when there is none. The queue cannot overflow: it is sized by the limits. */
bool cw_session_event(struct cw_session *session, struct cw_session_event *event);
/*
 * How many messages of the live stream were accepted since the session was made, and how many of them, in
 * that order, have left: each fragment once, and the repairs of the blocks that they are in. Left is: built
 * by cw_session_transmit. Those of a session that went down count as if they had.
 */
uint64_t cw_session_live_count(const struct cw_session *session);
uint64_t cw_session_live_left(const struct cw_session *session);
/* Gives a received buffer back: its credit returns to the peer. A stale handle is counted and ignored. */
void cw_session_release(struct cw_session *session, uint64_t buffer);
/* The one memory block that holds all receive bodies, so that the shell can register it with io_uring. */
void cw_session_receive_memory(const struct cw_session *session, void **memory, size_t *length);

/* Tells the peer and goes down (CW_DOWN_LOCAL). */
void cw_session_close(struct cw_session *session, uint64_t now_ns);

/*
 * This memory may be an old picture of itself, as that of a virtual machine that went back to a snapshot:
 * what it has sealed since is not in it, and its keys, numbers and seed may be another's too. Goes down
 * (CW_DOWN_REWOUND) without a word to the peer, for a word takes a number; ends a handshake that is under way
 * and throws the seed in reserve away. The next one begins with a new seed. A session does so by itself when
 * the peer acknowledges what it has never sent.
 */
void cw_session_start_over(struct cw_session *session, uint64_t now_ns);

struct cw_session_stats {
    uint32_t messages_in_flight;
    uint64_t counters[CW_SESSION_COUNTER_COUNT]; /* with those of all paths */
};
void cw_session_stats(struct cw_session *session, struct cw_session_stats *stats);

struct cw_session_path_stats {
    bool is_at_both;        /* the peer has it too; true while down */
    bool is_up;             /* it carries data */
    uint64_t address;       /* of the peer, that is in use; 0: that of the configuration */
    const char *state_name; /* "unused" (down, or not at both ends), "probing", "up" or "down" */
    uint64_t rtt_ns_smoothed, rtt_ns_min, rtt_ns_latest;
    uint64_t rate_bytes_per_second; /* measured over the last second */
    double loss;                    /* share of packets declared lost, last ten seconds or so */
    uint32_t packets_in_flight;
    uint32_t datagram_bytes; /* the largest that are sent now; 0: down */
    uint64_t bytes_in_flight;
    uint64_t pacing_bytes_per_second;            /* what the controller allows now; 0: not paced */
    uint64_t window_bytes;                       /* UINT64_MAX: no limit but that of packets */
    const char *rate_name;                       /* "fixed", "bbr" or "cubic" */
    const char *rate_state;                      /* of the controller, in a word */
    uint8_t held;                                /* enum cw_fixed_state */
    uint32_t held_amount;                        /* as in PATH_HELD */
    uint64_t held_left_ns;                       /* until the rate is tried again */
    uint64_t counters[CW_SESSION_COUNTER_COUNT]; /* those that are a path's; the others are 0 */
};
void cw_session_path_stats(struct cw_session *session, uint32_t path, struct cw_session_path_stats *stats);
