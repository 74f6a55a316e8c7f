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
#include "io/checksum.h"
#include "io/device.h"
#include "io/frame.h"

static struct cw_frame_addresses east;
static struct cw_frame_path sender, receiver;
static uint8_t frame[9100];

/* 10.1.1.1:4369 to 10.2.2.2:8738, four bytes. By hand: the words of the IP header add up to 0xdc37, so
 * the checksum is 0x23c8. */
static const uint8_t golden[] = {
    2,    0,    0,    0,    0,    2,    2,    0,    0,    0,    0,    1,    0x08, 0x00, 0x45, 0x00,
    0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x23, 0xc8, 0x0a, 0x01, 0x01, 0x01, 0x0a, 0x02,
    0x02, 0x02, 0x11, 0x11, 0x22, 0x22, 0x00, 0x0c, 0x00, 0x00, 'a',  'b',  'c',  'd',
};

/* fd00::1 to fd00::2, the same ports and bytes, in VLAN 100. By hand: addresses fd00 + 1 + fd00 + 2 = 1fa03,
 * protocol 11, ports 1111 + 2222, length twice c + c, "abcd" 6162 + 6364: 2f225, folded f227, so 0dd8. */
static const uint8_t golden_v6[] = {
    2,    0,    0,    0,    0,    2,    2,    0,    0,    0,    0,    1,    0x81, 0x00,
    0x00, 0x64, 0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40, 0xfd, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    1,
    0xfd, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    2,    0x11, 0x11, 0x22, 0x22, 0x00, 0x0c, 0x0d, 0xd8, 'a',  'b',  'c',  'd',
};

static void build(uint8_t version, uint16_t vlan)
{
    const uint8_t v6[2][16] = {{[0] = 0xfd, [15] = 1}, {[0] = 0xfd, [15] = 2}};
    east = (struct cw_frame_addresses){.local_mac = {2, 0, 0, 0, 0, 1},
                                       .remote_mac = {2, 0, 0, 0, 0, 2},
                                       .local_ip = version == 4 ? cw_ip_v4(0x0a010101) : cw_ip_v6(v6[0]),
                                       .remote_ip = version == 4 ? cw_ip_v4(0x0a020202) : cw_ip_v6(v6[1]),
                                       .local_udp = 0x1111,
                                       .remote_udp = 0x2222,
                                       .vlan = vlan};
    struct cw_frame_addresses west = {.local_ip = east.remote_ip,
                                      .remote_ip = east.local_ip,
                                      .local_udp = east.remote_udp,
                                      .remote_udp = east.local_udp,
                                      .vlan = vlan};
    cw_frame_path_init(&sender, &east);
    cw_frame_path_init(&receiver, &west);
    memset(frame, 0, sizeof frame);
    memcpy(frame + sender.header_bytes, "abcd", 4);
    cw_frame_finish(&sender, frame, 4);
}

static int set_up(void **state)
{
    build(4, 0);
    return 0;
}

static int set_up_v6(void **state)
{
    build(6, 100);
    return 0;
}

static enum cw_frame_verdict check(size_t length)
{
    uint8_t *payload;
    size_t payload_length;
    struct cw_frame_in in = {.bytes = frame, .length = length};
    return cw_frame_check(&receiver, &in, &payload, &payload_length);
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
    assert_int_equal(sizeof golden - 4, sender.header_bytes);
    assert_memory_equal(frame, golden, sizeof golden);
    assert_int_equal(check(sizeof golden), CW_FRAME_OK);
}

static void the_golden_frame_of_ipv6_in_a_vlan(void **state)
{
    assert_int_equal(sizeof golden_v6 - 4, CW_FRAME_HEADER_BYTES_MAX);
    assert_memory_equal(frame, golden_v6, sizeof golden_v6);
    assert_int_equal(check(sizeof golden_v6), CW_FRAME_OK);
}

