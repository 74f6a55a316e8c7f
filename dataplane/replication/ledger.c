/* SPDX-License-Identifier: BSD-3-Clause */
#include "replication/ledger.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

static uint64_t units_of(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit;
}

static uint32_t words_of(const struct cw_ledger *l)
{
    return (l->first[CW_VOLUMES_PER_GROUP_MAX] + 63) / 64;
}

static bool has(const uint64_t *map, uint32_t unit)
{
    return map[unit / 64] >> (unit % 64) & 1;
}

static uint32_t count(const uint64_t *map, uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    for (uint32_t u = from; u < to; u++) {
        if (u % 64 == 0 && to - u >= 64) {
            n += (uint32_t)__builtin_popcountll(map[u / 64]);
            u += 63;
        } else {
            n += has(map, u);
        }
    }
    return n;
}

static void clear(const struct cw_ledger *l, uint64_t *map)
{
    memset(map, 0, sizeof *map * words_of(l));
}

void cw_ledger_carve(struct cw_ledger *l, struct cw_arena *arena)
{
    const size_t bytes = CW_LEDGER_UNITS / 8;

    l->lacking = cw_arena_take_untouched(arena, bytes, 64);
    l->newer = cw_arena_take_untouched(arena, bytes, 64);
    l->older = cw_arena_take_untouched(arena, bytes, 64);
}

static bool lay_out(struct cw_ledger *l, uint64_t unit)
{
    uint64_t at = 0;

    for (uint32_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++) {
        l->first[v] = (uint32_t)at;
        at += units_of(l->sizes[v], unit);
        if (at > CW_LEDGER_UNITS)
            return false;
    }
    l->first[CW_VOLUMES_PER_GROUP_MAX] = (uint32_t)at;
    l->unit = unit;
    return true;
}

void cw_ledger_begin(struct cw_ledger *l, const uint64_t sizes[CW_VOLUMES_PER_GROUP_MAX], uint64_t unit,
                     uint64_t sequence)
{
    static_assert(CW_LEDGER_UNITS > CW_VOLUMES_PER_GROUP_MAX, "units of 2^63 bytes are few enough");

    CW_ASSERT(cw_is_power_of_two(unit));
    memcpy(l->sizes, sizes, sizeof l->sizes);
    while (!lay_out(l, unit))
        unit *= 2;
    clear(l, l->newer);
    clear(l, l->older);
    l->turned_at = sequence;
    cw_ledger_lack_all(l);
}

void cw_ledger_end(struct cw_ledger *l)
{
    l->id = 0;
}

void cw_ledger_lack_all(struct cw_ledger *l)
{
    uint32_t units = l->first[CW_VOLUMES_PER_GROUP_MAX];

    memset(l->lacking, 0xff, sizeof *l->lacking * words_of(l));
    if (units % 64)
        l->lacking[units / 64] = (1ull << (units % 64)) - 1;
    l->lacking_units = units;
    for (uint16_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++)
        if (l->sizes[v] == 0)
            cw_ledger_remove(l, v);
}

/* What a removed volume would have is nobody's. */
static void mark(struct cw_ledger *l, uint64_t *map, struct cw_extent e)
{
    CW_ASSERT(e.volume < CW_VOLUMES_PER_GROUP_MAX);
    if (l->sizes[e.volume] == 0 || e.length == 0)
        return;
    CW_ASSERT(e.offset + e.length <= l->sizes[e.volume]);
    uint64_t last = l->first[e.volume] + (e.offset + e.length - 1) / l->unit;

    for (uint64_t u = l->first[e.volume] + e.offset / l->unit; u <= last; u++) {
        l->lacking_units += map == l->lacking && !has(map, (uint32_t)u);
        map[u / 64] |= 1ull << (u % 64);
    }
}

void cw_ledger_lack(struct cw_ledger *l, struct cw_extent extent)
{
    mark(l, l->lacking, extent);
}

void cw_ledger_write(struct cw_ledger *l, struct cw_extent extent)
{
    mark(l, l->newer, extent);
}

void cw_ledger_turn(struct cw_ledger *l, uint64_t applied, uint64_t head)
{
    uint64_t *old = l->older;

    if (applied < l->turned_at || head == l->turned_at)
        return;
    l->older = l->newer;
    l->newer = old;
    clear(l, l->newer);
    l->turned_at = head;
}

void cw_ledger_fold(struct cw_ledger *l, uint64_t sequence)
{
    for (uint32_t i = 0; i < words_of(l); i++) {
#if CW_PLANTED_BUG == 23 /* what was written while a part of a copy lasted is not brought by the next */
        continue;
#endif
        l->newer[i] |= l->older[i]; /* above `sequence` there may be some of them: they count on */
        l->lacking[i] |= l->newer[i];
        l->older[i] = 0;
    }
    l->turned_at = sequence;
    l->lacking_units = count(l->lacking, 0, l->first[CW_VOLUMES_PER_GROUP_MAX]);
}

void cw_ledger_remove(struct cw_ledger *l, uint16_t volume)
{
    for (uint32_t u = l->first[volume]; u < l->first[volume + 1]; u++) {
        uint64_t keep = ~(1ull << (u % 64));
        l->lacking_units -= has(l->lacking, u);
        l->lacking[u / 64] &= keep;
        l->newer[u / 64] &= keep;
        l->older[u / 64] &= keep;
    }
    l->sizes[volume] = 0;
}

static struct cw_extent extent_of(const struct cw_ledger *l, uint32_t unit)
{
    struct cw_extent e = {0};

    while (unit >= l->first[e.volume + 1])
        e.volume++;
    e.offset = (unit - l->first[e.volume]) * l->unit;
    e.length = CW_MIN(l->unit, l->sizes[e.volume] - e.offset);
    return e;
}

bool cw_ledger_take(struct cw_ledger *l, struct cw_extent after, struct cw_extent *taken)
{
    uint32_t units = l->first[CW_VOLUMES_PER_GROUP_MAX], words = words_of(l);
    uint64_t begin = l->first[after.volume] + (after.offset + after.length) / l->unit;

    if (l->lacking_units == 0)
        return false;
    uint32_t word = begin < units ? (uint32_t)begin / 64 : 0;
    for (uint32_t n = 0; n <= words; n++, word = (word + 1) % words) { /* the first word twice */
        uint64_t bits = l->lacking[word];
        if (n == 0 && begin < units)
            bits &= ~0ull << (begin % 64);
        if (!bits)
            continue;
        uint32_t unit = word * 64 + (uint32_t)__builtin_ctzll(bits);
        l->lacking[word] &= ~(1ull << (unit % 64));
        l->lacking_units--;
        *taken = extent_of(l, unit);
        return true;
    }
    CW_ASSERT(!"one was counted");
    return false;
}

uint64_t cw_ledger_lacking_bytes_of(const struct cw_ledger *l, uint16_t volume)
{
    uint32_t from = l->first[volume], to = l->first[volume + 1];

    if (l->sizes[volume] == 0)
        return 0;
    uint64_t beyond = (to - from) * l->unit - l->sizes[volume]; /* the last unit may be shorter */
    uint64_t bytes = count(l->lacking, from, to) * l->unit;
    return bytes - (has(l->lacking, to - 1) ? beyond : 0);
}

uint64_t cw_ledger_lacking_bytes(const struct cw_ledger *l)
{
    uint64_t bytes = 0;

    for (uint16_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++)
        bytes += cw_ledger_lacking_bytes_of(l, v);
    return bytes;
}
