/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows of the store as etcd has them, by key, and one change of them in the making. A row never changes once
 * it is made and is counted, so a snapshot of all rows is a list of pointers: any number of threads may read
 * one.
 *
 * A draft is a snapshot on which a change is tried out. What the change rests on is noted with the revision
 * of its last change: the whole becomes one transaction, which does nothing if any of that has moved. Not all
 * that is looked at need be noted: where many rows are looked at (is this path taken?), one row stands for
 * them, that moves with each of them.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define CW_ROW_KEY_SIZE 128u /* without the prefix of the store; a longer one is none of ours */
/* Of a transaction; etcd takes 128 of each (--max-txn-ops). */
#define CW_DRAFT_MAX 120u

struct cw_row {
    atomic_uint references;
    uint64_t modified; /* 0: a draft's own */
    json_t *json;      /* null: what is there is no JSON, or too long */
    bool is_readable;  /* it is what its key says (store_rows.h) */
    char key[CW_ROW_KEY_SIZE];
};

/* Takes json, NULL: null. A key that is too long is cut, with a hash of all of it at the end: so it is another one
 * than ours, and the same each time. Whoever takes it from elsewhere says whether it is readable. NULL: no memory (json is dropped). */
void cw_row_key(char to[CW_ROW_KEY_SIZE], const char *key);
struct cw_row *cw_row_make(const char *key, uint64_t modified, json_t *json);
void cw_row_drop(struct cw_row *row);

struct cw_rows {
    struct cw_row **list; /* by key */
    uint32_t count, size;
};

void cw_rows_free(struct cw_rows *rows);
/* to: empty or freed before. */
enum cw_status cw_rows_copy(struct cw_rows *to, const struct cw_rows *from) CW_MUST_CHECK;
/* NULL: not there. Borrowed. */
const struct cw_row *cw_rows_find(const struct cw_rows *rows, const char *key);
/* The first whose key is not below; count: there is none. */
uint32_t cw_rows_from(const struct cw_rows *rows, const char *key);
/* Takes the row (also when it fails), in the place of one of that key. */
enum cw_status cw_rows_put(struct cw_rows *rows, struct cw_row *row) CW_MUST_CHECK;
void cw_rows_remove(struct cw_rows *rows, const char *key);
void cw_rows_remove_all(struct cw_rows *rows, const char *prefix);
/* Calls for every row of a prefix, in order: for (i = cw_rows_from(rows, prefix); cw_rows_has(...); i++). */
bool cw_rows_has(const struct cw_rows *rows, uint32_t at, const char *prefix);

struct cw_draft {
    struct cw_rows rows; /* as they would be */
    uint64_t revision;   /* of the snapshot */
    uint32_t compare_count, change_count;
    struct cw_draft_compare {
        char key[CW_ROW_KEY_SIZE];
        uint64_t modified; /* 0: it was not there */
    } compares[CW_DRAFT_MAX];
    struct cw_draft_change {
        char key[CW_ROW_KEY_SIZE];
        bool is_prefix;
        json_t *value; /* own; NULL: it goes */
    } changes[CW_DRAFT_MAX];
    bool is_verdict; /* what was found out is to hold even if nothing is to be changed: it is compared all the
                        same */
    enum cw_status failure; /* once it is too large, or memory is out: all that follows fails */
};

void cw_draft_free(struct cw_draft *draft);
/* What the key holds, NULL: nothing; the change rests on it. */
const json_t *cw_draft_get(struct cw_draft *draft, const char *key);
/* The same without resting on it. */
const json_t *cw_draft_look(const struct cw_draft *draft, const char *key);
/* Takes value. What is there already is no change. */
void cw_draft_put(struct cw_draft *draft, const char *key, json_t *value);
/* The row moves, whatever is in it and whoever else moves it too. */
void cw_draft_touch(struct cw_draft *draft, const char *key);
/* The same, and the change rests on it: of two at once, one fails. */
void cw_draft_guard(struct cw_draft *draft, const char *key);
void cw_draft_remove(struct cw_draft *draft, const char *key);
void cw_draft_remove_all(struct cw_draft *draft, const char *prefix);
