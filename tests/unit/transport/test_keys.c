/* SPDX-License-Identifier: BSD-3-Clause */
/* Key derivation against RFC 5869 and RFC 7748, and what our own derivation must and must not depend on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/numbers.h"
#include "transport/keys.h"

static void expect_hex(const uint8_t *bytes, size_t length, const char *hex)
{
    assert_int_equal(strlen(hex), 2 * length);
    for (size_t i = 0; i < length; i++) {
        char two[3];
        snprintf(two, sizeof two, "%02x", bytes[i]);
        assert_memory_equal(two, hex + 2 * i, 2);
    }
}

static void count_up(uint8_t *bytes, size_t length, uint8_t from)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(from + i);
}

static void hkdf_of_rfc_5869(void **state)
{
    uint8_t ikm[80], salt[80], info[80], prk[32], okm[82];
    memset(ikm, 0x0b, 22);
    count_up(salt, 13, 0);
    count_up(info, 10, 0xf0);
    struct cw_bytes pieces[2] = {{info, 4}, {info + 4, 6}};
    cw_hkdf_extract((struct cw_bytes){salt, 13}, (struct cw_bytes){ikm, 22}, prk);
    expect_hex(prk, 32, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    cw_hkdf_expand(prk, pieces, 2, okm, 42);
    expect_hex(okm, 42,
               "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");

    count_up(ikm, 80, 0);
    count_up(salt, 80, 0x60);
    count_up(info, 80, 0xb0);
    pieces[0] = (struct cw_bytes){info, 80};
    cw_hkdf_extract((struct cw_bytes){salt, 80}, (struct cw_bytes){ikm, 80}, prk);
    expect_hex(prk, 32, "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
    cw_hkdf_expand(prk, pieces, 1, okm, 82);
    expect_hex(
        okm, 82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");

    memset(ikm, 0x0b, 22);
    cw_hkdf_extract((struct cw_bytes){salt, 0}, (struct cw_bytes){ikm, 22}, prk);
    expect_hex(prk, 32, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    cw_hkdf_expand(prk, NULL, 0, okm, 42);
    expect_hex(okm, 42,
               "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void x25519_of_rfc_7748(void **state)
{
    uint8_t k[32] = {9}, u[32] = {9}, result[32];
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(crypto_scalarmult(result, k, u), 0);
        memcpy(u, k, 32);
        memcpy(k, result, 32);
        if (i == 1)
            expect_hex(k, 32, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
    expect_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

struct exchange {
    uint8_t cluster_key[32];
    struct cw_names names;
    struct cw_ephemeral own[2];
    struct cw_offer offers[2];
};

static void make_exchange(struct exchange *x)
{
    uint8_t seed[64];
    memset(x, 0, sizeof *x);
    count_up(x->cluster_key, 32, 1);
    memcpy(x->names.initiator, "east", 4);
    memcpy(x->names.responder, "west", 4);
    for (int i = 0; i < 2; i++) {
        count_up(seed, 64, (uint8_t)(100 * i));
        cw_keys_ephemeral(seed, &x->own[i]);
        memcpy(x->offers[i].random, x->own[i].random, 32);
        memcpy(x->offers[i].share, x->own[i].share, 32);
        x->offers[i].window = 256;
        x->offers[i].path_count = 2;
        for (uint32_t path = 0; path < 2; path++)
            x->offers[i].paths[path] = (struct cw_path_offer){
                .name_hash = 0x1000 + path, .spi = x->own[i].spi[path], .datagram_bytes = 1472};
    }
}

static bool derive(const struct exchange *x, bool is_initiator, struct cw_session_keys *keys)
{
    return cw_keys_session(x->cluster_key, &x->names, &x->offers[0], &x->offers[1],
                           x->own[!is_initiator].secret, is_initiator, keys);
}

static void both_sides_derive_the_same_different_keys(void **state)
{
    struct exchange x;
    struct cw_session_keys a, b;
    make_exchange(&x);
    assert_true(derive(&x, true, &a));
    assert_true(derive(&x, false, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(a.initiator_confirm, a.responder_confirm, 32);
    assert_memory_not_equal(a.paths[0].from_initiator, a.initiator_confirm, 32);
    const uint8_t *keys = a.paths[0].from_initiator; /* four of each path, all different */
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t j = 0; j < i; j++)
            assert_memory_not_equal(keys + CW_KEY_SIZE * i, keys + CW_KEY_SIZE * j, CW_KEY_SIZE);
}

