/* SPDX-License-Identifier: BSD-3-Clause */
/* What is measured, and in which order. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "base/assert.h"
#include "io/check/measurer.h"
#include "io/port_internal.h"

#define LINK_NS        (10 * CW_SECOND)
#define NEIGHBOUR_NS   (5 * CW_SECOND)
#define SMALL          64u
#define MIDDLE         512u
#define SUMS_DATAGRAMS 256u
#define MTU_TRIES      8u
#define FLOWS          256u
#define FLOW_DATAGRAMS 4u
#define FLOW_UDP_FIRST 20000u

/* ---------------------------------------------------------------- the measurements */

static struct cw_check_sums sums_by(struct cw_check_measurer *m, enum cw_check_how how)
{
    struct cw_check_sums sums = {0};
    if (!cw_check_begin(m))
        return sums;
    sums.sent = cw_check_put_many(m, SUMS_DATAGRAMS, CW_CHECK_DATA, SMALL, how);
    /* Those that are dropped do not arrive: no use to wait for them. */
    for (bool is_told = cw_check_ask(m, CW_CHECK_HELLO_NS); is_told;) {
        uint64_t seen = sums.arrived + sums.dropped;
        sums.arrived = m->report.arrived;
        sums.dropped = m->report.wrong_sums;
        sums.called_good = m->report.called_good;
        if (sums.arrived + sums.dropped >= sums.sent || (seen > 0 && sums.arrived + sums.dropped == seen))
            break;
        struct cw_check_patience patience = cw_check_patience_for(cw_check_late_ns(m));
        while (cw_check_waits(m, &patience))
            ;
        is_told =
            cw_check_ask(m, CW_CHECK_HELLO_NS) && (seen > 0 || m->report.arrived + m->report.wrong_sums > 0);
    }
    return sums;
}

static uint64_t own(const struct cw_check_measurer *m, unsigned counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->queues; i++)
        sum += cw_port_counter(cw_port_lane(m->port, i), counter);
    return sum;
}

static void measure_sums(struct cw_check_measurer *m, struct cw_check_way *way)
{
    cw_check_progress(m, "checksums");
    if (cw_check_must_stop(m) || !cw_check_begin(m))
        return;
    uint64_t refused = own(m, CW_PORT_TX_REFUSED);
    way->does_send_sums = m->port->transmit_flags != 0;
    way->does_check_sums = m->report.does_check_sums;
    way->by_software = sums_by(m, CW_CHECK_BY_SOFTWARE);
    way->by_device = sums_by(m, CW_CHECK_BY_PORT);
    way->wrong = sums_by(m, CW_CHECK_BY_NOBODY);
    way->refused = own(m, CW_PORT_TX_REFUSED) - refused;
    way->are_sums_tried = !cw_check_must_stop(m);
    m->is_by_software =
        way->by_device.dropped > 0 || (way->by_device.arrived == 0 && way->by_software.arrived > 0);
}

/* What falls behind is not caught up with: that would be another rate. */
static uint64_t echo_slowly(struct cw_check_measurer *m)
{
    uint64_t sent = 0, next_ns = 0;
    struct cw_check_patience patience = cw_check_patience_for(m->plan->milliseconds * CW_MS);
    do {
        uint64_t now_ns = cw_check_now_ns();
        if (now_ns >= next_ns && cw_check_put(m, CW_CHECK_ECHO, SMALL,
                                              cw_check_usual_flags(m) | CW_CHECK_WHOLE, cw_check_usual(m))) {
            next_ns = now_ns + CW_SECOND / CW_CHECK_LOW_RATE;
            sent++;
        }
    } while (cw_check_waits(m, &patience));
    patience = cw_check_patience_for(CW_SECOND);
    while (m->echoed < sent && cw_check_waits(m, &patience))
        ;
    return sent;
}

