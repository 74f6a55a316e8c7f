/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: two memif ports of one process at both frame sizes, foreign frames, cuts, a ring looped to itself,
 * af_packet and af_xdp over a veth pair in a network namespace of this process.
 */
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
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/port.h"
#include "kernel_rig.h"

#define LIMIT_NS (60 * CW_SECOND) /* of any wait */

static char folder[64];
static char prefix[64];
static char why[512];
static bool has_veth;
static uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb};

static struct cw_ip address_of(bool is_a)
{
    return cw_ip_v4(is_a ? 0x0a000001 : 0x0a000002);
}

/* libxdp 1.3 never frees what it allocates for a umem; LeakSanitizer asks this function. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:xsk_umem__create\n";
}

struct inbox {
    uint32_t count;
    uint64_t bytes;
    uint8_t last[9000];
    size_t last_length;
};

static void take(void *context, uint8_t *datagram, size_t length)
{
    struct inbox *inbox = context;
    assert_true(length <= sizeof inbox->last);
    memcpy(inbox->last, datagram, length);
    memset(datagram, 0xff, length); /* writable */
    inbox->last_length = length;
    inbox->count++;
    inbox->bytes += length;
}

static void config_set(struct cw_port_config *config, bool is_a, uint16_t mtu, const char *device)
{
    *config = (struct cw_port_config){.mtu = mtu,
                                      .local_ip = address_of(is_a),
                                      .remote_ip = address_of(!is_a),
                                      .local_udp = 4789,
                                      .remote_udp = 4789};
    snprintf(config->name, sizeof config->name, "%s", is_a ? "a" : "b");
    snprintf(config->device, sizeof config->device, "%s", device);
    memcpy(config->local_mac, is_a ? mac_a : mac_b, 6);
    memcpy(config->remote_mac, is_a ? mac_b : mac_a, 6);
}

