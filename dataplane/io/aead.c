/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AES-256-GCM, twice.
 *
 * libipsec-mb through its direct calls: one packet at a time, no job queue, nothing allocated; the
 * multi-buffer manager serves only as the table of functions that suit this CPU and is never written after
 * it is made, so threads share it. Its decryption computes a tag and leaves comparing to us.
 *
 * OpenSSL EVP is the reference to check against and the fallback. Its contexts live on the heap and the ops
 * table has no way to end a key, so a key state holds the key alone and each thread keeps one context, made
 * at its first packet: every packet pays for the key schedule, and for that of zeros behind it, so that no key stays
 * there. It is not meant to be fast.
 */
#include "io/aead.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#define TAG_BYTES 16u

static pthread_once_t ipsecmb_once = PTHREAD_ONCE_INIT;
static IMB_MGR *manager; /* NULL: this CPU lacks AES-NI or PCLMULQDQ */

static void ipsecmb_start(void)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_MGR *made = alloc_mb_mgr(0);
    if (made == NULL)
        return;
    if ((made->features & needed) != needed) {
        free_mb_mgr(made);
        return;
    }
    init_mb_mgr_auto(made, NULL);
    if (imb_get_errno(made) != 0) {
        free_mb_mgr(made);
        return;
    }
    manager = made;
}

static void ipsecmb_key_expand(void *key_state, const uint8_t key[32])
{
    CW_ASSERT(((uintptr_t)key_state & 63) == 0);
    IMB_AES256_GCM_PRE(manager, key, (struct gcm_key_data *)key_state);
}

static void ipsecmb_seal(const void *key_state, uint8_t *cipher, const uint8_t *plain, size_t length,
                         const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    struct gcm_context_data context;
    IMB_AES256_GCM_ENC(manager, (const struct gcm_key_data *)key_state, &context, cipher, plain, length, iv,
                       aad, aad_length, tag, TAG_BYTES);
}

static bool ipsecmb_open(const void *key_state, uint8_t *plain, const uint8_t *cipher, size_t length,
                         const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    struct gcm_context_data context;
    uint8_t computed[TAG_BYTES];
    IMB_AES256_GCM_DEC(manager, (const struct gcm_key_data *)key_state, &context, plain, cipher, length, iv,
                       aad, aad_length, computed, TAG_BYTES);
    return CRYPTO_memcmp(computed, tag, TAG_BYTES) == 0; /* constant time */
}

const struct cw_aead_ops *cw_aead_ipsecmb(void)
{
    static const struct cw_aead_ops ops = {
        .name = "ipsec-mb",
        .key_state_size = sizeof(struct gcm_key_data),
        .key_expand = ipsecmb_key_expand,
        .seal = ipsecmb_seal,
        .open = ipsecmb_open,
    };
    (void)pthread_once(&ipsecmb_once, ipsecmb_start);
    return manager != NULL ? &ops : cw_aead_openssl();
}

static pthread_once_t openssl_once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;

static void context_free(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void openssl_start(void)
{
    int error = pthread_key_create(&context_key, context_free);
    CW_ASSERT(error == 0);
}

/* This thread's context, with the cipher chosen. */
static EVP_CIPHER_CTX *context_get(void)
{
    EVP_CIPHER_CTX *context = pthread_getspecific(context_key);
    if (context != NULL)
        return context;
    context = EVP_CIPHER_CTX_new();
    CW_ASSERT(context != NULL);
    int ok = EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, NULL, NULL, 1);
    CW_ASSERT(ok == 1);
    ok = pthread_setspecific(context_key, context) == 0;
    CW_ASSERT(ok == 1);
    return context;
}

static void openssl_key_expand(void *key_state, const uint8_t key[32])
{
    memcpy(key_state, key, 32);
}

/* Runs everything but the tag. EVP cannot fail here: sizes are fixed, the input is ours. */
static EVP_CIPHER_CTX *openssl_run(const void *key_state, uint8_t *to, const uint8_t *from, size_t length,
                                   const uint8_t iv[12], const uint8_t *aad, size_t aad_length, int is_seal)
{
    EVP_CIPHER_CTX *context = context_get();
    int n = 0;
    int ok = EVP_CipherInit_ex(context, NULL, NULL, key_state, iv, is_seal);
    if (aad_length > 0)
        ok &= EVP_CipherUpdate(context, NULL, &n, aad, (int)aad_length);
    if (length > 0)
        ok &= EVP_CipherUpdate(context, to, &n, from, (int)length);
    CW_ASSERT(ok == 1);
    return context;
}

static void openssl_forget(EVP_CIPHER_CTX *context)
{
    static const uint8_t zeros[32];
    int ok = EVP_CipherInit_ex(context, NULL, NULL, zeros, NULL, 1);
    CW_ASSERT(ok == 1);
}

static void openssl_seal(const void *key_state, uint8_t *cipher, const uint8_t *plain, size_t length,
                         const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    EVP_CIPHER_CTX *context = openssl_run(key_state, cipher, plain, length, iv, aad, aad_length, 1);
    uint8_t nothing[TAG_BYTES];
    int n = 0;
    int ok = EVP_CipherFinal_ex(context, nothing, &n) &
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag);
    CW_ASSERT(ok == 1);
    openssl_forget(context);
}

static bool openssl_open(const void *key_state, uint8_t *plain, const uint8_t *cipher, size_t length,
                         const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    EVP_CIPHER_CTX *context = openssl_run(key_state, plain, cipher, length, iv, aad, aad_length, 0);
    uint8_t expected[TAG_BYTES], nothing[TAG_BYTES];
    memcpy(expected, tag, sizeof expected);
    int n = 0;
    int ok = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, expected);
    CW_ASSERT(ok == 1);
    bool is_good = EVP_CipherFinal_ex(context, nothing, &n) == 1; /* compares in constant time */
    openssl_forget(context);
    return is_good;
}

const struct cw_aead_ops *cw_aead_openssl(void)
{
    static const struct cw_aead_ops ops = {
        .name = "openssl",
        .key_state_size = 32,
        .key_expand = openssl_key_expand,
        .seal = openssl_seal,
        .open = openssl_open,
    };
    (void)pthread_once(&openssl_once, openssl_start);
    return &ops;
}