/* Echoes at a low rate: both directions, and the round trip. */
static void measure_low(struct cw_check_measurer *m, struct cw_check_way *there, struct cw_check_way *back)
{
    cw_check_progress(m, "loss and round trip");
    if (cw_check_must_stop(m) || !cw_check_begin(m))
        return;
    uint64_t wrong = own(m, CW_PORT_DROP_CHECKSUM), lied = own(m, CW_PORT_SUM_LIED);
    m->does_sample = true;
    uint64_t sent = echo_slowly(m);
    m->does_sample = false;
    if (sent == 0 || !cw_check_end(m, sent))
        return;
    there->is_tried = back->is_tried = true;
    there->sent = sent;
    there->arrived = m->report.arrived;
    there->wrong_sums = m->report.wrong_sums;
    back->sent = m->report.answered;
    back->arrived = m->echoed;
    back->wrong_sums = own(m, CW_PORT_DROP_CHECKSUM) - wrong;
    back->does_send_sums = m->report.does_send_sums;
    back->by_device = (struct cw_check_sums){.sent = back->sent,
                                             .arrived = back->arrived,
                                             .dropped = back->wrong_sums,
                                             .called_good = own(m, CW_PORT_SUM_LIED) - lied};
    m->results->round_trip = cw_check_percentiles(m->samples, m->sample_count);
}

/* Do datagrams of this size arrive there; and do they come back? */
static bool probe(struct cw_check_measurer *m, uint32_t size, bool *does_return)
{
    *does_return = false;
    if (cw_check_must_stop(m) || !cw_check_begin(m))
        return false;
    uint64_t sent = cw_check_put_many(m, MTU_TRIES, CW_CHECK_ECHO, size, cw_check_usual(m));
    for (struct cw_check_patience patience = cw_check_patience_for(cw_check_late_ns(m));
         m->echoed < sent && cw_check_waits(m, &patience);)
        ;
    *does_return = m->echoed > 0;
    return cw_check_ask(m, CW_CHECK_HELLO_NS) && m->report.arrived > 0;
}

/* The largest between one that does and one that does not. */
static uint32_t bisect(struct cw_check_measurer *m, uint32_t good, uint32_t bad, bool is_return_wanted)
{
    while (bad - good > 1 && !cw_check_must_stop(m)) {
        uint32_t middle = good + (bad - good) / 2;
        bool does_return, does_arrive = probe(m, middle, &does_return);
        if (is_return_wanted ? does_return : does_arrive)
            good = middle;
        else
            bad = middle;
    }
    return good;
}

/* back: NULL when it is measured from the other end. What comes back is tried only where all arrives. */
static void measure_mtu(struct cw_check_measurer *m, struct cw_check_way *there, struct cw_check_way *back)
{
    uint32_t whole = CW_MIN(cw_port_datagram_bytes_max(m->port), CW_CHECK_BYTES_MAX);
    bool does_return, does_arrive;
    cw_check_progress(m, "mtu");
    if (cw_check_must_stop(m) || !probe(m, SMALL, &does_return))
        return;
    does_arrive = probe(m, whole, &does_return);
    uint32_t largest = does_arrive ? whole : bisect(m, SMALL, whole, false);
    uint32_t returned = !does_arrive   ? 0
                        : does_return  ? whole
                        : back != NULL ? bisect(m, SMALL, whole, true)
                                       : 0;
    if (cw_check_must_stop(m))
        return;
    there->largest = largest;
    if (back != NULL)
        back->largest = returned;
}

/* As fast as the port takes them, for so long; returns how many it took. */
static uint64_t flood(struct cw_check_measurer *m, enum cw_check_kind kind, uint32_t size)
{
    uint64_t end_ns = cw_check_now_ns() + m->plan->milliseconds * CW_MS, sent = 0, left = 0;
    while (!cw_check_must_stop(m) && cw_check_now_ns() < end_ns) {
        uint32_t burst = 0;
        while (burst < CW_PORT_BURST &&
               cw_check_put(m, kind, size, cw_check_usual_flags(m), cw_check_usual(m)))
            burst++;
        sent += burst;
        if (cw_check_turn(m) == 0 && burst == 0)
            cw_check_idle(0);
    }
    for (uint32_t i = 0; i < CW_CHECK_TURNS_LEAST; i++)
        (void)cw_check_turn(m);
    for (uint32_t i = 0; i < m->queues; i++)
        left += cw_port_lane(m->port, i)->burst_count;
    return sent - CW_MIN(left, sent);
}

