/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One ethdev port, one queue each way, as a carrier of datagrams; or several queues, one a lane, each of
 * which is a struct cw_port of its own. The first one opens and closes the device and does what is of the
 * address.
 *
 * Sent frames wait in `burst` until flush; what the device does not take stays in front for the next flush,
 * so order is kept and nothing spins. A port whose device takes nothing (no peer) keeps at most one burst and
 * then has no room: the session above sees a path that carries nothing.
 *
 * The port's own MTU is left as the driver has it, except for a PCI device, which needs it raised for jumbo
 * frames; virtual ones carry what their buffers hold (memif, ring) or what the kernel's interface takes.
 * memif needs more than an ethdev gives, and has its own file.
 */
#include "io/port_internal.h"

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
#include "io/interface.h"

#define QUEUE_DESCRIPTORS 1024u
#define XDP_QUEUE_TRIES   30u
#define XDP_QUEUE_WAIT_US 100000u
#define POOL_CACHE        256u
#define MBUFS_SMALL       8192u
#define MBUFS_JUMBO       4096u
#define FETCH_BYTES       1536u
#define MTU_MIN           576u
#define MTU_MIN_IPV6      1280u /* RFC 8200 section 5 */

const char *const cw_port_counter_names[CW_PORT_COUNTER_COUNT] = {CW_PORT_COUNTERS(CW_COUNTER_NAME)};

/* Opening. */

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
    if (cw_device_is_pci(port->config.device) && port->config.mtu > RTE_ETHER_MTU)
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

static bool is_connected(const struct cw_port *port)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
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

/* What others may read of the address's entry: its state, and who has it. */
static void publish_entry(struct cw_port *port)
{
    uint64_t word = (uint64_t)port->host.entry.state << 48;
    for (unsigned i = 0; i < 6; i++)
        word |= (uint64_t)port->host.entry.taken_by[i] << 8 * i;
    atomic_store_explicit(&port->entry, word, memory_order_relaxed); /* all of it is in this word */
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
    publish_entry(port);
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
    if (port->device != NULL && !is_released)
        (void)rte_dev_remove(port->device);
    rte_mempool_free(port->pool);
    cw_lanes_free(port->lanes);
    free(port);
}

bool cw_port_is_link_up(const struct cw_port *port)
{
    return is_connected(port);
}

uint32_t cw_port_datagram_bytes_max(const struct cw_port *port)
{
    return port->datagram_bytes_max;
}

/* Frames into the burst. */

/* Room for a frame, or NULL: nothing leaves now. */
static uint8_t *next_frame(struct cw_port *port)
{
    if (port->burst_count == CW_PORT_BURST)
        cw_port_flush(port);
    if (port->burst_count == CW_PORT_BURST)
        return NULL;
    if (port->next == NULL)
        port->next = rte_pktmbuf_alloc(port->pool);
    if (port->next == NULL) {
        cw_count(&port->counters[CW_PORT_TX_NO_BUFFER], 1);
        return NULL;
    }
    return rte_pktmbuf_mtod(port->next, uint8_t *);
}

static void commit_frame(struct cw_port *port, size_t length, uint64_t flags)
{
    struct rte_mbuf *frame = port->next;
    if (atomic_load_explicit(&port->is_transmit_cut, memory_order_relaxed)) {
        cw_count(&port->counters[CW_PORT_DROP_CUT], 1);
        return; /* the frame serves the next call */
    }
    frame->data_len = (uint16_t)length;
    frame->pkt_len = frame->data_len;
    frame->ol_flags = flags;
    if (flags != 0) {
        frame->l2_len = port->path.ip_at;
        frame->l3_len = (uint64_t)(port->path.udp_at - port->path.ip_at);
    }
    port->next = NULL;
    port->burst[port->burst_count++] = frame;
    port->committed++;
}

/* The neighbour. */

