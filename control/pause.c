/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/pause.h"

#include <stdio.h>

#include "base/numbers.h"
#include "control/rpc.h"

struct cw_turn_told cw_turn_from_json(const json_t *turn)
{
    return (struct cw_turn_told){.left_epoch = cw_json_u64(turn, "left_epoch", 0),
                                 .held_ns = cw_json_u64(turn, "held_ns", 0),
                                 .drained_ns = cw_json_u64(turn, "drained_ns", 0),
                                 .left_ns = cw_json_u64(turn, "left_ns", 0),
                                 .opened_epoch = cw_json_u64(turn, "opened_epoch", 0),
                                 .asked_ns = cw_json_u64(turn, "asked_ns", 0),
                                 .opened_ns = cw_json_u64(turn, "opened_ns", 0)};
}

/* From a to b on one clock; 0 where they are not in that order. */
static uint64_t between(uint64_t a, uint64_t b)
{
    return b > a ? b - a : 0;
}

struct cw_pause cw_pause_compute(const struct cw_turn_told *from, uint64_t left_epoch,
                                 const struct cw_turn_told *to, uint64_t opened_epoch, bool is_one_clock,
                                 uint64_t wanted_ns)
{
    struct cw_pause pause = {0};
    if (!from->held_ns || !from->left_ns || from->left_epoch != left_epoch || !to->opened_ns ||
        to->opened_epoch != opened_epoch || to->asked_ns > to->opened_ns)
        return pause;
    uint64_t level_ns = from->drained_ns ? from->drained_ns : from->held_ns;
    pause.is_known = true;
    pause.drain_ns = between(from->held_ns, level_ns);
    pause.fence_ns = between(level_ns, from->left_ns);
    pause.open_ns = between(to->asked_ns, to->opened_ns);
    pause.is_exact = is_one_clock && from->held_ns <= from->left_ns && from->left_ns <= to->asked_ns;
    pause.total_ns = between(pause.is_exact ? from->held_ns : wanted_ns, to->opened_ns);
    pause.hand_ns = between(pause.drain_ns + pause.fence_ns + pause.open_ns, pause.total_ns);
    return pause;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

void cw_pause_words(const struct cw_pause *pause, char *words, size_t size)
{
    const char *most = pause->is_exact ? "" : "at most ";
    if (!pause->is_known)
        snprintf(words, size, "how long the pause was is not known: the old primary has not told its part");
    else
        snprintf(words, size, "the pause was %s%.0f ms: drain %.0f, fence %.0f, hand over %s%.0f, open %.0f",
                 most, ms(pause->total_ns), ms(pause->drain_ns), ms(pause->fence_ns), most,
                 ms(pause->hand_ns), ms(pause->open_ns));
}

json_t *cw_pause_json(const struct cw_pause *pause)
{
    if (!pause->is_known)
        return NULL;
    return json_pack("{s:b,s:f,s:f,s:f,s:f,s:f}", "exact", (int)pause->is_exact, "pause_ms",
                     ms(pause->total_ns), "drain_ms", ms(pause->drain_ns), "fence_ms", ms(pause->fence_ns),
                     "hand_over_ms", ms(pause->hand_ns), "open_ms", ms(pause->open_ns));
}
