/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The message decoder: never a byte past the head, and whatever decodes encodes to the same bytes and has the
 * body it claims. An input is u32 body length (little-endian), then the head. As in fuzz_record.c the check
 * of a record inside is put right for a second try.
 */
#include "fuzz.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "samples.h"

const size_t cw_fuzz_input_max = 4096;

enum { RECORD_AT = 40, RECORD_MESSAGE_BYTES = RECORD_AT + CW_RECORD_HEADER_SIZE };

static void decode_and_back(const uint8_t *head, uint32_t head_length, uint32_t body_length)
{
    uint8_t again[CW_MESSAGE_HEAD_MAX];
    struct cw_message message;

    enum cw_message_error error = cw_message_decode(head, head_length, body_length, &message);
    CW_ASSERT((unsigned)error < CW_MESSAGE_ERROR_COUNT);
    if (error != CW_MESSAGE_OK)
        return;
    CW_ASSERT(head_length <= CW_MESSAGE_HEAD_MAX);
    CW_ASSERT(cw_message_body_length(&message) == body_length);
    CW_ASSERT(cw_message_encode(&message, again) == head_length);
    CW_ASSERT(memcmp(head, again, head_length) == 0);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    uint8_t mended[RECORD_MESSAGE_BYTES];

    if (size < sizeof(uint32_t) || size > cw_fuzz_input_max)
        return 0;
    uint32_t body_length = cw_load32le(data);
    const uint8_t *head = data + sizeof(uint32_t);
    uint32_t head_length = (uint32_t)(size - sizeof(uint32_t));

    decode_and_back(head, head_length, body_length);
    if (head_length != RECORD_MESSAGE_BYTES || head[0] != CW_MSG_RECORD)
        return 0;
    memcpy(mended, head, sizeof mended);
    cw_store32le(mended + RECORD_AT + 60, (uint32_t)cw_hash64(mended + RECORD_AT, 60));
    decode_and_back(mended, sizeof mended, body_length);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    enum cw_message_type type = 1 + (enum cw_message_type)cw_rng_below(rng, CW_MSG_TYPE_COUNT - 1);
    struct cw_message message;

    if (cw_rng_below(rng, 8) == 0)
        sample_golden_message(type, &message);
    else
        sample_random_message(rng, type, &message);
    cw_store32le(data, cw_message_body_length(&message));
    return sizeof(uint32_t) + cw_message_encode(&message, data + sizeof(uint32_t));
}
