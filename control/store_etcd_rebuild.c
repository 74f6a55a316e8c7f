/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/store_etcd_rebuild.h"

#include <string.h>

#include "control/rebuild.h"
#include "control/rebuild_rows.h"
#include "control/rpc.h"
#include "control/store_etcd.h"

#define ROWS_AT_ONCE 30u /* each with what it touches and rests on fits in a transaction */
static_assert(ROWS_AT_ONCE * 3 + 2 <= CW_DRAFT_MAX,
              "an authority touches two more rows, or one and a request");

static bool is_copied(const char *key)
{
    static const char *const left_out[] = {"lease/", "held/", "requests/"};
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++) {
        if (strncmp(key, left_out[i], strlen(left_out[i])) == 0)
            return false;
    }
    return true;
}

/* Values are copied: rows are shared with the mirror's thread, and jansson counts references without minding
 * others. */
enum cw_status cw_etcd_rows(struct cw_store *etcd, json_t **rows, uint64_t *revision)
{
    struct cw_draft draft = {0};
    enum cw_status status = cw_mirror_snapshot(cw_etcd_store_of(etcd)->mirror, &draft);
    *rows = status == CW_OK ? json_object() : NULL;
    *revision = draft.revision;
    for (uint32_t i = 0; status == CW_OK && i < draft.rows.count; i++) {
        const struct cw_row *row = draft.rows.list[i];
        if (is_copied(row->key))
            json_object_set_new(*rows, row->key, json_deep_copy(row->json));
    }
    cw_draft_free(&draft);
    return status;
}

enum cw_status cw_etcd_view(struct cw_store *etcd, const json_t *rows, struct cw_store_view *view)
{
    struct cw_etcd_store *store = cw_etcd_store_of(etcd);
    struct cw_draft draft = {0};
    enum cw_status status = CW_OK;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)rows, key, value)
    {
        struct cw_row *row = cw_row_make(key, 0, json_incref(value));
        if (row)
            row->is_readable = cw_row_is_readable(row->key, row->json);
        if (status == CW_OK)
            status = row ? cw_rows_put(&draft.rows, row) : CW_NO_SPACE;
        else if (row)
            cw_row_drop(row);
    }
    if (status == CW_OK && !cw_etcd_load_rows(&draft, store->loading, NULL))
        status = CW_IO;
    cw_draft_free(&draft);
    if (status == CW_OK)
        cw_view_copy(view, store->loading);
    return status;
}

/* ---------------------------------------------------------------- putting back */

static json_t *mark_of(const struct cw_etcd_rebuild *how)
{
    return json_pack("{s:s,s:o,s:b}", "site", how->site, "id", cw_json_from_hex(how->id), "replace",
                     (int)how->is_replace);
}

/* One that stands already may have gone meanwhile: that it stands is compared, too. */
static enum cw_status put_doubt(struct cw_draft *draft, const char *site, const char *why)
{
    draft->is_verdict = true;
    if (!cw_draft_get(draft, CW_REBUILD_MARK))
        cw_draft_put(draft, CW_REBUILD_MARK, json_pack("{s:s,s:s}", "site", site, "doubt", why));
    return draft->failure;
}

enum cw_status cw_etcd_doubt(struct cw_store *etcd, const char *site, const char *why)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(cw_etcd_store_of(etcd), &change))
        change.status = put_doubt(change.draft, site, why);
    return change.status;
}

/* Of one that was interrupted it is taken over: his next transaction fails. What that one replaced is still
 * being replaced. */
static enum cw_status put_mark(struct cw_draft *draft, const struct cw_etcd_rebuild *how)
{
    (void)cw_draft_get(draft, CW_REBUILD_MARK);
    cw_draft_put(draft, CW_REBUILD_MARK, mark_of(how));
    return draft->failure;
}

static bool has_own_mark(struct cw_draft *draft, const struct cw_etcd_rebuild *how)
{
    return cw_json_hex(cw_draft_get(draft, CW_REBUILD_MARK), "id", 0) == how->id;
}

static void touch_holder_of(struct cw_draft *draft, const json_t *row)
{
    cw_etcd_touch_holder(draft, cw_json_text(row, "holder", ""));
}

static bool is_number_row(const char *key)
{
    return strncmp(key, "meta/", 5) == 0;
}

