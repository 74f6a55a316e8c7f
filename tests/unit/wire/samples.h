/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages and records for tests and fuzzers: the fixed ones whose bytes lie in golden/, and valid ones drawn
 * at random. golden/golden.py says the same values in another language.
 */
#pragma once

#include "base/rng.h"
#include "wire/message.h"

/* The record of golden/record.hex. */
void sample_golden_record(struct cw_record *record);
/* The message of golden/<type>.hex. */
void sample_golden_message(enum cw_message_type type, struct cw_message *message);
/* File name in golden/, without .hex. */
const char *sample_golden_name(enum cw_message_type type);

/* Valid, with every field drawn from its whole range (limits oftener than chance would). */
void sample_random_record(struct cw_rng *rng, struct cw_record *record);
void sample_random_message(struct cw_rng *rng, enum cw_message_type type, struct cw_message *message);
