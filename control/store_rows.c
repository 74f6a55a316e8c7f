/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/store_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rpc.h"
#include "control/words.h"

/* ---------------------------------------------------------------- keys */

const char *cw_key_group(char *key, const char *kind, uint32_t group)
{
    snprintf(key, CW_ROW_KEY_SIZE, "%s/%010u", kind, group);
    return key;
}

const char *cw_key_name(char *key, const char *kind, const char *name)
{
    snprintf(key, CW_ROW_KEY_SIZE, "%s/%s", kind, name);
    return key;
}

const char *cw_key_all(char *key, const char *kind, uint32_t group)
{
    snprintf(key, CW_ROW_KEY_SIZE, "%s/%010u/", kind, group);
    return key;
}

/* The journal's "-001" is before all numbers. */
const char *cw_key_of_volume(char *key, const char *kind, uint32_t group, int32_t volume)
{
    snprintf(key, CW_ROW_KEY_SIZE, "%s/%010u/%04d/", kind, group, volume);
    return key;
}

const char *cw_key_volume(char *key, uint32_t group, int32_t volume)
{
    snprintf(key, CW_ROW_KEY_SIZE, "volumes/%010u/%04d", group, volume);
    return key;
}

const char *cw_key_place(char *key, uint32_t group, int32_t volume, const char *site)
{
    snprintf(key, CW_ROW_KEY_SIZE, "places/%010u/%04d/%s", group, volume, site);
    return key;
}

const char *cw_key_attachment(char *key, uint32_t group, int32_t volume, const char *kind)
{
    snprintf(key, CW_ROW_KEY_SIZE, "attachments/%010u/%04d/%s", group, volume, kind);
    return key;
}

/* ---------------------------------------------------------------- reading one field */

struct reading {
    const json_t *row;
    bool ok;
};

static bool is_name(const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == '/')
            return false;
    }
    return *text != 0;
}

static void take_text(struct reading *from, const char *name, char *to, size_t size)
{
    const json_t *value = json_object_get(from->row, name);
    if (!json_is_string(value) || json_string_length(value) >= size ||
        strlen(json_string_value(value)) != json_string_length(value)) {
        from->ok = false;
        *to = 0;
        return;
    }
    memcpy(to, json_string_value(value), json_string_length(value) + 1);
}

/* Of what is shown to people, and is part of keys. */
static void take_name(struct reading *from, const char *name, char *to)
{
    take_text(from, name, to, CW_NAME_SIZE);
    from->ok = from->ok && is_name(to);
}

static uint64_t take_number(struct reading *from, const char *name, uint64_t max)
{
    const json_t *value = json_object_get(from->row, name);
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) <= max)
        return (uint64_t)json_integer_value(value);
    from->ok = false;
    return 0;
}

/* What rows of an earlier version do not have. */
static uint64_t take_number_or(struct reading *from, const char *name, uint64_t max, uint64_t otherwise)
{
    return json_object_get(from->row, name) ? take_number(from, name, max) : otherwise;
}

static int32_t take_volume_number(struct reading *from)
{
    const json_t *value = json_object_get(from->row, "volume");
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= CW_STORE_JOURNAL && number < (json_int_t)CW_VOLUMES_PER_GROUP_MAX)
        return (int32_t)number;
    from->ok = false;
    return 0;
}

static uint64_t take_hex(struct reading *from, const char *name)
{
    uint64_t a = cw_json_hex(from->row, name, 0), b = cw_json_hex(from->row, name, 1);
    from->ok = from->ok && a == b;
    return a;
}

static bool take_bool(struct reading *from, const char *name)
{
    const json_t *value = json_object_get(from->row, name);
    from->ok = from->ok && json_is_boolean(value);
    return json_is_true(value);
}

/* What rows of an earlier version do not have. */
static bool take_bool_or_false(struct reading *from, const char *name)
{
    return json_object_get(from->row, name) && take_bool(from, name);
}

static struct reading begin(const json_t *row)
{
    return (struct reading){.row = row, .ok = json_is_object(row)};
}

/* ---------------------------------------------------------------- rows */

json_t *cw_row_from_site(const struct cw_store_site *site)
{
    return json_pack("{s:s,s:I,s:s,s:s,s:s}", "name", site->name, "id", (json_int_t)site->id,
                     "control_socket", site->control_socket, "storage", site->storage, "directory",
                     site->directory);
}

bool cw_row_to_site(const json_t *row, struct cw_store_site *site)
{
    struct reading from = begin(row);
    *site = (struct cw_store_site){.id = (uint32_t)take_number(&from, "id", CW_SET_MAX - 1)};
    take_name(&from, "name", site->name);
    take_text(&from, "control_socket", site->control_socket, sizeof site->control_socket);
    take_text(&from, "storage", site->storage, sizeof site->storage);
    take_text(&from, "directory", site->directory, sizeof site->directory);
    return from.ok;
}

