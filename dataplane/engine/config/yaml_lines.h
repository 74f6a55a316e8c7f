/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where each value of a YAML document stands: a flat list of (path, line), such as ("paths[0].mtu", 12),
 * made by one walk over libyaml's events. The walk also holds the document against a libcyaml schema and
 * names every unknown key, missing list, repeated key and value of the wrong shape, each with its line,
 * which libcyaml cannot (it stops at the first and keeps no positions in what it loaded).
 *
 * Where a list of single values is wanted, a single value will do, once in a document.
 */
#pragma once

#include <cyaml/cyaml.h>

#include "engine/config/node_config.h"

#define CW_YAML_LINES_MAX 512u
#define CW_YAML_PATH_SIZE 96u
#define CW_YAML_DEPTH_MAX 8u

struct cw_yaml_lines {
    uint32_t count;
    bool has_single; /* a value that stands for a list of it: its characters, from the beginning */
    size_t single_begin, single_end;
    struct {
        char path[CW_YAML_PATH_SIZE];
        uint32_t line;
    } list[CW_YAML_LINES_MAX];
};

/* True when the document fits the schema; else mistakes has grown. */
bool cw_yaml_lines_walk(const char *text, size_t length, const cyaml_schema_value_t *schema,
                        struct cw_yaml_lines *lines, struct cw_config_mistakes *mistakes);

/* The line of a path, or of the nearest part of it that is there; 0: none. */
uint32_t cw_yaml_lines_find(const struct cw_yaml_lines *lines, const char *path);

void cw_config_mistake_add(struct cw_config_mistakes *mistakes, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
