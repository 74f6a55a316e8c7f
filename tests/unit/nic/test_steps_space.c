/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps that change drivers, and numbers of interfaces: in a network and with mounts of our own, as root; else skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "base/numbers.h"
#include "kill_at.h"
#include "nic-config/run.h"
#include "nic-config/steps.h"
#include "space.h"

static char words[600];
static struct cw_step step;
static json_t *before;

static char *shell(const char *script)
{
    char why[300];
    char *said = cw_run((const char *const[]){"sh", "-c", script, NULL}, 60, why, sizeof why);
    if (!said)
        fail_msg("%s: %s", script, why);
    return said;
}

static void make_step(enum cw_step_kind kind, const char *subject, const char *value)
{
    memset(&step, 0, sizeof step);
    step.kind = kind;
    snprintf(step.subject, sizeof step.subject, "%s", subject);
    snprintf(step.value, sizeof step.value, "%s", value);
}

static void keep(void)
{
    before = cw_step_keep(&step, words, sizeof words);
    if (!before)
        fail_msg("%s", words);
}

static void carry_out(void)
{
    if (cw_step_do(&step, words, sizeof words) == CW_OK)
        return;
    fprintf(stderr, "%s\n", words);
    abort();
}

static void undo(void)
{
    if (cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words) == CW_OK)
        return;
    fprintf(stderr, "%s\n", words);
    abort();
}

static void check_as_before(const char *show, const char *was, unsigned n)
{
    char *is = shell(show);
    if (strcmp(is, was) != 0)
        fail_msg("killed at %u:\n%swas:\n%s", n, is, was);
    free(is);
}

/* Killed at every place of do, then at every place of undo; show says what must be as it was. */
static void check_all_kills(const char *show)
{
    char *was = shell(show);
    bool was_killed = true;
    keep();
    assert_false(cw_step_is_done(&step, words, sizeof words));
    for (unsigned n = 1; was_killed; n++) {
        was_killed = kill_at(n, carry_out);
        assert_true(n > 1 || was_killed);
        undo();
        check_as_before(show, was, n);
    }
    was_killed = true;
    for (unsigned n = 1; was_killed; n++) {
        carry_out();
        assert_true(cw_step_is_done(&step, words, sizeof words));
        was_killed = kill_at(n, undo);
        undo();
        check_as_before(show, was, n);
        assert_false(cw_step_is_done(&step, words, sizeof words));
    }
    json_decref(before);
    free(was);
}

#define CARDS "/sys/bus/pci/devices/"

/* Of a virtual function is kept what card it is of. */
static void check_physical(const char *device, const char *physical)
{
    make_step(CW_STEP_BIND, device, "vfio-pci");
    before = cw_step_keep(&step, words, sizeof words);
    assert_non_null(before);
    assert_string_equal(json_string_value(json_object_get(before, "physical")), physical);
    json_decref(before);
}

/* A card that has two virtual functions, of which a process has the second one open: that would keep its driver's remove
 * waiting. What the process has open is no device of vfio; it has the number and the name of one. */
static void test_bind_below_a_function_in_use(void **state)
{
    char expected[200];
    free(shell("mount -t tmpfs none /tmp; mknod /tmp/vfio0 c 1 3; mount -t tmpfs none /sys/bus; cd /sys/bus;"
               "mkdir -p pci/drivers/ice pci/drivers/vfio-pci " CARDS "0000:03:00.0 " CARDS
               "0000:03:10.0 " CARDS "0000:03:10.1/vfio-dev/vfio0; cd " CARDS
               "; echo 1:3 > 0000:03:10.1/vfio-dev/vfio0/dev;"
               "ln -s ../../drivers/ice 0000:03:00.0/driver; echo '(null)' > 0000:03:00.0/driver_override;"
               "ln -s ../0000:03:10.0 0000:03:00.0/virtfn0; ln -s ../0000:03:10.1 0000:03:00.0/virtfn1;"
               "ln -s ../0000:03:00.0 0000:03:10.1/physfn"));
    FILE *open = fopen("/tmp/vfio0", "r");
    assert_non_null(open);
    make_step(CW_STEP_BIND, "0000:03:00.0", "vfio-pci");
    snprintf(expected, sizeof expected, "process %d, has it open; stop that first", (int)getpid());
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_REFUSED);
    assert_non_null(
        strstr(words, "0000:03:00.0 cannot change its driver: its virtual function 0000:03:10.1 goes with "
                      "it, and "));
    assert_non_null(strstr(words, expected));
    char *override = shell("cat " CARDS "0000:03:00.0/driver_override");
    assert_string_equal(override, "(null)\n");
    free(override);
    fclose(open);
    assert_int_equal(cw_step_do(&step, words, sizeof words),
                     CW_IO); /* the folder changes no driver by itself */
    check_physical("0000:03:00.0", "");
    check_physical("0000:03:10.1", "0000:03:00.0");
    free(shell("umount /sys/bus; umount /tmp"));
}

