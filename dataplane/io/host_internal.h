/* SPDX-License-Identifier: BSD-3-Clause */
/* What host.c and host_enter.c have in common. Private to them. */
#pragma once

#include "io/host.h"

/* ICMP, ICMPv6 and neighbour discovery. */
enum { ICMP_TYPE = 0, ICMP_CODE = 1, ICMP_CHECKSUM = 2, ICMPV6_MTU = 4, ICMP_MTU = 6, ICMP_ECHO_BYTES = 8 };
enum { ND_FLAGS = 4, ND_TARGET = 8, ND_OPTIONS = 24, ND_BYTES = 32 /* with one link address */ };
#define ICMP_ECHO_REPLY     0u
#define ICMP_UNREACHABLE    3u
#define ICMP_FRAGMENTATION  4u /* needed, and not allowed */
#define ICMPV6_TOO_BIG      2u
#define ICMP_ECHO_REQUEST   8u
#define ICMPV6_ECHO_REQUEST 128u
#define ICMPV6_ECHO_REPLY   129u
#define ND_SOLICITATION     135u
#define ND_ADVERTISEMENT    136u
#define ND_HOPS             255u
#define ND_SOLICITED        0x40u
#define ND_OVERRIDE         0x20u
#define ND_SOURCE_LINK      1u
#define ND_TARGET_LINK      2u
#define ND_OPTION_UNIT      8u
#define MLD_QUERY           130u
#define MLD_REPORT_V1       131u
#define MLD_REPORT_V2       143u

extern const uint8_t cw_host_all_nodes[16];

bool cw_host_is_unicast(const uint8_t mac[6]);
size_t cw_host_write_link(const struct cw_host *host, uint8_t *frame, const uint8_t to[6], uint16_t type);
/* Everything of an IPv6 header but what stands behind it. Returns its place in the frame. */
uint8_t *cw_host_write_v6(const struct cw_host *host, uint8_t *frame, size_t at, const uint8_t *to,
                          uint8_t hops, size_t length);
/* The checksum of ICMPv6, which stands behind all headers, with its pseudo header; 0xffff when that in the
 * message is right. */
uint16_t cw_host_sum_icmpv6(const uint8_t *ip, const uint8_t *icmp, size_t length);
void cw_host_finish_icmpv6(uint8_t *ip, uint8_t *icmp, size_t length);
/* The group that whoever has an address listens to (RFC 4291 section 2.7.1), and its place on Ethernet. */
void cw_host_solicited_group(const uint8_t ip[16], uint8_t group[16], uint8_t mac[6]);

/* Somebody else speaks for our address while we probe for it; mac may be NULL. */
void cw_host_on_taken(struct cw_host *host, const uint8_t *mac, uint64_t now_ns);
/* An IPv6 packet with a header of hop-by-hop options, whose length is that of the frame behind the link's. */
enum cw_host_verdict cw_host_on_options(struct cw_host *host, const uint8_t *ip, size_t length,
                                        uint64_t now_ns);
