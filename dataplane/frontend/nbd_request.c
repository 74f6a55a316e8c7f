/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TRIM and WRITE_ZEROES may be nearly 4 GiB long and records are at most CW_RECORD_EXTENT_MAX: such a
 * request goes to the engine part after part in the same slot. Not all parts at once, which would need
 * several slots for what is rare; and the next part is submitted in the next flush, never from inside a
 * completion, so that the engine is not entered again from its own walk. FUA rides on the last part only:
 * durable is everything up to it.
 */
#include "frontend/nbd_request.h"

#include "base/numbers.h"
#include "frontend/nbd_share.h"

bool cw_nbd_request_is_free(const struct cw_nbd_connection *connection)
{
    return connection->free_first != NULL || connection->fresh < connection->server->config.requests_max;
}

/* A slot that was used before goes first: few clients need many. */
static struct cw_nbd_request *pop_free(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request = connection->free_first;
    CW_ASSERT(request == NULL || request->state == CW_NBD_REQUEST_FREE);
    if (request != NULL)
        connection->free_first = request->next;
    else if (connection->fresh < connection->server->config.requests_max)
        request = &connection->requests[connection->fresh++];
    return request;
}

struct cw_nbd_request *cw_nbd_request_take(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request = pop_free(connection);
    if (request == NULL)
        return NULL;
    connection->used++;
    request->connection = connection;
    request->next = NULL;
    request->state = CW_NBD_REQUEST_ARRIVING;
    request->has_buffers = false;
    request->has_data = false;
    request->left = 0;
    request->charged = request->owed = 0;
    return request;
}

static const struct cw_block_ops *ops_of(const struct cw_nbd_request *request)
{
    return request->connection->export->volume->ops;
}

static void give_buffers(struct cw_nbd_request *request)
{
    if (!request->has_buffers)
        return;
    ops_of(request)->buffers_give(request->connection->export->volume, &request->block);
    request->has_buffers = false;
    request->has_data = false;
}

void cw_nbd_request_release(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    CW_ASSERT(request->state != CW_NBD_REQUEST_FREE);
    CW_ASSERT(request->state != CW_NBD_REQUEST_SUBMITTED);
    CW_ASSERT(connection->used > 0);
    CW_ASSERT(connection->bytes_held >= request->charged);
    give_buffers(request);
    cw_nbd_share_settle(request);
    connection->bytes_held -= request->charged;
    request->state = CW_NBD_REQUEST_FREE;
    request->next = connection->free_first;
    connection->free_first = request;
    connection->used--;
}

static uint8_t block_op_of(uint16_t command_type)
{
    switch (command_type) {
    case CW_NBD_CMD_READ:
        return CW_BLOCK_READ;
    case CW_NBD_CMD_WRITE:
        return CW_BLOCK_WRITE;
    case CW_NBD_CMD_TRIM:
        return CW_BLOCK_DISCARD;
    case CW_NBD_CMD_WRITE_ZEROES:
        return CW_BLOCK_ZEROES;
    default:
        CW_ASSERT(command_type == CW_NBD_CMD_FLUSH && "the others do not reach the engine");
        return CW_BLOCK_FLUSH;
    }
}

enum cw_status cw_nbd_request_buffers(struct cw_nbd_request *request)
{
    CW_ASSERT(!request->has_buffers);
    CW_ASSERT(request->command.length > 0);
    request->block.op = block_op_of(request->command.type);
    request->block.offset = request->command.offset;
    request->block.length = request->command.length;
    enum cw_status status = cw_nbd_share_take(request);
    if (status == CW_OK) {
        CW_ASSERT(request->block.slice_count <= CW_REQUEST_SLICES_MAX);
        request->has_buffers = true;
        request->charged = request->command.length;
        request->connection->bytes_held += request->charged;
    }
    return status;
}

/* ---- submission ---- */

static void on_complete(struct cw_block_request *block, enum cw_status status);

static bool is_long(const struct cw_nbd_request *request)
{
    return request->command.type == CW_NBD_CMD_TRIM || request->command.type == CW_NBD_CMD_WRITE_ZEROES;
}

static void prepare_block(struct cw_nbd_request *request)
{
    const struct cw_nbd_command *command = &request->command;
    struct cw_block_request *block = &request->block;
    uint64_t left = command->length;
    if (request->state == CW_NBD_REQUEST_PARTED)
        left = request->left;
    block->op = block_op_of(command->type);
    block->length = is_long(request) ? CW_MIN(left, CW_RECORD_EXTENT_MAX) : left;
    block->offset = command->offset + (command->length - left);
    if (!request->has_buffers)
        block->slice_count = 0;
    request->left = left - block->length;
    block->fua =
        (command->flags & CW_NBD_CMD_FLAG_FUA) != 0 && command->type != CW_NBD_CMD_READ && request->left == 0;
    block->on_complete = on_complete;
}

enum cw_status cw_nbd_request_submit(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    struct cw_block_volume *volume = connection->export->volume;
    uint8_t before = request->state;
    bool had_buffers = request->has_buffers;
    CW_ASSERT(before == CW_NBD_REQUEST_ARRIVING || before == CW_NBD_REQUEST_PARTED);
    uint64_t left_before = request->left;
    prepare_block(request);
    request->state = CW_NBD_REQUEST_SUBMITTED;
    if (request->block.op == CW_BLOCK_WRITE)
        request->has_buffers = false; /* the engine's from here on; it may answer before submit returns */
    connection->server->has_submitted = true;
    enum cw_status status = volume->ops->submit(volume, &request->block);
    if (status == CW_OK)
        return CW_OK;
    CW_ASSERT(request->state == CW_NBD_REQUEST_SUBMITTED && "refused and completed at once");
    request->state = before;
    request->has_buffers = had_buffers;
    request->left = left_before;
    return status;
}

