/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake over bytes: what each option is answered, and what ends the conversation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "frontend/block.h"
#include "harness.h"

struct talk {
    struct cw_nbd_handshake handshake;
    struct cw_nbd_offers offers;
    uint8_t bytes[65536];
    struct cw_nbd_out out;
    enum cw_nbd_handshake_result result;
    size_t consumed;
};

static void start(struct talk *talk, uint32_t client_flags)
{
    static uint8_t out_bytes[8192];
    memset(talk, 0, sizeof *talk);
    talk->offers.offers[0] = (struct cw_nbd_offer){"data", "db/data", 1u << 30, 512};
    talk->offers.offers[1] = (struct cw_nbd_offer){"log", "db/log", 10 * 4096, 4096};
    talk->offers.count = 2;
    talk->out = (struct cw_nbd_out){.bytes = out_bytes, .capacity = sizeof out_bytes};
    cw_nbd_handshake_init(&talk->handshake, &talk->out);
    assert_int_equal(talk->out.length, 18);
    assert_memory_equal(out_bytes, "NBDMAGICIHAVEOPT\0\3", 18);
    uint8_t flags[4];
    cw_store32be(flags, client_flags);
    talk->out.length = 0;
    talk->result =
        cw_nbd_handshake_step(&talk->handshake, &talk->offers, flags, 4, &talk->consumed, &talk->out);
}

/* One whole option; the answers stand in out. */
static void say(struct talk *talk, uint32_t option, const void *data, uint32_t length)
{
    size_t all = harness_put_option(talk->bytes, option, data, length);
    talk->out.length = 0;
    for (size_t i = 0; i < all && i < 200; i++) { /* no part of it may have an effect */
        enum cw_nbd_handshake_result result = cw_nbd_handshake_step(
            &talk->handshake, &talk->offers, talk->bytes, i, &talk->consumed, &talk->out);
        assert_int_equal(result, CW_NBD_HANDSHAKE_MORE);
        assert_int_equal(talk->consumed, 0);
    }
    talk->result =
        cw_nbd_handshake_step(&talk->handshake, &talk->offers, talk->bytes, all, &talk->consumed, &talk->out);
    assert_int_equal(talk->out.length > 0 || talk->result == CW_NBD_HANDSHAKE_BROKEN, 1);
}

/* The type of the nth option reply in out; 0 when there are fewer. Its data in *data. */
static uint32_t reply(const struct talk *talk, uint32_t n, const uint8_t **data, uint32_t *length)
{
    size_t at = 0;
    while (at + 20 <= talk->out.length) {
        const uint8_t *header = talk->out.bytes + at;
        assert_true(cw_load64be(header) == CW_NBD_MAGIC_OPTION_REPLY);
        *length = cw_load32be(header + 16);
        *data = header + 20;
        at += 20 + *length;
        assert_true(at <= talk->out.length);
        if (n-- == 0)
            return cw_load32be(header + 12);
    }
    assert_int_equal(at, talk->out.length);
    return 0;
}

static void expect(const struct talk *talk, uint32_t n, uint32_t type)
{
    const uint8_t *data = NULL;
    uint32_t length = 0;
    assert_int_equal(reply(talk, n, &data, &length), type);
}

static uint32_t name_data(uint8_t *to, const char *name, uint32_t info_count)
{
    uint32_t length = (uint32_t)strlen(name);
    cw_store32be(to, length);
    memcpy(to + 4, name, length);
    cw_store16be(to + 4 + length, (uint16_t)info_count);
    for (uint32_t i = 0; i < info_count; i++)
        cw_store16be(to + 6 + length + 2 * i, (uint16_t)i);
    return 6 + length + 2 * info_count;
}

static void test_flags(void **state)
{
    struct talk talk;
    start(&talk, 3);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_MOVED);
    start(&talk, 4);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_BROKEN);
    start(&talk, 0); /* not fixed: only EXPORT_NAME may be said */
    say(&talk, CW_NBD_OPT_LIST, NULL, 0);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_BROKEN);
}

