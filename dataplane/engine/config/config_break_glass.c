/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of the configuration that says whose tokens count when no quorum of the store is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/raw_config.h"

struct glass_check {
    const struct cw_raw_config *raw;
    const struct cw_yaml_lines *lines;
    struct cw_config_mistakes *mistakes;
    struct cw_config_break_glass *glass;
};

static void expected(const struct glass_check *check, const char *path, const char *value, const char *words)
{
    cw_config_expected(check->mistakes, check->lines, path, value, words);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cw_config_parse_operator_key(const char *text, struct cw_config_operator_key *key)
{
    size_t length = strcspn(text, ":");
    *key = (struct cw_config_operator_key){.name = ""};
    if (length >= sizeof key->name || text[length] != ':')
        return false;
    memcpy(key->name, text, length);
    text += length + 1;
    for (size_t i = 0; i < 2 * sizeof key->key; i++) {
        int digit = digit_of(text[i]); /* the end is none */
        if (digit < 0)
            return false;
        key->key[i / 2] = (uint8_t)(key->key[i / 2] << 4 | digit);
    }
    return text[2 * sizeof key->key] == 0 && cw_config_name_check(key->name);
}

/* One person with two names would count twice. */
static void check_different(const struct glass_check *check, uint32_t index, const char *path)
{
    const struct cw_config_operator_key *key = &check->glass->keys[index];
    for (uint32_t i = 0; i < index; i++) {
        const struct cw_config_operator_key *other = &check->glass->keys[i];
        char words[CW_YAML_PATH_SIZE];
        bool is_name = strcmp(other->name, key->name) == 0;
        if (!is_name && memcmp(other->key, key->key, sizeof key->key) != 0)
            continue;
        snprintf(words, sizeof words, "another %s than break_glass.keys[%u]", is_name ? "name" : "key", i);
        expected(check, path, check->raw->break_glass->keys[index], words);
        return;
    }
}

static void check_keys(const struct glass_check *check)
{
    if (!check->raw->break_glass->keys)
        expected(check, "break_glass.keys", NULL, "a list of NAME:KEY");
    for (uint32_t i = 0; i < check->raw->break_glass->keys_count; i++) {
        char path[CW_YAML_PATH_SIZE];
        const char *value = check->raw->break_glass->keys[i];
        snprintf(path, sizeof path, "break_glass.keys[%u]", i);
        if (cw_config_parse_operator_key(value, &check->glass->keys[check->glass->key_count++]))
            check_different(check, i, path);
        else
            expected(check, path, value,
                     "NAME:KEY, 64 hexadecimal digits, as causeway break-glass key prints it");
    }
}

static void check_threshold(const struct glass_check *check)
{
    const char *text = check->raw->break_glass->threshold;
    char words[64], *end = NULL;
    unsigned long threshold = text ? strtoul(text, &end, 10) : 0;
    bool is_number = text && *text >= '0' && *text <= '9' && *end == 0;
    if (is_number && threshold > 0 && threshold <= check->glass->key_count) {
        check->glass->threshold = (uint32_t)threshold;
        return;
    }
    snprintf(words, sizeof words, "a number from 1 to %u, the number of the keys", check->glass->key_count);
    expected(check, "break_glass.threshold", text, words);
}

void cw_config_check_break_glass(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                                 struct cw_node_config *config, struct cw_config_mistakes *mistakes)
{
    struct cw_config_break_glass *glass = &config->break_glass;
    const struct glass_check check = {.raw = raw, .lines = lines, .mistakes = mistakes, .glass = glass};
    const char *cluster = raw->break_glass->cluster ? raw->break_glass->cluster : "default";
    if (!cw_config_name_check(cluster))
        expected(&check, "break_glass.cluster", cluster, "a name of 1 to 31 letters, digits, '-', '_', '.'");
    snprintf(glass->cluster, sizeof glass->cluster, "%s", cluster);
    check_keys(&check);
    if (glass->key_count > 0)
        check_threshold(&check);
}
