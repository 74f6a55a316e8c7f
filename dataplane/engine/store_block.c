/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam to front ends: their requests become the group's, and nothing leaves without the last check.
 *
 * A finished request goes to its group's list of answers. Once in a turn, after the group's actions, the
 * list is gone through with a clock read at that moment: what the lease covers is answered, the rest stays
 * for a later turn. The window that remains is from that clock read to the kernel taking the reply at the
 * end of the same turn; the lease's deadline has 100 ms and 1 % in hand for it, and the taker another 1 %.
 */
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/store.h"

static struct cw_store_volume *volume_of(struct cw_block_volume *block)
{
    return block->engine;
}

static enum cw_status no_room(struct cw_store *store, unsigned counter)
{
    store->is_room_wanted = true;
    cw_count(&store->counters[counter], 1);
    return CW_AGAIN;
}

/* ---------------------------------------------------------------- buffers */

static enum cw_status buffers_take(struct cw_block_volume *block, struct cw_block_request *request)
{
    struct cw_store *store = volume_of(block)->group->store;
    enum cw_status status =
        cw_payload_take_all(&store->payloads, request->length, request->op == CW_BLOCK_READ, request->slices,
                            &request->slice_count);
    return status == CW_OK ? CW_OK : no_room(store, CW_STORE_NO_BUFFER);
}

static void buffers_give(struct cw_block_volume *block, struct cw_block_request *request)
{
    struct cw_store *store = volume_of(block)->group->store;
    for (unsigned i = 0; i < request->slice_count; i++)
        cw_payload_give(&store->payloads, request->slices[i].handle);
    request->slice_count = 0;
}

static uint64_t buffers_free(const struct cw_block_volume *block, uint64_t length)
{
    const struct cw_store_volume *volume = block->engine;
    return cw_payload_free_bytes(&volume->group->store->payloads, length);
}

/* ---------------------------------------------------------------- reads */

static struct cw_store_read *read_take(struct cw_store *store, uint32_t pieces)
{
    struct cw_store_read *read = store->reads_free;
    if (read == NULL || store->pieces_free_count < pieces)
        return NULL;
    store->reads_free = read->next;
    return read;
}

static void read_give(struct cw_store *store, struct cw_store_read *read)
{
    read->next = store->reads_free;
    store->reads_free = read;
}

static void read_finish(struct cw_store_read *read)
{
    struct cw_store_group *group = read->group;
    struct cw_block_request *request = read->request;
    uint8_t *slices[CW_REQUEST_SLICES_MAX];
    for (unsigned i = 0; i < request->slice_count; i++)
        slices[i] = request->slices[i].data;
    cw_group_read_end(group->group, &read->read, slices, request->slice_count);
    enum cw_status status = read->has_failed ? CW_IO : CW_OK;

    read_give(group->store, read);
    group->reads_in_flight--;
    cw_store_finish(group, request, status);
}

static void on_piece(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_store_piece *piece = CW_CONTAINER_OF(op, struct cw_store_piece, op);
    struct cw_store_read *read = piece->read;
    struct cw_store *store = read->group->store;
    read->volume->in_flight--;
    piece->next = store->pieces_free;
    store->pieces_free = piece;
    store->pieces_free_count++;
    read->has_failed |= result < 0;
    CW_ASSERT(read->pending > 0);
    if (--read->pending == 0)
        read_finish(read);
}

static void read_file(struct cw_store_volume *volume, struct cw_store_read *read)
{
    struct cw_store *store = volume->group->store;
    struct cw_block_request *request = read->request;
    uint64_t offset = request->offset;
    read->pending = request->slice_count;
    for (unsigned i = 0; i < request->slice_count; i++) {
        struct cw_store_piece *piece = store->pieces_free;
        CW_ASSERT(piece != NULL && "counted when the read was taken");
        store->pieces_free = piece->next;
        store->pieces_free_count--;
        piece->op.done = on_piece;
        piece->read = read;
        volume->in_flight++;
        cw_disk_read(&store->uring, &volume->file, &piece->op, request->slices[i].data,
                     request->slices[i].length, offset);
        offset += request->slices[i].length;
    }
}

static enum cw_status submit_read(struct cw_store_volume *volume, struct cw_block_request *request)
{
    struct cw_store_group *group = volume->group;
    struct cw_store_read *read = read_take(group->store, request->slice_count);
    if (read == NULL)
        return CW_AGAIN;
    read->group = group;
    read->volume = volume;
    read->request = request;
    read->pending = 0;
    read->has_failed = false;
    read->read =
        (struct cw_group_read){.volume = volume->index, .offset = request->offset, .length = request->length};
    enum cw_status status = cw_group_read_begin(group->group, &read->read);
    if (status != CW_OK) {
        read_give(group->store, read);
        return status;
    }
    request->reign = read->read.reign;
    group->reads_in_flight++;
    if (read->read.is_covered)
        read_finish(read);
    else
        read_file(volume, read);
    return CW_OK;
}

/* ---------------------------------------------------------------- writes */

static uint8_t record_kind(uint8_t op)
{
    return op == CW_BLOCK_WRITE    ? CW_RECORD_WRITE
           : op == CW_BLOCK_ZEROES ? CW_RECORD_ZEROES
                                   : CW_RECORD_DISCARD;
}

