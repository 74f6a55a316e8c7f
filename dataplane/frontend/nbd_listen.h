/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix sockets to listen on: made, replaced when nobody serves them any more, and removed if still ours. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

#define CW_NBD_PATH_BYTES 108u /* sun_path, with its terminator */

struct cw_nbd_listen {
    int fd; /* blocking mode: io_uring waits, we do not */
    dev_t device;
    ino_t inode; /* of the socket file: only that one is ours to unlink */
    char path[CW_NBD_PATH_BYTES];
};

/* Blocks for a moment in the file system. CW_EXISTS: another server answers there, or the path is no socket.
 * CW_INVALID: the path is too long or not absolute. Words in why. Nothing is left behind on failure. */
enum cw_status cw_nbd_listen_open(struct cw_nbd_listen *listen, const char *path, mode_t mode, gid_t gid,
                                  char *why, size_t why_size) CW_MUST_CHECK;
/* Unlinks the file and wakes an accept that is waiting; nobody new can come. The descriptor stays open. */
void cw_nbd_listen_shut(struct cw_nbd_listen *listen);
void cw_nbd_listen_close(struct cw_nbd_listen *listen);
