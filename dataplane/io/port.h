/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One DPDK port, or one queue of it, as a carrier of UDP datagrams between two addresses: memif, af_xdp,
 * af_packet, ring, PCI. Never written against one PMD: what a port can do is asked of it.
 *
 * The port builds and checks Ethernet, VLAN, IPv4 or IPv6, and UDP in software, but for checksums that the
 * device computes (cw_port_describe says which); it drops, and counts by reason, what is not from the peer to
 * us. It asks for the next hop's link address unless that is configured, tells its own, and answers echo:
 * host.h. Thread: the net lcore that owns it, except where said.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/ip.h"
#include "base/status.h"

#define CW_PORT_BURST 32u

/* Bytes are those of frames, headers included. tx_queue_full: flushes that left something behind. */
/* clang-format off */
#define CW_PORT_COUNTERS(X)                                                                                  \
    X(CW_PORT_RX_PACKETS, "rx_packets") X(CW_PORT_RX_BYTES, "rx_bytes")                                      \
    X(CW_PORT_TX_PACKETS, "tx_packets") X(CW_PORT_TX_BYTES, "tx_bytes")                                      \
    X(CW_PORT_TX_FULL, "tx_queue_full") X(CW_PORT_TX_NO_BUFFER, "tx_no_buffer")                              \
    X(CW_PORT_DROP_NOT_OURS, "drop_not_ours") X(CW_PORT_DROP_FRAGMENT, "drop_ip_fragment")                   \
    X(CW_PORT_DROP_CHECKSUM, "drop_checksum") X(CW_PORT_DROP_SHORT, "drop_bad_length")                       \
    X(CW_PORT_DROP_CUT, "drop_lab_cut") X(CW_PORT_DROP_LONG, "drop_too_long")                                \
    X(CW_PORT_RECONNECTS, "memif_connect_attempts") X(CW_PORT_ASKED, "neighbour_asked")                      \
    X(CW_PORT_LEARNT, "neighbour_answered") X(CW_PORT_CHANGED, "neighbour_changed")                          \
    X(CW_PORT_UNASKED, "neighbour_not_asked_for") X(CW_PORT_ANSWERED, "neighbour_told")                      \
    X(CW_PORT_ECHOED, "echo_replies") X(CW_PORT_LIMITED, "answers_over_limit")                               \
    X(CW_PORT_TX_REFUSED, "tx_refused") X(CW_PORT_ANNOUNCED, "address_announced")                            \
    X(CW_PORT_QUERIED, "listener_queries") X(CW_PORT_STRAY, "strayed_to_kernel")                             \
    X(CW_PORT_CONFLICT, "address_conflicts") X(CW_PORT_TOO_BIG, "icmp_too_big")                              \
    X(CW_PORT_DROP_MALFORMED, "drop_malformed") X(CW_PORT_LANE_PASSED, "lane_handed_over")                   \
    X(CW_PORT_LANE_FULL, "drop_lane_full") X(CW_PORT_SUM_LIED, "checksum_called_good")
/* clang-format on */
enum { CW_PORT_COUNTERS(CW_COUNTER_ENUM) CW_PORT_COUNTER_COUNT };
extern const char *const cw_port_counter_names[CW_PORT_COUNTER_COUNT];

struct cw_port_config {
    char name[64];         /* of the path, for messages */
    char device[256];      /* EAL device string, as --vdev or -a takes it: "net_memif0,role=server,..." */
    uint16_t mtu;          /* of IP: what the engine sends at most; the port's own is not changed */
    uint8_t local_mac[6];  /* all 0: the device's */
    uint8_t remote_mac[6]; /* of the next hop; all 0: it is asked for */
    struct cw_ip next_hop; /* the gateway towards the peer; none: the peer itself */
    struct cw_ip local_ip, remote_ip; /* of one version, or both none: for frames as they are */
    uint16_t local_udp, remote_udp;
    uint16_t vlan;    /* 802.1Q tag of what is sent and received; 0: none */
    bool is_followed; /* datagrams are taken from any address: whose they are the session says, and follows it
                       */
    bool is_ecn_capable; /* what is sent says so to routers, which may then mark it */
    uint32_t buffers;    /* frames that its pool has; 0: what a path needs */
    uint32_t queues;     /* pairs, one a lane (wire/packet.h); 0: one */
    /* What the device calls right is checked by software all the same; what is wrong of it is counted
     * (checksum_called_good) and dropped: for finding devices that lie. */
    bool is_sum_doubted;
    bool is_shared; /* the interface (af_xdp, af_packet) stays the kernel's; local_mac, remote_mac, next_hop
                       and vlan are then none: it has them */
};

struct cw_eal_config {
    char file_prefix[64]; /* one per engine; its runtime directory is removed at start and stop */
    char
        siblings[16]; /* how prefixes of others of its kind begin, whose directories are removed at start when
                               nobody uses them any more; empty: none */
    char lcores[64];  /* "0@(0-1)" */
    bool may_use_hugepages; /* tried first when true; falls back to --no-huge by itself */
    uint32_t memory_mb;
    const struct cw_port_config *ports;
    uint32_t port_count;
};

/* Once a process, before anything else of DPDK. Words in why. CW_REFUSED: an engine with this prefix, or a
 * server on a memif socket of ours, lives. Takes about 0.2 s. Adds to a memif device what it needs:
 * socket-abstract=no, a bsize for the path's mtu, and a ring that stays in a cache; removes a dead server's
 * socket file. */
