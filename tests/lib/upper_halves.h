/* SPDX-License-Identifier: BSD-3-Clause */
/* Are the upper halves of all vector registers clear, or are there none? Called right behind what is tested.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __x86_64__
#define UPPER_STORE(n) "vextractf128 $1, %%ymm" #n ", " #n "*16(%0)\n"

static inline bool upper_halves_are_clear(void)
{
    uint64_t halves[32] = {0}, any = 0;
    if (!__builtin_cpu_supports("avx"))
        return true;
    __asm__ volatile(UPPER_STORE(0) UPPER_STORE(1) UPPER_STORE(2) UPPER_STORE(3) UPPER_STORE(4) UPPER_STORE(5)
                         UPPER_STORE(6) UPPER_STORE(7) UPPER_STORE(8) UPPER_STORE(9) UPPER_STORE(10)
                             UPPER_STORE(11) UPPER_STORE(12) UPPER_STORE(13) UPPER_STORE(14)
                                 UPPER_STORE(15)::"r"(halves)
                     : "memory");
    for (unsigned i = 0; i < 32; i++)
        any |= halves[i];
    return any == 0;
}
#else
static inline bool upper_halves_are_clear(void)
{
    return true;
}
#endif
