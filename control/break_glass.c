/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/break_glass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/assert.h"

#define WORD          "causeway-break-glass-1"
#define TIME_SIZE     17u
#define REQUEST_PARTS 6u /* with the word */
#define TOKEN_PARTS   9u
#define YEAR_9999     253402300799ll

static_assert(sizeof WORD + 5 * (CW_CONFIG_NAME_SIZE + 1) + 11 + 21 + TIME_SIZE + 2 * CW_TOKEN_SIGNATURE +
                      8 <=
                  CW_TOKEN_SIZE,
              "the longest token fits");
static_assert(CW_TOKENS_MAX <= 32, "a bit for each key");

/* ---------------------------------------------------------------- text */

void cw_token_time(int64_t seconds, char *text)
{
    time_t when = (time_t)seconds;
    struct tm utc;
    if (seconds < 0 || seconds > YEAR_9999 || !gmtime_r(&when, &utc) ||
        strftime(text, TIME_SIZE, "%Y%m%dT%H%M%SZ", &utc) != TIME_SIZE - 1)
        snprintf(text, TIME_SIZE, "00000000T000000Z");
}

/* Only what cw_token_time writes. */
static bool parse_time(const char *text, int64_t *seconds)
{
    struct tm utc = {.tm_isdst = 0};
    char again[TIME_SIZE];
    if (strlen(text) != TIME_SIZE - 1 || strspn(text, "0123456789TZ") != TIME_SIZE - 1)
        return false;
    const char *end = strptime(text, "%Y%m%dT%H%M%SZ", &utc);
    if (!end || *end)
        return false;
    *seconds = (int64_t)timegm(&utc);
    cw_token_time(*seconds, again);
    return strcmp(again, text) == 0;
}

void cw_token_request_format(const struct cw_token_request *request, char *text)
{
    snprintf(text, CW_TOKEN_SIZE, "%s:%s:%" PRIu32 ":%s:%" PRIu64 ":%s", WORD, request->cluster,
             request->group, request->name, request->epoch, request->site);
}

/* The parts between the colons, at most `size` of them; more: size + 1. */
static uint32_t split(char *text, char **parts, uint32_t size)
{
    uint32_t count = 0;
    for (char *at = text; at; count++) {
        char *colon = strchr(at, ':');
        if (count == size)
            return size + 1;
        parts[count] = at;
        if (colon)
            *colon++ = 0;
        at = colon;
    }
    return count;
}

static bool take_name(const char *part, char *name)
{
    if (!cw_config_name_check(part))
        return false;
    snprintf(name, CW_NAME_SIZE, "%s", part);
    return true;
}
static_assert(CW_NAME_SIZE == CW_CONFIG_NAME_SIZE, "names are of one kind");

/* As it is written down, without zeros before it. */
static bool take_number(const char *part, uint64_t max, uint64_t *number)
{
    char again[24];
    if (*part < '0' || *part > '9' || strlen(part) > 20)
        return false;
    *number = strtoull(part, NULL, 10);
    snprintf(again, sizeof again, "%" PRIu64, *number);
    return *number <= max && strcmp(again, part) == 0;
}

static bool take_request(char *const *parts, struct cw_token_request *request)
{
    uint64_t group = 0;
    bool ok = strcmp(parts[0], WORD) == 0 && take_name(parts[1], request->cluster) &&
              take_number(parts[2], UINT32_MAX, &group) && take_name(parts[3], request->name) &&
              take_number(parts[4], INT64_MAX, &request->epoch) && take_name(parts[5], request->site);
    request->group = (uint32_t)group;
    return ok;
}

bool cw_token_request_parse(const char *text, struct cw_token_request *request)
{
    char copy[CW_TOKEN_SIZE], *parts[REQUEST_PARTS];
    *request = (struct cw_token_request){.group = 0};
    if (strnlen(text, sizeof copy) == sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%s", text);
    return split(copy, parts, REQUEST_PARTS) == REQUEST_PARTS && take_request(parts, request);
}

static bool take_signature(const char *part, uint8_t *signature)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(part) != (size_t)2 * CW_TOKEN_SIGNATURE ||
        strspn(part, digits) != (size_t)2 * CW_TOKEN_SIGNATURE)
        return false;
    for (uint32_t i = 0; i < 2 * CW_TOKEN_SIGNATURE; i++)
        signature[i / 2] = (uint8_t)(signature[i / 2] << 4 | (strchr(digits, part[i]) - digits));
    return true;
}

