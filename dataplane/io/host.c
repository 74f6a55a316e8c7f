/* SPDX-License-Identifier: BSD-3-Clause */
/* See host.h. Fields are read by offset, as in frame.c. */
#include "io/host.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/checksum.h"
#include "io/frame_format.h"
#include "io/host_internal.h"

/* ARP for IPv4 over Ethernet. */
enum { ARP_HEAD = 0, ARP_OPERATION = 6, ARP_SENDER_MAC = 8, ARP_SENDER_IP = 14, ARP_TARGET_MAC = 18 };
enum { ARP_TARGET_IP = 24, ARP_BYTES = 28 };
#define ARP_ETHERNET_IPV4 0x0001080006040000ull /* with operation 0 */
#define ARP_REQUEST       1u
#define ARP_REPLY         2u

static_assert(CW_HOST_ASK_BYTES_MAX >= CW_FRAME_LINK_BYTES_MAX + CW_FRAME_IP6_BYTES + ND_BYTES,
              "any question");

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
const uint8_t cw_host_all_nodes[16] = {[0] = 0xff, [1] = 0x02, [15] = 1};

/* What stands for one frame in the functions below. */
struct reply {
    uint8_t *frame;
    size_t room, length;
};

void cw_host_init(struct cw_host *host, const struct cw_host_config *config)
{
    CW_ASSERT(config->ip.version == config->next_hop.version);
    *host = (struct cw_host){.config = *config, .entry = {.due_ns = CW_NEVER, .report_due_ns = CW_NEVER}};
    if (config->is_kernel_s)
        cw_neighbour_init_told(&host->neighbour);
    else
        cw_neighbour_init(&host->neighbour, config->next_hop_mac);
}

bool cw_host_is_unicast(const uint8_t mac[6])
{
    static const uint8_t none[6];
    return (mac[0] & 1) == 0 && memcmp(mac, none, sizeof none) != 0;
}

/* Each answer fills a bucket that runs empty at the allowed rate. */
static bool is_allowed(struct cw_host_limit *limit, uint64_t now_ns)
{
    const uint64_t each_ns = CW_SECOND / CW_HOST_ANSWERS_PER_SECOND;
    uint64_t from_ns = CW_MAX(limit->full_ns, now_ns);
    if (from_ns - now_ns > each_ns * (CW_HOST_ANSWERS_AT_ONCE - 1))
        return false;
    limit->full_ns = from_ns + each_ns;
    return true;
}

size_t cw_host_write_link(const struct cw_host *host, uint8_t *frame, const uint8_t to[6], uint16_t type)
{
    return cw_frame_write_link(frame, to, host->config.mac, host->config.vlan, type);
}

/* ---------------------------------------------------------------- ARP */

static size_t write_arp(const struct cw_host *host, uint8_t *frame, const uint8_t to[6], uint16_t operation,
                        const uint8_t target_mac[6], const uint8_t *target_ip)
{
    size_t at = cw_host_write_link(host, frame, to, CW_ETHERTYPE_ARP);
    uint8_t *arp = frame + at;
    cw_store64be(arp + ARP_HEAD, ARP_ETHERNET_IPV4 | operation);
    memcpy(arp + ARP_SENDER_MAC, host->config.mac, 6);
    memcpy(arp + ARP_SENDER_IP, host->config.ip.bytes, 4);
    memcpy(arp + ARP_TARGET_MAC, target_mac, 6);
    memcpy(arp + ARP_TARGET_IP, target_ip, 4);
    return at + ARP_BYTES;
}

/* The next hop was named as the sender, to us or to all. */
static enum cw_host_verdict on_claim(struct cw_host *host, const uint8_t mac[6], bool is_answer,
                                     uint64_t now_ns)
{
    if (is_answer && cw_neighbour_on_answer(&host->neighbour, mac, now_ns))
        return CW_HOST_LEARNT;
    cw_neighbour_on_hint(&host->neighbour, mac, now_ns);
    return CW_HOST_UNASKED;
}

