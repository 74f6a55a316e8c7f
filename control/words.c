/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/words.h"

#include <stdio.h>
#include <string.h>

#include "control/rpc.h"

static bool copy_word(const json_t *json, const char *key, char *to, size_t size)
{
    const char *text = cw_json_text(json, key, "");
    if (strlen(text) >= size)
        return false;
    snprintf(to, size, "%s", text);
    return true;
}

bool cw_member_from_json(const json_t *json, struct cw_member *member)
{
    *member = (struct cw_member){.in_memory = json_is_true(json_object_get(json, "in_memory"))};
    return json_is_object(json) && copy_word(json, "site", member->site, sizeof member->site) &&
           member->site[0] && copy_word(json, "boot_id", member->boot_id, sizeof member->boot_id) &&
           copy_word(json, "journal_id", member->journal_id, sizeof member->journal_id) &&
           copy_word(json, "process_start", member->process_start, sizeof member->process_start);
}

json_t *cw_member_to_json(const struct cw_member *member)
{
    json_t *json = json_pack("{s:s,s:s,s:s,s:s}", "site", member->site, "boot_id", member->boot_id,
                             "journal_id", member->journal_id, "process_start", member->process_start);
    if (member->in_memory)
        json_object_set_new(json, "in_memory", json_true());
    return json;
}

bool cw_set_from_json(const json_t *json, struct cw_set *set)
{
    size_t index;
    json_t *entry;
    *set = (struct cw_set){0};
    if (!json_is_array(json) || json_array_size(json) > CW_SET_MAX)
        return false;
    json_array_foreach(json, index, entry)
    {
        struct cw_member member;
        if (!cw_member_from_json(entry, &member) || cw_set_find(set, member.site) ||
            !cw_set_put(set, &member))
            return false;
    }
    return true;
}

json_t *cw_set_to_json(const struct cw_set *set)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < set->count; i++)
        json_array_append_new(array, cw_member_to_json(&set->list[i]));
    return array;
}

bool cw_set_from_names(const json_t *json, struct cw_set *set)
{
    size_t index;
    json_t *entry;
    *set = (struct cw_set){0};
    if (!json_is_array(json) || json_array_size(json) > CW_SET_MAX)
        return false;
    json_array_foreach(json, index, entry)
    {
        struct cw_member member = {0};
        const char *name = json_string_value(entry);
        if (!name || !*name || strlen(name) >= sizeof member.site)
            return false;
        snprintf(member.site, sizeof member.site, "%s", name);
        cw_set_put(set, &member);
    }
    return true;
}

char *cw_set_to_text(const struct cw_set *set)
{
    json_t *json = cw_set_to_json(set);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    return text;
}

bool cw_set_from_text(const char *text, struct cw_set *set)
{
    json_t *json = json_loads(text, 0, NULL);
    bool ok = json && cw_set_from_json(json, set);
    json_decref(json);
    return ok;
}
