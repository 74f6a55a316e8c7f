/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rows of the store as JSON, and their keys: as they are in etcd. What is read is foreign (any hand can
 * write there): false when a word is missing, too long, or of another kind.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "control/etcd_rows.h"
#include "control/store.h"

/* The same width for numbers: so keys are in the order of numbers. All take a buffer of CW_ROW_KEY_SIZE. */
const char *cw_key_group(char *key, const char *kind,
                         uint32_t group); /* groups/ID, authority/ID, requests/ID */
const char *cw_key_name(char *key, const char *kind,
                        const char *name); /* sites/, names/, lease/, held/NAME */
/* volumes/ID/, places/ID/ and attachments/ID/: all of a group; and of one volume of it. */
const char *cw_key_all(char *key, const char *kind, uint32_t group);
const char *cw_key_of_volume(char *key, const char *kind, uint32_t group, int32_t volume);
const char *cw_key_volume(char *key, uint32_t group, int32_t volume);
const char *cw_key_place(char *key, uint32_t group, int32_t volume, const char *site);
const char *cw_key_attachment(char *key, uint32_t group, int32_t volume, const char *kind);

/* Is it what its key says, and a version of this program has written it? Rows of other kinds are not looked at. */
bool cw_row_is_readable(const char *key, const json_t *row);
/* Of which group it is, by its key; 0: of none. */
uint32_t cw_row_group(const char *key);
/* What is wrong with one that is not readable, what follows and what to type; prefix: the store's in etcd. */
void cw_row_words(const char *prefix, const char *key, char *words, size_t size);

json_t *cw_row_from_site(const struct cw_store_site *site);
bool cw_row_to_site(const json_t *row, struct cw_store_site *site); /* but for its lease counter */
json_t *cw_row_from_group(const struct cw_store_group *group);
bool cw_row_to_group(const json_t *row, struct cw_store_group *group); /* but for authority and request */
json_t *cw_row_from_volume(const struct cw_store_volume *volume);
bool cw_row_to_volume(const json_t *row, struct cw_store_volume *volume);
json_t *cw_row_from_place(const struct cw_store_place *place);
bool cw_row_to_place(const json_t *row, struct cw_store_place *place);
json_t *cw_row_from_attachment(const struct cw_store_attachment *attachment);
bool cw_row_to_attachment(const json_t *row, struct cw_store_attachment *attachment);
json_t *cw_row_from_request(const struct cw_store_request *request);
bool cw_row_to_request(const json_t *row, struct cw_store_request *request);
/* moves: how often the row was changed. */
json_t *cw_row_from_authority(const struct cw_authority *authority, uint64_t moves);
bool cw_row_to_authority(const json_t *row, struct cw_authority *authority, uint64_t *moves);
