/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The replay window of RFC 6479: a ring of bits over packet numbers, moved by whole words so that no bits
 * are ever shifted. Test before opening, commit after: a forged number never moves the window.
 *
 * Guarantee: a number is committed at most once; one that is more than CW_REPLAY_SPAN below the highest
 * committed is refused, and so is 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_REPLAY_BITS  (1u << 17)
#define CW_REPLAY_WORDS (CW_REPLAY_BITS / 64u)
#define CW_REPLAY_SPAN  (CW_REPLAY_BITS - 64u) /* one word is always being reused */

struct cw_replay {
    uint64_t highest;
    uint64_t *words; /* CW_REPLAY_WORDS */
};

/* Borrows words for as long as the window lives. */
void cw_replay_init(struct cw_replay *replay, uint64_t *words);
void cw_replay_reset(struct cw_replay *replay);
/* May this number still come? */
bool cw_replay_test(const struct cw_replay *replay, uint64_t number);
/* The number came, and its seal was good. Asserts that the test held. */
void cw_replay_commit(struct cw_replay *replay, uint64_t number);
