/* SPDX-License-Identifier: BSD-3-Clause */
/* Tokens and requests of operators: foreign text. What is understood is written down in one way only. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/break_glass.h"
#include "fuzz.h"

const size_t cw_fuzz_input_max = 2 * (size_t)CW_TOKEN_SIZE;
static const uint8_t seed[CW_TOKEN_SEED] = {1};

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static const struct cw_config_break_glass keys = {
        .threshold = 1, .key_count = 1, .keys = {{.name = "alice"}}};
    struct cw_token_facts facts = {.keys = &keys, .now = 1795379400};
    struct cw_token_mark marks[CW_TOKENS_MAX];
    struct cw_token_request request;
    struct cw_token token;
    char text[2 * CW_TOKEN_SIZE], again[CW_TOKEN_SIZE];
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = 0;
    if (cw_token_request_parse(text, &request)) {
        cw_token_request_format(&request, again);
        CW_ASSERT(strcmp(again, text) == 0);
    }
    if (cw_token_parse(text, &token)) {
        CW_ASSERT(token.signed_length < strlen(text));
        CW_ASSERT(cw_token_sign(&token.request, token.until, token.who, seed, again) == CW_OK);
        CW_ASSERT(strncmp(again, text, token.signed_length + 1) == 0);
        facts.wanted = token.request;
    }
    const char *const list[] = {text};
    CW_ASSERT(cw_tokens_judge(list, 1, &facts, marks).answer == CW_ANSWER_NO); /* nobody has that key */
    return 0;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    struct cw_token_request request = {.cluster = "prod",
                                       .group = (uint32_t)cw_rng_below(rng, 100),
                                       .name = "db",
                                       .epoch = cw_rng_below(rng, 1000),
                                       .site = "west"};
    if (cw_rng_below(rng, 3) == 0)
        cw_token_request_format(&request, (char *)data);
    else
        CW_ASSERT(cw_token_sign(&request, (int64_t)(1795379400 + cw_rng_below(rng, 99999)), "alice", seed,
                                (char *)data) == CW_OK);
    return strlen((char *)data);
}
