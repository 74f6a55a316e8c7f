/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every value is written such that it is read as it is: words in double quotes where they could be taken for something
 * else, and only bytes that need no escape there. A card or a name that has others was refused long before; here it
 * would give a file that the engine refuses.
 */
#include "nic-config/prepared.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *to;
    size_t size, used;
    bool is_full;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->to + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= text->size - text->used)
        text->is_full = true;
    else
        text->used += (size_t)n;
}

enum cw_status cw_prepared_text(const struct cw_plan *plan, uint32_t index, char *to, size_t size)
{
    const struct cw_prepared *path = &plan->prepared[index];
    struct text text = {.to = to, .size = size, .is_full = size == 0};
    if (text.is_full)
        return CW_RANGE;
    add(&text,
        "# Made by causeway nic apply, removed by causeway nic revert: change the wish, not this file.\n");
    add(&text, "format: 1\npath: \"%s\"\ndevice: \"%s\"\ndriver: \"%s\"\ncard: \"%s\"\ninterface: \"%s\"\n",
        path->name, path->device, path->driver, path->card, path->interface);
    add(&text, "shared: %s\nnode: %d\nqueues: %u\nmtu: %u\nvlan: %u\nlcores: [",
        path->is_shared ? "true" : "false", path->node, path->queues, path->mtu, path->vlan);
    for (uint32_t i = 0; i < plan->lcore_count && !text.is_full; i++)
        add(&text, "%s%u", i > 0 ? ", " : "", plan->lcores[i]);
    if (!text.is_full)
        add(&text, "]\n");
    if (text.is_full)
        to[0] = 0; /* half a file says other things than the whole */
    return text.is_full ? CW_RANGE : CW_OK;
}
