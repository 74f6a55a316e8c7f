/* SPDX-License-Identifier: BSD-3-Clause */
/* What causeway-port-check sends and how it judges: datagrams of every length and with every bit turned, reports,
 * percentiles, and each verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/check/format.h"
#include "io/check/judge.h"

/* ---------------------------------------------------------------- datagrams */

static struct cw_check_datagram some(enum cw_check_kind kind, size_t size)
{
    return (struct cw_check_datagram){.kind = kind,
                                      .flags = CW_CHECK_WHOLE,
                                      .lane = 2,
                                      .size = (uint16_t)size,
                                      .run = 0x01020304,
                                      .stage = 7,
                                      .sequence = 0x1122334455667788,
                                      .sent_ns = 0x99};
}

static void golden_bytes(void **state)
{
    static const uint8_t golden[] = {0x43, 0x57, 0x70, 0x63, 0x01, 0x02, 0x30, 0x00, 0x04, 0x03,
                                     0x02, 0x01, 0x07, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
                                     0x22, 0x11, 0x99, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    uint8_t bytes[CW_CHECK_HEADER_BYTES];
    struct cw_check_datagram datagram = some(CW_CHECK_ECHO, sizeof bytes);
    cw_check_write(&datagram, bytes);
    assert_memory_equal(bytes, golden, sizeof golden);
}

static void every_length_and_bit(void **state)
{
    static uint8_t bytes[CW_CHECK_BYTES_MAX + 1];
    struct cw_check_datagram got;
    for (size_t size = CW_CHECK_HEADER_BYTES; size <= 300; size += 1 + size % 7) {
        struct cw_check_datagram datagram = some(CW_CHECK_DATA, size);
        memset(bytes, 0x5a, sizeof bytes);
        cw_check_write(&datagram, bytes);
        assert_int_equal(cw_check_read(bytes, size, &got), CW_CHECK_OK);
        assert_memory_equal(&got, &datagram, sizeof got);
        for (size_t length = 0; length < 400; length++)
            if (length != size)
                assert_int_not_equal(cw_check_read(bytes, length, &got), CW_CHECK_OK);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(cw_check_read(bytes, size, &got), CW_CHECK_OK);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    struct cw_check_datagram longest = some(CW_CHECK_DATA, CW_CHECK_BYTES_MAX);
    cw_check_write(&longest, bytes);
    assert_int_equal(cw_check_read(bytes, CW_CHECK_BYTES_MAX, &got), CW_CHECK_OK);
    assert_int_not_equal(cw_check_read(bytes, CW_CHECK_BYTES_MAX + 1, &got), CW_CHECK_OK);
}

/* Right hashes over what must not be: whoever means harm can compute them, too. */
static void fields_are_checked(void **state)
{
    uint8_t bytes[CW_CHECK_REPORT_BYTES] = {0};
    struct cw_check_datagram got, datagram = some(CW_CHECK_DATA, 100);
    datagram.flags = 0x04;
    cw_check_write(&datagram, bytes);
    assert_int_equal(cw_check_read(bytes, 100, &got), CW_CHECK_FIELD);
    datagram = some(CW_CHECK_KIND_END, 100);
    cw_check_write(&datagram, bytes);
    assert_int_equal(cw_check_read(bytes, 100, &got), CW_CHECK_FIELD);
    datagram = some((enum cw_check_kind)0, 100);
    cw_check_write(&datagram, bytes);
    assert_int_equal(cw_check_read(bytes, 100, &got), CW_CHECK_FIELD);
    datagram = some(CW_CHECK_DATA, 100);
    datagram.lane = 4;
    cw_check_write(&datagram, bytes);
    assert_int_equal(cw_check_read(bytes, 100, &got), CW_CHECK_FIELD);
}

/* A question that is shorter than its answer would make us louder than who asks. */
static void questions_are_as_long_as_reports(void **state)
{
    static uint8_t bytes[CW_CHECK_BYTES_MAX];
    struct cw_check_datagram got, ask = some(CW_CHECK_ASK, CW_CHECK_REPORT_BYTES);
    cw_check_write(&ask, bytes);
    assert_int_equal(cw_check_read(bytes, ask.size, &got), CW_CHECK_OK);
    for (size_t size = CW_CHECK_HEADER_BYTES; size < 400; size++) {
        struct cw_check_datagram data = some(CW_CHECK_DATA, size);
        data.flags = 0;
        cw_check_write(&data, bytes);
        bytes[5] = CW_CHECK_ASK;
        if (size != CW_CHECK_REPORT_BYTES)
            assert_int_equal(cw_check_read(bytes, size, &got), CW_CHECK_SIZE);
    }
}

static void reports_return(void **state)
{
    uint8_t bytes[CW_CHECK_REPORT_BYTES];
    struct cw_rng rng = {5};
    struct cw_check_report report, got;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t *words = (uint64_t *)&report;
        for (size_t w = 0; w < offsetof(struct cw_check_report, mtu) / 8; w++)
            words[w] = cw_rng_next(&rng);
        report.last_ns = CW_MAX(report.last_ns, report.first_ns);
        report.mtu = (uint32_t)cw_rng_below(&rng, 65536);
        report.queues = 1 + (uint32_t)cw_rng_below(&rng, CW_CHECK_QUEUES_MAX);
        report.does_send_sums = cw_rng_below(&rng, 2) != 0;
        report.does_check_sums = cw_rng_below(&rng, 2) != 0;
        cw_check_report_write(&report, bytes);
        assert_true(cw_check_report_read(bytes, &got));
        assert_memory_equal(words, &got, offsetof(struct cw_check_report, mtu));
        assert_int_equal(got.mtu, report.mtu);
        assert_int_equal(got.queues, report.queues);
        assert_int_equal(got.does_send_sums, report.does_send_sums);
        assert_int_equal(got.does_check_sums, report.does_check_sums);
    }
    report.queues = 5;
    cw_check_report_write(&report, bytes);
    assert_false(cw_check_report_read(bytes, &got));
    report.queues = 1;
    report.first_ns = report.last_ns + 1;
    cw_check_report_write(&report, bytes);
    assert_int_equal(cw_check_report_read(bytes, &got), report.first_ns == 0);
}

/* ---------------------------------------------------------------- percentiles */

static void percentiles(void **state)
{
    uint64_t samples[1000];
    struct cw_check_round_trip trip = cw_check_percentiles(samples, 0);
    assert_int_equal(trip.count, 0);
    samples[0] = 5;
    trip = cw_check_percentiles(samples, 1);
    assert_int_equal(trip.min_ns + trip.p50_ns + trip.p99_ns + trip.max_ns, 20);
    for (unsigned i = 0; i < 1000; i++)
        samples[i] = 1000 - i; /* 1 to 1000, backwards */
    trip = cw_check_percentiles(samples, 1000);
    assert_int_equal(trip.min_ns, 1);
    assert_int_equal(trip.p50_ns, 500);
    assert_int_equal(trip.p99_ns, 990);
    assert_int_equal(trip.max_ns, 1000);
}

/* ---------------------------------------------------------------- judging */

static struct cw_check_results results;
static struct cw_check_judgement judgement;

static struct cw_check_way good_way(void)
{
    struct cw_check_way way = {.is_tried = true,
                               .sent = 2000,
                               .arrived = 2000,
                               .largest = 8972,
                               .does_send_sums = true,
                               .does_check_sums = true,
                               .are_sums_tried = true,
                               .by_device = {256, 256, 0, 0},
                               .by_software = {256, 256, 0, 0},
                               .wrong = {256, 0, 256, 0},
                               .queues = 2,
                               .flows = 256,
                               .by_queue = {600, 424}};
    for (unsigned i = 0; i < CW_CHECK_RATES; i++)
        way.rates[i] = (struct cw_check_rate){true, 64, 1000, 1000, 1e6, 1e9};
    return way;
}

static int all_is_good(void **state)
{
    results = (struct cw_check_results){.mode = CW_CHECK_PEER,
                                        .names = {"wan0", "peer"},
                                        .ports = 1,
                                        .is_link_up = {true, true},
                                        .has_neighbour = true,
                                        .next_hop = "10.0.0.2",
                                        .mtu = 9000,
                                        .vlan = 120,
                                        .peer_mtu = 9000,
                                        .headers = 28,
                                        .low_rate = 1000,
                                        .round_trip = {10, 1, 2, 3, 4},
                                        .ways = {good_way(), good_way()}};
    return 0;
}

static const struct cw_check_judged *find(const char *name, int way)
{
    cw_check_judge(&results, &judgement);
    for (uint32_t i = 0; i < judgement.count; i++)
        if (strcmp(judgement.list[i].name, name) == 0 && judgement.list[i].way == way)
            return &judgement.list[i];
    fail_msg("no check is called %s", name);
    return NULL;
}

static void expect(const char *name, int way, enum cw_check_verdict verdict, const char *words)
{
    const struct cw_check_judged *judged = find(name, way);
    if (judged->verdict != verdict || strstr(judged->words, words) == NULL)
        fail_msg("%s: %s: %s", name, cw_check_verdict_names[judged->verdict], judged->words);
}

static void nothing_is_wrong(void **state)
{
    cw_check_judge(&results, &judgement);
    assert_int_equal(judgement.by_verdict[CW_CHECK_FAILED], 0);
    assert_int_equal(judgement.by_verdict[CW_CHECK_WARNED], 0);
    assert_int_equal(judgement.by_verdict[CW_CHECK_NOT_TRIED], 0);
    assert_int_equal(judgement.by_verdict[CW_CHECK_PASSED], judgement.count);
}

static void loss_is_judged(void **state)
{
    results.ways[0].arrived = 1999;
    expect("loss", 0, CW_CHECK_WARNED, "0.0500%: 1 of 2000");
    results.ways[0].arrived = 1980;
    expect("loss", 0, CW_CHECK_FAILED, "1.00%: 20 of 2000");
    results.ways[0].arrived = 0;
    results.ways[0].wrong_sums = 2000;
    expect("loss", 0, CW_CHECK_FAILED,
           "100%: 2000 of 2000 at 1000 a second; 2000 came with a wrong checksum");
    results.ways[0].arrived = 2001; /* doubled on the way */
    expect("loss", 0, CW_CHECK_PASSED, "none");
    results.ways[1].rates[1].arrived = 900;
    expect("rate", 1, CW_CHECK_WARNED, "1.00 Mpackets/s, 1.00 Gbit/s, 10% lost");
    results.ways[1].rates[1].arrived = 0;
    expect("rate", 1, CW_CHECK_FAILED, "100% lost");
}

static void the_mtu_is_judged(void **state)
{
    results.ways[0].largest = 1472;
    expect(
        "mtu", 0, CW_CHECK_FAILED,
        "the path's mtu is 9000, and no datagram longer than 1472 bytes arrives: a switch between, or the peer's "
        "port, has 1500");
    results.peer_mtu = 1500;
    expect("mtu", 0, CW_CHECK_FAILED, "9000 here and 1500 at the other end");
    expect("mtu", 1, CW_CHECK_PASSED, "9000");
}

static void devices_are_judged(void **state)
{
    struct cw_check_way *way = &results.ways[0];
    way->by_device = (struct cw_check_sums){256, 0, 256, 0};
    expect("checksums sent", 0, CW_CHECK_FAILED,
           "256 of 256 arrive with a wrong one; by software they arrive");
    way->by_device.called_good = 256;
    expect("checksums sent", 0, CW_CHECK_WARNED, "between virtual machines");
    way->by_device.called_good = 0;
    way->by_software = (struct cw_check_sums){256, 200, 56, 0};
    expect("checksums sent", 0, CW_CHECK_FAILED, "damaged on the way");
    way->by_device = (struct cw_check_sums){256, 0, 0, 0};
    expect("checksums sent", 0, CW_CHECK_FAILED, "none of 256");
    way->does_send_sums = false;
    expect("checksums sent", 0, CW_CHECK_NOT_TRIED, "software");
    way->wrong = (struct cw_check_sums){256, 0, 256, 3};
    expect("checksums received", 0, CW_CHECK_FAILED, "calls 3 of 256 wrong ones right");
    way->wrong = (struct cw_check_sums){256, 0, 0, 0};
    expect("checksums received", 0, CW_CHECK_PASSED, "do not arrive at all");
    way->by_queue[1] = 0;
    expect("queues", 0, CW_CHECK_FAILED, "1 of 2 receive nothing (frames by queue: 600, 0");
    way->garbage = 1;
    expect("damage", -1, CW_CHECK_FAILED, "1 datagrams");
}

static void what_was_not_tried_says_why(void **state)
{
    struct cw_check_results good = results;
    memset(results.ways, 0, sizeof results.ways);
    results.is_link_up[0] = false;
    expect("link", -1, CW_CHECK_FAILED, "is the cable in");
    expect("loss", 0, CW_CHECK_NOT_TRIED, "there is no link");
    results.is_link_up[0] = true;
    results.has_neighbour = false;
    expect("neighbour", -1, CW_CHECK_FAILED, "nobody answers for 10.0.0.2");
    expect("mtu", 1, CW_CHECK_NOT_TRIED, "nobody is there");
    results.is_interrupted = true;
    expect("neighbour", -1, CW_CHECK_NOT_TRIED, "interrupted");
    results = good;
    memset(results.ways, 0, sizeof results.ways);
    results.mode = CW_CHECK_PING;
    expect("other end", -1, CW_CHECK_WARNED, "only echo");
    expect("rate", 0, CW_CHECK_NOT_TRIED, "--answer at the other end");
    results.echoes[CW_CHECK_ECHO_PEER] =
        (struct cw_check_echo){.is_tried = true, .address = "x", .sent = 100};
    expect("echo of the peer", -1, CW_CHECK_FAILED, "none of 100");
    results.echoes[CW_CHECK_ECHO_PEER].answered = 100;
    expect("echo of the peer", -1, CW_CHECK_PASSED, "of 100 lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(every_length_and_bit),
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(questions_are_as_long_as_reports),
        cmocka_unit_test(reports_return),
        cmocka_unit_test(percentiles),
        cmocka_unit_test_setup(nothing_is_wrong, all_is_good),
        cmocka_unit_test_setup(loss_is_judged, all_is_good),
        cmocka_unit_test_setup(the_mtu_is_judged, all_is_good),
        cmocka_unit_test_setup(devices_are_judged, all_is_good),
        cmocka_unit_test_setup(what_was_not_tried_says_why, all_is_good),
    };
    return cmocka_run_group_tests_name("io/check", tests, NULL, NULL);
}
