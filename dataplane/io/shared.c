/* SPDX-License-Identifier: BSD-3-Clause */
/* See shared.h. */
#include "io/shared.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/sock_diag.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/device.h"

#define UNKNOWN_MS 1000 /* between questions while the next hop is not known */
#define KNOWN_MS   5000
#define CALM_MS    20 /* after a change: a storm of them is one */

/* ---------------------------------------------------------------- what is refused */

__attribute__((format(printf, 4, 5))) static enum cw_status
refuse(const struct cw_port_config *config, char *why, size_t why_size, const char *format, ...)
{
    int written = snprintf(why, why_size, "path %s: %s: ", config->name, config->device);
    va_list arguments;
    va_start(arguments, format);
    if (written > 0 && (size_t)written < why_size)
        (void)vsnprintf(why + written, why_size - (size_t)written, format, arguments);
    va_end(arguments);
    return CW_REFUSED;
}

enum cw_status cw_shared_check_taken(const struct cw_port_config *config, char *why, size_t why_size)
{
    struct cw_interface interface;
    char value[256], has[256];
    if (!cw_device_is_af_xdp(config->device) ||
        cw_device_argument(config->device, "xdp_prog", value, sizeof value) ||
        !cw_device_argument(config->device, "iface", value, sizeof value) ||
        !cw_interface_find(value, &interface))
        return CW_OK; /* the driver says what is wrong */
    cw_interface_addresses(&interface, false, has, sizeof has);
    if (has[0] == 0)
        return CW_OK;
    return refuse(
        config, why, why_size,
        "%s is the kernel's (it has %s), and would be lost to it; say `shared: true` in this path and it "
        "remains, or take its addresses away: ip addr flush dev %s",
        interface.name, has, interface.name);
}

static enum cw_status check_interface(struct cw_shared *shared, const struct cw_port_config *config,
                                      char *why, size_t why_size)
{
    struct cw_interface *interface = &shared->interface;
    char name[64] = "", ip[CW_INTERFACE_IP_SIZE], has[256], queue[16];
    (void)cw_device_argument(config->device, "iface", name, sizeof name);
    if (!cw_interface_find(name, interface))
        return refuse(config, why, why_size, "the interface %s: %s", name, strerror(errno));
    cw_interface_addresses(interface, true, has, sizeof has);
    if (!cw_interface_has(interface, &config->local_ip))
        return refuse(config, why, why_size, "%s has not the address %s of this path (local.ip); it has %s",
                      name, cw_interface_ip_text(&config->local_ip, ip), has[0] != 0 ? has : "none");
    if (config->mtu > interface->mtu)
        return refuse(config, why, why_size, "mtu %u is impossible: %s has %u (ip link set dev %s mtu %u)",
                      config->mtu, name, interface->mtu, name, config->mtu);
    if (shared->is_steered && interface->queues > 1 &&
        !cw_device_argument(config->device, "start_queue", queue, sizeof queue))
        return refuse(
            config, why, why_size,
            "%s receives by %u queues, and a path by one: give it one (ethtool -L %s combined 1), or steer "
            "the path to one (ethtool -N %s flow-type udp%u dst-port %u action 0) and say start_queue=0 "
            "in its device",
            name, interface->queues, name, name, config->local_ip.version, config->local_udp);
    return CW_OK;
}

/* ---------------------------------------------------------------- the UDP port */

