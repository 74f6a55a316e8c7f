/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file of what tokens hold at this site: the groups, with the row that the store has not; where one is on
 * its way into the store, what the store had before; and the marks of tokens that were used. A group is held
 * when the file says so. One that is damaged is not passed by: without it those groups would be fenced.
 */
#include "control/store_outside_private.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/durable_file.h"
#include "control/store_rows.h"

#define FORMAT 1

struct cw_outside_entry *cw_outside_find(struct cw_outside_store *store, uint32_t group)
{
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++)
        if (store->entries[i].state != CW_OUTSIDE_FREE && store->entries[i].group == group)
            return &store->entries[i];
    return NULL;
}

struct cw_outside_entry *cw_outside_find_or_make(struct cw_outside_store *store, uint32_t group)
{
    struct cw_outside_entry *entry = cw_outside_find(store, group);
    for (uint32_t i = 0; !entry && i < CW_NODE_GROUPS_MAX; i++)
        if (store->entries[i].state == CW_OUTSIDE_FREE)
            entry = &store->entries[i];
    return entry;
}

static json_t *to_json(const struct cw_outside_store *store)
{
    json_t *held = json_array(), *used = json_array();
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++) {
        const struct cw_outside_entry *entry = &store->entries[i];
        if (entry->state != CW_OUTSIDE_HELD)
            continue;
        json_t *value = json_pack("{s:I,s:o}", "group", (json_int_t)entry->group, "authority",
                                  cw_row_from_authority(&entry->row, 0));
        if (entry->is_handing)
            json_object_set_new(value, "handing_over", cw_row_from_authority(&entry->before, 0));
        json_array_append_new(held, value);
    }
    for (uint32_t i = 0; i < store->used_count; i++) {
        char text[2 * sizeof store->used[i].digest + 1];
        for (size_t at = 0; at < sizeof store->used[i].digest; at++)
            snprintf(text + 2 * at, 3, "%02x", store->used[i].digest[at]);
        json_array_append_new(used, json_string(text));
    }
    return json_pack("{s:i,s:s,s:o,s:o}", "format", FORMAT, "site", store->options.site, "held", held, "used",
                     used);
}

bool cw_outside_save(struct cw_outside_store *store)
{
    json_t *json = to_json(store);
    int error = json ? cw_durable_write(store->options.file, json, JSON_INDENT(1)) : ENOMEM;
    json_decref(json);
    if (error && error != store->file_error)
        fprintf(stderr, "%s: %s\n", store->options.file, strerror(error));
    store->file_error = error;
    return error == 0;
}

static bool take_mark(const json_t *value, struct cw_token_mark *mark)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) != 2 * sizeof mark->digest || strspn(text, "0123456789abcdef") != strlen(text))
        return false;
    for (size_t i = 0; i < sizeof mark->digest; i++) {
        const char byte[3] = {text[2 * i], text[2 * i + 1], 0};
        mark->digest[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return true;
}

static bool take_held(struct cw_outside_store *store, const json_t *value)
{
    uint64_t moves;
    json_int_t group = json_integer_value(json_object_get(value, "group"));
    struct cw_outside_entry *entry =
        group > 0 && group <= UINT32_MAX ? cw_outside_find_or_make(store, (uint32_t)group) : NULL;
    if (!entry || entry->state != CW_OUTSIDE_FREE)
        return false;
    const json_t *before = json_object_get(value, "handing_over");
    *entry = (struct cw_outside_entry){
        .state = CW_OUTSIDE_HELD, .group = (uint32_t)group, .is_handing = before != NULL};
    return cw_row_to_authority(json_object_get(value, "authority"), &entry->row, &moves) &&
           (!before || cw_row_to_authority(before, &entry->before, &moves)) && entry->row.epoch > 0 &&
           strcmp(entry->row.holder, store->options.site) == 0;
}

static bool from_json(struct cw_outside_store *store, const json_t *json)
{
    size_t index;
    const json_t *value, *held = json_object_get(json, "held"), *used = json_object_get(json, "used");
    const char *site = json_string_value(json_object_get(json, "site"));
    if (json_integer_value(json_object_get(json, "format")) != FORMAT || !json_is_array(held) ||
        !json_is_array(used) || !site || strcmp(site, store->options.site) != 0)
        return false;
    json_array_foreach(held, index, value)
    {
        if (!take_held(store, value))
            return false;
    }
    json_array_foreach(used, index, value)
    {
        if (store->used_count == CW_OUTSIDE_USED_MAX || !take_mark(value, &store->used[store->used_count++]))
            return false;
    }
    return true;
}

bool cw_outside_load_file(struct cw_outside_store *store, char *why, size_t why_size)
{
    json_error_t error;
    if (access(store->options.file, F_OK) != 0 && errno == ENOENT)
        return true;
    json_t *json = json_load_file(store->options.file, 0, &error);
    bool ok = json && from_json(store, json);
    json_decref(json);
    if (!ok)
        snprintf(
            why, why_size,
            "%s: %s. It has what this site holds by operators' tokens, outside of the store: without it "
            "those groups would be fenced here. Bring it back from a copy; or, knowing that, move it away",
            store->options.file, json ? "not what a controller of this site writes" : error.text);
    return ok;
}
