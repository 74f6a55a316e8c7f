/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/trace.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/numbers.h"

#define WORDS_MAX 240

void cw_trace_init(struct cw_trace *trace, struct cw_arena *arena, uint32_t entry_count)
{
    CW_ASSERT(cw_is_power_of_two(entry_count));
    trace->count = 0;
    trace->mask = entry_count - 1;
    trace->entries = cw_arena_take(arena, sizeof(struct cw_trace_entry) * entry_count, 64);
}

void cw_trace_add(struct cw_trace *trace, uint64_t time_ns, uint64_t object, const char *text, uint64_t a,
                  uint64_t b, uint64_t c)
{
    trace->entries[trace->count++ & trace->mask] =
        (struct cw_trace_entry){.time_ns = time_ns, .text = text, .object = object, .values = {a, b, c}};
}

uint32_t cw_trace_last(const struct cw_trace *trace, struct cw_trace_entry *entries, uint32_t max)
{
    uint64_t end = trace->count, held = CW_MIN(end, (uint64_t)trace->mask + 1);
    uint32_t count = (uint32_t)CW_MIN(held, (uint64_t)max);

    for (uint32_t i = 0; i < count; i++)
        entries[i] = trace->entries[(end - count + i) & trace->mask];
    return count;
}

void cw_trace_words(const struct cw_trace_entry *entry, char *words, size_t size)
{
    snprintf(words, size, entry->text, (unsigned long long)entry->values[0],
             (unsigned long long)entry->values[1], (unsigned long long)entry->values[2]);
}

void cw_trace_print(const struct cw_trace *trace, FILE *out, uint32_t max, uint64_t now_ns)
{
    uint64_t end = trace->count, held = CW_MIN(end, (uint64_t)trace->mask + 1);

    for (uint64_t i = end - CW_MIN(held, (uint64_t)max); i < end; i++) {
        const struct cw_trace_entry entry = trace->entries[i & trace->mask];
        uint64_t age_ns = now_ns - CW_MIN(now_ns, entry.time_ns);
        char words[WORDS_MAX];
        cw_trace_words(&entry, words, sizeof words);
        fprintf(out, "  -%" PRIu64 ".%06" PRIu64 " s  #%" PRIu64 " %s\n", age_ns / 1000000000,
                age_ns / 1000 % 1000000, entry.object, words);
    }
}
