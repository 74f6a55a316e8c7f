/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/paragraph.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Columns that it takes on a terminal. */
static unsigned columns_of(const char *text)
{
    unsigned columns = 0;
    for (; *text; text++) {
        if (*text == '\033') {
            text += strcspn(text, "m");
            if (!*text)
                break;
        } else {
            columns++;
        }
    }
    return columns;
}

void cw_paragraph(FILE *to, unsigned width, const char *head, unsigned indent, const char *text)
{
    unsigned at = columns_of(head);
    fputs(head, to);
    while (*text) {
        size_t word = strcspn(text, " ");
        size_t gap = strspn(text + word, " ");
        fwrite(text, 1, word, to);
        at += (unsigned)word;
        text += word + gap;
        size_t next = strcspn(text, " ");
        if (*text && width > 0 && at + gap + next > width && at > indent) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else if (*text) {
            fprintf(to, "%*s", (int)gap, "");
            at += (unsigned)gap;
        }
    }
    fputc('\n', to);
}

unsigned cw_terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    unsigned long asked = columns ? strtoul(columns, NULL, 10) : 0;
    if (asked >= 40 && asked <= 1000)
        return (unsigned)asked;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40
               ? size.ws_col
               : 0;
}
