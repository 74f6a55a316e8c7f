/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nic-config/route.h"
#include "nic-config/steps_ip.h"

static void add(struct cw_route_command *command, const char *word)
{
    if (command->count + 1 < CW_ROUTE_WORDS)
        command->words[command->count++] = word;
    else
        command->is_cut = true;
    command->words[command->count] = NULL;
}

__attribute__((format(printf, 2, 3))) static void add_made(struct cw_route_command *command,
                                                           const char *format, ...)
{
    if (command->made_count == CW_ROUTE_MADE) {
        command->is_cut = true;
        return;
    }
    char *text = command->made[command->made_count++];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof command->made[0], format, arguments);
    va_end(arguments);
    command->is_cut |= length < 0 || (size_t)length >= sizeof command->made[0];
    add(command, text);
}

/* A value that is a word or a number; nothing else. */
static void add_value(struct cw_route_command *command, const char *name, const json_t *value)
{
    if (json_is_string(value)) {
        add(command, name);
        add(command, json_string_value(value));
    } else if (json_is_integer(value)) {
        add(command, name);
        add_made(command, "%lld", (long long)json_integer_value(value));
    }
}

static void add_realms(struct cw_route_command *command, const json_t *flow)
{
    const char *from = cw_json_text(flow, "from"), *to = cw_json_text(flow, "to");
    if (!from[0] && !to[0])
        return;
    add(command, "realms");
    add_made(command, "%s%s%s", from, from[0] ? "/" : "", to);
}

/* Of a route, or of one of its next hops. */
static void add_hop(struct cw_route_command *command, const json_t *hop)
{
    const json_t *via = json_object_get(hop, "via");
    add_value(command, "via", json_object_get(hop, "gateway"));
    if (json_is_object(via)) { /* of the other family */
        add(command, "via");
        add(command, cw_json_text(via, "family"));
        add(command, cw_json_text(via, "host"));
    }
    add_value(command, "dev", json_object_get(hop, "dev"));
    if (cw_json_has_word(json_object_get(hop, "flags"), "onlink"))
        add(command, "onlink");
    add_realms(command, json_object_get(hop, "flow"));
}

static void add_hops(struct cw_route_command *command, const json_t *hops)
{
    size_t i;
    json_t *hop;
    json_array_foreach(hops, i, hop)
    {
        add(command, "nexthop");
        add_hop(command, hop);
        add_value(command, "weight", json_object_get(hop, "weight"));
    }
}

/* Not all have the word and the unit that ip wants: of times it takes a number without one as eighths or quarters. */
static void add_metrics(struct cw_route_command *command, json_t *metrics)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_array_get(metrics, 0), name, value)
    {
        if (strcmp(name, "congestion") == 0) {
            add_value(command, "congctl", value);
        } else if (strcmp(name, "ecn") == 0) {
            add(command, "features");
            add(command, "ecn");
        } else if (strcmp(name, "rtt") == 0 || strcmp(name, "rttvar") == 0) {
            add(command, name);
            add_made(command, "%lldms", (long long)json_integer_value(value));
        } else {
            add_value(command, name, value);
        }
    }
}

bool cw_route_command(const json_t *route, bool is_6, int64_t seconds, struct cw_route_command *command)
{
    const json_t *expires = json_object_get(route, "expires");
    if (expires && json_integer_value(expires) <= seconds)
        return false;
    command->count = command->made_count = 0;
    command->is_cut = false;
    add(command, "ip");
    add(command, is_6 ? "-6" : "-4");
    add(command, "route");
    /* Of one prefix and metric IPv4 may have several, in their order. IPv6 makes them one of several hops: such a one may have
     * lost only some of them. */
    add(command, !is_6 ? "append" : json_object_get(route, "nexthops") ? "replace" : "add");
    add(command, cw_json_text(route, "type"));
    add(command, cw_json_text(route, "dst"));
    add_value(command, "from", json_object_get(route, "from"));
    add_value(command, "tos", json_object_get(route, "tos"));
    add_value(command, "table", json_object_get(route, "table"));
    add_value(command, "proto", json_object_get(route, "protocol"));
    if (!is_6)
        add_value(command, "scope", json_object_get(route, "scope"));
    else
        add_value(command, "pref", json_object_get(route, "pref"));
    add_value(command, "metric", json_object_get(route, "metric"));
    add_value(command, "src", json_object_get(route, "prefsrc"));
    add_metrics(command, json_object_get(route, "metrics"));
    if (expires) {
        add(command, "expires");
        add_made(command, "%lld", (long long)(json_integer_value(expires) - seconds));
    }
    add_hop(command, route);
    add_hops(command, json_object_get(route, "nexthops"));
    return true;
}