static socklen_t claim_address(const struct cw_shared *shared, uint16_t port,
                               struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (shared->local.version == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        v4->sin_family = AF_INET;
        v4->sin_port = htobe16(port);
        memcpy(&v4->sin_addr, shared->local.bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htobe16(port);
    v6->sin6_scope_id = cw_ip_is_link_local(&shared->local) ? shared->interface.index : 0;
    memcpy(&v6->sin6_addr, shared->local.bytes, 16);
    return sizeof *v6;
}

/* Its filter takes nothing, which the kernel counts; and no answer says that nobody is there. An address that
 * is still being probed for duplicates may be claimed. */
static enum cw_status claim(struct cw_shared *shared, const struct cw_port_config *config, char *why,
                            size_t why_size)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog filter = {.len = 1, .filter = &nothing};
    const int on = 1;
    struct sockaddr_storage address;
    char ip[CW_INTERFACE_IP_SIZE];
    socklen_t length = claim_address(shared, config->local_udp, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    shared->claim = fd;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0 &&
        setsockopt(fd, address.ss_family == AF_INET6 ? SOL_IPV6 : SOL_IP,
                   address.ss_family == AF_INET6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address, length) == 0)
        return CW_OK;
    return refuse(config, why, why_size, "UDP port %u of %s cannot be taken: %s", config->local_udp,
                  cw_interface_ip_text(&shared->local, ip),
                  errno == EADDRINUSE ? "another program of this machine has it" : strerror(errno));
}

static void count_strays(struct cw_shared *shared)
{
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t length = sizeof memory;
    if (!shared->is_steered || getsockopt(shared->claim, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0 ||
        length <= SK_MEMINFO_DROPS * sizeof memory[0])
        return;
    uint32_t more =
        memory[SK_MEMINFO_DROPS] - (uint32_t)cw_counter_read(shared->strays); /* the kernel's may wrap */
    cw_count(shared->strays, more);
}

/* ---------------------------------------------------------------- the keeper */

static uint64_t word_of(const uint8_t mac[6])
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 6; i++)
        word |= (uint64_t)mac[i] << 8 * i;
    return word;
}

