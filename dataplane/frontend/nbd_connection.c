/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes of a client are parsed where they were received. A payload that came along with its header is copied
 * from the receive buffer to its pool slices (small ones, that copy is the private one); what has not come
 * yet is received into the slices. After a large payload only a header is asked for next, so that a stream
 * of large writes is never copied here.
 *
 * Back-pressure is not reading: without a slot, buffers or room the receive window is empty, and the
 * client's own socket fills up. A command is looked at only when there is a slot to answer it from.
 */
#include "frontend/nbd_connection.h"

#include <string.h>

#include "base/numbers.h"
#include "frontend/nbd_request.h"
#include "frontend/nbd_share.h"

#define ENDINGS (CW_TO(CW_NBD_FINISHING) | CW_TO(CW_NBD_CLOSING))

const struct cw_fsm_row cw_nbd_connection_rows[CW_NBD_STATE_COUNT] = {
    [CW_NBD_FREE] = {"free", CW_TO(CW_NBD_HANDSHAKE)},
    [CW_NBD_HANDSHAKE] = {"handshake", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_HEADER] = {"header", CW_TO(CW_NBD_PAYLOAD) | CW_TO(CW_NBD_DRAIN) | CW_TO(CW_NBD_WAIT_BUFFERS) |
                                     CW_TO(CW_NBD_WAIT_ROOM) | CW_TO(CW_NBD_WAIT_SLOT) | ENDINGS},
    [CW_NBD_PAYLOAD] = {"payload", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_DRAIN] = {"drain", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_WAIT_BUFFERS] = {"wait_buffers", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_WAIT_ROOM] = {"wait_room", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_WAIT_SLOT] = {"wait_slot", CW_TO(CW_NBD_HEADER) | ENDINGS},
    [CW_NBD_FINISHING] = {"finishing", CW_TO(CW_NBD_CLOSING)},
    [CW_NBD_CLOSING] = {"closing", CW_TO(CW_NBD_FREE)},
};

static void move(struct cw_nbd_connection *connection, enum cw_nbd_connection_state to)
{
    cw_fsm_move(&connection->server->fsm, &connection->state, to);
}

static void count(struct cw_nbd_connection *connection, unsigned which)
{
    cw_count(&connection->server->counters[which], 1);
}

/* ---- life ---- */

void cw_nbd_connection_init(struct cw_nbd_connection *connection, struct cw_nbd *server,
                            struct cw_arena *arena)
{
    uint8_t *buffer = cw_arena_take_untouched(arena, CW_NBD_BUFFER_BYTES, 4096);
    uint8_t *out = cw_arena_take_untouched(arena, CW_NBD_OUT_BYTES, 64);
    struct cw_nbd_request *requests = cw_arena_take_untouched(
        arena, sizeof *requests * server->config.requests_max, alignof(struct cw_nbd_request));
    if (!arena->memory)
        return;
    *connection = (struct cw_nbd_connection){
        .server = server, .buffer = buffer, .out = out, .requests = requests, .fd = -1};
    cw_fsm_enter(&server->fsm, &connection->state, CW_NBD_FREE);
}

/* At the next time told, the deadline is set. */
static void ask_for_deadline(struct cw_nbd_connection *connection)
{
    connection->deadline_ns = 0;
    connection->server->deadline_ns = 0;
}

void cw_nbd_connection_open(struct cw_nbd_connection *connection, struct cw_nbd_listener *listener)
{
    CW_ASSERT(connection->state == CW_NBD_FREE);
    CW_ASSERT(connection->used == 0);
    connection->listener = listener;
    connection->export = NULL;
    connection->terms = (struct cw_nbd_terms){0};
    connection->was_large = connection->is_quiet = false;
    connection->head = connection->tail = 0;
    connection->reply_sent = 0;
    CW_ASSERT(connection->bytes_held == 0);
    CW_ASSERT(connection->bytes_owed == 0);
    connection->moves = connection->moves_seen = 0;
    connection->out_sent = connection->out_length = 0;
    struct cw_nbd_out out = {.bytes = connection->out, .capacity = CW_NBD_OUT_BYTES};
    cw_nbd_handshake_init(&connection->handshake, &out);
    connection->out_length = (uint32_t)out.length;
    move(connection, CW_NBD_HANDSHAKE);
    ask_for_deadline(connection);
    cw_nbd_mark_dirty(connection);
}

