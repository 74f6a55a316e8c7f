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
 * - An IPv6 address enters the link as RFC 4862 says: the group of its solicitations is reported (MLDv2, RFC
 * 3810, twice in a second; and when a router asks, in the version of the question), one probe asks whether
 * anybody has the address, and for a second it is not used. When somebody has it, nothing is sent or answered
 * in its name, and the probe is repeated every 10 to 14 s, until nobody objects. Without the random delay
 * before the first probe: an address is typed in, not handed out to a room of machines that start together.
 *
 * Not done: the same for IPv4 (RFC 5227; an address there is defended by answering), redirects, router
 * advertisements.
 */
#pragma once

#include "base/fsm.h"
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
    CW_HOST_QUERIED,  /* a router wants to know who listens to our group: reported soon */
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
    uint16_t lane_count;     /* datagrams leave from port local_udp + lane; 0: one */
    uint8_t next_hop_mac[6]; /* all 0: it is asked for */
    bool is_kernel_s;        /* the address is: nobody is asked or answered here, the kernel does so */
};

/* What ICMP (fragmentation needed) or ICMPv6 (packet too big) says. Anybody can say it: a hint, for somebody
 * who knows whether the quoted datagram is under way. */
struct cw_host_too_big {
    uint32_t datagram_bytes; /* that would fit */
    uint8_t lane;            /* whose datagram is quoted */
    bool is_believed;        /* by the session of that lane; nobody else can check it (port.h) */
    uint8_t quoted[CW_HOST_QUOTED_BYTES];
};

/* A bucket of answers: full at rest. */
struct cw_host_limit {
    uint64_t full_ns; /* when it is full again */
};

enum cw_host_address {
    CW_HOST_ADDRESS_USED,
    CW_HOST_ADDRESS_PROBED, /* may it be used? */
    CW_HOST_ADDRESS_TAKEN,  /* by somebody else */
    CW_HOST_ADDRESS_STATE_COUNT
};

/* How an IPv6 address comes onto the link. */
struct cw_host_entry {
    struct cw_fsm fsm;
    uint8_t state;
    bool is_probe_out;
    bool is_answer;    /* the report that is due is one to a query */
    bool is_version_1; /* of the query that is answered */
    uint8_t taken_by[6];
    uint64_t due_ns; /* of the probe, and then of its end */
    uint32_t reports_left;
    uint64_t report_due_ns;
    uint64_t next_answer_ns; /* no query is answered before */
};

struct cw_host {
    struct cw_host_config config;
    struct cw_host_entry entry;
    struct cw_neighbour neighbour;
    struct cw_host_limit echoes, answers;
    struct cw_host_too_big too_big; /* the last one */
};

void cw_host_init(struct cw_host *host, const struct cw_host_config *config);
/* An IPv6 address is new on the link: it is probed for and its group reported before it is used. With IPv4,
 * and where the kernel has the address, it may be used at once, as without this call. */
void cw_host_enter(struct cw_host *host, uint64_t now_ns);
/* May it be used? */
static inline bool cw_host_has_address(const struct cw_host *host)
{
    return host->entry.state == CW_HOST_ADDRESS_USED;
}
/* Writes the probe or report that is due: its length, or 0. */
size_t cw_host_announce(struct cw_host *host, uint8_t *frame, uint64_t now_ns);

/* A frame that is no datagram of the path. reply: room for reply_max bytes; *reply_length is 0 when there is
 * none. The frame stays as it is. Foreign bytes. */
enum cw_host_verdict cw_host_on_frame(struct cw_host *host, const struct cw_frame_in *frame, uint8_t *reply,
                                      size_t reply_max, size_t *reply_length, uint64_t now_ns);
#define CW_HOST_ASK_BYTES_MAX                                                                                \
    (CW_FRAME_LINK_BYTES_MAX + CW_FRAME_IP6_BYTES + 36u) /* and of what is announced */
/* Writes the question for the next hop that is due: its length, or 0. */
size_t cw_host_ask(struct cw_host *host, uint8_t *frame, uint64_t now_ns);
/* Of both. */
uint64_t cw_host_deadline_ns(const struct cw_host *host);
