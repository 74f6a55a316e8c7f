/* SPDX-License-Identifier: BSD-3-Clause */
/* The end-to-end hash: XXH3, 64 bits, seed 0 (xxHash 0.8 specification). Never a secret, never a MAC. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t cw_hash64(const void *bytes, size_t length);
