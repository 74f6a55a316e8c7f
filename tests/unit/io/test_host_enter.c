/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How an IPv6 address comes onto its link: golden probes and listener reports by the clock, objections before
 * and after it is in use, what is said and kept back meanwhile, and what routers ask. The frames are those of
 * RFC 4861 section 4.3, RFC 3810 section 5 and RFC 2710 section 3, of fd00::1 at 02:00:00:00:00:01.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "io/host.h"

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 3};
static const uint8_t ours[16] = {0xfd, [15] = 1}, next_hop[16] = {0xfd, [15] = 2};

/* Everything on ff02::16 that the group ff02::1:ff00:1 is listened to, from now on. By hand: ff02 + 16,
 * length 1c, protocol 3a, 8f00 + 1 + 0400, the group ff02 + 1 + ff00 + 1: 39073, folded 9076, so 6f89. */
static const uint8_t report[] = {
    0x33, 0x33, 0,    0,    0,    0x16, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,          /* Ethernet */
    0x60, 0,    0,    0,    0,    36,   0, 1,                                  /* IPv6: options, one hop */
    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0,    0,    0, 0,    /* from nobody yet */
    0xff, 2,    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0,    0,    0, 0x16, /* to the routers */
    58,   0,    5,    2,    0,    0,    1, 0,                                  /* router alert */
    143,  0,    0x6f, 0x89, 0,    0,    0, 1,                                  /* one record: */
    4,    0,    0,    0,    0xff, 2,    0, 0, 0, 0, 0, 0, 0,    0,    0, 1,
    0xff, 0,    0,    1, /* now all sources */
};
/* Who has fd00::1? By hand: ff02 + 1 + ff00 + 1, length 18, protocol 3a, 8700, fd00 + 1: 38257, folded 825a,
 * so 7da5. */
static const uint8_t probe[] = {
    0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0,    1, 0x86, 0xdd, 0x60, 0, 0,    0,    0,    24,
    58,   255,  0,    0, 0, 0, 0, 0, 0, 0, 0,    0, 0,    0,    0,    0, 0,    0,    0xff, 2,
    0,    0,    0,    0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0,    1,    135,  0, 0x7d, 0xa5, 0,    0,
    0,    0,    0xfd, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0,    0,    0,    0, 0,    1,
};
/* A router at fe80::2 asks all about all groups, with up to 1 s for the answer, in version 2 and 1. */
static const uint8_t query[] = {
    0x33, 0x33, 0, 0, 0, 1, 2, 0, 0,  0, 0, 9, 0x86, 0xdd, 0x60, 0,    0,   0, 0,   36, 0, 1,    0xfe,
    0x80, 0,    0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,    0,    2,    0xff, 2,   0, 0,   0,  0, 0,    0,
    0,    0,    0, 0, 0, 0, 0, 1, 58, 0, 5, 2, 0,    0,    1,    0,    130, 0, 0,   0,  3, 0xe8, 0,
    0,    0,    0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,    0,    0,    0,    0,   2, 125, 0,  0,
};
enum {
    MAC_FROM = 6,
    PAYLOAD = 18,
    HOPS = 21,
    SOURCE = 22,
    OPTIONS = 54,
    ICMP = 54,
    MLD = 62,
    TARGET = 62,
    GROUP = 70
};

static struct cw_host host;
static uint8_t frame[256];

static void mend(uint8_t *bytes, size_t icmp_at)
{
    size_t length = 54u + cw_load16be(bytes + PAYLOAD) - icmp_at;
    uint32_t sum = (uint32_t)length + 58;
    cw_store16be(bytes + icmp_at + 2, 0);
    for (size_t at = SOURCE; at < 54; at += 2)
        sum += cw_load16be(bytes + at);
    for (size_t at = icmp_at; at < icmp_at + length; at += 2)
        sum += cw_load16be(bytes + at);
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    cw_store16be(bytes + icmp_at + 2, (uint16_t)~sum);
}

static void start(uint64_t now_ns)
{
    struct cw_host_config config = {.ip = cw_ip_v6(ours), .next_hop = cw_ip_v6(next_hop)};
    memcpy(config.mac, our_mac, 6);
    cw_host_init(&host, &config);
    cw_host_enter(&host, now_ns);
}

