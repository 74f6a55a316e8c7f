/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that goes away under its port: DPDK's event is made by the test, as vfio-pci's request makes it
 * (tests/guest pulls out a card). net_null gives frames for ever, as long as it is asked.
 */
#define ALLOW_EXPERIMENTAL_API /* the events of devices are */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "base/numbers.h"
#include "io/port.h"
#include "kernel_rig.h"

#define LIMIT_NS (30 * CW_SECOND)
#define LANES    2u
#define NEAR     "cwg0"

static bool has_veth;
static char why[512], text[512];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static struct cw_port *open_or_fail(const char *device, uint32_t queues)
{
    struct cw_port_config config = {.name = "wan0",
                                    .mtu = 1500,
                                    .queues = queues,
                                    .local_mac = {2, 0, 0, 0, 0, 1},
                                    .remote_mac = {2, 0, 0, 0, 0, 2},
                                    .local_ip = cw_ip_v4(0x0a4d0001),
                                    .remote_ip = cw_ip_v4(0x0a4d0002),
                                    .local_udp = 7400,
                                    .remote_udp = 7400};
    snprintf(config.device, sizeof config.device, "%s", device);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static void take(void *context, uint8_t *datagram, size_t length)
{
}

/* What a turn sends and receives: frames. */
static uint64_t turn(struct cw_port *port)
{
    uint64_t before = cw_port_counter(port, CW_PORT_RX_PACKETS) + cw_port_counter(port, CW_PORT_TX_PACKETS);
    cw_port_on_time(port, now_ns());
    (void)cw_port_receive(port, take, NULL);
    if (cw_port_transmit_next(port) != NULL)
        cw_port_transmit_commit(port, 100);
    cw_port_flush(port);
    return cw_port_counter(port, CW_PORT_RX_PACKETS) + cw_port_counter(port, CW_PORT_TX_PACKETS) - before;
}

static bool is_there(const char *device)
{
    uint16_t id;
    return rte_eth_dev_get_port_by_name(device, &id) == 0;
}

static bool is_soon_gone(const char *device)
{
    for (uint64_t start = now_ns(); now_ns() - start < LIMIT_NS;) {
        if (!is_there(device))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
    }
    return false;
}

static void lets_go(void **state)
{
    struct cw_port *port = open_or_fail("net_null0", 0);
    assert_true(turn(port) > CW_PORT_BURST);
    assert_false(cw_port_is_gone(port));
    cw_port_describe(port, text, sizeof text);
    assert_null(strstr(text, "gone"));
    rte_dev_event_callback_process("net_null1", RTE_DEV_EVENT_REMOVE); /* another's */
    rte_dev_event_callback_process("net_null0", RTE_DEV_EVENT_ADD);
    assert_false(cw_port_is_gone(port));
    rte_dev_event_callback_process("net_null0", RTE_DEV_EVENT_REMOVE);
    rte_dev_event_callback_process("net_null0", RTE_DEV_EVENT_REMOVE); /* it is repeated */
    assert_true(cw_port_is_gone(port));
    cw_port_describe(port, text, sizeof text);
    assert_string_equal(
        text, "its device is gone: net_null0 was pulled out, or taken back (causeway nic show); an engine "
              "that is started anew opens it again");
    for (unsigned i = 0; i < 3 * CW_PORT_BURST; i++)
        assert_int_equal(turn(port), 0);
    assert_null(cw_port_transmit_next(port)); /* as of a port whose device takes nothing */
    assert_true(is_soon_gone("net_null0"));
    assert_int_equal(turn(port), 0);
    assert_false(cw_port_is_link_up(port));
    cw_port_close(port);
    port = open_or_fail("net_null0", 0); /* it may come back */
    assert_true(turn(port) > CW_PORT_BURST);
    cw_port_close(port);
}

/* It is taken down only when the last of them has had a turn. */
static void all_lanes_let_go(void **state)
{
    struct cw_port *port = open_or_fail("net_null2", LANES);
    assert_true(turn(port) > 0 && turn(cw_port_lane(port, 1)) > 0);
    rte_dev_event_callback_process("net_null2", RTE_DEV_EVENT_REMOVE);
    assert_int_equal(turn(port), 0);
    for (unsigned i = 0; i < 5; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * CW_MS}, NULL);
        assert_true(is_there("net_null2"));
    }
    assert_int_equal(turn(cw_port_lane(port, 1)), 0);
    assert_true(is_soon_gone("net_null2"));
    cw_port_close(port);
}

/* Whoever closes it in between is done as ever. */
static void is_closed_while_going(void **state)
{
    struct cw_port *port = open_or_fail("net_null3", 0);
    rte_dev_event_callback_process("net_null3", RTE_DEV_EVENT_REMOVE);
    cw_port_close(port);
    assert_false(is_there("net_null3"));
    for (unsigned i = 0; i < 50; i++) {
        port = open_or_fail("net_null3", 0);
        (void)turn(port);
        rte_dev_event_callback_process("net_null3", RTE_DEV_EVENT_REMOVE);
        (void)turn(port);
        nanosleep(&(struct timespec){.tv_nsec = 9500 * CW_US + i * 20 * CW_US},
                  NULL); /* about when it is released */
        cw_port_close(port);
        assert_false(is_there("net_null3"));
    }
}

/* Of an interface nobody tells; it is seen when somebody asks. */
static void an_interface_that_is_deleted_is_told(void **state)
{
    rig_skip_without(has_veth, RIG_VETH);
    struct cw_port *port = open_or_fail("net_af_packet0,iface=" NEAR, 0);
    (void)turn(port);
    cw_port_describe(port, text, sizeof text);
    assert_null(strstr(text, "gone"));
    assert_true(rig_run("ip link del " NEAR));
    cw_port_describe(port, text, sizeof text);
    assert_string_equal(text,
                        "its interface " NEAR " is gone; an engine that is started anew opens it again");
    for (unsigned i = 0; i < 10; i++)
        (void)turn(port);
    cw_port_close(port);
}

static int before_all(void **state)
{
    has_veth = rig_make(NEAR, "cwg1");
    return rig_start("gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lets_go), cmocka_unit_test(all_lanes_let_go),
                                       cmocka_unit_test(is_closed_while_going),
                                       cmocka_unit_test(an_interface_that_is_deleted_is_told)};
    return cmocka_run_group_tests(tests, before_all, rig_stop);
}
