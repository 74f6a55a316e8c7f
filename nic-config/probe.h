/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fills the facts. Reads only; works as far as the rights of its user go, and says in facts->unread what more it would
 * need. Never fails as a whole: what cannot be found out is unknown.
 */
#pragma once

#include "nic-config/facts.h"
#include "nic-config/machine.h"

void cw_probe(const struct cw_machine *machine, struct cw_facts *facts);

/* Adds to the facts what an earlier apply has left in these folders (facts->files): by it the plan knows the cards that
 * are given already, whose interfaces are gone, and the files that need no writing. Call after cw_probe. */
void cw_probe_files(const struct cw_machine *machine, const char *prepared_folder, const char *units_folder,
                    struct cw_facts *facts);

/* Why this program of this machine may not be started as root at each boot (facts->program_doubt): by its path, which is
 * absolute and without links. Call after cw_probe. */
void cw_probe_program(const char *program, struct cw_facts *facts);
