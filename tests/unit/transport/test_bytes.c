/* SPDX-License-Identifier: BSD-3-Clause */
/* Golden bytes of the datagram and the frames, and what decoding refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "tests/lib/golden_packet.h"
#include "transport/frames.h"

static const uint8_t golden_header[CW_PACKET_HEADER_SIZE] = {
    0xfe, 0x01, 0x06, 0x05,                         /* PSP: experimental, 1, 24 bytes, version 1 */
    0x12, 0x34, 0x56, 0x78,                         /* SPI */
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* IV */
    0x31, 0x0b, 0x78, 0x56,                         /* version 3, DATA; lane 2, flags; session */
    0xdd, 0xcc, 0xbb, 0xaa,                         /* time */
    0x20, 0x00, 0x02, 0x00,                         /* length 32; stream 2 */
    0x00, 0x00, 0x00, 0x00,                         /* FEC */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* position */
};

static void header_bytes(void **state)
{
    struct cw_packet packet = GOLDEN_PACKET;
    struct cw_packet back;
    uint8_t datagram[CW_PACKET_OVERHEAD + 32] = {0}, nonce[CW_PACKET_IV_SIZE];
    cw_packet_encode(&packet, datagram);
    assert_memory_equal(datagram, golden_header, sizeof golden_header);
    assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_OK);
    assert_int_equal(back.spi, packet.spi);
    assert_int_equal(back.iv, packet.iv);
    assert_int_equal(back.type, packet.type);
    assert_int_equal(back.flags, packet.flags);
    assert_int_equal(back.lane, packet.lane);
    assert_int_equal(back.stream, packet.stream);
    assert_int_equal(back.session, packet.session);
    assert_int_equal(back.length, packet.length);
    assert_int_equal(back.ticks, packet.ticks);
    assert_int_equal(back.position, packet.position);
    cw_packet_nonce(datagram, nonce);
    assert_memory_equal(nonce, golden_header + 4, sizeof nonce);
}

static enum cw_packet_error check_with(size_t at, uint8_t value, size_t length)
{
    uint8_t datagram[CW_PACKET_OVERHEAD + 33] = {0};
    struct cw_packet packet;
    memcpy(datagram, golden_header, sizeof golden_header);
    datagram[at] = value;
    return cw_packet_check(datagram, length, &packet);
}

static void header_refusals(void **state)
{
    size_t whole = CW_PACKET_OVERHEAD + 32;
    assert_int_equal(check_with(0, 0xfe, whole), CW_PACKET_OK);
    for (size_t length = 0; length < CW_PACKET_OVERHEAD; length++)
        assert_int_equal(check_with(0, 0xfe, length), CW_PACKET_SHORT);
    assert_int_equal(check_with(0, 0xfe, whole - 1), CW_PACKET_BAD_LENGTH);
    assert_int_equal(check_with(0, 0xfe, whole + 1), CW_PACKET_BAD_LENGTH);
    assert_int_equal(check_with(0, 17, whole), CW_PACKET_BAD_PSP);
    assert_int_equal(check_with(1, 2, whole), CW_PACKET_BAD_PSP);
    assert_int_equal(check_with(2, 0, whole), CW_PACKET_BAD_PSP);
    assert_int_equal(check_with(3, 0x01, whole), CW_PACKET_BAD_PSP); /* AES-GCM-128 */
    assert_int_equal(check_with(16, 0x21, whole), CW_PACKET_BAD_VERSION);
    assert_int_equal(check_with(16, 0x30, whole), CW_PACKET_BAD_TYPE);
    assert_int_equal(check_with(16, 0x35, whole), CW_PACKET_BAD_TYPE);
    assert_int_equal(check_with(16, 0x34, whole), CW_PACKET_BAD_FIELD); /* a repair of no block */
    assert_int_equal(check_with(16, 0x33, whole), CW_PACKET_BAD_FIELD); /* a handshake with an SPI */
    assert_int_equal(check_with(17, 0x10, whole), CW_PACKET_BAD_RESERVED);
    assert_int_equal(check_with(27, 1, whole), CW_PACKET_OK);
    assert_int_equal(check_with(28, 1, whole), CW_PACKET_BAD_RESERVED); /* a block without repairs */
    assert_int_equal(check_with(31, 1, whole), CW_PACKET_BAD_RESERVED);
}

