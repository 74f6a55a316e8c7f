/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When a write is said to have left the node: net_departures.c over ports that take, and devices that are
 * done with, what the test lets them, and a session that has sent what the test says. No lab can hold frames
 * between a port and its device for as long as somebody has to look.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "engine/net_lcore.h"

struct cw_port {
    uint64_t taken; /* frames; has_left says what of them has, as port.h has it */
    uint32_t waiting;
    uint32_t not_done; /* of those taken, where the driver tells */
};

static struct cw_port ports[3];
static struct cw_net net;
static struct cw_net_peer peer;
static struct cw_net_departure ring[CW_NET_MESSAGES_MAX];
static uint64_t session_left;                           /* live messages, wholly and with their repairs */
static uint32_t room;                                   /* towards the store */
static uint64_t told[CW_NET_MESSAGES_MAX], told_groups; /* departures, in order */
static uint32_t told_count;

uint64_t cw_port_committed(const struct cw_port *port)
{
    return port->taken + port->waiting;
}

bool cw_port_has_left(const struct cw_port *port, uint64_t committed)
{
    assert_true(committed <= cw_port_committed(port));
    return port->taken - port->not_done >= committed;
}

uint64_t cw_session_live_left(const struct cw_session *session)
{
    return session_left;
}

bool cw_net_has_room(struct cw_net *of)
{
    return room > 0;
}

void cw_net_push(struct cw_net *of, const struct cw_from_net *element)
{
    assert_true(room-- > 0);
    assert_int_equal(element->type, CW_FROM_NET_LEFT);
    assert_int_equal(element->peer, 2);
    assert_int_equal(element->slot, 5);
    told_groups += element->group;
    told[told_count++] = element->departure;
}

static int before_each(void **state)
{
    memset(ports, 0, sizeof ports);
    memset(&peer, 0, sizeof peer);
    peer = (struct cw_net_peer){.path_count = 2, .index = 2, .departures = {.ring = ring}};
    for (unsigned i = 0; i < CW_COUNT_OF(ports); i++) {
        net.paths[i] = (struct cw_net_path){.port = &ports[i], .is_up = true};
        peer.paths[i] = &net.paths[i];
        ports[i].taken = 1000 * i;
    }
    room = 100;
    session_left = told_groups = 0;
    told_count = 0;
    return 0;
}

/* The session has sent another, in so many frames of this path's, which wait for the device. */
static void send_one(unsigned path, uint32_t frames)
{
    struct cw_net_departures *all = &peer.departures;
    ring[all->tail % CW_NET_MESSAGES_MAX] = (struct cw_net_departure){
        .number = session_left, .departure = 500 + session_left, .group = 1, .slot = 5};
    all->tail++;
    session_left++;
    ports[path].waiting += frames;
}

static void take(unsigned path, uint32_t frames)
{
    ports[path].waiting -= frames;
    ports[path].taken += frames;
}

/* The device has them, and is not done with them. */
static void begin(unsigned path, uint32_t frames)
{
    take(path, frames);
    ports[path].not_done += frames;
}

static uint64_t next_look_ns(void)
{
    return cw_net_peer_departures_deadline_ns(&peer, net.now_ns) - net.now_ns;
}

