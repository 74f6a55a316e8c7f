/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the store older than a copy of it? (rebuild.h) */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/rebuild.h"
#include "control/rebuild_rows.h"
#include "control/rpc.h"
#include "control/store_rows.h"

/* Why what stands there of the group of this copy is older; false: it is not. */
static bool is_group_behind(const json_t *copy, const json_t *store, const struct cw_store_group *group,
                            char *why, size_t why_size)
{
    struct cw_authority had, has;
    struct cw_store_group now;
    uint64_t had_moves = 0, has_moves = 0;
    if (!cw_rebuild_authority_row(copy, group->id, &had, &had_moves))
        return false;
    if (!cw_rebuild_group_row(store, group->id, &now) ||
        !cw_rebuild_authority_row(store, group->id, &has, &has_moves)) {
        snprintf(why, why_size, "it has no group %s", group->name);
        return cw_rebuild_number(store, "meta/next_group") <= group->id; /* else it was deleted */
    }
    if (has.epoch < had.epoch)
        snprintf(why, why_size, "group %s was in epoch %" PRIu64 " and is in %" PRIu64 " there", group->name,
                 had.epoch, has.epoch);
    else if (has.epoch == had.epoch && has.reign != had.reign)
        snprintf(why, why_size, "epoch %" PRIu64 " of group %s is another reign there", has.epoch,
                 group->name);
    else if (has_moves < had_moves)
        snprintf(why, why_size, "the set of group %s is an older one there", group->name);
    else if (now.next_volume < group->next_volume)
        snprintf(why, why_size, "volumes of group %s are missing there", group->name);
    else
        return false;
    return true;
}

/* What this copy knows as deleted is there. Where the store was rebuilt since, that was decided then. */
static bool has_deleted(const json_t *copy, const json_t *store, char *why, size_t why_size)
{
    const char *key;
    json_t *value;
    if (!copy || cw_rebuild_number(store, "meta/rebuilt") != cw_rebuild_number(copy, "meta/rebuilt"))
        return false;
    json_object_foreach((json_t *)store, key, value)
    {
        struct cw_store_group group;
        struct cw_store_volume volume, had;
        bool is_group = strncmp(key, "groups/", 7) == 0 && cw_row_to_group(value, &group);
        bool is_volume = strncmp(key, "volumes/", 8) == 0 && cw_row_to_volume(value, &volume);
        if (is_group && !json_object_get(copy, key) &&
            group.id < cw_rebuild_number(copy, "meta/next_group")) {
            snprintf(why, why_size, "group %s, which was deleted, is there", group.name);
            return true;
        }
        bool was_going = is_volume && !volume.is_deleting &&
                         cw_row_to_volume(json_object_get(copy, key), &had) && had.is_deleting;
        if (is_volume && (was_going || cw_rebuild_is_volume_gone(copy, volume.group, volume.volume))) {
            snprintf(why, why_size, "volume %s of group %u, which was deleted, is there", volume.name,
                     volume.group);
            return true;
        }
    }
    return false;
}

bool cw_rebuild_is_interrupted(const json_t *mark)
{
    return mark && !json_object_get(mark, "doubt");
}

static bool is_copy_ahead(const json_t *copy, const json_t *store, char *why, size_t why_size)
{
    const char *key;
    json_t *value;
    if (cw_rebuild_number(store, "meta/rebuilt") < cw_rebuild_number(copy, "meta/rebuilt")) {
        snprintf(why, why_size, "it is of before the last rebuild");
        return true;
    }
    json_object_foreach((json_t *)copy, key, value)
    {
        struct cw_store_group group;
        if (strncmp(key, "groups/", 7) == 0 && cw_row_to_group(value, &group) &&
            is_group_behind(copy, store, &group, why, why_size))
            return true;
    }
    return has_deleted(copy, store, why, why_size);
}

enum cw_rebuild_standing cw_rebuild_compare(const json_t *copy, const json_t *store, char *why,
                                            size_t why_size)
{
    const json_t *mark = json_object_get(store, CW_REBUILD_MARK);
    const char *flag = cw_rebuild_number(store, "meta/next_group") == 0 ? "" : " --replace";
    const char *site = cw_json_text(mark, "site", "another site");
    char what[200];
    if (cw_rebuild_is_interrupted(mark)) {
        snprintf(
            why, why_size,
            "a rebuild of the store was begun at %.40s and has not ended. Nothing is decided until it has: "
            "causeway store rebuild",
            site);
        return CW_REBUILD_MARKED;
    }
    if (!is_copy_ahead(copy, store, what, sizeof what)) {
        snprintf(why, why_size, "%.40s says: %.500s", site, cw_json_text(mark, "doubt", ""));
        return mark ? CW_REBUILD_MARKED : CW_REBUILD_WHOLE;
    }
    bool was_left_out = cw_rebuild_number(store, "meta/rebuilt") > cw_rebuild_number(copy, "meta/rebuilt");
    snprintf(why, why_size,
             "the store is %s than what this site has seen of it: %s. Nothing is decided with it here, and "
             "no lease is renewed, until it is put right: causeway store rebuild%s --dry-run%s",
             *flag ? "older" : "another one, or older,", what, flag,
             was_left_out
                 ? ". If this site was left out of the last rebuild on purpose: stop its controller, remove "
                   "its store-copy.json, start it; groups that differ are then copied anew"
                 : "");
    return was_left_out ? CW_REBUILD_OLDER : CW_REBUILD_LOST;
}
