/* SPDX-License-Identifier: BSD-3-Clause */
/* The record: golden bytes, every single flipped bit, every rule by a record that breaks only that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "hexfile.h"
#include "samples.h"

static void golden_bytes(void **state)
{
    uint8_t expected[CW_RECORD_HEADER_SIZE];
    uint8_t bytes[CW_RECORD_HEADER_SIZE];
    struct cw_record record;

    assert_int_equal(hexfile_read("record", expected, sizeof expected), CW_RECORD_HEADER_SIZE);
    sample_golden_record(&record);
    cw_record_encode(&record, bytes);
    assert_memory_equal(bytes, expected, sizeof bytes);
}

static void each_flipped_bit_is_noticed(void **state)
{
    struct cw_rng rng = {.state = 1};
    uint8_t bytes[CW_RECORD_HEADER_SIZE];
    struct cw_record record, found;

    for (int round = 0; round < 200; round++) {
        sample_random_record(&rng, &record);
        cw_record_encode(&record, bytes);
        for (unsigned bit = 0; bit < 8 * CW_RECORD_HEADER_SIZE; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(cw_record_decode(bytes, &found), CW_RECORD_BAD_CHECK);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(cw_record_decode(bytes, &found), CW_RECORD_OK);
    }
}

static void round_trip(void **state)
{
    struct cw_rng rng = {.state = 2};
    uint8_t bytes[CW_RECORD_HEADER_SIZE], again[CW_RECORD_HEADER_SIZE];
    struct cw_record record, found;

    for (int round = 0; round < 20000; round++) {
        sample_random_record(&rng, &record);
        assert_true(cw_record_valid(&record));
        cw_record_encode(&record, bytes);
        assert_int_equal(cw_record_decode(bytes, &found), CW_RECORD_OK);
        cw_record_encode(&found, again);
        assert_memory_equal(bytes, again, sizeof bytes);
    }
}

/* What is wrong with a record whose check is right: overwrite some bytes of a good one and check it anew. */
struct broken {
    const char *what;
    uint8_t kind;
    uint8_t at;
    uint8_t size; /* bytes overwritten */
    uint64_t value;
    enum cw_record_error expected;
};

static const struct broken broken_table[] = {
    {"kind 0", CW_RECORD_WRITE, 0, 1, 0, CW_RECORD_BAD_KIND},
    {"kind past the last", CW_RECORD_WRITE, 0, 1, CW_RECORD_KIND_COUNT, CW_RECORD_BAD_KIND},
    {"kind 255", CW_RECORD_WRITE, 0, 1, 255, CW_RECORD_BAD_KIND},
    {"lowest unknown flag", CW_RECORD_WRITE, 1, 1, 4, CW_RECORD_BAD_FLAGS},
    {"highest unknown flag", CW_RECORD_WRITE, 1, 1, 0x80, CW_RECORD_BAD_FLAGS},
    {"last volume", CW_RECORD_WRITE, 2, 2, 63, CW_RECORD_OK},
    {"volume past the last", CW_RECORD_WRITE, 2, 2, 64, CW_RECORD_BAD_VOLUME},
    {"volume in the high byte", CW_RECORD_WRITE, 2, 2, 256, CW_RECORD_BAD_VOLUME},
    {"write of nothing", CW_RECORD_WRITE, 4, 4, 0, CW_RECORD_BAD_LENGTH},
    {"write of half a block", CW_RECORD_WRITE, 4, 4, 256, CW_RECORD_BAD_LENGTH},
    {"largest write", CW_RECORD_WRITE, 4, 4, CW_RECORD_PAYLOAD_MAX, CW_RECORD_OK},
    {"write a block too long", CW_RECORD_WRITE, 4, 4, CW_RECORD_PAYLOAD_MAX + 512, CW_RECORD_BAD_LENGTH},
    {"largest zeroes", CW_RECORD_ZEROES, 4, 4, CW_RECORD_EXTENT_MAX, CW_RECORD_OK},
    {"zeroes a block too long", CW_RECORD_ZEROES, 4, 4, CW_RECORD_EXTENT_MAX + 512, CW_RECORD_BAD_LENGTH},
    {"discard of nothing", CW_RECORD_DISCARD, 4, 4, 0, CW_RECORD_BAD_LENGTH},
    {"marker with a length", CW_RECORD_MARKER, 4, 4, 512, CW_RECORD_BAD_LENGTH},
    {"offset inside a block", CW_RECORD_WRITE, 32, 8, 1, CW_RECORD_BAD_OFFSET},
    {"extent to the very end", CW_RECORD_WRITE, 32, 8, UINT64_MAX - 4096 - 511, CW_RECORD_OK},
    {"extent that wraps", CW_RECORD_WRITE, 32, 8, UINT64_MAX - 511, CW_RECORD_BAD_OFFSET},
    {"marker with an offset", CW_RECORD_MARKER, 32, 8, 512, CW_RECORD_BAD_OFFSET},
    {"sequence 0", CW_RECORD_WRITE, 8, 8, 0, CW_RECORD_BAD_SEQUENCE},
    {"epoch 0", CW_RECORD_WRITE, 16, 8, 0, CW_RECORD_BAD_SEQUENCE},
    {"zeroes with a hash", CW_RECORD_ZEROES, 48, 8, 1, CW_RECORD_BAD_HASH},
    {"marker with a hash", CW_RECORD_MARKER, 48, 8, 1, CW_RECORD_BAD_HASH},
    {"wrong check", CW_RECORD_WRITE, 60, 4, 0x12345678, CW_RECORD_BAD_CHECK},
};

static void record_of_kind(uint8_t kind, struct cw_record *record)
{
    sample_golden_record(record);
    record->kind = kind;
    if (kind != CW_RECORD_WRITE)
        record->payload_hash = 0;
    if (kind == CW_RECORD_MARKER)
        record->length = 0;
    if (kind == CW_RECORD_MARKER)
        record->offset = 0;
}

static void broken_records_are_named(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(broken_table); i++) {
        const struct broken *b = &broken_table[i];
        uint8_t bytes[CW_RECORD_HEADER_SIZE];
        uint8_t value[8];
        struct cw_record record;
        const struct cw_record untouched = {.sequence = 77};

        record_of_kind(b->kind, &record);
        cw_record_encode(&record, bytes);
        cw_store64le(value, b->value);
        memcpy(bytes + b->at, value, b->size);
        if (b->at != 60)
            cw_store32le(bytes + 60, (uint32_t)cw_hash64(bytes, 60));
        record = untouched;
        enum cw_record_error found = cw_record_decode(bytes, &record);
        if (found != b->expected)
            fail_msg("%s: %s, not %s", b->what, cw_record_error_name(found),
                     cw_record_error_name(b->expected));
        assert_int_equal(record.sequence, found == CW_RECORD_OK ? 1006 : 77);
    }
}

static void payload_travels_with_writes_only(void **state)
{
    for (uint8_t kind = 1; kind < CW_RECORD_KIND_COUNT; kind++) {
        struct cw_record record;
        record_of_kind(kind, &record);
        assert_int_equal(cw_record_payload_length(&record), kind == CW_RECORD_WRITE ? 4096 : 0);
    }
}

static void every_error_has_a_name(void **state)
{
    for (int e = 0; e < CW_RECORD_ERROR_COUNT; e++)
        assert_string_not_equal(cw_record_error_name(e), "unknown");
    assert_string_equal(cw_record_error_name(CW_RECORD_ERROR_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(each_flipped_bit_is_noticed),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(broken_records_are_named),
        cmocka_unit_test(payload_travels_with_writes_only),
        cmocka_unit_test(every_error_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
