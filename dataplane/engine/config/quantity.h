/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers, quantities with units, and names, as people type them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_CONFIG_NAME_SIZE 32u /* of nodes, sites, paths: 31 letters, digits, '-', '_', '.' */

/* Decimal digits and nothing else, within these bounds. */
bool cw_quantity_number(const char *text, uint64_t low, uint64_t high, uint64_t *number);
/* "64MiB", "10G", "512" (bytes); K, M, G, T and KiB, MiB... are powers of 1024. */
bool cw_quantity_bytes(const char *text, uint64_t *bytes);
/* "10gbit", "100mbit", "8000kbit", "5bit": powers of 1000, bits per second. */
bool cw_quantity_bits_per_second(const char *text, uint64_t *rate);
/* "5", "5s", "500ms", "2m", "1h" in milliseconds. */
bool cw_quantity_milliseconds(const char *text, uint64_t *milliseconds);
/* A name of ours: 1..31 letters, digits, '-', '_' and '.', beginning with a letter or digit. */
bool cw_config_name_check(const char *name);
