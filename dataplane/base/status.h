/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Expected outcomes. A caller cannot ignore one; a bug is not one (assert), and neither is nonsense from a
 * peer (a _check function names the reason and a counter goes up).
 */
#pragma once

enum cw_status {
    CW_OK = 0,
    CW_AGAIN,       /* no room now; try after the event that the function's comment names */
    CW_INVALID,     /* malformed or impossible input */
    CW_RANGE,       /* outside the volume, ring or table */
    CW_NOT_FOUND,
    CW_EXISTS,
    CW_IO,          /* the device said no */
    CW_NO_SPACE,
    CW_CORRUPT,     /* bytes that do not match their hash */
    CW_STALE,       /* of an older epoch, generation or lap */
    CW_REFUSED,     /* unsafe now; the reason comes beside it */
    CW_SHUTDOWN,    /* fenced or stopping: never answered otherwise later */
    CW_STATUS_COUNT
};

#define CW_MUST_CHECK __attribute__((warn_unused_result))

const char *cw_status_name(enum cw_status status);
