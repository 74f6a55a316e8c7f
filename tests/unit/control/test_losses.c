/* SPDX-License-Identifier: BSD-3-Clause */
/* What a takeover may have lost, from what was heard; and reading salvage files that are whole, old, or
 * wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/numbers.h"
#include "control/losses.h"
#include "control/salvage_file.h"

/* ---------------------------------------------------------------- the estimate */

static struct cw_loss judge(struct cw_loss_facts facts)
{
    struct cw_loss loss;
    facts.site = "west";
    facts.from = "east";
    cw_loss_judge(&facts, &loss);
    return loss;
}

static void test_none(void **state)
{
    static const struct {
        struct cw_loss_facts facts;
        bool is_none;
    } rows[] = {
        {{.mode = CW_WORD_SYNC, .is_member = true}, true},
        {{.mode = CW_WORD_SEMI_SYNC, .is_member = true}, true},
        {{.mode = CW_WORD_ASYNC, .is_member = true},
         false}, /* a set that async does not have protects nothing */
        {{.mode = CW_WORD_NETWORK_SYNC, .is_member = true}, false},
        {{.mode = CW_WORD_SYNC}, false},
        {{.mode = CW_WORD_SYNC, .has_reached_member = true}, true},
        {{.mode = CW_WORD_ASYNC, .has_reached_member = true}, false},
        {{.mode = CW_WORD_ASYNC, .is_handed_over = true}, true},
        {{.mode = CW_WORD_SYNC, .is_member = true, .is_inconsistent = true}, false},
    };
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        struct cw_loss loss = judge(rows[i].facts);
        assert_int_equal(loss.kind == CW_LOSS_NONE, rows[i].is_none);
        assert_int_equal(loss.kind == CW_LOSS_UNKNOWN, !rows[i].is_none); /* nothing was heard */
        assert_true(loss.words[0] != 0);
        assert_int_equal(loss.writes, 0);
    }
}

/* By the engine's last word alone: what it had given out and is not here; nothing is smaller than it may be.
 */
static void test_by_heartbeat(void **state)
{
    struct cw_loss_facts facts = {.mode = CW_WORD_ASYNC,
                                  .held = 100,
                                  .heard = {.is_known = true,
                                            .head = 140,
                                            .age_seconds = 5.5,
                                            .lag_seconds = 0.25,
                                            .writes_per_second = 10.1}};
    struct cw_loss loss = judge(facts);
    assert_int_equal(loss.kind, CW_LOSS_BOUNDED);
    assert_int_equal(loss.writes, 40);
    assert_int_equal(loss.bytes, 40 * CW_RECORD_PAYLOAD_MAX);
    assert_true(loss.seconds == 0.25 && loss.silent_seconds == 5.5);
    assert_true(loss.is_rate_known);
    assert_int_equal(loss.after_writes, 56); /* 55.55, upwards */
    facts.held = 200;
    loss = judge(facts);
    assert_int_equal(loss.writes, 0);
    assert_int_equal(loss.bytes, 0);
    assert_true(loss.seconds == 0);
    facts.heard.writes_per_second = 0;
    assert_false(judge(facts).is_rate_known);
    assert_non_null(strstr(judge(facts).words, "not known"));
}

/* The newer word says how old, the larger one how far; the bytes are of the status, and of what came after
 * it. */
static void test_by_both(void **state)
{
    struct cw_loss_facts facts = {.mode = CW_WORD_ASYNC,
                                  .held = 100,
                                  .heard = {.is_known = true,
                                            .head = 150,
                                            .age_seconds = 2,
                                            .lag_seconds = 0.1,
                                            .writes_per_second = 5},
                                  .status = {.is_known = true,
                                             .head = 140,
                                             .age_seconds = 3,
                                             .lag_seconds = 7,
                                             .is_bytes_known = true,
                                             .lag_bytes = 40 * 512,
                                             .writes_per_second = 20,
                                             .bytes_per_second = 20 * 512}};
    struct cw_loss loss = judge(facts);
    assert_int_equal(loss.writes, 50);
    assert_int_equal(loss.bytes, 50 * 512);
    assert_true(loss.seconds == 0.1 && loss.silent_seconds == 2);
    assert_int_equal(loss.after_writes, 40);
    assert_int_equal(loss.after_bytes, 40 * 512);
    facts.heard.age_seconds = 600; /* cut off for long; the status came another way */
    facts.heard.head = 120;
    loss = judge(facts);
    assert_int_equal(loss.writes, 40);
    assert_true(loss.seconds == 7 && loss.silent_seconds == 3);
    facts.status.writes_per_second = facts.heard.writes_per_second = 0;
    loss = judge(facts);
    assert_true(loss.is_rate_known); /* a status counts a second: it was idle */
    assert_int_equal(loss.after_writes, 0);
    facts.heard.head = 141; /* but it has written since, how fast nobody has said */
    loss = judge(facts);
    assert_false(loss.is_rate_known);
    assert_non_null(strstr(loss.words, "not known"));
}

