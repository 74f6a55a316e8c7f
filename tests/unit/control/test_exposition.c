/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for Prometheus: what stands together, what is escaped, cut and left out, and that nothing is half. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/exposition.h"

static void expect(struct cw_exposition *exposition, const char *wanted)
{
    size_t length;
    char *text = cw_exposition_text(exposition, &length);
    assert_non_null(text);
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(text, wanted, length);
    free(text);
    cw_exposition_free(exposition);
}

static void test_families_stand_together(void **state)
{
    struct cw_exposition *exposition = cw_exposition_new();
    struct cw_family *up = cw_family(exposition, "up", CW_FAMILY_GAUGE, "Is it?");
    struct cw_family *sent = cw_family(exposition, "sent_total", CW_FAMILY_COUNTER, "How many.");
    (void)cw_family(exposition, "empty", CW_FAMILY_GAUGE, "Of which there is none.");
    cw_sample(up, 1, "site", "a", NULL);
    cw_sample_count(sent, UINT64_MAX, NULL);
    assert_ptr_equal(cw_family(exposition, "up", CW_FAMILY_GAUGE, "Is it?"), up);
    cw_sample(up, 0.25, "site", "b", "path", "w", NULL);
    cw_sample(up, NAN, "site", "c", NULL);
    cw_sample(up, INFINITY, "site", "d", NULL);
    cw_sample(NULL, 1, NULL);
    cw_sample_count(NULL, 1, NULL);
    expect(exposition, "# HELP up Is it?\n# TYPE up gauge\nup{site=\"a\"} 1\nup{site=\"b\",path=\"w\"} 0.25\n"
                       "up{site=\"d\"} +Inf\n"
                       "# HELP sent_total How many.\n# TYPE sent_total counter\n"
                       "sent_total 18446744073709551615\n");
}

static void test_escaping(void **state)
{
    struct cw_exposition *exposition = cw_exposition_new();
    char longer[CW_EXPOSITION_LABEL_MAX + 3], wanted[600];
    cw_sample(cw_family(exposition, "a", CW_FAMILY_GAUGE, "A."), 1, "l", "\"\\\n{},= \t\xc3\xa9", NULL);
    memset(longer, 'x', sizeof longer);
    memcpy(longer + CW_EXPOSITION_LABEL_MAX - 1, "\xc3\xa9y", 4); /* its letter would be cut in two */
    cw_sample(cw_family(exposition, "a", CW_FAMILY_GAUGE, "A."), 2, "l", longer, NULL);
    memset(longer, '"', sizeof longer - 1);
    cw_sample(cw_family(exposition, "a", CW_FAMILY_GAUGE, "A."), 3, "l", longer, "m", "", NULL);
    int used = snprintf(wanted, sizeof wanted,
                        "# HELP a A.\n# TYPE a gauge\na{l=\"\\\"\\\\\\n{},= \t\xc3\xa9\"} 1\na{l=\"");
    memset(wanted + used, 'x', CW_EXPOSITION_LABEL_MAX - 1);
    used += CW_EXPOSITION_LABEL_MAX - 1;
    used += snprintf(wanted + used, sizeof wanted - (size_t)used, "\"} 2\na{l=\"");
    for (unsigned i = 0; i < CW_EXPOSITION_LABEL_MAX; i++, used += 2)
        memcpy(wanted + used, "\\\"", 3);
    snprintf(wanted + used, sizeof wanted - (size_t)used, "\",m=\"\"} 3\n");
    expect(exposition, wanted);
}

static void test_names(void **state)
{
    struct cw_exposition *exposition = cw_exposition_new();
    char longer[CW_EXPOSITION_NAME_SIZE + 1];
    static const char *const none[] = {"", "a b", "A", "1a", "a\n", "a{", "a-b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_null(cw_family(exposition, none[i], CW_FAMILY_GAUGE, "A."));
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(cw_family(exposition, longer, CW_FAMILY_GAUGE, "A."));
    longer[CW_EXPOSITION_NAME_SIZE - 1] = 0;
    cw_sample(cw_family(exposition, longer, CW_FAMILY_GAUGE, "A."), 1, NULL);
    size_t length;
    char *text = cw_exposition_text(exposition, &length);
    assert_non_null(strstr(text, longer));
    free(text);
    cw_exposition_free(exposition);
}

/* A thousand of each are all there; more families than there may be are left out, the others stand. */
static void test_many(void **state)
{
    struct cw_exposition *exposition = cw_exposition_new();
    size_t length, lines = 0;
    for (unsigned f = 0; f < CW_EXPOSITION_FAMILIES_MAX + 10; f++) {
        char name[32];
        snprintf(name, sizeof name, "family_%u", f);
        struct cw_family *family = cw_family(exposition, name, CW_FAMILY_GAUGE, "One of many.");
        assert_int_equal(family != NULL, f < CW_EXPOSITION_FAMILIES_MAX);
        for (unsigned i = 0; f == 7 && i < 1000; i++) {
            snprintf(name, sizeof name, "group-%u", i);
            cw_sample(family, i, "group", name, NULL);
        }
        cw_sample(family, f, "group", "last", NULL);
    }
    char *text = cw_exposition_text(exposition, &length);
    assert_non_null(
        strstr(text, "family_7{group=\"group-999\"} 999\nfamily_7{group=\"last\"} 7\n# HELP family_8 "));
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 3 * CW_EXPOSITION_FAMILIES_MAX + 1000);
    free(text);
    cw_exposition_free(exposition);
}

static void test_too_large_is_nothing(void **state)
{
    struct cw_exposition *exposition = cw_exposition_new();
    struct cw_family *family = cw_family(exposition, "a", CW_FAMILY_GAUGE, "A.");
    char label[CW_EXPOSITION_LABEL_MAX + 1];
    size_t length;
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = 0;
    for (size_t i = 0; i < CW_EXPOSITION_BYTES_MAX / CW_EXPOSITION_LABEL_MAX + 1; i++)
        cw_sample(family, 1, "l", label, NULL);
    assert_null(cw_exposition_text(exposition, &length));
    cw_exposition_free(exposition);
    cw_exposition_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families_stand_together),
                                       cmocka_unit_test(test_escaping), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_too_large_is_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
