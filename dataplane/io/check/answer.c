/* SPDX-License-Identifier: BSD-3-Clause */
/* The end that answers. It keeps one run and one stage of it; what is of no such is ignored. */
#include "io/check/check.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/port_internal.h"

#define YIELDS_NS (5 * CW_MS)

uint64_t cw_check_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

void cw_check_idle(uint64_t idle_ns)
{
    if (idle_ns < YIELDS_NS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = idle_ns < CW_SECOND ? 20 * CW_US : CW_MS}, NULL);
}

void cw_check_commit_by(struct cw_port *port, const struct cw_frame_path *path, size_t length)
{
    uint64_t flags = port->transmit_flags;
    CW_ASSERT(!path->is_sum_device_s);
    port->transmit_flags = 0;
    cw_port_commit_by(port, path, length);
    port->transmit_flags = flags;
}

/* A checksum that is one too large is wrong whatever else stands there. */
void cw_check_commit(struct cw_port *port, size_t length, enum cw_check_how how)
{
    if (how == CW_CHECK_BY_PORT) {
        cw_port_transmit_commit(port, length);
        return;
    }
    struct cw_frame_path path = port->path;
    path.is_sum_device_s = false;
    path.checksum_partial += how == CW_CHECK_BY_NOBODY;
    cw_check_commit_by(port, &path, length);
}

static uint64_t sum_of(const struct cw_check_answerer *answerer, unsigned counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < answerer->queues; i++)
        sum += cw_port_counter(cw_port_lane(answerer->port, i), counter);
    return sum;
}

static struct cw_check_report counters_of(const struct cw_check_answerer *answerer)
{
    struct cw_check_report now = {.wrong_sums = sum_of(answerer, CW_PORT_DROP_CHECKSUM),
                                  .called_good = sum_of(answerer, CW_PORT_SUM_LIED),
                                  .not_ours = sum_of(answerer, CW_PORT_DROP_NOT_OURS)};
    for (uint32_t i = 0; i < answerer->queues; i++)
        now.by_queue[i] = cw_port_counter(cw_port_lane(answerer->port, i), CW_PORT_RX_PACKETS);
    return now;
}

void cw_check_answerer_init(struct cw_check_answerer *answerer, struct cw_port *port,
                            const struct cw_port_config *config)
{
    memset(answerer, 0, sizeof *answerer);
    answerer->port = port;
    answerer->queues = CW_MAX(config->queues, 1);
    answerer->mtu = config->mtu;
}

static void begin_stage(struct cw_check_answerer *answerer, const struct cw_check_datagram *ask)
{
    answerer->began = counters_of(answerer);
    if (ask->run != answerer->run) {
        answerer->run_garbage = answerer->garbage;
        answerer->run_not_ours = answerer->began.not_ours;
    }
    answerer->run = ask->run;
    answerer->stage = ask->stage;
    answerer->counts = (struct cw_check_report){0};
}

static struct cw_check_report report_of(const struct cw_check_answerer *answerer)
{
    struct cw_check_report report = answerer->counts, now = counters_of(answerer);
    report.wrong_sums = now.wrong_sums - answerer->began.wrong_sums;
    report.called_good = now.called_good - answerer->began.called_good;
    report.not_ours = now.not_ours - answerer->run_not_ours;
    report.garbage = answerer->garbage - answerer->run_garbage;
    for (uint32_t i = 0; i < answerer->queues; i++)
        report.by_queue[i] = now.by_queue[i] - answerer->began.by_queue[i];
    report.mtu = answerer->mtu;
    report.queues = answerer->queues;
    report.does_send_sums = answerer->port->transmit_flags != 0;
    report.does_check_sums = (answerer->port->sum_good_flag | answerer->port->sum_doubted_flag) != 0;
    return report;
}

/* Without room there is no answer: who asks asks again. */
static void tell(struct cw_check_answerer *answerer, const struct cw_check_datagram *ask)
{
    struct cw_check_datagram answer = *ask;
    struct cw_check_report report = report_of(answerer);
    uint8_t *room = cw_port_transmit_next(answerer->lane);
    if (room == NULL)
        return;
    answer.kind = CW_CHECK_REPORT;
    cw_check_report_write(&report, room);
    cw_check_write(&answer, room);
    cw_check_commit(answerer->lane, answer.size, CW_CHECK_BY_SOFTWARE);
}

static void echo(struct cw_check_answerer *answerer, const struct cw_check_datagram *asked,
                 const uint8_t *bytes)
{
    struct cw_check_datagram answer = *asked;
    uint8_t *room =
        asked->size <= answerer->lane->datagram_bytes_max ? cw_port_transmit_next(answerer->lane) : NULL;
    if (room == NULL) {
        answerer->counts.not_answered++;
        return;
    }
    answer.kind = CW_CHECK_ECHOED;
    memcpy(room + CW_CHECK_HEADER_BYTES, bytes + CW_CHECK_HEADER_BYTES, asked->size - CW_CHECK_HEADER_BYTES);
    cw_check_write(&answer, room);
    cw_check_commit(answerer->lane, answer.size,
                    (asked->flags & CW_CHECK_SOFTWARE) != 0 ? CW_CHECK_BY_SOFTWARE : CW_CHECK_BY_PORT);
    answerer->counts.answered++;
    answerer->echoed++;
}

static void take(void *context, uint8_t *bytes, size_t length)
{
    struct cw_check_answerer *answerer = context;
    struct cw_check_datagram datagram;
    if (cw_check_read(bytes, length, &datagram) != CW_CHECK_OK) {
        answerer->garbage++;
        return;
    }
    bool is_current = datagram.run == answerer->run && datagram.stage == answerer->stage;
    if (datagram.kind == CW_CHECK_ASK) {
        if (!is_current)
            begin_stage(answerer, &datagram);
        answerer->asked++;
        tell(answerer, &datagram);
        return;
    }
    if (!is_current || (datagram.kind != CW_CHECK_DATA && datagram.kind != CW_CHECK_ECHO)) {
        answerer->ignored++;
        return;
    }
    struct cw_check_report *counts = &answerer->counts;
    counts->first_ns = counts->arrived == 0 ? answerer->now_ns : counts->first_ns;
    counts->last_ns = answerer->now_ns;
    counts->arrived++;
    counts->bytes += answerer->port->path.header_bytes + length;
    if (datagram.kind == CW_CHECK_ECHO)
        echo(answerer, &datagram, bytes);
}

uint32_t cw_check_answerer_turn(struct cw_check_answerer *answerer, uint64_t now_ns)
{
    uint32_t taken = 0;
    answerer->now_ns = now_ns;
    for (uint32_t i = 0; i < answerer->queues; i++) {
        answerer->lane = cw_port_lane(answerer->port, i);
        cw_port_on_time(answerer->lane, now_ns);
        taken += cw_port_receive(answerer->lane, take, answerer);
        cw_port_flush(answerer->lane);
    }
    return taken;
}

int cw_check_answerer_thread(void *context)
{
    struct cw_check_answerer *answerer = context;
    uint64_t busy_ns = cw_check_now_ns();
    while (!atomic_load_explicit(&answerer->must_stop, memory_order_acquire)) {
        uint64_t now_ns = cw_check_now_ns();
        if (cw_check_answerer_turn(answerer, now_ns) > 0)
            busy_ns = now_ns;
        else
            cw_check_idle(now_ns - busy_ns);
    }
    return 0;
}
