/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GIVE_UP: an interface is taken out of use, so that its card can be given away; and VLANs that stand on it, which end with
 * it. Undo comes after the card is the kernel's again, maybe under another name: by its device and port it is found, gets
 * its name back, its VLANs are made again, and all is put back that was kept.
 *
 * Not kept, as no command says what an administrator has set and what the driver has: offloads, ring sizes, coalescing and
 * the like of ethtool (but for the number of queues), queueing disciplines of tc, XDP programs. Interfaces that stand on it
 * and are no VLANs are refused.
 */
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nic-config/before.h"
#include "nic-config/links.h"
#include "nic-config/steps_ip.h"
#include "nic-config/steps_private.h"

#define WAIT_TIMES   200
#define WAIT_STEP_MS 100
#define PATH_SIZE    320u

static int64_t seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec;
}

/* As lifetimes run on while the machine is suspended. */
static int64_t now_seconds(void)
{
    return seconds_of(CLOCK_BOOTTIME);
}

/* ---------------------------------------------------------------- its device */

/* The folder in /sys of the device of PCI or VMBus that it belongs to; "": it has none. */
static void find_device(const char *interface, char folder[static PATH_SIZE])
{
    static const char *const buses[] = {"pci", "vmbus"};
    char path[PATH_SIZE], real[PATH_MAX];
    snprintf(path, sizeof path, "/sys/class/net/%s/device", interface);
    folder[0] = 0;
    char *slash = realpath(path, real) ? strrchr(real, '/') : NULL;
    for (; slash && !folder[0]; slash = strrchr(real, '/')) { /* of virtio it is one of those above */
        for (int i = 0; i < 2 && !folder[0]; i++) {
            snprintf(path, sizeof path, "/sys/bus/%s/devices/%.64s", buses[i], slash + 1);
            if (slash[1] && access(path, F_OK) == 0)
                memcpy(folder, path, strlen(path) + 1);
        }
        *slash = 0;
    }
}

/* Which of a card's ports it is; drivers count by one or by the other. */
static void read_port(const char *interface, char *port, size_t size)
{
    char path[PATH_SIZE], number[32], id[32];
    snprintf(path, sizeof path, "/sys/class/net/%s/dev_port", interface);
    cw_text_read(path, number, sizeof number);
    snprintf(path, sizeof path, "/sys/class/net/%s/dev_id", interface);
    cw_text_read(path, id, sizeof id);
    snprintf(port, size, "%s %s", number, id);
}

static void read_driver(const char *folder, char *driver, size_t size)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/driver", folder);
    cw_link_name(path, driver, size);
}

/* ---------------------------------------------------------------- keep */

static bool stands_on(const json_t *upper, const char *name)
{
    const char *lowers[CW_LINK_LOWERS];
    unsigned count = cw_link_lowers(upper, lowers);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(lowers[i], name) == 0)
            return true;
    return false;
}

/* A VLAN that stands on it, as a state; NULL with words: it is none, or stands under others. */
static json_t *keep_upper(const json_t *link, const json_t *all, char *words, size_t size)
{
    const char *name = cw_json_text(link, "ifname"),
               *kind = cw_json_text(json_object_get(link, "linkinfo"), "info_kind");
    size_t i;
    json_t *other;
    if (strcmp(kind, "vlan") != 0) {
        snprintf(words, size, "%s stands on it (%s), and could not be put back: take it away first", name,
                 kind);
        return NULL;
    }
    json_array_foreach(all, i, other)
    {
        if (stands_on(other, name)) {
            snprintf(words, size, "%s stands on its VLAN %s, and could not be put back: take it away first",
                     cw_json_text(other, "ifname"), name);
            return NULL;
        }
    }
    return cw_ip_state(name, words, size);
}

static json_t *keep_uppers(const char *name, char *words, size_t size)
{
    size_t i;
    json_t *link,
        *all = cw_ip_ask((const char *const[]){"ip", "-json", "-details", "link", "show", NULL}, words, size),
        *uppers = all ? json_array() : NULL;
    json_array_foreach(all, i, link)
    {
        if (!uppers || !stands_on(link, name))
            continue;
        json_t *upper = keep_upper(link, all, words, size);
        if (upper) {
            json_array_append_new(uppers, upper);
            continue;
        }
        json_decref(uppers);
        uppers = NULL;
    }
    json_decref(all);
    return uppers;
}

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    char folder[PATH_SIZE], port[72] = "", driver[CW_DRIVER_NAME] = "", physical[CW_PCI_ADDRESS] = "";
    uint32_t channels;
    json_t *state = cw_ip_state(step->subject, words, size),
           *uppers = state ? keep_uppers(step->subject, words, size) : NULL;
    if (!uppers) {
        json_decref(state);
        return NULL;
    }
    find_device(step->subject, folder);
    if (folder[0]) {
        read_port(step->subject, port, sizeof port);
        read_driver(folder, driver, sizeof driver);
        cw_device_physical(folder, physical);
    }
    json_t *before =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "device", folder, "port", port, "driver",
                  driver, "physical", physical, "seconds", (json_int_t)now_seconds(), "time",
                  (json_int_t)seconds_of(CLOCK_REALTIME), "state", state, "uppers", uppers);
    if (before && cw_interface_channels(step->subject, &channels) == 0)
        json_object_set_new(before, "channels", json_integer(channels));
    return before;
}