static enum cw_host_verdict give(const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    uint8_t copy[256], reply[1514];
    size_t reply_length;
    struct cw_frame_in in = {.bytes = copy, .length = length};
    memcpy(copy, bytes, length);
    enum cw_host_verdict verdict = cw_host_on_frame(&host, &in, reply, sizeof reply, &reply_length, now_ns);
    assert_true((reply_length > 0) == (verdict == CW_HOST_ASKED || verdict == CW_HOST_ECHOED));
    return verdict;
}

static void assert_said(const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    assert_int_equal(cw_host_announce(&host, frame, now_ns), length);
    assert_memory_equal(frame, bytes, length);
}

static void assert_silent(uint64_t now_ns)
{
    assert_int_equal(cw_host_announce(&host, frame, now_ns), 0);
}

/* In use since one second after its start, and all reports are out. */
static void start_in_use(void)
{
    start(0);
    (void)cw_host_announce(&host, frame, 0);
    (void)cw_host_announce(&host, frame, 0);
    (void)cw_host_announce(&host, frame, CW_SECOND);
    assert_silent(CW_SECOND);
    assert_true(cw_host_has_address(&host));
}

static void an_address_enters(void **state)
{
    start(5);
    assert_false(cw_host_has_address(&host));
    assert_int_equal(cw_host_deadline_ns(&host), 5);
    assert_silent(4);
    assert_said(report, sizeof report, 5);
    assert_said(probe, sizeof probe, 5);
    assert_silent(5);
    assert_int_equal(cw_host_deadline_ns(&host), 5 + CW_SECOND);
    assert_int_equal(cw_host_ask(&host, frame, 5), 0); /* the next hop may wait */
    assert_silent(4 + CW_SECOND);
    assert_said(report, sizeof report, 5 + CW_SECOND);
    assert_false(cw_host_has_address(&host));
    assert_silent(5 + CW_SECOND);
    assert_true(cw_host_has_address(&host));
    assert_int_not_equal(cw_host_ask(&host, frame, 5 + CW_SECOND), 0);
    assert_silent(100 * CW_SECOND);
}

/* Nothing of the kind with IPv4, or where the kernel has the address. */
static void only_our_ipv6_addresses_enter(void **state)
{
    struct cw_host_config config = {.ip = cw_ip_v4(0x0a000001), .next_hop = cw_ip_v4(0x0a000002)};
    for (int i = 0; i < 2; i++) {
        cw_host_init(&host, &config);
        cw_host_enter(&host, 0);
        assert_true(cw_host_has_address(&host));
        assert_silent(CW_SECOND);
        config = (struct cw_host_config){
            .ip = cw_ip_v6(ours), .next_hop = cw_ip_v6(next_hop), .is_kernel_s = true};
    }
    assert_int_equal(give(query, sizeof query, 0), CW_HOST_NOT_OURS);
}

/* Somebody tells everybody that fd00::1 is its. */
static size_t build_objection(uint8_t *bytes)
{
    static const uint8_t all[16] = {0xff, 2, [15] = 1}, all_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    memcpy(bytes, probe, sizeof probe);
    memcpy(bytes, all_mac, 6);
    memcpy(bytes + MAC_FROM, other_mac, 6);
    memcpy(bytes + SOURCE, ours, 16);
    memcpy(bytes + SOURCE + 16, all, 16);
    bytes[ICMP] = 136;
    bytes[ICMP + 4] = 0x20;
    cw_store16be(bytes + PAYLOAD, 32);
    bytes[sizeof probe] = 2;
    bytes[sizeof probe + 1] = 1;
    memcpy(bytes + sizeof probe + 2, other_mac, 6);
    mend(bytes, ICMP);
    return sizeof probe + 8;
}

