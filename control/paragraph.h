/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for a terminal of some width: lines are broken at spaces, and what follows stands below the first. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Writes "HEAD" and then text, broken so that nothing goes beyond width (0: not broken at all); further lines
 * are indented by `indent` columns. What has no space in it is never broken. Ends with a newline. Sequences
 * for colours in head (not in text) take no room. */
void cw_paragraph(FILE *to, unsigned width, const char *head, unsigned indent, const char *text);
/* How many columns a terminal at stdout has; 0: it is none. COLUMNS overrides. */
unsigned cw_terminal_width(void);
