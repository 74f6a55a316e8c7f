/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

/* ---------------------------------------------------------------- lines and messages */

/* Room for length more bytes; doubles. false: above the limit, or no memory. */
static bool make_room(char **bytes, size_t *size, size_t used, size_t length, size_t limit)
{
    if (length > limit || used > limit - length)
        return false;
    if (used + length <= *size)
        return true;
    size_t larger = CW_MAX(*size * 2, (size_t)4096);
    while (larger < used + length)
        larger *= 2;
    char *moved = realloc(*bytes, larger);
    if (!moved)
        return false;
    *bytes = moved;
    *size = larger;
    return true;
}

/* Gives back what one large message took. */
static void shrink(char **bytes, size_t *size, size_t used)
{
    if (used > 0 || *size <= CW_RPC_KEPT_MAX)
        return;
    free(*bytes);
    *bytes = NULL;
    *size = 0;
}

static size_t line_max(const struct cw_rpc_lines *lines)
{
    return lines->line_max ? lines->line_max : CW_RPC_LINE_MAX;
}

bool cw_rpc_lines_push(struct cw_rpc_lines *lines, const void *bytes, size_t length)
{
    /* One line and one read may stand here together. */
    if (!make_room(&lines->bytes, &lines->size, lines->used, length, 2 * line_max(lines)))
        return false;
    memcpy(lines->bytes + lines->used, bytes, length);
    lines->used += length;
    return true;
}

void cw_rpc_lines_free(struct cw_rpc_lines *lines)
{
    free(lines->bytes);
    *lines = (struct cw_rpc_lines){.line_max = lines->line_max};
}

static bool is_id(const json_t *id)
{
    return json_is_integer(id) || json_is_string(id);
}

/* The shape of JSON-RPC 2.0; whole is the caller's. */
static bool take_apart(json_t *whole, struct cw_rpc_message *message)
{
    const char *version = cw_json_text(whole, "jsonrpc", "");
    *message = (struct cw_rpc_message){.whole = whole,
                                       .id = json_object_get(whole, "id"),
                                       .method = cw_json_text(whole, "method", NULL),
                                       .params = json_object_get(whole, "params"),
                                       .result = json_object_get(whole, "result"),
                                       .error = json_object_get(whole, "error")};
    if (strcmp(version, "2.0") != 0)
        return false;
    if (message->method) {
        message->kind = message->id ? CW_RPC_CALL : CW_RPC_NOTE;
        return (!message->id || is_id(message->id)) && (!message->params || json_is_object(message->params));
    }
    if (message->result && !message->error) {
        message->kind = CW_RPC_RESULT;
        return is_id(message->id);
    }
    message->kind = CW_RPC_ERROR;
    return json_is_object(message->error) && (is_id(message->id) || json_is_null(message->id));
}

