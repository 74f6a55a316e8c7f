/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t cw_hash64(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}
