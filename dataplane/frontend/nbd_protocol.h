/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of the NBD protocol, as the public protocol document (doc/proto.md of the NBD project) has them.
 * Everything on this wire is big-endian. Only what this server speaks or has to recognise is listed: no
 * oldstyle handshake, no TLS, no extended headers.
 */
#pragma once

#include "base/assert.h"

/* Handshake: the server greets with two magics and its flags (8 + 8 + 2), the client answers with 4 bytes. */
#define CW_NBD_MAGIC                     0x4e42444d41474943ull
#define CW_NBD_MAGIC_OPTION              0x49484156454f5054ull
#define CW_NBD_MAGIC_OPTION_REPLY        0x0003e889045565a9ull
#define CW_NBD_GREETING_BYTES            18u
#define CW_NBD_CLIENT_FLAGS_BYTES        4u
#define CW_NBD_OPTION_HEADER_BYTES       16u /* magic 8, option 4, length 4 */
#define CW_NBD_OPTION_REPLY_HEADER_BYTES 20u /* magic 8, option 4, type 4, length 4 */

#define CW_NBD_FLAG_FIXED_NEWSTYLE 0x1u
#define CW_NBD_FLAG_NO_ZEROES      0x2u
#define CW_NBD_CLIENT_FLAGS_KNOWN  0x3u

enum cw_nbd_option {
    CW_NBD_OPT_EXPORT_NAME = 1,
    CW_NBD_OPT_ABORT = 2,
    CW_NBD_OPT_LIST = 3,
    CW_NBD_OPT_STARTTLS = 5,
    CW_NBD_OPT_INFO = 6,
    CW_NBD_OPT_GO = 7,
    CW_NBD_OPT_STRUCTURED_REPLY = 8,
    CW_NBD_OPT_LIST_META_CONTEXT = 9,
    CW_NBD_OPT_SET_META_CONTEXT = 10,
};

#define CW_NBD_REP_ACK          1u
#define CW_NBD_REP_SERVER       2u
#define CW_NBD_REP_INFO         3u
#define CW_NBD_REP_META_CONTEXT 4u
#define CW_NBD_REP_ERR_UNSUP    0x80000001u
#define CW_NBD_REP_ERR_INVALID  0x80000003u
#define CW_NBD_REP_ERR_UNKNOWN  0x80000006u
#define CW_NBD_REP_ERR_TOO_BIG  0x80000009u

#define CW_NBD_INFO_EXPORT      0u
#define CW_NBD_INFO_NAME        1u
#define CW_NBD_INFO_DESCRIPTION 2u
#define CW_NBD_INFO_BLOCK_SIZE  3u

/* What an export can do. */
#define CW_NBD_EXPORT_HAS_FLAGS         0x0001u
#define CW_NBD_EXPORT_SEND_FLUSH        0x0004u
#define CW_NBD_EXPORT_SEND_FUA          0x0008u
#define CW_NBD_EXPORT_SEND_TRIM         0x0020u
#define CW_NBD_EXPORT_SEND_WRITE_ZEROES 0x0040u
#define CW_NBD_EXPORT_SEND_DF           0x0080u
#define CW_NBD_EXPORT_CAN_MULTI_CONN    0x0100u
#define CW_NBD_EXPORT_SEND_CACHE        0x0400u
#define CW_NBD_EXPORT_SEND_FAST_ZERO    0x0800u

/* Transmission. */
#define CW_NBD_MAGIC_REQUEST          0x25609513u
#define CW_NBD_MAGIC_SIMPLE_REPLY     0x67446698u
#define CW_NBD_MAGIC_STRUCTURED_REPLY 0x668e33efu
#define CW_NBD_REQUEST_BYTES          28u /* magic 4, flags 2, type 2, cookie 8, offset 8, length 4 */
#define CW_NBD_SIMPLE_REPLY_BYTES     16u /* magic 4, error 4, cookie 8 */
#define CW_NBD_CHUNK_HEADER_BYTES     20u /* magic 4, flags 2, type 2, cookie 8, length 4 */

enum cw_nbd_command_type {
    CW_NBD_CMD_READ = 0,
    CW_NBD_CMD_WRITE = 1,
    CW_NBD_CMD_DISC = 2,
    CW_NBD_CMD_FLUSH = 3,
    CW_NBD_CMD_TRIM = 4,
    CW_NBD_CMD_CACHE = 5,
    CW_NBD_CMD_WRITE_ZEROES = 6,
    CW_NBD_CMD_BLOCK_STATUS = 7,
    CW_NBD_CMD_COUNT
};

#define CW_NBD_CMD_FLAG_FUA       0x01u
#define CW_NBD_CMD_FLAG_NO_HOLE   0x02u
#define CW_NBD_CMD_FLAG_DF        0x04u
#define CW_NBD_CMD_FLAG_REQ_ONE   0x08u
#define CW_NBD_CMD_FLAG_FAST_ZERO 0x10u

#define CW_NBD_CHUNK_FLAG_DONE    0x1u
#define CW_NBD_CHUNK_NONE         0u
#define CW_NBD_CHUNK_OFFSET_DATA  1u
#define CW_NBD_CHUNK_BLOCK_STATUS 5u
#define CW_NBD_CHUNK_ERROR        32769u

#define CW_NBD_STATE_HOLE 0x1u
#define CW_NBD_STATE_ZERO 0x2u

#define CW_NBD_EPERM     1u
#define CW_NBD_EIO       5u
#define CW_NBD_ENOMEM    12u
#define CW_NBD_EINVAL    22u
#define CW_NBD_ENOSPC    28u
#define CW_NBD_EOVERFLOW 75u
#define CW_NBD_ESHUTDOWN 108u

/* Ours. */
#define CW_NBD_NAME_BYTES_MAX     63u         /* of a name that can exist here; a longer one is unknown */
#define CW_NBD_SOCKET_EXPORTS_MAX 16u         /* exports on one socket */
#define CW_NBD_OPTION_BYTES_MAX   16384u      /* data of an option that we look into */
#define CW_NBD_OPTION_SKIP_MAX    (1u << 20)  /* a longer one is not skipped: the connection closes */
#define CW_NBD_ANSWER_BYTES_MAX   2048u       /* bytes that one option can make us send */
#define CW_NBD_WRITE_DRAIN_MAX    (32u << 20) /* a refused payload is read and dropped up to here */
#define CW_NBD_CONTEXT_ALLOCATION 1u          /* our id of base:allocation */
#define CW_NBD_EXTENTS_MAX        16u         /* in one reply to BLOCK_STATUS */

static_assert(CW_NBD_SOCKET_EXPORTS_MAX * (CW_NBD_OPTION_REPLY_HEADER_BYTES + 4 + CW_NBD_NAME_BYTES_MAX) +
                      CW_NBD_OPTION_REPLY_HEADER_BYTES <=
                  CW_NBD_ANSWER_BYTES_MAX,
              "LIST is the longest answer: every export, then the acknowledgement");
