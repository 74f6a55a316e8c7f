/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong in a text that people write: a list of mistakes, each with its line. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CW_CONFIG_MISTAKES_MAX 64u

struct cw_config_mistake {
    uint32_t line; /* from 1; 0: of the file as a whole */
    char text[512];
};

struct cw_config_mistakes {
    uint32_t count;
    uint32_t left_out; /* more than the list holds */
    struct cw_config_mistake list[CW_CONFIG_MISTAKES_MAX];
};

void cw_config_mistake_add(struct cw_config_mistakes *mistakes, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* By line; those of one line stay in their order. */
void cw_config_mistakes_sort(struct cw_config_mistakes *mistakes);
/* One mistake a line, as FILE:LINE: what, and what was expected. */
void cw_config_mistakes_print(FILE *to, const char *file, const struct cw_config_mistakes *mistakes);
/* The same as a text, without the end of its last line: whole lines only, as many as there is room for. */
void cw_config_mistakes_text(const char *file, const struct cw_config_mistakes *mistakes, char *text,
                             size_t size);
