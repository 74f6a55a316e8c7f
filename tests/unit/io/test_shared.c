/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port on an interface that the kernel keeps: its datagrams and the kernel's own traffic (ping and TCP in
 * both directions) at the same time, with af_xdp and af_packet, IPv4 and IPv6; next hops as the kernel has
 * them, also when it changes its mind; what is refused; and the program at the interface goes with the port,
 * also after kill -9.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>

#include "io/host.h"
#include "io/users.h"
#include "kernel_rig.h"

#define NEAR "cws0"
#define XDP  "net_af_xdp0,iface=" NEAR
#define ALL  "net_af_packet0,iface=" NEAR

#define VETH_AND_XDP RIG_VETH ", or no XDP,"

static char why[512];
static bool has_veth, has_xdp;

static void config_set(struct cw_port_config *config, const char *device, uint8_t version, uint8_t network)
{
    *config = (struct cw_port_config){.name = "s",
                                      .mtu = 1500,
                                      .local_ip = rig_address(version, 0, 1),
                                      .remote_ip = rig_address(version, network, 2),
                                      .local_udp = RIG_UDP_PORT,
                                      .remote_udp = RIG_UDP_PORT,
                                      .is_shared = true};
    snprintf(config->device, sizeof config->device, "%s", device);
}

/* The driver of DPDK 22.11.11 never closes its socket, so that one process cannot open a queue twice. */
static bool make_link(void)
{
    return rig_link(NEAR, "cws1") && rig_run("ip link set " NEAR " up && ip addr add 10.0.0.1/24 dev " NEAR
                                             " && ip addr add fd00::1/64 dev " NEAR " nodad");
}

static struct cw_port *open_port(const char *device, uint8_t version, uint8_t network)
{
    struct cw_port_config config;
    config_set(&config, device, version, network);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static void assert_refused(const struct cw_port_config *config, const char *words)
{
    assert_null(cw_port_open(config, why, sizeof why));
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, why);
}

static bool has_program(void)
{
    return rig_run("ip link show dev " NEAR " | grep -q prog/xdp");
}

/* ---------------------------------------------------------------- the kernel's own traffic */

static struct sockaddr_storage tcp_at(const struct cw_ip *ip, socklen_t *length)
{
    struct sockaddr_storage address = {.ss_family = ip->version == 6 ? AF_INET6 : AF_INET};
    if (ip->version == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
        v4->sin_port = htons(RIG_UDP_PORT); /* the same number: only UDP is the path's */
        memcpy(&v4->sin_addr, ip->bytes, 4);
        *length = sizeof *v4;
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
        v6->sin6_port = htons(RIG_UDP_PORT);
        memcpy(&v6->sin6_addr, ip->bytes, 16);
        *length = sizeof *v6;
    }
    return address;
}

/* Here, in a child: listens, and sends a megabyte to who connects. */
static pid_t serve_tcp(const struct cw_ip *ip)
{
    static const uint8_t data[CW_MIB];
    socklen_t length;
    const struct sockaddr_storage address = tcp_at(ip, &length);
    const int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0);
    pid_t child = rig_fork();
    if (child != 0) {
        close(fd);
        return child;
    }
    int client = accept(fd, NULL, NULL);
    for (size_t at = 0; at < sizeof data;) {
        ssize_t sent = write(client, data + at, sizeof data - at);
        if (sent <= 0)
            _exit(2);
        at += (size_t)sent;
    }
    _exit(0);
}

/* There: all of it comes, and pings are answered. */
static int use_kernel(const struct cw_ip *ours)
{
    static uint8_t data[65536];
    const struct timeval patience = {.tv_sec = RIG_LIMIT_NS / CW_SECOND};
    socklen_t length;
    const struct sockaddr_storage address = tcp_at(ours, &length);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    size_t all = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 || /* also of connect */
        connect(fd, (const struct sockaddr *)&address, length) != 0)
        return 11;
    for (ssize_t got; (got = read(fd, data, sizeof data)) > 0;)
        all += (size_t)got;
    return all == CW_MIB ? rig_ping(ours) : 12;
}

