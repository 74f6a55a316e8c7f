/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/mistakes.h"

#include <stdarg.h>

#include "base/numbers.h"

void cw_config_mistake_add(struct cw_config_mistakes *mistakes, uint32_t line, const char *format, ...)
{
    if (mistakes->count == CW_CONFIG_MISTAKES_MAX) {
        mistakes->left_out++;
        return;
    }
    struct cw_config_mistake *mistake = &mistakes->list[mistakes->count++];
    mistake->line = line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(mistake->text, sizeof mistake->text, format, arguments);
    va_end(arguments);
    for (char *at = mistake->text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?'; /* of the file: a mistake is one line, and commands nobody's terminal */
    }
}

/* Insertion: the list is short. */
void cw_config_mistakes_sort(struct cw_config_mistakes *mistakes)
{
    for (uint32_t i = 1; i < mistakes->count; i++) {
        struct cw_config_mistake moving = mistakes->list[i];
        uint32_t at = i;
        for (; at > 0 && mistakes->list[at - 1].line > moving.line; at--)
            mistakes->list[at] = mistakes->list[at - 1];
        mistakes->list[at] = moving;
    }
}

void cw_config_mistakes_print(FILE *to, const char *file, const struct cw_config_mistakes *mistakes)
{
    for (uint32_t i = 0; i < mistakes->count; i++)
        fprintf(to, "%s:%u: %s\n", file, CW_MAX(mistakes->list[i].line, 1u), mistakes->list[i].text);
    if (mistakes->left_out)
        fprintf(to, "%s:1: and %u more mistakes\n", file, mistakes->left_out);
}

void cw_config_mistakes_text(const char *file, const struct cw_config_mistakes *mistakes, char *text,
                             size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < mistakes->count; i++) {
        int n = snprintf(text + used, size - used, "%s%s:%u: %s", used > 0 ? "\n" : "", file,
                         CW_MAX(mistakes->list[i].line, 1u), mistakes->list[i].text);
        if (n < 0 || (size_t)n >= size - used) {
            text[used] = 0;
            return;
        }
        used += (size_t)n;
    }
}