static void assert_taken_and_tried_again(uint64_t now_ns)
{
    assert_false(cw_host_has_address(&host));
    assert_int_equal(host.entry.state, CW_HOST_ADDRESS_TAKEN);
    assert_memory_equal(host.entry.taken_by, other_mac, 6);
    assert_said(report, sizeof report, now_ns + CW_SECOND); /* the second one */
    uint64_t due_ns = cw_host_deadline_ns(&host);
    assert_in_range(due_ns - now_ns, 10 * CW_SECOND, 14100 * CW_MS);
    assert_int_equal(cw_host_ask(&host, frame, due_ns), 0);
    assert_said(probe, sizeof probe, due_ns);
    assert_silent(due_ns + CW_SECOND);
    assert_true(cw_host_has_address(&host));
}

static void an_objection_keeps_it_out(void **state)
{
    uint8_t objection[128];
    size_t length = build_objection(objection);
    start(0);
    assert_said(report, sizeof report, 0);
    assert_said(probe, sizeof probe, 0);
    assert_int_equal(give(objection, length, CW_SECOND / 2), CW_HOST_CONFLICT);
    assert_taken_and_tried_again(CW_SECOND / 2);
    assert_int_equal(give(objection, length, 100 * CW_SECOND), CW_HOST_CONFLICT); /* too late: counted */
    assert_true(cw_host_has_address(&host));
}

static void another_that_probes_keeps_it_out(void **state)
{
    uint8_t its[sizeof probe];
    memcpy(its, probe, sizeof its);
    start(0);
    assert_said(report, sizeof report, 0);
    assert_said(probe, sizeof probe, 0);
    assert_int_equal(give(probe, sizeof probe, 1), CW_HOST_NOT_OURS); /* our own, come round */
    assert_int_equal(host.entry.state, CW_HOST_ADDRESS_PROBED);
    memcpy(its + MAC_FROM, other_mac, 6);
    assert_int_equal(give(its, sizeof its, 1), CW_HOST_CONFLICT);
    assert_taken_and_tried_again(1);
    assert_int_equal(give(its, sizeof its, 100 * CW_SECOND), CW_HOST_ASKED); /* now it is defended */
}

static void nothing_is_answered_before(void **state)
{
    uint8_t bytes[128];
    start(0);
    memcpy(bytes, probe, sizeof probe);
    memcpy(bytes + MAC_FROM, other_mac, 6);
    memcpy(bytes + SOURCE, next_hop, 16); /* somebody who wants to speak to it */
    mend(bytes, ICMP);
    assert_int_equal(give(bytes, sizeof probe, 0), CW_HOST_NOT_OURS);
    memcpy(bytes, our_mac, 6);
    memcpy(bytes + SOURCE + 16, ours, 16);
    bytes[ICMP] = 128;
    mend(bytes, ICMP);
    assert_int_equal(give(bytes, sizeof probe, 0), CW_HOST_NOT_OURS);
    start_in_use();
    assert_int_equal(give(bytes, sizeof probe, CW_SECOND), CW_HOST_ECHOED);
}

/* ---------------------------------------------------------------- what routers ask */

static void build_query(uint8_t *bytes)
{
    memcpy(bytes, query, sizeof query);
    mend(bytes, MLD);
}

/* 2 in place of 4 (a state, no change): 6f89 + 0200. */
static void a_query_is_answered_in_its_version(void **state)
{
    uint8_t bytes[sizeof query], answer[sizeof report];
    static const uint8_t group[16] = {0xff, 2, [11] = 1, 0xff, 0, 0, 1};
    start_in_use();
    build_query(bytes);
    assert_int_equal(give(bytes, sizeof bytes, 7 * CW_SECOND), CW_HOST_QUERIED);
    uint64_t due_ns = host.entry.report_due_ns;
    assert_in_range(due_ns, 7 * CW_SECOND, 8 * CW_SECOND);
    assert_int_equal(give(bytes, sizeof bytes, due_ns - 1), CW_HOST_QUERIED); /* does not put it off */
    memcpy(answer, report, sizeof answer);
    answer[GROUP] = 2;
    cw_store16be(answer + MLD + 2, 0x7189);
    assert_said(answer, sizeof answer, due_ns);
    assert_silent(due_ns + 100 * CW_SECOND);
    /* Version 1, of our group, at once; its answer goes there. By hand: twice ff02 + 1 + ff00 + 1, 18 + 3a,
     * 8300: 47f5a, folded 7f5e, so 80a1. */
    cw_store16be(bytes + PAYLOAD, 32);
    cw_store16be(bytes + MLD + 4, 0);
    memcpy(bytes + GROUP, group, 16);
    mend(bytes, MLD);
    assert_int_equal(give(bytes, 54 + 32, 200 * CW_SECOND), CW_HOST_QUERIED);
    assert_int_equal(cw_host_announce(&host, frame, 200 * CW_SECOND), 54 + 32);
    assert_memory_equal(frame, probe, 6);
    assert_int_equal(frame[HOPS], 1);
    assert_memory_equal(frame + SOURCE + 16, group, 16);
    assert_memory_equal(frame + OPTIONS, report + OPTIONS, 8);
    assert_memory_equal(frame + MLD, ((uint8_t[]){131, 0, 0x80, 0xa1, 0, 0, 0, 0}), 8);
    assert_memory_equal(frame + GROUP, group, 16);
}

