/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of methods share: answers. */
#pragma once

#include <stdarg.h>

#include "control/controller.h"

/* An error with the exit code that the command line ends with. */
json_t *cw_answer(const struct cw_rpc_message *message, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "Ask that site": the command line follows. */
json_t *cw_go_elsewhere(struct cw_controller *controller, const struct cw_rpc_message *message,
                        const char *site);