static enum cw_status submit_write(struct cw_store_volume *volume, struct cw_block_request *request)
{
    struct cw_group_write write = {.request = request,
                                   .kind = record_kind(request->op),
                                   .fua = request->fua,
                                   .volume = volume->index,
                                   .offset = request->offset,
                                   .length = request->length};
    static_assert(CW_COUNT_OF(write.payloads) == CW_REQUEST_SLICES_MAX,
                  "a request's slices are a write's payloads");
    if (request->op == CW_BLOCK_WRITE) {
        write.payload_count = request->slice_count;
        for (unsigned i = 0; i < request->slice_count; i++) {
            const struct cw_slice *slice = &request->slices[i];
            write.payloads[i].handle = slice->handle;
            write.payloads[i].data = slice->data;
            write.payloads[i].length = slice->length;
        }
    }
    return cw_group_write(volume->group->group, &write, cw_clock_now_ns());
}

static enum cw_status submit_any(struct cw_store_volume *volume, struct cw_block_request *request)
{
    if (volume->removal != NULL || volume->group->is_stopping)
        return CW_SHUTDOWN;
    switch ((enum cw_block_op)request->op) {
    case CW_BLOCK_READ:
        return submit_read(volume, request);
    case CW_BLOCK_FLUSH:
        return cw_group_flush(volume->group->group, request, cw_clock_now_ns());
    case CW_BLOCK_WRITE:
    case CW_BLOCK_ZEROES:
    case CW_BLOCK_DISCARD:
        return submit_write(volume, request);
    }
    return CW_INVALID;
}

static enum cw_status submit(struct cw_block_volume *block, struct cw_block_request *request)
{
    struct cw_store_volume *volume = volume_of(block);
    request->volume = block;
    request->next = NULL;
    volume->group->store->has_worked = true;
    volume->group->requests++; /* before: a covered read finishes inside */
    enum cw_status status = submit_any(volume, request);
    if (status != CW_OK)
        volume->group->requests--;
    return status == CW_AGAIN ? no_room(volume->group->store, CW_STORE_NO_ROOM) : status;
}

/* ---------------------------------------------------------------- answers */

void cw_store_finish(struct cw_store_group *group, struct cw_block_request *request, enum cw_status status)
{
    request->status = status;
    request->next = NULL;
    if (group->answers_last != NULL)
        group->answers_last->next = request;
    else
        group->answers_first = request;
    group->answers_last = request;
}

/* May it leave now? An error may at any time: it promises nothing. */
static bool may_leave(struct cw_store_group *group, struct cw_block_request *request, uint64_t now_ns)
{
    if (request->status != CW_OK)
        return true;
    struct cw_group_read read = {.reign = request->reign};
    enum cw_status status = request->op == CW_BLOCK_READ
                                ? cw_group_read_may_answer(group->group, &read, now_ns)
                                : cw_group_may_answer(group->group, now_ns);
    if (status == CW_AGAIN)
        return false;
    request->status = status;
    return true;
}

/* Into the reign's entry, which is the first. */
static void log_answers(struct cw_store_group *group, uint32_t count, uint64_t now_ns)
{
    struct cw_answered_reign *answered = group->answered;
    if (answered->count == 0 || answered->epoch != group->epoch) {
        memmove(answered + 1, answered, (CW_ANSWERED_REIGNS - 1) * sizeof *answered);
        *answered = (struct cw_answered_reign){.epoch = group->epoch, .first_ns = now_ns};
    }
    answered->last_ns = now_ns;
    answered->count += count;
}

uint32_t cw_store_answer(struct cw_store_group *group)
{
    struct cw_block_request *request = group->answers_first;
    if (request == NULL)
        return 0;
    uint64_t now_ns = cw_clock_now_ns();
    uint32_t count = 0, good = 0;
    group->answers_first = group->answers_last = NULL;
    while (request != NULL) {
        struct cw_block_request *next = request->next;
        if (may_leave(group, request, now_ns)) {
            CW_ASSERT(group->requests > 0);
            group->requests--;
            count++;
            good += request->status == CW_OK;
            group->store->has_worked = true;
            request->on_complete(request, request->status);
        } else {
            cw_count(&group->store->counters[CW_STORE_HELD_AT_REPLY], 1);
            cw_store_finish(group, request, CW_OK);
        }
        request = next;
    }
    if (good > 0)
        log_answers(group, good, now_ns);
    return count;
}

/* ---------------------------------------------------------------- extents */

/* What is not in place yet cannot be told from the file: then all is data. So it is where a read would have
 * to wait, or fail: who was deposed meanwhile does not know any more what is zero. */
static uint64_t extent(struct cw_block_volume *block, uint64_t offset, uint64_t length, bool *is_zero)
{
    struct cw_store_volume *volume = volume_of(block);
    const struct cw_group *group = volume->group->group;
    if (cw_group_is_in_place(group) && cw_group_may_answer(group, cw_clock_now_ns()) == CW_OK)
        return cw_disk_extent(&volume->file, offset, length, is_zero);
    *is_zero = false;
    return length;
}

const struct cw_block_ops cw_store_block_ops = {.submit = submit,
                                                .buffers_take = buffers_take,
                                                .buffers_give = buffers_give,
                                                .buffers_free = buffers_free,
                                                .extent = extent};
