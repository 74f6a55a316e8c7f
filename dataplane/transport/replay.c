/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/replay.h"

#include <string.h>

#include "base/assert.h"

void cw_replay_init(struct cw_replay *replay, uint64_t *words)
{
    *replay = (struct cw_replay){.words = words};
}

void cw_replay_reset(struct cw_replay *replay)
{
    replay->highest = 0;
    memset(replay->words, 0, CW_REPLAY_BITS / 8);
}

bool cw_replay_test(const struct cw_replay *replay, uint64_t number)
{
    if (number == 0)
        return false;
    if (number > replay->highest)
        return true;
    if (replay->highest - number >= CW_REPLAY_SPAN)
        return false;
    return !(replay->words[number / 64 % CW_REPLAY_WORDS] & 1ull << number % 64);
}

void cw_replay_commit(struct cw_replay *replay, uint64_t number)
{
    CW_ASSERT(cw_replay_test(replay, number));
    if (number > replay->highest) {
        uint64_t word = replay->highest / 64;
        uint64_t steps = number / 64 - word;
        if (steps > CW_REPLAY_WORDS)
            steps = CW_REPLAY_WORDS;
        for (uint64_t i = 1; i <= steps; i++)
            replay->words[(word + i) % CW_REPLAY_WORDS] = 0;
        replay->highest = number;
    }
    replay->words[number / 64 % CW_REPLAY_WORDS] |= 1ull << number % 64;
}