/* Beside each layout its overhead above IP: with PSP, header and tag of a datagram 84 and 104 bytes. */
static void lengths_of_all_kinds_pass(void **state)
{
    static const struct {
        uint8_t version;
        uint16_t vlan;
        unsigned header;
    } kinds[] = {{4, 0, 42}, {4, 7, 46}, {6, 0, 62}, {6, 4094, 66}};
    for (unsigned kind = 0; kind < CW_COUNT_OF(kinds); kind++) {
        build(kinds[kind].version, kinds[kind].vlan);
        assert_int_equal(sender.header_bytes, kinds[kind].header);
        for (size_t length = 0; length <= 8952; length++) {
            uint8_t *payload = NULL;
            size_t payload_length = 0;
            cw_frame_finish(&sender, frame, length);
            size_t whole = sender.header_bytes + length;
            struct cw_frame_in in = {.bytes = frame, .length = CW_MAX(whole, 60u)};
            assert_int_equal(cw_frame_check(&receiver, &in, &payload, &payload_length), CW_FRAME_OK);
            assert_ptr_equal(payload, frame + sender.header_bytes);
            assert_int_equal(payload_length, length);
            assert_int_equal(check(whole - 1), CW_FRAME_SHORT);
        }
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

/* All of it is covered, but for traffic class, flow label and hop limit, and the tag's priority. */
static void every_bit_of_ipv6_and_udp_matters(void **state)
{
    for (unsigned bit = 12 * 8; bit < sizeof golden_v6 * 8; bit++) {
        unsigned at = bit / 8;
        uint8_t mask = (uint8_t)(1u << (bit % 8));
        bool is_free = at == 19 || at == 20 || at == 21 || at == 25 || (at == 18 && mask < 0x10) ||
                       (at == 14 && mask >= 0x10);
        frame[at] ^= mask;
        assert_true((check(sizeof golden_v6) == CW_FRAME_OK) == is_free);
        frame[at] ^= mask;
    }
}

static void reasons_are_told_apart_in_ipv6(void **state)
{
    assert_int_equal(check(17), CW_FRAME_SHORT);
    assert_int_equal(check(65), CW_FRAME_SHORT);
    frame[16] = 0x08; /* IPv4 */
    frame[17] = 0x00;
    assert_int_equal(check(70), CW_FRAME_NOT_OURS);
    set_up_v6(NULL);
    frame[24] = 44; /* a fragment header */
    assert_int_equal(check(70), CW_FRAME_FRAGMENTED);
    static const uint8_t extensions[] = {0, 43, 50, 51, 58, 59, 60, 135};
    for (unsigned i = 0; i < sizeof extensions; i++) {
        frame[24] = extensions[i];
        assert_int_equal(check(70), CW_FRAME_NOT_OURS);
    }
    set_up_v6(NULL);
    cw_store16be(frame + 64, 0); /* no checksum */
    assert_int_equal(check(70), CW_FRAME_CHECKSUM);
    cw_store16be(frame + 62, 11);
    assert_int_equal(check(70), CW_FRAME_SHORT);
    cw_store16be(frame + 22, 7);
    cw_store16be(frame + 62, 7);
    assert_int_equal(check(70), CW_FRAME_SHORT);
}

/* A sum of 0 leaves as 0xffff: 0 would say that there is none. */
static void a_checksum_is_never_zero(void **state)
{
    uint32_t sum = cw_load16be(frame + 64) + 0x6364u;
    cw_store16be(frame + 68, (uint16_t)(sum + (sum >> 16)));
    cw_frame_finish(&sender, frame, 4);
    assert_int_equal(cw_load16be(frame + 64), 0xffff);
    assert_int_equal(check(70), CW_FRAME_OK);
}

/* What a device wants to find: nothing in an IPv4 header; for UDP the pseudo header's sum, by hand 1fa03 + 11
 * + c, so fa21. The rest stays as it was. */
static void a_device_s_checksum_is_left_to_it(void **state)
{
    uint8_t wanted[sizeof golden], wanted_v6[sizeof golden_v6];
    memcpy(wanted, golden, sizeof wanted);
    cw_store16be(wanted + 24, 0);
    cw_frame_path_leave_sum(&sender);
    cw_frame_finish(&sender, frame, 4);
    assert_memory_equal(frame, wanted, sizeof wanted);
    build(6, 100);
    memcpy(wanted_v6, golden_v6, sizeof wanted_v6);
    cw_store16be(wanted_v6 + 64, 0xfa21);
    cw_frame_path_leave_sum(&sender);
    cw_frame_finish(&sender, frame, 4);
    assert_memory_equal(frame, wanted_v6, sizeof wanted_v6);
}

/* What a device has found right is not computed again, all else is looked at; UDP over IPv6 has a checksum.
 */
static void a_device_s_word_counts(void **state)
{
    uint8_t *payload;
    size_t payload_length;
    struct cw_frame_in in = {.bytes = frame, .length = sizeof golden, .is_sum_good = true};
    frame[24] ^= 1;
    assert_int_equal(check(sizeof golden), CW_FRAME_CHECKSUM);
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &payload_length), CW_FRAME_OK);
    frame[30] ^= 1;
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &payload_length), CW_FRAME_NOT_OURS);
    build(6, 100);
    in.length = sizeof golden_v6;
    frame[64] ^= 1;
    assert_int_equal(check(sizeof golden_v6), CW_FRAME_CHECKSUM);
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &payload_length), CW_FRAME_OK);
    cw_store16be(frame + 64, 0);
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &payload_length), CW_FRAME_CHECKSUM);
}

