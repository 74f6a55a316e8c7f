/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of packets in flight against a plain list of them: whatever is sent, skipped, acknowledged, lost
 * and forgotten, each packet comes back as it was put in, in order, and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "transport/inflight.h"

#define PACKETS 64u /* outstanding at most */
#define LISTED  4096u

static struct cw_inflight map;
static uint8_t memory[1 << 17] __attribute__((aligned(4096)));
static uint64_t now_ns;
static struct cw_rng rng;

static void begin(uint32_t packets, uint64_t seed)
{
    struct cw_arena arena;
    cw_arena_init(&arena, memory, sizeof memory);
    cw_inflight_init(&map, &arena, packets);
    now_ns = CW_SECOND;
    rng = (struct cw_rng){.state = seed};
}

/* The ring's indexes are about to wrap. */
static void begin_late(uint32_t packets, uint64_t seed)
{
    begin(packets, seed);
    map.oldest = map.next_burst = 0u - 50;
    map.oldest_item = map.next_item = 0u - 700;
}

static struct cw_sent send(void)
{
    struct cw_sent sent = {
        .sent_ns = now_ns,
        .message = cw_rng_next(&rng),
        .fragment = (uint16_t)cw_rng_next(&rng),
        .bytes = (uint16_t)cw_rng_next(&rng),
        .kind = (uint8_t)cw_rng_below(&rng, CW_SENT_CONTROL + 1),
    };
    cw_inflight_add(&map, &sent);
    if (cw_rng_below(&rng, 2)) {
        sent.fec_lane = (uint8_t)(1 + cw_rng_below(&rng, 2));
        cw_inflight_protect_newest(&map, sent.fec_lane);
    }
    return sent;
}

static void assert_same(const struct cw_sent *a, const struct cw_sent *b)
{
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->sent_ns, b->sent_ns);
    assert_int_equal(a->message, b->message);
    assert_int_equal(a->fragment, b->fragment);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->fec_lane, b->fec_lane);
}

/* ---- against a list ------------------------------------------------------------------------------------ */

static struct cw_sent listed[LISTED]; /* in order of number */
static uint32_t listed_count;

static void unlist(uint32_t i)
{
    memmove(&listed[i], &listed[i + 1], (--listed_count - i) * sizeof listed[0]);
}

static void check_walk(uint64_t first, uint64_t last)
{
    struct cw_sent_walk walk;
    struct cw_sent sent;
    cw_inflight_walk(&map, first, last, &walk);
    for (uint32_t i = 0; i < listed_count; i++) {
        if (listed[i].number < first || listed[i].number > last)
            continue;
        assert_true(cw_inflight_next(&map, &walk, &sent));
        assert_same(&sent, &listed[i]);
    }
    assert_false(cw_inflight_next(&map, &walk, &sent));
}

static void check_all(void)
{
    struct cw_sent sent;
    assert_true(cw_inflight_is_valid(&map));
    assert_int_equal(map.outstanding_count, listed_count);
    assert_int_equal(cw_inflight_oldest(&map, &sent), listed_count > 0);
    if (listed_count > 0)
        assert_same(&sent, &listed[0]);
    check_walk(0, UINT64_MAX);
    uint64_t first = map.next_number - CW_MIN(map.next_number, cw_rng_below(&rng, 600));
    check_walk(first, first + cw_rng_below(&rng, 100));
    for (uint64_t number = first; number < first + 20; number++) {
        uint32_t i = 0;
        while (i < listed_count && listed[i].number != number)
            i++;
        assert_int_equal(cw_inflight_find(&map, number, &sent), i < listed_count);
    }
}

static void send_some(uint32_t most)
{
    uint64_t count = cw_rng_below(&rng, 40);
    static const uint64_t steps[] = {0, 0, 1, CW_US, CW_MS, 3 * CW_SECOND, 5 * CW_SECOND};
    for (uint64_t i = 0; i < count; i++) {
        if (cw_rng_below(&rng, 4) == 0)
            now_ns += steps[cw_rng_below(&rng, CW_COUNT_OF(steps))];
        if (cw_rng_below(&rng, 5) == 0)
            cw_inflight_skip(&map);
        if (map.outstanding_count < most && cw_inflight_has_room(&map))
            listed[listed_count++] = send();
    }
    if (cw_rng_below(&rng, 10) == 0)
        for (uint64_t i = cw_rng_below(&rng, 200); i > 0; i--)
            cw_inflight_skip(&map);
}

/* As by an ack: most of a range, upwards, while it is walked. */
static void drop_some(bool is_lossy)
{
    struct cw_sent_walk walk;
    struct cw_sent sent;
    uint64_t first = is_lossy ? map.next_number - CW_MIN(map.next_number, cw_rng_below(&rng, 200)) : 0;
    cw_inflight_walk(&map, first, first + cw_rng_below(&rng, 2 * map.next_number), &walk);
    for (uint32_t i = 0; cw_inflight_next(&map, &walk, &sent);) {
        while (listed[i].number < sent.number)
            i++;
        assert_same(&sent, &listed[i]);
        if (is_lossy && cw_rng_below(&rng, 8) == 0)
            continue;
        cw_inflight_drop(&map, &sent);
        unlist(i);
    }
    cw_inflight_walk(&map, map.next_number - CW_MIN(map.next_number, 40), map.next_number, &walk);
    if (listed_count == 0 || !cw_inflight_take(&map, &walk, &sent))
        return;
    uint32_t i = 0;
    while (listed[i].number < sent.number)
        i++;
    assert_same(&sent, &listed[i]);
    unlist(i);
}

