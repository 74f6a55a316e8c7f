/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of an lcore: transfers, sleep and its three ends, wakes, threads, a full submission queue. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "io/uring.h"

struct waiting {
    struct cw_uring_op op;
    int result;
    uint32_t flags;
    unsigned calls;
};

static void on_done(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct waiting *waiting = CW_CONTAINER_OF(op, struct waiting, op);
    waiting->result = result;
    waiting->flags = flags;
    waiting->calls++;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void ring_start(struct cw_uring *uring, uint32_t entries)
{
    char why[256] = "";
    enum cw_status status = cw_uring_init(uring, entries, why, sizeof why);
    if (status != CW_OK)
        fail_msg("%s", why);
}

static void run_until_idle(struct cw_uring *uring)
{
    cw_uring_submit(uring);
    while (uring->in_flight > 0) {
        if (cw_uring_reap(uring, 64) == 0)
            cw_uring_sleep(uring, 100 * CW_MS);
    }
}

static int temporary_file(void)
{
    char path[] = "/tmp/cw-uring-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void writes_and_reads_back(void **state)
{
    struct cw_uring uring;
    struct waiting w = {.op = {.done = on_done}}, s = w, r = w;
    uint8_t out[4096], in[4096] = {0};
    int fd = temporary_file();
    memset(out, 0x5a, sizeof out);
    ring_start(&uring, 8);
    cw_uring_write(&uring, &w.op, fd, out, sizeof out, 8192, true);
    run_until_idle(&uring);
    cw_uring_fdatasync(&uring, &s.op, fd);
    cw_uring_read(&uring, &r.op, fd, in, sizeof in, 8192);
    assert_int_equal(uring.in_flight, 2);
    assert_int_equal(r.calls, 0); /* nothing is called before reap */
    run_until_idle(&uring);
    assert_int_equal(w.result, 4096);
    assert_int_equal(s.result, 0);
    assert_int_equal(r.result, 4096);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(w.calls + s.calls + r.calls, 3);
    cw_uring_fini(&uring);
    close(fd);
}

static void registered_memory_takes_the_fixed_form(void **state)
{
    struct cw_uring uring;
    struct waiting w = {.op = {.done = on_done}}, r = w;
    size_t size = 1 << 20;
    uint8_t *pool = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pool != MAP_FAILED);
    int fd = temporary_file();
    ring_start(&uring, 8);
    cw_uring_register(&uring, &(struct iovec){pool, size}, 1);
    assert_true(uring.has_registered_buffers);
    memset(pool, 0x77, 4096);
    cw_uring_write(&uring, &w.op, fd, pool, 4096, 0, false);
    struct io_uring_sqe *last = &uring.ring.sq.sqes[(uring.ring.sq.sqe_tail - 1) & *uring.ring.sq.kring_mask];
    assert_int_equal(last->opcode, IORING_OP_WRITE_FIXED);
    run_until_idle(&uring);
    cw_uring_read(&uring, &r.op, fd, pool + size - 4096, 4096, 0);
    run_until_idle(&uring);
    assert_int_equal(w.result, 4096);
    assert_int_equal(r.result, 4096);
    assert_memory_equal(pool, pool + size - 4096, 4096);
    /* One byte over the end of the block: the plain form, which the kernel checks page by page. */
    cw_uring_read(&uring, &r.op, fd, pool + size - 4095, 4096, 0);
    last = &uring.ring.sq.sqes[(uring.ring.sq.sqe_tail - 1) & *uring.ring.sq.kring_mask];
    assert_int_equal(last->opcode, IORING_OP_READ);
    run_until_idle(&uring);
    cw_uring_fini(&uring);
    munmap(pool, size);
    close(fd);
}

static void more_operations_than_entries(void **state)
{
    struct cw_uring uring;
    static struct waiting many[300];
    uint8_t byte[300] = {0};
    int fd = temporary_file();
    ring_start(&uring, 8);
    for (unsigned i = 0; i < CW_COUNT_OF(many); i++) {
        many[i] = (struct waiting){.op = {.done = on_done}};
        byte[i] = (uint8_t)i;
        cw_uring_write(&uring, &many[i].op, fd, &byte[i], 1, i, false);
    }
    run_until_idle(&uring);
    for (unsigned i = 0; i < CW_COUNT_OF(many); i++) {
        assert_int_equal(many[i].calls, 1);
        assert_int_equal(many[i].result, 1);
    }
    uint8_t check[300];
    assert_int_equal(pread(fd, check, sizeof check, 0), (int)sizeof check);
    assert_memory_equal(check, byte, sizeof byte);
    cw_uring_fini(&uring);
    close(fd);
}

static void reap_obeys_its_limit(void **state)
{
    struct cw_uring uring;
    struct waiting ops[10];
    ring_start(&uring, 32);
    for (unsigned i = 0; i < 10; i++) {
        ops[i] = (struct waiting){.op = {.done = on_done}};
        struct io_uring_sqe *sqe = cw_uring_sqe(&uring);
        io_uring_prep_nop(sqe);
        cw_uring_bind(&uring, sqe, &ops[i].op);
    }
    cw_uring_submit(&uring);
    assert_int_equal(cw_uring_reap(&uring, 4), 4);
    assert_int_equal(cw_uring_reap(&uring, 4), 4);
    assert_int_equal(cw_uring_reap(&uring, 4), 2);
    assert_int_equal(cw_uring_reap(&uring, 4), 0);
    assert_int_equal(uring.in_flight, 0);
    cw_uring_fini(&uring);
}

/* Made by the reap and not before it; a sleep in between returns at once. A file that fails is told. */
static void transfers_are_made_by_the_next_reap(void **state)
{
    struct cw_uring uring;
    struct waiting ops[3] = {{.op = {.done = on_done}}, {.op = {.done = on_done}}, {.op = {.done = on_done}}};
    uint8_t data[64] = "what is written", seen[64] = {0}, check[64];
    int fd = memfd_create("transfer", MFD_CLOEXEC);
    assert_true(fd >= 0);
    ring_start(&uring, 8);
    cw_uring_transfer(&uring, &ops[0].op, &(struct cw_uring_transfer){data, 0, sizeof data, fd, true});
    cw_uring_transfer(&uring, &ops[1].op, &(struct cw_uring_transfer){seen, 0, sizeof seen, fd, false});
    cw_uring_transfer(&uring, &ops[2].op, &(struct cw_uring_transfer){data, 0, sizeof data, -1, true});
    assert_int_equal(uring.in_flight, 3);
    cw_uring_submit(&uring);
    cw_uring_sleep(&uring, 3600 * CW_SECOND);
    assert_int_equal(pread(fd, check, sizeof check, 0), 0);
    assert_int_equal(cw_uring_reap(&uring, 8), 3);
    assert_memory_equal(seen, data, sizeof data); /* in the order they were given */
    assert_int_equal(ops[0].result, (int)sizeof data);
    assert_int_equal(ops[1].result, (int)sizeof seen);
    assert_int_equal(ops[2].result, -EBADF);
    assert_int_equal(uring.in_flight, 0);
    cw_uring_fini(&uring);
    close(fd);
}

static void sleep_ends_by_timeout(void **state)
{
    struct cw_uring uring;
    ring_start(&uring, 8);
    for (int i = 0; i < 3; i++) {
        uint64_t start = now_ns();
        cw_uring_sleep(&uring, 20 * CW_MS);
        uint64_t slept = now_ns() - start;
        assert_true(slept >= 19 * CW_MS);
    }
    cw_uring_sleep(&uring, 0);
    assert_int_equal(cw_uring_reap(&uring, 8), 0);
    cw_uring_fini(&uring);
}

/* A ring with one receive of a byte under way, from pair[1]. */
static void start_receiving(struct cw_uring *uring, struct waiting *r, int pair[2], char *byte)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ring_start(uring, 8);
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    io_uring_prep_recv(sqe, pair[0], byte, 1, 0);
    cw_uring_bind(uring, sqe, &r->op);
    cw_uring_submit(uring);
}

