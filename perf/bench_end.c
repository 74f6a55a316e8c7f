/* SPDX-License-Identifier: BSD-3-Clause */
/* See bench_end.h. */
#include "bench_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "io/aead.h"
#include "memif_bare.h"
#include "transport/session_internal.h"

#define HEAD_BYTES         96u /* as a record's */
#define AT_HASH            16u /* behind group and epoch, which are 0 */
#define AT_TIME            24u
#define AT_NUMBER          32u
#define FEED_BYTES         (16u << 20)
#define DATAGRAMS_PER_TURN 64u
#define TIMERS_EACH_NS     (2 * CW_US) /* as in a net lcore */

static uint8_t *feed; /* FEED_BYTES, the same for all */

static void die(const char *words)
{
    fprintf(stderr, "bench: %s\n", words);
    exit(1);
}

static void feed_make(void)
{
    struct cw_rng rng = {.state = 1};
    feed = aligned_alloc(4096, FEED_BYTES);
    if (feed == NULL)
        die("no memory");
    for (uint32_t i = 0; i < FEED_BYTES; i += 8)
        cw_store64le(feed + i, cw_rng_next(&rng));
}

static void session_config(const struct bench_end_config *config, struct cw_session_config *session)
{
    *session = (struct cw_session_config){
        .is_initiator = config->is_initiator,
        .aead = cw_aead_ipsecmb() != NULL ? cw_aead_ipsecmb() : cw_aead_openssl(),
        .path_count = config->path_count,
        .messages_max = config->messages,
        .receive_count = {256, 16, config->messages},
    };
    for (uint32_t i = 0; i < config->path_count; i++)
        session->paths[i] = (struct cw_session_path_config){
            .name_hash = i + 1,
            .datagram_bytes_max = cw_port_datagram_bytes_max(config->ports[i]),
            .rate_kind = config->rate_kind,
            .rate_bytes_per_second = config->rate_bytes_per_second,
            .packets_in_flight_max = config->packets_in_flight,
            .fec = config->fec};
    memcpy(session->local_name, config->is_initiator ? "east" : "west", 5);
    memcpy(session->remote_name, config->is_initiator ? "west" : "east", 5);
    if (getrandom(session->seed, sizeof session->seed, 0) != sizeof session->seed)
        die("no random bytes");
}

void bench_end_open(struct bench_end *end, const struct bench_end_config *config)
{
    struct cw_session_config session;
    struct cw_arena arena;
    uint64_t now_ns = bench_now_ns();
    if (feed == NULL)
        feed_make();
    session_config(config, &session);
    *end = (struct bench_end){.path_count = config->path_count, .messages_max = config->messages};
    for (uint32_t i = 0; i < config->path_count; i++)
        end->paths[i] = (struct bench_end_path){.end = end, .port = config->ports[i], .number = i};
    cw_arena_measure(&arena);
    (void)cw_session_new(&session, &arena, now_ns);
    size_t size = cw_round_up(arena.used, 4096);
    end->memory = aligned_alloc(4096, size);
    if (end->memory == NULL)
        die("no memory");
    memset(end->memory, 0, size); /* so that no page is had later */
    cw_arena_init(&arena, end->memory, size);
    end->session = cw_session_new(&session, &arena, now_ns);
}

void bench_end_close(struct bench_end *end)
{
    free(end->memory);
}

static void on_datagram(void *context, uint8_t *datagram, size_t length)
{
    const struct bench_end_path *path = context;
    cw_session_on_datagram(path->end->session, path->number, datagram, length, path->end->now_ns);
}

static void take_message(struct bench_end *end, const struct cw_received *received)
{
    if (received->head_length != HEAD_BYTES ||
        cw_hash64(received->body, received->body_length) != cw_load64le(received->head + AT_HASH))
        die("a message is not what was sent");
    end->received_messages++;
    end->received_bytes += received->body_length;
    if (end->on_received != NULL)
        end->on_received(end, cw_load64le(received->head + AT_NUMBER), cw_load64le(received->head + AT_TIME));
    cw_session_release(end->session, received->buffer);
}

static void take_state(struct bench_end *end, bool is_up)
{
    if (end->is_up && !is_up) {
        end->down_at_ns = end->now_ns;
    } else if (!end->is_up && is_up && end->down_at_ns > 0) {
        end->gap_count++;
        end->gap_ns += bench_now_ns() - end->down_at_ns;
    }
    end->is_up = is_up;
}

static void take_events(struct bench_end *end)
{
    struct cw_session_event event;
    while (cw_session_event(end->session, &event)) {
        if (event.type == CW_SESSION_RECEIVED) {
            take_message(end, &event.received);
        } else if (event.type == CW_SESSION_SENT) {
            end->outstanding--;
            end->delivered_bytes += event.delivered ? event.tag : 0;
        } else if (event.type == CW_SESSION_UP || event.type == CW_SESSION_DOWN) {
            take_state(end, event.type == CW_SESSION_UP);
        }
    }
}

static void transmit(const struct bench_end_path *path)
{
    for (uint32_t count = 0; count < DATAGRAMS_PER_TURN;) {
        uint8_t *datagram = cw_port_transmit_next(path->port);
        if (datagram == NULL)
            break;
        size_t length = cw_session_transmit(path->end->session, path->number, datagram, path->end->now_ns);
        if (length == 0) {
            cw_port_transmit_abandon(path->port);
            break;
        }
        cw_port_transmit_commit(path->port, length);
        if (cw_port_is_flush_due(++count))
            cw_port_flush(path->port);
    }
    cw_port_flush(path->port);
}

