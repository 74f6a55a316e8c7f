/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Echo of a host that runs nothing of ours. The port's frames are taken as they are meanwhile, since it has no use for
 * answers to echo; what is of its address still goes to its host part.
 */
#include "io/check/check.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame_format.h"
#include "io/port_internal.h"

#define EVERY_NS   (10 * CW_MS)
#define LATE_NS    CW_SECOND
#define TURNS      200u
#define ECHO_BYTES 64u /* ICMP header, number, time, and zeros */
#define COUNT_MAX  (CW_CHECK_SECONDS_MAX * (CW_SECOND / EVERY_NS))

enum { AT_TYPE = 0, AT_CHECKSUM = 2, AT_ID = 4, AT_NUMBER = 6, AT_SENT = 8 };
enum { V4_REQUEST = 8, V4_REPLY = 0, V6_REQUEST = 128, V6_REPLY = 129 };

struct ping {
    struct cw_port *port;
    struct cw_ip whom;
    uint16_t id;
    uint64_t sent, count;
    bool is_answered[COUNT_MAX]; /* one may come twice */
    uint64_t samples[COUNT_MAX];
};

static uint16_t checksum_of(const struct ping *ping, const uint8_t *icmp, size_t length)
{
    const struct cw_frame_addresses *addresses = &ping->port->path.addresses;
    uint64_t sum = cw_checksum_sum(icmp, length);
    if (ping->whom.version == 6)
        sum += cw_checksum_sum(addresses->local_ip.bytes, 16) +
               (uint64_t)cw_checksum_sum(ping->whom.bytes, 16) + CW_PROTOCOL_ICMPV6 + length;
    return cw_checksum_fold(sum);
}

static size_t write_ip(const struct ping *ping, uint8_t *ip)
{
    const uint8_t *own = ping->port->path.addresses.local_ip.bytes;
    if (ping->whom.version == 6) {
        memset(ip, 0, CW_FRAME_IP6_BYTES);
        ip[0] = CW_VERSION_6 << 4;
        cw_store16be(ip + CW_V6_LENGTH, ECHO_BYTES);
        ip[CW_V6_NEXT] = CW_PROTOCOL_ICMPV6;
        ip[CW_V6_HOPS] = CW_TTL;
        memcpy(ip + CW_V6_SOURCE, own, 16);
        memcpy(ip + CW_V6_TARGET, ping->whom.bytes, 16);
        return CW_FRAME_IP6_BYTES;
    }
    memset(ip, 0, CW_FRAME_IP4_BYTES);
    ip[0] = CW_VERSION_4_IHL_5;
    cw_store16be(ip + CW_V4_LENGTH, CW_FRAME_IP4_BYTES + ECHO_BYTES);
    cw_store16be(ip + CW_V4_FRAGMENT, CW_FLAG_DF);
    ip[CW_V4_TTL] = CW_TTL;
    ip[CW_V4_PROTOCOL] = CW_PROTOCOL_ICMP;
    memcpy(ip + CW_V4_SOURCE, own, 4);
    memcpy(ip + CW_V4_TARGET, ping->whom.bytes, 4);
    cw_store16be(ip + CW_V4_CHECKSUM, (uint16_t)~cw_checksum_fold(cw_checksum_sum(ip, CW_FRAME_IP4_BYTES)));
    return CW_FRAME_IP4_BYTES;
}

static void write_echo(const struct ping *ping, uint8_t *icmp, uint64_t now_ns)
{
    memset(icmp, 0, ECHO_BYTES);
    icmp[AT_TYPE] = ping->whom.version == 6 ? V6_REQUEST : V4_REQUEST;
    cw_store16be(icmp + AT_ID, ping->id);
    cw_store16be(icmp + AT_NUMBER, (uint16_t)ping->sent);
    cw_store64le(icmp + AT_SENT, now_ns);
    cw_store16be(icmp + AT_CHECKSUM, (uint16_t)~checksum_of(ping, icmp, ECHO_BYTES));
}

/* True: the driver has it. */
static bool send_frame(struct cw_port *port, struct rte_mbuf *frame, size_t length)
{
    frame->data_len = (uint16_t)length;
    frame->pkt_len = (uint32_t)length;
    if (cw_port_transmit_frames(port, &frame, 1) == 1)
        return true;
    rte_pktmbuf_free(frame);
    return false;
}

static void send_echo(struct ping *ping, uint64_t now_ns)
{
    const struct cw_frame_addresses *addresses = &ping->port->path.addresses;
    struct rte_mbuf *frame = rte_pktmbuf_alloc(ping->port->pool);
    if (frame == NULL)
        return;
    uint8_t *bytes = rte_pktmbuf_mtod(frame, uint8_t *);
    size_t at = cw_frame_write_link(bytes, addresses->remote_mac, addresses->local_mac, addresses->vlan,
                                    ping->whom.version == 6 ? CW_ETHERTYPE_IPV6 : CW_ETHERTYPE_IPV4);
    at += write_ip(ping, bytes + at);
    write_echo(ping, bytes + at, now_ns);
    ping->sent += send_frame(ping->port, frame, at + ECHO_BYTES);
}

