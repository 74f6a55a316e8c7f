/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port and the kernel's own stack at the two ends of a veth pair: each finds the other's link address by
 * itself, datagrams go there and back, pings of all sizes are answered; with IPv4 and IPv6, without and with
 * a VLAN, and over a gateway.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel_rig.h"

static char why[512];
static bool has_veth, has_vlan;

static void config_set(struct cw_port_config *config, uint8_t version, uint16_t vlan, uint8_t network)
{
    *config = (struct cw_port_config){.name = "k",
                                      .device = "net_af_packet0,iface=cwk0",
                                      .mtu = 1500,
                                      .local_ip = rig_address(version, 0, 1),
                                      .remote_ip = rig_address(version, network, 2),
                                      .vlan = vlan,
                                      .local_udp = RIG_UDP_PORT,
                                      .remote_udp = RIG_UDP_PORT};
    if (network != 0)
        config->next_hop = rig_address(version, 0, 2);
}

static struct cw_port *open_port(uint8_t version, uint16_t vlan, uint8_t network)
{
    struct cw_port_config config;
    config_set(&config, version, vlan, network);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static void lives_beside_the_kernel(uint8_t version, uint16_t vlan, uint8_t network)
{
    rig_skip_without(has_veth, RIG_VETH);
    struct cw_ip its = rig_address(version, network, 2), ours = rig_address(version, 0, 1);
    struct cw_port *port = open_port(version, vlan, network);
    rig_wait_for_next_hop(port);
    assert_int_equal(cw_port_counter(port, CW_PORT_LEARNT), 1);
    assert_int_equal(cw_port_counter(port, CW_PORT_CHANGED), 1);
    assert_in_range(cw_port_counter(port, CW_PORT_ASKED), 1, 20);
    pid_t server = rig_there(rig_echo_datagrams, &its);
    rig_there_and_back(port, 1000);
    rig_there_and_back(port, 0);
    rig_there_and_back(port, cw_port_datagram_bytes_max(port));
    rig_kill(server);
    assert_true(rig_run_there("ip neigh flush all")); /* it learnt from our question; now it has to ask */
    assert_int_equal(rig_poll_until_it_ends(port, rig_there(rig_ping, &ours)), 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_ECHOED), RIG_PINGS(version));
    assert_true(cw_port_counter(port, CW_PORT_ANSWERED) > 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_CONFLICT), 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_DROP_CHECKSUM), 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_DROP_MALFORMED), 0);
    cw_port_close(port);
}

static void lives_on_ipv4(void **state)
{
    lives_beside_the_kernel(4, 0, 0);
}

static void lives_on_ipv6(void **state)
{
    lives_beside_the_kernel(6, 0, 0);
}

/* The peer is two networks away for us; the kernel has its address, and is the gateway. */
static void lives_behind_a_gateway(void **state)
{
    lives_beside_the_kernel(4, 0, 7);
    lives_beside_the_kernel(6, 0, 7);
}

/* The kernel at the other end has the address already: it objects, and the port keeps silent and says why. */
static void an_address_that_is_taken_is_not_used(void **state)
{
    char text[256] = "";
    struct rig_inbox inbox = {0};
    rig_skip_without(has_veth, RIG_VETH);
    struct cw_port_config config;
    config_set(&config, 6, 0, 0);
    config.local_ip = rig_address(6, 0, 2);
    config.remote_ip = rig_address(6, 0, 3);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    assert_non_null(port);
    for (uint64_t start = rig_now_ns(); strstr(text, "another host (") == NULL;) {
        assert_true(rig_now_ns() - start < RIG_LIMIT_NS);
        rig_poll(port, &inbox);
        cw_port_describe(port, text, sizeof text);
    }
    assert_non_null(strstr(text, ") has fd00::2, so nothing is sent"));
    assert_null(cw_port_transmit_next(port));
    assert_int_equal(cw_port_counter(port, CW_PORT_CONFLICT), 1);
    cw_port_close(port);
}

static void to_vlan(bool is_wanted)
{
    const char *from = is_wanted ? "cwk1" : "cwk1.100", *to = is_wanted ? "cwk1.100" : "cwk1";
    char command[256];
    snprintf(command, sizeof command,
             "ip addr flush dev %s; ip addr add 10.0.0.2/24 dev %s; ip addr add fd00::2/64 dev %s nodad",
             from, to, to);
    assert_true(rig_run_there(command));
}

static void lives_in_a_vlan(void **state)
{
    rig_skip_without(has_vlan, "VLAN devices");
    to_vlan(true);
    lives_beside_the_kernel(4, 100, 0);
    lives_beside_the_kernel(6, 100, 0);
    to_vlan(false);
}

static int before_all(void **state)
{
    has_veth = rig_make("cwk0", "cwk1") &&
               rig_run("echo 1 > /proc/sys/net/ipv6/conf/cwk0/disable_ipv6 && ip link set cwk0 up");
    has_vlan =
        has_veth && rig_run_there("ip link add link cwk1 name cwk1.100 type vlan id 100 2>/dev/null && "
                                  "ip link set cwk1.100 up");
    return rig_start("kernel");
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_on_ipv4),
        cmocka_unit_test(lives_on_ipv6),
        cmocka_unit_test(lives_behind_a_gateway),
        cmocka_unit_test(lives_in_a_vlan),
        cmocka_unit_test(an_address_that_is_taken_is_not_used),
    };
    return cmocka_run_group_tests_name("io/kernel", tests, before_all, rig_stop);
}
