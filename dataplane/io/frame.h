/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, VLAN tag, IPv4 or IPv6, and UDP around a datagram between two fixed addresses. Pure.
 *
 * Sending patches lengths and one checksum into a template; where the device computes that checksum, it gets
 * what the device wants there (nothing for an IPv4 header; for UDP the sum of the pseudo header), and where
 * it has found a received one right, it is not computed again. IPv4: DF is set and the id is 0 (RFC 6864: an
 * atomic datagram needs none). The UDP checksum is 0, which IPv4 allows: the payload is sealed. IPv6: nothing
 * on the way may cut a packet. The UDP checksum is computed and is checked (RFC 8200 section 8.1): the IP
 * header has none, and the exception for tunnels (RFC 6935) is not one to be had everywhere.
 *
 * Receiving takes only whole, unfragmented datagrams, without IP options and extension headers, from the
 * peer's address (or, where the path says so, from any) to our address and port, with our VLAN tag or without
 * any as the path has one; a priority tag (VLAN 0) is no VLAN. MAC addresses and the peer's port are not
 * looked at: routers choose the first, and the second is free to vary the route.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

#define CW_FRAME_ETHER_BYTES      14u
#define CW_FRAME_VLAN_BYTES       4u
#define CW_FRAME_LINK_BYTES_MAX   (CW_FRAME_ETHER_BYTES + CW_FRAME_VLAN_BYTES)
#define CW_FRAME_IP4_BYTES        20u
#define CW_FRAME_IP6_BYTES        40u
#define CW_FRAME_UDP_BYTES        8u
#define CW_FRAME_HEADER_BYTES_MAX (CW_FRAME_LINK_BYTES_MAX + CW_FRAME_IP6_BYTES + CW_FRAME_UDP_BYTES)
#define CW_FRAME_PAYLOAD_MAX      (65535u - CW_FRAME_IP4_BYTES - CW_FRAME_UDP_BYTES)
#define CW_FRAME_VLAN_MAX         4094u

struct cw_frame_addresses {
    uint8_t local_mac[6], remote_mac[6];
    struct cw_ip local_ip, remote_ip; /* of one version */
    uint16_t local_udp, remote_udp;
    uint16_t lane,
        lane_count;      /* sent from port local_udp + lane; heard on those of all lanes. Count 0: one */
    uint16_t vlan;       /* of the 802.1Q tag, 1 to CW_FRAME_VLAN_MAX; 0: frames have none */
    bool is_any_source;  /* datagrams are taken from wherever they come: cw_frame_source tells */
    bool is_ecn_capable; /* frames leave as ECT(0), RFC 3168: whoever is told of marks answers them */
};

struct cw_frame_path {
    struct cw_frame_addresses addresses;
    uint16_t port_last;                  /* of ours above local_udp */
    uint8_t ip_at, udp_at, header_bytes; /* offsets in what is sent; the payload follows the header */
    uint8_t template[CW_FRAME_HEADER_BYTES_MAX];
    bool is_sum_device_s;      /* the checksum of what is sent is left to the device */
    uint32_t checksum_partial; /* IPv4: of the IP header; IPv6: of pseudo header and UDP header. Lengths 0 */
};

/* A received frame. A driver may have taken the tag out of it. */
struct cw_frame_in {
    uint8_t *bytes;
    size_t length; /* padding included */
    bool is_tag_taken;
    uint16_t tag;     /* the TCI, when it was taken out */
    bool is_sum_good; /* says the device: IPv4: of the IP header; IPv6: of UDP */
};

enum cw_frame_verdict {
    CW_FRAME_OK,
    CW_FRAME_SHORT,    /* lengths that do not fit each other */
    CW_FRAME_NOT_OURS, /* another protocol, VLAN, address or port */
    CW_FRAME_CHECKSUM, /* of the IP header, or of UDP in IPv6 */
    CW_FRAME_FRAGMENTED,
};

void cw_frame_path_init(struct cw_frame_path *path, const struct cw_frame_addresses *addresses);
/* The device computes the IPv4 header's checksum, or UDP's over IPv6, as the path has it. */
void cw_frame_path_leave_sum(struct cw_frame_path *path);
/* Where frames are sent from now on. */
void cw_frame_path_set_remote_mac(struct cw_frame_path *path, const uint8_t mac[6]);
/* Writes the path's header_bytes in front of a payload of this length, at most CW_FRAME_PAYLOAD_MAX, which
 * already stands behind them. */
void cw_frame_finish(const struct cw_frame_path *path, uint8_t *frame, size_t payload_length);
/* Foreign bytes. The payload lies in the frame. */
enum cw_frame_verdict cw_frame_check(const struct cw_frame_path *path, const struct cw_frame_in *frame,
                                     uint8_t **payload, size_t *payload_length);
/* Of a payload that cw_frame_check gave: from whom it came. */
void cw_frame_source(const struct cw_frame_path *path, const uint8_t *payload, struct cw_ip *ip,
                     uint16_t *udp);
/* Of a payload that cw_frame_check gave: did its IP header come with the CE mark? */
bool cw_frame_is_marked(const struct cw_frame_path *path, const uint8_t *payload);
