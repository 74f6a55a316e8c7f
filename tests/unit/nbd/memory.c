/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define EXTENT_UNIT     4096u /* the map looks at pieces of this size */
#define EXTENT_SCAN_MAX (1u << 20)

static struct cw_memory *memory_of(struct cw_block_volume *volume)
{
    return CW_CONTAINER_OF(volume, struct cw_memory, volume);
}

static enum cw_status buffers_take(struct cw_block_volume *volume, struct cw_block_request *request)
{
    struct cw_memory *memory = memory_of(volume);
    uint64_t count = (request->length + CW_RECORD_PAYLOAD_MAX - 1) / CW_RECORD_PAYLOAD_MAX;
    CW_ASSERT(count > 0);
    CW_ASSERT(count <= CW_REQUEST_SLICES_MAX);
    CW_ASSERT(count <= memory->pool.slot_count && "or it would wait for ever");
    if (count > memory->pool.free_count) {
        memory->is_short = true;
        memory->has_changed = false;
        return CW_AGAIN;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cw_handle handle = cw_pool_take(&memory->pool);
        uint64_t left = request->length - (uint64_t)i * CW_RECORD_PAYLOAD_MAX;
        request->slices[i] = (struct cw_slice){.handle = cw_handle_pack(handle),
                                               .data = cw_pool_get(&memory->pool, handle),
                                               .length = (uint32_t)CW_MIN(left, CW_RECORD_PAYLOAD_MAX),
                                               .capacity = CW_RECORD_PAYLOAD_MAX};
    }
    request->slice_count = (uint16_t)count;
    memory->slices_out += request->slice_count;
    return CW_OK;
}

static void buffers_give(struct cw_block_volume *volume, struct cw_block_request *request)
{
    struct cw_memory *memory = memory_of(volume);
    CW_ASSERT(request->slice_count > 0);
    CW_ASSERT(memory->slices_out >= request->slice_count);
    memory->slices_out -= request->slice_count;
    for (uint32_t i = 0; i < request->slice_count; i++)
        cw_pool_give(&memory->pool, cw_handle_unpack(request->slices[i].handle));
    request->slice_count = 0;
    memory->has_changed = true;
}

static uint64_t buffers_free(const struct cw_block_volume *volume, uint64_t length)
{
    const struct cw_memory *memory = CW_CONTAINER_OF(volume, const struct cw_memory, volume);
    uint32_t kept = CW_MIN(CW_REQUEST_SLICES_MAX, memory->pool.slot_count / 2);
    uint32_t left = memory->pool.free_count;
    return (uint64_t)(left > kept ? left - kept : 0) * CW_RECORD_PAYLOAD_MAX;
}

static void check_slices(const struct cw_memory *memory, const struct cw_block_request *request)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request->slice_count; i++) {
        CW_ASSERT(i + 1 == request->slice_count || request->slices[i].length == CW_RECORD_PAYLOAD_MAX);
        CW_ASSERT(cw_pool_get(&memory->pool, cw_handle_unpack(request->slices[i].handle)) ==
                  request->slices[i].data);
        sum += request->slices[i].length;
    }
    bool has_data = request->op == CW_BLOCK_READ || request->op == CW_BLOCK_WRITE;
    CW_ASSERT(sum == (has_data ? request->length : 0));
}

static void check_promises(const struct cw_memory *memory, const struct cw_block_request *request)
{
    CW_ASSERT(request->on_complete != NULL);
    CW_ASSERT(request->offset <= memory->volume.size);
    CW_ASSERT(request->length <= memory->volume.size - request->offset);
    CW_ASSERT(request->offset % memory->volume.block_size == 0);
    CW_ASSERT(request->length % memory->volume.block_size == 0);
    CW_ASSERT(request->length <= CW_RECORD_EXTENT_MAX);
    CW_ASSERT((request->length == 0) == (request->op == CW_BLOCK_FLUSH));
    check_slices(memory, request);
}

