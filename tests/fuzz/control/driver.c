/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a target without a fuzzer: each good input whole, then good inputs with bytes changed, cut out,
 * doubled or spliced from another, and noise. Every input is a block of its own from malloc, so that a
 * sanitizer sees a read past its end. `driver [iterations [seed]]`.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const char alphabet[] = "{}[]:,\"'\\ \n\t-#&*!|>%@`0123456789.eE+abcxyz\x00\xff\xc3\xa9";

static void run(const char *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(1);
    memcpy(copy, bytes, size);
    (void)cw_fuzz_one(copy, size);
    free(copy);
}

static size_t cut_or_double(struct cw_rng *rng, char *bytes, size_t size)
{
    size_t from = cw_rng_below(rng, size), length = cw_rng_below(rng, size - from) + 1;
    if (cw_rng_below(rng, 2) || size + length > CW_FUZZ_INPUT_MAX) {
        memmove(bytes + from, bytes + from + length, size - from - length);
        return size - length;
    }
    memmove(bytes + from + length, bytes + from, size - from);
    return size + length;
}

static size_t mutate(struct cw_rng *rng, char *bytes, size_t size)
{
    for (uint64_t n = cw_rng_below(rng, 6) + 1; n > 0 && size > 0; n--) {
        if (cw_rng_below(rng, 3) == 0)
            size = cut_or_double(rng, bytes, size);
        else
            bytes[cw_rng_below(rng, size)] = alphabet[cw_rng_below(rng, sizeof alphabet)];
    }
    return size;
}

static size_t pick(struct cw_rng *rng, uint32_t seed_count, char *bytes)
{
    const char *seed = cw_fuzz_seeds[cw_rng_below(rng, seed_count)];
    size_t size = strlen(seed);
    if (size > CW_FUZZ_INPUT_MAX)
        size = CW_FUZZ_INPUT_MAX;
    memcpy(bytes, seed, size);
    return size;
}

int main(int argc, char **argv)
{
    static char bytes[CW_FUZZ_INPUT_MAX];
    unsigned long iterations = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    struct cw_rng rng = {argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    uint32_t seed_count = 0;
    for (; cw_fuzz_seeds[seed_count]; seed_count++)
        run(cw_fuzz_seeds[seed_count], strlen(cw_fuzz_seeds[seed_count]));
    for (unsigned long i = 0; i < iterations; i++) {
        size_t size = pick(&rng, seed_count, bytes);
        run(bytes, mutate(&rng, bytes, size));
    }
    printf("%lu inputs from %u good ones\n", iterations, seed_count);
    return 0;
}
