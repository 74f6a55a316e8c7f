/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Authorities and their lists of revocations: which files go together, and the words for those that do not.
 * "east" and "again" are two authorities of one name, as when a directory was lost and made anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "authority.h"
#include "control/revocations.h"

static struct authority east, again, west;
static char folder[] = "/tmp/cw-revocations-XXXXXX", authorities[64], lists[64], why[640];

static int before_all(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(authorities, sizeof authorities, "%s/ca-cert.pem", folder);
    snprintf(lists, sizeof lists, "%s/ca-crl.pem", folder);
    return authority_make(&east, "east") | authority_make(&again, "east") | authority_make(&west, "west");
}

static int after_all(void **state)
{
    struct authority *const all[] = {&east, &again, &west};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        authority_free(all[i]);
    (void)unlink(authorities);
    (void)unlink(lists);
    return rmdir(folder);
}

static void write_file(const char *path, const char *one, const char *two)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s%s", one, two);
    assert_int_equal(fclose(file), 0);
}

static bool fit(const char *authority, const char *other_authority, const char *list, const char *other_list)
{
    write_file(authorities, authority, other_authority);
    write_file(lists, list, other_list);
    return cw_revocations_fit(authorities, lists, why, sizeof why);
}

static void assert_refused(const char *file, const char *words)
{
    if (strstr(why, file) != why || strstr(why, words) == NULL)
        fail_msg("\"%s\" and \"%s\" are not in: %s", file, words, why);
}

static void an_authority_s_own_list_will_do(void **state)
{
    assert_true(fit(east.pair.certificate, "", east.list, ""));
    assert_true(fit(east.pair.certificate, west.pair.certificate, west.list, east.list));
    assert_true(fit(east.pair.certificate, "", east.list, east.list)); /* an older one and a newer one */
}

static void another_s_list_will_not(void **state)
{
    assert_false(fit(east.pair.certificate, "", west.list, ""));
    assert_refused(lists, "not signed by the authority");
    assert_false(fit(east.pair.certificate, "", again.list, ""));
    assert_refused(lists, "not signed by the authority");
    assert_false(fit(east.pair.certificate, "", east.list, again.list));
    assert_refused(lists, "not signed by the authority");
}

static void a_list_that_was_changed_will_not(void **state)
{
    char *changed = strdup(east.list);
    char *last = strstr(changed, "-----END") - 3; /* of the signature, before what pads it */
    while (*last == '=')
        last--;
    last -= 8;
    *last = *last == 'A' ? 'B' : 'A';
    assert_false(fit(east.pair.certificate, "", changed, ""));
    assert_refused(lists, "copy the authority's");
    free(changed);
}

static void each_authority_needs_one(void **state)
{
    assert_false(fit(east.pair.certificate, west.pair.certificate, east.list, ""));
    assert_refused(lists, "of the authority /");
    assert_non_null(strstr(why, "west"));
    assert_false(fit(east.pair.certificate, "", "", ""));
    assert_refused(lists, "there is no list");
}

static void two_of_one_name_will_not(void **state)
{
    assert_false(fit(east.pair.certificate, again.pair.certificate, east.list, again.list));
    assert_refused(authorities, "two authorities have the name");
}

static void nonsense_will_not(void **state)
{
    const char *const broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    assert_false(fit(east.pair.certificate, "", broken, east.list));
    assert_refused(lists, "not a list of revocations");
    assert_false(fit(east.pair.certificate, "", east.list, broken));
    assert_refused(lists, "not a list of revocations");
    assert_false(fit("nonsense\n", "", east.list, ""));
    assert_refused(authorities, "not the certificates");
    assert_int_equal(unlink(lists), 0);
    write_file(authorities, east.pair.certificate, "");
    assert_false(cw_revocations_fit(authorities, lists, why, sizeof why));
    assert_refused(lists, "not a list of revocations");
}

int main(int argc, char **argv)
{
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authority_s_own_list_will_do),  cmocka_unit_test(another_s_list_will_not),
        cmocka_unit_test(a_list_that_was_changed_will_not), cmocka_unit_test(each_authority_needs_one),
        cmocka_unit_test(two_of_one_name_will_not),         cmocka_unit_test(nonsense_will_not),
    };
    return cmocka_run_group_tests_name("control/revocations", tests, before_all, after_all);
}
