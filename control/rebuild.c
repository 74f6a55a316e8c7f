/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/rebuild.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/rebuild_rows.h"
#include "control/rpc.h"
#include "control/store_rows.h"
#include "control/words.h"

#define NO_SITE UINT32_MAX

/* What one witness says of who holds a group. */
struct word {
    uint32_t site; /* whose; NO_SITE: what stands in the store */
    bool is_there;
    struct cw_authority authority;
    uint64_t moves;
    uint64_t rebuilt, revision; /* how new the copy is */
    const json_t *rows;
};

/* What one engine's superblock has seen last. */
struct seen {
    uint64_t epoch, reign;
    bool is_primary;
    const json_t *group;
};

struct about {
    const struct cw_rebuild_facts *facts;
    struct cw_store_group group;
    struct word words[CW_CONFIG_SITES_MAX + 1]; /* of each site, and the store's own */
    struct seen seen[CW_CONFIG_SITES_MAX];
    const struct word *newest; /* whose row of the group is taken */
    const struct word *full;   /* the newest that has the volumes as well; NULL: none does */
    uint64_t epoch, moves;
};

__attribute__((format(printf, 2, 3))) static void refuse(struct cw_rebuild_plan *plan, const char *format,
                                                         ...)
{
    va_list arguments;
    if (plan->refusal[0])
        return; /* the first one counts */
    va_start(arguments, format);
    vsnprintf(plan->refusal, sizeof plan->refusal, format, arguments);
    va_end(arguments);
}

static bool is_asked(const struct cw_rebuild_site *site)
{
    return site->is_heard && !site->is_left_out;
}

static uint32_t site_index(const struct cw_rebuild_facts *facts, const char *name)
{
    for (uint32_t i = 0; i < facts->site_count; i++) {
        if (strcmp(facts->sites[i].name, name) == 0)
            return i;
    }
    return NO_SITE;
}

/* ---------------------------------------------------------------- who must have answered */

static void check_sites(const struct cw_rebuild_facts *facts, struct cw_rebuild_plan *plan)
{
    for (uint32_t i = 0; i < facts->site_count; i++) {
        const struct cw_rebuild_site *site = &facts->sites[i];
        if (site->is_left_out || site->is_heard)
            continue;
        refuse(
            plan,
            "the controller of %s does not answer: it may know of a later epoch, of a member that was taken "
            "out of a set, or of a newer volume. Start it. Only if that site is gone for good, or its engine "
            "is off and stays off: --without %s",
            site->name, site->name);
    }
}

/* ---------------------------------------------------------------- what is known of one group */

static void take_word(struct about *about, uint32_t at, uint32_t site, const json_t *rows, uint64_t revision)
{
    struct word *word = &about->words[at];
    struct cw_store_group group;
    *word = (struct word){
        .site = site, .rows = rows, .rebuilt = cw_rebuild_number(rows, "meta/rebuilt"), .revision = revision};
    word->is_there = cw_rebuild_group_row(rows, about->group.id, &group) &&
                     cw_rebuild_authority_row(rows, about->group.id, &word->authority, &word->moves);
    if (!word->is_there)
        return;
    about->epoch = CW_MAX(about->epoch, word->authority.epoch);
    about->moves = CW_MAX(about->moves, word->moves);
}

/* An epoch that an engine asks for and does not have yet is none. */
static void take_engine(struct about *about, uint32_t at, const json_t *entry)
{
    struct seen *seen = &about->seen[at];
    const char *role = cw_json_text(entry, "role", "");
    size_t index;
    json_t *reign;
    seen->group = entry;
    seen->is_primary =
        strcmp(role, "primary") == 0 || strcmp(role, "draining") == 0 || strcmp(role, "drained") == 0;
    if (seen->is_primary || strcmp(role, "replica") == 0) {
        seen->epoch = cw_json_u64(entry, "epoch", 0);
        seen->reign = cw_json_hex(entry, "reign", 0);
    }
    json_array_foreach(json_object_get(entry, "history"), index, reign)
    {
        uint64_t epoch = cw_json_u64(reign, "epoch", 0);
        if (epoch > seen->epoch || (epoch == seen->epoch && seen->reign == 0)) {
            seen->epoch = epoch;
            seen->reign = cw_json_hex(reign, "reign", 0);
        }
    }
    about->epoch = CW_MAX(about->epoch, seen->epoch);
}

