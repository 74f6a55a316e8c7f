/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an etcd answers: to a range, in a watch, as an error; and the rows in it. Whatever comes: nothing is
 * read past its end, rows stay in order and each there once, of a malformed result nothing is taken, words
 * end, and a row that is taken is written as it was read. The mirror's own source is part of this one, for
 * what is static in it.
 */
#include "control/etcd_mirror.c"

#include "base/numbers.h"
#include "control/store_etcd.h"
#include "control/store_rows.h"
#include "seeds.h"

const size_t cw_fuzz_input_max = CW_FUZZ_TEXT_MAX;

#define PREFIX "/p/"
#define HEADER "\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"1\",\"revision\":\"7\"}"
#define GROUP  "L3AvZ3JvdXBzLzE="     /* /p/groups/1 */
#define LEASE  "L3AvbGVhc2UvZWFzdA==" /* /p/lease/east */
static const char *const seeds[] = {
    "{" HEADER ",\"kvs\":[{\"key\":\"" GROUP
    "\",\"mod_revision\":\"6\",\"version\":\"1\",\"value\":\"e30=\"},"
    "{\"key\":\"" LEASE "\",\"mod_revision\":7,\"value\":\"Nw==\"}],\"count\":\"2\"}",
    "{" HEADER ",\"kvs\":[{\"key\":\"" GROUP "\",\"mod_revision\":\"6\"}],\"more\":true,\"count\":\"9\"}",
    "{" HEADER ",\"watch_id\":\"0\",\"created\":true}",
    "{" HEADER ",\"events\":[{\"kv\":{\"key\":\"" LEASE "\",\"mod_revision\":\"8\",\"value\":\"Nw==\"}},"
    "{\"type\":\"DELETE\",\"kv\":{\"key\":\"" GROUP "\",\"mod_revision\":\"8\"}}]}",
    "{" HEADER ",\"canceled\":true,\"compact_revision\":\"9\"}",
    "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{}}]}",
    "{\"error\":\"etcdserver: mvcc: database space exceeded\",\"code\":8,\"message\":\"x\"}",
    "{\"error\":{\"grpc_code\":11,\"message\":\"etcdserver: mvcc: required revision has been compacted\"}}",
    "{\"rows\":{\"sites/east\":{\"name\":\"east\",\"id\":1,\"control_socket\":\"/s\",\"storage\":\"/"
    "d\",\"directory\":\"/d\"},"
    "\"lease/east\":7,\"held/east\":3,\"names/db\":1,\"requests/"
    "0000000001\":{\"taker\":\"west\",\"drain\":true,\"epoch\":1,"
    "\"heartbeat\":2},\"volumes/1/"
    "0\":{\"group\":1,\"volume\":0,\"name\":\"data\",\"size\":4096,\"block_size\":512,\"thin\":"
    "false,\"deleting\":false},\"places/1/0/east\":{\"group\":1,\"volume\":-1,\"site\":\"east\",\"path\":\"/"
    "j\",\"socket\":"
    "\"\",\"ours\":true,\"made\":true,\"base\":\"00\",\"error\":\"\"}}}",
    "{\"rows\":{\"groups/0000000001\":{\"id\":1,\"name\":\"db\",\"mode\":\"sync\",\"min_in_sync\":0,"
    "\"replica_timeout_ms\":5000,\"max_loss_ms\":60000,\"copy_brake_ms\":0,\"sites\":[\"east\",\"west\"],"
    "\"journal_bytes\":16777216,\"next_volume\":1,\"deleting\":false},\"volumes/0000000001/0000\":{\"group\":1,"
    "\"volume\":0,\"name\":\"data\",\"size\":4096,\"block_size\":512,\"thin\":false,\"deleting\":false},"
    "\"places/0000000001/0000/east\":{\"group\":1,\"volume\":0,\"site\":\"east\",\"path\":\"/"
    "j\",\"socket\":\"\",\"ours\":true,\"made\":true,\"base\":\"00\",\"error\":\"\"},\"authority/0000000001\":"
    "{\"epoch\":3,\"reign\":\"ab\",\"holder\":\"east\",\"first_sequence\":8,\"members\":[],"
    "\"fenced_epoch\":2,\"moves\":5}}}",
    "{\"rows\":{\"groups/"
    "1\":{\"id\":1,\"name\":\"db\",\"mode\":\"sync\",\"min_in_sync\":0,\"replica_timeout_ms\":5000,"
    "\"max_loss_ms\":60000,\"copy_brake_ms\":0,\"sites\":[\"east\",\"west\"],\"journal_bytes\":16777216,"
    "\"next_volume\":1,"
    "\"deleting\":false,\"max_loss_bytes\":0,\"automatic\":true,\"after_ms\":5000,\"home\":\"\"},"
    "\"authority/"
    "1\":{\"epoch\":3,\"reign\":\"00000000000000ab\",\"holder\":\"east\",\"first_sequence\":8,\"members\":[],"
    "\"fenced_epoch\":2,\"moves\":5},\"attachments/1/0/"
    "nbd\":{\"group\":1,\"volume\":0,\"kind\":\"nbd\",\"address\":\"/a\","
    "\"certificates\":\"\"}}}",
};

