/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Image files of a full copy.
 *
 * A copy fills "PATH.copy" beside each volume's file, so that the old whole state stays until the new one is
 * whole; the switch is a rename over the old, and repeatable: a copy file that is gone has been switched
 * already. A copy that is given up is removed, durably. A device has no room beside it: it is overwritten,
 * and the superblock says so.
 *
 * What stands at PATH.copy is ours if this process made it, or if the superblock that is found at the start says
 * that a copy is under way: a copy that meets a file there does not begin. A crash between the making and the
 * superblock leaves a file of the volume's size that was never written: nothing is lost with it. Anything else is
 * somebody's, and neither opened nor removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "engine/group_start.h"
#include "replication/history.h"

static bool copy_path(const struct cw_store_volume *volume, char *path, size_t size)
{
    return (size_t)snprintf(path, size, "%s.copy", volume->file.path) < size;
}

enum cw_status cw_setup_sync_directory(const char *path)
{
    char copy[600];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return CW_IO;
    enum cw_status status = fsync(fd) == 0 ? CW_OK : CW_IO;
    close(fd);
    return status;
}

static enum cw_status remove_copy(const char *path, char *why, size_t why_size)
{
    if (unlink(path) == 0 ? cw_setup_sync_directory(path) == CW_OK
                          : errno == ENOENT) /* most often there is none */
        return CW_OK;
    snprintf(why, why_size, "%s, of a full copy that was given up, cannot be removed: %s", path,
             strerror(errno));
    return CW_IO;
}

/* A file of the volume's size to which nothing was ever written. */
static bool is_blank(const struct cw_store_volume *volume, const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is_so = fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink == 1 &&
                 (uint64_t)about.st_size == volume->size && lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
    if (fd >= 0)
        close(fd);
    return is_so;
}

/* What this process made, or left before it could tell anybody. */
static enum cw_status drop_copy(struct cw_store_volume *volume, const char *path, char *why, size_t why_size)
{
    bool is_ours = volume->has_copy;
    if (volume->has_copy)
        cw_disk_close(&volume->copy);
    volume->has_copy = false;
    return is_ours || is_blank(volume, path) ? remove_copy(path, why, why_size) : CW_OK;
}

static enum cw_status prepare(struct cw_store_volume *volume, const char *path, char *why, size_t why_size)
{
    struct stat about;
    enum cw_disk_fill fill = volume->is_thin ? CW_DISK_THIN : CW_DISK_RESERVE;
    enum cw_status status = drop_copy(volume, path, why, why_size);
    if (status == CW_OK && lstat(path, &about) == 0) {
        snprintf(why, why_size,
                 "move %s away: no copy made here, so it is left as it is, and a full copy needs that name; "
                 "then it is tried again",
                 path);
        return CW_EXISTS;
    }
    if (status == CW_OK)
        status = cw_disk_create(path, volume->size, fill, NULL, NULL, why, why_size);
    if (status != CW_OK)
        return status;
    volume->has_copy = true; /* it is removed also when it cannot be opened */
    status = cw_disk_open(&volume->copy, path, why, why_size);
    volume->copy.fault = &volume->fault;
    return status;
}

/* The open copy becomes the file; at start it is not open yet and the file is opened anew. */
static enum cw_status switch_over(struct cw_store_volume *volume, const char *path, char *why,
                                  size_t why_size)
{
    char name[sizeof volume->file.path];
    memcpy(name, volume->file.path, sizeof name);
    if (access(path, F_OK) != 0)
        return CW_OK;
    if (rename(path, name) != 0 || cw_setup_sync_directory(name) != CW_OK) {
        snprintf(why, why_size, "cannot rename %s to %s: %s", path, name, strerror(errno));
        return CW_IO;
    }
    cw_disk_close(&volume->file);
    if (!volume->has_copy) {
        enum cw_status status = cw_disk_open(&volume->file, name, why, why_size);
        volume->file.fault = &volume->fault;
        return status;
    }
    memcpy(volume->copy.path, name, sizeof name); /* before: a status may read the file's path meanwhile */
    volume->file = volume->copy;
    volume->has_copy = false;
    return CW_OK;
}

static enum cw_status image_of(struct cw_store_volume *volume, enum cw_image_op op, char *why,
                               size_t why_size)
{
    char path[600];
    if (!volume->is_used || volume->file.is_device)
        return CW_OK;
    if (!copy_path(volume, path, sizeof path))
        return CW_INVALID;
    switch (op) {
    case CW_IMAGE_PREPARE:
        return prepare(volume, path, why, why_size);
    case CW_IMAGE_SWITCH:
        return switch_over(volume, path, why, why_size);
    case CW_IMAGE_DISCARD:
        return drop_copy(volume, path, why, why_size);
    }
    return CW_INVALID;
}

enum cw_status cw_image_do(struct cw_store_group *group, enum cw_image_op op, char *why, size_t why_size)
{
    enum cw_status status = CW_OK;
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX && status == CW_OK; i++)
        status = image_of(&group->volumes[i], op, why, why_size);
    if (status != CW_OK && op == CW_IMAGE_PREPARE) {
        char unheard[1];
        for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++)
            (void)image_of(&group->volumes[i], CW_IMAGE_DISCARD, unheard, sizeof unheard);
    }
    return status;
}

/* Before the group runs: none of its copies is open. */
static enum cw_status settle(struct cw_store_volume *volume, bool is_under_way, char *why, size_t why_size)
{
    char path[600];
    if (!volume->is_used || volume->file.is_device)
        return CW_OK;
    if (!copy_path(volume, path, sizeof path))
        return CW_INVALID;
    return is_under_way ? remove_copy(path, why, why_size) : drop_copy(volume, path, why, why_size);
}

enum cw_status cw_image_settle(struct cw_store_group *group, const struct cw_superblock *superblock,
                               char *why, size_t why_size)
{
    enum cw_status status = CW_OK;
    if (cw_group_superblock_wants_switch(superblock))
        return cw_image_do(group, CW_IMAGE_SWITCH, why, why_size);
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX && status == CW_OK; i++)
        status = settle(&group->volumes[i], superblock->copy_id != 0, why, why_size);
    return status;
}
