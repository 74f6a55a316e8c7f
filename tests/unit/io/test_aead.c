/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both AES-256-GCM back ends against published vectors, packets in PSP's format, and each other.
 *
 *   gcm-spec      McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13-16
 *   NIST          CAVP gcmtestvectors.zip, CAVS 14.0: gcmEncryptExtIV256.rsp and gcmDecrypt256.rsp
 *   PSP           github google/psp, test/v4_transport_crypt_off_256.sh: the first packet of
 * pcap/v4_cleartext.pcap under master key 1 and SPI 9A345678 of cfg/encrypt_transport_crypt_off_256.cfg. The
 * derived key is the one that Scapy's test/contrib/psp.uts has for it. The sealed bytes are in neither as
 * text: a third implementation made them, by the definitions of FIPS 197, SP 800-38D and the PSP
 *                 specification alone, after it had made the sealed packet that stands in psp.uts
 *   ours          the datagram of wire/packet.h; by the same
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
#include "tests/lib/golden_packet.h"
#include "wire/packet.h"

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
    /* gcmEncryptExtIV256.rsp: bits of text and additional data, count */
    {"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4", "516c33929df5a3284ff463d7", "", "",
     "", "bdc1ac884d332457a1d2664f168c76f0"}, /* 0, 0: 0 */
    {"78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223", "d79cf22d504cc793c3fb6c8a",
     "b96baa8c1c75a671bfb2d08d06be5f36", "", "", "3e5d486aa2e30b22e040b85723a06e76"}, /* 0, 128: 0 */
    {"4457ff33683cca6ca493878bdc00373893a9763412eef8cddb54f91318e0da88", "699d1f29d7b8c55300bb1fd2",
     "6749daeea367d0e9809e2dc2f309e6e3", "", "", "d60c74d2517fde4a74e0cd4709ed43a9"}, /* 0, 128: 1 */
    {"886cff5f3e6b8d0e1ad0a38fcdb26de97e8acbe79f6bed66959a598fa5047d65", "3a8efa1cd74bbab5448f9945",
     "519fee519d25c7a304d6c6aa1897ee1eb8c59655", "", "", "f6d47505ec96c98a42dc3ae719877b87"}, /* 0, 160: 0 */
    {"92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b", "ac93a1a6145299bde902f21a",
     "1e0889016f67601c8ebea4943bc23ad6", "2d71bcfa914e4ac045b2aa60955fad24",
     "8995ae2e6df3dbf96fac7b7137bae67f", "eca5aa77d51d4a0a14d9c51e1da474ab"}, /* 128, 128: 0 */
    {"7da3bccaffb3464178ca7c722379836db50ce0bfb47640b9572163865332e486", "c04fd2e701c3dc62b68738b3",
     "fec0311013202e4ffdc4204926ae0ddf", "fd671cab1ee21f0df6bb610bf94f0e69",
     "6be61b17b7f7d494a7cdf270562f37ba", "5e702a38323fe1160b780d17adad3e96"}, /* 1 */
    {"a359b9584beec189527f8842dda6b6d4c6a5db2f889635715fa3bcd7967c0a71", "8616c4cde11b34a944caba32",
     "e1796fca20cb3d3ab0ade69b2a18891e", "33a46b7539d64c6e1bdb91ba221e3007",
     "b0d316e95f3f3390ba10d0274965c62b", "aeaedcf8a012cc32ef25a62790e9334c"}, /* 2 */
    {"8c83238e7b3b58278200b54940d779d0a0750673aab0bf2f5808dd15dc1a8c49", "70f8f4ebe408f61a35077956",
     "e1cbf83924f1b8d1014b97db56c25a15", "6e57f8572dd5b2247410f0d4c7424186",
     "4a11acb9611251df01f79f16f8201ffb", "9732be4ad0569586753d90fabb06f62c"}, /* 3 */
    /* gcmDecrypt256.rsp */
    {"f5a2b27c74355872eb3ef6c5feafaa740e6ae990d9d48c3bd9bb8235e589f010", "58d2240f580a31c1d24948e9", "", "",
     "", "15e051a5e4a5f5da6cea92e2ebee5bac"}, /* 0, 0: 0 */
    {"4c8ebfe1444ec1b2d503c6986659af2c94fafe945f72c1e8486a5acfedb8a0f8", "473360e0ad24889959858995", "",
     "7789b41cb3ee548814ca0b388c10b343", "d2c78110ac7e8f107c0df0570bd7c90c",
     "c26a379b6d98ef2852ead8ce83a833a7"}, /* 128, 0: 0 */
};

