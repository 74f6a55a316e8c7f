/* SPDX-License-Identifier: BSD-3-Clause */
/* The guard of a memif port: unmapping, by whoever in the process, waits for the burst in progress. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "io/guard.h"

#define LENGTH 65536

static struct cw_guard guard;
static _Atomic bool is_unmapped, is_held;

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *unmap(void *memory)
{
    int result = munmap(memory, LENGTH);
    atomic_store(&is_unmapped, true);
    return result == 0 ? memory : NULL;
}

static void *hold(void *unused)
{
    cw_guard_hold(&guard);
    atomic_store(&is_held, true);
    return NULL;
}

static void unmapping_waits_for_the_burst(void **state)
{
    pthread_t thread;
    void *result;
    volatile char *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_true(cw_guard_register(&guard));
    assert_true(cw_guard_enter(&guard));
    assert_int_equal(pthread_create(&thread, NULL, unmap, (void *)memory), 0);
    pause_ms(30);
    assert_false(atomic_load(&is_unmapped));
    memory[LENGTH - 1] = 1; /* what a burst does */
    cw_guard_leave(&guard);
    pthread_join(thread, &result);
    assert_ptr_equal(result, (void *)memory);
    assert_true(atomic_load(&is_unmapped));
    cw_guard_unregister(&guard);
}

static void a_holder_waits_and_then_keeps_bursts_out(void **state)
{
    pthread_t thread;
    assert_true(cw_guard_enter(&guard));
    assert_int_equal(pthread_create(&thread, NULL, hold, NULL), 0);
    pause_ms(30);
    assert_false(atomic_load(&is_held));
    cw_guard_leave(&guard);
    pthread_join(thread, NULL);
    assert_false(cw_guard_enter(&guard));
    assert_false(cw_guard_enter(&guard));
    cw_guard_release(&guard);
    assert_true(cw_guard_enter(&guard));
    cw_guard_leave(&guard);
}

#define SCRATCH_BYTES (1u << 20)

static _Atomic bool is_gone, must_stop;
static uint64_t broken_count;

/* Stores that miss the cache stand before that of the guard, as the copies of a burst do. */
static void *poll_bursts(void *scratch)
{
    volatile uint8_t *bytes = scratch;
    for (uint32_t at = 0; !atomic_load_explicit(&must_stop, memory_order_relaxed);) {
        for (unsigned i = 0; i < 32; i++, at = (at + 4160) % SCRATCH_BYTES)
            bytes[at]++;
        if (!cw_guard_enter(&guard))
            continue;
        for (unsigned i = 0; i < 200; i++)
            broken_count += atomic_load_explicit(&is_gone, memory_order_relaxed);
        cw_guard_leave(&guard);
    }
    return NULL;
}

/* A race, which a guard without fences loses in some of many rounds. */
static void no_burst_sees_what_a_holder_does(void **state)
{
    pthread_t thread;
    void *scratch = calloc(1, SCRATCH_BYTES);
    assert_non_null(scratch);
    assert_true(cw_guard_register(&guard));
    assert_int_equal(pthread_create(&thread, NULL, poll_bursts, scratch), 0);
    for (unsigned i = 0; i < 500000; i++) {
        cw_guard_hold(&guard);
        atomic_store_explicit(&is_gone, true, memory_order_relaxed);
        for (unsigned pause = 0; pause < 50; pause++)
            __asm__ volatile("");
        atomic_store_explicit(&is_gone, false, memory_order_relaxed);
        cw_guard_release(&guard);
        for (unsigned pause = 0; pause < i % 256; pause++)
            __asm__ volatile("");
    }
    atomic_store(&must_stop, true);
    pthread_join(thread, NULL);
    free(scratch);
    cw_guard_unregister(&guard);
    assert_int_equal(broken_count, 0);
}

static void guards_are_limited_and_come_free(void **state)
{
    static struct cw_guard many[65];
    for (unsigned i = 0; i < 64; i++)
        assert_true(cw_guard_register(&many[i]));
    assert_false(cw_guard_register(&many[64]));
    cw_guard_unregister(&many[5]);
    assert_true(cw_guard_register(&many[64]));
    for (unsigned i = 0; i < 65; i++)
        cw_guard_unregister(&many[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unmapping_waits_for_the_burst),
        cmocka_unit_test(a_holder_waits_and_then_keeps_bursts_out),
        cmocka_unit_test(no_burst_sees_what_a_holder_does),
        cmocka_unit_test(guards_are_limited_and_come_free),
    };
    return cmocka_run_group_tests_name("io/guard", tests, NULL, NULL);
}