/* What PROTOCOL.md says to be 0 in packets of this type: one bit of it is enough. */
static void is_zero_in(const struct cw_packet *packet, size_t first, size_t end)
{
    uint8_t datagram[CW_PACKET_OVERHEAD + 32] = {0};
    struct cw_packet back;
    cw_packet_encode(packet, datagram);
    assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_OK);
    for (size_t bit = 8 * first; bit < 8 * end; bit++) {
        datagram[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_BAD_RESERVED);
        datagram[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void what_is_unused_is_zero(void **state)
{
    struct cw_packet data = {.spi = 1, .iv = 1, .type = CW_PACKET_DATA, .length = 32, .position = 9};
    struct cw_packet control = {.spi = 1, .iv = 1, .type = CW_PACKET_CONTROL, .length = 32};
    struct cw_packet repair = {
        .spi = 1, .iv = 1, .type = CW_PACKET_REPAIR, .length = 32, .stream = 5, .fec_repairs = 1};
    struct cw_packet handshake = {.type = CW_PACKET_HANDSHAKE, .length = 32, .stream = 5};
    is_zero_in(&data, 28, 32);
    is_zero_in(&control, 26, 27);
    is_zero_in(&control, 28, 40);
    is_zero_in(&repair, 33, 40);
    repair.position = CW_PACKET_PATHS_MAX - 1; /* the path whose block it is */
    is_zero_in(&repair, 33, 40);
    is_zero_in(&handshake, 8, 16);
    is_zero_in(&handshake, 28, 40);
}

/* The fields of forward error correction: of data and repairs only. */
static void header_of_a_repair(void **state)
{
    static const uint8_t golden[] = {4 | 3 << 4, 1, 0, 0, 0, 0, 0, 0, 32, 0, 17, 2, 0x56, 0x34, 0x12, 1, 3};
    struct cw_packet packet = {.spi = 1,
                               .iv = 1,
                               .type = CW_PACKET_REPAIR,
                               .flags = CW_PACKET_ACK_WANTED,
                               .stream = 17,
                               .length = 32,
                               .position = 3,
                               .fec_block = 0x123456,
                               .fec_index = 1,
                               .fec_repairs = 2};
    struct cw_packet back;
    uint8_t datagram[CW_PACKET_OVERHEAD + 32] = {0};
    cw_packet_encode(&packet, datagram);
    assert_memory_equal(datagram + 16, golden, sizeof golden);
    assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_OK);
    assert_int_equal(back.fec_block, 0x123456);
    assert_int_equal(back.fec_index, 1);
    assert_int_equal(back.fec_repairs, 2);
    assert_int_equal(back.position, 3);
    datagram[16] = 3 << 4 | CW_PACKET_DATA;
    assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_OK);
    datagram[16] = 3 << 4 | CW_PACKET_CONTROL;
    assert_int_equal(cw_packet_check(datagram, sizeof datagram, &back), CW_PACKET_BAD_FIELD);
}

static void recovered_bytes(void **state)
{
    static const uint8_t golden[] = {6, 2, 2, 0, 0, 0, 0, 0, 100, 0, 0, 0,
                                     0, 0, 0, 0, 3, 0, 0, 0, 0,   0, 0, 0};
    struct cw_recovered_list list = {.count = 2, .early = 1u << 1, .numbers = {97, 100}};
    struct cw_frame frame;
    uint8_t bytes[32];
    assert_int_equal(cw_frame_write_recovered(bytes, &list), sizeof golden);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), sizeof golden);
    assert_int_equal(frame.recovered.count, 2);
    assert_int_equal(frame.recovered.early, 2);
    assert_memory_equal(frame.recovered.numbers, list.numbers, 2 * sizeof list.numbers[0]);
    assert_int_equal(cw_frame_decode(bytes, sizeof golden - 1, &frame), 0);
    bytes[16] = 100; /* number 0 */
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[16] = 3;
    bytes[7] = 1;
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[7] = 0;
    bytes[2] = 4; /* of a third that is not there */
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[2] = bytes[1] = 0;
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[1] = CW_RECOVERED_MAX + 1;
    assert_int_equal(cw_frame_decode(bytes, 1000, &frame), 0);
}

