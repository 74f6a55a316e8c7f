/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other life of a target: the entry points that libFuzzer calls. It begins with nothing, and from nothing it does
 * not find its way into a text with numbers, names and base64 in the time that a suite has: so a good input of the
 * target's stands in for what is mutated now and then.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define GOOD_ONE_IN 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return cw_fuzz_one(data, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct cw_rng rng = {.state = seed};

    uint8_t *good = cw_rng_below(&rng, GOOD_ONE_IN) == 0 ? malloc(cw_fuzz_input_max) : NULL;
    if (good) {
        size_t length = cw_fuzz_good_input(&rng, good);
        if (length <= size_max) {
            memcpy(data, good, length);
            size = length;
        }
        free(good);
    }
    return LLVMFuzzerMutate(data, size, size_max);
}
