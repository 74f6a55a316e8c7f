/* SPDX-License-Identifier: BSD-3-Clause */
#include "wanem/mark.h"

enum { TYPE_AT = 12, TAG = 4, V4_BYTES = 20, V4_CHECKSUM = 10, V6_BYTES = 40, CE = 3 };

static bool is_type(const uint8_t *at, uint16_t type)
{
    return at[0] == type >> 8 && at[1] == (type & 0xff);
}

/* ECT(0) is 2, ECT(1) is 1. */
static bool is_capable(unsigned ecn)
{
    return ecn == 1 || ecn == 2;
}

/* RFC 1624: what the sum loses by the old word and wins by the new one. */
static bool mark_v4(uint8_t *ip)
{
    if (!is_capable(ip[1] & CE))
        return false;
    uint32_t old = (uint32_t)ip[0] << 8 | ip[1];
    uint32_t sum = (uint32_t)ip[V4_CHECKSUM] << 8 | ip[V4_CHECKSUM + 1];
    ip[1] |= CE;
    sum = (~sum & 0xffff) + (~old & 0xffff) + ((uint32_t)ip[0] << 8 | ip[1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    ip[V4_CHECKSUM] = (uint8_t)(sum >> 8);
    ip[V4_CHECKSUM + 1] = (uint8_t)sum;
    return true;
}

static bool mark_v6(uint8_t *ip)
{
    if (!is_capable(ip[1] >> 4 & CE))
        return false;
    ip[1] |= CE << 4;
    return true;
}

bool cw_wan_mark(uint8_t *frame, size_t length)
{
    size_t at = TYPE_AT;
    while (at + TAG + 2 <= length && (is_type(frame + at, 0x8100) || is_type(frame + at, 0x88a8)))
        at += TAG;
    if (at + 2 + V4_BYTES > length)
        return false;
    uint8_t *ip = frame + at + 2;
    if (is_type(frame + at, 0x0800) && ip[0] >> 4 == 4)
        return mark_v4(ip);
    return is_type(frame + at, 0x86dd) && at + 2 + V6_BYTES <= length && ip[0] >> 4 == 6 && mark_v6(ip);
}
