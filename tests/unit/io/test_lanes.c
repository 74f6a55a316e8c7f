/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports with several queues, one a lane: each lane's datagrams come out on that lane, from a UDP port of its
 * own, whatever queue the device chose, by memif, af_packet and af_xdp; what is passed on is counted, what
 * finds no room, too; what is no datagram of ours is lane 0's; where to send, lane 0 tells the others.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "io/host.h"
#include "io/port.h"
#include "kernel_rig.h"
#include "wire/packet.h"

#define LANES    2u
#define UDP_PORT 4789u
#define LENGTH   200u

static char folder[64];
static char why[512];
static bool has_veth;

/* libxdp 1.3 never frees what it allocates for a umem; LeakSanitizer asks this function. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:xsk_umem__create\n";
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

/* Of one lane: what came must be its own, in order, from its port, to the right link address. */
struct inbox {
    uint32_t lane, count;
    uint8_t mac[6];
};

static void take(void *context, uint8_t *datagram, size_t length)
{
    struct inbox *inbox = context;
    const uint8_t *frame = datagram - 42; /* Ethernet, IPv4 and UDP before it */
    assert_int_equal(length, LENGTH);
    assert_int_equal(cw_packet_lane(datagram, length), inbox->lane);
    assert_int_equal(cw_load32le(datagram + 40), inbox->count);
    assert_int_equal(cw_load16be(frame + 34), UDP_PORT + inbox->lane);
    assert_int_equal(cw_load16be(frame + 36), UDP_PORT);
    assert_memory_equal(frame, inbox->mac, 6);
    inbox->count++;
}

static void config_set(struct cw_port_config *config, bool is_a, const char *device)
{
    *config = (struct cw_port_config){.mtu = 1500,
                                      .local_ip = cw_ip_v4(is_a ? 0x0a000001 : 0x0a000002),
                                      .remote_ip = cw_ip_v4(is_a ? 0x0a000002 : 0x0a000001),
                                      .local_udp = UDP_PORT,
                                      .remote_udp = UDP_PORT,
                                      .local_mac = {2, 0, 0, 0, 0, is_a ? 0xa : 0xb},
                                      .remote_mac = {2, 0, 0, 0, 0, is_a ? 0xb : 0xa},
                                      .queues = LANES};
    snprintf(config->name, sizeof config->name, "%s", is_a ? "a" : "b");
    snprintf(config->device, sizeof config->device, "%s", device);
}

static void memif_config(struct cw_port_config *config, bool is_a, const char *socket)
{
    char device[200];
    snprintf(device, sizeof device, "net_memif%d,role=%s,id=0,socket=%s/%s", is_a ? 0 : 1,
             is_a ? "server" : "client", folder, socket);
    config_set(config, is_a, device);
}

static struct cw_port *open_or_fail(const struct cw_port_config *config)
{
    struct cw_port *port = cw_port_open(config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

struct ends {
    struct cw_port *a, *b;
};

static void wait_for_link(struct cw_port *port)
{
    for (uint64_t start = now_ns(); !cw_port_is_link_up(port) && now_ns() - start < 10 * CW_SECOND;)
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
    assert_true(cw_port_is_link_up(port));
}

static void open_memifs(struct ends *ends, const char *socket)
{
    struct cw_port_config config;
    memif_config(&config, true, socket);
    ends->a = open_or_fail(&config);
    memif_config(&config, false, socket);
    ends->b = open_or_fail(&config);
    wait_for_link(ends->a);
    wait_for_link(ends->b);
}

static void close_both(struct ends *ends)
{
    cw_port_close(ends->b);
    cw_port_close(ends->a);
}

/* A datagram of this lane, on this queue. */
static bool send_one(struct cw_port *port, uint32_t queue, uint32_t lane, uint32_t number)
{
    struct cw_port *at = cw_port_lane(port, queue);
    cw_port_on_time(port, now_ns()); /* which tells the others where to send */
    if (queue > 0)
        cw_port_on_time(at, now_ns());
    uint8_t *room = cw_port_transmit_next(at);
    if (room == NULL)
        return false;
    memset(room, 0, LENGTH);
    room[CW_PACKET_LANE_AT] = (uint8_t)(lane << CW_PACKET_LANE_SHIFT);
    cw_store32le(room + 40, number);
    cw_port_transmit_commit(at, LENGTH);
    return true;
}

static void turn(struct cw_port *port, struct inbox inboxes[LANES])
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        struct cw_port *at = cw_port_lane(port, lane);
        cw_port_on_time(at, now_ns());
        (void)cw_port_receive(at, take, &inboxes[lane]);
        cw_port_flush(at);
    }
}