json_t *cw_row_from_group(const struct cw_store_group *group)
{
    json_t *sites = json_array();
    for (uint32_t i = 0; i < group->site_count; i++)
        json_array_append_new(sites, json_string(group->sites[i]));
    return json_pack(
        "{s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:I,s:i,s:b,s:I,s:b,s:I,s:s}", "id", (json_int_t)group->id, "name",
        group->name, "mode", cw_mode_word_name(group->mode), "min_in_sync", (json_int_t)group->min_in_sync,
        "replica_timeout_ms", (json_int_t)group->replica_timeout_ms, "max_loss_ms",
        (json_int_t)group->max_loss_ms, "copy_brake_ms", (json_int_t)group->copy_brake_ms, "sites", sites,
        "journal_bytes", (json_int_t)group->journal_bytes, "next_volume", (int)group->next_volume, "deleting",
        (int)group->is_deleting, "max_loss_bytes", (json_int_t)group->max_loss_bytes, "automatic",
        (int)group->is_automatic, "after_ms", (json_int_t)group->after_ms, "home", group->home);
}

static void take_sites(struct reading *from, struct cw_store_group *group)
{
    size_t index;
    const json_t *names = json_object_get(from->row, "sites"), *entry;
    if (!json_is_array(names) || json_array_size(names) > CW_SET_MAX || json_array_size(names) == 0) {
        from->ok = false;
        return;
    }
    json_array_foreach(names, index, entry)
    {
        if (!json_is_string(entry) || json_string_length(entry) >= CW_NAME_SIZE ||
            !is_name(json_string_value(entry)))
            from->ok = false;
        else
            snprintf(group->sites[group->site_count++], CW_NAME_SIZE, "%s", json_string_value(entry));
    }
}

/* A row of an earlier version has none: there the first primary is at home. */
static void take_home(struct reading *from, struct cw_store_group *group)
{
    if (json_object_get(from->row, "home"))
        take_text(from, "home", group->home, sizeof group->home);
    if (!group->home[0])
        memcpy(group->home, group->first, sizeof group->home);
    from->ok = from->ok && cw_group_has_site(group, group->home);
}

bool cw_row_to_group(const json_t *row, struct cw_store_group *group)
{
    struct reading from = begin(row);
    char mode[16];
    *group = (struct cw_store_group){
        .id = (uint32_t)take_number(&from, "id", UINT32_MAX),
        .min_in_sync = (uint32_t)take_number(&from, "min_in_sync", CW_SET_MAX),
        .replica_timeout_ms = take_number(&from, "replica_timeout_ms", INT64_MAX),
        .max_loss_ms = take_number(&from, "max_loss_ms", INT64_MAX),
        .copy_brake_ms = take_number(&from, "copy_brake_ms", INT64_MAX),
        .journal_bytes = take_number(&from, "journal_bytes", INT64_MAX),
        .next_volume = (int32_t)take_number(&from, "next_volume", CW_VOLUMES_PER_GROUP_MAX),
        .is_deleting = take_bool(&from, "deleting"),
        .max_loss_bytes = take_number_or(&from, "max_loss_bytes", INT64_MAX, 0),
        .is_automatic = take_bool_or_false(&from, "automatic"),
        .after_ms = take_number_or(&from, "after_ms", INT64_MAX, CW_STORE_AFTER_MS)};
    take_name(&from, "name", group->name);
    take_text(&from, "mode", mode, sizeof mode);
    take_sites(&from, group);
    memcpy(group->first, group->sites[0], sizeof group->first);
    take_home(&from, group);
    return from.ok && cw_mode_word_parse(mode, &group->mode);
}

json_t *cw_row_from_volume(const struct cw_store_volume *volume)
{
    return json_pack("{s:I,s:i,s:s,s:I,s:I,s:b,s:b}", "group", (json_int_t)volume->group, "volume",
                     (int)volume->volume, "name", volume->name, "size", (json_int_t)volume->size,
                     "block_size", (json_int_t)volume->block_size, "thin", (int)volume->is_thin, "deleting",
                     (int)volume->is_deleting);
}

bool cw_row_to_volume(const json_t *row, struct cw_store_volume *volume)
{
    struct reading from = begin(row);
    *volume = (struct cw_store_volume){.group = (uint32_t)take_number(&from, "group", UINT32_MAX),
                                       .volume = take_volume_number(&from),
                                       .size = take_number(&from, "size", INT64_MAX),
                                       .block_size = (uint32_t)take_number(&from, "block_size", UINT32_MAX),
                                       .is_thin = take_bool(&from, "thin"),
                                       .is_deleting = take_bool(&from, "deleting")};
    take_name(&from, "name", volume->name);
    return from.ok && volume->volume >= 0;
}

