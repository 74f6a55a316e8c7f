/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/rpc_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

#define READ_BYTES 65536u

/* ---------------------------------------------------------------- the socket */

static bool is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool connected = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    close(fd);
    return connected;
}

static enum cw_status bind_and_listen(int fd, const struct sockaddr_un *address, mode_t mode, gid_t gid)
{
    mode_t before = umask(0777 & ~mode);
    int error = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(before);
    if (error != 0)
        return CW_IO;
    if (gid != (gid_t)-1 && chown(address->sun_path, (uid_t)-1, gid) != 0)
        return CW_IO;
    return listen(fd, 16) == 0 ? CW_OK : CW_IO;
}

enum cw_status cw_rpc_listen(struct cw_rpc_server *server, const char *path, mode_t mode, gid_t gid,
                             char *why, size_t why_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++)
        server->connections[i].fd = -1;
    server->fd = -1;
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(why, why_size, "%s is too long for a socket: at most %zu bytes", path,
                 sizeof address.sun_path - 1);
        return CW_INVALID;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (is_served(&address)) {
        snprintf(why, why_size, "%s is served by another process", path);
        return CW_EXISTS;
    }
    (void)unlink(path);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0 || bind_and_listen(server->fd, &address, mode, gid) != CW_OK) {
        snprintf(why, why_size, "cannot listen on %s: %s", path, strerror(errno));
        cw_rpc_close(server);
        return CW_IO;
    }
    snprintf(server->path, sizeof server->path, "%s", path);
    return CW_OK;
}

static void connection_close(struct cw_rpc_server *server, struct cw_rpc_connection *connection)
{
    uint64_t id = connection->id;
    close(connection->fd);
    free(connection->in);
    free(connection->out);
    *connection = (struct cw_rpc_connection){.fd = -1};
    if (server->on_closed != NULL)
        server->on_closed(server->context, id);
}

void cw_rpc_close(struct cw_rpc_server *server)
{
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        if (server->connections[i].fd >= 0)
            connection_close(server, &server->connections[i]);
    }
    if (server->fd >= 0)
        close(server->fd);
    server->fd = -1;
    if (server->path[0] != 0)
        (void)unlink(server->path);
    server->path[0] = 0;
}

/* ---------------------------------------------------------------- writing */

struct cw_rpc_connection *cw_rpc_find(struct cw_rpc_server *server, uint64_t connection_id)
{
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        if (server->connections[i].fd >= 0 && server->connections[i].id == connection_id)
            return &server->connections[i];
    }
    return NULL;
}

/* Room for `more` bytes at the end; false when there is no memory or the bound is passed. */
static bool reserve(char **buffer, size_t *size, size_t length, size_t more, size_t max)
{
    if (length + more > max)
        return false;
    if (length + more <= *size)
        return true;
    size_t wanted = CW_MIN(CW_MAX(2 * *size, length + more), max);
    char *grown = realloc(*buffer, wanted);
    if (grown == NULL)
        return false;
    *buffer = grown;
    *size = wanted;
    return true;
}

/* What it has not read will not be read any more. */
static void hang_up(struct cw_rpc_connection *connection)
{
    connection->must_close = true;
    connection->out_length = connection->out_done = 0;
}

static void write_out(struct cw_rpc_server *server, struct cw_rpc_connection *connection)
{
    while (connection->out_done < connection->out_length) {
        ssize_t n = send(connection->fd, connection->out + connection->out_done,
                         connection->out_length - connection->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            hang_up(connection);
            return;
        }
        connection->out_done += (size_t)n;
    }
    connection->out_length = connection->out_done = 0;
}

void cw_rpc_send(struct cw_rpc_server *server, uint64_t connection_id, json_t *message)
{
    struct cw_rpc_connection *connection = cw_rpc_find(server, connection_id);
    char *text = connection != NULL ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (text == NULL)
        return;
    size_t length = strlen(text);
    if (reserve(&connection->out, &connection->out_size, connection->out_length, length + 1,
                CW_RPC_OUT_MAX)) {
        memcpy(connection->out + connection->out_length, text, length);
        connection->out[connection->out_length + length] = '\n';
        connection->out_length += length + 1;
        write_out(server, connection);
    } else {
        hang_up(connection); /* it does not read what it asked for */
    }
    free(text);
}

static void send_error(struct cw_rpc_server *server, struct cw_rpc_connection *connection, int code,
                       const char *text)
{
    cw_rpc_send(server, connection->id,
                json_pack("{s:s, s:n, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", "error", "code", code,
                          "message", text));
    connection->must_close = true;
}

/* ---------------------------------------------------------------- reading */