static enum cw_host_verdict on_arp(struct cw_host *host, const struct cw_frame_inner *inner,
                                   struct reply *reply, uint64_t now_ns)
{
    const struct cw_host_config *config = &host->config;
    const uint8_t *arp = inner->bytes;
    if (inner->length < ARP_BYTES || cw_load64be(arp) >> 16 != ARP_ETHERNET_IPV4 >> 16)
        return CW_HOST_MALFORMED;
    uint16_t operation = cw_load16be(arp + ARP_OPERATION);
    const uint8_t *sender_mac = arp + ARP_SENDER_MAC, *sender_ip = arp + ARP_SENDER_IP;
    if (!cw_host_is_unicast(sender_mac) || operation < ARP_REQUEST || operation > ARP_REPLY)
        return CW_HOST_MALFORMED;
    if (memcmp(sender_ip, config->ip.bytes, 4) == 0)
        return memcmp(sender_mac, config->mac, 6) == 0 ? CW_HOST_NOT_OURS : CW_HOST_CONFLICT;
    bool is_to_us = memcmp(arp + ARP_TARGET_IP, config->ip.bytes, 4) == 0;
    bool is_next_hop = memcmp(sender_ip, config->next_hop.bytes, 4) == 0;
    if (operation == ARP_REPLY)
        is_to_us = is_to_us && memcmp(arp + ARP_TARGET_MAC, config->mac, 6) == 0;
    if (operation == ARP_REPLY || !is_to_us)
        return is_next_hop ? on_claim(host, sender_mac, is_to_us, now_ns) : CW_HOST_NOT_OURS;
    if (is_next_hop)
        cw_neighbour_on_hint(&host->neighbour, sender_mac, now_ns);
    if (!is_allowed(&host->answers, now_ns))
        return CW_HOST_LIMITED;
    reply->length = write_arp(host, reply->frame, sender_mac, ARP_REPLY, sender_mac, sender_ip);
    return CW_HOST_ASKED;
}

/* ---------------------------------------------------------------- too big */

/* The quotation begins with the IP header of a datagram that we sent; udp_at is the length of that header. */
static enum cw_host_verdict on_too_big(struct cw_host *host, const uint8_t *quoted, size_t length,
                                       size_t udp_at, uint32_t mtu)
{
    const struct cw_host_config *config = &host->config;
    bool is_v6 = config->ip.version == 6;
    const uint8_t *udp = quoted + udp_at;
    if (length < udp_at + CW_FRAME_UDP_BYTES + CW_HOST_QUOTED_BYTES || mtu <= udp_at + CW_FRAME_UDP_BYTES)
        return CW_HOST_MALFORMED;
    if ((is_v6 ? quoted[0] >> 4 != CW_VERSION_6 : quoted[0] != CW_VERSION_4_IHL_5) ||
        quoted[is_v6 ? CW_V6_NEXT : CW_V4_PROTOCOL] != CW_PROTOCOL_UDP ||
        memcmp(quoted + (is_v6 ? CW_V6_SOURCE : CW_V4_SOURCE), config->ip.bytes, cw_ip_size(&config->ip)) !=
            0 ||
        memcmp(quoted + (is_v6 ? CW_V6_TARGET : CW_V4_TARGET), config->remote_ip.bytes,
               cw_ip_size(&config->ip)) != 0 ||
        cw_load16be(udp + CW_UDP_TARGET) != config->remote_udp)
        return CW_HOST_NOT_OURS;
    uint16_t lane = (uint16_t)(cw_load16be(udp + CW_UDP_SOURCE) - config->local_udp);
    if (lane >= CW_MAX(config->lane_count, 1))
        return CW_HOST_NOT_OURS;
    host->too_big.lane = (uint8_t)lane;
    host->too_big.datagram_bytes = mtu - (uint32_t)udp_at - CW_FRAME_UDP_BYTES;
    memcpy(host->too_big.quoted, udp + CW_FRAME_UDP_BYTES, CW_HOST_QUOTED_BYTES);
    return CW_HOST_TOO_BIG;
}

