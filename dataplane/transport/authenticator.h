/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a session knows of certificates: that somebody beside it, the authenticator, talks to the peer's in
 * bytes of their own, and in the end says yes, with a secret that both of them hold, or no, with a reason.
 * The session carries the bytes (carry.h); what they mean, and how long judging takes, it does not know.
 *
 *   session -> authenticator   BEGIN, BYTES from the peer in their order, UP: this attempt's session lives
 *   authenticator -> session   OUT: bytes for the peer; KEYED or REFUSED: the verdict; ENDED: the peer of
 *                              this attempt, even if its session lives, is to be believed no more
 *
 * One attempt at a time; a BEGIN ends the one before. Each has a number, and an answer to another attempt
 * than the present one is nothing (ENDED: also to the one that is live). After REFUSED, OUT that came before
 * it (an alert for the peer) still leaves. The context of BEGIN binds names, roles, protocol version, both
 * sessions' numbers and randoms: the secret must depend on it. It may also depend on nothing that only one
 * side says: a verdict KEYED before the peer's is normal, and the session waits for the peer's proof.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_AUTH_CHUNK         1024u
#define CW_AUTH_CONTEXT_BYTES 32u
#define CW_AUTH_SECRET_BYTES  32u

enum cw_auth_request_type { CW_AUTH_BEGIN = 1, CW_AUTH_BYTES, CW_AUTH_UP };

struct cw_auth_request {
    uint8_t type;
    bool is_initiator; /* BEGIN */
    uint16_t length;   /* BYTES */
    uint32_t attempt;
    union {
        uint8_t context[CW_AUTH_CONTEXT_BYTES]; /* BEGIN */
        uint8_t bytes[CW_AUTH_CHUNK];           /* BYTES */
    };
};

/* Why a peer is not believed, or does not believe us. */
enum cw_auth_reason {
    CW_AUTH_NO_REASON = 0,
    CW_AUTH_NO_CERTIFICATE,
    CW_AUTH_OTHER_AUTHORITY, /* signed by an authority that is not ours */
    CW_AUTH_OTHER_SITE,      /* ours, but of another site, node or cluster than this path leads to */
    CW_AUTH_EXPIRED,
    CW_AUTH_NOT_YET_VALID,
    CW_AUTH_REVOKED,
    CW_AUTH_STALE_REVOCATIONS, /* our list of revocations is not good any more: nothing can be judged */
    CW_AUTH_REFUSED_BY_PEER,
    CW_AUTH_BROKEN, /* not the bytes of an honest peer, or an error of our own */
    CW_AUTH_REASON_COUNT
};

enum cw_auth_answer_type { CW_AUTH_OUT = 1, CW_AUTH_KEYED, CW_AUTH_REFUSED, CW_AUTH_ENDED };

struct cw_auth_answer {
    uint8_t type;
    uint8_t reason;  /* REFUSED, ENDED: enum cw_auth_reason */
    uint16_t length; /* OUT */
    uint32_t attempt;
    union {
        uint8_t secret[CW_AUTH_SECRET_BYTES]; /* KEYED */
        uint8_t bytes[CW_AUTH_CHUNK];         /* OUT */
    };
};
