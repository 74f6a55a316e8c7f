/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MTU and CHANNELS: a number of an interface that the kernel keeps, by its ioctls. Channels are combined ones; a driver that
 * counts receiving and sending apart is given as many of each.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "nic-config/steps_private.h"

/* 0 or the errno. */
static int ask(const char *interface, unsigned long what, struct ifreq *request)
{
    if (strlen(interface) >= sizeof request->ifr_name)
        return ENODEV;
    memcpy(request->ifr_name, interface, strlen(interface) + 1);
    int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return errno;
    int error = ioctl(file, what, request) == 0 ? 0 : errno;
    close(file);
    return error;
}

static int get_channels(const char *interface, struct ethtool_channels *channels)
{
    struct ifreq request = {.ifr_data = (void *)channels};
    *channels = (struct ethtool_channels){.cmd = ETHTOOL_GCHANNELS};
    return ask(interface, SIOCETHTOOL, &request);
}

static bool counts_apart(const struct ethtool_channels *channels)
{
    return channels->max_combined == 0;
}

int cw_interface_channels(const char *interface, uint32_t *number)
{
    struct ethtool_channels channels;
    int error = get_channels(interface, &channels);
    if (!error)
        *number = counts_apart(&channels) ? channels.rx_count : channels.combined_count;
    return error;
}

int cw_interface_set_channels(const char *interface, uint32_t number)
{
    struct ethtool_channels channels;
    struct ifreq request = {.ifr_data = (void *)&channels};
    int error = get_channels(interface, &channels);
    if (error)
        return error;
    channels.cmd = ETHTOOL_SCHANNELS;
    if (counts_apart(&channels))
        channels.rx_count = channels.tx_count = number;
    else
        channels.combined_count = number;
    return ask(interface, SIOCETHTOOL, &request);
}

static int get_mtu(const char *interface, uint32_t *number)
{
    struct ifreq request = {.ifr_mtu = 0};
    int error = ask(interface, SIOCGIFMTU, &request);
    *number = (uint32_t)request.ifr_mtu;
    return error;
}

static int set_mtu(const char *interface, uint32_t number)
{
    struct ifreq request = {.ifr_mtu = (int)number};
    return ask(interface, SIOCSIFMTU, &request);
}

/* ---------------------------------------------------------------- the verbs */

struct number {
    const char *name;
    int (*get)(const char *interface, uint32_t *number);
    int (*set)(const char *interface, uint32_t number);
};

static const struct number *number_of(const struct cw_step *step)
{
    static const struct number mtu = {"MTU", get_mtu, set_mtu},
                               channels = {"number of queues", cw_interface_channels,
                                           cw_interface_set_channels};
    return step->kind == CW_STEP_MTU ? &mtu : &channels;
}

static uint32_t wanted(const struct cw_step *step)
{
    return (uint32_t)strtoul(step->value, NULL, 10);
}

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    uint32_t now;
    int error = number_of(step)->get(step->subject, &now);
    if (!error)
        return json_pack("{s:i}", "number", (int)now);
    snprintf(words, size, "%s: its %s cannot be asked: %s", step->subject, number_of(step)->name,
             strerror(error));
    return NULL;
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    uint32_t now;
    return number_of(step)->get(step->subject, &now) == 0 && now == wanted(step);
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    const struct number *number = number_of(step);
    uint32_t now;
    int error = number->set(step->subject, wanted(step));
    if (!error)
        error = number->get(step->subject, &now);
    if (!error && now == wanted(step))
        return CW_OK;
    if (error)
        snprintf(words, size, "%s: its %s cannot be made %s: %s", step->subject, number->name, step->value,
                 strerror(error));
    else
        snprintf(words, size, "%s: its %s was made %s, and is %u", step->subject, number->name, step->value,
                 now);
    return CW_IO;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    const struct number *number = number_of(step);
    const json_t *old = json_object_get(before, "number");
    uint32_t now;
    if (!json_is_integer(old) || json_integer_value(old) < 0 || json_integer_value(old) > INT32_MAX)
        return cw_step_is_corrupt(words, size);
    int error = number->get(step->subject, &now);
    if (error == ENODEV) {
        snprintf(words, size, "%s is gone: its %s, that was %u before us, is put back when it is there again",
                 step->subject, number->name, (uint32_t)json_integer_value(old));
        return CW_NOT_FOUND;
    }
    if (!error && now == json_integer_value(old))
        return CW_OK;
    if (!error && now != wanted(step)) {
        snprintf(words, size, "%s: somebody has made its %s %u since, and it is left so; before us it was %u",
                 step->subject, number->name, now, (uint32_t)json_integer_value(old));
        return CW_OK;
    }
    if (!error)
        error = number->set(step->subject, (uint32_t)json_integer_value(old));
    if (!error)
        return CW_OK;
    snprintf(words, size, "%s: its %s cannot be made %u again: %s", step->subject, number->name,
             (uint32_t)json_integer_value(old), strerror(error));
    return CW_IO;
}

const struct cw_step_verbs cw_step_mtu = {keep, is_done, carry_out, undo, NULL, NULL};
const struct cw_step_verbs cw_step_channels = {keep, is_done, carry_out, undo, NULL, NULL};
