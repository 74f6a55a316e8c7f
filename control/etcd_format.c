/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/etcd_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *cw_base64_encode(const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    char *text = malloc(length / 3 * 4 + 5), *to = text;
    if (!text)
        return NULL;
    for (size_t at = 0; at < length; at += 3) {
        uint32_t left = (uint32_t)(length - at < 3 ? length - at : 3);
        uint32_t word = (uint32_t)from[at] << 16 | (left > 1 ? (uint32_t)from[at + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)from[at + 2] : 0);
        *to++ = digits[word >> 18];
        *to++ = digits[word >> 12 & 63];
        *to++ = left > 1 ? digits[word >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[word & 63] : '=';
    }
    *to = 0;
    return text;
}

static int value_of(char digit)
{
    const char *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Four characters; the number of bytes, or 0: malformed. */
static size_t decode_four(const char *four, uint8_t *to)
{
    int a = value_of(four[0]), b = value_of(four[1]), c = value_of(four[2]), d = value_of(four[3]);
    if (a < 0 || b < 0)
        return 0;
    to[0] = (uint8_t)(a << 2 | b >> 4);
    if (four[2] == '=' && four[3] == '=')
        return (b & 15) == 0 ? 1 : 0;
    if (c < 0)
        return 0;
    to[1] = (uint8_t)((b & 15) << 4 | c >> 2);
    if (four[3] == '=')
        return (c & 3) == 0 ? 2 : 0;
    if (d < 0)
        return 0;
    to[2] = (uint8_t)((c & 3) << 6 | d);
    return 3;
}

char *cw_base64_decode(const char *text, size_t length_max, size_t *length)
{
    size_t size = strlen(text);
    *length = 0;
    if (size % 4 != 0 || size / 4 > (length_max + 2) / 3)
        return NULL;
    char *bytes = malloc(size / 4 * 3 + 1);
    for (size_t at = 0; bytes && at < size; at += 4) {
        size_t more = decode_four(text + at, (uint8_t *)bytes + *length);
        *length += more;
        if (more == 0 || (more < 3 && at + 4 < size) || *length > length_max) {
            free(bytes);
            return NULL;
        }
    }
    if (bytes)
        bytes[*length] = 0;
    return bytes;
}

bool cw_etcd_number(const json_t *object, const char *name, uint64_t *number)
{
    const json_t *value = json_object_get(object, name);
    *number = 0;
    if (!value)
        return true;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *number = (uint64_t)json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (!text || !*text || json_string_length(value) > 20)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(*text - '0'), number))
            return false;
    }
    return true;
}

bool cw_etcd_header_read(const json_t *answer, struct cw_etcd_header *header)
{
    const json_t *from = json_object_get(answer, "header");
    return json_is_object(from) && cw_etcd_number(from, "cluster_id", &header->cluster_id) &&
           cw_etcd_number(from, "revision", &header->revision) && header->cluster_id != 0 &&
           header->revision != 0 && header->revision <= INT64_MAX;
}

static bool read_key(const json_t *kv, char *key)
{
    size_t length = 0;
    const char *text = json_string_value(json_object_get(kv, "key"));
    char *bytes = text ? cw_base64_decode(text, CW_ETCD_KEY_SIZE - 1, &length) : NULL;
    bool is_text = bytes && length > 0 && memchr(bytes, 0, length) == NULL;
    if (is_text)
        memcpy(key, bytes, length + 1);
    free(bytes);
    return is_text;
}

bool cw_etcd_pair_read(const json_t *kv, struct cw_etcd_pair *pair)
{
    const json_t *value = json_object_get(kv, "value");
    *pair = (struct cw_etcd_pair){0};
    if (!json_is_object(kv) || !read_key(kv, pair->key) ||
        !cw_etcd_number(kv, "mod_revision", &pair->modified) || pair->modified == 0 ||
        pair->modified > INT64_MAX)
        return false;
    if (!value)
        return true;
    if (json_is_string(value) && json_string_length(value) > (size_t)CW_ETCD_VALUE_MAX / 3 * 4)
        return true;
    if (json_is_string(value))
        pair->value = cw_base64_decode(json_string_value(value), CW_ETCD_VALUE_MAX, &pair->length);
    return pair->value != NULL;
}

void cw_etcd_pair_free(struct cw_etcd_pair *pair)
{
    free(pair->value);
    pair->value = NULL;
}

/* ---------------------------------------------------------------- requests */

/* Takes the text; frees it. */
static json_t *string_of(char *text)
{
    json_t *string = text ? json_string(text) : NULL;
    free(text);
    return string;
}

static json_t *key_of(const char *key)
{
    return string_of(cw_base64_encode(key, strlen(key)));
}

/* The first key that does not begin with prefix any more. */
static json_t *end_of(const char *prefix)
{
    char end[CW_ETCD_KEY_SIZE];
    size_t length = strlen(prefix);
    CW_ASSERT(length > 0 && length < sizeof end && (uint8_t)prefix[length - 1] < 0x7f);
    memcpy(end, prefix, length + 1);
    end[length - 1]++;
    return key_of(end);
}

static json_t *number_of(uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lu", number);
    return json_string(text);
}

json_t *cw_etcd_range_request(const struct cw_etcd_range *range)
{
    /* Behind a key: the key with a NUL is the next one there can be. */
    json_t *from = range->from ? string_of(cw_base64_encode(range->from, strlen(range->from) + 1))
                               : key_of(range->prefix);
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:b}", "key", from, "range_end", end_of(range->prefix), "revision",
                     number_of(range->revision), "min_mod_revision", number_of(range->modified_min), "limit",
                     number_of(range->limit), "keys_only", range->keys_only);
}

json_t *cw_etcd_watch_request(const char *prefix, uint64_t revision)
{
    return json_pack("{s:{s:o,s:o,s:o}}", "create_request", "key", key_of(prefix), "range_end",
                     end_of(prefix), "start_revision", number_of(revision));
}

json_t *cw_etcd_compare(const char *key, uint64_t modified)
{
    return json_pack("{s:s,s:s,s:o,s:o}", "target", "MOD", "result", "EQUAL", "key", key_of(key),
                     "mod_revision", number_of(modified));
}

json_t *cw_etcd_put(const char *key, const char *value, size_t length)
{
    return json_pack("{s:{s:o,s:o}}", "request_put", "key", key_of(key), "value",
                     string_of(cw_base64_encode(value, length)));
}

json_t *cw_etcd_delete(const char *key, bool is_prefix)
{
    if (!is_prefix)
        return json_pack("{s:{s:o}}", "request_delete_range", "key", key_of(key));
    return json_pack("{s:{s:o,s:o}}", "request_delete_range", "key", key_of(key), "range_end", end_of(key));
}
