/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_steps ADDRESS [NAME]: steps that want a kernel of their own, with a card at this address of PCI that the kernel drives:
 * modules, hugepages, an interrupt, the card's driver and its interface; and virtual functions, of an NVMe, as this QEMU has
 * no card with any. Each done, undone, and killed in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "nic-config/run.h"
#include "nic-config/steps.h"
#include "tests/unit/nic/kill_at.h"

#define PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static char address[40], interface[CW_INTERFACE_NAME], words[600];
static struct cw_step step, give_up;
static json_t *before, *before_give_up;

__attribute__((format(printf, 1, 2))) static char *shell(const char *format, ...)
{
    char script[1024], why[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(script, sizeof script, format, arguments);
    va_end(arguments);
    char *said = cw_run((const char *const[]){"sh", "-ec", script, NULL}, 60, why, sizeof why);
    if (!said)
        fail_msg("%s: %s", script, why);
    return said;
}

static void make_step(struct cw_step *made, enum cw_step_kind kind, const char *subject, const char *value)
{
    memset(made, 0, sizeof *made);
    made->kind = kind;
    snprintf(made->subject, sizeof made->subject, "%s", subject);
    snprintf(made->value, sizeof made->value, "%s", value);
}

static json_t *keep(const struct cw_step *of)
{
    json_t *kept = cw_step_keep(of, words, sizeof words);
    if (!kept)
        fail_msg("%s", words);
    return kept;
}

static void check(enum cw_status status)
{
    if (status == CW_OK)
        return;
    fprintf(stderr, "%s\n", words);
    abort();
}

static void carry_out(void)
{
    check(cw_step_do(&step, words, sizeof words));
}

static void undo(void)
{
    check(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words));
}

/* ---------------------------------------------------------------- modules, values */

static void test_module(void **state)
{
    char *was = shell("cut -d' ' -f1 /proc/modules | sort");
    make_step(&step, CW_STEP_MODULE, "vfio-pci", "");
    assert_false(cw_step_is_done(&step, words, sizeof words));
    before = keep(&step);
    carry_out();
    assert_true(cw_step_is_done(&step, words, sizeof words));
    assert_int_equal(access("/sys/bus/pci/drivers/vfio-pci", F_OK), 0);
    undo();
    assert_string_equal(words, "");
    char *is = shell("cut -d' ' -f1 /proc/modules | sort");
    assert_string_equal(is, was);
    free(is);
    free(was);
    json_decref(before);
    make_step(&step, CW_STEP_MODULE, "causeway-has-none", "");
    assert_false(cw_step_is_done(&step, words, sizeof words));
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_string_not_equal(words, "");
    make_step(&step, CW_STEP_MODULE, "vfio", "causeway_has_none=1");
    before = keep(&step);
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_string_equal(words, "the module vfio of this kernel has no parameter causeway_has_none");
    undo();
    assert_int_not_equal(access("/sys/module/vfio", F_OK), 0);
    json_decref(before);
    make_step(&step, CW_STEP_MODULE, "vfio-pci", "");
    carry_out();
}

static void test_hugepages(void **state)
{
    char *was = shell("cat " PAGES);
    make_step(&step, CW_STEP_WRITE, PAGES, "100000");
    before = keep(&step);
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_non_null(strstr(words, "of 100000 hugepages the kernel gave "));
    char *is = shell("cat " PAGES);
    assert_string_equal(is, was);
    free(is);
    make_step(&step, CW_STEP_WRITE, PAGES, "8");
    carry_out();
    undo();
    is = shell("cat " PAGES);
    assert_string_equal(is, was);
    free(is);
    free(was);
    json_decref(before);
}

/* The timer's: the kernel places it. */
static void test_interrupt_that_stays(void **state)
{
    make_step(&step, CW_STEP_WRITE, "/proc/irq/0/smp_affinity_list", "5");
    assert_true(cw_step_is_done(&step, words, sizeof words));
    assert_non_null(strstr(words, "the kernel keeps this interrupt where it is"));
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_OK);
    assert_non_null(strstr(words, "the kernel keeps this interrupt where it is"));
}

/* ---------------------------------------------------------------- the card */

/* Driver, override, and what the interface has; not its number, nor the lifetimes. */
static char *picture(void)
{
    return shell(
        "cd /sys/bus/pci/devices/%s; readlink driver; cat driver_override; "
        "ip -o address show dev %s | sed 's, tentative,,' | cut -d' ' -f2- | sort; ip -o link show dev %s | cut -d: -f2-; ip route",
        address, interface, interface);
}

