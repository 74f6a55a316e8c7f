/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a session, shared by session.c (life and events), session_in.c (datagrams in), session_out.c
 * (datagrams out), session_path.c (which path is used), session_time.c (timers and loss), session_rate.c
 * (rate control), session_mtu.c, session_fec.c and session_repair.c. Nobody else includes this, but tests of
 * limits that cannot be reached in time.
 *
 * A session has messages (send, receive), credit, the handshake and events; a path has packets: keys and
 * numbers, what is in flight, acks, round trip, rate, size of datagrams, forward error correction. Functions
 * of a path take the path, which knows its session.
 *
 * A security association (SA, as in RFC 4301; here of both directions) is a pair of keys with their SPIs,
 * packet numbers and replay window. A path has two: the live one and the one that a handshake prepares; going
 * up exchanges them. (A *lane* is something else: which of several sessions of the two nodes this is,
 * config.lane.)
 *
 * The keys of an association go from generation to generation, each direction by itself, at its sender's
 * will: the SPI becomes the next, packet numbers and replay window go on, so acks, losses and windows notice
 * nothing. A sender goes on only when a packet of its generation was acknowledged; a receiver has the next
 * key ready, follows when a packet opens under it, and keeps the last one for what is late.
 */
#pragma once

#include "transport/ack_ranges.h"
#include "transport/flood.h"
#include "transport/handshake.h"
#include "transport/inflight.h"
#include "transport/loss.h"
#include "transport/meter.h"
#include "transport/pacer.h"
#include "transport/pmtu.h"
#include "transport/rate.h"
#include "transport/receive.h"
#include "transport/replay.h"
#include "transport/send.h"
#include "transport/session.h"
#include "transport/session_address.h"
#include "transport/session_fec.h"

#define CW_KEY_BLOCKS_MAX                                                                                    \
    ((1ull << 35) - (1ull << 20))         /* RFC 9001 appendix B, less what is still in flight */
#define CW_KEY_ROTATE_BLOCKS (1ull << 34) /* 256 GiB */
#define CW_KEY_ROTATE_NS     (60ull * 1000 * 1000 * 1000)
#define CW_KEY_KEPT_PROBES   3u /* probe time-outs that the last generation is kept for */
static_assert(CW_KEY_ROTATE_BLOCKS < CW_KEY_BLOCKS_MAX, "a key is replaced before it is worn");
#define CW_IN_FLIGHT_RESERVE 4u   /* packets in flight kept from data for control packets */
#define CW_RATE_BURSTS_MIN   256u /* that bbr and cubic remember; else one a packet in flight */
#define CW_EVENTS_OF_STATE   64u  /* UP and DOWN in the queue; when nearly full nothing goes up */
#define CW_PROBE_PACKETS     2u   /* oldest packets sent again at a probe time-out */
#define CW_METER_RATE_SHIFT  27u  /* 8 * 2^27 ns = 1.07 s */
#define CW_METER_LOSS_SHIFT  30u  /* 8 * 2^30 ns = 8.6 s */

struct cw_session;

#define CW_PATH_STRIKES       3u /* probe time-outs in a row, while others are heard, that bring a path down */
#define CW_PATH_RESENDS       64u /* packets, at a probe time-out, that others can carry; all when it counts */
#define CW_PATH_PINGS         8u  /* to a path that is not up, of which an ack still helps */
#define CW_PATH_PING_NS_FIRST (100ull * 1000 * 1000)
#define CW_PATH_PING_NS_MAX   (1000ull * 1000 * 1000)
#define CW_PATH_HOLD_NS_MIN   (100ull * 1000 * 1000) /* after a fall, before it is used again */
#define CW_PATH_HOLD_NS_MAX   (10000ull * 1000 * 1000)
#define CW_PATH_QUIET_NS                                                                                     \
    (10000ull * 1000 * 1000) /* up for so long: half of what its falls cost is forgiven */