bool cw_nbd_connection_valid(const struct cw_nbd_connection *connection)
{
    if (connection->head > connection->tail || connection->tail > CW_NBD_BUFFER_BYTES)
        return false;
    if (connection->out_sent > connection->out_length || connection->out_length > CW_NBD_OUT_BYTES)
        return false;
    if (connection->used > connection->server->config.requests_max)
        return false;
    if ((connection->reply_first == NULL) != (connection->reply_last == NULL))
        return false;
    bool is_current_needed = connection->state == CW_NBD_PAYLOAD || connection->state == CW_NBD_DRAIN ||
                             connection->state == CW_NBD_WAIT_BUFFERS ||
                             connection->state == CW_NBD_WAIT_ROOM;
    if (is_current_needed && connection->current == NULL)
        return false;
    return connection->state != CW_NBD_FREE || (connection->used == 0 && connection->export == NULL);
}

bool cw_nbd_connection_is_over(const struct cw_nbd_connection *connection)
{
    return connection->state == CW_NBD_CLOSING && connection->used == 0 && !connection->is_receiving &&
           !connection->is_sending && !connection->is_watching;
}

void cw_nbd_connection_free(struct cw_nbd_connection *connection)
{
    CW_ASSERT(cw_nbd_connection_is_over(connection));
    CW_ASSERT(!connection->is_waiting);
    if (connection->export) {
        connection->export->connection_count--;
        cw_nbd_export_settle(connection->export);
    }
    connection->export = NULL;
    connection->listener = NULL;
    move(connection, CW_NBD_FREE);
    count(connection, CW_NBD_CLOSED);
}

/* ---- the end ---- */

void cw_nbd_connection_on_end(struct cw_nbd_connection *connection)
{
    cw_nbd_mark_dirty(connection);
    if (connection->state == CW_NBD_CLOSING)
        return;
    CW_ASSERT(connection->state != CW_NBD_FREE);
    if (connection->used > 0)
        count(connection, CW_NBD_LOST);
    cw_nbd_wait_no_more(connection);
    move(connection, CW_NBD_CLOSING);
}

void cw_nbd_connection_finish(struct cw_nbd_connection *connection)
{
    if (connection->state == CW_NBD_FINISHING || connection->state == CW_NBD_CLOSING)
        return;
    bool is_waiting = connection->state == CW_NBD_WAIT_BUFFERS || connection->state == CW_NBD_WAIT_ROOM;
    struct cw_nbd_request *parted = connection->parted_first, *current = connection->current;
    move(connection, CW_NBD_FINISHING);
    cw_nbd_wait_no_more(connection);
    ask_for_deadline(connection);
    cw_nbd_mark_dirty(connection);
    connection->parted_first = NULL;
    while (parted) {
        struct cw_nbd_request *next = parted->next;
        cw_nbd_request_reply(parted, CW_SHUTDOWN);
        parted = next;
    }
    if (is_waiting) {
        connection->current = NULL;
        cw_nbd_request_reply(current, CW_SHUTDOWN);
    }
}

/* With nothing in the ring borrowing its memory, a closing connection drops what it still holds. */
static void drop_all(struct cw_nbd_connection *connection)
{
    if (connection->current)
        cw_nbd_request_release(connection->current);
    connection->current = NULL;
    while (connection->reply_first) {
        struct cw_nbd_request *request = connection->reply_first;
        connection->reply_first = request->next;
        cw_nbd_request_release(request);
    }
    connection->reply_last = NULL;
    while (connection->parted_first) {
        struct cw_nbd_request *request = connection->parted_first;
        connection->parted_first = request->next;
        cw_nbd_request_release(request);
    }
}

