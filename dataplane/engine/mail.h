/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the threads of the engine say to each other. Single-producer rings:
 *
 *     control --cw_command *--> store       store --cw_mail--> control
 *     store   --cw_to_net-----> net         net   --cw_from_net--> store           each net lcore has these
 *     control --cw_net_verdict> net         net   --cw_net_question> control      and these (certificates)
 *
 * A command is allocated by control, belongs to the store lcore until it comes back in a CW_MAIL_DONE, and
 * is freed by control. Control keeps at most CW_COMMANDS_MAX under way, so that the way back has room.
 *
 * When full: control keeps the command in a list; store and net leave what they have where it is (in the
 * group, in the session, in the ring) and come back in the next turn. Nothing is ever dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/trace.h"
#include "replication/group.h"
#include "transport/session.h"

#define CW_GROUPS_MAX      16u /* of this engine; control gives a node up to CW_NODE_GROUPS_MAX */
#define CW_PATHS_MAX       16u
#define CW_PEERS_MAX       CW_PATHS_MAX
#define CW_COMMANDS_MAX    128u
#define CW_MAIL_RING       1024u
#define CW_WHY_SIZE        256u
#define CW_NET_RING        4096u
#define CW_HEAD_INLINE     320u /* larger heads (HELLO, ATTACH, COPY_BEGIN) go through their own ring */
#define CW_LARGE_HEAD_RING 256u

struct cw_store_group;
struct cw_command;
struct cw_snapshot;

/* ---------------------------------------------------------------- control -> store */

enum cw_command_type {
    CW_COMMAND_GROUP_ADD = 1, /* a started group; the store lcore owns it from now on */
    CW_COMMAND_GROUP_REMOVE,  /* stopped in order, then given back */
    CW_COMMAND_GROUP_SET,     /* mode, min_in_sync, sites, replica_timeout, volumes that were deleted */
    CW_COMMAND_VOLUME_ADD,
    CW_COMMAND_VOLUME_REMOVE, /* front ends closed, nothing in flight, then given back */
    CW_COMMAND_OPEN,
    CW_COMMAND_DRAIN,
    CW_COMMAND_FENCE, /* back once nothing of the epoch will be answered any more */
    CW_COMMAND_RESYNC,
    CW_COMMAND_CLAIMED,
    CW_COMMAND_SET_CHANGED,
    CW_COMMAND_LEASE,
    CW_COMMAND_IMAGE_DONE,
    CW_COMMAND_SALVAGE_DONE,
    CW_COMMAND_FAULT,
    CW_COMMAND_DIRECT_START,
    CW_COMMAND_DIRECT_STATS,
    CW_COMMAND_SNAPSHOT,
    CW_COMMAND_STOP, /* every group stopped, front ends closed; the loop ends after the answer */
    CW_COMMAND_TYPE_COUNT
};

struct cw_lease_group {
    uint8_t slot;
    uint32_t group;
    uint64_t epoch;
};

struct cw_direct_request {
    uint8_t op; /* enum cw_block_op */
    bool is_sequential;
    uint32_t run; /* DIRECT_STATS */
    uint32_t size, depth;
    uint64_t count, duration_ns, seed, span;
};

struct cw_direct_result {
    uint32_t run;
    bool is_done;
    uint64_t ops, bytes, errors, elapsed_ns, p50_ns, p99_ns, p999_ns, max_ns;
};

struct cw_command {
    uint8_t type;
    uint8_t slot; /* of the group in the store lcore's table; chosen by control */
    uint16_t volume;
    enum cw_status status; /* the store's answer, and why in words */
    char why[CW_WHY_SIZE];
    struct cw_command *next;                     /* in whoever's list it stands */
    void (*on_done)(struct cw_command *command); /* control thread; frees or keeps it */
    void *context;
    union {
        struct cw_store_group *group; /* ADD; REMOVE gives it back */
        struct {
            enum cw_mode mode;
            uint8_t min_in_sync, sites;
            uint64_t replica_timeout_ns, copy_brake_ns;
            uint64_t removed; /* bits: volumes */
        } set;
        struct cw_store_volume *add; /* VOLUME_ADD: borrowed, copied; VOLUME_REMOVE: filled */
        struct cw_open_request open;
        uint64_t epoch; /* FENCE */
        struct {
            uint8_t site;
            bool is_begun; /* the answer: its session is up */
        } resync;
        struct {
            enum cw_claim_result result;
            uint64_t serial; /* which question is answered: an answer to an older one is nothing */
        } claimed;
        struct {
            bool is_ok;
            uint64_t serial;
        } set_changed;
        struct {
            uint64_t asked_ns, lease_ms;
            uint32_t count;
            struct cw_lease_group groups[CW_GROUPS_MAX]; /* renewed */
            uint32_t lost_count;
            struct cw_lease_group lost[CW_GROUPS_MAX];
        } lease;
        struct {
            bool is_journal;
            int error; /* positive errno; 0 heals */
            uint64_t after_writes;
        } fault;
        struct {
            struct cw_direct_request request;
            struct cw_direct_result result;
        } direct;
        struct cw_snapshot *snapshot;
    };
};

