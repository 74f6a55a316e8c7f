/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/status.h"

const char *cw_status_name(enum cw_status status)
{
    static const char *const names[CW_STATUS_COUNT] = {
        [CW_OK] = "ok",           [CW_AGAIN] = "again",         [CW_INVALID] = "invalid",
        [CW_RANGE] = "range",     [CW_NOT_FOUND] = "not found", [CW_EXISTS] = "exists",
        [CW_IO] = "i/o error",    [CW_NO_SPACE] = "no space",   [CW_CORRUPT] = "corrupt",
        [CW_STALE] = "stale",     [CW_REFUSED] = "refused",     [CW_SHUTDOWN] = "shutdown",
    };
    return (unsigned)status < CW_STATUS_COUNT ? names[status] : "unknown";
}
