/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an address needs beside its datagrams to live on a link: ARP (RFC 826) or neighbour discovery (RFC
 * 4861), asked and answered, and echo (ping), answered. Pure: a frame and a time go in, at most one frame
 * comes out.
 *
 * - Our address is told to whoever asks for it; nothing is learnt from questions.
 * - The next hop, the peer or the gateway towards it, is asked for as neighbour.h says.
 * - Everything that is answered is answered to the link address it came from, without a table, at most
 *   CW_HOST_ANSWERS_PER_SECOND of each kind; never to a group or to broadcasts.
 * - IP options, extension headers and fragments are refused, wrong checksums too, and neighbour discovery
 * that passed a router (hop limit below 255).
 *
 * - Where the kernel has the address (is_kernel_s), all that is left is to hear of datagrams that are too
 * big.
 *
 * Not done: duplicate address detection (addresses are configured; ours is defended by answering), redirects,
 * router advertisements, multicast listener reports (a switch that snoops may need the group configured).
 */
#pragma once

#include "io/frame.h"
#include "io/neighbour.h"

#define CW_HOST_ANSWERS_PER_SECOND 500u
#define CW_HOST_QUOTED_BYTES       16u /* of the datagram, from its first byte on */
#define CW_HOST_ANSWERS_AT_ONCE    50u

/* What a frame was. */
enum cw_host_verdict {
    CW_HOST_NOT_OURS,  /* another protocol, VLAN or address; of a kind that is not answered */
    CW_HOST_MALFORMED, /* lengths, checksums, impossible addresses */
    CW_HOST_ASKED,     /* for our link address: answered */
    CW_HOST_ECHOED,
    CW_HOST_LIMITED,  /* to be answered, but for the limit */
    CW_HOST_LEARNT,   /* the next hop answered */
    CW_HOST_UNASKED,  /* in the name of the next hop, but nobody had asked, or not what was asked */
    CW_HOST_CONFLICT, /* somebody uses our address */
    CW_HOST_TOO_BIG,  /* a router did not carry a datagram of the path: too_big says what */
    CW_HOST_VERDICT_COUNT
};

struct cw_host_config {
    uint8_t mac[6];
    uint16_t vlan;          /* 0: none */
    struct cw_ip ip;        /* ours */
    struct cw_ip next_hop;  /* of the same version */
    struct cw_ip remote_ip; /* of the path's datagrams, with their ports: what routers may speak of */
    uint16_t local_udp, remote_udp;
    uint8_t next_hop_mac[6]; /* all 0: it is asked for */
    bool is_kernel_s;        /* the address is: nobody is asked or answered here, the kernel does so */
};

/* What ICMP (fragmentation needed) or ICMPv6 (packet too big) says. Anybody can say it: a hint, for somebody
 * who knows whether the quoted datagram is under way. */
struct cw_host_too_big {
    uint32_t datagram_bytes; /* that would fit */
    uint8_t quoted[CW_HOST_QUOTED_BYTES];
};

/* A bucket of answers: full at rest. */
struct cw_host_limit {
    uint64_t full_ns; /* when it is full again */
};

struct cw_host {
    struct cw_host_config config;
    struct cw_neighbour neighbour;
    struct cw_host_limit echoes, answers;
    struct cw_host_too_big too_big; /* the last one */
};

void cw_host_init(struct cw_host *host, const struct cw_host_config *config);
/* A frame that is no datagram of the path. reply: room for reply_max bytes; *reply_length is 0 when there is
 * none. The frame stays as it is. Foreign bytes. */
enum cw_host_verdict cw_host_on_frame(struct cw_host *host, const struct cw_frame_in *frame, uint8_t *reply,
                                      size_t reply_max, size_t *reply_length, uint64_t now_ns);
#define CW_HOST_ASK_BYTES_MAX (CW_FRAME_LINK_BYTES_MAX + CW_FRAME_IP6_BYTES + 32u)
/* Writes the question that is due: its length, or 0. */
size_t cw_host_ask(struct cw_host *host, uint8_t *frame, uint64_t now_ns);
uint64_t cw_host_deadline_ns(const struct cw_host *host);
