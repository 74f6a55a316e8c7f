/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On x86 the library chooses its vector instructions at run time: this program is built for machines without
 * AVX2, and with it a hash takes half the time (4 KiB and 128 KiB in cache).
 */
#include "base/hash.h"

#include "base/vector.h"

#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* lets XXH3_64bits be the one that chooses */
#else
#include <xxhash.h>
#endif

uint64_t cw_hash64(const void *bytes, size_t length)
{
    uint64_t hash = XXH3_64bits(bytes, length);
    cw_vector_clear_uppers();
    return hash;
}
