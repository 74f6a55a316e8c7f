/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses and routes of the interfaces. Their words end up on command lines that an administrator may copy, from a machine that
 * may be somebody else's recording: nothing passes but what an address, a number and a name are made of.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/probe_private.h"
#include "nic-config/route.h"

#define ADDRESS_ANSWER "ip -json address show"

static struct cw_interface_fact *find(struct cw_facts *facts, const char *name)
{
    struct cw_interface_fact *interface = (struct cw_interface_fact *)cw_facts_interface(facts, name);
    return interface != NULL && interface->space[0] == '\0' ? interface : NULL;
}

/* The bits of an address of this family; 0: it is none. */
static int bits_of(const char *text, int *family)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1) {
        *family = AF_INET;
        return 32;
    }
    *family = AF_INET6;
    return inet_pton(AF_INET6, text, bytes) == 1 ? 128 : 0;
}

static bool is_link_local(const char *text)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return bytes[0] == 169 && bytes[1] == 254;
    return inet_pton(AF_INET6, text, bytes) == 1 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static void take_address(struct cw_probe *probe, struct cw_interface_fact *interface, const json_t *info)
{
    const char *local = cw_probe_json_text(info, "local");
    int64_t prefix = cw_probe_json_number(info, "prefixlen", CW_FACT_UNKNOWN);
    int family, bits = bits_of(local, &family);
    if (bits == 0 || prefix < 0 || prefix > bits) {
        probe->facts->is_use_known = false;
        cw_probe_doubt(probe, ADDRESS_ANSWER, "%s has the address \"%.60s/%" PRId64 "\": not believed",
                       interface->name, local, prefix);
        return;
    }
    if (interface->address_count == CW_ADDRESSES_MAX) {
        interface->is_cut = true;
        return;
    }
    struct cw_address_fact *address = &interface->addresses[interface->address_count++];
    snprintf(address->text, sizeof address->text, "%s/%d", local, (int)prefix);
    address->is_link_local = is_link_local(local);
}

void cw_probe_addresses(struct cw_probe *probe)
{
    static const char *const arguments[] = {"ip", "-json", "address", "show", NULL};
    char why[CW_FACT_WORDS] = "";
    json_t *answer = cw_machine_ask(probe->machine, "ip-address", arguments, why, sizeof why);
    size_t i, j;
    const json_t *link, *info;
    if (!json_is_array(answer)) {
        probe->facts->is_use_known = false;
        cw_probe_unread(probe, ADDRESS_ANSWER, "%.160s: which interfaces are in use",
                        answer == NULL ? why : "is no list");
    }
    json_array_foreach(answer, i, link)
    {
        struct cw_interface_fact *interface = find(probe->facts, cw_probe_json_text(link, "ifname"));
        json_array_foreach(json_object_get(link, "addr_info"), j, info) if (interface != NULL)
            take_address(probe, interface, info);
    }
    json_decref(answer);
}

struct words {
    char text[CW_FACT_WORDS];
    bool is_cut;
};

__attribute__((format(printf, 2, 3))) static void add_words(struct words *words, const char *format, ...)
{
    size_t length = strlen(words->text), room = sizeof words->text - length;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(words->text + length, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= room) {
        words->text[length] = '\0';
        words->is_cut = true;
    }
}

/* "192.0.2.0/24", "default" */
static bool is_destination(const char *text)
{
    char address[64];
    int64_t prefix;
    int family;
    if (strcmp(text, "default") == 0)
        return true;
    size_t length = strcspn(text, "/");
    if (length >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)length, text);
    int bits = bits_of(address, &family);
    return bits != 0 && (text[length] == '\0' ||
                         (cw_probe_parse(text + length + 1, 10, &prefix) && prefix >= 0 && prefix <= bits));
}

/* " key value" where it is there; false: it is there and cannot be true. */
static bool add_name(struct words *words, const json_t *route, const char *member, const char *key)
{
    const char *text = cw_probe_json_text(route, member);
    if (text[0] == '\0')
        return true;
    if (!cw_probe_is_name(text, 64))
        return false;
    add_words(words, " %s %s", key, text);
    return true;
}

static bool add_address(struct words *words, const char *text, const char *key)
{
    int family;
    if (text[0] == '\0')
        return true;
    if (bits_of(text, &family) == 0)
        return false;
    add_words(words, " %s %s", key, text);
    return true;
}

/* "gateway", or of the other family "via": {"family", "host"}; of one of several ways, that way's. */
static bool add_gateway(struct words *words, const json_t *way)
{
    const char *host = cw_probe_json_text(json_object_get(way, "via"), "host");
    int family;
    if (host[0] == '\0')
        return add_address(words, cw_probe_json_text(way, "gateway"), "via");
    if (bits_of(host, &family) == 0)
        return false;
    add_words(words, " via %s %s", family == AF_INET6 ? "inet6" : "inet", host);
    return true;
}

static void add_flags(struct words *words, const json_t *route)
{
    size_t i;
    const json_t *flag;
    json_array_foreach(json_object_get(route, "flags"), i,
                       flag) if (json_is_string(flag) && strcmp(json_string_value(flag), "onlink") == 0)
        add_words(words, " onlink");
}

