/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the primary that we follow said last: how far it had come, when, and how fast it went. It decides
 * nothing. On the day on which we take over from it, it is the bound of what may be missing here.
 *
 * COMMIT messages come at least ten times a second; a record says no less than the message that it came with,
 * so a head may be told by a record first. Times are the primary's own, but for the one at which we heard it.
 */
#include "replication/group_private.h"

#include <string.h>

static struct cw_heard *heard_of(struct cw_group *g, uint64_t epoch, uint64_t reign)
{
    struct cw_heard *heard = &g->follow.heard;

    if (heard->epoch != epoch || heard->reign != reign) {
        memset(heard, 0, sizeof *heard);
        heard->epoch = epoch;
        heard->reign = reign;
    }
    return heard;
}

/* The busier of the last whole span and the one that runs: it is an estimate, and should not be too low. */
static void note_rate(struct cw_heard *heard, uint64_t head, uint64_t time_ns)
{
    if (heard->span.time_ns == 0) {
        heard->span.head = head;
        heard->span.time_ns = time_ns;
        return;
    }
    if (time_ns < heard->span.time_ns + CW_SECOND || head < heard->span.head)
        return;
    uint64_t passed_us = (time_ns - heard->span.time_ns) / 1000;
    uint64_t rate_milli = (head - heard->span.head) * 1000000 / (passed_us / 1000);
    heard->rate_milli = CW_MAX(rate_milli, heard->span.rate_milli);
    heard->span.rate_milli = rate_milli;
    heard->span.head = head;
    heard->span.time_ns = time_ns;
}

void cw_heard_commit(struct cw_group *g, const struct cw_message *m)
{
    struct cw_heard *heard = heard_of(g, m->epoch, m->reign);

    heard->head = CW_MAX(heard->head, m->commit.head);
    if (m->commit.time_ns < heard->time_ns)
        return;
    heard->at_ns = g->now_ns;
    heard->time_ns = m->commit.time_ns;
    note_rate(heard, m->commit.head, m->commit.time_ns);
}

/* A record of an earlier reign, which is only brought along, bears a time of another clock. */
void cw_heard_record(struct cw_group *g, const struct cw_record *record)
{
    if (g->role != CW_ROLE_REPLICA || record->epoch != g->follow.epoch || record->reign != g->follow.reign)
        return;
    struct cw_heard *heard = heard_of(g, record->epoch, record->reign);

    heard->head = CW_MAX(heard->head, record->sequence);
    heard->newest_ns = record->time_ns;
}
