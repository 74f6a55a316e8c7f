/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two handshakes with certificates and an input that is a list of steps: what one says reaches the other or
 * does not, datagrams are made up with a MAC that is right (everybody can make it), authenticators say
 * anything, time passes. Whatever happens: no assert, no bad access, nothing longer than both sides take,
 * bounded streams.
 *
 * Step: u8 kind (& 7) and side (bit 7), u8 length, then `length` bytes (repeated to what a datagram needs)
 *   0 pass one datagram      1 lose one      2 the last one again, with bytes changed and the MAC made right
 *   3 made up, a CARRY       4 time: length * 40 ms     5 an answer of the authenticator     6 what it asks
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "fuzz.h"
#include "transport/handshake.h"
#include "wire/packet.h"

#define DATAGRAM_MAX 1472u

static struct cw_handshake sides[2];
static struct cw_carry carries[2];
static uint64_t now_ns;
static uint8_t last[DATAGRAM_MAX];
static size_t last_length;
static uint8_t next_seed;

static void give_seed(struct cw_handshake *h)
{
    uint8_t seed[CW_SEED_SIZE];
    memset(seed, ++next_seed, sizeof seed);
    if (cw_handshake_wants_seed(h))
        cw_handshake_seed(h, seed);
}

static void build(void)
{
    static const uint8_t zeros[CW_KEY_SIZE], seeds[2][CW_SEED_SIZE] = {{1}, {2}};
    now_ns = 100 * CW_SECOND;
    next_seed = 2;
    last_length = 0;
    for (int i = 0; i < 2; i++) {
        struct cw_handshake_config config = {.is_initiator = i == 0,
                                             .local_name = i ? "west" : "east",
                                             .remote_name = i ? "east" : "west",
                                             .cluster_key = zeros,
                                             .carry = &carries[i],
                                             .seed = seeds[i],
                                             .window = 256,
                                             .path_count = 1,
                                             .paths = {{.datagram_bytes = DATAGRAM_MAX}}};
        cw_handshake_init(&sides[i], &config);
        cw_handshake_start(&sides[i], now_ns);
    }
}

static void hear(int side, const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1); /* of its own size, so that a sanitizer sees the end */
    memcpy(copy, bytes, length);
    enum cw_handshake_result result = cw_handshake_on_datagram(&sides[side], 0, copy, length, now_ns);
    CW_ASSERT(result != CW_HANDSHAKE_KEYED && "keys come from a verdict only");
    free(copy);
}

static void sign(int from)
{
    uint8_t mac[CW_HASH_SIZE];
    struct cw_bytes all = {last, last_length - CW_MAC_SIZE};
    cw_hmac(from ? sides[0].mac_keys.from_responder : sides[0].mac_keys.from_initiator, &all, 1, mac);
    memcpy(last + last_length - CW_MAC_SIZE, mac, CW_MAC_SIZE);
}

static void say(int side, bool is_lost)
{
    give_seed(&sides[side]);
    if (now_ns >= cw_handshake_deadline_ns(&sides[side]))
        cw_handshake_on_time(&sides[side], now_ns);
    size_t length = cw_handshake_transmit(&sides[side], 0, last, now_ns);
    CW_ASSERT(length <= DATAGRAM_MAX);
    if (length == 0)
        return;
    last_length = length;
    if (!is_lost)
        hear(!side, last, length);
}

static void change(int side, const uint8_t *bytes, size_t length)
{
    if (last_length == 0)
        return;
    for (size_t i = 0; i + 1 < length; i += 2)
        last[CW_PACKET_HEADER_SIZE + bytes[i] % (last_length - CW_PACKET_OVERHEAD)] = bytes[i + 1];
    sign(!side);
    hear(side, last, last_length);
}

