/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/runtime_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "causeway.lock"
#define TELEMETRY "dpdk_telemetry.v2"
#define WAIT_MS   1000u
#define YOUNG_S   60

/* Somebody answers on its telemetry socket: also an engine of before there was the lock, or one that is stopped. */
static bool is_answered(const char *parent, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int written = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s/" TELEMETRY, parent, name);
    if (written < 0 || (size_t)written >= sizeof address.sun_path)
        return false;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* not known to be dead */
    bool is_alive = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return is_alive;
}

/* -1: it is gone, or somebody has it (EWOULDBLOCK). A folder that was removed between our opening and our locking
 * would be locked for nothing, so it is looked at again. */
static int take_lock(const char *parent, const char *name)
{
    struct stat ours, there;
    char path[192];
    snprintf(path, sizeof path, "%s/%s/" LOCK_FILE, parent, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
            ours.st_ino == there.st_ino && !is_answered(parent, name))
            return fd;
        errno = EWOULDBLOCK;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Whoever has the lock. EAL keeps plain files and sockets there, no folders. The lock's file goes last: without it
 * somebody else may begin. */
static void empty(const char *parent, const char *name, bool keeps_lock)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", parent, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, LOCK_FILE) != 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (!keeps_lock)
        (void)unlinkat(dirfd(folder), LOCK_FILE, 0);
    closedir(folder);
    if (!keeps_lock)
        (void)rmdir(path);
}

enum cw_status cw_runtime_folder_take(struct cw_runtime_folder *folder, const char *parent, const char *name,
                                      char *why, size_t why_size)
{
    char path[192];
    int parent_written = snprintf(folder->parent, sizeof folder->parent, "%s", parent);
    int name_written = snprintf(folder->name, sizeof folder->name, "%s", name);
    folder->lock = -1;
    if (parent_written < 0 || (size_t)parent_written >= sizeof folder->parent || name_written < 1 ||
        (size_t)name_written >= sizeof folder->name || strchr(name, '/') != NULL) {
        snprintf(why, why_size, "DPDK: impossible file prefix \"%s\"", name);
        return CW_INVALID;
    }
    snprintf(path, sizeof path, "%s/%s", parent, name);
    for (unsigned waited_ms = 0; waited_ms < WAIT_MS; waited_ms += 10) {
        bool is_made =
            (mkdir(parent, 0700) == 0 || errno == EEXIST) && (mkdir(path, 0700) == 0 || errno == EEXIST);
        folder->lock = is_made ? take_lock(parent, name) : -1;
        if (folder->lock >= 0) {
            empty(parent, name, true);
            return CW_OK;
        }
        if (!is_made || (errno != EWOULDBLOCK && errno != ENOENT)) { /* ENOENT: it was removed in between */
            snprintf(why, why_size, "DPDK: %s: %s", path, strerror(errno));
            return CW_IO;
        }
        /* One that was killed gives its lock back only when its memory has been taken down: hundreds of MiB. */
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    snprintf(why, why_size, "DPDK: another engine runs with file prefix %s", name);
    return CW_REFUSED;
}

void cw_runtime_folder_remove(struct cw_runtime_folder *folder)
{
    if (folder->lock >= 0)
        empty(folder->parent, folder->name, false);
}

/* An engine of before there was the lock has none while it starts, and does not answer yet. */
static bool may_be_starting(const char *path)
{
    char lock[224];
    struct stat about;
    snprintf(lock, sizeof lock, "%s/" LOCK_FILE, path);
    return access(lock, F_OK) != 0 && (stat(path, &about) != 0 || about.st_mtime > time(NULL) - YOUNG_S);
}

static void sweep_one(const char *parent, const char *name)
{
    char path[192];
    struct stat about;
    int written = snprintf(path, sizeof path, "%s/%s", parent, name);
    if (written < 0 || (size_t)written >= sizeof path - sizeof "/" LOCK_FILE || lstat(path, &about) != 0 ||
        !S_ISDIR(about.st_mode) || about.st_uid != geteuid() || may_be_starting(path))
        return;
    int lock = take_lock(parent, name);
    if (lock < 0)
        return;
    empty(parent, name, false);
    close(lock);
}

void cw_runtime_folder_sweep(const struct cw_runtime_folder *folder, const char *beginning)
{
    DIR *all = opendir(folder->parent);
    if (all == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0 &&
            strcmp(entry->d_name, folder->name) != 0)
            sweep_one(folder->parent, entry->d_name);
    }
    closedir(all);
}
