/* SPDX-License-Identifier: BSD-3-Clause */
/* What a memif port needs beside its ethdev. Private to io/; memif.c tells why. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "io/guard.h"
#include "wire/packet.h"

struct cw_memif {
    uint16_t port;
    bool is_client;
    bool has_keeper;
    struct cw_guard *guards[CW_LANES_MAX]; /* one a queue; borrowed */
    uint32_t guard_count;
    char socket[108];
    int probe;              /* connection that asks whether the server accepts; -1: none */
    cw_counter *reconnects; /* counts attempts; borrowed */
    pthread_t keeper;
    _Atomic bool must_stop;
};

/* Main thread. Starts the port, whose queues' guards stand in memif, and a client's keeper. 0 or -errno. */
int cw_memif_start(struct cw_memif *memif, uint16_t port, const char *device, cw_counter *reconnects);
/* Main thread, once the lcore has stopped polling. Stops and closes the port. */
void cw_memif_close(struct cw_memif *memif);
