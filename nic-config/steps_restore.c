/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface as it was: what is missing is put back, what is there already is left; so this is begun again as often as it
 * is killed. First what wants it down or does not care, then it is up, then addresses, then routes, which want addresses.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nic-config/steps_ip.h"
#include "nic-config/steps_private.h"

#define FOR_EVER      4294967295ll
#define LINK_TIMES    100 /* of a tenth of a second */
#define ROUTE_TIMES   60
#define COMMAND_WORDS 32u

struct work {
    const char *name;
    const json_t *was; /* its link */
    json_t *now;       /* the same, as it is; may be old by a step of ours */
    int64_t seconds;   /* since it was kept */
    char *words;
    size_t size;
    bool has_failed;
};

static void wait_a_moment(void)
{
    const struct timespec moment = {0, 100 * 1000 * 1000};
    nanosleep(&moment, NULL);
}

/* The first failure is told; the rest is done all the same. */
static void note(struct work *work, const char *what, const char *why)
{
    if (!work->has_failed)
        snprintf(work->words, work->size, "%s: %s could not be put back: %s", work->name, what, why);
    work->has_failed = true;
}

static void set_link(struct work *work, const char *what, const char *value)
{
    char why[CW_FACT_WORDS];
    if (!cw_ip_tell((const char *const[]){"ip", "link", "set", "dev", work->name, what, value, NULL}, why,
                    sizeof why))
        note(work, what, why);
}

static bool has_flag(const json_t *link, const char *flag)
{
    return cw_json_has_word(json_object_get(link, "flags"), flag);
}

static void look_again(struct work *work)
{
    char ignored[CW_FACT_WORDS];
    json_t *now = cw_ip_link(work->name, ignored, sizeof ignored);
    if (!now)
        return;
    json_decref(work->now);
    work->now = now;
}

/* ---------------------------------------------------------------- the link */

static void restore_number(struct work *work, const char *key, const char *what)
{
    char number[24];
    const json_t *was = json_object_get(work->was, key);
    if (!json_is_integer(was) || json_equal((json_t *)was, json_object_get(work->now, key)))
        return;
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(was));
    set_link(work, what, number);
}

static void restore_word(struct work *work, const char *key, const char *what)
{
    const char *was = cw_json_text(work->was, key), *now = cw_json_text(work->now, key);
    if (strcmp(was, now) != 0 && (was[0] || strcmp(key, "ifalias") == 0))
        set_link(work, what, was);
}

/* on: the word for the kernel's flag being there. */
static void restore_flag(struct work *work, const char *flag, const char *what, bool on)
{
    if (has_flag(work->was, flag) != has_flag(work->now, flag))
        set_link(work, what, has_flag(work->was, flag) == on ? "on" : "off");
}

/* Its address, and the master that it was part of, change only while it is down. */
static void restore_while_down(struct work *work)
{
    bool has_other_address =
             strcmp(cw_json_text(work->was, "address"), cw_json_text(work->now, "address")) != 0,
         has_other_master = strcmp(cw_json_text(work->was, "master"), cw_json_text(work->now, "master")) != 0;
    char ignored[CW_FACT_WORDS];
    if (!has_other_address && !has_other_master)
        return;
    cw_ip_tell((const char *const[]){"ip", "link", "set", "dev", work->name, "down", NULL}, ignored,
               sizeof ignored);
    restore_word(work, "address", "address");
    restore_word(work, "master", "master");
    look_again(work);
}

static void restore_names(struct work *work)
{
    size_t i;
    json_t *name;
    char why[CW_FACT_WORDS];
    const json_t *now = json_object_get(work->now, "altnames");
    json_array_foreach(json_object_get(work->was, "altnames"), i, name)
    {
        const char *text = json_string_value(name);
        if (text && !cw_json_has_word(now, text) &&
            !cw_ip_tell((const char *const[]){"ip", "link", "property", "add", "dev", work->name, "altname",
                                              text, NULL},
                        why, sizeof why))
            note(work, text, why);
    }
}

/* A kernel without IPv6: the addresses that it had say so. */
static bool is_off_for_all(const char *key, const char *path)
{
    return strstr(key, "disable_ipv6") && access(path, F_OK) != 0;
}

static void restore_settings(struct work *work, json_t *settings)
{
    char path[420], now[CW_STEP_TEXT];
    const char *key;
    json_t *value;
    json_object_foreach(settings, key, value)
    {
        const char *was = json_string_value(value);
        snprintf(path, sizeof path, "/proc/sys/net/%s", key);
        if (!was || strstr(key, "..") || is_off_for_all(key, path) ||
            (cw_text_read(path, now, sizeof now) == 0 && strcmp(now, was) == 0))
            continue;
        int error = cw_text_write(path, was);
        if (error)
            note(work, path, strerror(error));
    }
}