static const json_t *engine_entry(const struct cw_rebuild_site *site, const struct cw_store_group *group)
{
    size_t index;
    json_t *entry;
    json_array_foreach(site->engine, index, entry)
    {
        if (cw_json_u64(entry, "group", 0) == group->id &&
            strcmp(cw_json_text(entry, "name", ""), group->name) == 0)
            return entry;
    }
    return NULL;
}

/* Of a group that is at this site its engine must have read the superblock. */
static void look_at_engine(struct about *about, uint32_t at, struct cw_rebuild_plan *plan)
{
    const struct cw_rebuild_site *site = &about->facts->sites[at];
    const json_t *entry = engine_entry(site, &about->group);
    bool is_read = entry && strcmp(cw_json_text(entry, "role", ""), "attaching") != 0;
    if (site->is_left_out || !cw_group_has_site(&about->group, site->name))
        return;
    if (!site->is_engine_heard || !is_read)
        refuse(
            plan,
            "the engine of %s %s group %s: its superblock may know of a later epoch. %s Only if its data is "
            "gone for good: --without %s",
            site->name, site->is_engine_heard ? "has not opened its journal of" : "does not tell of",
            about->group.name,
            site->is_engine_heard ? "Ask again in a moment; its status tells the reason if it lasts."
                                  : "Start it.",
            site->name);
    else
        take_engine(about, at, entry);
}

static bool is_newer(const struct word *a, const struct word *b)
{
    if (a->authority.epoch != b->authority.epoch)
        return a->authority.epoch > b->authority.epoch;
    if (a->rebuilt != b->rebuilt)
        return a->rebuilt > b->rebuilt;
    if (a->moves != b->moves)
        return a->moves > b->moves;
    return a->revision > b->revision;
}

/* A site tells of a group that is not there only what it is and who holds it (store_copy.c), or nothing. */
static bool has_all(const struct about *about, const struct word *word)
{
    return word->site == NO_SITE || cw_group_has_site(&about->group, about->facts->sites[word->site].name);
}

static void choose_full(struct about *about)
{
    for (uint32_t i = 0; i <= about->facts->site_count; i++) {
        const struct word *word = &about->words[i];
        if (word->is_there && has_all(about, word) && (!about->full || is_newer(word, about->full)))
            about->full = word;
    }
}

static void look_at_rows(struct about *about)
{
    const struct cw_rebuild_facts *facts = about->facts;
    /* What stands there while a rebuild of an empty store has not ended is its own, and evidence of nothing.
     */
    const json_t *mark = json_object_get(facts->store, CW_REBUILD_MARK);
    bool is_own_work = cw_rebuild_is_interrupted(mark) && !cw_json_bool(mark, "replace", false);
    for (uint32_t i = 0; i < facts->site_count; i++) {
        if (is_asked(&facts->sites[i]))
            take_word(about, i, i, facts->sites[i].copy, facts->sites[i].revision);
    }
    if (!is_own_work)
        take_word(about, facts->site_count, NO_SITE, facts->store, 0);
    for (uint32_t i = 0; i <= facts->site_count; i++) {
        const struct word *word = &about->words[i];
        if (word->is_there && (!about->newest || is_newer(word, about->newest)))
            about->newest = word;
    }
    if (about->newest)
        (void)cw_rebuild_group_row(about->newest->rows, about->group.id, &about->group);
    choose_full(about);
}

/* Does it know more of the group than what is taken, by when it was written? */
static bool is_later(const struct word *word, const struct word *than)
{
    return word->rebuilt != than->rebuilt ? word->rebuilt > than->rebuilt : word->revision > than->revision;
}

/* A later copy of a site that has the group knows the number as given away, and no such group. */
static bool is_deleted(const struct about *about)
{
    char key[CW_ROW_KEY_SIZE];
    cw_key_group(key, "groups", about->group.id);
    for (uint32_t i = 0; i < about->facts->site_count; i++) {
        const struct word *word = &about->words[i];
        if (word->rows && !json_object_get(word->rows, key) && has_all(about, word) &&
            is_later(word, about->newest) &&
            cw_rebuild_number(word->rows, "meta/next_group") > about->group.id)
            return true;
    }
    return false;
}