/* ---------------------------------------------------------------- IPv6 */

uint8_t *cw_host_write_v6(const struct cw_host *host, uint8_t *frame, size_t at, const uint8_t *to,
                          uint8_t hops, size_t length)
{
    uint8_t *ip = frame + at;
    memset(ip, 0, CW_FRAME_IP6_BYTES);
    ip[0] = CW_VERSION_6 << 4;
    cw_store16be(ip + CW_V6_LENGTH, (uint16_t)length);
    ip[CW_V6_NEXT] = CW_PROTOCOL_ICMPV6;
    ip[CW_V6_HOPS] = hops;
    memcpy(ip + CW_V6_SOURCE, host->config.ip.bytes, 16);
    memcpy(ip + CW_V6_TARGET, to, 16);
    return ip;
}

uint16_t cw_host_sum_icmpv6(const uint8_t *ip, const uint8_t *icmp, size_t length)
{
    uint64_t sum = cw_checksum_sum(ip + CW_V6_SOURCE, 32);
    sum += cw_checksum_sum(icmp, length);
    return cw_checksum_fold(sum + length + CW_PROTOCOL_ICMPV6);
}

void cw_host_finish_icmpv6(uint8_t *ip, uint8_t *icmp, size_t length)
{
    cw_store16be(icmp + ICMP_CHECKSUM, 0);
    cw_store16be(icmp + ICMP_CHECKSUM, (uint16_t)~cw_host_sum_icmpv6(ip, icmp, length));
}

void cw_host_solicited_group(const uint8_t ip[16], uint8_t group[16], uint8_t mac[6])
{
    static const uint8_t head[13] = {[0] = 0xff, [1] = 0x02, [11] = 1, [12] = 0xff};
    memcpy(group, head, sizeof head);
    memcpy(group + sizeof head, ip + sizeof head, 3);
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, group + 12, 4);
}

/* A question or an answer, with our link address as its option. */
static size_t write_nd(const struct cw_host *host, uint8_t *frame, const uint8_t to_mac[6], const uint8_t *to,
                       uint8_t type, uint8_t flags, const uint8_t *target)
{
    size_t at = cw_host_write_link(host, frame, to_mac, CW_ETHERTYPE_IPV6);
    uint8_t *ip = cw_host_write_v6(host, frame, at, to, ND_HOPS, ND_BYTES), *nd = ip + CW_FRAME_IP6_BYTES;
    memset(nd, 0, ND_BYTES);
    nd[ICMP_TYPE] = type;
    nd[ND_FLAGS] = flags;
    memcpy(nd + ND_TARGET, target, 16);
    nd[ND_OPTIONS] = type == ND_SOLICITATION ? ND_SOURCE_LINK : ND_TARGET_LINK;
    nd[ND_OPTIONS + 1] = 1;
    memcpy(nd + ND_OPTIONS + 2, host->config.mac, 6);
    cw_host_finish_icmpv6(ip, nd, ND_BYTES);
    return at + CW_FRAME_IP6_BYTES + ND_BYTES;
}

/* Finds the link address of this kind; *mac is NULL when there is none. False: options that do not fit. */
static bool find_link_option(const uint8_t *nd, size_t length, uint8_t kind, const uint8_t **mac)
{
    *mac = NULL;
    for (size_t at = ND_OPTIONS; at < length; at += nd[at + 1] * ND_OPTION_UNIT) {
        if (length - at < ND_OPTION_UNIT || nd[at + 1] == 0 || nd[at + 1] * ND_OPTION_UNIT > length - at)
            return false;
        if (nd[at] == kind && *mac == NULL)
            *mac = nd + at + 2;
    }
    return *mac == NULL || cw_host_is_unicast(*mac);
}

