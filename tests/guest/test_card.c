/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has left a port, by a real driver: two cards of one guest, back to back, given by their PCI addresses.
 * Each frame's descriptor is done at once here (an emulated card sends while it is being told to), so for one
 * that is not, the card's right to read memory is taken away under it: it then can neither send nor report.
 * At the end the cards are taken away themselves.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/port.h"

#define LIMIT_NS   (60 * CW_SECOND)
#define LENGTH     1000u
#define FRAMES     5000u /* laps of a queue of 1024 */
#define COMMAND_AT 4     /* of the PCI configuration: a register of two bytes */
#define BUS_MASTER 4u

static const char *cards[2];
static struct cw_port *ports[2];
static char why[512];
static uint32_t arrived;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = CW_MS}, NULL);
}

static void take(void *context, uint8_t *datagram, size_t length)
{
    arrived += length == LENGTH;
}

static void turn(void)
{
    for (unsigned i = 0; i < 2; i++) {
        cw_port_on_time(ports[i], now_ns());
        while (cw_port_receive(ports[i], take, NULL) > 0)
            ;
        cw_port_flush(ports[i]);
    }
}

static void give(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *room = cw_port_transmit_next(ports[0]);
        assert_non_null(room);
        memset(room, (int)i, LENGTH);
        cw_port_transmit_commit(ports[0], LENGTH);
    }
    cw_port_flush(ports[0]);
}

static bool all_has_left(void)
{
    return cw_port_has_left(ports[0], cw_port_committed(ports[0]));
}

static void wait_until_it_has(void)
{
    uint64_t start = now_ns();
    while (!all_has_left() && now_ns() - start < LIMIT_NS)
        turn();
    assert_true(all_has_left());
}

static void the_driver_is_believed(void **state)
{
    assert_false(cw_port_reports_done(ports[0])); /* nothing was sent */
    give(1);
    for (uint64_t start = now_ns(); !cw_port_reports_done(ports[0]) && now_ns() - start < LIMIT_NS;)
        turn();
    assert_true(cw_port_reports_done(ports[0]));
    assert_true(all_has_left());
}

/* In bursts of all sizes, several times around. What has left arrives. */
static void what_is_sent_is_done(void **state)
{
    struct cw_rng rng = {1};
    uint64_t before = arrived;
    for (uint32_t sent = 0, count; sent < FRAMES; sent += count) {
        count = 1 + (uint32_t)cw_rng_below(&rng, CW_PORT_BURST);
        count = CW_MIN(count, FRAMES - sent);
        give(count);
        wait_until_it_has();
        turn();
    }
    for (uint64_t start = now_ns(); arrived - before < FRAMES && now_ns() - start < LIMIT_NS;)
        turn();
    assert_int_equal(arrived - before, FRAMES);
    assert_int_equal(cw_port_counter(ports[0], CW_PORT_TX_REFUSED), 0);
}

static void may_read_memory(const char *card, bool may)
{
    char path[128];
    uint16_t word;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", card);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &word, sizeof word, COMMAND_AT), sizeof word);
    word = (uint16_t)(may ? word | BUS_MASTER : word & ~BUS_MASTER);
    assert_int_equal(pwrite(fd, &word, sizeof word, COMMAND_AT), sizeof word);
    close(fd);
}

/* And it is accepted all the same. The card comes back: what is sent then is done, and so is all before. */
static void what_the_card_cannot_fetch_has_not_left(void **state)
{
    uint64_t before = cw_port_committed(ports[0]), taken = cw_port_counter(ports[0], CW_PORT_TX_PACKETS);
    may_read_memory(cards[0], false);
    give(5);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(cw_port_has_left(ports[0], before));
        for (uint32_t of = 1; of <= 5; of++)
            assert_false(cw_port_has_left(ports[0], before + of));
        nap();
    }
    assert_true(cw_port_counter(ports[0], CW_PORT_TX_PACKETS) >= taken + 5);
    may_read_memory(cards[0], true);
    give(1);
    wait_until_it_has();
    assert_true(cw_port_has_left(ports[0], before + 1));
}

