/* SPDX-License-Identifier: BSD-3-Clause */
/* See vector.h. */
#include "base/vector.h"

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx"))) static void clear(void)
{
    _mm256_zeroupper();
}

void cw_vector_clear_uppers(void)
{
    if (__builtin_cpu_supports("avx"))
        clear();
}
#else
void cw_vector_clear_uppers(void)
{
}
#endif
