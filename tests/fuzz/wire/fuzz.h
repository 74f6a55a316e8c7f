/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One property, two lives: a fuzz target is cw_fuzz_one and a way to make good inputs. driver.c runs it over
 * a bounded number of mutated good inputs in every test run; with the option `fuzzing` the same function is
 * linked with libFuzzer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

#define CW_FUZZ_INPUT_MAX 4096u

/* Takes any bytes. Borrows them; reads none past size (the driver puts a guard page there). */
int cw_fuzz_one(const uint8_t *data, size_t size);
/* Writes a good input of at most CW_FUZZ_INPUT_MAX bytes and returns its size. */
size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data);