/* gcmDecrypt256.rsp, 128, 128: what has FAIL in the place of a text. */
static const struct vector forgeries[] = {
    {"9a0343f850a6427120f764789ffec6d237447b898fbf51d2182f065d3861497d", "3deef6f453dd70d92143adcd",
     "dbb8226a624520863db6897017b2a4f8", "", "e93165935ac18e3a2845d15fe31a9286",
     "f5fc50d18766bc3d9e16dd136d45816b"}, /* 2 */
    {"2a765ceac97265c15209eea90bea85cd9586b972160502ff592a306dc017e6b9", "62c545d9d4e3c7acb66b4bf1",
     "7d12474e23dc233bc6312d4d5b2deee4", "", "ae0594a7b66d3a958e4e6212d3288f91",
     "ec9aa846d185cc0f43d392240cd6e2c4"}, /* 4 */
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

static void check_forgery(const struct cw_aead_ops *ops, const struct vector *v)
{
    uint8_t key[32], iv[12], aad[32], cipher[64], tag[16], out[64];
    unhex(key, v->key);
    unhex(iv, v->iv);
    size_t aad_length = unhex(aad, v->aad);
    size_t length = unhex(cipher, v->cipher);
    unhex(tag, v->tag);
    void *state = state_new(ops, key);
    assert_false(ops->open(state, out, cipher, length, iv, aad, aad_length, tag));
    free(state);
}

static void check_all(const struct cw_aead_ops *ops)
{
    for (unsigned i = 0; i < CW_COUNT_OF(vectors); i++)
        check_vector(ops, &vectors[i]);
    for (unsigned i = 0; i < CW_COUNT_OF(forgeries); i++)
        check_forgery(ops, &forgeries[i]);
}

static void ipsecmb_gives_the_published_values(void **state)
{
    if (cw_aead_ipsecmb() == cw_aead_openssl()) {
        print_message("skipped: this CPU lacks AES-NI or PCLMULQDQ, ipsec-mb falls back to OpenSSL\n");
        skip();
    }
    check_all(cw_aead_ipsecmb());
}

static void openssl_gives_the_published_values(void **state)
{
    check_all(cw_aead_openssl());
}

/* ---- in packets -------------------------------------------------------------------------------------- */

#define PSP_TEXT                                                                                             \
    1396u /* what is sealed of google/psp's packet: UDP's length, checksum and 1392 bytes that count up */

/* Header and clear bytes are the additional data, SPI and IV from their place in the header the nonce. */
static void check_psp(const struct cw_aead_ops *ops)
{
    uint8_t key[32], packet[20 + PSP_TEXT + 16], text[PSP_TEXT], first[32], end[48];
    unhex(key, "fa00f609df6020289a1c93d6027081a637ad45b24a5576b36e6f49dd43114d80");
    unhex(packet, "110101059a3456780000000000000001" /* UDP follows, crypt offset 1, version 1 */
                  "2b6756ce");                       /* the ports of UDP are clear */
    unhex(text, "0578893b");
    for (unsigned i = 0; i < PSP_TEXT - 4; i++)
        text[4 + i] = (uint8_t)i;
    unhex(first, "130040d8d30ecdcbc253049da9305941313eded63e91317664acaa7083395349");
    unhex(end, "f1a63b4fb573eab930688c2639065995e09116d3c5ab2e51ab396a262fb7067a"
               "f6167e1473f31a8077f055c41ec13db7");
    void *state = state_new(ops, key);
    ops->seal(state, packet + 20, text, PSP_TEXT, packet + 4, packet, 20, packet + 20 + PSP_TEXT);
    assert_memory_equal(packet + 20, first, sizeof first);
    assert_memory_equal(packet + sizeof packet - sizeof end, end, sizeof end);
    assert_true(
        ops->open(state, packet + 20, packet + 20, PSP_TEXT, packet + 4, packet, 20, packet + 20 + PSP_TEXT));
    assert_memory_equal(packet + 20, text, PSP_TEXT);
    free(state);
}

/* Key and payload count up from 0; the header is that of wire/golden/datagram_data.hex. */
static void check_ours(const struct cw_aead_ops *ops)
{
    static const struct cw_packet packet = GOLDEN_PACKET;
    uint8_t key[32], nonce[CW_PACKET_IV_SIZE], datagram[32 + CW_PACKET_OVERHEAD], sealed[sizeof datagram];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    unhex(sealed, "fe010605123456780102030405060708"
                  "310b7856ddccbbaa20000200000000008877665544332211"
                  "f6db5725884590e4a3c7cee542a072ba453ccef5e3a493b0d88dc019fa5c3944"
                  "57b90cd353e109ed9add10c52d450433");
    for (unsigned i = 0; i < 32; i++)
        key[i] = payload[i] = (uint8_t)i;
    void *state = state_new(ops, key);
    cw_packet_encode(&packet, datagram);
    cw_packet_nonce(datagram, nonce);
    ops->seal(state, payload, payload, 32, nonce, datagram, CW_PACKET_HEADER_SIZE, payload + 32);
    assert_memory_equal(datagram, sealed, sizeof sealed);
    free(state);
}

static void packets_are_sealed_to_the_byte(void **state)
{
    const struct cw_aead_ops *both[] = {cw_aead_ipsecmb(), cw_aead_openssl()};
    for (unsigned i = 0; i < 2; i++) {
        check_psp(both[i]);
        check_ours(both[i]);
    }
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
        cmocka_unit_test(packets_are_sealed_to_the_byte),
        cmocka_unit_test(back_ends_agree),
        cmocka_unit_test(associated_data_and_iv_are_sealed),
    };
    return cmocka_run_group_tests_name("io/aead", tests, NULL, NULL);
}