static void probe_bytes(void **state)
{
    static const uint8_t golden[12] = {7};
    struct cw_frame frame;
    uint8_t bytes[12];
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(cw_frame_write_probe(bytes, sizeof bytes), sizeof golden);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(cw_frame_decode(bytes, sizeof bytes, &frame), sizeof bytes);
    assert_int_equal(frame.type, CW_FRAME_PROBE);
    assert_int_equal(cw_frame_decode(bytes, 7, &frame), 0);
    for (unsigned at = 1; at < sizeof bytes; at++) {
        bytes[at] = 1;
        assert_int_equal(cw_frame_decode(bytes, sizeof bytes, &frame), 0);
        bytes[at] = 0;
    }
}

static void ack_bytes(void **state)
{
    static const uint8_t golden[] = {1, 2, 0, 0, 0x10, 0x27, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 0, 0, 11,   0,    0, 0, 4,   0, 0, 0, 5, 0, 0, 0};
    struct cw_ack ack = {.delay_ns = 10000, .range_count = 2, .ranges = {{90, 100}, {81, 85}}};
    struct cw_frame frame;
    uint8_t bytes[64];
    assert_int_equal(cw_frame_write_ack(bytes, &ack), sizeof golden);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), sizeof golden);
    assert_int_equal(frame.ack.range_count, 2);
    assert_memory_equal(frame.ack.ranges, ack.ranges, 2 * sizeof ack.ranges[0]);
    assert_int_equal(cw_frame_decode(bytes, sizeof golden - 1, &frame), 0);
    bytes[16] = 1; /* the first range has no gap */
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[16] = 0;
    bytes[24] = 0; /* the others have */
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
    bytes[24] = 85; /* below zero */
    assert_int_equal(cw_frame_decode(bytes, sizeof golden, &frame), 0);
}

static void an_ack_of_ages_is_cut(void **state)
{
    struct cw_ack ack = {.range_count = 2, .ranges = {{1ull << 40, (1ull << 40) + 5}, {1, 2}}};
    struct cw_frame frame;
    uint8_t bytes[64];
    size_t size = cw_frame_write_ack(bytes, &ack);
    assert_int_equal(cw_frame_decode(bytes, size, &frame), size);
    assert_int_equal(frame.ack.range_count, 1);
    ack = (struct cw_ack){.range_count = 1, .ranges = {{1, 1ull << 40}}};
    size = cw_frame_write_ack(bytes, &ack);
    assert_int_equal(cw_frame_decode(bytes, size, &frame), size);
    assert_int_equal(frame.ack.ranges[0].last, 1ull << 40);
    assert_int_equal(frame.ack.ranges[0].first, (1ull << 40) - UINT32_MAX + 1);
}

static void data_bytes(void **state)
{
    static const uint8_t golden[] = {5, 1, 0x60, 0, 0, 0x10, 0, 0, 0xe0, 0x10, 0, 0,
                                     7, 0, 0,    0, 9, 0,    0, 0, 0,    0,    0, 0};
    struct cw_data data = {.head_length = 96,
                           .body_length = 4096,
                           .offset = 4320 - 0,
                           .has_group = true,
                           .group = 7,
                           .epoch = 9};
    struct cw_frame frame;
    uint8_t bytes[256] = {0};
    data.offset = 0x10e0;
    data.body_length = 0x1000;
    assert_int_equal(cw_frame_write_data(bytes, &data), CW_FRAME_DATA_SIZE);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame),
                     0); /* past the end of the message */
    bytes[9] = 0x00;
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), CW_FRAME_DATA_SIZE + 1);
    assert_int_equal(frame.data.offset, 0xe0);
    assert_int_equal(frame.data.length, 1);
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE, &frame), 0); /* no bytes */
    bytes[1] = 0; /* a head this long has a group */
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
    bytes[2] = 15; /* one this short has none, and then there is none given */
    bytes[8] = 15;
    bytes[12] = bytes[16] = 0;
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), CW_FRAME_DATA_SIZE + 1);
    for (size_t at = 12; at < 24; at++) {
        bytes[at] = 1;
        assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
        bytes[at] = 0;
    }
    memcpy(bytes, golden, sizeof golden);
    bytes[9] = 0x00;
    bytes[1] = 0;
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
    bytes[1] = 3;
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
    bytes[1] = 1;
    bytes[3] = 9; /* head above 2048 */
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
    bytes[3] = 0;
    bytes[6] = 3; /* body above 128 KiB */
    assert_int_equal(cw_frame_decode(bytes, CW_FRAME_DATA_SIZE + 1, &frame), 0);
}