static bool is_zero(const uint8_t ip[16])
{
    static const uint8_t none[16];
    return memcmp(ip, none, sizeof none) == 0;
}

static enum cw_host_verdict on_solicitation(struct cw_host *host, const uint8_t *ip, size_t length,
                                            const uint8_t from[6], struct reply *reply, uint64_t now_ns)
{
    static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    const uint8_t *nd = ip + CW_FRAME_IP6_BYTES, *source = ip + CW_V6_SOURCE, *mac;
    bool is_probe = is_zero(source); /* somebody wants our address: all are told that it is taken */
    if (!find_link_option(nd, length, ND_SOURCE_LINK, &mac) || (is_probe && mac != NULL))
        return CW_HOST_MALFORMED;
    if (memcmp(nd + ND_TARGET, host->config.ip.bytes, 16) != 0)
        return CW_HOST_NOT_OURS;
    if (!cw_host_has_address(host)) {
        if (!is_probe || memcmp(from, host->config.mac, 6) == 0)
            return CW_HOST_NOT_OURS; /* not yet ours to answer for */
        cw_host_on_taken(host, from, now_ns);
        return CW_HOST_CONFLICT;
    }
    if (memcmp(source, host->config.ip.bytes, 16) == 0)
        return memcmp(from, host->config.mac, 6) == 0 ? CW_HOST_NOT_OURS : CW_HOST_CONFLICT;
    if (source[0] == 0xff)
        return CW_HOST_MALFORMED;
    if (mac != NULL && memcmp(source, host->config.next_hop.bytes, 16) == 0)
        cw_neighbour_on_hint(&host->neighbour, mac, now_ns);
    if (!is_allowed(&host->answers, now_ns))
        return CW_HOST_LIMITED;
    if (is_probe)
        reply->length = write_nd(host, reply->frame, all_nodes_mac, cw_host_all_nodes, ND_ADVERTISEMENT,
                                 ND_OVERRIDE, host->config.ip.bytes);
    else
        reply->length = write_nd(host, reply->frame, mac != NULL ? mac : from, source, ND_ADVERTISEMENT,
                                 ND_SOLICITED | ND_OVERRIDE, host->config.ip.bytes);
    return CW_HOST_ASKED;
}

/* One without a link address confirms the one that was asked. */
static enum cw_host_verdict on_advertisement(struct cw_host *host, const uint8_t *ip, size_t length,
                                             uint64_t now_ns)
{
    const uint8_t *nd = ip + CW_FRAME_IP6_BYTES, *mac;
    bool is_solicited = (nd[ND_FLAGS] & ND_SOLICITED) != 0;
    bool is_to_us = memcmp(ip + CW_V6_TARGET, host->config.ip.bytes, 16) == 0;
    if (!find_link_option(nd, length, ND_TARGET_LINK, &mac) || (is_solicited && ip[CW_V6_TARGET] == 0xff))
        return CW_HOST_MALFORMED;
    if (memcmp(nd + ND_TARGET, host->config.ip.bytes, 16) == 0) {
        if (mac != NULL && memcmp(mac, host->config.mac, 6) == 0)
            return CW_HOST_NOT_OURS;
        cw_host_on_taken(host, mac, now_ns);
        return CW_HOST_CONFLICT;
    }
    if (memcmp(nd + ND_TARGET, host->config.next_hop.bytes, 16) != 0)
        return CW_HOST_NOT_OURS;
    if (mac == NULL && host->neighbour.state == CW_NEIGHBOUR_CHECKED)
        mac = host->neighbour.mac;
    return mac != NULL ? on_claim(host, mac, is_solicited && is_to_us, now_ns) : CW_HOST_UNASKED;
}