/* Without what passes; the caller's to decref. */
static json_t *lasting(const json_t *route)
{
    json_t *copy = json_deep_copy(route), *hop;
    size_t i, j;
    json_object_del(copy, "expires");
    json_t *flags = json_object_get(copy, "flags"), *hops = json_object_get(copy, "nexthops");
    for (i = json_array_size(flags); i-- > 0;)
        if (cw_route_flag_passes(json_string_value(json_array_get(flags, i))))
            json_array_remove(flags, i);
    json_array_foreach(hops, i, hop)
    {
        flags = json_object_get(hop, "flags");
        for (j = json_array_size(flags); j-- > 0;)
            if (cw_route_flag_passes(json_string_value(json_array_get(flags, j))))
                json_array_remove(flags, j);
    }
    return copy;
}

bool cw_route_is_same(const json_t *a, const json_t *b)
{
    json_t *lasting_a = lasting(a), *lasting_b = lasting(b);
    bool is_same = json_equal(lasting_a, lasting_b) == 1;
    json_decref(lasting_a);
    json_decref(lasting_b);
    return is_same;
}

static bool has_same(const json_t *a, const json_t *b, const char *key)
{
    const json_t *of_a = json_object_get(a, key), *of_b = json_object_get(b, key);
    return (!of_a && !of_b) || json_equal(of_a, of_b) == 1;
}

bool cw_route_has_place_of(const json_t *other, const json_t *route)
{
    static const char *const keys[] = {"type",   "dst",     "from", "tos", "table",
                                       "metric", "gateway", "via",  "dev"};
    size_t i;
    json_t *hop;
    const json_t *hops = json_object_get(route, "nexthops"), *others = json_object_get(other, "nexthops");
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!has_same(other, route, keys[i]))
            return false;
    json_array_foreach(hops, i, hop)
    {
        const json_t *its = json_array_get(others, i);
        if (!has_same(its, hop, "gateway") || !has_same(its, hop, "via") || !has_same(its, hop, "dev"))
            return false;
    }
    return json_array_size(hops) == json_array_size(others);
}

bool cw_route_is_made_anew(const json_t *other, const json_t *route)
{
    const char *protocol = cw_json_text(other, "protocol");
    bool is_of_router = strcmp(protocol, "ra") == 0;
    if (!cw_route_has_place_of(other, route) || (!is_of_router && strcmp(protocol, "kernel") != 0))
        return false;
    if (is_of_router && strcmp(cw_json_text(route, "protocol"), "ra") == 0)
        return true;
    json_t *copy = json_copy((json_t *)route);
    json_object_set(copy, "protocol", json_object_get(other, "protocol"));
    bool is_same = cw_route_is_same(other, copy);
    json_decref(copy);
    return is_same;
}

bool cw_route_is_of(const json_t *route, const char *interface)
{
    size_t i;
    json_t *hop;
    if (strcmp(cw_json_text(route, "dev"), interface) == 0)
        return true;
    json_array_foreach(json_object_get(route, "nexthops"), i, hop)
    {
        if (strcmp(cw_json_text(hop, "dev"), interface) == 0)
            return true;
    }
    return false;
}