/* All in all, in order, whenever it is asked. */
static void expect_told(uint32_t count)
{
    (void)cw_net_peer_tell_departures(&net, &peer);
    (void)cw_net_peer_tell_departures(&net, &peer);
    assert_int_equal(told_count, count);
    assert_int_equal(told_groups, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(told[i], 500 + i);
}

static void nothing_has_left_while_a_port_takes_nothing(void **state)
{
    expect_told(0);
    send_one(0, 2);
    send_one(1, 2);
    for (unsigned i = 0; i < 10; i++)
        expect_told(0);
    take(0, 2);
    expect_told(0); /* which of the two it was, nobody remembers */
    take(1, 1);
    expect_told(0);
    take(1, 1);
    expect_told(2);
}

static void at_an_empty_port_it_has_left_at_once(void **state)
{
    for (uint32_t i = 1; i < 10; i++) {
        send_one(i % 2, 0);
        expect_told(i);
    }
}

/* The session is not done with the third: its repairs are missing. */
static void what_the_session_has_not_sent_has_not_left(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        send_one(0, 0);
    session_left = 2;
    expect_told(2);
    session_left = 3;
    expect_told(3);
}

/* Each time the device takes what was there, as much is there again. */
static void a_queue_that_is_never_empty_keeps_nothing_back_for_ever(void **state)
{
    send_one(0, 3);
    expect_told(0);
    for (uint32_t i = 1; i < 50; i++) {
        send_one(0, 3);
        take(0, 3);
        (void)cw_net_peer_tell_departures(&net, &peer);
        assert_in_range(told_count, i - CW_MIN(i, 2u), i); /* never what waits, and the rest soon */
    }
    take(0, 3);
    expect_told(50);
}

static void a_path_that_is_down_holds_up_nobody(void **state)
{
    send_one(0, 2);
    expect_told(0);
    net.paths[0].is_up = false;
    expect_told(1);
    send_one(1, 2);
    expect_told(1);
    take(1, 2);
    expect_told(2);
    net.paths[0].is_up = true; /* with what it still has */
    send_one(1, 0);
    expect_told(2);
    take(0, 2);
    expect_told(3);
}

static void what_a_device_is_not_done_with_has_not_left(void **state)
{
    send_one(0, 2);
    send_one(1, 2);
    begin(0, 2);
    begin(1, 2);
    for (unsigned i = 0; i < 10; i++)
        expect_told(0);
    ports[0].not_done = 0;
    expect_told(0);
    ports[1].not_done = 1;
    expect_told(0);
    ports[1].not_done = 0;
    expect_told(2);
}

/* Its path is found down, by others, sooner or later: what it holds is sent again elsewhere. */
static void a_device_that_is_done_with_nothing_any_more_holds_up_nobody(void **state)
{
    send_one(0, 2);
    begin(0, 2);
    expect_told(0);
    net.paths[0].is_up = false;
    expect_told(1);
    net.paths[1].is_up = false; /* no path at all */
    send_one(1, 1);
    expect_told(2);
}

/* Nothing wakes the loop when a device is done. */
static void what_waits_for_a_device_is_looked_at_again(void **state)
{
    assert_int_equal(cw_net_peer_departures_deadline_ns(&peer, net.now_ns), CW_NEVER);
    send_one(0, 2);
    begin(0, 2);
    expect_told(0);
    assert_int_equal(next_look_ns(), 20 * CW_US);
    net.now_ns += CW_MS;
    expect_told(0);
    assert_int_equal(next_look_ns(), CW_MS / 4); /* and seldom, when it takes long */
    net.now_ns += CW_SECOND;
    expect_told(0);
    assert_int_equal(next_look_ns(), CW_MS);
    ports[0].not_done = 0;
    expect_told(1);
    assert_int_equal(cw_net_peer_departures_deadline_ns(&peer, net.now_ns), CW_NEVER);
    send_one(0, 0);
    session_left--; /* the session still has it, and its own deadline */
    expect_told(1);
    assert_int_equal(cw_net_peer_departures_deadline_ns(&peer, net.now_ns), CW_NEVER);
    session_left++;
    room = 0;
    expect_told(1);
    assert_int_equal(cw_net_peer_departures_deadline_ns(&peer, net.now_ns), CW_NEVER);
}

static void what_the_store_has_no_room_for_is_told_later(void **state)
{
    room = 2;
    for (unsigned i = 0; i < 5; i++)
        send_one(0, 0);
    expect_told(2);
    room = 10;
    expect_told(5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_has_left_while_a_port_takes_nothing, before_each),
        cmocka_unit_test_setup(at_an_empty_port_it_has_left_at_once, before_each),
        cmocka_unit_test_setup(what_the_session_has_not_sent_has_not_left, before_each),
        cmocka_unit_test_setup(a_queue_that_is_never_empty_keeps_nothing_back_for_ever, before_each),
        cmocka_unit_test_setup(a_path_that_is_down_holds_up_nobody, before_each),
        cmocka_unit_test_setup(what_a_device_is_not_done_with_has_not_left, before_each),
        cmocka_unit_test_setup(a_device_that_is_done_with_nothing_any_more_holds_up_nobody, before_each),
        cmocka_unit_test_setup(what_waits_for_a_device_is_looked_at_again, before_each),
        cmocka_unit_test_setup(what_the_store_has_no_room_for_is_told_later, before_each),
    };
    return cmocka_run_group_tests_name("engine/departures", tests, NULL, NULL);
}
