/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of the text that cw_show_text is made of: show_memory.c. */
#pragma once

#include <stdio.h>

#include "nic-config/facts.h"

void cw_show_memory(const struct cw_facts *facts, FILE *out);
void cw_show_processors(const struct cw_facts *facts, FILE *out);
