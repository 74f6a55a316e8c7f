/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has a device already. A card's file under /dev (vfio, uio) is open in one process, whose name can be found by
 * whoever may look; an interface that af_packet opens twice gives both everything, so the engine is looked for.
 */
#include "io/check/check.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/device.h"

#define INODES_MAX 64u
#define OURS       "causeway-" /* how our programs begin */

struct holder {
    long pid;
    char name[32];
};

static bool name_of(long pid, char *name, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *file = fopen(path, "re");
    bool is_good = file != NULL && fgets(name, (int)size, file) != NULL;
    if (file != NULL)
        fclose(file);
    name[is_good ? strcspn(name, "\n") : 0] = 0;
    return is_good;
}

static bool has_open(long pid, const char *target)
{
    char path[64], link[128];
    bool is_found = false;
    snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (struct dirent *entry; !is_found && (entry = readdir(folder)) != NULL;) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = 0;
        is_found = strcmp(link, target) == 0;
    }
    closedir(folder);
    return is_found;
}

/* Another process that has it open, whose name begins so. */
static bool find_holder(const char *target, const char *beginning, struct holder *holder)
{
    bool is_found = false;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return false;
    for (struct dirent *entry; !is_found && (entry = readdir(folder)) != NULL;) {
        long pid = isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
        is_found = pid > 0 && pid != getpid() && name_of(pid, holder->name, sizeof holder->name) &&
                   strncmp(holder->name, beginning, strlen(beginning)) == 0 && has_open(pid, target);
        holder->pid = pid;
    }
    closedir(folder);
    return is_found;
}

static bool is_file_held(const char *device, const char *path, char *why, size_t why_size)
{
    struct holder holder;
    if (find_holder(path, "", &holder)) {
        snprintf(why, why_size, "%s: %s (process %ld) has it: stop that first", device, holder.name,
                 holder.pid);
        return true;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool is_busy = fd < 0 && errno == EBUSY;
    if (fd >= 0)
        close(fd);
    if (is_busy)
        snprintf(why, why_size,
                 "%s: another process has it (%s is busy), most likely the engine: stop that first", device,
                 path);
    return is_busy;
}

static bool is_card_held(const char *device, char *why, size_t why_size)
{
    char name[64], path[160], link[160], file[192];
    cw_device_name(device, name, sizeof name);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", name);
    ssize_t length = readlink(path, link, sizeof link - 1);
    link[length > 0 ? length : 0] = 0;
    const char *group = strrchr(link, '/');
    for (unsigned i = 0; group != NULL && i < 2; i++) {
        snprintf(file, sizeof file, i == 0 ? "/dev/vfio/%s" : "/dev/vfio/noiommu-%s", group + 1);
        if (is_file_held(device, file, why, why_size))
            return true;
    }
    snprintf(path, sizeof path, "/sys/bus/%s/devices/%s/uio", cw_device_is_pci(device) ? "pci" : "vmbus",
             name);
    DIR *folder = opendir(path);
    bool is_held = false;
    for (struct dirent *entry; folder != NULL && !is_held && (entry = readdir(folder)) != NULL;) {
        snprintf(file, sizeof file, "/dev/%.64s", entry->d_name);
        is_held = entry->d_name[0] == 'u' && is_file_held(device, file, why, why_size);
    }
    if (folder != NULL)
        closedir(folder);
    return is_held;
}

/* Inodes of the packet sockets that listen on this interface. */
static unsigned packet_sockets(unsigned interface, unsigned long inodes[INODES_MAX])
{
    char line[256];
    unsigned count = 0;
    FILE *file = fopen("/proc/net/packet", "re");
    while (file != NULL && count < INODES_MAX && fgets(line, sizeof line, file) != NULL) {
        unsigned found;
        unsigned long inode;
        if (sscanf(line, "%*s %*u %*u %*x %u %*u %*u %*u %lu", &found, &inode) == 2 && found == interface)
            inodes[count++] = inode;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static bool is_interface_held(const char *device, const char *interface, char *why, size_t why_size)
{
    unsigned long inodes[INODES_MAX];
    unsigned index = if_nametoindex(interface);
    unsigned count = index > 0 ? packet_sockets(index, inodes) : 0;
    for (unsigned i = 0; i < count; i++) {
        char target[48];
        struct holder holder;
        snprintf(target, sizeof target, "socket:[%lu]", inodes[i]);
        if (find_holder(target, OURS, &holder)) {
            snprintf(why, why_size, "%s: %s (process %ld) has a port on %s: stop that first", device,
                     holder.name, holder.pid, interface);
            return true;
        }
    }
    return false;
}

bool cw_check_is_in_use(const char *device, char *why, size_t why_size)
{
    char interface[64];
    if (cw_device_is_pci(device) || cw_device_is_vmbus(device))
        return is_card_held(device, why, why_size);
    return cw_device_argument(device, "iface", interface, sizeof interface) &&
           is_interface_held(device, interface, why, why_size);
}
