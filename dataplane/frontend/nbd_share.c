/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rule as the header tells it. It is asked twice: before, by the request's length, so that who is over
 * its share takes nothing and asks the engine for nothing; and after, by the buffers that were had, which may
 * be larger than what was asked for.
 */
#include "frontend/nbd_share.h"

#include "base/numbers.h"

static_assert(CW_NBD_DIP_BYTES >= CW_REQUEST_BYTES_MAX, "the largest request passes when nobody else dips");

enum verdict { WITHIN_SHARE, DIP, REFUSED };

static bool is_within_share(uint64_t owed, uint64_t free_bytes)
{
    return free_bytes >= CW_NBD_SHARE_DIVISOR * owed;
}

/* May the connection owe so much more, which leaves so much free? If not, waits_for says why. */
static enum verdict judge(struct cw_nbd_connection *connection, uint64_t bytes, uint64_t free_after)
{
    struct cw_nbd *server = connection->server;
    uint64_t owed = connection->bytes_owed + bytes;
    if (is_within_share(owed, free_after))
        return WITHIN_SHARE;
    if (connection->bytes_owed > 0 && owed > CW_NBD_DIP_SMALL) {
        connection->waits_for = CW_NBD_FOR_ITSELF;
        return REFUSED;
    }
    if (server->bytes_dipped == 0 || server->bytes_dipped + bytes <= CW_NBD_DIP_BYTES)
        return DIP;
    connection->waits_for = CW_NBD_FOR_A_DIP;
    server->is_dip_wanted = true;
    return REFUSED;
}

static uint64_t cost(const struct cw_block_request *block)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < block->slice_count; i++)
        bytes += block->slices[i].capacity;
    return bytes;
}

static void charge(struct cw_nbd_request *request, uint64_t bytes, enum verdict verdict)
{
    struct cw_nbd_connection *connection = request->connection;
    uint64_t dipped = verdict == DIP ? bytes : 0;
    request->owed = (uint32_t)bytes;
    connection->bytes_owed += bytes;
    connection->bytes_dipped += dipped;
    connection->server->bytes_dipped += dipped;
}

enum cw_status cw_nbd_share_take(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    struct cw_block_volume *volume = connection->export->volume;
    const uint64_t length = request->block.length;
    uint64_t free_bytes = volume->ops->buffers_free(volume, length);
    CW_ASSERT(request->owed == 0);
    if (judge(connection, length, free_bytes > length ? free_bytes - length : 0) == REFUSED)
        return CW_AGAIN;
    enum cw_status status = volume->ops->buffers_take(volume, &request->block);
    if (status == CW_AGAIN)
        connection->waits_for = CW_NBD_FOR_ENGINE;
    if (status != CW_OK)
        return status;
    uint64_t bytes = cost(&request->block);
    enum verdict verdict = judge(connection, bytes, volume->ops->buffers_free(volume, length));
    if (verdict == REFUSED) {
        volume->ops->buffers_give(volume, &request->block);
        return CW_AGAIN;
    }
    charge(request, bytes, verdict);
    return CW_OK;
}

static void set_dipped(struct cw_nbd_connection *connection, uint64_t bytes)
{
    CW_ASSERT(bytes <= connection->bytes_dipped);
    CW_ASSERT(connection->bytes_dipped <= connection->server->bytes_dipped);
    connection->server->bytes_dipped -= connection->bytes_dipped - bytes;
    connection->bytes_dipped = bytes;
}

void cw_nbd_share_settle(struct cw_nbd_request *request)
{
    struct cw_nbd_connection *connection = request->connection;
    struct cw_nbd *server = connection->server;
    CW_ASSERT(connection->bytes_owed >= request->owed);
    connection->bytes_owed -= request->owed;
    set_dipped(connection, CW_MIN(connection->bytes_dipped, connection->bytes_owed));
    if (request->owed > 0 && server->is_dip_wanted)
        server->has_left_waiting = true;
    request->owed = 0;
}

void cw_nbd_share_reconsider(struct cw_nbd_connection *connection)
{
    struct cw_nbd *server = connection->server;
    if (connection->bytes_dipped == 0)
        return;
    const struct cw_block_volume *volume = connection->export->volume;
    if (!is_within_share(connection->bytes_owed, volume->ops->buffers_free(volume, CW_REQUEST_BYTES_MAX)))
        return;
    set_dipped(connection, 0);
    server->has_left_waiting = server->has_left_waiting || server->is_dip_wanted;
}
