/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages: golden bytes, round trips, every length but the right one, and tables of "receive X, expect Y".
 * A row of such a table overwrites some bytes of a golden message, so that it breaks one rule and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "hexfile.h"
#include "samples.h"

static void golden_bytes(void **state)
{
    for (enum cw_message_type type = 1; type < CW_MSG_TYPE_COUNT; type++) {
        uint8_t expected[CW_MESSAGE_HEAD_MAX], bytes[CW_MESSAGE_HEAD_MAX];
        struct cw_message message, found;

        sample_golden_message(type, &message);
        uint32_t length = cw_message_encode(&message, bytes);
        assert_int_equal(hexfile_read(sample_golden_name(type), expected, sizeof expected), length);
        assert_memory_equal(bytes, expected, length);

        enum cw_message_error error =
            cw_message_decode(expected, length, cw_message_body_length(&message), &found);
        assert_int_equal(error, CW_MESSAGE_OK);
        assert_int_equal(cw_message_encode(&found, bytes), length);
        assert_memory_equal(bytes, expected, length);
    }
}

static void round_trip(void **state)
{
    struct cw_rng rng = {.state = 3};
    uint8_t bytes[CW_MESSAGE_HEAD_MAX], again[CW_MESSAGE_HEAD_MAX];
    struct cw_message message, found;

    for (int round = 0; round < 20000; round++) {
        enum cw_message_type type = 1 + (enum cw_message_type)cw_rng_below(&rng, CW_MSG_TYPE_COUNT - 1);
        sample_random_message(&rng, type, &message);
        uint32_t body_length = cw_message_body_length(&message);
        uint32_t length = cw_message_encode(&message, bytes);
        memset(&found, 0xff, sizeof found);
        assert_int_equal(cw_message_decode(bytes, length, body_length, &found), CW_MESSAGE_OK);
        assert_int_equal(cw_message_body_length(&found), body_length);
        assert_int_equal(cw_message_encode(&found, again), length);
        assert_memory_equal(bytes, again, length);
    }
}

static void the_largest_of_each_type_fits(void **state)
{
    static const uint32_t length_max[CW_MSG_TYPE_COUNT] = {
        [CW_MSG_HELLO] = 2048,  [CW_MSG_ATTACH] = 812,       [CW_MSG_ATTACHED] = 44,
        [CW_MSG_RECORD] = 104,  [CW_MSG_COMMIT] = 64,        [CW_MSG_ACK] = 88,
        [CW_MSG_FETCH] = 48,    [CW_MSG_COPY_BEGIN] = 1976,  [CW_MSG_COPY_CHUNK] = 79,
        [CW_MSG_COPY_END] = 56, [CW_MSG_COPY_ACK] = 56,      [CW_MSG_GRANT_ASK] = 44,
        [CW_MSG_GRANT] = 48,    [CW_MSG_GRANT_RELEASE] = 32,
    };
    struct cw_rng rng = {.state = 4};

    for (enum cw_message_type type = 1; type < CW_MSG_TYPE_COUNT; type++) {
        uint8_t bytes[CW_MESSAGE_HEAD_MAX];
        struct cw_message message;
        uint32_t longest = 0;

        for (int round = 0; round < 1000; round++) {
            sample_random_message(&rng, type, &message);
            longest = CW_MAX(longest, cw_message_encode(&message, bytes));
        }
        assert_int_equal(longest, length_max[type]);
    }
}

/* A prefix is short, anything after the end is long; a wrong body is noticed whichever way it is wrong. */
static void every_other_length_is_refused(void **state)
{
    for (enum cw_message_type type = 1; type < CW_MSG_TYPE_COUNT; type++) {
        uint8_t bytes[CW_MESSAGE_HEAD_MAX] = {0};
        struct cw_message message, found;

        sample_golden_message(type, &message);
        uint32_t body = cw_message_body_length(&message);
        uint32_t length = cw_message_encode(&message, bytes);
        for (uint32_t n = 0; n < length; n++)
            assert_int_equal(cw_message_decode(bytes, n, body, &found), CW_MESSAGE_SHORT);
        for (uint32_t n = length + 1; n <= CW_MESSAGE_HEAD_MAX; n++)
            assert_int_equal(cw_message_decode(bytes, n, body, &found), CW_MESSAGE_LONG);
        assert_int_equal(cw_message_decode(bytes, length, body + 512, &found), CW_MESSAGE_BAD_BODY);
        assert_int_equal(cw_message_decode(bytes, length, body ^ 1, &found), CW_MESSAGE_BAD_BODY);
        if (body)
            assert_int_equal(cw_message_decode(bytes, length, 0, &found), CW_MESSAGE_BAD_BODY);
    }
}

