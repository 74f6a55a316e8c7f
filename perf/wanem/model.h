/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A WAN that only thinks: for each frame that arrives, whether and when its copies come out at the other end.
 * No clock, no frames, no allocation after its making; the same seed and the same arrivals give the same
 * verdicts.
 *
 * What a frame meets, in this order:
 *
 *     limit of size -> black hole -> queue, line of a given rate -> lost in a bad time -> lost at random
 *       -> marked, corrupted -> delay and jitter -> held back (reordered) -> duplicated
 *
 * Loss lies behind the line: what is lost has used its rate, as on a real path. Each cause draws from a
 * generator of its own, once or twice for every arrival, whatever becomes of the frame: whether the n-th
 * frame is one to be lost does not depend on times, nor on which other settings there are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wanem/spec.h"

#define CW_WAN_INTACT UINT32_MAX

/* clang-format off */
#define CW_WAN_FATES(X)                                                                                      \
    X(CW_WAN_PASSED, "passed") X(CW_WAN_TOO_LONG, "drop_mtu") X(CW_WAN_DARK, "drop_blackhole")               \
    X(CW_WAN_QUEUE_FULL, "drop_queue") X(CW_WAN_LOST_BURST, "drop_burst_loss") X(CW_WAN_LOST, "drop_loss")
/* clang-format on */
#define CW_WAN_FATE_ENUM(symbol, name) symbol,
enum cw_wan_fate { CW_WAN_FATES(CW_WAN_FATE_ENUM) CW_WAN_FATE_COUNT };
extern const char *const cw_wan_fate_names[CW_WAN_FATE_COUNT];

struct cw_wan_verdict {
    enum cw_wan_fate fate;
    uint32_t copies;       /* 0 unless passed, else 1 or 2, alike */
    uint64_t departure_ns; /* at least now + delay */
    bool is_late;          /* held back: what comes after it may leave before it */
    bool is_marked;        /* CE, if the frame says that it understands that */
    uint32_t corrupt_bit;  /* turn this bit of the frame (bit n of byte n / 8), or CW_WAN_INTACT */
};

struct cw_wan_counts {
    uint64_t frames, bytes; /* that arrived */
    uint64_t fates[CW_WAN_FATE_COUNT];
    uint64_t duplicated, corrupted, reordered; /* of those that passed */
};

struct cw_wan_model;

/* Allocates; NULL when out of memory. Schedules count from start_ns. The generators of the two directions
 * differ also where the seeds do not. */
struct cw_wan_model *cw_wan_model_new(const struct cw_wan_spec specs[CW_WAN_DIRECTIONS], uint64_t start_ns);
void cw_wan_model_free(struct cw_wan_model *model);
/* now_ns never goes back. */
void cw_wan_decide(struct cw_wan_model *model, uint32_t direction, uint64_t now_ns, uint32_t frame_bytes,
                   struct cw_wan_verdict *verdict);
const struct cw_wan_counts *cw_wan_model_counts(const struct cw_wan_model *model, uint32_t direction);