/* ---------------------------------------------------------------- store -> control */

enum cw_mail_type {
    CW_MAIL_DONE = 1, /* command is finished */
    CW_MAIL_EVENT,
    CW_MAIL_CLAIM,
    CW_MAIL_SET,
    CW_MAIL_LEASE, /* ask the controller to renew */
    CW_MAIL_IMAGE,
    CW_MAIL_SALVAGE
};

struct cw_mail {
    uint8_t type;
    uint8_t slot;
    union {
        struct cw_command *command;
        struct {
            uint8_t level;
            uint32_t group; /* 0: of the node */
            const char *text;
            uint64_t values[3];
        } event;
        struct {
            uint64_t serial;
            uint64_t from_epoch, epoch, reign, first_sequence, own_epoch, highest_seen_epoch;
            uint8_t seen_by;
            uint8_t members_from, members_to, reached;
            struct cw_identity identities[CW_SITES_MAX];
        } claim; /* SET too */
        struct {
            uint64_t asked_ns;
            uint32_t count;
            struct cw_lease_group groups[CW_GROUPS_MAX];
        } lease;
        struct {
            uint8_t op;                   /* enum cw_image_op */
            struct cw_store_group *group; /* lent: the store touches no copy file until answered */
        } image;
        struct {
            uint64_t above, last;
            struct cw_store_group *group; /* lent: no batch is written until answered */
        } salvage;
    };
};

/* ---------------------------------------------------------------- net <-> control */

#define CW_AUTH_RING 128u

struct cw_net_question {
    uint8_t peer;
    struct cw_auth_request request;
};

struct cw_net_verdict {
    uint8_t peer;
    struct cw_auth_answer answer;
};

/* ---------------------------------------------------------------- store <-> net */

enum cw_to_net_type { CW_TO_NET_SEND = 1, CW_TO_NET_RELEASE, CW_TO_NET_SNAPSHOT };

struct cw_to_net {
    uint8_t type;
    uint8_t peer;
    uint8_t stream;
    uint8_t slot; /* of the group; comes back in SENT */
    bool wants_answer;
    uint32_t generation;  /* of the session it was meant for: a later one must not carry it */
    uint32_t head_length; /* above CW_HEAD_INLINE: the head is the next element of the large-head ring */
    uint32_t body_length;
    uint32_t group;     /* its number */
    uint64_t departure; /* comes back in LEFT; 0: nobody asks */
    union {
        uint64_t tag;    /* the group's */
        uint64_t buffer; /* RELEASE */
    };
    union {
        const uint8_t *body; /* borrowed until SENT */
        struct cw_snapshot *snapshot;
    };
    uint8_t head[CW_HEAD_INLINE];
};

enum cw_from_net_type {
    CW_FROM_NET_UP = 1,
    CW_FROM_NET_DOWN, /* of the session: all its paths are down with it */
    CW_FROM_NET_PATH_UP,
    CW_FROM_NET_PATH_DOWN,
    CW_FROM_NET_PATH_MOVED,     /* its peer was followed to another address */
    CW_FROM_NET_PATH_ONE_SIDED, /* the peer has no path of that name */
    CW_FROM_NET_PATH_HELD,      /* it sends less than its rate, or that again */
    CW_FROM_NET_OTHER_LANES,    /* the peer has another number of net lcores, and is refused */
    CW_FROM_NET_RECEIVED,
    CW_FROM_NET_SENT,
    CW_FROM_NET_LEFT, /* the device has taken it and its repairs */
    CW_FROM_NET_SNAPSHOT
};

struct cw_from_net {
    uint8_t type;
    uint8_t peer;
    uint8_t path; /* PATH_...: its index in the configuration */
    uint8_t
        why; /* DOWN: enum cw_session_down. PATH_DOWN: enum cw_path_down. PATH_HELD: enum cw_fixed_state */
    uint8_t slot;
    bool delivered;
    bool is_home;        /* PATH_MOVED: to the address of the configuration */
    uint32_t generation; /* UP. OTHER_LANES: how many the peer has */
    uint32_t group;      /* LEFT */
    union {
        uint64_t tag;
        uint64_t departure; /* LEFT */
        struct cw_snapshot *snapshot;
        struct {
            uint32_t amount, retry_ms; /* as in the session's event */
        } held;
    };
    struct cw_received received;
};
