/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole checks over a pair of memif ports whose devices lie: memif computes no checksums and looks at none, so a port
 * that is told its device does has one that does not; what it receives is called right by a callback before the port.
 * And an answerer among strangers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/check/check.h"
#include "io/port_internal.h"

#define LIMIT_NS (60 * CW_SECOND)

static char folder[64], why[512];
static struct cw_port_config configs[2];
static struct cw_port *ports[2];
static volatile sig_atomic_t must_stop;
static struct cw_check_results results;

static void open_ports(uint8_t version)
{
    static unsigned opened;
    static const uint8_t own[2][16] = {{0xfd, [15] = 1}, {0xfd, [15] = 2}};
    for (unsigned i = 0; i < 2; i++) {
        configs[i] = (struct cw_port_config){
            .mtu = 1500, .local_udp = 7400, .remote_udp = 7400, .queues = 1, .is_sum_doubted = true};
        configs[i].local_ip = version == 6 ? cw_ip_v6(own[i]) : cw_ip_v4(0x0a000001 + i);
        configs[i].remote_ip = version == 6 ? cw_ip_v6(own[1 - i]) : cw_ip_v4(0x0a000002 - i);
        snprintf(configs[i].name, sizeof configs[i].name, "%c", 'a' + i);
        snprintf(configs[i].device, sizeof configs[i].device, "net_memif%u,role=%s,socket=%s/s", opened++,
                 i == 0 ? "server" : "client", folder);
        ports[i] = cw_port_open(&configs[i], why, sizeof why);
        if (ports[i] == NULL)
            fail_msg("%s", why);
    }
}

static void close_ports(void)
{
    cw_port_close(ports[1]);
    cw_port_close(ports[0]);
}

static void check(void)
{
    struct cw_check_plan plan = {.ports = {ports[0], ports[1]},
                                 .configs = configs,
                                 .port_count = 2,
                                 .milliseconds = 100,
                                 .must_stop = &must_stop};
    cw_check_run(&plan, &results);
}

static void expect(const char *name, int way, enum cw_check_verdict verdict, const char *words)
{
    static struct cw_check_judgement judgement;
    cw_check_judge(&results, &judgement);
    for (uint32_t i = 0; i < judgement.count; i++) {
        const struct cw_check_judged *judged = &judgement.list[i];
        if (strcmp(judged->name, name) != 0 || judged->way != way)
            continue;
        if (judged->verdict != verdict || strstr(judged->words, words) == NULL)
            fail_msg("%s: %s: %s", name, cw_check_verdict_names[judged->verdict], judged->words);
        return;
    }
    fail_msg("no check is called %s", name);
}

/* What the port believes of its device; the device knows nothing of it. */
static void promise_sums_sent(struct cw_port *port, bool is_v6)
{
    port->transmit_flags =
        is_v6 ? RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    cw_frame_path_leave_sum(&port->path);
}

static uint16_t call_right(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count,
                           uint16_t count_max, void *flags)
{
    for (uint16_t i = 0; i < count; i++)
        frames[i]->ol_flags |= (uintptr_t)flags;
    return count;
}

static void promise_sums_received(struct cw_port *port, bool is_v6)
{
    port->sum_doubted_flag = is_v6 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    assert_non_null(
        rte_eth_add_rx_callback(port->id, 0, call_right, (void *)(uintptr_t)port->sum_doubted_flag));
}

static void honest_devices_pass(void **state)
{
    open_ports(4);
    check();
    for (int way = 0; way < 2; way++) {
        expect("loss", way, CW_CHECK_PASSED, "none");
        expect("mtu", way, CW_CHECK_PASSED, "1472");
        expect("rate", way, CW_CHECK_PASSED, "1472 bytes");
        expect("checksums sent", way, CW_CHECK_NOT_TRIED, "software");
        expect("checksums received", way, CW_CHECK_PASSED, "software finds 256 of 256");
    }
    expect("damage", -1, CW_CHECK_PASSED, "");
    close_ports();
}

/* All else is measured with checksums by software then. */
static void a_device_that_computes_none(uint8_t version)
{
    open_ports(version);
    promise_sums_sent(ports[0], version == 6);
    check();
    expect("checksums sent", 0, CW_CHECK_FAILED,
           "256 of 256 arrive with a wrong one; by software they arrive");
    expect("checksums sent", 1, CW_CHECK_NOT_TRIED, "software");
    expect("loss", 0, CW_CHECK_PASSED, "none");
    expect("mtu", 0, CW_CHECK_PASSED, version == 6 ? "1452" : "1472");
    close_ports();
}

static void a_device_that_computes_none_is_found(void **state)
{
    a_device_that_computes_none(4);
    a_device_that_computes_none(6);
}

static void a_device_that_calls_all_right(uint8_t version)
{
    open_ports(version);
    promise_sums_received(ports[1], version == 6);
    check();
    expect("checksums received", 0, CW_CHECK_FAILED, "calls 256 of 256 wrong ones right");
    expect("checksums received", 1, CW_CHECK_PASSED, "software finds 256 of 256");
    expect("loss", 0, CW_CHECK_PASSED, "none");
    close_ports();
}

static void a_device_that_calls_all_right_is_found(void **state)
{
    a_device_that_calls_all_right(4);
    a_device_that_calls_all_right(6);
}

