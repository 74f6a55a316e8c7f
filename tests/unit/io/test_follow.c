/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two sessions over real ports with a router between them that gives one of them another address when it is
 * told to (NAT): the other follows it, under load, and everything arrives once. Frames of strangers, and of
 * addresses that nobody has, change nothing.
 *
 *   a (follows) -- memif -- [this test's NAT] -- memif -- b
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "io/aead.h"
#include "io/checksum.h"
#include "io/port.h"
#include "transport/session.h"

#include <rte_mbuf.h>

#define IP_AT    14u
#define SOURCE   12u
#define TARGET   16u
#define UDP_AT   34u
#define PORT     7400u
#define MESSAGES 4096u

static const uint32_t address_a = 0x0a000001, address_b = 0x0a000002;

static char folder[64], prefix[64], why[512];
static struct cw_port *nat[2]; /* towards a, towards b */
static uint32_t outside;       /* where a sees b */
static uint16_t outside_port;
static uint64_t to_nobody;

static struct side {
    struct cw_port *port;
    struct cw_session *session;
    void *memory;
    bool follows;
    uint64_t now_ns;
    uint32_t sent, received, finished, downs, moves;
    uint8_t arrived[MESSAGES];
} sides[2];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- the router */

static void rewrite(uint8_t *frame, uint32_t at, uint32_t address, uint32_t udp_at, uint16_t port)
{
    uint8_t *ip = frame + IP_AT;
    cw_store32be(ip + at, address);
    cw_store16be(frame + UDP_AT + udp_at, port);
    cw_store16be(ip + 10, 0);
    cw_store16be(ip + 10, (uint16_t)~cw_checksum_fold(cw_checksum_sum(ip, 20)));
}

static bool translate(uint8_t *frame, bool is_from_a)
{
    if (cw_load16be(frame + 12) != 0x0800)
        return false;
    if (!is_from_a) {
        if (outside != address_b)
            rewrite(frame, SOURCE, outside, 0, outside_port);
        return true;
    }
    bool is_there = cw_load32be(frame + IP_AT + TARGET) == outside &&
                    cw_load16be(frame + UDP_AT + 2) == (outside == address_b ? PORT : outside_port);
    to_nobody += !is_there;
    if (is_there)
        rewrite(frame, TARGET, address_b, 2, PORT);
    return is_there;
}

static void carry(bool is_from_a)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    struct cw_port *to = nat[is_from_a];
    uint32_t count = cw_port_receive_frames(nat[!is_from_a], frames, CW_PORT_BURST);
    for (uint32_t i = 0; i < count; i++) {
        bool goes_on = translate(rte_pktmbuf_mtod(frames[i], uint8_t *), is_from_a) &&
                       cw_port_transmit_frames(to, &frames[i], 1) == 1;
        if (!goes_on)
            rte_pktmbuf_free(frames[i]);
    }
}

/* ---- the two ends: what the engine's net lcore does */

static void take(void *context, uint8_t *datagram, size_t length)
{
    struct side *s = context;
    if (!s->follows) {
        cw_session_on_datagram(s->session, 0, datagram, length, s->now_ns);
        return;
    }
    uint64_t from = cw_port_source(s->port, datagram);
    cw_session_on_datagram_from(s->session, 0, from, false, datagram, length, s->now_ns);
    if (from != 0 && cw_session_needs_address(s->session, 0, from))
        cw_port_remember(s->port, datagram, cw_session_address(s->session, 0));
}

static void on_event(struct side *s, const struct cw_session_event *event)
{
    s->downs += event->type == CW_SESSION_DOWN;
    s->moves += event->type == CW_SESSION_PATH_MOVED;
    if (event->type == CW_SESSION_SENT) {
        assert_true(event->delivered);
        s->finished++;
    }
    if (event->type == CW_SESSION_RECEIVED) {
        uint32_t id = cw_load32le(event->received.head);
        assert_true(id < MESSAGES);
        assert_int_equal(s->arrived[id]++, 0);
        for (uint32_t i = 0; i < event->received.body_length; i += 511)
            assert_int_equal(event->received.body[i], (uint8_t)(id + i));
        s->received++;
        cw_session_release(s->session, event->received.buffer);
    }
}

