/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs in the kernel, on an interface that the kernel keeps (XDP): datagrams of one path, from the peer's
 * address to our address and port, go to the engine's AF_XDP socket; so does the ICMP that quotes one of ours
 * as too big. Everything else, and all of it while no socket waits at the queue where it came, stays the
 * kernel's.
 *
 * What goes to the engine is what its receiving side would take (frame.h): no IP options, no extension
 * headers, no fragments. Nothing is counted or changed here: the engine checks again whatever it gets.
 *
 * The map's name and kind are what the driver looks for; steer.c tells how the rest comes together.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer_settings.h"

#define QUEUES_MAX         256
#define IPV4_IHL_5         0x45
#define IPV4_FRAGMENT      0x3fff /* more fragments, and the offset */
#define ICMP_UNREACHABLE   3
#define ICMP_FRAGMENTATION 4 /* needed, and not allowed */
#define ICMPV6_TOO_BIG     2

/* Of both versions; the system's headers for it do not compile for this target. */
struct icmp {
    __u8 type, code;
    __u16 checksum;
    __u32 rest;
};

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
    __uint(max_entries, QUEUES_MAX);
} xsks_map SEC(".maps");

const volatile struct cw_steer_settings settings = {.mark = CW_STEER_MARK};

/* Volatile, so that nothing of it is known at build time. */
static __always_inline int is_ip(const __u8 *ip, const volatile __u8 *wanted, int bytes)
{
    __u8 difference = 0;
    for (int i = 0; i < bytes; i++)
        difference |= (__u8)(ip[i] ^ wanted[i]);
    return difference == 0;
}

/* An IPv4 header of the path, in this direction, of this protocol; no options, no fragment. */
static __always_inline int is_v4(const struct iphdr *ip, const volatile __u8 *from, const volatile __u8 *to,
                                 __u8 protocol)
{
    return *(const __u8 *)ip == IPV4_IHL_5 && ip->protocol == protocol &&
           (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) == 0 && is_ip((const __u8 *)&ip->saddr, from, 4) &&
           is_ip((const __u8 *)&ip->daddr, to, 4);
}

static __always_inline int is_v6(const struct ipv6hdr *ip, const volatile __u8 *from, const volatile __u8 *to)
{
    return (*(const __u8 *)ip >> 4) == 6 && ip->nexthdr == IPPROTO_UDP &&
           is_ip((const __u8 *)&ip->saddr, from, 16) && is_ip((const __u8 *)&ip->daddr, to, 16);
}

/* The router that sends it may have any address; the datagram that it quotes is ours. */
static __always_inline int is_too_big_v4(const struct iphdr *ip, const void *end)
{
    const struct icmp *icmp = (const void *)(ip + 1);
    const struct iphdr *quoted = (const void *)(icmp + 1);
    const struct udphdr *udp = (const void *)(quoted + 1);
    return (const void *)(udp + 1) <= end && *(const __u8 *)ip == IPV4_IHL_5 &&
           ip->protocol == IPPROTO_ICMP && icmp->type == ICMP_UNREACHABLE &&
           icmp->code == ICMP_FRAGMENTATION && is_v4(quoted, settings.local, settings.remote, IPPROTO_UDP) &&
           udp->source == settings.local_udp;
}

static __always_inline int is_too_big_v6(const struct ipv6hdr *ip, const void *end)
{
    const struct icmp *icmp = (const void *)(ip + 1);
    const struct ipv6hdr *quoted = (const void *)(icmp + 1);
    const struct udphdr *udp = (const void *)(quoted + 1);
    return (const void *)(udp + 1) <= end && ip->nexthdr == IPPROTO_ICMPV6 && icmp->type == ICMPV6_TOO_BIG &&
           is_v6(quoted, settings.local, settings.remote) && udp->source == settings.local_udp;
}

static __always_inline int is_engine_s(const void *data, const void *end)
{
    const struct ethhdr *ethernet = data;
    const struct iphdr *v4 = (const void *)(ethernet + 1);
    const struct ipv6hdr *v6 = (const void *)(ethernet + 1);
    const struct udphdr *udp;
    if ((const void *)(v4 + 1) > end)
        return 0;
    if (settings.version == 4 && ethernet->h_proto == bpf_htons(ETH_P_IP)) {
        udp = (const void *)(v4 + 1);
        if (is_v4(v4, settings.remote, settings.local, IPPROTO_UDP))
            return (const void *)(udp + 1) <= end && udp->dest == settings.local_udp;
        return is_too_big_v4(v4, end);
    }
    if (settings.version == 6 && ethernet->h_proto == bpf_htons(ETH_P_IPV6) &&
        (const void *)(v6 + 1) <= end) {
        udp = (const void *)(v6 + 1);
        if (is_v6(v6, settings.remote, settings.local))
            return (const void *)(udp + 1) <= end && udp->dest == settings.local_udp;
        return is_too_big_v6(v6, end);
    }
    return 0;
}

SEC("xdp")
int cw_steer(struct xdp_md *context)
{
    if (!is_engine_s((const void *)(long)context->data, (const void *)(long)context->data_end))
        return XDP_PASS;
    return (int)bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_PASS);
}

char terms[] SEC("license") = "Dual BSD/GPL";
