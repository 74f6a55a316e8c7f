/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port and the kernel's own stack at the two ends of a veth pair: each finds the other's link address by
 * itself, datagrams go there and back, pings of all sizes are answered; with IPv4 and IPv6, without and with
 * a VLAN, and over a gateway. The kernel's end lies in a network namespace of its own; a process does there
 * what a case wants done, while this one polls the port.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "io/port.h"

#define UDP_PORT 7400

static char why[512];
static pid_t holder; /* of the namespace */
static bool has_veth, has_vlan;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static struct cw_ip address(uint8_t version, uint8_t network, uint8_t last)
{
    uint8_t v6[16] = {[0] = 0xfd, [7] = network, [15] = last};
    return version == 4 ? cw_ip_v4(0x0a000000u + ((uint32_t)network << 8) + last) : cw_ip_v6(v6);
}

/* ---------------------------------------------------------------- in the kernel's namespace */

static bool run(const char *command)
{
    return system(command) == 0;
}

static socklen_t socket_address(const struct cw_ip *ip, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (ip->version == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(UDP_PORT);
        memcpy(&v4->sin_addr, ip->bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(UDP_PORT);
    memcpy(&v6->sin6_addr, ip->bytes, 16);
    return sizeof *v6;
}

/* Sends datagrams back to where they came from, until it is killed. */
static int echo_datagrams(const struct cw_ip *own)
{
    struct sockaddr_storage at;
    uint8_t data[9000];
    socklen_t length = socket_address(own, &at);
    int fd = socket(at.ss_family, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, length) != 0)
        return 2;
    for (;;) {
        length = sizeof at;
        ssize_t got = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&at, &length);
        if (got < 0 || sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&at, length) != got)
            return 3;
    }
}