static void move_data(struct cw_memory *memory, struct cw_block_request *request)
{
    if (memory->data == NULL) /* a volume of zeroes, of any size */
        return;
    uint8_t *at = memory->data + request->offset;
    for (uint32_t i = 0; i < request->slice_count; i++) {
        if (request->op == CW_BLOCK_READ)
            memcpy(request->slices[i].data, at, request->slices[i].length);
        else
            memcpy(at, request->slices[i].data, request->slices[i].length);
        at += request->slices[i].length;
    }
    if (request->op == CW_BLOCK_ZEROES || request->op == CW_BLOCK_DISCARD)
        memset(at, 0, request->length);
}

static void complete(struct cw_memory *memory, struct cw_block_request *request, enum cw_status status)
{
    if (memory->fail_next != CW_OK) {
        status = memory->fail_next;
        memory->fail_next = CW_OK;
    }
    if (status == CW_OK)
        move_data(memory, request);
    memory->flushes += request->op == CW_BLOCK_FLUSH;
    memory->fua += request->fua;
    memory->trimmed += request->op == CW_BLOCK_DISCARD ? request->length : 0;
    if (request->op == CW_BLOCK_WRITE) /* ours since submit */
        buffers_give(&memory->volume, request);
    memory->outstanding--;
    memory->has_changed = true;
    request->on_complete(request, status);
}

static enum cw_status submit(struct cw_block_volume *volume, struct cw_block_request *request)
{
    struct cw_memory *memory = memory_of(volume);
    check_promises(memory, request);
    if (memory->refuse_all != CW_OK)
        return memory->refuse_all;
    if (memory->outstanding >= memory->submit_room) {
        memory->is_short = true;
        memory->has_changed = false;
        return CW_AGAIN;
    }
    memory->submitted++;
    if (memory->is_deferred)
        memory->pending[memory->outstanding++] = request;
    else {
        memory->outstanding++;
        complete(memory, request, CW_OK);
    }
    return CW_OK;
}

static bool is_zero_unit(const uint8_t *at, uint64_t length)
{
    return at[0] == 0 && memcmp(at, at + 1, length - 1) == 0;
}

static uint64_t extent(struct cw_block_volume *volume, uint64_t offset, uint64_t length, bool *is_zero)
{
    struct cw_memory *memory = memory_of(volume);
    uint64_t run = 0;
    *is_zero = true;
    if (memory->data == NULL)
        return length;
    while (run < length && run < EXTENT_SCAN_MAX) {
        uint64_t at = offset + run;
        uint64_t unit = CW_MIN(EXTENT_UNIT - at % EXTENT_UNIT, length - run);
        bool is_unit_zero = is_zero_unit(memory->data + at, unit);
        if (run > 0 && is_unit_zero != *is_zero)
            break;
        *is_zero = is_unit_zero;
        run += unit;
    }
    return run;
}

static const struct cw_block_ops ops = {.submit = submit,
                                        .buffers_take = buffers_take,
                                        .buffers_give = buffers_give,
                                        .buffers_free = buffers_free,
                                        .extent = extent};

void cw_memory_init(struct cw_memory *memory, struct cw_arena *arena, uint8_t *data, uint64_t size,
                    uint32_t block_size, uint32_t slice_count)
{
    *memory = (struct cw_memory){.data = data, .submit_room = CW_MEMORY_PENDING_MAX};
    memory->volume = (struct cw_block_volume){
        .group = "test", .name = "memory", .size = size, .block_size = block_size, .ops = &ops};
    cw_pool_init(&memory->pool, arena, slice_count, CW_RECORD_PAYLOAD_MAX, 4096);
}

uint32_t cw_memory_complete(struct cw_memory *memory, uint32_t max, uint64_t which, enum cw_status status)
{
    uint32_t done = 0;
    for (; done < max && memory->outstanding > 0; done++) {
        uint32_t index = (uint32_t)(which % memory->outstanding);
        struct cw_block_request *request = memory->pending[index];
        memory->pending[index] = memory->pending[memory->outstanding - 1];
        complete(memory, request, status);
    }
    return done;
}

bool cw_memory_room_again(struct cw_memory *memory)
{
    bool is_due = memory->is_short && memory->has_changed;
    if (is_due)
        memory->is_short = memory->has_changed = false;
    return is_due;
}
