/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of states is below the drawing in handshake.h; where each message has its fields is in
 * handshake_messages.h.
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
#include "transport/handshake_messages.h"
#include "transport/pmtu.h"
#include "wire/packet.h"

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
    CW_ASSERT(config->lane_count <= CW_LANES_MAX);
    CW_ASSERT(config->lane < CW_MAX(config->lane_count, 1u));
    h->own_offer.lane = (uint8_t)config->lane;
    h->own_offer.lane_last = (uint8_t)(CW_MAX(config->lane_count, 1u) - 1);
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

static const uint8_t *initiators_random(const struct cw_handshake *h)
{
    return h->is_initiator ? h->own.random : h->peer.random;
}

static const uint8_t *responders_random(const struct cw_handshake *h)
{
    return h->is_initiator ? h->peer.random : h->own.random;
}

/* Of the attempt under way? */
static bool is_of(const struct cw_handshake *h, const struct cw_handshake_head *head)
{
    return memcmp(head->initiators_random, initiators_random(h), CW_RANDOM_SIZE) == 0;
}

static bool is_of_ended(const struct cw_handshake *h, const struct cw_handshake_head *head)
{
    return memcmp(head->initiators_random, h->ended_random, CW_RANDOM_SIZE) == 0;
}

/* This attempt is over: what still comes of it is late, not wrong. How it came out does not shorten the time
 * until the next may begin, or whoever ends his own attempts would have as many as he likes. */
static void end(struct cw_handshake *h)
{
    memcpy(h->ended_random, initiators_random(h), sizeof h->ended_random);
    rest(h);
}

void cw_handshake_stop(struct cw_handshake *h)
{
    h->wanted = false;
    if (h->state == CW_HANDSHAKE_ASKING || h->state == CW_HANDSHAKE_SHOWING ||
        h->state == CW_HANDSHAKE_CARRYING)
        rest(h);
}

