/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"

#define ARENA_BYTES (64u << 20)
#define DATA_BYTES  (8u << 20)
#define TURNS_MAX   100000u

static alignas(4096) uint8_t arena_memory[ARENA_BYTES];
static uint8_t data_memory[DATA_BYTES];
static uint8_t sent_memory[HARNESS_SENT_MAX];

void harness_start(struct harness *h, const struct harness_options *options)
{
    struct cw_arena arena;
    cw_arena_init(&arena, arena_memory, ARENA_BYTES);
    memset(h, 0, sizeof *h);
    bool has_data = options->size <= DATA_BYTES;
    if (has_data)
        memset(data_memory, 0, options->size);
    h->sent = sent_memory;
    h->now_ns = CW_SECOND;
    cw_memory_init(&h->memory, &arena, has_data ? data_memory : NULL, options->size, options->block_size,
                   options->slices);
    const struct cw_nbd_config config = {.connections_max = options->connections_max,
                                         .export_connections_max = options->connections_max,
                                         .requests_max = options->requests_max,
                                         .exports_max = 4};
    cw_nbd_init(&h->server, &arena, NULL, &config);
    char why[256];
    enum cw_status status =
        cw_nbd_export_add(&h->server, &h->memory.volume, "/none", 0600, (gid_t)-1, why, sizeof why);
    CW_ASSERT(status == CW_OK);
}

struct cw_nbd_connection *harness_connect(struct harness *h)
{
    struct cw_nbd_listener *listener = NULL;
    for (uint32_t i = 0; i < h->server.listener_count; i++)
        if (h->server.listeners[i].is_used)
            listener = &h->server.listeners[i];
    h->connection = NULL;
    h->sent_length = 0;
    for (uint32_t i = 0; i < h->server.config.connections_max && listener && !h->connection; i++)
        if (h->server.connections[i].state == CW_NBD_FREE)
            h->connection = &h->server.connections[i];
    if (h->connection)
        cw_nbd_connection_open(h->connection, listener);
    return h->connection;
}

static size_t scatter(const struct iovec *pieces, uint32_t used, const uint8_t *bytes, size_t length)
{
    size_t done = 0;
    for (uint32_t i = 0; i < used && done < length; i++) {
        size_t piece = CW_MIN(pieces[i].iov_len, length - done);
        memcpy(pieces[i].iov_base, bytes + done, piece);
        done += piece;
    }
    return done;
}

size_t harness_feed(struct harness *h, const uint8_t *bytes, size_t length, size_t piece_max)
{
    size_t done = 0;
    struct iovec pieces[CW_NBD_RECEIVE_IOVECS];
    while (done < length && h->connection->state != CW_NBD_FREE) {
        uint32_t used = cw_nbd_connection_receive_window(h->connection, pieces);
        size_t taken = scatter(pieces, used, bytes + done, CW_MIN(length - done, piece_max));
        if (taken == 0)
            break;
        done += taken;
        cw_nbd_connection_on_bytes(h->connection, taken);
    }
    return done;
}

/* Sends everything of one connection; what the current one sends is kept as far as there is room. */
static void send_all(struct harness *h, struct cw_nbd_connection *connection, size_t piece_max)
{
    struct iovec pieces[CW_NBD_TRANSMIT_IOVECS];
    uint32_t used;
    if (h->deaf >> (connection - h->server.connections) & 1)
        return;
    while ((used = cw_nbd_connection_transmit_window(connection, pieces)) > 0) {
        CW_ASSERT(used <= CW_NBD_TRANSMIT_IOVECS);
        size_t piece = CW_MIN(pieces[0].iov_len, piece_max);
        CW_ASSERT(piece > 0);
        if (connection == h->connection && piece <= HARNESS_SENT_MAX - h->sent_length) {
            memcpy(h->sent + h->sent_length, pieces[0].iov_base, piece);
            h->sent_length += piece;
        }
        cw_nbd_connection_on_sent(connection, piece);
    }
}

