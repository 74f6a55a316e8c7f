/* SPDX-License-Identifier: BSD-3-Clause */
/* CE in frames: with a checksum that is good afterwards, and of nothing but what may be marked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "wanem/mark.h"

enum { ETHERNET = 14, LENGTH = 80 };

static uint8_t frame[LENGTH];

/* The header's sum, which is 0xffff when its checksum is good. */
static uint32_t sum_of(const uint8_t *ip)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

/* With so many VLAN tags; where the IP header begins. */
static uint8_t *make(unsigned version, unsigned tags, unsigned ecn, struct cw_rng *rng)
{
    for (int i = 0; i < LENGTH; i++)
        frame[i] = (uint8_t)cw_rng_next(rng);
    uint8_t *at = frame + 12;
    for (unsigned i = 0; i < tags; i++, at += 4)
        memcpy(at, i ? "\x81\x00" : "\x88\xa8", 2);
    memcpy(at, version == 4 ? "\x08\x00" : "\x86\xdd", 2);
    uint8_t *ip = at + 2;
    ip[0] = version == 4 ? 0x45 : 0x60 | (ip[0] & 15);
    unsigned shift = version == 4 ? 0 : 4;
    ip[1] = (uint8_t)((ip[1] & ~(3u << shift)) | ecn << shift);
    if (version == 4) {
        ip[10] = ip[11] = 0;
        uint32_t sum = sum_of(ip) ^ 0xffff;
        ip[10] = (uint8_t)(sum >> 8);
        ip[11] = (uint8_t)sum;
    }
    return ip;
}

static void what_is_capable_is_marked(void **state)
{
    struct cw_rng rng = {5};
    for (unsigned round = 0; round < 20000; round++) {
        unsigned version = round & 1 ? 4 : 6, ecn = round >> 1 & 3;
        uint8_t before[LENGTH], *ip = make(version, round >> 3 & 3, ecn, &rng);
        memcpy(before, frame, LENGTH);
        bool is_capable = ecn == 1 || ecn == 2;
        assert_int_equal(cw_wan_mark(frame, LENGTH), is_capable);
        if (version == 4)
            assert_int_equal(sum_of(ip), 0xffff);
        if (is_capable) {
            assert_int_equal(ip[1], before[ip + 1 - frame] | (version == 4 ? 3 : 0x30));
            memcpy(frame + (ip + 1 - frame), before + (ip + 1 - frame), 1);
            if (version == 4)
                memcpy(ip + 10, before + (ip + 10 - frame), 2);
        }
        assert_memory_equal(frame, before, LENGTH);
    }
}

static void nothing_else_is_touched(void **state)
{
    struct cw_rng rng = {6};
    uint8_t before[LENGTH];
    for (unsigned length = 0; length < ETHERNET + 20; length++) {
        make(4, 0, 2, &rng);
        memcpy(before, frame, LENGTH);
        assert_false(cw_wan_mark(frame, length));
        assert_memory_equal(frame, before, LENGTH);
    }
    uint8_t *ip = make(6, 0, 2, &rng);
    assert_false(cw_wan_mark(frame, ETHERNET + 39));
    ip[0] = 0x45; /* says one thing outside, another inside */
    assert_false(cw_wan_mark(frame, LENGTH));
    make(4, 0, 2, &rng)[-1] = 6; /* ARP */
    assert_false(cw_wan_mark(frame, LENGTH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_capable_is_marked),
        cmocka_unit_test(nothing_else_is_touched),
    };
    return cmocka_run_group_tests_name("wanem/mark", tests, NULL, NULL);
}
