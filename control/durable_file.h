/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small files that a controller must find again after a power loss: whole, and as they were last said to be.
 */
#pragma once

#include <jansson.h>

/*
 * Under a name of its own first (FILE.part), synced, then renamed, and the directory synced. 0: so it is, and
 * stays. Else an errno: the file is as it was, or, when only its directory could not be synced, new and
 * perhaps not yet on the disk. flags: of json_dumps.
 */
int cw_durable_write(const char *file, const json_t *json, size_t flags) __attribute__((warn_unused_result));
/* 0: there is none, and none comes back. Else an errno; it may be there, or may come back. */
int cw_durable_remove(const char *file) __attribute__((warn_unused_result));