static struct cw_port *open_or_fail(const struct cw_port_config *config)
{
    struct cw_port *port = cw_port_open(config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void wait_for_link(struct cw_port *port)
{
    uint64_t start = now_ns();
    while (!cw_port_is_link_up(port) && now_ns() - start < LIMIT_NS)
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
    assert_true(cw_port_is_link_up(port));
}

/* Polls until inbox has this many, or the limit. Flushes, too: a memif server has room only when its client
 * has polled once. */
static void receive_until(struct cw_port *from, struct cw_port *port, struct inbox *inbox, uint32_t count)
{
    uint64_t start = now_ns();
    while (inbox->count < count && now_ns() - start < LIMIT_NS) {
        if (cw_port_receive(port, take, inbox) == 0)
            sched_yield();
        cw_port_flush(from);
    }
}

static void send_one(struct cw_port *port, const uint8_t *data, size_t length)
{
    uint8_t *room = cw_port_transmit_next(port);
    assert_non_null(room);
    memcpy(room, data, length);
    cw_port_transmit_commit(port, length);
}

/* Every length from 0 to the largest in uneven steps, one by one, then a large burst. */
static void exchange(struct cw_port *from, struct cw_port *to)
{
    static uint8_t data[9000];
    struct cw_rng rng = {.state = 7};
    static struct inbox inbox;
    uint32_t max = cw_port_datagram_bytes_max(from);
    inbox = (struct inbox){0};
    for (uint32_t length = 0, sent = 0; length <= max;
         length = length == max ? max + 1 : CW_MIN(length + 97, max)) {
        for (uint32_t i = 0; i < length; i++)
            data[i] = (uint8_t)cw_rng_next(&rng);
        send_one(from, data, length);
        cw_port_flush(from);
        receive_until(from, to, &inbox, ++sent);
        assert_int_equal(inbox.count, sent);
        assert_int_equal(inbox.last_length, length);
        assert_memory_equal(inbox.last, data, length);
    }
    inbox.count = 0;
    uint32_t sent = 0;
    for (uint64_t start = now_ns(); sent < 5000 && now_ns() - start < LIMIT_NS;) {
        uint8_t *room = cw_port_transmit_next(from);
        if (room != NULL) {
            memcpy(room, &sent, sizeof sent);
            cw_port_transmit_commit(from, 100);
            sent++;
        }
        if (room == NULL || sent % CW_PORT_BURST == 0) { /* the kernel's ports drop what is not fetched */
            cw_port_flush(from);
            cw_port_receive(to, take, &inbox);
        }
    }
    receive_until(from, to, &inbox, sent);
    assert_int_equal(sent, 5000);
    assert_int_equal(inbox.count, 5000);
    uint32_t last;
    memcpy(&last, inbox.last, sizeof last);
    assert_int_equal(last, 4999);
}

static struct cw_ip address_v6_of(bool is_a)
{
    uint8_t bytes[16] = {[0] = 0xfd, [15] = is_a ? 1 : 2};
    return cw_ip_v6(bytes);
}

static void to_v6(struct cw_port_config *config, bool is_a, uint16_t vlan)
{
    config->local_ip = address_v6_of(is_a);
    config->remote_ip = address_v6_of(!is_a);
    config->vlan = vlan;
}

/* An IPv6 address is probed for before it is used. */
static void wait_for_addresses(struct cw_port *ports[2])
{
    struct inbox inbox = {0};
    unsigned ready = 0;
    for (uint64_t start = now_ns(); ready < 2 && now_ns() - start < LIMIT_NS;) {
        ready = 0;
        for (int i = 0; i < 2; i++) {
            cw_port_on_time(ports[i], now_ns());
            cw_port_receive(ports[i], take, &inbox);
            cw_port_flush(ports[i]);
            if (cw_port_transmit_next(ports[i]) != NULL) {
                cw_port_transmit_abandon(ports[i]);
                ready++;
            }
        }
        sched_yield();
    }
    assert_int_equal(ready, 2);
}

/* IPv6, in a VLAN or not, on the memif of one process. */
static void memif_carries_v6(uint16_t mtu, uint16_t vlan)
{
    struct cw_port *ports[2];
    for (int i = 0; i < 2; i++) {
        struct cw_port_config config;
        char device[200];
        snprintf(device, sizeof device, "net_memif%d,role=%s,id=0,socket=%s/memif-v6", i,
                 i == 0 ? "server" : "client", folder);
        config_set(&config, i == 0, mtu, device);
        to_v6(&config, i == 0, vlan);
        ports[i] = open_or_fail(&config);
    }
    wait_for_link(ports[0]);
    wait_for_link(ports[1]);
    assert_int_equal(cw_port_datagram_bytes_max(ports[0]), mtu - 48u);
    wait_for_addresses(ports);
    exchange(ports[0], ports[1]);
    exchange(ports[1], ports[0]);
    assert_int_equal(cw_port_counter(ports[0], CW_PORT_DROP_CHECKSUM), 0);
    cw_port_close(ports[1]);
    cw_port_close(ports[0]);
}

static void memif_carries_ipv6(void **state)
{
    memif_carries_v6(1500, 0);
    memif_carries_v6(9000, 4094);
}

static void open_memif_pair(uint16_t mtu, struct cw_port **a, struct cw_port **b)
{
    char device[200];
    struct cw_port_config config;
    snprintf(device, sizeof device, "net_memif0,role=server,id=0,socket=%s/memif-%u", folder, mtu);
    config_set(&config, true, mtu, device);
    *a = open_or_fail(&config);
    snprintf(device, sizeof device, "net_memif1,role=client,id=0,socket=%s/memif-%u", folder, mtu);
    config_set(&config, false, mtu, device);
    *b = open_or_fail(&config);
    wait_for_link(*a);
    wait_for_link(*b);
}

static void memif_carries(uint16_t mtu)
{
    struct cw_port *a, *b;
    open_memif_pair(mtu, &a, &b);
    assert_int_equal(cw_port_datagram_bytes_max(a), mtu - 28u);
    exchange(a, b);
    exchange(b, a);
    assert_int_equal(cw_port_counter(a, CW_PORT_TX_PACKETS), cw_port_counter(b, CW_PORT_RX_PACKETS));
    assert_int_equal(cw_port_counter(a, CW_PORT_TX_BYTES), cw_port_counter(b, CW_PORT_RX_BYTES));
    assert_int_equal(cw_port_counter(a, CW_PORT_DROP_NOT_OURS), 0);
    cw_port_close(b);
    cw_port_close(a);
}

static void memif_carries_1500(void **state)
{
    memif_carries(1500);
}

static void memif_carries_9000(void **state)
{
    memif_carries(9000);
}

/* A peer with another address, another port, a smaller idea of a frame: dropped, by reason. */
static void foreign_frames_are_dropped_by_reason(void **state)
{
    struct cw_port *a, *b;
    char device[200];
    struct cw_port_config config;
    struct inbox inbox = {0};
    uint8_t data[100] = {1};
    snprintf(device, sizeof device, "net_memif0,role=server,id=0,socket=%s/memif-x", folder);
    config_set(&config, true, 1500, device);
    a = open_or_fail(&config);
    snprintf(device, sizeof device, "net_memif1,role=client,id=0,socket=%s/memif-x", folder);
    config_set(&config, false, 1500, device);
    config.local_ip.bytes[3]++; /* not the peer that a knows */
    b = open_or_fail(&config);
    wait_for_link(a);
    for (int i = 0; i < 3; i++)
        send_one(b, data, sizeof data);
    cw_port_flush(b);
    uint64_t start = now_ns();
    while (cw_port_counter(a, CW_PORT_RX_PACKETS) < 3 && now_ns() - start < LIMIT_NS)
        cw_port_receive(a, take, &inbox);
    assert_int_equal(inbox.count, 0);
    assert_int_equal(cw_port_counter(a, CW_PORT_DROP_NOT_OURS), 3);
    cw_port_close(b);
    cw_port_close(a);
}

static void a_cut_drops_both_ways_and_heals(void **state)
{
    struct cw_port *a, *b;
    struct inbox inbox = {0};
    uint8_t data[100] = {1};
    open_memif_pair(1500, &a, &b);
    cw_port_cut_set(b, true, false);
    send_one(a, data, sizeof data);
    cw_port_flush(a);
    uint64_t start = now_ns();
    while (cw_port_counter(b, CW_PORT_DROP_CUT) == 0 && now_ns() - start < LIMIT_NS) {
        cw_port_receive(b, take, &inbox);
        cw_port_flush(a);
    }
    assert_int_equal(cw_port_counter(b, CW_PORT_DROP_CUT), 1);
    cw_port_cut_set(b, false, true);
    send_one(b, data, sizeof data);
    cw_port_flush(b);
    assert_int_equal(cw_port_counter(b, CW_PORT_DROP_CUT), 2);
    assert_int_equal(cw_port_counter(b, CW_PORT_TX_PACKETS), 0);
    cw_port_cut_set(b, false, false);
    send_one(b, data, sizeof data);
    cw_port_flush(b);
    receive_until(b, a, &inbox, 1);
    assert_int_equal(inbox.count, 1);
    cw_port_close(b);
    cw_port_close(a);
}

static void no_peer_means_no_room_and_no_spinning(void **state)
{
    struct cw_port_config config;
    char device[200];
    struct inbox inbox = {0};
    snprintf(device, sizeof device, "net_memif0,role=server,socket=%s/lonely", folder);
    config_set(&config, true, 1500, device);
    struct cw_port *a = open_or_fail(&config);
    assert_false(cw_port_is_link_up(a));
    uint32_t taken = 0;
    for (unsigned i = 0; i < 1000; i++) {
        if (cw_port_transmit_next(a) != NULL) {
            cw_port_transmit_commit(a, 64);
            taken++;
        }
    }
    assert_int_equal(taken, CW_PORT_BURST);
    assert_true(cw_port_counter(a, CW_PORT_TX_FULL) > 0);
    assert_int_equal(cw_port_receive(a, take, &inbox), 0);
    cw_port_close(a);
}

/* This program again, as the other end of a memif: it floods and takes what comes until it is killed. */
static pid_t spawn_peer(const char *role)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    execl("/proc/self/exe", "test-io-port", "--peer", role, folder, (char *)NULL);
    _exit(127);
}

static void peer_config(struct cw_port_config *config, bool is_a, const char *role, const char *where)
{
    char device[200];
    snprintf(device, sizeof device, "net_memif9,role=%s,socket=%s/peers", role, where);
    config_set(config, is_a, 9000, device);
}

static void flood(struct cw_port *port, struct inbox *inbox)
{
    for (unsigned i = 0; i < CW_PORT_BURST; i++) {
        uint8_t *room = cw_port_transmit_next(port);
        if (room == NULL)
            break;
        memset(room, 0x33, 64);
        cw_port_transmit_commit(port, cw_port_datagram_bytes_max(port));
    }
    cw_port_flush(port);
    cw_port_receive(port, take, inbox);
}

static int run_as_peer(const char *role, const char *where)
{
    struct cw_eal_config eal = {.memory_mb = 128};
    struct cw_port_config config;
    static struct inbox inbox;
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "%s-peer", strrchr(where, '/') + 1);
    peer_config(&config, false, role, where);
    eal.ports = &config;
    eal.port_count = 1;
    if (cw_eal_start(&eal, why, sizeof why) != CW_OK)
        return 1;
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        return 2;
    for (uint64_t start = now_ns(); now_ns() - start < 5 * LIMIT_NS;) /* longer than anybody waits for it */
        flood(port, &inbox);
    return 3;
}