static void learn(struct cw_port *port)
{
    const uint8_t *mac = port->host.neighbour.mac;
    if (memcmp(port->path.addresses.remote_mac, mac, sizeof port->path.addresses.remote_mac) == 0)
        return;
    cw_count(&port->counters[CW_PORT_CHANGED], 1);
    cw_frame_path_set_remote_mac(&port->path, mac);
}

/* Writes and keeps what is due. Without room it counts as sent, and comes again. */
static void say(struct cw_port *port, size_t (*write)(struct cw_host *, uint8_t *, uint64_t),
                unsigned counter)
{
    uint8_t nowhere[CW_HOST_ASK_BYTES_MAX], *frame = next_frame(port);
    size_t length = write(&port->host, frame != NULL ? frame : nowhere, port->now_ns);
    if (frame == NULL || length == 0)
        return;
    cw_count(&port->counters[counter], 1);
    commit_frame(port, length, 0);
}

void cw_port_on_time(struct cw_port *port, uint64_t now_ns)
{
    uint8_t told[6];
    port->now_ns = now_ns;
    if (cw_port_is_gone(port))
        cw_port_let_go(port);
    cw_port_left_try(port);
    if (port->lanes != NULL)
        cw_port_share_hop(port);
    if (port->queue > 0)
        return;
    if (port->config.is_shared && cw_shared_next_hop(&port->shared, told)) {
        cw_neighbour_tell(&port->host.neighbour, told);
        learn(port);
    }
    if (now_ns < cw_host_deadline_ns(&port->host))
        return;
    say(port, cw_host_announce, CW_PORT_ANNOUNCED);
    say(port, cw_host_ask, CW_PORT_ASKED);
    publish_entry(port);
}

uint64_t cw_port_deadline_ns(const struct cw_port *port)
{
    return port->queue > 0 ? CW_NEVER : cw_host_deadline_ns(&port->host);
}

bool cw_port_too_big(struct cw_port *port, struct cw_host_too_big *told)
{
    if (!port->has_too_big)
        return port->lanes != NULL && cw_lanes_take_hint(port->lanes, port->queue, told);
    *told = port->host.too_big;
    port->has_too_big = false;
    return true;
}

void cw_port_too_big_believed(struct cw_port *port, const struct cw_host_too_big *told)
{
    struct cw_host_too_big believed = *told;
    believed.is_believed = true;
    for (uint32_t lane = 0; lane < cw_port_queues(port); lane++) {
        if (lane != port->queue)
            cw_lanes_hint(port->lanes, port->queue, lane, &believed);
    }
}

/* Receiving. */

bool cw_port_is_marked(const struct cw_port *port, const uint8_t *datagram)
{
    return cw_frame_is_marked(&port->path, datagram);
}

/* ARP, neighbour discovery and ICMP. Its answer waits in the burst; without room there it is not given. */
static void take_other(struct cw_port *port, const struct cw_frame_in *in)
{
    static const unsigned reason[CW_HOST_VERDICT_COUNT] = {
        [CW_HOST_NOT_OURS] = CW_PORT_DROP_NOT_OURS, [CW_HOST_MALFORMED] = CW_PORT_DROP_MALFORMED,
        [CW_HOST_ASKED] = CW_PORT_ANSWERED,         [CW_HOST_ECHOED] = CW_PORT_ECHOED,
        [CW_HOST_LIMITED] = CW_PORT_LIMITED,        [CW_HOST_LEARNT] = CW_PORT_LEARNT,
        [CW_HOST_TOO_BIG] = CW_PORT_TOO_BIG,        [CW_HOST_UNASKED] = CW_PORT_UNASKED,
        [CW_HOST_CONFLICT] = CW_PORT_CONFLICT,      [CW_HOST_QUERIED] = CW_PORT_QUERIED,
    };
    size_t length;
    uint8_t *room = next_frame(port);
    if (room == NULL) {
        cw_count(&port->counters[CW_PORT_LIMITED], 1);
        return;
    }
    enum cw_host_verdict verdict =
        cw_host_on_frame(&port->host, in, room, port->path.ip_at + port->config.mtu, &length, port->now_ns);
    cw_count(&port->counters[reason[verdict]], 1);
    if (length > 0)
        commit_frame(port, length, 0);
    if (verdict == CW_HOST_LEARNT)
        learn(port);
    if (verdict == CW_HOST_CONFLICT)
        publish_entry(port);
    if (verdict == CW_HOST_TOO_BIG && port->host.too_big.lane == port->queue)
        port->has_too_big = true;
    else if (verdict == CW_HOST_TOO_BIG)
        cw_lanes_hint(port->lanes, port->queue, port->host.too_big.lane, &port->host.too_big);
}

