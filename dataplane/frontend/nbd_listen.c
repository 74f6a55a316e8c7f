/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file left over by a dead engine refuses connections: it is replaced. One that answers belongs to a live
 * server and is left alone. Mode and group are set before listen(), when nobody can connect yet, so that the
 * process's umask plays no part. Two engines that start on one path in the same instant can still race; the
 * engine's lock on its journal keeps that from happening, so no lock file is made here.
 */
#include "frontend/nbd_listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"

#define BACKLOG 128

static enum cw_status check_path(const char *path, char *why, size_t why_size)
{
    if (path[0] != '/') {
        snprintf(why, why_size, "socket path '%s' is not absolute", path);
        return CW_INVALID;
    }
    if (strlen(path) >= CW_NBD_PATH_BYTES) {
        snprintf(why, why_size, "socket path '%s' is %zu bytes long; a Unix socket takes at most %u", path,
                 strlen(path), CW_NBD_PATH_BYTES - 1);
        return CW_INVALID;
    }
    return CW_OK;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static_assert(sizeof address.sun_path == CW_NBD_PATH_BYTES, "as the header says");
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

/* Removes a socket file that nobody serves. */
static enum cw_status clear_path(const char *path, char *why, size_t why_size)
{
    struct stat stat_now;
    if (lstat(path, &stat_now) != 0)
        return CW_OK; /* absent, or bind will say what is wrong */
    if (!S_ISSOCK(stat_now.st_mode)) {
        snprintf(why, why_size, "'%s' exists and is not a socket", path);
        return CW_EXISTS;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        snprintf(why, why_size, "socket: %s", strerror(errno));
        return CW_IO;
    }
    struct sockaddr_un address = address_of(path);
    int result = connect(probe, (struct sockaddr *)&address, sizeof address);
    int error = result == 0 ? 0 : errno;
    close(probe);
    if (error != ECONNREFUSED && error != ENOENT) {
        snprintf(why, why_size, "another server answers at '%s'", path);
        return CW_EXISTS;
    }
    (void)unlink(path);
    return CW_OK;
}

/* bind, mode and group, listen: the failing call's name in *call. */
static bool set_up(struct cw_nbd_listen *listening, mode_t mode, gid_t gid, const char **call)
{
    struct sockaddr_un address = address_of(listening->path);
    *call = "bind";
    if (bind(listening->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return false;
    struct stat created;
    *call = "stat";
    if (lstat(listening->path, &created) != 0)
        return false;
    listening->device = created.st_dev;
    listening->inode = created.st_ino;
    *call = "chown";
    if (gid != (gid_t)-1 && chown(listening->path, (uid_t)-1, gid) != 0)
        return false;
    *call = "chmod";
    if (chmod(listening->path, mode) != 0)
        return false;
    *call = "listen";
    return listen(listening->fd, BACKLOG) == 0;
}

static void unlink_if_ours(struct cw_nbd_listen *listening)
{
    struct stat now;
    if (listening->inode != 0 && lstat(listening->path, &now) == 0 && now.st_dev == listening->device &&
        now.st_ino == listening->inode)
        (void)unlink(listening->path);
}

enum cw_status cw_nbd_listen_open(struct cw_nbd_listen *listening, const char *path, mode_t mode, gid_t gid,
                                  char *why, size_t why_size)
{
    enum cw_status status = check_path(path, why, why_size);
    if (status == CW_OK)
        status = clear_path(path, why, why_size);
    if (status != CW_OK)
        return status;
    *listening = (struct cw_nbd_listen){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    memcpy(listening->path, path, strlen(path) + 1);
    const char *call = "socket";
    if (listening->fd < 0 || !set_up(listening, mode, gid, &call)) {
        snprintf(why, why_size, "%s '%s': %s", call, path, strerror(errno));
        unlink_if_ours(listening);
        if (listening->fd >= 0)
            close(listening->fd);
        listening->fd = -1;
        return CW_IO;
    }
    return CW_OK;
}

void cw_nbd_listen_shut(struct cw_nbd_listen *listening)
{
    CW_ASSERT(listening->fd >= 0);
    unlink_if_ours(listening);
    (void)shutdown(listening->fd, SHUT_RDWR);
}

void cw_nbd_listen_close(struct cw_nbd_listen *listening)
{
    CW_ASSERT(listening->fd >= 0);
    close(listening->fd);
    listening->fd = -1;
}