#define CW_PATH_COPIES      32u
#define CW_COPIED_BYTES_MAX 16384u /* of control and live waiting behind what is copied */
static_assert(CW_SESSION_PATHS_MAX == CW_OFFER_PATHS_MAX, "all paths of a session can be offered");
static_assert(CW_SESSION_PATHS_MAX == CW_PACKET_PATHS_MAX, "and named by a repair");

enum cw_session_state { CW_STATE_DOWN = 0, CW_STATE_UP, CW_STATE_COUNT };

enum cw_path_state { CW_PATH_UNUSED = 0, CW_PATH_PROBING, CW_PATH_UP, CW_PATH_DOWN, CW_PATH_STATE_COUNT };

struct cw_sa {
    bool is_ready;
    uint8_t number;  /* of the path, as both sides have it */
    uint32_t spi_in; /* of the present generations */
    uint32_t spi_out;
    void *key_in;
    void *key_in_next;
    void *key_in_last; /* until last_until_ns; then zeros, as all that is of no more use */
    void *key_out;
    uint8_t chain_in[CW_KEY_SIZE]; /* of the generation after the next */
    uint8_t chain_out[CW_KEY_SIZE];
    uint64_t last_until_ns; /* 0: there is none */
    uint64_t rotate_ns;     /* when the sending key has its age */
    uint64_t first_iv;      /* that was sealed under it */
    uint64_t next_iv;   /* from 1; every sealed datagram of this association takes one, none is taken twice */
    uint64_t blocks_in; /* AES blocks done under each key, at most */
    uint64_t blocks_out;
    uint32_t datagram_bytes; /* what both sides can take */
    uint32_t data_bytes_max; /* of a payload that carries DATA: a repair of it fits too */
    uint32_t window;         /* the peer's */
    bool has_fec;            /* both sides do */
    uint16_t fec_peer;       /* the peer's offer */
    struct cw_replay replay;
};

/* A fragment that left on another path, to leave on this one too. */
struct cw_copy {
    uint64_t message;
    uint16_t fragment; /* packed */
};

struct cw_path {
    struct cw_session *session;
    const struct cw_session_path_config *config;
    uint32_t index; /* in config.paths */
    uint8_t state;  /* enum cw_path_state */
    bool is_told_up;
    uint8_t down_why; /* enum cw_path_down, of the last fall */
    uint8_t strikes;  /* probe time-outs in a row that count against it */
    uint64_t
        silent_ns; /* since when an ack is waited for: the last ack, send after quiet, or probe time-out */
    uint64_t heard_ns;    /* a packet came on it, or an ack of one of its own */
    uint64_t up_ns;       /* when it came up last */
    uint64_t hold_ns;     /* length of the wait after its last fall */
    uint64_t hold_end_ns; /* not used before */
    uint64_t probe_at_ns; /* PROBING, DOWN: the next PING */
    uint64_t probe_each_ns;
    uint64_t byte_cost;                /* of sending, 2^-20 ns, as estimated at the last ack */
    uint32_t copies_head, copies_tail; /* free-running */
    bool close_due;                    /* a CLOSE is to leave under the live keys */
    struct cw_flood flood;
    struct cw_sa sas[2];
    struct cw_sa *live; /* of the session that is up, or was */
    struct cw_sa *next;
    struct cw_inflight inflight;
    struct cw_ack_ranges acks;
    struct cw_loss loss;
    struct cw_pmtu pmtu;        /* while up */
    uint32_t units_of_fragment; /* what fits into a datagram now */
    struct cw_pacer pacer;      /* the shaper: nothing leaves faster than the configured rate */
    struct cw_rate rate;
    struct cw_pacer rate_pacer; /* what a controller asks for, fixed while it is held; data alone obeys */
    uint8_t told_held;          /* enum cw_fixed_state, as last told */
    uint8_t probes_left;        /* packets of data that may leave though the window is full */
    bool repair_was_last;       /* data and repairs leave in turn */
    bool is_dry;                /* there was nothing to send since data last left */
    bool is_marked;             /* the datagram being looked at came with a CE mark */
    uint16_t marked_told;       /* of the peer's newest ack */
    struct cw_address address;  /* of the peer */
    struct cw_session_fec *fec; /* NULL: not configured */
    bool ping_due;
    uint64_t ping_ns; /* when silence is answered by a PING */
    struct cw_meter bytes_sent, packets_sent, packets_lost;
    cw_counter counters[CW_SESSION_COUNTER_COUNT];
    struct cw_copy copies[CW_PATH_COPIES];
};