/* Every superblock of the group must have been read. Of one that was deleted there is none. */
static void look_at_engines(struct about *about, struct cw_rebuild_plan *plan)
{
    const struct cw_rebuild_facts *facts = about->facts;
    for (uint32_t i = 0; i < about->group.site_count; i++) {
        if (site_index(facts, about->group.sites[i]) == NO_SITE)
            refuse(
                plan,
                "group %s is also at %s, which the configuration here does not name: ask a controller whose "
                "sites: names all sites of it",
                about->group.name, about->group.sites[i]);
    }
    for (uint32_t i = 0; i < facts->site_count; i++)
        look_at_engine(about, i, plan);
}

/* ---------------------------------------------------------------- who holds it */

/* Is the highest epoch of one reign and of one holder only? Else who differs, in words. */
static bool is_one_reign(const struct about *about, char *words, size_t size)
{
    const struct cw_authority *first = NULL;
    uint64_t reign = 0;
    for (uint32_t i = 0; i <= about->facts->site_count; i++) {
        const struct cw_authority *row = &about->words[i].authority;
        if (!about->words[i].is_there || row->epoch != about->epoch)
            continue;
        bool is_other = first && (row->reign != first->reign || strcmp(row->holder, first->holder) != 0);
        first = first ? first : row;
        reign = first->reign;
        if (!is_other)
            continue;
        snprintf(words, size, "epoch %" PRIu64 " is of two reigns: of %s, and of %s", about->epoch,
                 first->holder[0] ? first->holder : "nobody", row->holder[0] ? row->holder : "nobody");
        return false;
    }
    for (uint32_t i = 0; i < about->facts->site_count; i++) {
        const struct seen *seen = &about->seen[i];
        if (!seen->group || seen->epoch != about->epoch || seen->reign == 0)
            continue;
        if (reign != 0 && seen->reign != reign) {
            snprintf(words, size, "epoch %" PRIu64 " is of two reigns: the superblock of %s has another one",
                     about->epoch, about->facts->sites[i].name);
            return false;
        }
        reign = seen->reign;
    }
    return true;
}

/* The row as the controller of its own holder had it. */
static const struct word *own_word(const struct about *about)
{
    for (uint32_t i = 0; i < about->facts->site_count; i++) {
        const struct word *word = &about->words[i];
        if (word->is_there && word->authority.epoch == about->epoch &&
            strcmp(word->authority.holder, about->facts->sites[i].name) == 0)
            return word;
    }
    return NULL;
}

/* The one engine that is primary in the highest epoch; NO_SITE: none is, or more than one. */
static uint32_t running_primary(const struct about *about)
{
    uint32_t found = NO_SITE;
    for (uint32_t i = 0; i < about->facts->site_count; i++) {
        if (!about->seen[i].group || !about->seen[i].is_primary || about->seen[i].epoch != about->epoch)
            continue;
        if (found != NO_SITE)
            return NO_SITE;
        found = i;
    }
    return found;
}

static bool is_any_left_out(const struct about *about)
{
    for (uint32_t i = 0; i < about->group.site_count; i++) {
        uint32_t at = site_index(about->facts, about->group.sites[i]);
        if (at != NO_SITE && about->facts->sites[at].is_left_out)
            return true;
    }
    return false;
}

static void nobody_holds(const struct about *about, const char *why, struct cw_rebuild_group *out)
{
    out->kind = CW_REBUILD_NOBODY;
    out->authority = (struct cw_authority){.epoch = about->epoch + 1};
    snprintf(
        out->words, sizeof out->words,
        "who held it last is not known (%s). It opens nowhere by itself: find out which site has the newest "
        "data (causeway status, causeway losses), then causeway promote %s --site SITE --accept-loss",
        why, about->group.name);
}

