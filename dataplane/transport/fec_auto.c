/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/fec_auto.h"

#include "base/numbers.h"

#define NUMBERS_OF_RUN 2u
#define DEPTH_MIN      2u

void cw_fec_auto_reset(struct cw_fec_auto *automatic)
{
    *automatic = (struct cw_fec_auto){.lost.shift = CW_FEC_AUTO_SHIFT, .runs.shift = CW_FEC_AUTO_SHIFT};
}

void cw_fec_auto_on_lost(struct cw_fec_auto *automatic, uint64_t number, uint64_t now_ns)
{
    bool goes_on = automatic->last_number > 0 && number > automatic->last_number &&
                   number - automatic->last_number <= NUMBERS_OF_RUN;
    cw_meter_add(&automatic->lost, 1, now_ns);
    if (!goes_on)
        cw_meter_add(&automatic->runs, 1, now_ns);
    automatic->last_number = number;
}

struct cw_fec_shape cw_fec_auto_shape(uint64_t lost_per_million, uint64_t run_length)
{
    static const struct {
        uint32_t up_to; /* lost of a million */
        uint8_t sources, repairs;
    } table[] = {{10, 64, 1}, {100, 64, 2}, {1000, 64, 3}, {3000, 64, 4}, {10000, 64, 6}, {30000, 40, 7}};
    struct cw_fec_shape shape = {4 * CW_FEC_AUTO_REPAIRS, CW_FEC_AUTO_REPAIRS, 0};
    for (uint32_t i = CW_COUNT_OF(table); i-- > 0;)
        if (lost_per_million <= table[i].up_to)
            shape = (struct cw_fec_shape){table[i].sources, table[i].repairs, 0};
    uint64_t depth = (3 * run_length + shape.repairs - 1) / shape.repairs;
    shape.depth = (uint16_t)CW_MIN(CW_MAX(depth, DEPTH_MIN), CW_FEC_AUTO_DEPTH);
    return shape;
}

struct cw_fec_shape cw_fec_auto_now(struct cw_fec_auto *automatic, uint64_t sent, uint64_t now_ns)
{
    uint64_t lost = cw_meter_sum(&automatic->lost, now_ns), runs = cw_meter_sum(&automatic->runs, now_ns);
    return cw_fec_auto_shape(sent ? lost * 1000000 / sent : 0, runs ? (lost + runs - 1) / runs : 1);
}