static void check_rows(const struct cw_rows *rows)
{
    for (uint32_t i = 1; i < rows->count; i++)
        CW_ASSERT(strcmp(rows->list[i - 1]->key, rows->list[i]->key) < 0);
    CW_ASSERT(rows->count <= ROWS_MAX + 1);
}

/* What was taken is written as it was read. */
#define ROUND_TRIP(kind)                                                                                     \
    static void try_##kind(const json_t *row)                                                                \
    {                                                                                                        \
        static struct cw_store_##kind one, other;                                                            \
        if (!cw_row_to_##kind(row, &one))                                                                    \
            return;                                                                                          \
        json_t *written = cw_row_from_##kind(&one);                                                          \
        CW_ASSERT(written &&cw_row_to_##kind(written, &other));                                              \
        json_t *again = cw_row_from_##kind(&other);                                                          \
        CW_ASSERT(json_equal(written, again));                                                               \
        json_decref(written);                                                                                \
        json_decref(again);                                                                                  \
    }
ROUND_TRIP(site)
ROUND_TRIP(group)
ROUND_TRIP(volume)
ROUND_TRIP(place)
ROUND_TRIP(attachment)
ROUND_TRIP(request)

static void try_authority(const json_t *row)
{
    struct cw_authority one, other;
    uint64_t moves, moves_again;
    if (!cw_row_to_authority(row, &one, &moves))
        return;
    json_t *written = cw_row_from_authority(&one, moves);
    CW_ASSERT(written && cw_row_to_authority(written, &other, &moves_again));
    CW_ASSERT(moves == moves_again && cw_authority_equal(&one, &other));
    json_decref(written);
}

/* Whatever rows there are, a view is in order, and what cannot be read is named and of no group in it. */
static void try_view(struct cw_mirror *mirror)
{
    static struct cw_store_view view, before;
    struct cw_draft draft = {0};
    char words[700];
    if (cw_mirror_snapshot(mirror, &draft) != CW_OK)
        return;
    CW_ASSERT(cw_etcd_load_rows(&draft, &view, &before));
    for (uint32_t i = 1; i < view.group_count; i++)
        CW_ASSERT(view.groups[i - 1].id < view.groups[i].id);
    for (uint32_t i = 1; i < view.volume_count; i++)
        CW_ASSERT(view.volumes[i - 1].group <= view.volumes[i].group);
    for (uint32_t i = 0; i < view.unreadable_count; i++) {
        const struct cw_store_unreadable *row = &view.unreadable[i];
        CW_ASSERT(!cw_view_group_by_id(&view, row->group));
        CW_ASSERT(!cw_etcd_is_readable(&draft, row->group) || strncmp(row->key, "a", 1) == 0 ||
                  strncmp(row->key, "requests/", 9) == 0);
        cw_row_words("/p", row->key, words, sizeof words);
        CW_ASSERT(strstr(words, "etcdctl"));
    }
    cw_draft_free(&draft);
}

static void try_row(const json_t *row)
{
    try_site(row);
    try_group(row);
    try_volume(row);
    try_place(row);
    try_attachment(row);
    try_request(row);
    try_authority(row);
}

/* {"KEY":VALUE...} as an etcd would answer it. */
static json_t *range_of(const json_t *rows)
{
    const char *key;
    json_t *value, *kvs = json_array();
    int revision = 1;
    json_object_foreach((json_t *)rows, key, value)
    {
        char whole[CW_ETCD_KEY_SIZE];
        snprintf(whole, sizeof whole, PREFIX "%s", key);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        json_t *put = text ? cw_etcd_put(whole, text, strlen(text)) : NULL,
               *kv = json_object_get(put, "request_put");
        free(text);
        if (kv && json_object_set_new(kv, "mod_revision", json_integer(++revision)) == 0)
            json_array_append(kvs, kv);
        json_decref(put);
    }
    return json_pack("{s:o,s:i,s:{s:i,s:i}}", "kvs", kvs, "count", (int)json_array_size(kvs), "header",
                     "cluster_id", 1, "revision", revision);
}

static void take_range(struct cw_mirror *mirror, const json_t *answer)
{
    char last[CW_ETCD_KEY_SIZE] = "";
    uint64_t revision = 0, newest = 0;
    if (cw_mirror_judge(mirror, answer, 0, &revision) == CW_OK)
        CW_ASSERT(revision > 0 && revision <= INT64_MAX && mirror->floor >= revision);
    if (take_page(mirror, answer, &mirror->rows, last))
        mirror->has_copy = true;
    check_rows(&mirror->rows);
    (void)is_different(mirror, answer, &newest);
    CW_ASSERT(compare_all(mirror, &mirror->rows) == CW_OK);
    for (uint32_t i = 0; i < mirror->rows.count; i++)
        try_row(mirror->rows.list[i]->json);
    try_view(mirror);
}

static void take_watch(struct cw_mirror *mirror, const json_t *result)
{
    uint64_t revision = mirror->revision, version = mirror->version;
    uint32_t count = mirror->rows.count;
    bool ok = take_result(mirror, result);
    check_rows(&mirror->rows);
    CW_ASSERT(mirror->revision >= revision);
    CW_ASSERT(ok ||
              (mirror->revision == revision && mirror->version == version && mirror->rows.count == count) ||
              mirror->rows.count >= ROWS_MAX);
}

static void take_error(const json_t *answer)
{
    char words[CW_ETCD_WORDS_SIZE];
    enum cw_etcd_outcome outcome;
    bool is_final = cw_etcd_say_answer(words, sizeof words, "https://10.0.0.1:2379", 500, answer, &outcome);
    CW_ASSERT(strlen(words) < sizeof words && (!is_final || outcome == CW_ETCD_NOT_DONE));
    for (const char *at = words; *at; at++)
        CW_ASSERT((uint8_t)*at >= ' ' && (uint8_t)*at < 0x7f);
}

static void take_base64(const uint8_t *data, size_t size)
{
    size_t length = 0;
    char *text = cw_base64_encode(data, size), *bytes = text ? cw_base64_decode(text, size, &length) : NULL;
    CW_ASSERT(bytes && length == size && memcmp(bytes, data, size) == 0);
    free(bytes);
    free(text);
    text = strndup((const char *)data, size);
    bytes = cw_base64_decode(text, CW_ETCD_VALUE_MAX, &length);
    CW_ASSERT(!bytes || length <= strlen(text) / 4 * 3);
    free(bytes);
    free(text);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static struct cw_mirror mirror = {
        .prefix = PREFIX, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    take_base64(data, size);
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json) {
        const json_t *rows = json_object_get(json, "rows");
        json_t *answer = json_is_object(rows) ? range_of(rows) : json_incref(json);
        take_error(json);
        take_range(&mirror, answer);
        take_watch(&mirror, answer);
        try_row(json);
        json_decref(answer);
    }
    json_decref(json);
    cw_rows_free(&mirror.rows);
    mirror.revision = mirror.version = mirror.floor = mirror.cluster_id = 0;
    mirror.has_copy = false;
    mirror.fault[0] = mirror.trouble[0] = 0;
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    return cw_fuzz_pick(rng, seeds, CW_COUNT_OF(seeds), data);
}
