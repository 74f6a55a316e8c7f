/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON-RPC 2.0 over Unix stream sockets, one object a line. Both ends of both sockets of a controller, and
 * the command line, use it. Everything is bounded: a line, what waits to be sent, the number of connections.
 * Nothing that comes in can crash it: what is not a message is answered with an error where that is possible,
 * and the connection is closed. Batches are not spoken.
 */
#pragma once

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CW_RPC_LINE_MAX (1024u * 1024u) /* of what is asked, and of what an engine says */
#define CW_RPC_ANSWER_MAX                                                                                    \
    (8u * 1024u * 1024u) /* of what a controller answers: the status of 1024 groups has 2 MB */
#define CW_RPC_OUT_MAX       (12u * 1024u * 1024u) /* what waits to be read */
#define CW_RPC_OUT_PAUSE     (64u * 1024u)         /* who leaves so much unread is served nothing more */
#define CW_RPC_KEPT_MAX      (256u * 1024u)        /* memory of a connection that says nothing right now */
#define CW_RPC_PASSED_ON_MAX (768u * 1024u)        /* of parameters that somebody else is given */
static_assert(CW_RPC_ANSWER_MAX < CW_RPC_OUT_MAX, "one answer always fits");
static_assert(CW_RPC_PASSED_ON_MAX + 64 * 1024 < CW_RPC_LINE_MAX, "with who asks for it, it fits in a line");

enum cw_rpc_code {
    CW_RPC_PARSE = -32700,
    CW_RPC_REQUEST = -32600,
    CW_RPC_METHOD = -32601,
    CW_RPC_PARAMS = -32602,
    CW_RPC_FAILED = -32000,
};

enum cw_rpc_kind { CW_RPC_NONE = 0, CW_RPC_CALL, CW_RPC_NOTE, CW_RPC_RESULT, CW_RPC_ERROR };

/* A message taken apart; all pointers are borrowed from `whole`, which the receiver drops with json_decref.
 */
struct cw_rpc_message {
    enum cw_rpc_kind kind;
    json_t *whole;
    json_t *id;         /* CALL, RESULT, ERROR: integer or string; ERROR: may be null */
    const char *method; /* CALL, NOTE */
    json_t *params;     /* CALL, NOTE: an object, or NULL */
    json_t *result;     /* RESULT */
    json_t *error;      /* ERROR: an object */
};

/* Bytes in, lines out. */
struct cw_rpc_lines {
    char *bytes;
    size_t used, size;
    size_t looked;   /* so many have no end of line */
    size_t line_max; /* set after the start; 0: CW_RPC_LINE_MAX */
};

enum cw_rpc_next {
    CW_RPC_NEXT_NONE = 0,
    CW_RPC_NEXT_MESSAGE,
    CW_RPC_NEXT_NOT_JSON,
    CW_RPC_NEXT_NOT_RPC,
    CW_RPC_NEXT_TOO_LONG
};

/* false: a line grows above the limit, or no memory. */
bool cw_rpc_lines_push(struct cw_rpc_lines *lines, const void *bytes, size_t length);
/* The next whole line as a message. Anything but NONE and MESSAGE: the connection should end. */
enum cw_rpc_next cw_rpc_lines_next(struct cw_rpc_lines *lines, struct cw_rpc_message *message);
void cw_rpc_lines_free(struct cw_rpc_lines *lines);

/* What stands between a connection and its socket (TLS), with the manners of recv and send: EAGAIN for "come
 * again". None: the socket itself. A read takes all that one record has, if there is room for 16 KiB. */
struct cw_rpc_carrier {
    ssize_t (*receive)(void *carried, void *bytes, size_t size);
    ssize_t (*transmit)(void *carried, const void *bytes, size_t size);
};

/* A connection that never blocks. */
struct cw_rpc_connection {
    int fd;                               /* -1: none */
    const struct cw_rpc_carrier *carrier; /* set after the start; NULL: none */
    void *carried;                        /* the caller's, and freed by it */
    struct cw_rpc_lines in;
    char *out;
    size_t out_used, out_size;
};

void cw_rpc_connection_start(struct cw_rpc_connection *connection, int fd);
void cw_rpc_connection_close(struct cw_rpc_connection *connection);
/* Reads what there is. false: the other side is gone. */
bool cw_rpc_connection_read(struct cw_rpc_connection *connection);
/* May these parameters of somebody be passed on? Written anew they can be longer than they came. */
bool cw_rpc_may_pass_on(const json_t *params);
/* Queues one message and tries to send. Takes the reference. An answer above CW_RPC_ANSWER_MAX goes as an
 * error that says so. false: the connection is of no use any more. */
bool cw_rpc_connection_send(struct cw_rpc_connection *connection, json_t *message);
bool cw_rpc_connection_flush(struct cw_rpc_connection *connection);
/* A whole line was read and is not yet taken: there is something to do, whatever poll says of the socket. */
bool cw_rpc_connection_has_line(const struct cw_rpc_connection *connection);
/* Whoever is there has closed it, whatever of his is still to be read: an answer finds nobody. One who has
 * only ended what he asks, at a Unix socket, listens still. */
bool cw_rpc_connection_is_gone(const struct cw_rpc_connection *connection);
/* The next message; reads only when no line is left of what was read before, so that one at a time may be
 * taken and what waits here stays small. *is_open false: the other side is gone. */
enum cw_rpc_next cw_rpc_connection_next(struct cw_rpc_connection *connection, struct cw_rpc_message *message,
                                        bool *is_open);

/* Messages; each takes the references of params, result, data and borrows id. */
json_t *cw_rpc_call(json_int_t id, const char *method, json_t *params);
json_t *cw_rpc_note(const char *method, json_t *params);
json_t *cw_rpc_result(json_t *id, json_t *result);
json_t *cw_rpc_error(json_t *id, int code, const char *words, json_t *data);

/* Sockets. -1 with errno. The name must fit into sun_path. */
int cw_rpc_connect(const char *path);
/* Unlinks a dead left-over; refuses (EADDRINUSE) when somebody answers there. group (gid_t)-1: leave it. */
int cw_rpc_listen(const char *path, mode_t mode, gid_t group);

/* A blocking call for short-lived programs. NULL: failed, with words; code is 0 when nobody answered. */
struct cw_rpc_failure {
    int code;
    int exit; /* as the answer asks: 1 failed, 2 usage, 3 refused */
    char words[1024];
    char elsewhere[128]; /* the socket of the one who can do it; "" */
};
json_t *cw_rpc_ask(struct cw_rpc_connection *connection, const char *method, json_t *params, int timeout_ms,
                   struct cw_rpc_failure *failure);

/* Reading parameters: the default when the key is missing or its value is of another kind. */
const char *cw_json_text(const json_t *object, const char *key, const char *otherwise);
uint64_t cw_json_u64(const json_t *object, const char *key, uint64_t otherwise);
bool cw_json_bool(const json_t *object, const char *key, bool otherwise);
double cw_json_number(const json_t *object, const char *key, double otherwise);
/* Lower-case hexadecimal, as names of 64 bits are written. */
uint64_t cw_json_hex(const json_t *object, const char *key, uint64_t otherwise);
json_t *cw_json_from_hex(uint64_t value);
