/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers: a golden frame, every single-bit damage of it, lengths, fragments, options, and device strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "io/device.h"
#include "io/frame.h"

static const struct cw_frame_addresses east = {.local_mac = {2, 0, 0, 0, 0, 1},
                                               .remote_mac = {2, 0, 0, 0, 0, 2},
                                               .local_ip = 0x0a010101,
                                               .remote_ip = 0x0a020202,
                                               .local_udp = 0x1111,
                                               .remote_udp = 0x2222};
static struct cw_frame_path sender, receiver;
static uint8_t frame[9100];

/* 10.1.1.1:4369 to 10.2.2.2:8738, four bytes. By hand: the words of the IP header add up to 0xdc37, so
 * the checksum is 0x23c8. */
static const uint8_t golden[] = {
    2,    0,    0,    0,    0,    2,    2,    0,    0,    0,    0,    1,    0x08, 0x00, 0x45, 0x00,
    0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x23, 0xc8, 0x0a, 0x01, 0x01, 0x01, 0x0a, 0x02,
    0x02, 0x02, 0x11, 0x11, 0x22, 0x22, 0x00, 0x0c, 0x00, 0x00, 'a',  'b',  'c',  'd',
};

static int set_up(void **state)
{
    struct cw_frame_addresses west = {.local_ip = east.remote_ip,
                                      .remote_ip = east.local_ip,
                                      .local_udp = east.remote_udp,
                                      .remote_udp = east.local_udp};
    cw_frame_path_init(&sender, &east);
    cw_frame_path_init(&receiver, &west);
    memset(frame, 0, sizeof frame);
    memcpy(frame + CW_FRAME_HEADER_BYTES, "abcd", 4);
    cw_frame_finish(&sender, frame, 4);
    return 0;
}

static enum cw_frame_verdict check(size_t length)
{
    uint8_t *payload;
    size_t payload_length;
    return cw_frame_check(&receiver, frame, length, &payload, &payload_length);
}

/* The checksum over the header as it stands, after a test changed it. */
static void repair_checksum(void)
{
    uint32_t sum = 0;
    cw_store16be(frame + 24, 0);
    for (unsigned i = 14; i < 34; i += 2)
        sum += cw_load16be(frame + i);
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    cw_store16be(frame + 24, (uint16_t)~sum);
}

static void the_golden_frame(void **state)
{
    assert_memory_equal(frame, golden, sizeof golden);
    assert_int_equal(check(sizeof golden), CW_FRAME_OK);
}

static void lengths_of_all_kinds_pass(void **state)
{
    for (size_t length = 0; length <= 8972; length++) {
        uint8_t *payload = NULL;
        size_t payload_length = 0;
        cw_frame_finish(&sender, frame, length);
        size_t whole = CW_FRAME_HEADER_BYTES + length;
        assert_int_equal(cw_frame_check(&receiver, frame, CW_MAX(whole, 60u), &payload, &payload_length),
                         CW_FRAME_OK);
        assert_ptr_equal(payload, frame + CW_FRAME_HEADER_BYTES);
        assert_int_equal(payload_length, length);
        assert_int_equal(check(whole - 1), CW_FRAME_SHORT);
    }
}

/* A flipped bit in a field that matters is noticed; the rest is MAC, peer's port, UDP checksum and payload.
 */