static enum cw_host_verdict echo_v6(struct cw_host *host, const uint8_t *ip, size_t length,
                                    const uint8_t from[6], struct reply *reply, uint64_t now_ns)
{
    size_t link = host->config.vlan != 0 ? CW_FRAME_LINK_BYTES_MAX : CW_FRAME_ETHER_BYTES;
    const uint8_t *source = ip + CW_V6_SOURCE;
    if (length < ICMP_ECHO_BYTES || is_zero(source) || source[0] == 0xff ||
        memcmp(source, host->config.ip.bytes, 16) == 0)
        return CW_HOST_MALFORMED;
    if (link + CW_FRAME_IP6_BYTES + length > reply->room || !is_allowed(&host->echoes, now_ns))
        return CW_HOST_LIMITED;
    (void)cw_host_write_link(host, reply->frame, from, CW_ETHERTYPE_IPV6);
    uint8_t *to = cw_host_write_v6(host, reply->frame, link, source, CW_TTL, length);
    memcpy(to + CW_FRAME_IP6_BYTES, ip + CW_FRAME_IP6_BYTES, length);
    to[CW_FRAME_IP6_BYTES + ICMP_TYPE] = ICMPV6_ECHO_REPLY;
    cw_host_finish_icmpv6(to, to + CW_FRAME_IP6_BYTES, length);
    reply->length = link + CW_FRAME_IP6_BYTES + length;
    return CW_HOST_ECHOED;
}

/* Is it to us, or a question to the group that we belong to? */
static bool is_for_us_v6(const struct cw_host *host, const uint8_t *ip, uint8_t type)
{
    uint8_t group[16], mac[6];
    const uint8_t *target = ip + CW_V6_TARGET;
    if (memcmp(target, host->config.ip.bytes, 16) == 0)
        return true;
    cw_host_solicited_group(host->config.ip.bytes, group, mac);
    if (type == ND_SOLICITATION)
        return memcmp(target, group, 16) == 0;
    return type == ND_ADVERTISEMENT && memcmp(target, cw_host_all_nodes, 16) == 0;
}

static enum cw_host_verdict on_v6(struct cw_host *host, const struct cw_frame_inner *inner,
                                  const uint8_t from[6], struct reply *reply, uint64_t now_ns)
{
    const uint8_t *ip = inner->bytes, *icmp = ip + CW_FRAME_IP6_BYTES;
    if (inner->length < CW_FRAME_IP6_BYTES + ICMP_ECHO_BYTES || ip[0] >> 4 != CW_VERSION_6)
        return CW_HOST_MALFORMED;
    size_t length = cw_load16be(ip + CW_V6_LENGTH);
    if (ip[CW_V6_NEXT] == CW_NEXT_OPTIONS)
        return cw_host_on_options(host, ip, inner->length, now_ns);
    if (ip[CW_V6_NEXT] != CW_PROTOCOL_ICMPV6 || !is_for_us_v6(host, ip, icmp[ICMP_TYPE]) ||
        (host->config.is_kernel_s && icmp[ICMP_TYPE] != ICMPV6_TOO_BIG))
        return CW_HOST_NOT_OURS;
    if (length < ICMP_ECHO_BYTES || length > inner->length - CW_FRAME_IP6_BYTES ||
        cw_host_sum_icmpv6(ip, icmp, length) != 0xffff)
        return CW_HOST_MALFORMED;
    if (icmp[ICMP_TYPE] == ICMPV6_ECHO_REQUEST && cw_host_has_address(host))
        return echo_v6(host, ip, length, from, reply, now_ns);
    if (icmp[ICMP_TYPE] == ICMPV6_TOO_BIG)
        return on_too_big(host, icmp + ICMP_ECHO_BYTES, length - ICMP_ECHO_BYTES, CW_FRAME_IP6_BYTES,
                          cw_load32be(icmp + ICMPV6_MTU));
    if (icmp[ICMP_TYPE] != ND_SOLICITATION && icmp[ICMP_TYPE] != ND_ADVERTISEMENT)
        return CW_HOST_NOT_OURS;
    if (ip[CW_V6_HOPS] != ND_HOPS || icmp[ICMP_CODE] != 0 || length < ND_OPTIONS || icmp[ND_TARGET] == 0xff)
        return CW_HOST_MALFORMED;
    return icmp[ICMP_TYPE] == ND_SOLICITATION ? on_solicitation(host, ip, length, from, reply, now_ns)
                                              : on_advertisement(host, ip, length, now_ns);
}

