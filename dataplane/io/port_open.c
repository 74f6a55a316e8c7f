/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device becomes a port: it is found, asked what it can do, set up and started; and closed again. All of
 * its queues at once: those of other lanes are made here, and given to them.
 *
 * The port's own MTU is left as the driver has it, except for a card, which needs it raised for jumbo
 * frames; virtual ones carry what their buffers hold (memif, ring) or what the kernel's interface takes.
 * memif needs more than an ethdev gives, and has its own file.
 */
#include "io/port_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/device.h"

#define QUEUE_DESCRIPTORS 1024u
#define XDP_QUEUE_TRIES   30u
#define XDP_QUEUE_WAIT_US 100000u
#define POOL_CACHE        256u
#define MBUFS_SMALL       8192u
#define MBUFS_JUMBO       4096u
#define MTU_MIN           576u
#define MTU_MIN_IPV6      1280u /* RFC 8200 section 5 */

static bool fail(char *why, size_t why_size, const struct cw_port *port, const char *doing, int error)
{
    snprintf(why, why_size, "path %s: %s: %s: %s", port->config.name, port->config.device, doing,
             rte_strerror(error < 0 ? -error : error));
    return false;
}

/* Finds the ethdev of the device; probes it if EAL was not told of it at its start. */
static bool find_device(struct cw_port *port, char *why, size_t why_size)
{
    char name[RTE_ETH_NAME_MAX_LEN], device[CW_DEVICE_ARGUMENTS_MAX + CW_STEER_PATH_SIZE + 16];
    cw_device_name(port->config.device, name, sizeof name);
    if (rte_eth_dev_get_port_by_name(name, &port->id) == 0)
        return true;
    if (cw_device_complete(&port->config, device, CW_DEVICE_ARGUMENTS_MAX, why, why_size) != CW_OK ||
        cw_device_prepare(device, why, why_size) != CW_OK)
        return false;
    if (port->shared.is_steered)
        snprintf(device + strlen(device), sizeof device - strlen(device), ",xdp_prog=%s",
                 port->shared.steer.path);
    if (cw_device_is_vmbus(device)) /* that bus knows no hotplug */
        return fail(
            why, why_size, port,
            "DPDK finds devices of VMBus only as it starts, and only those bound to uio_hv_generic; bind it, and "
            "start again",
            ENODEV);
    const char *comma = strchr(device, ',');
    int error =
        rte_eal_hotplug_add(cw_device_is_pci(device) ? "pci" : "vdev", name, comma != NULL ? comma + 1 : "");
    if (error < 0)
        return fail(why, why_size, port, "no such device, or it cannot be opened", error);
    error = rte_eth_dev_get_port_by_name(name, &port->id);
    return error == 0 || fail(why, why_size, port, "not a network device", error);
}

/* Does the device carry IP packets of this size? */
static bool check_mtu(struct cw_port *port, const struct rte_eth_dev_info *info, char *why, size_t why_size)
{
    uint16_t mtu = port->config.mtu;
    bool is_by_buffers =
        cw_device_is_memif(port->config.device) || strcmp(info->driver_name, "net_ring") == 0;
    uint32_t lowest = port->config.local_ip.version == 6 ? MTU_MIN_IPV6 : MTU_MIN;
    uint32_t limit = CW_MIN(info->max_mtu, info->max_rx_pktlen - port->path.ip_at);
    if (mtu < lowest || (!is_by_buffers && mtu > limit)) {
        snprintf(why, why_size, "path %s: mtu %u is impossible: %s carries %u to %u", port->config.name, mtu,
                 info->driver_name, lowest, is_by_buffers ? 65521u : limit);
        return false;
    }
    return true;
}

/* A received frame must fit one mbuf: 4 bytes more for a driver that counts the FCS, 4 for a second tag. */
static struct rte_mempool *pool_new(const struct cw_port *port, const struct rte_eth_dev_info *info)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    uint32_t frame = cw_round_up(port->config.mtu + CW_FRAME_LINK_BYTES_MAX + 8, 64);
    uint32_t room = CW_MAX(CW_MAX(frame, info->min_rx_bufsize), 2048u) + RTE_PKTMBUF_HEADROOM;
    bool is_jumbo = room > RTE_MBUF_DEFAULT_BUF_SIZE;
    uint32_t buffers = (is_jumbo ? MBUFS_JUMBO : MBUFS_SMALL) * (cw_port_queues(port) + 1) / 2;
    snprintf(name, sizeof name, "cw_port_%u", port->id);
    return rte_pktmbuf_pool_create(name, port->config.buffers > 0 ? port->config.buffers : buffers,
                                   POOL_CACHE, 0, (uint16_t)room, rte_eth_dev_socket_id(port->id));
}

