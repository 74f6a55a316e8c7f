/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is not known here is taken to be lost: a later ip may say more of a route, and a route that comes back without it is
 * another one.
 */
#include "nic-config/route.h"

#include <stdio.h>
#include <string.h>

static bool is_in(const char *const list[], const char *word)
{
    for (; *list; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

bool cw_route_flag_passes(const char *flag)
{
    static const char *const passing[] = {"linkdown",   "dead",    "offload",        "trap",
                                          "rt_offload", "rt_trap", "offload_failed", "rt_offload_failed",
                                          NULL};
    return is_in(passing, flag);
}

/* Words of ip's, but maybe of a recorded machine: nothing of it is said but what a name is made of. */
static bool say(char what[static CW_FACT_LOST], const char *kind, const char *name)
{
    bool is_name = name[0] && strlen(name) <= 24 &&
                   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name);
    snprintf(what, CW_FACT_LOST, "%s%s%s%s", kind, is_name ? " \"" : "", is_name ? name : "",
             is_name ? "\"" : "");
    return true;
}

/* The names that ip has for metrics, when it tells. */
static bool has_lost_metric(json_t *metrics, char what[static CW_FACT_LOST])
{
    static const char *const kept[] = {"mtu",      "window",     "rtt",        "rttvar",
                                       "ssthresh", "cwnd",       "advmss",     "hoplimit",
                                       "initcwnd", "reordering", "rto_min",    "initrwnd",
                                       "quickack", "ecn",        "congestion", "fastopen_no_cookie",
                                       NULL};
    const char *name;
    json_t *value;
    json_object_foreach(json_array_get(metrics, 0), name, value)
    {
        if (!is_in(kept, name))
            return say(what, "a metric that is not known here", name);
    }
    return json_array_size(metrics) > 1 && say(what, "several sets of metrics", "");
}

static bool has_lost_flag(const json_t *flags, char what[static CW_FACT_LOST])
{
    size_t i;
    json_t *item;
    json_array_foreach(flags, i, item)
    {
        const char *flag = json_is_string(item) ? json_string_value(item) : "";
        if (strcmp(flag, "onlink") != 0 && !cw_route_flag_passes(flag))
            return say(what, "a flag that is not known here", flag);
    }
    return false;
}

/* Of a route, or of a next hop of one. */
static bool is_way_lost(json_t *way, char what[static CW_FACT_LOST])
{
    static const char *const kept[] = {"type",    "dst",      "from",     "tos",     "gateway",
                                       "via",     "dev",      "table",    "scope",   "prefsrc",
                                       "metric",  "protocol", "flags",    "metrics", "flow",
                                       "expires", "pref",     "nexthops", "weight",  NULL};
    const char *name;
    json_t *value;
    if (json_object_get(way, "encap")) /* and what it consists of, each under a name of its own */
        return say(what, "an encapsulation", "");
    if (json_object_get(way, "nhid"))
        return say(what, "a nexthop object (ip nexthop)", "");
    json_object_foreach(way, name, value)
    {
        if (!is_in(kept, name))
            return say(what, "an attribute that is not known here", name);
    }
    return has_lost_flag(json_object_get(way, "flags"), what) ||
           has_lost_metric(json_object_get(way, "metrics"), what);
}

bool cw_route_is_lost(const json_t *route, char what[static CW_FACT_LOST])
{
    size_t i;
    json_t *hop;
    if (is_way_lost((json_t *)route, what))
        return true;
    json_array_foreach(json_object_get(route, "nexthops"), i, hop)
    {
        if (is_way_lost(hop, what))
            return true;
    }
    return false;
}
