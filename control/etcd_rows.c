/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/etcd_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void cw_row_key(char to[CW_ROW_KEY_SIZE], const char *key)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a: apart is enough, who writes there can write anything */
    for (const char *at = key; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
    if (strlen(key) < CW_ROW_KEY_SIZE)
        memcpy(to, key, strlen(key) + 1);
    else
        snprintf(to, CW_ROW_KEY_SIZE, "%.100s#%016lx", key, hash);
}

struct cw_row *cw_row_make(const char *key, uint64_t modified, json_t *json)
{
    struct cw_row *row = calloc(1, sizeof *row);
    if (!row) {
        json_decref(json);
        return NULL;
    }
    atomic_init(&row->references, 1);
    row->modified = modified;
    row->is_readable = true;
    row->json = json ? json : json_null();
    cw_row_key(row->key, key);
    return row;
}

/* Relaxed while it grows: whoever adds a reference has one. Released and acquired at the end, so that the
 * last one sees what the others did before it frees. */
void cw_row_drop(struct cw_row *row)
{
    if (atomic_fetch_sub_explicit(&row->references, 1, memory_order_acq_rel) != 1)
        return;
    json_decref(row->json);
    free(row);
}

/* ---------------------------------------------------------------- rows */

void cw_rows_free(struct cw_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        cw_row_drop(rows->list[i]);
    free(rows->list);
    *rows = (struct cw_rows){0};
}

enum cw_status cw_rows_copy(struct cw_rows *to, const struct cw_rows *from)
{
    CW_ASSERT(to->list == NULL);
    *to = (struct cw_rows){.list = calloc(from->count + 1, sizeof *to->list), .size = from->count + 1};
    if (!to->list)
        return CW_NO_SPACE;
    for (uint32_t i = 0; i < from->count; i++) {
        atomic_fetch_add_explicit(&from->list[i]->references, 1, memory_order_relaxed);
        to->list[i] = from->list[i];
    }
    to->count = from->count;
    return CW_OK;
}