/* ---------------------------------------------------------------- IPv4 */

/* The id stays 0 and DF is set, as on datagrams. */
static void write_v4(const struct cw_host *host, uint8_t *ip, const uint8_t *to, size_t length)
{
    memset(ip, 0, CW_FRAME_IP4_BYTES);
    ip[0] = CW_VERSION_4_IHL_5;
    cw_store16be(ip + CW_V4_LENGTH, (uint16_t)(CW_FRAME_IP4_BYTES + length));
    cw_store16be(ip + CW_V4_FRAGMENT, CW_FLAG_DF);
    ip[CW_V4_TTL] = CW_TTL;
    ip[CW_V4_PROTOCOL] = CW_PROTOCOL_ICMP;
    memcpy(ip + CW_V4_SOURCE, host->config.ip.bytes, 4);
    memcpy(ip + CW_V4_TARGET, to, 4);
    cw_store16be(ip + CW_V4_CHECKSUM, (uint16_t)~cw_checksum_sum(ip, CW_FRAME_IP4_BYTES));
}

static enum cw_host_verdict echo_v4(struct cw_host *host, const uint8_t *ip, size_t length,
                                    const uint8_t from[6], struct reply *reply, uint64_t now_ns)
{
    size_t link = host->config.vlan != 0 ? CW_FRAME_LINK_BYTES_MAX : CW_FRAME_ETHER_BYTES;
    const uint8_t *source = ip + CW_V4_SOURCE;
    if (source[0] == 0 || source[0] >= 224 || memcmp(source, host->config.ip.bytes, 4) == 0)
        return CW_HOST_MALFORMED;
    if (link + CW_FRAME_IP4_BYTES + length > reply->room || !is_allowed(&host->echoes, now_ns))
        return CW_HOST_LIMITED;
    (void)cw_host_write_link(host, reply->frame, from, CW_ETHERTYPE_IPV4);
    write_v4(host, reply->frame + link, source, length);
    uint8_t *icmp = reply->frame + link + CW_FRAME_IP4_BYTES;
    memcpy(icmp, ip + CW_FRAME_IP4_BYTES, length);
    icmp[ICMP_TYPE] = ICMP_ECHO_REPLY;
    cw_store16be(icmp + ICMP_CHECKSUM, 0);
    cw_store16be(icmp + ICMP_CHECKSUM, (uint16_t)~cw_checksum_sum(icmp, length));
    reply->length = link + CW_FRAME_IP4_BYTES + length;
    return CW_HOST_ECHOED;
}

static enum cw_host_verdict on_v4(struct cw_host *host, const struct cw_frame_inner *inner,
                                  const uint8_t from[6], struct reply *reply, uint64_t now_ns)
{
    const uint8_t *ip = inner->bytes, *icmp = ip + CW_FRAME_IP4_BYTES;
    if (inner->length < CW_FRAME_IP4_BYTES + ICMP_ECHO_BYTES)
        return CW_HOST_MALFORMED;
    if (ip[0] != CW_VERSION_4_IHL_5 || ip[CW_V4_PROTOCOL] != CW_PROTOCOL_ICMP ||
        memcmp(ip + CW_V4_TARGET, host->config.ip.bytes, 4) != 0 ||
        (cw_load16be(ip + CW_V4_FRAGMENT) & CW_FRAGMENT_MASK) != 0)
        return CW_HOST_NOT_OURS;
    size_t total = cw_load16be(ip + CW_V4_LENGTH);
    if (total < CW_FRAME_IP4_BYTES + ICMP_ECHO_BYTES || total > inner->length ||
        cw_checksum_sum(ip, CW_FRAME_IP4_BYTES) != 0xffff ||
        cw_checksum_sum(icmp, total - CW_FRAME_IP4_BYTES) != 0xffff)
        return CW_HOST_MALFORMED;
    if (icmp[ICMP_TYPE] == ICMP_UNREACHABLE && icmp[ICMP_CODE] == ICMP_FRAGMENTATION)
        return on_too_big(host, icmp + ICMP_ECHO_BYTES, total - CW_FRAME_IP4_BYTES - ICMP_ECHO_BYTES,
                          CW_FRAME_IP4_BYTES, cw_load16be(icmp + ICMP_MTU));
    if (host->config.is_kernel_s || icmp[ICMP_TYPE] != ICMP_ECHO_REQUEST || icmp[ICMP_CODE] != 0)
        return CW_HOST_NOT_OURS;
    return echo_v4(host, ip, total - CW_FRAME_IP4_BYTES, from, reply, now_ns);
}

