/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table is below the drawing in handshake.h. Where each message has its fields (after the 40 bytes of
 * packet.h; all little-endian; the rest is zero; the MAC is the last 16 bytes):
 *
 *   HELLO    40 random 32 | 72 share 32 | 104 cookie 32 | 136 numbers of the offer 72 (keys.h)
 *
 *   COOKIE   40 initiator's random 32 | 72 cookie 32
 *
 *   ANSWER   40 initiator's random 32 | 72 random 32 | 104 share 32 | 136 numbers of the offer 72 |
 *            208 confirm 32
 *
 *   CONFIRM  40 initiator's random 32 | 72 responder's random 32 | 104 confirm 32
 *
 *   CARRY    40 initiator's random 32 | 72 responder's random 32 | 104 acked u32 | 108 offset u32 |
 *            112 bytes, up to the MAC, which ends the datagram
 *
 * Chosen not to do: sending data with CONFIRM. It would save half a round trip once a session, and the
 * responder would have to keep packets it cannot open yet.
 */
#include "transport/handshake.h"

#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "transport/frames.h"
#include "transport/pmtu.h"
#include "wire/packet.h"

#define BODY           CW_PACKET_HEADER_SIZE
#define MAC_AT         (CW_HANDSHAKE_BYTES - CW_MAC_SIZE)
#define NUMBERS_AT     136u
#define CONFIRM_AT     (NUMBERS_AT + CW_OFFER_NUMBERS_SIZE) /* of an ANSWER */
#define CARRY_BYTES_AT 112u
#define CARRY_OVERHEAD (CARRY_BYTES_AT + CW_MAC_SIZE)
static_assert(CW_MAC_SIZE == CW_PACKET_TAG_SIZE, "the MAC stands where a sealed packet has its tag");
static_assert(CONFIRM_AT + CW_HASH_SIZE <= MAC_AT, "ANSWER, the longest, fits");
static_assert(CARRY_OVERHEAD < CW_DATAGRAM_BYTES_MIN, "a CARRY has room for bytes in any datagram");
static_assert(CW_AUTH_CONTEXT_BYTES == CW_HASH_SIZE && CW_AUTH_SECRET_BYTES == CW_KEY_SIZE,
              "the context is a transcript, the secret stands for a cluster key");

#define RESEND_FIRST_NS (100 * CW_MS)
#define RESEND_MOST_NS  (1600 * CW_MS)
#define CONFIRMING_NS                                                                                        \
    (4 * CW_SECOND) /* five CONFIRMs; a replayed HELLO may have taken the place at the responder */
#define ANSWERED_NS        (8 * CW_SECOND)
#define JUDGING_NS         (10 * CW_SECOND)
#define REPLACE_NS         (2 * CW_SECOND) /* more than the four round trips of an honest one */
#define ANSWER_EACH_NS     (100 * CW_MS)   /* two X25519 an answer: a thousandth of a core */
#define LAST_BYTES_NS      CW_SECOND       /* for an alert to reach the peer */
#define REFUSED_PAUSE_NS   (2 * CW_SECOND)
#define COOKIE_EPOCH_SHIFT 33 /* 2^33 ns = 8.6 s; a cookie lives one to two of these */

static const struct cw_fsm_row handshake_rows[] = {
    [CW_HANDSHAKE_RESTING] = {"resting", CW_TO(CW_HANDSHAKE_ASKING)},
    [CW_HANDSHAKE_ASKING] = {"asking", CW_TO(CW_HANDSHAKE_SHOWING) | CW_TO(CW_HANDSHAKE_CARRYING) |
                                           CW_TO(CW_HANDSHAKE_CONFIRMING) | CW_TO(CW_HANDSHAKE_RESTING)},
    [CW_HANDSHAKE_SHOWING] = {"showing", CW_TO(CW_HANDSHAKE_CARRYING) | CW_TO(CW_HANDSHAKE_CONFIRMING) |
                                             CW_TO(CW_HANDSHAKE_RESTING)},
    [CW_HANDSHAKE_CARRYING] = {"carrying", CW_TO(CW_HANDSHAKE_CONFIRMING) | CW_TO(CW_HANDSHAKE_RESTING)},
    [CW_HANDSHAKE_CONFIRMING] = {"confirming", CW_TO(CW_HANDSHAKE_RESTING)},
    [CW_HANDSHAKE_LISTENING] = {"listening", CW_TO(CW_HANDSHAKE_JUDGING) | CW_TO(CW_HANDSHAKE_ANSWERED)},
    [CW_HANDSHAKE_JUDGING] = {"judging", CW_TO(CW_HANDSHAKE_ANSWERED) | CW_TO(CW_HANDSHAKE_LISTENING)},
    [CW_HANDSHAKE_ANSWERED] = {"answered", CW_TO(CW_HANDSHAKE_LISTENING)},
};
static_assert(CW_COUNT_OF(handshake_rows) == CW_HANDSHAKE_STATE_COUNT, "a row a state");

