/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/yaml_lines.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"

struct walk {
    yaml_parser_t parser;
    struct cw_yaml_lines *lines;
    struct cw_config_mistakes *mistakes;
    uint32_t depth;
};

void cw_config_mistake_add(struct cw_config_mistakes *mistakes, uint32_t line, const char *format, ...)
{
    if (mistakes->count == CW_CONFIG_MISTAKES_MAX) {
        mistakes->left_out++;
        return;
    }
    struct cw_config_mistake *mistake = &mistakes->list[mistakes->count++];
    mistake->line = line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(mistake->text, sizeof mistake->text, format, arguments);
    va_end(arguments);
}

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

/* False: no YAML from here on; said already. */
static bool next_event(struct walk *walk, yaml_event_t *event)
{
    if (!yaml_parser_parse(&walk->parser, event)) {
        cw_config_mistake_add(walk->mistakes, (uint32_t)walk->parser.problem_mark.line + 1, "not YAML: %s",
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
    char keys[320] = "";
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
            cw_config_mistake_add(walk->mistakes, line, "%s is given twice: expected once", inner);
    } else {
        cw_config_mistake_add(walk->mistakes, line, "a key that is a list or mapping: expected a word");
    }
    if (!skip_value(walk, event) || !next_event(walk, event))
        return false;
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
        cw_config_mistake_add(walk->mistakes, line, "%s has %u entries: expected %u to %u", path, count,
                              schema->sequence.min, schema->sequence.max);
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
                              const cyaml_schema_value_t *schema)
{
    struct cw_yaml_lines *lines = walk->lines;
    if (event->type != YAML_SCALAR_EVENT || schema->type != CYAML_SEQUENCE ||
        schema->sequence.entry->type != CYAML_STRING || lines->has_single)
        return false;
    lines->has_single = true;
    lines->single_begin = event->start_mark.index;
    lines->single_end = event->end_mark.index;
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
    if (is_single_of_list(walk, event, schema))
        return skip_value(walk, event);
    if (!shape_fits(event, schema) || walk->depth == CW_YAML_DEPTH_MAX) {
        cw_config_mistake_add(walk->mistakes, line_of(event), "%s is %s: expected %s",
                              *path ? path : "the document", shape_of(event), shape_wanted(schema));
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
            cw_config_mistake_add(walk->mistakes, 1, "the file is empty: expected a mapping");
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
            cw_config_mistake_add(walk->mistakes, line_of(&event), "a second document: expected one");
            is_end = true;
        }
        if (event.type == YAML_STREAM_END_EVENT)
            is_end = true;
        yaml_event_delete(&event);
    }
}

bool cw_yaml_lines_walk(const char *text, size_t length, const cyaml_schema_value_t *schema,
                        struct cw_yaml_lines *lines, struct cw_config_mistakes *mistakes)
{
    struct walk walk = {.lines = lines, .mistakes = mistakes};
    uint32_t before = mistakes->count;
    lines->count = 0;
    lines->has_single = false;
    if (!yaml_parser_initialize(&walk.parser)) {
        cw_config_mistake_add(mistakes, 0, "no memory for the YAML parser");
        return false;
    }
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, length);
    if (walk_document(&walk, schema))
        walk_rest(&walk);
    yaml_parser_delete(&walk.parser);
    return mistakes->count == before;
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
