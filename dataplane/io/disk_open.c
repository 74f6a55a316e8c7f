/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating and opening backing files and devices: the blocking half of disk.h.
 *
 * A file is made without a name (O_TMPFILE), reserved and written through, made durable, and only then
 * linked under its name: kill -9 or a full disk in the middle leaves nothing. Where the file system has no
 * nameless files it is made under its name and removed after a failure.
 *
 * What a file can do is tried, not looked up in a table of file systems: an aligned read tells whether
 * O_DIRECT works and at what alignment. Zeroing has no harmless trial; it is tried when first needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/disk.h"

#define FILL_CHUNK_BYTES (1024u * 1024u)
#define TMPFS_MAGIC      0x01021994

struct creation {
    int fd;
    bool is_named; /* made under its name already */
    char folder[512];
};

static enum cw_status status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return CW_NO_SPACE;
    case EEXIST:
        return CW_EXISTS;
    case ENOENT:
    case ENOTDIR:
        return CW_NOT_FOUND;
    default:
        return CW_IO;
    }
}

static enum cw_status refuse(int error, const char *path, const char *doing, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: %s: %s", path, doing, strerror(error));
    return status_of(error);
}

static bool folder_of(const char *path, char *folder, size_t size)
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    int written = snprintf(folder, size, "%.*s", length, slash == NULL ? "." : path);
    return written > 0 && (size_t)written < size;
}

static int creation_open(struct creation *creation, const char *path)
{
    struct stat existing;
    if (!folder_of(path, creation->folder, sizeof creation->folder))
        return ENAMETOOLONG;
    if (lstat(path, &existing) == 0)
        return EEXIST; /* before hours of writing through; linking decides for good */
    creation->is_named = false;
    creation->fd = open(creation->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (creation->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        creation->is_named = true;
        creation->fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    }
    return creation->fd < 0 ? errno : 0;
}

/* 0, or an errno. EOPNOTSUPP: this file system cannot reserve. */
static int reserve(int fd, uint64_t size)
{
    int result;
    do {
        result = fallocate(fd, 0, 0, (off_t)size);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

/* One chunk in full; drops O_DIRECT for good when the file system or an odd length does not take it. */
static int write_chunk(int fd, const uint8_t *zeroes, size_t length, uint64_t offset)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(fd, zeroes, length - done, (off_t)(offset + done));
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EINVAL && (fcntl(fd, F_GETFL) & O_DIRECT))
            (void)fcntl(fd, F_SETFL, 0);
        else if (n == 0 || errno != EINTR)
            return n == 0 ? EIO : errno;
    }
    return 0;
}

static int write_through(int fd, uint64_t size, void (*progress)(void *, uint64_t, uint64_t), void *context)
{
    uint8_t *zeroes = aligned_alloc(4096, FILL_CHUNK_BYTES);
    if (zeroes == NULL)
        return ENOMEM;
    memset(zeroes, 0, FILL_CHUNK_BYTES);
    (void)fcntl(fd, F_SETFL, O_DIRECT); /* keeps gigabytes of zeroes out of the page cache */
    int error = 0;
    for (uint64_t done = 0; done < size && error == 0;) {
        size_t chunk = (size_t)CW_MIN(size - done, FILL_CHUNK_BYTES);
        error = write_chunk(fd, zeroes, chunk, done);
        done += chunk;
        if (error == 0 && progress != NULL)
            progress(context, done, size);
    }
    (void)fcntl(fd, F_SETFL, 0);
    free(zeroes);
    return error;
}

static int fill_in(int fd, uint64_t size, enum cw_disk_fill fill,
                   void (*progress)(void *, uint64_t, uint64_t), void *context)
{
    if (fill != CW_DISK_THIN) {
        int error = reserve(fd, size);
        if (error == EOPNOTSUPP)
            fill = CW_DISK_WRITE_THROUGH; /* writing is the only way to reserve here */
        else if (error != 0)
            return error;
    }
    if (ftruncate(fd, (off_t)size) < 0)
        return errno;
    int error = fill == CW_DISK_WRITE_THROUGH ? write_through(fd, size, progress, context) : 0;
    if (error == 0 && fsync(fd) < 0)
        error = errno;
    return error;
}

