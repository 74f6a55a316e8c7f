/* SPDX-License-Identifier: BSD-3-Clause */
/* Identities and sets as JSON, the same in the store and on the engine's socket. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "control/decide.h"

/* Foreign: false when a word is missing or too long. */
bool cw_member_from_json(const json_t *json, struct cw_member *member);
json_t *cw_member_to_json(const struct cw_member *member);
/* An array of members; false as above, or too many, or one site twice. */
bool cw_set_from_json(const json_t *json, struct cw_set *set);
json_t *cw_set_to_json(const struct cw_set *set);
/* An array of site names only. */
bool cw_set_from_names(const json_t *json, struct cw_set *set);
/* Canonical text: equal sets give equal texts. The caller frees. */
char *cw_set_to_text(const struct cw_set *set);
bool cw_set_from_text(const char *text, struct cw_set *set);