/* As virtio does between machines of one host. */
static void a_pair_that_agrees_is_warned_of(void **state)
{
    open_ports(6);
    promise_sums_sent(ports[0], true);
    promise_sums_received(ports[1], true);
    check();
    expect("checksums sent", 0, CW_CHECK_WARNED, "between virtual machines");
    close_ports();
}

/* The engine itself has to believe its device: then nobody is in doubt. */
static void only_who_doubts_counts(void **state)
{
    open_ports(4);
    assert_int_equal(ports[0]->sum_good_flag, 0);
    ports[1]->sum_good_flag = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    assert_non_null(
        rte_eth_add_rx_callback(ports[1]->id, 0, call_right, (void *)(uintptr_t)RTE_MBUF_F_RX_IP_CKSUM_GOOD));
    check();
    assert_int_equal(results.ways[0].wrong.called_good, 0);
    assert_int_equal(results.ways[0].wrong.arrived, 256);
    expect("checksums received", 0, CW_CHECK_FAILED, "calls 256 of 256 wrong ones right");
    close_ports();
}

/* ---------------------------------------------------------------- strangers */

static uint64_t returned_bytes, sent_bytes;

static void take_answer(void *context, uint8_t *bytes, size_t length)
{
    returned_bytes += length;
}

static void turns(struct cw_check_answerer *answerer, bool is_until_known)
{
    uint64_t start_ns = cw_check_now_ns();
    for (unsigned i = 0;
         i < 20 || (is_until_known && !(cw_port_may_send(ports[0]) && cw_port_may_send(ports[1]))); i++) {
        cw_port_on_time(ports[0], cw_check_now_ns());
        (void)cw_port_receive(ports[0], take_answer, NULL);
        cw_port_flush(ports[0]);
        (void)cw_check_answerer_turn(answerer, cw_check_now_ns());
        if (i > 20)
            cw_check_idle(CW_SECOND);
        assert_true(cw_check_now_ns() - start_ns < LIMIT_NS);
    }
}

/* Datagrams of all kinds and lengths, right ones with a bit turned, and noise. */
static void strangers_get_no_more_than_they_send(void **state)
{
    struct cw_rng rng = {11};
    static struct cw_check_answerer answerer;
    open_ports(4);
    while (!cw_port_is_link_up(ports[0]) || !cw_port_is_link_up(ports[1]))
        cw_check_idle(CW_SECOND);
    cw_check_answerer_init(&answerer, ports[1], &configs[1]);
    turns(&answerer, true);
    returned_bytes = sent_bytes = 0;
    uint64_t garbage = 0;
    for (unsigned i = 0; i < 3000; i++) {
        bool is_noise = cw_rng_below(&rng, 3) == 0;
        enum cw_check_kind kind = 1 + (enum cw_check_kind)cw_rng_below(&rng, CW_CHECK_KIND_END - 1);
        size_t length = CW_CHECK_HEADER_BYTES + cw_rng_below(&rng, 1400);
        if (kind == CW_CHECK_ASK || kind == CW_CHECK_REPORT)
            length = CW_CHECK_REPORT_BYTES;
        if (is_noise)
            length = cw_rng_below(&rng, 1472);
        uint8_t *room = cw_port_transmit_next(ports[0]);
        assert_non_null(room);
        for (size_t b = 0; b < length; b++)
            room[b] = (uint8_t)cw_rng_next(&rng);
        struct cw_check_datagram datagram = {
            .kind = kind, .size = (uint16_t)length, .run = 1, .stage = i / 100, .flags = CW_CHECK_WHOLE};
        if (!is_noise)
            cw_check_write(&datagram, room);
        if (!is_noise && cw_rng_below(&rng, 3) == 0) {
            room[cw_rng_below(&rng, length)] ^= (uint8_t)(1u << cw_rng_below(&rng, 8));
            is_noise = true;
        }
        garbage += is_noise;
        sent_bytes += length;
        cw_port_transmit_commit(ports[0], length);
        turns(&answerer, false);
        assert_true(returned_bytes <= sent_bytes);
    }
    assert_int_equal(answerer.garbage, garbage);
    assert_true(answerer.asked > 0 && answerer.echoed > 0 && answerer.ignored > 0);
    close_ports();
}

static int start(void **state)
{
    struct cw_eal_config eal = {.memory_mb = 256};
    long last = CW_MAX(sysconf(_SC_NPROCESSORS_ONLN) - 1, 0);
    snprintf(folder, sizeof folder, "/tmp/cw-check-XXXXXX");
    snprintf(eal.lcores, sizeof eal.lcores, "0@(0-%ld),1@(0-%ld)", last, last);
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "cw-test-check-%d", (int)getpid());
    if (mkdtemp(folder) != NULL && cw_eal_start(&eal, why, sizeof why) == CW_OK)
        return 0;
    print_error("%s\n", why);
    return -1;
}

static int stop(void **state)
{
    char socket[80];
    snprintf(socket, sizeof socket, "%s/s", folder);
    (void)unlink(socket);
    (void)rmdir(folder);
    cw_eal_stop();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_devices_pass),
        cmocka_unit_test(a_device_that_computes_none_is_found),
        cmocka_unit_test(a_device_that_calls_all_right_is_found),
        cmocka_unit_test(a_pair_that_agrees_is_warned_of),
        cmocka_unit_test(only_who_doubts_counts),
        cmocka_unit_test(strangers_get_no_more_than_they_send),
    };
    return cmocka_run_group_tests_name("io/check_ports", tests, start, stop);
}
