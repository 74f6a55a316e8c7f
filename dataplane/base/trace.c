/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/trace.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/numbers.h"

void cw_trace_init(struct cw_trace *trace, struct cw_arena *arena, uint32_t entry_count)
{
    CW_ASSERT(cw_is_power_of_two(entry_count));
    trace->count = 0;
    trace->mask = entry_count - 1;
    trace->entries = cw_arena_take(arena, sizeof(struct cw_trace_entry) * entry_count, 64);
}

void cw_trace_add(struct cw_trace *trace, uint64_t time_ns, uint32_t code, uint32_t object, uint64_t a,
                  uint64_t b, uint64_t c)
{
    trace->entries[trace->count++ & trace->mask] =
        (struct cw_trace_entry){.time_ns = time_ns, .code = code, .object = object, .values = {a, b, c}};
}

void cw_trace_print(const struct cw_trace *trace, FILE *out, const char *const *names, uint32_t name_count)
{
    uint64_t size = (uint64_t)trace->mask + 1;
    uint64_t first = trace->count > size ? trace->count - size : 0;

    for (uint64_t i = first; i < trace->count; i++) {
        const struct cw_trace_entry *e = &trace->entries[i & trace->mask];
        fprintf(out, "[%14" PRIu64 "ns] ", e->time_ns);
        if (e->code < name_count)
            fprintf(out, "%-24s", names[e->code]);
        else
            fprintf(out, "code %-19" PRIu32, e->code);
        fprintf(out, " #%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", e->object, e->values[0],
                e->values[1], e->values[2]);
    }
}