static bool holds_alone(const struct about *about, uint32_t site, struct cw_rebuild_group *out)
{
    const json_t *identity = json_object_get(about->seen[site].group, "identity");
    struct cw_member member;
    if (!cw_member_from_json(identity, &member) || strcmp(member.site, about->facts->sites[site].name) != 0)
        return false;
    out->kind = CW_REBUILD_ALONE;
    out->authority = (struct cw_authority){
        .epoch = about->epoch + 1, .reign = about->facts->seed + about->group.id, .set.count = 1};
    out->authority.set.list[0] = member;
    snprintf(out->authority.holder, sizeof out->authority.holder, "%s", member.site);
    snprintf(
        out->words, sizeof out->words,
        "%s is primary, and no controller remembers the set of that reign: it opens anew, alone, and the "
        "others follow",
        member.site);
    return true;
}

static void decide(const struct about *about, struct cw_rebuild_group *out)
{
    char why[160] = "no controller remembers that reign, and no engine is primary in it";
    const struct word *own = own_word(about);
    out->id = about->group.id;
    snprintf(out->name, sizeof out->name, "%s", about->group.name);
    if (about->epoch == 0 && !is_any_left_out(about)) {
        out->kind = CW_REBUILD_NEVER;
        snprintf(out->words, sizeof out->words, "it was never open: %s opens it", about->group.first);
        return;
    }
    if (!is_one_reign(about, why, sizeof why)) {
        nobody_holds(about, why, out);
        return;
    }
    uint32_t primary = running_primary(about);
    if (own) {
        out->kind = CW_REBUILD_KEPT;
        out->authority = own->authority;
        snprintf(out->words, sizeof out->words, "%s holds it, as its own controller recorded",
                 own->authority.holder);
    } else if (primary == NO_SITE || !holds_alone(about, primary, out)) {
        nobody_holds(about, why, out);
    }
}

/* ---------------------------------------------------------------- rows */

/* As is_deleted, of a volume. */
static bool is_volume_deleted(const struct about *about, int32_t volume)
{
    for (uint32_t i = 0; i < about->facts->site_count; i++) {
        const struct word *word = &about->words[i];
        if (word->is_there && has_all(about, word) && is_later(word, about->full) &&
            cw_rebuild_is_volume_gone(word->rows, about->group.id, volume))
            return true;
    }
    return false;
}

/* A row of a volume, a place or an attachment. */
static bool is_part(const char *key, uint32_t group, int32_t *volume)
{
    return cw_rebuild_key_group(key) == group && cw_rebuild_key_volume(key, volume);
}

/* All of what is wanted of the group. */
static void put_wanted(const struct about *about, json_t *rows)
{
    char key[CW_ROW_KEY_SIZE];
    const char *name;
    json_t *value;
    int32_t volume;
    cw_key_group(key, "groups", about->group.id);
    json_object_set(rows, key, json_object_get(about->newest->rows, key));
    cw_key_name(key, "names", about->group.name);
    json_object_set_new(rows, key, json_integer(about->group.id));
    json_object_foreach((json_t *)(about->full ? about->full->rows : NULL), name, value)
    {
        if (is_part(name, about->group.id, &volume) && !is_volume_deleted(about, volume))
            json_object_set(rows, name, value);
    }
}

/* A volume that what is taken does not know as given away is left as it is. */
static void drop_parts(const struct about *about, struct cw_rebuild_plan *plan)
{
    struct cw_store_group known;
    const char *name;
    json_t *value;
    int32_t volume;
    if (!about->full || !cw_rebuild_group_row(about->full->rows, about->group.id, &known))
        return;
    json_object_foreach((json_t *)about->facts->store, name, value)
    {
        if (is_part(name, about->group.id, &volume) && volume < known.next_volume &&
            !json_object_get(plan->rows, name))
            json_object_set(plan->gone, name, value);
    }
}

static void drop_group(const struct about *about, struct cw_rebuild_plan *plan)
{
    char key[CW_ROW_KEY_SIZE];
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)about->facts->store, name, value)
    {
        if (cw_rebuild_key_group(name) == about->group.id)
            json_object_set(plan->gone, name, value);
    }
    cw_key_name(key, "names", about->group.name);
    if (cw_rebuild_number(about->facts->store, key) == about->group.id)
        json_object_set(plan->gone, key, json_object_get(about->facts->store, key));
}

