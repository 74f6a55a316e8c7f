/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has left a port, by a driver that tells which descriptors are done: a port of net_null whose
 * transmitting half is replaced, once it is started, by a ring as those of Intel's drivers are. The test says
 * what the device is done with; no card that runs here leaves a descriptor undone for as long as somebody has
 * to look (tests/guest has a real driver).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "io/port.h"

#define SIZE_MAX_  512u
#define FREE_LOW   32u /* cleans up when so few descriptors are free */
#define LANES      2u
#define LENGTH     100u
#define FRAMES_MAX (1u << 16)

/* One queue. Descriptors are numbered from the first ever; their places are that modulo size. */
struct device {
    uint16_t size, threshold, wthresh;
    bool has_info, has_status, takes_wishes;
    uint32_t own_every;     /* frames that have a descriptor of the driver's before their own; 0: none */
    bool is_full;           /* takes nothing */
    uint32_t refused_every; /* frames that the driver does not want; 0: none */
    bool is_done_told[SIZE_MAX_];  /* by place */
    uint64_t filled, cleaned;      /* descriptors */
    uint64_t frames, done;         /* frames taken, and those that the device is done with */
    uint64_t last_of[FRAMES_MAX];  /* a frame's descriptor */
    uint64_t taken_as[FRAMES_MAX]; /* by the place that it was committed at: its number from 1; 0: refused */
    struct rte_eth_txconf conf;    /* it was set up with */
    uint32_t setups;
    bool has_null_conf;
};

static struct device devices[LANES];
static void *queues[LANES] = {&devices[0], &devices[1]};
static char prefix[64], why[512];
static uint32_t device_number;

/* ---------------------------------------------------------------- the driver */

static void clean_up(struct device *device)
{
    uint64_t end = device->done > 0 ? device->last_of[device->done - 1] + 1 : 0;
    while (device->size - (device->filled - device->cleaned) <= FREE_LOW && device->cleaned < end)
        device->is_done_told[device->cleaned++ % device->size] = false; /* as drivers do */
}

/* What is no datagram of the test's is the port's own first word. */
static uint64_t committed_as(const struct device *device, const struct rte_mbuf *frame)
{
    uint64_t stamp = device->frames;
    if (frame->data_len > LENGTH)
        memcpy(&stamp, rte_pktmbuf_mtod_offset(frame, const uint8_t *, frame->data_len - LENGTH),
               sizeof stamp);
    assert_true(stamp < FRAMES_MAX);
    return stamp;
}

static uint16_t fake_burst(void *queue, struct rte_mbuf **frames, uint16_t count)
{
    struct device *device = queue;
    uint16_t taken = 0;
    for (; taken < count && !device->is_full; taken++) {
        bool has_own = device->own_every > 0 && device->frames % device->own_every == 0;
        clean_up(device);
        if (device->filled - device->cleaned + has_own + 1 >= device->size)
            break;
        device->is_done_told[device->filled % device->size] = false;
        device->filled += has_own;
        device->is_done_told[device->filled % device->size] = false;
        assert_true(device->frames < FRAMES_MAX);
        device->last_of[device->frames++] = device->filled++;
        device->taken_as[committed_as(device, frames[taken])] = device->frames;
        rte_pktmbuf_free(frames[taken]);
    }
    return taken;
}

static uint16_t fake_prepare(void *queue, struct rte_mbuf **frames, uint16_t count)
{
    struct device *device = queue;
    for (uint16_t i = 0; i < count; i++)
        if (device->refused_every > 0 && committed_as(device, frames[i]) % device->refused_every == 1)
            return i;
    return count;
}

static int fake_status(void *queue, uint16_t offset)
{
    const struct device *device = queue;
    uint64_t at = device->filled + offset;
    if (offset >= device->size)
        return -EINVAL;
    at = (at % device->size + device->threshold - 1) / device->threshold * device->threshold;
    return device->is_done_told[at % device->size] ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
}

/* The device is done with so many more frames. */
static void finish(struct device *device, uint64_t count)
{
    for (; count > 0 && device->done < device->frames; count--, device->done++)
        if ((device->done + 1) % device->threshold == 0)
            device->is_done_told[device->last_of[device->done] % device->size] = true;
}

/* ---------------------------------------------------------------- what the port calls */