static void set_state(struct work *work, const char *state)
{
    char why[CW_FACT_WORDS];
    if (!cw_ip_tell((const char *const[]){"ip", "link", "set", "dev", work->name, state, NULL}, why,
                    sizeof why))
        note(work, "being up", why);
}

/* Nothing resets a vmxnet3, and its driver takes it for idle: one that an engine has left at work sends nothing until the
 * driver has taken it down once. Whoever was killed after the first of this does it all again. */
static void wake(struct work *work)
{
    char path[420], driver[CW_DRIVER_NAME] = "";
    snprintf(path, sizeof path, "/sys/class/net/%s/device/driver", work->name);
    if (cw_link_name(path, driver, sizeof driver) != 0 || strcmp(driver, "vmxnet3") != 0)
        return;
    set_state(work, "up");
    set_state(work, "down");
    look_again(work);
}

/* A link that it had takes its time to come back, and addresses wait for it. */
static void restore_up(struct work *work)
{
    if (!has_flag(work->was, "UP"))
        return;
    wake(work);
    if (!has_flag(work->now, "UP"))
        set_state(work, "up");
    look_again(work);
    for (int i = 0; i < LINK_TIMES && has_flag(work->was, "LOWER_UP") && !has_flag(work->now, "LOWER_UP");
         i++) {
        wait_a_moment();
        look_again(work);
    }
}

/* ---------------------------------------------------------------- addresses */

static bool is_same_address(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"family", "local", "address"};
    for (int i = 0; i < 3; i++)
        if (strcmp(cw_json_text(a, keys[i]), cw_json_text(b, keys[i])) != 0)
            return false;
    return json_equal(json_object_get(a, "prefixlen"), json_object_get(b, "prefixlen"));
}

static bool has_address(const json_t *list, const json_t *address)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (is_same_address(item, address))
            return true;
    }
    return false;
}

/* What is left of it. false: nothing. */
static bool lifetime(const struct work *work, const json_t *address, const char *key, char text[static 24])
{
    long long was = json_integer_value(json_object_get(address, key));
    if (was == FOR_EVER) {
        snprintf(text, 24, "forever");
        return true;
    }
    long long left = was > work->seconds ? was - work->seconds : 0;
    snprintf(text, 24, "%lld", left);
    return left > 0;
}

/* false: why not. */
static bool add_address(const struct work *work, const json_t *address, char *why, size_t size)
{
    static const char *const flags[] = {"noprefixroute", "home",       "mngtmpaddr",
                                        "nodad",         "optimistic", "autojoin"};
    const char *command[COMMAND_WORDS] = {"ip", "address", "add"};
    char text[96], valid[24], preferred[24], metric[24];
    unsigned count = 3;
    const char *peer = cw_json_text(address, "address"), *local = cw_json_text(address, "local"),
               *broadcast = cw_json_text(address, "broadcast"), *label = cw_json_text(address, "label");
    int prefix = (int)json_integer_value(json_object_get(address, "prefixlen"));
    snprintf(text, sizeof text, "%s/%d", peer[0] ? peer : local, prefix);
#define PUT(...)                                                                                             \
    do {                                                                                                     \
        const char *const put[] = {__VA_ARGS__};                                                             \
        memcpy(command + count, put, sizeof put);                                                            \
        count += sizeof put / sizeof put[0];                                                                 \
    } while (0)
    if (!lifetime(work, address, "valid_life_time", valid) ||
        json_is_true(json_object_get(address, "temporary")))
        return true; /* it would be gone by now; or the kernel makes such by itself */
    lifetime(work, address, "preferred_life_time", preferred);
    if (peer[0])
        PUT(local, "peer", text);
    else
        PUT(text);
    if (broadcast[0])
        PUT("broadcast", broadcast);
    if (label[0])
        PUT("label", label);
    if (json_object_get(address, "metric")) {
        snprintf(metric, sizeof metric, "%lld",
                 (long long)json_integer_value(json_object_get(address, "metric")));
        PUT("metric", metric);
    }
    PUT("scope", cw_json_text(address, "scope"), "dev", work->name, "valid_lft", valid, "preferred_lft",
        preferred);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (json_is_true(json_object_get(address, flags[i])))
            PUT(flags[i]);
#undef PUT
    return cw_ip_tell(command, why, size);
}

static void restore_address(struct work *work, const json_t *address)
{
    char why[CW_FACT_WORDS];
    if (has_address(json_object_get(work->now, "addr_info"), address) ||
        add_address(work, address, why, sizeof why))
        return;
    look_again(work); /* the kernel may have made it at that moment */
    if (!has_address(json_object_get(work->now, "addr_info"), address))
        note(work, cw_json_text(address, "local"), why);
}

/* In the order in which they came, as it decides which is taken as a source: ip shows IPv4's so, and IPv6's the other way
 * round. */
static void restore_addresses(struct work *work)
{
    const json_t *list = json_object_get(work->was, "addr_info");
    size_t count = json_array_size(list);
    for (size_t i = 0; i < 2 * count; i++) {
        const json_t *address = json_array_get(list, i < count ? i : 2 * count - 1 - i);
        if ((strcmp(cw_json_text(address, "family"), "inet6") == 0) == (i >= count))
            restore_address(work, address);
    }
}

