/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/carry.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

void cw_carry_reset(struct cw_carry *c)
{
    memset(c, 0, sizeof *c); /* what an authenticator said of itself is not kept either */
}

bool cw_carry_put(struct cw_carry *c, const uint8_t *bytes, size_t length)
{
    if (length > CW_CARRY_BYTES_MAX - c->put)
        return false;
    memcpy(c->out + c->put, bytes, length);
    c->put += (uint32_t)length;
    return true;
}

size_t cw_carry_take(struct cw_carry *c, uint8_t *bytes, size_t room)
{
    size_t length = CW_MIN(room, (size_t)(c->got - c->taken));
    memcpy(bytes, c->in + c->taken, length);
    c->taken += (uint32_t)length;
    return length;
}

static bool has(const struct cw_carry *c, uint32_t at)
{
    return c->have[at / 8] >> at % 8 & 1;
}

/* Byte by byte, a few thousand a handshake. The first that came of a byte stays: a repetition changes
 * nothing. */
static void keep(struct cw_carry *c, uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint32_t at = offset + i;
        if (has(c, at))
            continue;
        c->in[at] = bytes[i];
        c->have[at / 8] |= (uint8_t)(1u << at % 8);
    }
    while (c->got < CW_CARRY_BYTES_MAX && has(c, c->got))
        c->got++;
}

bool cw_carry_on_fragment(struct cw_carry *c, uint32_t acked, uint32_t offset, const uint8_t *bytes,
                          size_t length)
{
    if (acked > c->put || offset > CW_CARRY_BYTES_MAX || length > CW_CARRY_BYTES_MAX - offset)
        return false;
    c->acked = CW_MAX(c->acked, acked);
    c->sent = CW_MAX(c->sent, c->acked); /* after a resend an old ack may cover what is to be sent again */
    if (length == 0)
        return true;
    c->ack_due = true;
    keep(c, offset, bytes, (uint32_t)length);
    return true;
}

bool cw_carry_has_output(const struct cw_carry *c)
{
    return c->sent < c->put || c->ack_due;
}

bool cw_carry_next(struct cw_carry *c, size_t room, uint32_t *offset, uint8_t *bytes, size_t *length)
{
    CW_ASSERT(room > 0);
    if (!cw_carry_has_output(c))
        return false;
    *offset = c->sent;
    *length = CW_MIN(room, (size_t)(c->put - c->sent));
    memcpy(bytes, c->out + c->sent, *length);
    c->sent += (uint32_t)*length;
    c->ack_due = false;
    return true;
}

bool cw_carry_is_acked(const struct cw_carry *c)
{
    return c->acked == c->put;
}

void cw_carry_resend(struct cw_carry *c)
{
    c->sent = c->acked;
}