void harness_turn(struct harness *h, size_t piece_max)
{
    cw_nbd_on_time(&h->server, h->now_ns);
    cw_nbd_flush(&h->server);
    for (uint32_t i = 0; i < h->server.config.connections_max; i++)
        send_all(h, &h->server.connections[i], piece_max);
    if (cw_memory_room_again(&h->memory))
        cw_nbd_on_room(&h->server);
    cw_nbd_flush(&h->server);
    for (uint32_t i = 0; i < h->server.config.connections_max; i++) {
        CW_ASSERT(cw_nbd_connection_valid(&h->server.connections[i]));
        if (cw_nbd_connection_is_over(&h->server.connections[i]))
            cw_nbd_connection_free(&h->server.connections[i]);
    }
}

void harness_hang_up(struct harness *h)
{
    if (h->connection && h->connection->state != CW_NBD_FREE)
        cw_nbd_connection_on_end(h->connection);
}

void harness_stop(struct harness *h)
{
    h->deaf = 0;
    cw_nbd_stop(&h->server);
    for (uint32_t turn = 0; turn < TURNS_MAX && !cw_nbd_is_stopped(&h->server); turn++) {
        cw_memory_complete(&h->memory, CW_MEMORY_PENDING_MAX, 0, CW_SHUTDOWN);
        harness_turn(h, SIZE_MAX);
    }
    CW_ASSERT(cw_nbd_is_stopped(&h->server));
    CW_ASSERT(cw_nbd_export_is_gone(&h->server, &h->memory.volume));
    CW_ASSERT(h->memory.outstanding == 0);
    CW_ASSERT(h->memory.slices_out == 0 && "every buffer came back");
    CW_ASSERT(h->server.waiting_first == NULL);
}

size_t harness_put_option(uint8_t *to, uint32_t option, const void *data, uint32_t length)
{
    cw_store64be(to, CW_NBD_MAGIC_OPTION);
    cw_store32be(to + 8, option);
    cw_store32be(to + 12, length);
    if (length > 0)
        memcpy(to + CW_NBD_OPTION_HEADER_BYTES, data, length);
    return CW_NBD_OPTION_HEADER_BYTES + length;
}

size_t harness_put_go(uint8_t *to, uint32_t option, const char *name)
{
    uint8_t data[512];
    uint32_t length = (uint32_t)strlen(name);
    CW_ASSERT(length <= sizeof data - 6);
    cw_store32be(data, length);
    memcpy(data + 4, name, length);
    cw_store16be(data + 4 + length, 0);
    return harness_put_option(to, option, data, 6 + length);
}

size_t harness_put_request(uint8_t *to, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset,
                           uint32_t length)
{
    cw_store32be(to, CW_NBD_MAGIC_REQUEST);
    cw_store16be(to + 4, flags);
    cw_store16be(to + 6, type);
    cw_store64be(to + 8, cookie);
    cw_store64be(to + 16, offset);
    cw_store32be(to + 24, length);
    return CW_NBD_REQUEST_BYTES;
}

void harness_negotiate(struct harness *h, bool is_structured)
{
    static const uint8_t context[] = "\0\0\0\0\0\0\0\1\0\0\0\17base:allocation";
    uint8_t bytes[1024];
    size_t length = 4;
    cw_store32be(bytes, CW_NBD_FLAG_FIXED_NEWSTYLE | CW_NBD_FLAG_NO_ZEROES);
    if (is_structured) {
        length += harness_put_option(bytes + length, CW_NBD_OPT_STRUCTURED_REPLY, NULL, 0);
        length +=
            harness_put_option(bytes + length, CW_NBD_OPT_SET_META_CONTEXT, context, sizeof context - 1);
    }
    length += harness_put_go(bytes + length, CW_NBD_OPT_GO, "");
    for (size_t done = 0; done < length;) {
        done += harness_feed(h, bytes + done, length - done, SIZE_MAX);
        harness_turn(h, SIZE_MAX);
    }
    CW_ASSERT(h->connection->state == CW_NBD_HEADER);
    h->sent_length = 0;
}