static void settle(struct cw_nbd_connection *connection)
{
    if (connection->state == CW_NBD_FINISHING && !connection->is_sending &&
        connection->out_sent == connection->out_length && connection->used == (connection->current ? 1 : 0)) {
        cw_nbd_wait_no_more(connection);
        move(connection, CW_NBD_CLOSING);
    }
    if (connection->state == CW_NBD_CLOSING && !connection->is_receiving && !connection->is_sending)
        drop_all(connection);
}

/* ---- handshake ---- */

static void enter_transmission(struct cw_nbd_connection *connection, struct cw_nbd_export *export)
{
    if (export->connection_count >= connection->server->config.export_connections_max) {
        count(connection, CW_NBD_REFUSED_FULL);
        cw_nbd_connection_on_end(connection);
        return;
    }
    export->connection_count++;
    connection->export = export;
    connection->listener = NULL;
    connection->deadline_ns = CW_NEVER;
    connection->terms = (struct cw_nbd_terms){.size = export->volume->size,
                                              .block_size = export->volume->block_size,
                                              .is_structured = connection->handshake.is_structured,
                                              .has_context = connection->handshake.has_context};
    move(connection, CW_NBD_HEADER);
}

static bool step_handshake(struct cw_nbd_connection *connection)
{
    if (CW_NBD_OUT_BYTES - connection->out_length < CW_NBD_ANSWER_BYTES_MAX)
        return false; /* goes on when the answers have been sent */
    struct cw_nbd_offers offers;
    struct cw_nbd_export *exports[CW_NBD_SOCKET_EXPORTS_MAX];
    cw_nbd_listener_offers(connection->listener, &offers, exports);
    struct cw_nbd_out out = {
        .bytes = connection->out, .length = connection->out_length, .capacity = CW_NBD_OUT_BYTES};
    size_t consumed;
    enum cw_nbd_handshake_result result =
        cw_nbd_handshake_step(&connection->handshake, &offers, connection->buffer + connection->head,
                              connection->tail - connection->head, &consumed, &out);
    connection->head += (uint32_t)consumed;
    connection->out_length = (uint32_t)out.length;
    switch (result) {
    case CW_NBD_HANDSHAKE_MORE:
        return false;
    case CW_NBD_HANDSHAKE_MOVED:
        ask_for_deadline(connection);
        return true;
    case CW_NBD_HANDSHAKE_CHOSEN:
        enter_transmission(connection, exports[connection->handshake.chosen]);
        return true;
    case CW_NBD_HANDSHAKE_CLOSE:
        cw_nbd_connection_finish(connection);
        return false;
    case CW_NBD_HANDSHAKE_BROKEN:
        break;
    }
    count(connection, CW_NBD_HANDSHAKE_BROKEN_COUNT);
    cw_nbd_connection_on_end(connection);
    return false;
}

/* ---- requests ---- */

static void wait_for_engine(struct cw_nbd_connection *connection)
{
    connection->waits_for = CW_NBD_FOR_ENGINE;
    cw_nbd_wait_for_room(connection);
}

/* `current` has all it needs: the engine's now, or waiting for room. */
static void submit_current(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request = connection->current;
    connection->current = NULL;
    if (connection->state != CW_NBD_HEADER)
        move(connection, CW_NBD_HEADER);
    if (request->command.type == CW_NBD_CMD_WRITE)
        cw_nbd_share_settle(request); /* all of it has come: the client can do no more for it */
    enum cw_status status = cw_nbd_request_submit(request);
    if (status == CW_AGAIN) {
        connection->current = request;
        move(connection, CW_NBD_WAIT_ROOM);
        count(connection, CW_NBD_WAITS_ROOM);
        wait_for_engine(connection);
    } else if (status != CW_OK) {
        cw_nbd_request_reply(request, status);
    }
}

