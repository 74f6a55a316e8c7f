/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel that does not come back when it is told to take a card from its driver. It is a FIFO without anybody at its other
 * end, in a made /sys; what real devices do is tried in a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "nic-config/steps_private.h"
#include "space.h"

#define CARD    "0000:03:00.0"
#define DEVICE  "/sys/bus/pci/devices/" CARD
#define DRIVERS "/sys/bus/pci/drivers"

static const struct cw_step step = {.kind = CW_STEP_BIND, .subject = CARD, .value = "vfio-pci"};
static char words[1024];

static void shell(const char *script)
{
    if (system(script) != 0)
        fail_msg("%s", script);
}

static json_t *before(void)
{
    return json_pack("{s:s, s:s, s:s, s:[]}", "device", CARD, "driver", "e1000e", "override", "",
                     "interfaces");
}

static void is_late(void)
{
    if (strncmp(words, CARD ": either a program has it open", 30) != 0 || !strstr(words, ": process ") ||
        !strstr(words, ", and no signal ends that. As soon as that has ended, again"))
        fail_msg("%s", words);
}

static enum cw_status undo(void)
{
    json_t *kept = before();
    enum cw_status status = cw_step_undo(&step, kept, CW_LEFT_WHOLE, words, sizeof words);
    json_decref(kept);
    return status;
}

/* A card of ours is given back: the command ends, what it has open is closed, and it goes on when it is run again. */
static void test_unbind(void **state)
{
    int ends[2];
    (void)state;
    shell("mkfifo " DRIVERS "/vfio-pci/unbind");
    assert_int_equal(pipe(ends), 0);
    cw_patience_ms = 300;
    assert_int_equal(undo(), CW_IO);
    is_late();
    close(ends[1]);
    struct pollfd other_end = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&other_end, 1, 0), 1); /* not open in who was left behind */
    close(ends[0]);
    cw_patience_ms = 60000;
    shell("ln -sfn ../../drivers/e1000e " DEVICE "/driver"); /* whoever had it open has ended */
    assert_int_equal(undo(), CW_OK);
    assert_string_equal(words, "");
}

/* A driver of the kernel's does not let its card go: nothing more is tried, which would wait, too. */
static void test_unbind_before(void **state)
{
    (void)state;
    shell("ln -sfn ../../drivers/e1000e " DEVICE "/driver; mkfifo " DRIVERS "/e1000e/unbind;"
          "echo > " DEVICE "/driver_override");
    cw_patience_ms = 300;
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    is_late();
    shell("test ! -s " DRIVERS "/vfio-pci/bind");
    shell("test ! -s " DRIVERS "/e1000e/bind");
}

/* Who asks meanwhile would wait for the same: the kernel holds the device while a driver takes it or lets it go. */
static void test_held(void **state)
{
    (void)state;
    shell("rm " DEVICE "/driver_override; mkfifo " DEVICE "/driver_override");
    cw_patience_ms = 300;
    assert_null(cw_step_keep(&step, words, sizeof words));
    is_late();
    assert_false(cw_step_is_done(&step, words, sizeof words));
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    is_late();
    assert_int_equal(undo(), CW_IO);
    is_late();
}

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(cw_text_patiently(DEVICE "/none", NULL, words, sizeof words), ENOENT);
    assert_int_equal(cw_text_patiently(DEVICE "/none", "1", words, sizeof words), ENOENT);
    assert_int_equal(cw_text_patiently(DEVICE, "1", words, sizeof words), EISDIR);
    assert_int_equal(cw_text_patiently(DEVICE "/driver_override", "7", words, sizeof words), 0);
    shell("test \"$(cat " DEVICE "/driver_override)\" = 7fio-pci");
}

static int before_each(void **state)
{
    (void)state;
    cw_patience_ms = 60000;
    words[0] = 0;
    return mount("none", "/sys", "tmpfs", 0, NULL) != 0 ||
           system("mkdir -p " DEVICE " " DRIVERS "/vfio-pci " DRIVERS "/e1000e; echo vfio-pci > " DEVICE
                  "/driver_override;"
                  "ln -s ../../drivers/vfio-pci " DEVICE "/driver;"
                  "touch " DRIVERS "/vfio-pci/bind " DRIVERS "/e1000e/bind") != 0;
}

static int after_each(void **state)
{
    (void)state;
    return umount2("/sys", MNT_DETACH); /* who was left behind has files of it */
}

#define T(test) cmocka_unit_test_setup_teardown(test, before_each, after_each)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_unbind), T(test_unbind_before), T(test_held), T(test_errors)};
    if (!enter_own_space()) {
        puts("skipped: no network and mounts of our own without root");
        return 77;
    }
    return cmocka_run_group_tests_name("nic/steps-bind", tests, NULL, NULL);
}
