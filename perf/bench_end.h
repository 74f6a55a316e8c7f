/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One end of a session at its ports, turned as a net lcore turns its peers. Messages carry the hash of their
 * body, their time and their number; who receives checks the hash. One thread owns an end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "io/port.h"
#include "transport/session.h"

struct bench_end_config {
    bool is_initiator;
    uint32_t path_count;
    struct cw_port *ports[CW_SESSION_PATHS_MAX];
    enum cw_rate_kind rate_kind;
    uint64_t rate_bytes_per_second;
    struct cw_fec_config fec;
    uint32_t packets_in_flight, messages; /* at most; packets of each path */
};

struct bench_end {
    struct cw_session *session;
    uint32_t path_count;
    struct bench_end_path {
        struct bench_end *end;
        struct cw_port *port;
        uint32_t number;
    } paths[CW_SESSION_PATHS_MAX];
    void *memory;
    uint64_t now_ns;    /* of this turn */
    uint64_t timers_ns; /* when the session's are looked at again */
    uint32_t messages_max, outstanding;
    uint64_t sent_messages;
    uint64_t delivered_bytes; /* of bodies, by the other end's acknowledgement */
    uint64_t received_messages, received_bytes;
    bool is_up;
    uint64_t down_at_ns;
    uint32_t gap_count; /* times that it was down between two sessions */
    uint64_t gap_ns;    /* all of them */
    /* For each message, before its buffer goes back; may be NULL. */
    void (*on_received)(struct bench_end *end, uint64_t number, uint64_t sent_ns);
    void *context;
};

/* Ends the process where memory lacks, or a received body is not what was sent. */
void bench_end_open(struct bench_end *end, const struct bench_end_config *config);
void bench_end_close(struct bench_end *end);
/* Receives, does what is due, sends. */
void bench_end_turn(struct bench_end *end);
/* False: it takes none now. body stays as it is until the end is closed. */
bool bench_end_send(struct bench_end *end, const uint8_t *body, uint32_t body_length);
/* As many as it takes, out of some megabytes of random bytes. */
void bench_end_feed(struct bench_end *end, uint32_t body_length);
/* What this thread has spent. */
uint64_t bench_cpu_ns(void);
/* A HELLO as strangers send them to an end that answers, the number-th of many: with a false MAC, without a
 * cookie, or with a good one, which it asks the end for. Nothing else turns the end meanwhile. */
#define BENCH_HELLO_BYTES 256u
void bench_end_strange(struct bench_end *end, uint32_t number, uint8_t hello[BENCH_HELLO_BYTES]);
/* CPU time in ns that the end spends on one of these HELLOs, of as many as come in a second of its life while
 * its session is up. It is for the end of a run: the session has grown older than the clock. */
double bench_end_hello_ns(struct bench_end *end, const uint8_t (*hellos)[BENCH_HELLO_BYTES],
                          uint32_t hello_count, uint64_t each_ns);
/* A new sending key after so many bytes sealed; 0: as late as always. */
void bench_end_rekey(struct bench_end *end, uint64_t bytes);