static bool make_words(const json_t *route, const json_t *way, struct words *words)
{
    static const struct {
        const char *member, *key;
    } names[] = {{"table", "table"}, {"protocol", "proto"}, {"scope", "scope"}, {"tos", "tos"}};
    const char *destination = cw_probe_json_text(route, "dst");
    int64_t metric = cw_probe_json_number(route, "metric", 0);
    if (!is_destination(destination) || metric < 0 || metric > UINT32_MAX)
        return false;
    add_words(words, "%s", destination);
    if (!add_gateway(words, way))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!add_name(words, route, names[i].member, names[i].key))
            return false;
    if (!add_address(words, cw_probe_json_text(route, "prefsrc"), "src"))
        return false;
    if (metric > 0)
        add_words(words, " metric %" PRId64, metric);
    int64_t mtu = cw_probe_json_number(json_array_get(json_object_get(route, "metrics"), 0), "mtu", 0);
    if (mtu > 0 && mtu <= INT32_MAX)
        add_words(words, " mtu %" PRId64, mtu);
    add_flags(words, way);
    return true;
}

static bool is_everything(const char *destination)
{
    return strcmp(destination, "default") == 0 || strcmp(destination, "0.0.0.0/0") == 0 ||
           strcmp(destination, "::/0") == 0;
}

/* Only the main table's: others are asked by rules, and are not how everybody gets out. */
static bool is_main(const json_t *route)
{
    const char *table = cw_probe_json_text(route, "table");
    return table[0] == '\0' || strcmp(table, "main") == 0 || strcmp(table, "254") == 0;
}

static void note_lost(struct cw_probe *probe, const char *device, const char *what)
{
    struct cw_interface_fact *interface = find(probe->facts, device);
    if (interface != NULL && interface->lost_route[0] == '\0')
        snprintf(interface->lost_route, sizeof interface->lost_route, "%s", what);
}

/* What the kernel makes by itself is not put back by anybody. A route with several ways is one: each interface loses it. */
static void take_lost(struct cw_probe *probe, const json_t *route)
{
    size_t i;
    const json_t *way;
    char what[CW_FACT_LOST];
    const char *protocol = cw_probe_json_text(route, "protocol");
    if (strcmp(protocol, "kernel") == 0 || strcmp(protocol, "redirect") == 0 ||
        !cw_route_is_lost(route, what))
        return;
    note_lost(probe, cw_probe_json_text(route, "dev"), what);
    json_array_foreach(json_object_get(route, "nexthops"), i, way)
        note_lost(probe, cw_probe_json_text(way, "dev"), what);
}

static void take_way(struct cw_probe *probe, const char *file, uint8_t version, const json_t *route,
                     const json_t *way)
{
    const char *device = cw_probe_json_text(way, "dev"), *destination = cw_probe_json_text(route, "dst");
    struct cw_interface_fact *interface = find(probe->facts, device);
    struct words words = {0};
    if (interface == NULL) {
        if (device[0] == '\0') { /* net.ipv4.nexthop_compat_mode is 0 */
            probe->facts->is_use_known = false;
            cw_probe_unread(probe, file,
                            "which interface the route to %.60s needs is told by its nexthop object only",
                            destination);
        }
        return;
    }
    bool is_default = is_everything(destination) && is_main(route);
    interface->has_default_route |= is_default;
    if (!make_words(route, way, &words)) {
        probe->facts->is_use_known = false;
        cw_probe_doubt(probe, file, "a route of %s to \"%.60s\": not believed", device, destination);
        return;
    }
    if (interface->route_count == CW_ROUTES_MAX || words.is_cut) {
        interface->is_cut = true;
        return;
    }
    struct cw_route_fact *fact = &interface->routes[interface->route_count++];
    snprintf(fact->text, sizeof fact->text, "%s", words.text);
    fact->is_default = is_default;
    fact->is_of_kernel = strcmp(cw_probe_json_text(route, "protocol"), "kernel") == 0;
    fact->version = version;
}

/* The kernel's own entries for addresses and broadcasts come and go with the addresses. */
static bool is_unicast(const json_t *route)
{
    const char *type = cw_probe_json_text(route, "type"), *table = cw_probe_json_text(route, "table");
    return (type[0] == '\0' || strcmp(type, "unicast") == 0) && strcmp(table, "local") != 0;
}

static void probe_version(struct cw_probe *probe, uint8_t version)
{
    const char *const arguments[] = {"ip",  "-json", version == 4 ? "-4" : "-6", "route", "show", "table",
                                     "all", NULL};
    const char *file = version == 4 ? "ip -json -4 route show table all" : "ip -json -6 route show table all";
    char why[CW_FACT_WORDS] = "";
    json_t *answer =
        cw_machine_ask(probe->machine, version == 4 ? "ip-route4" : "ip-route6", arguments, why, sizeof why);
    size_t i, j;
    const json_t *route, *way;
    if (!json_is_array(answer)) {
        probe->facts->is_use_known = false;
        cw_probe_unread(probe, file, "%.160s: which interface the default route needs",
                        answer == NULL ? why : "is no list");
    }
    json_array_foreach(answer, i, route)
    {
        take_lost(probe, route);
        if (!is_unicast(route))
            continue;
        const json_t *ways = json_object_get(route, "nexthops");
        if (json_array_size(ways) == 0)
            take_way(probe, file, version, route, route);
        json_array_foreach(ways, j, way) take_way(probe, file, version, route, way);
    }
    json_decref(answer);
}

void cw_probe_routes(struct cw_probe *probe)
{
    probe_version(probe, 4);
    probe_version(probe, 6);
}
