/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection as a machine: bytes in, block requests out, completions in, bytes out. It does no I/O:
 * nbd_io.c asks where the next bytes should go and what is to be sent, and tells what happened. Tests and the
 * fuzzer do the same without a socket.
 *
 *   HANDSHAKE ---chosen---> HEADER <--> PAYLOAD | DRAIN | WAIT_BUFFERS | WAIT_ROOM | WAIT_SLOT
 *       |                      |   (disconnect asked, export removed, shut down)
 *       |                      v
 *       +----abort------> FINISHING ---last reply sent---> CLOSING ---all given back---> FREE
 *   any of them ---client gone, or babbling---> CLOSING
 */
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "frontend/nbd.h"
#include "frontend/nbd_commands.h"
#include "frontend/nbd_options.h"
#include "frontend/nbd_reply.h"

#define CW_NBD_BUFFER_BYTES    65536u     /* receive buffer: many small requests in one receive */
#define CW_NBD_OUT_BYTES       4096u      /* handshake answers not yet sent */
#define CW_NBD_TRANSMIT_IOVECS 128u       /* pieces gathered into one send */
#define CW_NBD_TRANSMIT_BYTES  (1u << 20) /* and about so many bytes, so that buffers come back early */
#define CW_NBD_RECEIVE_IOVECS  (CW_REQUEST_SLICES_MAX + 1u)
#define CW_NBD_LARGE_PAYLOAD   16384u /* from here on payload bytes are received in place, none copied */

static_assert(CW_NBD_BUFFER_BYTES >= CW_NBD_OPTION_HEADER_BYTES + CW_NBD_OPTION_BYTES_MAX,
              "an option that we look into fits in the buffer");
static_assert(CW_NBD_OUT_BYTES >= CW_NBD_ANSWER_BYTES_MAX + CW_NBD_GREETING_BYTES,
              "the first option can be answered");

enum cw_nbd_connection_state {
    CW_NBD_FREE,
    CW_NBD_HANDSHAKE,    /* waits for bytes of the client, with a deadline */
    CW_NBD_HEADER,       /* waits for a request */
    CW_NBD_PAYLOAD,      /* waits for the rest of a WRITE's data */
    CW_NBD_DRAIN,        /* waits for the rest of a refused WRITE's data */
    CW_NBD_WAIT_BUFFERS, /* `current` waits for cw_nbd_on_room */
    CW_NBD_WAIT_ROOM,    /* `current` has all of its data and waits for cw_nbd_on_room */
    CW_NBD_WAIT_SLOT,    /* a header waits until replies have been sent: no slot, or too many bytes held */
    CW_NBD_FINISHING,    /* nothing is read; waits for completions and for the client to take its replies */
    CW_NBD_CLOSING,      /* the client is gone; waits for completions and for the ring */
    CW_NBD_STATE_COUNT
};
extern const struct cw_fsm_row cw_nbd_connection_rows[CW_NBD_STATE_COUNT];

enum cw_nbd_request_state {
    CW_NBD_REQUEST_FREE,
    CW_NBD_REQUEST_ARRIVING,  /* is `current`: being read, or waiting for buffers or room */
    CW_NBD_REQUEST_SUBMITTED, /* the engine has it */
    CW_NBD_REQUEST_PARTED,    /* a part of a long TRIM is done, the next is to be submitted */
    CW_NBD_REQUEST_REPLYING,  /* in the reply queue */
};

/* What a connection in WAIT_BUFFERS, or on the waiting list, waits for. */
enum cw_nbd_waits_for {
    CW_NBD_FOR_ENGINE, /* buffers or room: nobody who wants the same volume overtakes it */
    CW_NBD_FOR_A_DIP,  /* others that hold more than their share: those within theirs overtake it */
    CW_NBD_FOR_ITSELF, /* its own replies to be taken: it is not on the waiting list */
};

struct cw_nbd_request {
    struct cw_block_request block;
    struct cw_nbd_connection *connection;
    struct cw_nbd_request *next; /* free list, reply queue or list of parted ones */
    struct cw_nbd_command command;
    uint64_t left; /* bytes of a TRIM or WRITE_ZEROES beyond block.length, still to be submitted */
    uint8_t state; /* enum cw_nbd_request_state */
    bool has_buffers;
    uint32_t charged; /* bytes in the connection's bytes_held */
    uint32_t owed;    /* bytes in its bytes_owed */
    bool has_data;    /* the slices follow the head in the reply */
    uint32_t head_length;
    uint8_t head[CW_NBD_REPLY_HEAD_MAX];
};

/* A volume as this server knows it. */
struct cw_nbd_export {
    struct cw_block_volume *volume;   /* NULL: a free slot */
    struct cw_nbd_listener *listener; /* NULL once it is being removed */
    char description[2 * CW_NBD_NAME_BYTES_MAX + 1];
    uint32_t connection_count;
    bool is_full; /* scratch of one walk over the waiting */
};

