/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two honest sessions over one to three paths and an input that is a list of steps: messages, time, networks
 * that change (lost, doubled, late, damaged, cut, too small), processes that die, closed sessions, keys
 * replaced every few packets, old and changed datagrams, false hints. After every step:
 *
 *   - each message arrived at most once, with its bytes, and comes back once; delivered only if it arrived;
 *     no nonce was used twice under a key (pair.c asserts these)
 *   - an honest peer is never refused: no bad frame, nothing over credit, no bad symbol
 *   - nothing is known before it happened: what a side believes to be acknowledged was opened, what was
 * opened was sent, the credit it uses was granted, what is granted has a free buffer, no message is done that
 * was never begun
 *   - what is in flight, lost and remembered, in the queue, in use is within its limits; no memory is taken
 *     (the arena is sealed); no more bytes leave than rate and burst allow
 * and at its end, over a path that is good, the session comes up and carries messages both ways.
 *
 * Input: CONFIG_BYTES, then steps of two bytes: what, and a number.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "limits.h"
#include "pair.h"
#include "transport/session_internal.h"

#define CONFIG_BYTES 13u
#define PATHS_MAX    3u
#define STEPS_MAX    300u
#define TAPE_MAX     64u
#define HEALED_NS    (300 * CW_SECOND)

static struct cw_pair *pair;

static struct {
    uint32_t count; /* all that ever were; the last TAPE_MAX are there */
    struct {
        uint16_t length;
        uint8_t path; /* of its sender */
        uint8_t bytes[9000];
    } at[TAPE_MAX];
} tape;

/* What the pacer of a side's path may not exceed, kept in another way than it does: a bucket that drains. */
static struct {
    uint64_t level, at_ns; /* level: bytes * CW_SECOND */
} buckets[2][PATHS_MAX];

/* ---- on the wire -----------------------------------------------------------------------------------------
 */

static void watch_rate(int side, uint32_t path, size_t length)
{
    const struct cw_session_path_config *config = &pair->sides[side].config.paths[path];
    uint64_t rate = config->rate_bytes_per_second, *level = &buckets[side][path].level;
    if (rate == 0)
        return;
    uint64_t drained = (pair->now_ns - buckets[side][path].at_ns) * rate;
    *level -= CW_MIN(drained, *level);
    *level += length * CW_SECOND;
    buckets[side][path].at_ns = pair->now_ns;
    uint64_t burst = CW_MIN(CW_MAX(rate * CW_PACER_BURST_NS / CW_SECOND, 2ull * config->datagram_bytes_max),
                            (uint64_t)CW_PACER_QUANTUM_MAX);
    CW_ASSERT(*level <= (burst + 1) * CW_SECOND);
}

static void record(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    uint32_t i = tape.count++ % TAPE_MAX;
    watch_rate(from, of->tap_path, length);
    CW_ASSERT(length <= sizeof tape.at[i].bytes);
    tape.at[i].length = (uint16_t)length;
    tape.at[i].path = (uint8_t)of->tap_path;
    memcpy(tape.at[i].bytes, datagram, length);
}

/* Judges at once: what is between a session and its authenticator has a harness of its own. */
static void authenticate(struct cw_pair *of, int side)
{
    struct cw_auth_request request;
    while (cw_session_auth_request(of->sides[side].session, &request)) {
        struct cw_auth_answer verdict = {.type = CW_AUTH_KEYED, .attempt = request.attempt};
        if (request.type != CW_AUTH_BEGIN)
            continue;
        crypto_hash_sha256(verdict.secret, request.context, sizeof request.context);
        cw_session_auth_answer(of->sides[side].session, &verdict, of->now_ns);
    }
}

/* ---- what always holds -----------------------------------------------------------------------------------
 */

/* Blocks, and what was given back, are what they say. */
static void check_repairs(const struct cw_path *p)
{
    uint32_t early = 0;
    if (!cw_session_fec_is_on(p))
        return;
    CW_ASSERT(cw_fec_sender_is_valid(&p->fec->sender));
    CW_ASSERT(cw_fec_receiver_is_valid(&p->fec->receiver));
    CW_ASSERT(p->fec->news_count <= CW_FEC_NEWS_MAX);
    for (uint32_t i = 0; i < p->fec->news_count; i++) {
        early += p->fec->news[i].is_early;
        CW_ASSERT(p->fec->news[i].times_left >= 1 && p->fec->news[i].times_left <= CW_FEC_NEWS_TIMES);
    }
    CW_ASSERT(early == p->fec->early_count);
}