static void test_export_name(void **state)
{
    struct talk talk;
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_EXPORT_NAME, "log", 3);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_CHOSEN);
    assert_int_equal(talk.handshake.chosen, 1);
    assert_int_equal(talk.out.length, 10);
    assert_true(cw_load64be(talk.out.bytes) == 40960);
    start(&talk, 1);
    say(&talk, CW_NBD_OPT_EXPORT_NAME, "data", 4);
    assert_int_equal(talk.out.length, 134);
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_EXPORT_NAME, "nobody", 6);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_BROKEN);
}

static void test_go_and_info(void **state)
{
    struct talk talk;
    uint8_t data[256];
    const uint8_t *at = NULL;
    uint32_t length = 0;
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_INFO, data, name_data(data, "log", 4));
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_MOVED);
    assert_int_equal(reply(&talk, 0, &at, &length), CW_NBD_REP_INFO);
    assert_int_equal(cw_load16be(at), CW_NBD_INFO_EXPORT);
    assert_int_equal(cw_load16be(at + 10), 0x0d6d); /* no DF without structured replies */
    assert_int_equal(reply(&talk, 1, &at, &length), CW_NBD_REP_INFO);
    assert_int_equal(cw_load32be(at + 2), 4096);
    assert_int_equal(cw_load32be(at + 10), CW_REQUEST_BYTES_MAX);
    assert_int_equal(reply(&talk, 2, &at, &length), CW_NBD_REP_INFO);
    assert_memory_equal(at + 2, "log", 3);
    expect(&talk, 3, CW_NBD_REP_INFO);
    expect(&talk, 4, CW_NBD_REP_ACK);
    say(&talk, CW_NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    expect(&talk, 0, CW_NBD_REP_ACK);
    say(&talk, CW_NBD_OPT_GO, data, name_data(data, "data", 0));
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_CHOSEN);
    assert_int_equal(reply(&talk, 0, &at, &length), CW_NBD_REP_INFO);
    assert_int_equal(cw_load16be(at + 10), 0x0ded);
}

static void test_go_refused(void **state)
{
    struct talk talk;
    uint8_t data[256];
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_GO, data, name_data(data, "", 0)); /* two exports: "" is neither */
    expect(&talk, 0, CW_NBD_REP_ERR_UNKNOWN);
    talk.offers.count = 1;
    say(&talk, CW_NBD_OPT_GO, data, name_data(data, "", 0) + 1); /* a byte too many */
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    name_data(data, "data", 3);
    for (uint32_t cut = 0; cut < 16; cut++) {
        say(&talk, CW_NBD_OPT_GO, data, cut);
        expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    }
    cw_store32be(data, UINT32_MAX); /* a name that would wrap */
    say(&talk, CW_NBD_OPT_GO, data, 16);
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    say(&talk, CW_NBD_OPT_GO, data, name_data(data, "", 0));
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_CHOSEN);
}

static void test_simple_options(void **state)
{
    struct talk talk;
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_LIST, NULL, 0);
    expect(&talk, 0, CW_NBD_REP_SERVER);
    expect(&talk, 1, CW_NBD_REP_SERVER);
    expect(&talk, 2, CW_NBD_REP_ACK);
    say(&talk, CW_NBD_OPT_LIST, "x", 1);
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    say(&talk, CW_NBD_OPT_STARTTLS, NULL, 0);
    expect(&talk, 0, CW_NBD_REP_ERR_UNSUP);
    say(&talk, CW_NBD_OPT_STRUCTURED_REPLY, "x", 1);
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    assert_false(talk.handshake.is_structured);
    say(&talk, 11, NULL, 0);
    expect(&talk, 0, CW_NBD_REP_ERR_UNSUP);
    say(&talk, 0xdeadbeef, "abc", 3);
    expect(&talk, 0, CW_NBD_REP_ERR_UNSUP);
    say(&talk, CW_NBD_OPT_ABORT, NULL, 0);
    expect(&talk, 0, CW_NBD_REP_ACK);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_CLOSE);
}

