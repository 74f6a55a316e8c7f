/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/before.h"

#include <stdarg.h>
#include <stdio.h>
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

bool cw_before_is_same_interface(const json_t *a, const json_t *b)
{
    const char *name_a = text_of(json_object_get(json_object_get(a, "state"), "link"), "ifname"),
               *name_b = text_of(json_object_get(json_object_get(b, "state"), "link"), "ifname");
    const char *device = text_of(a, "device");
    return strcmp(device, text_of(b, "device")) == 0 && strcmp(text_of(a, "port"), text_of(b, "port")) == 0 &&
           (device[0] || strcmp(name_a, name_b) == 0);
}

/* A router has told of all of them. */
static bool is_by_router(const json_t *routes)
{
    size_t i;
    json_t *route;
    json_array_foreach(routes, i, route)
    {
        if (strcmp(text_of(route, "protocol"), "ra") != 0)
            return false;
    }
    return true;
}

bool cw_before_is_bare(const json_t *given_up)
{
    size_t i;
    json_t *address;
    const json_t *state = json_object_get(given_up, "state"), *link = json_object_get(state, "link");
    if (!is_by_router(json_object_get(state, "routes4")) ||
        !is_by_router(json_object_get(state, "routes6")) ||
        json_array_size(json_object_get(given_up, "uppers")) > 0 || text_of(link, "master")[0])
        return false;
    json_array_foreach(json_object_get(link, "addr_info"), i, address)
    {
        if (strcmp(text_of(address, "scope"), "link") != 0 &&
            !json_is_true(json_object_get(address, "dynamic")))
            return false;
    }
    return true;
}

json_t *cw_before_carry(const json_t *first, const json_t *now)
{
    json_int_t gone =
        json_integer_value(json_object_get(now, "time")) - json_integer_value(json_object_get(first, "time"));
    json_int_t seconds = json_integer_value(json_object_get(now, "seconds"));
    json_t *carried = json_deep_copy(first);
    if (gone < 0) /* somebody has set the clock */
        gone = 0;
    json_object_set_new(carried, "seconds", json_integer(seconds - gone));
    json_object_set(carried, "time", json_object_get(now, "time"));
    return carried;
}

struct text {
    char *to;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int more = text->used < text->size
                   ? vsnprintf(text->to + text->used, text->size - text->used, format, arguments)
                   : 0;
    va_end(arguments);
    text->used += more > 0 ? (size_t)more : 0;
}

void cw_before_words(const json_t *given_up, char *words, size_t size)
{
    struct text text = {words, size, 0};
    const json_t *state = json_object_get(given_up, "state"), *link = json_object_get(state, "link");
    size_t i, routes = json_array_size(json_object_get(state, "routes4")) +
                       json_array_size(json_object_get(state, "routes6"));
    json_t *item;
    add(&text, "%s: MAC %s, mtu %d", text_of(link, "ifname"), text_of(link, "address"),
        (int)json_integer_value(json_object_get(link, "mtu")));
    json_array_foreach(json_object_get(link, "addr_info"), i, item)
    {
        if (strcmp(text_of(item, "scope"), "link") != 0)
            add(&text, ", %s/%d", text_of(item, "local"),
                (int)json_integer_value(json_object_get(item, "prefixlen")));
    }
    if (routes > 0)
        add(&text, ", %zu route%s", routes, routes == 1 ? "" : "s");
    json_array_foreach(json_object_get(given_up, "uppers"), i, item)
    {
        add(&text, ", %s", text_of(json_object_get(item, "link"), "ifname"));
    }
}
