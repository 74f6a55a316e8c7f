/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/send.h"

#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"

static struct cw_message_out *at(const struct cw_send *send, uint32_t index)
{
    if (index == CW_OUT_NONE)
        return NULL;
    return (struct cw_message_out *)(send->pool.slots + (size_t)index * send->pool.slot_size);
}

#define FETCH_BYTES 1536 /* what a datagram of usual size takes */
#define SKIPPED_MAX 64u  /* messages looked at, also those that have left: each is a line of memory */

#define FIRST_MASK ((1u << CW_FRAGMENT_COUNT_SHIFT) - 1)

static bool bit(const uint64_t *words, uint32_t i)
{
    return words[i / 64] >> i % 64 & 1;
}

void cw_send_init(struct cw_send *send, struct cw_arena *arena, uint32_t messages_max)
{
    *send = (struct cw_send){0};
    cw_pool_init(&send->pool, arena, messages_max, sizeof(struct cw_message_out), 64);
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++)
        send->streams[s] =
            (struct cw_out_stream){0, CW_OUT_NONE, CW_OUT_NONE, CW_OUT_NONE, CW_OUT_NONE, CW_OUT_NONE, 0};
}

void cw_send_open(struct cw_send *send, uint32_t unit_bytes, uint32_t window)
{
    CW_ASSERT(send->open_count == 0);
    CW_ASSERT(unit_bytes >= CW_UNIT_BYTES_MIN);
    send->unit_bytes = unit_bytes;
    send->window = window;
    send->has_grant = false;
    memset(send->granted, 0, sizeof send->granted);
    memset(send->first_grant, 0, sizeof send->first_grant);
    memset(send->used, 0, sizeof send->used);
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++)
        send->streams[s].next_number = 0;
}

/* What a stream leaves to the ones above it. */
static uint64_t kept_back(uint8_t stream, uint64_t all)
{
    return stream == CW_STREAM_CONTROL ? 0 : stream == CW_STREAM_LIVE ? all / 16 : all / 4;
}

bool cw_send_can(const struct cw_send *send, uint8_t stream, uint32_t body_length)
{
    const struct cw_out_stream *out = &send->streams[stream];
    uint32_t class = cw_size_class_of(body_length);
    if (send->pool.free_count <= kept_back(stream, send->pool.slot_count))
        return false;
    if (send->granted[class] - send->used[class] <= kept_back(stream, send->first_grant[class]))
        return false;
    const struct cw_message_out *oldest = at(send, out->oldest);
    return !oldest || out->next_number - oldest->number < send->window;
}

void cw_send_put(struct cw_send *send, uint8_t stream, const uint8_t *head, uint32_t head_length,
                 const uint8_t *body, uint32_t body_length, uint64_t tag)
{
    CW_ASSERT(cw_send_can(send, stream, body_length));
    struct cw_out_stream *out = &send->streams[stream];
    struct cw_handle handle = cw_pool_take(&send->pool);
    struct cw_message_out *message = cw_pool_get(&send->pool, handle);
    uint32_t total = head_length + body_length;
    memset(message, 0, offsetof(struct cw_message_out, head));
    message->number = out->next_number++;
    message->tag = tag;
    message->body = body;
    message->body_length = body_length;
    message->head_length = (uint16_t)head_length;
    message->unit_count = (uint16_t)((total + send->unit_bytes - 1) / send->unit_bytes);
    message->stream = stream;
    message->is_open = true;
    message->self = handle;
    message->newer = CW_OUT_NONE;
    message->older = out->newest;
    memcpy(message->head, head, head_length);
    if (out->newest == CW_OUT_NONE)
        out->oldest = handle.index;
    else
        at(send, out->newest)->newer = handle.index;
    out->newest = handle.index;
    if (out->unsent == CW_OUT_NONE)
        out->unsent = handle.index;
    out->waiting_units += message->unit_count;
    send->used[cw_size_class_of(body_length)]++;
    send->open_count++;
}