/* Gives the finished file its name, and makes the name durable. */
static int publish(const struct creation *creation, const char *path)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", creation->fd);
    if (!creation->is_named && linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
        return errno;
    int folder = open(creation->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = folder < 0 || fsync(folder) < 0 ? errno : 0;
    if (folder >= 0)
        close(folder);
    if (error != 0 && !creation->is_named)
        unlink(path);
    return error;
}

enum cw_status cw_disk_create(const char *path, uint64_t size, enum cw_disk_fill fill,
                              void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                              char *why, size_t why_size)
{
    struct creation creation;
    if (size == 0 || size > INT64_MAX) {
        snprintf(why, why_size, "%s: impossible size %llu", path, (unsigned long long)size);
        return CW_INVALID;
    }
    int error = creation_open(&creation, path);
    if (error != 0)
        return refuse(error, path, "cannot create", why, why_size);
    error = fill_in(creation.fd, size, fill, progress, context);
    if (error == 0)
        error = publish(&creation, path);
    if (error != 0 && creation.is_named)
        unlink(path);
    close(creation.fd);
    if (error == 0)
        return CW_OK;
    char doing[64];
    snprintf(doing, sizeof doing, "cannot create %llu bytes", (unsigned long long)size);
    return refuse(error, path, doing, why, why_size);
}

/* F_OFD_SETLK belongs to the open file description: it conflicts within one process too, and dies with it. */
static int lock_whole(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno : 0;
}

static int measure(struct cw_disk_file *file, const struct stat *info)
{
    int sector = 512;
    file->alignment = 512;
    file->size = (uint64_t)info->st_size;
    if (!file->is_device)
        return 0;
    if (ioctl(file->fd, BLKGETSIZE64, &file->size) < 0 || ioctl(file->fd, BLKSSZGET, &sector) < 0)
        return errno;
    if (!cw_is_power_of_two((uint64_t)sector) || sector < 512 || sector > 4096)
        return EINVAL;
    file->alignment = (uint32_t)sector;
    return 0;
}

/* Does a direct read of this alignment, in length and memory, work? */
static bool direct_read_works(int fd, uint8_t *memory, uint32_t alignment)
{
    ssize_t n = pread(fd, memory + alignment, alignment, alignment);
    return n == (ssize_t)alignment;
}

/* Opens the direct descriptor beside the buffered one, if the file takes direct reads. */
static void try_direct(struct cw_disk_file *file)
{
    uint8_t *memory = aligned_alloc(8192, 8192);
    int fd = open(file->path, O_RDWR | O_DIRECT | O_CLOEXEC);
    struct stat buffered, direct;
    bool is_same = fd >= 0 && fstat(fd, &direct) == 0 && fstat(file->fd, &buffered) == 0 &&
                   direct.st_ino == buffered.st_ino && direct.st_dev == buffered.st_dev;
    for (uint32_t alignment = file->alignment; is_same && memory != NULL && alignment <= 4096;
         alignment *= 8) {
        if (file->size < 2 * alignment || !direct_read_works(fd, memory, alignment))
            continue;
        file->fd_buffered = file->fd;
        file->fd = fd;
        file->is_direct = true;
        file->alignment = alignment;
        fd = -1;
        break;
    }
    if (fd >= 0)
        close(fd);
    free(memory);
}

static void find_abilities(struct cw_disk_file *file)
{
    struct statfs where;
    bool is_tmpfs = fstatfs(file->fd, &where) == 0 && where.f_type == TMPFS_MAGIC;
    file->can_zero_range = file->is_device || !is_tmpfs;
    file->is_memory = !file->is_device && is_tmpfs;
    file->can_punch = true;
    try_direct(file);
}

static int open_regular_or_device(struct cw_disk_file *file, const char *path, struct stat *info)
{
    if (stat(path, info) < 0)
        return errno;
    file->is_device = S_ISBLK(info->st_mode);
    if (!file->is_device && !S_ISREG(info->st_mode))
        return ENOTBLK;
    /* O_EXCL on a device: refused while it is mounted or in a device-mapper table, or open in this way. */
    file->fd = open(path, O_RDWR | O_CLOEXEC | (file->is_device ? O_EXCL : 0));
    return file->fd < 0 || fstat(file->fd, info) < 0 ? errno : 0;
}

enum cw_status cw_disk_open(struct cw_disk_file *file, const char *path, char *why, size_t why_size)
{
    struct stat info;
    *file = (struct cw_disk_file){.fd = -1, .fd_buffered = -1};
    int written = snprintf(file->path, sizeof file->path, "%s", path);
    int error = written < 0 || (size_t)written >= sizeof file->path
                    ? ENAMETOOLONG
                    : open_regular_or_device(file, path, &info);
    if (error != 0) {
        enum cw_status status = refuse(error, path, "cannot open", why, why_size);
        cw_disk_close(file);
        return error == EBUSY ? CW_REFUSED : status;
    }
    error = lock_whole(file->fd);
    if (error != 0) {
        snprintf(why, why_size, "%s: %s", path,
                 error == EAGAIN || error == EACCES ? "in use: another engine holds its lock"
                                                    : strerror(error));
        cw_disk_close(file);
        return error == EAGAIN || error == EACCES ? CW_REFUSED : CW_IO;
    }
    file->is_locked = true;
    error = measure(file, &info);
    if (error != 0) {
        enum cw_status status = refuse(error, path, "cannot measure", why, why_size);
        cw_disk_close(file);
        return status;
    }
    find_abilities(file);
    return CW_OK;
}

void cw_disk_close(struct cw_disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->fd_buffered >= 0)
        close(file->fd_buffered);
    file->fd = file->fd_buffered = -1;
    file->is_locked = false;
}
