/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/frames.h"

#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"

/* A count and the number of a path in one byte. */
#define PATH_SHIFT 6u
#define COUNT_MASK ((1u << PATH_SHIFT) - 1)
static_assert(CW_ACK_RANGES_MAX <= COUNT_MASK && CW_RECOVERED_MAX <= COUNT_MASK, "the counts fit");
static_assert(CW_SESSION_PATHS_MAX == 1u << (8 - PATH_SHIFT), "whatever is named can be looked up");

size_t cw_frame_write_ack(uint8_t *at, const struct cw_ack *ack)
{
    CW_ASSERT(ack->range_count >= 1);
    CW_ASSERT(ack->range_count <= CW_ACK_RANGES_MAX);
    at[0] = CW_FRAME_ACK;
    at[1] = (uint8_t)(ack->range_count | (uint32_t)ack->path << PATH_SHIFT);
    cw_store16le(at + 2, ack->marked);
    cw_store32le(at + 4, ack->delay_ns);
    cw_store64le(at + 8, ack->ranges[0].last);
    uint64_t gap = 0;
    for (uint32_t i = 0; i < ack->range_count; i++) {
        const struct cw_range *range = &ack->ranges[i];
        uint64_t length = range->last - range->first + 1;
        if (i > 0)
            gap = ack->ranges[i - 1].first - 1 - range->last;
        cw_store32le(at + 16 + 8 * i, (uint32_t)gap);
        cw_store32le(at + 20 + 8 * i, length > UINT32_MAX ? UINT32_MAX : (uint32_t)length);
        if (length > UINT32_MAX || gap > UINT32_MAX) { /* what is so far below was acknowledged long ago */
            uint32_t told = gap > UINT32_MAX ? i : i + 1;
            at[1] = (uint8_t)(told | (uint32_t)ack->path << PATH_SHIFT);
            return CW_FRAME_ACK_SIZE(told);
        }
    }
    return CW_FRAME_ACK_SIZE(ack->range_count);
}

size_t cw_frame_write_credit(uint8_t *at, const uint64_t granted[CW_CLASS_COUNT])
{
    memset(at, 0, 8);
    at[0] = CW_FRAME_CREDIT;
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++)
        cw_store64le(at + 8 + 8 * c, granted[c]);
    return CW_FRAME_CREDIT_SIZE;
}

size_t cw_frame_write_ping(uint8_t *at)
{
    memset(at, 0, CW_FRAME_PING_SIZE);
    at[0] = CW_FRAME_PING;
    return CW_FRAME_PING_SIZE;
}

size_t cw_frame_write_value(uint8_t *at, enum cw_frame_type type, uint64_t value)
{
    CW_ASSERT(value >> (8 * CW_FRAME_VALUE_BYTES) == 0);
    cw_store64le(at, value << 8 | type);
    return CW_FRAME_CHALLENGE_SIZE;
}

size_t cw_frame_write_close(uint8_t *at, uint8_t why)
{
    memset(at, 0, CW_FRAME_CLOSE_SIZE);
    at[0] = CW_FRAME_CLOSE;
    at[1] = why;
    return CW_FRAME_CLOSE_SIZE;
}

static_assert(CW_RECOVERED_MAX <= 16, "a bit for each");

size_t cw_frame_write_recovered(uint8_t *at, const struct cw_recovered_list *recovered)
{
    uint64_t highest = 0;
    CW_ASSERT(recovered->early >> recovered->count == 0);
    CW_ASSERT(recovered->count >= 1);
    CW_ASSERT(recovered->count <= CW_RECOVERED_MAX);
    for (uint32_t i = 0; i < recovered->count; i++)
        highest = CW_MAX(highest, recovered->numbers[i]);
    memset(at, 0, 8);
    at[0] = CW_FRAME_RECOVERED;
    at[1] = (uint8_t)(recovered->count | (uint32_t)recovered->path << PATH_SHIFT);
    cw_store16le(at + 2, recovered->early);
    cw_store64le(at + 8, highest);
    for (uint32_t i = 0; i < recovered->count; i++) {
        CW_ASSERT(highest - recovered->numbers[i] <= UINT32_MAX);
        cw_store32le(at + 16 + 4 * i, (uint32_t)(highest - recovered->numbers[i]));
    }
    return CW_FRAME_RECOVERED_SIZE(recovered->count);
}

size_t cw_frame_write_probe(uint8_t *at, size_t length)
{
    CW_ASSERT(length >= CW_FRAME_PING_SIZE);
    memset(at, 0, length);
    at[0] = CW_FRAME_PROBE;
    return length;
}

#define DATA_HAS_GROUP 0x01u

size_t cw_frame_write_data(uint8_t *at, const struct cw_data *data)
{
    at[0] = CW_FRAME_DATA;
    at[1] = data->has_group ? DATA_HAS_GROUP : 0;
    cw_store16le(at + 2, data->head_length);
    cw_store32le(at + 4, data->body_length);
    cw_store32le(at + 8, data->offset);
    cw_store32le(at + 12, data->group);
    cw_store64le(at + 16, data->epoch);
    return CW_FRAME_DATA_SIZE;
}