/* Who asks all the time, and wants to wait for nothing, gets ten reports a second. */
static void many_queries_are_answered_now_and_then(void **state)
{
    uint8_t bytes[sizeof query];
    uint32_t reports = 0;
    start_in_use();
    build_query(bytes);
    cw_store16be(bytes + MLD + 4, 0);
    mend(bytes, MLD);
    for (uint64_t now_ns = 100 * CW_SECOND; now_ns < 101 * CW_SECOND; now_ns += 10 * CW_US) {
        assert_int_equal(give(bytes, sizeof bytes, now_ns), CW_HOST_QUERIED);
        reports += cw_host_announce(&host, frame, now_ns) > 0;
    }
    assert_in_range(reports, 9, 11);
}

static void strange_queries_are_refused(void **state)
{
    uint8_t bytes[sizeof query];
    const struct {
        uint8_t at, value;
        enum cw_host_verdict verdict;
    } wrong[] = {{HOPS, 2, CW_HOST_MALFORMED},          {SOURCE, 0xfd, CW_HOST_MALFORMED},
                 {OPTIONS + 2, 1, CW_HOST_MALFORMED},   {OPTIONS + 3, 9, CW_HOST_MALFORMED},
                 {OPTIONS + 1, 3, CW_HOST_MALFORMED},   {PAYLOAD + 1, 35, CW_HOST_MALFORMED},
                 {PAYLOAD + 1, 200, CW_HOST_MALFORMED}, {OPTIONS, 17, CW_HOST_NOT_OURS},
                 {MLD, 131, CW_HOST_NOT_OURS},          {GROUP, 0xff, CW_HOST_NOT_OURS}};
    start_in_use();
    for (unsigned i = 0; i < CW_COUNT_OF(wrong); i++) {
        build_query(bytes);
        bytes[wrong[i].at] = wrong[i].value;
        if (wrong[i].at != PAYLOAD + 1)
            mend(bytes, MLD);
        assert_int_equal(give(bytes, sizeof bytes, CW_SECOND), wrong[i].verdict);
    }
    for (size_t length = 0; length < sizeof query; length++) {
        build_query(bytes);
        assert_int_not_equal(give(bytes, length, CW_SECOND), CW_HOST_QUERIED);
    }
    for (unsigned bit = MLD * 8; bit < sizeof query * 8; bit++) {
        build_query(bytes);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(give(bytes, sizeof bytes, CW_SECOND), CW_HOST_QUERIED);
    }
    assert_int_equal(host.entry.report_due_ns, CW_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_enters),
        cmocka_unit_test(only_our_ipv6_addresses_enter),
        cmocka_unit_test(an_objection_keeps_it_out),
        cmocka_unit_test(another_that_probes_keeps_it_out),
        cmocka_unit_test(nothing_is_answered_before),
        cmocka_unit_test(a_query_is_answered_in_its_version),
        cmocka_unit_test(many_queries_are_answered_now_and_then),
        cmocka_unit_test(strange_queries_are_refused),
    };
    return cmocka_run_group_tests_name("io/host_enter", tests, NULL, NULL);
}
