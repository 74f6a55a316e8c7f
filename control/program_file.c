/* SPDX-License-Identifier: BSD-3-Clause */
/* Where our other programs are: as installed, or as built. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli.h"

void cw_program_file(const char *const beside[2], const char *variable, char *file, size_t size)
{
    const char *named = getenv(variable);
    char self[384];
    if (named && *named) {
        snprintf(file, size, "%s", named);
        return;
    }
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(file, size, "%s/%s", self, beside[i]);
        if (access(file, X_OK) == 0)
            return;
    }
    snprintf(file, size, "%s", beside[0]);
}