/* ---------------------------------------------------------------- salvage files */

static uint8_t bytes[256 * 1024];
static struct cw_salvage_file file;

/* Records above 10, of epoch 3: a marker, then writes of 512 bytes. */
static size_t make_file(uint64_t writes)
{
    struct cw_salvage_head head = {
        .group = 7,
        .name = "db",
        .site_name = "east",
        .above = 10,
        .last_wanted = 11 + writes,
        .first = 11,
        .last = 11 + writes,
        .records = 1 + writes,
        .writes = writes,
        .bytes = 512 * writes,
        .reign_count = 1,
        .reigns = {{.epoch = 3, .reign = 5, .answered = 13, .wall_offset_ns = 1000, .has_wall = true}}};
    size_t at = CW_SALVAGE_HEAD_SIZE;
    for (uint64_t i = 0; i <= writes; i++) {
        struct cw_record record = {.kind = i ? CW_RECORD_WRITE : CW_RECORD_MARKER,
                                   .sequence = 11 + i,
                                   .epoch = 3,
                                   .reign = 5,
                                   .offset = 512 * i,
                                   .length = i ? 512 : 0,
                                   .time_ns = 100 * i,
                                   .group = 7};
        uint8_t *payload = bytes + at + CW_RECORD_HEADER_SIZE;
        if (i) {
            memset(payload, (int)i, 512);
            record.payload_hash = cw_hash64(payload, 512);
        }
        cw_record_encode(&record, bytes + at);
        head.digest = cw_salvage_digest(head.digest, bytes + at);
        at += CW_RECORD_HEADER_SIZE + record.length;
    }
    head.size = at;
    cw_salvage_encode(&head, bytes);
    return at;
}

/* Records read until the end or until something is wrong. */
static uint64_t read_all(size_t length)
{
    uint64_t count = 0;
    FILE *from = fmemopen(bytes, length, "r");
    assert_non_null(from);
    if (cw_salvage_file_begin(&file, from, length))
        while (cw_salvage_file_next(&file))
            count++;
    fclose(from);
    return count;
}

static void test_whole_file(void **state)
{
    size_t length = make_file(5);
    FILE *from = fmemopen(bytes, length, "r");
    int64_t wall_ns;
    assert_true(cw_salvage_file_begin(&file, from, length));
    for (uint64_t i = 0; i <= 5; i++) {
        assert_true(cw_salvage_file_next(&file));
        assert_int_equal(file.record.sequence, 11 + i);
        assert_true(cw_salvage_file_wall(&file, &wall_ns) && wall_ns == 1000 + 100 * (int64_t)i);
        enum cw_acknowledged known = i == 0                       ? CW_ACKNOWLEDGED_NO
                                     : file.record.sequence <= 13 ? CW_ACKNOWLEDGED_YES
                                                                  : CW_ACKNOWLEDGED_UNKNOWN;
        assert_int_equal(cw_salvage_file_acknowledged(&file, false), known);
        assert_int_equal(cw_salvage_file_acknowledged(&file, true),
                         known == CW_ACKNOWLEDGED_UNKNOWN ? CW_ACKNOWLEDGED_NO : known);
    }
    assert_false(cw_salvage_file_next(&file));
    assert_string_equal(file.why, "");
    assert_int_equal(file.bytes, 5 * 512);
    fclose(from);
}