static void both_live(const char *device, uint8_t version)
{
    struct cw_ip its = rig_address(version, 0, 2), ours = rig_address(version, 0, 1);
    assert_true(make_link());
    struct cw_port *port = open_port(device, version, 0);
    assert_true(has_program() == (device[7] == 'x'));
    assert_int_equal(prctl(PR_SET_NAME, "causeway-engine"), 0);
    assert_true(cw_users_of_interface(NEAR, why, sizeof why)); /* for whoever would take it from us */
    rig_wait_for_next_hop(port);
    pid_t server = rig_there(rig_echo_datagrams, &its), tcp = serve_tcp(&ours);
    rig_there_and_back(port, 1000);
    pid_t user = rig_there(use_kernel, &ours);
    for (int result = 0; waitpid(user, &result, WNOHANG) == 0 || (assert_int_equal(result, 0), false);)
        rig_there_and_back(port, 200); /* all the while */
    rig_there_and_back(port, cw_port_datagram_bytes_max(port));
    rig_there_and_back(port, 0);
    rig_kill(server);
    (void)waitpid(tcp, NULL, 0);
    assert_int_equal(cw_port_counter(port, CW_PORT_ECHOED) + cw_port_counter(port, CW_PORT_ANSWERED) +
                         cw_port_counter(port, CW_PORT_ASKED) + cw_port_counter(port, CW_PORT_DROP_CHECKSUM),
                     0);
    if (device[7] == 'x') /* it got its datagrams, and nothing else */
        assert_int_equal(cw_port_counter(port, CW_PORT_DROP_NOT_OURS), 0);
    cw_port_close(port);
    assert_false(has_program());
}

static void af_xdp_and_the_kernel_live(void **state)
{
    rig_skip_without(has_xdp, VETH_AND_XDP);
    both_live(XDP, 4);
    both_live(XDP, 6);
}

static void af_packet_and_the_kernel_live(void **state)
{
    rig_skip_without(has_veth, RIG_VETH);
    both_live(ALL, 4);
    both_live(ALL, 6);
}

/* ---------------------------------------------------------------- next hops */

static void wait_for_words(struct cw_port *port, const char *words)
{
    struct rig_inbox inbox;
    char text[256] = "";
    for (uint64_t start = rig_now_ns(); rig_now_ns() - start < RIG_LIMIT_NS;) {
        rig_poll(port, &inbox);
        cw_port_describe(port, text, sizeof text);
        if (strstr(text, words) != NULL)
            return;
    }
    fail_msg("\"%s\" is not in: %s", words, text);
}

/* Without a way there the port waits and says so; the kernel's route is found when it comes, and followed
 * when it changes. */
static void follows_the_kernel_s_routes(uint8_t version)
{
    const char *ip = version == 6 ? "ip -6" : "ip", *net = version == 6 ? "fd00:0:0:7::/64" : "10.0.7.0/24",
               *via = version == 6 ? "fd00::2" : "10.0.0.2", *other = version == 6 ? "fd00::9" : "10.0.0.9";
    char command[256];
    struct cw_ip its = rig_address(version, 7, 2);
    assert_true(make_link());
    struct cw_port *port = open_port(XDP, version, 7);
    wait_for_words(port, "the kernel has no route to");
    assert_null(cw_port_transmit_next(port));
    snprintf(command, sizeof command, "%s route add %s via %s dev " NEAR, ip, net, via);
    assert_true(rig_run(command));
    rig_wait_for_next_hop(port);
    pid_t server = rig_there(rig_echo_datagrams, &its);
    rig_there_and_back(port, 500);
    snprintf(command, sizeof command,
             "%s neigh replace %s lladdr 02:00:00:00:00:09 nud permanent dev " NEAR
             " && %s route replace %s via %s dev " NEAR,
             ip, other, ip, net, other);
    assert_true(rig_run(command));
    snprintf(command, sizeof command, "next hop %s is 02:00:00:00:00:09", other);
    wait_for_words(port, command);
    snprintf(command, sizeof command, "%s route replace %s via %s dev " NEAR, ip, net, via);
    assert_true(rig_run(command));
    snprintf(command, sizeof command, "next hop %s is", via);
    wait_for_words(port, command);
    rig_there_and_back(port, 600);
    rig_kill(server);
    cw_port_close(port);
}

static void next_hops_are_the_kernel_s(void **state)
{
    rig_skip_without(has_xdp, VETH_AND_XDP);
    follows_the_kernel_s_routes(4);
    follows_the_kernel_s_routes(6);
}

/* Nobody has 10.0.0.77; 10.0.0.1 is ours. */
static void who_does_not_answer_is_said(void **state)
{
    struct cw_port_config config;
    rig_skip_without(has_veth, RIG_VETH);
    config_set(&config, ALL, 4, 0);
    config.remote_ip = rig_address(4, 0, 77);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    assert_non_null(port);
    wait_for_words(port, "next hop 10.0.0.77 does not answer");
    assert_null(cw_port_transmit_next(port));
    cw_port_close(port);
    config.remote_ip = config.local_ip;
    port = cw_port_open(&config, why, sizeof why);
    assert_non_null(port);
    wait_for_words(port, "10.0.0.1 is an address of this machine");
    cw_port_close(port);
}

