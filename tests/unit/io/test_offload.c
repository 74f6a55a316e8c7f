/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that computes checksums: net_tap, which does so in software behind the same flags as a card. The
 * kernel at the other side verifies them (a datagram over IPv6 with a wrong one does not come back, and
 * neither does one in a wrong IPv4 header), and what it sends is verified by the device. Its several queues
 * make the port ask for RSS, too.
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
static bool has_rig, has_tap;

static void there_and_back_by(uint8_t version)
{
    char text[256], command[256];
    rig_skip_without(has_rig, RIG_VETH);
    rig_skip_without(has_tap, "tap device (/dev/net/tun)");
    struct cw_port_config config = {.name = "t",
                                    .mtu = 1500,
                                    .local_ip = rig_address(version, 3, 1),
                                    .remote_ip = rig_address(version, 3, 2),
                                    .local_udp = RIG_UDP_PORT,
                                    .remote_udp = RIG_UDP_PORT,
                                    .local_mac = {2, 0, 0, 0, 3, 1}};
    snprintf(config.device, sizeof config.device, "net_tap%u,iface=cwt%u", version, version);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    rig_skip_without(port != NULL || strstr(why, "no such device") == NULL, "tap device that net_tap opens");
    if (port == NULL)
        fail_msg("%s", why);
    cw_port_describe(port, text, sizeof text);
    assert_non_null(strstr(text, "net_tap, checksums by the device, 1 queue, RSS by UDP ports"));
    snprintf(command, sizeof command, "ip addr add %s dev cwt%u %s && ip link set cwt%u up",
             version == 6 ? "fd00:0:0:3::2/64" : "10.0.3.2/24", version, version == 6 ? "nodad" : "",
             version);
    assert_true(rig_run(command));
    rig_wait_for_next_hop(port);
    struct cw_ip its = config.remote_ip;
    pid_t server = rig_fork();
    if (server == 0)
        _exit(rig_echo_datagrams(&its));
    for (size_t length = 0; length < 40; length++)
        rig_there_and_back(port, length);
    rig_there_and_back(port, 1001);
    rig_there_and_back(port, cw_port_datagram_bytes_max(port));
    rig_kill(server);
    assert_int_equal(cw_port_counter(port, CW_PORT_DROP_CHECKSUM), 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_TX_REFUSED), 0);
    cw_port_close(port);
}

static void ipv4_headers(void **state)
{
    there_and_back_by(4);
}

static void udp_over_ipv6(void **state)
{
    there_and_back_by(6);
}

/* Rings and memif compute nothing: said, and done by us. */
static void software_elsewhere(void **state)
{
    char text[256];
    struct cw_port_config config = {.name = "r",
                                    .device = "net_ring7",
                                    .mtu = 1500,
                                    .local_ip = rig_address(4, 0, 1),
                                    .remote_ip = rig_address(4, 0, 2)};
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    assert_non_null(port);
    cw_port_describe(port, text, sizeof text);
    assert_string_equal(text, "net_ring, checksums by software");
    cw_port_close(port);
}

static int before_all(void **state)
{
    has_rig = rig_make("cwo0", "cwo1");
    has_tap = has_rig && access("/dev/net/tun", R_OK | W_OK) == 0;
    return rig_start("offload");
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_headers),
        cmocka_unit_test(udp_over_ipv6),
        cmocka_unit_test(software_elsewhere),
    };
    return cmocka_run_group_tests_name("io/offload", tests, before_all, rig_stop);
}