void cw_handshake_start_over(struct cw_handshake *h)
{
    if (h->state != CW_HANDSHAKE_RESTING && h->state != CW_HANDSHAKE_LISTENING)
        rest(h);
    sodium_memzero(h->seed, sizeof h->seed);
    h->has_seed = false;
    h->wanted = h->is_initiator;
    h->pause_ns = h->replace_ns = 0;
    h->cookie_due = false;
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
static void cookie_of(const struct cw_handshake *h, const struct cw_handshake_hello *hello, uint64_t epoch,
                      uint8_t cookie[CW_HASH_SIZE])
{
    uint8_t number[8];
    cw_store64le(number, epoch);
    struct cw_bytes pieces[] = {{number, sizeof number},
                                {&h->names, sizeof h->names},
                                {hello->random, sizeof hello->random},
                                {hello->share, sizeof hello->share},
                                {hello->numbers, sizeof hello->numbers}};
    cw_hmac(h->cookie_secret, pieces, CW_COUNT_OF(pieces), cookie);
}

static bool cookie_is_good(const struct cw_handshake *h, const struct cw_handshake_hello *hello,
                           uint64_t now_ns)
{
    uint8_t cookie[CW_HASH_SIZE];
    uint64_t epoch = now_ns >> COOKIE_EPOCH_SHIFT;
    if (sodium_is_zero(hello->cookie, sizeof hello->cookie)) /* it asks for one */
        return false;
    for (uint64_t age = 0; age < 2 && age <= epoch; age++) {
        cookie_of(h, hello, epoch - age, cookie);
        if (sodium_memcmp(cookie, hello->cookie, sizeof cookie) == 0)
            return true;
    }
    return false;
}

/* Of this lane, with a path that both sides have? How many lanes there are is looked at later. */
static bool can_meet(const struct cw_handshake *h, const struct cw_offer *peer)
{
    if (peer->lane != h->own_offer.lane)
        return false;
    for (uint32_t i = 0; i < h->own_offer.path_count; i++)
        if (cw_offer_match(&h->own_offer, i, peer) != CW_OFFER_NO_PATH)
            return true;
    return false;
}

/* A group is of the lane that its number has modulo their count, so the count is the same at both ends. */
static bool has_other_lanes(struct cw_handshake *h, const struct cw_offer *peer)
{
    h->lanes_heard = (uint8_t)(peer->lane_last + 1);
    return peer->lane_last != h->own_offer.lane_last;
}

/* secret: the cluster key, or what the authenticators share. */
static bool derive(struct cw_handshake *h, const uint8_t secret[CW_KEY_SIZE])
{
    return cw_keys_session(secret, &h->names, h->is_initiator ? &h->own_offer : &h->peer,
                           h->is_initiator ? &h->peer : &h->own_offer, h->own.secret, h->is_initiator,
                           &h->keys);
}

void cw_handshake_forget_keys(struct cw_handshake *h)
{
    sodium_memzero(h->own.secret, sizeof h->own.secret);
    sodium_memzero(h->keys.paths, sizeof h->keys.paths);
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
    if (!derive(h, h->cluster_key)) {
        sodium_memzero(&h->own, sizeof h->own);
        return CW_HANDSHAKE_DROPPED;
    }
    move(h, CW_HANDSHAKE_ANSWERED);
    h->due = CW_HANDSHAKE_ANSWER;
    h->give_up_ns = now_ns + ANSWERED_NS;
    return CW_HANDSHAKE_KEYED;
}

static enum cw_handshake_result on_hello(struct cw_handshake *h, uint32_t path, const uint8_t *datagram,
                                         uint64_t now_ns)
{
    const struct cw_handshake_hello *hello = (const void *)datagram;
    struct cw_offer offer;
    if (!cw_offer_read(hello->random, hello->share, hello->numbers, &offer) || !can_meet(h, &offer))
        return CW_HANDSHAKE_DROPPED;
    if (!cookie_is_good(h, hello, now_ns)) {
        bool first = sodium_is_zero(hello->cookie, sizeof hello->cookie);
        cookie_of(h, hello, now_ns >> COOKIE_EPOCH_SHIFT, h->cookie_out);
        memcpy(h->cookie_random, offer.random, sizeof h->cookie_random);
        h->cookie_due = true;
        h->cookie_path = path;
        return first ? CW_HANDSHAKE_ASKED : CW_HANDSHAKE_BAD_COOKIE;
    }
    if (has_other_lanes(h, &offer))
        return CW_HANDSHAKE_OTHER_LANES;
    if (memcmp(offer.random, h->ended_random, CW_RANDOM_SIZE) == 0)
        return CW_HANDSHAKE_TAKEN; /* a late repetition: that handshake is over */
    if (h->state != CW_HANDSHAKE_LISTENING && memcmp(offer.random, h->peer.random, CW_RANDOM_SIZE) == 0) {
        h->due = CW_HANDSHAKE_ANSWER;
        return CW_HANDSHAKE_TAKEN;
    }
    if (now_ns < h->replace_ns)
        return CW_HANDSHAKE_TAKEN; /* an initiator that began anew asks again */
    return answer_hello(h, &offer, now_ns);
}

static enum cw_handshake_result on_cookie(struct cw_handshake *h, const uint8_t *datagram, uint64_t now_ns)
{
    const struct cw_handshake_cookie *message = (const void *)datagram;
    if (h->state != CW_HANDSHAKE_ASKING && h->state != CW_HANDSHAKE_SHOWING)
        return CW_HANDSHAKE_DROPPED;
    if (!is_of(h, &message->head))
        return CW_HANDSHAKE_DROPPED;
    if (h->state == CW_HANDSHAKE_SHOWING && memcmp(message->cookie, h->cookie, sizeof h->cookie) == 0)
        return CW_HANDSHAKE_TAKEN;
    memcpy(h->cookie, message->cookie, sizeof h->cookie);
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
    const struct cw_handshake_answer *answer = (const void *)datagram;
    struct cw_offer offer;
    if (h->state != CW_HANDSHAKE_ASKING && h->state != CW_HANDSHAKE_SHOWING)
        return h->state != CW_HANDSHAKE_RESTING ? CW_HANDSHAKE_TAKEN : CW_HANDSHAKE_DROPPED;
    if (!is_of(h, &answer->head))
        return CW_HANDSHAKE_DROPPED;
    if (!cw_offer_read(answer->random, answer->share, answer->numbers, &offer) || !can_meet(h, &offer))
        return CW_HANDSHAKE_DROPPED;
    if (has_other_lanes(h, &offer))
        return CW_HANDSHAKE_OTHER_LANES;
    if (h->carry && !sodium_is_zero(answer->confirm, sizeof answer->confirm))
        return CW_HANDSHAKE_DROPPED; /* it has a key and no certificates */
    h->peer = offer;
    if (h->carry) {
        begin_to_judge(h, CW_HANDSHAKE_CARRYING, now_ns);
        return CW_HANDSHAKE_TAKEN;
    }
    if (!derive(h, h->cluster_key))
        return CW_HANDSHAKE_DROPPED;
    if (sodium_memcmp(answer->confirm, h->keys.responder_confirm, CW_HASH_SIZE) != 0) {
        sodium_memzero(&h->keys, sizeof h->keys);
        return CW_HANDSHAKE_DROPPED;
    }
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
    const struct cw_handshake_confirm *message = (const void *)datagram;
    if (h->state == CW_HANDSHAKE_LISTENING)
        return is_of_ended(h, &message->head) ? CW_HANDSHAKE_REPEATED : CW_HANDSHAKE_DROPPED;
    if (!is_of(h, &message->head) || memcmp(message->responders_random, h->own.random, CW_RANDOM_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (h->is_refused)
        return CW_HANDSHAKE_TAKEN;
    if (h->state == CW_HANDSHAKE_JUDGING) { /* it overtook our verdict, as it mostly does */
        memcpy(h->early_confirm, message->confirm, sizeof h->early_confirm);
        h->has_early_confirm = true;
        return CW_HANDSHAKE_TAKEN;
    }
    if (sodium_memcmp(message->confirm, h->keys.initiator_confirm, CW_HASH_SIZE) != 0)
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
    const struct cw_handshake_carry *message = (const void *)datagram;
    if (!is_carrying(h) || !is_of(h, &message->head))
        return is_of_ended(h, &message->head) ? CW_HANDSHAKE_TAKEN : CW_HANDSHAKE_DROPPED;
    if (memcmp(message->responders_random, responders_random(h), CW_RANDOM_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    uint32_t acked = h->carry->acked;
    if (!cw_carry_on_fragment(h->carry, cw_load32le(message->got), cw_load32le(message->offset),
                              message->bytes, length - CW_HANDSHAKE_CARRY_OVERHEAD))
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

/* Of a message other than CARRY: nothing stands behind its fields. */
static bool ends_in_zeros(uint8_t kind, const uint8_t *datagram)
{
    static const uint8_t ends[] = {
        [CW_HANDSHAKE_HELLO] = sizeof(struct cw_handshake_hello),
        [CW_HANDSHAKE_COOKIE] = sizeof(struct cw_handshake_cookie),
        [CW_HANDSHAKE_ANSWER] = sizeof(struct cw_handshake_answer),
        [CW_HANDSHAKE_CONFIRM] = sizeof(struct cw_handshake_confirm),
    };
    return kind >= CW_COUNT_OF(ends) ||
           sodium_is_zero(datagram + ends[kind], CW_HANDSHAKE_BYTES - CW_MAC_SIZE - ends[kind]);
}

static enum cw_handshake_result take(struct cw_handshake *h, uint32_t path, const uint8_t *datagram,
                                     size_t length, uint64_t now_ns)
{
    struct cw_packet packet;
    uint8_t mac[CW_HASH_SIZE];
    if (cw_packet_check(datagram, length, &packet) != CW_PACKET_OK || packet.lane != h->own_offer.lane)
        return CW_HANDSHAKE_DROPPED;
    bool is_carry = packet.stream == CW_HANDSHAKE_CARRY;
    if (is_carry ? !h->carry || length < CW_HANDSHAKE_CARRY_OVERHEAD : length != CW_HANDSHAKE_BYTES)
        return CW_HANDSHAKE_DROPPED;
    mac_of(h, datagram, length, !h->is_initiator, mac);
    if (sodium_memcmp(mac, datagram + length - CW_MAC_SIZE, CW_MAC_SIZE) != 0)
        return CW_HANDSHAKE_DROPPED;
    if (is_carry)
        return on_carry(h, datagram, length, now_ns);
    if (!ends_in_zeros(packet.stream, datagram))
        return CW_HANDSHAKE_DROPPED;
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
    bool is_strangers = result == CW_HANDSHAKE_DROPPED || result == CW_HANDSHAKE_ASKED ||
                        result == CW_HANDSHAKE_BAD_COOKIE || result == CW_HANDSHAKE_OTHER_LANES;
    if (!is_strangers) /* who has shown nothing moves nothing */
        h->path = path;
    return result;
}

static void write_hello(const struct cw_handshake *h, struct cw_handshake_hello *hello)
{
    memcpy(hello->random, h->own.random, sizeof hello->random);
    memcpy(hello->share, h->own.share, sizeof hello->share);
    memcpy(hello->cookie, h->cookie, sizeof hello->cookie);
    cw_offer_write(&h->own_offer, hello->numbers);
}

static void write_cookie(const struct cw_handshake *h, struct cw_handshake_cookie *message)
{
    memcpy(message->head.initiators_random, h->cookie_random, sizeof message->head.initiators_random);
    memcpy(message->cookie, h->cookie_out, sizeof message->cookie);
}

static void write_head(const struct cw_handshake *h, struct cw_handshake_head *head)
{
    memcpy(head->initiators_random, initiators_random(h), sizeof head->initiators_random);
}

static void write_answer(const struct cw_handshake *h, struct cw_handshake_answer *answer)
{
    write_head(h, &answer->head);
    memcpy(answer->random, h->own.random, sizeof answer->random);
    memcpy(answer->share, h->own.share, sizeof answer->share);
    cw_offer_write(&h->own_offer, answer->numbers);
    if (!h->carry)
        memcpy(answer->confirm, h->keys.responder_confirm, sizeof answer->confirm);
}

static void write_confirm(const struct cw_handshake *h, struct cw_handshake_confirm *message)
{
    write_head(h, &message->head);
    memcpy(message->responders_random, responders_random(h), sizeof message->responders_random);
    memcpy(message->confirm, h->keys.initiator_confirm, sizeof message->confirm);
}

static void write_body(const struct cw_handshake *h, enum cw_handshake_kind kind, void *datagram)
{
    switch (kind) {
    case CW_HANDSHAKE_HELLO:
        write_hello(h, datagram);
        break;
    case CW_HANDSHAKE_COOKIE:
        write_cookie(h, datagram);
        break;
    case CW_HANDSHAKE_ANSWER:
        write_answer(h, datagram);
        break;
    default:
        CW_ASSERT(kind == CW_HANDSHAKE_CONFIRM);
        write_confirm(h, datagram);
    }
}

static size_t finish(const struct cw_handshake *h, uint8_t kind, uint8_t *datagram, size_t length)
{
    uint8_t mac[CW_HASH_SIZE];
    struct cw_packet packet = {
        .spi = CW_SPI_HANDSHAKE,
        .type = CW_PACKET_HANDSHAKE,
        .stream = kind,
        .lane = h->own_offer.lane,
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
    struct cw_handshake_carry *message = (void *)datagram;
    size_t length = 0;
    uint32_t offset = 0;
    size_t room = carry_bytes_max(h) - CW_HANDSHAKE_CARRY_OVERHEAD;
    bool is_due = cw_carry_next(h->carry, room, &offset, message->bytes, &length);
    CW_ASSERT(is_due);
    write_head(h, &message->head);
    memcpy(message->responders_random, responders_random(h), sizeof message->responders_random);
    cw_store32le(message->got, h->carry->got);
    cw_store32le(message->offset, offset);
    length = finish(h, CW_HANDSHAKE_CARRY, datagram, length + CW_HANDSHAKE_CARRY_OVERHEAD);
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
