/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/yaml_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct walk {
    yaml_parser_t parser;
    struct cw_yaml_lines *lines;
    struct cw_config_mistakes *mistakes;
    uint32_t depth;
};

static uint32_t line_of(const yaml_event_t *event)
{
    return (uint32_t)event->start_mark.line + 1;
}

static void remember(struct walk *walk, const char *path, uint32_t line)
{
    if (walk->lines->count == CW_YAML_LINES_MAX)
        return;
    uint32_t at = walk->lines->count++;
    snprintf(walk->lines->list[at].path, CW_YAML_PATH_SIZE, "%s", path);
    walk->lines->list[at].line = line;
}

/* Said, and nothing can be made of the whole any more. */
#define spoilt(walk, ...)                                                                                    \
    ((walk)->lines->is_loadable = false, cw_config_mistake_add((walk)->mistakes, __VA_ARGS__))

/* False: no YAML from here on; said already. */
static bool next_event(struct walk *walk, yaml_event_t *event)
{
    if (!yaml_parser_parse(&walk->parser, event)) {
        spoilt(walk, (uint32_t)walk->parser.problem_mark.line + 1, "not YAML: %s",
               walk->parser.problem ? walk->parser.problem : "unreadable");
        return false;
    }
    return true;
}

static bool walk_value(struct walk *walk, yaml_event_t *event, const cyaml_schema_value_t *schema,
                       const char *path);

/* Takes whatever value begins with event, without looking at it. */
static bool skip_value(struct walk *walk, yaml_event_t *event)
{
    uint32_t depth = 0;
    for (;;) {
        yaml_event_type_t type = event->type;
        yaml_event_delete(event);
        if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
            depth++;
        if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
            depth--;
        if (depth == 0 || type == YAML_STREAM_END_EVENT)
            return true;
        if (!next_event(walk, event))
            return false;
    }
}

static const cyaml_schema_field_t *find_field(const cyaml_schema_value_t *schema, const char *key)
{
    for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++) {
        if (strcmp(field->key, key) == 0)
            return field;
    }
    return NULL;
}

static void say_unknown(struct walk *walk, const cyaml_schema_value_t *schema, const char *path,
                        uint32_t line)
{
    char keys[400] = "";
    size_t used = 0;
    for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++) {
        int n = snprintf(keys + used, sizeof keys - used, "%s%s", used ? ", " : "", field->key);
        if (n < 0 || (size_t)n >= sizeof keys - used)
            break;
        used += (size_t)n;
    }
    cw_config_mistake_add(walk->mistakes, line, "unknown key %s: expected one of %s", path, keys);
}

static bool is_known_path(const struct walk *walk, const char *path)
{
    for (uint32_t i = 0; i < walk->lines->count; i++) {
        if (strcmp(walk->lines->list[i].path, path) == 0)
            return true;
    }
    return false;
}

/* One "key: value" of a mapping; event is the key and is taken. */
static bool walk_pair(struct walk *walk, yaml_event_t *event, const cyaml_schema_value_t *schema,
                      const char *path)
{
    char inner[CW_YAML_PATH_SIZE];
    const cyaml_schema_field_t *field = NULL;
    uint32_t line = line_of(event);
    if (event->type == YAML_SCALAR_EVENT) {
        const char *key = (const char *)event->data.scalar.value;
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        field = find_field(schema, key);
        if (!field)
            say_unknown(walk, schema, inner, line);
        else if (is_known_path(walk, inner))
            spoilt(walk, line, "%s is given twice: expected once", inner);
    } else {
        spoilt(walk, line, "a key that is a list or mapping: expected a word");
    }
    if (!skip_value(walk, event) || !next_event(walk, event))
        return false;
    if (!field && event->type != YAML_SCALAR_EVENT)
        walk->lines->is_loadable = false; /* libcyaml passes over it by recursion */
    return field ? walk_value(walk, event, &field->value, inner) : skip_value(walk, event);
}

static bool walk_mapping(struct walk *walk, yaml_event_t *event, const cyaml_schema_value_t *schema,
                         const char *path)
{
    yaml_event_delete(event);
    for (;;) {
        if (!next_event(walk, event))
            return false;
        if (event->type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(event);
            return true;
        }
        if (!walk_pair(walk, event, schema, path))
            return false;
    }
}

