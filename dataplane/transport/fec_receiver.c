/* SPDX-License-Identifier: BSD-3-Clause */
/* A slot is never cleared as a whole: its rows are zeroed as far as symbols reach, when they reach it. */
#include "transport/fec_receiver.h"

#include <stdalign.h>
#include <string.h>

#include "base/bytes.h"
#include "base/numbers.h"

#define ROW_ALIGNMENT 64u

void cw_fec_receiver_init(struct cw_fec_receiver *receiver, struct cw_arena *arena,
                          const struct cw_fec_code *code, uint32_t blocks, uint32_t repairs_max,
                          uint32_t symbol_bytes_max)
{
    CW_ASSERT(cw_is_power_of_two(blocks) && blocks <= CW_FEC_NUMBER_MASK / 2);
    CW_ASSERT(repairs_max >= 1 && repairs_max <= CW_FEC_REPAIRS_MAX);
    *receiver = (struct cw_fec_receiver){.code = code,
                                         .mask = blocks - 1,
                                         .repairs_max = repairs_max,
                                         .symbol_bytes_max = symbol_bytes_max,
                                         .row_bytes = (uint32_t)cw_round_up(symbol_bytes_max, ROW_ALIGNMENT)};
    receiver->blocks =
        cw_arena_take(arena, blocks * sizeof *receiver->blocks, alignof(struct cw_fec_block_in));
    size_t each = (size_t)repairs_max * receiver->row_bytes;
    uint8_t *rows = cw_arena_take(arena, (blocks + 1) * each, ROW_ALIGNMENT);
    for (uint32_t i = 0; i < blocks && rows; i++)
        receiver->blocks[i].rows = rows + i * each;
    receiver->solved = rows ? rows + blocks * each : NULL;
}

void cw_fec_receiver_reset(struct cw_fec_receiver *receiver)
{
    for (uint32_t i = 0; i <= receiver->mask; i++)
        receiver->blocks[i].state = CW_FEC_BLOCK_FREE;
}

/* The sources that a block of this count has. */
static uint64_t all_of(uint32_t count)
{
    return count == 64 ? UINT64_MAX : (1ull << count) - 1;
}
static_assert(CW_FEC_SOURCES_MAX == 64, "the sources of a block are the bits of a word");

/* Sources that are known to exist and did not come. */
static uint64_t missing_of(const struct cw_fec_block_in *block)
{
    uint32_t known = block->source_count;
    if (known == 0 && block->sources_have)
        known = 64 - (uint32_t)__builtin_clzll(block->sources_have);
    return all_of(known) & ~block->sources_have;
}

static void begin(struct cw_fec_receiver *receiver, struct cw_fec_block_in *block,
                  const struct cw_fec_place *place)
{
    if (block->state == CW_FEC_BLOCK_FILLING && missing_of(block))
        receiver->counts[CW_FEC_IN_UNRECOVERABLE]++;
    receiver->counts[CW_FEC_IN_BLOCKS]++;
    *block = (struct cw_fec_block_in){.number = place->block,
                                      .repairs = place->repairs,
                                      .state = CW_FEC_BLOCK_FILLING,
                                      .rows = block->rows};
}

/* The block of a symbol that may be added to it; else NULL, and why is counted. */
static struct cw_fec_block_in *find(struct cw_fec_receiver *receiver, const struct cw_fec_place *place,
                                    uint32_t length)
{
    struct cw_fec_block_in *block = &receiver->blocks[place->block & receiver->mask];
    if (place->block > CW_FEC_NUMBER_MASK || place->repairs < 1 || place->repairs > receiver->repairs_max ||
        length > receiver->symbol_bytes_max) {
        receiver->counts[CW_FEC_IN_BAD]++;
        return NULL;
    }
    if (block->state != CW_FEC_BLOCK_FREE && block->number == place->block) {
        if (block->repairs == place->repairs)
            return block;
        receiver->counts[CW_FEC_IN_BAD]++;
        return NULL;
    }
    if (block->state != CW_FEC_BLOCK_FREE &&
        ((place->block - block->number) & CW_FEC_NUMBER_MASK) > CW_FEC_NUMBER_MASK / 2) {
        receiver->counts[CW_FEC_IN_LATE]++;
        return NULL;
    }
    begin(receiver, block, place);
    return block;
}

static void rows_of(const struct cw_fec_receiver *receiver, const struct cw_fec_block_in *block,
                    uint8_t *rows[CW_FEC_REPAIRS_MAX])
{
    for (uint32_t j = 0; j < block->repairs; j++)
        rows[j] = block->rows + (size_t)j * receiver->row_bytes;
}

static void reach(struct cw_fec_block_in *block, uint8_t *const rows[], uint32_t length)
{
    if (length <= block->length)
        return;
    for (uint32_t j = 0; j < block->repairs; j++)
        memset(rows[j] + block->length, 0, length - block->length);
    block->length = length;
}

static void add_bytes(uint8_t *to, const uint8_t *bytes, uint32_t length)
{
    uint32_t i = 0;
    for (; i + 8 <= length; i += 8)
        cw_store64le(to + i, cw_load64le(to + i) ^ cw_load64le(bytes + i));
    for (; i < length; i++)
        to[i] ^= bytes[i];
}

