/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/check/measurer.h"

#include <string.h>

#include "io/port_internal.h"

#define ASK_EVERY_NS (50 * CW_MS)
#define LATE_NS      (200 * CW_MS) /* and two round trips */

void cw_check_progress(const struct cw_check_measurer *m, const char *what)
{
    if (m->plan->progress != NULL)
        m->plan->progress(what);
}

bool cw_check_must_stop(const struct cw_check_measurer *m)
{
    return *m->plan->must_stop != 0;
}

static void take(void *context, uint8_t *bytes, size_t length)
{
    struct cw_check_measurer *m = context;
    struct cw_check_datagram datagram;
    if (cw_check_read(bytes, length, &datagram) != CW_CHECK_OK) {
        m->garbage++;
        return;
    }
    if (datagram.run != m->run || datagram.stage != m->stage)
        return;
    if (datagram.kind == CW_CHECK_REPORT && datagram.sequence >= m->asked_from)
        m->has_report = cw_check_report_read(bytes, &m->report);
    if (datagram.kind != CW_CHECK_ECHOED)
        return;
    uint64_t now_ns = cw_check_now_ns(), took_ns = now_ns - CW_MIN(datagram.sent_ns, now_ns);
    m->first_ns = m->echoed == 0 ? now_ns : m->first_ns;
    m->last_ns = now_ns;
    m->echoed++;
    m->echoed_bytes += m->port->path.header_bytes + length;
    if (!m->does_sample)
        return;
    m->longest_ns = CW_MAX(m->longest_ns, took_ns);
    if (m->sample_count < CW_CHECK_SAMPLES_MAX)
        m->samples[m->sample_count++] = took_ns;
}

uint32_t cw_check_turn(struct cw_check_measurer *m)
{
    uint64_t now_ns = cw_check_now_ns();
    uint32_t taken = 0;
    for (uint32_t i = 0; i < m->queues; i++) {
        struct cw_port *lane = cw_port_lane(m->port, i);
        cw_port_on_time(lane, now_ns);
        taken += cw_port_receive(lane, take, m);
        cw_port_flush(lane);
    }
    return taken;
}

struct cw_check_patience cw_check_patience_for(uint64_t ns)
{
    uint64_t now_ns = cw_check_now_ns();
    return (struct cw_check_patience){.end_ns = now_ns + ns, .busy_ns = now_ns};
}

bool cw_check_waits(struct cw_check_measurer *m, struct cw_check_patience *patience)
{
    bool is_idle = cw_check_turn(m) == 0;
    uint64_t now_ns = cw_check_now_ns();
    patience->turns++;
    if (!is_idle)
        patience->busy_ns = now_ns;
    else
        cw_check_idle(now_ns - patience->busy_ns);
    return !cw_check_must_stop(m) && (now_ns < patience->end_ns || patience->turns < CW_CHECK_TURNS_LEAST);
}

uint64_t cw_check_late_ns(const struct cw_check_measurer *m)
{
    return LATE_NS + 2 * CW_MIN(m->longest_ns, CW_SECOND);
}

bool cw_check_put(struct cw_check_measurer *m, enum cw_check_kind kind, uint32_t size, uint8_t flags,
                  enum cw_check_how how)
{
    struct cw_port *lane = cw_port_lane(m->port, m->lane);
    uint8_t *room = cw_port_transmit_next(lane);
    if (room == NULL)
        return false;
    struct cw_check_datagram datagram = {.kind = kind,
                                         .flags = flags,
                                         .lane = (uint8_t)m->lane,
                                         .size = (uint16_t)size,
                                         .run = m->run,
                                         .stage = m->stage,
                                         .sequence = m->sequence++,
                                         .sent_ns = cw_check_now_ns()};
    memset(room + CW_CHECK_HEADER_BYTES, (int)(m->sequence * 31), size - CW_CHECK_HEADER_BYTES);
    cw_check_write(&datagram, room);
    cw_check_commit(lane, size, how);
    m->lane = (m->lane + 1) % m->queues;
    return true;
}

enum cw_check_how cw_check_usual(const struct cw_check_measurer *m)
{
    return m->is_by_software ? CW_CHECK_BY_SOFTWARE : CW_CHECK_BY_PORT;
}

uint8_t cw_check_usual_flags(const struct cw_check_measurer *m)
{
    return m->is_by_software ? CW_CHECK_SOFTWARE : 0;
}

uint64_t cw_check_put_many(struct cw_check_measurer *m, uint64_t count, enum cw_check_kind kind,
                           uint32_t size, enum cw_check_how how)
{
    struct cw_check_patience patience = cw_check_patience_for(cw_check_late_ns(m));
    uint64_t sent = 0;
    do {
        while (sent < count && cw_check_put(m, kind, size, cw_check_usual_flags(m) | CW_CHECK_WHOLE, how))
            if (++sent % CW_PORT_BURST == 0)
                break;
    } while (cw_check_waits(m, &patience) && sent < count);
    (void)cw_check_turn(m);
    return sent;
}

bool cw_check_ask(struct cw_check_measurer *m, uint64_t patience_ns)
{
    struct cw_check_patience patience = cw_check_patience_for(patience_ns);
    uint64_t next_ns = 0;
    m->has_report = false;
    m->asked_from = m->sequence;
    do {
        uint64_t now_ns = cw_check_now_ns();
        if (now_ns >= next_ns &&
            cw_check_put(m, CW_CHECK_ASK, CW_CHECK_REPORT_BYTES, CW_CHECK_WHOLE, CW_CHECK_BY_SOFTWARE))
            next_ns = now_ns + ASK_EVERY_NS;
    } while (cw_check_waits(m, &patience) && !m->has_report);
    return m->has_report;
}

bool cw_check_begin(struct cw_check_measurer *m)
{
    m->stage++;
    m->echoed = m->echoed_bytes = 0;
    return cw_check_ask(m, CW_CHECK_HELLO_NS);
}

bool cw_check_end(struct cw_check_measurer *m, uint64_t sent)
{
    uint64_t arrived;
    if (!cw_check_ask(m, CW_CHECK_HELLO_NS))
        return false;
    do {
        arrived = m->report.arrived;
        if (arrived >= sent)
            return true;
        for (struct cw_check_patience patience = cw_check_patience_for(cw_check_late_ns(m));
             cw_check_waits(m, &patience);)
            ;
        if (!cw_check_ask(m, CW_CHECK_HELLO_NS))
            return false;
    } while (m->report.arrived > arrived);
    return true;
}
