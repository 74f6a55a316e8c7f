/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller of one site. One thread decides, in one poll loop; its engine, the command line and the
 * store are asked in turns ("ticks"). All that must outlive it is in the store, and in files of the site:
 * what operators' tokens promoted here (store_outside.h), what takeovers cost (failovers.c). What is here can
 * be lost at any instant: the next one reads the store, asks the engine for its status, and goes on.
 *
 * A tick: store changed? load it. See every holder's lease counter. Say what this site is (facts). For each
 * group, one step towards what the store wants (reconcile.c, roles.c). For each operation somebody waits for,
 * look whether it is done (operations.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"
#include "control/audit.h"
#include "control/book_own.h"
#include "control/failover.h"
#include "control/health.h"
#include "control/links.h"
#include "control/metrics.h"
#include "control/pause.h"
#include "control/rpc.h"
#include "control/store.h"
#include "control/store_outside.h"
#include "engine/config/node_config.h"

#define CW_CLIENTS_MAX 64u
#define CW_CALLS_OWN_MAX                                                                                     \
    (2 * CW_NODE_GROUPS_MAX + 8u) /* of a group its role and its files; and the engine's status */
#define CW_CALLS_GIVEN_MAX 64u    /* that somebody asked for (causeway rpc, resync) */
#define CW_CALLS_EACH_MAX  8u     /* and of each of them */
#define CW_CALLS_MAX       (CW_CALLS_OWN_MAX + CW_CALLS_GIVEN_MAX)
#define CW_ENGINE_ASKS_MAX (2u * CW_NODE_GROUPS_MAX)
#define CW_OPERATIONS_MAX  64u
#define CW_NBDKITS_MAX     32u
#define CW_EVENT_LEVELS    3u /* info, warning, error */
#define CW_STORE_WORDS     256u
#define CW_SERVE_NS        (20 * CW_MS) /* of a turn of the loop for those who ask; then engine and tick again */
#define CW_NBDKIT_FILES    4u           /* in its directory of certificates */

struct cw_controller;
struct cw_census;
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
    bool is_somebodys; /* of an attach: what exists already is nothing that was begun here */
    json_t *kept;      /* the caller's, e.g. a client's request id; dropped after the answer */
    int client;        /* for forwarded calls: which connection, by its serial */
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
    uint64_t kept_at_ns;   /* and the one that is kept; 0: there was none */
    uint64_t status_asked_ns;
    bool is_status_asked;
    bool is_status_stale;                           /* asked for again while one was on its way */
    struct cw_rpc_message asks[CW_ENGINE_ASKS_MAX]; /* what it asks the store for, in its order; a ring */
    uint32_t first_ask, ask_count;
};

/* What this controller does about one group, beyond what the store and the engine say. */
struct cw_work {
    uint32_t group;         /* 0: free */
    bool is_busy;           /* a call about its role is out */
    char attached[2048];    /* the parameters that the engine has */
    uint64_t not_before_ns; /* after an error: try again then */
    uint64_t changed_ns;    /* a status asked for before this says nothing about what was done since */
    uint64_t open_sent_ns;  /* 0: not since it last was a replica with nothing wrong */
    uint64_t opened_epoch;  /* for telling once */
    uint64_t left_ns;       /* the same: the engine's word on when it last let go */
    uint64_t older_epoch;   /* the same: seen by engines, and the store's row is older */
    uint64_t down_ns;       /* since when an error has stopped it, or the last try after; 0: none has */
    uint64_t served_ns;     /* when its holder last said that it serves it, in this epoch; 0: it has not */
    uint64_t served_epoch;
    uint64_t fenced_ns, fenced_epoch; /* since when which epoch was seen to be fenced; 0: it is not */
    struct cw_lease_watch lease;
    struct cw_lease_watch request; /* the taker's heartbeat, watched in the same way */
    uint64_t withdraw_ns;          /* when a request of ours is looked for that the store may still write */
    uint32_t withdrawals;          /* so many more times */
    struct cw_failover_tries tries;
    enum cw_failover_answer failover_told, failover_seen;
    uint64_t failover_since_ns; /* when it was first seen */
    struct cw_failover_rest rest;
    char taker[CW_NAME_SIZE]; /* whose heartbeat that is */
    /* Of its files, for which letting go waits never: a call is out, perhaps for as long as a disk hangs; and
     * after an error, when it is tried again. */
    bool is_attaching;
    uint64_t attach_not_before_ns;
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
    bool is_put_off;          /* the engine said: not yet, and why */
    bool has_waited;          /* for the request of a silent site to lapse */
    bool is_undoing;          /* making it failed: it ends when what was begun is gone */
    bool is_forced, is_begun; /* a deletion */
    bool is_automatic;        /* a promotion that nobody asked for */
    uint64_t outside_epoch;   /* a promotion by operators' tokens: in this epoch; else 0 */
    bool is_done;
    int exit;
    uint64_t engine_gone_ns; /* since when this site's engine is not there; 0: it is */
    uint64_t unanswered_ns;  /* since when the store takes nothing of it; 0: it does */
    uint64_t started_ns, deadline_ns, next_heartbeat_ns, open_answered_ns, made_ns;
    char from[CW_NAME_SIZE]; /* a taking: the holder that was asked to let go, and of which epoch */
    uint64_t from_epoch;
    char
        only_from[CW_NAME_SIZE]; /* of an evacuation: from there and from nobody else; "": whoever holds it */
    uint64_t wanted_ns;          /* when it was first asked */
    uint64_t asked_ns;           /* when the store last took that; 0: it has not */
    uint64_t moved_ns; /* it is done, and the old holder's part of the pause is waited for; 0: not yet */
    struct cw_pause pause;
    char lacked[200]; /* --accept-loss: what the taker lacked when the holder was last seen */
    char words[700];  /* what it waits for; at the end, what came of it */
    struct cw_asking asking;
};

