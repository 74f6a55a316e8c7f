/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*panic_hook)(void);

void cw_panic_hook_set(void (*hook)(void))
{
    panic_hook = hook;
}

void cw_panic(const char *file, int line, const char *expression)
{
    void (*hook)(void) = panic_hook;

    panic_hook = NULL; /* a hook that panics itself must not come back here */
    fprintf(stderr, "causeway: bug: %s:%d: %s\n", file, line, expression);
    if (hook)
        hook();
    abort();
}