struct cw_nbd_connection {
    struct cw_nbd *server;
    struct cw_nbd_listener *listener; /* where it came in; valid during the handshake */
    struct cw_nbd_export *export;     /* NULL during the handshake */
    uint8_t state;
    bool is_dirty, is_waiting;
    bool is_receiving, is_sending, is_watching; /* set by nbd_io.c: an operation borrows our memory */
    bool was_large; /* the last payload was: keep the next one out of the buffer */
    struct cw_nbd_connection *dirty_next, *waiting_next;
    uint64_t deadline_ns; /* of the handshake or of finishing; 0: to be set from the next time told */
    struct cw_nbd_handshake handshake;
    struct cw_nbd_terms terms;

    uint8_t *buffer; /* bytes [head, tail) are here and not consumed */
    uint32_t head, tail;
    struct cw_nbd_request *current; /* ARRIVING */
    uint32_t payload_done;          /* bytes of its data in place */
    uint32_t drain_left;

    struct cw_nbd_request *requests; /* requests_max of them; from `fresh` on never used, and no memory yet */
    struct cw_nbd_request *free_first;
    uint32_t fresh;
    uint32_t used;                     /* requests not free */
    uint64_t bytes_held;               /* of data: in our hands, the engine\'s, or on the way to the client */
    uint64_t bytes_owed, bytes_dipped; /* of buffers, dipped of the owed: nbd_share.h */
    uint8_t waits_for;                 /* enum cw_nbd_waits_for */
    uint64_t moves, moves_seen, moves_seen_ns; /* to tell who takes no replies and sends no payload */
    struct cw_nbd_request *parted_first;
    struct cw_nbd_request *reply_first, *reply_last;
    size_t reply_sent; /* bytes of reply_first already gone */
    uint8_t *out;      /* handshake answers [out_sent, out_length) */
    uint32_t out_length, out_sent;

    /* Of nbd_io.c. */
    int fd;
    struct cw_uring_op receive_op, send_op, watch_op;
    bool is_shut;
    bool is_quiet; /* the last receive emptied the socket: wait for readiness before trying again */
    struct msghdr receive_message, send_message;
    struct iovec receive_iovecs[CW_NBD_RECEIVE_IOVECS];
    struct iovec send_iovecs[CW_NBD_TRANSMIT_IOVECS];
};

/* Once, at init. */
void cw_nbd_connection_init(struct cw_nbd_connection *connection, struct cw_nbd *server,
                            struct cw_arena *arena);
/* FREE to HANDSHAKE; the greeting is ready to be sent. */
void cw_nbd_connection_open(struct cw_nbd_connection *connection, struct cw_nbd_listener *listener);
/* CLOSING, nothing used, nothing in the ring: to FREE. */
bool cw_nbd_connection_is_over(const struct cw_nbd_connection *connection);
void cw_nbd_connection_free(struct cw_nbd_connection *connection);
bool cw_nbd_connection_valid(const struct cw_nbd_connection *connection);

/* Where the next received bytes go, in order; 0 pieces: do not receive now. Memory is lent until on_bytes or
 * on_end. At most CW_NBD_RECEIVE_IOVECS. */
uint32_t cw_nbd_connection_receive_window(struct cw_nbd_connection *connection, struct iovec *pieces);
/* count > 0 bytes have come. */
void cw_nbd_connection_on_bytes(struct cw_nbd_connection *connection, size_t count);
/* The client is gone, or must be. */
void cw_nbd_connection_on_end(struct cw_nbd_connection *connection);

/* What to send; 0 pieces: nothing. Memory is lent until on_sent or on_end. At most CW_NBD_TRANSMIT_IOVECS. */
uint32_t cw_nbd_connection_transmit_window(struct cw_nbd_connection *connection, struct iovec *pieces);
void cw_nbd_connection_on_sent(struct cw_nbd_connection *connection, size_t count);

/* Goes on where it can: parted requests, bytes in the buffer; then settles FINISHING and CLOSING. */
void cw_nbd_connection_advance(struct cw_nbd_connection *connection);
/* Buffers or room may be had: tries again. False: still waiting, and waits_for says for what. */
bool cw_nbd_connection_retry(struct cw_nbd_connection *connection);
/* Stops reading; what waits is dropped unanswered, the rest is answered as it completes; then closes. */
void cw_nbd_connection_finish(struct cw_nbd_connection *connection);

/* Provided by nbd.c. */
void cw_nbd_mark_dirty(struct cw_nbd_connection *connection);
void cw_nbd_wait_for_room(struct cw_nbd_connection *connection);
void cw_nbd_wait_no_more(struct cw_nbd_connection *connection);
bool cw_nbd_is_anyone_waiting(const struct cw_nbd *server, const struct cw_nbd_export *export);
/* Frees the slot of an export that is removed and has no connections. */
void cw_nbd_export_settle(struct cw_nbd_export *export);
/* The exports of a listener as the handshake wants them. */
void cw_nbd_listener_offers(const struct cw_nbd_listener *listener, struct cw_nbd_offers *offers,
                            struct cw_nbd_export **exports);