static void flood_until(struct cw_port *port, bool is_up, uint32_t datagrams)
{
    static struct inbox inbox;
    uint64_t start = now_ns();
    inbox.count = 0;
    while ((cw_port_is_link_up(port) != is_up || inbox.count < datagrams) && now_ns() - start < LIMIT_NS)
        flood(port, &inbox);
    if (cw_port_is_link_up(port) != is_up || inbox.count < datagrams)
        fail_msg("link up: wanted %d, is %d; datagrams: wanted %u, got %u; connect attempts: %llu", is_up,
                 cw_port_is_link_up(port), datagrams, inbox.count,
                 (unsigned long long)cw_port_counter(port, CW_PORT_RECONNECTS));
}

/* Under full load both ways, kill -9 of the other end never harms this one, and the next one is heard. */
static void survives_deaths_of_its_peer(const char *role, const char *peer_role)
{
    struct cw_port_config config;
    peer_config(&config, true, role, folder);
    struct cw_port *port = open_or_fail(&config);
    for (unsigned round = 0; round < 4; round++) {
        int result;
        pid_t peer = spawn_peer(peer_role);
        flood_until(port, true, 2000);
        kill(peer, SIGKILL);
        assert_int_equal(waitpid(peer, &result, 0), peer);
        flood_until(port, false, 0);
    }
    cw_port_close(port);
}

