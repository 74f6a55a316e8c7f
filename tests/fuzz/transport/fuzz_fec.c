/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The FEC receiver and symbols that any peer with keys may make up: whatever comes, no bad access, no assert,
 * memory as it was carved, and what is given back is within a block's limits.
 *
 * Symbol: u8 kind and index, u8 block, u8 repairs, u8 sources, u8 length, then `length` bytes
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/numbers.h"
#include "transport/fec_receiver.h"

#define INPUT_MAX  4096u
#define BLOCKS     4u
#define REPAIRS    3u
#define SYMBOL_MAX 200u
#define HEAD       5u

const size_t cw_fuzz_input_max = INPUT_MAX;

static struct cw_fec_code code;
static struct cw_fec_receiver receiver;
static uint8_t *memory;
static volatile uint8_t sink;

static void begin(void)
{
    struct cw_arena arena;
    if (!memory) {
        cw_fec_code_init(&code);
        cw_arena_measure(&arena);
        cw_fec_receiver_init(&receiver, &arena, &code, BLOCKS, REPAIRS, SYMBOL_MAX);
        size_t size = cw_round_up(arena.used, 4096);
        memory = aligned_alloc(4096, size);
        CW_ASSERT(memory != NULL);
        cw_arena_init(&arena, memory, size);
        cw_fec_receiver_init(&receiver, &arena, &code, BLOCKS, REPAIRS, SYMBOL_MAX);
    }
    cw_fec_receiver_reset(&receiver);
}

/* Of the block number only a few bits, so that blocks meet; some of them far apart. */
static uint32_t block_of(uint8_t byte)
{
    return (byte & 0x80 ? 0xfffff0u : 0u) + (byte & 0x1f);
}

static void one(const uint8_t *head, const uint8_t *bytes, uint32_t length)
{
    struct cw_fec_recovered recovered;
    uint8_t *copy = malloc(length + 1u); /* of its own size, so that a sanitizer sees the end */
    CW_ASSERT(copy != NULL);
    memcpy(copy, bytes, length);
    struct cw_fec_place place = {block_of(head[1]), head[0] & 0x7f, head[2]};
    if (head[0] & 0x80)
        cw_fec_receiver_repair(&receiver, &place, head[3], copy, length, &recovered);
    else
        cw_fec_receiver_source(&receiver, &place, copy, length, &recovered);
    free(copy);
    CW_ASSERT(cw_fec_receiver_is_valid(&receiver));
    CW_ASSERT(recovered.count <= REPAIRS);
    for (uint32_t i = 0; i < recovered.count; i++) {
        CW_ASSERT(recovered.length <= SYMBOL_MAX);
        for (uint32_t b = 0; b < recovered.length; b++)
            sink ^= recovered.symbols[i][b]; /* so that a sanitizer looks at each */
    }
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    begin();
    for (size_t at = 0; size - at >= HEAD;) {
        uint32_t length = (uint32_t)CW_MIN(data[at + 4], size - at - HEAD);
        one(data + at, data + at + HEAD, length);
        at += HEAD + length;
    }
    return 0;
}

/* A block with its repairs, some of it left out. */
static size_t a_block(struct cw_rng *rng, uint8_t *data, size_t room)
{
    uint8_t rows[REPAIRS][SYMBOL_MAX] = {0}, *at[REPAIRS] = {rows[0], rows[1], rows[2]};
    uint8_t block = (uint8_t)cw_rng_next(rng), repairs = (uint8_t)(1 + cw_rng_below(rng, REPAIRS));
    uint32_t sources = 1 + (uint32_t)cw_rng_below(rng, 12), length = 1 + (uint32_t)cw_rng_below(rng, 60);
    size_t size = 0;
    if ((sources + repairs) * (HEAD + length) > room)
        return 0;
    for (uint32_t i = 0; i < sources + repairs; i++) {
        bool is_repair = i >= sources;
        uint8_t index = (uint8_t)(is_repair ? i - sources : i), *head = data + size;
        memcpy(head, (uint8_t[HEAD]){is_repair << 7 | index, block, repairs, sources, length}, HEAD);
        for (uint32_t b = 0; b < length; b++)
            head[HEAD + b] = is_repair ? rows[index][b] : (uint8_t)cw_rng_next(rng);
        if (!is_repair)
            cw_fec_code_add(&code, repairs, i, head + HEAD, length, at);
        size += cw_rng_below(rng, 8) ? HEAD + length : 0;
    }
    return size;
}

size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    size_t size = 0;
    begin();
    while (cw_rng_below(rng, 8) && size < INPUT_MAX / 2)
        size += a_block(rng, data + size, INPUT_MAX - size);
    return size;
}
