/* SPDX-License-Identifier: BSD-3-Clause */
/* Encodes what goes in front of, or instead of, data in the transmission phase. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "frontend/nbd_protocol.h"

#define CW_NBD_WHY_BYTES_MAX  96u /* of the words in an error chunk; longer ones are cut */
#define CW_NBD_REPLY_HEAD_MAX (CW_NBD_CHUNK_HEADER_BYTES + 4 + 8 * CW_NBD_EXTENTS_MAX)

static_assert(CW_NBD_CHUNK_HEADER_BYTES + 6 + CW_NBD_WHY_BYTES_MAX <= CW_NBD_REPLY_HEAD_MAX, "an error fits");

struct cw_nbd_extent {
    uint32_t length;
    uint32_t state; /* CW_NBD_STATE_ bits */
};

/* Each writes at most CW_NBD_REPLY_HEAD_MAX bytes to `head` and returns how many. */

/* Success without data, or any error where structured replies were not negotiated. */
uint32_t cw_nbd_reply_simple(uint8_t *head, uint64_t cookie, uint32_t error);
/* length bytes of data follow, length > 0; one chunk, the last. */
uint32_t cw_nbd_reply_data(uint8_t *head, uint64_t cookie, uint64_t offset, uint32_t length);
/* Success of a structured READ of nothing. */
uint32_t cw_nbd_reply_none(uint8_t *head, uint64_t cookie);
/* An error chunk with words. */
uint32_t cw_nbd_reply_error(uint8_t *head, uint64_t cookie, uint32_t error, const char *why);
/* 1..CW_NBD_EXTENTS_MAX extents of base:allocation. */
uint32_t cw_nbd_reply_status(uint8_t *head, uint64_t cookie, const struct cw_nbd_extent *extents,
                             uint32_t count);
