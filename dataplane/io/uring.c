/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of an lcore.
 *
 * Flags: SINGLE_ISSUER and DEFER_TASKRUN, so that completions are run when we ask and never by an interrupt
 * of our own loop, and TASKRUN_FLAG, so that asking is one load from shared memory until there is something
 * to fetch. SINGLE_ISSUER binds a ring to the thread that enables it; ours is created R_DISABLED on any
 * thread and enabled by the first call of the lcore that will use it. A kernel that lacks a flag gets the
 * next simpler set.
 *
 * The sleep ends early through an eventfd with a read always pending on it. A plain read that is armed
 * again, rather than a multishot poll: wakes that come while we are awake cost one completion together.
 *
 * Not chosen: SQPOLL (it takes one of few cores), registered files (the front end's come and go), and
 * registering the ring's own descriptor (it belongs to a thread's table, and rings are made and closed by
 * others).
 */
#include "io/uring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

#define SUBMIT_ATTEMPTS    100000u /* short of memory for a second or so: then it is no passing shortage */
#define REGISTER_BYTES_MAX (1ull << 30)
#define SLEEP_NS_MAX       (3600ull * CW_SECOND)
#define CQ_PER_SQ          4u

static void on_wake(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_uring *uring = CW_CONTAINER_OF(op, struct cw_uring, wake_op);
    uring->wake_is_armed = false;
}

/* Tries the flag sets from best to plainest. */
static int queue_init(struct cw_uring *uring, uint32_t entries)
{
    const unsigned base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    const unsigned sets[] = {
        base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG,
        base | IORING_SETUP_R_DISABLED,
    };
    int error = -EINVAL;
    for (size_t i = 0; i < CW_COUNT_OF(sets) && error == -EINVAL; i++) {
        struct io_uring_params params = {.flags = sets[i], .cq_entries = entries * CQ_PER_SQ};
        error = io_uring_queue_init_params(entries, &uring->ring, &params);
    }
    return error;
}

enum cw_status cw_uring_init(struct cw_uring *uring, uint32_t entries, char *why, size_t why_size)
{
    CW_ASSERT(cw_is_power_of_two(entries));
    memset(uring, 0, sizeof *uring);
    uring->wake_op.done = on_wake;
    int error = queue_init(uring, entries);
    if (error < 0) {
        snprintf(why, why_size, "io_uring of %u entries: %s%s", entries, strerror(-error),
                 error == -EPERM || error == -ENOSYS ? "; enable it: sysctl kernel.io_uring_disabled=0" : "");
        return CW_IO;
    }
    /* Blocking mode on purpose: io_uring answers EAGAIN at once on a non-blocking descriptor. */
    uring->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (uring->wake_fd < 0) {
        snprintf(why, why_size, "eventfd: %s", strerror(errno));
        io_uring_queue_exit(&uring->ring);
        return CW_IO;
    }
    return CW_OK;
}

void cw_uring_fini(struct cw_uring *uring)
{
    struct io_uring_sync_cancel_reg all = {.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                           .timeout = {.tv_sec = 1}};
    /* Best effort: refused on another thread than the ring's, and by a kernel before 6.0. */
    if (uring->is_enabled)
        (void)io_uring_register_sync_cancel(&uring->ring, &all);
    io_uring_queue_exit(&uring->ring);
    close(uring->wake_fd);
    uring->wake_fd = -1;
}

void cw_uring_enable(struct cw_uring *uring)
{
    if (uring->is_enabled)
        return;
    /* The system call itself: the shared liburing 2.3 forgot to export its wrapper. */
    long error = syscall(__NR_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    CW_ASSERT(error == 0);
    uring->is_enabled = true;
}

void cw_uring_register(struct cw_uring *uring, const struct iovec *blocks, uint32_t count)
{
    CW_ASSERT(!uring->has_registered_buffers);
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *base = blocks[i].iov_base;
        for (size_t done = 0; done < blocks[i].iov_len && used < CW_COUNT_OF(uring->registered); used++) {
            size_t piece = CW_MIN(blocks[i].iov_len - done, REGISTER_BYTES_MAX);
            uring->registered[used] = (struct iovec){.iov_base = base + done, .iov_len = piece};
            done += piece;
        }
    }
    if (used == 0 || io_uring_register_buffers(&uring->ring, uring->registered, used) < 0)
        return;
    uring->registered_count = used;
    uring->has_registered_buffers = true;
}