static void make_up(int side, const uint8_t *bytes, size_t length)
{
    const struct cw_handshake *to = &sides[side];
    size_t size = length > 12 ? (size_t)cw_load16le(bytes) % (DATAGRAM_MAX - 128) : 0;
    last_length = 128 + size;
    struct cw_packet packet = {.type = CW_PACKET_HANDSHAKE,
                               .stream = CW_HANDSHAKE_CARRY,
                               .length = (uint16_t)(last_length - CW_PACKET_OVERHEAD)};
    memset(last, 0, last_length);
    cw_packet_encode(&packet, last);
    memcpy(last + 40, to->is_initiator ? to->own.random : to->peer.random, 32);
    memcpy(last + 72, to->is_initiator ? to->peer.random : to->own.random, 32);
    for (size_t i = 2; i < length; i++)
        last[104 + (i - 2) % (size + 8)] = bytes[i];
    if (last[104] & 7) { /* mostly near what can be */
        cw_store32le(last + 104, cw_load32le(last + 104) % (carries[side].put + 2));
        cw_store32le(last + 108, cw_load32le(last + 108) % (CW_CARRY_BYTES_MAX + 600));
    }
    sign(!side);
    hear(side, last, last_length);
}

static void answer(int side, const uint8_t *bytes, size_t length)
{
    struct cw_auth_answer a = {.type = CW_AUTH_OUT, .attempt = sides[side].attempt};
    uint8_t kind = length ? bytes[0] : 0;
    if (kind & 8)
        a.attempt--;
    a.type = (uint8_t)(CW_AUTH_OUT + (kind & 3));
    if (a.type == CW_AUTH_OUT) {
        a.length = (uint16_t)(kind * 4u);
        memset(a.bytes, kind, a.length);
    } else {
        memset(a.secret, kind & 16 ? 5 : 6, sizeof a.secret);
        a.reason = 1 + kind % (CW_AUTH_REASON_COUNT - 1);
    }
    if (cw_handshake_auth_answer(&sides[side], &a, now_ns) == CW_HANDSHAKE_KEYED)
        (void)cw_handshake_early(&sides[side]);
}

static void ask(int side)
{
    struct cw_auth_request request;
    for (int i = 0; cw_handshake_auth_request(&sides[side], &request); i++) {
        CW_ASSERT(i < 40);
        CW_ASSERT(request.type == CW_AUTH_BEGIN || request.length > 0);
        CW_ASSERT(request.type == CW_AUTH_BEGIN || request.length <= CW_AUTH_CHUNK);
    }
}

static void step(uint8_t kind, const uint8_t *bytes, size_t length)
{
    int side = kind >> 7;
    switch (kind & 7) {
    case 0:
    case 7:
        say(side, false);
        break;
    case 1:
        say(side, true);
        break;
    case 2:
        change(side, bytes, length);
        break;
    case 3:
        make_up(side, bytes, length);
        break;
    case 4:
        now_ns += length * 40 * CW_MS;
        break;
    case 5:
        answer(side, bytes, length);
        break;
    default:
        ask(side);
    }
    for (int i = 0; i < 2; i++) {
        const struct cw_carry *c = &carries[i];
        CW_ASSERT(c->acked <= c->sent && c->sent <= c->put && c->put <= CW_CARRY_BYTES_MAX);
        CW_ASSERT(c->taken <= c->got && c->got <= CW_CARRY_BYTES_MAX);
    }
}

const size_t cw_fuzz_input_max = 4096;

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    build();
    for (size_t at = 0; size - at >= 2;) {
        bool has_bytes = (data[at] & 7) != 4;
        size_t length = has_bytes ? CW_MIN(data[at + 1], size - at - 2) : data[at + 1];
        step(data[at], data + at + 2, length);
        at += 2 + (has_bytes ? length : 0);
    }
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    static const uint8_t kinds[] = {0, 0, 0, 0, 0, 6, 6, 5, 5, 1, 2, 3, 4};
    size_t size = 0;
    while (size + 300 < cw_fuzz_input_max && cw_rng_below(rng, 80)) {
        uint8_t kind = kinds[cw_rng_below(rng, sizeof kinds)];
        uint8_t length = kind >= 2 && kind <= 3 ? (uint8_t)cw_rng_below(rng, 60) : kind == 5;
        if (kind == 4)
            length = (uint8_t)cw_rng_below(rng, 12);
        data[size] = (uint8_t)(kind | (cw_rng_below(rng, 2) << 7));
        data[size + 1] = length;
        size += 2;
        for (uint8_t i = 0; kind != 4 && i < length; i++)
            data[size++] = (uint8_t)cw_rng_next(rng);
    }
    return size;
}
