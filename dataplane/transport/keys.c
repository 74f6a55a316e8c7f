/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libsodium 1.0.18 has HMAC-SHA256 but not yet HKDF, which is fifteen lines. What was secret on the stack is
 * wiped before a function returns.
 */
#include "transport/keys.h"

#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/packet.h"

static_assert(crypto_auth_hmacsha256_BYTES == CW_HASH_SIZE, "HMAC-SHA256");
static_assert(crypto_scalarmult_BYTES == CW_KEY_SIZE, "X25519");
static_assert(crypto_scalarmult_BYTES == CW_SHARE_SIZE, "X25519");

#define TEXT(literal) ((struct cw_bytes){literal, sizeof(literal) - 1})

static void hmac(struct cw_bytes key, const struct cw_bytes *pieces, size_t count, uint8_t mac[CW_HASH_SIZE])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key.data, key.length);
    for (size_t i = 0; i < count; i++)
        crypto_auth_hmacsha256_update(&state, pieces[i].data, pieces[i].length);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
}

void cw_hmac(const uint8_t key[CW_KEY_SIZE], const struct cw_bytes *pieces, size_t count,
             uint8_t mac[CW_HASH_SIZE])
{
    hmac((struct cw_bytes){key, CW_KEY_SIZE}, pieces, count, mac);
}

void cw_hkdf_extract(struct cw_bytes salt, struct cw_bytes key, uint8_t prk[CW_HASH_SIZE])
{
    hmac(salt, &key, 1, prk);
}

void cw_hkdf_expand(const uint8_t prk[CW_HASH_SIZE], const struct cw_bytes *info, size_t info_count,
                    uint8_t *out, size_t out_length)
{
    CW_ASSERT(out_length <= 255 * CW_HASH_SIZE);
    CW_ASSERT(info_count <= 4);
    struct cw_bytes pieces[6];
    uint8_t block[CW_HASH_SIZE];
    uint8_t number = 0;
    for (size_t done = 0; done < out_length; done += CW_HASH_SIZE) {
        size_t count = 0;
        if (number > 0)
            pieces[count++] = (struct cw_bytes){block, sizeof block};
        for (size_t i = 0; i < info_count; i++)
            pieces[count++] = info[i];
        number++;
        pieces[count++] = (struct cw_bytes){&number, 1};
        cw_hmac(prk, pieces, count, block);
        size_t left = out_length - done;
        memcpy(out + done, block, left < sizeof block ? left : sizeof block);
    }
    sodium_memzero(block, sizeof block);
}

void cw_keys_mac(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                 struct cw_mac_keys *keys)
{
    uint8_t prk[CW_HASH_SIZE];
    cw_hkdf_extract(TEXT("causeway handshake 1"), (struct cw_bytes){cluster_key, CW_KEY_SIZE}, prk);
    struct cw_bytes info[2] = {TEXT("mac from initiator"), {names, sizeof *names}};
    cw_hkdf_expand(prk, info, 2, keys->from_initiator, CW_KEY_SIZE);
    info[0] = TEXT("mac from responder");
    cw_hkdf_expand(prk, info, 2, keys->from_responder, CW_KEY_SIZE);
    sodium_memzero(prk, sizeof prk);
}

static void expand_seed(const uint8_t seed[CW_SEED_SIZE], struct cw_bytes label, uint8_t *out, size_t length)
{
    uint8_t prk[CW_HASH_SIZE];
    cw_hkdf_extract(TEXT("causeway seed 1"), (struct cw_bytes){seed, CW_SEED_SIZE}, prk);
    cw_hkdf_expand(prk, &label, 1, out, length);
    sodium_memzero(prk, sizeof prk);
}

void cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral)
{
    uint8_t spi[4 * CW_OFFER_PATHS_MAX];
    expand_seed(seed, TEXT("random"), ephemeral->random, sizeof ephemeral->random);
    expand_seed(seed, TEXT("secret"), ephemeral->secret, sizeof ephemeral->secret);
    expand_seed(seed, TEXT("spi"), spi, sizeof spi);
    for (uint32_t i = 0; i < CW_OFFER_PATHS_MAX; i++) {
        ephemeral->spi[i] = cw_load32be(spi + 4 * i);
        if (ephemeral->spi[i] == CW_SPI_HANDSHAKE)
            ephemeral->spi[i] = 1;
    }
    int failed = crypto_scalarmult_base(ephemeral->share, ephemeral->secret);
    CW_ASSERT(!failed);
}

