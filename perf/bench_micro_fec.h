/* SPDX-License-Identifier: BSD-3-Clause */
/* What bench_micro_fec.cc measures, behind plain C functions. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_fec;
/* Blocks of so many sources and repairs; symbols of so many bytes, over 16 MiB of them. */
struct bench_fec *bench_fec_new(uint32_t sources, uint32_t repairs, uint32_t length);
void bench_fec_encode(struct bench_fec *fec);                 /* the next source, added to its rows */
void bench_fec_solve(struct bench_fec *fec, uint32_t losses); /* so many lost of a block, from their rows */
void bench_fec_free(struct bench_fec *fec);

#ifdef __cplusplus
}
#endif