static void only_our_vlan_is_ours(void **state)
{
    uint8_t *payload;
    size_t length;
    cw_store16be(frame + 14, 0xe000 | 100); /* with a priority */
    assert_int_equal(check(70), CW_FRAME_OK);
    cw_store16be(frame + 14, 101);
    assert_int_equal(check(70), CW_FRAME_NOT_OURS);
    memmove(frame + 12, frame + 16,
            54); /* without its tag, which the driver has beside it, or which is lost */
    struct cw_frame_in in = {.bytes = frame, .length = 66, .is_tag_taken = true, .tag = 0x2000 | 100};
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &length), CW_FRAME_OK);
    in.tag = 99;
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &length), CW_FRAME_NOT_OURS);
    assert_int_equal(check(66), CW_FRAME_NOT_OURS);
    build(4, 7);
    cw_store16be(frame + 14, 0x6000); /* a priority tag: no VLAN */
    assert_int_equal(check(50), CW_FRAME_NOT_OURS);
    receiver.addresses.vlan = 0;
    assert_int_equal(check(50), CW_FRAME_OK);
}

/* Against the sum word by word, of every length and from odd addresses. */
static void checksums_are_sums_of_words(void **state)
{
    struct cw_rng rng = {.state = 4};
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)(cw_rng_below(&rng, 3) == 0 ? 0xff : cw_rng_next(&rng));
    for (size_t length = 0; length < 3000; length++) {
        const uint8_t *from = frame + cw_rng_below(&rng, 9);
        uint32_t sum = 0;
        for (size_t i = 0; i < length; i++)
            sum += i % 2 == 0 ? (uint32_t)from[i] << 8 : from[i];
        while (sum > 0xffff)
            sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal(cw_checksum_sum(from, length), sum);
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

/* A path that takes datagrams from anywhere: from what can be another host's address. */
static void sources_of_a_path_that_follows(void **state)
{
    static const struct {
        uint32_t source;
        bool is_good;
    } all[] = {{0x0a010101, true},  {0xc0000201, true}, {0x01000001, true},  {0xdfffffff, true},
               {0x0a020202, false}, {0, false},         {0x00ffffff, false}, {0x7f000001, false},
               {0xe0000001, false}, {0xffffffff, false}};
    struct cw_ip ip;
    uint16_t port;
    cw_store32be(frame + 26, 0xc0000201);
    repair_checksum();
    assert_int_equal(check(46), CW_FRAME_NOT_OURS);
    receiver.addresses.is_any_source = true;
    for (size_t i = 0; i < CW_COUNT_OF(all); i++) {
        cw_store32be(frame + 26, all[i].source);
        repair_checksum();
        assert_int_equal(check(46), all[i].is_good ? CW_FRAME_OK : CW_FRAME_NOT_OURS);
        if (!all[i].is_good)
            continue;
        cw_frame_source(&receiver, frame + 42, &ip, &port);
        assert_true(cw_ip_is_equal(
            &ip, &(struct cw_ip){.version = 4,
                                 .bytes = {(uint8_t)(all[i].source >> 24), (uint8_t)(all[i].source >> 16),
                                           (uint8_t)(all[i].source >> 8), (uint8_t)all[i].source}}));
        assert_int_equal(port, 0x1111);
    }
}

/* The checksum is over the address that the frame has. */
static void sources_of_a_path_that_follows_in_ipv6(void **state)
{
    struct cw_ip ip;
    uint16_t port;
    struct cw_frame_addresses other = east;
    other.local_ip.bytes[3] = 0x77;
    cw_frame_path_init(&sender, &other);
    cw_frame_finish(&sender, frame, 4);
    assert_int_equal(check(70), CW_FRAME_NOT_OURS);
    receiver.addresses.is_any_source = true;
    assert_int_equal(check(70), CW_FRAME_OK);
    cw_frame_source(&receiver, frame + 66, &ip, &port);
    assert_true(cw_ip_is_equal(&ip, &other.local_ip));
    frame[18 + 8 + 3] ^= 1;
    assert_int_equal(check(70), CW_FRAME_CHECKSUM);
    memset(frame + 18 + 8, 0, 15);
    assert_int_equal(check(70), CW_FRAME_NOT_OURS);
    frame[18 + 8] = 0xff;
    assert_int_equal(check(70), CW_FRAME_NOT_OURS);
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

static void networks(void **state)
{
    const uint8_t v6[2][16] = {{[0] = 0xfd, [7] = 0x80, [15] = 1}, {[0] = 0xfd, [7] = 0x81, [15] = 1}};
    struct cw_ip a = cw_ip_v4(0x0a010101), b = cw_ip_v4(0x0a010301), c = cw_ip_v6(v6[0]), d = cw_ip_v6(v6[1]);
    assert_true(cw_ip_is_same_network(&a, &b, 22));
    assert_false(cw_ip_is_same_network(&a, &b, 23));
    assert_false(cw_ip_is_same_network(&a, &b, 32));
    assert_true(cw_ip_is_same_network(&a, &a, 32));
    assert_true(cw_ip_is_same_network(&a, &b, 0));
    assert_true(cw_ip_is_same_network(&c, &d, 63));
    assert_false(cw_ip_is_same_network(&c, &d, 64));
    assert_true(cw_ip_is_same_network(&c, &c, 128));
    assert_false(cw_ip_is_equal(&a, &b));
    assert_true(cw_ip_is_equal(&c, &c));
}

static void device_strings(void **state)
{
    char text[64];
    assert_true(cw_device_is_pci("0000:01:00.0"));
    assert_true(cw_device_is_pci("01:00.0,arg=1"));
    assert_false(cw_device_is_pci("net_memif0,mac=02:00:00:00:00:01"));
    assert_false(cw_device_is_pci("net_ring0"));
    assert_false(cw_device_is_pci(""));
    assert_true(cw_device_is_vmbus("7ad35d50-c05b-47ab-b3a0-56a9a845852b"));
    assert_true(cw_device_is_vmbus("vmbus:7AD35D50-C05B-47AB-B3A0-56A9A845852B,latency=20"));
    assert_false(cw_device_is_vmbus("7ad35d50-c05b-47ab-b3a0-56a9a845852"));
    assert_false(cw_device_is_vmbus("7ad35d50-c05b-47ab-b3a0-56a9a845852b0"));
    assert_false(cw_device_is_vmbus("7ad35d50-c05b-47ab-b3a0056a9a845852b"));
    assert_false(cw_device_is_vmbus("0000:01:00.0"));
    assert_false(cw_device_is_vmbus("net_ring0"));
    cw_device_name("vmbus:7AD35D50-C05B-47AB-B3A0-56A9A845852B,latency=20", text, sizeof text);
    assert_string_equal(text, "7ad35d50-c05b-47ab-b3a0-56a9a845852b");
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
    assert_string_equal(device, "net_memif0,role=client,socket=/x,socket-abstract=no,bsize=16384,rsize=8");
    config.mtu = 1500;
    assert_int_equal(cw_device_complete(&config, device, sizeof device, why, sizeof why), CW_OK);
    assert_string_equal(device, "net_memif0,role=client,socket=/x,socket-abstract=no,bsize=2048,rsize=8");
    assert_int_equal(cw_device_complete(&config, device, 40, why, sizeof why), CW_INVALID);
    struct cw_port_config plain = {.mtu = 1500, .device = "net_ring0"};
    assert_int_equal(cw_device_complete(&plain, device, sizeof device, why, sizeof why), CW_OK);
    assert_string_equal(device, "net_ring0");
}

/* RFC 3168: the last two bits of the second byte of the IP header. */
static void who_can_be_marked_says_so(void **state)
{
    struct cw_frame_addresses capable = east;
    struct cw_frame_in in = {.bytes = frame, .length = sizeof golden};
    uint8_t *payload;
    size_t length;
    assert_int_equal(frame[15], 0);
    capable.is_ecn_capable = true;
    cw_frame_path_init(&sender, &capable);
    cw_frame_finish(&sender, frame, 4);
    assert_int_equal(frame[15], 2);
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &length), CW_FRAME_OK);
    assert_false(cw_frame_is_marked(&receiver, payload));
    frame[15] |= 3;
    repair_checksum();
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &length), CW_FRAME_OK);
    assert_true(cw_frame_is_marked(&receiver, payload));
}

