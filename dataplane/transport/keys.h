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
 *                                 paths with their SPIs
 *
 * The cluster key proves membership and never seals data; without the X25519 secret it opens no old capture.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_KEY_SIZE  32u
#define CW_HASH_SIZE 32u
#define CW_MAC_SIZE  16u /* HMAC-SHA256, truncated */
#define CW_SEED_SIZE 64u
#define CW_NAME_SIZE 32u

#define CW_OFFER_PATHS_MAX 4u

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
    uint8_t random[32];
    uint8_t secret[CW_KEY_SIZE];
    uint8_t share[CW_KEY_SIZE];
    uint32_t spi[CW_OFFER_PATHS_MAX]; /* of each path; never CW_SPI_HANDSHAKE */
};
void cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral);
/* A secret of the process for cookies; a different label of the first seed. */
void cw_keys_cookie_secret(const uint8_t seed[CW_SEED_SIZE], uint8_t secret[CW_KEY_SIZE]);

/* What one side says in the open. */
struct cw_path_offer {
    uint64_t name_hash;      /* tells which of the other side's paths it is, when there are several */
    uint32_t spi;            /* the other side is to send to it */
    uint32_t datagram_bytes; /* the largest UDP payload it takes */
    uint16_t fec;            /* blocks of forward error correction that it holds | repairs of each << 12 */
};

struct cw_offer {
    uint8_t random[32];
    uint8_t share[CW_KEY_SIZE];
    uint32_t window;     /* how far a message number may run ahead of the oldest unfinished one */
    uint32_t path_count; /* 1..CW_OFFER_PATHS_MAX; the initiator's order numbers the paths */
    struct cw_path_offer paths[CW_OFFER_PATHS_MAX];
};

/* The numbers of an offer, as they stand in the handshake's messages and in the transcript: u32 window, u8
 * count of paths, 3 zeros, then for each path u64 hash of its name, u32 SPI, u16 datagram bytes, u16 FEC;
 * zeros. */
#define CW_OFFER_NUMBERS_SIZE (8u + 16u * CW_OFFER_PATHS_MAX)
void cw_offer_write(const struct cw_offer *offer, uint8_t numbers[CW_OFFER_NUMBERS_SIZE]);
/* Which of the paths of `other` the path `index` of `own` is; CW_OFFER_NO_PATH: none. A single path on both
 * sides is the same one, whatever they call it. */
#define CW_OFFER_NO_PATH UINT32_MAX
uint32_t cw_offer_match(const struct cw_offer *own, uint32_t index, const struct cw_offer *other);

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