static void every_bit_of_the_ip_header_matters(void **state)
{
    for (unsigned bit = 12 * 8; bit < sizeof golden * 8; bit++) {
        unsigned at = bit / 8;
        bool is_free = at == 34 || at == 35 || at == 40 || at == 41 || at >= 42;
        frame[at] ^= (uint8_t)(1u << (bit % 8));
        assert_true((check(sizeof golden) == CW_FRAME_OK) == is_free);
        frame[at] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void reasons_are_told_apart(void **state)
{
    assert_int_equal(check(0), CW_FRAME_SHORT);
    assert_int_equal(check(13), CW_FRAME_SHORT);
    assert_int_equal(check(41), CW_FRAME_SHORT);
    frame[12] = 0x86; /* IPv6 */
    assert_int_equal(check(46), CW_FRAME_NOT_OURS);
    set_up(NULL);
    frame[24] ^= 1;
    assert_int_equal(check(46), CW_FRAME_CHECKSUM);
    set_up(NULL);
    frame[14] = 0x46; /* options */
    repair_checksum();
    assert_int_equal(check(46), CW_FRAME_NOT_OURS);
    set_up(NULL);
    cw_store16be(frame + 20, 0x2000); /* more fragments */
    repair_checksum();
    assert_int_equal(check(46), CW_FRAME_FRAGMENTED);
    cw_store16be(frame + 20, 0x0001); /* a last fragment */
    repair_checksum();
    assert_int_equal(check(46), CW_FRAME_FRAGMENTED);
    set_up(NULL);
    cw_store16be(frame + 16, 27); /* total length below its headers */
    repair_checksum();
    assert_int_equal(check(46), CW_FRAME_SHORT);
    set_up(NULL);
    cw_store16be(frame + 38, 7); /* UDP length below its header */
    assert_int_equal(check(46), CW_FRAME_SHORT);
    cw_store16be(frame + 38, 13); /* beyond IP's */
    assert_int_equal(check(46), CW_FRAME_SHORT);
}

static void garbage_is_never_taken(void **state)
{
    struct cw_rng rng = {.state = 99};
    for (unsigned round = 0; round < 200000; round++) {
        size_t length = cw_rng_below(&rng, 128);
        for (size_t i = 0; i < length; i += 8)
            cw_store64le(frame + i, cw_rng_next(&rng));
        assert_int_not_equal(check(length), CW_FRAME_OK);
    }
}

static void device_strings(void **state)
{
    char text[64];
    assert_true(cw_device_is_pci("0000:01:00.0"));
    assert_true(cw_device_is_pci("01:00.0,arg=1"));
    assert_false(cw_device_is_pci("net_memif0,mac=02:00:00:00:00:01"));
    assert_false(cw_device_is_pci("net_ring0"));
    assert_false(cw_device_is_pci(""));
    cw_device_name("01:00.0,arg=1", text, sizeof text);
    assert_string_equal(text, "0000:01:00.0");
    cw_device_name("net_memif0,role=server", text, sizeof text);
    assert_string_equal(text, "net_memif0");
    assert_true(cw_device_argument("net_memif0,xrole=a,role=server,id=1", "role", text, sizeof text));
    assert_string_equal(text, "server");
    assert_false(cw_device_argument("net_memif0,role=server", "id", text, sizeof text));
    assert_false(cw_device_argument("net_memif0,role=server", "role", text, 4));
    assert_false(cw_device_is_memif_client("net_memif0,role=server"));
    assert_true(cw_device_is_memif_client("net_memif0,role=client"));
    assert_true(cw_device_is_memif_client("net_memif0")); /* the driver's default */
}

static void memif_gets_what_it_needs(void **state)
{
    struct cw_port_config config = {.mtu = 9000, .device = "net_memif0,role=client,socket=/x"};
    char device[CW_DEVICE_ARGUMENTS_MAX], why[128];
    assert_int_equal(cw_device_complete(&config, device, sizeof device, why, sizeof why), CW_OK);
    assert_string_equal(device, "net_memif0,role=client,socket=/x,socket-abstract=no,bsize=16384");
    config.mtu = 1500;
    assert_int_equal(cw_device_complete(&config, device, sizeof device, why, sizeof why), CW_OK);
    assert_string_equal(device, "net_memif0,role=client,socket=/x,socket-abstract=no,bsize=2048");
    assert_int_equal(cw_device_complete(&config, device, 40, why, sizeof why), CW_INVALID);
    struct cw_port_config plain = {.mtu = 1500, .device = "net_ring0"};
    assert_int_equal(cw_device_complete(&plain, device, sizeof device, why, sizeof why), CW_OK);
    assert_string_equal(device, "net_ring0");
}

/* RFC 3168: the last two bits of the second byte of the IP header. */
static void who_can_be_marked_says_so(void **state)
{
    struct cw_frame_addresses capable = east;
    uint8_t *payload;
    size_t length;
    assert_int_equal(frame[15], 0);
    capable.is_ecn_capable = true;
    cw_frame_path_init(&sender, &capable);
    cw_frame_finish(&sender, frame, 4);
    assert_int_equal(frame[15], 2);
    assert_int_equal(cw_frame_check(&receiver, frame, sizeof golden, &payload, &length), CW_FRAME_OK);
    assert_false(cw_frame_is_marked(payload));
    frame[15] |= 3;
    repair_checksum();
    assert_int_equal(cw_frame_check(&receiver, frame, sizeof golden, &payload, &length), CW_FRAME_OK);
    assert_true(cw_frame_is_marked(payload));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_golden_frame, set_up),
        cmocka_unit_test_setup(lengths_of_all_kinds_pass, set_up),
        cmocka_unit_test_setup(every_bit_of_the_ip_header_matters, set_up),
        cmocka_unit_test_setup(reasons_are_told_apart, set_up),
        cmocka_unit_test_setup(garbage_is_never_taken, set_up),
        cmocka_unit_test_setup(who_can_be_marked_says_so, set_up),
        cmocka_unit_test(device_strings),
        cmocka_unit_test(memif_gets_what_it_needs),
    };
    return cmocka_run_group_tests_name("io/frame", tests, NULL, NULL);
}