/* Which sources by which rows: as many of those that came as are needed. */
static void choose(uint64_t missing, uint32_t rows_have, struct cw_fec_erasure *erasure)
{
    *erasure = (struct cw_fec_erasure){0};
    for (; missing; missing &= missing - 1, rows_have &= rows_have - 1) {
        erasure->sources[erasure->count] = (uint8_t)__builtin_ctzll(missing);
        erasure->rows[erasure->count++] = (uint8_t)__builtin_ctz(rows_have);
    }
}

static void solve(struct cw_fec_receiver *receiver, struct cw_fec_block_in *block, uint64_t missing,
                  struct cw_fec_recovered *recovered)
{
    struct cw_fec_erasure erasure;
    uint8_t *sums[CW_FEC_REPAIRS_MAX], *symbols[CW_FEC_REPAIRS_MAX];
    choose(missing, block->rows_have, &erasure);
    for (uint32_t i = 0; i < erasure.count; i++) {
        sums[i] = block->rows + (size_t)erasure.rows[i] * receiver->row_bytes;
        symbols[i] = receiver->solved + (size_t)i * receiver->row_bytes;
        recovered->symbols[i] = symbols[i];
    }
    cw_fec_code_solve(receiver->code, &erasure, sums, block->length, symbols);
    recovered->count = erasure.count;
    recovered->length = block->length;
    block->sources_have |= missing;
    receiver->counts[CW_FEC_IN_RECOVERED] += erasure.count;
}

static void look(struct cw_fec_receiver *receiver, struct cw_fec_block_in *block,
                 struct cw_fec_recovered *recovered)
{
    if (block->source_count == 0)
        return; /* how many there are is told by a repair */
    uint64_t missing = missing_of(block);
    if (__builtin_popcountll(missing) > __builtin_popcount(block->rows_have))
        return;
    if (missing)
        solve(receiver, block, missing, recovered);
    block->state = CW_FEC_BLOCK_DONE;
}

void cw_fec_receiver_source(struct cw_fec_receiver *receiver, const struct cw_fec_place *place,
                            const uint8_t *symbol, uint32_t length, struct cw_fec_recovered *recovered)
{
    uint8_t *rows[CW_FEC_REPAIRS_MAX];
    recovered->count = 0;
    struct cw_fec_block_in *block = find(receiver, place, length);
    if (!block)
        return;
    bool is_bad = place->index >= CW_FEC_SOURCES_MAX ||
                  (block->source_count > 0 && place->index >= block->source_count);
    if (is_bad || block->sources_have >> place->index & 1) {
        receiver->counts[is_bad ? CW_FEC_IN_BAD : CW_FEC_IN_LATE]++;
        return;
    }
    CW_ASSERT(block->state == CW_FEC_BLOCK_FILLING && "a block that is done lacks no source");
    rows_of(receiver, block, rows);
    reach(block, rows, length);
    cw_fec_code_add(receiver->code, block->repairs, place->index, symbol, length, rows);
    block->sources_have |= 1ull << place->index;
    look(receiver, block, recovered);
}

void cw_fec_receiver_repair(struct cw_fec_receiver *receiver, const struct cw_fec_place *place,
                            uint32_t source_count, const uint8_t *symbol, uint32_t length,
                            struct cw_fec_recovered *recovered)
{
    uint8_t *rows[CW_FEC_REPAIRS_MAX];
    recovered->count = 0;
    struct cw_fec_block_in *block = find(receiver, place, length);
    if (!block || block->state == CW_FEC_BLOCK_DONE)
        return;
    bool disagrees = block->source_count > 0 && block->source_count != source_count;
    if (source_count < 1 || source_count > CW_FEC_SOURCES_MAX || disagrees ||
        place->index >= block->repairs || block->sources_have & ~all_of(source_count) ||
        block->rows_have >> place->index & 1) {
        receiver->counts[CW_FEC_IN_BAD]++;
        return;
    }
    rows_of(receiver, block, rows);
    reach(block, rows, length);
    add_bytes(rows[place->index], symbol, length);
    block->source_count = (uint8_t)source_count;
    block->rows_have |= (uint8_t)(1u << place->index);
    look(receiver, block, recovered);
}

bool cw_fec_receiver_is_valid(const struct cw_fec_receiver *receiver)
{
    for (uint32_t i = 0; i <= receiver->mask; i++) {
        const struct cw_fec_block_in *block = &receiver->blocks[i];
        if (block->state == CW_FEC_BLOCK_FREE)
            continue;
        if ((block->number & receiver->mask) != i || block->length > receiver->symbol_bytes_max)
            return false;
        if (block->repairs < 1 || block->repairs > receiver->repairs_max ||
            block->rows_have >> block->repairs != 0)
            return false;
        if (block->source_count > 0 && block->sources_have & ~all_of(block->source_count))
            return false;
        bool solvable = __builtin_popcountll(missing_of(block)) <= __builtin_popcount(block->rows_have);
        if (block->state == CW_FEC_BLOCK_FILLING && block->source_count > 0 && solvable)
            return false; /* should have been */
        if (block->state == CW_FEC_BLOCK_DONE && missing_of(block))
            return false;
    }
    return true;
}