void cw_keys_cookie_secret(const uint8_t seed[CW_SEED_SIZE], uint8_t secret[CW_KEY_SIZE])
{
    expand_seed(seed, TEXT("cookie"), secret, CW_KEY_SIZE);
}

static void hash_offer(crypto_hash_sha256_state *state, const struct cw_offer *offer)
{
    uint8_t numbers[CW_OFFER_NUMBERS_SIZE];
    cw_offer_write(offer, numbers);
    crypto_hash_sha256_update(state, offer->random, sizeof offer->random);
    crypto_hash_sha256_update(state, offer->share, sizeof offer->share);
    crypto_hash_sha256_update(state, numbers, sizeof numbers);
}

void cw_keys_transcript(const struct cw_names *names, const struct cw_offer *initiator,
                        const struct cw_offer *responder, uint8_t transcript[CW_HASH_SIZE])
{
    static const uint8_t protocol[] = {'c', 'a', 'u', 's', 'e', 'w', 'a', 'y', CW_PACKET_VERSION};
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, protocol, sizeof protocol);
    crypto_hash_sha256_update(&state, names->initiator, sizeof names->initiator);
    crypto_hash_sha256_update(&state, names->responder, sizeof names->responder);
    hash_offer(&state, initiator);
    hash_offer(&state, responder);
    crypto_hash_sha256_final(&state, transcript);
}

static void expand_path(const uint8_t prk[CW_HASH_SIZE], const uint8_t transcript[CW_HASH_SIZE],
                        uint8_t number, struct cw_path_keys *keys)
{
    struct cw_bytes info[3] = {TEXT("key from initiator"), {transcript, CW_HASH_SIZE}, {&number, 1}};
    cw_hkdf_expand(prk, info, 3, keys->from_initiator, CW_KEY_SIZE);
    info[0] = TEXT("key from responder");
    cw_hkdf_expand(prk, info, 3, keys->from_responder, CW_KEY_SIZE);
    info[0] = TEXT("chain from initiator");
    cw_hkdf_expand(prk, info, 3, keys->chain_from_initiator, CW_KEY_SIZE);
    info[0] = TEXT("chain from responder");
    cw_hkdf_expand(prk, info, 3, keys->chain_from_responder, CW_KEY_SIZE);
}

bool cw_keys_session(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                     const struct cw_offer *initiator, const struct cw_offer *responder,
                     const uint8_t own_secret[CW_KEY_SIZE], bool is_initiator, struct cw_session_keys *keys)
{
    uint8_t shared[CW_KEY_SIZE], transcript[CW_HASH_SIZE], prk[CW_HASH_SIZE];
    if (crypto_scalarmult(shared, own_secret, is_initiator ? responder->share : initiator->share) != 0)
        return false; /* it is zeros */
    memset(keys, 0, sizeof *keys);
    cw_keys_transcript(names, initiator, responder, transcript);
    cw_hkdf_extract((struct cw_bytes){cluster_key, CW_KEY_SIZE}, (struct cw_bytes){shared, sizeof shared},
                    prk);
    struct cw_bytes info[2] = {TEXT("initiator confirms"), {transcript, sizeof transcript}};
    cw_hkdf_expand(prk, info, 2, keys->initiator_confirm, CW_HASH_SIZE);
    info[0] = TEXT("responder confirms");
    cw_hkdf_expand(prk, info, 2, keys->responder_confirm, CW_HASH_SIZE);
    for (uint32_t i = 0; i < initiator->path_count; i++)
        expand_path(prk, transcript, (uint8_t)i, &keys->paths[i]);
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(prk, sizeof prk);
    return true;
}

void cw_keys_next(uint8_t chain[CW_KEY_SIZE], uint8_t key[CW_KEY_SIZE])
{
    uint8_t next[CW_KEY_SIZE];
    struct cw_bytes label = TEXT("next key");
    cw_hkdf_expand(chain, &label, 1, key, CW_KEY_SIZE);
    label = TEXT("next chain");
    cw_hkdf_expand(chain, &label, 1, next, sizeof next);
    memcpy(chain, next, sizeof next);
    sodium_memzero(next, sizeof next);
}
