/* SPDX-License-Identifier: BSD-3-Clause */
/* An IP address of either version, in the order of the wire. Bytes beyond those of its version are 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define CW_IP_BYTES_MAX 16u

struct cw_ip {
    uint8_t version; /* 4 or 6; 0: no address */
    uint8_t bytes[CW_IP_BYTES_MAX];
};

static inline size_t cw_ip_size(const struct cw_ip *ip)
{
    return ip->version == 6 ? 16 : 4;
}

static inline struct cw_ip cw_ip_v4(uint32_t host_order)
{
    struct cw_ip ip = {.version = 4};
    cw_store32be(ip.bytes, host_order);
    return ip;
}

static inline struct cw_ip cw_ip_v6(const uint8_t bytes[16])
{
    struct cw_ip ip = {.version = 6};
    memcpy(ip.bytes, bytes, sizeof ip.bytes);
    return ip;
}

static inline bool cw_ip_is_equal(const struct cw_ip *a, const struct cw_ip *b)
{
    return a->version == b->version && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* An address that is good on its own link only (fe80::/10); IPv4 ones are not told apart here. */
static inline bool cw_ip_is_link_local(const struct cw_ip *ip)
{
    return ip->version == 6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* Do both lie in one network of this many leading bits? They are of one version, which has as many. */
static inline bool cw_ip_is_same_network(const struct cw_ip *a, const struct cw_ip *b, uint8_t prefix_bits)
{
    unsigned whole = prefix_bits / 8, rest = prefix_bits % 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return rest == 0 || ((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0;
}
