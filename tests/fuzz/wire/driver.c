/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without a fuzzer: good inputs, good inputs with a few bytes changed, cut or lengthened,
 * and noise. Each lies at the very end of a page whose neighbour may not be touched, so that a read past the
 * end stops the program in any build. `driver [iterations [seed]]`.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t *guarded_end(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (CW_FUZZ_INPUT_MAX + page - 1) / page * page;
    uint8_t *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory + room, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    return memory + room;
}

static uint8_t a_byte(struct cw_rng *rng)
{
    static const uint8_t interesting[] = {0, 1, 2, 7, 8, 32, 33, 63, 64, 65, 127, 128, 254, 255};

    return cw_rng_below(rng, 2) ? (uint8_t)cw_rng_next(rng)
                                : interesting[cw_rng_below(rng, sizeof interesting)];
}

/* Changes data in place and returns its new size. */
static size_t mutate(struct cw_rng *rng, uint8_t *data, size_t size)
{
    for (uint64_t n = cw_rng_below(rng, 4); n > 0 && size > 0; n--) {
        size_t at = cw_rng_below(rng, size);
        if (cw_rng_below(rng, 2))
            data[at] = a_byte(rng);
        else
            data[at] ^= (uint8_t)(1u << cw_rng_below(rng, 8));
    }
    if (cw_rng_below(rng, 4) == 0)
        size = cw_rng_below(rng, size + 1);
    while (cw_rng_below(rng, 8) == 0 && size < CW_FUZZ_INPUT_MAX)
        data[size++] = a_byte(rng);
    return size;
}

static size_t noise(struct cw_rng *rng, uint8_t *data)
{
    size_t size = cw_rng_below(rng, 256);

    for (size_t i = 0; i < size; i++)
        data[i] = a_byte(rng);
    return size;
}

int main(int argc, char **argv)
{
    uint64_t iterations = argc > 1 ? strtoull(argv[1], NULL, 0) : 200000;
    struct cw_rng rng = {.state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1};
    uint8_t *end = guarded_end();
    uint8_t data[CW_FUZZ_INPUT_MAX];

    for (uint64_t i = 0; i < iterations; i++) {
        size_t size;
        if (cw_rng_below(&rng, 16) == 0)
            size = noise(&rng, data);
        else
            size = mutate(&rng, data, cw_fuzz_good_input(&rng, data));
        if (size > 0)
            memcpy(end - size, data, size);
        cw_fuzz_one(end - size, size);
    }
    return 0;
}
