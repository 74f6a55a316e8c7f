/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shape of blocks that a path needs, from what it lost of late: how much, and how many in a row.
 *
 * Repairs and sources come from a table of loss rates, made for a residual loss of about 1e-6 where losses
 * are independent, with a floor of one repair and a ceiling of an overhead of a quarter. The depth is what
 * gives a block a third of its repairs from a mean run. Losses count as one run when their numbers are at
 * most two apart (acks take numbers too).
 *
 * Adaptive redundancy is patented here and there (US 9,967,056; 10,326,551; 11,916,674): nothing of this
 * runs unless `auto` is configured.
 */
#pragma once

#include <stdint.h>

#include "transport/fec_sender.h"
#include "transport/meter.h"

#define CW_FEC_AUTO_SOURCES 64u
#define CW_FEC_AUTO_REPAIRS 8u
#define CW_FEC_AUTO_DEPTH   32u
#define CW_FEC_AUTO_EACH_NS 100000000u /* between two looks */
#define CW_FEC_AUTO_SHIFT   30u        /* of the meters: 8 * 2^30 ns = 8.6 s */

struct cw_fec_auto {
    struct cw_meter lost, runs;
    uint64_t last_number;
    uint64_t next_ns;
};

void cw_fec_auto_reset(struct cw_fec_auto *automatic);
void cw_fec_auto_on_lost(struct cw_fec_auto *automatic, uint64_t number, uint64_t now_ns);
/* The shape for a path that lost so many of a million packets, so many (at least 1) in a row. */
struct cw_fec_shape cw_fec_auto_shape(uint64_t lost_per_million, uint64_t run_length);
/* Given packets sent in the time of the meters. */
struct cw_fec_shape cw_fec_auto_now(struct cw_fec_auto *automatic, uint64_t sent, uint64_t now_ns);
