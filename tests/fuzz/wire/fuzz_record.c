/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record decoder: whatever decodes is valid and encodes to the same bytes. Since a fuzzer will not guess
 * a hash, the same bytes are tried a second time with their check put right.
 */
#include "fuzz.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "samples.h"

const size_t cw_fuzz_input_max = 4096;

static void decode_and_back(const uint8_t *bytes)
{
    uint8_t again[CW_RECORD_HEADER_SIZE];
    struct cw_record record;

    if (cw_record_decode(bytes, &record) != CW_RECORD_OK)
        return;
    CW_ASSERT(cw_record_valid(&record));
    CW_ASSERT(cw_record_payload_length(&record) <= CW_RECORD_PAYLOAD_MAX);
    cw_record_encode(&record, again);
    CW_ASSERT(memcmp(bytes, again, sizeof again) == 0);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    uint8_t bytes[CW_RECORD_HEADER_SIZE];

    if (size < CW_RECORD_HEADER_SIZE)
        return 0;
    decode_and_back(data + size - CW_RECORD_HEADER_SIZE); /* up to the guard */
    memcpy(bytes, data, sizeof bytes);
    cw_store32le(bytes + 60, (uint32_t)cw_hash64(bytes, 60));
    decode_and_back(bytes);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    struct cw_record record;

    if (cw_rng_below(rng, 8) == 0)
        sample_golden_record(&record);
    else
        sample_random_record(rng, &record);
    cw_record_encode(&record, data);
    return CW_RECORD_HEADER_SIZE;
}