static double per_second(uint64_t count, uint64_t ns)
{
    return ns == 0 ? 0 : (double)count * (double)CW_SECOND / (double)ns;
}

static void measure_rates(struct cw_check_measurer *m, struct cw_check_way *there, struct cw_check_way *back)
{
    uint32_t sizes[CW_CHECK_RATES] = {SMALL, MIDDLE, there->largest};
    for (unsigned i = 0; i < CW_CHECK_RATES; i++) {
        char what[64];
        uint32_t size = sizes[i];
        snprintf(what, sizeof what, "rate, %u bytes%s", size, back != NULL ? ", there and back" : "");
        cw_check_progress(m, what);
        if (size < SMALL || (there->largest > 0 && size > there->largest) || cw_check_must_stop(m) ||
            !cw_check_begin(m))
            continue;
        uint64_t sent = flood(m, back != NULL ? CW_CHECK_ECHO : CW_CHECK_DATA, size);
        if (cw_check_must_stop(m) || sent == 0 || !cw_check_end(m, sent))
            continue;
        const struct cw_check_report *report = &m->report;
        if (back == NULL)
            there->rates[i] = (struct cw_check_rate){
                .is_tried = true,
                .size = size,
                .sent = sent,
                .arrived = report->arrived,
                .packets = per_second(report->arrived, report->last_ns - report->first_ns),
                .bits = per_second(8 * report->bytes, report->last_ns - report->first_ns)};
        else
            back->rates[i] =
                (struct cw_check_rate){.is_tried = true,
                                       .size = size,
                                       .sent = report->answered,
                                       .arrived = m->echoed,
                                       .packets = per_second(m->echoed, m->last_ns - m->first_ns),
                                       .bits = per_second(8 * m->echoed_bytes, m->last_ns - m->first_ns)};
    }
}

/* Datagrams from many ports, so that each queue gets some, where the device spreads by them. */
static uint64_t put_flows(struct cw_check_measurer *m)
{
    struct cw_port *lane = cw_port_lane(m->port, m->lane);
    struct cw_frame_addresses addresses = lane->path.addresses;
    uint64_t sent = 0;
    addresses.lane = addresses.lane_count = 0;
    for (uint32_t i = 0; i < FLOWS * FLOW_DATAGRAMS; i++) {
        struct cw_check_patience patience = cw_check_patience_for(cw_check_late_ns(m));
        struct cw_frame_path path;
        uint8_t *room;
        lane = cw_port_lane(m->port, i % m->queues);
        while ((room = cw_port_transmit_next(lane)) == NULL && cw_check_waits(m, &patience))
            ;
        if (room == NULL)
            return sent;
        struct cw_check_datagram datagram = {.kind = CW_CHECK_DATA,
                                             .size = SMALL,
                                             .run = m->run,
                                             .stage = m->stage,
                                             .lane = (uint8_t)(i % m->queues)};
        memset(room + CW_CHECK_HEADER_BYTES, 0, SMALL - CW_CHECK_HEADER_BYTES);
        cw_check_write(&datagram, room);
        addresses.local_udp = (uint16_t)(FLOW_UDP_FIRST + i % FLOWS);
        cw_frame_path_init(&path, &addresses);
        cw_check_commit_by(lane, &path, SMALL);
        if (++sent % CW_PORT_BURST == 0)
            (void)cw_check_turn(m);
    }
    (void)cw_check_turn(m);
    return sent;
}

