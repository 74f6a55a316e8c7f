/* SPDX-License-Identifier: BSD-3-Clause */
/* The datagram whose header stands in tests/unit/wire/golden/datagram_data.hex, with 32 bytes behind it: one
 * for the tests of the header, of what decoding refuses, and of what sealing makes of it. */
#ifndef TESTS_LIB_GOLDEN_PACKET_H
#define TESTS_LIB_GOLDEN_PACKET_H

#include "wire/packet.h"

#define GOLDEN_PACKET                                                                                        \
    {                                                                                                        \
        .spi = 0x12345678, .iv = 0x0102030405060708, .type = CW_PACKET_DATA, .flags = 3, .lane = 2,          \
        .stream = 2, .session = 0x5678, .length = 32, .ticks = 0xaabbccdd, .position = 0x1122334455667788,   \
    }

#endif
