/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program itself, between two memif ports of this process: bytes come through whole, never before their
 * time; exactly those frames are lost that the model loses; every frame is accounted for; peers that go away
 * and come back. argv[1] is the program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_mbuf.h>

#include "base/numbers.h"
#include "wanem/model.h"
#include "wanem/pair.h"

#define FRAMES 3000u

static const char *program;
static struct rte_mempool *pool;
static char why[512], json[4096];
static struct cw_wanem_pair wire; /* of the test that runs */

/* What every frame begins with, behind the addresses. */
struct __attribute__((packed)) head {
    uint8_t ethernet[14];
    uint32_t number;
    uint64_t sent_ns;
    uint64_t check; /* of both */
};

struct log {
    uint32_t received, damaged, times[FRAMES];
    uint64_t delay_ns_least;
    uint32_t last_number, out_of_order;
};

static uint32_t length_of(uint32_t number, uint32_t mtu)
{
    uint32_t most = mtu + 14;
    return number % 7 == 0
               ? most
               : (uint32_t)sizeof(struct head) + number * 37 % (most - (uint32_t)sizeof(struct head));
}

static uint64_t check_of(const struct head *head)
{
    return ~(head->number ^ head->sent_ns);
}

static struct rte_mbuf *make_frame(uint32_t number, uint32_t mtu)
{
    struct head head = {.number = number, .sent_ns = cw_wanem_now_ns()};
    head.check = check_of(&head);
    struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
    assert_non_null(frame);
    uint8_t *data = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)length_of(number, mtu));
    assert_non_null(data);
    memset(data, (int)number, length_of(number, mtu));
    memcpy(data, &head, sizeof head);
    return frame;
}

/* False: not as it was sent. */
static bool is_whole(const struct rte_mbuf *frame, const struct head *head, uint32_t mtu)
{
    const uint8_t *data = rte_pktmbuf_mtod(frame, const uint8_t *);
    if (head->check != check_of(head) || head->number >= FRAMES ||
        rte_pktmbuf_pkt_len(frame) != length_of(head->number, mtu))
        return false;
    for (uint32_t i = sizeof *head; i < rte_pktmbuf_data_len(frame); i++) {
        if (data[i] != (uint8_t)head->number)
            return false;
    }
    return true;
}

static void receive(struct cw_port *port, struct log *log, uint32_t mtu)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t count = cw_port_receive_frames(port, frames, CW_PORT_BURST);
    uint64_t now_ns = cw_wanem_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        struct head head;
        memcpy(&head, rte_pktmbuf_mtod(frames[i], void *), sizeof head);
        log->received++;
        if (is_whole(frames[i], &head, mtu)) {
            log->times[head.number]++;
            log->delay_ns_least = CW_MIN(log->delay_ns_least, now_ns - head.sent_ns);
            log->out_of_order += head.number < log->last_number;
            log->last_number = head.number;
        } else {
            log->damaged++;
        }
        rte_pktmbuf_free(frames[i]);
    }
}

static void send_one(struct cw_wanem_pair *pair, unsigned from, uint32_t number, struct log *log)
{
    struct rte_mbuf *frame = make_frame(number, pair->mtu);
    uint64_t begin_ns = cw_wanem_now_ns();
    while (cw_port_transmit_frames(pair->ports[from], &frame, 1) == 0) {
        receive(pair->ports[1 - from], log, pair->mtu);
        assert_true(cw_wanem_now_ns() - begin_ns < 60 * CW_SECOND);
    }
}

/* Sends all frames and receives until all came, or nothing did for a second and a half. */
static void exchange(struct cw_wanem_pair *pair, unsigned from, struct log *log)
{
    *log = (struct log){.delay_ns_least = UINT64_MAX};
    for (uint32_t number = 0; number < FRAMES; number++) {
        send_one(pair, from, number, log);
        receive(pair->ports[1 - from], log, pair->mtu);
    }
    uint64_t last_ns = cw_wanem_now_ns();
    for (uint32_t before = log->received;
         cw_wanem_now_ns() - last_ns < (log->received == FRAMES ? CW_SECOND / 10 : 3 * CW_SECOND / 2);) {
        receive(pair->ports[1 - from], log, pair->mtu);
        if (log->received != before)
            last_ns = cw_wanem_now_ns();
        before = log->received;
    }
}

static void open_pair(struct cw_wanem_pair *pair, uint16_t mtu, const char *spec)
{
    const char *const more[] = {"--wan", spec, "--poll", "adaptive", NULL};
    if (!cw_wanem_pair_open(pair, program, mtu, more, why, sizeof why))
        fail_msg("%s", why);
}

static uint64_t counter(const char *name, unsigned index)
{
    uint64_t value = cw_wanem_counter(json, name, index);
    if (value == UINT64_MAX)
        fail_msg("no %s in %s", name, json);
    return value;
}

