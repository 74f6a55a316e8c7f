/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake, as a function over bytes: what the client sent goes in, what to answer comes out. It knows
 * no sockets, no volumes and no time; whoever calls it has a table of what can be had on this socket.
 *
 *     FLAGS --4 bytes--> OPTION <--> SKIP          (an option too long to look into is read past)
 *                          +--> CHOSEN or CLOSE    (told by the result, the machine is then finished)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frontend/nbd_protocol.h"

/* One export as the handshake sees it. Borrowed for a call. */
struct cw_nbd_offer {
    const char *name;        /* at most CW_NBD_NAME_BYTES_MAX bytes */
    const char *description; /* at most 2 * CW_NBD_NAME_BYTES_MAX bytes */
    uint64_t size;
    uint32_t block_size;
};

struct cw_nbd_offers {
    struct cw_nbd_offer offers[CW_NBD_SOCKET_EXPORTS_MAX];
    uint32_t count;
};

enum cw_nbd_handshake_phase { CW_NBD_PHASE_FLAGS, CW_NBD_PHASE_OPTION, CW_NBD_PHASE_SKIP };

struct cw_nbd_handshake {
    uint8_t phase; /* enum cw_nbd_handshake_phase */
    bool is_fixed, no_zeroes;
    bool is_structured;
    bool has_context;                             /* base:allocation was asked for ... */
    char context_name[CW_NBD_NAME_BYTES_MAX + 1]; /* ... for this export */
    uint32_t skip_option, skip_left;
    uint32_t chosen; /* index into the offers of the step that said CHOSEN */
};

/* Room to append to. */
struct cw_nbd_out {
    uint8_t *bytes;
    size_t length, capacity;
};

enum cw_nbd_handshake_result {
    CW_NBD_HANDSHAKE_MORE,   /* nothing can be done with so few bytes */
    CW_NBD_HANDSHAKE_MOVED,  /* something was consumed */
    CW_NBD_HANDSHAKE_CHOSEN, /* transmission begins after the bytes consumed */
    CW_NBD_HANDSHAKE_CLOSE,  /* send what is in out, then close: the client asked for it */
    CW_NBD_HANDSHAKE_BROKEN, /* the client does not speak this protocol */
};

/* The greeting is appended to out. */
void cw_nbd_handshake_init(struct cw_nbd_handshake *handshake, struct cw_nbd_out *out);
/* One step at most: at most CW_NBD_ANSWER_BYTES_MAX are appended to out, which must have room for them. */
enum cw_nbd_handshake_result cw_nbd_handshake_step(struct cw_nbd_handshake *handshake,
                                                   const struct cw_nbd_offers *offers, const uint8_t *bytes,
                                                   size_t length, size_t *consumed, struct cw_nbd_out *out);
/* What an export offers to a client that negotiated like this. */
uint16_t cw_nbd_export_flags(bool is_structured);
