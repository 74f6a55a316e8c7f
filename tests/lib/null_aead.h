/* SPDX-License-Identifier: BSD-3-Clause */
/* An AEAD that seals nothing and opens everything: for what is not about ciphers, and pays for many
 * datagrams. */
#ifndef TESTS_LIB_NULL_AEAD_H
#define TESTS_LIB_NULL_AEAD_H

#include <string.h>

#include "transport/session.h"

static void null_expand(void *state, const uint8_t key[32])
{
    memcpy(state, key, 32);
}

static void null_seal(const void *state, uint8_t *cipher, const uint8_t *plain, size_t length,
                      const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    memset(tag, 0, 16);
}

static bool null_open(const void *state, uint8_t *plain, const uint8_t *cipher, size_t length,
                      const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    return true;
}

static const struct cw_aead_ops null_aead = {"none", 64, null_expand, null_seal, null_open};

#endif
