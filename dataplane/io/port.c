/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One ethdev port, one queue each way, as a carrier of datagrams; or several queues, one a lane, each of
 * which is a struct cw_port of its own. The first one does what is of the address. How a device becomes a
 * port, and stops being one, is in port_open.c.
 *
 * Sent frames wait in `burst` until flush; what the device does not take stays in front for the next flush,
 * so order is kept and nothing spins. A port whose device takes nothing (no peer) keeps at most one burst and
 * then has no room: the session above sees a path that carries nothing.
 */
#include "io/port_internal.h"

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/interface.h"

#define FETCH_BYTES 1536u

const char *const cw_port_counter_names[CW_PORT_COUNTER_COUNT] = {CW_PORT_COUNTERS(CW_COUNTER_NAME)};

bool cw_port_is_link_up(const struct cw_port *port)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
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

/* What others may read of the address's entry: its state, and who has it. */
void cw_port_entry_publish(struct cw_port *port)
{
    uint64_t word = (uint64_t)port->host.entry.state << 48;
    for (unsigned i = 0; i < 6; i++)
        word |= (uint64_t)port->host.entry.taken_by[i] << 8 * i;
    atomic_store_explicit(&port->entry, word, memory_order_relaxed); /* all of it is in this word */
}

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
    cw_port_entry_publish(port);
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
        cw_port_entry_publish(port);
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
    if (port->is_memif && !cw_port_is_link_up(port))
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
