/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backing files and devices of volumes and journals.
 *
 * Opening, creating and the start-up scan block and happen before a group is open, or on the control thread;
 * everything else is asynchronous through the lcore's cw_uring. O_DIRECT where the file system has it.
 * Offsets, lengths and memory are multiples of `alignment` (512 or 4096) when direct; a request that is not
 * is done through a second, buffered descriptor of the same file, by itself, without the caller knowing.
 *
 * Creating a file reserves all of its space at once (a full disk is refused then, not later) and, for a
 * journal, writes it through once, because a first write into reserved space costs a metadata update.
 */
#pragma once

#include "io/uring.h"

/*
 * Faults on purpose, for tests and labs: after so many more operations of a kind that still work, each one
 * fails with its errno, until the word is set to 0 again. Writes include zeroes; reads and syncs both
 * the blocking and the asynchronous ones. A failed write leaves the medium unchanged.
 */
struct cw_disk_fault {
    int read_errno, write_errno, sync_errno; /* EIO, ENOSPC ...; 0: healthy */
    uint64_t after_reads, after_writes, after_syncs;
    uint64_t hits; /* operations failed so far */
};

struct cw_disk_file {
    int fd;          /* direct if is_direct */
    int fd_buffered; /* the same file without O_DIRECT; -1 if fd is buffered itself */
    bool is_device;
    bool is_direct;
    bool is_locked;
    bool is_memory;      /* on tmpfs */
    bool can_zero_range; /* FALLOC_FL_ZERO_RANGE works here */
    bool can_punch;
    uint32_t alignment;
    uint64_t size;
    struct cw_disk_fault
        *fault; /* NULL, or borrowed from whoever injects; used and changed by the file's thread */
    char path[512];
};

enum cw_disk_fill { CW_DISK_RESERVE, CW_DISK_WRITE_THROUGH, CW_DISK_THIN };

/* Blocking. Creates a file of exactly size bytes; CW_EXISTS, CW_NO_SPACE, CW_NOT_FOUND (no such folder) or
 * CW_IO with words in why. It appears under its name only when whole: after a failure, and after kill -9 in
 * the middle, nothing is left behind. progress may be NULL; it is called while writing through. */
enum cw_status cw_disk_create(const char *path, uint64_t size, enum cw_disk_fill fill,
                              void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                              char *why, size_t why_size) CW_MUST_CHECK;
/* Blocking. Opens an existing file or block device, takes an exclusive lock (OFD; a second engine is refused
 * with CW_REFUSED, and so is a device that is mounted or otherwise claimed), finds out what it can do. */
enum cw_status cw_disk_open(struct cw_disk_file *file, const char *path, char *why,
                            size_t why_size) CW_MUST_CHECK;
void cw_disk_close(struct cw_disk_file *file);

/* Blocking, exact: a short read or write is an error. CW_IO, or CW_NO_SPACE (a write only). For recovery,
 * superblocks at start, tests. */
enum cw_status cw_disk_pread(const struct cw_disk_file *file, void *data, size_t length,
                             uint64_t offset) CW_MUST_CHECK;
enum cw_status cw_disk_pwrite(const struct cw_disk_file *file, const void *data, size_t length,
                              uint64_t offset) CW_MUST_CHECK;
enum cw_status cw_disk_sync(const struct cw_disk_file *file) CW_MUST_CHECK;

/* Asynchronous; 0 < length < 2 GiB. The op's done function gets `length` or a negative errno (a short
 * transfer becomes -EIO). Memory is borrowed until then. dsync: RWF_DSYNC. */
void cw_disk_read(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op, void *data,
                  uint32_t length, uint64_t offset);
void cw_disk_write(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op,
                   const void *data, uint32_t length, uint64_t offset, bool dsync);
void cw_disk_fdatasync(struct cw_uring *uring, struct cw_disk_file *file, struct cw_uring_op *op);
/* Makes the extent read as zeroes, keeping its space reserved unless punch. Done through fallocate where the
 * file can, else BLKZEROOUT semantics by writing zeroes; may take several kernel calls before done is called.
 */
struct cw_disk_zero {
    struct cw_uring_op op;    /* internal */
    struct cw_uring_op *user; /* whose done is called */
    struct cw_uring *uring;
    struct cw_disk_file *file;
    uint64_t offset, length; /* what remains */
    uint32_t chunk;          /* of it, in the kernel now */
    bool is_punch;
};
/* done gets 0 or -errno; after an error any part of the extent may be zero. */
void cw_disk_zeroes(struct cw_uring *uring, struct cw_disk_file *file, struct cw_disk_zero *zero,
                    struct cw_uring_op *op, uint64_t offset, uint64_t length, bool punch);
/* SEEK_DATA/SEEK_HOLE: from offset, how many of length bytes share a state. Conservative: data. Does not
 * block on the media for long; metadata only. */
uint64_t cw_disk_extent(const struct cw_disk_file *file, uint64_t offset, uint64_t length, bool *is_zero);