static void test_contexts(void **state)
{
    static const char set[] = "\0\0\0\4data\0\0\0\1\0\0\0\17base:allocation";
    static const char list_all[] = "\0\0\0\4data\0\0\0\0";
    static const char other[] = "\0\0\0\4data\0\0\0\1\0\0\0\7x:hello";
    struct talk talk;
    uint8_t data[64];
    const uint8_t *at = NULL;
    uint32_t length = 0;
    start(&talk, 3);
    say(&talk, CW_NBD_OPT_SET_META_CONTEXT, set, sizeof set - 1);
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID); /* structured replies first */
    say(&talk, CW_NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    say(&talk, CW_NBD_OPT_LIST_META_CONTEXT, list_all, sizeof list_all - 1);
    expect(&talk, 0, CW_NBD_REP_META_CONTEXT);
    expect(&talk, 1, CW_NBD_REP_ACK);
    assert_false(talk.handshake.has_context);
    say(&talk, CW_NBD_OPT_SET_META_CONTEXT, set, sizeof set - 1);
    assert_int_equal(reply(&talk, 0, &at, &length), CW_NBD_REP_META_CONTEXT);
    assert_int_equal(cw_load32be(at), CW_NBD_CONTEXT_ALLOCATION);
    assert_true(talk.handshake.has_context);
    say(&talk, CW_NBD_OPT_SET_META_CONTEXT, set, sizeof set - 2);
    expect(&talk, 0, CW_NBD_REP_ERR_INVALID);
    assert_false(talk.handshake.has_context);
    say(&talk, CW_NBD_OPT_SET_META_CONTEXT, other, sizeof other - 1);
    expect(&talk, 0, CW_NBD_REP_ACK);
    assert_false(talk.handshake.has_context);
    say(&talk, CW_NBD_OPT_SET_META_CONTEXT, set, sizeof set - 1);
    say(&talk, CW_NBD_OPT_GO, data, name_data(data, "log", 0)); /* asked for another export */
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_CHOSEN);
    assert_false(talk.handshake.has_context);
}

static void test_too_long_options(void **state)
{
    struct talk talk;
    start(&talk, 3);
    cw_store64be(talk.bytes, CW_NBD_MAGIC_OPTION);
    cw_store32be(talk.bytes + 8, CW_NBD_OPT_GO);
    cw_store32be(talk.bytes + 12, 100000);
    talk.out.length = 0;
    size_t left = 100016;
    do {
        size_t here = left < sizeof talk.bytes ? left : sizeof talk.bytes;
        talk.result =
            cw_nbd_handshake_step(&talk.handshake, &talk.offers, talk.bytes, here, &talk.consumed, &talk.out);
        assert_int_equal(talk.result, CW_NBD_HANDSHAKE_MOVED);
        left -= talk.consumed;
    } while (left > 0);
    expect(&talk, 0, CW_NBD_REP_ERR_TOO_BIG);
    say(&talk, CW_NBD_OPT_LIST, NULL, 0); /* haggling goes on */
    expect(&talk, 2, CW_NBD_REP_ACK);
    cw_store32be(talk.bytes + 12, CW_NBD_OPTION_SKIP_MAX + 1);
    talk.result =
        cw_nbd_handshake_step(&talk.handshake, &talk.offers, talk.bytes, 16, &talk.consumed, &talk.out);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_BROKEN);
}

static void test_bad_magic(void **state)
{
    struct talk talk;
    start(&talk, 3);
    size_t all = harness_put_option(talk.bytes, CW_NBD_OPT_LIST, NULL, 0);
    talk.bytes[7] ^= 1;
    talk.result =
        cw_nbd_handshake_step(&talk.handshake, &talk.offers, talk.bytes, all, &talk.consumed, &talk.out);
    assert_int_equal(talk.result, CW_NBD_HANDSHAKE_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_export_name),
        cmocka_unit_test(test_go_and_info),
        cmocka_unit_test(test_go_refused),
        cmocka_unit_test(test_simple_options),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_too_long_options),
        cmocka_unit_test(test_bad_magic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
