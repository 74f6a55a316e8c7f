/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A salvage file: whatever is in it, the reader ends, what it yields is valid, and a head that decodes
 * encodes to the same fields. Since a fuzzer will not guess a hash, the same bytes are tried again with the
 * head's put right.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "control/salvage_file.h"
#include "fuzz.h"

const size_t cw_fuzz_input_max = 16384;

static struct cw_salvage_file file;

static void head_and_back(const uint8_t *data)
{
    struct cw_salvage_head head, again;
    uint8_t block[CW_SALVAGE_HEAD_SIZE];
    if (cw_salvage_decode(data, &head) != CW_SALVAGE_OK)
        return;
    cw_salvage_encode(&head, block);
    CW_ASSERT(cw_salvage_decode(block, &again) == CW_SALVAGE_OK);
    CW_ASSERT(again.size == head.size && again.digest == head.digest &&
              again.reign_count == head.reign_count);
    CW_ASSERT(strcmp(again.name, head.name) == 0);
}

static void walk(const uint8_t *data, size_t size, uint64_t told_size)
{
    FILE *from = fmemopen((void *)(uintptr_t)data, size, "r");
    int64_t wall_ns;
    CW_ASSERT(from != NULL);
    uint64_t count = 0;
    if (cw_salvage_file_begin(&file, from, told_size)) {
        while (cw_salvage_file_next(&file)) {
            CW_ASSERT(cw_record_valid(&file.record));
            CW_ASSERT(file.record.sequence > file.head.above);
            (void)cw_salvage_file_acknowledged(&file, false);
            (void)cw_salvage_file_wall(&file, &wall_ns);
            count++;
        }
        CW_ASSERT(count <= size / CW_RECORD_HEADER_SIZE);
        if (!file.is_old && !file.why[0])
            CW_ASSERT(count == file.head.records && file.at == file.head.size);
    } else {
        CW_ASSERT(file.why[0] != 0);
    }
    fclose(from);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t right[1 << 20];
    if (size == 0 || size > sizeof right)
        return 0;
    walk(data, size, 0);
    if (size < CW_SALVAGE_HEAD_SIZE)
        return 0;
    memcpy(right, data, size);
    cw_store64le(right + 32, cw_hash64(right + 40, CW_SALVAGE_HEAD_SIZE - 40));
    head_and_back(right);
    walk(right, size, size);
    return 0;
}

/* A few records, sound; now and then of version 1. */
size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    struct cw_salvage_head head = {.group = 1,
                                   .name = "db",
                                   .site_name = "east",
                                   .above = 5,
                                   .reign_count = 1,
                                   .reigns = {{.epoch = 2, .reign = 3}}};
    bool is_old = cw_rng_below(rng, 4) == 0;
    size_t at = is_old ? (size_t)snprintf((char *)data, 64, "causeway salvage 1 group 1 above 5\n")
                       : CW_SALVAGE_HEAD_SIZE;
    uint64_t records = cw_rng_below(rng, 6);
    for (uint64_t i = 0; i < records; i++) {
        struct cw_record record = {.kind = CW_RECORD_WRITE,
                                   .sequence = 6 + i,
                                   .epoch = 2,
                                   .reign = 3,
                                   .group = 1,
                                   .length = 512 * (1 + (uint32_t)cw_rng_below(rng, 3))};
        uint8_t *payload = data + at + CW_RECORD_HEADER_SIZE;
        memset(payload, (int)i, record.length);
        record.payload_hash = cw_hash64(payload, record.length);
        cw_record_encode(&record, data + at);
        head.digest = cw_salvage_digest(head.digest, data + at);
        head.bytes += record.length;
        at += CW_RECORD_HEADER_SIZE + record.length;
    }
    head.first = records ? 6 : 0;
    head.last = records ? 5 + records : 0;
    head.records = head.writes = records;
    head.size = at;
    if (!is_old)
        cw_salvage_encode(&head, data);
    return at;
}
