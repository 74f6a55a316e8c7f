/* SPDX-License-Identifier: BSD-3-Clause */
/* A directory of a test's own, for one file of SQLite and what SQLite puts beside it. One at a time. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[64], file[96];

/* 0, or -1 with errno: as cmocka wants it of a setup. */
static inline int scratch_make(const char *name)
{
    snprintf(directory, sizeof directory, "/tmp/cw-test-%s-XXXXXX", name);
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/%s.sqlite", directory, name);
    return 0;
}

/* In the file's place: bytes that no program wrote. */
static inline void scratch_garbage(void)
{
    FILE *to = fopen(file, "we");
    for (int i = 0; i < 5000; i++)
        fputc(i * 7, to);
    fclose(to);
}

/* Fails when anything else was left there. */
static inline int scratch_remove(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[128];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", file, suffixes[i]);
        unlink(path);
    }
    return rmdir(directory);
}
