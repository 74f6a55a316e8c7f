/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links between controllers (control_address, sites[].control): each connects to every other site's, over
 * TLS 1.3 (link_tls.h), and both ends of a connection ask on it. Over it once a second: whatever facts,
 * events and lines of audit the other has and this one has not, of all sites (book_exchange.c), so that what
 * one site tells reaches all by way of any. And commands: one that another site must do is sent there, once,
 * and never further.
 *
 * People with a certificate of an operator or a viewer come to the same address and are served like those at
 * the local socket.
 *
 * Whoever comes is bounded in number, in time for the handshake, in the length of a line and in what may wait
 * to be read; one who has not shown who he is makes room for the next. Part of the controller's one poll
 * loop.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/link_tls.h"
#include "control/rpc.h"
#include "engine/config/node_config.h"

#define CW_REMOTES_MAX    32u
#define CW_LINK_CALLS_MAX 64u
#define CW_LINKS_POLL     (1u + CW_REMOTES_MAX + CW_CONFIG_SITES_MAX)

struct cw_controller;
struct cw_client;

/* Our connection to another site's controller, and what is known of that. */
struct cw_link_site {
    struct cw_rpc_connection connection; /* fd -1: none */
    struct cw_link_tls *tls;
    bool is_good;                        /* the handshake is over, and it is whom we wanted */
    uint64_t began_ns, next_try_ns;      /* the attempt; the next one */
    uint64_t life, tick;                 /* of the newest facts of the site */
    uint64_t heard_ns;                   /* when they came, by whatever way; 0: never */
    uint64_t pull_due_ns;                /* when it is asked again what is new */
    bool is_silence_told, is_break_told; /* by an event */
    uint64_t broken_ns;                  /* since when there is no link; 0: there is one */
    char why[CW_LINK_WORDS];             /* there is none */
    char differs[CW_LINK_WORDS];         /* of whose audit it was told that it is another one there */
};

enum cw_link_call_kind { CW_LINK_CALL_NONE = 0, CW_LINK_CALL_PULL, CW_LINK_CALL_FORWARD };

struct cw_link_call {
    enum cw_link_call_kind kind;
    json_int_t id;
    uint32_t site;  /* in the configuration's list */
    int connection; /* its serial */
    uint64_t asked_ns;
    int client;   /* FORWARD: who waits, by serial */
    json_t *kept; /* and the id of what he asked */
};

struct cw_links {
    bool is_on;
    int listen_fd;
    struct cw_link_trust *trust; /* NULL: the files cannot be used */
    struct {
        int64_t seconds, nanoseconds, size;
        uint64_t inode;
    } used[CW_LINK_FILES], seen[CW_LINK_FILES];
    uint64_t look_ns, judge_ns;
    bool is_mistake_told;
    struct cw_link_site sites[CW_CONFIG_SITES_MAX]; /* in the configuration's order; our own is not used */
    struct cw_link_call calls[CW_LINK_CALLS_MAX];
    json_int_t last_id;
    uint64_t life, tick; /* of our own facts */
    json_t *facts;       /* the last ones that we told */
    uint64_t refusal_told_ns, refusals;
    uint32_t next_remote; /* who is served first in the next turn of the loop */
    bool is_forwarded;    /* what is served right now came over a link: it goes no further */
};

/* A listening TCP socket that does not block; -1 with errno. */
int cw_links_listen(const struct cw_config_address *at);
/* 0, or an exit code with words said. */
int cw_links_start(struct cw_controller *controller);
void cw_links_stop(struct cw_controller *controller);
void cw_links_tick(struct cw_controller *controller);
/* CW_LINKS_POLL entries, filled for poll (true: somebody is to be served whatever that says), and what it
 * found. */
bool cw_links_fill(struct cw_controller *controller, struct pollfd *fds);
void cw_links_drain(struct cw_controller *controller, const struct pollfd *fds);

/* Our own facts have changed; borrows. */
void cw_links_facts(struct cw_controller *controller, const json_t *facts);
/* Is there a link to this site, or none because it is broken (configured all the same)? */
bool cw_links_leads_to(const struct cw_controller *controller, const char *site);
/* There is one, made from here, and it is over who is there. */
bool cw_links_is_good(const struct cw_controller *controller, const char *site);
/* Sends a command there. NULL: the answer comes later, to this client. Takes params. */
json_t *cw_links_forward(struct cw_controller *controller, struct cw_client *client,
                         const struct cw_rpc_message *message, const char *site, const char *method,
                         json_t *params);

/* links_serve.c */
/* What another controller asks; as cw_serve. */
json_t *cw_links_serve(struct cw_controller *controller, struct cw_client *client,
                       const struct cw_rpc_message *message);
/* What it answered; the connection's serial. */
void cw_links_answer(struct cw_controller *controller, int connection, const struct cw_rpc_message *message);
void cw_links_pull(struct cw_controller *controller, uint32_t site);
/* Calls of this connection will get no answer; 0: those that have waited for too long. */
void cw_links_calls_fail(struct cw_controller *controller, int connection, const char *words);
/* A connection to the site that has shown who it is, and its serial; NULL: none. */
struct cw_rpc_connection *cw_links_connection(struct cw_controller *controller, uint32_t site, int *serial);
/* A connection over which a pull had no answer ends. */
void cw_links_break(struct cw_controller *controller, int connection, const char *why);