static void a_client_survives_its_servers(void **state)
{
    survives_deaths_of_its_peer("client", "server");
}

static void a_server_survives_its_clients(void **state)
{
    survives_deaths_of_its_peer("server", "client");
}

/* A stopped server accepts nobody. Its client neither hangs nor hurts it, and both go on when it does. */
static void a_stopped_server_is_waited_for(void **state)
{
    struct cw_port_config config;
    static struct inbox inbox;
    int result;
    peer_config(&config, true, "client", folder);
    pid_t peer = spawn_peer("server");
    struct cw_port *port = open_or_fail(&config);
    flood_until(port, true, 100);
    cw_port_close(port);
    kill(peer, SIGSTOP);
    port = open_or_fail(&config);
    for (int i = 0; i < 40; i++) /* none waits for the peer: else this never ends */
        flood(port, &inbox);
    kill(peer, SIGCONT);
    flood_until(port, true, 100);
    kill(peer, SIGKILL);
    assert_int_equal(waitpid(peer, &result, 0), peer);
    cw_port_close(port);
}

static void stale_socket_files_are_removed_live_ones_respected(void **state)
{
    struct cw_port_config config;
    char device[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/stale", folder);
    snprintf(device, sizeof device, "net_memif0,role=server,socket=%s/stale", folder);
    config_set(&config, true, 1500, device);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "in use"));
    close(fd); /* the file stays, as after kill -9 */
    cw_port_close(open_or_fail(&config));
}

static void a_ring_loops(void **state)
{
    struct cw_port_config config;
    config_set(&config, true, 1500, "net_ring0");
    config.remote_ip = config.local_ip;
    struct cw_port *port = open_or_fail(&config);
    exchange(port, port);
    cw_port_close(port);
}

/* What stands 27 bytes before a datagram: the second byte of its IP header, whose last two bits are ECN's. */
#define ECN_OF(datagram) (*((datagram)-27))

struct marked {
    struct cw_port *port;
    uint32_t count;
};

static void take_capable(void *context, uint8_t *datagram, size_t length)
{
    struct marked *marked = context;
    assert_int_equal(ECN_OF(datagram), 2);
    assert_false(cw_port_is_marked(marked->port, datagram));
    ECN_OF(datagram) |= 3; /* as a router does */
    assert_true(cw_port_is_marked(marked->port, datagram));
    marked->count++;
}

static void marks_are_seen_by_who_takes(void **state)
{
    struct cw_port_config config;
    uint8_t data[4] = {0};
    config_set(&config, true, 1500, "net_ring1");
    config.remote_ip = config.local_ip;
    config.is_ecn_capable = true;
    struct cw_port *port = open_or_fail(&config);
    struct marked marked = {.port = port};
    send_one(port, data, sizeof data);
    cw_port_flush(port);
    (void)cw_port_receive(port, take_capable, &marked);
    assert_int_equal(marked.count, 1);
    cw_port_close(port);
}

static void impossible_ports_are_refused_with_words(void **state)
{
    struct cw_port_config config;
    config_set(&config, true, 1500, "net_no_such_driver0");
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "net_no_such_driver0"));
    config_set(&config, true, 100, "net_ring7");
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "mtu 100"));
    config_set(&config, true, 1279, "net_ring7");
    to_v6(&config, true, 0);
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "1280"));
    config_set(&config, true, 1500, "net_memif0,role=server");
    assert_null(cw_port_open(&config, why, sizeof why));
    assert_non_null(strstr(why, "socket="));
    config_set(&config, true, 1500, "");
    assert_null(cw_port_open(&config, why, sizeof why));
}

