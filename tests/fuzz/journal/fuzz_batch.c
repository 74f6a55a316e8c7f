/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cw_batch_check and cw_batch_record over any bytes. The target seals the header it is given, when asked to
 * by the first byte, so that a fuzzer does not have to find the hash before it can find anything else.
 */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "journal/batch_format.h"
#include "sizes.h"

const size_t cw_fuzz_input_max = CW_FUZZ_INPUT_MAX;

static const uint64_t id[2] = {1, 2};

static void seal_again(uint8_t *bytes)
{
    uint32_t count = cw_load32le(bytes + CW_BATCH_AT_RECORD_COUNT) % (CW_BATCH_RECORDS_MAX + 1);

    cw_store64le(bytes + CW_BATCH_AT_MAGIC, CW_BATCH_MAGIC);
    cw_store32le(bytes + CW_BATCH_AT_RECORD_COUNT, count);
    cw_store64le(bytes + CW_BATCH_AT_JOURNAL_ID, id[0]);
    cw_store64le(bytes + CW_BATCH_AT_JOURNAL_ID + 8, id[1]);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = bytes + CW_BATCH_AT_RECORDS + i * CW_RECORD_HEADER_SIZE;

        cw_store32le(record + 60, (uint32_t)cw_hash64(record, 60));
    }
    cw_store64le(bytes + CW_BATCH_AT_CHECK, cw_hash64(bytes + CW_BATCH_CHECKED_FROM,
                                                      cw_batch_header_used(count) - CW_BATCH_CHECKED_FROM));
}

static void read_all(const struct cw_batch_view *view, size_t length)
{
    CW_ASSERT(view->record_count <= CW_BATCH_RECORDS_MAX);
    CW_ASSERT(view->sectors >= 1 && view->sectors <= CW_BATCH_SECTORS_MAX);
    if ((uint64_t)view->sectors * CW_SECTOR_SIZE > length)
        return;
    for (uint32_t i = 0; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;

        if (cw_batch_record(view, i, &record, &payload) != CW_OK)
            continue;
        uint32_t size = cw_record_payload_length(&record);
        CW_ASSERT((payload != NULL) == (size > 0));
        CW_ASSERT(size == 0 || (size_t)(payload - view->bytes) + size <= length);
        CW_ASSERT(size == 0 || cw_hash64(payload, size) == record.payload_hash);
    }
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t bytes[CW_FUZZ_INPUT_MAX];
    struct cw_batch_view view;
    bool is_sealed_here = size > 0 && data[0] % 2 == 0;

    if (size < CW_SECTOR_SIZE || size > sizeof bytes)
        return 0;
    if (is_sealed_here) {
        memcpy(bytes, data, size);
        seal_again(bytes);
        data = bytes;
    }
    uint64_t position = cw_load64le(data + CW_BATCH_AT_POSITION);
    enum cw_sector_class class_ = cw_batch_check(data, size, position, CW_FUZZ_RING_SECTORS, id, &view);
    CW_ASSERT(class_ != CW_SECTOR_STALE && class_ != CW_SECTOR_MISDIRECTED);
    if (class_ == CW_SECTOR_VALID)
        read_all(&view, size);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    uint32_t count = (uint32_t)cw_rng_below(rng, 20), laid_out = CW_SECTOR_SIZE;

    memset(data, 0, CW_FUZZ_INPUT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)(1 + cw_rng_below(rng, 16)) * 512;
        uint32_t at = cw_batch_place(laid_out, length);
        struct cw_record record = {
            .kind = CW_RECORD_WRITE, .length = length, .sequence = 1 + i, .epoch = 1, .group = 3};

        memset(data + at, (int)cw_rng_below(rng, 256), length);
        record.payload_hash = cw_hash64(data + at, length);
        cw_record_encode(&record, data + cw_batch_header_used(i));
        laid_out = at + length;
    }
    struct cw_batch_head head = {.journal_id = {id[0], id[1]},
                                 .position = cw_rng_below(rng, 900),
                                 .number = 5,
                                 .sectors = cw_batch_sectors_of(laid_out),
                                 .record_count = count,
                                 .group = 3};
    cw_batch_seal(&head, data);
    data[0] ^= (uint8_t)cw_rng_below(rng, 2);
    return (size_t)head.sectors * CW_SECTOR_SIZE;
}
