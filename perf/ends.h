/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of the two ports of one program that carry a session between them. */
#pragma once

#include "io/port.h"

static inline void bench_address(struct cw_port_config *config, unsigned end)
{
    for (unsigned i = 0; i < 2; i++) {
        bool is_own = i == end;
        struct cw_ip *ip = is_own ? &config->local_ip : &config->remote_ip;
        uint8_t *mac = is_own ? config->local_mac : config->remote_mac;
        *ip = (struct cw_ip){.version = 4, .bytes = {192, 0, 2, (uint8_t)(1 + i)}};
        mac[0] = 2;
        mac[5] = (uint8_t)(1 + i);
    }
    config->local_udp = config->remote_udp = 1000;
}
