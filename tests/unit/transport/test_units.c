/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages in units: however often the size of fragments changes under way, and whatever is lost, said to be
 * lost, or comes twice, a message comes out whole, once, and its sender learns that once. And what no sender
 * of the session would cut is refused.
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
#include "transport/receive.h"
#include "transport/send.h"

static uint8_t memory[8 << 20] __attribute__((aligned(4096)));
static uint8_t body[CW_RECORD_PAYLOAD_MAX], head[CW_MESSAGE_HEAD_MAX], bytes[65536];

struct sides {
    struct cw_send send;
    struct cw_receive receive;
};

static void open_sides(struct sides *sides, uint32_t fragment_bytes_max)
{
    const uint32_t counts[CW_CLASS_COUNT] = {4, 4, 4};
    const uint64_t grant[CW_CLASS_COUNT] = {4, 4, 4};
    uint64_t granted[CW_CLASS_COUNT];
    struct cw_arena arena;
    cw_arena_init(&arena, memory, sizeof memory);
    cw_send_init(&sides->send, &arena, 8);
    cw_receive_init(&sides->receive, &arena, counts);
    cw_send_open(&sides->send, cw_unit_bytes(fragment_bytes_max), 64);
    cw_receive_open(&sides->receive, cw_unit_bytes(fragment_bytes_max));
    cw_receive_credit_take(&sides->receive, granted);
    cw_send_on_credit(&sides->send, grant);
}

static void the_largest_fragments_waste_little(void **state)
{
    assert_int_equal(cw_unit_bytes(1392), 174); /* of 1500 over IPv4: eight, to the byte */
    assert_int_equal(cw_unit_bytes(8892), 171); /* of 9000: 52, to the byte */
    for (uint32_t f = CW_FRAGMENT_BYTES_MIN; f < 65428; f++) {
        uint32_t unit = cw_unit_bytes(f), count = f / unit;
        assert_true(unit >= CW_UNIT_BYTES_MIN);
        assert_in_range(count, 1, CW_UNITS_OF_FRAGMENT_MAX);
        assert_true(f - count * unit < count);
    }
}

struct flight {
    struct cw_data data;
    uint16_t packed;
    uint64_t handle;
    uint8_t bytes[9000];
};

struct story {
    struct sides sides;
    struct cw_rng rng;
    uint32_t fragment_bytes_max, units_of_fragment, head_length, body_length;
    uint32_t whole, finished;
    struct flight flights[16]; /* in no order */
    uint32_t in_flight;
};

static void change_size(struct story *story, uint32_t fragment_bytes)
{
    uint32_t unit = cw_unit_bytes(story->fragment_bytes_max);
    fragment_bytes = CW_MIN(fragment_bytes, story->fragment_bytes_max);
    story->units_of_fragment = CW_MIN(fragment_bytes / unit, CW_UNITS_OF_FRAGMENT_MAX);
}

/* At least one unit. */
static uint32_t any_size(struct story *story)
{
    return cw_unit_bytes(story->fragment_bytes_max) +
           (uint32_t)cw_rng_below(&story->rng, story->fragment_bytes_max);
}

static void begin(struct story *story, uint64_t seed)
{
    *story = (struct story){.rng = {.state = seed}};
    story->fragment_bytes_max = CW_FRAGMENT_BYTES_MIN + (uint32_t)cw_rng_below(&story->rng, 8477);
    story->head_length = 1 + (uint32_t)cw_rng_below(&story->rng, sizeof head);
    story->body_length = (uint32_t)cw_rng_below(&story->rng, sizeof body);
    for (uint32_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)cw_rng_next(&story->rng);
    memcpy(head, body + 7, sizeof head);
    open_sides(&story->sides, story->fragment_bytes_max);
    change_size(story, story->fragment_bytes_max);
    cw_send_put(&story->sides.send, CW_STREAM_LIVE, head, story->head_length, body, story->body_length, 5);
}

