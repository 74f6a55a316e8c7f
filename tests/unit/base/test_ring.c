/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring: empty, full, round the corner, over the wrap of its free-running indexes, and two threads at it.
 * Built a second time with ThreadSanitizer, which is what sees a wrong order of loads and stores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "base/ring.h"
#include "memory.h"

static void *make(struct cw_ring *ring, uint32_t element_count, uint32_t element_size)
{
    struct cw_arena arena;

    cw_arena_measure(&arena);
    cw_ring_init(ring, &arena, element_count, element_size);
    void *memory = test_arena(&arena, arena.used);
    cw_ring_init(ring, &arena, element_count, element_size);
    return memory;
}

static void empty_and_full(void **state)
{
    struct cw_ring ring;
    void *memory = make(&ring, 4, sizeof(uint64_t));
    uint64_t element = 99;

    assert_true(cw_ring_is_empty(&ring));
    assert_false(cw_ring_pop(&ring, &element));
    assert_int_equal(element, 99);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(cw_ring_room(&ring), 4 - i);
        assert_true(cw_ring_push(&ring, &i));
        assert_false(cw_ring_is_empty(&ring));
    }
    assert_int_equal(cw_ring_room(&ring), 0);
    assert_false(cw_ring_push(&ring, &element));
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(cw_ring_pop(&ring, &element));
        assert_int_equal(element, i);
    }
    assert_false(cw_ring_pop(&ring, &element));
    assert_int_equal(cw_ring_room(&ring), 4);
    free(memory);
}

static void secrets_leave_no_trace(void **state)
{
    static const uint64_t zeros[4];
    struct cw_ring ring;
    void *memory = make(&ring, 4, sizeof(uint64_t));
    uint64_t element = 0;

    assert_false(cw_ring_pop_secret(&ring, &element));
    for (uint64_t i = 1; i <= 6; i++) { /* round the corner */
        assert_true(cw_ring_push(&ring, &i));
        assert_true(cw_ring_pop_secret(&ring, &element));
        assert_int_equal(element, i);
    }
    assert_memory_equal(ring.slots, zeros, sizeof zeros);
    free(memory);
}

static void ring_of_one(void **state)
{
    struct cw_ring ring;
    void *memory = make(&ring, 1, 1);
    uint8_t element = 0;

    for (int i = 0; i < 300; i++) {
        uint8_t n = (uint8_t)i;
        assert_true(cw_ring_push(&ring, &n));
        assert_false(cw_ring_push(&ring, &n));
        assert_true(cw_ring_pop(&ring, &element));
        assert_int_equal(element, n);
        assert_false(cw_ring_pop(&ring, &element));
    }
    free(memory);
}

/* Fill and drain by uneven steps while the 32-bit indexes pass their end. */
static void indexes_wrap(void **state)
{
    struct cw_ring ring;
    void *memory = make(&ring, 8, 12);
    uint32_t pushed = 0, popped = 0;

    atomic_store(&ring.tail, UINT32_MAX - 20);
    atomic_store(&ring.head, UINT32_MAX - 20);
    ring.head_seen = UINT32_MAX - 20;
    ring.tail_seen = UINT32_MAX - 20;
    while (popped < 100) {
        for (int i = 0; i < 5; i++) {
            uint32_t element[3] = {pushed, ~pushed, 7};
            assert_int_equal(cw_ring_push(&ring, element), pushed - popped < 8);
            if (pushed - popped < 8)
                pushed++;
        }
        for (int i = 0; i < 3; i++) {
            uint32_t element[3];
            assert_true(cw_ring_pop(&ring, element));
            assert_int_equal(element[0], popped);
            assert_int_equal(element[1], ~popped);
            assert_int_equal(element[2], 7);
            popped++;
        }
        assert_int_equal(cw_ring_room(&ring), 8 - (pushed - popped));
    }
    free(memory);
}

#define STRESS_COUNT 200000u

struct element {
    uint64_t number;
    uint64_t payload[6]; /* long enough that a torn copy would show */
};

static void *producer(void *argument)
{
    struct cw_ring *ring = argument;

    for (uint64_t i = 0; i < STRESS_COUNT;) {
        struct element e = {.number = i, .payload = {i, i, i, i, i, ~i}};
        if (cw_ring_push(ring, &e))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void two_threads(void **state)
{
    struct cw_ring ring;
    void *memory = make(&ring, 64, sizeof(struct element));
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, producer, &ring), 0);
    for (uint64_t i = 0; i < STRESS_COUNT;) {
        struct element e;
        if (!cw_ring_pop(&ring, &e)) {
            sched_yield();
            continue;
        }
        assert_int_equal(e.number, i);
        assert_int_equal(e.payload[0], i);
        assert_int_equal(e.payload[5], ~i);
        i++;
    }
    pthread_join(thread, NULL);
    assert_true(cw_ring_is_empty(&ring));
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_and_full),
        cmocka_unit_test(secrets_leave_no_trace),
        cmocka_unit_test(ring_of_one),
        cmocka_unit_test(indexes_wrap),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