static enum cw_status put_row(struct cw_draft *draft, const struct cw_etcd_rebuild *how, const char *key,
                              const json_t *value)
{
    const json_t *now = cw_draft_get(draft, key), *seen = json_object_get(how->seen, key);
    bool is_same = now && json_equal(now, value), is_authority = strncmp(key, "authority/", 10) == 0;
    if (is_same)
        return CW_OK;
    if (is_number_row(key)) { /* only ever up; controllers that start write some of them */
        if (!now || json_integer_value(now) < json_integer_value(value))
            cw_draft_put(draft, key, json_deep_copy(value));
        return draft->failure;
    }
    if (now && !how->may_replace && strncmp(key, "sites/", 6) != 0)
        return CW_EXISTS;
    if (is_authority && (now || seen) && !(now && seen && json_equal(now, seen)))
        return CW_STALE;
    if (is_authority) {
        touch_holder_of(draft, now);
        if (strcmp(cw_json_text(now, "holder", ""), cw_json_text(value, "holder", "")) != 0)
            touch_holder_of(draft, value);
    }
    cw_draft_put(draft, key, json_deep_copy(value));
    return draft->failure;
}

/* As it was seen, or not at all. */
static enum cw_status remove_row(struct cw_draft *draft, const struct cw_etcd_rebuild *how, const char *key)
{
    char request[CW_ROW_KEY_SIZE];
    const json_t *now = cw_draft_get(draft, key);
    if (!now)
        return CW_OK;
    if (!how->may_replace)
        return CW_EXISTS;
    if (!json_equal(now, json_object_get(how->seen, key)))
        return CW_STALE;
    if (strncmp(key, "authority/", 10) == 0) {
        touch_holder_of(draft, now);
        cw_draft_remove(draft, cw_key_group(request, "requests", cw_rebuild_key_group(key)));
    }
    cw_draft_remove(draft, key);
    return draft->failure;
}

/* One kind of work after the other, each in as many transactions as it takes. */
enum step { MARK = 0, ROWS, GONE, NUMBERS };

static bool is_of(enum step step, const char *key)
{
    return step == GONE || is_number_row(key) == (step == NUMBERS);
}

/* Rows from the position on, as many as fit. */
static enum cw_status do_some(struct cw_draft *draft, const struct cw_etcd_rebuild *how, enum step step,
                              uint32_t from)
{
    uint32_t at = 0;
    const char *key;
    json_t *value;
    if (!has_own_mark(draft, how))
        return CW_STALE;
    draft->is_verdict = true;
    json_object_foreach((json_t *)(step == GONE ? how->gone : how->rows), key, value)
    {
        if (!is_of(step, key) || at++ < from || at > from + ROWS_AT_ONCE)
            continue;
        enum cw_status status = step == GONE ? remove_row(draft, how, key) : put_row(draft, how, key, value);
        if (status != CW_OK)
            return status;
    }
    if (step == NUMBERS)
        cw_draft_remove(draft, CW_REBUILD_MARK);
    return draft->failure;
}

/* A try that found that something had moved is done again on what is there then; that what is there is not
 * what was wanted ends it. */
static enum cw_status change(struct cw_etcd_store *store, const struct cw_etcd_rebuild *how, enum step step,
                             uint32_t from)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(store, &change))
        change.status = step == MARK ? put_mark(change.draft, how) : do_some(change.draft, how, step, from);
    return change.status;
}

static enum cw_status change_all(struct cw_etcd_store *store, const struct cw_etcd_rebuild *how,
                                 enum step step, const json_t *rows)
{
    enum cw_status status = CW_OK;
    uint32_t count = (uint32_t)json_object_size(rows);
    for (uint32_t from = 0; status == CW_OK && from < count; from += ROWS_AT_ONCE)
        status = change(store, how, step, from);
    return status;
}

enum cw_status cw_etcd_rebuild(struct cw_store *etcd, const struct cw_etcd_rebuild *how)
{
    struct cw_etcd_store *store = cw_etcd_store_of(etcd);
    enum cw_status status = change(store, how, MARK, 0);
    if (status == CW_OK)
        status = change_all(store, how, ROWS, how->rows);
    if (status == CW_OK)
        status = change_all(store, how, GONE, how->gone);
    return status == CW_OK ? change(store, how, NUMBERS, 0) : status;
}