static void check_limits(int side)
{
    const struct cw_pair_side *p = &pair->sides[side];
    const struct cw_session *s = p->session;
    CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_DROP_FRAME) == 0);
    CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_DROP_CREDIT) == 0);
    CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_FEC_BAD) == 0);
    for (uint32_t i = 0; i < p->config.path_count; i++) {
        check_path_limits(&s->paths[i], p->config.paths[i].packets_in_flight_max);
        check_repairs(&s->paths[i]);
    }
    CW_ASSERT(s->send.open_count <= p->config.messages_max);
    CW_ASSERT(s->event_tail - s->event_head <= s->event_mask);
    CW_ASSERT(s->state_events <= CW_EVENTS_OF_STATE);
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        CW_ASSERT(s->send.used[c] <= s->send.granted[c]);
        CW_ASSERT(s->receive.pools[c].free_count <= p->config.receive_count[c]);
        if (s->receive.is_open) {
            CW_ASSERT(s->receive.granted[c] - s->receive.accepted[c] == s->receive.pools[c].free_count);
            CW_ASSERT(s->receive.advertised[c] <= s->receive.granted[c]);
            CW_ASSERT(s->receive.accepted[c] <= s->receive.advertised[c]);
        }
    }
}

/* Both ends of it are in use, with the same keys: generations differ by one at most. */
static bool is_one_path(const struct cw_path *a, const struct cw_path *b)
{
    return a->state != CW_PATH_UNUSED && b->state != CW_PATH_UNUSED &&
           (a->live->spi_out == b->live->spi_in || a->live->spi_out == cw_spi_after(b->live->spi_in)) &&
           (b->live->spi_out == a->live->spi_in || b->live->spi_out == cw_spi_after(a->live->spi_in));
}

static void check_packets(const struct cw_path *from, const struct cw_path *to)
{
    CW_ASSERT(from->loss.largest_acked <= to->live->replay.highest);
    CW_ASSERT(to->live->replay.highest < from->live->next_iv);
    CW_ASSERT(from->inflight.next_number == from->live->next_iv);
}

static void check_messages(const struct cw_session *from, const struct cw_session *to)
{
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++) {
        CW_ASSERT(from->send.granted[c] <= to->receive.advertised[c]);
        CW_ASSERT(to->receive.accepted[c] <= from->send.used[c]);
    }
    for (uint32_t i = 0; i < CW_STREAM_COUNT; i++)
        CW_ASSERT(to->receive.streams[i].floor <= from->send.streams[i].next_number);
}

static void check(void)
{
    const struct cw_session *a = pair->sides[0].session, *b = pair->sides[1].session;
    bool is_one_session = false;
    check_limits(0);
    check_limits(1);
    for (uint32_t i = 0; i < pair->sides[0].config.path_count; i++) {
        const struct cw_path *of_a = &a->paths[i], *of_b = &b->paths[pair->leads_to[0][i]];
        if (!is_one_path(of_a, of_b))
            continue;
        check_packets(of_a, of_b);
        check_packets(of_b, of_a);
        is_one_session = true;
    }
    if (is_one_session) {
        check_messages(a, b);
        check_messages(b, a);
    }
}

/* ---- steps -----------------------------------------------------------------------------------------------
 */

static void run(uint64_t ns)
{
    cw_pair_run(pair, pair->now_ns + ns, NULL);
}

static void send(int side, uint8_t number)
{
    static const uint32_t bodies[] = {0, 1, 1000, 4096, 4097, 32768, 65536, 131072};
    static const uint32_t heads[] = {4, 16, 96, 2048};
    (void)cw_pair_send(pair, side, (enum cw_stream)(number % CW_STREAM_COUNT), heads[number >> 3 & 3],
                       bodies[number >> 5]);
}

/* One thing at a time; what was bad before stays so until it is mended. */
static void change_network(int side, uint32_t path, uint8_t number)
{
    struct cw_link_config *link = &pair->sides[side].out[path].config;
    uint32_t much = (number >> 4) * 40000u; /* up to 600000 in a million */
    switch (number & 15) {
    case 0:
        *link = (struct cw_link_config){.delay_ns = link->delay_ns};
        break;
    case 1:
        link->loss_per_million = much;
        break;
    case 2:
        link->burst_per_million = much / 10;
        link->burst_length = 1 + number / 8;
        break;
    case 3:
        link->duplicate_per_million = much;
        break;
    case 4:
        link->late_per_million = much;
        link->late_ns = number * CW_MS;
        break;
    case 5:
        link->corrupt_per_million = much / 2;
        break;
    case 6:
        link->truncate_per_million = much / 4;
        break;
    case 7:
        link->mtu = 1200 + (number >> 4) * 150u;
        break;
    case 8:
        link->mtu = number & 16 ? 0 : 600; /* nothing but what is short gets through */
        break;
    case 9:
        link->delay_ns = (uint64_t)(number >> 4) * (number >> 4) * CW_MS;
        break;
    case 10:
        link->rate_bytes_per_second = number & 16 ? 0 : 100000u << (number >> 5);
        link->queue_ns = 30 * CW_MS;
        break;
    case 11:
        link->loss_per_million = 1000000;
        break;
    case 12:
        cw_link_clear(&pair->sides[side].out[path]);
        break;
    case 13:
        link->jitter_ns = (number >> 4) * CW_MS;
        break;
    default:
        link->hole_period_ns = number & 16 ? 0 : 500 * CW_MS;
        link->hole_ns = (number >> 5) * 50 * CW_MS;
    }
}

