/* SPDX-License-Identifier: BSD-3-Clause */
/* See interface.h. */
#include "io/interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "base/assert.h"
#include "base/numbers.h"

static_assert(CW_INTERFACE_IP_SIZE >= INET6_ADDRSTRLEN, "room for the longest");

/* Where the card has queues for both directions and others for one, a received frame may come by either. */
static uint32_t queues_of(int fd, struct ifreq *request)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    request->ifr_data = (char *)&channels;
    if (ioctl(fd, SIOCETHTOOL, request) != 0)
        return 1;
    return CW_MAX(channels.combined_count + channels.rx_count, 1u);
}

bool cw_interface_find(const char *name, struct cw_interface *interface)
{
    struct ifreq request = {0};
    *interface = (struct cw_interface){.index = if_nametoindex(name)};
    if (interface->index == 0 || strlen(name) >= sizeof interface->name)
        return false;
    memcpy(interface->name, name, strlen(name) + 1);
    memcpy(request.ifr_name, interface->name, sizeof request.ifr_name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_good = fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0;
    int error = errno;
    if (is_good) {
        interface->mtu = (uint32_t)request.ifr_mtu;
        interface->queues = queues_of(fd, &request);
    }
    if (fd >= 0)
        close(fd);
    errno = error;
    return is_good;
}

/* False: of another interface, or no IP address. */
static bool address_of(const struct cw_interface *interface, const struct ifaddrs *entry, struct cw_ip *ip)
{
    if (entry->ifa_addr == NULL || strcmp(entry->ifa_name, interface->name) != 0)
        return false;
    *ip = (struct cw_ip){0};
    if (entry->ifa_addr->sa_family == AF_INET)
        *ip = cw_ip_v4(ntohl(((const struct sockaddr_in *)entry->ifa_addr)->sin_addr.s_addr));
    else if (entry->ifa_addr->sa_family == AF_INET6)
        *ip = cw_ip_v6(((const struct sockaddr_in6 *)entry->ifa_addr)->sin6_addr.s6_addr);
    return ip->version != 0;
}

bool cw_interface_has(const struct cw_interface *interface, const struct cw_ip *ip)
{
    struct ifaddrs *all = NULL;
    struct cw_ip its;
    bool has = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *entry = all; entry != NULL && !has; entry = entry->ifa_next)
        has = address_of(interface, entry, &its) && cw_ip_is_equal(&its, ip);
    freeifaddrs(all);
    return has;
}

void cw_interface_addresses(const struct cw_interface *interface, bool with_link_local, char *text,
                            size_t size)
{
    struct ifaddrs *all = NULL;
    size_t used = 0;
    text[0] = 0;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *entry = all; entry != NULL; entry = entry->ifa_next) {
        char each[CW_INTERFACE_IP_SIZE];
        struct cw_ip ip;
        if (!address_of(interface, entry, &ip) || (!with_link_local && cw_ip_is_link_local(&ip)))
            continue;
        int written =
            snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", cw_interface_ip_text(&ip, each));
        if (written < 0 || (size_t)written >= size - used)
            break;
        used += (size_t)written;
    }
    freeifaddrs(all);
}

const char *cw_interface_ip_text(const struct cw_ip *ip, char *text)
{
    const char *written =
        inet_ntop(ip->version == 6 ? AF_INET6 : AF_INET, ip->bytes, text, CW_INTERFACE_IP_SIZE);
    CW_ASSERT(written != NULL);
    return written;
}