static void test_mtu(void **state)
{
    free(shell("ip link add d0 mtu 1400 type veth peer name d1"));
    make_step(CW_STEP_MTU, "d0", "9000");
    check_all_kills("ip -o link show d0");
    keep();
    carry_out();
    free(shell("ip link set d0 mtu 2000"));
    undo();
    assert_string_equal(words,
                        "d0: somebody has made its MTU 2000 since, and it is left so; before us it was 1400");
    free(shell("ip link del d0"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_NOT_FOUND);
    assert_string_equal(words,
                        "d0 is gone: its MTU, that was 1400 before us, is put back when it is there again");
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "d0: its MTU cannot be asked: No such device");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    json_decref(before);
}

static void test_mtu_refused(void **state)
{
    free(shell("ip link add v0 type veth peer name v1"));
    make_step(CW_STEP_MTU, "v0", "70000");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_string_equal(words, "v0: its MTU cannot be made 70000: Invalid argument");
    free(shell("ip link del v0"));
}

/* A veth counts receiving and sending apart. */
static void test_channels(void **state)
{
    free(shell("ip link add v0 numrxqueues 4 numtxqueues 4 type veth peer name v1"));
    free(shell("ethtool -L v0 rx 1 tx 1"));
    make_step(CW_STEP_CHANNELS, "v0", "3");
    check_all_kills("ethtool -l v0");
    make_step(CW_STEP_CHANNELS, "v0", "5");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_non_null(strstr(words, "v0: its number of queues cannot be made 5: "));
    free(shell("ip link del v0"));
}

static void check_bind(const char *setup, enum cw_status status, const char *said)
{
    free(shell("umount /sys/bus 2>/dev/null; mount -t tmpfs none /sys/bus"));
    free(shell(setup));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), status);
    assert_string_equal(words, said);
    free(shell("umount /sys/bus"));
}

#define CARD "mkdir -p /sys/bus/pci/devices/0000:03:00.0; cd /sys/bus/pci/devices/0000:03:00.0; "

/* A card that is gone, or is somebody else's, and had an interface: that is not undone. */
static void test_card_that_is_gone(void **state)
{
    static const char gone[] = "0000:03:00.0 is not in this machine any more: bring it back (echo 1 > "
                               "/sys/bus/pci/rescan), then again",
                      taken[] =
                          "0000:03:00.0: somebody has given it to igb_uio since, and it is left so; before "
                          "us it had ixgbe";
    char words_taken[300];
    make_step(CW_STEP_BIND, "0000:03:00.0", "vfio-pci");
    before = json_pack("{s:s,s:s,s:s,s:s,s:[s]}", "device", "0000:03:00.0", "driver", "ixgbe", "override", "",
                       "physical", "", "interfaces", "eth2");
    snprintf(words_taken, sizeof words_taken,
             "%s: take it from there (echo it to driver/unbind of the device), then again", taken);
    check_bind("true", CW_NOT_FOUND, gone);
    check_bind(CARD "ln -s ../../drivers/igb_uio driver", CW_NOT_FOUND, words_taken);
    json_array_clear(json_object_get(before, "interfaces"));
    check_bind("true", CW_NOT_FOUND, gone);
    check_bind(CARD "ln -s ../../drivers/igb_uio driver", CW_OK, taken);
    check_bind(CARD "ln -s ../../drivers/ixgbe driver", CW_OK, "");
    json_object_set_new(before, "physical", json_string("0000:01:00.0")); /* it was a virtual function */
    check_bind("true", CW_NOT_FOUND, gone);
    check_bind(
        "mkdir -p /sys/bus/pci/devices/0000:01:00.0", CW_OK,
        "0000:03:00.0: somebody has taken it away from 0000:01:00.0 since, and it is left so; before us it "
        "had ixgbe");
    make_step(CW_STEP_BIND, "virtfn0 of 0000:03:00.0", "vfio-pci");
    check_bind("true", CW_OK, ""); /* as before it was made */
    json_decref(before);
}

