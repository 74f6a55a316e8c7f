/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART ".part"

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t bytes = write(fd, text, left);
        if (bytes < 0 && errno != EINTR)
            return errno;
        text += bytes > 0 ? bytes : 0;
        left -= bytes > 0 ? (size_t)bytes : 0;
    }
    return 0;
}

static int write_synced(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = write_all(fd, text);
    if (!error && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    return error;
}

static int sync_directory_of(const char *file)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", file); /* it was opened, so it is not longer */
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[1] = 0;
    else
        snprintf(directory, sizeof directory, ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error;
}

int cw_durable_write(const char *file, const json_t *json, size_t flags)
{
    char part[PATH_MAX];
    if (strlen(file) + sizeof PART > sizeof part)
        return ENAMETOOLONG;
    snprintf(part, sizeof part, "%s" PART, file);
    char *text = json_dumps(json, flags);
    if (!text)
        return ENOMEM;
    int error = write_synced(part, text);
    free(text);
    if (!error && rename(part, file) != 0)
        error = errno;
    if (error) {
        (void)unlink(part); /* its space may be what is lacking; what stays is written over */
        return error;
    }
    return sync_directory_of(file);
}

int cw_durable_remove(const char *file)
{
    if (unlink(file) != 0 && errno != ENOENT)
        return errno;
    return sync_directory_of(file); /* also when it was not there: it may have gone just now, unsynced */
}
