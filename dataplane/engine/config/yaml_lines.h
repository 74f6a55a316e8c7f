/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where each value of a YAML document stands: a flat list of (path, line), such as ("paths[0].mtu", 12),
 * made by one walk over libyaml's events. The walk also holds the document against a libcyaml schema and
 * names every unknown key, missing list, repeated key and value of the wrong shape, each with its line,
 * which libcyaml cannot (it stops at the first and keeps no positions in what it loaded).
 *
 * Then libcyaml loads it. Where a list of single values is wanted, a single value will do.
 *
 * Depends on nothing else of a node's configuration: nic-config reads its wishes by it.
 */
#pragma once

#include <cyaml/cyaml.h>
#include <stdbool.h>

#include "engine/config/mistakes.h"

#define CW_YAML_LINES_MAX   512u
#define CW_YAML_PATH_SIZE   96u
#define CW_YAML_DEPTH_MAX   8u
#define CW_YAML_SINGLES_MAX 32u

struct cw_yaml_lines {
    uint32_t count;
    bool is_loadable; /* no value is of the wrong shape, none is given twice */
    struct {
        char path[CW_YAML_PATH_SIZE];
        uint32_t line;
    } list[CW_YAML_LINES_MAX];
    uint32_t single_count; /* values that each stand for a list of it: their characters, from the beginning */
    struct {
        char path[CW_YAML_PATH_SIZE];
        size_t begin, end;
    } singles[CW_YAML_SINGLES_MAX];
};

/* The document as the schema, whose outermost value is a pointer to a mapping, has it; for cw_yaml_free. Names
 * every mistake of form; NULL when what it means cannot be told for them: unknown keys alone are passed over. */
void *cw_yaml_load(const char *text, size_t length, const cyaml_schema_value_t *schema,
                   struct cw_yaml_lines *lines, struct cw_config_mistakes *mistakes);
void cw_yaml_free(const cyaml_schema_value_t *schema, void *data);

/* A single value stood there in the place of a list. */
bool cw_yaml_lines_is_single(const struct cw_yaml_lines *lines, const char *path);

/* The line of a path, or of the nearest part of it that is there; 0: none. */
uint32_t cw_yaml_lines_find(const struct cw_yaml_lines *lines, const char *path);

/* One more mistake: "PATH is VALUE: expected WORDS", or "PATH is missing: expected WORDS". */
void cw_config_expected(struct cw_config_mistakes *mistakes, const struct cw_yaml_lines *lines,
                        const char *path, const char *value, const char *words);
