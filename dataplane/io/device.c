/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device strings, and the socket files of memif.
 *
 * A memif socket is a file, never abstract: abstract names are per network namespace, and sites of a lab live
 * in several. The file outlives kill -9 and then bind says "Address already in use": a server about to start
 * connects to it first, and when nobody answers removes it.
 */
#include "io/device.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/numbers.h"
#include "io/frame.h"

#define VMBUS "vmbus:"

#define MEMIF_BSIZE_DEFAULT 2048u
/* 2^8 buffers, a quarter of the driver's default. The two ends go through all of them in turn: so many stay
 * in the caches of both, where 1024 fall out of them between two uses. A turn sends at most a quarter of
 * them. */
#define MEMIF_RSIZE 8u

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "0000:01:00.0" or "01:00.0", and nothing else before the comma. */
bool cw_device_is_pci(const char *device)
{
    size_t length = strcspn(device, ",");
    unsigned colons = 0, dots = 0;
    for (size_t i = 0; i < length; i++) {
        colons += device[i] == ':';
        dots += device[i] == '.';
        if (!isxdigit((unsigned char)device[i]) && device[i] != ':' && device[i] != '.')
            return false;
    }
    return (colons == 1 || colons == 2) && dots == 1;
}

static const char *without_bus(const char *device)
{
    return has_prefix(device, VMBUS) ? device + strlen(VMBUS) : device;
}

bool cw_device_is_vmbus(const char *device)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const char *guid = without_bus(device);
    if (strcspn(guid, ",") != strlen(form))
        return false;
    for (size_t i = 0; i < strlen(form); i++) {
        if (form[i] == '-' ? guid[i] != '-' : !isxdigit((unsigned char)guid[i]))
            return false;
    }
    return true;
}

bool cw_device_is_memif(const char *device)
{
    return has_prefix(device, "net_memif");
}

bool cw_device_is_af_xdp(const char *device)
{
    return has_prefix(device, "net_af_xdp");
}

/* The last part of what the link leads to; "": there is none. */
static void read_link_name(const char *link, char *name, size_t size)
{
    char target[256];
    ssize_t length = readlink(link, target, sizeof target - 1);
    target[length > 0 ? length : 0] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(name, size, "%.*s", (int)size - 1, slash != NULL ? slash + 1 : target);
}

bool cw_device_needs_hugepages(const char *device)
{
    char name[64], link[128], driver[64], group[16], kind[32] = "";
    if (!cw_device_is_pci(device))
        return false;
    cw_device_name(device, name, sizeof name);
    snprintf(link, sizeof link, "/sys/bus/pci/devices/%s/driver", name);
    read_link_name(link, driver, sizeof driver);
    if (strcmp(driver, "vfio-pci") != 0)
        return has_prefix(driver, "uio_") || strcmp(driver, "igb_uio") == 0;
    snprintf(link, sizeof link, "/sys/bus/pci/devices/%s/iommu_group", name);
    read_link_name(link, group, sizeof group);
    snprintf(link, sizeof link, "/sys/kernel/iommu_groups/%s/name", group);
    FILE *file = fopen(link, "re");
    if (file != NULL && fgets(kind, sizeof kind, file) == NULL)
        kind[0] = 0;
    if (file != NULL)
        fclose(file);
    return has_prefix(kind, "vfio-noiommu");
}

bool cw_device_is_memif_client(const char *device)
{
    char role[16];
    return cw_device_is_memif(device) &&
           !(cw_device_argument(device, "role", role, sizeof role) && strcmp(role, "server") == 0);
}

void cw_device_name(const char *device, char *name, size_t size)
{
    bool is_vmbus = cw_device_is_vmbus(device);
    device = is_vmbus ? without_bus(device) : device;
    int length = (int)strcspn(device, ",");
    bool is_short = cw_device_is_pci(device) && strchr(device, ':') == strrchr(device, ':');
    snprintf(name, size, "%s%.*s", is_short ? "0000:" : "", length, device);
    for (char *at = name; is_vmbus && *at != 0; at++)
        *at = (char)tolower((unsigned char)*at);
}

bool cw_device_argument(const char *device, const char *key, char *value, size_t size)
{
    size_t key_length = strlen(key);
    for (const char *at = strchr(device, ','); at != NULL; at = strchr(at, ',')) {
        at++;
        if (strncmp(at, key, key_length) != 0 || at[key_length] != '=')
            continue;
        at += key_length + 1;
        int written = snprintf(value, size, "%.*s", (int)strcspn(at, ","), at);
        return written >= 0 && (size_t)written < size;
    }
    return false;
}

/* The size of memif's buffers: a frame of the path in one piece. */
static unsigned memif_bsize(uint16_t mtu)
{
    unsigned bsize = MEMIF_BSIZE_DEFAULT;
    while (bsize < mtu + CW_FRAME_LINK_BYTES_MAX)
        bsize *= 2;
    return CW_MIN(bsize, 65535u);
}

