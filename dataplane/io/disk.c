/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backing files and devices, once they are open: reads, writes, syncs, zeroes, extents.
 *
 * Everything asynchronous is one call into the ring, but for zeroes, which may be a chain: one fallocate
 * where the file has the mode, otherwise writes of zeroes, one after the other so that a large trim never
 * crowds out the journal. Short extents are written even where fallocate exists: it always runs on a kernel
 * worker thread (a wake-up) and leaves unwritten extents, each of which costs a metadata update later.
 *
 * On tmpfs the transfer is a copy that never waits, yet io_uring hands it to a kernel worker, since tmpfs
 * knows no NOWAIT: two wake-ups of other threads for one copy. There the plain system call is made by the
 * ring's next reap, after what this turn has for peers and clients has left. (Where such pages are swapped
 * out the lcore waits for them, as every process does.)
 *
 * A partial transfer is an error, not something to continue: with O_DIRECT and reserved space it only
 * happens when the medium failed in the middle.
 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

#define ZERO_WRITE_BYTES   (128u * 1024u)
#define TRANSFER_BYTES_MAX (1u << 30) /* of one blocking system call */

static_assert(ZERO_WRITE_BYTES % 4096 == 0, "chunks keep the alignment of their start");

static const _Alignas(4096) uint8_t zero_bytes[ZERO_WRITE_BYTES];

enum fault_kind { FAULT_READ, FAULT_WRITE, FAULT_SYNC };

__attribute__((cold, noinline)) static int fault_take(struct cw_disk_fault *fault, enum fault_kind kind)
{
    int error = kind == FAULT_READ    ? fault->read_errno
                : kind == FAULT_WRITE ? fault->write_errno
                                      : fault->sync_errno;
    uint64_t *left = kind == FAULT_READ    ? &fault->after_reads
                     : kind == FAULT_WRITE ? &fault->after_writes
                                           : &fault->after_syncs;
    if (error == 0)
        return 0;
    if (*left > 0) {
        (*left)--;
        return 0;
    }
    fault->hits++;
    return -error;
}

/* -errno if this operation shall fail. */
static inline int fault_check(const struct cw_disk_file *file, enum fault_kind kind)
{
    return __builtin_expect(file->fault != NULL, 0) ? fault_take(file->fault, kind) : 0;
}

/* Completes op through the ring with an error, so that done is called from reap as always. */
static void fail_later(struct cw_uring *uring, struct cw_uring_op *op, int error)
{
    struct io_uring_sqe *sqe = cw_uring_sqe(uring);
    io_uring_prep_nop(sqe);
    cw_uring_bind(uring, sqe, op);
    op->forced = error;
}

static int descriptor_for(const struct cw_disk_file *file, const void *data, uint64_t length, uint64_t offset)
{
    uint64_t bits = (uintptr_t)data | length | offset;
    bool is_aligned = (bits & (file->alignment - 1)) == 0;
    return is_aligned || !file->is_direct ? file->fd : file->fd_buffered;
}