struct cw_session {
    struct cw_session_config config; /* its secrets are wiped */
    struct cw_fsm fsm;
    uint8_t state;   /* enum cw_session_state */
    uint64_t now_ns; /* the latest time told */
    uint64_t key_blocks_max;
    uint64_t rotate_blocks, rotate_after_ns;
    struct cw_handshake handshake;
    struct cw_path paths[CW_SESSION_PATHS_MAX];     /* config.path_count */
    struct cw_path *numbered[CW_SESSION_PATHS_MAX]; /* by the number that both sides have; NULL: not at both ends */
    struct cw_fsm path_fsm;
    uint32_t up_count;  /* paths that are up */
    uint32_t fec_count; /* paths with forward error correction, while up */
    struct cw_send send;
    uint64_t live_before; /* messages of the live stream of earlier sessions */
    struct cw_receive receive;
    uint8_t close_why;
    uint32_t attempt_live; /* with certificates: the attempt that the live keys are from */
    bool attempt_due;      /* the authenticator is to hear of it */
    uint32_t other_lanes;  /* how many the peer said, when it was refused for that; 0: it was not */
    uint64_t credit_ns;    /* when CREDIT is to leave; CW_NEVER: it is not due */
    uint64_t heard_ns;     /* when the last packet of any path's live association was opened */
    struct cw_session_event *events;
    uint32_t event_mask;
    uint32_t event_head, event_tail;               /* free-running */
    uint32_t state_events;                         /* UP and DOWN in the queue */
    cw_counter counters[CW_SESSION_COUNTER_COUNT]; /* those that are of no path */
};

/* session_fec.h */
static inline bool cw_session_fec_is_on(const struct cw_path *path)
{
    return path->fec && path->fec->is_on;
}

/* session.c */
void cw_session_count(struct cw_session *session, uint32_t counter);
static inline void cw_path_count(struct cw_path *path, uint32_t counter)
{
    cw_count(&path->counters[counter], 1);
}
void cw_session_sa_prepare(struct cw_session *session); /* the next ones, from the handshake's keys */
/* A path's live association: the next generation of the sending key; and of the receiving one, after a packet
 * opened under it. */
void cw_session_sa_rotate(struct cw_path *path, uint64_t now_ns);
void cw_session_sa_follow(struct cw_path *path, uint64_t now_ns);
/* SPIs of generations follow each other; 0 is left out. */
static inline uint32_t cw_spi_after(uint32_t spi)
{
    return spi + 1 == CW_SPI_HANDSHAKE ? 1 : spi + 1;
}
bool cw_session_may_go_up(const struct cw_session *session);
/* The path to go up with: the one on which the handshake came to its end, if the peer has it too. */
struct cw_path *cw_session_first_path(struct cw_session *session);
/* first: the path that is known to work. */
void cw_session_go_up(struct cw_session *session, struct cw_path *first, uint64_t now_ns);
void cw_session_go_down(struct cw_session *session, enum cw_session_down why, uint64_t now_ns);
void cw_session_push_received(struct cw_session *session, const struct cw_received *received);
void cw_session_push_sent(struct cw_session *session, struct cw_message_out *message, bool delivered);
/* When the credit to tell changed. */
void cw_session_credit_look(struct cw_session *session, uint64_t delay_ns);

/* session_forget.c. What is of no more use is zeros at once: all keys of an association; all but the one that
 * a CLOSE is sealed with; those of its last generation, when their time is over; those of a handshake that
 * ended. */