static void drop(struct cw_port *port, enum cw_frame_verdict verdict)
{
    static const unsigned reason[] = {
        [CW_FRAME_SHORT] = CW_PORT_DROP_SHORT,
        [CW_FRAME_NOT_OURS] = CW_PORT_DROP_NOT_OURS,
        [CW_FRAME_CHECKSUM] = CW_PORT_DROP_CHECKSUM,
        [CW_FRAME_FRAGMENTED] = CW_PORT_DROP_FRAGMENT,
    };
    CW_ASSERT(verdict != CW_FRAME_OK);
    cw_count(&port->counters[reason[verdict]], 1);
}

/* True when the frame was a datagram for us. */
static bool take_frame(struct cw_port *port, struct rte_mbuf **slot, void (*take)(void *, uint8_t *, size_t),
                       void *context)
{
    struct rte_mbuf *frame = *slot;
    uint8_t *payload;
    size_t length;
    if (frame->nb_segs > 1 && rte_pktmbuf_linearize(frame) != 0) {
        cw_count(&port->counters[CW_PORT_DROP_LONG], 1);
        return false;
    }
    struct cw_frame_in in = {.bytes = rte_pktmbuf_mtod(frame, uint8_t *),
                             .length = rte_pktmbuf_data_len(frame),
                             .is_tag_taken = (frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0,
                             .tag = frame->vlan_tci,
                             .is_sum_good = (frame->ol_flags & port->sum_good_flag) != 0};
    enum cw_frame_verdict verdict = cw_frame_check(&port->path, &in, &payload, &length);
    if (atomic_load_explicit(&port->is_receive_cut, memory_order_relaxed)) {
        cw_count(&port->counters[CW_PORT_DROP_CUT], 1);
        return false;
    }
    if (port->lanes != NULL && cw_port_pass(port, slot, verdict, payload, length))
        return false;
    if (verdict != CW_FRAME_OK) {
        if (verdict == CW_FRAME_NOT_OURS)
            take_other(port, &in);
        else
            drop(port, verdict);
        if (verdict == CW_FRAME_CHECKSUM && (frame->ol_flags & port->sum_doubted_flag) != 0)
            cw_count(&port->counters[CW_PORT_SUM_LIED], 1);
        return false;
    }
    take(context, payload, length);
    return true;
}

static uint16_t receive_burst(struct cw_port *port, struct rte_mbuf **frames, uint16_t frames_max)
{
    if (cw_port_has_let_go(port))
        return 0;
    if (!port->is_memif)
        return rte_eth_rx_burst(port->id, port->queue, frames, frames_max);
    if (!cw_guard_enter(&port->guard))
        return 0;
    uint16_t count = rte_eth_rx_burst(port->id, port->queue, frames, frames_max);
    cw_guard_leave(&port->guard);
    return count;
}

/* What other lanes' queues have received for this one. */
static uint32_t receive_passed(struct cw_port *port, void (*take)(void *, uint8_t *, size_t), void *context)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t taken = 0;
    uint32_t count = cw_lanes_take(port->lanes, port->queue, (void **)frames, CW_PORT_BURST);
    for (uint32_t i = 0; i < count; i++)
        taken += take_frame(port, &frames[i], take, context);
    rte_pktmbuf_free_bulk(frames, count);
    return taken;
}

/* Into the nearest cache, while the frame before is being looked at: what one of usual size has, and of a
 * jumbo the beginning. */
