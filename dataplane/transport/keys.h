/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys: HKDF-SHA256 (RFC 5869) and what a handshake derives with it. libsodium's X25519, SHA-256 and HMAC;
 * nothing here keeps state or reads a clock.
 *
 *   mac keys, one a direction   = expand(extract("causeway handshake 1", cluster key), label | names)
 *   secrets of one attempt      = expand(extract("causeway seed 1", seed), label)
 *   confirms                    = expand(extract(cluster key, X25519(a, B)), label | transcript)
 *   traffic keys of a path      = expand(the same, label | transcript | number of the path)
 *   chain, one a direction      = likewise; of later generations key and chain = expand(chain, label)
 *   transcript                  = SHA-256 of protocol version, names by role, both randoms, shares, limits,
 *                                 the lane, paths with their SPIs
 *
 * The cluster key proves membership and never seals data; without the X25519 secret it opens no old capture.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/offer.h"

#define CW_KEY_SIZE  32u
#define CW_HASH_SIZE 32u
#define CW_MAC_SIZE  16u /* HMAC-SHA256, truncated */
#define CW_SEED_SIZE 64u
#define CW_NAME_SIZE 32u

struct cw_bytes {
    const void *data;
    size_t length;
};

void cw_hkdf_extract(struct cw_bytes salt, struct cw_bytes key, uint8_t prk[CW_HASH_SIZE]);
/* out_length <= 255 * 32. info is the concatenation of info_count pieces. */
void cw_hkdf_expand(const uint8_t prk[CW_HASH_SIZE], const struct cw_bytes *info, size_t info_count,
                    uint8_t *out, size_t out_length);
void cw_hmac(const uint8_t key[CW_KEY_SIZE], const struct cw_bytes *pieces, size_t count,
             uint8_t mac[CW_HASH_SIZE]);

/* Both ends of the association by role, zero-padded. */
struct cw_names {
    uint8_t initiator[CW_NAME_SIZE];
    uint8_t responder[CW_NAME_SIZE];
};

struct cw_mac_keys {
    uint8_t from_initiator[CW_KEY_SIZE];
    uint8_t from_responder[CW_KEY_SIZE];
};
void cw_keys_mac(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                 struct cw_mac_keys *keys);

/* What one side brings to one attempt. */
struct cw_ephemeral {
    uint8_t random[CW_RANDOM_SIZE];
    uint8_t secret[CW_KEY_SIZE];
    uint8_t share[CW_SHARE_SIZE];
    uint32_t spi[CW_OFFER_PATHS_MAX]; /* of each path; never CW_SPI_HANDSHAKE */
};
void cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral);
/* A secret of the process for cookies; a different label of the first seed. */
void cw_keys_cookie_secret(const uint8_t seed[CW_SEED_SIZE], uint8_t secret[CW_KEY_SIZE]);

struct cw_path_keys {
    uint8_t from_initiator[CW_KEY_SIZE];
    uint8_t from_responder[CW_KEY_SIZE];
    uint8_t chain_from_initiator[CW_KEY_SIZE]; /* what later generations of the keys are made from */
    uint8_t chain_from_responder[CW_KEY_SIZE];
};

struct cw_session_keys {
    uint8_t initiator_confirm[CW_HASH_SIZE]; /* the very bytes that prove possession */
    uint8_t responder_confirm[CW_HASH_SIZE];
    struct cw_path_keys paths[CW_OFFER_PATHS_MAX]; /* by number, for as many as the initiator has */
};
/* The next generation of one direction. The chain moves on: from what it becomes no older key can be made. */
void cw_keys_next(uint8_t chain[CW_KEY_SIZE], uint8_t key[CW_KEY_SIZE]);
/* Everything that both said in the open, by role, and the protocol's version. */
void cw_keys_transcript(const struct cw_names *names, const struct cw_offer *initiator,
                        const struct cw_offer *responder, uint8_t transcript[CW_HASH_SIZE]);
/* false: the peer's share is a point of small order; there are no keys. With certificates, the secret that
 * the authenticators share stands in the place of the cluster key. */
bool cw_keys_session(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                     const struct cw_offer *initiator, const struct cw_offer *responder,
                     const uint8_t own_secret[CW_KEY_SIZE], bool is_initiator, struct cw_session_keys *keys);
