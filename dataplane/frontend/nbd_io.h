/* SPDX-License-Identifier: BSD-3-Clause */
/* Moves a server's bytes through the lcore's io_uring. Private to the server. */
#pragma once

#include "frontend/nbd_connection.h"
#include "frontend/nbd_listen.h"

/* A socket with the exports on it. */
struct cw_nbd_listener {
    struct cw_nbd *server;
    bool is_used;
    bool is_closing;
    bool is_accepting;       /* an accept is in the ring */
    bool is_paused;          /* accept failed (no descriptors): tried again at pause_until_ns */
    uint64_t pause_until_ns; /* 0: to be set from the next time told */
    uint32_t export_count;
    struct cw_nbd_listen listen;
    struct cw_uring_op accept_op;
};

/* After advance: prepares what the connection wants, closes it when it is over. */
void cw_nbd_io_connection(struct cw_nbd_connection *connection);
/* Prepares the next accept; a closing listener is closed when none is in the ring. */
void cw_nbd_io_listener(struct cw_nbd_listener *listener);
