/* SPDX-License-Identifier: BSD-3-Clause */
/* The store around the one in etcd, as its two files have it: store_outside.c, store_outside_file.c. */
#pragma once

#include "control/outside.h"
#include "control/store_ops.h"
#include "control/store_outside.h"

#define CW_OUTSIDE_USED_MAX 64u

enum cw_outside_state { CW_OUTSIDE_FREE = 0, CW_OUTSIDE_PERMITTED, CW_OUTSIDE_HELD, CW_OUTSIDE_TAKEN_OVER };

struct cw_outside_entry {
    enum cw_outside_state state;
    uint32_t group;
    uint64_t epoch;          /* CW_OUTSIDE_PERMITTED: to be claimed */
    struct cw_authority row; /* CW_OUTSIDE_HELD */
    /* CW_OUTSIDE_HELD: the store may have the row already, whether it said so or not. The row stays as it is. */
    bool is_handing;
    struct cw_authority before; /* what the store had then */
    struct cw_token_mark marks[CW_TOKENS_MAX];
    uint32_t mark_count;
    bool is_unknown_told, is_unwritten_told;
};

struct cw_outside_store {
    struct cw_store base;
    struct cw_store *inner;
    struct cw_outside_options options;
    struct cw_outside_entry entries[CW_NODE_GROUPS_MAX];
    struct cw_token_mark used[CW_OUTSIDE_USED_MAX]; /* the newest first */
    uint32_t used_count;
    uint64_t moves;  /* of what is held here */
    uint64_t try_ns; /* when the store is offered what is held */
    int file_error;  /* 0: the file is as it should be */
    bool is_trusted; /* the store inside is not an older one, as far as this site knows */
    struct cw_outside_wait wait;
};

/* store_outside_file.c */
struct cw_outside_entry *cw_outside_find(struct cw_outside_store *store, uint32_t group);
/* One that is free where the group has none; NULL: all are taken. */
struct cw_outside_entry *cw_outside_find_or_make(struct cw_outside_store *store, uint32_t group);
/* false: file_error is set, and was told when it is a new one. */
bool cw_outside_save(struct cw_outside_store *store);
/* A file that is not there is an empty one. false with words in why: it is not what this writes. */
bool cw_outside_load_file(struct cw_outside_store *store, char *why, size_t why_size);