static void measure_queues(struct cw_check_measurer *m, struct cw_check_way *way)
{
    cw_check_progress(m, "queues");
    if (cw_check_must_stop(m) || !cw_check_begin(m))
        return;
    way->queues = m->report.queues;
    way->flows = FLOWS;
    if (way->queues == 1)
        return;
    if (!cw_check_end(m, put_flows(m)))
        way->queues = 0;
    memcpy(way->by_queue, m->report.by_queue, sizeof way->by_queue);
}

/* ---------------------------------------------------------------- the order of it all */

static bool is_hop_known(const struct cw_check_measurer *m)
{
    for (uint32_t i = 0; i < m->queues; i++) {
        if (!cw_port_may_send(cw_port_lane(m->port, i)))
            return false;
    }
    return true;
}

static void wait_for_links(struct cw_check_measurer *m)
{
    struct cw_check_results *results = m->results;
    uint64_t start_ns = cw_check_now_ns(), waited_ns;
    bool are_all_up;
    cw_check_progress(m, "link");
    do {
        are_all_up = true;
        waited_ns = cw_check_now_ns() - start_ns;
        for (uint32_t i = 0; i < m->plan->port_count; i++) {
            if (!results->is_link_up[i])
                results->link_ms[i] = waited_ns / CW_MS;
            results->is_link_up[i] = results->is_link_up[i] || cw_port_is_link_up(m->plan->ports[i]);
            are_all_up = are_all_up && results->is_link_up[i];
        }
        if (!are_all_up)
            cw_check_idle(CW_SECOND);
    } while (!are_all_up && !cw_check_must_stop(m) && waited_ns < LINK_NS);
}

static void wait_for_neighbour(struct cw_check_measurer *m)
{
    uint64_t start_ns = cw_check_now_ns();
    struct cw_check_patience patience = cw_check_patience_for(NEIGHBOUR_NS);
    cw_check_progress(m, "neighbour");
    while (!is_hop_known(m) && cw_check_waits(m, &patience))
        ;
    m->results->has_neighbour = is_hop_known(m);
    m->results->neighbour_ms = (cw_check_now_ns() - start_ns) / CW_MS;
}

static void use_port(struct cw_check_measurer *m, unsigned index)
{
    m->port = m->plan->ports[index];
    m->queues = CW_MAX(m->plan->configs[index].queues, 1);
    m->lane = 0;
    m->is_by_software = false;
    if (getrandom(&m->run, sizeof m->run, 0) != sizeof m->run)
        m->run = (uint32_t)cw_check_now_ns();
    m->stage = 0;
}

static void measure_peer(struct cw_check_measurer *m)
{
    struct cw_check_way *there = &m->results->ways[0], *back = &m->results->ways[1];
    cw_check_progress(m, "the other end");
    if (cw_check_must_stop(m) || !cw_check_begin(m)) {
        m->results->mode = CW_CHECK_PING;
        return;
    }
    m->results->peer_mtu = m->report.mtu;
    measure_sums(m, there);
    measure_low(m, there, back);
    back->are_sums_tried = back->is_tried;
    measure_mtu(m, there, back);
    measure_rates(m, there, NULL);
    measure_rates(m, there, back);
    measure_queues(m, there);
    there->garbage = m->report.garbage;
    back->garbage = m->garbage;
}

static void measure_echo(struct cw_check_measurer *m)
{
    struct cw_check_results *results = m->results;
    const struct cw_port_config *config = m->plan->configs;
    results->is_kernel_s = config->is_shared;
    if (config->is_shared)
        return;
    cw_check_progress(m, "echo");
    if (config->next_hop.version != 0)
        cw_check_ping(m->port, &config->next_hop, m->plan->milliseconds, m->plan->must_stop,
                      &results->echoes[CW_CHECK_ECHO_GATEWAY]);
    if (!cw_check_must_stop(m))
        cw_check_ping(m->port, &config->remote_ip, m->plan->milliseconds, m->plan->must_stop,
                      &results->echoes[CW_CHECK_ECHO_PEER]);
}