static uint16_t first_lost(const struct cw_message_out *message)
{
    for (uint32_t w = 0; w < CW_UNIT_WORDS; w++)
        if (message->lost[w])
            return (uint16_t)(64 * w + (uint32_t)__builtin_ctzll(message->lost[w]));
    CW_ASSERT(!"it is in the list because a unit is lost");
    return 0;
}

/* As many lost ones on end as a fragment holds. */
static uint16_t lost_run(const struct cw_message_out *message, uint16_t first, uint32_t units_of_fragment)
{
    uint32_t count = 1;
    while (count < units_of_fragment && first + count < message->unit_count &&
           bit(message->lost, first + count))
        count++;
    return (uint16_t)count;
}

uint32_t cw_send_waiting(const struct cw_send *send, uint8_t first, uint8_t last, uint32_t units_of_fragment,
                         uint32_t limit)
{
    uint32_t count = 0;
    for (uint32_t s = first; s <= last; s++) {
        const struct cw_message_out *message = at(send, send->streams[s].unsent);
        for (; message && count < limit; message = at(send, message->newer)) {
            uint32_t units = message->unit_count - message->sent_count;
            count += (units + units_of_fragment - 1) / units_of_fragment;
        }
        if (send->streams[s].lost_first != CW_OUT_NONE)
            count++; /* at least one more */
    }
    return count;
}

uint64_t cw_send_left(const struct cw_send *send, uint8_t stream)
{
    const struct cw_out_stream *out = &send->streams[stream];
    const struct cw_message_out *message = at(send, out->unsent);
    return message ? message->number : out->next_number;
}

static inline void lost_of(struct cw_message_out *message, uint32_t units_of_fragment,
                           struct cw_fragment *fragment)
{
    uint16_t first = first_lost(message);
    *fragment = (struct cw_fragment){message, first, lost_run(message, first, units_of_fragment), true};
}

static inline void unsent_of(struct cw_message_out *message, uint32_t units_of_fragment,
                             struct cw_fragment *fragment)
{
    uint32_t left = message->unit_count - (uint32_t)message->sent_count;
    *fragment =
        (struct cw_fragment){message, message->sent_count, (uint16_t)CW_MIN(left, units_of_fragment), false};
}

bool cw_send_at(const struct cw_send *send, uint32_t place, uint32_t units_of_fragment,
                struct cw_fragment *fragment)
{
    const struct cw_out_stream *out = &send->streams[place / 2];
    bool is_again = place % 2 == 0;
    struct cw_message_out *message = at(send, is_again ? out->lost_first : out->unsent);
    if (!message)
        return false;
    if (is_again)
        lost_of(message, units_of_fragment, fragment);
    else
        unsent_of(message, units_of_fragment, fragment);
    return true;
}

void cw_send_skip(const struct cw_send *send, uint64_t units, uint32_t units_of_fragment,
                  struct cw_fragment *fragment)
{
    struct cw_message_out *message = fragment->message;
    CW_ASSERT(!fragment->is_again);
    for (uint32_t i = 0; i < SKIPPED_MAX && message; i++, message = at(send, message->newer)) {
        uint32_t left = message->unit_count - (uint32_t)message->sent_count;
        if (left == 0)
            continue;
        unsent_of(message, units_of_fragment, fragment);
        if (left > units)
            return;
        units -= left;
    }
}

bool cw_send_next(const struct cw_send *send, uint32_t units_of_fragment, struct cw_fragment *fragment)
{
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++) {
        const struct cw_out_stream *out = &send->streams[s];
        if (out->lost_first != CW_OUT_NONE) {
            lost_of(at(send, out->lost_first), units_of_fragment, fragment);
            return true;
        }
        if (out->unsent != CW_OUT_NONE) {
            unsent_of(at(send, out->unsent), units_of_fragment, fragment);
            return true;
        }
    }
    return false;
}