struct row {
    const char *what;
    enum cw_message_type type;
    uint16_t at;
    uint8_t size; /* bytes overwritten */
    uint64_t value;
    enum cw_message_error expected;
};

/* Offsets are those of PROTOCOL.md; HELLO's list of history begins at 120, of volumes at 172. */
static const struct row rows[] = {
    {"version 0", CW_MSG_COMMIT, 1, 1, 0, CW_MESSAGE_BAD_VERSION},
    {"version 2", CW_MSG_COMMIT, 1, 1, 2, CW_MESSAGE_BAD_VERSION},
    {"type 0", CW_MSG_COMMIT, 0, 1, 0, CW_MESSAGE_BAD_TYPE},
    {"type past the last", CW_MSG_COMMIT, 0, 1, CW_MSG_TYPE_COUNT, CW_MESSAGE_BAD_TYPE},
    {"type 255", CW_MSG_COMMIT, 0, 1, 255, CW_MESSAGE_BAD_TYPE},
    {"another version before another type", CW_MSG_COMMIT, 0, 2, 0xffff, CW_MESSAGE_BAD_VERSION},
    {"last site", CW_MSG_COMMIT, 2, 1, 7, CW_MESSAGE_OK},
    {"site past the last", CW_MSG_COMMIT, 2, 1, 8, CW_MESSAGE_BAD_SITE},

    {"HELLO without flags", CW_MSG_HELLO, 3, 1, 0, CW_MESSAGE_OK},
    {"HELLO with an unknown flag", CW_MSG_HELLO, 3, 1, 0x40, CW_MESSAGE_BAD_FIELD},
    {"ATTACH with a flag", CW_MSG_ATTACH, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"ATTACHED with a flag", CW_MSG_ATTACHED, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"RECORD of the live stream", CW_MSG_RECORD, 3, 1, 0, CW_MESSAGE_OK},
    {"RECORD with an unknown flag", CW_MSG_RECORD, 3, 1, 2, CW_MESSAGE_BAD_FIELD},
    {"COMMIT with a flag", CW_MSG_COMMIT, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"ACK with a flag", CW_MSG_ACK, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"FETCH with a flag", CW_MSG_FETCH, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"COPY_BEGIN that continues", CW_MSG_COPY_BEGIN, 3, 1, CW_COPY_CONTINUES, CW_MESSAGE_OK},
    {"COPY_BEGIN with an unknown flag", CW_MSG_COPY_BEGIN, 3, 1, 2, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK with a flag", CW_MSG_COPY_CHUNK, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"COPY_END with a flag", CW_MSG_COPY_END, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"COPY_ACK of a failure, that continues", CW_MSG_COPY_ACK, 3, 1, CW_COPY_CONTINUES, CW_MESSAGE_BAD_FIELD},
    {"COPY_ACK with an unknown flag", CW_MSG_COPY_ACK, 3, 1, 2, CW_MESSAGE_BAD_FIELD},

    {"HELLO, one history entry too many", CW_MSG_HELLO, 120, 4, 33, CW_MESSAGE_BAD_FIELD},
    {"HELLO, a history without end", CW_MSG_HELLO, 120, 4, UINT32_MAX, CW_MESSAGE_BAD_FIELD},
    {"HELLO, more history than bytes", CW_MSG_HELLO, 120, 4, 32, CW_MESSAGE_SHORT},
    {"HELLO, epoch 0 in the history", CW_MSG_HELLO, 124, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"HELLO, an epoch twice", CW_MSG_HELLO, 124, 8, 7, CW_MESSAGE_BAD_FIELD},
    {"HELLO, epochs that fall", CW_MSG_HELLO, 124, 8, 8, CW_MESSAGE_BAD_FIELD},
    {"HELLO, first sequence 0", CW_MSG_HELLO, 140, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"HELLO, an epoch that wrote nothing", CW_MSG_HELLO, 140, 8, 501, CW_MESSAGE_OK},
    {"HELLO, first sequences that fall", CW_MSG_HELLO, 140, 8, 502, CW_MESSAGE_BAD_FIELD},
    {"HELLO, one volume too many", CW_MSG_HELLO, 172, 4, 65, CW_MESSAGE_BAD_FIELD},
    {"HELLO, more volumes than bytes", CW_MSG_HELLO, 172, 4, 64, CW_MESSAGE_SHORT},
    {"HELLO, fewer volumes than bytes", CW_MSG_HELLO, 172, 4, 1, CW_MESSAGE_LONG},
    {"HELLO, volume out of range", CW_MSG_HELLO, 176, 2, 64, CW_MESSAGE_BAD_FIELD},
    {"HELLO, a volume twice", CW_MSG_HELLO, 176, 2, 63, CW_MESSAGE_BAD_FIELD},
    {"HELLO, a volume of no size", CW_MSG_HELLO, 178, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"HELLO, a volume of half a block", CW_MSG_HELLO, 178, 8, 256, CW_MESSAGE_BAD_FIELD},

    {"ATTACH, one history entry too many", CW_MSG_ATTACH, 40, 4, 33, CW_MESSAGE_BAD_FIELD},
    {"ATTACH, an epoch twice", CW_MSG_ATTACH, 44, 8, 7, CW_MESSAGE_BAD_FIELD},
    {"ATTACHED, last result", CW_MSG_ATTACHED, 32, 4, CW_ATTACH_FAILED, CW_MESSAGE_OK},
    {"ATTACHED, unknown result", CW_MSG_ATTACHED, 32, 4, CW_ATTACH_FAILED + 1, CW_MESSAGE_BAD_FIELD},

    {"RECORD, another group than its message", CW_MSG_RECORD, 4, 4, 1, CW_MESSAGE_BAD_FIELD},
    {"RECORD, a changed record", CW_MSG_RECORD, 48, 8, 1, CW_MESSAGE_BAD_RECORD},
    {"RECORD, a changed check", CW_MSG_RECORD, 100, 4, 1, CW_MESSAGE_BAD_RECORD},

    {"FETCH from 0", CW_MSG_FETCH, 32, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"FETCH of one", CW_MSG_FETCH, 32, 8, 1005, CW_MESSAGE_OK},
    {"FETCH backwards", CW_MSG_FETCH, 32, 8, 1006, CW_MESSAGE_BAD_FIELD},

    {"COPY_BEGIN, history too long", CW_MSG_COPY_BEGIN, 48, 4, 33, CW_MESSAGE_BAD_FIELD},
    {"COPY_BEGIN, epochs that fall", CW_MSG_COPY_BEGIN, 52, 8, 8, CW_MESSAGE_BAD_FIELD},
    {"COPY_BEGIN, too many volumes", CW_MSG_COPY_BEGIN, 100, 4, 65, CW_MESSAGE_BAD_FIELD},
    {"COPY_BEGIN, a volume twice", CW_MSG_COPY_BEGIN, 104, 2, 63, CW_MESSAGE_BAD_FIELD},

    {"COPY_CHUNK of nothing", CW_MSG_COPY_CHUNK, 72, 4, 0, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK of half a block", CW_MSG_COPY_CHUNK, 72, 4, 256, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK a block too long", CW_MSG_COPY_CHUNK, 72, 4, CW_RECORD_PAYLOAD_MAX + 512,
     CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK of another length than its body", CW_MSG_COPY_CHUNK, 72, 4, 512, CW_MESSAGE_BAD_BODY},
    {"COPY_CHUNK, volume out of range", CW_MSG_COPY_CHUNK, 76, 2, 64, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK, zero as 2", CW_MSG_COPY_CHUNK, 78, 1, 2, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK, zero with a hash", CW_MSG_COPY_CHUNK, 78, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK, offset inside a block", CW_MSG_COPY_CHUNK, 56, 8, 1, CW_MESSAGE_BAD_FIELD},
    {"COPY_CHUNK, extent that wraps", CW_MSG_COPY_CHUNK, 56, 8, UINT64_MAX - 511, CW_MESSAGE_BAD_FIELD},

    {"COPY_ACK, unknown state", CW_MSG_COPY_ACK, 40, 4, 4, CW_MESSAGE_BAD_FIELD},
    {"COPY_ACK, a reason without failure", CW_MSG_COPY_ACK, 40, 4, CW_COPY_DONE, CW_MESSAGE_BAD_FIELD},
    {"COPY_ACK, unknown reason", CW_MSG_COPY_ACK, 44, 4, 999, CW_MESSAGE_BAD_FIELD},

    {"GRANT_ASK with a flag", CW_MSG_GRANT_ASK, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"GRANT_ASK without a number", CW_MSG_GRANT_ASK, 32, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"GRANT_ASK for no time", CW_MSG_GRANT_ASK, 40, 4, 0, CW_MESSAGE_BAD_FIELD},
    {"GRANT with a flag", CW_MSG_GRANT, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
    {"GRANT of no ask", CW_MSG_GRANT, 32, 8, 0, CW_MESSAGE_BAD_FIELD},
    {"GRANT, unknown result", CW_MSG_GRANT, 40, 4, CW_GRANT_RESULT_COUNT, CW_MESSAGE_BAD_FIELD},
    {"GRANT, refused and given", CW_MSG_GRANT, 40, 4, CW_GRANT_STALE, CW_MESSAGE_BAD_FIELD},
    {"GRANT of no time", CW_MSG_GRANT, 44, 4, 0, CW_MESSAGE_BAD_FIELD},
    {"GRANT_RELEASE with a flag", CW_MSG_GRANT_RELEASE, 3, 1, 1, CW_MESSAGE_BAD_FIELD},
};

static void malformed_messages_are_named(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        const struct row *r = &rows[i];
        uint8_t bytes[CW_MESSAGE_HEAD_MAX];
        uint8_t value[8];
        struct cw_message message;

        sample_golden_message(r->type, &message);
        uint32_t body = cw_message_body_length(&message);
        uint32_t length = cw_message_encode(&message, bytes);
        cw_store64le(value, r->value);
        memcpy(bytes + r->at, value, r->size);
        enum cw_message_error found = cw_message_decode(bytes, length, body, &message);
        if (found != r->expected)
            fail_msg("%s: %s, not %s", r->what, cw_message_error_name(found),
                     cw_message_error_name(r->expected));
    }
}

/* A zero chunk may be long, and has no body. */
static void zero_chunks(void **state)
{
    uint8_t bytes[CW_MESSAGE_HEAD_MAX];
    struct cw_message message;

    sample_golden_message(CW_MSG_COPY_CHUNK, &message);
    message.copy_chunk.is_zero = 1;
    message.copy_chunk.payload_hash = 0;
    message.copy_chunk.length = CW_RECORD_EXTENT_MAX;
    uint32_t length = cw_message_encode(&message, bytes);
    assert_int_equal(cw_message_decode(bytes, length, 0, &message), CW_MESSAGE_OK);
    assert_int_equal(cw_message_decode(bytes, length, 512, &message), CW_MESSAGE_BAD_BODY);
    cw_store32le(bytes + 72, CW_RECORD_EXTENT_MAX + 512);
    assert_int_equal(cw_message_decode(bytes, length, 0, &message), CW_MESSAGE_BAD_FIELD);
}

/* Records without payload travel without body. */
static void record_of_zeroes(void **state)
{
    uint8_t bytes[CW_MESSAGE_HEAD_MAX];
    struct cw_message message;

    sample_golden_message(CW_MSG_RECORD, &message);
    message.record.record.kind = CW_RECORD_ZEROES;
    message.record.record.payload_hash = 0;
    uint32_t length = cw_message_encode(&message, bytes);
    assert_int_equal(cw_message_decode(bytes, length, 0, &message), CW_MESSAGE_OK);
    assert_int_equal(cw_message_decode(bytes, length, 4096, &message), CW_MESSAGE_BAD_BODY);
}

static void histories(void **state)
{
    struct cw_history h = {.count = 0};

    assert_true(cw_history_valid(&h));
    h = (struct cw_history){.count = 2, .entries = {{1, 9, 1}, {2, 8, 1}}};
    assert_true(cw_history_valid(&h)); /* an epoch may have written nothing */
    h.entries[1].epoch = 1;
    assert_false(cw_history_valid(&h));
    h.entries[1] = (struct cw_history_entry){2, 8, 0};
    assert_false(cw_history_valid(&h));
    h.count = CW_HISTORY_MAX + 1;
    assert_false(cw_history_valid(&h));
}

static void every_name_is_known(void **state)
{
    for (int e = 0; e < CW_MESSAGE_ERROR_COUNT; e++)
        assert_string_not_equal(cw_message_error_name(e), "unknown");
    assert_string_equal(cw_message_error_name(CW_MESSAGE_ERROR_COUNT), "unknown");
    for (int t = 1; t < CW_MSG_TYPE_COUNT; t++)
        assert_string_not_equal(cw_message_type_name(t), "?");
    assert_string_equal(cw_message_type_name(CW_MSG_NONE), "?");
    assert_string_equal(cw_message_type_name(CW_MSG_TYPE_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(the_largest_of_each_type_fits),
        cmocka_unit_test(every_other_length_is_refused),
        cmocka_unit_test(malformed_messages_are_named),
        cmocka_unit_test(zero_chunks),
        cmocka_unit_test(record_of_zeroes),
        cmocka_unit_test(histories),
        cmocka_unit_test(every_name_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
