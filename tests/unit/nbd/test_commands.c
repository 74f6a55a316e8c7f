/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding and judging requests: a table of what is said and what it is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "frontend/nbd_commands.h"

#define SIZE (64u << 20)
#define MAX  (4u << 20)

struct row {
    uint16_t flags, type;
    uint64_t offset;
    uint32_t length;
    uint32_t error;
};

static const struct row rows[] = {
    {0, CW_NBD_CMD_READ, 0, 512, 0},
    {0, CW_NBD_CMD_READ, 0, 0, 0},
    {0, CW_NBD_CMD_READ, SIZE, 0, 0},
    {0, CW_NBD_CMD_READ, SIZE - 512, 512, 0},
    {0, CW_NBD_CMD_READ, 0, MAX, 0},
    {0, CW_NBD_CMD_READ, 0, MAX + 512, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_DF, CW_NBD_CMD_READ, 0, MAX + 512, CW_NBD_EOVERFLOW},
    {CW_NBD_CMD_FLAG_DF | CW_NBD_CMD_FLAG_FUA, CW_NBD_CMD_READ, 0, 512, 0},
    {0, CW_NBD_CMD_READ, SIZE, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_READ, SIZE - 512, 1024, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_READ, UINT64_MAX - 511, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_READ, UINT64_MAX, UINT32_MAX, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_READ, 1, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_READ, 0, 511, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_NO_HOLE, CW_NBD_CMD_READ, 0, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_WRITE, SIZE - 512, 512, 0},
    {0, CW_NBD_CMD_WRITE, SIZE, 512, CW_NBD_ENOSPC},
    {0, CW_NBD_CMD_WRITE, 0, MAX + 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_WRITE, 256, 512, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_FUA, CW_NBD_CMD_WRITE, 0, 512, 0},
    {0x20, CW_NBD_CMD_WRITE, 0, 512, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_DF, CW_NBD_CMD_WRITE, 0, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_FLUSH, 0, 0, 0},
    {CW_NBD_CMD_FLAG_FUA, CW_NBD_CMD_FLUSH, 0, 0, 0},
    {0, CW_NBD_CMD_FLUSH, 0, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_FLUSH, 512, 0, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_FUA, CW_NBD_CMD_TRIM, 0, SIZE, 0},
    {0, CW_NBD_CMD_TRIM, 512, SIZE, CW_NBD_ENOSPC},
    {CW_NBD_CMD_FLAG_NO_HOLE, CW_NBD_CMD_TRIM, 0, 512, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_NO_HOLE | CW_NBD_CMD_FLAG_FAST_ZERO, CW_NBD_CMD_WRITE_ZEROES, 0, SIZE, 0},
    {0, CW_NBD_CMD_WRITE_ZEROES, SIZE, 512, CW_NBD_ENOSPC},
    {0, CW_NBD_CMD_WRITE_ZEROES, 0, 100, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_CACHE, 0, SIZE, 0},
    {0, CW_NBD_CMD_CACHE, 512, SIZE, CW_NBD_EINVAL},
    {CW_NBD_CMD_FLAG_REQ_ONE, CW_NBD_CMD_BLOCK_STATUS, 0, SIZE, 0},
    {0, CW_NBD_CMD_BLOCK_STATUS, 0, 0, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_BLOCK_STATUS, SIZE, 512, CW_NBD_EINVAL},
    {0, CW_NBD_CMD_DISC, 0, 0, 0},
    {0, CW_NBD_CMD_COUNT, 0, 0, CW_NBD_EINVAL},
    {0, 0xffff, 0, 0, CW_NBD_EINVAL},
};

static void test_table(void **state)
{
    const struct cw_nbd_terms terms = {
        .size = SIZE, .block_size = 512, .is_structured = true, .has_context = true};
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        const struct cw_nbd_command command = {
            .flags = rows[i].flags, .type = rows[i].type, .offset = rows[i].offset, .length = rows[i].length};
        struct cw_nbd_verdict verdict = cw_nbd_command_check(&command, &terms);
        if (verdict.error != rows[i].error)
            fail_msg("row %zu: error %u, expected %u", i, verdict.error, rows[i].error);
        assert_false(verdict.is_fatal);
        assert_int_equal(verdict.why != NULL, verdict.error != 0);
    }
}

static uint32_t judge(struct cw_nbd_command command, struct cw_nbd_terms terms)
{
    return cw_nbd_command_check(&command, &terms).error;
}

static void test_terms(void **state)
{
    struct cw_nbd_terms terms = {.size = SIZE, .block_size = 4096};
    struct cw_nbd_command command = {.type = CW_NBD_CMD_READ, .offset = 4096, .length = 4096};
    assert_int_equal(judge(command, terms), 0);
    command.flags = CW_NBD_CMD_FLAG_DF;
    assert_int_equal(judge(command, terms), CW_NBD_EINVAL);
    command.flags = 0;
    command.offset = 512;
    assert_int_equal(judge(command, terms), CW_NBD_EINVAL);
    command = (struct cw_nbd_command){.type = CW_NBD_CMD_BLOCK_STATUS, .length = 4096};
    assert_int_equal(judge(command, terms), CW_NBD_EINVAL);
}

static void test_payload_too_long_to_skip(void **state)
{
    const struct cw_nbd_terms terms = {.size = SIZE, .block_size = 512};
    struct cw_nbd_command command = {.type = CW_NBD_CMD_WRITE, .length = 32u << 20};
    assert_false(cw_nbd_command_check(&command, &terms).is_fatal);
    command.length++;
    assert_true(cw_nbd_command_check(&command, &terms).is_fatal);
    assert_int_equal(cw_nbd_command_check(&command, &terms).error, CW_NBD_EINVAL);
}

static void test_decode(void **state)
{
    static const uint8_t golden[CW_NBD_REQUEST_BYTES] = {
        0x25, 0x60, 0x95, 0x13, 0x00, 0x01, 0x00, 0x06, 1,    2,    3,    4,    5,    6,
        7,    8,    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x02, 0x00, 0x00, 0x01, 0x00, 0x00};
    struct cw_nbd_command command;
    assert_true(cw_nbd_command_decode(golden, &command));
    assert_int_equal(command.flags, 1);
    assert_int_equal(command.type, CW_NBD_CMD_WRITE_ZEROES);
    assert_true(command.cookie == 0x0102030405060708ull);
    assert_true(command.offset == 0x100000200ull);
    assert_int_equal(command.length, 65536);
    for (uint32_t bit = 0; bit < 32; bit++) {
        uint8_t bytes[CW_NBD_REQUEST_BYTES];
        memcpy(bytes, golden, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(cw_nbd_command_decode(bytes, &command));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_terms),
                                       cmocka_unit_test(test_payload_too_long_to_skip),
                                       cmocka_unit_test(test_decode)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
