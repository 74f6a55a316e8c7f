/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Golden bytes as rows of (offset, size, value), typed from the drawings in dataplane/journal/README.md and
 * not from the code: a second writer. Whatever no row names is zero.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct golden {
    uint32_t at, size;
    uint64_t value;
};

static inline void golden_write(const struct golden *rows, size_t count, uint8_t *bytes, size_t size)
{
    memset(bytes, 0, size);
    for (size_t i = 0; i < count; i++)
        for (uint32_t b = 0; b < rows[i].size; b++)
            bytes[rows[i].at + b] = (uint8_t)(rows[i].value >> (8 * b));
}