static size_t decode_ack(const uint8_t *at, size_t left, struct cw_ack *ack)
{
    if (left < CW_FRAME_ACK_SIZE(1))
        return 0;
    ack->marked = cw_load16le(at + 2);
    uint32_t count = at[1] & COUNT_MASK;
    ack->path = at[1] >> PATH_SHIFT;
    if (count < 1 || count > CW_ACK_RANGES_MAX || left < CW_FRAME_ACK_SIZE(count))
        return 0;
    ack->delay_ns = cw_load32le(at + 4);
    ack->range_count = count;
    uint64_t below = cw_load64le(at + 8); /* everything still to come is at or below */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t gap = cw_load32le(at + 16 + 8 * i), length = cw_load32le(at + 20 + 8 * i);
        if ((i == 0) != (gap == 0) || length == 0 || below < gap || below - gap < length)
            return 0;
        ack->ranges[i].last = below - gap;
        ack->ranges[i].first = below - gap - length + 1;
        below = ack->ranges[i].first - 1;
    }
    return CW_FRAME_ACK_SIZE(count);
}

static size_t decode_data(const uint8_t *at, size_t left, struct cw_data *data)
{
    if (left <= CW_FRAME_DATA_SIZE || at[1] & ~DATA_HAS_GROUP)
        return 0;
    *data = (struct cw_data){
        .head_length = cw_load16le(at + 2),
        .body_length = cw_load32le(at + 4),
        .offset = cw_load32le(at + 8),
        .has_group = at[1] & DATA_HAS_GROUP,
        .group = cw_load32le(at + 12),
        .epoch = cw_load64le(at + 16),
        .bytes = at + CW_FRAME_DATA_SIZE,
        .length = (uint32_t)(left - CW_FRAME_DATA_SIZE),
    };
    if (data->head_length < 1 || data->head_length > CW_MESSAGE_HEAD_MAX ||
        data->body_length > CW_RECORD_PAYLOAD_MAX)
        return 0;
    if (data->has_group != (data->head_length >= CW_FRAME_HEAD_WITH_GROUP) ||
        (!data->has_group && (data->group | data->epoch) != 0))
        return 0;
    uint32_t total = data->head_length + data->body_length;
    if (data->offset >= total || data->length > total - data->offset)
        return 0;
    return left;
}

static bool zeros(const uint8_t *at, size_t length)
{
    uint8_t any = 0;
    for (size_t i = 0; i < length; i++)
        any |= at[i];
    return any == 0;
}

static size_t decode_recovered(const uint8_t *at, size_t left, struct cw_recovered_list *recovered)
{
    uint32_t count = at[1] & COUNT_MASK;
    recovered->path = at[1] >> PATH_SHIFT;
    recovered->early = cw_load16le(at + 2);
    if (count < 1 || count > CW_RECOVERED_MAX || left < CW_FRAME_RECOVERED_SIZE(count) ||
        recovered->early >> count != 0 || !zeros(at + 4, 4))
        return 0;
    uint64_t highest = cw_load64le(at + 8);
    recovered->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t below = cw_load32le(at + 16 + 4 * i);
        if (below >= highest)
            return 0;
        recovered->numbers[i] = highest - below;
    }
    return CW_FRAME_RECOVERED_SIZE(count);
}

size_t cw_frame_decode(const uint8_t *at, size_t left, struct cw_frame *frame)
{
    if (left < 8)
        return 0;
    frame->type = at[0];
    switch (at[0]) {
    case CW_FRAME_ACK:
        return decode_ack(at, left, &frame->ack);
    case CW_FRAME_CREDIT:
        if (left < CW_FRAME_CREDIT_SIZE || !zeros(at + 1, 7))
            return 0;
        for (uint32_t c = 0; c < CW_CLASS_COUNT; c++)
            frame->granted[c] = cw_load64le(at + 8 + 8 * c);
        return CW_FRAME_CREDIT_SIZE;
    case CW_FRAME_RECOVERED:
        return decode_recovered(at, left, &frame->recovered);
    case CW_FRAME_PING:
        return zeros(at + 1, 7) ? CW_FRAME_PING_SIZE : 0;
    case CW_FRAME_CLOSE:
        frame->why = at[1];
        return zeros(at + 2, 6) ? CW_FRAME_CLOSE_SIZE : 0;
    case CW_FRAME_PROBE:
        return zeros(at + 1, left - 1) ? left : 0;
    case CW_FRAME_CHALLENGE:
    case CW_FRAME_RESPONSE:
        frame->value = cw_load64le(at) >> 8;
        return CW_FRAME_CHALLENGE_SIZE;
    case CW_FRAME_DATA:
        return decode_data(at, left, &frame->data);
    default:
        return 0;
    }
}
