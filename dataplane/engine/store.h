/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store lcore's data: groups with their journals and volumes, one io_uring, the NBD server. Everything
 * here belongs to that one thread, but for what is built before a group is handed over.
 *
 *   store_lcore.c     the turn, timers, the lease
 *   store_actions.c   what groups ask for: disks, sends, completions
 *   store_net.c       messages from peers
 *   store_paths.c     what happens to paths, in words
 *   store_block.c     the seam to front ends: requests, buffers, reads, the last check before an answer
 *   store_commands.c  what control asks for
 *   store_direct.c    runs of the load generator
 */
#pragma once

#include "engine/engine.h"
#include "engine/lease.h"
#include "engine/memory.h"
#include "engine/snapshot.h"
#include "frontend/direct.h"
#include "frontend/nbd.h"
#include "io/disk.h"

#define CW_STORE_OPS           4096u
#define CW_STORE_READS         4096u
#define CW_STORE_REAP_MAX      256u
#define CW_STORE_RECEIVE_MAX   256u
#define CW_STORE_COMMANDS_MAX  16u
#define CW_STORE_ACTIONS_MAX   1024u /* of one group in one turn */
#define CW_STORE_URING_ENTRIES 1024u
#define CW_STORE_RUNS          4u
#define CW_BATCH_SLOTS_MAX     32u
#define CW_ROLE_CHECK_NS       (5 * CW_MS)

struct cw_store;

enum cw_export_state {
    CW_EXPORT_CLOSED = 0,
    CW_EXPORT_OPEN,
    CW_EXPORT_CLOSING /* ends when the front end refers to the volume no more */
};

struct cw_store_volume {
    bool is_used;
    bool is_thin;
    bool has_copy; /* copy is open: the target of a full copy */
    uint16_t index;
    uint8_t export_state;           /* enum cw_export_state */
    char export_error[CW_WHY_SIZE]; /* why it is not exported though it should be; said once, tried again */
    uint32_t in_flight;             /* kernel operations on its files */
    uint32_t runs;                  /* of the load generator */
    uint64_t size, base;
    struct cw_store_group *group;
    struct cw_command *removal; /* waits until nothing refers to the volume */
    uint64_t removal_sequence, removal_ns;
    struct cw_disk_file file, copy;
    struct cw_disk_fault fault;
    struct cw_block_volume block;
    char socket[CW_CONFIG_SOCKET_SIZE];
};

/* A batch being written, or the superblock. */
struct cw_store_flight {
    uint32_t pending;
    enum cw_status status; /* CW_OK, or that of the first part that failed */
};

/* Built by control, owned by the store lcore from GROUP_ADD until GROUP_REMOVE comes back. */
struct cw_store_group {
    struct cw_store *store;
    struct cw_group *group;
    void *memory; /* of the group; freed by control */
    size_t memory_size;
    uint32_t id;
    uint8_t slot;
    uint8_t sites;
    uint8_t lane; /* of its messages */
    char name[64];
    struct cw_disk_file journal;
    struct cw_disk_fault journal_fault;
    struct cw_store_volume volumes[CW_VOLUMES_PER_GROUP_MAX];

    struct cw_store_flight batches[CW_BATCH_SLOTS_MAX];
    struct cw_store_flight super, volumes_sync;
    uint32_t ops_in_flight, sends_in_flight, reads_in_flight;
    bool is_image_lent; /* a job works on the copy files */
    uint8_t image_op;
    uint64_t claim_serial, set_serial; /* of the last question to the store */

    enum cw_role role; /* as last looked at */
    uint64_t epoch;
    uint64_t role_check_ns;
    bool is_backlogged; /* actions are left: no step before they are carried out */
    bool must_look;     /* an event was told since */
    uint64_t lease_deadline_ns;

    uint8_t **recovered; /* payloads kept by recovery: freed together when the last has come back */
    uint32_t recovered_count, recovered_live;

