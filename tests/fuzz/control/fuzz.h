/* SPDX-License-Identifier: BSD-3-Clause */
/* A fuzz target of control: one function over bytes, and the good inputs from which the driver begins. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CW_FUZZ_INPUT_MAX 8192u

int cw_fuzz_one(const uint8_t *data, size_t size);
extern const char *const cw_fuzz_seeds[]; /* ends with NULL */