static void move(struct cw_handshake *h, uint8_t to)
{
    cw_fsm_move(&h->fsm, &h->state, to);
}

static void copy_name(uint8_t to[CW_NAME_SIZE], const char *from)
{
    size_t length = 0;
    while (length < CW_NAME_SIZE && from[length])
        length++;
    memset(to, 0, CW_NAME_SIZE);
    memcpy(to, from, length);
}

void cw_handshake_init(struct cw_handshake *h, const struct cw_handshake_config *config)
{
    memset(h, 0, sizeof *h);
    h->is_initiator = config->is_initiator;
    copy_name(h->names.initiator, config->is_initiator ? config->local_name : config->remote_name);
    copy_name(h->names.responder, config->is_initiator ? config->remote_name : config->local_name);
    CW_ASSERT(!config->carry || sodium_is_zero(config->cluster_key, CW_KEY_SIZE));
    memcpy(h->cluster_key, config->cluster_key, CW_KEY_SIZE);
    h->carry = config->carry;
    cw_keys_mac(h->cluster_key, &h->names, &h->mac_keys);
    cw_keys_cookie_secret(config->seed, h->cookie_secret);
    h->own_offer.window = config->window;
    h->own_offer.path_count = config->path_count;
    memcpy(h->own_offer.paths, config->paths, sizeof h->own_offer.paths);
    cw_fsm_init(&h->fsm, "handshake", handshake_rows, CW_COUNT_OF(handshake_rows));
    cw_fsm_enter(&h->fsm, &h->state, h->is_initiator ? CW_HANDSHAKE_RESTING : CW_HANDSHAKE_LISTENING);
    h->resend_ns = h->give_up_ns = CW_NEVER;
    cw_handshake_seed(h, config->seed);
}

bool cw_handshake_wants_seed(const struct cw_handshake *h)
{
    return !h->has_seed;
}

void cw_handshake_seed(struct cw_handshake *h, const uint8_t seed[CW_SEED_SIZE])
{
    memcpy(h->seed, seed, CW_SEED_SIZE);
    h->has_seed = true;
}

/* 0 is never a value of either: flipping the top bit may not make it. */
static uint32_t another_spi(uint32_t spi, uint32_t avoid)
{
    if (spi != avoid)
        return spi;
    return spi == 0x80000000u ? 1 : spi ^ 0x80000000u;
}

/* Turns the seed into this attempt's secrets; the seed is gone afterwards. */
static void use_seed(struct cw_handshake *h)
{
    CW_ASSERT(h->has_seed);
    cw_keys_ephemeral(h->seed, &h->own);
    memcpy(h->own_offer.random, h->own.random, sizeof h->own.random);
    memcpy(h->own_offer.share, h->own.share, sizeof h->own.share);
    for (uint32_t i = 0; i < h->own_offer.path_count; i++)
        h->own_offer.paths[i].spi = another_spi(h->own.spi[i], h->spi_avoid[i]);
    sodium_memzero(h->seed, sizeof h->seed);
    h->has_seed = false;
}

static void resend_from(struct cw_handshake *h, uint64_t now_ns)
{
    h->backoff_ns = RESEND_FIRST_NS;
    h->resend_ns = now_ns + h->backoff_ns;
}

static void ask(struct cw_handshake *h, uint64_t now_ns)
{
    use_seed(h);
    h->wanted = false;
    memset(h->cookie, 0, sizeof h->cookie);
    move(h, CW_HANDSHAKE_ASKING);
    h->due = CW_HANDSHAKE_HELLO;
    resend_from(h, now_ns);
}

void cw_handshake_start(struct cw_handshake *h, uint64_t now_ns)
{
    if (!h->is_initiator || h->state != CW_HANDSHAKE_RESTING)
        return;
    if (h->has_seed && now_ns >= h->pause_ns)
        ask(h, now_ns);
    else
        h->wanted = true;
}

