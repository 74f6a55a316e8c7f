/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The upper halves of vector registers, behind libraries that choose AVX at run time and leave something in
 * them (ISA-L 2.30, XXH3 of xxHash 0.8.1). This program and DPDK are compiled to SSE, and there are machines
 * on which each change between the two kinds costs 200 ns until the halves are clear: more than a packet's
 * hash. On others it is one cycle.
 */
#pragma once

void cw_vector_clear_uppers(void);