int __real_rte_eth_dev_start(uint16_t port);
int __wrap_rte_eth_dev_start(uint16_t port);
int __wrap_rte_eth_dev_start(uint16_t port)
{
    int error = __real_rte_eth_dev_start(port);
    struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[port];
    ops->txq.data = queues;
    ops->tx_pkt_burst = fake_burst;
    ops->tx_pkt_prepare = fake_prepare;
    ops->tx_descriptor_status = devices[0].has_status ? fake_status : NULL;
    return error;
}

/* It computes checksums, so that frames are shown to it before. */
int __real_rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info);
int __wrap_rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info);
int __wrap_rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
    int error = __real_rte_eth_dev_info_get(port, info);
    info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    info->default_txconf.tx_free_thresh = 7;
    info->default_txconf.tx_thresh.wthresh = 16;
    return error;
}

int __real_rte_eth_dev_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf)
{
    static const struct rte_eth_conf nothing;
    return __real_rte_eth_dev_configure(port, rx, tx, &nothing);
}

int __real_rte_eth_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, unsigned socket,
                                  const struct rte_eth_txconf *conf);
int __wrap_rte_eth_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, unsigned socket,
                                  const struct rte_eth_txconf *conf);
int __wrap_rte_eth_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, unsigned socket,
                                  const struct rte_eth_txconf *conf)
{
    struct device *device = &devices[queue];
    device->setups++;
    device->has_null_conf = conf == NULL;
    if (conf != NULL && !device->takes_wishes)
        return -EINVAL;
    if (conf != NULL)
        device->conf = *conf;
    return __real_rte_eth_tx_queue_setup(port, queue, descriptors, socket, NULL);
}

int __wrap_rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, struct rte_eth_txq_info *info);
int __wrap_rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, struct rte_eth_txq_info *info)
{
    const struct device *device = &devices[queue];
    if (!device->has_info)
        return -ENOTSUP;
    *info = (struct rte_eth_txq_info){.nb_desc = device->size};
    info->conf.tx_rs_thresh = device->threshold;
    info->conf.tx_thresh.wthresh = (uint8_t)device->wthresh;
    return 0;
}

/* ---------------------------------------------------------------- the tests */

static int before_each(void **state)
{
    memset(devices, 0, sizeof devices);
    for (uint32_t i = 0; i < LANES; i++)
        devices[i] = (struct device){
            .size = 64, .threshold = 1, .has_info = true, .has_status = true, .takes_wishes = true};
    return 0;
}

static struct cw_port *open_port(uint32_t lanes)
{
    struct cw_port_config config = {.name = "a",
                                    .mtu = 1500,
                                    .local_ip = cw_ip_v4(0x0a000001),
                                    .remote_ip = cw_ip_v4(0x0a000002),
                                    .local_mac = {2, 0, 0, 0, 0, 1},
                                    .remote_mac = {2, 0, 0, 0, 0, 2},
                                    .local_udp = 7400,
                                    .remote_udp = 7400,
                                    .buffers = 1024,
                                    .queues = lanes};
    snprintf(config.device, sizeof config.device, "net_null%u", device_number++);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL)
        fail_msg("%s", why);
    for (uint32_t lane = 0; lane < lanes; lane++)
        cw_port_on_time(cw_port_lane(port, lane), 0);
    return port;
}

static bool send_one(struct cw_port *port)
{
    uint8_t *room = cw_port_transmit_next(port);
    if (room == NULL)
        return false;
    uint64_t stamp = cw_port_committed(port) + 1;
    memset(room, 0, LENGTH);
    memcpy(room, &stamp, sizeof stamp);
    cw_port_transmit_commit(port, LENGTH);
    return true;
}

static void give(struct cw_port *port, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_true(send_one(port));
    cw_port_flush(port);
}

static bool all_has_left(const struct cw_port *port)
{
    return cw_port_has_left(port, cw_port_committed(port));
}

/* A port whose driver was seen to report. */
static struct cw_port *open_believed(void)
{
    struct cw_port *port = open_port(1);
    give(port, 1);
    finish(&devices[0], UINT64_MAX);
    cw_port_on_time(port, 1);
    assert_true(cw_port_reports_done(port));
    return port;
}

static void expect_accepted_is_enough(void)
{
    struct cw_port *port = open_port(1);
    for (uint32_t i = 0; i < 1000; i++) {
        devices[0].is_full = true;
        give(port, 1);
        cw_port_on_time(port, i);
        assert_false(all_has_left(port));
        devices[0].is_full = false;
        cw_port_flush(port);
        assert_true(all_has_left(port));
        assert_false(cw_port_reports_done(port));
        finish(&devices[0], i % 4 == 3 ? UINT64_MAX : 0);
    }
    cw_port_close(port);
}