enum cw_status cw_eal_start(const struct cw_eal_config *config, char *why, size_t why_size) CW_MUST_CHECK;
void cw_eal_stop(void); /* the last thing before exit, started or not */
bool cw_eal_has_hugepages(void);

struct cw_port;

/* After cw_eal_start, on the main thread. NULL with words in why. Allocates; nothing later does. The device
 * may be one that cw_eal_start did not know. A memif client whose server is not there yet opens with its link
 * down; a thread of the port connects, and connects again after the server's death, by itself. */
struct cw_port *cw_port_open(const struct cw_port_config *config, char *why, size_t why_size);
void cw_port_close(struct cw_port *port);
/*
 * The lanes of a port that was opened with several queues: lane 0 is the port itself. Each is a port to all
 * functions below, and belongs to a net lcore of its own; it sends from UDP port local_udp + lane. What
 * arrives on one queue and is another lane's is passed on (lane_handed_over; drop_lane_full), what is no
 * datagram of ours to lane 0, which alone asks, answers and learns. Closing lane 0 closes all: only then is
 * that no business of another thread.
 */
struct cw_port *cw_port_lane(struct cw_port *port, uint32_t lane);
bool cw_port_is_link_up(const struct cw_port *port);
uint32_t cw_port_datagram_bytes_max(const struct cw_port *port);

/* Once a turn, before receiving: asks for the next hop when that is due. What is received until the next turn
 * is looked at as of this time. The deadline says when the port wants a turn of its own. */
void cw_port_on_time(struct cw_port *port, uint64_t now_ns);
uint64_t cw_port_deadline_ns(const struct cw_port *port);

/* What a router has said since the last call about a datagram that it did not carry, as host.h has it:
 * anybody can say it. False: nothing. */
struct cw_host_too_big;
bool cw_port_too_big(struct cw_port *port, struct cw_host_too_big *told);
/* The session of this lane has found it true: the other lanes are told so (is_believed), in their next turns.
 */
void cw_port_too_big_believed(struct cw_port *port, const struct cw_host_too_big *told);

/* Receives up to CW_PORT_BURST datagrams and calls take for each, payload writable until it returns. */
uint32_t cw_port_receive(struct cw_port *port, void (*take)(void *context, uint8_t *datagram, size_t length),
                         void *context);
/* Of a datagram, while it is being taken: a router marked it (CE, RFC 3168). */
bool cw_port_is_marked(const struct cw_port *port, const uint8_t *datagram);
/* Transmission: next gives room for one datagram in a fresh frame, or NULL when the queue or pool is full, or
 * where to send it is not known yet;
 * commit keeps it with its final length, abandon gives it back. flush sends the burst to the device. */
uint8_t *cw_port_transmit_next(struct cw_port *port);
void cw_port_transmit_commit(struct cw_port *port, size_t length);
/* Of a port that follows its peer (port_follow.c): a token of the address that a datagram came from, while it
 * is being taken; 0: the configured one. A token that is needed later has to be remembered at once; two are,
 * one of them `kept`. What is committed to a token that is not known is dropped. */
uint64_t cw_port_source(const struct cw_port *port, const uint8_t *datagram);
void cw_port_remember(struct cw_port *port, const uint8_t *datagram, uint64_t kept);
void cw_port_transmit_commit_to(struct cw_port *port, size_t length, uint64_t token);
/* "192.0.2.1 port 7400": where that is. Thread: the lcore. */
#define CW_PORT_ADDRESS_TEXT 64u
void cw_port_address_text(const struct cw_port *port, uint64_t token, char text[CW_PORT_ADDRESS_TEXT]);
void cw_port_transmit_abandon(struct cw_port *port);
void cw_port_flush(struct cw_port *port); /* what the device did not take goes with the next flush */
/* Whether to flush behind so many datagrams of a turn: 2, 4, then every 8. The peer begins to open what came
 * first while the rest is being sealed; later ones are rarer, since each flush takes the ring's ends from the
 * peer's cache. */
static inline bool cw_port_is_flush_due(uint32_t count)
{
    return count % 8 == 0 || count == 2 || count == 4;
}
/* What has left (port_left.c): frames that were committed so far, and whether the first so many of them are
 * gone. That means: whether the device is done with their descriptors, where its driver reports each one
 * (any thread may ask which, of lane 0 for all lanes); else, whether it took them. No system call. */
uint64_t cw_port_committed(const struct cw_port *port);
bool cw_port_has_left(const struct cw_port *port, uint64_t committed);
bool cw_port_reports_done(const struct cw_port *port);

/* Frames as they are, for a program that stands between two ports: nothing is checked, no address is needed.
 * Received ones become the caller's. Of those to transmit, the first that many are gone, the others remain
 * the caller's. A port is used either so or with the functions above. */
struct rte_mbuf;
uint32_t cw_port_receive_frames(struct cw_port *port, struct rte_mbuf **frames, uint32_t frames_max);
uint32_t cw_port_transmit_frames(struct cw_port *port, struct rte_mbuf **frames, uint32_t count);

/* A lab's cut, of all lanes: while cut, everything received and sent is dropped and counted. Any thread. */
void cw_port_cut_set(struct cw_port *port, bool receive, bool transmit);
uint64_t cw_port_counter(struct cw_port *port, unsigned which);
/* The device has gone away under the port, which carries nothing any more. Any thread. */
bool cw_port_is_gone(const struct cw_port *port);
/* What the port is and how it stands with its next hop, in words. Any thread but the lcore's. */
void cw_port_describe(struct cw_port *port, char *text, size_t size);