json_t *cw_row_from_place(const struct cw_store_place *place)
{
    return json_pack("{s:I,s:i,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:b,s:o,s:s}", "group", (json_int_t)place->group,
                     "volume", (int)place->volume, "site", place->site, "path", place->path, "socket",
                     place->socket, "ours", (int)place->is_ours, "made", (int)place->is_made, "unseen",
                     (int)place->is_unseen, "may_take", (int)place->may_take, "refused",
                     (int)place->is_refused, "base", cw_json_from_hex(place->base), "error", place->error);
}

bool cw_row_to_place(const json_t *row, struct cw_store_place *place)
{
    struct reading from = begin(row);
    *place = (struct cw_store_place){.group = (uint32_t)take_number(&from, "group", UINT32_MAX),
                                     .volume = take_volume_number(&from),
                                     .is_ours = take_bool(&from, "ours"),
                                     .is_made = take_bool(&from, "made"),
                                     .is_unseen = take_bool_or_false(&from, "unseen"),
                                     .may_take = take_bool_or_false(&from, "may_take"),
                                     .is_refused = take_bool_or_false(&from, "refused"),
                                     .base = take_hex(&from, "base")};
    take_text(&from, "site", place->site, sizeof place->site);
    take_text(&from, "path", place->path, sizeof place->path);
    take_text(&from, "socket", place->socket, sizeof place->socket);
    take_text(&from, "error", place->error, sizeof place->error);
    return from.ok;
}

json_t *cw_row_from_attachment(const struct cw_store_attachment *attachment)
{
    return json_pack("{s:I,s:i,s:s,s:s,s:s}", "group", (json_int_t)attachment->group, "volume",
                     (int)attachment->volume, "kind", attachment->kind, "address", attachment->address,
                     "certificates", attachment->certificates);
}

bool cw_row_to_attachment(const json_t *row, struct cw_store_attachment *attachment)
{
    struct reading from = begin(row);
    *attachment = (struct cw_store_attachment){.group = (uint32_t)take_number(&from, "group", UINT32_MAX),
                                               .volume = take_volume_number(&from)};
    take_text(&from, "kind", attachment->kind, sizeof attachment->kind);
    take_text(&from, "address", attachment->address, sizeof attachment->address);
    take_text(&from, "certificates", attachment->certificates, sizeof attachment->certificates);
    return from.ok;
}

json_t *cw_row_from_request(const struct cw_store_request *request)
{
    return json_pack("{s:s,s:b,s:I,s:I}", "taker", request->taker, "drain", (int)request->is_drain, "epoch",
                     (json_int_t)request->epoch, "heartbeat", (json_int_t)request->heartbeat);
}

bool cw_row_to_request(const json_t *row, struct cw_store_request *request)
{
    struct reading from = begin(row);
    *request = (struct cw_store_request){.is_drain = take_bool(&from, "drain"),
                                         .epoch = take_number(&from, "epoch", INT64_MAX),
                                         .heartbeat = take_number(&from, "heartbeat", INT64_MAX)};
    take_text(&from, "taker", request->taker, sizeof request->taker);
    return from.ok;
}

json_t *cw_row_from_authority(const struct cw_authority *authority, uint64_t moves)
{
    json_t *row = json_pack("{s:I,s:o,s:s,s:I,s:o,s:I,s:I}", "epoch", (json_int_t)authority->epoch, "reign",
                            cw_json_from_hex(authority->reign), "holder", authority->holder, "first_sequence",
                            (json_int_t)authority->first_sequence, "members", cw_set_to_json(&authority->set),
                            "fenced_epoch", (json_int_t)authority->fenced_epoch, "moves", (json_int_t)moves);
    if (authority->handover.site[0])
        json_object_set_new(row, "handover", cw_member_to_json(&authority->handover));
    if (authority->automatic_epoch)
        json_object_set_new(row, "automatic_epoch", json_integer((json_int_t)authority->automatic_epoch));
    return row;
}

bool cw_row_to_authority(const json_t *row, struct cw_authority *authority, uint64_t *moves)
{
    struct reading from = begin(row);
    const json_t *handover = json_object_get(row, "handover");
    *authority =
        (struct cw_authority){.epoch = take_number(&from, "epoch", INT64_MAX),
                              .reign = take_hex(&from, "reign"),
                              .first_sequence = take_number(&from, "first_sequence", INT64_MAX),
                              .fenced_epoch = take_number(&from, "fenced_epoch", INT64_MAX),
                              .automatic_epoch = take_number_or(&from, "automatic_epoch", INT64_MAX, 0)};
    *moves = take_number(&from, "moves", INT64_MAX);
    take_text(&from, "holder", authority->holder, sizeof authority->holder);
    return from.ok && cw_set_from_json(json_object_get(row, "members"), &authority->set) &&
           (!handover || cw_member_from_json(handover, &authority->handover));
}

