/* SPDX-License-Identifier: BSD-3-Clause */
/* Gives a status that is not CW_OK back to the caller. */
#pragma once

#include "base/status.h"

#define CW_TRY(expression)                                                                                   \
    do {                                                                                                     \
        enum cw_status try_ = (expression);                                                                  \
        if (try_ != CW_OK)                                                                                   \
            return try_;                                                                                     \
    } while (0)