static void inboxes_set(struct inbox inboxes[LANES], const uint8_t mac[6])
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        inboxes[lane] = (struct inbox){.lane = lane};
        memcpy(inboxes[lane].mac, mac, 6);
    }
}

static uint64_t sum(struct cw_port *port, unsigned counter)
{
    uint64_t all = 0;
    for (uint32_t lane = 0; lane < LANES; lane++)
        all += cw_port_counter(cw_port_lane(port, lane), counter);
    return all;
}

/* Each lane on its own queue, all at once. Everything comes out on its lane. */
static void exchange(struct cw_port *from, struct cw_port *to, const uint8_t mac[6])
{
    enum { MESSAGES = 3000 };
    struct inbox inboxes[LANES], none[LANES];
    uint32_t sent[LANES] = {0};
    uint64_t start = now_ns();
    inboxes_set(inboxes, mac);
    inboxes_set(none, mac);
    while (inboxes[0].count + inboxes[1].count < LANES * MESSAGES && now_ns() - start < 20 * CW_SECOND) {
        for (uint32_t lane = 0; lane < LANES; lane++) {
            for (uint32_t i = 0; i < 16 && sent[lane] < MESSAGES; i++)
                sent[lane] += send_one(from, lane, lane, sent[lane]);
        }
        turn(from, none);
        turn(to, inboxes);
    }
    for (uint32_t lane = 0; lane < LANES; lane++)
        assert_int_equal(inboxes[lane].count, MESSAGES);
    assert_int_equal(sum(to, CW_PORT_LANE_FULL), 0);
}

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb};

/* Queue i meets queue i: nothing has to be passed on. */
static void memif_queues_meet(void **state)
{
    struct ends ends;
    open_memifs(&ends, "meet");
    exchange(ends.a, ends.b, mac_b);
    exchange(ends.b, ends.a, mac_a);
    assert_int_equal(sum(ends.a, CW_PORT_LANE_PASSED) + sum(ends.b, CW_PORT_LANE_PASSED), 0);
    for (uint32_t lane = 0; lane < LANES; lane++)
        assert_true(cw_port_counter(cw_port_lane(ends.b, lane), CW_PORT_RX_PACKETS) >= 3000);
    close_both(&ends);
}

/* What comes by the wrong queue is passed on, in order; once the ring is full it is dropped, and counted. */
static void the_wrong_queue_passes_on(void **state)
{
    struct ends ends;
    struct inbox inboxes[LANES];
    uint32_t sent = 0;
    open_memifs(&ends, "wrong");
    struct cw_port *first = cw_port_lane(ends.b, 0), *second = cw_port_lane(ends.b, 1);
    inboxes_set(inboxes, mac_b);
    for (uint64_t start = now_ns(); sent < 2000 && now_ns() - start < 10 * CW_SECOND;) {
        sent += send_one(ends.a, 0, 1, sent); /* from port + 0: what take would find wrong, so: */
        cw_port_flush(ends.a);
        inboxes[1].count = 0;
        (void)cw_port_receive(first, take, &inboxes[0]);
    }
    for (uint64_t start = now_ns();
         sum(ends.b, CW_PORT_RX_PACKETS) < sent && now_ns() - start < 2 * CW_SECOND;) {
        cw_port_flush(ends.a);
        (void)cw_port_receive(first, take, &inboxes[0]);
    }
    assert_int_equal(sent, 2000);
    assert_int_equal(inboxes[0].count, 0);
    uint64_t passed = cw_port_counter(first, CW_PORT_LANE_PASSED);
    assert_true(passed >= 500);
    assert_int_equal(passed + cw_port_counter(first, CW_PORT_LANE_FULL), sent);
    assert_int_equal(cw_port_counter(second, CW_PORT_RX_PACKETS), 0);
    close_both(&ends); /* with all that still waiting */
}

static void count_only(void *context, uint8_t *datagram, size_t length)
{
    struct inbox *inbox = context;
    assert_int_equal(cw_packet_lane(datagram, length), inbox->lane);
    assert_int_equal(cw_load32le(datagram + 40), inbox->count++);
}

static void what_is_passed_on_arrives(void **state)
{
    struct ends ends;
    struct inbox inboxes[LANES] = {{.lane = 0}, {.lane = 1}};
    uint32_t sent = 0;
    open_memifs(&ends, "arrives");
    for (uint64_t start = now_ns(); inboxes[0].count < 1000 && now_ns() - start < 10 * CW_SECOND;) {
        if (sent < 1000)
            sent += send_one(ends.a, 1, 0, sent);
        cw_port_flush(cw_port_lane(ends.a, 1));
        for (uint32_t lane = 0; lane < LANES; lane++)
            (void)cw_port_receive(cw_port_lane(ends.b, lane), count_only, &inboxes[lane]);
    }
    assert_int_equal(inboxes[0].count, 1000);
    assert_int_equal(inboxes[1].count, 0);
    assert_int_equal(cw_port_counter(cw_port_lane(ends.b, 1), CW_PORT_LANE_PASSED), 1000);
    close_both(&ends);
}

