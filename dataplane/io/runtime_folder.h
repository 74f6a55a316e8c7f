/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The folder that DPDK keeps for a process, and whose it is; private to io/.
 *
 * Who uses one holds a lock on a file of ours in it, which ends with the process however that ends; so whoever gets
 * the lock may remove what is there. The lock is not on the folder itself: EAL takes that for a moment in its own
 * start, and would wait for us for ever. It is there before EAL is: else a folder would be nobody's while EAL starts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct cw_runtime_folder {
    char parent[96]; /* of all processes: BASE/dpdk */
    char name[64];
    int lock; /* its file; -1: not ours */
};

/* Makes it, waits up to a second for who has it, and empties it. CW_REFUSED: somebody has it. Words in why. */
enum cw_status cw_runtime_folder_take(struct cw_runtime_folder *folder, const char *parent, const char *name,
                                      char *why, size_t why_size) CW_MUST_CHECK;
/* Removes it. It stays ours until the process ends, so that nobody takes what is left in it for its own. */
void cw_runtime_folder_remove(struct cw_runtime_folder *folder);
/* Removes those beside it whose name begins so, that are this user's and that nobody uses any more. */
void cw_runtime_folder_sweep(const struct cw_runtime_folder *folder, const char *beginning);
