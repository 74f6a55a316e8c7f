/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `losses`: takeovers of a group, what each may have cost, and the tails that came to light since, put
 * together from what every site says (failovers.c). `losses.list`: the records of one such tail, in pages, by
 * the site that has the file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/salvage_file.h"
#include "control/serve.h"

#define PAGE_RECORDS 1000u
#define PAGE_BYTES   (8u << 20) /* read from the file in one turn of the controller */

/* ---------------------------------------------------------------- putting together */

/* Of a takeover that the store knows: not of one that was prepared and did not come about. */
static bool is_real(const struct cw_controller *controller, const struct cw_store_group *group,
                    const json_t *failover)
{
    uint64_t epoch = cw_json_u64(failover, "epoch", 0), reign = cw_json_hex(failover, "reign", 0);
    const json_t *holder = cw_facts_group(controller, group->authority.holder, group->id);
    size_t index;
    json_t *entry;
    if (cw_json_u64(failover, "group", 0) != group->id || epoch > group->authority.epoch)
        return false;
    if (epoch == group->authority.epoch)
        return reign == group->authority.reign;
    json_array_foreach(json_object_get(holder, "history"), index, entry)
    {
        if (cw_json_u64(entry, "epoch", 0) == epoch)
            return cw_json_hex(entry, "reign", 0) == reign;
    }
    return true; /* it wrote nothing, or is too old */
}

/* Entries of one kind that sites tell of, each with the site that tells, by order of `key`. */
static json_t *gather(const struct cw_controller *controller, const struct cw_store_group *group,
                      const char *kind, const char *key)
{
    json_t *found = json_array(), *entry;
    size_t index;
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const char *site = controller->view->sites[i].name;
        const json_t *told = json_object_get(controller->seen[i].facts, "losses");
        if (strcmp(site, controller->config.site) == 0)
            told = controller->own_losses;
        json_array_foreach(json_object_get(told, kind), index, entry)
        {
            size_t at = 0;
            if (cw_json_u64(entry, "group", 0) != group->id ||
                (strcmp(kind, "failovers") == 0 && !is_real(controller, group, entry)))
                continue;
            while (at < json_array_size(found) &&
                   cw_json_number(json_array_get(found, at), key, 0) <= cw_json_number(entry, key, 0))
                at++;
            json_t *copy = json_copy(entry);
            json_object_set_new(copy, "at", json_string(site));
            json_array_insert_new(found, at, copy);
        }
    }
    return found;
}

/* A tail belongs to the first takeover after its last reign. */
static bool is_of(const json_t *salvage, const json_t *failover, const json_t *failovers)
{
    uint64_t last = 0, epoch = cw_json_u64(failover, "epoch", 0);
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(salvage, "reigns"), index, entry)
    {
        last = CW_MAX(last, cw_json_u64(entry, "epoch", 0));
    }
    if (epoch <= last)
        return false;
    json_array_foreach(failovers, index, entry)
    {
        uint64_t other = cw_json_u64(entry, "epoch", 0);
        if (other > last && other < epoch)
            return false;
    }
    return true;
}

/* Does this site's engine follow, or lead, a history that has the takeover's epoch? */
static bool has_epoch(const json_t *engine, uint64_t epoch)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(engine, "history"), index, entry)
    {
        if (cw_json_u64(entry, "epoch", 0) >= epoch)
            return true;
    }
    return false;
}

/*
 * lost: "none", nothing that was acknowledged. "listed": a file has it. "incomplete": a file has what could
 * be read. "nothing-more": the old primary is back, on the same journal, and that had nothing more.
 * "unknown": it is back, and its journal is another. "away": it is not back yet.
 */
static const char *state_of(const struct cw_controller *controller, const json_t *failover,
                            const json_t *kept)
{
    const char *from = cw_json_text(failover, "from", "");
    const json_t *engine = cw_facts_group(controller, from, (uint32_t)cw_json_u64(failover, "group", 0));
    const char *journal = cw_json_text(json_object_get(engine, "identity"), "journal_id", "");
    size_t index;
    json_t *entry;
    bool lacks = false;
    json_array_foreach(kept, index, entry)
    {
        lacks = lacks || cw_json_bool(entry, "lacks_some", false) ||
                cw_json_bool(entry, "is_cut_short", false) ||
                cw_json_u64(entry, "first", 0) > cw_json_u64(entry, "above", 0) + 1;
    }
    if (json_array_size(kept) > 0)
        return lacks ? "incomplete" : "listed";
    if (strcmp(cw_json_text(failover, "kind", ""), "none") == 0)
        return "none";
    if (!has_epoch(engine, cw_json_u64(failover, "epoch", 0)))
        return "away";
    return journal[0] && strcmp(journal, cw_json_text(failover, "from_journal", "")) == 0 ? "nothing-more"
                                                                                          : "unknown";
}