bool cw_token_parse(const char *text, struct cw_token *token)
{
    char copy[CW_TOKEN_SIZE], *parts[TOKEN_PARTS];
    *token = (struct cw_token){.until = 0};
    if (strnlen(text, sizeof copy) == sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%s", text);
    if (split(copy, parts, TOKEN_PARTS) != TOKEN_PARTS)
        return false;
    token->signed_length = (uint32_t)(parts[TOKEN_PARTS - 1] - copy) - 1;
    return take_request(parts, &token->request) && parse_time(parts[6], &token->until) &&
           take_name(parts[7], token->who) && take_signature(parts[8], token->signature);
}

/* ---------------------------------------------------------------- signing */

enum cw_status cw_token_sign(const struct cw_token_request *request, int64_t until, const char *who,
                             const uint8_t seed[CW_TOKEN_SEED], char *text)
{
    struct cw_token made;
    char when[TIME_SIZE];
    uint8_t signature[CW_TOKEN_SIGNATURE];
    size_t size = sizeof signature;
    cw_token_request_format(request, text);
    cw_token_time(until, when);
    size_t used = strlen(text);
    int more = snprintf(text + used, CW_TOKEN_SIZE - used, ":%s:%s", when, who);
    if (more < 0 || used + (size_t)more + 2 * sizeof signature + 2 > CW_TOKEN_SIZE)
        return CW_INVALID;
    used += (size_t)more;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, CW_TOKEN_SEED);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestSign(context, signature, &size, (const uint8_t *)text, used) == 1 &&
                   size == sizeof signature;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    if (!is_good)
        return CW_IO;
    text[used++] = ':';
    for (size_t i = 0; i < sizeof signature; i++)
        snprintf(text + used + 2 * i, 3, "%02x", signature[i]);
    return cw_token_parse(text, &made) ? CW_OK : CW_INVALID;
}

static bool is_signed_by(const char *text, const struct cw_token *token, const uint8_t *public)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestVerify(context, token->signature, sizeof token->signature, (const uint8_t *)text,
                                    token->signed_length) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_good;
}

/* Of what is signed, not of the signature. */
static bool mark_of(const char *text, const struct cw_token *token, struct cw_token_mark *mark)
{
    unsigned int size = 0;
    return EVP_Digest(text, token->signed_length, mark->digest, &size, EVP_sha256(), NULL) == 1 &&
           size == sizeof mark->digest;
}

/* ---------------------------------------------------------------- judging */

__attribute__((format(printf, 1, 2))) static struct cw_verdict no(const char *format, ...)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_NO};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict.words, sizeof verdict.words, format, arguments);
    va_end(arguments);
    return verdict;
}

static int32_t find_key(const struct cw_config_break_glass *keys, const char *who)
{
    for (uint32_t i = 0; i < keys->key_count; i++)
        if (strcmp(keys->keys[i].name, who) == 0)
            return (int32_t)i;
    return -1;
}

/* Does it say what is wanted? Words without an end: the caller says how to go on. */
static struct cw_verdict judge_request(const struct cw_token *token, const struct cw_token_request *wanted)
{
    const struct cw_token_request *said = &token->request;
    if (strcmp(said->cluster, wanted->cluster) != 0)
        return no("the token of %s is for cluster %s, and this is %s", token->who, said->cluster,
                  wanted->cluster);
    if (said->group != wanted->group || strcmp(said->name, wanted->name) != 0)
        return no("the token of %s is for group %s (%u), not for %s (%u)", token->who, said->name,
                  said->group, wanted->name, wanted->group);
    if (strcmp(said->site, wanted->site) != 0)
        return no("the token of %s promotes %s, not %s", token->who, said->site, wanted->site);
#if CW_PLANTED_BUG != 34 /* a token is not bound to the epoch */
    if (said->epoch != wanted->epoch)
        return no("the token of %s takes over from epoch %" PRIu64 ", and %s is at %" PRIu64
                  " now: what its signer knew is not how it is any more",
                  token->who, said->epoch, wanted->name, wanted->epoch);
#endif
    return (struct cw_verdict){.answer = CW_ANSWER_YES};
}

static bool is_used(const struct cw_token_facts *facts, const struct cw_token_mark *mark)
{
    for (uint32_t i = 0; i < facts->used_count; i++)
        if (memcmp(facts->used[i].digest, mark->digest, sizeof mark->digest) == 0)
            return true;
    return false;
}

static struct cw_verdict judge_one(const char *text, const struct cw_token_facts *facts, uint32_t *seen,
                                   struct cw_token *token, struct cw_token_mark *mark)
{
    char until[TIME_SIZE], now[TIME_SIZE];
    if (!cw_token_parse(text, token))
        return no("\"%.40s...\" is no token: it was cut or changed on its way", text);
    int32_t index = find_key(facts->keys, token->who);
    if (index < 0)
        return no("%s is not among break_glass.keys of this node's configuration", token->who);
    if (!is_signed_by(text, token, facts->keys->keys[index].key) || !mark_of(text, token, mark))
        return no("the token of %s was not signed with the key that break_glass.keys has for %s", token->who,
                  token->who);
    if (*seen >> index & 1)
        return no("%s signed two of the tokens, which counts once", token->who);
    *seen |= 1u << index;
    struct cw_verdict verdict = judge_request(token, &facts->wanted);
    if (verdict.answer != CW_ANSWER_YES)
        return verdict;
    cw_token_time(token->until, until);
    cw_token_time(facts->now, now);
    if (facts->now >= token->until)
        return no("the token of %s ended %s, and the clock here says %s (is it right?)", token->who, until,
                  now);
    if (token->until - facts->now > (int64_t)CW_TOKEN_HOURS_MAX * 3600)
        return no(
            "the token of %s would live until %s, and more than %u h from now, %s, is not taken (is the "
            "clock here right?)",
            token->who, until, CW_TOKEN_HOURS_MAX, now);
    if (is_used(facts, mark))
        return no("the token of %s was used already", token->who);
    return verdict;
}