static int start(void **state)
{
    struct cw_port_config configs[2];
    struct cw_eal_config eal = {.file_prefix = "cw-card", .may_use_hugepages = true, .memory_mb = 256};
    for (unsigned i = 0; i < 2; i++) {
        configs[i] = (struct cw_port_config){.mtu = 1500,
                                             .local_ip = cw_ip_v4(0x0a000001 + i),
                                             .remote_ip = cw_ip_v4(0x0a000002 - i),
                                             .local_udp = 7400,
                                             .remote_udp = 7400,
                                             .buffers = 4096};
        snprintf(configs[i].name, sizeof configs[i].name, "card%u", i);
        snprintf(configs[i].device, sizeof configs[i].device, "%s", cards[i]);
        memcpy(configs[i].local_mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)(1 + i)}, 6);
        memcpy(configs[i].remote_mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)(2 - i)}, 6);
    }
    eal.ports = configs;
    eal.port_count = 2;
    if (cw_eal_start(&eal, why, sizeof why) != CW_OK)
        goto failed;
    for (unsigned i = 0; i < 2; i++) {
        ports[i] = cw_port_open(&configs[i], why, sizeof why);
        if (ports[i] == NULL)
            goto failed;
    }
    for (uint64_t begin = now_ns(); now_ns() - begin < LIMIT_NS; nap())
        if (cw_port_is_link_up(ports[0]) && cw_port_is_link_up(ports[1]))
            return 0;
    snprintf(why, sizeof why, "the link is not up");
failed:
    print_error("%s\n", why);
    return -1;
}

/* Writes to a file of sysfs from another program, which has nothing of this one's open: the kernel keeps it until the
 * card is let go. */
static pid_t tell_kernel(const char *file, const char *word)
{
    char command[256];
    char shell[] = "sh", option[] = "-c", *const arguments[] = {shell, option, command, NULL};
    pid_t child = 0;
    snprintf(command, sizeof command, "echo %s > %s", word, file);
    assert_int_equal(posix_spawnp(&child, "sh", NULL, NULL, arguments, environ), 0);
    return child;
}

/* Turns until the kernel has what it wanted. */
static void expect_taken(pid_t child)
{
    int status = -1;
    for (uint64_t begin = now_ns(); now_ns() - begin < LIMIT_NS && waitpid(child, &status, WNOHANG) == 0;
         nap())
        turn();
    assert_int_equal(status, 0);
}

/* By `causeway nic revert` while the engine runs; and by somebody who pulls it out. */
static void a_card_that_is_taken_back_is_let_go(void **state)
{
    char file[128], text[256];
    assert_false(cw_port_is_gone(ports[0]));
    snprintf(file, sizeof file, "/sys/bus/pci/devices/%s/driver/unbind", cards[0]);
    expect_taken(tell_kernel(file, cards[0]));
    assert_int_equal(access(file, F_OK), -1);
    assert_true(cw_port_is_gone(ports[0]) && !cw_port_is_gone(ports[1]));
    cw_port_describe(ports[0], text, sizeof text);
    assert_non_null(strstr(text, "its device is gone"));
    snprintf(file, sizeof file, "/sys/bus/pci/devices/%s/remove", cards[1]);
    expect_taken(tell_kernel(file, "1"));
    assert_int_equal(access(file, F_OK), -1);
    assert_true(cw_port_is_gone(ports[1]));
    for (unsigned i = 0; i < 10; i++)
        turn();
}

static int stop(void **state)
{
    char text[256];
    cw_port_describe(ports[0], text, sizeof text);
    print_message("%s\n", text);
    cw_port_close(ports[0]);
    cw_port_close(ports[1]);
    cw_eal_stop();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_card ADDRESS ADDRESS\n");
        return 2;
    }
    cards[0] = argv[1];
    cards[1] = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_driver_is_believed), cmocka_unit_test(what_is_sent_is_done),
        cmocka_unit_test(what_the_card_cannot_fetch_has_not_left),
        cmocka_unit_test(a_card_that_is_taken_back_is_let_go), /* the last: the cards are gone then */
    };
    return cmocka_run_group_tests_name("guest/card", tests, start, stop);
}