static void a_driver_that_tells_nothing_is_asked_nothing(void **state)
{
    devices[0].has_status = false;
    expect_accepted_is_enough();
}

static void each_descriptor_is_wished_for(void **state)
{
    struct cw_port *port = open_port(1);
    assert_int_equal(devices[0].setups, 1);
    assert_int_equal(devices[0].conf.tx_rs_thresh, 1);
    assert_int_equal(devices[0].conf.tx_thresh.wthresh, 0);
    assert_int_equal(devices[0].conf.tx_free_thresh, 7); /* else as the driver wants it */
    cw_port_close(port);
}

static void a_driver_that_refuses_the_wish_gets_its_own(void **state)
{
    devices[0].takes_wishes = false;
    devices[0].threshold = 32;
    expect_accepted_is_enough();
    assert_int_equal(devices[0].setups, 2);
    assert_true(devices[0].has_null_conf);
}

/* What such a one says is wrong: of what was sent last, as of what was there a lap ago. */
static void a_driver_that_skips_some_is_not_believed(void **state)
{
    devices[0].threshold = 30;
    devices[0].own_every = 1;
    devices[0].size = 97; /* so that one of those that it reports lies where it looks */
    expect_accepted_is_enough();
    (void)before_each(NULL);
    devices[0].has_info = false;
    expect_accepted_is_enough();
    (void)before_each(NULL);
    devices[0].wthresh = 4;
    expect_accepted_is_enough();
}

/* It is done only with what has another behind it: so it cleans up while it sends. */
static void a_driver_that_reports_late_is_not_believed(void **state)
{
    struct cw_port *port = open_port(1);
    for (uint32_t i = 0; i < 1000; i++) {
        give(port, 1);
        finish(&devices[0], devices[0].frames - 1 - devices[0].done);
        cw_port_on_time(port, i);
        assert_true(all_has_left(port));
        assert_false(cw_port_reports_done(port));
    }
    cw_port_close(port);
}

static void nothing_has_left_before_it_is_done(void **state)
{
    struct cw_port *port = open_believed();
    struct device *device = &devices[0];
    for (uint32_t lap = 0; lap < 20; lap++) {
        uint64_t before = cw_port_committed(port);
        give(port, 10);
        for (uint32_t done = 0; done <= 10; done++) {
            for (uint32_t i = 0; i <= 10; i++)
                assert_int_equal(cw_port_has_left(port, before + i), i <= done);
            finish(device, 1);
        }
    }
    cw_port_close(port);
}

/* More is sent behind a frame, until its descriptor is another's. */
static void what_a_lap_was_sent_behind_has_left(void **state)
{
    struct cw_port *port = open_believed();
    struct device *device = &devices[0];
    uint64_t first = cw_port_committed(port) + 1;
    give(port, 1);
    assert_false(cw_port_has_left(port, first));
    for (uint32_t behind = 1; behind < 300; behind++) {
        finish(device, 1); /* one is always out */
        give(port, 1);
        assert_false(all_has_left(port));
        if (behind < device->size - FREE_LOW || behind >= device->size) /* between: it is cleaned up */
            assert_true(cw_port_has_left(port, first));
    }
    cw_port_close(port);
}

/* A driver's own descriptors are never done, and take places. */
static void the_drivers_own_descriptors_hold_up_nobody(void **state)
{
    devices[0].own_every = 1;
    struct cw_port *port = open_believed();
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t before = cw_port_committed(port);
        give(port, 3);
        assert_false(cw_port_has_left(port, before + 1));
        finish(&devices[0], 2);
        assert_false(all_has_left(port));
        finish(&devices[0], 1);
        for (uint32_t of = 0; of <= 3; of++)
            assert_true(cw_port_has_left(port, before + of));
    }
    cw_port_close(port);
}

/* It has no descriptor: what is counted from the end would be of an older frame. */
static void what_the_driver_refuses_is_not_waited_for(void **state)
{
    struct cw_port *port = open_believed();
    struct device *device = &devices[0];
    device->refused_every = 5;
    for (uint32_t i = 0; i < 300; i++) {
        assert_true(send_one(port) && send_one(port) && send_one(port));
        for (uint32_t flush = 0; flush < 4; flush++)
            cw_port_flush(port); /* each ends at one that is refused */
        assert_false(all_has_left(port));
        finish(device, UINT64_MAX);
        assert_true(all_has_left(port));
    }
    assert_true(cw_port_counter(port, CW_PORT_TX_REFUSED) > 100);
    cw_port_close(port);
}