/* Of a reign that the head says nothing of, nothing is said. */
static void test_other_reign(void **state)
{
    size_t length = make_file(1);
    assert_int_equal(read_all(length), 2);
    file.record.reign = 6;
    int64_t wall_ns;
    assert_int_equal(cw_salvage_file_acknowledged(&file, false), CW_ACKNOWLEDGED_UNKNOWN);
    assert_false(cw_salvage_file_wall(&file, &wall_ns));
}

/* Cut anywhere, also between two records, and with its size not known: it is told. */
static void test_cut_anywhere(void **state)
{
    size_t length = make_file(3);
    for (size_t cut = 1; cut < length; cut++) {
        read_all(cut);
        assert_true(file.why[0] != 0);
        FILE *from = fmemopen(bytes, cut, "r");
        if (cw_salvage_file_begin(&file, from, 0))
            while (cw_salvage_file_next(&file))
                ;
        assert_true(file.why[0] != 0);
        fclose(from);
    }
}

static void test_each_flipped_bit(void **state)
{
    size_t length = make_file(2);
    for (size_t at = 0; at < length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1u << bit);
            uint64_t count = read_all(length);
            assert_true(file.why[0] != 0);
            assert_true(count < 3);
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    assert_int_equal(read_all(length), 3);
    assert_string_equal(file.why, "");
}

/* Sound records that are not those of this file: in another order, one instead of another. */
static void test_other_records(void **state)
{
    size_t length = make_file(2), record = CW_RECORD_HEADER_SIZE + 512;
    uint8_t kept[CW_RECORD_HEADER_SIZE + 512];
    memcpy(kept, bytes + length - record, record);
    memmove(bytes + length - record, bytes + length - 2 * record, record);
    memcpy(bytes + length - 2 * record, kept, record);
    assert_int_equal(read_all(length), 3);
    assert_non_null(strstr(file.why, "not those"));
}

static void test_unfinished_and_foreign(void **state)
{
    size_t length = make_file(2);
    memset(bytes, 0, CW_SALVAGE_HEAD_SIZE);
    assert_int_equal(read_all(length), 0);
    assert_non_null(strstr(file.why, "never finished"));
    memset(bytes, 'x', CW_SALVAGE_HEAD_SIZE);
    assert_int_equal(read_all(length), 0);
    assert_non_null(strstr(file.why, "no salvage file"));
    memcpy(bytes, "causeway salvage 3\n", 19);
    assert_int_equal(read_all(length), 0);
    assert_non_null(strstr(file.why, "version"));
}

/* As older engines left them. */
static void test_version_1(void **state)
{
    static const char line[] = "causeway salvage 1 group 7 above 10\n";
    size_t length = make_file(2), head = sizeof line - 1;
    memcpy(bytes, line, head);
    memmove(bytes + head, bytes + CW_SALVAGE_HEAD_SIZE, length - CW_SALVAGE_HEAD_SIZE);
    length -= CW_SALVAGE_HEAD_SIZE - head;
    assert_int_equal(read_all(length), 3);
    assert_string_equal(file.why, "");
    assert_int_equal(cw_salvage_file_acknowledged(&file, false), CW_ACKNOWLEDGED_UNKNOWN);
    assert_int_equal(read_all(length - 1), 2);
    assert_non_null(strstr(file.why, "in the middle"));
}

/* In pages, as a controller reads it. */
static void test_in_pages(void **state)
{
    size_t length = make_file(4);
    uint64_t at = 0, count = 0;
    for (int page = 0; page < 5; page++) {
        FILE *from = fmemopen(bytes, length, "r");
        assert_true(cw_salvage_file_begin(&file, from, length));
        if (at)
            assert_true(cw_salvage_file_seek(&file, at));
        assert_true(cw_salvage_file_next(&file));
        assert_int_equal(file.record.sequence, 11 + count);
        count++;
        at = file.at;
        fclose(from);
    }
    FILE *from = fmemopen(bytes, length, "r");
    assert_true(cw_salvage_file_begin(&file, from, length));
    assert_true(cw_salvage_file_seek(&file, at));
    assert_false(cw_salvage_file_next(&file));
    assert_string_equal(file.why, "");
    assert_true(cw_salvage_file_begin(&file, (rewind(from), from), length));
    assert_false(cw_salvage_file_seek(&file, 7));
    fclose(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_by_heartbeat),
        cmocka_unit_test(test_by_both),
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_other_reign),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_each_flipped_bit),
        cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_unfinished_and_foreign),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
