/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control thread: the socket, the mailboxes, what blocks (by way of the worker), the event log. It
 * allocates as it likes and never touches what an lcore owns.
 *
 *   control.c           the loop, commands to the store and their way back, events
 *   control_methods.c   requests of clients
 *   control_attach.c    those that attach and detach; attach_params.c: what they say, read and checked
 *   control_files.c     what running groups ask of files
 *   control_authority.c what the engine asks its controller
 *   control_certificates.c  who a peer is
 *   control_status.c    a picture as JSON
 *   control_telemetry.c the same for DPDK's telemetry
 */
#pragma once

#include <jansson.h>

#include "engine/engine.h"
#include "engine/group_start.h"
#include "engine/jobs.h"
#include "engine/rewind.h"
#include "engine/rpc_server.h"
#include "engine/snapshot.h"

#define CW_EVENTS_KEPT 4096u
#define CW_EVENT_TEXT  320u
#define CW_ASKS_MAX    64u

enum cw_attach_state {
    CW_ATTACH_NONE = 0,
    CW_ATTACH_OPENING,  /* ends when the job that opens the journal is done */
    CW_ATTACH_WAITING,  /* ends when the last missing volume is attached */
    CW_ATTACH_STARTING, /* ends when recovery is done and the store lcore has the group */
    CW_ATTACH_RUNNING,
    CW_ATTACH_LEAVING /* ends when the store lcore has given it back and it is closed */
};

/* A group as control knows it; its slot is the same in the store lcore's table. */
struct cw_control_group {
    uint8_t state; /* enum cw_attach_state */
    uint8_t slot;
    bool is_busy; /* a request that changes it is under way */
    uint32_t id;
    char name[64];
    enum cw_mode mode;
    uint8_t min_in_sync, sites;
    uint64_t volumes; /* bit of each that is attached: the control thread's own record */
    char reason[CW_WHY_SIZE];
    struct cw_identity identity; /* of this site, for who asks; without a journal's until that is open */
    struct cw_setup setup;       /* the worker's while a job of the group runs: not to be looked at then */
};

struct cw_event {
    uint64_t id;
    uint64_t time_ms; /* of the wall, for people */
    uint8_t level;
    uint32_t group;
    char text[CW_EVENT_TEXT];
};

enum cw_ask_kind { CW_ASK_NONE = 0, CW_ASK_LEASE, CW_ASK_CLAIM, CW_ASK_SET };

/* A request to the controller without an answer yet. */
struct cw_ask {
    uint8_t kind;
    uint8_t slot;
    uint64_t id;
    uint32_t group; /* the slot may have another by the time of the answer */
    uint64_t serial;
    uint64_t asked_ns;
    uint32_t count;
    struct cw_lease_group groups[CW_GROUPS_MAX];
};

struct cw_auth;

struct cw_control {
    struct cw_engine *engine;
    struct cw_rpc_server server;
    struct cw_jobs jobs;
    struct cw_rewind rewind;
    int job_fd, signal_fd;
    struct cw_control_group groups[CW_GROUPS_MAX];
    struct cw_command *waiting_first, *waiting_last; /* the ring had no room */
    unsigned commands_under_way;
    uint64_t controller; /* connection id; 0: none */
    uint64_t registrations;
    uint64_t next_ask;
    struct cw_ask asks[CW_ASKS_MAX];
    struct cw_event *events; /* CW_EVENTS_KEPT of them */
    uint64_t next_event;     /* id of the next; ids begin at 1 */
    struct cw_auth *auth;    /* NULL: a cluster key instead of certificates */
    uint32_t ports_gone;     /* paths whose devices are, and it was told: a bit each */
    bool is_stopping, is_stopped;
};

/* ---- control.c ---- */
/* Words in why. */
enum cw_status cw_control_init(struct cw_control *control, struct cw_engine *engine, char *why,
                               size_t why_size) CW_MUST_CHECK;
/* Returns when the engine has stopped in order. */
void cw_control_run(struct cw_control *control);
void cw_control_fini(struct cw_control *control);
/* A zeroed command; its on_done frees it. */
struct cw_command *cw_control_command(uint8_t type, uint8_t slot, void (*on_done)(struct cw_command *command),
                                      void *context);
void cw_control_post(struct cw_control *control, struct cw_command *command);
void cw_control_free_command(struct cw_command *command);
void cw_control_event(struct cw_control *control, uint8_t level, uint32_t group, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "site 1" and "path 0" in `from` become names. */
void cw_control_put_names(const struct cw_engine *engine, const char *from, char *to, size_t size);
json_t *cw_control_event_json(const struct cw_event *event);
struct cw_control_group *cw_control_find(struct cw_control *control, uint32_t group);
void cw_control_stop(struct cw_control *control);

/* ---- control_methods.c ---- */

/* A client's request, kept until it is answered. */
struct cw_call {
    struct cw_control *control;
    uint64_t connection;
    json_t *id;     /* NULL: a notification, which is not answered */
    json_t *params; /* an object */
    struct cw_control_group *group;
    uint8_t slot;
};

void cw_control_on_message(void *context, struct cw_rpc_connection *connection, json_t *message);
/* Both end the call and free it. result is taken; NULL is {}. */
void cw_call_reply(struct cw_call *call, json_t *result);
void cw_call_refuse(struct cw_call *call, enum cw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends the call as the command says, and frees both. An on_done function. */
void cw_call_end_with(struct cw_command *command);
/* Reading parameters. */
bool cw_call_u64(const struct cw_call *call, const char *key, uint64_t *value);
bool cw_call_text(const struct cw_call *call, const char *key, char *to, size_t size);
bool cw_json_hex(const json_t *value, uint64_t *number);
bool cw_json_id(const json_t *value, uint64_t id[2]);
json_t *cw_json_from_id(const uint64_t id[2]);
json_t *cw_json_from_hex(uint64_t number);
json_t *cw_json_identity(const struct cw_engine *engine, uint8_t site, const struct cw_identity *identity);
bool cw_json_to_identity(const struct cw_engine *engine, const json_t *value, uint8_t *site,
                         struct cw_identity *identity);

/* ---- control_attach.c ---- */
void cw_method_group_attach(struct cw_call *call);
void cw_method_group_detach(struct cw_call *call);
void cw_method_volume_attach(struct cw_call *call);
void cw_method_volume_detach(struct cw_call *call);

/* ---- control_files.c ---- */
void cw_control_on_image(struct cw_control *control, const struct cw_mail *mail);
void cw_control_on_salvage(struct cw_control *control, const struct cw_mail *mail);

/* ---- control_authority.c ---- */
void cw_control_ask_lease(struct cw_control *control, const struct cw_mail *mail);
void cw_control_ask_claim(struct cw_control *control, const struct cw_mail *mail);
void cw_control_ask_set(struct cw_control *control, const struct cw_mail *mail);
void cw_control_on_answer(struct cw_control *control, json_t *message);
/* The controller's connection is gone: what it was asked has no answer. */
/* This connection gets the engine's requests from now on. */
void cw_control_take_controller(struct cw_control *control, struct cw_rpc_connection *connection);
void cw_control_lost_controller(struct cw_control *control);

/* ---- control_status.c ---- */
json_t *cw_status_json(struct cw_control *control, const struct cw_snapshot *snapshot);

/* ---- control_telemetry.c ---- */
void cw_telemetry_register(struct cw_control *control);
/* Keeps what telemetry answers with; control thread. */
void cw_telemetry_update(struct cw_control *control, const struct cw_snapshot *snapshot);