/* The ICMP of an answer to us, or NULL. */
static const uint8_t *find_reply(const struct ping *ping, const struct cw_frame_in *in)
{
    const struct cw_frame_addresses *addresses = &ping->port->path.addresses;
    bool is_v6 = ping->whom.version == 6;
    size_t header = is_v6 ? CW_FRAME_IP6_BYTES : CW_FRAME_IP4_BYTES, size = cw_ip_size(&ping->whom);
    struct cw_frame_inner inner;
    if (cw_frame_check_link(addresses->vlan, in, &inner) != CW_FRAME_OK ||
        inner.type != (is_v6 ? CW_ETHERTYPE_IPV6 : CW_ETHERTYPE_IPV4) || inner.length < header + ECHO_BYTES)
        return NULL;
    const uint8_t *ip = inner.bytes, *icmp = ip + header;
    bool is_icmp = is_v6 ? ip[0] >> 4 == CW_VERSION_6 && ip[CW_V6_NEXT] == CW_PROTOCOL_ICMPV6
                         : ip[0] == CW_VERSION_4_IHL_5 && ip[CW_V4_PROTOCOL] == CW_PROTOCOL_ICMP;
    if (!is_icmp || memcmp(ip + (is_v6 ? CW_V6_SOURCE : CW_V4_SOURCE), ping->whom.bytes, size) != 0 ||
        memcmp(ip + (is_v6 ? CW_V6_TARGET : CW_V4_TARGET), addresses->local_ip.bytes, size) != 0 ||
        icmp[AT_TYPE] != (is_v6 ? V6_REPLY : V4_REPLY) || cw_load16be(icmp + AT_ID) != ping->id ||
        checksum_of(ping, icmp, ECHO_BYTES) != 0xffff)
        return NULL;
    return icmp;
}

static void take_frame(struct ping *ping, struct rte_mbuf *frame, uint64_t now_ns)
{
    struct cw_frame_in in = {.bytes = rte_pktmbuf_mtod(frame, uint8_t *),
                             .length = rte_pktmbuf_data_len(frame),
                             .is_tag_taken = (frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0,
                             .tag = frame->vlan_tci};
    const uint8_t *icmp = find_reply(ping, &in);
    if (icmp != NULL) {
        uint16_t number = cw_load16be(icmp + AT_NUMBER);
        uint64_t sent_ns = cw_load64le(icmp + AT_SENT);
        if (number >= ping->sent || ping->is_answered[number] || sent_ns > now_ns)
            return;
        ping->is_answered[number] = true;
        ping->samples[ping->count++] = now_ns - sent_ns;
        return;
    }
    struct rte_mbuf *answer = rte_pktmbuf_alloc(ping->port->pool);
    size_t length = 0;
    if (answer == NULL)
        return;
    (void)cw_host_on_frame(&ping->port->host, &in, rte_pktmbuf_mtod(answer, uint8_t *),
                           ping->port->path.ip_at + ping->port->config.mtu, &length, now_ns);
    if (length > 0)
        (void)send_frame(ping->port, answer, length);
    else
        rte_pktmbuf_free(answer);
}

/* The next hop is asked for again when that is due. */
static void ask_next_hop(struct ping *ping, uint64_t now_ns)
{
    if (now_ns < cw_host_deadline_ns(&ping->port->host))
        return;
    struct rte_mbuf *frame = rte_pktmbuf_alloc(ping->port->pool);
    if (frame == NULL)
        return;
    size_t length = cw_host_ask(&ping->port->host, rte_pktmbuf_mtod(frame, uint8_t *), now_ns);
    if (length > 0)
        (void)send_frame(ping->port, frame, length);
    else
        rte_pktmbuf_free(frame);
}

static uint32_t turn(struct ping *ping)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint64_t now_ns = cw_check_now_ns();
    uint32_t taken = 0;
    ask_next_hop(ping, now_ns);
    for (uint32_t i = 0; i < cw_port_queues(ping->port); i++) {
        uint32_t count = cw_port_receive_frames(cw_port_lane(ping->port, i), frames, CW_PORT_BURST);
        for (uint32_t j = 0; j < count; j++)
            take_frame(ping, frames[j], now_ns);
        rte_pktmbuf_free_bulk(frames, count);
        taken += count;
    }
    return taken;
}

void cw_check_ping(struct cw_port *port, const struct cw_ip *whom, uint32_t milliseconds,
                   const volatile sig_atomic_t *must_stop, struct cw_check_echo *echo)
{
    static struct ping ping;
    ping = (struct ping){.port = port, .whom = *whom, .id = (uint16_t)(getpid() + whom->bytes[3])};
    uint64_t start_ns = cw_check_now_ns(), busy_ns = start_ns, last_ns = start_ns, turns = 0;
    uint64_t wanted = CW_MAX(milliseconds * CW_MS / EVERY_NS, 1);
    *echo = (struct cw_check_echo){.is_tried = true};
    (void)inet_ntop(whom->version == 6 ? AF_INET6 : AF_INET, whom->bytes, echo->address,
                    sizeof echo->address);
    for (uint64_t now_ns = start_ns; *must_stop == 0; now_ns = cw_check_now_ns(), turns++) {
        bool is_due = ping.sent < wanted && now_ns - start_ns >= ping.sent * EVERY_NS;
        if (is_due) {
            send_echo(&ping, now_ns);
            last_ns = now_ns;
            turns = 0;
        }
        if (turn(&ping) > 0)
            busy_ns = now_ns;
        else
            cw_check_idle(now_ns - busy_ns);
        bool is_late = now_ns - last_ns > LATE_NS && turns > TURNS;
        if (ping.sent >= wanted && (ping.count == ping.sent || is_late))
            break;
        if (ping.sent < wanted && now_ns - start_ns > milliseconds * CW_MS + LATE_NS && turns > TURNS)
            break; /* the driver takes nothing */
    }
    echo->sent = ping.sent;
    echo->answered = ping.count;
    echo->round_trip = cw_check_percentiles(ping.samples, ping.count);
}