void cw_send_describe(const struct cw_send *send, const struct cw_fragment *fragment, struct cw_data *data)
{
    const struct cw_message_out *message = fragment->message;
    uint32_t total = message->head_length + message->body_length;
    uint32_t offset = fragment->first * send->unit_bytes;
    CW_ASSERT(offset < total);
    bool has_group = message->head_length >= CW_FRAME_HEAD_WITH_GROUP;
    *data = (struct cw_data){
        .head_length = message->head_length,
        .body_length = message->body_length,
        .offset = offset,
        .has_group = has_group,
        .group = has_group ? cw_load32le(message->head + 4) : 0,
        .epoch = has_group ? cw_load64le(message->head + 8) : 0,
        .length = CW_MIN(fragment->count * send->unit_bytes, total - offset),
    };
}

/* What the next fragment will take, while this one is sealed. */
static void fetch(const uint8_t *from, const uint8_t *end)
{
    const uint8_t *to = from + CW_MIN(end - from, FETCH_BYTES);
    for (; from < to; from += 64)
        __builtin_prefetch(from);
}

void cw_send_copy(const struct cw_fragment *fragment, const struct cw_data *data, uint8_t *to)
{
    const struct cw_message_out *message = fragment->message;
    uint32_t from_head = 0;
    if (data->offset < message->head_length) {
        from_head = CW_MIN(data->length, message->head_length - data->offset);
        memcpy(to, message->head + data->offset, from_head);
    }
    if (from_head == data->length)
        return;
    const uint8_t *from = message->body + (data->offset + from_head - message->head_length);
    memcpy(to + from_head, from, data->length - from_head);
    fetch(from + (data->length - from_head), message->body + message->body_length);
}

static void lost_append(struct cw_send *send, struct cw_message_out *message)
{
    struct cw_out_stream *out = &send->streams[message->stream];
    message->lost_next = CW_OUT_NONE;
    message->lost_previous = out->lost_last;
    if (out->lost_last == CW_OUT_NONE)
        out->lost_first = message->self.index;
    else
        at(send, out->lost_last)->lost_next = message->self.index;
    out->lost_last = message->self.index;
}

static void lost_remove(struct cw_send *send, struct cw_message_out *message)
{
    struct cw_out_stream *out = &send->streams[message->stream];
    if (message->lost_previous == CW_OUT_NONE)
        out->lost_first = message->lost_next;
    else
        at(send, message->lost_previous)->lost_next = message->lost_next;
    if (message->lost_next == CW_OUT_NONE)
        out->lost_last = message->lost_previous;
    else
        at(send, message->lost_next)->lost_previous = message->lost_previous;
}

/* These units need not be sent again after all, or just were. */
static void lost_clear(struct cw_send *send, struct cw_message_out *message, uint32_t first, uint32_t end)
{
    uint32_t cleared = 0;
    if (message->lost_count == 0)
        return;
    for (uint32_t w = first / 64; 64 * w < end; w++) {
        uint64_t found = message->lost[w] & cw_units_mask(first, end, w);
        message->lost[w] &= ~found;
        cleared += (uint32_t)__builtin_popcountll(found);
    }
    message->lost_count -= (uint16_t)cleared;
    send->streams[message->stream].waiting_units -= cleared;
    if (cleared > 0 && message->lost_count == 0)
        lost_remove(send, message);
}

/* The oldest from this one on that has not wholly left: a later one may have left before it. */
static uint32_t unsent_from(const struct cw_send *send, uint32_t index)
{
    const struct cw_message_out *message = at(send, index);
    while (message && message->sent_count == message->unit_count)
        message = at(send, message->newer);
    return message ? message->self.index : CW_OUT_NONE;
}

void cw_send_on_sent(struct cw_send *send, const struct cw_fragment *fragment)
{
    struct cw_message_out *message = fragment->message;
    if (fragment->is_again) {
        lost_clear(send, message, fragment->first, fragment->first + (uint32_t)fragment->count);
        return;
    }
    CW_ASSERT(fragment->first == message->sent_count);
    message->sent_count += fragment->count;
    send->streams[message->stream].waiting_units -= fragment->count;
    struct cw_out_stream *out = &send->streams[message->stream];
    if (out->unsent == message->self.index)
        out->unsent = unsent_from(send, out->unsent);
}