enum cw_rpc_next cw_rpc_lines_next(struct cw_rpc_lines *lines, struct cw_rpc_message *message)
{
    *message = (struct cw_rpc_message){0};
    for (;;) {
        char *end = lines->used > lines->looked
                        ? memchr(lines->bytes + lines->looked, '\n', lines->used - lines->looked)
                        : NULL;
        size_t length = end ? (size_t)(end - lines->bytes) : lines->used;
        lines->looked = end ? 0 : lines->used;
        if (length > line_max(lines))
            return CW_RPC_NEXT_TOO_LONG;
        if (!end) {
            shrink(&lines->bytes, &lines->size, lines->used);
            return CW_RPC_NEXT_NONE;
        }
        json_t *whole = length ? json_loadb(lines->bytes, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
        lines->used -= length + 1;
        memmove(lines->bytes, end + 1, lines->used);
        if (length == 0)
            continue; /* an empty line is nothing */
        if (!whole)
            return CW_RPC_NEXT_NOT_JSON;
        if (json_is_object(whole) && take_apart(whole, message))
            return CW_RPC_NEXT_MESSAGE;
        json_decref(whole);
        *message = (struct cw_rpc_message){0};
        return CW_RPC_NEXT_NOT_RPC;
    }
}

static json_t *envelope(json_t *id)
{
    json_t *message = json_object();
    json_object_set_new(message, "jsonrpc", json_string("2.0"));
    if (id)
        json_object_set(message, "id", id);
    return message;
}

json_t *cw_rpc_note(const char *method, json_t *params)
{
    json_t *message = envelope(NULL);
    json_object_set_new(message, "method", json_string(method));
    json_object_set_new(message, "params", params ? params : json_object());
    return message;
}

json_t *cw_rpc_call(json_int_t id, const char *method, json_t *params)
{
    json_t *message = cw_rpc_note(method, params);
    json_object_set_new(message, "id", json_integer(id));
    return message;
}

json_t *cw_rpc_result(json_t *id, json_t *result)
{
    json_t *message = envelope(id);
    json_object_set_new(message, "result", result ? result : json_object());
    return message;
}

json_t *cw_rpc_error(json_t *id, int code, const char *words, json_t *data)
{
    json_t *message = envelope(NULL), *error = json_object();
    json_object_set(message, "id", id ? id : json_null());
    json_object_set_new(error, "code", json_integer(code));
    json_object_set_new(error, "message", json_string(words));
    if (data)
        json_object_set_new(error, "data", data);
    json_object_set_new(message, "error", error);
    return message;
}

/* ---------------------------------------------------------------- connections */

void cw_rpc_connection_start(struct cw_rpc_connection *connection, int fd)
{
    CW_ASSERT(fd >= 0);
    *connection = (struct cw_rpc_connection){.fd = fd};
}

void cw_rpc_connection_close(struct cw_rpc_connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    cw_rpc_lines_free(&connection->in);
    free(connection->out);
    *connection = (struct cw_rpc_connection){.fd = -1};
}

bool cw_rpc_connection_read(struct cw_rpc_connection *connection)
{
    char bytes[16384];
    ssize_t n = connection->carrier ? connection->carrier->receive(connection->carried, bytes, sizeof bytes)
                                    : recv(connection->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        return cw_rpc_lines_push(&connection->in, bytes, (size_t)n);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static ssize_t transmit(struct cw_rpc_connection *connection, const char *bytes, size_t size)
{
    return connection->carrier ? connection->carrier->transmit(connection->carried, bytes, size)
                               : send(connection->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool cw_rpc_connection_flush(struct cw_rpc_connection *connection)
{
    size_t sent = 0;
    while (sent < connection->out_used) {
        ssize_t n = transmit(connection, connection->out + sent, connection->out_used - sent);
        if (n == 0)
            return false;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    connection->out_used -= sent;
    if (sent > 0)
        memmove(connection->out, connection->out + sent, connection->out_used);
    shrink(&connection->out, &connection->out_size, connection->out_used);
    return true;
}

bool cw_rpc_connection_has_line(const struct cw_rpc_connection *connection)
{
    const struct cw_rpc_lines *in = &connection->in;
    return in->used > in->looked && memchr(in->bytes + in->looked, '\n', in->used - in->looked);
}

bool cw_rpc_connection_is_gone(const struct cw_rpc_connection *connection)
{
    /* TCP does not tell one end of a connection from both, and nobody who speaks TLS here ends only one. */
    struct pollfd about = {.fd = connection->fd, .events = connection->carrier ? POLLRDHUP : 0};
    return poll(&about, 1, 0) > 0 && (about.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

enum cw_rpc_next cw_rpc_connection_next(struct cw_rpc_connection *connection, struct cw_rpc_message *message,
                                        bool *is_open)
{
    *is_open = cw_rpc_connection_has_line(connection) || cw_rpc_connection_read(connection);
    return cw_rpc_lines_next(&connection->in, message);
}

/* The text of a message that is not too long; NULL: no memory, or nothing can be said in its place. */
static char *text_of(json_t *message)
{
    char words[160], *text = json_dumps(message, JSON_COMPACT);
    json_t *id = json_object_get(message, "id");
    size_t length = text ? strlen(text) : 0;
    bool is_answer = json_object_get(message, "result") != NULL;
    if (length <= (is_answer ? CW_RPC_ANSWER_MAX : CW_RPC_LINE_MAX))
        return text;
    free(text);
    if (!is_answer)
        return NULL;
    snprintf(words, sizeof words, "the answer has %zu bytes, and at most %u are sent: ask for less", length,
             CW_RPC_ANSWER_MAX);
    json_t *error = cw_rpc_error(id, CW_RPC_FAILED, words, NULL);
    text = json_dumps(error, JSON_COMPACT);
    json_decref(error);
    return text;
}

bool cw_rpc_may_pass_on(const json_t *params)
{
    return !params || json_dumpb(params, NULL, 0, JSON_COMPACT) <= CW_RPC_PASSED_ON_MAX;
}

bool cw_rpc_connection_send(struct cw_rpc_connection *connection, json_t *message)
{
    char *text = text_of(message);
    size_t length = text ? strlen(text) : 0;
    bool ok =
        text && connection->fd >= 0 &&
        make_room(&connection->out, &connection->out_size, connection->out_used, length + 1, CW_RPC_OUT_MAX);
    if (ok) {
        memcpy(connection->out + connection->out_used, text, length);
        connection->out[connection->out_used + length] = '\n';
        connection->out_used += length + 1;
        ok = cw_rpc_connection_flush(connection);
    }
    free(text);
    json_decref(message);
    return ok;
}

/* ---------------------------------------------------------------- sockets */

static bool make_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return true;
}

int cw_rpc_connect(const char *path)
{
    struct sockaddr_un address;
    if (!make_address(path, &address))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

/* Is a socket there that nobody listens on? Then it is removed. false: in use, or not ours to remove. */
static bool clear_left_over(const char *path)
{
    struct stat about;
    if (lstat(path, &about) < 0)
        return errno == ENOENT;
    int fd = S_ISSOCK(about.st_mode) ? cw_rpc_connect(path) : -1;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || !S_ISSOCK(about.st_mode)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(path) == 0;
}

int cw_rpc_listen(const char *path, mode_t mode, gid_t group)
{
    struct sockaddr_un address;
    if (!make_address(path, &address) || !clear_left_over(path))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    mode_t before = umask(0177); /* never open to others, not even for a moment */
    bool ok = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    ok = ok && (group == (gid_t)-1 || chown(path, (uid_t)-1, group) == 0);
    ok = ok && chmod(path, mode) == 0 && listen(fd, 64) == 0;
    if (ok)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* ---------------------------------------------------------------- a blocking call */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void fail(struct cw_rpc_failure *failure, const char *words)
{
    *failure = (struct cw_rpc_failure){.exit = 1};
    snprintf(failure->words, sizeof failure->words, "%s", words);
}

static void fail_as_answered(struct cw_rpc_failure *failure, const json_t *error)
{
    const json_t *data = json_object_get(error, "data");
    fail(failure, cw_json_text(error, "message", "failed, without words"));
    failure->code = (int)json_integer_value(json_object_get(error, "code"));
    uint64_t code = cw_json_u64(data, "exit", failure->code == CW_RPC_PARAMS ? 2 : 1);
    failure->exit = code >= 1 && code <= 3 ? (int)code : 1;
    snprintf(failure->elsewhere, sizeof failure->elsewhere, "%s", cw_json_text(data, "socket", ""));
}

/* Sends what waits, and waits for bytes, until the deadline; false with words in failure. */
static bool exchange(struct cw_rpc_connection *connection, int64_t deadline_ms,
                     struct cw_rpc_failure *failure)
{
    struct pollfd ready = {.fd = connection->fd, .events = POLLIN};
    int64_t left = deadline_ms - now_ms();
    if (connection->out_used)
        ready.events |= POLLOUT;
    int n = poll(&ready, 1, left > 0 ? (int)left : 0);
    if (n == 0) {
        fail(failure, "no answer in time; it may still be done: "
                      "see causeway status and causeway events --audit");
        return false;
    }
    if (n < 0)
        return errno == EINTR;
    bool is_open = !(ready.revents & POLLOUT) || cw_rpc_connection_flush(connection);
    if (ready.revents & ~POLLOUT)
        is_open = cw_rpc_connection_read(connection) && is_open;
    is_open = is_open || (connection->in.used && memchr(connection->in.bytes, '\n', connection->in.used));
    if (!is_open)
        fail(failure, "the connection was closed before the answer; it may or may not have been done: "
                      "see causeway status and causeway events --audit");
    return is_open;
}

json_t *cw_rpc_ask(struct cw_rpc_connection *connection, const char *method, json_t *params, int timeout_ms,
                   struct cw_rpc_failure *failure)
{
    static _Thread_local json_int_t last_id;
    json_int_t id = ++last_id;
    int64_t deadline_ms = now_ms() + timeout_ms;
    connection->in.line_max = CW_RPC_ANSWER_MAX;
    if (!cw_rpc_connection_send(connection, cw_rpc_call(id, method, params))) {
        fail(failure, "the connection was closed");
        return NULL;
    }
    for (;;) {
        struct cw_rpc_message message;
        enum cw_rpc_next next = cw_rpc_lines_next(&connection->in, &message);
        if (next == CW_RPC_NEXT_NONE && exchange(connection, deadline_ms, failure))
            continue;
        if (next == CW_RPC_NEXT_NONE)
            return NULL;
        if (next != CW_RPC_NEXT_MESSAGE) {
            fail(failure, "the answer is no JSON-RPC");
            return NULL;
        }
        json_t *result = NULL;
        bool is_mine = message.id && json_integer_value(message.id) == id;
        if (is_mine && message.kind == CW_RPC_RESULT)
            result = json_incref(message.result);
        bool is_error = message.kind == CW_RPC_ERROR && (is_mine || json_is_null(message.id));
        if (is_error)
            fail_as_answered(failure, message.error);
        json_decref(message.whole);
        if (result || is_error)
            return result;
    }
}

/* ---------------------------------------------------------------- parameters */

const char *cw_json_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

uint64_t cw_json_u64(const json_t *object, const char *key, uint64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value)
                                                                    : otherwise;
}

bool cw_json_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

double cw_json_number(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

uint64_t cw_json_hex(const json_t *object, const char *key, uint64_t otherwise)
{
    const char *text = cw_json_text(object, key, "");
    char *end = NULL;
    if (!*text || strspn(text, "0123456789abcdef") != strlen(text) || strlen(text) > 16)
        return otherwise;
    uint64_t value = strtoull(text, &end, 16);
    return *end ? otherwise : value;
}

json_t *cw_json_from_hex(uint64_t value)
{
    char text[20];
    snprintf(text, sizeof text, "%lx", value);
    return json_string(text);
}
