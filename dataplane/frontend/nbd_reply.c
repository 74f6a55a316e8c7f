/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A READ is answered by one chunk, so the "do not fragment" flag is always honoured. Success of commands
 * without data is a simple reply also when structured ones were negotiated: shorter, and allowed.
 */
#include "frontend/nbd_reply.h"

#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"

uint32_t cw_nbd_reply_simple(uint8_t *head, uint64_t cookie, uint32_t error)
{
    cw_store32be(head, CW_NBD_MAGIC_SIMPLE_REPLY);
    cw_store32be(head + 4, error);
    cw_store64be(head + 8, cookie);
    return CW_NBD_SIMPLE_REPLY_BYTES;
}

static void chunk_header(uint8_t *head, uint64_t cookie, uint16_t type, uint32_t length)
{
    cw_store32be(head, CW_NBD_MAGIC_STRUCTURED_REPLY);
    cw_store16be(head + 4, CW_NBD_CHUNK_FLAG_DONE);
    cw_store16be(head + 6, type);
    cw_store64be(head + 8, cookie);
    cw_store32be(head + 16, length);
}

uint32_t cw_nbd_reply_data(uint8_t *head, uint64_t cookie, uint64_t offset, uint32_t length)
{
    CW_ASSERT(length > 0);
    chunk_header(head, cookie, CW_NBD_CHUNK_OFFSET_DATA, 8 + length);
    cw_store64be(head + CW_NBD_CHUNK_HEADER_BYTES, offset);
    return CW_NBD_CHUNK_HEADER_BYTES + 8;
}

uint32_t cw_nbd_reply_none(uint8_t *head, uint64_t cookie)
{
    chunk_header(head, cookie, CW_NBD_CHUNK_NONE, 0);
    return CW_NBD_CHUNK_HEADER_BYTES;
}

uint32_t cw_nbd_reply_error(uint8_t *head, uint64_t cookie, uint32_t error, const char *why)
{
    CW_ASSERT(error != 0);
    uint32_t length = (uint32_t)CW_MIN(strlen(why), CW_NBD_WHY_BYTES_MAX);
    chunk_header(head, cookie, CW_NBD_CHUNK_ERROR, 6 + length);
    uint8_t *at = head + CW_NBD_CHUNK_HEADER_BYTES;
    cw_store32be(at, error);
    cw_store16be(at + 4, (uint16_t)length);
    memcpy(at + 6, why, length);
    return CW_NBD_CHUNK_HEADER_BYTES + 6 + length;
}

uint32_t cw_nbd_reply_status(uint8_t *head, uint64_t cookie, const struct cw_nbd_extent *extents,
                             uint32_t count)
{
    CW_ASSERT(count > 0);
    CW_ASSERT(count <= CW_NBD_EXTENTS_MAX);
    chunk_header(head, cookie, CW_NBD_CHUNK_BLOCK_STATUS, 4 + 8 * count);
    uint8_t *at = head + CW_NBD_CHUNK_HEADER_BYTES;
    cw_store32be(at, CW_NBD_CONTEXT_ALLOCATION);
    for (uint32_t i = 0; i < count; i++) {
        cw_store32be(at + 4 + 8 * i, extents[i].length);
        cw_store32be(at + 8 + 8 * i, extents[i].state);
    }
    return CW_NBD_CHUNK_HEADER_BYTES + 4 + 8 * count;
}
