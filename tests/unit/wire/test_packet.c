/* SPDX-License-Identifier: BSD-3-Clause */
/* The datagram's headers against the bytes that golden.py writes, and those of all handshake messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "hexfile.h"
#include "tests/lib/golden_packet.h"
#include "wire/packet.h"

static const struct {
    const char *name;
    struct cw_packet packet;
} golden[] = {
    {"datagram_data", GOLDEN_PACKET},
    {"datagram_source",
     {.spi = 0x12345678,
      .iv = 9,
      .type = CW_PACKET_DATA,
      .flags = 1,
      .stream = 1,
      .session = 0x5678,
      .length = 32,
      .ticks = 0xaabbccdd,
      .position = 17,
      .fec_repairs = 2,
      .fec_block = 0x123456,
      .fec_index = 33}},
    {"datagram_control",
     {.spi = 0x12345678,
      .iv = 10,
      .type = CW_PACKET_CONTROL,
      .session = 0x5678,
      .length = 32,
      .ticks = 0xaabbccdd}},
    {"datagram_repair",
     {.spi = 0x12345678,
      .iv = 11,
      .type = CW_PACKET_REPAIR,
      .flags = 1,
      .stream = 34,
      .session = 0x5678,
      .length = 32,
      .ticks = 0xaabbccdd,
      .position = 2,
      .fec_repairs = 2,
      .fec_block = 0x123456,
      .fec_index = 1}},
    {"handshake_hello", {.type = CW_PACKET_HANDSHAKE, .lane = 1, .stream = 1, .length = 200}},
    {"handshake_cookie", {.type = CW_PACKET_HANDSHAKE, .lane = 1, .stream = 2, .length = 200}},
    {"handshake_answer", {.type = CW_PACKET_HANDSHAKE, .lane = 1, .stream = 3, .length = 200}},
    {"handshake_confirm", {.type = CW_PACKET_HANDSHAKE, .lane = 1, .stream = 4, .length = 200}},
    {"handshake_carry", {.type = CW_PACKET_HANDSHAKE, .lane = 1, .stream = 5, .length = 81}},
};

static void golden_bytes(void **state)
{
    uint8_t bytes[512], header[CW_PACKET_HEADER_SIZE];
    struct cw_packet packet;
    for (size_t i = 0; i < CW_COUNT_OF(golden); i++) {
        uint32_t length = hexfile_read(golden[i].name, bytes, sizeof bytes);
        cw_packet_encode(&golden[i].packet, header);
        assert_memory_equal(header, bytes, sizeof header);
        assert_int_equal(cw_packet_check(bytes, length, &packet), CW_PACKET_OK);
        assert_int_equal(cw_packet_lane(bytes, length), golden[i].packet.lane);
        assert_int_equal(cw_packet_lane(bytes, CW_PACKET_OVERHEAD - 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_bytes)};
    return cmocka_run_group_tests_name("wire/packet", tests, NULL, NULL);
}
