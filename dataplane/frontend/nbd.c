/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server as a whole: its limits, its exports and sockets, who has something to do and who waits.
 *
 * Two lists keep a loop turn short: the dirty (something changed: look at it in the next flush) and the
 * waiting (for buffers or room, first come first served; a volume that has none stops only those behind it
 * that want the same volume, and who waits for others that hold too much stops nobody). Both are linked
 * through the connections, so neither can be full.
 */
#include "frontend/nbd.h"

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "frontend/nbd_io.h"
#include "frontend/nbd_share.h"

#define ACCEPT_PAUSE_NS (100 * CW_MS)
#define STALL_PARTS     10u /* who holds more than its share gets such a part of the time */

const char *const cw_nbd_counter_names[CW_NBD_COUNTER_COUNT] = {CW_NBD_COUNTERS(CW_COUNTER_NAME)};

/* ---- building ---- */

static struct cw_nbd_config with_defaults(struct cw_nbd_config config)
{
    config.connections_max = config.connections_max ? config.connections_max : 64;
    if (config.export_connections_max == 0)
        config.export_connections_max = CW_MAX(config.connections_max / 2, 1u);
    config.requests_max = config.requests_max ? config.requests_max : 128;
    config.exports_max = config.exports_max ? config.exports_max : 64;
    config.bytes_max = config.bytes_max ? config.bytes_max : 16 * CW_MIB;
    config.stall_ns = config.stall_ns ? config.stall_ns : 10 * CW_SECOND;
    config.handshake_ns = config.handshake_ns ? config.handshake_ns : 10 * CW_SECOND;
    config.finish_ns = config.finish_ns ? config.finish_ns : 5 * CW_SECOND;
    return config;
}

void cw_nbd_init(struct cw_nbd *server, struct cw_arena *arena, struct cw_uring *uring,
                 const struct cw_nbd_config *config)
{
    memset(server, 0, sizeof *server);
    server->config = with_defaults(*config);
    server->uring = uring;
    server->deadline_ns = CW_NEVER;
    server->listener_count = 2 * server->config.exports_max;
    cw_fsm_init(&server->fsm, "nbd connection", cw_nbd_connection_rows, CW_NBD_STATE_COUNT);
    const uint32_t connections = server->config.connections_max;
    server->connections = cw_arena_take(arena, sizeof(struct cw_nbd_connection) * connections, 64);
    server->exports = cw_arena_take(arena, sizeof(struct cw_nbd_export) * server->config.exports_max, 64);
    server->listeners = cw_arena_take(arena, sizeof(struct cw_nbd_listener) * server->listener_count, 64);
    struct cw_nbd_connection unused;
    for (uint32_t i = 0; i < connections; i++)
        cw_nbd_connection_init(arena->memory ? &server->connections[i] : &unused, server, arena);
}

/* ---- the lists ---- */

void cw_nbd_mark_dirty(struct cw_nbd_connection *connection)
{
    struct cw_nbd *server = connection->server;
    if (connection->is_dirty)
        return;
    connection->is_dirty = true;
    connection->dirty_next = NULL;
    if (server->dirty_last)
        server->dirty_last->dirty_next = connection;
    else
        server->dirty_first = connection;
    server->dirty_last = connection;
}

static struct cw_nbd_connection *pop_dirty(struct cw_nbd *server)
{
    struct cw_nbd_connection *connection = server->dirty_first;
    if (connection == NULL)
        return NULL;
    server->dirty_first = connection->dirty_next;
    if (server->dirty_first == NULL)
        server->dirty_last = NULL;
    connection->is_dirty = false;
    return connection;
}

void cw_nbd_wait_for_room(struct cw_nbd_connection *connection)
{
    struct cw_nbd *server = connection->server;
    if (connection->is_waiting)
        return;
    connection->is_waiting = true;
    if (!server->is_looking_for_stalls)
        server->deadline_ns = 0; /* begin to look at the next time told */
    connection->waiting_next = NULL;
    if (server->waiting_last)
        server->waiting_last->waiting_next = connection;
    else
        server->waiting_first = connection;
    server->waiting_last = connection;
}

void cw_nbd_wait_no_more(struct cw_nbd_connection *connection)
{
    struct cw_nbd *server = connection->server;
    if (!connection->is_waiting)
        return;
    struct cw_nbd_connection *previous = NULL, *at = server->waiting_first;
    while (at != connection) {
        previous = at;
        at = at->waiting_next;
    }
    if (previous)
        previous->waiting_next = at->waiting_next;
    else
        server->waiting_first = at->waiting_next;
    if (server->waiting_last == connection)
        server->waiting_last = previous;
    connection->is_waiting = false;
    server->has_left_waiting = true; /* who stood behind it may have had enough all along */
}

