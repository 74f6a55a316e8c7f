/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One property, two lives: a target is cw_fuzz_one and a way to make good inputs. driver.c runs it in every
 * test run over a bounded number of mutated good inputs; with the option `fuzzing` libfuzzer.c hands the same
 * function to libFuzzer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

/* The target's: no input of the driver is longer. libFuzzer's may be. */
extern const size_t cw_fuzz_input_max;

/* The target's. Takes any bytes. Borrows them; reads none past size (the driver puts a guard page there). */
int cw_fuzz_one(const uint8_t *data, size_t size);
/* The target's. Writes a good input of at most cw_fuzz_input_max bytes and returns its size. */
size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data);