struct cw_client {
    struct cw_rpc_connection connection;
    int serial;              /* 0: free */
    struct cw_asker asker;   /* of a remote one: from, and no role until the handshake is over */
    struct cw_link_tls *tls; /* of a remote one; else NULL */
    uint64_t began_ns;       /* of a remote one: the handshake; later, and of others, when it was heard of */
    char site[CW_NAME_SIZE]; /* of a controller */
    bool is_leaving;         /* refused: what he sends is read and thrown away, so that he can read why */
};

/* Refusals for lack of rights that had a line of audit of their own. */
struct cw_audit_limit {
    uint64_t used, refilled_ns, omitted;
};

struct cw_site_seen {
    char name[CW_NAME_SIZE];
    uint64_t counter;
    uint64_t changed_ns; /* 0: not seen to move since this controller started */
    json_t *facts;
};

struct cw_path_seen {
    uint64_t refused; /* handshakes, when it last was up */
    bool is_told;
    bool is_short_told; /* it cannot have on its way what its rate wants */
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

#define CW_EVACUATIONS_MAX 8u
struct cw_evacuation {
    char site[CW_NAME_SIZE];
    uint64_t until_ns; /* past: none */
};

struct cw_controller {
    struct cw_node_config config;
    struct cw_store *store;
    const char *store_name; /* for words: its file, or its prefix in etcd */
    struct cw_book *book;   /* own_book's, or in the embedded store's file */
    struct cw_own_book own_book;
    struct cw_store_view *view;
    struct cw_engine_link engine;
    struct cw_work works[CW_NODE_GROUPS_MAX]; /* of groups that are here */
    struct cw_operation operations[CW_OPERATIONS_MAX];
    uint64_t last_operation;
    int listen_fd;
    struct cw_client clients[CW_CLIENTS_MAX];
    uint32_t next_client;                     /* who is served first in the next turn */
    struct cw_client remotes[CW_REMOTES_MAX]; /* at control_address; serials are of one count */
    struct cw_links mesh;                     /* to other controllers */
    struct cw_metrics *metrics;               /* NULL: without metrics_address */
    uint64_t events_told[CW_EVENT_LEVELS];
    int last_serial;
    struct cw_site_seen seen[CW_STORE_SITES_MAX];   /* in the order of view->sites */
    struct cw_path_seen paths[CW_CONFIG_PATHS_MAX]; /* in the engine's order */
    struct cw_link links[CW_NODE_EXPORTS_MAX];
    struct cw_nbdkit nbdkits[CW_NBDKITS_MAX];
    const struct cw_asking *asking; /* the command that is served right now; NULL: none */
    struct cw_client *asking_client;
    struct cw_audit_limit refusals;
    uint64_t audit_look_ns;
    uint64_t audit_rounds;  /* so many times it was looked through whole */
    bool is_round_damaged;  /* in this one there was damage */
    char audit_damage[200]; /* what was done to the audit, as last seen; "": nothing */
    char audit_told[200];
    struct cw_evacuation evacuations[CW_EVACUATIONS_MAX]; /* of which sites that was asked here */
    bool is_fault_told;                                   /* of the store */
    uint32_t unreadable_count;                            /* its rows that were told of */
    struct cw_store_unreadable unreadable[CW_STORE_UNREADABLE_MAX];
    bool is_store_begun; /* it has answered and is ours: before, nothing is decided and nothing is missed */
    uint64_t store_try_ns;
    json_t *store_copy; /* store_copy.c; NULL: there is none */
    uint64_t copy_version, copy_due_ns;
    bool is_copy_good;  /* the last one could be written */
    uint64_t settle_ns; /* until then others may still doubt the store; 0: it is not worked with yet */
    bool is_settled;
    bool is_view_copied;    /* the view is the copy's: the store is older, and not worked with */
    char store_behind[640]; /* why the store is not worked with, though it answers; "": it is */
    int exit;               /* when it stops */
    uint64_t started_ns, now_ns;
    uint64_t wake_ns; /* something is due then, before the next tick or after it */
    uint64_t next_tick_ns;
    uint64_t facts_due_ns;
    uint64_t store_full_ns; /* since when the store answers, and takes no changes; 0: it takes them */
    char store_full[CW_STORE_WORDS]; /* why */
    bool is_silence_told;
    uint64_t store_failed_ns; /* since when the store does not take this site's facts; 0: it does */
    uint64_t strangers_ns;    /* since when there is something here that the store does not know; 0: not */
    bool is_strangers_told;
    struct cw_census *census;      /* of etcd's members; NULL: the store is embedded */
    uint64_t certificates_look_ns; /* when next */
    double certificates_days;      /* until the first of ours ends */
    const char *certificate;       /* its file; "": there is none */
    uint64_t survival_ns;          /* when is_survivable was last found out; 0: never */
    uint32_t survival_count;
    bool is_survivable[CW_STORE_SITES_MAX]; /* in the order of view->sites */
    json_t *failovers, *salvage;            /* failovers.c; NULL: not looked yet */
    json_t *own_losses;                     /* both, as serve_losses.c last asked */
    uint64_t storage_look_ns, storage_changed_ns;
    bool is_stopping;
};

uint64_t cw_monotonic_ns(void);

/* engine_link.c */
void cw_engine_poll(struct cw_controller *controller); /* connects when it is time */
void cw_engine_readable(struct cw_controller *controller);
/* Does something that it asks for stand in line? One of these is served a turn of the loop. */
bool cw_engine_waits(const struct cw_controller *controller);
void cw_engine_serve(struct cw_controller *controller);
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
/* Does a group of this site go to another one right now? */
bool cw_is_handing_over(const struct cw_controller *controller);
/* Is a call out, an opening, a handing over or an operation under way? Then all is looked at more often. */
bool cw_is_in_transition(const struct cw_controller *controller);
struct cw_work *cw_work_of(struct cw_controller *controller, uint32_t group);
/* The call about the group's role has been answered: what the engine is now is asked for. */
struct cw_work *cw_work_answered(struct cw_controller *controller, uint32_t group);
bool cw_group_is_level(const struct cw_controller *controller, const struct cw_store_group *group);
/* places.c: what is at the paths of this site, before anything is made there */
enum cw_place_sight {
    CW_PLACE_UNSEEN = 0, /* nothing may be made: the row says why, or does not say yet what was seen */
    CW_PLACE_SEEN,       /* earlier: the making may have begun */
    CW_PLACE_SEEN_NOW    /* a moment ago, and nothing has been asked of the engine since */
};
enum cw_place_sight cw_place_see(struct cw_controller *controller, uint32_t group, int32_t volume);
/* Nothing is at the path. *error: it cannot be told, 0 if it can. */
bool cw_place_is_free(const char *path, int *error);
/* A volume's full copies are written to PATH.copy: nothing is there. Else false, and words. */
bool cw_place_has_room_for_copy(const struct cw_store_place *place, char *words, size_t size);
bool cw_place_is_device(const char *path);
/* The name of data that is there already. */
uint64_t cw_place_new_base(void);
/* Why what is there is not taken, and what to do. */
/* A wanted volume that a site tried to make or open and could not, and that its engine does not have, by its
 * last word; NULL: none. Its error says why. */
const struct cw_store_place *cw_place_lacked(const struct cw_controller *controller, uint32_t group,
                                             const char *site);
/* The name of its volume; "" for a journal. */
const char *cw_place_volume(const struct cw_controller *controller, const struct cw_store_place *place);
void cw_place_words(const struct cw_controller *controller, const struct cw_store_place *place, char *words,
                    size_t size);
/* Into the store, if it is something new; an error that is new is told. */
void cw_place_put(struct cw_controller *controller, const struct cw_store_place *place);
/* This site's, with these words; NULL: those of cw_place_words. */
void cw_place_refuse(struct cw_controller *controller, uint32_t group, int32_t volume, const char *words);
/* A regular file; anything else stays. */
void cw_place_remove_file(const char *path);

/* roles.c */
void cw_reconcile_role(struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_work *work, const json_t *engine);
/* What this site is no longer to answer, is asked for elsewhere, or was stopped by an error, is drained,
 * fenced, confirmed to the store. It waits for no file or device. engine: its entry, or NULL where it has
 * none. true: a call is out. */
bool cw_role_let_go(struct cw_controller *controller, const struct cw_store_group *group,
                    struct cw_work *work, const json_t *engine);
/* The engine here ends its reign; nothing is confirmed to the store. */
void cw_role_fence(struct cw_controller *controller, const struct cw_store_group *group,
                   struct cw_work *work);
/* Another site asks for this group in the epoch that it is in. */
bool cw_is_asked_for(const struct cw_controller *controller, const struct cw_store_group *group);
/* A request that nobody has renewed for so long, as seen from here, is cleared by whom it is in the way of. */
#define CW_TAKER_SILENT_NS (10 * CW_SECOND)
#define CW_DROPPED_SIZE    160u
void cw_request_see(struct cw_controller *controller, const struct cw_store_group *group,
                    struct cw_work *work);
/* Clears the one of this copy of the group, unless it has moved since. true: done and told, in words, too. */
bool cw_request_drop(struct cw_controller *controller, const struct cw_store_group *group,
                     char words[CW_DROPPED_SIZE]);
bool cw_role_open(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                  bool accept_loss, bool inconsistent);
/* This site as a candidate for the group, from the engine's last status; false: the engine does not say. */
bool cw_candidate_here(const struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_candidate *candidate);
/* The same of any site, as its engine last said, and without what is asked for there. */
bool cw_candidate_at(const struct cw_controller *controller, const struct cw_store_group *group,
                     const char *site, struct cw_candidate *candidate);

/* operations.c */
struct cw_operation *cw_operation_start(struct cw_controller *controller, enum cw_operation_kind kind,
                                        uint32_t group, uint64_t limit_ns);
struct cw_operation *cw_operation_find(struct cw_controller *controller, uint64_t id);
/* A promotion or switchover to this site that is under way, and not yet done. */
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

/* taking.c: a CW_OP_PROMOTE's or CW_OP_SWITCHOVER's step */
void cw_taking_run(struct cw_controller *controller, struct cw_operation *operation);
/* What a switchover needs beside both sites: a target that is level, or will be at once. */
struct cw_verdict cw_switchover_level(const struct cw_controller *controller,
                                      const struct cw_store_group *group,
                                      const struct cw_candidate *candidate);
/* Did the store answer what was asked of it for this? If it does not for long, the operation ends. */
void cw_operation_heard(struct cw_controller *controller, struct cw_operation *operation, bool is_answered);

/* catch_up.c: how far a replica is behind its primary, and how long that will take, in words: "; it is being
 * copied in full: ..." */
void cw_catch_up_words(const struct cw_controller *controller, const struct cw_store_group *group,
                       const char *site, char *words, size_t size);
/* In the modes without a set: what is missing at the site is so much that a switchover would hold writes for
 * long, or nobody knows how much. */
bool cw_is_far_behind(const struct cw_controller *controller, const struct cw_store_group *group,
                      const char *site);

/* deletion.c: a CW_OP_VOLUME_DELETE's step */
void cw_deletion_run(struct cw_controller *controller, struct cw_operation *operation);
/* A site that is there (or one that is not) and still has its part of the volume; NULL. */
const char *cw_deletion_site(const struct cw_controller *controller, uint32_t group, int32_t volume,
                             bool is_there);

/* facts.c */
void cw_facts_tell(struct cw_controller *controller);
void cw_facts_look(struct cw_controller *controller);
/* What has become of the book's file? true: the book is another one now, and that is told. */
bool cw_book_look(struct cw_controller *controller);
/* Why what is told here is in memory only; "": it is in a file. */
const char *cw_book_wrong(const struct cw_controller *controller);
/* By the configuration: it has a controller and no engine. */
bool cw_site_is_witness(const struct cw_controller *controller, const char *site);
bool cw_site_is_alive(const struct cw_controller *controller, const char *site);
/* Its controller is heard, whether its engine runs or not. Not of this site. */
bool cw_site_is_told(const struct cw_controller *controller, const char *site);
/* And has its engine answered lately? Else what it said is the last known, however well its socket stands.
 * For what is shown; what is decided waits for an answer. */
bool cw_site_is_heard(const struct cw_controller *controller, const char *site);
/* Not alive, and this controller runs for long enough to know. */
bool cw_site_is_silent(const struct cw_controller *controller, const char *site);
/* This group as a site's engine last said, borrowed; NULL. */
const json_t *cw_facts_group(const struct cw_controller *controller, const char *site, uint32_t group);
/* What a group, as an engine said, says of another site; borrowed; NULL. */
const json_t *cw_facts_peer(const json_t *group, const char *site);
const struct cw_site_seen *cw_site_seen(const struct cw_controller *controller, const char *site);
/* Seconds since the site was last seen to move (by the facts' wall clock when not in this life), or, of one
 * that is not heard, since its engine last said something; below 0: never. */
double cw_site_age_seconds(const struct cw_controller *controller, const char *site);
/* The same of its controller's last word alone, whether its engine runs or not. */
double cw_site_word_age_seconds(const struct cw_controller *controller, const char *site);
/* Into the shared event log; any failure is only said on stderr. */
void cw_event(struct cw_controller *controller, int level, const char *group, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Seconds for which the store has taken nothing from this site; 0: it answers. */
double cw_store_silent_seconds(const struct cw_controller *controller);
/* Seconds for which it answers what is read and takes no changes; 0: it takes them. */
double cw_store_full_seconds(const struct cw_controller *controller);
/* What is wrong with it in either case, in words; "": nothing, or nothing is known. */
const char *cw_store_wrong(const struct cw_controller *controller);
/* Looks how it is, and tells by an event when that becomes another. */
void cw_store_look(struct cw_controller *controller);

/* unreadable.c: rows of the store that cannot be read. Tells by events when there is another one. */
void cw_unreadable_look(struct cw_controller *controller);
/* [{"key","group","words"}]; new reference. */
json_t *cw_unreadable_status(const struct cw_controller *controller);
/* Why nothing is to be decided about the group; false: there is no such row, and no words. */
bool cw_unreadable_words(const struct cw_controller *controller, uint32_t group, char *words, size_t size);

/* strangers.c: what is here and the store does not know, once that lasts: a list of {"group","journal"}, new
 * reference. group "": only the file was found. */
json_t *cw_strangers(struct cw_controller *controller);

/* failovers.c: what takeovers by this site may have lost, and the tails that its engine kept */
void cw_failovers_look(struct cw_controller *controller);
/* Before the store is told of the claim's epoch. Durable when it returns, or an event says that it is not. */
void cw_failover_note(struct cw_controller *controller, const struct cw_store_group *group,
                      const struct cw_authority *now, const struct cw_candidate *candidate,
                      const struct cw_claim *claim);
/* The store did not take it. */
void cw_failover_drop(struct cw_controller *controller, uint32_t group, uint64_t epoch);
/* The group is deleted. Tails stay: they are data. */
void cw_failovers_forget(struct cw_controller *controller, uint32_t group);
/* {"failovers","salvage"}, for the facts: the newest of each group. New reference. */
json_t *cw_failovers_facts(struct cw_controller *controller);

/* paths.c: after every status of the engine */
void cw_paths_look(struct cw_controller *controller);

/* status.c: what `causeway status --json` shows, new reference */
json_t *cw_status_public(struct cw_controller *controller);
enum cw_health_level cw_group_health(struct cw_controller *controller, const struct cw_store_group *group);
/* Of one group in it, new reference. */
json_t *cw_status_group(struct cw_controller *controller, const struct cw_store_group *group);
struct cw_health cw_status_health(const struct cw_controller *controller, const struct cw_store_group *group);

/* survey.c */
/* Adds to this site's facts what `causeway audit` at any site wants to know. */
void cw_survey_tell(struct cw_controller *controller, json_t *facts);
/* Would everything go on, by itself or by what somebody types, if this site burned now? What is not known is
 * a no. As of half a second ago at most. */
bool cw_site_loss_survivable(struct cw_controller *controller, const char *site);

/* nbdkit.c */
/* Is all there that nbdkit needs to serve by TLS? False, with words: what is not, and what to do. */
bool cw_nbdkit_has_files(const char *directory, char *why, size_t why_size);
void cw_nbdkits_run(struct cw_controller *controller);
void cw_nbdkits_died(struct cw_controller *controller);
void cw_nbdkits_stop(struct cw_controller *controller);

/* links.c: does one wait for what was sent on to another site? */
bool cw_links_is_awaited(const struct cw_controller *controller, int client);

/* main_control.c */
/* What poll is to wait for, and whether there is something to serve without waiting. */
short cw_client_events(const struct cw_client *client);
bool cw_client_waits(const struct cw_client *client);
/* Sends what waits, reads what a client sent, and serves one message. false: the connection is to end. */
bool cw_client_serve(struct cw_controller *controller, struct cw_client *client, short events);

/* serve.c: was this site made by causeway lab up? */
bool cw_is_of_lab(const struct cw_controller *controller);
/* What the command line asks; the reply to send, or NULL when it comes later (forwarded) */
json_t *cw_serve(struct cw_controller *controller, struct cw_client *client,
                 const struct cw_rpc_message *message);
/* Of one who has gone: not done, and if it would have changed something, told by a line of the audit; true. */
bool cw_serve_gone(struct cw_controller *controller, const struct cw_client *client,
                   const struct cw_rpc_message *message);
/* As cw_serve, for somebody on whose behalf the client asks, with his rights. */
json_t *cw_serve_for(struct cw_controller *controller, struct cw_client *client, const struct cw_asker *asker,
                     const struct cw_rpc_message *message);
/* Replies, for the methods. */
json_t *cw_refuse(const struct cw_rpc_message *message, const char *words); /* exit 3 */
json_t *cw_fail(const struct cw_rpc_message *message, const char *words);   /* exit 1 */
json_t *cw_misuse(const struct cw_rpc_message *message, const char *words); /* exit 2 */
/* The store did not take `what`: exit 1, with the store's trouble and the next step. */
json_t *cw_fail_store(struct cw_controller *controller, const struct cw_rpc_message *message,
                      const char *what, enum cw_status status);
/* Others changed what this change rests on: it is begun anew, so often. */
#define CW_STORE_TRIES 8u
/* After a change of the store: what this controller works with is the new state. */
bool cw_view_refresh(struct cw_controller *controller);

/* serve_*.c: methods, in serve.c's table */
typedef json_t *cw_method(struct cw_controller *controller, const struct cw_rpc_message *message);
cw_method cw_serve_group_create, cw_serve_group_set, cw_serve_group_delete;
cw_method cw_serve_volume_create, cw_serve_volume_delete, cw_serve_volume_attach, cw_serve_volume_detach;
cw_method cw_serve_survey, cw_serve_explain;
cw_method cw_serve_promote, cw_serve_switchover, cw_serve_failback, cw_serve_operation;
/* serve_break_glass.c: are the tokens of a promotion good, and is it time for them? NULL: yes, and the store
 * lets this site claim an epoch of its own (cw_outside_permitted). Else the refusal. */
json_t *cw_break_glass_judge(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group);
/* The same of one that was permitted, before it opens, and while it does: NO and LATER with words. */
struct cw_verdict cw_break_glass_goes_on(const struct cw_controller *controller,
                                         const struct cw_operation *operation,
                                         const struct cw_store_group *group);
/* What this site holds by tokens, or is about to, for its facts: by group. New reference. */
json_t *cw_break_glass_facts(const struct cw_controller *controller);
cw_method cw_serve_losses, cw_serve_losses_list;
cw_method cw_serve_evacuate, cw_serve_evacuate_plan;
/* serve_store.c: a store that was lost, or put back to an older copy */
cw_method cw_serve_store_show, cw_serve_store_plan, cw_serve_store_rebuild;
/* serve_evacuate.c: the sites that are being evacuated, as was asked here: names; the caller's */
json_t *cw_evacuating_here(const struct cw_controller *controller);
/* The view's group that params.group names; NULL: *reply says so. */
const struct cw_store_group *cw_asked_group(struct cw_controller *controller,
                                            const struct cw_rpc_message *message, json_t **reply);