bool cw_nbd_is_anyone_waiting(const struct cw_nbd *server, const struct cw_nbd_export *export)
{
    for (const struct cw_nbd_connection *at = server->waiting_first; at; at = at->waiting_next)
        if (at->export == export && at->waits_for == CW_NBD_FOR_ENGINE)
            return true;
    return false;
}

void cw_nbd_on_room(struct cw_nbd *server)
{
    struct cw_nbd_connection *at = server->waiting_first;
    server->waiting_first = server->waiting_last = NULL;
    server->is_dip_wanted = false;
    for (struct cw_nbd_connection *one = at; one; one = one->waiting_next)
        one->export->is_full = false;
    while (at) {
        struct cw_nbd_connection *next = at->waiting_next;
        at->is_waiting = false;
        if (at->export->is_full || !cw_nbd_connection_retry(at)) {
            at->export->is_full = at->export->is_full || at->waits_for == CW_NBD_FOR_ENGINE;
            if (at->waits_for != CW_NBD_FOR_ITSELF)
                cw_nbd_wait_for_room(at);
        }
        at = next;
    }
}

/* ---- a loop turn ---- */

static void ask_waiting(struct cw_nbd *server)
{
    if (!server->has_left_waiting)
        return;
    server->has_left_waiting = false;
    cw_nbd_on_room(server);
}

bool cw_nbd_flush(struct cw_nbd *server)
{
    server->has_submitted = false;
    ask_waiting(server);
    struct cw_nbd_connection *connection;
    while ((connection = pop_dirty(server)) != NULL) {
        cw_nbd_connection_advance(connection);
        if (server->uring)
            cw_nbd_io_connection(connection);
        ask_waiting(server); /* makes dirty whom it serves; ends, as nothing new arrives here */
    }
    if (server->has_listener_work && server->uring) {
        server->has_listener_work = false;
        for (uint32_t i = 0; i < server->listener_count; i++)
            cw_nbd_io_listener(&server->listeners[i]);
    }
    return server->has_submitted;
}

uint64_t cw_nbd_deadline_ns(const struct cw_nbd *server)
{
    return server->deadline_ns;
}

/* A deadline of 0 begins now. */
static void connection_on_time(struct cw_nbd_connection *connection, uint64_t now_ns)
{
    struct cw_nbd *server = connection->server;
    bool is_handshake = connection->state == CW_NBD_HANDSHAKE;
    if (!is_handshake && connection->state != CW_NBD_FINISHING)
        return;
    if (connection->deadline_ns == 0)
        connection->deadline_ns =
            now_ns + (is_handshake ? server->config.handshake_ns : server->config.finish_ns);
    if (now_ns >= connection->deadline_ns) {
        cw_count(&server->counters[is_handshake ? CW_NBD_HANDSHAKE_LATE : CW_NBD_FINISH_LATE], 1);
        cw_nbd_connection_on_end(connection);
        return;
    }
    server->deadline_ns = CW_MIN(server->deadline_ns, connection->deadline_ns);
}

/* Buffers are short: who has replies and has taken none for a while, or has a WRITE begun and sends nothing
 * of it, gives its own back; sooner if it holds more than its share. */
static void stall_on_time(struct cw_nbd_connection *connection, uint64_t now_ns)
{
    struct cw_nbd *server = connection->server;
    cw_nbd_share_reconsider(connection);
    bool is_its_turn = connection->reply_first != NULL || connection->state == CW_NBD_PAYLOAD;
    uint64_t limit_ns = server->config.stall_ns / (connection->bytes_dipped > 0 ? STALL_PARTS : 1);
    if (!is_its_turn || connection->moves_seen != connection->moves || !server->is_looking_for_stalls) {
        connection->moves_seen = connection->moves;
        connection->moves_seen_ns = now_ns;
    } else if (connection->state != CW_NBD_CLOSING && now_ns - connection->moves_seen_ns >= limit_ns) {
        cw_count(&server->counters[CW_NBD_STALLED], 1);
        cw_nbd_connection_on_end(connection);
    }
}

static void look_for_stalls(struct cw_nbd *server, uint64_t now_ns)
{
    bool is_anyone_waiting = server->waiting_first != NULL;
    for (uint32_t i = 0; i < server->config.connections_max && is_anyone_waiting; i++)
        if (server->connections[i].state != CW_NBD_FREE)
            stall_on_time(&server->connections[i], now_ns);
    server->is_looking_for_stalls = is_anyone_waiting;
    if (is_anyone_waiting)
        server->deadline_ns = CW_MIN(server->deadline_ns, now_ns + server->config.stall_ns / STALL_PARTS / 4);
}