void cw_session_forget_sa(struct cw_path *path, struct cw_sa *sa);
void cw_session_forget_all_but_out(struct cw_path *path, struct cw_sa *sa);
void cw_session_forget_last(struct cw_path *path, uint64_t now_ns);
void cw_session_forget_unproved(struct cw_session *session);

/* session_path.c */
void cw_path_fsm_init(struct cw_session *session);
/* With the session; is_first: it is known to work. */
void cw_path_open(struct cw_path *path, bool is_first, uint32_t unit_bytes, uint64_t now_ns);
void cw_path_close(struct cw_path *path, uint64_t now_ns);
/* A packet that wants an ack leaves, and is the newest of the in-flight map. */
void cw_path_begin_to_wait(struct cw_path *path, uint64_t now_ns);
static inline void cw_path_on_sent(struct cw_path *path, uint64_t now_ns)
{
    cw_loss_on_sent(&path->loss, now_ns);
    if (path->session->config.path_count > 1) /* else nobody asks since when */
        cw_path_begin_to_wait(path, now_ns);
}
/* A packet of the path came, or an ack of something that was out on it. */
static inline void cw_path_on_heard(struct cw_path *path, uint64_t now_ns)
{
    path->heard_ns = now_ns;
    path->ping_ns = now_ns + path->session->config.idle_timeout_ns / 4;
}
void cw_path_on_acked(struct cw_path *path, uint64_t now_ns);
/* The peer has another address: what is out went to the old one, and nothing is known of the way there. */
void cw_path_on_moved(struct cw_path *path, uint64_t now_ns);
/* A probe time-out. True: that was the end of it, the path is down. */
bool cw_path_on_probe(struct cw_path *path, uint64_t now_ns);
/* How many of the oldest packets are sent again at it. */
uint32_t cw_path_resends(const struct cw_path *path);
void cw_path_on_time(struct cw_path *path, uint64_t now_ns);
uint64_t cw_path_deadline_ns(const struct cw_path *path);
/* Is another one up, of which acks come? */
bool cw_path_has_good_other(const struct cw_path *path);
/* When a path that is up has waited too long for an ack. */
uint64_t cw_path_probe_ns(const struct cw_path *path);
/* It is up, and acks come. */
static inline bool cw_path_is_good(const struct cw_path *path)
{
    return path->state == CW_PATH_UP && path->loss.probe_count == 0;
}
/* The one for what must arrive soon: up and good if there is such a one, of the shortest round trip. Only
 * while the session is up. */
struct cw_path *cw_path_best(const struct cw_session *session);
/* The one on which acks of what came on this path leave. */
static inline const struct cw_path *cw_path_of_acks(const struct cw_path *path)
{
    return path->session->config.path_count == 1 || cw_path_is_good(path) ? path
                                                                          : cw_path_best(path->session);
}

/* session_schedule.c */
/* Round trip, rate or window may have changed. */
void cw_schedule_learn(struct cw_path *path);
/* Does the path, which is up, take something at this time? False: nothing waits, or others do it better. */
bool cw_schedule_has(const struct cw_path *path, uint64_t at_ns);
/* Then what. */
bool cw_schedule_pick(const struct cw_path *path, uint64_t at_ns, struct cw_fragment *fragment);
/* The fragment leaves on the path: on another too, if that is wanted. */
void cw_schedule_copy(struct cw_path *path, const struct cw_fragment *fragment);
/* A copy that is to leave on the path; it stays in the list. */
bool cw_schedule_next_copy(struct cw_path *path, struct cw_fragment *fragment);

/* session_time.c */
/* What the packet carried has to be said again. */
void cw_session_give_back(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);
/* One loss too many, or of a path whose losses say nothing any more. */
void cw_session_forget_lost(struct cw_path *path, struct cw_lost *lost);
/* Gives what it has become. */
struct cw_lost *cw_session_lose(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);
void cw_session_detect_losses(struct cw_path *path, uint64_t now_ns);
void cw_session_on_ack(struct cw_path *path, const struct cw_ack *ack, uint64_t now_ns);