static bool send_one(struct story *story)
{
    struct cw_fragment fragment;
    if (story->in_flight == CW_COUNT_OF(story->flights) ||
        !cw_send_next(&story->sides.send, story->units_of_fragment, &fragment))
        return false;
    struct flight *flight = &story->flights[story->in_flight++];
    cw_send_describe(&story->sides.send, &fragment, &flight->data);
    assert_true(flight->data.length <= story->fragment_bytes_max);
    cw_send_copy(&fragment, &flight->data, flight->bytes);
    flight->packed = cw_fragment_pack(&fragment);
    flight->handle = cw_handle_pack(fragment.message->self);
    cw_send_on_sent(&story->sides.send, &fragment);
    return true;
}

/* One of those in flight arrives or not, and the sender is told so, or that it was lost. */
static void settle_one(struct story *story)
{
    struct flight *flight = &story->flights[cw_rng_below(&story->rng, story->in_flight)];
    struct cw_received received;
    bool arrives = cw_rng_below(&story->rng, 3) > 0, is_told = arrives && cw_rng_below(&story->rng, 4) > 0;
    flight->data.bytes = flight->bytes;
    if (arrives && cw_receive_fragment(&story->sides.receive, CW_STREAM_LIVE, 0, &flight->data, &received) ==
                       CW_RECEIVE_WHOLE) {
        story->whole++;
        assert_memory_equal(received.head, head, story->head_length);
        assert_memory_equal(received.body, body, story->body_length);
    }
    if (!is_told) {
        cw_send_on_lost(&story->sides.send, flight->handle, flight->packed, 0);
    } else if (cw_send_on_acked(&story->sides.send, flight->handle, flight->packed) != NULL) {
        assert_int_equal(story->whole, 1);
        story->finished++;
    }
    *flight = story->flights[--story->in_flight];
}

static void sizes_change_under_way(void **state)
{
    static struct story story;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(&story, seed);
        while (story.finished == 0) {
            if (cw_rng_below(&story.rng, 4) == 0)
                change_size(&story, any_size(&story));
            if (!send_one(&story))
                settle_one(&story);
        }
        while (story.in_flight > 0) {
            struct flight *flight = &story.flights[--story.in_flight];
            assert_null(cw_send_on_acked(&story.sides.send, flight->handle, flight->packed));
        }
        assert_int_equal(story.whole, 1);
    }
}

static void other_cuts_are_refused(void **state)
{
    struct sides sides;
    struct cw_received whole;
    open_sides(&sides, 1392);
    struct cw_data data = {
        .head_length = 10, .body_length = 4000, .bytes = bytes, .offset = 174, .length = 348};
    assert_int_equal(cw_receive_fragment(&sides.receive, 1, 0, &data, &whole), CW_RECEIVE_KEPT);
    assert_int_equal(cw_receive_fragment(&sides.receive, 1, 0, &data, &whole), CW_RECEIVE_DUPLICATE);
    data.length = 522; /* one more than came */
    assert_int_equal(cw_receive_fragment(&sides.receive, 1, 0, &data, &whole), CW_RECEIVE_KEPT);
    static const uint32_t wrong[][2] = {{174, 347}, {174, 349}, {173, 348}, {174, 0}, {3828, 181}, {0, 100}};
    for (unsigned i = 0; i < CW_COUNT_OF(wrong); i++) {
        data.offset = wrong[i][0];
        data.length = wrong[i][1];
        assert_int_equal(cw_receive_fragment(&sides.receive, 1, 0, &data, &whole), CW_RECEIVE_BAD);
    }
    data.offset = 3828;
    data.length = 182; /* the rest, which is no whole unit */
    assert_int_equal(cw_receive_fragment(&sides.receive, 1, 0, &data, &whole), CW_RECEIVE_KEPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_fragments_waste_little),
        cmocka_unit_test(sizes_change_under_way),
        cmocka_unit_test(other_cuts_are_refused),
    };
    return cmocka_run_group_tests_name("transport/units", tests, NULL, NULL);
}