static bool walk_sequence(struct walk *walk, yaml_event_t *event, const cyaml_schema_value_t *schema,
                          const char *path)
{
    uint32_t line = line_of(event), count = 0;
    yaml_event_delete(event);
    for (;; count++) {
        char inner[CW_YAML_PATH_SIZE];
        if (!next_event(walk, event))
            return false;
        if (event->type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(event);
            break;
        }
        snprintf(inner, sizeof inner, "%s[%u]", path, count);
        if (!walk_value(walk, event, schema->sequence.entry, inner))
            return false;
    }
    if (count < schema->sequence.min || count > schema->sequence.max)
        spoilt(walk, line, "%s has %u entries: expected %u to %u", path, count, schema->sequence.min,
               schema->sequence.max);
    return true;
}

static const char *shape_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return "a single value";
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_ALIAS_EVENT:
        return "an alias";
    default:
        return "nothing";
    }
}

static const char *shape_wanted(const cyaml_schema_value_t *schema)
{
    return schema->type == CYAML_MAPPING    ? "a mapping"
           : schema->type == CYAML_SEQUENCE ? "a list"
                                            : "a single value";
}

/* Then it is remembered where it stands. */
static bool is_single_of_list(struct walk *walk, const yaml_event_t *event,
                              const cyaml_schema_value_t *schema, const char *path)
{
    struct cw_yaml_lines *lines = walk->lines;
    if (event->type != YAML_SCALAR_EVENT || schema->type != CYAML_SEQUENCE ||
        schema->sequence.entry->type != CYAML_STRING || lines->single_count == CW_YAML_SINGLES_MAX ||
        event->start_mark.index == event->end_mark.index)
        return false;
    uint32_t at = lines->single_count++;
    snprintf(lines->singles[at].path, CW_YAML_PATH_SIZE, "%s", path);
    lines->singles[at].begin = event->start_mark.index;
    lines->singles[at].end = event->end_mark.index;
    return true;
}

static bool shape_fits(const yaml_event_t *event, const cyaml_schema_value_t *schema)
{
    return strcmp(shape_of(event), shape_wanted(schema)) == 0;
}

/* The value that begins with event; event is taken. False: no YAML any more. */
static bool walk_value(struct walk *walk, yaml_event_t *event, const cyaml_schema_value_t *schema,
                       const char *path)
{
    bool ok;
    remember(walk, path, line_of(event));
    if (is_single_of_list(walk, event, schema, path))
        return skip_value(walk, event);
    if (!shape_fits(event, schema) || walk->depth == CW_YAML_DEPTH_MAX) {
        spoilt(walk, line_of(event), "%s is %s: expected %s", *path ? path : "the document", shape_of(event),
               shape_wanted(schema));
        return skip_value(walk, event);
    }
    walk->depth++;
    if (event->type == YAML_MAPPING_START_EVENT)
        ok = walk_mapping(walk, event, schema, path);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        ok = walk_sequence(walk, event, schema, path);
    else
        ok = skip_value(walk, event);
    walk->depth--;
    return ok;
}

/* Stream start, document start, the value. False: it ends before a value begins; said. */
static bool walk_document(struct walk *walk, const cyaml_schema_value_t *schema)
{
    yaml_event_t event;
    for (;;) {
        if (!next_event(walk, &event))
            return false;
        if (event.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            spoilt(walk, 1, "the file is empty: expected a mapping");
            return false;
        }
        if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT)
            return walk_value(walk, &event, schema, "");
        yaml_event_delete(&event);
    }
}

/* After the value: the rest must be sound, and no second document. */
static void walk_rest(struct walk *walk)
{
    yaml_event_t event;
    for (bool is_end = false; !is_end;) {
        if (!next_event(walk, &event))
            return;
        if (event.type == YAML_DOCUMENT_START_EVENT) {
            spoilt(walk, line_of(&event), "a second document: expected one");
            is_end = true;
        }
        if (event.type == YAML_STREAM_END_EVENT)
            is_end = true;
        yaml_event_delete(&event);
    }
}