static void carries_over_veth(const char *driver, const char *extra, uint16_t mtu, uint16_t vlan)
{
    struct cw_port_config config;
    char device[200];
    rig_skip_without(has_veth, RIG_VETH);
    snprintf(device, sizeof device, "%s0,iface=cwio0%s", driver, extra);
    config_set(&config, true, mtu, device);
    config.vlan = vlan;
    rig_mac("cwio0", config.local_mac);
    rig_mac("cwio1", config.remote_mac);
    struct cw_port *a = cw_port_open(&config, why, sizeof why);
    if (a == NULL) {
        assert_string_equal(driver, "net_af_xdp"); /* not every kernel has that; af_packet is always there */
        print_message("skipped: %s\n", why);
        skip();
    }
    snprintf(device, sizeof device, "%s1,iface=cwio1%s", driver, extra);
    config_set(&config, false, mtu, device);
    config.vlan = vlan;
    rig_mac("cwio1", config.local_mac);
    rig_mac("cwio0", config.remote_mac);
    struct cw_port *b = open_or_fail(&config);
    exchange(a, b);
    exchange(b, a);
    assert_true(cw_port_is_link_up(a));
    cw_port_close(b);
    cw_port_close(a);
}

static void af_packet_carries(void **state)
{
    carries_over_veth("net_af_packet", "", 1500, 0);
}

/* The kernel takes the tag out of what it gives to packet sockets. */
static void af_packet_carries_in_a_vlan(void **state)
{
    carries_over_veth("net_af_packet", "", 1500, 100);
}

static void af_xdp_carries(void **state)
{
    carries_over_veth("net_af_xdp", "", 1500, 0);
}

static bool make_veth(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
        return false;
    /* A private /sys, so that it shows the new namespace. IPv6 off: its chatter is not ours. */
    return system("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link add cwio0 type veth peer "
                  "name cwio1 && "
                  "echo 1 > /proc/sys/net/ipv6/conf/cwio0/disable_ipv6 && "
                  "echo 1 > /proc/sys/net/ipv6/conf/cwio1/disable_ipv6 && "
                  "ip link set cwio0 up && ip link set cwio1 up") == 0;
}

static int before_all(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cw-port-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    has_veth = make_veth();
    struct cw_eal_config config = {.memory_mb = 256};
    snprintf(config.file_prefix, sizeof config.file_prefix, "cw-test-port-%d", getpid());
    snprintf(prefix, sizeof prefix, "%s", config.file_prefix);
    uint64_t start = now_ns();
    if (cw_eal_start(&config, why, sizeof why) != CW_OK) {
        print_error("%s\n", why);
        return -1;
    }
    print_message("EAL started in %llu ms\n", (unsigned long long)((now_ns() - start) / CW_MS));
    return 0;
}

static int after_all(void **state)
{
    char command[256], runtime[128];
    snprintf(runtime, sizeof runtime, "/var/run/dpdk/%s", prefix);
    cw_eal_stop();
    /* The peers were killed and left their runtime directory, whose name is made of the folder's. */
    snprintf(command, sizeof command, "rm -rf %s /var/run/dpdk/%s-peer", folder, strrchr(folder, '/') + 1);
    return access(runtime, F_OK) == 0 ? -1 : system(command);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--peer") == 0)
        return run_as_peer(argv[2], argv[3]);
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memif_carries_1500),
        cmocka_unit_test(memif_carries_9000),
        cmocka_unit_test(memif_carries_ipv6),
        cmocka_unit_test(foreign_frames_are_dropped_by_reason),
        cmocka_unit_test(a_cut_drops_both_ways_and_heals),
        cmocka_unit_test(no_peer_means_no_room_and_no_spinning),
        cmocka_unit_test(a_client_survives_its_servers),
        cmocka_unit_test(a_server_survives_its_clients),
        cmocka_unit_test(a_stopped_server_is_waited_for),
        cmocka_unit_test(stale_socket_files_are_removed_live_ones_respected),
        cmocka_unit_test(a_ring_loops),
        cmocka_unit_test(marks_are_seen_by_who_takes),
        cmocka_unit_test(impossible_ports_are_refused_with_words),
        cmocka_unit_test(af_packet_carries),
        cmocka_unit_test(af_packet_carries_in_a_vlan),
        cmocka_unit_test(af_xdp_carries),
    };
    return cmocka_run_group_tests_name("io/port", tests, before_all, after_all);
}