/* What the device can do for us, of what we would do ourselves: the checksum of the IPv4 header (UDP has none
 * there), or that of UDP over IPv6; and, where it has several queues, spreading by UDP ports, for whoever
 * uses more than one. */
static void wish(const struct cw_port *port, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
    bool is_v6 = port->config.local_ip.version == 6;
    uint64_t rss =
        info->flow_type_rss_offloads & (is_v6 ? RTE_ETH_RSS_NONFRAG_IPV6_UDP : RTE_ETH_RSS_NONFRAG_IPV4_UDP);
    *conf = (struct rte_eth_conf){0};
    conf->intr_conf.rmv = info->dev_flags != NULL && (*info->dev_flags & RTE_ETH_DEV_INTR_RMV) != 0;
    if (port->config.local_ip.version == 0)
        return;
    conf->txmode.offloads =
        info->tx_offload_capa & (is_v6 ? RTE_ETH_TX_OFFLOAD_UDP_CKSUM : RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
    conf->rxmode.offloads =
        info->rx_offload_capa & (is_v6 ? RTE_ETH_RX_OFFLOAD_UDP_CKSUM : RTE_ETH_RX_OFFLOAD_IPV4_CKSUM);
    if (info->max_rx_queues > 1 && rss != 0) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = rss;
    }
}

/* A driver that does not do what it offers gets no wishes. */
static int configure(struct cw_port *port, const struct rte_eth_dev_info *info)
{
    static const struct rte_eth_conf nothing;
    bool is_v6 = port->config.local_ip.version == 6;
    uint16_t queues = (uint16_t)cw_port_queues(port);
    struct rte_eth_conf conf;
    wish(port, info, &conf);
    if (rte_eth_dev_configure(port->id, queues, queues, &conf) < 0) {
        conf = nothing;
        int error = rte_eth_dev_configure(port->id, queues, queues, &conf);
        if (error < 0)
            return error;
    }
    if (conf.txmode.offloads != 0) {
        port->transmit_flags = is_v6 ? RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM
                                     : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
        cw_frame_path_leave_sum(&port->path);
    }
    if (conf.rxmode.offloads != 0)
        *(port->config.is_sum_doubted ? &port->sum_doubted_flag : &port->sum_good_flag) =
            is_v6 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    port->is_spread = conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS;
    return 0;
}

/* The kernel frees a queue some time after the process that had it was killed: an engine that starts at once
 * waits. */
static int set_up_receiving(struct cw_port *port, const struct rte_eth_dev_info *info, uint16_t queue,
                            uint16_t descriptors, unsigned socket)
{
    uint32_t tries = strcmp(info->driver_name, "net_af_xdp") == 0 ? XDP_QUEUE_TRIES : 1;
    int error = -EBUSY;
    for (uint32_t i = 0; error != 0 && i < tries; i++) {
        if (i > 0)
            rte_delay_us_sleep(XDP_QUEUE_WAIT_US);
        error = rte_eth_rx_queue_setup(port->id, queue, descriptors, socket, NULL, port->pool);
    }
    return error;
}

/* A driver that does not take what we wish gets what it wishes. */
static int set_up_sending(struct cw_port *port, const struct rte_eth_dev_info *info, uint16_t queue,
                          uint16_t descriptors, unsigned socket)
{
    struct rte_eth_txconf wished;
    cw_port_left_wish(info, &wished);
    int error = rte_eth_tx_queue_setup(port->id, queue, descriptors, socket, &wished);
    return error == 0 ? 0 : rte_eth_tx_queue_setup(port->id, queue, descriptors, socket, NULL);
}

static bool has_queues(const struct cw_port *port, const struct rte_eth_dev_info *info, char *why,
                       size_t why_size)
{
    uint32_t has = CW_MIN(info->max_rx_queues, info->max_tx_queues);
    if (has >= cw_port_queues(port))
        return true;
    snprintf(
        why, why_size,
        "path %s: %s: %s has %u queue%s, and %u net lcores want one each: name fewer CPUs in lcores.net, or "
        "give the device more queues",
        port->config.name, port->config.device, info->driver_name, has, has == 1 ? "" : "s",
        cw_port_queues(port));
    return false;
}

