/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One property, two lives: a target is cw_fuzz_one and a way to make good inputs; driver.c runs it in every
 * test run over mutated good inputs, libfuzzer.c hands it to libFuzzer (option `fuzzing`).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

#define CW_FUZZ_INPUT_MAX    (64u * 4096u)
#define CW_FUZZ_RING_SECTORS 1028u

/* Takes any bytes. Borrows them; reads none past size (the driver puts a guard page there). */
int cw_fuzz_one(const uint8_t *data, size_t size);
/* Writes a good input of at most CW_FUZZ_INPUT_MAX bytes and returns its size. */
size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data);
