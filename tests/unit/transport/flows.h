/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several flows through one bottleneck in virtual time: for what rate control does to a link and to its
 * neighbours. A flow is two real sessions, under a seal that does nothing; its sender has always a message to
 * send, or so many bytes a second, or is paused.
 *
 *   senders -> the bottleneck: rate, buffer in bytes, marks above a threshold -> the flow's own link ->
 * receivers receivers -> the flow's own link, of no limited rate -> senders
 *
 * Everything may be changed while it runs. It uses malloc: it is a test's, not the data plane's.
 */
#pragma once

#include "link.h"
#include "transport/session.h"

#define CW_FLOWS_MAX 8u

struct cw_bottleneck {
    uint64_t rate_bytes_per_second;
    uint64_t buffer_bytes; /* what would stand in a longer queue is dropped */
    uint64_t mark_bytes;   /* what joins a queue longer than this is marked CE; 0: never */
    uint64_t free_ns;      /* when the last byte has left */
    uint64_t passed_bytes, dropped, marked;
    uint64_t bucket_bytes; /* a policer instead of a queue: the depth of its bucket; 0: none */
    uint64_t tokens, tokens_ns;
};

struct cw_flow {
    struct cw_session *sides[2]; /* 0 sends */
    void *memory[2];
    struct cw_link out, back;
    uint64_t start_ns;
    uint64_t batch_ns; /* acks come in batches, this far apart; 0: each by itself */
    uint64_t poll_ns;  /* both sides are only looked after this far apart, irregularly; 0: whenever due */
    uint64_t next_poll_ns;
    struct cw_rng poll_rng;
    bool is_paused;
    enum cw_stream stream;                    /* of what it sends; live */
    uint32_t sent_of_stream[CW_STREAM_COUNT]; /* datagrams of data that have left the sender */
    uint64_t app_bytes_per_second;            /* 0: as much as it can */
    uint64_t app_next_ns;
    uint64_t delivered_bytes; /* of message bodies */
    char held_told[32];       /* the first CW_SESSION_PATH_HELD: F, Y or T for each */
};

struct cw_flows {
    uint64_t now_ns;
    uint64_t seed;
    uint32_t datagram_bytes, packets_in_flight_max, receive_large;
    struct cw_fec_config fec; /* of flows that are added, as the two that follow */
    struct cw_fixed_config guard;
    uint64_t shaper_bytes_per_second; /* 0: no limit */
    struct cw_bottleneck bottleneck;
    uint32_t count;
    struct cw_flow flow[CW_FLOWS_MAX];
};

/* window_bytes: what a flow may have in flight as far as memory and credit go. */
void cw_flows_init(struct cw_flows *flows, uint64_t rate_bytes_per_second, uint64_t buffer_bytes,
                   uint32_t datagram_bytes, uint64_t window_bytes);
/* Starts at start_ns. rtt_ns without any queue. */
struct cw_flow *cw_flows_add(struct cw_flows *flows, enum cw_rate_kind kind, uint64_t rtt_ns,
                             uint64_t start_ns);
void cw_flows_fini(struct cw_flows *flows);

/* Until the time, or until done says so: then true. done may be NULL. */
bool cw_flows_run(struct cw_flows *flows, uint64_t until_ns, bool (*done)(struct cw_flows *flows));
uint64_t cw_flows_queue_bytes(const struct cw_flows *flows);
/* Share of the bottleneck's rate that bytes of messages can be, at most. */
double cw_flows_payload_share(const struct cw_flows *flows);
