/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has a device open. vfio: by the file of its IOMMU group, or by a file of its own (newer kernels); uio: by a file of
 * its own. They are known by their numbers, not by their names: a container may have others. Processes of other users are
 * seen by root only.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "nic-config/steps_private.h"

#define FILES_MAX 4u

struct files {
    dev_t numbers[FILES_MAX];
    unsigned count;
};

/* A file "dev" of /sys: "243:0". */
static void add_number(struct files *files, const char *path)
{
    char text[32];
    unsigned from, to;
    if (files->count < FILES_MAX && cw_text_read(path, text, sizeof text) == 0 &&
        sscanf(text, "%u:%u", &from, &to) == 2)
        files->numbers[files->count++] = makedev(from, to);
}

/* Of each of its kind below the device: DEVICE/uio/uio0/dev. */
static void add_children(struct files *files, const char *device, const char *kind)
{
    char path[CW_STEP_SUBJECT + 320];
    snprintf(path, sizeof path, "%s/%s", device, kind);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s/%s/dev", device, kind, entry->d_name);
        if (entry->d_name[0] != '.')
            add_number(files, path);
    }
    if (folder)
        closedir(folder);
}

static void find_files(struct files *files, const char *device)
{
    char path[CW_STEP_SUBJECT + 64], group[32];
    snprintf(path, sizeof path, "%s/iommu_group", device);
    if (cw_link_name(path, group, sizeof group) == 0) {
        snprintf(path, sizeof path, "/sys/class/vfio/%s/dev", group);
        add_number(files, path);
        snprintf(path, sizeof path, "/sys/class/vfio/noiommu-%s/dev", group);
        add_number(files, path);
    }
    add_children(files, device, "vfio-dev");
    add_children(files, device, "uio");
}

static bool is_of(const struct files *files, const char *path)
{
    char target[64];
    struct stat stat_of;
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return false;
    target[length] = 0;
    if (!strstr(target, "vfio") && !strstr(target, "uio")) /* not to touch files that hang */
        return false;
    if (stat(path, &stat_of) != 0 || !S_ISCHR(stat_of.st_mode))
        return false;
    for (unsigned i = 0; i < files->count; i++)
        if (files->numbers[i] == stat_of.st_rdev)
            return true;
    return false;
}

static bool has_open(const struct files *files, const char *process)
{
    char path[320];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.32s/fd", process);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%.32s/fd/%.32s", process, entry->d_name);
        found = entry->d_name[0] != '.' && is_of(files, path);
    }
    if (folder)
        closedir(folder);
    return found;
}

bool cw_device_is_open(const char *device, char *who, size_t size)
{
    struct files files = {.count = 0};
    char path[64], name[32];
    bool found = false;
    find_files(&files, device);
    DIR *folder = files.count ? opendir("/proc") : NULL;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        found = isdigit((unsigned char)entry->d_name[0]) && has_open(&files, entry->d_name);
        if (!found)
            continue;
        snprintf(path, sizeof path, "/proc/%.32s/comm", entry->d_name);
        cw_text_read(path, name, sizeof name);
        snprintf(who, size, "%s, process %.16s, has it open", name, entry->d_name);
    }
    if (folder)
        closedir(folder);
    return found;
}
