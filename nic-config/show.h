/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The facts for an administrator, as text and as JSON. The same facts give the same bytes; what differs from moment to
 * moment and means nothing (numbers of interrupts, the order in which interfaces appeared) is left out or sorted away, so
 * that before `apply` and after `revert` can be compared. Pure, but for the stream that the text goes to.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "nic-config/facts.h"

void cw_show_text(const struct cw_facts *facts, FILE *out);
/* All of it; unknown is null. The caller's to decref; NULL: no memory. */
json_t *cw_show_json(const struct cw_facts *facts);

/* ---- what both say alike ---- */

/* "0-7,16-23", as the kernel writes sets of CPUs; "none". Cut where there is no room. */
void cw_show_cpus(const struct cw_cpu_set *set, char *words, size_t size);
/* Interfaces by name, not by when they appeared: indexes into facts->interfaces. */
void cw_show_order(const struct cw_facts *facts, uint32_t order[CW_INTERFACES_MAX]);
/* The path that an earlier apply has prepared of this card or interface, by the file that tells the engine so: its folder is
 * wherever cw_probe_files looked. NULL: none. key: "card" or "interface". */
const char *cw_show_prepared(const struct cw_facts *facts, const char *key, const char *value, char name[40]);
/* Of PCI Express: what its lanes carry without their coding; unknown if either is. */
int64_t cw_show_link_mbps(const struct cw_card_fact *card);