static void on_line(struct cw_rpc_server *server, struct cw_rpc_connection *connection, const char *line,
                    size_t length)
{
    json_error_t error;
    json_t *message = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    if (message == NULL || !json_is_object(message))
        send_error(server, connection, -32700, "not a JSON object on one line; the connection is closed");
    else
        server->on_message(server->context, connection, message);
    json_decref(message);
}

/* Where the first line ends. Empty ones are nothing. */
static void find_line(struct cw_rpc_connection *connection)
{
    size_t from = 0;
    while (from < connection->in_length && connection->in[from] == '\n')
        from++;
    connection->in_length -= from;
    if (from > 0)
        memmove(connection->in, connection->in + from, connection->in_length);
    const char *end = connection->in_length > 0 ? memchr(connection->in, '\n', connection->in_length) : NULL;
    connection->line_length = end != NULL ? (size_t)(end - connection->in) + 1 : 0;
}

static bool may_serve(const struct cw_rpc_connection *connection)
{
    return connection->fd >= 0 && connection->line_length > 0 && !connection->must_close &&
           (connection->is_controller || connection->awaited < CW_RPC_AWAITED_MAX);
}

static void serve_line(struct cw_rpc_server *server, struct cw_rpc_connection *connection)
{
    on_line(server, connection, connection->in, connection->line_length - 1);
    connection->in_length -= connection->line_length;
    memmove(connection->in, connection->in + connection->line_length, connection->in_length);
    find_line(connection);
}

static void read_in(struct cw_rpc_server *server, struct cw_rpc_connection *connection)
{
    size_t max = CW_RPC_LINE_MAX + 2 * READ_BYTES;
    if (!reserve(&connection->in, &connection->in_size, connection->in_length, READ_BYTES, max)) {
        connection->must_close = true;
        return;
    }
    ssize_t n = recv(connection->fd, connection->in + connection->in_length, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(connection);
        return;
    }
    connection->in_length += (size_t)n;
    find_line(connection);
    if (connection->line_length == 0 && connection->in_length > CW_RPC_LINE_MAX)
        send_error(server, connection, -32600, "a line has at most 1 MiB; the connection is closed");
}

static struct cw_rpc_connection *unused_connection(struct cw_rpc_server *server)
{
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        if (server->connections[i].fd < 0)
            return &server->connections[i];
    }
    return NULL;
}

static void accept_one(struct cw_rpc_server *server)
{
    static const char full[] =
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"16 connections are "
        "open: close one first\",\"data\":{\"status\":\"again\"}}}\n";
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct cw_rpc_connection *connection = unused_connection(server);
    if (connection == NULL) {
        (void)!send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    *connection = (struct cw_rpc_connection){.fd = fd, .id = ++server->next_id};
}

/* ---------------------------------------------------------------- poll */

unsigned cw_rpc_poll_set(const struct cw_rpc_server *server, struct pollfd *set)
{
    unsigned count = 0;
    set[count++] = (struct pollfd){.fd = server->fd, .events = POLLIN};
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        const struct cw_rpc_connection *connection = &server->connections[i];
        if (connection->fd < 0)
            continue;
        bool is_read = connection->line_length == 0, is_written = connection->out_length > 0;
        short events = (short)((is_read ? POLLIN : 0) | (is_written ? POLLOUT : 0));
        /* Of whom nothing is wanted, not even that he has gone: that is told all the time. */
        set[count++] = (struct pollfd){.fd = events ? connection->fd : -1, .events = events};
    }
    return count;
}

bool cw_rpc_is_waiting(const struct cw_rpc_server *server)
{
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        if (may_serve(&server->connections[i]))
            return true;
    }
    return false;
}

static void on_ready(struct cw_rpc_server *server, const struct pollfd *ready)
{
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        struct cw_rpc_connection *connection = &server->connections[i];
        if (connection->fd != ready->fd)
            continue;
        if (ready->revents & POLLOUT)
            write_out(server, connection);
        if ((ready->revents & (POLLIN | POLLHUP | POLLERR)) && connection->line_length == 0)
            read_in(server, connection);
    }
}

void cw_rpc_on_poll(struct cw_rpc_server *server, const struct pollfd *set, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        if (set[i].revents != 0)
            on_ready(server, &set[i]);
    }
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        if (may_serve(&server->connections[i]))
            serve_line(server, &server->connections[i]);
    }
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        struct cw_rpc_connection *connection = &server->connections[i];
        if (connection->fd >= 0 && connection->must_close && connection->out_length == 0)
            connection_close(server, connection);
    }
    if (set[0].revents != 0)
        accept_one(server);
}
