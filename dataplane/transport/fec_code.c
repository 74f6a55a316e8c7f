/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ISA-L takes nothing as const; it writes only to what is called coding here. Its tables hold 32 bytes a
 * coefficient, row after row of CW_FEC_SOURCES_MAX each.
 */
#include "transport/fec_code.h"

#include <isa-l/erasure_code.h>

#include "base/vector.h"

void cw_fec_code_init(struct cw_fec_code *code)
{
    for (uint32_t j = 0; j < CW_FEC_REPAIRS_MAX; j++)
        for (uint32_t i = 0; i < CW_FEC_SOURCES_MAX; i++)
            code->coefficients[j][i] = gf_inv((uint8_t)((CW_FEC_SOURCES_MAX + j) ^ i));
    ec_init_tables(CW_FEC_SOURCES_MAX, CW_FEC_REPAIRS_MAX, &code->coefficients[0][0], code->tables);
}

void cw_fec_code_add(const struct cw_fec_code *code, uint32_t repairs, uint32_t source, const uint8_t *symbol,
                     uint32_t length, uint8_t *const rows[])
{
    CW_ASSERT(repairs >= 1 && repairs <= CW_FEC_REPAIRS_MAX);
    CW_ASSERT(source < CW_FEC_SOURCES_MAX);
    ec_encode_data_update((int)length, CW_FEC_SOURCES_MAX, (int)repairs, (int)source, (uint8_t *)code->tables,
                          (uint8_t *)symbol, (uint8_t **)rows);
    cw_vector_clear_uppers();
}

void cw_fec_code_solve(const struct cw_fec_code *code, const struct cw_fec_erasure *erasure,
                       uint8_t *const sums[], uint32_t length, uint8_t *const symbols[])
{
    uint8_t minor[CW_FEC_REPAIRS_MAX * CW_FEC_REPAIRS_MAX], inverse[sizeof minor];
    uint8_t tables[32 * sizeof minor];
    uint32_t n = erasure->count;
    CW_ASSERT(n >= 1 && n <= CW_FEC_REPAIRS_MAX);
    for (uint32_t r = 0; r < n; r++) {
        CW_ASSERT(erasure->rows[r] < CW_FEC_REPAIRS_MAX && erasure->sources[r] < CW_FEC_SOURCES_MAX);
        for (uint32_t c = 0; c < n; c++)
            minor[r * n + c] = code->coefficients[erasure->rows[r]][erasure->sources[c]];
    }
    int singular = gf_invert_matrix(minor, inverse, (int)n);
    CW_ASSERT(singular == 0 && "every minor of a Cauchy matrix is regular");
    ec_init_tables((int)n, (int)n, inverse, tables);
    ec_encode_data((int)length, (int)n, (int)n, tables, (uint8_t **)sums, (uint8_t **)symbols);
    cw_vector_clear_uppers();
}