uint32_t cw_rows_from(const struct cw_rows *rows, const char *key)
{
    uint32_t low = 0, high = rows->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(rows->list[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct cw_row *cw_rows_find(const struct cw_rows *rows, const char *key)
{
    uint32_t at = cw_rows_from(rows, key);
    return at < rows->count && strcmp(rows->list[at]->key, key) == 0 ? rows->list[at] : NULL;
}

bool cw_rows_has(const struct cw_rows *rows, uint32_t at, const char *prefix)
{
    return at < rows->count && strncmp(rows->list[at]->key, prefix, strlen(prefix)) == 0;
}

enum cw_status cw_rows_put(struct cw_rows *rows, struct cw_row *row)
{
    uint32_t at = cw_rows_from(rows, row->key);
    if (at < rows->count && strcmp(rows->list[at]->key, row->key) == 0) {
        cw_row_drop(rows->list[at]);
        rows->list[at] = row;
        return CW_OK;
    }
    if (rows->count == rows->size) {
        uint32_t size = rows->size ? rows->size * 2 : 64;
        struct cw_row **grown = realloc(rows->list, size * sizeof *grown);
        if (!grown) {
            cw_row_drop(row);
            return CW_NO_SPACE;
        }
        rows->list = grown;
        rows->size = size;
    }
    memmove(rows->list + at + 1, rows->list + at, (rows->count - at) * sizeof *rows->list);
    rows->list[at] = row;
    rows->count++;
    return CW_OK;
}

static void remove_some(struct cw_rows *rows, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    for (uint32_t i = from; i < to; i++)
        cw_row_drop(rows->list[i]);
    memmove(rows->list + from, rows->list + to, (rows->count - to) * sizeof *rows->list);
    rows->count -= to - from;
}

void cw_rows_remove(struct cw_rows *rows, const char *key)
{
    uint32_t at = cw_rows_from(rows, key);
    if (at < rows->count && strcmp(rows->list[at]->key, key) == 0)
        remove_some(rows, at, at + 1);
}

void cw_rows_remove_all(struct cw_rows *rows, const char *prefix)
{
    uint32_t from = cw_rows_from(rows, prefix), to = from;
    while (cw_rows_has(rows, to, prefix))
        to++;
    remove_some(rows, from, to);
}

/* ---------------------------------------------------------------- a draft */

void cw_draft_free(struct cw_draft *draft)
{
    cw_rows_free(&draft->rows);
    for (uint32_t i = 0; i < draft->change_count; i++)
        json_decref(draft->changes[i].value);
    *draft = (struct cw_draft){0};
}

static struct cw_draft_change *find_change(struct cw_draft *draft, const char *key)
{
    for (uint32_t i = 0; i < draft->change_count; i++) {
        if (!draft->changes[i].is_prefix && strcmp(draft->changes[i].key, key) == 0)
            return &draft->changes[i];
    }
    return NULL;
}

/* What the draft itself put or took away rests on nothing more. */
static void rest_on(struct cw_draft *draft, const char *key)
{
    const struct cw_row *row = cw_rows_find(&draft->rows, key);
    if (find_change(draft, key))
        return;
    for (uint32_t i = 0; i < draft->compare_count; i++) {
        if (strcmp(draft->compares[i].key, key) == 0)
            return;
    }
    if (draft->compare_count == CW_DRAFT_MAX) {
        draft->failure = CW_NO_SPACE;
        return;
    }
    struct cw_draft_compare *compare = &draft->compares[draft->compare_count++];
    compare->modified = row ? row->modified : 0;
    snprintf(compare->key, sizeof compare->key, "%s", key);
}

const json_t *cw_draft_look(const struct cw_draft *draft, const char *key)
{
    const struct cw_row *row = cw_rows_find(&draft->rows, key);
    return row ? row->json : NULL;
}

const json_t *cw_draft_get(struct cw_draft *draft, const char *key)
{
    rest_on(draft, key);
    return cw_draft_look(draft, key);
}

/* Takes value; NULL: the key goes. */
static void note_change(struct cw_draft *draft, const char *key, json_t *value)
{
    struct cw_draft_change *change = find_change(draft, key);
    if (!change && draft->change_count == CW_DRAFT_MAX) {
        draft->failure = CW_NO_SPACE;
        json_decref(value);
        return;
    }
    if (!change) {
        change = &draft->changes[draft->change_count++];
        *change = (struct cw_draft_change){0};
        snprintf(change->key, sizeof change->key, "%s", key);
    }
    json_decref(change->value);
    change->value = value;
}

void cw_draft_put(struct cw_draft *draft, const char *key, json_t *value)
{
    const json_t *now = cw_draft_look(draft, key);
    if (value && now && json_equal(now, value)) {
        json_decref(value);
        return;
    }
    struct cw_row *row = value ? cw_row_make(key, 0, json_incref(value)) : NULL;
    if (!row || cw_rows_put(&draft->rows, row) != CW_OK)
        draft->failure = CW_NO_SPACE;
    note_change(draft, key, value);
}

void cw_draft_touch(struct cw_draft *draft, const char *key)
{
    json_int_t now = json_integer_value(cw_draft_look(draft, key));
    cw_draft_put(draft, key, json_integer(now + 1));
}

void cw_draft_guard(struct cw_draft *draft, const char *key)
{
    rest_on(draft, key);
    cw_draft_touch(draft, key);
}

void cw_draft_remove(struct cw_draft *draft, const char *key)
{
    if (!cw_rows_find(&draft->rows, key))
        return;
    cw_rows_remove(&draft->rows, key);
    note_change(draft, key, NULL);
}

/* A transaction must not name a key twice: what the draft itself put there is taken back. */
void cw_draft_remove_all(struct cw_draft *draft, const char *prefix)
{
    if (!cw_rows_has(&draft->rows, cw_rows_from(&draft->rows, prefix), prefix))
        return;
    cw_rows_remove_all(&draft->rows, prefix);
    for (uint32_t i = 0; i < draft->change_count; i++) {
        struct cw_draft_change *change = &draft->changes[i];
        if (strncmp(change->key, prefix, strlen(prefix)) != 0)
            continue;
        json_decref(change->value);
        *change = draft->changes[--draft->change_count];
        i--;
    }
    note_change(draft, prefix, NULL);
    if (draft->failure == CW_OK)
        draft->changes[draft->change_count - 1].is_prefix = true;
}