/* ---------------------------------------------------------------- any row */

static bool is_site(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_site site;
    return cw_row_to_site(row, &site) && strcmp(key, cw_key_name(own, "sites", site.name)) == 0;
}

static bool is_group(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_group group;
    return cw_row_to_group(row, &group) && group.id != 0 &&
           strcmp(key, cw_key_group(own, "groups", group.id)) == 0;
}

static bool is_authority(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    uint64_t moves;
    struct cw_authority authority;
    return cw_row_to_authority(row, &authority, &moves) &&
           strcmp(key, cw_key_group(own, "authority", cw_row_group(key))) == 0;
}

static bool is_request(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_request request;
    return cw_row_to_request(row, &request) &&
           strcmp(key, cw_key_group(own, "requests", cw_row_group(key))) == 0;
}

static bool is_volume(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_volume volume;
    return cw_row_to_volume(row, &volume) &&
           strcmp(key, cw_key_volume(own, volume.group, volume.volume)) == 0;
}

static bool is_place(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_place place;
    return cw_row_to_place(row, &place) &&
           strcmp(key, cw_key_place(own, place.group, place.volume, place.site)) == 0;
}

static bool is_attachment(const char *key, const json_t *row)
{
    char own[CW_ROW_KEY_SIZE];
    struct cw_store_attachment attachment;
    return cw_row_to_attachment(row, &attachment) && attachment.volume >= 0 &&
           strcmp(key, cw_key_attachment(own, attachment.group, attachment.volume, attachment.kind)) == 0;
}

static bool is_count(const char *key, const json_t *row)
{
    return json_is_integer(row) && json_integer_value(row) >= 0;
}

static const struct {
    const char *prefix;
    bool (*is_readable)(const char *key, const json_t *row);
    bool is_of_group;
} kinds[] = {
    {"groups/", is_group, true},   {"authority/", is_authority, true}, {"requests/", is_request, true},
    {"volumes/", is_volume, true}, {"places/", is_place, true},        {"attachments/", is_attachment, true},
    {"sites/", is_site, false},    {"lease/", is_count, false},        {"held/", is_count, false},
    {"names/", is_count, false},   {"meta/", is_count, false}};

bool cw_row_is_readable(const char *key, const json_t *row)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(key, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].is_readable(key, row);
    }
    return true;
}

/* Ten digits, as all keys of groups have them (cw_key_group), and nothing or a slash behind: what looks otherwise is no
 * row of ours, and of no group. */
static uint32_t group_of_digits(const char *digits)
{
    const size_t length = strspn(digits, "0123456789");
    if (length != 10 || (digits[length] != '\0' && digits[length] != '/'))
        return 0;
    unsigned long long group = strtoull(digits, NULL, 10);
    return group <= UINT32_MAX ? (uint32_t)group : 0;
}

uint32_t cw_row_group(const char *key)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].is_of_group && strncmp(key, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return group_of_digits(key + strlen(kinds[i].prefix));
    }
    return 0;
}

static bool has_prefix(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

void cw_row_words(const char *prefix, const char *key, char *words, size_t size)
{
    const char *head =
        "cannot be read: it is missing, too long, or not what a version of this program writes";
    if (has_prefix(key, "attachments/"))
        snprintf(words, size,
                 "the row %s/%s in etcd %s. Attachments of that group stay as they are. Remove it "
                 "(etcdctl del %s/%s), then attach anew",
                 prefix, key, head, prefix, key);
    else if (has_prefix(key, "requests/"))
        snprintf(words, size,
                 "the row %s/%s in etcd %s. Nobody can ask for that group. Remove it: etcdctl del "
                 "%s/%s",
                 prefix, key, head, prefix, key);
    else if (has_prefix(key, "lease/") || has_prefix(key, "held/"))
        snprintf(words, size,
                 "the row %s/%s in etcd %s. That site's leases are not renewed. Put a number there "
                 "that it never had: etcdctl put %s/%s 1000000000000",
                 prefix, key, head, prefix, key);
    else
        snprintf(
            words, size,
            "the row %s/%s in etcd %s. Nothing that it is about is decided, and no lease that "
            "rests on it is renewed. Put it back as the site that holds the group last saw it: etcdctl put "
            "%s/%s, with rows.\"%s\" of that site's store-copy.json",
            prefix, key, head, prefix, key, key);
}
