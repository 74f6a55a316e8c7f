/* SPDX-License-Identifier: BSD-3-Clause */
/* The other life of a target: the entry point that libFuzzer calls. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return cw_fuzz_one(data, size);
}
