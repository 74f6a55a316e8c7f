/* SPDX-License-Identifier: BSD-3-Clause */
/* What controllers say to each other of their books, and names in certificates: whatever comes, the audit
 * that is here stays whole, and what is answered fits in a line. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/book.h"
#include "control/link_tls.h"
#include "control/rpc.h"
#include "seeds.h"

const size_t cw_fuzz_input_max = CW_FUZZ_TEXT_MAX;

#define STREAM "\"stream\":\"east:0123456789abcdef\""
static const char *const seeds[] = {
    "{\"events\":[{" STREAM
    ",\"number\":1,\"time\":1.5,\"level\":1,\"site\":\"east\",\"group\":\"db\",\"text\":\"x\"}],"
    "\"audit\":[],\"differs\":[],\"more\":false}",
    "{\"audit\":[{" STREAM ",\"number\":1,\"text\":\"{}\",\"hash\":"
    "\"62a6fe4c8da7bcbad4f8b0f1a9f3ecf4d3e2b1e5a8a38c5e0d2a7d2b3b4c5d6e\"}],\"differs\":[\"east:"
    "0123456789abcdef\"]}",
    "{\"east:0123456789abcdef\":{\"events\":17,\"audit\":5,\"hash\":\"00\"},\"west:0\":{\"audit\":-1}}",
    "causeway://ours/east/east-1",
    "causeway-operator://ours/alice",
};

static struct cw_book *one_book(void)
{
    static struct cw_book *book;
    char why[256];
    if (book)
        return book;
    book = cw_book_open(":memory:", why, sizeof why);
    CW_ASSERT(book != NULL);
    json_t *line = json_pack("{s:s}", "command", "promote");
    CW_ASSERT(cw_book_audit_add(book, "west", line) == CW_OK);
    json_decref(line);
    return book;
}

static void take(const json_t *json)
{
    struct cw_book *book = one_book();
    struct cw_book_taken taken;
    bool is_round;
    char why[200];
    CW_ASSERT(cw_book_take(book, "west", json, &taken) == CW_OK);
    CW_ASSERT(cw_book_audit_check(book, 100, &is_round, why, sizeof why));
    json_t *answer = cw_book_since(book, json);
    CW_ASSERT(answer && json_dumpb(answer, NULL, 0, JSON_COMPACT) < CW_RPC_LINE_MAX);
    json_decref(answer);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    struct cw_link_peer peer;
    char text[256], words[200];
    size_t length = CW_MIN(size, sizeof text - 1);
    memcpy(text, data, length);
    text[length] = 0;
    if (cw_link_name_parse(text, &peer)) {
        CW_ASSERT(peer.role != CW_LINK_NOBODY && peer.cluster[0] && peer.name[0]);
        CW_ASSERT(strlen(cw_link_peer_words(&peer, words, sizeof words)) < sizeof words - 1);
    }
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json))
        take(json);
    json_decref(json);
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    return cw_fuzz_pick(rng, seeds, CW_COUNT_OF(seeds), data);
}