static void fetch(const struct rte_mbuf *frame)
{
    const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
    uint32_t length = CW_MIN(rte_pktmbuf_data_len(frame), FETCH_BYTES);
    for (uint32_t at = 0; at < length; at += 64)
        __builtin_prefetch(bytes + at, 1);
}

uint32_t cw_port_receive(struct cw_port *port, void (*take)(void *context, uint8_t *datagram, size_t length),
                         void *context)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t taken = port->lanes != NULL ? receive_passed(port, take, context) : 0;
    uint64_t bytes = 0;
    uint16_t count = receive_burst(port, frames, CW_PORT_BURST);
    if (count == 0)
        return taken;
    for (uint16_t i = 0; i < count; i++) {
        if (i + 1 < count)
            fetch(frames[i + 1]);
        bytes += rte_pktmbuf_pkt_len(frames[i]);
        taken += take_frame(port, &frames[i], take, context);
    }
    rte_pktmbuf_free_bulk(frames, count);
    cw_count(&port->counters[CW_PORT_RX_PACKETS], count);
    cw_count(&port->counters[CW_PORT_RX_BYTES], bytes);
    return taken;
}

/* Sending. */

uint8_t *cw_port_transmit_next(struct cw_port *port)
{
    if (!cw_port_may_send(port))
        return NULL;
    uint8_t *frame = next_frame(port);
    return frame == NULL ? NULL : frame + port->path.header_bytes;
}

void cw_port_commit_by(struct cw_port *port, const struct cw_frame_path *path, size_t length)
{
    CW_ASSERT(port->next != NULL);
    CW_ASSERT(length <= port->datagram_bytes_max);
    cw_frame_finish(path, rte_pktmbuf_mtod(port->next, uint8_t *), length);
    commit_frame(port, path->header_bytes + length, port->transmit_flags);
}

void cw_port_transmit_commit(struct cw_port *port, size_t length)
{
    cw_port_commit_by(port, &port->path, length);
}

void cw_port_transmit_abandon(struct cw_port *port)
{
    CW_ASSERT(port->next != NULL); /* kept for the next call */
}

static uint16_t transmit_burst(struct cw_port *port, struct rte_mbuf **frames, uint16_t count)
{
    if (cw_port_has_let_go(port))
        return 0;
    if (!port->is_memif)
        return rte_eth_tx_burst(port->id, port->queue, frames, count);
    if (!cw_guard_enter(&port->guard))
        return 0;
    uint16_t sent = rte_eth_tx_burst(port->id, port->queue, frames, count);
    cw_guard_leave(&port->guard);
    return sent;
}

/* Drivers that compute checksums want to see frames before. One that they refuse would stand in the way for
 * ever. */
static uint16_t prepare_burst(struct cw_port *port)
{
    uint16_t count = (uint16_t)port->burst_count;
    if (port->transmit_flags == 0 || cw_port_has_let_go(port))
        return count;
    uint16_t ready = rte_eth_tx_prepare(port->id, 0, port->burst, count);
    if (ready > 0)
        return ready;
    rte_pktmbuf_free(port->burst[0]);
    memmove(port->burst, port->burst + 1, --port->burst_count * sizeof port->burst[0]);
    port->refused_at = cw_port_handed(port);
    cw_count(&port->counters[CW_PORT_TX_REFUSED], 1);
    return 0;
}

void cw_port_flush(struct cw_port *port)
{
    if (port->burst_count == 0)
        return;
    uint64_t lengths[CW_PORT_BURST]; /* read before: a sent frame is the driver's */
    for (uint32_t i = 0; i < port->burst_count; i++)
        lengths[i] = port->burst[i]->pkt_len;
    uint16_t ready = prepare_burst(port);
    uint16_t sent = ready > 0 ? transmit_burst(port, port->burst, ready) : 0;
    uint64_t bytes = 0;
    for (uint16_t i = 0; i < sent; i++)
        bytes += lengths[i];
    cw_count(&port->counters[CW_PORT_TX_PACKETS], sent);
    cw_count(&port->counters[CW_PORT_TX_BYTES], bytes);
    port->burst_count -= sent;
    if (port->burst_count == 0)
        return;
    cw_count(&port->counters[CW_PORT_TX_FULL], 1);
    memmove(port->burst, port->burst + sent, port->burst_count * sizeof port->burst[0]);
}