json_t *cw_serve_losses(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL, *failover, *tail;
    size_t i, k;
    const struct cw_store_group *group = cw_asked_group(controller, message, &reply);
    if (!group)
        return reply;
    json_decref(controller->own_losses);
    controller->own_losses = cw_failovers_facts(controller);
    json_t *failovers = gather(controller, group, "failovers", "epoch");
    json_t *salvage = gather(controller, group, "salvage", "time"), *others = json_array();
    json_array_foreach(failovers, i, failover)
    {
        json_t *kept = json_array();
        json_array_foreach(salvage, k, tail)
        {
            if (is_of(tail, failover, failovers))
                json_array_append(kept, tail);
        }
        json_object_set_new(failover, "lost", json_string(state_of(controller, failover, kept)));
        json_object_set_new(failover, "from_alive",
                            json_boolean(cw_site_is_alive(controller, cw_json_text(failover, "from", ""))));
        json_object_set_new(failover, "kept", kept);
    }
    json_array_foreach(salvage, k, tail)
    {
        bool is_told = false;
        json_array_foreach(failovers, i, failover)
        {
            is_told = is_told || is_of(tail, failover, failovers);
        }
        if (!is_told)
            json_array_append(others, tail);
    }
    json_decref(salvage);
    return cw_rpc_result(message->id,
                         json_pack("{s:s,s:I,s:s,s:o,s:o}", "group", group->name, "epoch",
                                   (json_int_t)group->authority.epoch, "primary", group->authority.holder,
                                   "failovers", failovers, "others", others));
}

/* ---------------------------------------------------------------- the list */

static json_t *record_json(const struct cw_controller *controller, const struct cw_salvage_file *file,
                           bool lost_none)
{
    const struct cw_record *record = &file->record;
    const struct cw_store_volume *volume =
        cw_view_volume_by_id(controller->view, record->group, record->volume);
    bool is_marker = record->kind == CW_RECORD_MARKER;
    int64_t wall_ns = 0;
    bool has_wall = cw_salvage_file_wall(file, &wall_ns);
    return json_pack("{s:I,s:I,s:o,s:s,s:i,s:s,s:I,s:I,s:o,s:s,s:o}", "sequence",
                     (json_int_t)record->sequence, "epoch", (json_int_t)record->epoch, "reign",
                     cw_json_from_hex(record->reign), "kind", cw_record_kind_word(record->kind), "volume",
                     (int)record->volume, "name", volume && !is_marker ? volume->name : "", "offset",
                     (json_int_t)record->offset, "length", (json_int_t)record->length, "hash",
                     cw_json_from_hex(record->payload_hash), "acknowledged",
                     cw_acknowledged_name(cw_salvage_file_acknowledged(file, lost_none)), "time",
                     has_wall ? json_real((double)wall_ns / 1e9) : json_null());
}

static json_t *page(struct cw_controller *controller, struct cw_salvage_file *file, bool lost_none)
{
    json_t *records = json_array();
    uint64_t began = file->at;
    bool is_more = true;
    while (json_array_size(records) < PAGE_RECORDS && file->at - began < PAGE_BYTES &&
           (is_more = cw_salvage_file_next(file)))
        json_array_append_new(records, record_json(controller, file, lost_none));
    return json_pack("{s:o,s:o,s:s}", "records", records, "next",
                     is_more ? json_integer((json_int_t)file->at) : json_null(), "why", file->why);
}

/* Only a name of ours, in our storage. */
static bool is_salvage_name(const char *name)
{
    return strncmp(name, "salvage-", 8) == 0 && !strchr(name, '/');
}

json_t *cw_serve_losses_list(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    const char *site = cw_json_text(message->params, "site", ""),
               *name = cw_json_text(message->params, "file", "");
    uint64_t from = cw_json_u64(message->params, "from", 0);
    char path[CW_STORE_PATH_SIZE * 2];
    struct stat about;
    if (strcmp(site, controller->config.site) != 0)
        return cw_go_elsewhere(controller, message, site);
    if (!is_salvage_name(name))
        return cw_misuse(message, "file: expected the name of a salvage file");
    snprintf(path, sizeof path, "%s/%s", controller->config.storage, name);
    FILE *stream = fopen(path, "re");
    struct cw_salvage_file *file = calloc(1, sizeof *file);
    json_t *reply;
    if (!stream || !file || fstat(fileno(stream), &about) != 0)
        reply = cw_answer(message, 1, "%.300s at %s cannot be read", path, controller->config.site);
    else if (!cw_salvage_file_begin(file, stream, (uint64_t)about.st_size) ||
             (from && !cw_salvage_file_seek(file, from)))
        reply = cw_answer(message, 1, "%.300s at %s: %s", path, controller->config.site, file->why);
    else
        reply = cw_rpc_result(message->id,
                              page(controller, file, cw_json_bool(message->params, "lost_none", false)));
    free(file);
    if (stream)
        fclose(stream);
    return reply;
}
