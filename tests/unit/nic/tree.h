/* SPDX-License-Identifier: BSD-3-Clause */
/* A recorded machine that a test writes file by file. */
#pragma once

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "nic-config/machine.h"

static inline void tree_begin(struct cw_machine *tree)
{
    snprintf(tree->root, sizeof tree->root, "/tmp/cw-nic-tree-XXXXXX");
    CW_ASSERT(mkdtemp(tree->root) != NULL);
}

/* The full name of a path, its folders made. */
static inline void tree_place(const struct cw_machine *tree, const char *path, char place[512])
{
    CW_ASSERT((size_t)snprintf(place, 512, "%s%s", tree->root, path) < 512);
    for (char *slash = place + strlen(tree->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        CW_ASSERT(mkdir(place, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

static inline void tree_put_bytes(const struct cw_machine *tree, const char *path, const void *bytes,
                                  size_t length)
{
    char place[512];
    tree_place(tree, path, place);
    FILE *file = fopen(place, "w");
    CW_ASSERT(file != NULL);
    CW_ASSERT(fwrite(bytes, 1, length, file) == length);
    CW_ASSERT(fclose(file) == 0);
}

static inline void tree_put(const struct cw_machine *tree, const char *path, const char *text)
{
    tree_put_bytes(tree, path, text, strlen(text));
}

static inline void tree_link(const struct cw_machine *tree, const char *path, const char *target)
{
    char place[512];
    tree_place(tree, path, place);
    unlink(place);
    CW_ASSERT(symlink(target, place) == 0);
}

static inline void tree_folder(const struct cw_machine *tree, const char *path)
{
    char place[512], inside[512];
    CW_ASSERT((size_t)snprintf(inside, sizeof inside, "%s/.", path) < sizeof inside);
    tree_place(tree, inside, place);
}

static inline int tree_remove_one(const char *path, const struct stat *about, int flag, struct FTW *where)
{
    (void)about, (void)flag, (void)where;
    return remove(path);
}

static inline void tree_end(const struct cw_machine *tree)
{
    nftw(tree->root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
