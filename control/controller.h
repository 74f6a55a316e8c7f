/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller of one site. One thread, one poll loop; its engine, the command line and the store are asked
 * in turns ("ticks"). All that must outlive it is in the store; what is here can be lost at any instant: the
 * next one reads the store, asks the engine for its status, and goes on.
 *
 * A tick: store changed? load it. See every holder's lease counter. Say what this site is (facts). For each
 * group, one step towards what the store wants (reconcile.c, roles.c). For each operation somebody waits for,
 * look whether it is done (operations.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"
#include "control/rpc.h"
#include "control/store.h"
#include "engine/config/node_config.h"

#define CW_CLIENTS_MAX    64u
#define CW_CALLS_MAX      128u
#define CW_OPERATIONS_MAX 64u
#define CW_NBDKITS_MAX    32u
#define CW_NBDKIT_FILES   4u /* in its directory of certificates */

struct cw_controller;
struct cw_engine_call;

/* Called once for every call to the engine: result, or NULL with words when it failed or the engine went
 * away. */
typedef void cw_engine_answer(struct cw_controller *controller, const struct cw_engine_call *call,
                              const json_t *result, const char *status, const char *words);

struct cw_engine_call {
    json_int_t id; /* 0: free */
    cw_engine_answer *answer;
    uint32_t group;
    int32_t volume;
    uint64_t epoch;
    uint64_t asked_ns;
    json_t *kept; /* the caller's, e.g. a client's request id; dropped after the answer */
    int client;   /* for forwarded calls: which connection, by its serial */
};

struct cw_engine_link {
    struct cw_rpc_connection connection;
    bool is_registered;
    uint64_t next_try_ns;
    json_int_t last_id;
    struct cw_engine_call calls[CW_CALLS_MAX];
    json_t *status;        /* the engine's last word, or NULL */
    json_t *status_kept;   /* the same, kept when the engine is gone: the last known */
    uint64_t status_at_ns; /* when that status was asked for */
    uint64_t status_asked_ns;
    bool is_status_asked;
    bool is_status_stale; /* asked for again while one was on its way */
};

/* What this controller does about one group, beyond what the store and the engine say. */
struct cw_work {
    uint32_t group;         /* 0: free */
    bool is_busy;           /* a call about it is out */
    char attached[2048];    /* the parameters that the engine has */
    uint64_t not_before_ns; /* after an error: try again then */
    uint64_t changed_ns;    /* a status asked for before this says nothing about what was done since */
    uint64_t open_sent_ns;  /* 0: not since it last was a replica with nothing wrong */
    uint64_t opened_epoch;  /* for telling once */
    uint64_t down_ns;       /* since when an error has stopped it; 0: it has not */
    struct cw_lease_watch lease;
    struct cw_lease_watch request; /* the taker's heartbeat, watched in the same way */
};

enum cw_operation_kind {
    CW_OP_NONE = 0,
    CW_OP_PROMOTE,
    CW_OP_SWITCHOVER,
    CW_OP_GROUP_CREATE,
    CW_OP_VOLUME_CREATE,
    CW_OP_VOLUME_DELETE
};

struct cw_operation {
    uint64_t id;
    enum cw_operation_kind kind;
    uint32_t group;
    int32_t volume;
    bool accept_loss, inconsistent;
    bool is_open_sent;
    bool is_undoing;          /* making it failed: it ends when what was begun is gone */
    bool is_forced, is_begun; /* a deletion */
    bool is_done;
    int exit;
    uint64_t started_ns, deadline_ns, next_heartbeat_ns, open_answered_ns, made_ns;
    char lacked[200]; /* --accept-loss: what the taker lacked when the holder was last seen */
    char words[512];  /* what it waits for; at the end, what came of it */
};

struct cw_client {
    struct cw_rpc_connection connection;
    int serial; /* 0: free */
};

struct cw_site_seen {
    uint64_t counter;
    uint64_t changed_ns; /* 0: not seen to move since this controller started */
    json_t *facts;
};

struct cw_path_seen {
    uint64_t refused; /* handshakes, when it last was up */
    bool is_told;
};

/* A symbolic link that leads clients to an NBD socket of this site. */
struct cw_link {
    char address[CW_STORE_PATH_SIZE]; /* "": free */
    char target[CW_STORE_PATH_SIZE];
};

/* By what it is seen that a file is another one. */
struct cw_file_stamp {
    int64_t seconds, nanoseconds, size;
    uint64_t inode; /* 0: it is not there */
};

struct cw_nbdkit {
    uint32_t group; /* 0: free */
    int32_t volume;
    int pid; /* 0: not running */
    uint64_t not_before_ns, backoff_ns, started_ns;
    uint64_t ending_ns; /* since when it is told to end; 0: it is not */
    char address[CW_STORE_PATH_SIZE], certificates[CW_STORE_PATH_SIZE]; /* as it was started */
    struct cw_file_stamp used[CW_NBDKIT_FILES], seen[CW_NBDKIT_FILES]; /* when started; when last looked at */
    uint64_t look_ns;                                                  /* when next */
    bool is_wanted, is_lack_told;
};

struct cw_controller {
    struct cw_node_config config;
    struct cw_store *store;
    struct cw_store_view *view;
    struct cw_engine_link engine;
    struct cw_work works[CW_STORE_GROUPS_MAX];
    struct cw_operation operations[CW_OPERATIONS_MAX];
    uint64_t last_operation;
    int listen_fd;
    struct cw_client clients[CW_CLIENTS_MAX];
    int last_serial;
    struct cw_site_seen seen[CW_SET_MAX];           /* in the order of view->sites */
    struct cw_path_seen paths[CW_CONFIG_PATHS_MAX]; /* in the engine's order */
    struct cw_link links[CW_STORE_VOLUMES_MAX];
    struct cw_nbdkit nbdkits[CW_NBDKITS_MAX];
    bool is_fault_told; /* of the store */
    uint64_t started_ns, now_ns;
    uint64_t facts_due_ns;
    uint64_t store_failed_ns; /* since when the store does not take this site's facts; 0: it does */
    uint64_t strangers_ns;    /* since when there is something here that the store does not know; 0: not */
    bool is_strangers_told;
    bool is_stopping;
};

uint64_t cw_monotonic_ns(void);

/* engine_link.c */
void cw_engine_poll(struct cw_controller *controller); /* connects when it is time */
void cw_engine_readable(struct cw_controller *controller);
void cw_engine_lost(struct cw_controller *controller, const char *why);
/* Takes params. false: no engine now; the answer is not called. call's id is filled in. */
bool cw_engine_ask(struct cw_controller *controller, const char *method, json_t *params,
                   struct cw_engine_call call);
void cw_engine_status_refresh(struct cw_controller *controller);
/* This group in the engine's last status, borrowed; NULL. */
const json_t *cw_engine_group(const struct cw_controller *controller, uint32_t group);
const json_t *cw_engine_volume(const json_t *engine_group, int32_t volume);

/* engine_asks.c: lease.renew, store.claim, store.set; returns the reply to send */
json_t *cw_engine_asks(struct cw_controller *controller, const struct cw_rpc_message *message);

/* reconcile.c */
void cw_reconcile(struct cw_controller *controller);
/* Is a call out, an opening or an operation under way? Then everything is looked at more often. */
bool cw_is_in_transition(const struct cw_controller *controller);
struct cw_work *cw_work_of(struct cw_controller *controller, uint32_t group);
/* The call about the group has been answered: what the engine is now is asked for. */
struct cw_work *cw_work_answered(struct cw_controller *controller, uint32_t group);
bool cw_group_is_level(const struct cw_controller *controller, const struct cw_store_group *group);
/* roles.c */
void cw_reconcile_role(struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_work *work, const json_t *engine);
/* Held here, asked for elsewhere, and not started by the engine (engine: its entry, or NULL where it has
 * none): it acknowledges nothing, so the fence is confirmed at once. true: that was done or asked for. */
bool cw_role_let_go_unstarted(struct cw_controller *controller, const struct cw_store_group *group,
                              struct cw_work *work, const json_t *engine);
bool cw_role_open(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                  bool accept_loss, bool inconsistent);
/* This site as a candidate for the group, from the engine's last status; false: the engine does not say. */
bool cw_candidate_here(const struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_candidate *candidate);

/* operations.c */
struct cw_operation *cw_operation_start(struct cw_controller *controller, enum cw_operation_kind kind,
                                        uint32_t group, uint64_t limit_ns);
struct cw_operation *cw_operation_find(struct cw_controller *controller, uint64_t id);
/* A promotion or switchover to this site that is under way. */
struct cw_operation *cw_operation_taking(struct cw_controller *controller, uint32_t group);
void cw_operation_end(struct cw_controller *controller, struct cw_operation *operation, int exit,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* What it waits for now. */
void cw_operation_say(struct cw_operation *operation, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cw_operations_run(struct cw_controller *controller);
/* All that run end with these words: the store can decide nothing any more. */
void cw_operations_fail(struct cw_controller *controller, const char *words);
bool cw_operations_are_running(const struct cw_controller *controller);

/* deletion.c: a CW_OP_VOLUME_DELETE's step */
void cw_deletion_run(struct cw_controller *controller, struct cw_operation *operation);
/* A site that is there (or one that is not) and still has its part of the volume; NULL. */
const char *cw_deletion_site(const struct cw_controller *controller, uint32_t group, int32_t volume,
                             bool is_there);

/* facts.c */
void cw_facts_tell(struct cw_controller *controller);
void cw_facts_look(struct cw_controller *controller);
bool cw_site_is_alive(const struct cw_controller *controller, const char *site);
/* Not alive, and this controller runs for long enough to know. */
bool cw_site_is_silent(const struct cw_controller *controller, const char *site);
/* This group as a site's engine last said, borrowed; NULL. */
const json_t *cw_facts_group(const struct cw_controller *controller, const char *site, uint32_t group);
/* What a group, as an engine said, says of another site; borrowed; NULL. */
const json_t *cw_facts_peer(const json_t *group, const char *site);
const struct cw_site_seen *cw_site_seen(const struct cw_controller *controller, const char *site);
/* Seconds since the site was last seen to move; by the facts' wall clock when not in this life. */
double cw_site_age_seconds(const struct cw_controller *controller, const char *site);
/* Into the shared event log; any failure is only said on stderr. */
void cw_event(struct cw_controller *controller, int level, const char *group, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Seconds for which the store has taken nothing from this site; 0: it answers. */
double cw_store_silent_seconds(const struct cw_controller *controller);

/* strangers.c: what is here and the store does not know, once that lasts: a list of {"group","journal"}, new
 * reference. group "": only the file was found. */
json_t *cw_strangers(struct cw_controller *controller);

/* paths.c: after every status of the engine */
void cw_paths_look(struct cw_controller *controller);

/* status.c: what `causeway status --json` shows, new reference */
json_t *cw_status_public(struct cw_controller *controller);

/* nbdkit.c */
/* Is all there that nbdkit needs to serve by TLS? False, with words: what is not, and what to do. */
bool cw_nbdkit_has_files(const char *directory, char *why, size_t why_size);
void cw_nbdkits_run(struct cw_controller *controller);
void cw_nbdkits_died(struct cw_controller *controller);
void cw_nbdkits_stop(struct cw_controller *controller);

/* serve.c: what the command line asks; the reply to send, or NULL when it comes later (forwarded) */
json_t *cw_serve(struct cw_controller *controller, struct cw_client *client,
                 const struct cw_rpc_message *message);
/* Replies, for the methods. */
json_t *cw_refuse(const struct cw_rpc_message *message, const char *words); /* exit 3 */
json_t *cw_fail(const struct cw_rpc_message *message, const char *words);   /* exit 1 */
json_t *cw_misuse(const struct cw_rpc_message *message, const char *words); /* exit 2 */
/* After a change of the store: what this controller works with is the new state. */
bool cw_view_refresh(struct cw_controller *controller);

/* serve_groups.c, serve_volumes.c, serve_roles.c: methods, in serve.c's table */
typedef json_t *cw_method(struct cw_controller *controller, const struct cw_rpc_message *message);
cw_method cw_serve_group_create, cw_serve_group_set, cw_serve_group_delete;
cw_method cw_serve_volume_create, cw_serve_volume_delete, cw_serve_volume_attach, cw_serve_volume_detach;
cw_method cw_serve_promote, cw_serve_switchover, cw_serve_operation;
/* The view's group that params.group names; NULL: *reply says so. */
const struct cw_store_group *cw_asked_group(struct cw_controller *controller,
                                            const struct cw_rpc_message *message, json_t **reply);
