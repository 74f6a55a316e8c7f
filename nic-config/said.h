/* SPDX-License-Identifier: BSD-3-Clause */
/* What `ip -json` said, as JSON. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* The caller's to decref; a program that says nothing has nothing to tell: an empty array. NULL with why, and what to do. */
json_t *cw_said_json(const char *program, const char *text, char *why, size_t size);