static void add_name(char *words, size_t size, const char *name)
{
    size_t used = strlen(words);
    snprintf(words + used, size - used, "%s%s", used ? ", " : "", name);
}

struct cw_verdict cw_tokens_judge(const char *const *texts, uint32_t count,
                                  const struct cw_token_facts *facts, struct cw_token_mark *marks)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_YES};
    char names[sizeof verdict.words] = "";
    uint32_t seen = 0;
    CW_ASSERT(facts->keys->threshold > 0 && facts->keys->threshold <= facts->keys->key_count);
    if (count > CW_TOKENS_MAX)
        return no("%u tokens, where there are %u keys", count, facts->keys->key_count);
    for (uint32_t i = 0; i < count; i++) {
        struct cw_token token;
        verdict = judge_one(texts[i], facts, &seen, &token, &marks[i]);
        if (verdict.answer != CW_ANSWER_YES)
            return verdict;
        add_name(names, sizeof names, token.who);
    }
    if (count < facts->keys->threshold)
        return no("%u of %u tokens%s%s: it takes those of %u different operators", count,
                  facts->keys->threshold, count ? ", of " : "", names, facts->keys->threshold);
    snprintf(verdict.words, sizeof verdict.words, "%s", names);
    return verdict;
}

/* ---------------------------------------------------------------- what speaks against it */

/* One whose controller is heard: what its engine is, and what its own file of tokens has. */
static struct cw_verdict judge_told(const struct cw_token_sites *facts, const struct cw_token_site *other,
                                    uint32_t rank)
{
    const char *group = facts->group;
    if (other->held)
        return no("%s is heard here, and holds %s by tokens itself, in epoch %" PRIu64
                  ": two would be primary. Leave it there; or stop its engine and controller first, and see "
                  "that they stay off",
                  other->name, group, other->held);
    if (other->is_alive && other->is_primary && other->epoch >= facts->store_epoch)
        return no(
            "%s is heard here, and says that it is primary of %s, in epoch %" PRIu64
            ": it lives, and may go on by grants of the other sites. Leave it there; or stop its engine "
            "and controller first, and see that they stay off",
            other->name, group, other->epoch);
    if (other->is_alive && strcmp(other->name, facts->holder) == 0)
        return no("%s, which holds %s, is heard here: it lives, and may go on by grants of the other sites. "
                  "Stop its engine and controller first, and see that they stay off",
                  other->name, group);
    if (other->breaking && rank < facts->rank)
        return no("tokens are about to promote %s for %s as well: two would be primary. Let it end there; if "
                  "it fails, try again here",
                  other->name, group);
    if (other->breaking)
        return (struct cw_verdict){.answer = CW_ANSWER_LATER};
    if (other->epoch > facts->own_epoch && !facts->accept_loss)
        return no("%s is heard here, and has seen epoch %" PRIu64
                  " of %s, where the engine of %s has %" PRIu64
                  ": what was written since is missing here. Promote that one: causeway promote %s --site %s "
                  "--break-glass; or, without those writes: causeway promote %s --site %s --accept-loss "
                  "--break-glass",
                  other->name, other->epoch, group, facts->site, facts->own_epoch, group, other->name, group,
                  facts->site);
    return (struct cw_verdict){.answer = CW_ANSWER_YES};
}

struct cw_verdict cw_tokens_judge_sites(const struct cw_token_sites *facts)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_YES};
    char silent[sizeof verdict.words] = "";
    CW_ASSERT(facts->count <= CW_SET_MAX);
    for (uint32_t i = 0; i < facts->count; i++) {
        const struct cw_token_site *other = &facts->others[i];
        struct cw_verdict one = {.answer = CW_ANSWER_YES};
        if (other->is_told)
            one = judge_told(facts, other, facts->ranks[i]);
        else
            add_name(silent, sizeof silent, other->name);
        if (other->has_path && !other->is_alive && one.answer != CW_ANSWER_NO)
            one = no("the engine of %s is heard here, and its controller says nothing of it: whether it is "
                     "primary of %s is not known. Start its controller; or stop its engine, "
                     "and see that it stays off",
                     other->name, facts->group);
        if (one.answer == CW_ANSWER_NO)
            return one;
        if (one.answer == CW_ANSWER_LATER)
            verdict = one;
    }
    snprintf(verdict.words, sizeof verdict.words, "%s", silent);
    return verdict;
}

uint64_t cw_break_glass_epoch(uint64_t known)
{
    return ((known >> 32) + 1) << 32;
}
