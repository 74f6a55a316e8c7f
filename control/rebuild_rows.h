/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of the store by key, read for a rebuild and for copies. Foreign bytes: what is malformed is not there. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/store.h"

uint64_t cw_rebuild_number(const json_t *rows, const char *key); /* 0: none */
bool cw_rebuild_group_row(const json_t *rows, uint32_t id, struct cw_store_group *group);
bool cw_rebuild_authority_row(const json_t *rows, uint32_t id, struct cw_authority *authority,
                              uint64_t *moves);

/* Of which group a row is by its key; 0: of none. */
uint32_t cw_rebuild_key_group(const char *key);
/* Of which volume of it, as the number of the journal (CW_STORE_JOURNAL) or another; false: of none. */
bool cw_rebuild_key_volume(const char *key, int32_t *volume);
/* Has a volume of the group been given away, by these rows, and is it there no more? */
bool cw_rebuild_is_volume_gone(const json_t *rows, uint32_t group, int32_t volume);