/* Both ends must have as many queues: the driver of DPDK 22.11 lets the one with more use rings that are not
 * there. An id of its own for each number of queues makes the driver refuse the other end instead. */
#define MEMIF_ID_STEP 65536ul

/* The device without its `key`; the value of that goes to value, "" if it is not there. */
static void take_out(const char *device, const char *key, char *rest, size_t size, char *value,
                     size_t value_size)
{
    char pair[64];
    value[0] = 0;
    bool is_there = cw_device_argument(device, key, value, value_size);
    snprintf(pair, sizeof pair, ",%s=%s", key, value);
    const char *at = is_there ? strstr(device, pair) : NULL;
    if (at == NULL)
        snprintf(rest, size, "%s", device);
    else
        snprintf(rest, size, "%.*s%s", (int)(at - device), device, at + strlen(pair));
}

static void complete_memif(const struct cw_port_config *config, char *device, size_t size, char *more,
                           size_t more_size)
{
    char value[16];
    int used = 0;
    more[0] = 0;
    snprintf(device, size, "%s", config->device);
    if (!cw_device_argument(config->device, "socket-abstract", value, sizeof value))
        used = snprintf(more, more_size, ",socket-abstract=no");
    if (!cw_device_argument(config->device, "bsize", value, sizeof value))
        used += snprintf(more + used, more_size - (size_t)used, ",bsize=%u", memif_bsize(config->mtu));
    if (!cw_device_argument(config->device, "rsize", value, sizeof value))
        used += snprintf(more + used, more_size - (size_t)used, ",rsize=%u", MEMIF_RSIZE);
    if (config->queues <= 1)
        return;
    take_out(config->device, "id", device, size, value, sizeof value);
    unsigned long id = strtoul(value, NULL, 10) + (config->queues - 1) * MEMIF_ID_STEP;
    snprintf(more + used, more_size - (size_t)used, ",id=%lu", id);
}

/* The kernel's ports have as many queues as they are told of. */
static void complete_queues(const struct cw_port_config *config, char *more, size_t more_size)
{
    const char *key = cw_device_is_af_xdp(config->device)           ? "queue_count"
                      : has_prefix(config->device, "net_af_packet") ? "qpairs"
                                                                    : NULL;
    char value[16];
    if (key != NULL && !cw_device_argument(config->device, key, value, sizeof value))
        snprintf(more, more_size, ",%s=%u", key, config->queues);
}

enum cw_status cw_device_complete(const struct cw_port_config *config, char *device, size_t size, char *why,
                                  size_t why_size)
{
    char base[CW_DEVICE_ARGUMENTS_MAX], more[80] = "";
    snprintf(base, sizeof base, "%s", config->device);
    if (cw_device_is_vmbus(config->device))
        snprintf(base, sizeof base, VMBUS "%s", without_bus(config->device));
    if (cw_device_is_memif(config->device))
        complete_memif(config, base, sizeof base, more, sizeof more);
    else if (config->queues > 1)
        complete_queues(config, more, sizeof more);
    int written = snprintf(device, size, "%s%s", base, more);
    if (config->device[0] != 0 && written > 0 && (size_t)written < size)
        return CW_OK;
    snprintf(why, why_size, "path %s: the device string is empty or too long", config->name);
    return CW_INVALID;
}

/* Does somebody accept connections there? -1: no such file, or it cannot be told. */
static int is_socket_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    close(fd);
    if (result == 0 || error == EAGAIN)
        return 1; /* EAGAIN: a listener whose queue is full */
    return error == ECONNREFUSED ? 0 : -1;
}

enum cw_status cw_device_prepare(const char *device, char *why, size_t why_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char value[16];
    if (!cw_device_is_memif(device) || cw_device_is_memif_client(device))
        return CW_OK;
    if (cw_device_argument(device, "socket-abstract", value, sizeof value) && strcmp(value, "yes") == 0)
        return CW_OK;
    if (!cw_device_argument(device, "socket", address.sun_path, sizeof address.sun_path)) {
        snprintf(why, why_size, "%s: say socket=FILE, of at most %zu characters", device,
                 sizeof address.sun_path - 1);
        return CW_INVALID;
    }
    int is_alive = is_socket_alive(&address);
    if (is_alive == 1) {
        snprintf(why, why_size, "%s: in use: another memif server answers there", address.sun_path);
        return CW_REFUSED;
    }
    if (is_alive == 0 && unlink(address.sun_path) < 0 && errno != ENOENT) {
        snprintf(why, why_size, "%s: cannot remove the stale socket: %s", address.sun_path, strerror(errno));
        return CW_IO;
    }
    return CW_OK;
}