static void rest(struct cw_handshake *h)
{
    move(h, h->is_initiator ? CW_HANDSHAKE_RESTING : CW_HANDSHAKE_LISTENING);
    h->due = CW_HANDSHAKE_NONE;
    h->resend_ns = h->give_up_ns = CW_NEVER;
    sodium_memzero(&h->own, sizeof h->own);
    sodium_memzero(&h->keys, sizeof h->keys);
    h->begin_due = h->is_refused = h->has_early_confirm = false;
    if (h->carry)
        cw_carry_reset(h->carry);
}

/* This attempt is over: what still comes of it is late, not wrong. How it came out does not shorten the time
 * until the next may begin, or whoever ends his own attempts would have as many as he likes. */
static void end(struct cw_handshake *h)
{
    memcpy(h->ended_random, h->is_initiator ? h->own.random : h->peer.random, 32);
    rest(h);
}

void cw_handshake_stop(struct cw_handshake *h)
{
    h->wanted = false;
    if (h->state == CW_HANDSHAKE_ASKING || h->state == CW_HANDSHAKE_SHOWING ||
        h->state == CW_HANDSHAKE_CARRYING)
        rest(h);
}

void cw_handshake_done(struct cw_handshake *h)
{
    CW_ASSERT(h->state == CW_HANDSHAKE_CONFIRMING);
    end(h);
}

static void mac_of(const struct cw_handshake *h, const uint8_t *datagram, size_t length, bool from_initiator,
                   uint8_t mac[CW_HASH_SIZE])
{
    struct cw_bytes all = {datagram, length - CW_MAC_SIZE};
    cw_hmac(from_initiator ? h->mac_keys.from_initiator : h->mac_keys.from_responder, &all, 1, mac);
}

/* A function of what the initiator said and of the time, under a secret of this process: no state. */
static void cookie_of(const struct cw_handshake *h, const uint8_t *hello, uint64_t epoch,
                      uint8_t cookie[CW_HASH_SIZE])
{
    uint8_t number[8];
    cw_store64le(number, epoch);
    struct cw_bytes pieces[4] = {{number, sizeof number},
                                 {&h->names, sizeof h->names},
                                 {hello + BODY, 64},
                                 {hello + NUMBERS_AT, CW_OFFER_NUMBERS_SIZE}};
    cw_hmac(h->cookie_secret, pieces, 4, cookie);
}

static bool cookie_is_good(const struct cw_handshake *h, const uint8_t *hello, uint64_t now_ns)
{
    uint8_t cookie[CW_HASH_SIZE];
    uint64_t epoch = now_ns >> COOKIE_EPOCH_SHIFT;
    if (sodium_is_zero(hello + 104, CW_HASH_SIZE)) /* it asks for one */
        return false;
    for (uint64_t age = 0; age < 2 && age <= epoch; age++) {
        cookie_of(h, hello, epoch - age, cookie);
        if (sodium_memcmp(cookie, hello + 104, sizeof cookie) == 0)
            return true;
    }
    return false;
}

static bool path_decode(const uint8_t *at, struct cw_path_offer *path)
{
    path->name_hash = cw_load64le(at);
    path->spi = cw_load32le(at + 8);
    path->datagram_bytes = cw_load16le(at + 12);
    path->fec = cw_load16le(at + 14);
    return path->spi != CW_SPI_HANDSHAKE && path->datagram_bytes >= CW_DATAGRAM_BYTES_MIN &&
           path->datagram_bytes <= CW_PACKET_BYTES_MAX;
}

