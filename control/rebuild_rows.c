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

uint32_t cw_rebuild_key_group(const char *key)
{
    static const char *const kinds[] = {"groups/", "authority/", "volumes/", "places/", "attachments/"};
    for (size_t i = 0; i < CW_COUNT_OF(kinds); i++) {
        if (strncmp(key, kinds[i], strlen(kinds[i])) == 0)
            return (uint32_t)strtoul(key + strlen(kinds[i]), NULL, 10);
    }
    return 0;
}
