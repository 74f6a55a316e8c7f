/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory is given out while a program is built and never after: the arena is sized from the configuration,
 * carved, then sealed; carving a sealed arena is a bug.
 *
 * cw_arena_measure() makes an arena without memory: carving it only counts, so that the same build code
 * run twice first tells the size and then uses it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena {
    uint8_t *memory; /* NULL: measuring */
    size_t size;
    size_t used;
    bool sealed;
};

/* Borrows memory (size bytes, aligned to 4096) until the arena's last user is gone. */
void cw_arena_init(struct cw_arena *arena, void *memory, size_t size);
void cw_arena_measure(struct cw_arena *arena);

/* Zeroed memory of size bytes at a power-of-two alignment; NULL only when measuring. */
void *cw_arena_take(struct cw_arena *arena, size_t size, size_t alignment);
/* The same, as it is: neither zeroed nor touched, so that pages which nobody ever uses stay the kernel's. For
 * what is needed a few at a time of many; whoever uses it first pays for its pages then. */
void *cw_arena_take_untouched(struct cw_arena *arena, size_t size, size_t alignment);
void cw_arena_seal(struct cw_arena *arena);