static void it_holds_what_a_list_does(void **state)
{
    for (uint32_t seed = 1; seed <= 40; seed++) {
        (seed % 4 < 2 ? begin : begin_late)(seed % 2 ? PACKETS : 16, seed);
        listed_count = 0;
        for (int step = 0; step < 400; step++) {
            send_some(seed % 2 ? PACKETS : 16);
            drop_some(seed % 3 > 0);
            check_all();
        }
        cw_inflight_reset(&map);
        listed_count = 0;
        check_all();
    }
}

/* ---- room ---------------------------------------------------------------------------------------------- */

/* One that is missing lets as many behind it as may be out in two round trips. */
static void a_missing_packet_is_in_the_way_in_the_end(void **state)
{
    struct cw_sent sent, oldest;
    begin(PACKETS, 1);
    oldest = send();
    uint32_t count = 1;
    for (; cw_inflight_has_room(&map); count++) {
        sent = send();
        cw_inflight_drop(&map, &sent);
    }
    assert_int_equal(count, 2 * PACKETS);
    cw_inflight_lose(&map, &oldest, now_ns); /* a lost one is in nobody's way */
    assert_true(cw_inflight_has_room(&map));
    assert_same(&cw_inflight_find_lost(&map, oldest.number)->sent, &oldest);
}

static void numbers_of_acks_are_in_the_way_later(void **state)
{
    struct cw_sent sent;
    begin(PACKETS, 1);
    (void)send();
    while (cw_inflight_has_room(&map)) {
        for (int i = 0; i < 31; i++)
            cw_inflight_skip(&map);
        sent = send();
        cw_inflight_drop(&map, &sent);
    }
    assert_true(map.next_number > 4 * PACKETS);
    for (uint32_t i = 0; i < 100000; i++) /* those that want no ack never wait */
        cw_inflight_skip(&map);
    assert_true(cw_inflight_oldest(&map, &sent));
    cw_inflight_drop(&map, &sent);
    assert_true(cw_inflight_has_room(&map));
    (void)send();
    assert_true(cw_inflight_is_valid(&map));
}

static void the_time_is_exact_however_slowly_they_leave(void **state)
{
    struct cw_sent sent;
    uint64_t sent_ns[30];
    begin(PACKETS, 1);
    for (uint64_t i = 0; i < 30; i++) {
        sent_ns[i] = now_ns;
        (void)send();
        now_ns += i * i * 20 * CW_MS + 1;
    }
    for (uint64_t i = 0; i < 30; i++) {
        assert_true(cw_inflight_find(&map, i + 1, &sent));
        assert_int_equal(sent.sent_ns, sent_ns[i]);
    }
}

/* ---- lost ---------------------------------------------------------------------------------------------- */

static void lost_ones_are_in_order_of_being_given_up(void **state)
{
    static const uint64_t order[] = {3, 1, 5, 2};
    struct cw_sent sent;
    begin(PACKETS, 1);
    for (int i = 0; i < 5; i++)
        (void)send();
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(cw_inflight_find(&map, order[i], &sent));
        assert_int_equal(cw_inflight_lose(&map, &sent, now_ns + i)->lost_ns, now_ns + i);
    }
    assert_false(cw_inflight_find(&map, 5, &sent));
    assert_null(cw_inflight_find_lost(&map, 4));
    cw_inflight_forget(&map, cw_inflight_find_lost(&map, 1));
    const struct cw_lost *lost = cw_inflight_oldest_lost(&map);
    assert_int_equal(lost->sent.number, 3);
    assert_int_equal((lost = cw_inflight_lost_after(&map, lost))->sent.number, 5);
    assert_int_equal((lost = cw_inflight_lost_after(&map, lost))->sent.number, 2);
    assert_null(cw_inflight_lost_after(&map, lost));
    assert_true(cw_inflight_is_valid(&map));
}

static void one_more_is_lost_than_are_remembered(void **state)
{
    begin(1024, 1);
    for (uint32_t i = 0; i < 4 * CW_LOST_REMEMBERED; i++) {
        struct cw_sent sent = send();
        cw_inflight_lose(&map, &sent, now_ns);
        if (map.lost_count > CW_LOST_REMEMBERED)
            cw_inflight_forget(&map, cw_inflight_oldest_lost(&map));
    }
    assert_int_equal(map.lost_count, CW_LOST_REMEMBERED);
    assert_int_equal(cw_inflight_oldest_lost(&map)->sent.number, 3 * CW_LOST_REMEMBERED + 1);
    assert_true(cw_inflight_is_valid(&map));
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static void a_packet_in_flight_takes_40_bytes(void **state)
{
    struct cw_arena one, two;
    struct cw_inflight measured;
    cw_arena_measure(&one);
    cw_inflight_init(&measured, &one, 1u << 18);
    cw_arena_measure(&two);
    cw_inflight_init(&measured, &two, 1u << 19);
    assert_in_range((two.used - one.used) >> 18, 39, 41);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_a_list_does),
        cmocka_unit_test(a_missing_packet_is_in_the_way_in_the_end),
        cmocka_unit_test(numbers_of_acks_are_in_the_way_later),
        cmocka_unit_test(the_time_is_exact_however_slowly_they_leave),
        cmocka_unit_test(lost_ones_are_in_order_of_being_given_up),
        cmocka_unit_test(one_more_is_lost_than_are_remembered),
        cmocka_unit_test(a_packet_in_flight_takes_40_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