/* The registered block that holds all of [data, data + length), or -1. */
static int registered_index(const struct cw_uring *uring, const void *data, uint32_t length)
{
    uintptr_t at = (uintptr_t)data;
    for (uint32_t i = 0; i < uring->registered_count; i++) {
        uintptr_t from = (uintptr_t)uring->registered[i].iov_base;
        size_t room = uring->registered[i].iov_len;
        if (at >= from && at - from <= room && length <= room - (at - from))
            return (int)i;
    }
    return -1;
}

/* One attempt. EINTR, EAGAIN and EBUSY pass; any other error is a bug: a foreign thread, a closed ring. */
static void submit_once(struct cw_uring *uring)
{
    int result = io_uring_submit(&uring->ring);
    CW_ASSERT(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
    uring->prepared = io_uring_sq_ready(&uring->ring);
}

struct io_uring_sqe *cw_uring_sqe(struct cw_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    for (uint32_t i = 0; sqe == NULL && i < SUBMIT_ATTEMPTS; i++) {
        cw_uring_enable(uring);
        submit_once(uring);
        sqe = io_uring_get_sqe(&uring->ring);
        if (sqe == NULL)
            nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    }
    CW_ASSERT(sqe != NULL && "the kernel takes submissions, in the end");
    return sqe;
}

void cw_uring_bind(struct cw_uring *uring, struct io_uring_sqe *sqe, struct cw_uring_op *op)
{
    CW_ASSERT(op->done != NULL);
    op->expected = 0;
    op->if_partial = 0;
    op->forced = 0;
    io_uring_sqe_set_data(sqe, op);
    uring->prepared++;
    uring->in_flight++;
}

void cw_uring_read(struct cw_uring *uring, struct cw_uring_op *op, int fd, void *data, uint32_t length,
                   uint64_t offset)
{
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    int index = registered_index(uring, data, length);
    if (index >= 0)
        io_uring_prep_read_fixed(sqe, fd, data, length, offset, index);
    else
        io_uring_prep_read(sqe, fd, data, length, offset);
    cw_uring_bind(uring, sqe, op);
}

void cw_uring_write(struct cw_uring *uring, struct cw_uring_op *op, int fd, const void *data, uint32_t length,
                    uint64_t offset, bool dsync)
{
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    int index = registered_index(uring, data, length);
    if (index >= 0)
        io_uring_prep_write_fixed(sqe, fd, data, length, offset, index);
    else
        io_uring_prep_write(sqe, fd, data, length, offset);
    if (dsync)
        sqe->rw_flags = RWF_DSYNC;
    cw_uring_bind(uring, sqe, op);
}

void cw_uring_fdatasync(struct cw_uring *uring, struct cw_uring_op *op, int fd)
{
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    cw_uring_bind(uring, sqe, op);
}

/* Behind all that wait for the next reap. */
static void append_finished(struct cw_uring *uring, struct cw_uring_op *op)
{
    CW_ASSERT(op->done != NULL);
    op->expected = 0;
    op->if_partial = 0;
    op->forced = 0;
    op->next = NULL;
    if (uring->finished_last != NULL)
        uring->finished_last->next = op;
    else
        uring->finished_first = op;
    uring->finished_last = op;
    uring->in_flight++;
}

void cw_uring_finish(struct cw_uring *uring, struct cw_uring_op *op, int result)
{
    op->result = result;
    op->transfer.length = 0;
    append_finished(uring, op);
}

void cw_uring_transfer(struct cw_uring *uring, struct cw_uring_op *op,
                       const struct cw_uring_transfer *transfer)
{
    CW_ASSERT(transfer->length > 0);
    op->transfer = *transfer;
    append_finished(uring, op);
}

/* Enables the ring and keeps a read of the wake fd pending. */
static void make_ready(struct cw_uring *uring)
{
    cw_uring_enable(uring);
    if (uring->wake_is_armed)
        return;
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    io_uring_prep_read(sqe, uring->wake_fd, &uring->wake_value, sizeof uring->wake_value, 0);
    cw_uring_bind(uring, sqe, &uring->wake_op);
    uring->in_flight--; /* ours, not the callers' */
    uring->wake_is_armed = true;
}

void cw_uring_submit(struct cw_uring *uring)
{
    make_ready(uring);
    if (uring->prepared > 0)
        submit_once(uring);
}

/* Completions wait in the kernel until we enter: is that so now? */
static bool must_enter(const struct cw_uring *uring)
{
    unsigned flags = IO_URING_READ_ONCE(*uring->ring.sq.kflags);
    return (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

/* The next completion that can be had without waiting, or NULL. */
static struct io_uring_cqe *next_cqe(struct cw_uring *uring)
{
    struct io_uring_cqe *cqe = NULL;
    unsigned head;
    io_uring_for_each_cqe(&uring->ring, head, cqe) return cqe;
    if (!must_enter(uring))
        return NULL;
    (void)io_uring_get_events(&uring->ring);
    io_uring_for_each_cqe(&uring->ring, head, cqe) return cqe;
    return NULL;
}

static int checked_result(const struct cw_uring_op *op, int result)
{
    if (op->forced != 0)
        return op->forced;
    if (op->expected != 0 && result >= 0 && (uint32_t)result != op->expected)
        return op->if_partial != 0 ? op->if_partial : -EIO;
    return result;
}

/* EINTR does not come: lcores take no signals, tests none here. */
static int make_transfer(const struct cw_uring_transfer *t)
{
    ssize_t result = t->is_write ? pwrite(t->fd, t->data, t->length, (off_t)t->offset)
                                 : pread(t->fd, t->data, t->length, (off_t)t->offset);
    return result < 0 ? -errno : (int)result;
}

/* What was finished before this call; what is finished inside of it waits for the next. */
static uint32_t reap_finished(struct cw_uring *uring, uint32_t max)
{
    struct cw_uring_op *last = uring->finished_last;
    uint32_t count = 0;
    while (uring->finished_first != NULL && count < max) {
        struct cw_uring_op *op = uring->finished_first;
        uring->finished_first = op->next;
        if (op->next == NULL)
            uring->finished_last = NULL;
        CW_ASSERT(uring->in_flight > 0);
        uring->in_flight--;
        count++;
        if (op->transfer.length > 0)
            op->result = make_transfer(&op->transfer);
        op->done(op, checked_result(op, op->result), 0);
        if (op == last)
            break;
    }
    return count;
}

uint32_t cw_uring_reap(struct cw_uring *uring, uint32_t max)
{
    cw_uring_enable(uring);
    uint32_t count = reap_finished(uring, max);
    while (count < max) {
        struct io_uring_cqe *cqe = next_cqe(uring);
        if (cqe == NULL)
            break;
        struct cw_uring_op *op = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_cqe_seen(&uring->ring, cqe); /* before done, which may prepare the op again */
        CW_ASSERT(op != NULL);
        if (op == &uring->wake_op) {
            on_wake(op, result, flags);
            continue;
        }
        if ((flags & IORING_CQE_F_MORE) == 0) {
            CW_ASSERT(uring->in_flight > 0);
            uring->in_flight--;
        }
        op->done(op, checked_result(op, result), flags);
        count++;
    }
    return count;
}

void cw_uring_sleep(struct cw_uring *uring, uint64_t timeout_ns)
{
    make_ready(uring);
    if (timeout_ns == 0 || uring->finished_first != NULL) {
        submit_once(uring);
        return;
    }
    uint64_t ns = CW_MIN(timeout_ns, SLEEP_NS_MAX);
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(ns / CW_SECOND),
                                        .tv_nsec = (long long)(ns % CW_SECOND)};
    struct io_uring_cqe *cqe = NULL;
    int result = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL);
    CW_ASSERT(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY);
    uring->prepared = io_uring_sq_ready(&uring->ring);
}

void cw_uring_wake(struct cw_uring *uring)
{
    uint64_t one = 1;
    /* Cannot block before 2^64 - 1 unread wakes; a full counter wakes just as well. */
    ssize_t written = write(uring->wake_fd, &one, sizeof one);
    CW_ASSERT(written == (ssize_t)sizeof one || errno == EINTR);
}