/* Something that was on the wire, again, on its path or on another one; with `is_changed` one bit of it is
 * another one. */
static void again(int side, uint32_t path, uint8_t number, bool is_changed)
{
    static uint8_t copy[sizeof tape.at[0].bytes];
    if (tape.count == 0)
        return;
    uint32_t i = number % CW_MIN(tape.count, TAPE_MAX);
    size_t length = tape.at[i].length;
    memcpy(copy, tape.at[i].bytes, length);
    if (is_changed)
        copy[cw_rng_below(&pair->rng, length)] ^= (uint8_t)(1u << (number & 7));
    cw_session_on_datagram(pair->sides[side].session, path, copy, length, pair->now_ns);
}

static void hint(int side, uint8_t number)
{
    if (tape.count == 0)
        return;
    uint32_t i = number % CW_MIN(tape.count, TAPE_MAX);
    (void)cw_session_on_too_big(pair->sides[side].session, tape.at[i].path, tape.at[i].bytes,
                                CW_SESSION_QUOTED_BYTES, 500 + number * 8u, pair->now_ns);
}

static void restart(int side)
{
    uint64_t rotate_blocks = pair->sides[side].session->rotate_blocks;
    cw_pair_restart(pair, side);
    pair->sides[side].session->rotate_blocks = rotate_blocks;
    memset(buckets[side], 0, sizeof buckets[side]); /* another process */
}

enum {
    SEND,
    SEND_TOO,
    TIME,
    LONG_TIME,
    NETWORK,
    BOTH_NETWORKS,
    AGAIN,
    CHANGED,
    RESTART,
    CLOSE,
    HOLD,
    ENTROPY,
    HINT,
    ROTATE,
    WHAT_COUNT
};

static void step(uint8_t what, uint8_t number)
{
    int side = what >> 7;
    struct cw_pair_side *p = &pair->sides[side];
    uint32_t path = (what & 127u) / WHAT_COUNT % p->config.path_count;
    switch ((what & 127) % WHAT_COUNT) {
    case TIME:
        run(number * number * 10 * CW_US);
        break;
    case LONG_TIME:
        run(number * 20 * CW_MS);
        break;
    case BOTH_NETWORKS:
        change_network(0, path, number);
        change_network(1, pair->leads_to[0][path], number);
        break;
    case NETWORK:
        change_network(side, path, number);
        break;
    case AGAIN:
    case CHANGED:
        again(side, path, number, (what & 127) % WHAT_COUNT == CHANGED);
        break;
    case RESTART:
        if ((number & 7) == 0) /* not so often that nothing else happens */
            restart(side);
        break;
    case CLOSE:
        if ((number & 7) == 0)
            cw_session_close(p->session, pair->now_ns);
        break;
    case HOLD:
        p->hold_buffers = number & 1;
        cw_pair_release_all(pair, side);
        break;
    case ENTROPY:
        p->has_entropy = (number & 3) != 0;
        break;
    case HINT:
        hint(side, number);
        break;
    case ROTATE:
        p->session->rotate_blocks = 1 + number * 40u;
        break;
    default:
        for (uint32_t i = 0; i <= (number & 3u); i++)
            send(side, number);
    }
    run(0);
    check();
}

/* ---- beginning and end -----------------------------------------------------------------------------------
 */

static void configure_path(struct cw_session_path_config *path, const uint8_t *bytes)
{
    path->fec.mode = (enum cw_fec_mode)(bytes[0] % 3);
    path->fec.sources = 1 + (bytes[0] >> 2) % 32;
    path->fec.repairs = 1 + (bytes[1] & 3);
    path->fec.depth = 1 + (bytes[1] >> 2 & 3);
    path->rate_kind = (enum cw_rate_kind)((bytes[1] >> 4) % CW_RATE_KIND_COUNT);
    path->rate_bytes_per_second = bytes[1] & 0x80 ? 200000u << (bytes[2] & 7) : 0;
    path->is_mtu_probed = bytes[2] & 8;
    path->datagram_bytes_max = 1200 + (bytes[2] >> 4) * 480u;
    path->packets_in_flight_max = 16u << (bytes[3] & 3);
}

