/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CW_FUZZ_NBD_MAX 65536u

/* One client's life. Always 0. */
int cw_fuzz_nbd(const uint8_t *bytes, size_t length);
