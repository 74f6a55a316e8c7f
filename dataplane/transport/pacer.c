/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/pacer.h"

#include "base/assert.h"
#include "base/numbers.h"

#define FRACTION_BITS 20u

static uint64_t cost_ns(const struct cw_pacer *pacer, uint64_t bytes)
{
    uint64_t fractions = bytes * pacer->byte_cost;
    return (fractions + (1u << FRACTION_BITS) - 1) >> FRACTION_BITS;
}

void cw_pacer_rate_set(struct cw_pacer *pacer, uint64_t rate, uint32_t datagram_bytes_max)
{
    if (rate == pacer->rate)
        return;
    pacer->rate = rate;
    pacer->byte_cost = pacer->quantum_ns = pacer->datagram_ns = 0;
    if (rate == 0)
        return;
    CW_ASSERT(datagram_bytes_max <= CW_PACER_QUANTUM_MAX);
    CW_ASSERT(rate >= 1000 && "a byte's cost, times 64 KiB, stays within 64 bits");
    pacer->byte_cost = ((CW_SECOND << FRACTION_BITS) + rate - 1) / rate;
    uint64_t span_bytes = rate >= CW_PACER_QUANTUM_MAX * (CW_SECOND / CW_PACER_SPAN_NS)
                              ? CW_PACER_QUANTUM_MAX
                              : rate * CW_PACER_SPAN_NS / CW_SECOND;
    uint64_t quantum = CW_MIN(CW_MAX(span_bytes, 2ull * datagram_bytes_max), CW_PACER_QUANTUM_MAX);
    pacer->quantum_ns = quantum * CW_SECOND / rate; /* rounded down: the guarantee is on the other side */
    pacer->datagram_ns = CW_MIN(cost_ns(pacer, datagram_bytes_max), pacer->quantum_ns);
}

void cw_pacer_init(struct cw_pacer *pacer, uint64_t rate, uint32_t datagram_bytes_max)
{
    *pacer = (struct cw_pacer){0};
    cw_pacer_rate_set(pacer, rate, datagram_bytes_max);
}

uint64_t cw_pacer_next_ns(const struct cw_pacer *pacer)
{
    uint64_t full_ns = pacer->drained_ns + (pacer->drained_fraction ? 1 : 0) + pacer->datagram_ns;
    return full_ns > pacer->quantum_ns ? full_ns - pacer->quantum_ns : 0;
}

void cw_pacer_on_sent(struct cw_pacer *pacer, uint32_t bytes, uint64_t now_ns)
{
    if (pacer->byte_cost == 0)
        return;
    if (pacer->drained_ns < now_ns) {
        pacer->drained_ns = now_ns;
        pacer->drained_fraction = 0;
    }
    uint64_t fractions = pacer->drained_fraction + bytes * pacer->byte_cost;
    pacer->drained_ns += fractions >> FRACTION_BITS;
    pacer->drained_fraction = fractions & ((1u << FRACTION_BITS) - 1);
}
