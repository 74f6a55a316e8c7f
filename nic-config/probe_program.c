/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether root may start a program at each boot: it and each folder above it can be changed by root only. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nic-config/probe.h"

/* In a folder with the sticky bit nobody replaces what is root's. */
static bool is_roots(const char *path, char *words, size_t size)
{
    struct stat about;
    words[0] = 0;
    if (lstat(path, &about) != 0)
        snprintf(words, size, "%s: %s (it may have been replaced since it was started)", path,
                 strerror(errno));
    else if (about.st_uid != 0)
        snprintf(words, size, "%s belongs to the user %u", path, (unsigned)about.st_uid);
    else if ((about.st_mode & 022) != 0 && !(S_ISDIR(about.st_mode) && (about.st_mode & S_ISVTX) != 0))
        snprintf(words, size, "%s (mode %04o) can be written by others than root", path,
                 (unsigned)about.st_mode & 07777);
    return words[0] == 0;
}

void cw_probe_program(const char *program, struct cw_facts *facts)
{
    char path[CW_FACT_PATH], words[sizeof facts->program_doubt];
    bool is_roots_own = is_roots("/", words, sizeof words);
    for (size_t at = 1; is_roots_own && at < strlen(program) && at < sizeof path;
         at += strcspn(program + at, "/") + 1) {
        snprintf(path, sizeof path, "%.*s", (int)(at + strcspn(program + at, "/")), program);
        is_roots_own = is_roots(path, words, sizeof words);
    }
    snprintf(facts->program_doubt, sizeof facts->program_doubt, "%s", words);
}
