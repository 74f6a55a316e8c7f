/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues and speed of the interfaces of this network namespace, by ethtool's ioctl: a common user may ask these too. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nic-config/machine_live.h"

static bool ask(int fd, const char *name, void *command)
{
    struct ifreq request = {.ifr_data = command};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    return ioctl(fd, SIOCETHTOOL, &request) == 0;
}

static void put(json_t *answer, const char *key, int64_t value)
{
    json_object_set_new(answer, key, json_integer(value));
}

static void ask_channels(int fd, const char *name, json_t *answer)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    if (!ask(fd, name, &channels))
        return;
    put(answer, "queues", channels.combined_count);
    put(answer, "queues_max", channels.max_combined);
    put(answer, "rx_queues", channels.rx_count);
    put(answer, "rx_queues_max", channels.max_rx);
    put(answer, "tx_queues", channels.tx_count);
}

/* The number of words of its masks is the driver's to say first, as a negative one. */
static void ask_speed(int fd, const char *name, json_t *answer)
{
    union {
        struct ethtool_link_settings head;
        uint8_t room[sizeof(struct ethtool_link_settings) + 3 * 127 * sizeof(uint32_t)];
    } settings = {.head = {.cmd = ETHTOOL_GLINKSETTINGS}};
    if (!ask(fd, name, &settings) || settings.head.link_mode_masks_nwords >= 0)
        return;
    int words = -settings.head.link_mode_masks_nwords;
    settings.head =
        (struct ethtool_link_settings){.cmd = ETHTOOL_GLINKSETTINGS, .link_mode_masks_nwords = (__s8)words};
    if (words <= 127 && ask(fd, name, &settings))
        put(answer, "speed", settings.head.speed);
}

json_t *cw_machine_live_ethtool(char *why, size_t why_size)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *names = if_nameindex();
    json_t *answers = json_object();
    if (fd < 0 || names == NULL) {
        snprintf(why, why_size, "no socket to ask by: %s", strerror(errno));
        json_decref(answers);
        answers = NULL;
    }
    for (size_t i = 0; answers != NULL && names[i].if_index != 0; i++) {
        json_t *answer = json_object();
        ask_channels(fd, names[i].if_name, answer);
        ask_speed(fd, names[i].if_name, answer);
        json_object_set_new(answers, names[i].if_name, answer);
    }
    if (names != NULL)
        if_freenameindex(names);
    if (fd >= 0)
        close(fd);
    return answers;
}