/* From one port of ours to the other, which lcore 1 has meanwhile. */
static void measure_pair_way(struct cw_check_measurer *m, unsigned index)
{
    static struct cw_check_answerer answerer; /* the lcore's */
    struct cw_check_results *results = m->results;
    struct cw_check_way *way = &results->ways[index];
    use_port(m, index);
    cw_check_answerer_init(&answerer, m->plan->ports[1 - index], &m->plan->configs[1 - index]);
    int launched = rte_eal_remote_launch(cw_check_answerer_thread, &answerer, 1);
    CW_ASSERT(launched == 0);
    if (index == 0 || results->has_neighbour)
        wait_for_neighbour(m);
    if (results->has_neighbour && !cw_check_must_stop(m) && cw_check_begin(m)) {
        measure_sums(m, way);
        if (index == 0)
            measure_low(m, way, &results->ways[1]);
        measure_mtu(m, way, NULL);
        measure_rates(m, way, NULL);
        measure_queues(m, way);
        way->garbage = m->report.garbage;
        results->peer_mtu = m->report.mtu;
    }
    atomic_store_explicit(&answerer.must_stop, true, memory_order_release);
    (void)rte_eal_wait_lcore(1);
    results->not_ours += cw_port_counter(m->plan->ports[1 - index], CW_PORT_DROP_NOT_OURS);
}

static void describe(struct cw_check_measurer *m)
{
    struct cw_check_results *results = m->results;
    const struct cw_port_config *config = m->plan->configs;
    const struct cw_ip *hop = config->next_hop.version != 0 ? &config->next_hop : &config->remote_ip;
    results->mode = m->plan->port_count == 2 ? CW_CHECK_PAIR : CW_CHECK_PEER;
    results->ports = m->plan->port_count;
    results->mtu = config->mtu;
    results->vlan = config->vlan;
    results->low_rate = CW_CHECK_LOW_RATE;
    results->headers = (uint32_t)(m->plan->ports[0]->path.header_bytes - m->plan->ports[0]->path.ip_at);
    (void)inet_ntop(hop->version == 6 ? AF_INET6 : AF_INET, hop->bytes, results->next_hop,
                    sizeof results->next_hop);
    for (uint32_t i = 0; i < CW_CHECK_WAYS; i++)
        snprintf(results->names[i], sizeof results->names[i], "%s",
                 i < results->ports ? m->plan->configs[i].name : "peer");
}

/* As they are in the end: an address may have been new on the link before. */
static void describe_ports(struct cw_check_measurer *m)
{
    for (uint32_t i = 0; i < m->plan->port_count; i++) {
        char *text = m->results->described[i];
        cw_port_describe(m->plan->ports[i], text, sizeof m->results->described[i]);
        cw_check_describe_xdp(m->plan->configs[i].device, text, sizeof m->results->described[i]);
    }
}

void cw_check_run(const struct cw_check_plan *plan, struct cw_check_results *results)
{
    static struct cw_check_measurer m; /* its samples are half a megabyte */
    m = (struct cw_check_measurer){.plan = plan, .results = results};
    *results = (struct cw_check_results){0};
    use_port(&m, 0);
    wait_for_links(&m);
    describe(&m);
    bool are_links_up = results->is_link_up[0] && (plan->port_count == 1 || results->is_link_up[1]);
    if (are_links_up && !cw_check_must_stop(&m) && plan->port_count == 2) {
        measure_pair_way(&m, 0);
        if (!cw_check_must_stop(&m) && results->ways[0].is_tried)
            measure_pair_way(&m, 1);
    } else if (are_links_up && !cw_check_must_stop(&m)) {
        wait_for_neighbour(&m);
        if (results->has_neighbour)
            measure_peer(&m);
        if (results->mode == CW_CHECK_PING)
            measure_echo(&m);
        results->not_ours = own(&m, CW_PORT_DROP_NOT_OURS);
    }
    describe_ports(&m);
    results->is_interrupted = cw_check_must_stop(&m);
}
