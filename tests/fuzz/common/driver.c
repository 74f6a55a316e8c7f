/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a target without a fuzzer: good inputs, good inputs with bytes changed, pieces cut out, doubled or
 * moved, shorter and longer ones, and noise. Each lies at the very end of a page whose neighbour may not be
 * touched, so that a read past the end stops the program in any build. `driver [ITERATIONS [SEED]]`, the same
 * every time, or files to replay.
 */
#include "fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTOR 4096u /* what the formats of disks are made of: headers stand at its beginning */

struct input {
    uint8_t *data, *guarded_end;
    size_t size;
};

static void make_room(struct input *input)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (cw_fuzz_input_max + page - 1) / page * page;
    uint8_t *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    input->data = malloc(cw_fuzz_input_max);
    if (!input->data || memory == MAP_FAILED || mprotect(memory + room, page, PROT_NONE) != 0) {
        perror("memory for inputs");
        exit(1);
    }
    input->guarded_end = memory + room;
}

static void run(const struct input *input)
{
    if (input->size > 0)
        memcpy(input->guarded_end - input->size, input->data, input->size);
    (void)cw_fuzz_one(input->guarded_end - input->size, input->size);
}

/* ---------------------------------------------------------------- changes */

/* Any byte, one at which counts and lengths go wrong, or one that means something in a text. */
static uint8_t a_byte(struct cw_rng *rng)
{
    static const uint8_t numbers[] = {0, 1, 2, 7, 8, 32, 33, 63, 64, 65, 127, 128, 254, 255};
    static const char letters[] = "{}[]:,\"'\\ \n\t-#&*!|>%@`0123456789.eE+abcxyz\xc3\xa9";

    switch (cw_rng_below(rng, 3)) {
    case 0:
        return (uint8_t)cw_rng_next(rng);
    case 1:
        return numbers[cw_rng_below(rng, sizeof numbers)];
    default:
        return (uint8_t)letters[cw_rng_below(rng, sizeof letters)];
    }
}

static void change_byte(struct cw_rng *rng, struct input *input)
{
    size_t at = cw_rng_below(rng, input->size), sector = at / SECTOR * SECTOR;

    if (input->size > SECTOR && cw_rng_below(rng, 2)) /* where headers are */
        at = sector + cw_rng_below(rng, 256) % (input->size - sector);
    input->data[at] =
        cw_rng_below(rng, 2) ? a_byte(rng) : input->data[at] ^ (uint8_t)(1u << cw_rng_below(rng, 8));
}

static void cut_or_double(struct cw_rng *rng, struct input *input)
{
    size_t from = cw_rng_below(rng, input->size), length = cw_rng_below(rng, input->size - from) + 1;
    uint8_t *at = input->data + from;
    size_t behind = input->size - from;

    if (cw_rng_below(rng, 2) || input->size + length > cw_fuzz_input_max) {
        memmove(at, at + length, behind - length);
        input->size -= length;
    } else {
        memmove(at + length, at, behind);
        input->size += length;
    }
}

static void move_sector(struct cw_rng *rng, struct input *input)
{
    uint64_t sectors = input->size / SECTOR;

    memmove(input->data + cw_rng_below(rng, sectors) * SECTOR,
            input->data + cw_rng_below(rng, sectors) * SECTOR, SECTOR);
}

static void mutate(struct cw_rng *rng, struct input *input)
{
    for (uint64_t n = cw_rng_below(rng, 6); n > 0 && input->size > 0; n--) {
        if (cw_rng_below(rng, 8) == 0)
            cut_or_double(rng, input);
        else
            change_byte(rng, input);
    }
    if (input->size >= 2 * SECTOR && cw_rng_below(rng, 3) == 0)
        move_sector(rng, input);
    if (cw_rng_below(rng, 6) == 0)
        input->size = cw_rng_below(rng, input->size + 1);
    while (cw_rng_below(rng, 8) == 0 && input->size < cw_fuzz_input_max)
        input->data[input->size++] = a_byte(rng);
}

static void noise(struct cw_rng *rng, struct input *input)
{
    size_t max = cw_rng_below(rng, 2) ? 256 : 4096;

    input->size = cw_rng_below(rng, max < cw_fuzz_input_max ? max : cw_fuzz_input_max);
    for (size_t i = 0; i < input->size; i++)
        input->data[i] = a_byte(rng);
}

/* ---------------------------------------------------------------- lives */

static void replay(struct input *input, const char *path)
{
    FILE *file = fopen(path, "rb");

    if (!file) {
        perror(path);
        exit(1);
    }
    input->size = fread(input->data, 1, cw_fuzz_input_max, file);
    fclose(file);
    run(input);
}

int main(int argc, char **argv)
{
    struct input input;
    char *end = NULL;
    uint64_t iterations = argc > 1 ? strtoull(argv[1], &end, 0) : 20000;
    struct cw_rng rng = {.state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1};

    make_room(&input);
    bool is_replay = end && *end;
    for (int i = 1; is_replay && i < argc; i++)
        replay(&input, argv[i]);
    for (uint64_t i = 0; !is_replay && i < iterations; i++) {
        if (i % 16 == 15) {
            noise(&rng, &input);
        } else {
            input.size = cw_fuzz_good_input(&rng, input.data);
            if (i % 4 != 0)
                mutate(&rng, &input);
        }
        run(&input);
    }
    free(input.data);
    return 0;
}