static void check_as_before(const char *was, const char *what, unsigned n)
{
    char *is = picture();
    for (int i = 0; i < 100 && strcmp(is, was) != 0; i++) { /* IPv6 makes sure of its addresses */
        usleep(100000);
        free(is);
        is = picture();
    }
    if (strcmp(is, was) != 0)
        fail_msg("%s, killed at %u:\n%swas:\n%s", what, n, is, was);
    free(is);
}

static void undo_both(void)
{
    undo();
    check(cw_step_undo(&give_up, before_give_up, CW_LEFT_HALF, words, sizeof words));
}

static void begin_card(void)
{
    make_step(&give_up, CW_STEP_GIVE_UP, interface, "");
    make_step(&step, CW_STEP_BIND, address, "vfio-pci");
    before_give_up = keep(&give_up);
    before = keep(&step);
    check(cw_step_do(&give_up, words, sizeof words));
}

static void end_card(char *was)
{
    json_decref(before_give_up);
    json_decref(before);
    free(was);
}

static void test_card_goes_and_comes_back(void **state)
{
    free(shell("ip link set %s up mtu 1400 alias mine; ip address add 10.1.2.3/24 dev %s; "
               "ip route add 10.9.0.0/16 via 10.1.2.9 metric 7; sleep 3",
               interface, interface));
    char *was = picture();
    begin_card();
    assert_false(cw_step_is_done(&give_up, words, sizeof words));
    assert_false(cw_step_is_done(&step, words, sizeof words));
    carry_out();
    assert_true(cw_step_is_done(&step, words, sizeof words));
    assert_true(cw_step_is_done(&give_up, words, sizeof words)); /* it is no more */
    undo_both();
    assert_string_equal(words, "");
    check_as_before(was, "done and undone", 0);
    undo_both();
    check_as_before(was, "undone twice", 0);
    end_card(was);
}

/* As udev or an administrator would have named it. */
static void test_name_comes_back(void **state)
{
    char old[CW_INTERFACE_NAME];
    memcpy(old, interface, sizeof old);
    free(shell("ip link set %s down; ip link set %s name storage0; ip link set storage0 up", interface,
               interface));
    memcpy(interface, "storage0", 9);
    free(shell("sleep 3"));
    char *was = picture();
    begin_card();
    carry_out();
    undo_both();
    check_as_before(was, "another name", 0);
    end_card(was);
    free(shell("ip link set storage0 down; ip link set storage0 name %s; ip link set %s up; sleep 3", old,
               old));
    memcpy(interface, old, sizeof old);
}

static void test_card_in_use(void **state)
{
    char group[24], path[100];
    char *was = picture();
    begin_card();
    carry_out();
    char *link = shell("basename $(readlink /sys/bus/pci/devices/%s/iommu_group)", address);
    snprintf(group, sizeof group, "%.*s", (int)CW_MIN(strcspn(link, "\n"), sizeof group - 1), link);
    free(link);
    snprintf(path, sizeof path, "/dev/vfio/%s", group);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words), CW_REFUSED);
    assert_non_null(strstr(words, "cannot be given back: test_steps, process "));
    close(file);
    undo_both();
    check_as_before(was, "was in use", 0);
    end_card(was);
}

/* The driver alone, without what GIVE_UP kept: whoever is killed leaves a state from which undo goes on. */
static void check_killed(void (*what)(void), const char *was)
{
    bool was_killed = true;
    for (unsigned n = 1; was_killed; n++) {
        if (what == undo)
            carry_out();
        was_killed = kill_at(n, what);
        assert_true(n > 5 || was_killed);
        undo();
        char *is = shell("cd /sys/bus/pci/devices/%s; readlink driver; cat driver_override; ls net", address);
        if (strcmp(is, was) != 0)
            fail_msg("%s killed at %u:\n%s", what == undo ? "undo" : "do", n, is);
        free(is);
    }
}

static void test_card_killed(void **state)
{
    char *was = shell("cd /sys/bus/pci/devices/%s; readlink driver; cat driver_override; ls net", address);
    make_step(&step, CW_STEP_BIND, address, "vfio-pci");
    before = keep(&step);
    check_killed(carry_out, was);
    check_killed(undo, was);
    json_decref(before);
    free(was);
}

