/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One io_uring per lcore: disks, NBD sockets, wake-ups and the sleep all go through it, so that an idle
 * lcore sleeps in one place and any of them ends the sleep.
 *
 * An operation embeds a cw_uring_op and names the function that gets its result. Preparing an operation
 * takes a submission entry; cw_uring_submit passes all prepared ones to the kernel in one call, at the end
 * of a loop turn. When the submission queue is full, prepare submits by itself. Single thread.
 *
 * Order of calls: init and register on any thread; then everything else on the one thread that first
 * submits (cw_uring_enable binds the ring to it; submit, sleep and reap do so by themselves). Only
 * cw_uring_wake is for others.
 */
#pragma once

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct cw_uring_op;
/* result: as the system call's: >= 0 or -errno. Called from cw_uring_reap only. flags: CQE flags. */
typedef void cw_uring_done(struct cw_uring_op *op, int result, uint32_t flags);

/* One plain system call between memory and a file, made by a later reap. length 0: none. */
struct cw_uring_transfer {
    void *data; /* the caller's, until done is called */
    uint64_t offset;
    uint32_t length;
    int fd;
    bool is_write;
};

struct cw_uring_op {
    cw_uring_done *done;
    /* Set by cw_uring_bind (to 0) and disk.c, never by the owner of the op: */
    uint32_t
        expected; /* no partial transfer passes: a result >= 0 that differs is an error; 0: any will do */
    int32_t if_partial; /* which one; 0: -EIO */
    int32_t forced;     /* an injected fault: this -errno replaces the result; 0: none */
    /* Set by cw_uring_finish and cw_uring_transfer: */
    struct cw_uring_op *next;
    int32_t result;
    struct cw_uring_transfer transfer;
};

struct cw_uring {
    struct io_uring ring;
    uint32_t prepared;  /* entries not yet submitted */
    uint32_t in_flight; /* bound and not finished; the ring's own read of wake_fd is not counted */
    bool has_registered_buffers;
    struct iovec registered[16];
    uint32_t registered_count;
    /* a module may add what it needs below */
    int wake_fd; /* eventfd: any thread or process may end the sleep by writing to it */
    struct cw_uring_op wake_op;
    uint64_t wake_value;
    bool wake_is_armed;
    bool is_enabled; /* bound to its thread */
    struct cw_uring_op *finished_first,
        *finished_last; /* by cw_uring_finish and _transfer; counted in in_flight */
};

/* entries: submission queue, power of two. The text of a failure goes to `why`. */
enum cw_status cw_uring_init(struct cw_uring *uring, uint32_t entries, char *why,
                             size_t why_size) CW_MUST_CHECK;
/* Cancels what can be cancelled; an operation on a file may still be running: drain those first. */
void cw_uring_fini(struct cw_uring *uring);
/* Binds the ring to the calling thread. Optional: the first submit, sleep or reap does it. */
void cw_uring_enable(struct cw_uring *uring);

/* Registers memory blocks once, after all pools exist, before the ring is enabled or on its thread. A block
 * above 1 GiB (the kernel's limit) is registered in pieces; 16 pieces in all, the rest stays plain. Failing
 * is not fatal: plain reads and writes then. */
void cw_uring_register(struct cw_uring *uring, const struct iovec *blocks, uint32_t count);

/* A fresh SQE with op as its user data; never NULL. The caller fills it with an io_uring_prep_ function
 * *before* calling cw_uring_bind, which sets the user data and counts it. */
struct io_uring_sqe *cw_uring_sqe(struct cw_uring *uring);
void cw_uring_bind(struct cw_uring *uring, struct io_uring_sqe *sqe, struct cw_uring_op *op);

/* Prepared read or write of a file at an offset; picks the FIXED form when data lies in a registered block.
 */
void cw_uring_read(struct cw_uring *uring, struct cw_uring_op *op, int fd, void *data, uint32_t length,
                   uint64_t offset);
void cw_uring_write(struct cw_uring *uring, struct cw_uring_op *op, int fd, const void *data, uint32_t length,
                    uint64_t offset, bool dsync);
void cw_uring_fdatasync(struct cw_uring *uring, struct cw_uring_op *op, int fd);
/* An operation that was done without the kernel's ring: its done function gets result from a later reap, as
 * always; no sleep comes before that. */
void cw_uring_finish(struct cw_uring *uring, struct cw_uring_op *op, int result);
/* The same for a transfer that never waits (a file in memory): the next reap makes the system call, so that
 * what was prepared for others in this turn leaves first. */
void cw_uring_transfer(struct cw_uring *uring, struct cw_uring_op *op,
                       const struct cw_uring_transfer *transfer);

void cw_uring_submit(struct cw_uring *uring);
/* Runs the done functions of finished operations, at most max of them; returns how many. */
uint32_t cw_uring_reap(struct cw_uring *uring, uint32_t max); /* no system call when nothing has finished */
/* Submits, then sleeps until something finishes, the wake fd is written, or timeout_ns has passed (an hour at
 * most: the caller comes back). Returns at once when something has finished already. Runs no done function.
 */
void cw_uring_sleep(struct cw_uring *uring, uint64_t timeout_ns);
/* Any thread, between init and fini. Wakes are not lost: one written before the sleep ends the next sleep. */
void cw_uring_wake(struct cw_uring *uring);