static void transmit(struct side *s)
{
    for (int i = 0; i < 32; i++) {
        uint8_t *room = cw_port_transmit_next(s->port);
        if (room == NULL)
            break;
        size_t length = cw_session_transmit(s->session, 0, room, s->now_ns);
        if (length == 0) {
            cw_port_transmit_abandon(s->port);
            break;
        }
        if (s->follows)
            cw_port_transmit_commit_to(s->port, length, cw_session_goes_to(s->session, 0));
        else
            cw_port_transmit_commit(s->port, length);
    }
    cw_port_flush(s->port);
}

static void turn(struct side *s)
{
    struct cw_session_event event;
    static uint8_t seeds;
    uint8_t seed[64];
    s->now_ns = now_ns();
    cw_port_on_time(s->port, s->now_ns);
    cw_port_receive(s->port, take, s);
    memset(seed, ++seeds, sizeof seed);
    if (cw_session_wants_entropy(s->session))
        cw_session_entropy(s->session, seed);
    if (cw_session_deadline_ns(s->session) <= s->now_ns)
        cw_session_on_time(s->session, s->now_ns);
    while (cw_session_event(s->session, &event))
        on_event(s, &event);
    transmit(s);
}

static uint8_t body[16384 + 256];

static void offer(struct side *s)
{
    uint8_t head[64] = {0};
    if (s->sent == MESSAGES || !cw_session_can_send(s->session, CW_STREAM_LIVE, 16384))
        return;
    cw_store32le(head, s->sent);
    const uint8_t *from = body + (uint8_t)s->sent; /* body[i] is i */
    assert_int_equal(cw_session_send(s->session, CW_STREAM_LIVE, head, sizeof head, from, 16384, s->sent),
                     CW_OK);
    s->sent++;
}

/* Until it is so; false after ten seconds. */
static bool run_until(bool (*is_so)(void), bool with_load)
{
    for (uint64_t end_ns = now_ns() + 10 * CW_SECOND; now_ns() < end_ns;) {
        for (int i = 0; i < 2; i++) {
            if (with_load)
                offer(&sides[i]);
            turn(&sides[i]);
            carry(i == 0);
        }
        if (is_so())
            return true;
    }
    return false;
}

static bool both_up(void)
{
    return cw_session_is_up(sides[0].session) && cw_session_is_up(sides[1].session) &&
           cw_session_can_send(sides[0].session, CW_STREAM_LIVE, 16384) &&
           cw_session_can_send(sides[1].session, CW_STREAM_LIVE, 16384);
}

static bool all_done(void)
{
    return sides[0].finished == sides[0].sent && sides[1].finished == sides[1].sent;
}

static uint32_t wanted_moves;
static bool has_moved(void)
{
    return sides[0].moves >= wanted_moves;
}

static uint32_t wanted_count;
static bool has_more(void)
{
    return sides[0].received >= wanted_count && sides[1].received >= wanted_count;
}

static void some_load(void)
{
    wanted_count = CW_MAX(sides[0].received, sides[1].received) + 20;
    assert_true(run_until(has_more, true));
}

static void is_at(const char *text)
{
    char found[CW_PORT_ADDRESS_TEXT];
    cw_port_address_text(sides[0].port, cw_session_address(sides[0].session, 0), found);
    assert_string_equal(found, text);
}

