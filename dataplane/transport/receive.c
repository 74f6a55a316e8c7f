/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/receive.h"

#include <stdalign.h>
#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"

#define IN_UNSEEN   0u
#define IN_DONE     1u
#define IN_PLACES   2u /* and above: where the message is put together */
#define CLASS_SHIFT 28u
#define SLOTS_MAX   (1u << CLASS_SHIFT)
static_assert(CW_CLASS_COUNT <= 4, "class and slot share 30 bits, so a place never wraps");

static uint32_t place_of(uint32_t class, uint32_t index)
{
    return IN_PLACES + (class << CLASS_SHIFT | index);
}

static struct cw_message_in *at_place(const struct cw_receive *receive, uint32_t place)
{
    uint32_t class = (place - IN_PLACES) >> CLASS_SHIFT, index = (place - IN_PLACES) & (SLOTS_MAX - 1);
    const struct cw_pool *pool = &receive->pools[class];
    CW_ASSERT(index < pool->slot_count);
    return (struct cw_message_in *)(pool->slots + (size_t)index * pool->slot_size);
}

/* A buffer's name outside: the handle with the class in the top bits of the index. */
static uint64_t buffer_name(const struct cw_message_in *in)
{
    struct cw_handle handle = in->self;
    handle.index |= (uint32_t)in->class << CLASS_SHIFT;
    return cw_handle_pack(handle);
}

static uint8_t *body_of(const struct cw_receive *receive, const struct cw_message_in *in)
{
    return receive->bodies[in->class] + (size_t)in->self.index * CW_CLASS_BYTES(in->class);
}

uint32_t cw_receive_window(const uint32_t counts[CW_CLASS_COUNT])
{
    uint64_t all = 0;
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++)
        all += counts[c];
    uint32_t window = CW_RECEIVE_WINDOW_MIN;
    while (window < 4 * all && window < CW_RECEIVE_WINDOW_MAX)
        window *= 2;
    return window;
}

void cw_receive_init(struct cw_receive *receive, struct cw_arena *arena,
                     const uint32_t counts[CW_CLASS_COUNT])
{
    *receive = (struct cw_receive){.window = cw_receive_window(counts)};
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        CW_ASSERT(counts[c] < SLOTS_MAX);
        if (counts[c] > 0)
            cw_pool_init(&receive->pools[c], arena, counts[c], sizeof(struct cw_message_in), 64);
        receive->memory_length += (size_t)counts[c] * CW_CLASS_BYTES(c);
    }
    receive->memory = cw_arena_take(arena, receive->memory_length, 4096);
    size_t used = 0;
    for (uint32_t c = 0; c < CW_CLASS_COUNT && receive->memory; c++) {
        receive->bodies[c] = receive->memory + used;
        used += (size_t)counts[c] * CW_CLASS_BYTES(c);
    }
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++)
        receive->streams[s].table =
            cw_arena_take(arena, receive->window * sizeof(uint32_t), alignof(uint32_t));
}

void cw_receive_open(struct cw_receive *receive, uint32_t unit_bytes)
{
    CW_ASSERT(!receive->is_open);
    receive->is_open = true;
    receive->unit_bytes = unit_bytes;
    receive->must_advertise = true;
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        receive->granted[c] = receive->pools[c].free_count;
        receive->accepted[c] = receive->advertised[c] = 0;
    }
}

void cw_receive_close(struct cw_receive *receive)
{
    receive->is_open = false;
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++) {
        struct cw_in_stream *stream = &receive->streams[s];
        for (uint32_t i = 0; i < receive->window; i++) {
            if (stream->table[i] >= IN_PLACES) {
                struct cw_message_in *in = at_place(receive, stream->table[i]);
                cw_pool_give(&receive->pools[in->class], in->self);
            }
            stream->table[i] = IN_UNSEEN;
        }
        stream->floor = 0;
    }
}

static struct cw_message_in *begin(struct cw_receive *receive, uint8_t stream, uint64_t number,
                                   const struct cw_data *data)
{
    uint32_t class = cw_size_class_of(data->body_length);
    if (receive->accepted[class] == receive->advertised[class]) /* granted but never told cannot be used */
        return NULL;
    struct cw_handle handle = cw_pool_take(&receive->pools[class]);
    CW_ASSERT(!cw_handle_is_none(handle) && "advertised <= granted, and granted - accepted are free");
    receive->accepted[class]++;
    struct cw_message_in *in = cw_pool_get(&receive->pools[class], handle);
    uint32_t total = data->head_length + data->body_length;
    memset(in, 0, offsetof(struct cw_message_in, head));
    in->self = handle;
    in->number = number;
    in->stream = stream;
    in->class = (uint8_t) class;
    in->has_group = data->has_group;
    in->head_length = data->head_length;
    in->body_length = data->body_length;
    in->group = data->group;
    in->epoch = data->epoch;
    in->missing_count = (uint16_t)((total + receive->unit_bytes - 1) / receive->unit_bytes);
    receive->streams[stream].table[number & (receive->window - 1)] = place_of(class, handle.index);
    return in;
}

/* The fragment alone: is it one that this session's sender would cut? Its bounds were checked when decoded.
 */
