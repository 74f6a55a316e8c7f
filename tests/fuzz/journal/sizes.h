/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes that the targets of this folder share. */
#pragma once

#define CW_FUZZ_INPUT_MAX    (64u * 4096u)
#define CW_FUZZ_RING_SECTORS 1028u
