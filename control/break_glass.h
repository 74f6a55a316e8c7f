/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tokens by which operators promote a site when no quorum of the store is left. Pure but for OpenSSL, which
 * checks signatures (Ed25519): texts, keys and a time go in, a verdict with words comes out.
 *
 * A token is one line that can be read, and dictated, by people:
 *
 *     causeway-break-glass-1:CLUSTER:GROUP-ID:GROUP:EPOCH:SITE:20261122T211500Z:alice:SIGNATURE
 *     '------------------- request -------------------------'  until (UTC)     who   128 digits
 *
 * and signed is all of it before the last colon: nothing else is said, so nothing of it can be exchanged. It
 * counts for one cluster, group, site and epoch: the highest that the site which is to be promoted knows of
 * when it is used. A promotion raises that, so no token works twice; what was used is remembered besides. The
 * first word is in no other thing that these keys sign.
 *
 * Expiry is by the wall clock of the site that is promoted. One that goes late lets a token live for as much
 * longer; one that goes early refuses good ones until it is set right. Neither can make a token count for
 * another group, site or epoch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/decide.h"
#include "engine/config/node_config.h"

#define CW_TOKEN_SIZE      384u /* a token with its end; the longest has less */
#define CW_TOKEN_HOURS_MAX 72u
#define CW_TOKENS_MAX      CW_CONFIG_OPERATOR_KEYS
#define CW_TOKEN_SIGNATURE 64u
#define CW_TOKEN_SEED      32u /* a private key */

/* What operators are asked to say: that the site may take over from this epoch, because whoever held it
 * writes no more. */
struct cw_token_request {
    char cluster[CW_CONFIG_NAME_SIZE];
    uint32_t group;
    char name[CW_NAME_SIZE]; /* of the group */
    uint64_t epoch;
    char site[CW_NAME_SIZE];
};

struct cw_token {
    struct cw_token_request request;
    int64_t until; /* seconds since 1970 */
    char who[CW_CONFIG_NAME_SIZE];
    uint8_t signature[CW_TOKEN_SIGNATURE];
    uint32_t signed_length; /* of its text */
};

/* text: CW_TOKEN_SIZE. */
void cw_token_request_format(const struct cw_token_request *request, char *text);
/* Foreign bytes, and only the one way to write it down. false: it is none. */
bool cw_token_request_parse(const char *text, struct cw_token_request *request);
bool cw_token_parse(const char *text, struct cw_token *token);
/* CW_INVALID: a name or a time that cannot be. CW_IO: OpenSSL said no. text: CW_TOKEN_SIZE. */
enum cw_status cw_token_sign(const struct cw_token_request *request, int64_t until, const char *who,
                             const uint8_t seed[CW_TOKEN_SEED], char *text) CW_MUST_CHECK;
/* "20261122T211500Z"; text: 17 bytes. */
void cw_token_time(int64_t seconds, char *text);

/* Of a token that was used: not the token, so that the file of them is worth nothing to a thief. */
struct cw_token_mark {
    uint8_t digest[32];
};

struct cw_token_facts {
    const struct cw_config_break_glass *keys;
    struct cw_token_request wanted; /* what they must say, as it is here and now */
    int64_t now;                    /* of the wall clock, seconds */
    const struct cw_token_mark *used;
    uint32_t used_count;
};

/* YES: words name who signed; marks (CW_TOKENS_MAX) are those of all. NO: why, and what to do. A token that
 * is wrong in itself refuses all of them, whatever the others are. */
struct cw_verdict cw_tokens_judge(const char *const *texts, uint32_t count,
                                  const struct cw_token_facts *facts, struct cw_token_mark *marks);

/* What another site of the group says of it. Its engine's words are those of its last status. */
struct cw_token_site {
    const char *name;
    bool is_told;      /* its controller is heard */
    bool is_alive;     /* and says that its engine runs */
    bool has_path;     /* a path leads to its engine */
    bool is_primary;   /* it serves, or is on its way to: primary, draining, drained, claiming */
    uint64_t epoch;    /* the latest that its engine knows of */
    uint64_t breaking; /* tokens let it claim this epoch, and it has not yet; 0: none */
    uint64_t held;     /* it holds the group by tokens, outside of the store, in this epoch; 0: not */
};

struct cw_token_sites {
    const char *group, *site; /* who is to be promoted */
    const char *holder;       /* as the store last said: it may be long over */
    uint64_t store_epoch;
    uint64_t own_epoch; /* the latest that our engine has in its journal */
    bool accept_loss;
    uint32_t rank, count;                    /* of ours among the group's sites */
    struct cw_token_site others[CW_SET_MAX]; /* in the order of the group's sites */
    uint32_t ranks[CW_SET_MAX];              /* theirs */
};

/* Does anybody who is heard here speak against it? NO: who, and what to do. LATER: a site that tokens promote
 * as well is heard, and gives up when it hears of this one. YES: words name the sites of which nothing is
 * heard, "": of none. */
struct cw_verdict cw_tokens_judge_sites(const struct cw_token_sites *facts);

/* The epoch of a reign that the store does not give: none that it ever gives by itself, one after the other,
 * comes to this. known: the highest that anybody here knows of. */
uint64_t cw_break_glass_epoch(uint64_t known);
