/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON objects, one a line, over a Unix stream socket; RPC.md has what they say. Control thread only.
 *
 * Bounds: CW_RPC_CONNECTIONS_MAX connections, lines of 1 MiB, CW_RPC_OUT_MAX of answers that a client does
 * not read. Whoever passes one is told where possible, and closed.
 *
 * Nobody keeps the engine from its work: of each connection one line is served in a turn, and none while
 * CW_RPC_AWAITED_MAX of its calls have no answer yet, unless it is the controller's. What it sends then waits
 * in its socket.
 */
#pragma once

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

#define CW_RPC_CONNECTIONS_MAX 16u
#define CW_RPC_LINE_MAX        (1024u * 1024u)
#define CW_RPC_OUT_MAX         (16u * 1024u * 1024u)
#define CW_RPC_AWAITED_MAX     8u

struct cw_rpc_connection {
    int fd;          /* -1: unused */
    uint64_t id;     /* never used again: names the connection after it has gone */
    bool must_close; /* once what stands in out is written */
    bool is_controller;
    uint64_t registered; /* the controllers' order: the highest one was the last to register; 0: it never did */
    uint32_t awaited; /* calls of it that have not ended: the callers' count */
    char *in, *out;
    size_t line_length; /* of the whole line that `in` begins with, its end included; 0: there is none yet */
    size_t in_length, in_size, out_length, out_size, out_done;
};

struct cw_rpc_server;
/* A line that was an object. message is borrowed. */
typedef void cw_rpc_on_message(void *context, struct cw_rpc_connection *connection, json_t *message);
typedef void cw_rpc_on_closed(void *context, uint64_t connection_id);

struct cw_rpc_server {
    int fd;
    char path[108];
    uint64_t next_id;
    struct cw_rpc_connection connections[CW_RPC_CONNECTIONS_MAX];
    cw_rpc_on_message *on_message;
    cw_rpc_on_closed *on_closed;
    void *context;
};

/* Words in why. A socket that nobody listens on is replaced. */
enum cw_status cw_rpc_listen(struct cw_rpc_server *server, const char *path, mode_t mode, gid_t gid,
                             char *why, size_t why_size) CW_MUST_CHECK;
void cw_rpc_close(struct cw_rpc_server *server);

/* Fills what poll(2) shall watch; returns how many (at most 1 + CW_RPC_CONNECTIONS_MAX). */
unsigned cw_rpc_poll_set(const struct cw_rpc_server *server, struct pollfd *set);
void cw_rpc_on_poll(struct cw_rpc_server *server, const struct pollfd *set, unsigned count);

/* Is there something to serve that poll does not tell of? */
bool cw_rpc_is_waiting(const struct cw_rpc_server *server);

struct cw_rpc_connection *cw_rpc_find(struct cw_rpc_server *server, uint64_t connection_id);
/* Takes the message. To a connection that is gone: nothing happens. */
void cw_rpc_send(struct cw_rpc_server *server, uint64_t connection_id, json_t *message);
