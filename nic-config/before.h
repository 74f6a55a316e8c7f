/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read of a step's `before` by others than its own kind (steps.h): how steps of one device hang together. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* before of a GIVE_UP and of a BIND: its interface comes back only when this device is the kernel's again. */
bool cw_before_is_of_device(const json_t *given_up, const json_t *bound);
