/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A net lcore: a session a peer, a port a path. Receives, opens, hands whole messages to the store lcore;
 * takes messages from it, seals and sends. With several, each has all of this for itself: a lane of the
 * sessions, a queue of the ports, rings to and from the store; nothing here knows of the others.
 *
 *   net_lcore.c   ports, the rings, the turn
 *   net_peer.c    what belongs to a peer: its session, what waits for it, what has left towards it
 *
 * Every message taken from the ring gets a node of its peer, which it keeps until the session is finished
 * with it; the node's index is the session's tag, so the group's own tag comes back whole. A message that the
 * session has no room or credit for waits in a list of its peer and stream. Nodes run out only when a peer
 * grants nothing for as long as it takes to fill them; then the session is closed, which gives everything
 * back, and the groups compare notes when it is up again.
 */
#pragma once

#include "engine/engine.h"
#include "engine/snapshot.h"

#define CW_NET_NODES              8192u
#define CW_NET_MESSAGES_MAX       4096u
#define CW_NET_DATAGRAMS_PER_TURN 64u
#define CW_NET_COMMANDS_PER_TURN  256u

struct cw_net_node {
    struct cw_net_node *next;
    struct cw_to_net message;
    uint8_t large_head[CW_MESSAGE_HEAD_MAX];
};

/* A message of the live stream whose sender wants to know when it has left. */
struct cw_net_departure {
    uint64_t number; /* of the session's live messages */
    uint64_t departure;
    uint32_t group;
    uint8_t slot;
};

/* What has left the session is sampled with the counts of frames that must be gone before it has left the
 * node: one count a path, there. */
struct cw_net_departures {
    struct cw_net_departure *ring; /* CW_NET_MESSAGES_MAX, in order */
    uint32_t head, tail;           /* free-running */
    uint64_t sample, sampled_ns;
    uint64_t left; /* live messages whose frames have left the ports */
};

struct cw_net_list {
    struct cw_net_node *first, *last;
    uint32_t count;
};

struct cw_net_path {
    struct cw_net_peer *peer;
    struct cw_port *port;
    uint64_t now_ns; /* of this turn */
    uint64_t sample_frames;
    uint8_t index;    /* in the configuration */
    uint8_t number;   /* in its peer's session */
    bool is_up;       /* it carries data */
    bool is_followed; /* its peer's address may change */
    bool is_blocked;  /* the port had no room in the last turn, as when nobody is at its other end */
    bool must_look;   /* the session is up anew: does the peer have this path? */
    bool is_one_sided_told;
};

struct cw_net_peer {
    struct cw_session *session;
    struct cw_net_path *paths[CW_CONFIG_PEER_PATHS_MAX];
    uint8_t path_count;
    uint8_t index, site;
    bool is_up;
    uint32_t generation;  /* counts UP events; 0: never up */
    uint32_t other_lanes; /* that were told of */
    uint64_t timers_ns;   /* when its timers are looked at next */
    struct cw_net_node *nodes;
    struct cw_net_list free;
    struct cw_net_list pending[CW_STREAM_COUNT];
    struct cw_net_departures departures;
    struct cw_net_list undelivered; /* to be answered as not delivered as room allows */
};

struct cw_net {
    struct cw_engine *engine;
    uint32_t lane;
    struct cw_engine_lane *mail; /* the rings of this lane */
    struct cw_net_path paths[CW_PATHS_MAX];
    uint32_t path_count;
    struct cw_net_peer peers[CW_PEERS_MAX];
    uint32_t peer_count;
    struct cw_to_net held; /* popped, and no node was free for it */
    bool is_holding;
    struct cw_snapshot *snapshot; /* to be filled and passed on */
    uint64_t now_ns;              /* of this turn */
    uint64_t turns, cycle_ns_max;
    bool has_pushed;  /* this turn, for the store */
    bool has_worked;  /* a message with a body came or went */
    uint32_t rewinds; /* of cw_engine.rewinds, that were obeyed */
    int wake_fd;      /* of a net thread of its own */
    struct cw_trace trace;
    struct cw_path_log *log; /* NULL: nobody records */
};

/* ---- net_lcore.c ---- */
void cw_net_port_config(const struct cw_node_config *config, uint32_t path, struct cw_port_config *port);
/* Lane 0 opens the ports, the others, which come later, take their queues of them. Blocking, main
 * thread. Words in why. */
enum cw_status cw_net_open_ports(struct cw_net *net, struct cw_engine *engine, uint32_t lane, char *why,
                                 size_t why_size) CW_MUST_CHECK;
/* Carves sessions and nodes; run twice, as cw_arena_measure tells. */
void cw_net_init(struct cw_net *net, struct cw_arena *arena, const struct cw_aead_ops *aead, uint64_t now_ns);

/* One turn is receive, then transmit; with one thread the store's turn stands between them. Each returns how
 * much it did. */
uint32_t cw_net_receive(struct cw_net *net, uint64_t now_ns);
uint32_t cw_net_transmit(struct cw_net *net, uint64_t now_ns);
/* Control has found that all sessions must start over, and they have not yet. */
bool cw_net_must_start_over(const struct cw_net *net);
uint64_t cw_net_deadline_ns(const struct cw_net *net);
bool cw_net_is_any_up(const struct cw_net *net);
/* Tells the peers goodbye. */
void cw_net_close_sessions(struct cw_net *net, uint64_t now_ns);
/* Towards the store. The caller of push has seen that there is room. */
bool cw_net_has_room(struct cw_net *net);
void cw_net_push(struct cw_net *net, const struct cw_from_net *element);

/* ---- net_peer.c ---- */
/* Buffers of each class that one session grants. Groups share them: a session keeps a quarter of its credit
 * for the control stream, so the COMMIT that lets records be applied, and their buffers return, always gets
 * through. */
void cw_net_receive_counts(const struct cw_node_config *config, uint32_t counts[CW_CLASS_COUNT]);
/* Carves what a peer has; its ports are open. */
void cw_net_peer_init(struct cw_net *net, struct cw_net_peer *peer, struct cw_arena *arena,
                      const struct cw_aead_ops *aead, uint64_t now_ns);
/* What a session asks for once a turn: entropy, its timers. Then its events and what comes back, as far as
 * there is room towards the store. Returns how many events there were. */
uint32_t cw_net_peer_turn(struct cw_net *net, struct cw_net_peer *peer);
/* Takes a SEND. False: it cannot be taken yet. */
bool cw_net_peer_send(struct cw_net *net, struct cw_net_peer *peer, const struct cw_to_net *message);
/* Hands to the session what it takes of what waits. */
uint32_t cw_net_peer_send_pending(struct cw_net_peer *peer);
uint32_t cw_net_peer_pending(const struct cw_net_peer *peer);
/* Of a path; its counters are those of the path and those of the session that are of no path. */
void cw_net_peer_path_stats(const struct cw_net_path *path, struct cw_session_path_stats *stats);

/* ---- net_departures.c ---- */
/* Tells the store which messages have left the node. */
uint32_t cw_net_peer_tell_departures(struct cw_net *net, struct cw_net_peer *peer);
/* When it is worth a turn to look again; CW_NEVER: nothing waits for a device. */
uint64_t cw_net_peer_departures_deadline_ns(const struct cw_net_peer *peer, uint64_t now_ns);
