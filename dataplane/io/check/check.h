/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checking a port by what it carries: the inside of causeway-port-check. format.h has what is sent, judge.h what it
 * means. After cw_eal_start with two lcores.
 *
 * The end that measures runs on the main thread. Who answers is the same program elsewhere, or, for two ports of one
 * machine, lcore 1; either way they speak by datagrams alone, and each port belongs to one thread at a time.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>

#include "io/check/judge.h"
#include "io/port.h"

#define CW_CHECK_SECONDS_MAX 60u

struct cw_check_plan {
    struct cw_port *ports[CW_CHECK_WAYS]; /* the second: NULL, or the other one of this machine */
    const struct cw_port_config *configs; /* theirs */
    uint32_t port_count;
    uint32_t milliseconds; /* of a measurement; up to CW_CHECK_SECONDS_MAX * 1000 */
    const volatile sig_atomic_t *must_stop;
    void (*progress)(const char *what); /* NULL: nobody looks */
};

/* What answers at the other end. */
struct cw_check_answerer {
    struct cw_port *port;
    uint32_t queues, mtu;
    uint32_t run, stage;
    struct cw_check_report counts;            /* of the stage */
    struct cw_check_report began;             /* the port's counters, as the stage began */
    uint64_t asked, echoed, ignored, garbage; /* ever */
    uint64_t run_garbage, run_not_ours;       /* as the run began */
    struct cw_port *lane;                     /* being received from */
    uint64_t now_ns;
    _Atomic bool must_stop; /* of cw_check_answerer_thread */
};

uint64_t cw_check_now_ns(void);
/* For loops that poll: what to do in a turn in which nothing came for so long. */
void cw_check_idle(uint64_t idle_ns);

void cw_check_answerer_init(struct cw_check_answerer *answerer, struct cw_port *port,
                            const struct cw_port_config *config);
/* One turn of it; returns how many datagrams it took. */
uint32_t cw_check_answerer_turn(struct cw_check_answerer *answerer, uint64_t now_ns);
int cw_check_answerer_thread(void *answerer); /* for rte_eal_remote_launch: turns until must_stop */

enum cw_check_how { CW_CHECK_BY_PORT, CW_CHECK_BY_SOFTWARE, CW_CHECK_BY_NOBODY };
/* A datagram that stands in the room of cw_port_transmit_next goes as the port sends its own; or its checksum is
 * computed by software whatever the device offers; or it is wrong. */
void cw_check_commit(struct cw_port *port, size_t length, enum cw_check_how how);
/* With these headers, checksums by software. */
struct cw_frame_path;
void cw_check_commit_by(struct cw_port *port, const struct cw_frame_path *path, size_t length);

/* Measures all that can be; what was not, results say. */
void cw_check_run(const struct cw_check_plan *plan, struct cw_check_results *results);

/* Echo of somebody, by the frames of an open port, one every 10 ms. */
struct cw_ip;
void cw_check_ping(struct cw_port *port, const struct cw_ip *whom, uint32_t milliseconds,
                   const volatile sig_atomic_t *must_stop, struct cw_check_echo *echo);

/* Behind the text: the mode of an open af_xdp port. */
void cw_check_describe_xdp(const char *device, char *text, size_t size);

/* For people and, with json, for programs; returns the exit code. */
int cw_check_print(const struct cw_check_results *results, bool is_json);
