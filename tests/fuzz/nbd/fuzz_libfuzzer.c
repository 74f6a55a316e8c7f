/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz_nbd.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    return cw_fuzz_nbd(bytes, length);
}