/* 0: every size was answered, unchanged. The kernel's ping sockets fill in checksums and match answers. */
static int ping(const struct cw_ip *target)
{
    static const size_t sizes[] = {0, 1, 56, 57, 1000, 1451, 1452, 1472};
    const struct timeval patience = {.tv_sec = 10};
    struct sockaddr_storage to;
    uint8_t sent[1480], got[1480];
    bool is_v6 = target->version == 6;
    socklen_t length = socket_address(target, &to);
    int fd = socket(to.ss_family, SOCK_DGRAM, is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return 2;
    for (unsigned i = 0; i < CW_COUNT_OF(sizes) - (is_v6 ? 1 : 0); i++) {
        size_t whole = 8 + sizes[i];
        memset(sent, (int)(0x40 + i), sizeof sent);
        memset(sent, 0, 8);
        sent[0] = is_v6 ? 128 : 8;
        sent[7] = (uint8_t)i;
        if (sendto(fd, sent, whole, 0, (struct sockaddr *)&to, length) != (ssize_t)whole)
            return 3;
        if (recv(fd, got, sizeof got, 0) != (ssize_t)whole || memcmp(got + 6, sent + 6, whole - 6) != 0)
            return 4;
    }
    return 0;
}

static pid_t inside(int (*what)(const struct cw_ip *), const struct cw_ip *ip)
{
    char path[64];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    snprintf(path, sizeof path, "/proc/%d/ns/net", holder);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        _exit(9);
    _exit(what(ip));
}

static bool run_inside(const char *command)
{
    char all[512];
    snprintf(all, sizeof all, "nsenter --net=/proc/%d/ns/net sh -c '%s'", holder, command);
    return run(all);
}

/* ---------------------------------------------------------------- the port's side */

struct inbox {
    uint32_t count;
    size_t length;
    uint8_t last[9000];
};

static void take(void *context, uint8_t *datagram, size_t length)
{
    struct inbox *inbox = context;
    inbox->count++;
    inbox->length = length;
    memcpy(inbox->last, datagram, CW_MIN(length, sizeof inbox->last));
}

static void poll_port(struct cw_port *port, struct inbox *inbox)
{
    cw_port_on_time(port, now_ns());
    if (cw_port_receive(port, take, inbox) == 0)
        sched_yield();
    cw_port_flush(port);
}

static struct cw_port *open_port(uint8_t version, uint16_t vlan, uint8_t network)
{
    struct cw_port_config config = {.name = "k",
                                    .device = "net_af_packet0,iface=cwk0",
                                    .mtu = 1500,
                                    .local_ip = address(version, 0, 1),
                                    .remote_ip = address(version, network, 2),
                                    .vlan = vlan,
                                    .local_udp = UDP_PORT,
                                    .remote_udp = UDP_PORT};
    if (network != 0)
        config.next_hop = address(version, 0, 2);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static void wait_for_next_hop(struct cw_port *port)
{
    struct inbox inbox = {0};
    for (uint64_t start = now_ns(); now_ns() - start < 10 * CW_SECOND;) {
        if (cw_port_transmit_next(port) != NULL) {
            cw_port_transmit_abandon(port);
            break;
        }
        poll_port(port, &inbox);
    }
    assert_int_equal(cw_port_counter(port, CW_PORT_LEARNT), 1);
    assert_int_equal(cw_port_counter(port, CW_PORT_CHANGED), 1);
    assert_in_range(cw_port_counter(port, CW_PORT_ASKED), 1, 20);
}

/* Sends until it comes back: the kernel's program may not listen yet, and what it refuses is lost. */
static void there_and_back(struct cw_port *port, size_t length)
{
    struct inbox inbox = {0};
    uint64_t start = now_ns(), sent = 0;
    while ((inbox.count == 0 || inbox.length != length) && now_ns() - start < 10 * CW_SECOND) {
        if (now_ns() - sent > 100 * CW_MS) {
            uint8_t *room = cw_port_transmit_next(port);
            assert_non_null(room);
            memset(room, 0x5a, length);
            cw_port_transmit_commit(port, length);
            sent = now_ns();
        }
        poll_port(port, &inbox);
    }
    assert_int_equal(inbox.length, length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(inbox.last[i], 0x5a);
}

static int poll_until_it_ends(struct cw_port *port, pid_t child)
{
    struct inbox inbox = {0};
    int result = 0;
    while (waitpid(child, &result, WNOHANG) == 0)
        poll_port(port, &inbox);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void lives_beside_the_kernel(uint8_t version, uint16_t vlan, uint8_t network)
{
    if (!has_veth) {
        print_message(
            "skipped: no network namespaces with a veth pair can be made here (needs root and ip)\n");
        skip();
    }
    struct cw_ip its = address(version, network, 2), ours = address(version, 0, 1);
    struct cw_port *port = open_port(version, vlan, network);
    wait_for_next_hop(port);
    pid_t server = inside(echo_datagrams, &its);
    there_and_back(port, 1000);
    there_and_back(port, 0);
    there_and_back(port, cw_port_datagram_bytes_max(port));
    kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    assert_true(run_inside("ip neigh flush all")); /* it learnt from our question; now it has to ask */
    assert_int_equal(poll_until_it_ends(port, inside(ping, &ours)), 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_ECHOED), version == 6 ? 7 : 8);
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

static void to_vlan(bool is_wanted)
{
    const char *from = is_wanted ? "cwk1" : "cwk1.100", *to = is_wanted ? "cwk1.100" : "cwk1";
    char command[256];
    snprintf(command, sizeof command,
             "ip addr flush dev %s; ip addr add 10.0.0.2/24 dev %s; ip addr add fd00::2/64 dev %s nodad",
             from, to, to);
    assert_true(run_inside(command));
}

static void lives_in_a_vlan(void **state)
{
    if (!has_vlan) {
        print_message("skipped: this kernel has no VLAN devices\n");
        skip();
    }
    to_vlan(true);
    lives_beside_the_kernel(4, 100, 0);
    lives_beside_the_kernel(6, 100, 0);
    to_vlan(false);
}

/* ---------------------------------------------------------------- the namespaces */

static bool hold_namespace(void)
{
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0 || (holder = fork()) < 0)
        return false;
    if (holder == 0) {
        char told = unshare(CLONE_NEWNET) == 0;
        (void)!write(ready[1], &told, 1);
        for (;;)
            pause();
    }
    bool is_good = read(ready[0], &byte, 1) == 1 && byte == 1;
    close(ready[0]);
    close(ready[1]);
    return is_good;
}

static bool make_veth(void)
{
    char command[128];
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || !hold_namespace())
        return false;
    snprintf(command, sizeof command, "ip link set cwk1 netns %d", holder);
    /* Without offloads: a checksum that the kernel leaves to a card that is not there would be refused. */
    return run("mount --make-rprivate / && mount -t sysfs sysfs /sys && "
               "ip link add cwk0 type veth peer name cwk1 && "
               "echo 1 > /proc/sys/net/ipv6/conf/cwk0/disable_ipv6 && "
               "ethtool -K cwk0 tx off >/dev/null && ethtool -K cwk1 tx off >/dev/null && ip link set cwk0 "
               "up") &&
           run(command) &&
           run_inside("ip link set lo up && ip link set cwk1 up && "
                      "ip addr add 10.0.0.2/24 dev cwk1 && ip addr add fd00::2/64 dev cwk1 nodad && "
                      "ip addr add 10.0.7.2/32 dev lo && ip addr add fd00:0:0:7::2/128 dev lo nodad && "
                      "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range");
}

static int before_all(void **state)
{
    has_veth = make_veth();
    has_vlan = has_veth && run_inside("ip link add link cwk1 name cwk1.100 type vlan id 100 2>/dev/null && "
                                      "ip link set cwk1.100 up");
    struct cw_eal_config config = {.memory_mb = 256};
    snprintf(config.file_prefix, sizeof config.file_prefix, "cw-test-kernel-%d", getpid());
    if (cw_eal_start(&config, why, sizeof why) == CW_OK)
        return 0;
    print_error("%s\n", why);
    return -1;
}

static int after_all(void **state)
{
    cw_eal_stop();
    if (holder > 0) {
        kill(holder, SIGKILL);
        (void)waitpid(holder, NULL, 0);
    }
    return 0;
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
    };
    return cmocka_run_group_tests_name("io/kernel", tests, before_all, after_all);
}