static void listener_on_time(struct cw_nbd_listener *listener, uint64_t now_ns)
{
    if (!listener->is_used || !listener->is_paused)
        return;
    if (listener->pause_until_ns == 0)
        listener->pause_until_ns = now_ns + ACCEPT_PAUSE_NS;
    listener->server->has_listener_work = true;
    if (now_ns >= listener->pause_until_ns)
        listener->is_paused = false;
    else
        listener->server->deadline_ns = CW_MIN(listener->server->deadline_ns, listener->pause_until_ns);
}

void cw_nbd_on_time(struct cw_nbd *server, uint64_t now_ns)
{
    if (now_ns < server->deadline_ns)
        return;
    server->deadline_ns = CW_NEVER;
    for (uint32_t i = 0; i < server->config.connections_max; i++)
        connection_on_time(&server->connections[i], now_ns);
    for (uint32_t i = 0; i < server->listener_count; i++)
        listener_on_time(&server->listeners[i], now_ns);
    look_for_stalls(server, now_ns);
}

/* ---- exports ---- */

static struct cw_nbd_export *find_export(const struct cw_nbd *server, const struct cw_block_volume *volume)
{
    for (uint32_t i = 0; i < server->config.exports_max; i++)
        if (server->exports[i].volume == volume)
            return &server->exports[i];
    return NULL;
}

static struct cw_nbd_listener *find_listener(struct cw_nbd *server, const char *path)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        struct cw_nbd_listener *listener = &server->listeners[i];
        if (listener->is_used && !listener->is_closing && strcmp(listener->listen.path, path) == 0)
            return listener;
    }
    return NULL;
}

void cw_nbd_listener_offers(const struct cw_nbd_listener *listener, struct cw_nbd_offers *offers,
                            struct cw_nbd_export **exports)
{
    struct cw_nbd *server = listener->server;
    offers->count = 0;
    for (uint32_t i = 0; i < server->config.exports_max; i++) {
        struct cw_nbd_export *export = &server->exports[i];
        if (export->volume == NULL || export->listener != listener)
            continue;
        CW_ASSERT(offers->count < CW_NBD_SOCKET_EXPORTS_MAX);
        exports[offers->count] = export;
        offers->offers[offers->count++] = (struct cw_nbd_offer){.name = export->volume->name,
                                                                .description = export->description,
                                                                .size = export->volume->size,
                                                                .block_size = export->volume->block_size};
    }
}

/* A listener for the path: the one there is, or a new one. */
static enum cw_status get_listener(struct cw_nbd *server, const char *path, mode_t mode, gid_t gid,
                                   struct cw_nbd_listener **found, char *why, size_t why_size)
{
    *found = find_listener(server, path);
    if (*found)
        return CW_OK;
    struct cw_nbd_listener *listener = server->listeners;
    while (listener < server->listeners + server->listener_count && listener->is_used)
        listener++;
    if (listener == server->listeners + server->listener_count) {
        snprintf(why, why_size, "all %u sockets are in use or still closing", server->listener_count);
        return CW_NO_SPACE;
    }
    struct cw_nbd_listen listening = {.fd = -1};
    if (server->uring) {
        enum cw_status status = cw_nbd_listen_open(&listening, path, mode, gid, why, why_size);
        if (status != CW_OK)
            return status;
    }
    *listener = (struct cw_nbd_listener){.server = server, .is_used = true, .listen = listening};
    *found = listener;
    return CW_OK;
}

static enum cw_status check_volume(struct cw_nbd *server, const struct cw_block_volume *volume,
                                   const char *path, char *why, size_t why_size)
{
    if (find_export(server, volume)) {
        snprintf(why, why_size, "volume '%s' is exported already, or still closing", volume->name);
        return CW_EXISTS;
    }
    const struct cw_nbd_listener *listener = find_listener(server, path);
    for (uint32_t i = 0; listener && i < server->config.exports_max; i++) {
        const struct cw_nbd_export *export = &server->exports[i];
        if (export->volume && export->listener == listener &&
            strcmp(export->volume->name, volume->name) == 0) {
            snprintf(why, why_size, "a volume named '%s' is already served at '%s'", volume->name, path);
            return CW_EXISTS;
        }
    }
    if (listener && listener->export_count == CW_NBD_SOCKET_EXPORTS_MAX) {
        snprintf(why, why_size, "'%s' serves %u volumes, the most that one socket takes", path,
                 CW_NBD_SOCKET_EXPORTS_MAX);
        return CW_NO_SPACE;
    }
    return CW_OK;
}

