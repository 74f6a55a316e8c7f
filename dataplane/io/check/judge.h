/* SPDX-License-Identifier: BSD-3-Clause */
/* What was measured of a port, and what it means: each check passed, warned, failed or was not tried, in words. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/check/format.h"

#define CW_CHECK_RATES     3u
#define CW_CHECK_WAYS      2u
#define CW_CHECK_NAME_SIZE 64u

enum cw_check_mode {
    CW_CHECK_PAIR, /* two ports of this process */
    CW_CHECK_PEER, /* the program answers at the other end */
    CW_CHECK_PING, /* nobody does: echo only */
};

struct cw_check_rate {
    bool is_tried;
    uint32_t size; /* of the datagram */
    uint64_t sent, arrived;
    double packets, bits; /* a second, as they arrive; bits of whole frames */
};

/* Datagrams of one kind of checksum. */
struct cw_check_sums {
    uint64_t sent, arrived, dropped,
        called_good; /* the last: dropped by us, and the receiving device called it right */
};

/* One direction. */
struct cw_check_way {
    bool is_tried;
    uint64_t sent, arrived, wrong_sums; /* at a low rate */
    uint32_t largest;                   /* datagram that arrives; 0: not tried */
    struct cw_check_rate rates[CW_CHECK_RATES];
    bool does_send_sums, does_check_sums; /* the sending, the receiving device */
    bool are_sums_tried;
    struct cw_check_sums by_device, by_software, wrong;
    uint64_t refused; /* by the sending driver */
    uint32_t queues;  /* of the receiving port; 0: not tried */
    uint64_t flows, by_queue[CW_CHECK_QUEUES_MAX];
    uint64_t garbage; /* received as no datagram of the check */
};

struct cw_check_round_trip {
    uint64_t count, min_ns, p50_ns, p99_ns, max_ns;
};

/* An echo (ping) of somebody. */
struct cw_check_echo {
    bool is_tried;
    char address[CW_CHECK_NAME_SIZE];
    uint64_t sent, answered;
    struct cw_check_round_trip round_trip;
};
enum { CW_CHECK_ECHO_GATEWAY, CW_CHECK_ECHO_PEER, CW_CHECK_ECHOES };

struct cw_check_results {
    enum cw_check_mode mode;
    char names[CW_CHECK_WAYS][CW_CHECK_NAME_SIZE]; /* of the ports; way 0 goes from the first to the second */
    char described[CW_CHECK_WAYS][256];            /* as cw_port_describe does */
    uint32_t ports;                                /* that are ours: 1 or 2 */
    bool is_link_up[CW_CHECK_WAYS];
    uint64_t link_ms[CW_CHECK_WAYS];
    bool has_neighbour;
    uint64_t neighbour_ms;
    char next_hop[CW_CHECK_NAME_SIZE]; /* who was asked for */
    uint32_t mtu, vlan, peer_mtu;      /* the last: 0, nobody told */
    uint32_t headers;                  /* of IP and UDP */
    uint64_t not_ours;                 /* frames that came to us, with another address, port or VLAN */
    uint32_t low_rate;                 /* datagrams a second */
    struct cw_check_round_trip round_trip;
    struct cw_check_way ways[CW_CHECK_WAYS];
    struct cw_check_echo echoes[CW_CHECK_ECHOES];
    bool is_kernel_s;    /* the interface: echo is the kernel's */
    bool is_interrupted; /* what was not tried was not for that */
};

enum cw_check_verdict {
    CW_CHECK_PASSED,
    CW_CHECK_WARNED,
    CW_CHECK_FAILED,
    CW_CHECK_NOT_TRIED,
    CW_CHECK_VERDICT_COUNT
};
extern const char *const cw_check_verdict_names[CW_CHECK_VERDICT_COUNT];

#define CW_CHECK_JUDGED_MAX 24u
struct cw_check_judged {
    const char *name;
    int way; /* -1: of both, or of the port */
    enum cw_check_verdict verdict;
    char words[400];
};

struct cw_check_judgement {
    uint32_t count, by_verdict[CW_CHECK_VERDICT_COUNT];
    struct cw_check_judged list[CW_CHECK_JUDGED_MAX];
};

/* Sorts the samples. */
struct cw_check_round_trip cw_check_percentiles(uint64_t *samples_ns, uint64_t count);
void cw_check_judge(const struct cw_check_results *results, struct cw_check_judgement *judgement);
