/* SPDX-License-Identifier: BSD-3-Clause */
/* See program.h. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/port.h"

static const char *program = "bench";

void bench_fail(const char *words)
{
    fprintf(stderr, "%s: %s\n", program, words);
    exit(1);
}

uint64_t bench_number(const char *text, uint64_t most)
{
    char *rest;
    uint64_t number = strtoull(text, &rest, 10);
    if (*rest != 0 || number < 1 || number > most)
        bench_fail("a number is not what it should be");
    return number;
}

void bench_start(const char *name, const char *lcores, uint32_t memory_mb)
{
    struct cw_eal_config config = {.memory_mb = memory_mb, .may_use_hugepages = true};
    char why[512];
    program = name;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        printf("skipped: two processors are needed\n");
        exit(77);
    }
    snprintf(config.lcores, sizeof config.lcores, "%s", lcores);
    snprintf(config.file_prefix, sizeof config.file_prefix, "%s-%d", name, (int)getpid());
    if (cw_eal_start(&config, why, sizeof why) != CW_OK)
        bench_fail(why);
}
