/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The erasure code of forward error correction: systematic Cauchy Reed-Solomon over GF(2^8), by ISA-L.
 *
 *     repair[j] = sum over i of c[j][i] * source[i],     c[j][i] = 1 / ((CW_FEC_SOURCES_MAX + j) ^ i)
 *
 * The coefficients depend on the two indexes alone, on no configured k or p. So a block that is closed early
 * is the same code with its later sources zero, a shorter symbol is one that ends in zeros, and a receiver
 * has to know of a block nothing but the indexes. Every square submatrix of c can be inverted: any e repairs
 * give back any e lost sources.
 *
 * Both sides add each source to their rows once, as it passes; no source is kept. What a receiver then has
 * in the row of a repair that came is that repair's sum over the lost sources only, and e of those rows make
 * e equations: what is inverted is the e x e minor, never a k x k matrix.
 */
#pragma once

#include <stdint.h>

#include "base/assert.h"

#define CW_FEC_SOURCES_MAX 64u
#define CW_FEC_REPAIRS_MAX 8u

static_assert(CW_FEC_SOURCES_MAX + CW_FEC_REPAIRS_MAX <= 256, "the points of the matrix are bytes");

struct cw_fec_code {
    uint8_t coefficients[CW_FEC_REPAIRS_MAX][CW_FEC_SOURCES_MAX];
    uint8_t tables[32u * CW_FEC_REPAIRS_MAX * CW_FEC_SOURCES_MAX]; /* of ISA-L, from the coefficients */
};

/* What is to be solved: row rows[i] came; the symbols lost are those of sources[i]. */
struct cw_fec_erasure {
    uint32_t count; /* 1..CW_FEC_REPAIRS_MAX */
    uint8_t sources[CW_FEC_REPAIRS_MAX];
    uint8_t rows[CW_FEC_REPAIRS_MAX];
};

void cw_fec_code_init(struct cw_fec_code *code);

/* Adds `length` bytes of a source to the first `repairs` rows, each at least that long. */
void cw_fec_code_add(const struct cw_fec_code *code, uint32_t repairs, uint32_t source, const uint8_t *symbol,
                     uint32_t length, uint8_t *const rows[]);

/*
 * sums[i] is row rows[i] without all sources that came; symbols[i] becomes source sources[i]. Each has
 * `length` bytes, and no two overlap. The indexes of each kind differ from one another (asserted by the
 * minor being regular).
 */
void cw_fec_code_solve(const struct cw_fec_code *code, const struct cw_fec_erasure *erasure,
                       uint8_t *const sums[], uint32_t length, uint8_t *const symbols[]);
