/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wanem process between two memif ports of this process, for its tests and its benchmark. After
 * cw_eal_start, on the main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/port.h"

#define CW_WANEM_ARGUMENTS_MAX 16u

struct cw_wanem_pair {
    char folder[64];
    pid_t pid;
    struct cw_port *ports[2]; /* what is sent at one comes out of the other */
    uint16_t mtu;
};

/* `more`: further arguments of the program, NULL at the end. False with words: nothing of it is left, and it may be closed
 * all the same. */
bool cw_wanem_pair_open(struct cw_wanem_pair *pair, const char *program, uint16_t mtu,
                        const char *const *more, char *why, size_t why_size);
/* The last port ends first, then the program by SIGTERM. True: it ended well; what it counted is in json. What is closed may be
 * closed again. */
bool cw_wanem_pair_close(struct cw_wanem_pair *pair, char *json, size_t json_size);
/* The number behind the index-th "name": of the counters; UINT64_MAX: there is none. */
uint64_t cw_wanem_counter(const char *json, const char *name, unsigned index);
uint64_t cw_wanem_now_ns(void);
