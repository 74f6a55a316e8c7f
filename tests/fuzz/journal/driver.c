/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a target without a fuzzer: good inputs, good inputs with bytes changed, sectors moved, cut or
 * lengthened, and noise. Each ends at a page that may not be touched. `driver [iterations [seed]]`.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t *guarded_end(void)
{
    uint8_t *memory =
        mmap(NULL, CW_FUZZ_INPUT_MAX + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory + CW_FUZZ_INPUT_MAX, 4096, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    return memory + CW_FUZZ_INPUT_MAX;
}

static size_t mutate(struct cw_rng *rng, uint8_t *data, size_t size)
{
    for (uint64_t n = cw_rng_below(rng, 5); n > 0 && size > 0; n--) {
        size_t at = cw_rng_below(rng, size);

        if (cw_rng_below(rng, 2)) /* where headers are */
            at = at / 4096 * 4096 + cw_rng_below(rng, 256) % (size - at / 4096 * 4096);
        data[at] = cw_rng_below(rng, 3) ? data[at] ^ (uint8_t)(1u << cw_rng_below(rng, 8))
                                        : (uint8_t)cw_rng_next(rng);
    }
    if (size >= 8192 && cw_rng_below(rng, 3) == 0) {
        uint64_t sectors = size / 4096;

        memmove(data + cw_rng_below(rng, sectors) * 4096, data + cw_rng_below(rng, sectors) * 4096, 4096);
    }
    if (cw_rng_below(rng, 8) == 0)
        return cw_rng_below(rng, size + 1);
    return size;
}

int main(int argc, char **argv)
{
    uint64_t iterations = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000;
    struct cw_rng rng = {argc > 2 ? strtoull(argv[2], NULL, 0) : 1};
    uint8_t *end = guarded_end(), *made = malloc(CW_FUZZ_INPUT_MAX);

    for (uint64_t i = 0; made && i < iterations; i++) {
        size_t size = cw_fuzz_good_input(&rng, made);

        if (i % 16 == 15) /* noise */
            for (size_t at = 0; at < size; at++)
                made[at] = (uint8_t)cw_rng_next(&rng);
        if (i % 4 != 0)
            size = mutate(&rng, made, size);
        memcpy(end - size, made, size);
        cw_fuzz_one(end - size, size);
    }
    free(made);
    return 0;
}
