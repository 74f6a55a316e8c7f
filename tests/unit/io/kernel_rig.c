/* SPDX-License-Identifier: BSD-3-Clause */
/* See kernel_rig.h. */
#include "kernel_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t holder; /* of the far namespace */

uint64_t rig_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

struct cw_ip rig_address(uint8_t version, uint8_t network, uint8_t last)
{
    uint8_t v6[16] = {[0] = 0xfd, [7] = network, [15] = last};
    return version == 4 ? cw_ip_v4(0x0a000000u + ((uint32_t)network << 8) + last) : cw_ip_v6(v6);
}

bool rig_run(const char *command)
{
    return system(command) == 0;
}

static socklen_t socket_address(const struct cw_ip *ip, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (ip->version == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(RIG_UDP_PORT);
        memcpy(&v4->sin_addr, ip->bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(RIG_UDP_PORT);
    memcpy(&v6->sin6_addr, ip->bytes, 16);
    return sizeof *v6;
}

int rig_echo_datagrams(const struct cw_ip *own)
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

/* The kernel's ping sockets fill in checksums and match answers. */
int rig_ping(const struct cw_ip *target)
{
    static const size_t sizes[] = {0, 1, 56, 57, 1000, 1451, 1452, 1472};
    const struct timeval patience = {.tv_sec = RIG_LIMIT_NS / CW_SECOND};
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

pid_t rig_fork(void)
{
    pid_t parent = getpid(), child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(8);
    return child;
}

pid_t rig_there(int (*what)(const struct cw_ip *), const struct cw_ip *ip)
{
    char path[64];
    pid_t child = rig_fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    snprintf(path, sizeof path, "/proc/%d/ns/net", holder);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        _exit(9);
    _exit(what(ip));
}

bool rig_run_there(const char *command)
{
    char all[512];
    snprintf(all, sizeof all, "nsenter --net=/proc/%d/ns/net sh -c '%s'", holder, command);
    return rig_run(all);
}

static bool hold_namespace(void)
{
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0 || (holder = rig_fork()) < 0)
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

bool rig_link(const char *near, const char *far)
{
    char command[512];
    /* Without offloads: a checksum that the kernel leaves to a card that is not there would be refused. */
    snprintf(command, sizeof command,
             "ip link del %s 2>/dev/null; ip link add %s type veth peer name %s && "
             "ethtool -K %s tx off >/dev/null && ethtool -K %s tx off >/dev/null && ip link set %s netns %d",
             near, near, far, near, far, far, holder);
    if (!rig_run(command))
        return false;
    snprintf(command, sizeof command,
             "ip link set %s up && ip addr add 10.0.0.2/24 dev %s && ip addr add fd00::2/64 dev %s nodad",
             far, far, far);
    return rig_run_there(command);
}

bool rig_make(const char *near, const char *far)
{
    /* A /sys of its own, which shows the new namespace. */
    return unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && hold_namespace() &&
           rig_run("mount --make-rprivate / && mount -t sysfs sysfs /sys && "
                   "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range") &&
           rig_run_there("ip link set lo up && ip addr add 10.0.7.2/32 dev lo && "
                         "ip addr add fd00:0:0:7::2/128 dev lo nodad && "
                         "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range && "
                         "echo 1 > /proc/sys/net/ipv4/ip_forward && "
                         "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding") &&
           rig_link(near, far);
}

int rig_start(const char *name)
{
    static char why[512];
    struct cw_eal_config config = {.memory_mb = 256};
    snprintf(config.file_prefix, sizeof config.file_prefix, "cw-test-%s-%d", name, getpid());
    if (cw_eal_start(&config, why, sizeof why) == CW_OK)
        return 0;
    print_error("%s\n", why);
    return -1;
}

int rig_stop(void **state)
{
    cw_eal_stop();
    if (holder > 0)
        rig_kill(holder);
    return 0;
}

void rig_mac(const char *interface, uint8_t mac[6])
{
    char path[96], text[32] = "";
    unsigned byte[6];
    snprintf(path, sizeof path, "/sys/class/net/%s/address", interface);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_int_equal(
        sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5]), 6);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)byte[i];
}

void rig_skip_without(bool has, const char *what)
{
    if (has)
        return;
    print_message("skipped: no %s can be had here (needs root and ip)\n", what);
    skip();
}

static void take(void *context, uint8_t *datagram, size_t length)
{
    struct rig_inbox *inbox = context;
    inbox->count++;
    inbox->length = length;
    memcpy(inbox->last, datagram, CW_MIN(length, sizeof inbox->last));
}

void rig_poll(struct cw_port *port, struct rig_inbox *inbox)
{
    cw_port_on_time(port, rig_now_ns());
    if (cw_port_receive(port, take, inbox) == 0)
        sched_yield();
    cw_port_flush(port);
}

void rig_wait_for_next_hop(struct cw_port *port)
{
    struct rig_inbox inbox = {0};
    for (uint64_t start = rig_now_ns(); rig_now_ns() - start < RIG_LIMIT_NS;) {
        if (cw_port_transmit_next(port) != NULL) {
            cw_port_transmit_abandon(port);
            return;
        }
        rig_poll(port, &inbox);
    }
    fail_msg("no next hop was found");
}

void rig_there_and_back(struct cw_port *port, size_t length)
{
    struct rig_inbox inbox = {0};
    uint64_t start = rig_now_ns(), sent = 0;
    while ((inbox.count == 0 || inbox.length != length) && rig_now_ns() - start < RIG_LIMIT_NS) {
        if (rig_now_ns() - sent > 100 * CW_MS) {
            uint8_t *room = cw_port_transmit_next(port);
            assert_non_null(room);
            memset(room, 0x5a, length);
            cw_port_transmit_commit(port, length);
            sent = rig_now_ns();
        }
        rig_poll(port, &inbox);
    }
    assert_true(inbox.count > 0);
    assert_int_equal(inbox.length, length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(inbox.last[i], 0x5a);
}

int rig_poll_until_it_ends(struct cw_port *port, pid_t child)
{
    struct rig_inbox inbox = {0};
    int result = 0;
    while (waitpid(child, &result, WNOHANG) == 0)
        rig_poll(port, &inbox);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

void rig_kill(pid_t child)
{
    kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}