static bool has_equal_names(const struct cw_offer *offer)
{
    for (uint32_t i = 0; i < offer->path_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (offer->paths[i].name_hash == offer->paths[j].name_hash)
                return true;
    return false;
}

static bool offer_decode(const uint8_t *random_share, const uint8_t *numbers, struct cw_offer *offer)
{
    uint8_t again[CW_OFFER_NUMBERS_SIZE];
    *offer = (struct cw_offer){.window = cw_load32le(numbers), .path_count = numbers[4]};
    memcpy(offer->random, random_share, 32);
    memcpy(offer->share, random_share + 32, 32);
    if (offer->window == 0 || offer->path_count < 1 || offer->path_count > CW_OFFER_PATHS_MAX)
        return false;
    for (uint32_t i = 0; i < offer->path_count; i++)
        if (!path_decode(numbers + 8 + 16 * i, &offer->paths[i]))
            return false;
    cw_offer_write(offer, again); /* what is to be zero is */
    return memcmp(again, numbers, sizeof again) == 0 && !has_equal_names(offer);
}

/* Is there a path that both sides have? */
static bool can_meet(const struct cw_handshake *h, const struct cw_offer *peer)
{
    for (uint32_t i = 0; i < h->own_offer.path_count; i++)
        if (cw_offer_match(&h->own_offer, i, peer) != CW_OFFER_NO_PATH)
            return true;
    return false;
}

/* secret: the cluster key, or what the authenticators share. */
static bool derive(struct cw_handshake *h, const uint8_t secret[CW_KEY_SIZE])
{
    return cw_keys_session(secret, &h->names, h->is_initiator ? &h->own_offer : &h->peer,
                           h->is_initiator ? &h->peer : &h->own_offer, h->own.secret, h->is_initiator,
                           &h->keys);
}

static void begin_to_judge(struct cw_handshake *h, uint8_t state, uint64_t now_ns)
{
    move(h, state);
    h->attempt++;
    h->begin_due = true;
    h->give_up_ns = now_ns + JUDGING_NS;
    resend_from(h, now_ns);
}

static enum cw_handshake_result answer_hello(struct cw_handshake *h, const struct cw_offer *offer,
                                             uint64_t now_ns)
{
    if (!h->has_seed)
        return CW_HANDSHAKE_DROPPED; /* the initiator asks again */
    if (h->state != CW_HANDSHAKE_LISTENING)
        rest(h);
    h->peer = *offer;
    use_seed(h);
    h->replace_ns = now_ns + (h->carry ? REPLACE_NS : ANSWER_EACH_NS);
    if (h->carry) {
        begin_to_judge(h, CW_HANDSHAKE_JUDGING, now_ns);
        h->due = CW_HANDSHAKE_ANSWER;
        return CW_HANDSHAKE_TAKEN;
    }
    if (!derive(h, h->cluster_key))
        return CW_HANDSHAKE_DROPPED;
    move(h, CW_HANDSHAKE_ANSWERED);
    h->due = CW_HANDSHAKE_ANSWER;
    h->give_up_ns = now_ns + ANSWERED_NS;
    return CW_HANDSHAKE_KEYED;
}

static enum cw_handshake_result on_hello(struct cw_handshake *h, uint32_t path, const uint8_t *datagram,
                                         uint64_t now_ns)
{
    struct cw_offer offer;
    if (!offer_decode(datagram + BODY, datagram + NUMBERS_AT, &offer) || !can_meet(h, &offer))
        return CW_HANDSHAKE_DROPPED;
    if (!cookie_is_good(h, datagram, now_ns)) {
        bool first = sodium_is_zero(datagram + 104, CW_HASH_SIZE);
        cookie_of(h, datagram, now_ns >> COOKIE_EPOCH_SHIFT, h->cookie_out);
        memcpy(h->cookie_random, offer.random, 32);
        h->cookie_due = true;
        h->cookie_path = path;
        return first ? CW_HANDSHAKE_ASKED : CW_HANDSHAKE_BAD_COOKIE;
    }
    if (memcmp(offer.random, h->ended_random, 32) == 0)
        return CW_HANDSHAKE_TAKEN; /* a late repetition: that handshake is over */
    if (h->state != CW_HANDSHAKE_LISTENING && memcmp(offer.random, h->peer.random, 32) == 0) {
        h->due = CW_HANDSHAKE_ANSWER;
        return CW_HANDSHAKE_TAKEN;
    }
    if (now_ns < h->replace_ns)
        return CW_HANDSHAKE_TAKEN; /* an initiator that began anew asks again */
    return answer_hello(h, &offer, now_ns);
}

static enum cw_handshake_result on_cookie(struct cw_handshake *h, const uint8_t *datagram, uint64_t now_ns)
{
    if (h->state != CW_HANDSHAKE_ASKING && h->state != CW_HANDSHAKE_SHOWING)
        return CW_HANDSHAKE_DROPPED;
    if (memcmp(datagram + BODY, h->own.random, 32) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (h->state == CW_HANDSHAKE_SHOWING && memcmp(datagram + 72, h->cookie, CW_HASH_SIZE) == 0)
        return CW_HANDSHAKE_TAKEN;
    memcpy(h->cookie, datagram + 72, CW_HASH_SIZE);
    if (h->state == CW_HANDSHAKE_ASKING)
        move(h, CW_HANDSHAKE_SHOWING);
    h->due = CW_HANDSHAKE_HELLO;
    resend_from(h, now_ns);
    return CW_HANDSHAKE_TAKEN;
}

static void confirm(struct cw_handshake *h, uint64_t now_ns)
{
    move(h, CW_HANDSHAKE_CONFIRMING);
    h->due = CW_HANDSHAKE_CONFIRM;
    resend_from(h, now_ns);
    h->give_up_ns = now_ns + CONFIRMING_NS;
}

static enum cw_handshake_result on_answer(struct cw_handshake *h, const uint8_t *datagram, uint64_t now_ns)
{
    struct cw_offer offer;
    if (h->state != CW_HANDSHAKE_ASKING && h->state != CW_HANDSHAKE_SHOWING)
        return h->state != CW_HANDSHAKE_RESTING ? CW_HANDSHAKE_TAKEN : CW_HANDSHAKE_DROPPED;
    if (memcmp(datagram + BODY, h->own.random, 32) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (!offer_decode(datagram + 72, datagram + NUMBERS_AT, &offer) || !can_meet(h, &offer))
        return CW_HANDSHAKE_DROPPED;
    if (h->carry && !sodium_is_zero(datagram + CONFIRM_AT, CW_HASH_SIZE))
        return CW_HANDSHAKE_DROPPED; /* it has a key and no certificates */
    h->peer = offer;
    if (h->carry) {
        begin_to_judge(h, CW_HANDSHAKE_CARRYING, now_ns);
        return CW_HANDSHAKE_TAKEN;
    }
    if (!derive(h, h->cluster_key))
        return CW_HANDSHAKE_DROPPED;
    if (sodium_memcmp(datagram + CONFIRM_AT, h->keys.responder_confirm, CW_HASH_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    confirm(h, now_ns);
    return CW_HANDSHAKE_KEYED;
}

/* The peer itself: it may begin anew at once. */
static void complete(struct cw_handshake *h)
{
    h->replace_ns = 0;
    end(h);
}

static enum cw_handshake_result on_confirm(struct cw_handshake *h, const uint8_t *datagram)
{
    if (h->state == CW_HANDSHAKE_LISTENING)
        return memcmp(datagram + BODY, h->ended_random, 32) == 0 ? CW_HANDSHAKE_REPEATED
                                                                 : CW_HANDSHAKE_DROPPED;
    if (memcmp(datagram + BODY, h->peer.random, 32) != 0 || memcmp(datagram + 72, h->own.random, 32) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (h->is_refused)
        return CW_HANDSHAKE_TAKEN;
    if (h->state == CW_HANDSHAKE_JUDGING) { /* it overtook our verdict, as it mostly does */
        memcpy(h->early_confirm, datagram + 104, CW_HASH_SIZE);
        h->has_early_confirm = true;
        return CW_HANDSHAKE_TAKEN;
    }
    if (sodium_memcmp(datagram + 104, h->keys.initiator_confirm, CW_HASH_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    complete(h);
    return CW_HANDSHAKE_COMPLETED;
}

/* ---------------------------------------------------------------- certificates */

static bool is_carrying(const struct cw_handshake *h)
{
    return h->carry && (h->state == CW_HANDSHAKE_CARRYING || h->state == CW_HANDSHAKE_CONFIRMING ||
                        h->state == CW_HANDSHAKE_JUDGING || h->state == CW_HANDSHAKE_ANSWERED);
}

/* A refused attempt stays until the peer has our last bytes, which tell it why, and knows that we have its
 * own; or for so long. */
static void settle(struct cw_handshake *h, uint64_t now_ns)
{
    bool has_more = h->is_refused && (!cw_carry_is_acked(h->carry) || cw_carry_has_output(h->carry));
    if (!h->is_refused || (has_more && now_ns < h->give_up_ns))
        return;
    end(h);
    h->pause_ns = now_ns + REFUSED_PAUSE_NS;
    h->wanted = h->is_initiator; /* until a live session is heard, if there is one */
}

static enum cw_handshake_result refuse(struct cw_handshake *h, enum cw_auth_reason reason, uint64_t now_ns)
{
    h->is_refused = true;
    h->refusal = (uint8_t)reason;
    if (h->due == CW_HANDSHAKE_CONFIRM)
        h->due = CW_HANDSHAKE_NONE;
    h->give_up_ns = now_ns + LAST_BYTES_NS;
    settle(h, now_ns);
    return CW_HANDSHAKE_REFUSED;
}

static enum cw_handshake_result on_carry(struct cw_handshake *h, const uint8_t *datagram, size_t length,
                                         uint64_t now_ns)
{
    const uint8_t *initiators = h->is_initiator ? h->own.random : h->peer.random;
    const uint8_t *responders = h->is_initiator ? h->peer.random : h->own.random;
    if (!is_carrying(h) || memcmp(datagram + BODY, initiators, 32) != 0)
        return memcmp(datagram + BODY, h->ended_random, 32) == 0 ? CW_HANDSHAKE_TAKEN : CW_HANDSHAKE_DROPPED;
    if (memcmp(datagram + 72, responders, 32) != 0)
        return CW_HANDSHAKE_DROPPED;
    uint32_t acked = h->carry->acked;
    if (!cw_carry_on_fragment(h->carry, cw_load32le(datagram + 104), cw_load32le(datagram + 108),
                              datagram + CARRY_BYTES_AT, length - CARRY_OVERHEAD))
        return CW_HANDSHAKE_DROPPED;
    if (h->carry->acked > acked)
        resend_from(h, now_ns);
    settle(h, now_ns);
    return CW_HANDSHAKE_TAKEN;
}

bool cw_handshake_auth_request(struct cw_handshake *h, struct cw_auth_request *request)
{
    if (!is_carrying(h) || h->state == CW_HANDSHAKE_ANSWERED || h->is_refused)
        return false;
    if (h->begin_due) {
        h->begin_due = false;
        *request = (struct cw_auth_request){
            .type = CW_AUTH_BEGIN, .attempt = h->attempt, .is_initiator = h->is_initiator};
        cw_keys_transcript(&h->names, h->is_initiator ? &h->own_offer : &h->peer,
                           h->is_initiator ? &h->peer : &h->own_offer, request->context);
        return true;
    }
    size_t length = cw_carry_take(h->carry, request->bytes, sizeof request->bytes);
    request->type = CW_AUTH_BYTES;
    request->attempt = h->attempt;
    request->length = (uint16_t)length;
    return length > 0;
}

static enum cw_handshake_result on_verdict(struct cw_handshake *h, const uint8_t secret[CW_KEY_SIZE],
                                           uint64_t now_ns)
{
    if (!derive(h, secret))
        return refuse(h, CW_AUTH_BROKEN, now_ns);
    if (h->is_initiator) {
        confirm(h, now_ns);
    } else {
        move(h, CW_HANDSHAKE_ANSWERED);
        h->give_up_ns = now_ns + ANSWERED_NS;
    }
    return CW_HANDSHAKE_KEYED;
}

enum cw_handshake_result cw_handshake_auth_answer(struct cw_handshake *h, const struct cw_auth_answer *answer,
                                                  uint64_t now_ns)
{
    if (!is_carrying(h) || h->begin_due || h->is_refused || answer->attempt != h->attempt)
        return CW_HANDSHAKE_DROPPED;
    bool is_open = h->state == CW_HANDSHAKE_CARRYING || h->state == CW_HANDSHAKE_JUDGING;
    switch (answer->type) {
    case CW_AUTH_OUT:
        if (cw_carry_is_acked(h->carry))
            resend_from(h, now_ns);
        if (cw_carry_put(h->carry, answer->bytes, answer->length))
            return CW_HANDSHAKE_TAKEN;
        return refuse(h, CW_AUTH_BROKEN, now_ns);
    case CW_AUTH_KEYED:
        return is_open ? on_verdict(h, answer->secret, now_ns) : CW_HANDSHAKE_DROPPED;
    default:
        CW_ASSERT(answer->type == CW_AUTH_REFUSED || answer->type == CW_AUTH_ENDED);
        return refuse(h, (enum cw_auth_reason)answer->reason, now_ns);
    }
}

enum cw_handshake_result cw_handshake_early(struct cw_handshake *h)
{
    if (h->state != CW_HANDSHAKE_ANSWERED || !h->has_early_confirm)
        return CW_HANDSHAKE_TAKEN;
    h->has_early_confirm = false;
    if (sodium_memcmp(h->early_confirm, h->keys.initiator_confirm, CW_HASH_SIZE) != 0)
        return CW_HANDSHAKE_TAKEN;
    complete(h);
    return CW_HANDSHAKE_COMPLETED;
}

/* ---------------------------------------------------------------- datagrams and time */

static enum cw_handshake_result take(struct cw_handshake *h, uint32_t path, const uint8_t *datagram,
                                     size_t length, uint64_t now_ns)
{
    struct cw_packet packet;
    uint8_t mac[CW_HASH_SIZE];
    if (cw_packet_check(datagram, length, &packet) != CW_PACKET_OK)
        return CW_HANDSHAKE_DROPPED;
    bool is_carry = packet.stream == CW_HANDSHAKE_CARRY;
    if (is_carry ? !h->carry || length < CARRY_OVERHEAD : length != CW_HANDSHAKE_BYTES)
        return CW_HANDSHAKE_DROPPED;
    mac_of(h, datagram, length, !h->is_initiator, mac);
    if (sodium_memcmp(mac, datagram + length - CW_MAC_SIZE, CW_MAC_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (is_carry)
        return on_carry(h, datagram, length, now_ns);
    if (h->is_initiator) {
        if (packet.stream == CW_HANDSHAKE_COOKIE)
            return on_cookie(h, datagram, now_ns);
        return packet.stream == CW_HANDSHAKE_ANSWER ? on_answer(h, datagram, now_ns) : CW_HANDSHAKE_DROPPED;
    }
    if (packet.stream == CW_HANDSHAKE_HELLO)
        return on_hello(h, path, datagram, now_ns);
    return packet.stream == CW_HANDSHAKE_CONFIRM ? on_confirm(h, datagram) : CW_HANDSHAKE_DROPPED;
}

enum cw_handshake_result cw_handshake_on_datagram(struct cw_handshake *h, uint32_t path,
                                                  const uint8_t *datagram, size_t length, uint64_t now_ns)
{
    enum cw_handshake_result result = take(h, path, datagram, length, now_ns);
    bool is_strangers =
        result == CW_HANDSHAKE_DROPPED || result == CW_HANDSHAKE_ASKED || result == CW_HANDSHAKE_BAD_COOKIE;
    if (!is_strangers) /* who has shown nothing moves nothing */
        h->path = path;
    return result;
}

static void write_offer(const struct cw_handshake *h, uint8_t *random_share, uint8_t *numbers)
{
    memcpy(random_share, h->own.random, 32);
    memcpy(random_share + 32, h->own.share, 32);
    cw_offer_write(&h->own_offer, numbers);
}

static void write_body(const struct cw_handshake *h, enum cw_handshake_kind kind, uint8_t *datagram)
{
    switch (kind) {
    case CW_HANDSHAKE_HELLO:
        write_offer(h, datagram + BODY, datagram + NUMBERS_AT);
        memcpy(datagram + 104, h->cookie, CW_HASH_SIZE);
        break;
    case CW_HANDSHAKE_COOKIE:
        memcpy(datagram + BODY, h->cookie_random, 32);
        memcpy(datagram + 72, h->cookie_out, CW_HASH_SIZE);
        break;
    case CW_HANDSHAKE_ANSWER:
        memcpy(datagram + BODY, h->peer.random, 32);
        write_offer(h, datagram + 72, datagram + NUMBERS_AT);
        if (!h->carry)
            memcpy(datagram + CONFIRM_AT, h->keys.responder_confirm, CW_HASH_SIZE);
        break;
    default:
        CW_ASSERT(kind == CW_HANDSHAKE_CONFIRM);
        memcpy(datagram + BODY, h->own.random, 32);
        memcpy(datagram + 72, h->peer.random, 32);
        memcpy(datagram + 104, h->keys.initiator_confirm, CW_HASH_SIZE);
    }
}

static size_t finish(const struct cw_handshake *h, uint8_t kind, uint8_t *datagram, size_t length)
{
    uint8_t mac[CW_HASH_SIZE];
    struct cw_packet packet = {
        .spi = CW_SPI_HANDSHAKE,
        .type = CW_PACKET_HANDSHAKE,
        .stream = kind,
        .length = (uint16_t)(length - CW_PACKET_OVERHEAD),
    };
    cw_packet_encode(&packet, datagram);
    mac_of(h, datagram, length, h->is_initiator, mac);
    memcpy(datagram + length - CW_MAC_SIZE, mac, CW_MAC_SIZE);
    return length;
}

static bool carry_is_due(const struct cw_handshake *h)
{
    return is_carrying(h) && cw_carry_has_output(h->carry);
}

/* What any path takes; what it carries is not known yet. */
static uint32_t carry_bytes_max(const struct cw_handshake *h)
{
    uint32_t bytes = CW_PMTU_BASE_BYTES;
    for (uint32_t i = 0; i < h->own_offer.path_count; i++)
        bytes = CW_MIN(bytes, h->own_offer.paths[i].datagram_bytes);
    for (uint32_t i = 0; i < h->peer.path_count; i++)
        bytes = CW_MIN(bytes, h->peer.paths[i].datagram_bytes);
    return bytes;
}

static size_t write_carry(struct cw_handshake *h, uint8_t *datagram, uint64_t now_ns)
{
    size_t length = 0;
    uint32_t offset = 0;
    size_t room = carry_bytes_max(h) - CARRY_OVERHEAD;
    bool is_due = cw_carry_next(h->carry, room, &offset, datagram + CARRY_BYTES_AT, &length);
    CW_ASSERT(is_due);
    memcpy(datagram + BODY, h->is_initiator ? h->own.random : h->peer.random, 32);
    memcpy(datagram + 72, h->is_initiator ? h->peer.random : h->own.random, 32);
    cw_store32le(datagram + 104, h->carry->got);
    cw_store32le(datagram + 108, offset);
    length = finish(h, CW_HANDSHAKE_CARRY, datagram, length + CARRY_OVERHEAD);
    settle(h, now_ns);
    return length;
}

static size_t write_fixed(const struct cw_handshake *h, enum cw_handshake_kind kind, uint8_t *datagram)
{
    memset(datagram, 0, CW_HANDSHAKE_BYTES);
    write_body(h, kind, datagram);
    return finish(h, (uint8_t)kind, datagram, CW_HANDSHAKE_BYTES);
}

static bool owes_cookie(const struct cw_handshake *h, uint32_t path)
{
    return h->cookie_due && path == h->cookie_path;
}

size_t cw_handshake_transmit(struct cw_handshake *h, uint32_t path, uint8_t *datagram, uint64_t now_ns)
{
    if (owes_cookie(h, path)) {
        h->cookie_due = false;
        return write_fixed(h, CW_HANDSHAKE_COOKIE, datagram);
    }
    if (path != h->path)
        return 0;
    bool may_wait = h->due == CW_HANDSHAKE_NONE || h->due == CW_HANDSHAKE_CONFIRM;
    if (may_wait && carry_is_due(h))
        return write_carry(h, datagram, now_ns);
    if (h->due == CW_HANDSHAKE_NONE)
        return 0;
    enum cw_handshake_kind kind = (enum cw_handshake_kind)h->due;
    h->due = CW_HANDSHAKE_NONE;
    return write_fixed(h, kind, datagram);
}

bool cw_handshake_has_output(const struct cw_handshake *h, uint32_t path)
{
    if (owes_cookie(h, path))
        return true;
    return path == h->path && (h->due != CW_HANDSHAKE_NONE || carry_is_due(h));
}

static bool waits_to_start(const struct cw_handshake *h)
{
    return h->wanted && h->has_seed && h->state == CW_HANDSHAKE_RESTING;
}

static void resend(struct cw_handshake *h)
{
    h->path = (h->path + 1) % h->own_offer.path_count;
    if (is_carrying(h))
        cw_carry_resend(h->carry);
    if (h->state == CW_HANDSHAKE_CONFIRMING)
        h->due = h->is_refused ? CW_HANDSHAKE_NONE : CW_HANDSHAKE_CONFIRM;
    else if (h->state == CW_HANDSHAKE_ASKING || h->state == CW_HANDSHAKE_SHOWING)
        h->due = CW_HANDSHAKE_HELLO;
}

void cw_handshake_on_time(struct cw_handshake *h, uint64_t now_ns)
{
    if (waits_to_start(h) && now_ns >= h->pause_ns)
        ask(h, now_ns);
    settle(h, now_ns);
    if (now_ns >= h->give_up_ns) {
        rest(h); /* an initiator that still needs a session starts anew, with a new seed */
        return;
    }
    if (now_ns < h->resend_ns)
        return;
    resend(h);
    h->backoff_ns = CW_MIN(2 * h->backoff_ns, RESEND_MOST_NS);
    h->resend_ns = now_ns + h->backoff_ns;
}

uint64_t cw_handshake_deadline_ns(const struct cw_handshake *h)
{
    if (waits_to_start(h))
        return h->pause_ns;
    return CW_MIN(h->resend_ns, h->give_up_ns);
}