/* is_asking: the kernel shall ask for the next hop, or check it. */
static void look(struct cw_shared *shared, bool is_asking)
{
    struct cw_ip next_hop = shared->next_hop;
    uint8_t mac[6];
    bool is_resolved = false;
    enum cw_netlink_way way = cw_netlink_route(&shared->netlink, shared->interface.index, &shared->local,
                                               &shared->remote, &next_hop);
    if (way == CW_NETLINK_WAY) {
        if (is_asking || !cw_ip_is_equal(&next_hop, &shared->next_hop))
            cw_netlink_use(&shared->netlink, shared->interface.index, &next_hop);
        is_resolved = cw_netlink_neighbour(&shared->netlink, shared->interface.index, &next_hop, mac);
    }
    if (is_resolved)
        atomic_store_explicit(&shared->told, word_of(mac), memory_order_relaxed);
    pthread_mutex_lock(&shared->lock);
    shared->way = way;
    shared->next_hop = next_hop;
    shared->is_resolved = is_resolved;
    pthread_mutex_unlock(&shared->lock);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* When the kernel is to be asked again; at_ms 0: at once. */
static uint64_t due_ms(const struct cw_shared *shared, uint64_t at_ms)
{
    return at_ms == 0 ? 0 : at_ms + (shared->is_resolved ? KNOWN_MS : UNKNOWN_MS);
}

static void *keep(void *argument)
{
    struct cw_shared *shared = argument;
    struct pollfd waits[] = {{.fd = shared->stop, .events = POLLIN},
                             {.fd = shared->netlink.changes, .events = POLLIN}};
    pthread_setname_np(pthread_self(), "route-keeper");
    for (uint64_t asked_ms = 0;;) {
        bool is_due = now_ms() >= due_ms(shared, asked_ms);
        look(shared, is_due);
        if (is_due) {
            asked_ms = now_ms();
            count_strays(shared);
        }
        uint64_t at_ms = now_ms(), next_ms = due_ms(shared, asked_ms);
        (void)poll(waits, CW_COUNT_OF(waits), next_ms > at_ms ? (int)(next_ms - at_ms) : 0);
        if (waits[0].revents == 0 && waits[1].revents != 0)
            (void)poll(waits, 1, CALM_MS);
        if (waits[0].revents != 0)
            return NULL;
        (void)cw_netlink_take_changes(&shared->netlink);
    }
}

void cw_shared_describe(struct cw_shared *shared, char *text, size_t size)
{
    char remote[CW_INTERFACE_IP_SIZE], hop[CW_INTERFACE_IP_SIZE];
    uint8_t mac[6];
    pthread_mutex_lock(&shared->lock);
    enum cw_netlink_way way = shared->way;
    struct cw_ip next_hop = shared->next_hop;
    bool is_resolved = shared->is_resolved;
    pthread_mutex_unlock(&shared->lock);
    (void)cw_interface_ip_text(&shared->remote, remote);
    if (way == CW_NETLINK_OURS) {
        snprintf(text, size, "%s is an address of this machine", remote);
    } else if (way == CW_NETLINK_NO_WAY) {
        snprintf(text, size, "the kernel has no route to %s by %s", remote, shared->interface.name);
    } else if (is_resolved && cw_shared_next_hop(shared, mac)) {
        snprintf(text, size, "next hop %s is %02x:%02x:%02x:%02x:%02x:%02x",
                 cw_interface_ip_text(&next_hop, hop), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    } else {
        snprintf(text, size, "next hop %s does not answer", cw_interface_ip_text(&next_hop, hop));
    }
}

/* ---------------------------------------------------------------- opening */

enum cw_status cw_shared_open(struct cw_shared *shared, const struct cw_port_config *config, char *why,
                              size_t why_size)
{
    char said[256];
    *shared = (struct cw_shared){.is_open = true,
                                 .is_steered = cw_device_is_af_xdp(config->device),
                                 .local = config->local_ip,
                                 .remote = config->remote_ip,
                                 .next_hop = config->remote_ip,
                                 .claim = -1,
                                 .stop = -1,
                                 .netlink = {.questions = -1, .changes = -1},
                                 .lock = PTHREAD_MUTEX_INITIALIZER};
    enum cw_status status = check_interface(shared, config, why, why_size);
    if (status == CW_OK)
        status = claim(shared, config, why, why_size);
    if (status == CW_OK && shared->is_steered) {
        status = cw_steer_clear(shared->interface.index, said, sizeof said);
        if (status == CW_OK)
            status = cw_steer_open(&shared->steer, shared->interface.index, &shared->local, &shared->remote,
                                   config->local_udp, said, sizeof said);
        if (status != CW_OK)
            (void)refuse(config, why, why_size, "%s: %s", shared->interface.name, said);
    }
    int error = status == CW_OK ? cw_netlink_open(&shared->netlink) : 0;
    if (error != 0)
        status = refuse(config, why, why_size, "the kernel's routes cannot be read: %s", strerror(-error));
    if (status != CW_OK)
        cw_shared_close(shared);
    return status;
}

enum cw_status cw_shared_start(struct cw_shared *shared, cw_counter *strays, char *why, size_t why_size)
{
    CW_ASSERT(shared->is_open && !shared->has_keeper);
    shared->strays = strays;
    enum cw_status status = shared->is_steered ? cw_steer_hold(&shared->steer, why, why_size) : CW_OK;
    if (status != CW_OK)
        return status;
    shared->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = shared->stop < 0 ? errno : pthread_create(&shared->keeper, NULL, keep, shared);
    shared->has_keeper = error == 0;
    if (error != 0)
        snprintf(why, why_size, "cannot start a thread: %s", strerror(error));
    return error == 0 ? CW_OK : CW_IO;
}

void cw_shared_close(struct cw_shared *shared)
{
    if (!shared->is_open)
        return;
    if (shared->has_keeper) {
        (void)eventfd_write(shared->stop, 1);
        pthread_join(shared->keeper, NULL);
    }
    cw_steer_close(&shared->steer);
    cw_netlink_close(&shared->netlink);
    if (shared->stop >= 0)
        close(shared->stop);
    if (shared->claim >= 0)
        close(shared->claim);
    shared->is_open = false;
}