/* Copies what has come of the payload with its header: never more than the first slice holds. */
static void copy_payload(struct cw_nbd_connection *connection)
{
    static_assert(CW_NBD_BUFFER_BYTES <= CW_RECORD_PAYLOAD_MAX, "all slices but the last are that long");
    const struct cw_slice *first = &connection->current->block.slices[0];
    uint32_t here = CW_MIN(connection->tail - connection->head, connection->current->command.length);
    CW_ASSERT(here <= first->length);
    memcpy(first->data, connection->buffer + connection->head, here);
    connection->head += here;
    connection->payload_done = here;
}

/* `current` has its buffers: READ goes on to the engine, WRITE when its data is here. */
static void continue_with_buffers(struct cw_nbd_connection *connection)
{
    const struct cw_nbd_command *command = &connection->current->command;
    if (command->type == CW_NBD_CMD_WRITE) {
        connection->was_large = command->length >= CW_NBD_LARGE_PAYLOAD;
        copy_payload(connection);
        if (connection->payload_done < command->length) {
            move(connection, CW_NBD_PAYLOAD);
            return;
        }
    }
    submit_current(connection);
}

static void refuse(struct cw_nbd_connection *connection, struct cw_nbd_verdict verdict)
{
    struct cw_nbd_request *request = connection->current;
    const struct cw_nbd_command *command = &request->command;
    cw_nbd_request_encode(request, verdict.error, verdict.why);
    if (command->type == CW_NBD_CMD_WRITE && command->length > 0 && !verdict.is_fatal) {
        connection->drain_left = command->length;
        move(connection, CW_NBD_DRAIN);
        return;
    }
    connection->current = NULL;
    cw_nbd_request_queue(request);
    if (verdict.is_fatal) {
        count(connection, CW_NBD_TOO_LONG);
        cw_nbd_connection_finish(connection);
    }
}

/* In HEADER: `current` asks for buffers. False: none now, and nothing has changed. */
static bool start_data(struct cw_nbd_connection *connection)
{
    enum cw_status status = cw_nbd_request_buffers(connection->current);
    if (status == CW_AGAIN)
        return false;
    if (status == CW_OK)
        continue_with_buffers(connection);
    else
        refuse(connection,
               (struct cw_nbd_verdict){.error = cw_nbd_error_of(status), .why = cw_status_name(status)});
    return true;
}

/* Nobody overtakes those whom the engine lets wait for the same volume. */
static bool try_data(struct cw_nbd_connection *connection)
{
    if (!cw_nbd_is_anyone_waiting(connection->server, connection->export))
        return start_data(connection);
    connection->waits_for = CW_NBD_FOR_ENGINE;
    return false;
}

static void wait_for_buffers(struct cw_nbd_connection *connection)
{
    move(connection, CW_NBD_WAIT_BUFFERS);
    if (connection->waits_for != CW_NBD_FOR_ITSELF)
        cw_nbd_wait_for_room(connection);
}

static void begin_data(struct cw_nbd_connection *connection)
{
    if (try_data(connection))
        return;
    wait_for_buffers(connection);
    count(connection, connection->waits_for == CW_NBD_FOR_ITSELF ? CW_NBD_WAITS_SHARE : CW_NBD_WAITS_BUFFERS);
}

/* One extent of the map; what is no whole number of blocks counts as data. */
static struct cw_nbd_extent next_extent(struct cw_block_volume *volume, uint64_t offset, uint64_t length)
{
    bool is_zero = false;
    uint64_t run = volume->ops->extent(volume, offset, length, &is_zero);
    CW_ASSERT(run > 0);
    CW_ASSERT(run <= length);
    uint64_t whole = is_zero ? run - run % volume->block_size : cw_round_up(run, volume->block_size);
    if (whole == 0) {
        whole = volume->block_size;
        is_zero = false;
    }
    return (struct cw_nbd_extent){.length = (uint32_t)CW_MIN(whole, length),
                                  .state = is_zero ? CW_NBD_STATE_HOLE | CW_NBD_STATE_ZERO : 0};
}

