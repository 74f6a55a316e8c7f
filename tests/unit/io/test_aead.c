/* SPDX-License-Identifier: BSD-3-Clause */
/* Both AES-256-GCM back ends against published vectors (McGrew and Viega, test cases 13-16) and each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/aead.h"

#define LENGTH_MAX 9000u

struct vector {
    const char *key, *iv, *aad, *plain, *cipher, *tag;
};

#define KEY_3 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN_3                                                                                              \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                                       \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define CIPHER_3                                                                                             \
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                                       \
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
#define ZERO_32 "0000000000000000000000000000000000000000000000000000000000000000"

static const struct vector vectors[] = {
    {ZERO_32, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {ZERO_32, "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {KEY_3, "cafebabefacedbaddecaf888", "", PLAIN_3 "1aafd255", CIPHER_3 "898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {KEY_3, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_3, CIPHER_3,
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static size_t unhex(uint8_t *to, const char *text)
{
    size_t length = strlen(text) / 2;
    for (size_t i = 0; i < length; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        to[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return length;
}

static void *state_new(const struct cw_aead_ops *ops, const uint8_t key[32])
{
    void *state = aligned_alloc(64, cw_round_up(ops->key_state_size, 64));
    assert_non_null(state);
    ops->key_expand(state, key);
    return state;
}

static void check_vector(const struct cw_aead_ops *ops, const struct vector *v)
{
    uint8_t key[32], iv[12], aad[32], plain[64], cipher[64], tag[16], out[64], out_tag[16];
    unhex(key, v->key);
    unhex(iv, v->iv);
    size_t aad_length = unhex(aad, v->aad);
    size_t length = unhex(plain, v->plain);
    unhex(cipher, v->cipher);
    unhex(tag, v->tag);
    void *state = state_new(ops, key);
    ops->seal(state, out, plain, length, iv, aad, aad_length, out_tag);
    assert_memory_equal(out_tag, tag, 16);
    assert_memory_equal(out, cipher, length);
    memset(out, 0, sizeof out);
    assert_true(ops->open(state, out, cipher, length, iv, aad, aad_length, tag));
    assert_memory_equal(out, plain, length);
    for (unsigned bit = 0; bit < 128; bit++) {
        tag[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(ops->open(state, out, cipher, length, iv, aad, aad_length, tag));
        tag[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    free(state);
}

static void ipsecmb_gives_the_published_values(void **state)
{
    if (cw_aead_ipsecmb() == cw_aead_openssl()) {
        print_message("skipped: this CPU lacks AES-NI or PCLMULQDQ, ipsec-mb falls back to OpenSSL\n");
        skip();
    }
    for (unsigned i = 0; i < CW_COUNT_OF(vectors); i++)
        check_vector(cw_aead_ipsecmb(), &vectors[i]);
}

static void openssl_gives_the_published_values(void **state)
{
    for (unsigned i = 0; i < CW_COUNT_OF(vectors); i++)
        check_vector(cw_aead_openssl(), &vectors[i]);
}

static void fill(struct cw_rng *rng, uint8_t *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (uint8_t)cw_rng_next(rng);
}

/* One random packet at random alignment: sealed by one, opened by the other, in place; then one bit flipped.
 */
static void cross_once(struct cw_rng *rng, const struct cw_aead_ops *a, void *key_a,
                       const struct cw_aead_ops *b, void *key_b)
{
    static uint8_t memory_a[LENGTH_MAX + 64], memory_b[LENGTH_MAX + 64], plain[LENGTH_MAX];
    uint8_t iv[12], aad[64], tag_a[16], tag_b[16];
    size_t length = cw_rng_chance(rng, 300000) ? cw_rng_below(rng, 130) : cw_rng_below(rng, LENGTH_MAX + 1);
    size_t aad_length = cw_rng_below(rng, sizeof aad + 1);
    uint8_t *at_a = memory_a + cw_rng_below(rng, 64), *at_b = memory_b + cw_rng_below(rng, 64);
    fill(rng, plain, length);
    fill(rng, iv, sizeof iv);
    fill(rng, aad, sizeof aad);
    a->seal(key_a, at_a, plain, length, iv, aad, aad_length, tag_a);
    memcpy(at_b, plain, length);
    b->seal(key_b, at_b, at_b, length, iv, aad, aad_length, tag_b);
    assert_memory_equal(at_a, at_b, length);
    assert_memory_equal(tag_a, tag_b, 16);
    assert_true(b->open(key_b, at_a, at_a, length, iv, aad, aad_length, tag_a));
    assert_memory_equal(at_a, plain, length);
    if (length == 0)
        return;
    at_b[cw_rng_below(rng, length)] ^= (uint8_t)(1u << cw_rng_below(rng, 8));
    assert_false(b->open(key_b, at_b, at_b, length, iv, aad, aad_length, tag_b));
}

static void back_ends_agree(void **state)
{
    struct cw_rng rng = {.state = 20221015};
    const struct cw_aead_ops *fast = cw_aead_ipsecmb(), *reference = cw_aead_openssl();
    for (unsigned round = 0; round < 20; round++) {
        uint8_t key[32];
        fill(&rng, key, sizeof key);
        void *fast_key = state_new(fast, key), *reference_key = state_new(reference, key);
        for (unsigned i = 0; i < 50; i++) {
            cross_once(&rng, fast, fast_key, reference, reference_key);
            cross_once(&rng, reference, reference_key, fast, fast_key);
        }
        free(fast_key);
        free(reference_key);
    }
}

static void associated_data_and_iv_are_sealed(void **state)
{
    const struct cw_aead_ops *both[] = {cw_aead_ipsecmb(), cw_aead_openssl()};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t key[32] = {1}, iv[12] = {2}, aad[16] = {3}, data[100] = {4}, tag[16], out[100];
        void *expanded = state_new(both[i], key);
        both[i]->seal(expanded, data, data, sizeof data, iv, aad, sizeof aad, tag);
        aad[15] ^= 1;
        assert_false(both[i]->open(expanded, out, data, sizeof data, iv, aad, sizeof aad, tag));
        aad[15] ^= 1;
        iv[11] ^= 1;
        assert_false(both[i]->open(expanded, out, data, sizeof data, iv, aad, sizeof aad, tag));
        iv[11] ^= 1;
        assert_true(both[i]->open(expanded, out, data, sizeof data, iv, aad, sizeof aad, tag));
        free(expanded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipsecmb_gives_the_published_values),
        cmocka_unit_test(openssl_gives_the_published_values),
        cmocka_unit_test(back_ends_agree),
        cmocka_unit_test(associated_data_and_iv_are_sealed),
    };
    return cmocka_run_group_tests_name("io/aead", tests, NULL, NULL);
}