static void small_frames(void **state)
{
    static const uint8_t credit[] = {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                     2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t ping[] = {3, 0, 0, 0, 0, 0, 0, 0}, closing[] = {4, 5, 0, 0, 0, 0, 0, 0};
    const uint64_t granted[CW_CLASS_COUNT] = {1, 2, 3 | 1ull << 56};
    struct cw_frame frame;
    uint8_t bytes[64];
    assert_int_equal(cw_frame_write_credit(bytes, granted), sizeof credit);
    assert_memory_equal(bytes, credit, sizeof credit);
    assert_int_equal(cw_frame_decode(bytes, sizeof credit, &frame), sizeof credit);
    assert_memory_equal(frame.granted, granted, sizeof granted);
    assert_int_equal(cw_frame_write_ping(bytes), sizeof ping);
    assert_memory_equal(bytes, ping, sizeof ping);
    assert_int_equal(cw_frame_write_close(bytes, 5), sizeof closing);
    assert_memory_equal(bytes, closing, sizeof closing);
    assert_int_equal(cw_frame_decode(bytes, sizeof closing, &frame), sizeof closing);
    assert_int_equal(frame.why, 5);
    bytes[7] = 1;
    assert_int_equal(cw_frame_decode(bytes, sizeof closing, &frame), 0);
    static const uint8_t challenge[] = {8, 1, 2, 3, 4, 5, 6, 7}, response[] = {9, 0xff, 2, 3, 4, 5, 6, 0xfe};
    assert_int_equal(cw_frame_write_value(bytes, CW_FRAME_CHALLENGE, 0x07060504030201), sizeof challenge);
    assert_memory_equal(bytes, challenge, sizeof challenge);
    assert_int_equal(cw_frame_write_value(bytes, CW_FRAME_RESPONSE, 0xfe0605040302ff), sizeof response);
    assert_memory_equal(bytes, response, sizeof response);
    assert_int_equal(cw_frame_decode(bytes, sizeof response, &frame), sizeof response);
    assert_int_equal(frame.type, CW_FRAME_RESPONSE);
    assert_int_equal(frame.value, 0xfe0605040302ff);
    assert_int_equal(cw_frame_decode(bytes, sizeof response - 1, &frame), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(cw_frame_decode(bytes, 32, &frame), 0); /* type 0 */
    bytes[0] = CW_FRAME_TYPE_COUNT;
    assert_int_equal(cw_frame_decode(bytes, 32, &frame), 0);
}

static void acks_survive_the_way_there_and_back(void **state)
{
    struct cw_rng rng = {7};
    uint8_t bytes[CW_FRAME_ACK_SIZE(CW_ACK_RANGES_MAX)];
    for (int i = 0; i < 2000; i++) {
        struct cw_ack ack = {.delay_ns = (uint32_t)cw_rng_next(&rng), .path = (uint8_t)(i % 4)};
        struct cw_frame frame;
        uint64_t at = (1ull << 36) + cw_rng_below(&rng, 1ull << 36);
        ack.range_count = 1 + (uint32_t)cw_rng_below(&rng, CW_ACK_RANGES_MAX);
        for (uint32_t r = 0; r < ack.range_count; r++) {
            ack.ranges[r].last = at;
            ack.ranges[r].first = at -= cw_rng_below(&rng, 100000);
            at -= 2 + cw_rng_below(&rng, 100000);
        }
        size_t size = cw_frame_write_ack(bytes, &ack);
        assert_int_equal(cw_frame_decode(bytes, size, &frame), size);
        assert_int_equal(frame.ack.delay_ns, ack.delay_ns);
        assert_int_equal(frame.ack.path, ack.path);
        assert_int_equal(frame.ack.range_count, ack.range_count);
        assert_memory_equal(frame.ack.ranges, ack.ranges, ack.range_count * sizeof ack.ranges[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_bytes),
        cmocka_unit_test(header_refusals),
        cmocka_unit_test(header_of_a_repair),
        cmocka_unit_test(recovered_bytes),
        cmocka_unit_test(probe_bytes),
        cmocka_unit_test(ack_bytes),
        cmocka_unit_test(an_ack_of_ages_is_cut),
        cmocka_unit_test(data_bytes),
        cmocka_unit_test(small_frames),
        cmocka_unit_test(acks_survive_the_way_there_and_back),
        cmocka_unit_test(what_is_unused_is_zero),
    };
    return cmocka_run_group_tests_name("transport/bytes", tests, NULL, NULL);
}
