/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel takes any bytes as an alias or as another name of an interface, and ip gives them on as they are: then all
 * that it says is no JSON, of whichever interface it was asked.
 */
#include "nic-config/said.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 15 /* of an interface */

/* The interface that is told of at a place in the text; "": of none, or its name is not for a terminal. */
static void find_name(const char *text, size_t place, char name[static NAME_MAX_BYTES + 1])
{
    static const char key[] = "\"ifname\":\"";
    const char *last = NULL;
    for (const char *at = strstr(text, key); at && (size_t)(at - text) < place; at = strstr(at + 1, key))
        last = at + strlen(key);
    size_t length = last ? strcspn(last, "\"") : 0;
    name[0] = 0;
    for (size_t i = 0; i < length; i++)
        if (length > NAME_MAX_BYTES || last[i] <= ' ' || last[i] > '~' || strchr("'\\`$;&|<>", last[i]))
            return;
    snprintf(name, NAME_MAX_BYTES + 1, "%.*s", (int)length, last ? last : "");
}

/* The bytes that are part of one character, of one to four; 0: they are none. */
static size_t character_length(const unsigned char *at)
{
    size_t length = at[0] < 0x80   ? 1
                    : at[0] < 0xc2 ? 0
                    : at[0] < 0xe0 ? 2
                    : at[0] < 0xf0 ? 3
                    : at[0] < 0xf5 ? 4
                                   : 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* Where there is a byte that JSON does not have; false: nowhere. */
static bool find_bad_byte(const char *text, size_t *place)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t length = character_length(at);
        if (length == 0 || (*at < ' ' && !strchr("\t\r\n", *at))) {
            *place = (size_t)(at - (const unsigned char *)text);
            return true;
        }
        at += length;
    }
    return false;
}

static void say_why(const char *program, const char *text, int line, char *why, size_t size)
{
    char name[NAME_MAX_BYTES + 1];
    size_t place = 0;
    bool has_bad_byte = find_bad_byte(text, &place);
    if (has_bad_byte)
        find_name(text, place, name);
    if (text[strspn(text, " \t\r\n")] != '[')
        snprintf(why, size, "what %s said is no JSON: is it older than 4.14?", program);
    else if (!has_bad_byte)
        snprintf(why, size, "what %s said is no JSON (line %d)", program, line);
    else if (name[0])
        snprintf(why, size,
                 "what %s said is no JSON: an alias or other name of %s is not UTF-8 or has control "
                 "characters: remove it (ip link set dev %s alias '')",
                 program, name, name);
    else
        snprintf(why, size,
                 "what %s said is no JSON: a name is not UTF-8 or has control characters: change it (ip "
                 "link show)",
                 program);
}

/* Of a route with "encap ip" it says dst, tos and more twice, the route's and the tunnel's: so that is let through. */
json_t *cw_said_json(const char *program, const char *text, char *why, size_t size)
{
    json_error_t error;
    if (text[strspn(text, " \n")] == 0)
        return json_array();
    json_t *answer = json_loads(text, 0, &error);
    if (!answer)
        say_why(program, text, error.line, why, size);
    return answer;
}