/* ---------------------------------------------------------------- do */

/* One that is idle has a name, an MTU, settings and VLANs all the same, and goes with its card: it is kept. */
static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    json_t *link = cw_ip_link(step->subject, words, size);
    bool is_gone = !link && !words[0];
    json_decref(link);
    words[0] = 0;
    return is_gone;
}

#define IP(...) cw_ip_tell((const char *const[]){"ip", __VA_ARGS__, NULL}, words, size)

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    const char *name = step->subject;
    bool is_good = IP("link", "set", "dev", name, "down") && IP("link", "set", "dev", name, "nomaster") &&
                   IP("address", "flush", "dev", name);
    return is_good ? CW_OK : CW_IO;
}

/* ---------------------------------------------------------------- undo: is it there again */

/* Of the names, the one that is at its port; of several there, that with its old name. "" none. */
static const char *choose(const json_t *names, const char *old, const char *port)
{
    const char *first = "";
    size_t i;
    json_t *name;
    char is[72];
    json_array_foreach(names, i, name)
    {
        read_port(json_string_value(name), is, sizeof is);
        if (strcmp(is, port) == 0 && (!first[0] || strcmp(json_string_value(name), old) == 0))
            first = json_string_value(name);
    }
    return first;
}

/* Its name now; false: it does not come. A name alone is believed last: of a card with several ports the kernel may have
 * given it to another one. */
static bool wait_for_interface(const char *folder, const char *old, const char *port,
                               char now[static CW_INTERFACE_NAME])
{
    const struct timespec moment = {0, WAIT_STEP_MS * 1000000l};
    now[0] = 0;
    for (int i = 0; i < WAIT_TIMES && !now[0]; i++) {
        json_t *names = cw_device_interfaces(folder);
        snprintf(now, CW_INTERFACE_NAME, "%s", choose(names, old, port));
        if (!now[0] && i == WAIT_TIMES - 1 && cw_json_has_word(names, old))
            snprintf(now, CW_INTERFACE_NAME, "%s", old);
        json_decref(names);
        if (!now[0])
            nanosleep(&moment, NULL);
    }
    return now[0] != 0;
}

/* Where udev gives names, it may be about to. */
static void wait_for_udev(void)
{
    char ignored[CW_FACT_WORDS];
    if (access("/run/udev/control", F_OK) == 0)
        cw_ip_tell((const char *const[]){"udevadm", "settle", "--timeout=10", NULL}, ignored, sizeof ignored);
}

static bool set_name(const char *is, const char *to, char *words, size_t size)
{
    return IP("link", "set", "dev", is, "down") && IP("link", "set", "dev", is, "name", to);
}

/* Another port of its card may have its old name, and gets the one that it has now: it is given back in its turn, by its
 * port. */
static bool rename_to(const char *folder, const char *old, const char *now, char *words, size_t size)
{
    char ignored[CW_FACT_WORDS], spare[CW_INTERFACE_NAME];
    if (strcmp(old, now) == 0)
        return true;
    cw_ip_tell((const char *const[]){"ip", "link", "property", "del", "dev", now, "altname", old, NULL},
               ignored, sizeof ignored); /* udev may know its old name as another name of it */
    json_t *names = cw_device_interfaces(folder);
    bool is_taken = cw_json_has_word(names, old);
    json_decref(names);
    if (!is_taken)
        return set_name(now, old, words, size);
    snprintf(spare, sizeof spare, "cw-port%u", if_nametoindex(old));
    bool is_renamed = set_name(old, spare, words, size) && set_name(now, old, words, size);
    set_name(spare, now, ignored, sizeof ignored);
    return is_renamed;
}

enum presence { IS_THERE, IS_GONE, IS_LATE };

/* Under its old name again. words: why not. */
static enum presence find_again(const char *old, const json_t *before, char *words, size_t size)
{
    const char *folder = cw_before_text(before, "device"), *kept = cw_before_text(before, "driver"),
               *port = cw_before_text(before, "port");
    char now[CW_INTERFACE_NAME], driver[CW_DRIVER_NAME];
    if (!folder[0]) {
        json_t *link = cw_ip_link(old, words, size);
        bool is_there = link != NULL;
        json_decref(link);
        if (is_there || words[0]) /* ip itself failed */
            return is_there ? IS_THERE : IS_LATE;
        snprintf(words, size, "%s is gone, and is not put back: make it again, then again", old);
        return IS_GONE;
    }
    const char *device = strrchr(folder, '/') + 1;
    read_driver(folder, driver, sizeof driver);
    if (strcmp(driver, kept) != 0 && !driver[0] && access(folder, F_OK) == 0) {
        snprintf(words, size, "%s is not there: its device %s has no driver, and had %s: bind it, then again",
                 old, device, kept);
        return IS_LATE;
    }
    if (strcmp(driver, kept) != 0) { /* somebody else's, as BIND is undone first; or it was taken out */
        snprintf(words, size, "%s is not put back: its device %s %s%s, and had %s", old, device,
                 driver[0] ? "has the driver " : "is not in this machine any more", driver, kept);
        return IS_GONE;
    }
    if (!wait_for_interface(folder, old, port, now)) {
        snprintf(words, size,
                 "%s: its device %s shows no interface after %d s; see the kernel's log (dmesg), then again",
                 old, device, WAIT_TIMES * WAIT_STEP_MS / 1000);
        return IS_LATE;
    }
    wait_for_udev();
    if (!wait_for_interface(folder, old, port, now) || !rename_to(folder, old, now, words, size))
        return IS_LATE;
    return IS_THERE;
}