/* The peer is a router which sends back, and lets only 600 bytes (1280) through. */
static void hears_what_is_too_big(uint8_t version)
{
    const char *net = version == 6 ? "fd00:0:0:8::/64" : "10.0.8.0/24",
               *via = version == 6 ? "fd00::" : "10.0.0.";
    const char *ip = version == 6 ? "ip -6" : "ip";
    uint32_t mtu = version == 6 ? 1280 : 600, heads = version == 6 ? 48 : 28;
    char command[256];
    struct cw_host_too_big told = {0};
    struct rig_inbox inbox = {0};
    assert_true(make_link());
    snprintf(command, sizeof command, "%s route add %s via %s1 dev cws1 mtu lock %u", ip, net, via, mtu);
    assert_true(rig_run_there(command));
    snprintf(command, sizeof command, "%s route add %s via %s2 dev " NEAR, ip, net, via);
    assert_true(rig_run(command));
    struct cw_port *port = open_port(XDP, version, 8);
    rig_wait_for_next_hop(port);
    for (uint64_t start = rig_now_ns(), sent = 0; !cw_port_too_big(port, &told);) {
        assert_true(rig_now_ns() - start < RIG_LIMIT_NS);
        if (rig_now_ns() - sent > 100 * CW_MS) {
            memset(cw_port_transmit_next(port), 0x77, 1400);
            cw_port_transmit_commit(port, 1400);
            sent = rig_now_ns();
        }
        rig_poll(port, &inbox);
    }
    assert_int_equal(told.datagram_bytes, mtu - heads);
    assert_int_equal(told.quoted[0], 0x77);
    cw_port_close(port);
}

static void too_big_reaches_the_engine(void **state)
{
    rig_skip_without(has_xdp, VETH_AND_XDP);
    hears_what_is_too_big(4);
    hears_what_is_too_big(6);
}

/* ---------------------------------------------------------------- what is refused */

static void what_cannot_work_is_refused_with_words(void **state)
{
    struct cw_port_config config;
    rig_skip_without(has_xdp, VETH_AND_XDP);
    assert_true(make_link());
    config_set(&config, XDP, 4, 0);
    config.is_shared = false;
    assert_refused(&config, "say `shared: true`");
    assert_refused(&config, "ip addr flush dev " NEAR);
    config_set(&config, XDP, 4, 0);
    config.local_ip = rig_address(4, 0, 5);
    assert_refused(&config, NEAR " has not the address 10.0.0.5 of this path (local.ip); it has 10.0.0.1");
    config_set(&config, XDP, 4, 0);
    config.mtu = 1501;
    assert_refused(&config, "mtu 1501 is impossible: " NEAR " has 1500");
    config_set(&config, "net_af_xdp0,iface=nowhere0", 4, 0);
    assert_refused(&config, "the interface nowhere0: No such device");
    config_set(&config, XDP, 4, 0);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    assert_non_null(port);
    snprintf(config.device, sizeof config.device, "net_af_xdp1,iface=" NEAR);
    assert_refused(&config,
                   "UDP port 7400 of 10.0.0.1 cannot be taken: another program of this machine has it");
    config.local_udp = 7401;
    assert_refused(&config, "another engine takes a path's datagrams there");
    assert_true(has_program()); /* that of the one that is there */
    cw_port_close(port);
}

static int load_program(const char *name)
{
    const struct bpf_insn pass[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT}};
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, name, "Dual BSD/GPL", pass, CW_COUNT_OF(pass), NULL);
    assert_true(program >= 0);
    return program;
}

/* Ours that somebody left goes, a stranger's stays. */
static void programs_of_others_are_respected(void **state)
{
    struct cw_port_config config;
    rig_skip_without(has_xdp, VETH_AND_XDP);
    assert_true(make_link());
    int interface = (int)if_nametoindex(NEAR), stranger = load_program("stranger"),
        ours = load_program("cw_steer");
    assert_int_equal(bpf_xdp_attach(interface, stranger, 0, NULL), 0);
    config_set(&config, XDP, 4, 0);
    assert_refused(&config, "it has the XDP program stranger already, which is not ours; if nobody needs it: "
                            "ip link set dev " NEAR);
    assert_true(has_program());
    assert_int_equal(bpf_xdp_detach(interface, 0, NULL), 0);
    assert_int_equal(bpf_xdp_attach(interface, ours, 0, NULL), 0);
    cw_port_close(open_port(XDP, 4, 0));
    assert_false(has_program());
    close(stranger);
    close(ours);
}

