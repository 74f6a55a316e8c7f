/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One value of a node's configuration at a time, for config_check.c and config_paths.c. Every check is one
 * call that takes the path of the value, so that the message can begin with it and find its line:
 * "node.yaml:12: paths[0].mtu is 70000: expected a number from 576 to 9600".
 */
#pragma once

#include "engine/config/raw_config.h"

struct cw_check {
    const struct cw_raw_config *raw;
    const struct cw_yaml_lines *lines;
    struct cw_node_config *config;
    struct cw_config_mistakes *mistakes;
    bool look_at_files;
};

/* value is not what it should be, or missing: NULL. */
__attribute__((format(printf, 4, 5))) void cw_check_expected(const struct cw_check *check, const char *path,
                                                             const char *value, const char *format, ...);
void cw_check_number(const struct cw_check *check, const char *path, const char *value, uint64_t low,
                     uint64_t high, uint64_t *number);
void cw_check_number32(const struct cw_check *check, const char *path, const char *value, uint32_t low,
                       uint32_t high, uint32_t otherwise, uint32_t *number);
bool cw_check_name(const struct cw_check *check, const char *path, const char *value,
                   char name[CW_CONFIG_NAME_SIZE]);
/* An absolute path that fits. otherwise: the default when it is missing, or NULL: required. */
bool cw_check_path(const struct cw_check *check, const char *path, const char *value, const char *otherwise,
                   char *to, size_t size);
void cw_check_address(const struct cw_check *check, const char *path, const char *value,
                      struct cw_config_address *address);
bool cw_check_bool(const struct cw_check *check, const char *path, const char *value, bool otherwise);
/* Among those that have been checked; NULL: none has this name. */
const struct cw_config_site *cw_check_find_site(const struct cw_check *check, const char *name);
