/* SPDX-License-Identifier: BSD-3-Clause */
/* Which mode an af_xdp port got: it can be wished for, and the kernel decides. Its socket is the driver's; among this
 * process's own it is the one that knows of zero-copy. */
#include "io/check/check.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/device.h"

static const char *mode_of(const char *interface)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, options);
    unsigned index = if_nametoindex(interface);
    if (index == 0 || bpf_xdp_query((int)index, 0, &options) != 0)
        return "in a mode that the kernel does not tell";
    switch (options.attach_mode) {
    case XDP_ATTACHED_DRV:
        return "native (in the driver)";
    case XDP_ATTACHED_SKB:
        return "generic (behind the driver: slower)";
    case XDP_ATTACHED_HW:
        return "in the card";
    case XDP_ATTACHED_MULTI:
        return "in several modes at once";
    default:
        return "without a program";
    }
}

static const char *copies(void)
{
    struct xdp_options options;
    const char *words = "";
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        int domain = 0, fd = (int)strtol(entry->d_name, NULL, 10);
        socklen_t size = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_XDP)
            continue;
        size = sizeof options;
        if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &size) == 0)
            words = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0 ? ", zero-copy" : ", each frame copied";
    }
    if (folder != NULL)
        closedir(folder);
    return words;
}

void cw_check_describe_xdp(const char *device, char *text, size_t size)
{
    char interface[64];
    size_t used = strlen(text);
    if (!cw_device_is_af_xdp(device) || !cw_device_argument(device, "iface", interface, sizeof interface))
        return;
    snprintf(text + used, size - used, ", XDP %s%s", mode_of(interface), copies());
}