enum cw_status cw_disk_pread(const struct cw_disk_file *file, void *data, size_t length, uint64_t offset)
{
    if (fault_check(file, FAULT_READ) != 0)
        return CW_IO;
    int fd = descriptor_for(file, data, length, offset);
    for (size_t done = 0; done < length;) {
        ssize_t n = pread(fd, (uint8_t *)data + done, CW_MIN(length - done, TRANSFER_BYTES_MAX),
                          (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return CW_IO;
        done += (size_t)n;
    }
    return CW_OK;
}

enum cw_status cw_disk_pwrite(const struct cw_disk_file *file, const void *data, size_t length,
                              uint64_t offset)
{
    int error = fault_check(file, FAULT_WRITE);
    if (error != 0)
        return error == -ENOSPC ? CW_NO_SPACE : CW_IO;
    int fd = descriptor_for(file, data, length, offset);
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(fd, (const uint8_t *)data + done, CW_MIN(length - done, TRANSFER_BYTES_MAX),
                           (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == ENOSPC || errno == EDQUOT) ? CW_NO_SPACE : CW_IO;
        done += (size_t)n;
    }
    return CW_OK;
}

enum cw_status cw_disk_sync(const struct cw_disk_file *file)
{
    if (fault_check(file, FAULT_SYNC) != 0)
        return CW_IO;
    return fdatasync(file->fd) == 0 ? CW_OK : CW_IO;
}

/* A planted fault ends the operation, by way of the ring. */
static bool is_failing(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op,
                       enum fault_kind kind)
{
    int error = fault_check(file, kind);
    if (error != 0)
        fail_later(uring, op, error);
    return error != 0;
}

void cw_disk_read(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op, void *data,
                  uint32_t length, uint64_t offset)
{
    CW_ASSERT(length > 0);
    CW_ASSERT(length < TRANSFER_BYTES_MAX);
    if (is_failing(uring, file, op, FAULT_READ))
        return;
    int fd = descriptor_for(file, data, length, offset);
    if (file->is_memory)
        cw_uring_transfer(uring, op, &(struct cw_uring_transfer){data, offset, length, fd, false});
    else
        cw_uring_read(uring, op, fd, data, length, offset);
    op->expected = length;
}

void cw_disk_write(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op,
                   const void *data, uint32_t length, uint64_t offset, bool dsync)
{
    CW_ASSERT(length > 0);
    CW_ASSERT(length < TRANSFER_BYTES_MAX);
    if (is_failing(uring, file, op, FAULT_WRITE))
        return;
    int fd = descriptor_for(file, data, length, offset);
    if (file->is_memory)
        cw_uring_transfer(uring, op, &(struct cw_uring_transfer){(void *)data, offset, length, fd, true});
    else
        cw_uring_write(uring, op, fd, data, length, offset, dsync);
    op->expected = length;
    op->if_partial = -ENOSPC; /* there was room for a part only */
}

void cw_disk_fdatasync(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op)
{
    if (is_failing(uring, file, op, FAULT_SYNC))
        return;
    if (file->is_memory)
        cw_uring_finish(uring, op, 0); /* memory has no cache in front of it */
    else
        cw_uring_fdatasync(uring, op, file->fd);
}

static bool can_fallocate(const struct cw_disk_zero *zero)
{
    return zero->is_punch ? zero->file->can_punch : zero->file->can_zero_range;
}

static void zero_by_fallocate(struct cw_disk_zero *zero)
{
    int mode = (zero->is_punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
    zero->chunk = 0;
    if (is_failing(zero->uring, zero->file, &zero->op, FAULT_WRITE))
        return;
    struct io_uring_sqe *sqe = cw_uring_sqe(zero->uring);
    io_uring_prep_fallocate(sqe, zero->file->fd, mode, (off_t)zero->offset, (off_t)zero->length);
    cw_uring_bind(zero->uring, sqe, &zero->op);
}

/* Ends at multiples of the chunk, so that an unaligned start costs one buffered write and no more. */
static void zero_by_writing(struct cw_disk_zero *zero)
{
    uint64_t to_boundary = ZERO_WRITE_BYTES - zero->offset % ZERO_WRITE_BYTES;
    uint64_t chunk = CW_MIN(zero->length, to_boundary);
    uint64_t tail = chunk % zero->file->alignment;
    if (chunk == zero->length && tail != 0 && chunk > tail)
        chunk -= tail; /* the unaligned end goes alone, too */
    zero->chunk = (uint32_t)chunk;
    cw_disk_write(zero->uring, zero->file, &zero->op, zero_bytes, zero->chunk, zero->offset, false);
}

static bool is_unsupported(int result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENOTTY;
}

static void on_zeroed(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct cw_disk_zero *zero = CW_CONTAINER_OF(op, struct cw_disk_zero, op);
    if (zero->chunk == 0 && is_unsupported(result)) {
        /* The file system had not told: remembered, and the next way tried. */
        *(zero->is_punch ? &zero->file->can_punch : &zero->file->can_zero_range) = false;
        zero_by_writing(zero);
        return;
    }
    if (zero->chunk != 0 && result >= 0) {
        zero->offset += zero->chunk;
        zero->length -= zero->chunk;
        if (zero->length > 0) {
            zero_by_writing(zero);
            return;
        }
        result = 0;
    }
    zero->user->done(zero->user, result, flags);
}

void cw_disk_zeroes(struct cw_uring *uring, struct cw_disk_file *file, struct cw_disk_zero *zero,
                    struct cw_uring_op *op, uint64_t offset, uint64_t length, bool punch)
{
    CW_ASSERT(length > 0);
    *zero = (struct cw_disk_zero){.op = {.done = on_zeroed},
                                  .user = op,
                                  .uring = uring,
                                  .file = file,
                                  .offset = offset,
                                  .length = length,
                                  .is_punch = punch};
    if (can_fallocate(zero) && (punch || length > ZERO_WRITE_BYTES))
        zero_by_fallocate(zero);
    else
        zero_by_writing(zero);
}

uint64_t cw_disk_extent(const struct cw_disk_file *file, uint64_t offset, uint64_t length, bool *is_zero)
{
    CW_ASSERT(length > 0);
    *is_zero = false;
    if (file->is_device)
        return length;
    off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) { /* no data from here to the end */
        *is_zero = true;
        return length;
    }
    if (data < 0)
        return length;
    if ((uint64_t)data > offset) {
        *is_zero = true;
        return CW_MIN((uint64_t)data - offset, length);
    }
    off_t hole = lseek(file->fd, (off_t)offset, SEEK_HOLE);
    return hole <= (off_t)offset ? length : CW_MIN((uint64_t)hole - offset, length);
}
