/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end that measures: its turns and the stages that it asks the other end to count. Private to check/.
 *
 * A wait ends by time and by turns: on a machine that stood still in between, or whose other programs had it, the time
 * alone would call lost what only was not looked at yet.
 */
#pragma once

#include "base/numbers.h"
#include "io/check/check.h"

#define CW_CHECK_HELLO_NS    (3 * CW_SECOND)
#define CW_CHECK_TURNS_LEAST 200u
#define CW_CHECK_LOW_RATE    1000u
#define CW_CHECK_SAMPLES_MAX (CW_CHECK_SECONDS_MAX * CW_CHECK_LOW_RATE)

struct cw_check_measurer {
    const struct cw_check_plan *plan;
    struct cw_check_results *results;
    struct cw_port *port;
    uint32_t queues, lane; /* the lane that sends next */
    uint32_t run, stage;
    uint64_t sequence, asked_from; /* reports to older questions are none */
    bool is_by_software, has_report, does_sample;
    struct cw_check_report report;                    /* the last one */
    uint64_t echoed, echoed_bytes, first_ns, last_ns; /* of this stage */
    uint64_t garbage, longest_ns;                     /* the second: of all round trips */
    uint64_t sample_count, samples[CW_CHECK_SAMPLES_MAX];
};

/* Waiting for something until it is late. */
struct cw_check_patience {
    uint64_t end_ns, busy_ns;
    uint32_t turns;
};

void cw_check_progress(const struct cw_check_measurer *m, const char *what);
bool cw_check_must_stop(const struct cw_check_measurer *m);
uint32_t cw_check_turn(struct cw_check_measurer *m);
struct cw_check_patience cw_check_patience_for(uint64_t ns);
/* A turn, and whether there is patience left for another. */
bool cw_check_waits(struct cw_check_measurer *m, struct cw_check_patience *patience);
/* What comes later than this is lost. */
uint64_t cw_check_late_ns(const struct cw_check_measurer *m);

/* Into the burst of the lane whose turn it is. False: there is no room. */
bool cw_check_put(struct cw_check_measurer *m, enum cw_check_kind kind, uint32_t size, uint8_t flags,
                  enum cw_check_how how);
/* Checksums and flags as this run has them: by software once the device's are known to be wrong. */
enum cw_check_how cw_check_usual(const struct cw_check_measurer *m);
uint8_t cw_check_usual_flags(const struct cw_check_measurer *m);
/* Sends so many, a burst a turn; what finds no room in time is not sent. */
uint64_t cw_check_put_many(struct cw_check_measurer *m, uint64_t count, enum cw_check_kind kind,
                           uint32_t size, enum cw_check_how how);

/* What the other end has seen of the stage, in report. False: it does not say. */
bool cw_check_ask(struct cw_check_measurer *m, uint64_t patience_ns);
/* A new stage; and asking until all of it has arrived, or nothing more does. */
bool cw_check_begin(struct cw_check_measurer *m);
bool cw_check_end(struct cw_check_measurer *m, uint64_t sent);