/* Ends the program; each frame was passed or dropped, each passed one sent or dropped, none is left. */
static void close_and_account(struct cw_wanem_pair *pair)
{
    static const char *const fates[] = {"drop_mtu", "drop_blackhole", "drop_queue", "drop_burst_loss",
                                        "drop_loss"};
    static const char *const ends[] = {"sent_frames", "drop_no_memory", "drop_no_link", "drop_peer_slow",
                                       "under_way"};
    if (!cw_wanem_pair_close(pair, json, sizeof json))
        fail_msg("it did not end well: %s", json);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t all = counter("passed", i), gone = 0;
        for (unsigned fate = 0; fate < CW_COUNT_OF(fates); fate++)
            all += counter(fates[fate], i);
        for (unsigned end = 0; end < CW_COUNT_OF(ends); end++)
            gone += counter(ends[end], i);
        assert_int_equal(counter("frames", i), all);
        assert_int_equal(counter("passed", i) + counter("duplicated", i), gone);
    }
}

static void plain_wire(void **state)
{
    for (uint16_t mtu = 1500; mtu <= 9000; mtu = (uint16_t)(mtu + 7500)) {
        struct log log;
        open_pair(&wire, mtu, "");
        for (unsigned from = 0; from < 2; from++) {
            exchange(&wire, from, &log);
            assert_int_equal(log.received, FRAMES);
            assert_int_equal(log.damaged, 0);
            assert_int_equal(log.out_of_order, 0);
        }
        close_and_account(&wire);
        assert_int_equal(counter("sent_frames", 0), FRAMES);
        assert_int_equal(counter("sent_frames", 1), FRAMES);
        assert_int_equal(counter("sent_bytes", 1), counter("bytes", 1));
    }
}

/* The fates of FRAMES frames as the model tells them; without a rate no time matters. */
static void foretell(const char *text, uint32_t direction, uint32_t *times, uint32_t *damaged)
{
    struct cw_wan_spec specs[CW_WAN_DIRECTIONS];
    assert_true(cw_wan_spec_read(text, &specs[0], why, sizeof why));
    specs[1] = specs[0];
    struct cw_wan_model *model = cw_wan_model_new(specs, 0);
    assert_non_null(model);
    for (uint32_t i = 0; i < FRAMES; i++) {
        struct cw_wan_verdict verdict;
        cw_wan_decide(model, direction, 0, length_of(i, 1500), &verdict);
        times[i] = verdict.corrupt_bit == CW_WAN_INTACT ? verdict.copies : 0;
        *damaged += verdict.corrupt_bit == CW_WAN_INTACT ? 0 : verdict.copies;
    }
    cw_wan_model_free(model);
}

static void loses_what_the_model_loses(void **state)
{
    static const char spec[] =
        "delay=7ms,jitter=1ms,loss=5%,ge=2%:5,duplicate=3%,reorder=4%:100us,corrupt=2%,seed=21";
    static uint32_t times[FRAMES];
    struct log log;
    open_pair(&wire, 1500, spec);
    for (unsigned from = 0; from < 2; from++) {
        uint32_t damaged = 0;
        foretell(spec, from, times, &damaged);
        exchange(&wire, from, &log);
        for (uint32_t i = 0; i < FRAMES; i++) {
            if (log.times[i] != times[i])
                fail_msg("frame %u came %u times, foretold were %u", i, log.times[i], times[i]);
        }
        assert_int_equal(log.damaged, damaged);
        assert_true(log.out_of_order > 10);
        assert_true(log.delay_ns_least >= 7 * CW_MS);
    }
    close_and_account(&wire);
    assert_true(counter("drop_burst_loss", 1) > 0);
    assert_true(counter("reordered", 1) > 0);
}

static void queue_overflows_and_is_counted(void **state)
{
    struct log log;
    open_pair(&wire, 1500, "rate=10mbit,queue=20p,mtu=1400");
    exchange(&wire, 0, &log);
    close_and_account(&wire);
    assert_int_equal(log.received, counter("sent_frames", 0));
    assert_true(counter("drop_mtu", 0) >= FRAMES / 7);
    assert_true(counter("drop_queue", 0) > FRAMES / 2);
    assert_int_equal(counter("drop_no_memory", 0), 0);
}

/* What is planned for a line is had: pools do not come in one piece. */
static void long_lines_get_their_memory(void **state)
{
    static const char *const specs[] = {"rate=200mbit,rtt=750ms", "rate=1gbit,rtt=200ms",
                                        "rate=2gbit,rtt=200ms"};
    for (unsigned i = 0; i < CW_COUNT_OF(specs); i++) {
        open_pair(&wire, 1500, specs[i]);
        close_and_account(&wire);
    }
}

static void wait_until(struct cw_port *port, bool is_up)
{
    uint64_t begin_ns = cw_wanem_now_ns();
    while (cw_port_is_link_up(port) != is_up) {
        assert_true(cw_wanem_now_ns() - begin_ns < 30 * CW_SECOND);
        nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
    }
}

