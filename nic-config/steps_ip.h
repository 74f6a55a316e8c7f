/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of an interface as `ip -json` tells it, and how it is put back; for GIVE_UP (steps_interface.c).
 *
 * A state: {"link": {…, "addr_info":[…]}, "routes4":[…], "routes6":[…], "neighbours":[…], "settings":{…}}: as ip has them;
 * routes without those that the kernel makes by itself, neighbours that are permanent or proxies, and settings of /proc/sys/net that
 * are not as they are for a new interface, or may not be so any more when it comes back.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer of `ip -json ARGUMENTS`, an array; NULL with words. The caller's to decref. */
json_t *cw_ip_ask(const char *const arguments[], char *words, size_t size);
/* Runs ip; false with words. */
bool cw_ip_tell(const char *const arguments[], char *words, size_t size);
/* The link with its addresses; NULL: there is no such interface, or ip failed, then with words. */
json_t *cw_ip_link(const char *name, char *words, size_t size);

const char *cw_json_text(const json_t *object, const char *key); /* "" if there is none */
bool cw_json_has_word(const json_t *list, const char *word);

/* NULL with words: it cannot be told, or could not be put back. */
json_t *cw_ip_state(const char *name, char *words, size_t size);
/* Puts back what is missing; seconds: that have gone by since. false with words: something could not be, all else is. The
 * interface is there, by its name. */
bool cw_ip_restore(const json_t *state, int64_t seconds, char *words, size_t size);

/* The command that adds a route; NULL: its time is over. arguments has room for it; they point into route and made. */
#define CW_ROUTE_WORDS 160u
#define CW_ROUTE_MADE  48u
struct cw_route_command {
    const char *words[CW_ROUTE_WORDS];
    unsigned count;
    char made[CW_ROUTE_MADE][64];
    unsigned made_count;
    bool is_cut; /* there was no room */
};
bool cw_route_command(const json_t *route, bool is_6, int64_t seconds, struct cw_route_command *command);
/* The same route, but for what passes: how long it lives, whether its link is down. */
bool cw_route_is_same(const json_t *a, const json_t *b);
/* The kernel has no room for both, in IPv6: the same destination and metric, by the same way. */
bool cw_route_has_place_of(const json_t *other, const json_t *route);
/* The other is in its place, and the kernel has made it by itself: with an address, the same but for who made it; or of what
 * a router says now, where route was of what it said then. */
bool cw_route_is_made_anew(const json_t *other, const json_t *route);
/* It goes by this interface, maybe among others. */
bool cw_route_is_of(const json_t *route, const char *interface);