/* Sites, and the numbers that only grow. */
static void put_common(const json_t *from, json_t *rows)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value)
    {
        if (strncmp(key, "sites/", 6) == 0 && !json_object_get(rows, key))
            json_object_set(rows, key, value);
        if (strncmp(key, "meta/", 5) == 0 && json_is_integer(value) &&
            (!json_object_get(rows, key) || cw_rebuild_number(from, key) > cw_rebuild_number(rows, key)))
            json_object_set(rows, key, value);
    }
}

/* ---------------------------------------------------------------- the plan */

static int by_number(const void *a, const void *b)
{
    const struct cw_rebuild_group *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static bool is_planned(const struct cw_rebuild_plan *plan, uint32_t id)
{
    for (uint32_t i = 0; i < plan->group_count; i++) {
        if (plan->groups[i].id == id)
            return true;
    }
    return false;
}

static void plan_group(const struct cw_rebuild_facts *facts, const struct cw_store_group *group,
                       struct cw_rebuild_plan *plan)
{
    static struct about about; /* large, and one thread plans */
    char key[CW_ROW_KEY_SIZE];
    if (is_planned(plan, group->id))
        return;
    about = (struct about){.facts = facts, .group = *group};
    look_at_rows(&about);
    if (!about.newest)
        return;
    if (is_deleted(&about)) {
        drop_group(&about, plan);
        return;
    }
    look_at_engines(&about, plan);
    if (plan->group_count == CW_STORE_GROUPS_MAX) {
        refuse(plan, "there are more groups than there can be");
        return;
    }
    struct cw_rebuild_group *out = &plan->groups[plan->group_count++];
    decide(&about, out);
    put_wanted(&about, plan->rows);
    drop_parts(&about, plan);
    json_object_set_new(plan->rows, cw_key_group(key, "authority", out->id),
                        cw_row_from_authority(&out->authority, about.moves + 1));
}

static void plan_rows(const struct cw_rebuild_facts *facts, const json_t *rows, struct cw_rebuild_plan *plan)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)rows, key, value)
    {
        struct cw_store_group group;
        if (strncmp(key, "groups/", 7) == 0 && cw_row_to_group(value, &group))
            plan_group(facts, &group, plan);
    }
    put_common(rows, plan->rows);
}

/* What stands there and nobody said may be replaced. */
static void check_store(const struct cw_rebuild_facts *facts, struct cw_rebuild_plan *plan)
{
    const char *key;
    json_t *value;
    if (facts->is_replace || cw_rebuild_is_interrupted(json_object_get(facts->store, CW_REBUILD_MARK)))
        return;
    json_object_foreach((json_t *)facts->store, key, value)
    {
        if (strncmp(key, "groups/", 7) == 0)
            refuse(
                plan,
                "the store is not empty: it has group %.40s. If it is whole, nothing is to be rebuilt. If an "
                "older copy of etcd's data was put in its place: --replace puts right what is older",
                cw_json_text(value, "name", ""));
    }
}

void cw_rebuild_plan(const struct cw_rebuild_facts *facts, struct cw_rebuild_plan *plan)
{
    const char *name;
    json_t *value;
    CW_ASSERT(facts->seed != 0);
    CW_ASSERT(facts->site_count <= CW_CONFIG_SITES_MAX);
    plan->rows = json_object();
    plan->gone = json_object();
    check_sites(facts, plan);
    check_store(facts, plan);
    for (uint32_t i = 0; i < facts->site_count; i++) {
        if (is_asked(&facts->sites[i]))
            plan_rows(facts, facts->sites[i].copy, plan);
    }
    plan_rows(facts, facts->store, plan);
    json_object_foreach(plan->rows, name, value)(void)
        json_object_del(plan->gone, name); /* the name of a deleted group may be another one's now */
    qsort(plan->groups, plan->group_count, sizeof plan->groups[0], by_number);
    json_object_set_new(plan->rows, "meta/rebuilt",
                        json_integer((json_int_t)cw_rebuild_number(plan->rows, "meta/rebuilt") + 1));
    if (plan->group_count == 0)
        refuse(plan, "no controller that answers remembers any group: there is nothing to rebuild from");
}

const char *cw_rebuild_kind_name(enum cw_rebuild_kind kind)
{
    static const char *const names[] = {"never open", "held", "held alone", "nobody"};
    return names[kind];
}