static bool shape_is_good(const struct cw_receive *receive, const struct cw_data *data)
{
    uint32_t left = data->head_length + data->body_length - data->offset;
    if (data->offset % receive->unit_bytes != 0)
        return false;
    if (data->length == 0 || (data->length != left && data->length % receive->unit_bytes != 0))
        return false;
    if (data->offset != 0 || !data->has_group)
        return true;
    return cw_load32le(data->bytes + 4) == data->group && cw_load64le(data->bytes + 8) == data->epoch;
}

static bool is_same_message(const struct cw_message_in *in, const struct cw_data *data)
{
    return in->head_length == data->head_length && in->body_length == data->body_length &&
           in->group == data->group && in->epoch == data->epoch;
}

/* Counts the fragment's units that were missing. */
static uint16_t mark(const struct cw_receive *receive, struct cw_message_in *in, const struct cw_data *data)
{
    uint32_t first = data->offset / receive->unit_bytes, news = 0;
    uint32_t end = (data->offset + data->length + receive->unit_bytes - 1) / receive->unit_bytes;
    for (uint32_t w = first / 64; 64 * w < end; w++) {
        uint64_t mask = cw_units_mask(first, end, w);
        news += (uint32_t)__builtin_popcountll(mask & ~in->got[w]);
        in->got[w] |= mask;
    }
    return (uint16_t)news;
}

static void keep(struct cw_receive *receive, struct cw_message_in *in, const struct cw_data *data)
{
    uint32_t to_head = 0;
    if (data->offset < in->head_length) {
        to_head = CW_MIN(data->length, in->head_length - data->offset);
        memcpy(in->head + data->offset, data->bytes, to_head);
    }
    if (to_head < data->length)
        memcpy(body_of(receive, in) + (data->offset + to_head - in->head_length), data->bytes + to_head,
               data->length - to_head);
}

static void finish(struct cw_receive *receive, struct cw_message_in *in, struct cw_received *whole)
{
    struct cw_in_stream *stream = &receive->streams[in->stream];
    uint32_t mask = receive->window - 1;
    in->is_whole = true;
    stream->table[in->number & mask] = IN_DONE;
    while (stream->table[stream->floor & mask] == IN_DONE)
        stream->table[stream->floor++ & mask] = IN_UNSEEN;
    *whole = (struct cw_received){
        .buffer = buffer_name(in),
        .stream = in->stream,
        .head_length = in->head_length,
        .body_length = in->body_length,
        .head = in->head,
        .body = body_of(receive, in),
    };
}

enum cw_receive_result cw_receive_fragment(struct cw_receive *receive, uint8_t stream, uint64_t number,
                                           const struct cw_data *data, struct cw_received *whole)
{
    CW_ASSERT(receive->is_open);
    if (stream >= CW_STREAM_COUNT || !shape_is_good(receive, data))
        return CW_RECEIVE_BAD;
    struct cw_in_stream *in_stream = &receive->streams[stream];
    if (number < in_stream->floor)
        return CW_RECEIVE_DUPLICATE;
    if (number - in_stream->floor >= receive->window)
        return CW_RECEIVE_BAD;
    uint32_t place = in_stream->table[number & (receive->window - 1)];
    if (place == IN_DONE)
        return CW_RECEIVE_DUPLICATE;
    struct cw_message_in *in =
        place == IN_UNSEEN ? begin(receive, stream, number, data) : at_place(receive, place);
    if (!in)
        return CW_RECEIVE_OVER_CREDIT;
    CW_ASSERT(in->number == number);
    if (!is_same_message(in, data))
        return CW_RECEIVE_BAD;
    uint16_t news = mark(receive, in, data);
    if (news == 0)
        return CW_RECEIVE_DUPLICATE;
    keep(receive, in, data);
    in->missing_count -= news;
    if (in->missing_count > 0)
        return CW_RECEIVE_KEPT;
    finish(receive, in, whole);
    return CW_RECEIVE_WHOLE;
}

bool cw_receive_release(struct cw_receive *receive, uint64_t buffer)
{
    struct cw_handle handle = cw_handle_unpack(buffer);
    uint32_t class = handle.index >> CLASS_SHIFT;
    handle.index &= SLOTS_MAX - 1;
    if (class >= CW_CLASS_COUNT)
        return false;
    struct cw_message_in *in = cw_pool_get(&receive->pools[class], handle);
    if (!in || !in->is_whole)
        return false;
    cw_pool_give(&receive->pools[class], handle);
    if (receive->is_open)
        receive->granted[class]++;
    return true;
}

bool cw_receive_credit_is_due(const struct cw_receive *receive)
{
    if (!receive->is_open)
        return false;
    if (receive->must_advertise)
        return true;
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        uint64_t peer_has = receive->advertised[c] - receive->accepted[c];
        uint64_t half = (receive->pools[c].slot_count + 1) / 2;
        if (receive->granted[c] > receive->advertised[c] && peer_has < half)
            return true;
    }
    return false;
}

void cw_receive_credit_take(struct cw_receive *receive, uint64_t granted[CW_CLASS_COUNT])
{
    memcpy(granted, receive->granted, sizeof receive->granted);
    memcpy(receive->advertised, receive->granted, sizeof receive->advertised);
    receive->must_advertise = false;
}

void cw_receive_credit_lost(struct cw_receive *receive)
{
    receive->must_advertise = true;
}