static void walk_text(const char *text, size_t length, const cyaml_schema_value_t *schema,
                      struct cw_yaml_lines *lines, struct cw_config_mistakes *mistakes)
{
    struct walk walk = {.lines = lines, .mistakes = mistakes};
    lines->count = 0;
    lines->single_count = 0;
    lines->is_loadable = true;
    if (!yaml_parser_initialize(&walk.parser)) {
        spoilt(&walk, 0, "no memory for the YAML parser");
        return;
    }
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, length);
    if (walk_document(&walk, schema))
        walk_rest(&walk);
    yaml_parser_delete(&walk.parser);
}

/* With brackets around single values that stand for lists, which libcyaml does not know: at so many characters
 * from the beginning, as libyaml counts them. The caller frees. */
static char *with_brackets(const char *text, size_t length, const struct cw_yaml_lines *lines,
                           size_t *to_length)
{
    char *to = malloc(length + 2 * (size_t)lines->single_count + 1);
    size_t used = 0, characters = 0;
    uint32_t next = 0;
    for (size_t at = 0; to != NULL && at <= length; at++) {
        bool begins = at == length || ((uint8_t)text[at] & 0xc0) != 0x80;
        if (begins && next < lines->single_count && characters == lines->singles[next].end) {
            to[used++] = ']';
            next++;
        }
        if (begins && next < lines->single_count && characters == lines->singles[next].begin)
            to[used++] = '[';
        characters += begins;
        if (at < length)
            to[used++] = text[at];
    }
    *to_length = used;
    return to;
}

void cw_yaml_free(const cyaml_schema_value_t *schema, void *data)
{
    const cyaml_config_t options = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    cyaml_free(&options, schema, data, 0);
}

/* The walk has held the document against the same table: what libcyaml still minds is rare, and said. */
void *cw_yaml_load(const char *text, size_t length, const cyaml_schema_value_t *schema,
                   struct cw_yaml_lines *lines, struct cw_config_mistakes *mistakes)
{
    const cyaml_config_t options = {.log_fn = NULL,
                                    .mem_fn = cyaml_mem,
                                    .log_level = CYAML_LOG_ERROR,
                                    .flags = CYAML_CFG_NO_ALIAS | CYAML_CFG_IGNORE_UNKNOWN_KEYS};
    cyaml_data_t *data = NULL;
    walk_text(text, length, schema, lines, mistakes);
    if (!lines->is_loadable)
        return NULL;
    char *bracketed = with_brackets(text, length, lines, &length);
    cyaml_err_t error = CYAML_ERR_OOM;
    if (bracketed != NULL)
        error = cyaml_load_data((const uint8_t *)bracketed, length, &options, schema, &data, NULL);
    free(bracketed);
    if (error == CYAML_OK && data != NULL)
        return data;
    cw_config_mistake_add(mistakes, 0, "libcyaml: %s", cyaml_strerror(error));
    return NULL;
}

bool cw_yaml_lines_is_single(const struct cw_yaml_lines *lines, const char *path)
{
    for (uint32_t i = 0; i < lines->single_count; i++) {
        if (strcmp(lines->singles[i].path, path) == 0)
            return true;
    }
    return false;
}

uint32_t cw_yaml_lines_find(const struct cw_yaml_lines *lines, const char *path)
{
    char part[CW_YAML_PATH_SIZE];
    snprintf(part, sizeof part, "%s", path);
    for (;;) {
        for (uint32_t i = 0; i < lines->count; i++) {
            if (strcmp(lines->list[i].path, part) == 0)
                return lines->list[i].line;
        }
        if (part[0] == 0)
            return 0;
        char *dot = strrchr(part, '.'), *bracket = strrchr(part, '[');
        char *cut = dot > bracket ? dot : bracket;
        *(cut ? cut : part) = 0;
    }
}

void cw_config_expected(struct cw_config_mistakes *mistakes, const struct cw_yaml_lines *lines,
                        const char *path, const char *value, const char *words)
{
    uint32_t line = cw_yaml_lines_find(lines, path);
    if (value)
        cw_config_mistake_add(mistakes, line, "%s is %.48s: expected %s", path, *value ? value : "empty",
                              words);
    else
        cw_config_mistake_add(mistakes, line, "%s is missing: expected %s", path, words);
}
