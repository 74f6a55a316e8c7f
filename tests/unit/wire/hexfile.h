/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a golden vector: pairs of hex digits, white space between. A file that is not so fails the test. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* directory/name.hex into bytes; returns how many. */
static inline uint32_t hexfile_read(const char *name, uint8_t *bytes, uint32_t bytes_max)
{
    const char *directory = getenv("CW_GOLDEN");
    char path[512];
    unsigned value;
    uint32_t count = 0;

    assert_non_null(directory);
    snprintf(path, sizeof path, "%s/%s.hex", directory, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    while (fscanf(file, "%2x", &value) == 1) {
        assert_true(count < bytes_max);
        bytes[count++] = (uint8_t)value;
    }
    assert_true(feof(file));
    fclose(file);
    return count;
}
