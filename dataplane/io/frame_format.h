/* SPDX-License-Identifier: BSD-3-Clause */
/* Offsets and numbers of the headers that io/ builds and reads. Private to frame.c, host.c, host_enter.c. */
#pragma once

#include "io/frame.h"

#define CW_ETHERTYPE_IPV4  0x0800u
#define CW_ETHERTYPE_ARP   0x0806u
#define CW_ETHERTYPE_VLAN  0x8100u
#define CW_ETHERTYPE_IPV6  0x86ddu
#define CW_PROTOCOL_ICMP   1u
#define CW_PROTOCOL_UDP    17u
#define CW_NEXT_OPTIONS    0u /* hop by hop */
#define CW_NEXT_FRAGMENT   44u
#define CW_PROTOCOL_ICMPV6 58u
#define CW_TTL             64u
#define CW_FLAG_DF         0x4000u
#define CW_FRAGMENT_MASK   0x3fffu /* more fragments, and the offset */
#define CW_VERSION_4_IHL_5 0x45u
#define CW_VERSION_6       6u
#define CW_VLAN_MASK       0x0fffu

/* Offsets: in the frame, in the IP header, in the UDP header. */
enum { CW_AT_TYPE = 12, CW_AT_TAG = 14 };
enum { CW_V4_ECN = 1, CW_V4_LENGTH = 2, CW_V4_FRAGMENT = 6, CW_V4_TTL = 8, CW_V4_PROTOCOL = 9 };
enum { CW_V4_CHECKSUM = 10, CW_V4_SOURCE = 12, CW_V4_TARGET = 16 };
enum { CW_V6_LENGTH = 4, CW_V6_NEXT = 6, CW_V6_HOPS = 7, CW_V6_SOURCE = 8, CW_V6_TARGET = 24 };
enum { CW_UDP_SOURCE = 0, CW_UDP_TARGET = 2, CW_UDP_LENGTH = 4, CW_UDP_CHECKSUM = 6 };

/* What stands behind the Ethernet header and a tag. */
struct cw_frame_inner {
    uint8_t *bytes;
    size_t length;
    uint16_t type;
};

/* CW_FRAME_SHORT, or NOT_OURS: of another VLAN. 0: no VLAN. */
enum cw_frame_verdict cw_frame_check_link(uint16_t vlan, const struct cw_frame_in *frame,
                                          struct cw_frame_inner *inner);
/* Ethernet header, and tag when vlan is not 0; returns its length. */
size_t cw_frame_write_link(uint8_t *frame, const uint8_t to[6], const uint8_t from[6], uint16_t vlan,
                           uint16_t type);