/* A lane that we do not have stays where it came: the session there drops it. */
static void take_any(void *context, uint8_t *datagram, size_t length)
{
    uint32_t *lane = context;
    *lane = cw_packet_lane(datagram, length);
}

static void a_lane_that_is_not_there_is_not_passed_on(void **state)
{
    struct ends ends;
    uint32_t lane = 0;
    open_memifs(&ends, "three");
    assert_true(send_one(ends.a, 1, 3, 0));
    for (uint64_t start = now_ns(); lane == 0 && now_ns() - start < 2 * CW_SECOND;) {
        cw_port_flush(cw_port_lane(ends.a, 1));
        (void)cw_port_receive(cw_port_lane(ends.b, 1), take_any, &lane);
    }
    assert_int_equal(lane, 3);
    assert_int_equal(sum(ends.b, CW_PORT_LANE_PASSED), 0);
    close_both(&ends);
}

/* What is no datagram of ours is looked at by lane 0, on whatever queue it came. */
static void what_is_not_ours_is_lane_0s(void **state)
{
    struct cw_port_config config;
    struct ends ends;
    struct inbox inboxes[LANES];
    memif_config(&config, true, "foreign");
    config.remote_udp = UDP_PORT + LANES; /* one above the last of b's */
    ends.a = open_or_fail(&config);
    memif_config(&config, false, "foreign");
    ends.b = open_or_fail(&config);
    wait_for_link(ends.a);
    inboxes_set(inboxes, mac_b);
    assert_true(send_one(ends.a, 1, 1, 0));
    struct cw_port *first = cw_port_lane(ends.b, 0), *second = cw_port_lane(ends.b, 1);
    for (uint64_t start = now_ns();
         cw_port_counter(first, CW_PORT_DROP_NOT_OURS) == 0 && now_ns() - start < 2 * CW_SECOND;) {
        cw_port_flush(cw_port_lane(ends.a, 1));
        turn(ends.b, inboxes);
    }
    assert_int_equal(cw_port_counter(first, CW_PORT_DROP_NOT_OURS), 1);
    assert_int_equal(cw_port_counter(second, CW_PORT_DROP_NOT_OURS), 0);
    assert_int_equal(cw_port_counter(second, CW_PORT_LANE_PASSED), 1);
    close_both(&ends);
}

/* What the session of one lane found true of a router's word, the other lanes hear once; it itself does not.
 */
static void what_one_lane_believed_the_others_hear(void **state)
{
    struct cw_port_config config;
    const struct cw_host_too_big told = {.datagram_bytes = 1272, .lane = 1};
    struct cw_host_too_big heard = {0};
    memif_config(&config, true, "narrow");
    struct cw_port *first = open_or_fail(&config), *second = cw_port_lane(first, 1);
    cw_port_too_big_believed(second, &told);
    assert_false(cw_port_too_big(second, &heard));
    assert_true(cw_port_too_big(first, &heard));
    assert_true(heard.is_believed);
    assert_int_equal(heard.datagram_bytes, 1272);
    assert_false(cw_port_too_big(first, &heard));
    for (unsigned i = 0; i < 100; i++) /* nobody listens: then it is forgotten */
        cw_port_too_big_believed(first, &told);
    unsigned count = 0;
    while (cw_port_too_big(second, &heard))
        count++;
    assert_in_range(count, 1, 99);
    cw_port_close(first);
}

/* Nobody knows the other's link address at first: lane 0 asks, and all send there. */
static void lane_0_finds_the_way_for_all(void **state)
{
    struct cw_port_config config;
    struct ends ends;
    memif_config(&config, true, "way");
    memset(config.remote_mac, 0, 6);
    ends.a = open_or_fail(&config);
    memif_config(&config, false, "way");
    memset(config.remote_mac, 0, 6);
    ends.b = open_or_fail(&config);
    wait_for_link(ends.a);
    wait_for_link(ends.b);
    assert_null(cw_port_transmit_next(cw_port_lane(ends.a, 1)));
    exchange(ends.a, ends.b, mac_b);
    exchange(ends.b, ends.a, mac_a);
    close_both(&ends);
}

