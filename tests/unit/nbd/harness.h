/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server without sockets: the test is the kernel. It puts a client's bytes where the connection's receive
 * window says, takes what the transmit window shows, and plays the engine through cw_memory.
 */
#pragma once

#include "frontend/nbd_io.h"
#include "memory.h"

#define HARNESS_SENT_MAX (1u << 20)

struct harness {
    struct cw_nbd server;
    struct cw_memory memory;
    struct cw_nbd_connection *connection; /* the one that is talked to */
    uint8_t *sent;                        /* what the server sent on it, HARNESS_SENT_MAX bytes of room */
    size_t sent_length;
    uint64_t now_ns;
    uint64_t deaf; /* a bit for each connection, by its index, that reads no replies */
};

struct harness_options {
    uint64_t size;
    uint32_t block_size, slices, connections_max, requests_max;
};

/* All in one static block: one harness at a time. */
void harness_start(struct harness *h, const struct harness_options *options);
/* Opens another connection and makes it the current one; NULL when there is no place. */
struct cw_nbd_connection *harness_connect(struct harness *h);
/* Gives at most `length` bytes as far as the windows take them, in pieces of at most piece_max; returns how
 * many were taken. */
size_t harness_feed(struct harness *h, const uint8_t *bytes, size_t length, size_t piece_max);
/* A loop turn: flush, then everything to be sent is sent, in pieces of at most piece_max; and the dead are
 * buried. */
void harness_turn(struct harness *h, size_t piece_max);
/* The client is gone. */
void harness_hang_up(struct harness *h);
/* Completes everything, ends everything, and asserts that nothing is left. */
void harness_stop(struct harness *h);

/* A client's bytes. Each returns the length appended. */
size_t harness_put_option(uint8_t *to, uint32_t option, const void *data, uint32_t length);
size_t harness_put_go(uint8_t *to, uint32_t option, const char *name);
size_t harness_put_request(uint8_t *to, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset,
                           uint32_t length);
/* Flags, optionally STRUCTURED_REPLY and base:allocation, then GO: into transmission, answers dropped. */
void harness_negotiate(struct harness *h, bool is_structured);
