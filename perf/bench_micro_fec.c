/* SPDX-License-Identifier: BSD-3-Clause */
/* See bench_micro_fec.h. */
#include "bench_micro_fec.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "transport/fec_code.h"

#define SOURCE_BYTES (16u << 20)

struct bench_fec {
    struct cw_fec_code code;
    uint32_t sources, repairs, length;
    uint32_t next;  /* source of the block */
    size_t at;      /* where its bytes are */
    uint8_t *bytes; /* sources, then rows, then what is solved */
    uint8_t *rows[CW_FEC_REPAIRS_MAX], *solved[CW_FEC_REPAIRS_MAX];
};

struct bench_fec *bench_fec_new(uint32_t sources, uint32_t repairs, uint32_t length)
{
    struct bench_fec *fec = calloc(1, sizeof *fec);
    CW_ASSERT(fec != NULL);
    cw_fec_code_init(&fec->code);
    fec->sources = sources;
    fec->repairs = repairs;
    fec->length = length;
    size_t row = cw_round_up(length, 64), all = SOURCE_BYTES + 2 * CW_FEC_REPAIRS_MAX * row;
    fec->bytes = aligned_alloc(4096, cw_round_up(all, 4096));
    CW_ASSERT(fec->bytes != NULL);
    memset(fec->bytes, 0x5a, all);
    for (uint32_t i = 0; i < CW_FEC_REPAIRS_MAX; i++) {
        fec->rows[i] = fec->bytes + SOURCE_BYTES + i * row;
        fec->solved[i] = fec->rows[i] + CW_FEC_REPAIRS_MAX * row;
    }
    return fec;
}

void bench_fec_encode(struct bench_fec *fec)
{
    if (fec->next == 0)
        for (uint32_t j = 0; j < fec->repairs; j++)
            memset(fec->rows[j], 0, fec->length);
    cw_fec_code_add(&fec->code, fec->repairs, fec->next, fec->bytes + fec->at, fec->length, fec->rows);
    fec->next = (fec->next + 1) % fec->sources;
    fec->at = fec->at + 2ull * fec->length <= SOURCE_BYTES ? fec->at + fec->length : 0;
}

void bench_fec_solve(struct bench_fec *fec, uint32_t losses)
{
    struct cw_fec_erasure erasure = {.count = losses};
    for (uint32_t i = 0; i < losses; i++) {
        erasure.sources[i] = (uint8_t)(i * fec->sources / losses);
        erasure.rows[i] = (uint8_t)i;
    }
    cw_fec_code_solve(&fec->code, &erasure, fec->rows, fec->length, fec->solved);
}

void bench_fec_free(struct bench_fec *fec)
{
    free(fec->bytes);
    free(fec);
}
