/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/links.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const char *kind_of(const json_t *link)
{
    return text_of(json_object_get(link, "linkinfo"), "info_kind");
}

static const json_t *settings_of(const json_t *link)
{
    return json_object_get(json_object_get(link, "linkinfo"), "info_data");
}

bool cw_link_is_pair(const char *kind)
{
    return strcmp(kind, "veth") == 0 || strcmp(kind, "vxcan") == 0 || strcmp(kind, "netkit") == 0;
}

unsigned cw_link_lowers(const json_t *link, const char *names[CW_LINK_LOWERS])
{
    static const char *const keys[] = {"link", "dev", "slave1", "slave2"};
    static_assert(CW_COUNT_OF(keys) < CW_LINK_LOWERS, "these, and the one beside them");
    const char *lower = text_of(link, "link");
    unsigned count = 0;
    if (cw_link_is_pair(kind_of(link)))
        return 0;
    if (lower[0])
        names[count++] = lower;
    for (size_t i = 0; i < CW_COUNT_OF(keys) && !json_object_get(link, "link_netnsid"); i++) {
        const char *name = text_of(settings_of(link), keys[i]);
        if (name[0] && strcmp(name, lower) != 0)
            names[count++] = name;
    }
    return count;
}

int64_t cw_link_lower_elsewhere(const json_t *link, const json_t *all)
{
    size_t i;
    const json_t *other;
    unsigned index;
    if (!json_object_get(link, "link_netnsid") || cw_link_is_pair(kind_of(link)))
        return 0;
    if (strcmp(kind_of(link), "vxlan") != 0)
        return json_integer_value(json_object_get(link, "link_index"));
    const char *name = text_of(settings_of(link), "link");
    json_array_foreach(all, i, other)
    {
        if (name[0] && strcmp(text_of(other, "ifname"), name) == 0)
            return json_integer_value(json_object_get(other, "ifindex"));
    }
    return sscanf(name, "if%u", &index) == 1 ? index : 0; /* it has none with this number */
}