void bench_end_turn(struct bench_end *end)
{
    end->now_ns = bench_now_ns();
    for (uint32_t i = 0; i < end->path_count; i++)
        (void)cw_port_receive(end->paths[i].port, on_datagram, &end->paths[i]);
    if (cw_session_wants_entropy(end->session)) {
        uint8_t seed[64];
        if (getrandom(seed, sizeof seed, 0) != sizeof seed)
            die("no random bytes");
        cw_session_entropy(end->session, seed);
    }
    if (end->now_ns >= end->timers_ns) {
        end->timers_ns = end->now_ns + TIMERS_EACH_NS;
        if (end->now_ns >= cw_session_deadline_ns(end->session))
            cw_session_on_time(end->session, end->now_ns);
    }
    take_events(end);
    for (uint32_t i = 0; i < end->path_count; i++)
        transmit(&end->paths[i]);
}

bool bench_end_send(struct bench_end *end, const uint8_t *body, uint32_t body_length)
{
    uint8_t head[HEAD_BYTES] = {0};
    if (end->outstanding >= end->messages_max ||
        !cw_session_can_send(end->session, CW_STREAM_LIVE, body_length))
        return false;
    cw_store64le(head + AT_HASH, cw_hash64(body, body_length));
    cw_store64le(head + AT_TIME, bench_now_ns());
    cw_store64le(head + AT_NUMBER, end->sent_messages);
    if (cw_session_send(end->session, CW_STREAM_LIVE, head, sizeof head, body, body_length, body_length) !=
        CW_OK)
        return false;
    end->sent_messages++;
    end->outstanding++;
    return true;
}

void bench_end_feed(struct bench_end *end, uint32_t body_length)
{
    uint32_t places = FEED_BYTES / body_length;
    while (bench_end_send(end, feed + end->sent_messages % places * body_length, body_length))
        continue;
}

void bench_end_rekey(struct bench_end *end, uint64_t bytes)
{
    end->session->rotate_blocks = bytes > 0 ? bytes / 16 : CW_KEY_ROTATE_BLOCKS;
}

static_assert(BENCH_HELLO_BYTES == CW_HANDSHAKE_BYTES, "a HELLO");

static void make_stranger(struct cw_handshake *stranger, uint32_t number)
{
    static const uint8_t cluster_key[CW_KEY_SIZE]; /* the ends' */
    uint8_t seed[CW_SEED_SIZE] = {1};
    cw_store32le(seed + 1, number);
    const struct cw_handshake_config config = {.is_initiator = true,
                                               .local_name = "east",
                                               .remote_name = "west",
                                               .cluster_key = cluster_key,
                                               .seed = seed,
                                               .window = 256,
                                               .path_count = 1,
                                               .paths = {{.datagram_bytes = 1472}}};
    cw_handshake_init(stranger, &config);
    cw_handshake_start(stranger, bench_now_ns());
}

void bench_end_strange(struct bench_end *end, uint32_t number, uint8_t hello[BENCH_HELLO_BYTES])
{
    static uint8_t answer[65536];
    struct cw_handshake stranger;
    make_stranger(&stranger, number);
    (void)cw_handshake_transmit(&stranger, 0, hello, bench_now_ns());
    if (number % 3 == 0)
        hello[100] ^= 1;
    if (number % 3 != 2)
        return;
    end->now_ns = bench_now_ns();
    end->session->paths[0].flood.next_ns = 0; /* who has time */
    cw_session_on_datagram(end->session, 0, hello, BENCH_HELLO_BYTES, end->now_ns);
    size_t length = cw_session_transmit(end->session, 0, answer, end->now_ns);
    if (cw_handshake_on_datagram(&stranger, 0, answer, length, end->now_ns) != CW_HANDSHAKE_TAKEN ||
        cw_handshake_transmit(&stranger, 0, hello, end->now_ns) != BENCH_HELLO_BYTES)
        die("a stranger gets no cookie");
}

uint64_t bench_cpu_ns(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * CW_SECOND + (uint64_t)spent.tv_nsec;
}

double bench_end_hello_ns(struct bench_end *end, const uint8_t (*hellos)[BENCH_HELLO_BYTES],
                          uint32_t hello_count, uint64_t each_ns)
{
    uint8_t datagram[BENCH_HELLO_BYTES];
    static uint8_t answer[65536];
    uint64_t now_ns = bench_now_ns(), begin_ns = bench_cpu_ns();
    uint32_t count =
        (uint32_t)(end->session->config.idle_timeout_ns / 4 / each_ns); /* it is heard meanwhile */
    for (uint32_t i = 0; i < count; i++, now_ns += each_ns) {
        memcpy(datagram, hellos[i % hello_count], sizeof datagram);
        cw_session_on_datagram(end->session, 0, datagram, sizeof datagram, now_ns);
        if (cw_handshake_has_output(&end->session->handshake, 0))
            (void)cw_handshake_transmit(&end->session->handshake, 0, answer, now_ns);
    }
    return (double)(bench_cpu_ns() - begin_ns) / count;
}
