/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two byte streams between two authenticators, made reliable over datagrams: what one puts in, the other
 * takes out, whole and in order, whatever is lost, doubled or overtaken on the way. Each at most
 * CW_CARRY_BYTES_MAX bytes a handshake: a peer that wants more is broken or means ill.
 *
 * A fragment names its offset and what was received unbroken from the other side. All that is not
 * acknowledged may be in flight; a timer of the handshake sends it again. A fragment with bytes is
 * acknowledged at once, one without never, so two sides cannot keep each other busy.
 *
 * Invariants: acked <= sent <= put <= CW_CARRY_BYTES_MAX, taken <= got <= CW_CARRY_BYTES_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_CARRY_BYTES_MAX 16384u

struct cw_carry {
    uint32_t put;   /* towards the peer: given by the authenticator */
    uint32_t sent;  /* since the last resend */
    uint32_t acked; /* received by the peer, unbroken */
    uint32_t got;   /* from the peer, unbroken */
    uint32_t taken; /* by the authenticator */
    bool ack_due;
    uint8_t out[CW_CARRY_BYTES_MAX];
    uint8_t in[CW_CARRY_BYTES_MAX];
    uint8_t have[CW_CARRY_BYTES_MAX / 8]; /* a bit a byte of `in` */
};

void cw_carry_reset(struct cw_carry *carry);
/* From our authenticator. False: more than fits, nothing was taken. */
bool cw_carry_put(struct cw_carry *carry, const uint8_t *bytes, size_t length);
/* For our authenticator: the next bytes in order, at most room; 0: none yet. */
size_t cw_carry_take(struct cw_carry *carry, uint8_t *bytes, size_t room);
/* Foreign. False: out of range, nothing was taken. */
bool cw_carry_on_fragment(struct cw_carry *carry, uint32_t acked, uint32_t offset, const uint8_t *bytes,
                          size_t length);
/* The next fragment to send, copied to bytes; its length may be 0 (an ack alone). False: nothing is due. */
bool cw_carry_next(struct cw_carry *carry, size_t room, uint32_t *offset, uint8_t *bytes, size_t *length);
bool cw_carry_has_output(const struct cw_carry *carry);
/* The peer has all that was put. */
bool cw_carry_is_acked(const struct cw_carry *carry);
/* What was not acknowledged is due again. */
void cw_carry_resend(struct cw_carry *carry);