/* A driver that does not want the card, or is not there: it stays with the one that it had. */
static void test_driver_refuses(void **state)
{
    char *was = picture();
    make_step(&step, CW_STEP_BIND, address, "serial"); /* of PCI, and part of the kernel */
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_non_null(strstr(words, "serial does not take "));
    make_step(&step, CW_STEP_BIND, address, "causeway-has-none");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_REFUSED);
    assert_string_equal(words, "the driver causeway-has-none is not loaded: modprobe causeway-has-none");
    free(shell("ip link set %s up", interface));
    char *is = shell("cd /sys/bus/pci/devices/%s; readlink driver; cat driver_override", address);
    assert_memory_equal(is, was, strlen(is));
    free(is);
    free(was);
    make_step(&step, CW_STEP_BIND, "0000:00:00.7", "vfio-pci");
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_string_equal(words, "0000:00:00.7: there is no such device in this machine");
}

/* ---------------------------------------------------------------- virtual functions */

/* Of whatever has some, with nobody who drives them: the number is a step as any, and by way of 0. */
static void test_virtual_functions(void **state)
{
    char numvfs[100], function[CW_PCI_ADDRESS];
    char *device = shell("modprobe nvme; for i in 1 2 3 4 5 6 7 8 9; do for f in /sys/bus/pci/devices/*; do "
                         "[ -e $f/driver -a -e $f/sriov_numvfs ] && echo 0 > $f/sriov_drivers_autoprobe && "
                         "printf %%s $f && exit; done; sleep 0.2; done; exit 1");
    snprintf(numvfs, sizeof numvfs, "%s/sriov_numvfs", device);
    make_step(&step, CW_STEP_WRITE, numvfs, "2");
    assert_false(cw_step_is_done(&step, words, sizeof words));
    json_t *none = keep(&step);
    check(cw_step_do(&step, words, sizeof words));
    assert_true(cw_step_is_done(&step, words, sizeof words));
    char *name = shell("basename $(readlink %s/virtfn1)", device);
    snprintf(function, sizeof function, "%.*s", (int)strcspn(name, "\n"), name);
    free(name);

    struct cw_step bind;
    char *was = shell("cd %s/virtfn1; [ ! -e driver ] || echo driven; cat driver_override", device);
    make_step(&bind, CW_STEP_BIND, function, "vfio-pci");
    json_t *unbound = keep(&bind);
    check(cw_step_do(&bind, words, sizeof words));
    name = shell("readlink %s/virtfn1/iommu_group", device);
    name[strcspn(name, "\n")] = 0;
    char group[100];
    snprintf(group, sizeof group, "/dev/vfio/%s", strrchr(name, '/') + 1);
    free(name);
    int file = open(group, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(cw_step_undo(&step, none, CW_LEFT_HALF, words, sizeof words), CW_REFUSED);
    assert_non_null(strstr(words, "is in use (test_steps, process "));
    make_step(&step, CW_STEP_WRITE, numvfs, "1");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_REFUSED);
    close(file);
    check(cw_step_undo(&bind, unbound, CW_LEFT_HALF, words, sizeof words));
    char *is = shell("cd %s/virtfn1; [ ! -e driver ] || echo driven; cat driver_override", device);
    assert_string_equal(is, was);
    free(is);
    free(was);

    check(cw_step_do(&step, words, sizeof words)); /* 2, 0, 1 */
    free(shell("[ -e %s/virtfn0 -a ! -e %s/virtfn1 ]", device, device));
    before = none;
    unsigned kills = 0;
    while (kill_at(kills + 1, undo))
        kills++;
    assert_true(kills > 0);
    undo();
    free(shell("[ $(cat %s) = 0 -a ! -e %s/virtfn0 ]", numvfs, device));
    make_step(&step, CW_STEP_WRITE, numvfs, "99");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_non_null(strstr(words, "99 could not be written"));
    free(shell("[ $(cat %s) = 0 ]", numvfs));
    json_decref(none);
    json_decref(unbound);
    free(device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module),
        cmocka_unit_test(test_hugepages),
        cmocka_unit_test(test_interrupt_that_stays),
        cmocka_unit_test(test_card_goes_and_comes_back),
        cmocka_unit_test(test_name_comes_back),
        cmocka_unit_test(test_card_in_use),
        cmocka_unit_test(test_card_killed),
        cmocka_unit_test(test_driver_refuses),
        cmocka_unit_test(test_virtual_functions),
    };
    if (argc < 2 || argc > 3 || strlen(argv[1]) >= sizeof address)
        return 2;
    snprintf(address, sizeof address, "%s", argv[1]);
    char *name = shell("basename /sys/bus/pci/devices/%s/net/*", address);
    snprintf(interface, sizeof interface, "%.*s", (int)strcspn(name, "\n"), name);
    free(name);
    if (argc == 3)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
