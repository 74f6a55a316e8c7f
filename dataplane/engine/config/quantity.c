/* SPDX-License-Identifier: BSD-3-Clause */
/* Every one is checked for overflow. */
#include "engine/config/quantity.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/numbers.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits, then nothing or one unit of the table. */
static bool quantity(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
    uint64_t n = 0;
    if (!isdigit((unsigned char)*text))
        return false;
    for (; isdigit((unsigned char)*text); text++) {
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(text, units[i].name) == 0)
            return !__builtin_mul_overflow(n, units[i].factor, value);
    }
    return false;
}

bool cw_quantity_number(const char *text, uint64_t low, uint64_t high, uint64_t *number)
{
    static const struct unit units[] = {{"", 1}};
    uint64_t n;
    if (!quantity(text, units, CW_COUNT_OF(units), &n) || n < low || n > high)
        return false;
    *number = n;
    return true;
}

bool cw_quantity_bytes(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},         {"B", 1},      {"K", CW_KIB},   {"KiB", CW_KIB},      {"M", CW_MIB},
        {"MiB", CW_MIB}, {"G", CW_GIB}, {"GiB", CW_GIB}, {"T", 1024 * CW_GIB}, {"TiB", 1024 * CW_GIB},
    };
    return quantity(text, units, CW_COUNT_OF(units), bytes);
}

bool cw_quantity_bits_per_second(const char *text, uint64_t *rate)
{
    static const struct unit units[] = {{"bit", 1}, {"kbit", 1000}, {"mbit", 1000000}, {"gbit", 1000000000}};
    return quantity(text, units, CW_COUNT_OF(units), rate);
}

bool cw_quantity_milliseconds(const char *text, uint64_t *milliseconds)
{
    static const struct unit units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    return quantity(text, units, CW_COUNT_OF(units), milliseconds);
}

bool cw_config_name_check(const char *name)
{
    size_t length = strnlen(name, CW_CONFIG_NAME_SIZE);
    if (length == 0 || length >= CW_CONFIG_NAME_SIZE || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    }
    return true;
}