/* Of the frames up to there that the driver has, is the last one done? */
static bool is_it_true(const struct device *device, uint64_t committed)
{
    while (committed > 0 && device->taken_as[committed] == 0)
        committed--;
    return device->taken_as[committed] <= device->done;
}

struct score {
    uint64_t asked, right;
};

/* Never too early; and once all is done, of everything. How often it is said late, the score tells. */
static void look_back(const struct cw_port *port, const struct device *device, struct score *score)
{
    uint64_t handed = device->frames + cw_port_counter((struct cw_port *)port, CW_PORT_TX_REFUSED);
    for (uint64_t back = 0; back < 80 && back <= handed; back++) {
        bool is_true = is_it_true(device, handed - back), is_said = cw_port_has_left(port, handed - back);
        assert_true(is_true || !is_said);
        if (device->done == device->frames)
            assert_true(is_said);
        score->asked++;
        score->right += is_said == is_true;
    }
    if (handed < cw_port_committed(port))
        assert_false(all_has_left(port));
}

static void random_run(uint64_t seed)
{
    struct cw_rng rng = {seed};
    struct score score = {0};
    struct device *device = &devices[0];

    (void)before_each(NULL);
    device->size = (uint16_t)(64 + 16 * cw_rng_below(&rng, 8));
    device->own_every = (uint32_t)cw_rng_below(&rng, 4);
    struct cw_port *port = open_believed();
    device->refused_every = cw_rng_below(&rng, 2) ? 7 : 0;
    while (cw_port_committed(port) < 4000) {
        if (cw_rng_below(&rng, 3) == 0)
            finish(device, cw_rng_below(&rng, 20));
        device->is_full = cw_rng_below(&rng, 16) == 0;
        for (uint64_t count = cw_rng_below(&rng, 12); count > 0 && send_one(port); count--)
            ;
        cw_port_flush(port);
        look_back(port, device, &score);
    }
    assert_true(score.right * 2 > score.asked);
    assert_true(device->own_every + device->refused_every > 0 || score.right * 100 > score.asked * 95);
    cw_port_close(port);
}

static void nobody_is_told_too_early_nor_kept_for_ever(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        random_run(seed);
}

static void lanes_are_believed_each_for_itself(void **state)
{
    struct cw_port *port = open_port(2), *second = cw_port_lane(port, 1);
    give(port, 1);
    finish(&devices[0], 1);
    cw_port_on_time(port, 1);
    cw_port_on_time(second, 1);
    assert_false(cw_port_reports_done(port));
    give(port, 1);
    assert_false(all_has_left(port));
    give(second, 2);
    assert_true(all_has_left(second)); /* as far as it is known */
    finish(&devices[1], 2);
    cw_port_on_time(second, 2);
    assert_true(cw_port_reports_done(port));
    give(second, 1);
    assert_false(all_has_left(second));
    finish(&devices[1], 1);
    assert_true(all_has_left(second));
    assert_false(all_has_left(port));
    cw_port_close(port);
}

static int start(void **state)
{
    struct cw_eal_config eal = {.lcores = "0@(0-1)", .memory_mb = 128};
    snprintf(prefix, sizeof prefix, "cw-left-%d", getpid());
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "%s", prefix);
    if (cw_eal_start(&eal, why, sizeof why) == CW_OK)
        return 0;
    print_error("%s\n", why);
    return -1;
}

static int stop(void **state)
{
    cw_eal_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_driver_that_tells_nothing_is_asked_nothing, before_each),
        cmocka_unit_test_setup(each_descriptor_is_wished_for, before_each),
        cmocka_unit_test_setup(a_driver_that_refuses_the_wish_gets_its_own, before_each),
        cmocka_unit_test_setup(a_driver_that_skips_some_is_not_believed, before_each),
        cmocka_unit_test_setup(a_driver_that_reports_late_is_not_believed, before_each),
        cmocka_unit_test_setup(nothing_has_left_before_it_is_done, before_each),
        cmocka_unit_test_setup(what_a_lap_was_sent_behind_has_left, before_each),
        cmocka_unit_test_setup(the_drivers_own_descriptors_hold_up_nobody, before_each),
        cmocka_unit_test_setup(what_the_driver_refuses_is_not_waited_for, before_each),
        cmocka_unit_test_setup(nobody_is_told_too_early_nor_kept_for_ever, before_each),
        cmocka_unit_test_setup(lanes_are_believed_each_for_itself, before_each),
    };
    return cmocka_run_group_tests_name("io/left", tests, start, stop);
}