static void answer_status(struct cw_nbd_connection *connection, struct cw_nbd_request *request)
{
    const struct cw_nbd_command *command = &request->command;
    struct cw_nbd_extent extents[CW_NBD_EXTENTS_MAX];
    uint32_t max = command->flags & CW_NBD_CMD_FLAG_REQ_ONE ? 1 : CW_NBD_EXTENTS_MAX;
    uint32_t extent_count = 0;
    uint64_t offset = command->offset, left = command->length;
    while (left > 0) {
        struct cw_nbd_extent extent = next_extent(connection->export->volume, offset, left);
        offset += extent.length;
        left -= extent.length;
        if (extent_count > 0 && extents[extent_count - 1].state == extent.state)
            extents[extent_count - 1].length += extent.length;
        else if (extent_count < max)
            extents[extent_count++] = extent;
        else
            break;
    }
    count(connection, CW_NBD_STATUSES);
    request->head_length = cw_nbd_reply_status(request->head, command->cookie, extents, extent_count);
    cw_nbd_request_queue(request);
}

static void answer_at_once(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request = connection->current;
    connection->current = NULL;
    cw_nbd_request_reply(request, CW_OK);
}

/* A command has come and has a slot. */
static void begin(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request = connection->current;
    const struct cw_nbd_command *command = &request->command;
    connection->was_large = false;
    struct cw_nbd_verdict verdict = cw_nbd_command_check(command, &connection->terms);
    if (verdict.error != 0) {
        refuse(connection, verdict);
        return;
    }
    switch (command->type) {
    case CW_NBD_CMD_READ:
    case CW_NBD_CMD_WRITE:
        if (command->length > 0)
            begin_data(connection);
        else
            answer_at_once(connection);
        return;
    case CW_NBD_CMD_TRIM:
    case CW_NBD_CMD_WRITE_ZEROES:
        if (command->length > 0)
            submit_current(connection);
        else
            answer_at_once(connection);
        return;
    case CW_NBD_CMD_FLUSH:
        submit_current(connection);
        return;
    case CW_NBD_CMD_CACHE:
        answer_at_once(connection);
        return;
    case CW_NBD_CMD_BLOCK_STATUS:
        connection->current = NULL;
        answer_status(connection, request);
        return;
    case CW_NBD_CMD_DISC:
        connection->current = NULL;
        cw_nbd_request_release(request);
        cw_nbd_connection_finish(connection);
        return;
    }
}

/* Would this one make it hold more data than it may? One request is always let in. */
static bool is_over_its_share(const struct cw_nbd_connection *connection,
                              const struct cw_nbd_command *command)
{
    if (command->type != CW_NBD_CMD_READ && command->type != CW_NBD_CMD_WRITE)
        return false;
    return connection->bytes_held > 0 &&
           connection->bytes_held + command->length > connection->server->config.bytes_max;
}

static bool step_header(struct cw_nbd_connection *connection)
{
    if (connection->tail - connection->head < CW_NBD_REQUEST_BYTES)
        return false;
    struct cw_nbd_command command;
    if (!cw_nbd_command_decode(connection->buffer + connection->head, &command)) {
        count(connection, CW_NBD_BAD_MAGIC);
        cw_nbd_connection_on_end(connection);
        return false;
    }
    struct cw_nbd_request *request =
        is_over_its_share(connection, &command) ? NULL : cw_nbd_request_take(connection);
    if (request == NULL) {
        move(connection, CW_NBD_WAIT_SLOT);
        count(connection, CW_NBD_WAITS_SLOT);
        return false;
    }
    connection->head += CW_NBD_REQUEST_BYTES;
    request->command = command;
    connection->current = request;
    begin(connection);
    return true;
}

