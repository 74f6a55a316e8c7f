/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, IPv4 and UDP around a datagram between two fixed addresses. Pure.
 *
 * Sending patches lengths and one checksum into a template. DF is set and the IP id is 0 (RFC 6864: an atomic
 * datagram needs none). The UDP checksum is 0, which IPv4 allows: the payload is sealed. Receiving takes only
 * whole, unfragmented datagrams without IP options from the peer's address to our address and port; MAC
 * addresses and the peer's port are not looked at: routers choose the first, and the second is free to vary
 * the route.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_FRAME_ETHER_BYTES  14u
#define CW_FRAME_IP_BYTES     20u
#define CW_FRAME_UDP_BYTES    8u
#define CW_FRAME_HEADER_BYTES (CW_FRAME_ETHER_BYTES + CW_FRAME_IP_BYTES + CW_FRAME_UDP_BYTES)
#define CW_FRAME_PAYLOAD_MAX  (65535u - CW_FRAME_IP_BYTES - CW_FRAME_UDP_BYTES)

struct cw_frame_addresses {
    uint8_t local_mac[6], remote_mac[6];
    uint32_t local_ip, remote_ip; /* host byte order */
    uint16_t local_udp, remote_udp;
    bool is_ecn_capable; /* frames leave as ECT(0), RFC 3168: whoever is told of marks answers them */
};

struct cw_frame_path {
    struct cw_frame_addresses addresses;
    uint8_t template[CW_FRAME_HEADER_BYTES];
    uint32_t checksum_partial; /* of the template's IP header, lengths 0 */
};

enum cw_frame_verdict {
    CW_FRAME_OK,
    CW_FRAME_SHORT,    /* lengths that do not fit each other */
    CW_FRAME_NOT_OURS, /* another protocol, address or port */
    CW_FRAME_CHECKSUM, /* of the IP header */
    CW_FRAME_FRAGMENTED,
};

void cw_frame_path_init(struct cw_frame_path *path, const struct cw_frame_addresses *addresses);
/* Writes the 42 bytes of headers in front of a payload of this length. */
void cw_frame_finish(const struct cw_frame_path *path, uint8_t *frame, size_t payload_length);
/* Foreign bytes; length is what was received, padding included. The payload lies in the frame. */
enum cw_frame_verdict cw_frame_check(const struct cw_frame_path *path, uint8_t *frame, size_t length,
                                     uint8_t **payload, size_t *payload_length);
/* Of a payload that cw_frame_check gave: did its IP header come with the CE mark? */
bool cw_frame_is_marked(const uint8_t *payload);