/* session_in.c. An opened payload; true when it is acknowledged. is_recovered: it came by its repairs. */
bool cw_session_on_payload(struct cw_path *path, const struct cw_packet *packet, const uint8_t *payload,
                           bool is_recovered, uint64_t now_ns);

/* session_out.c */
/* When a transmit would send something: when that is due and the pacer lets it. CW_NEVER: as far as is known
 * now. */
uint64_t cw_session_output_ns(const struct cw_path *path);
/* Packets in flight and the map allow one more that is not control. */
static inline bool cw_session_has_room_for_data(const struct cw_path *path)
{
    return path->inflight.outstanding_count < path->config->packets_in_flight_max - CW_IN_FLIGHT_RESERVE &&
           cw_inflight_has_room(&path->inflight);
}
/* Of CREDIT and PING, which want an ack: with as many in flight as may be they wait for one of those. */
static inline bool cw_session_has_room_for_control(const struct cw_path *path)
{
    return path->inflight.outstanding_count < path->config->packets_in_flight_max;
}
/* And rate control does, which hears of what holds the data back. */
bool cw_session_lets_data(struct cw_path *path, uint64_t now_ns);
size_t cw_session_build_data(struct cw_path *path, uint8_t *datagram, uint64_t now_ns);
/* The payload lies in the datagram. Takes the next number. */
size_t cw_session_seal(struct cw_path *path, struct cw_packet *packet, uint8_t *datagram, size_t length,
                       uint64_t now_ns);

/* session_repair.c */
/* Do repairs leave on the path, of its own blocks or others'? */
static inline bool cw_session_repair_is_wanted(const struct cw_path *path)
{
    return path->session->fec_count > 0 && (path->session->up_count > 1 || cw_session_fec_is_on(path));
}
/* Data and repairs in turn; 0 when neither may leave. */
size_t cw_session_repair_build(struct cw_path *path, uint8_t *datagram, uint64_t now_ns);
/* Would a repair leave now? */
bool cw_session_repair_has_output(const struct cw_path *path);

/* session_mtu.c */
/* Bytes of a payload that carries DATA now. */
uint32_t cw_session_data_bytes_max(const struct cw_path *path);
/* The session is up, its messages are counted in units of these bytes. */
void cw_session_mtu_open(struct cw_path *path, uint32_t unit_bytes, uint64_t now_ns);
uint64_t cw_session_mtu_deadline_ns(const struct cw_path *path);
/* The probe, which is due. The map has room. */
size_t cw_session_mtu_build(struct cw_path *path, uint8_t *datagram, uint64_t now_ns);
/* Of any packet; of one that was given up only if the path delivered it. */
void cw_session_mtu_on_acked(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);
void cw_session_mtu_on_lost(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);

/* session_rate.c */
void cw_session_rate_init(struct cw_path *path, const struct cw_session_path_config *config,
                          struct cw_arena *arena);
void cw_session_rate_start(struct cw_path *path, uint32_t datagram_bytes, uint64_t now_ns);
/* The newest packet of the in-flight map leaves. */
void cw_session_rate_sent(struct cw_path *path, const struct cw_sent *sent, uint64_t now_ns);
/* May another datagram of data be in flight? */
bool cw_session_rate_has_room(const struct cw_path *path);
/* When data may leave as far as the controller's pacing goes; 0: now. */
uint64_t cw_session_rate_next_ns(const struct cw_path *path);
/* Data wants to leave and may, as far as the controller goes. */
bool cw_session_rate_lets(struct cw_path *path, uint64_t now_ns);
/* There is no data to send now. */
void cw_session_rate_idle(struct cw_path *path);
/* Data does not leave now for another reason than the controller's pacing. */
void cw_session_rate_waits(struct cw_path *path);
/* The controller's answers may have changed. */
void cw_session_rate_obey(struct cw_path *path);
/* Marks told of by an ack, between the calls for what it acknowledges. */
void cw_session_rate_marks(struct cw_path *path, const struct cw_ack *ack, uint64_t now_ns);