/* Paths beyond the first have the bytes of the other side's, and so on. */
static void configure(struct cw_session_config *config, int side, const uint8_t *bytes)
{
    const uint8_t *own = bytes + 5 * side;
    config->path_count = 1 + bytes[12] % PATHS_MAX;
    for (uint32_t i = 0; i < config->path_count; i++) {
        config->paths[i] = config->paths[0];
        config->paths[i].name_hash = 100 + i;
        configure_path(&config->paths[i], bytes + ((uint32_t)side * 5 + i * 3) % 8);
    }
    config->is_latency_duplicated = bytes[12] & 0x80;
    config->messages_max = 4 + (own[3] >> 2 & 7);
    config->idle_timeout_ns = (own[3] >> 5) * 500 * CW_MS; /* 0: the default */
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++)
        config->receive_count[c] = 1 + (own[4] >> 2 * c & 3);
    config->has_certificates = bytes[11] & 16;
    if (config->has_certificates)
        memset(config->cluster_key, 0, sizeof config->cluster_key);
}

static void begin(const uint8_t *bytes)
{
    struct cw_session_config configs[2];
    struct cw_link_config link = {.delay_ns = (bytes[11] & 15) * CW_MS};
    cw_pair_defaults(&configs[0], &configs[1], bytes[10]);
    for (int i = 0; i < 2; i++)
        configure(&configs[i], i, bytes);
    configs[1].idle_timeout_ns = configs[0].idle_timeout_ns; /* as in a cluster */
    cw_pair_init(pair, &configs[0], &configs[1], &link, bytes[10]);
    for (int i = 0; i < 2 && bytes[11] >> 6; i++) /* the next key after a packet, a dozen, hundreds */
        pair->sides[i].session->rotate_blocks = (uint64_t[]){0, 1, 1000, 30000}[bytes[11] >> 6];
    pair->tap = record;
    pair->authenticate = authenticate;
    tape.count = 0;
    memset(buckets, 0, sizeof buckets);
    if (bytes[11] & 32)
        cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, cw_pair_is_up);
}

static bool has_one_more(int side)
{
    uint64_t end_ns = pair->now_ns + HEALED_NS;
    while (!cw_session_can_send(pair->sides[side].session, CW_STREAM_LIVE, 5000)) {
        if (pair->now_ns > end_ns)
            return false;
        run(10 * CW_MS);
        check();
    }
    return cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 5000);
}

/* Whatever was: over a good path they find each other, and what is sent then arrives. */
static void heal(void)
{
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < pair->sides[side].config.path_count; i++)
            pair->sides[side].out[i].config = (struct cw_link_config){.delay_ns = CW_MS};
        pair->sides[side].has_entropy = true;
        pair->sides[side].hold_buffers = false;
        cw_pair_release_all(pair, side);
    }
    run(10 * CW_SECOND); /* what is out of date is given up */
    CW_ASSERT(cw_pair_run(pair, pair->now_ns + HEALED_NS, cw_pair_is_up) && "they come up");
    check();
    for (int side = 0; side < 2; side++)
        CW_ASSERT(has_one_more(side) && "there is credit");
    CW_ASSERT(cw_pair_run(pair, pair->now_ns + HEALED_NS, cw_pair_is_finished) && "all comes back");
    check();
    for (int side = 0; side < 2; side++) {
        const struct cw_pair_side *p = &pair->sides[side];
        CW_ASSERT(p->messages[p->sent_count - 1].arrived == 1);
    }
}

const size_t cw_fuzz_input_max = CONFIG_BYTES + 2 * STEPS_MAX;

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    if (size < CONFIG_BYTES)
        return 0;
    if (!pair)
        pair = calloc(1, sizeof *pair);
    CW_ASSERT(pair != NULL);
    begin(data);
    check();
    size_t at = CONFIG_BYTES;
    for (uint32_t i = 0; i < STEPS_MAX && size - at >= 2; i++, at += 2)
        step(data[at], data[at + 1]);
    heal();
    cw_pair_fini(pair);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    static const uint8_t usual[] = {SEND, SEND, SEND,      SEND_TOO, TIME,   TIME,
                                    TIME, TIME, LONG_TIME, AGAIN,    CHANGED};
    size_t size = CONFIG_BYTES;
    for (size_t i = 0; i < CONFIG_BYTES; i++)
        data[i] = (uint8_t)cw_rng_next(rng);
    if (cw_rng_below(rng, 4))
        data[11] |= 32;
    while (size + 2 <= cw_fuzz_input_max && cw_rng_below(rng, 60)) {
        uint8_t what = cw_rng_below(rng, 3) ? usual[cw_rng_below(rng, sizeof usual)]
                                            : (uint8_t)cw_rng_below(rng, WHAT_COUNT);
        uint64_t path = cw_rng_below(rng, (128 - what + WHAT_COUNT - 1) / WHAT_COUNT);
        data[size] = (uint8_t)(what + path * WHAT_COUNT + 128 * cw_rng_below(rng, 2));
        data[size + 1] = (uint8_t)cw_rng_next(rng);
        size += 2;
    }
    return size;
}
