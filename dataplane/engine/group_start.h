/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything of a group that blocks and happens before the store lcore has it: its journal is created or
 * opened, its volumes are opened, its log is recovered and redone. Worker thread only; nothing is shared
 * until the group is handed over.
 *
 *     cw_setup_journal -> cw_setup_volume for each that the superblock knows -> cw_setup_start
 *
 * Recovery needs the volumes, so a group whose superblock lists volumes is started when the last of them is
 * attached; a fresh one at once. A record for a volume that nobody attached stops the start (missing says
 * which): it is never skipped, unless the volume is known to be deleted.
 */
#pragma once

#include "engine/store.h"

struct cw_setup {
    struct cw_engine *engine;
    struct cw_store_group *group; /* journal and volumes; its `group` is there once started */
    struct cw_superblock superblock;
    struct cw_group_config config;
    bool is_fresh;
    uint64_t missing; /* bits: volumes to attach before it can start */
    uint64_t removed; /* bits: volumes that were deleted; of those nothing is attached, nothing is put back */
    uint64_t records_applied, records_kept;
    const char *failed_path; /* a record could not be put in place there; NULL */
};

/* Creates (if asked) or opens the journal. On failure nothing is left open. */
enum cw_status cw_setup_journal(struct cw_setup *setup, const char *path, uint64_t size, bool create,
                                char *why, size_t why_size) CW_MUST_CHECK;

struct cw_volume_params {
    uint16_t index;
    bool create, is_thin;
    uint32_t block_size;
    uint64_t size, base;
    char name[64];
    char path[512];
    char socket[CW_CONFIG_SOCKET_SIZE];
};
/* Creates or opens one volume's file. */
enum cw_status cw_setup_volume(struct cw_store_volume *volume, const char *group_name,
                               const struct cw_volume_params *params, char *why,
                               size_t why_size) CW_MUST_CHECK;
void cw_setup_volume_close(struct cw_store_volume *volume);

/* Memory, image files, two scans, sync, start. CW_NOT_FOUND: volumes are missing, see setup->missing. */
enum cw_status cw_setup_start(struct cw_setup *setup, char *why, size_t why_size) CW_MUST_CHECK;

/* Closes files, frees memory; the group is stopped, or was never started. */
void cw_setup_group_free(struct cw_store_group *group);

/* The directory's entry of this file is durable after this. */
enum cw_status cw_setup_sync_directory(const char *path) CW_MUST_CHECK;

/* ---- image files of a full copy and salvage, for a running group that waits for them ---- */

/* Before the start: finishes or clears away what a copy left behind, as the superblock tells of it. */
enum cw_status cw_image_settle(struct cw_store_group *group, const struct cw_superblock *superblock,
                               char *why, size_t why_size) CW_MUST_CHECK;
enum cw_status cw_image_do(struct cw_store_group *group, enum cw_image_op op, char *why,
                           size_t why_size) CW_MUST_CHECK;
struct cw_salvage {
    uint64_t above, last; /* in: what is to be kept */
    const char *site;     /* in: our name */
    uint64_t first;       /* out: sequence of the first record in the file, 0: none */
    bool lacks_some;      /* out: what should be in the journal could not be read, twice */
    char path[600];       /* out; "": there was nothing to keep */
};
/* Writes every sound record above `above` to a new file in directory, or finds a file that has them already.
 * What had been put in place and left the journal is in no file; a record that should still be there, and is
 * not, sets lacks_some. Nobody writes the journal meanwhile. */
enum cw_status cw_salvage_do(const struct cw_store_group *group, struct cw_salvage *salvage,
                             const char *directory, char *why, size_t why_size) CW_MUST_CHECK;

/* Runs one scan over a journal; on_record gets each record in log order and stops the scan by not CW_OK. */
typedef enum cw_status cw_scan_record(void *context, const struct cw_record *record, const uint8_t *payload,
                                      uint64_t position, uint32_t sectors);
enum cw_status cw_scan_journal(const struct cw_disk_file *journal, const struct cw_superblock *superblock,
                               cw_scan_record *on_record, void *context,
                               struct cw_recovery_report *report) CW_MUST_CHECK;