static bool set_up_queues(struct cw_port *port, const struct rte_eth_dev_info *info, char *why,
                          size_t why_size)
{
    uint16_t receive = QUEUE_DESCRIPTORS, transmit = QUEUE_DESCRIPTORS;
    int socket = rte_eth_dev_socket_id(port->id);
    if (!has_queues(port, info, why, why_size))
        return false;
    int error = configure(port, info);
    if (error < 0)
        return fail(why, why_size, port, "cannot configure", error);
    bool is_card = cw_device_is_pci(port->config.device) || cw_device_is_vmbus(port->config.device);
    if (is_card && port->config.mtu > RTE_ETHER_MTU)
        error = rte_eth_dev_set_mtu(port->id, port->config.mtu); /* not before it is configured */
    if (error < 0)
        return fail(why, why_size, port, "cannot raise the mtu", error);
    error = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &receive, &transmit);
    if (error < 0)
        return fail(why, why_size, port, "cannot size the queues", error);
    port->pool = pool_new(port, info);
    if (port->pool == NULL)
        return fail(why, why_size, port, "no memory for packets; give DPDK more", rte_errno);
    for (uint16_t queue = 0; queue < cw_port_queues(port) && error == 0; queue++) {
        error = set_up_receiving(port, info, queue, receive, (unsigned)socket);
        if (error == 0)
            error = set_up_sending(port, info, queue, transmit, (unsigned)socket);
    }
    return error == 0 || fail(why, why_size, port, "cannot set up the queues", error);
}

/* On an interface that the kernel keeps. */
static bool start_shared(struct cw_port *port, char *why, size_t why_size)
{
    char said[256];
    int error = rte_eth_dev_start(port->id);
    if (error != 0)
        return fail(why, why_size, port, "cannot start", error);
    if (cw_shared_start(&port->shared, &port->counters[CW_PORT_STRAY], said, sizeof said) == CW_OK)
        return true;
    snprintf(why, why_size, "path %s: %s: %s", port->config.name, port->config.device, said);
    return false;
}

static bool start(struct cw_port *port, char *why, size_t why_size)
{
    if (port->config.is_shared)
        return start_shared(port, why, why_size);
    port->memif.guards[port->memif.guard_count++] = &port->guard;
    for (uint32_t lane = 1; lane < cw_port_queues(port); lane++)
        port->memif.guards[port->memif.guard_count++] = &port->others[lane]->guard;
    int error = port->is_memif ? cw_memif_start(&port->memif, port->id, port->config.device,
                                                &port->counters[CW_PORT_RECONNECTS])
                               : rte_eth_dev_start(port->id);
    return error == 0 || fail(why, why_size, port, "cannot start", error);
}

/* What our address is on the link, and whom to send to. */
static void set_addresses(struct cw_port *port)
{
    static const uint8_t none[6];
    const struct cw_port_config *config = &port->config;
    struct cw_frame_addresses addresses = {.local_ip = config->local_ip,
                                           .remote_ip = config->remote_ip,
                                           .local_udp = config->local_udp,
                                           .remote_udp = config->remote_udp,
                                           .lane_count = (uint16_t)cw_port_queues(port),
                                           .vlan = config->vlan,
                                           .is_any_source = config->is_followed,
                                           .is_ecn_capable = config->is_ecn_capable};
    struct cw_host_config host = {.ip = config->local_ip,
                                  .vlan = config->vlan,
                                  .next_hop = config->next_hop,
                                  .remote_ip = config->remote_ip,
                                  .local_udp = config->local_udp,
                                  .remote_udp = config->remote_udp,
                                  .lane_count = (uint16_t)cw_port_queues(port),
                                  .is_kernel_s = config->is_shared};
    struct rte_ether_addr device;
    memcpy(addresses.local_mac, config->local_mac, sizeof addresses.local_mac);
    if (memcmp(config->local_mac, none, sizeof none) == 0 && rte_eth_macaddr_get(port->id, &device) == 0)
        memcpy(addresses.local_mac, device.addr_bytes, sizeof addresses.local_mac);
    memcpy(addresses.remote_mac, config->remote_mac, sizeof addresses.remote_mac);
    cw_frame_path_init(&port->path, &addresses);
    port->datagram_bytes_max = config->mtu - (uint32_t)(port->path.header_bytes - port->path.ip_at);
    if (host.next_hop.version == 0)
        host.next_hop = config->remote_ip;
    memcpy(host.mac, addresses.local_mac, sizeof host.mac);
    memcpy(host.next_hop_mac, config->remote_mac, sizeof host.next_hop_mac);
    cw_host_init(&port->host, &host);
    cw_host_enter(&port->host, 0); /* with the first turn */
    cw_port_entry_publish(port);
}