static void several_queues_need_a_word(void **state)
{
    struct cw_port_config config;
    rig_skip_without(has_xdp, VETH_AND_XDP);
    assert_true(make_link());
    if (!rig_run("ethtool -L " NEAR " rx 2 tx 2 2>/dev/null")) {
        print_message("skipped: this kernel's veth has no second queue\n");
        skip();
    }
    config_set(&config, XDP, 4, 0);
    assert_refused(&config, NEAR " receives by 2 queues, and a path by one");
    cw_port_close(open_port(XDP ",start_queue=0", 4, 0));
}

/* ---------------------------------------------------------------- kill -9 */

/* An engine for this test: opens the port, says so, waits to be killed. */
static int run_as_engine(const char *prefix)
{
    struct cw_eal_config eal = {.memory_mb = 128};
    struct cw_port_config config;
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "%s", prefix);
    config_set(&config, XDP, 4, 0);
    if (cw_eal_start(&eal, why, sizeof why) != CW_OK || cw_port_open(&config, why, sizeof why) == NULL) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    puts("open");
    fflush(stdout);
    for (;;)
        pause();
}

static pid_t start_engine(const char *prefix)
{
    int out[2];
    char word[8] = "";
    assert_int_equal(pipe(out), 0);
    pid_t child = rig_fork();
    if (child == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        execl("/proc/self/exe", "test-io-shared", "--engine", prefix, NULL);
        _exit(127);
    }
    close(out[1]);
    ssize_t got = read(out[0], word, sizeof word - 1);
    close(out[0]);
    assert_int_equal(got, 5);
    return child;
}

static void a_killed_engine_leaves_nothing(void **state)
{
    char prefix[64], command[128];
    rig_skip_without(has_xdp, VETH_AND_XDP);
    snprintf(prefix, sizeof prefix, "cw-test-shared-%d-killed", getpid());
    for (unsigned i = 0; i < 2; i++) {
        assert_true(make_link());
        pid_t engine = start_engine(prefix);
        assert_true(has_program());
        rig_kill(engine);
        if (i == 1)
            break;                           /* this time nobody starts after it */
        cw_port_close(open_port(XDP, 4, 0)); /* at once */
    }
    for (uint64_t start = rig_now_ns(); has_program() && rig_now_ns() - start < RIG_LIMIT_NS;)
        usleep(10 * 1000);
    assert_false(has_program());
    snprintf(command, sizeof command, "rm -rf /var/run/dpdk/%s", prefix);
    assert_true(rig_run(command));
}

/* Without one of its rights the engine is not told "Invalid argument" by a driver, but what is missing. */
static void assert_refused_without(unsigned right, const char *words)
{
    int result = 0;
    pid_t child = rig_fork();
    if (child == 0) {
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3];
        struct cw_port_config config;
        config_set(&config, XDP, 4, 0);
        if (syscall(SYS_capget, &head, have) != 0)
            _exit(1);
        have[CAP_TO_INDEX(right)].effective &= ~CAP_TO_MASK(right);
        if (syscall(SYS_capset, &head, have) != 0 || cw_port_open(&config, why, sizeof why) != NULL)
            _exit(2);
        fprintf(stderr, "%s\n", why);
        _exit(strstr(why, words) != NULL && strstr(why, "start it as root, or give its service") != NULL ? 0
                                                                                                         : 3);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void a_missing_right_is_named(void **state)
{
    rig_skip_without(has_xdp, VETH_AND_XDP);
    assert_true(make_link());
    assert_refused_without(CAP_SYS_ADMIN, "it lacks CAP_SYS_ADMIN;");
    assert_refused_without(CAP_NET_ADMIN, "it lacks CAP_NET_ADMIN;");
    assert_refused_without(CAP_NET_RAW, "it lacks CAP_NET_RAW;");
}

/* ---------------------------------------------------------------- the whole */

static int before_all(void **state)
{
    has_veth = rig_make(NEAR, "cws1") && make_link();
    int fd = socket(AF_XDP, SOCK_RAW, 0);
    has_xdp = has_veth && fd >= 0;
    if (fd >= 0)
        close(fd);
    return rig_start("shared");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--engine") == 0)
        return run_as_engine(argv[2]);
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(af_xdp_and_the_kernel_live),
        cmocka_unit_test(af_packet_and_the_kernel_live),
        cmocka_unit_test(next_hops_are_the_kernel_s),
        cmocka_unit_test(who_does_not_answer_is_said),
        cmocka_unit_test(too_big_reaches_the_engine),
        cmocka_unit_test(what_cannot_work_is_refused_with_words),
        cmocka_unit_test(programs_of_others_are_respected),
        cmocka_unit_test(several_queues_need_a_word),
        cmocka_unit_test(a_killed_engine_leaves_nothing),
        cmocka_unit_test(a_missing_right_is_named),
    };
    return cmocka_run_group_tests_name("io/shared", tests, before_all, rig_stop);
}
