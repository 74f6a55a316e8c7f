/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * etcd's v3 messages as its JSON gateway writes them: keys and values in base64, numbers as strings of
 * digits, whatever is zero or empty left out. Pure. All that is read here is foreign: malformed answers are
 * refused.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_ETCD_KEY_SIZE  320u
#define CW_ETCD_VALUE_MAX (256u * 1024u)

/* New text; NULL: no memory. The caller frees. */
char *cw_base64_encode(const void *bytes, size_t length);
/* Padded base64 only, without white space. New bytes with a NUL behind them, *length of them before it. NULL:
 * malformed, or more than length_max. The caller frees. */
char *cw_base64_decode(const char *text, size_t length_max, size_t *length);

/* A number, which may be missing (0), a string of digits, or a JSON integer. false: anything else. */
bool cw_etcd_number(const json_t *object, const char *name, uint64_t *number);

struct cw_etcd_header {
    uint64_t cluster_id, revision;
};
/* false: it has none, or a malformed one. A revision or cluster of 0 is malformed too. */
bool cw_etcd_header_read(const json_t *answer, struct cw_etcd_header *header);

/* One key with what it holds. A deleted one has no value. */
struct cw_etcd_pair {
    char key[CW_ETCD_KEY_SIZE]; /* a text: a key with a NUL in it is malformed */
    char *value;                /* NUL behind it; NULL: none, or more than a row can be */
    size_t length;
    uint64_t modified; /* the revision of its last change */
};
/* false: malformed. The caller frees the pair, also then. */
bool cw_etcd_pair_read(const json_t *kv, struct cw_etcd_pair *pair);
void cw_etcd_pair_free(struct cw_etcd_pair *pair);

/* The range of everything that begins with prefix, of which modified or later; new reference or NULL. from:
 * the first key, NULL for the prefix itself; after: only what comes behind from. revision 0: as it is now. */
struct cw_etcd_range {
    const char *prefix, *from;
    uint64_t revision, modified_min;
    uint32_t limit;
    bool keys_only;
};
json_t *cw_etcd_range_request(const struct cw_etcd_range *range);
json_t *cw_etcd_watch_request(const char *prefix, uint64_t revision);

/* Parts of a transaction, new references or NULL. modified 0: the key must not be there. */
json_t *cw_etcd_compare(const char *key, uint64_t modified);
json_t *cw_etcd_put(const char *key, const char *value, size_t length);
/* is_prefix: everything that begins with key. */
json_t *cw_etcd_delete(const char *key, bool is_prefix);