/* The driver would have one of the two use rings that the other does not have: they do not meet at all. */
static void another_number_of_queues_does_not_meet(void **state)
{
    struct cw_port_config config;
    struct ends ends;
    memif_config(&config, true, "number");
    ends.a = open_or_fail(&config);
    memif_config(&config, false, "number");
    config.queues = 1;
    ends.b = open_or_fail(&config);
    uint64_t tries = 0;
    for (uint64_t start = now_ns(); tries < 3 && now_ns() - start < 10 * CW_SECOND;) {
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
        tries = cw_port_counter(ends.b, CW_PORT_RECONNECTS);
        assert_false(cw_port_is_link_up(ends.a));
        assert_false(cw_port_is_link_up(ends.b));
    }
    assert_true(tries >= 3);
    close_both(&ends);
}

static void too_few_queues_are_refused_with_words(void **state)
{
    struct cw_port_config config;
    rig_skip_without(has_veth, "veth pair with two queues");
    config_set(&config, true, "net_af_packet0,iface=cwlanes0,qpairs=1");
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "has 1 queue"));
    assert_non_null(strstr(why, "lcores.net"));
}

static struct cw_port *open_veth(const char *driver, bool is_a, uint8_t mac[6])
{
    struct cw_port_config config;
    char device[200];
    snprintf(device, sizeof device, "%s%d,iface=%s", driver, is_a ? 0 : 1, is_a ? "cwlanes0" : "cwlanes1");
    config_set(&config, is_a, device);
    rig_mac(is_a ? "cwlanes0" : "cwlanes1", config.local_mac);
    rig_mac(is_a ? "cwlanes1" : "cwlanes0", config.remote_mac);
    memcpy(mac, config.local_mac, 6);
    return cw_port_open(&config, why, sizeof why);
}

static void over_veth(const char *driver)
{
    struct ends ends;
    uint8_t macs[2][6];
    rig_skip_without(has_veth, "veth pair with two queues");
    ends.a = open_veth(driver, true, macs[0]);
    if (ends.a == NULL) {
        assert_string_equal(driver, "net_af_xdp"); /* not every kernel has that; af_packet is always there */
        print_message("skipped: %s\n", why);
        skip();
    }
    ends.b = open_veth(driver, false, macs[1]);
    if (ends.b == NULL)
        fail_msg("%s", why);
    exchange(ends.a, ends.b, macs[1]);
    exchange(ends.b, ends.a, macs[0]);
    print_message("%s: passed on %llu and %llu of 6000\n", driver,
                  (unsigned long long)sum(ends.a, CW_PORT_LANE_PASSED),
                  (unsigned long long)sum(ends.b, CW_PORT_LANE_PASSED));
    close_both(&ends);
}

static void af_packet_lanes(void **state)
{
    over_veth("net_af_packet");
}

static void af_xdp_lanes(void **state)
{
    over_veth("net_af_xdp");
}

static bool make_veth(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
        return false;
    /* A private /sys, so that it shows the new namespace. IPv6 off: its chatter is not ours. */
    return system(
               "mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link add cwlanes0 numrxqueues 2 "
               "numtxqueues 2 type veth peer name cwlanes1 numrxqueues 2 numtxqueues 2 && "
               "echo 1 > /proc/sys/net/ipv6/conf/cwlanes0/disable_ipv6 && "
               "echo 1 > /proc/sys/net/ipv6/conf/cwlanes1/disable_ipv6 && "
               "ip link set cwlanes0 up && ip link set cwlanes1 up") == 0;
}

static int before_all(void **state)
{
    struct cw_eal_config config = {.memory_mb = 256};
    snprintf(folder, sizeof folder, "/tmp/cw-lanes-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    has_veth = make_veth();
    snprintf(config.file_prefix, sizeof config.file_prefix, "cw-test-lanes-%d", getpid());
    if (cw_eal_start(&config, why, sizeof why) != CW_OK) {
        print_error("%s\n", why);
        return -1;
    }
    return 0;
}

static int after_all(void **state)
{
    char command[128];
    cw_eal_stop();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memif_queues_meet),
        cmocka_unit_test(the_wrong_queue_passes_on),
        cmocka_unit_test(what_is_passed_on_arrives),
        cmocka_unit_test(a_lane_that_is_not_there_is_not_passed_on),
        cmocka_unit_test(what_is_not_ours_is_lane_0s),
        cmocka_unit_test(what_one_lane_believed_the_others_hear),
        cmocka_unit_test(lane_0_finds_the_way_for_all),
        cmocka_unit_test(another_number_of_queues_does_not_meet),
        cmocka_unit_test(too_few_queues_are_refused_with_words),
        cmocka_unit_test(af_packet_lanes),
        cmocka_unit_test(af_xdp_lanes),
    };
    return cmocka_run_group_tests_name("io/lanes", tests, before_all, after_all);
}
