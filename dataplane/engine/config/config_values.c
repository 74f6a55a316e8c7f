/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/config_values.h"

#include <stdarg.h>
#include <string.h>

void cw_check_expected(const struct cw_check *check, const char *path, const char *value, const char *format,
                       ...)
{
    char words[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cw_config_expected(check->mistakes, check->lines, path, value, words);
}

void cw_check_number(const struct cw_check *check, const char *path, const char *value, uint64_t low,
                     uint64_t high, uint64_t *number)
{
    if (!value || !cw_quantity_number(value, low, high, number))
        cw_check_expected(check, path, value, "a number from %lu to %lu", low, high);
}

void cw_check_number32(const struct cw_check *check, const char *path, const char *value, uint32_t low,
                       uint32_t high, uint32_t otherwise, uint32_t *number)
{
    uint64_t n = otherwise;
    if (value)
        cw_check_number(check, path, value, low, high, &n);
    *number = (uint32_t)n;
}

bool cw_check_name(const struct cw_check *check, const char *path, const char *value,
                   char name[CW_CONFIG_NAME_SIZE])
{
    if (!value || !cw_config_name_check(value)) {
        cw_check_expected(check, path, value, "a name of 1 to %u letters, digits, '-', '_', '.'",
                          CW_CONFIG_NAME_SIZE - 1);
        return false;
    }
    snprintf(name, CW_CONFIG_NAME_SIZE, "%s", value);
    return true;
}

bool cw_check_path(const struct cw_check *check, const char *path, const char *value, const char *otherwise,
                   char *to, size_t size)
{
    if (!value && otherwise)
        value = otherwise;
    if (!value || value[0] != '/') {
        cw_check_expected(check, path, value, "an absolute path");
        return false;
    }
    if (strlen(value) >= size) {
        cw_check_expected(
            check, path, value, "a path of at most %zu bytes (this one has %zu)%s", size - 1, strlen(value),
            size == CW_CONFIG_SOCKET_SIZE ? ", as sockets have no longer names: a shorter directory" : "");
        return false;
    }
    snprintf(to, size, "%s", value);
    return true;
}

void cw_check_address(const struct cw_check *check, const char *path, const char *value,
                      struct cw_config_address *address)
{
    if (value && !cw_config_address_parse(value, address))
        cw_check_expected(check, path, value,
                          "an address and a port, such as 10.0.1.1:7443 or [fd00::1]:7443");
}

bool cw_check_bool(const struct cw_check *check, const char *path, const char *value, bool otherwise)
{
    if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        cw_check_expected(check, path, value, "true or false");
    return value ? strcmp(value, "true") == 0 : otherwise;
}

const struct cw_config_site *cw_check_find_site(const struct cw_check *check, const char *name)
{
    for (uint32_t i = 0; i < check->config->site_count && name; i++) {
        if (strcmp(check->config->sites[i].name, name) == 0)
            return &check->config->sites[i];
    }
    return NULL;
}