/* The far peer ends: what is sent to it is dropped and counted; a new one gets what comes then. */
static void peer_comes_back(void **state)
{
    struct log log;
    open_pair(&wire, 1500, "delay=1ms");
    cw_port_close(wire.ports[1]);
    nanosleep(&(struct timespec){.tv_nsec = 500 * CW_MS}, NULL); /* it learns of that on another thread */
    for (uint32_t i = 0; i < 500; i++) {
        struct rte_mbuf *frame = make_frame(i, wire.mtu);
        while (cw_port_transmit_frames(wire.ports[0], &frame, 1) == 0)
            nanosleep(&(struct timespec){.tv_nsec = CW_US}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = 100 * CW_MS}, NULL);
    struct cw_port_config config = {.mtu = 1500, .name = "again"};
    snprintf(config.device, sizeof config.device, "net_memif99,role=client,socket=%s/1", wire.folder);
    wire.ports[1] = cw_port_open(&config, why, sizeof why);
    assert_non_null(wire.ports[1]);
    wait_until(wire.ports[1], true);
    exchange(&wire, 0, &log);
    assert_int_equal(log.received, FRAMES);
    close_and_account(&wire);
    assert_int_equal(counter("drop_no_link", 0), 500);
}

/* A peer that is there and fetches nothing: memory stays bounded, and it meets no flood when it goes on. */
static void peer_is_stuck(void **state)
{
    struct log log = {.delay_ns_least = UINT64_MAX};
    open_pair(&wire, 1500, "delay=1ms");
    uint64_t begin_ns = cw_wanem_now_ns();
    uint32_t sent = 0;
    while (cw_wanem_now_ns() - begin_ns < 2 * CW_SECOND) {
        struct rte_mbuf *frame = make_frame(sent % FRAMES, wire.mtu);
        uint32_t taken = cw_port_transmit_frames(wire.ports[0], &frame, 1);
        if (taken == 0)
            rte_pktmbuf_free(frame);
        sent += taken;
    }
    nanosleep(&(struct timespec){.tv_nsec = 200 * CW_MS}, NULL);
    for (uint32_t i = 0; i < 1000; i++)
        receive(wire.ports[1], &log, wire.mtu);
    close_and_account(&wire);
    assert_int_equal(counter("frames", 0), sent);
    assert_true(counter("drop_peer_slow", 0) + counter("drop_no_memory", 0) > 0);
    assert_true(log.received < 4000);
}

static void answers_usage(void **state)
{
    static const struct {
        const char *arguments[6];
        int exit;
    } lines[] = {
        {{"--help"}, 0},
        {{"--check", "--wan", "rate=1gbit,delay=80ms"}, 0},
        {{"--check", "--wan", "delay=1"}, 2},
        {{"--check", "--wan", "delay=1ms", "--back", "loss=2"}, 2},
        {{"--check", "--wan", "rate=100gbit,delay=10s"}, 2},
        {{"--check"}, 2},
        {{"--wan", "loss=1%"}, 2},
        {{"--check", "--wan", "", "--mtu", "70000"}, 2},
        {{"--check", "--wan", "", "--poll", "often"}, 2},
        {{"--check", "--wan", "", "--name", "a/b"}, 2},
        {{"--check", "--wan", "", "more"}, 2},
        {{"--nonsense"}, 2},
        {{"--wan", "", "--a", "net_memif0,role=server", "--b", "net_nonsense0"}, 1},
    };
    for (size_t i = 0; i < CW_COUNT_OF(lines); i++) {
        const char *arguments[8] = {program};
        int status = 0;
        memcpy(arguments + 1, lines[i].arguments, sizeof lines[i].arguments);
        pid_t pid = fork();
        if (pid == 0) {
            if (freopen("/dev/null", "w", stdout) != NULL && freopen("/dev/null", "w", stderr) != NULL)
                execv(program, (char *const *)arguments);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != lines[i].exit)
            fail_msg("%s %s...: exit %d", lines[i].arguments[0], lines[i].arguments[1], WEXITSTATUS(status));
    }
}

static void leaves_nothing_when_it_cannot_start(void **state)
{
    const char *const more[] = {NULL};
    assert_false(cw_wanem_pair_open(&wire, "/bin/false", 1500, more, why, sizeof why));
    assert_int_not_equal(access(wire.folder, F_OK), 0);
}

/* A test that failed has not come to its own close. */
static int close_wire(void **state)
{
    (void)cw_wanem_pair_close(&wire, json, sizeof json);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_usage),
        cmocka_unit_test_teardown(plain_wire, close_wire),
        cmocka_unit_test_teardown(loses_what_the_model_loses, close_wire),
        cmocka_unit_test_teardown(queue_overflows_and_is_counted, close_wire),
        cmocka_unit_test_teardown(long_lines_get_their_memory, close_wire),
        cmocka_unit_test_teardown(peer_comes_back, close_wire),
        cmocka_unit_test_teardown(peer_is_stuck, close_wire),
        cmocka_unit_test_teardown(leaves_nothing_when_it_cannot_start, close_wire),
    };
    struct cw_eal_config config = {.memory_mb = 256};
    if (argc < 2)
        return 2;
    program = argv[1];
    snprintf(config.file_prefix, sizeof config.file_prefix, "test-wanem-%d", (int)getpid());
    if (cw_eal_start(&config, why, sizeof why) != CW_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, 9344 + RTE_PKTMBUF_HEADROOM, -1);
    int failed = pool == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    cw_eal_stop();
    return failed;
}