static bool step_payload(struct cw_nbd_connection *connection)
{
    if (connection->payload_done < connection->current->command.length)
        return false;
    submit_current(connection);
    return true;
}

static bool step_drain(struct cw_nbd_connection *connection)
{
    uint32_t here = CW_MIN(connection->tail - connection->head, connection->drain_left);
    connection->head += here;
    connection->drain_left -= here;
    if (connection->drain_left > 0)
        return false;
    struct cw_nbd_request *request = connection->current;
    connection->current = NULL;
    move(connection, CW_NBD_HEADER);
    cw_nbd_request_queue(request);
    return true;
}

/* True when something was done and more may be possible. Each step consumes bytes or leaves its state. */
static bool step(struct cw_nbd_connection *connection)
{
    switch (connection->state) {
    case CW_NBD_HANDSHAKE:
        return step_handshake(connection);
    case CW_NBD_HEADER:
        return step_header(connection);
    case CW_NBD_PAYLOAD:
        return step_payload(connection);
    case CW_NBD_DRAIN:
        return step_drain(connection);
    default:
        return false;
    }
}

void cw_nbd_connection_advance(struct cw_nbd_connection *connection)
{
    if (connection->parted_first && !connection->is_waiting && !cw_nbd_requests_submit_parted(connection))
        wait_for_engine(connection);
    if (connection->state == CW_NBD_WAIT_BUFFERS && !connection->is_waiting) {
        move(connection, CW_NBD_HEADER);
        if (!try_data(connection))
            wait_for_buffers(connection);
    }
    if (connection->state == CW_NBD_WAIT_SLOT && cw_nbd_request_is_free(connection))
        move(connection, CW_NBD_HEADER);
    while (step(connection)) {
    }
    settle(connection);
    CW_ASSERT(cw_nbd_connection_valid(connection));
}

bool cw_nbd_connection_retry(struct cw_nbd_connection *connection)
{
    CW_ASSERT(!connection->is_waiting && "taken off the list for this attempt");
    cw_nbd_mark_dirty(connection); /* the rest of its buffer is parsed in the next flush */
    connection->waits_for = CW_NBD_FOR_ENGINE;
    if (!cw_nbd_requests_submit_parted(connection))
        return false;
    if (connection->state == CW_NBD_WAIT_BUFFERS) {
        move(connection, CW_NBD_HEADER);
        if (!start_data(connection)) {
            move(connection, CW_NBD_WAIT_BUFFERS);
            return false;
        }
    } else if (connection->state == CW_NBD_WAIT_ROOM) {
        submit_current(connection);
    }
    return connection->state != CW_NBD_WAIT_ROOM;
}

/* ---- receiving ---- */

/* Moves what is not consumed to the front of the buffer: less than one request or option. */
static void compact(struct cw_nbd_connection *connection)
{
    if (connection->head == 0)
        return;
    uint32_t length = connection->tail - connection->head;
    memmove(connection->buffer, connection->buffer + connection->head, length);
    connection->head = 0;
    connection->tail = length;
}

static uint32_t payload_window(struct cw_nbd_connection *connection, struct iovec *pieces)
{
    struct cw_block_request *block = &connection->current->block;
    uint32_t used = 0;
    uint32_t at = connection->payload_done % CW_RECORD_PAYLOAD_MAX;
    for (uint32_t i = connection->payload_done / CW_RECORD_PAYLOAD_MAX; i < block->slice_count; i++) {
        pieces[used++] =
            (struct iovec){.iov_base = block->slices[i].data + at, .iov_len = block->slices[i].length - at};
        at = 0;
    }
    return used;
}