    struct cw_block_request *answers_first, *answers_last; /* finished, waiting for the last check */
    uint32_t requests;                                     /* submitted and not answered */
    struct cw_answered_reign answered[CW_ANSWERED_REIGNS];

    struct cw_command *fence; /* answered when the role has left */
    struct cw_command *removal;
    bool is_stopping;
    bool is_watched;                           /* something waits for a change that is only seen by looking */
    uint64_t rate_ns, rate_bytes, rate_writes; /* for throughput: at the picture before */
    uint64_t bytes_per_second, writes_per_second;
};

/* One kernel operation of a group. */
struct cw_store_op {
    struct cw_uring_op op;
    struct cw_disk_zero zero;
    struct cw_store_group *group;
    struct cw_store_volume *volume; /* NULL: the journal */
    struct cw_store_op *next;
    uint8_t type; /* enum cw_action_type */
    uint32_t slot;
    uint64_t token;
};

struct cw_store_read {
    struct cw_group_read read;
    struct cw_store_group *group;
    struct cw_block_request *request;
    struct cw_store_volume *volume;
    struct cw_store_read *next;
    uint32_t pending;
    bool has_failed;
};

/* The pieces of a read, one kernel operation each. */
struct cw_store_piece {
    struct cw_uring_op op;
    struct cw_store_read *read;
    struct cw_store_piece *next;
};

struct cw_store_run {
    bool is_active;
    uint8_t op;
    uint32_t number; /* 0: never used */
    uint64_t started_ns;
    struct cw_store_volume *volume;
    struct cw_direct direct;
};

struct cw_store_session {
    bool is_up;
    uint32_t generation;
};

struct cw_store_peer {
    uint8_t site;
    struct cw_store_session sessions[CW_LANES_MAX];
};

struct cw_store_received {
    uint64_t buffer;
    uint8_t peer, lane;
};

/* What was heard of a path, of each lane by itself: store_paths.c makes one story of it. */
struct cw_store_path {
    uint8_t lanes_up; /* bits: lanes in which it is up */
    bool was_down;
    uint8_t held[CW_LANES_MAX]; /* enum cw_fixed_state, as that lane said last */
    uint8_t lanes_away;         /* bits: lanes that follow the peer to another address */
    uint8_t mover;              /* the lane that was the first to; told of */
};

struct cw_store {
    struct cw_engine *engine;
    struct cw_uring uring;
    struct cw_payload_memory payloads;
    struct cw_pool received; /* struct cw_store_received: messages whose bodies groups hold */
    struct cw_nbd nbd;
    struct cw_lease lease;
    struct cw_store_group *groups[CW_GROUPS_MAX];
    struct cw_store_peer peers[CW_PEERS_MAX];
    int8_t peer_of[CW_SITES_MAX]; /* -1: no path leads to that site */
    struct cw_store_path paths[CW_PATHS_MAX];

    struct cw_store_op *ops, *ops_free;
    uint32_t ops_free_count;
    struct cw_store_read *reads, *reads_free;
    struct cw_store_piece *pieces, *pieces_free;
    uint32_t pieces_free_count;

    struct cw_store_run *runs;
    uint32_t last_run;
    struct cw_command *stop;
    uint64_t now_ns;
    uint64_t cycle_ns_max;
    bool has_told_control; /* since the last wake-up */
    uint32_t told_lanes;   /* bits: net lcores, likewise */
    bool is_room_wanted;   /* a front end was told CW_AGAIN */
    bool has_replied;      /* the last turn submitted replies to clients */
    bool has_worked;       /* data moved since the loop last looked */
    bool is_done;          /* stopped in order: the loop ends */
    cw_counter counters[CW_STORE_COUNTER_COUNT];
    struct cw_trace trace; /* what does not happen often: roles, paths, commands, errors */
    struct cw_trace disks; /* batches and syncs of journals, which would push all that out */
};