/* ---------------------------------------------------------------- the whole */

enum cw_host_verdict cw_host_on_frame(struct cw_host *host, const struct cw_frame_in *frame, uint8_t *room,
                                      size_t room_length, size_t *reply_length, uint64_t now_ns)
{
    struct reply reply = {.frame = room, .room = room_length};
    struct cw_frame_inner inner;
    enum cw_host_verdict verdict = CW_HOST_NOT_OURS;
    CW_ASSERT(room_length >= CW_HOST_ASK_BYTES_MAX);
    *reply_length = 0;
    if (cw_frame_check_link(host->config.vlan, frame, &inner) != CW_FRAME_OK)
        return CW_HOST_NOT_OURS;
    const uint8_t *to = frame->bytes, *from = frame->bytes + 6;
    bool is_to_group = (to[0] & 1) != 0, is_v6 = host->config.ip.version == 6;
    if (!cw_host_is_unicast(from) || (!is_to_group && memcmp(to, host->config.mac, 6) != 0))
        return CW_HOST_NOT_OURS;
    if (!is_v6 && inner.type == CW_ETHERTYPE_ARP && !host->config.is_kernel_s)
        verdict = on_arp(host, &inner, &reply, now_ns);
    else if (!is_v6 && inner.type == CW_ETHERTYPE_IPV4 && !is_to_group)
        verdict = on_v4(host, &inner, from, &reply, now_ns);
    else if (is_v6 && inner.type == CW_ETHERTYPE_IPV6)
        verdict = on_v6(host, &inner, from, &reply, now_ns);
    *reply_length = reply.length;
    return verdict;
}

size_t cw_host_ask(struct cw_host *host, uint8_t *frame, uint64_t now_ns)
{
    static const uint8_t unknown[6];
    const uint8_t *next_hop = host->config.next_hop.bytes, *it = host->neighbour.mac;
    uint8_t group[16], group_mac[6];
    enum cw_neighbour_ask whom =
        cw_host_has_address(host) ? cw_neighbour_ask(&host->neighbour, now_ns) : CW_ASK_NOBODY;
    if (whom == CW_ASK_NOBODY)
        return 0;
    if (host->config.ip.version == 4)
        return write_arp(host, frame, whom == CW_ASK_NEIGHBOUR ? it : everybody, ARP_REQUEST, unknown,
                         next_hop);
    if (whom == CW_ASK_NEIGHBOUR)
        return write_nd(host, frame, it, next_hop, ND_SOLICITATION, 0, next_hop);
    cw_host_solicited_group(next_hop, group, group_mac);
    return write_nd(host, frame, group_mac, group, ND_SOLICITATION, 0, next_hop);
}

uint64_t cw_host_deadline_ns(const struct cw_host *host)
{
    uint64_t entry_ns = CW_MIN(host->entry.due_ns, host->entry.report_due_ns);
    return cw_host_has_address(host) ? CW_MIN(entry_ns, cw_neighbour_deadline_ns(&host->neighbour))
                                     : entry_ns;
}
