/* SPDX-License-Identifier: BSD-3-Clause */
/* What ip says of an interface, as a state that can be kept. */
#include "nic-config/steps_ip.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nic-config/route.h"
#include "nic-config/run.h"
#include "nic-config/said.h"
#include "nic-config/steps_private.h"

#define SECONDS_MAX 30

const char *cw_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool cw_json_has_word(const json_t *list, const char *word)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), word) == 0)
            return true;
    }
    return false;
}

json_t *cw_ip_ask(const char *const arguments[], char *words, size_t size)
{
    char *said = cw_run(arguments, SECONDS_MAX, words, size);
    json_t *answer = said ? cw_said_json(arguments[0], said, words, size) : NULL;
    free(said);
    if (!answer || json_is_array(answer))
        return answer;
    json_decref(answer);
    snprintf(words, size, "what %s said is no list", arguments[0]);
    return NULL;
}

bool cw_ip_tell(const char *const arguments[], char *words, size_t size)
{
    char *said = cw_run(arguments, SECONDS_MAX, words, size);
    free(said);
    return said != NULL;
}

#define ASK(...) cw_ip_ask((const char *const[]){"ip", "-json", "-details", __VA_ARGS__, NULL}, words, size)

json_t *cw_ip_link(const char *name, char *words, size_t size)
{
    size_t i;
    json_t *link, *found = NULL, *all = ASK("address", "show");
    json_array_foreach(all, i, link)
    {
        if (strcmp(cw_json_text(link, "ifname"), name) == 0)
            found = json_incref(link);
    }
    json_decref(all);
    return found;
}

/* ---------------------------------------------------------------- routes, neighbours */

/* The address is in the destination, and as long: the route is the one that comes with an address. */
static bool is_prefix_of(const char *destination, const char *local, int64_t length)
{
    unsigned char bytes[2][16] = {{0}};
    char prefix[64];
    size_t end = strcspn(destination, "/");
    int family = strchr(local, ':') ? AF_INET6 : AF_INET, bits = (int)length % 8, whole = (int)length / 8;
    int64_t says = destination[end] ? atoi(destination + end + 1) : family == AF_INET6 ? 128 : 32;
    snprintf(prefix, sizeof prefix, "%.*s", (int)(end < sizeof prefix ? end : 0), destination);
    if (length < 0 || says != length || length > (family == AF_INET6 ? 128 : 32) ||
        inet_pton(family, prefix, bytes[0]) != 1 || inet_pton(family, local, bytes[1]) != 1)
        return false;
    return memcmp(bytes[0], bytes[1], (size_t)whole) == 0 &&
           (bits == 0 || (bytes[0][whole] ^ bytes[1][whole]) >> (8 - bits) == 0);
}

/* The kernel makes no route for an address with noprefixroute: who gives such (NetworkManager) makes it, in its name. */
static bool is_in_name_of_kernel(const json_t *link, const json_t *route)
{
    size_t i;
    json_t *address;
    if (strcmp(cw_json_text(route, "type"), "unicast") != 0)
        return false;
    json_array_foreach(json_object_get(link, "addr_info"), i, address)
    {
        if (json_is_true(json_object_get(address, "noprefixroute")) &&
            is_prefix_of(cw_json_text(route, "dst"), cw_json_text(address, "local"),
                         json_integer_value(json_object_get(address, "prefixlen"))))
            return true;
    }
    return false;
}

/* Those of this interface that the kernel does not make by itself. */
static json_t *routes_of(const json_t *link, const char *family, char *words, size_t size)
{
    const char *name = cw_json_text(link, "ifname");
    size_t i;
    char what[CW_FACT_LOST];
    json_t *route, *all = ASK(family, "route", "show", "table", "all"), *kept = all ? json_array() : NULL;
    json_array_foreach(all, i, route)
    {
        const char *protocol = cw_json_text(route, "protocol");
        bool is_made_again = strcmp(protocol, "redirect") == 0 ||
                             (strcmp(protocol, "kernel") == 0 && !is_in_name_of_kernel(link, route));
        if (!kept || !cw_route_is_of(route, name) || is_made_again)
            continue;
        if (cw_route_is_lost(route, what)) {
            snprintf(words, size,
                     "%s has a route with %s, which could not be put back: remove it first (ip route show "
                     "table all dev %s)",
                     name, what, name);
            json_decref(kept);
            kept = NULL;
        }
        json_array_append(kept, route);
    }
    json_decref(all);
    return kept;
}

/* Those that are permanent, and those that it answers for ("proxy"). */
static json_t *neighbours_of(const char *name, char *words, size_t size)
{
    json_t *permanent = ASK("neighbour", "show", "nud", "permanent", "dev", name),
           *proxies = permanent ? ASK("neighbour", "show", "proxy", "dev", name) : NULL;
    if (!proxies) {
        json_decref(permanent);
        return NULL;
    }
    json_array_extend(permanent, proxies);
    json_decref(proxies);
    return permanent;
}

/* ---------------------------------------------------------------- settings */

/* Read only, or of the MTU, or not of the interface alone. */
static bool is_kept(const char *path, const char *name)
{
    return name[0] != '.' && strcmp(name, "mtu") != 0 && access(path, W_OK) == 0;
}

/* Whether there is IPv6 on it is kept though it be as for a new interface: that may be otherwise when it comes back, and then
 * it gets none of its addresses, or some that it did not have. */
static bool is_usual(const char *folder, const char *name, const char *now)
{
    char path[400], usual[CW_STEP_TEXT];
    snprintf(path, sizeof path, "/proc/sys/net/%s/default/%.255s", folder, name);
    return strcmp(name, "disable_ipv6") != 0 && cw_text_read(path, usual, sizeof usual) == 0 &&
           strcmp(now, usual) == 0;
}

static void add_setting(json_t *settings, const char *folder, const char *interface, const char *name)
{
    char path[400], key[400], now[CW_STEP_TEXT];
    snprintf(path, sizeof path, "/proc/sys/net/%s/%s/%.255s", folder, interface, name);
    if (!is_kept(path, name) || cw_text_read(path, now, sizeof now) != 0 || is_usual(folder, name, now))
        return;
    snprintf(key, sizeof key, "%s/%s/%.255s", folder, interface, name);
    json_object_set_new(settings, key, json_string(now));
}

static json_t *settings_of(const char *interface)
{
    static const char *const folders[] = {"ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"};
    json_t *settings = json_object();
    for (int i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "/proc/sys/net/%s/%.15s", folders[i], interface);
        DIR *folder = opendir(path);
        for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;)
            add_setting(settings, folders[i], interface, entry->d_name);
        if (folder)
            closedir(folder);
    }
    return settings;
}

json_t *cw_ip_state(const char *name, char *words, size_t size)
{
    words[0] = 0;
    json_t *link = cw_ip_link(name, words, size);
    if (!link && !words[0])
        snprintf(words, size, "there is no interface %s", name);
    json_t *routes4 = link ? routes_of(link, "-4", words, size) : NULL,
           *routes6 = routes4 ? routes_of(link, "-6", words, size) : NULL,
           *neighbours = routes6 ? neighbours_of(name, words, size) : NULL;
    if (neighbours)
        return json_pack("{s:o, s:o, s:o, s:o, s:o}", "link", link, "routes4", routes4, "routes6", routes6,
                         "neighbours", neighbours, "settings", settings_of(name));
    json_decref(link);
    json_decref(routes4);
    json_decref(routes6);
    return NULL;
}