enum cw_status cw_nbd_export_add(struct cw_nbd *server, struct cw_block_volume *volume, const char *path,
                                 mode_t mode, gid_t gid, char *why, size_t why_size)
{
    CW_ASSERT(!server->is_stopping);
    CW_ASSERT(volume->block_size >= CW_BLOCK_SIZE_MIN && cw_is_power_of_two(volume->block_size));
    CW_ASSERT(strnlen(volume->name, sizeof volume->name) <= CW_NBD_NAME_BYTES_MAX);
    struct cw_nbd_listener *listener;
    struct cw_nbd_export *export = find_export(server, NULL);
    enum cw_status status = check_volume(server, volume, path, why, why_size);
    if (status != CW_OK)
        return status;
    if (export == NULL) {
        snprintf(why, why_size, "all %u exports are in use or still closing", server->config.exports_max);
        return CW_NO_SPACE;
    }
    status = get_listener(server, path, mode, gid, &listener, why, why_size);
    if (status != CW_OK)
        return status;
    *export = (struct cw_nbd_export){.volume = volume, .listener = listener};
    snprintf(export->description, sizeof export->description, "%s/%s", volume->group, volume->name);
    listener->export_count++;
    server->has_listener_work = true;
    return CW_OK;
}

void cw_nbd_export_settle(struct cw_nbd_export *export)
{
    if (export->listener == NULL && export->connection_count == 0)
        export->volume = NULL;
}

/* No exports left on it: those still shaking hands there can have nothing. */
static void close_listener(struct cw_nbd_listener *listener)
{
    struct cw_nbd *server = listener->server;
    for (uint32_t i = 0; i < server->config.connections_max; i++) {
        struct cw_nbd_connection *connection = &server->connections[i];
        if (connection->state == CW_NBD_HANDSHAKE && connection->listener == listener)
            cw_nbd_connection_on_end(connection);
    }
    listener->is_closing = true;
    server->has_listener_work = true;
    if (server->uring)
        cw_nbd_listen_shut(&listener->listen);
    else
        listener->is_used = false;
}

void cw_nbd_export_remove(struct cw_nbd *server, struct cw_block_volume *volume)
{
    struct cw_nbd_export *export = find_export(server, volume);
    if (export == NULL || export->listener == NULL)
        return;
    struct cw_nbd_listener *listener = export->listener;
    export->listener = NULL;
    for (uint32_t i = 0; i < server->config.connections_max; i++)
        if (server->connections[i].export == export)
            cw_nbd_connection_finish(&server->connections[i]);
    if (--listener->export_count == 0)
        close_listener(listener);
    cw_nbd_export_settle(export);
}

bool cw_nbd_export_is_gone(const struct cw_nbd *server, const struct cw_block_volume *volume)
{
    return find_export(server, volume) == NULL;
}

/* Percent-encodes what a path may hold and a query may not. Returns the new length; stops where room ends. */
static size_t append_encoded(char *uri, size_t at, size_t uri_size, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    static const char digits[] = "0123456789ABCDEF";
    for (; *text != '\0' && at + 4 <= uri_size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (strchr(plain, byte)) {
            uri[at++] = (char)byte;
            continue;
        }
        uri[at++] = '%';
        uri[at++] = digits[byte >> 4];
        uri[at++] = digits[byte & 15];
    }
    uri[at] = '\0';
    return at;
}

void cw_nbd_export_uri(const struct cw_nbd *server, const struct cw_block_volume *volume, char *uri,
                       size_t uri_size)
{
    const struct cw_nbd_export *export = find_export(server, volume);
    CW_ASSERT(uri_size >= CW_NBD_URI_BYTES);
    uri[0] = '\0';
    if (export == NULL || export->listener == NULL)
        return;
    size_t at = (size_t)snprintf(uri, uri_size, "nbd+unix:///");
    at = append_encoded(uri, at, uri_size, volume->name);
    at += (size_t)snprintf(uri + at, uri_size - at, "?socket=");
    append_encoded(uri, at, uri_size, export->listener->listen.path);
}

uint32_t cw_nbd_export_connections(const struct cw_nbd *server, const struct cw_block_volume *volume)
{
    const struct cw_nbd_export *export = find_export(server, volume);
    return export ? export->connection_count : 0;
}

/* ---- the end ---- */

void cw_nbd_stop(struct cw_nbd *server)
{
    server->is_stopping = true;
    for (uint32_t i = 0; i < server->config.exports_max; i++)
        if (server->exports[i].volume)
            cw_nbd_export_remove(server, server->exports[i].volume);
}

bool cw_nbd_is_stopped(const struct cw_nbd *server)
{
    if (!server->is_stopping || server->fsm.census[CW_NBD_FREE] != server->config.connections_max)
        return false;
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].is_used)
            return false;
    return true;
}