/* Frames as they are. */

uint32_t cw_port_receive_frames(struct cw_port *port, struct rte_mbuf **frames, uint32_t frames_max)
{
    return receive_burst(port, frames, (uint16_t)CW_MIN(frames_max, CW_PORT_BURST));
}

uint32_t cw_port_transmit_frames(struct cw_port *port, struct rte_mbuf **frames, uint32_t count)
{
    return transmit_burst(port, frames, (uint16_t)CW_MIN(count, CW_PORT_BURST));
}

void cw_port_cut_set(struct cw_port *port, bool receive, bool transmit)
{
    atomic_store_explicit(&port->is_receive_cut, receive, memory_order_relaxed);
    atomic_store_explicit(&port->is_transmit_cut, transmit, memory_order_relaxed);
    for (uint32_t lane = 1; port->queue == 0 && lane < cw_port_queues(port); lane++)
        cw_port_cut_set(port->others[lane], receive, transmit);
}

uint64_t cw_port_counter(struct cw_port *port, unsigned which)
{
    CW_ASSERT(which < CW_PORT_COUNTER_COUNT);
    return cw_counter_read(&port->counters[which]);
}

/* How it stands with the address, where that is not settled. */
static void describe_entry(struct cw_port *port, char *text, size_t size)
{
    uint64_t word = atomic_load_explicit(&port->entry, memory_order_relaxed);
    char ip[CW_INTERFACE_IP_SIZE];
    uint8_t by[6];
    text[0] = 0;
    if (word >> 48 == CW_HOST_ADDRESS_USED)
        return;
    for (unsigned i = 0; i < 6; i++)
        by[i] = (uint8_t)(word >> 8 * i);
    (void)cw_interface_ip_text(&port->config.local_ip, ip);
    if (word >> 48 == CW_HOST_ADDRESS_PROBED)
        snprintf(text, size, ": whether another host has %s is being asked", ip);
    else
        snprintf(text, size,
                 ": another host (%02x:%02x:%02x:%02x:%02x:%02x) has %s, so nothing is sent; one of the two "
                 "has to change",
                 by[0], by[1], by[2], by[3], by[4], by[5], ip);
}

void cw_port_describe(struct cw_port *port, char *text, size_t size)
{
    static const char *const sums[4] = {"checksums by software", "checksums sent by the device",
                                        "checksums received by the device", "checksums by the device"};
    char more[192] = "", spread[48] = "";
    struct rte_eth_dev_info info;
    if (cw_port_gone_describe(port, text, size))
        return;
    pthread_mutex_lock(&port->describing);
    describe_entry(port, more, sizeof more);
    if (port->config.is_shared) {
        int head = snprintf(more, sizeof more, ", shared with the kernel: ");
        cw_shared_describe(&port->shared, more + head, sizeof more - (size_t)head);
    }
    if (port->is_memif && !is_connected(port))
        snprintf(more, sizeof more, "%s",
                 ", its link is down: nobody is at the other end, or who is there has another number of net "
                 "lcores (lcores.net)");
    const char *driver = rte_eth_dev_info_get(port->id, &info) == 0 ? info.driver_name : "";
    if (port->is_spread || cw_port_queues(port) > 1)
        snprintf(spread, sizeof spread, ", %u queue%s%s", cw_port_queues(port),
                 cw_port_queues(port) > 1 ? "s" : "", port->is_spread ? ", RSS by UDP ports" : "");
    unsigned which = (port->transmit_flags != 0 ? 1u : 0u) +
                     ((port->sum_good_flag | port->sum_doubted_flag) != 0 ? 2u : 0u);
    snprintf(text, size, "%s, %s%s%s", driver, sums[which], spread, more);
    pthread_mutex_unlock(&port->describing);
}