bool cw_nbd_requests_submit_parted(struct cw_nbd_connection *connection)
{
    struct cw_nbd_request *request;
    while ((request = connection->parted_first) != NULL) {
        connection->parted_first = request->next; /* first: it may complete, and come again, inside submit */
        enum cw_status status = cw_nbd_request_submit(request);
        if (status == CW_AGAIN) {
            request->next = connection->parted_first;
            connection->parted_first = request;
            return false;
        }
        if (status != CW_OK)
            cw_nbd_request_reply(request, status);
    }
    return true;
}

/* ---- completion ---- */

static void count_success(struct cw_nbd_request *request)
{
    static const uint16_t counter_of[CW_NBD_CMD_COUNT] = {
        [CW_NBD_CMD_READ] = CW_NBD_READS,
        [CW_NBD_CMD_WRITE] = CW_NBD_WRITES,
        [CW_NBD_CMD_FLUSH] = CW_NBD_FLUSHES,
        [CW_NBD_CMD_TRIM] = CW_NBD_TRIMS,
        [CW_NBD_CMD_CACHE] = CW_NBD_CACHES,
        [CW_NBD_CMD_WRITE_ZEROES] = CW_NBD_ZEROES,
        [CW_NBD_CMD_BLOCK_STATUS] = CW_NBD_STATUSES,
    };
    cw_counter *counters = request->connection->server->counters;
    CW_ASSERT(request->command.type < CW_NBD_CMD_COUNT);
    CW_ASSERT(request->command.type != CW_NBD_CMD_DISC && "has no reply");
    cw_count(&counters[counter_of[request->command.type]], 1);
    if (request->command.type == CW_NBD_CMD_READ)
        cw_count(&counters[CW_NBD_BYTES_READ], request->command.length);
    if (request->command.type == CW_NBD_CMD_WRITE)
        cw_count(&counters[CW_NBD_BYTES_WRITTEN], request->command.length);
}

static void encode_success(struct cw_nbd_request *request)
{
    const struct cw_nbd_command *command = &request->command;
    count_success(request);
    request->has_data = command->type == CW_NBD_CMD_READ && command->length > 0;
    if (command->type != CW_NBD_CMD_READ || !request->connection->terms.is_structured)
        request->head_length = cw_nbd_reply_simple(request->head, command->cookie, 0);
    else if (request->has_data)
        request->head_length =
            cw_nbd_reply_data(request->head, command->cookie, command->offset, command->length);
    else
        request->head_length = cw_nbd_reply_none(request->head, command->cookie);
}

void cw_nbd_request_encode(struct cw_nbd_request *request, uint32_t error, const char *why)
{
    if (error == 0) {
        encode_success(request);
        return;
    }
    cw_count(&request->connection->server->counters[CW_NBD_ERRORS], 1);
    if (request->connection->terms.is_structured)
        request->head_length = cw_nbd_reply_error(request->head, request->command.cookie, error, why);
    else
        request->head_length = cw_nbd_reply_simple(request->head, request->command.cookie, error);
}

void cw_nbd_request_queue(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    cw_nbd_mark_dirty(connection);
    if (connection->state == CW_NBD_CLOSING) {
        cw_nbd_request_release(request);
        return;
    }
    request->state = CW_NBD_REQUEST_REPLYING;
    request->next = NULL;
    if (connection->reply_last)
        connection->reply_last->next = request;
    else
        connection->reply_first = request;
    connection->reply_last = request;
}

/*
 * Nothing more is served here: what was answered is sent, then the connection ends. A client that reconnects
 * finds who serves the volume now and asks again there; an answer of ESHUTDOWN would be an I/O error to it
 * (QEMU passes it on to its guest). To one that does not reconnect the end of the connection is as good as
 * that.
 */
static void drop_unanswered(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    cw_nbd_request_release(request);
    cw_count(&connection->server->counters[CW_NBD_UNANSWERED], 1);
    cw_nbd_mark_dirty(connection);
    cw_nbd_connection_finish(connection);
}

void cw_nbd_request_reply(struct cw_nbd_request *request, enum cw_status status)
{
    request->state = CW_NBD_REQUEST_REPLYING;
    if (status == CW_SHUTDOWN) {
        drop_unanswered(request);
        return;
    }
    if (status != CW_OK)
        give_buffers(request);
    cw_nbd_request_encode(request, cw_nbd_error_of(status), cw_status_name(status));
    cw_nbd_request_queue(request);
}

size_t cw_nbd_request_reply_bytes(const struct cw_nbd_request *request)
{
    return request->head_length + (request->has_data ? request->command.length : 0);
}

static void on_complete(struct cw_block_request *block, enum cw_status status)
{
    struct cw_nbd_request *request = CW_CONTAINER_OF(block, struct cw_nbd_request, block);
    struct cw_nbd_connection *connection = request->connection;
    CW_ASSERT(request->state == CW_NBD_REQUEST_SUBMITTED && "each request is answered once");
    CW_ASSERT(status != CW_AGAIN && "that is an answer of submit only");
    if (status != CW_OK || request->left == 0 || connection->state == CW_NBD_CLOSING) {
        cw_nbd_request_reply(request, status);
        return;
    }
    request->state = CW_NBD_REQUEST_PARTED;
    request->next = connection->parted_first;
    connection->parted_first = request;
    cw_nbd_mark_dirty(connection);
}
