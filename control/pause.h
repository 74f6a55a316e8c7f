/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long nobody could write while a group moved. Pure: what both engines say of their own clocks goes in.
 *
 *   old primary   held ---- drained ---- left                            its clock
 *   new primary                                  asked ---- opened       its clock
 *                 |  drain |   fence  |  hand over  |   open  |
 *
 * Where both clocks are one (one machine, by its boot id), the pause is from held to opened. Else nobody
 * knows how the one clock stands to the other: then it is at most what the taker saw on its own from before
 * it asked for the group, and so is the handing over.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "turn" of an engine's status; 0: it did not say. */
struct cw_turn_told {
    uint64_t left_epoch, held_ns, drained_ns, left_ns;
    uint64_t opened_epoch, asked_ns, opened_ns;
};

struct cw_pause {
    bool is_known; /* both have told */
    bool is_exact; /* else total and hand are upper bounds */
    uint64_t total_ns, drain_ns, fence_ns, hand_ns, open_ns;
};

/* Foreign: what is missing is 0. turn may be NULL. */
struct cw_turn_told cw_turn_from_json(const json_t *turn);
/* wanted_ns: on the taker's clock, before it asked for the group. */
struct cw_pause cw_pause_compute(const struct cw_turn_told *from, uint64_t left_epoch,
                                 const struct cw_turn_told *to, uint64_t opened_epoch, bool is_one_clock,
                                 uint64_t wanted_ns);
/* "the pause was 87 ms: drain 4, fence 1, hand over 40, open 42"; with no pause known, that. */
void cw_pause_words(const struct cw_pause *pause, char *words, size_t size);
/* New reference; NULL when it is not known. */
json_t *cw_pause_json(const struct cw_pause *pause);