/* ---------------------------------------------------------------- routes, neighbours */

static bool has_route(const json_t *list, const json_t *route)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (cw_route_is_same(item, route) || cw_route_is_made_anew(item, route))
            return true;
    }
    return false;
}

/* ip says "File exists", and not of what. */
static void tell_other(const json_t *list, const json_t *route, char *why, size_t size)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!cw_route_has_place_of(item, route))
            continue;
        snprintf(why, size, "another is in its place (proto %s): remove it (ip route del), then again",
                 cw_json_text(item, "protocol"));
        return;
    }
}

/* false: why not. */
static bool put_route(const struct work *work, const json_t *now, const json_t *route, bool is_6, char *why,
                      size_t size)
{
    struct cw_route_command command;
    if (has_route(now, route) || !cw_route_command(route, is_6, work->seconds, &command))
        return true;
    if (!command.is_cut && cw_ip_tell(command.words, why, size))
        return true;
    if (command.is_cut)
        snprintf(why, size, "it is too long");
    else if (is_6)
        tell_other(now, route, why, size);
    return false;
}

/* Tries each that is missing once. How many could not be put back; why: of the last. */
static unsigned try_routes(struct work *work, const json_t *routes, bool is_6, char *what, char *why,
                           size_t size)
{
    size_t i;
    json_t *route;
    unsigned missing = 0;
    json_t *now = cw_ip_ask((const char *const[]){"ip", "-json", "-details", is_6 ? "-6" : "-4", "route",
                                                  "show", "table", "all", NULL},
                            why, size);
    if (!now)
        return 1;
    json_array_foreach(routes, i, route)
    {
        if (put_route(work, now, route, is_6, why, size))
            continue;
        snprintf(what, CW_FACT_WORDS, "the route to %s", cw_json_text(route, "dst"));
        missing++;
    }
    json_decref(now);
    return missing;
}

/* Routes lead over other routes, and over addresses that IPv6 takes a second or two to make sure of: again, as long as
 * that may last. */
static void restore_routes(struct work *work, const json_t *routes, bool is_6)
{
    char what[CW_FACT_WORDS] = "its routes", why[CW_FACT_WORDS];
    if (!has_flag(work->was, "UP"))
        return;
    for (int i = 0; i < ROUTE_TIMES; i++) {
        if (try_routes(work, routes, is_6, what, why, sizeof why) == 0)
            return;
        wait_a_moment();
    }
    note(work, what, why);
}

static void restore_neighbours(struct work *work, const json_t *neighbours)
{
    size_t i;
    json_t *neighbour;
    char why[CW_FACT_WORDS];
    json_array_foreach(neighbours, i, neighbour)
    {
        const char *address = cw_json_text(neighbour, "dst"), *hardware = cw_json_text(neighbour, "lladdr");
        bool is_proxy = json_object_get(neighbour, "proxy");
        if (address[0] && is_proxy &&
            !cw_ip_tell((const char *const[]){"ip", "neighbour", "replace", "proxy", address, "dev",
                                              work->name, NULL},
                        why, sizeof why))
            note(work, address, why);
        if (address[0] && hardware[0] &&
            !cw_ip_tell((const char *const[]){"ip", "neighbour", "replace", address, "lladdr", hardware,
                                              "nud", "permanent", "dev", work->name, NULL},
                        why, sizeof why))
            note(work, address, why);
    }
}

bool cw_ip_restore(const json_t *state, int64_t seconds, char *words, size_t size)
{
    const json_t *link = json_object_get(state, "link");
    struct work work = {
        .name = cw_json_text(link, "ifname"), .was = link, .seconds = seconds, .words = words, .size = size};
    words[0] = 0;
    work.now = cw_ip_link(work.name, words, size);
    if (!work.now) {
        if (!words[0])
            snprintf(words, size, "there is no interface %s", work.name);
        return false;
    }
    restore_while_down(&work);
    restore_number(&work, "mtu", "mtu");
    restore_number(&work, "txqlen", "txqueuelen");
    restore_word(&work, "group", "group");
    restore_word(&work, "ifalias", "alias");
    restore_flag(&work, "PROMISC", "promisc", true);
    restore_flag(&work, "ALLMULTI", "allmulticast", true);
    restore_flag(&work, "MULTICAST", "multicast", true);
    restore_flag(&work, "NOARP", "arp", false);
    restore_names(&work);
    restore_settings(&work, json_object_get(state, "settings"));
    restore_up(&work);
    restore_addresses(&work);
    restore_routes(&work, json_object_get(state, "routes4"), false);
    restore_routes(&work, json_object_get(state, "routes6"), true);
    restore_neighbours(&work, json_object_get(state, "neighbours"));
    json_decref(work.now);
    return !work.has_failed;
}