static void a_peer_behind_nat_is_followed(void **state)
{
    assert_true(run_until(both_up, false));
    some_load();
    is_at("10.0.0.2 port 7400");
    static const struct {
        uint32_t address;
        uint16_t port;
        const char *text;
    } moves[] = {{0xc0000209, 5000, "192.0.2.9 port 5000"},
                 {0xc0000209, 5001, "192.0.2.9 port 5001"},
                 {0xc6336407, 7400, "198.51.100.7 port 7400"},
                 {0x0a000002, 7400, "10.0.0.2 port 7400"},
                 {0xc0000209, 5000, "192.0.2.9 port 5000"}};
    for (size_t i = 0; i < CW_COUNT_OF(moves); i++) {
        outside = moves[i].address;
        outside_port = moves[i].port;
        wanted_moves = (uint32_t)i + 1;
        assert_true(run_until(has_moved, true));
        is_at(moves[i].text);
        some_load();
    }
    assert_true(to_nobody > 0);
    assert_true(run_until(all_done, false));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sides[i].downs, 0);
        assert_int_equal(sides[i].received, sides[!i].sent);
    }
    assert_int_equal(sides[0].moves, CW_COUNT_OF(moves));
    assert_int_equal(sides[1].moves, 0);
}

/* ---- building */

static struct cw_port *open_port(unsigned number, bool is_server, const struct cw_port_config *with)
{
    struct cw_port_config config = *with;
    config.mtu = 1500;
    snprintf(config.name, sizeof config.name, "p%u", number);
    snprintf(config.device, sizeof config.device, "net_memif%u,role=%s,id=0,socket=%s/%u", number,
             is_server ? "server" : "client", folder, number / 2);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    return port;
}

static void make_session(struct side *s, bool is_initiator)
{
    struct cw_arena arena;
    struct cw_session_config config = {
        .is_initiator = is_initiator,
        .aead = cw_aead_ipsecmb(),
        .path_count = 1,
        .paths = {{.datagram_bytes_max = 1472, .packets_in_flight_max = 256, .is_mtu_probed = true}},
        .messages_max = 64,
        .receive_count = {32, 16, 4},
    };
    memcpy(config.local_name, is_initiator ? "a" : "b", 1);
    memcpy(config.remote_name, is_initiator ? "b" : "a", 1);
    memset(config.cluster_key, 7, sizeof config.cluster_key);
    memset(config.seed, is_initiator ? 1 : 2, sizeof config.seed);
    cw_arena_measure(&arena);
    (void)cw_session_new(&config, &arena, now_ns());
    size_t size = cw_round_up(arena.used, 4096);
    s->memory = aligned_alloc(4096, size);
    cw_arena_init(&arena, s->memory, size);
    s->session = cw_session_new(&config, &arena, now_ns());
}

static int before_all(void **state)
{
    struct cw_eal_config eal = {.memory_mb = 256};
    struct cw_port_config ends[2], nothing = {0};
    snprintf(folder, sizeof folder, "/tmp/cw-follow-XXXXXX");
    snprintf(prefix, sizeof prefix, "cw-test-follow-%d", getpid());
    memcpy(eal.file_prefix, prefix, sizeof prefix);
    if (mkdtemp(folder) == NULL || cw_eal_start(&eal, why, sizeof why) != CW_OK)
        return -1;
    for (uint32_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)i;
    for (int i = 0; i < 2; i++)
        ends[i] = (struct cw_port_config){.local_ip = cw_ip_v4(i == 0 ? address_a : address_b),
                                          .remote_ip = cw_ip_v4(i == 0 ? address_b : address_a),
                                          .local_udp = PORT,
                                          .remote_udp = PORT,
                                          .local_mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)},
                                          .remote_mac = {2, 0, 0, 0, 0, 9},
                                          .is_followed = i == 0};
    sides[0].follows = true;
    sides[0].port = open_port(0, true, &ends[0]);
    nat[0] = open_port(1, false, &nothing);
    nat[1] = open_port(2, true, &nothing);
    sides[1].port = open_port(3, false, &ends[1]);
    make_session(&sides[0], true);
    make_session(&sides[1], false);
    outside = address_b;
    return 0;
}

static int after_all(void **state)
{
    char command[256];
    for (int i = 0; i < 2; i++) {
        cw_port_close(sides[i].port);
        cw_port_close(nat[i]);
        free(sides[i].memory);
    }
    cw_eal_stop();
    snprintf(command, sizeof command, "rm -rf %s /var/run/dpdk/%s", folder, prefix);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_peer_behind_nat_is_followed)};
    return cmocka_run_group_tests_name("io/follow", tests, before_all, after_all);
}