uint32_t cw_nbd_connection_receive_window(struct cw_nbd_connection *connection, struct iovec *pieces)
{
    uint32_t used = 0, wanted = CW_NBD_BUFFER_BYTES;
    switch (connection->state) {
    case CW_NBD_HANDSHAKE:
    case CW_NBD_DRAIN:
        break;
    case CW_NBD_HEADER:
        if (connection->was_large)
            wanted = CW_NBD_REQUEST_BYTES;
        break;
    case CW_NBD_PAYLOAD:
        used = payload_window(connection, pieces);
        if (connection->was_large)
            wanted = CW_NBD_REQUEST_BYTES;
        break;
    default:
        return 0;
    }
    compact(connection);
    if (connection->tail >= wanted)
        return 0; /* options sent ahead of our answers fill the buffer: read on when those are sent */
    pieces[used++] = (struct iovec){.iov_base = connection->buffer + connection->tail,
                                    .iov_len = wanted - connection->tail};
    return used;
}

void cw_nbd_connection_on_bytes(struct cw_nbd_connection *connection, size_t received)
{
    CW_ASSERT(received > 0);
    cw_nbd_mark_dirty(connection);
    connection->moves++;
    if (connection->state == CW_NBD_PAYLOAD) {
        size_t missing = connection->current->command.length - connection->payload_done;
        size_t direct = CW_MIN(received, missing);
        connection->payload_done += (uint32_t)direct;
        received -= direct;
    }
    if (connection->state != CW_NBD_FINISHING && connection->state != CW_NBD_CLOSING) {
        CW_ASSERT(received <= CW_NBD_BUFFER_BYTES - connection->tail);
        connection->tail += (uint32_t)received;
    }
    cw_nbd_connection_advance(connection);
}

/* ---- sending ---- */

/* Appends a piece less the first *skip bytes of it. */
static uint32_t add_piece(struct iovec *pieces, uint32_t used, uint8_t *data, size_t length, size_t *skip)
{
    size_t skipped = CW_MIN(*skip, length);
    *skip -= skipped;
    if (skipped == length)
        return used;
    pieces[used] = (struct iovec){.iov_base = data + skipped, .iov_len = length - skipped};
    return used + 1;
}

uint32_t cw_nbd_connection_transmit_window(struct cw_nbd_connection *connection, struct iovec *pieces)
{
    if (connection->state == CW_NBD_FREE || connection->state == CW_NBD_CLOSING)
        return 0;
    size_t skip = connection->out_sent, bytes = 0;
    uint32_t used = add_piece(pieces, 0, connection->out, connection->out_length, &skip);
    skip = connection->reply_sent;
    for (struct cw_nbd_request *request = connection->reply_first; request; request = request->next) {
        uint32_t slices = request->has_data ? request->block.slice_count : 0;
        if (used + 1 + slices > CW_NBD_TRANSMIT_IOVECS || bytes >= CW_NBD_TRANSMIT_BYTES)
            break;
        used = add_piece(pieces, used, request->head, request->head_length, &skip);
        for (uint32_t i = 0; i < slices; i++)
            used = add_piece(pieces, used, request->block.slices[i].data, request->block.slices[i].length,
                             &skip);
        bytes += cw_nbd_request_reply_bytes(request);
    }
    return used;
}

void cw_nbd_connection_on_sent(struct cw_nbd_connection *connection, size_t sent)
{
    cw_nbd_mark_dirty(connection);
    if (connection->state == CW_NBD_CLOSING)
        return;
    connection->moves++;
    size_t answers = CW_MIN(sent, connection->out_length - connection->out_sent);
    connection->out_sent += (uint32_t)answers;
    if (connection->out_sent == connection->out_length)
        connection->out_sent = connection->out_length = 0;
    connection->reply_sent += sent - answers;
    while (connection->reply_first) {
        struct cw_nbd_request *request = connection->reply_first;
        size_t bytes = cw_nbd_request_reply_bytes(request);
        if (connection->reply_sent < bytes)
            break;
        connection->reply_sent -= bytes;
        connection->reply_first = request->next;
        if (connection->reply_first == NULL)
            connection->reply_last = NULL;
        cw_nbd_request_release(request);
    }
    CW_ASSERT(connection->reply_sent == 0 || connection->reply_first != NULL);
}