static void who_can_be_marked_says_so_in_ipv6(void **state)
{
    struct cw_frame_addresses capable = east;
    struct cw_frame_in in = {.bytes = frame, .length = sizeof golden_v6};
    uint8_t *payload;
    size_t length;
    capable.is_ecn_capable = true;
    cw_frame_path_init(&sender, &capable);
    cw_frame_finish(&sender, frame, 4);
    assert_int_equal(frame[19], 0x20);
    assert_int_equal(cw_frame_check(&receiver, &in, &payload, &length), CW_FRAME_OK);
    assert_false(cw_frame_is_marked(&receiver, payload));
    frame[19] |= 0x30;
    assert_true(cw_frame_is_marked(&receiver, payload));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_golden_frame, set_up),
        cmocka_unit_test_setup(the_golden_frame_of_ipv6_in_a_vlan, set_up_v6),
        cmocka_unit_test_setup(a_device_s_checksum_is_left_to_it, set_up),
        cmocka_unit_test_setup(a_device_s_word_counts, set_up),
        cmocka_unit_test_setup(lengths_of_all_kinds_pass, set_up),
        cmocka_unit_test_setup(every_bit_of_ipv6_and_udp_matters, set_up_v6),
        cmocka_unit_test_setup(reasons_are_told_apart_in_ipv6, set_up_v6),
        cmocka_unit_test_setup(sources_of_a_path_that_follows, set_up),
        cmocka_unit_test_setup(sources_of_a_path_that_follows_in_ipv6, set_up_v6),
        cmocka_unit_test_setup(a_checksum_is_never_zero, set_up_v6),
        cmocka_unit_test_setup(only_our_vlan_is_ours, set_up_v6),
        cmocka_unit_test(checksums_are_sums_of_words),
        cmocka_unit_test(networks),
        cmocka_unit_test_setup(every_bit_of_the_ip_header_matters, set_up),
        cmocka_unit_test_setup(reasons_are_told_apart, set_up),
        cmocka_unit_test_setup(garbage_is_never_taken, set_up),
        cmocka_unit_test_setup(who_can_be_marked_says_so, set_up),
        cmocka_unit_test_setup(who_can_be_marked_says_so_in_ipv6, set_up_v6),
        cmocka_unit_test(device_strings),
        cmocka_unit_test(memif_gets_what_it_needs),
    };
    return cmocka_run_group_tests_name("io/frame", tests, NULL, NULL);
}