static int unload_error; /* what the kernel says to whoever unloads a module */

/* No module of this machine is touched. Nothing else in here calls it. */
long __wrap_syscall(long number, const char *name, unsigned flags);
long __wrap_syscall(long number, const char *name, unsigned flags)
{
    assert_int_equal(number, SYS_delete_module);
    assert_string_equal(name, "cw_none");
    assert_int_equal(flags, O_NONBLOCK);
    errno = unload_error;
    return -1;
}

/* The kernel says the same to who may not and to all, once it is forbidden. */
static void test_modules_forbidden(void **state)
{
    make_step(CW_STEP_MODULE, "cw-none", "");
    before = json_pack("{s:[s,s]}", "modules", "cw_other", "cw_none");
    free(shell("mount -t tmpfs none /proc/sys/kernel; mount -t tmpfs none /sys/module; cd /sys/module;"
               "mkdir cw_none cw_other; echo 0 | tee cw_none/refcnt > cw_other/refcnt;"
               "echo 0 > /proc/sys/kernel/modules_disabled"));
    unload_error = EPERM;
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_IO);
    assert_string_equal(words, "the module cw_none cannot be unloaded: Operation not permitted");
    free(shell("echo 1 > /proc/sys/kernel/modules_disabled"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_OK);
    assert_string_equal(words, "the module cw_none stays: no module is unloaded any more before a reboot "
                               "(kernel.modules_disabled is 1)");
    free(shell("echo 3 > /sys/module/cw_none/refcnt"));
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_OK);
    assert_string_equal(words, "the module cw_none stays: it is in use");
    free(shell("umount /proc/sys/kernel /sys/module"));
    json_decref(before);
}

/* An engine has a packet socket on the interface; that it is one is told by its name. */
static void test_users(void **state)
{
    static const struct {
        enum cw_step_kind kind;
        const char *subject;
        bool is_used;
    } cases[] = {{CW_STEP_GIVE_UP, "v0", true}, {CW_STEP_CHANNELS, "v0", true}, {CW_STEP_MTU, "v0", true},
                 {CW_STEP_MTU, "v1", false},    {CW_STEP_MTU, "v9", false},     {CW_STEP_FILE, "v0", false},
                 {CW_STEP_BIND, "v0", false}};
    free(shell("ip link add v0 type veth peer name v1"));
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("v0")};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(prctl(PR_SET_NAME, "causeway-test"), 0);
    for (unsigned i = 0; i < CW_COUNT_OF(cases); i++) {
        make_step(cases[i].kind, cases[i].subject, "2");
        if (cw_step_is_used(&step, words, sizeof words) != cases[i].is_used)
            fail_msg("case %u: %s", i, words);
        assert_true(!cases[i].is_used || strncmp(words, "v0: causeway-test, process ", 27) == 0);
        assert_true(cases[i].is_used || words[0] == 0);
    }
    close(fd);
    make_step(CW_STEP_MTU, "v0", "2000");
    assert_false(cw_step_is_used(&step, words, sizeof words));
    free(shell("ip link del v0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bind_below_a_function_in_use),
        cmocka_unit_test(test_mtu),
        cmocka_unit_test(test_mtu_refused),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_modules_forbidden),
        cmocka_unit_test(test_card_that_is_gone),
        cmocka_unit_test(test_users),
    };
    if (!enter_own_space()) {
        puts("skipped: no network and mounts of our own without root");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
