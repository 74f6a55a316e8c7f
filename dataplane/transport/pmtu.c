/* SPDX-License-Identifier: BSD-3-Clause */
/* See pmtu.h. */
#include "transport/pmtu.h"

#include "base/assert.h"
#include "base/numbers.h"

#define RAISE_NS (600 * CW_SECOND) /* PMTU_RAISE_TIMER */
#define AGAIN_NS CW_SECOND

static uint32_t size_of(const struct cw_pmtu *p, uint32_t steps)
{
    return p->base + p->step * steps;
}

/* How many steps fit; at least 0. */
static uint32_t steps_in(const struct cw_pmtu *p, uint32_t bytes)
{
    return bytes <= p->base ? 0 : CW_MIN((bytes - p->base) / p->step, p->steps_max);
}

static void search(struct cw_pmtu *p, uint32_t steps_high, uint64_t due_ns)
{
    p->state = CW_PMTU_SEARCHING;
    p->steps_low = p->steps;
    p->steps_high = steps_high;
    p->trying = 0;
    p->is_out = false;
    p->due_ns = due_ns;
}

void cw_pmtu_start(struct cw_pmtu *p, bool is_probed, uint32_t base, uint32_t step, uint32_t largest,
                   uint64_t now_ns)
{
    CW_ASSERT(step > 0);
    *p = (struct cw_pmtu){.base = largest, .step = step, .due_ns = CW_NEVER};
    uint32_t steps = largest > base ? (largest - base + step - 1) / step : 0;
    if (!is_probed || steps == 0 || largest - steps * step < CW_PMTU_BYTES_MIN)
        return;
    p->steps_max = steps;
    p->base = largest - steps * step;
    search(p, steps, now_ns);
}

uint32_t cw_pmtu_bytes(const struct cw_pmtu *p)
{
    return size_of(p, p->steps);
}

uint64_t cw_pmtu_deadline_ns(const struct cw_pmtu *p)
{
    return p->is_out ? CW_NEVER : p->due_ns;
}

uint32_t cw_pmtu_probe(struct cw_pmtu *p, uint64_t now_ns)
{
    if (p->is_out || now_ns < p->due_ns)
        return 0;
    if (p->state == CW_PMTU_DONE)
        search(p, p->steps_max, now_ns);
    if (p->trying == 0) {
        CW_ASSERT(p->steps_low < p->steps_high);
        bool is_first = p->steps_low == p->steps && p->steps_high == p->steps_max;
        p->trying = is_first ? p->steps_high : p->steps_low + (p->steps_high - p->steps_low + 1) / 2;
        p->tries = 0;
    }
    p->tries++;
    p->is_out = true;
    return size_of(p, p->trying);
}

/* Something of the search was settled: choose the next size, or end it. */
static void go_on(struct cw_pmtu *p, uint64_t now_ns)
{
    p->trying = 0;
    p->is_out = false;
    p->due_ns = now_ns;
    if (p->steps_low < p->steps_high)
        return;
    p->state = CW_PMTU_DONE;
    p->due_ns = p->steps == p->steps_max ? CW_NEVER : now_ns + RAISE_NS;
}

void cw_pmtu_on_probe_acked(struct cw_pmtu *p, uint32_t bytes, uint64_t now_ns)
{
    uint32_t steps = steps_in(p, bytes);
    if (p->state == CW_PMTU_OFF || steps <= p->steps)
        return;
    p->steps = steps;
    p->black_rounds = 0;
    if (p->state != CW_PMTU_SEARCHING) { /* late: there may be nothing left to look for */
        if (p->steps == p->steps_max)
            p->due_ns = CW_NEVER;
        return;
    }
    p->steps_low = CW_MAX(p->steps_low, steps);
    p->steps_high = CW_MAX(p->steps_high, steps); /* it had been given up too early */
    go_on(p, now_ns);
}

void cw_pmtu_on_probe_lost(struct cw_pmtu *p, uint32_t bytes, uint64_t now_ns)
{
    if (!p->is_out || bytes != size_of(p, p->trying))
        return; /* of an earlier search */
    p->is_out = false;
    p->due_ns = now_ns;
    if (p->tries < CW_PMTU_TRIES)
        return;
    p->steps_high = p->trying - 1;
    go_on(p, now_ns);
}

void cw_pmtu_on_acked(struct cw_pmtu *p, uint32_t bytes)
{
    if (bytes > p->base)
        p->black_rounds = 0;
}

bool cw_pmtu_on_lost(struct cw_pmtu *p, uint32_t bytes, uint64_t sent_ns, uint64_t now_ns)
{
    if (p->steps == 0 || bytes <= p->base || sent_ns < p->black_round_ns)
        return false;
    p->black_round_ns = now_ns;
    if (++p->black_rounds < CW_PMTU_BLACK_ROUNDS)
        return false;
    p->black_rounds = 0;
    p->steps = 0;
    search(p, p->steps_max, now_ns + AGAIN_NS);
    return true;
}

bool cw_pmtu_on_hint(struct cw_pmtu *p, uint32_t bytes, uint64_t now_ns)
{
    uint32_t steps = steps_in(p, bytes);
    if (p->state == CW_PMTU_OFF || bytes < p->base)
        return false;
    if (steps < p->steps) {
        p->steps = p->steps_low = p->steps_high = steps;
        p->black_rounds = 0;
        go_on(p, now_ns);
        return true;
    }
    if (p->state == CW_PMTU_SEARCHING && p->is_out && steps < p->trying) {
        p->steps_high = CW_MAX(steps, p->steps_low); /* the probe that is out is too large */
        go_on(p, now_ns);
    }
    return false;
}
