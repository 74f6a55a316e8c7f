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

/* Bytes that so much time carries, at most a quantum's most. */
static uint64_t bytes_of(uint64_t rate, uint64_t ns)
{
    return rate >= CW_PACER_QUANTUM_MAX * (CW_SECOND / ns) ? CW_PACER_QUANTUM_MAX : rate * ns / CW_SECOND;
}

static uint64_t late_ns(const struct cw_pacer *pacer)
{
    uint64_t burst_ns = bytes_of(pacer->rate, CW_PACER_BURST_NS) * CW_SECOND / pacer->rate;
    uint64_t usual_ns = burst_ns - CW_MIN(burst_ns, pacer->quantum_ns);
    return CW_MAX(usual_ns, pacer->late_ns_asked);
}

void cw_pacer_rate_set(struct cw_pacer *pacer, uint64_t rate, uint32_t datagram_bytes_max)
{
    if (rate == pacer->rate)
        return;
    pacer->rate = rate;
    pacer->byte_cost = pacer->quantum_ns = pacer->datagram_ns = pacer->late_ns = 0;
    if (rate == 0)
        return;
    CW_ASSERT(datagram_bytes_max <= CW_PACER_QUANTUM_MAX);
    CW_ASSERT(rate >= 1000 && "a byte's cost, times 64 KiB, stays within 64 bits");
    pacer->byte_cost = ((CW_SECOND << FRACTION_BITS) + rate - 1) / rate;
    uint64_t quantum = CW_MAX(bytes_of(rate, CW_PACER_SPAN_NS), 2ull * datagram_bytes_max);
    quantum = CW_MIN(quantum, CW_PACER_QUANTUM_MAX);
    pacer->quantum_ns = quantum * CW_SECOND / rate; /* rounded down: the guarantee is on the other side */
    pacer->datagram_ns = CW_MIN(cost_ns(pacer, datagram_bytes_max), pacer->quantum_ns);
    pacer->late_ns = late_ns(pacer);
}

void cw_pacer_late_set(struct cw_pacer *pacer, uint64_t late)
{
    if (late == pacer->late_ns_asked)
        return;
    pacer->late_ns_asked = late;
    if (pacer->rate > 0)
        pacer->late_ns = late_ns(pacer);
}

void cw_pacer_init(struct cw_pacer *pacer, uint64_t rate, uint32_t datagram_bytes_max)
{
    *pacer = (struct cw_pacer){.is_idle = true};
    cw_pacer_rate_set(pacer, rate, datagram_bytes_max);
}

bool cw_pacer_is_too_late(const struct cw_pacer *pacer, uint64_t now_ns)
{
    return pacer->byte_cost > 0 && !pacer->is_idle && pacer->drained_ns + pacer->late_ns < now_ns;
}

void cw_pacer_on_sent(struct cw_pacer *pacer, uint32_t bytes, uint64_t now_ns)
{
    uint64_t made_up_ns = pacer->is_idle ? 0 : CW_MIN(pacer->late_ns, now_ns);
    pacer->is_idle = false;
    if (pacer->byte_cost == 0)
        return;
    if (pacer->drained_ns < now_ns - made_up_ns) {
        pacer->drained_ns = now_ns - made_up_ns;
        pacer->drained_fraction = 0;
    }
    uint64_t fractions = pacer->drained_fraction + bytes * pacer->byte_cost;
    pacer->drained_ns += fractions >> FRACTION_BITS;
    pacer->drained_fraction = fractions & ((1u << FRACTION_BITS) - 1);
}
