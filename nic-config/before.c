/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/before.h"

#include <string.h>

static const char *text_of(const json_t *before, const char *key)
{
    const char *text = json_string_value(json_object_get(before, key));
    return text ? text : "";
}

bool cw_before_is_of_device(const json_t *given_up, const json_t *bound)
{
    const char *folder = text_of(given_up, "device"), *slash = strrchr(folder, '/');
    return slash && slash[1] && strcmp(slash + 1, text_of(bound, "device")) == 0;
}