/* A card passes on only the groups it is told of: that of our address, and that of all nodes, by which
 * routers ask who listens. Where it takes no list it may take all; the kernel's ports take what their
 * interface takes, and some have neither. */
static void listen_to_group(struct cw_port *port)
{
    struct rte_ether_addr groups[2] = {{{0x33, 0x33, 0xff}}, {{0x33, 0x33, 0, 0, 0, 1}}};
    if (port->config.local_ip.version != 6 || port->config.is_shared)
        return;
    memcpy(groups[0].addr_bytes + 3, port->config.local_ip.bytes + 13, 3);
    if (rte_eth_dev_set_mc_addr_list(port->id, groups, CW_COUNT_OF(groups)) != 0)
        (void)rte_eth_allmulticast_enable(port->id);
}

struct cw_port *cw_port_open(const struct cw_port_config *config, char *why, size_t why_size)
{
    struct cw_port *port = calloc(1, sizeof *port);
    struct rte_eth_dev_info info;
    if (port == NULL) {
        snprintf(why, why_size, "path %s: out of memory", config->name);
        return NULL;
    }
    port->config = *config;
    pthread_mutex_init(&port->describing, NULL);
    port->is_memif = cw_device_is_memif(config->device);
    enum cw_status status = config->is_shared ? cw_shared_open(&port->shared, config, why, why_size)
                                              : cw_shared_check_taken(config, why, why_size);
    if (status != CW_OK || !find_device(port, why, why_size)) {
        cw_shared_close(&port->shared);
        free(port);
        return NULL;
    }
    set_addresses(port);
    int error = rte_eth_dev_info_get(port->id, &info);
    if (error < 0)
        fail(why, why_size, port, "cannot be asked", error);
    port->device = error < 0 ? NULL : info.device;
    if (error == 0 && check_mtu(port, &info, why, why_size) && cw_port_lanes_add(port, why, why_size) &&
        set_up_queues(port, &info, why, why_size)) {
        cw_port_lanes_tell(port);
        if (start(port, why, why_size)) {
            listen_to_group(port);
            cw_port_left_ask(port);
            cw_port_gone_watch(port);
            return port;
        }
    }
    cw_port_close(port);
    return NULL;
}

static void give_frames_back(struct cw_port *port)
{
    void *passed[CW_PORT_BURST];
    for (uint32_t count = 1; port->lanes != NULL && count > 0;) {
        count = cw_lanes_take(port->lanes, port->queue, passed, CW_PORT_BURST);
        rte_pktmbuf_free_bulk((struct rte_mbuf **)passed, count);
    }
    rte_pktmbuf_free_bulk(port->burst, port->burst_count);
    rte_pktmbuf_free(port->next);
}

void cw_port_close(struct cw_port *port)
{
    if (port == NULL)
        return;
    CW_ASSERT(port->queue == 0);
    cw_shared_close(&port->shared);
    bool is_released = cw_port_gone_unwatch(port);
    if (port->is_memif) {
        cw_memif_close(&port->memif);
    } else if (!is_released) {
        (void)rte_eth_dev_stop(port->id);
        (void)rte_eth_dev_close(port->id);
    }
    for (uint32_t lane = 1; lane < cw_port_queues(port); lane++) {
        if (port->others[lane] != NULL)
            give_frames_back(port->others[lane]);
        free(port->others[lane]);
    }
    give_frames_back(port);
    if (port->device != NULL && !is_released && !cw_device_is_vmbus(port->config.device))
        (void)rte_dev_remove(port->device);
    rte_mempool_free(port->pool);
    cw_lanes_free(port->lanes);
    free(port);
}