/* Computed by another implementation (Python's hmac). Changing them is a new version of the protocol. */
static void derivation_is_frozen(void **state)
{
    struct exchange x;
    struct cw_session_keys keys;
    struct cw_mac_keys mac;
    make_exchange(&x);
    assert_true(derive(&x, true, &keys));
    cw_keys_mac(x.cluster_key, &x.names, &mac);
    expect_hex(keys.paths[0].from_initiator, 32,
               "862472fad2cbf8c68a2b224581c2fa4ffdd80b56ddd7eb36db7fc22820cccc4f");
    expect_hex(keys.paths[1].from_responder, 32,
               "efae4feb8ad63486bc11c77cb186388284f25651373f717ca5b1a8d12be5f16d");
    expect_hex(mac.from_initiator, 32, "bfd9c7caa069c00b84a16887243288f20f825f5fb0dd6669e9e57767063cb127");
    expect_hex(mac.from_responder, 32, "a1a441c73940272dd3a6f7e525be351562cce7211d12be163e138627f1f72a89");
}

/* Likewise. */
static void later_generations_are_frozen(void **state)
{
    uint8_t chain[32], key[32];
    count_up(chain, 32, 7);
    cw_keys_next(chain, key);
    expect_hex(key, 32, "eda0a4147a7fa4d6b64ce1c692fadfb051e15672d5aebfed11fcd512e3c830b9");
    cw_keys_next(chain, key);
    expect_hex(key, 32, "c0ffd58027efbf7a6d0468bf9281f84a6dd7e35212f4dcc6bcd2c445239588c5");
    expect_hex(chain, 32, "f71a5eb96cf46737e9137db11af1cdf20896b12e5f73d23cc2d0d2be6a1503b1");
}

static void every_input_changes_the_keys(void **state)
{
    struct exchange x;
    struct cw_session_keys before, after;
    make_exchange(&x);
    assert_true(derive(&x, true, &before));
    uint8_t *inputs[] = {x.cluster_key,
                         x.names.initiator,
                         x.names.responder,
                         x.offers[0].random,
                         x.offers[1].random,
                         x.offers[0].share,
                         x.offers[1].share,
                         (uint8_t *)&x.offers[0].paths[0].spi,
                         (uint8_t *)&x.offers[1].paths[1].spi,
                         (uint8_t *)&x.offers[0].paths[1].datagram_bytes,
                         (uint8_t *)&x.offers[1].paths[0].name_hash,
                         (uint8_t *)&x.offers[1].paths[1].fec,
                         (uint8_t *)&x.offers[1].window,
                         &x.offers[0].lane,
                         &x.offers[1].lane,
                         &x.offers[1].lane_last,
                         x.own[0].secret + 1};
    for (size_t i = 0; i < CW_COUNT_OF(inputs); i++) {
        *inputs[i] ^= 8;
        assert_true(derive(&x, true, &after));
        assert_memory_not_equal(before.initiator_confirm, after.initiator_confirm, 32);
        assert_memory_not_equal(before.responder_confirm, after.responder_confirm, 32);
        for (uint32_t path = 0; path < 2; path++) {
            const struct cw_path_keys *b = &before.paths[path], *a = &after.paths[path];
            assert_memory_not_equal(b->from_initiator, a->from_initiator, 32);
            assert_memory_not_equal(b->from_responder, a->from_responder, 32);
            assert_memory_not_equal(b->chain_from_initiator, a->chain_from_initiator, 32);
            assert_memory_not_equal(b->chain_from_responder, a->chain_from_responder, 32);
        }
        *inputs[i] ^= 8;
    }
}

static void a_share_of_small_order_is_refused(void **state)
{
    struct exchange x;
    struct cw_session_keys keys;
    make_exchange(&x);
    memset(x.offers[1].share, 0, 32);
    assert_false(derive(&x, true, &keys));
    x.offers[1].share[0] = 1;
    assert_false(derive(&x, true, &keys));
}

static void names_and_roles_separate_the_macs(void **state)
{
    struct exchange x;
    struct cw_mac_keys a, b;
    make_exchange(&x);
    cw_keys_mac(x.cluster_key, &x.names, &a);
    assert_memory_not_equal(a.from_initiator, a.from_responder, 32);
    struct cw_names turned;
    memcpy(turned.initiator, x.names.responder, 32);
    memcpy(turned.responder, x.names.initiator, 32);
    cw_keys_mac(x.cluster_key, &turned, &b);
    assert_memory_not_equal(a.from_initiator, b.from_responder, 32);
    assert_memory_not_equal(a.from_initiator, b.from_initiator, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hkdf_of_rfc_5869),
        cmocka_unit_test(x25519_of_rfc_7748),
        cmocka_unit_test(both_sides_derive_the_same_different_keys),
        cmocka_unit_test(derivation_is_frozen),
        cmocka_unit_test(later_generations_are_frozen),
        cmocka_unit_test(every_input_changes_the_keys),
        cmocka_unit_test(a_share_of_small_order_is_refused),
        cmocka_unit_test(names_and_roles_separate_the_macs),
    };
    return cmocka_run_group_tests_name("transport/keys", tests, NULL, NULL);
}
