/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/rebuild_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "control/store_rows.h"

uint64_t cw_rebuild_number(const json_t *rows, const char *key)
{
    const json_t *value = json_object_get(rows, key);
    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

bool cw_rebuild_group_row(const json_t *rows, uint32_t id, struct cw_store_group *group)
{
    char key[CW_ROW_KEY_SIZE];
    const json_t *row = json_object_get(rows, cw_key_group(key, "groups", id));
    return row && cw_row_to_group(row, group) && group->id == id;
}

bool cw_rebuild_authority_row(const json_t *rows, uint32_t id, struct cw_authority *authority,
                              uint64_t *moves)
{
    char key[CW_ROW_KEY_SIZE];
    const json_t *row = json_object_get(rows, cw_key_group(key, "authority", id));
    return row && cw_row_to_authority(row, authority, moves);
}

/* Behind the word for what it is; NULL: a row of no group. */
static const char *number_in(const char *key)
{
    static const char *const kinds[] = {"groups/", "authority/", "volumes/", "places/", "attachments/"};
    for (size_t i = 0; i < CW_COUNT_OF(kinds); i++) {
        if (strncmp(key, kinds[i], strlen(kinds[i])) == 0)
            return key + strlen(kinds[i]);
    }
    return NULL;
}

uint32_t cw_rebuild_key_group(const char *key)
{
    const char *number = number_in(key);
    return number ? (uint32_t)strtoul(number, NULL, 10) : 0;
}

bool cw_rebuild_key_volume(const char *key, int32_t *volume)
{
    const char *number = number_in(key), *slash = number ? strchr(number, '/') : NULL;
    char *end = NULL;
    long value = slash ? strtol(slash + 1, &end, 10) : 0;
    *volume = (int32_t)value;
    return slash && end != slash + 1 && value >= CW_STORE_JOURNAL && value < (long)CW_VOLUMES_PER_GROUP_MAX;
}

bool cw_rebuild_is_volume_gone(const json_t *rows, uint32_t group, int32_t volume)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group found;
    return volume >= 0 && !json_object_get(rows, cw_key_volume(key, group, volume)) &&
           cw_rebuild_group_row(rows, group, &found) && volume < found.next_volume;
}