/* ---------------------------------------------------------------- undo: as it was */

static bool make_vlan(const char *lower, const json_t *state, char *words, size_t size)
{
    const json_t *link = json_object_get(state, "link"),
                 *data = json_object_get(json_object_get(link, "linkinfo"), "info_data");
    const char *name = cw_json_text(link, "ifname"), *protocol = cw_json_text(data, "protocol");
    const json_t *flags = json_object_get(data, "flags");
    char id[16], what[CW_FACT_WORDS];
    json_t *now = cw_ip_link(name, what, sizeof what);
    json_decref(now);
    if (now)
        return true;
    snprintf(id, sizeof id, "%d", (int)json_integer_value(json_object_get(data, "id")));
#define ON(flag) cw_json_has_word(flags, flag) ? "on" : "off"
    return IP("link", "add", "link", lower, "name", name, "type", "vlan", "protocol",
              protocol[0] ? protocol : "802.1Q", "id", id, "reorder_hdr", ON("REORDER_HDR"), "gvrp",
              ON("GVRP"), "mvrp", ON("MVRP"), "loose_binding", ON("LOOSE_BINDING"));
#undef ON
}

/* All of it, whatever fails; the first failure is told. */
static bool restore(const char *name, const json_t *before, char *words, size_t size)
{
    const json_t *channels = json_object_get(before, "channels");
    int64_t seconds = now_seconds() - json_integer_value(json_object_get(before, "seconds"));
    uint32_t now;
    size_t i;
    json_t *upper;
    char why[CW_STEP_WHY];
    int error = 0;
    if (channels && cw_interface_channels(name, &now) == 0 && now != json_integer_value(channels))
        error = cw_interface_set_channels(name, (uint32_t)json_integer_value(channels));
    if (error)
        snprintf(words, size, "%s: its number of queues could not be put back: %s", name, strerror(error));
    bool is_good = !error;
    if (!cw_ip_restore(json_object_get(before, "state"), seconds, why, sizeof why)) {
        snprintf(words, size, "%s", why);
        is_good = false;
    }
    json_array_foreach(json_object_get(before, "uppers"), i, upper)
    {
        if (make_vlan(name, upper, why, sizeof why) && cw_ip_restore(upper, seconds, why, sizeof why))
            continue;
        if (is_good)
            snprintf(words, size, "%s", why);
        is_good = false;
    }
    return is_good;
}

/* A virtual function that somebody has taken away is no more, and its interface with it. Only what the interface had been
 * given waits for another one at that address. */
static enum cw_status is_gone(const char *name, const json_t *before, char *words, size_t size)
{
    const char *folder = cw_before_text(before, "device");
    if (!folder[0] || access(folder, F_OK) == 0 || !cw_before_has_card(before))
        return CW_NOT_FOUND;
    const char *device = strrchr(folder, '/') + 1, *card = cw_before_text(before, "physical");
    if (!cw_before_is_bare(before)) {
        snprintf(
            words, size,
            "%s is not put back: its device %s, a virtual function of %s, was taken away by somebody: make "
            "it again (sriov_numvfs of that card), then again",
            name, device, card);
        return CW_NOT_FOUND;
    }
    snprintf(words, size, "%s: somebody has taken its device %s away from %s since, and it is left so", name,
             device, card);
    return CW_OK;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    const json_t *state = json_object_get(before, "state");
    const char *name = cw_json_text(json_object_get(state, "link"), "ifname");
    if (!cw_before_text(before, "device") || !cw_before_text(before, "driver") ||
        !cw_before_text(before, "port") || !name[0] || strchr(name, '/') ||
        (!cw_before_text(before, "device")[0] && strcmp(name, step->subject) != 0) ||
        (cw_before_text(before, "device")[0] && !strchr(cw_before_text(before, "device"), '/')))
        return cw_step_is_corrupt(words, size);
    switch (find_again(name, before, words, size)) { /* of an earlier boot it may be another than step's */
    case IS_THERE:
        return restore(name, before, words, size) ? CW_OK : CW_IO;
    case IS_GONE:
        return is_gone(name, before, words, size);
    case IS_LATE:
        break;
    }
    return CW_IO;
}

const struct cw_step_verbs cw_step_give_up = {keep, is_done, carry_out, undo, NULL, NULL};