static void sleep_ends_by_completion(void **state)
{
    struct cw_uring uring;
    struct waiting r = {.op = {.done = on_done}};
    int pair[2];
    char byte = 0;
    start_receiving(&uring, &r, pair, &byte);
    assert_int_equal(cw_uring_reap(&uring, 8), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    cw_uring_sleep(&uring, 3600 * CW_SECOND); /* one that is missed is the test's time-out */
    assert_int_equal(r.calls, 0);
    assert_int_equal(cw_uring_reap(&uring, 8), 1);
    assert_int_equal(r.result, 1);
    assert_int_equal(byte, 'x');
    cw_uring_fini(&uring);
    close(pair[0]);
    close(pair[1]);
}

/* Polling without any sleep or submit sees a completion that another party causes. */
static void reap_alone_sees_completions(void **state)
{
    struct cw_uring uring;
    struct waiting r = {.op = {.done = on_done}};
    int pair[2];
    char byte = 0;
    start_receiving(&uring, &r, pair, &byte);
    assert_int_equal(write(pair[1], "y", 1), 1);
    uint64_t start = now_ns();
    while (r.calls == 0 && now_ns() - start < 60 * CW_SECOND)
        cw_uring_reap(&uring, 8);
    assert_int_equal(r.calls, 1);
    assert_int_equal(byte, 'y');
    cw_uring_fini(&uring);
    close(pair[0]);
    close(pair[1]);
}

static void *wake_later(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * CW_MS}, NULL);
    cw_uring_wake(argument);
    return NULL;
}