/* ---- store_lcore.c ---- */
/* An entry of the trace at the time of this turn; group 0: of the node. */
static inline void cw_store_trace(struct cw_store *store, uint32_t group, const char *text, uint64_t a,
                                  uint64_t b, uint64_t c)
{
    cw_trace_add(&store->trace, store->now_ns, group, text, a, b, c);
}
/* Carves everything; run twice. The ring is initialised when carving. */
enum cw_status cw_store_init(struct cw_store *store, struct cw_engine *engine, struct cw_arena *arena,
                             uint32_t receive_slots, char *why, size_t why_size) CW_MUST_CHECK;
uint32_t cw_store_turn(struct cw_store *store, uint64_t now_ns);
/* Passes to the kernel what turns prepared and did not submit themselves; before any sleep. */
void cw_store_submit(struct cw_store *store);
uint64_t cw_store_deadline_ns(struct cw_store *store);
/* Submitted by front ends and not answered yet, of all groups. */
uint32_t cw_store_requests(const struct cw_store *store);
/* Of any group. */
bool cw_store_is_primary(const struct cw_store *store);
/* Wakes the threads that were told something in this turn. */
void cw_store_wake_others(struct cw_store *store);
/* Mail to control. The caller has seen that there is room; false only for events, which are counted. */
bool cw_store_mail(struct cw_store *store, const struct cw_mail *mail);
void cw_store_event(struct cw_store *store, uint8_t level, uint32_t group, const char *text, uint64_t a,
                    uint64_t b, uint64_t c);
void cw_store_answer_command(struct cw_store *store, struct cw_command *command);

/* ---- store_actions.c ---- */
uint32_t cw_store_drain_actions(struct cw_store_group *group);
struct cw_store_op *cw_store_op_take(struct cw_store_group *group, uint8_t type);

/* ---- store_net.c ---- */
uint32_t cw_store_receive(struct cw_store *store);
/* Hands a message to the net lcore, or answers it as undelivered. The caller has seen that there is room. */
void cw_store_send(struct cw_store_group *group, const struct cw_action *action);
/* A payload is free: back to its pool, or to the session that it lies in. */
void cw_store_release(struct cw_store_group *group, uint64_t handle);
void cw_store_tell_peers_up(struct cw_store_group *group);
/* The session of that lane. */
bool cw_store_is_site_up(const struct cw_store *store, uint32_t lane, uint8_t site);
bool cw_store_has_room_to_net(struct cw_store *store, uint32_t lane);
bool cw_store_has_room_to_all(struct cw_store *store);
/* One element more; the caller has seen that there is room. */
void cw_store_push_to_net(struct cw_store *store, uint32_t lane, const struct cw_to_net *element);

/* ---- store_paths.c ---- */
/* A PATH_... of a lane, or OTHER_LANES. */
void cw_store_on_path(struct cw_store *store, uint32_t lane, const struct cw_from_net *element);
/* The session of a lane has ended (DOWN), and with it its paths. was_whole: it was up in all lanes. */
void cw_store_paths_end(struct cw_store *store, uint32_t lane, const struct cw_from_net *element,
                        bool was_whole);

/* ---- store_block.c ---- */
extern const struct cw_block_ops cw_store_block_ops;
/* A request is finished; it is answered in cw_store_answer, after the last check. */
void cw_store_finish(struct cw_store_group *group, struct cw_block_request *request, enum cw_status status);
/* With a fresh clock: answers what may be answered. Returns how many. */
uint32_t cw_store_answer(struct cw_store_group *group);

/* ---- store_direct.c ---- */
void cw_store_direct_init(struct cw_store *store, struct cw_arena *arena);
void cw_store_direct_start(struct cw_store_group *group, struct cw_command *command);
void cw_store_direct_stats(struct cw_store *store, struct cw_command *command);
uint32_t cw_store_direct_turn(struct cw_store *store, bool has_room);

/* ---- store_commands.c ---- */
uint32_t cw_store_commands(struct cw_store *store);
/* Follows the role: exports open and close, fences and removals are answered. */
void cw_store_look(struct cw_store_group *group);
/* Renewal of the lease, when it is time. */
void cw_store_lease(struct cw_store *store);