static struct cw_message_out *open_message(const struct cw_send *send, uint64_t handle)
{
    struct cw_message_out *message = cw_pool_get(&send->pool, cw_handle_unpack(handle));
    return message && message->is_open ? message : NULL;
}

bool cw_send_find(const struct cw_send *send, uint64_t handle, uint16_t packed, struct cw_fragment *fragment)
{
    struct cw_message_out *message = open_message(send, handle);
    uint32_t first = packed & FIRST_MASK, end = first + (packed >> CW_FRAGMENT_COUNT_SHIFT);
    if (!message)
        return false;
    *fragment = (struct cw_fragment){message, (uint16_t)first, (uint16_t)(end - first), false};
    for (uint32_t w = first / 64; 64 * w < end; w++)
        if (cw_units_mask(first, end, w) & ~message->acked[w])
            return true;
    return false;
}

struct cw_message_out *cw_send_on_acked(struct cw_send *send, uint64_t handle, uint16_t fragment)
{
    struct cw_message_out *message = open_message(send, handle);
    uint32_t first = fragment & FIRST_MASK, end = first + (fragment >> CW_FRAGMENT_COUNT_SHIFT), count = 0;
    if (!message)
        return NULL;
    CW_ASSERT(end <= message->sent_count);
    for (uint32_t w = first / 64; 64 * w < end; w++) {
        uint64_t news = cw_units_mask(first, end, w) & ~message->acked[w];
        message->acked[w] |= news;
        count += (uint32_t)__builtin_popcountll(news);
    }
    message->acked_count += (uint16_t)count;
    lost_clear(send, message, first, end);
    return count > 0 && message->acked_count == message->unit_count ? message : NULL;
}

void cw_send_on_lost(struct cw_send *send, uint64_t handle, uint16_t fragment, uint8_t path)
{
    struct cw_message_out *message = open_message(send, handle);
    uint32_t first = fragment & FIRST_MASK, end = first + (fragment >> CW_FRAGMENT_COUNT_SHIFT), count = 0;
    if (!message)
        return;
    for (uint32_t w = first / 64; 64 * w < end; w++) {
        uint64_t news = cw_units_mask(first, end, w) & ~message->acked[w] & ~message->lost[w];
        message->lost[w] |= news;
        count += (uint32_t)__builtin_popcountll(news);
    }
    if (count > 0 && message->lost_count == 0)
        lost_append(send, message);
    message->lost_count += (uint16_t)count;
    message->lost_path = path;
    send->streams[message->stream].waiting_units += count;
}

void cw_send_on_credit(struct cw_send *send, const uint64_t granted[CW_CLASS_COUNT])
{
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        if (!send->has_grant)
            send->first_grant[c] = granted[c];
        send->granted[c] = CW_MAX(send->granted[c], granted[c]);
    }
    send->has_grant = true;
}

struct cw_message_out *cw_send_any(struct cw_send *send)
{
    for (uint32_t s = 0; s < CW_STREAM_COUNT; s++)
        if (send->streams[s].oldest != CW_OUT_NONE)
            return at(send, send->streams[s].oldest);
    return NULL;
}

void cw_send_finish(struct cw_send *send, struct cw_message_out *message)
{
    struct cw_out_stream *out = &send->streams[message->stream];
    CW_ASSERT(message->is_open);
    out->waiting_units -= (uint32_t)(message->unit_count - message->sent_count) + message->lost_count;
    if (message->lost_count > 0)
        lost_remove(send, message);
    if (out->unsent == message->self.index)
        out->unsent = unsent_from(send, message->newer);
    if (message->older == CW_OUT_NONE)
        out->oldest = message->newer;
    else
        at(send, message->older)->newer = message->newer;
    if (message->newer == CW_OUT_NONE)
        out->newest = message->older;
    else
        at(send, message->newer)->older = message->older;
    message->is_open = false;
    message->body = NULL;
    CW_ASSERT(send->open_count > 0);
    send->open_count--;
}

void cw_send_free(struct cw_send *send, uint64_t message)
{
    cw_pool_give(&send->pool, cw_handle_unpack(message));
}