static void sleep_ends_by_wake(void **state)
{
    struct cw_uring uring;
    ring_start(&uring, 8);
    for (int i = 0; i < 5; i++) { /* again and again: the read must be armed anew each time */
        pthread_t thread;
        uint64_t start = now_ns();
        assert_int_equal(pthread_create(&thread, NULL, wake_later, &uring), 0);
        cw_uring_sleep(&uring, 3600 * CW_SECOND); /* a wake that is missed is the test's time-out */
        uint64_t slept = now_ns() - start;
        pthread_join(thread, NULL);
        assert_true(slept >= 10 * CW_MS);
        assert_int_equal(cw_uring_reap(&uring, 8), 0); /* a wake is nobody's operation */
    }
    cw_uring_fini(&uring);
}

static void early_wakes_end_the_next_sleep_once(void **state)
{
    struct cw_uring uring;
    ring_start(&uring, 8);
    for (int i = 0; i < 1000; i++)
        cw_uring_wake(&uring);
    cw_uring_sleep(&uring, 3600 * CW_SECOND);
    cw_uring_reap(&uring, 8);
    uint64_t start = now_ns();
    cw_uring_sleep(&uring, 30 * CW_MS);
    assert_true(now_ns() - start >= 29 * CW_MS);
    cw_uring_fini(&uring);
}

static void *write_on_thread(void *argument)
{
    struct cw_uring *uring = argument;
    static struct waiting w;
    static uint8_t data[4096];
    int fd = temporary_file();
    w = (struct waiting){.op = {.done = on_done}};
    cw_uring_write(uring, &w.op, fd, data, sizeof data, 0, false);
    run_until_idle(uring);
    close(fd);
    return w.result == 4096 ? uring : NULL;
}

static void made_here_used_there(void **state)
{
    struct cw_uring uring;
    pthread_t thread;
    static uint8_t pool[65536];
    void *result = NULL;
    ring_start(&uring, 8);
    cw_uring_register(&uring, &(struct iovec){pool, sizeof pool}, 1);
    assert_int_equal(pthread_create(&thread, NULL, write_on_thread, &uring), 0);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &uring);
    cw_uring_fini(&uring); /* on a third side: the thread is gone */
}

static void errors_reach_done(void **state)
{
    struct cw_uring uring;
    struct waiting r = {.op = {.done = on_done}};
    char byte;
    ring_start(&uring, 8);
    cw_uring_read(&uring, &r.op, -1, &byte, 1, 0);
    run_until_idle(&uring);
    assert_int_equal(r.result, -EBADF);
    cw_uring_fini(&uring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_back),
        cmocka_unit_test(registered_memory_takes_the_fixed_form),
        cmocka_unit_test(more_operations_than_entries),
        cmocka_unit_test(reap_obeys_its_limit),
        cmocka_unit_test(transfers_are_made_by_the_next_reap),
        cmocka_unit_test(sleep_ends_by_timeout),
        cmocka_unit_test(sleep_ends_by_completion),
        cmocka_unit_test(reap_alone_sees_completions),
        cmocka_unit_test(sleep_ends_by_wake),
        cmocka_unit_test(early_wakes_end_the_next_sleep_once),
        cmocka_unit_test(made_here_used_there),
        cmocka_unit_test(errors_reach_done),
    };
    return cmocka_run_group_tests_name("io/uring", tests, NULL, NULL);
}
