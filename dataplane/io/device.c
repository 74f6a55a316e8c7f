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

#define MEMIF_BSIZE_DEFAULT 2048u

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

bool cw_device_is_memif(const char *device)
{
    return has_prefix(device, "net_memif");
}

bool cw_device_is_af_xdp(const char *device)
{
    return has_prefix(device, "net_af_xdp");
}

bool cw_device_is_memif_client(const char *device)
{
    char role[16];
    return cw_device_is_memif(device) &&
           !(cw_device_argument(device, "role", role, sizeof role) && strcmp(role, "server") == 0);
}

void cw_device_name(const char *device, char *name, size_t size)
{
    int length = (int)strcspn(device, ",");
    bool is_short = cw_device_is_pci(device) && strchr(device, ':') == strrchr(device, ':');
    snprintf(name, size, "%s%.*s", is_short ? "0000:" : "", length, device);
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

enum cw_status cw_device_complete(const struct cw_port_config *config, char *device, size_t size, char *why,
                                  size_t why_size)
{
    char value[16];
    char bsize[24] = "";
    const char *abstract = "";
    if (cw_device_is_memif(config->device)) {
        if (!cw_device_argument(config->device, "socket-abstract", value, sizeof value))
            abstract = ",socket-abstract=no";
        if (!cw_device_argument(config->device, "bsize", value, sizeof value))
            snprintf(bsize, sizeof bsize, ",bsize=%u", memif_bsize(config->mtu));
    }
    int written = snprintf(device, size, "%s%s%s", config->device, abstract, bsize);
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
