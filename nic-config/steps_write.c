/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WRITE: one value in a file of /sys or /proc. Most take a value or refuse it; four kinds are peculiar:
 *
 * - nr_hugepages takes any number and gives what it has. Less than was asked is put back, and a failure. A writer that is
 *   killed leaves some number between the old one and ours: undo of what was left half takes any such number for ours.
 * - sriov_numvfs changes only by way of 0, which takes all virtual functions away: refused while one is in use. Undo of
 *   what was left half takes a 0 on the way for ours. Where its card is gone, undo waits for that.
 * - an interrupt's affinity: the kernel keeps some interrupts where it wants (EIO), and some are gone when their card
 *   changes its driver. Then nothing can be done, and does no harm.
 * - parameters of modules are asked for as 1 and answered as Y.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/users.h"
#include "nic-config/steps_private.h"

enum form { PLAIN, HUGEPAGES, FUNCTIONS, AFFINITY_LIST, AFFINITY_MASK, PARAMETER };

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum form form_of(const char *path)
{
    const char *name = last_part(path);
    if (strcmp(name, "nr_hugepages") == 0)
        return HUGEPAGES;
    if (strcmp(name, "sriov_numvfs") == 0)
        return FUNCTIONS;
    if (strcmp(name, "smp_affinity_list") == 0)
        return AFFINITY_LIST;
    if (strcmp(name, "smp_affinity") == 0)
        return AFFINITY_MASK;
    return strstr(path, "/parameters/") ? PARAMETER : PLAIN;
}

static bool is_affinity(enum form form)
{
    return form == AFFINITY_LIST || form == AFFINITY_MASK;
}

/* ---------------------------------------------------------------- the same value in other words */

/* "0-3,8". false: not that. */
static bool read_list(const char *text, struct cw_cpu_set *set)
{
    memset(set, 0, sizeof *set);
    while (*text) {
        char *end;
        if (!isdigit((unsigned char)*text))
            return false;
        unsigned long from = strtoul(text, &end, 10), to = from;
        if (*end == '-' && isdigit((unsigned char)end[1]))
            to = strtoul(end + 1, &end, 10);
        if (to < from || to >= CW_CPUS_MAX || (*end && *end != ','))
            return false;
        for (unsigned long cpu = from; cpu <= to; cpu++)
            cw_cpu_set_add(set, (uint32_t)cpu);
        text = *end ? end + 1 : end;
    }
    return true;
}

/* "ff,00000003", the lowest last. false: not that. */
static bool read_mask(const char *text, struct cw_cpu_set *set)
{
    uint32_t cpu = 0;
    memset(set, 0, sizeof *set);
    for (size_t at = strlen(text); at-- > 0;) {
        if (text[at] == ',')
            continue;
        char digit[2] = {text[at], 0}, *end;
        unsigned long bits = strtoul(digit, &end, 16);
        if (end != digit + 1 || (bits && cpu + 4 > CW_CPUS_MAX))
            return false;
        for (uint32_t i = 0; i < 4; i++)
            if (bits >> i & 1)
                cw_cpu_set_add(set, cpu + i);
        cpu += 4;
    }
    return true;
}

static bool is_same_set(enum form form, const char *a, const char *b)
{
    struct cw_cpu_set sets[2];
    bool (*read_set)(const char *, struct cw_cpu_set *) = form == AFFINITY_LIST ? read_list : read_mask;
    return read_set(a, &sets[0]) && read_set(b, &sets[1]) && memcmp(&sets[0], &sets[1], sizeof sets[0]) == 0;
}

static bool is_yes(const char *text)
{
    return strcmp(text, "1") == 0 || strcmp(text, "Y") == 0 || strcmp(text, "y") == 0;
}

static bool is_no(const char *text)
{
    return strcmp(text, "0") == 0 || strcmp(text, "N") == 0 || strcmp(text, "n") == 0;
}

static bool is_same(enum form form, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    if (is_affinity(form))
        return is_same_set(form, a, b);
    return form == PARAMETER && ((is_yes(a) && is_yes(b)) || (is_no(a) && is_no(b)));
}

/* -1: not a number. */
static long long number_of(const char *text)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return -1;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return *end || errno ? -1 : number;
}

/* What a writer leaves that was killed between old and ours. */
static bool is_on_the_way(enum form form, const char *now, const char *old, const char *ours)
{
    long long a = number_of(old), b = number_of(ours), n = number_of(now);
    if (a < 0 || b < 0 || n < 0)
        return false;
    return form == HUGEPAGES ? n >= (a < b ? a : b) && n <= (a < b ? b : a) : form == FUNCTIONS && n == 0;
}

/* ---------------------------------------------------------------- virtual functions */

static bool is_up(const char *device)
{
    char net[CW_STEP_SUBJECT + 32], path[CW_STEP_SUBJECT + 320], flags[32];
    bool found = false;
    snprintf(net, sizeof net, "%s/net", device);
    DIR *folder = opendir(net);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s/flags", net, entry->d_name);
        found = entry->d_name[0] != '.' && cw_text_read(path, flags, sizeof flags) == 0 &&
                (strtoul(flags, NULL, 16) & IFF_UP) != 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

/* Of the card whose sriov_numvfs this is: a virtual function that a process has open; or, may_not_be_up, whose interface is
 * up. The kernel waits for a process to let go of it, maybe for ever. */
static bool has_used_function(const char *path, bool may_not_be_up, char *words, size_t size)
{
    char device[CW_STEP_SUBJECT + 16], name[CW_PCI_ADDRESS], who[CW_FACT_WORDS];
    for (unsigned i = 0;; i++) {
        snprintf(device, sizeof device, "%.*svirtfn%u", (int)(last_part(path) - path), path, i);
        if (cw_link_name(device, name, sizeof name) != 0)
            return false;
        bool is_open = cw_users_of_card(device, who, sizeof who);
        if (!is_open && !(may_not_be_up && is_up(device)))
            continue;
        snprintf(
            words, size,
            "%s: virtual function %s is in use (%s), and to change their number takes all of them away: stop "
            "that first",
            path, name, is_open ? who : "its interface is up");
        return true;
    }
}

static int write_number_of_functions(const char *path, const char *now, const char *value)
{
    int error = strcmp(now, "0") != 0 && strcmp(value, "0") != 0 ? cw_text_write(path, "0") : 0;
    return error ? error : cw_text_write(path, value);
}

/* ---------------------------------------------------------------- the verbs */

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    char now[CW_STEP_TEXT];
    int error = cw_text_read(step->subject, now, sizeof now);
    if (error) {
        snprintf(words, size, "%s: %s", step->subject, strerror(error));
        return NULL;
    }
    json_t *before = json_pack("{s:s}", "value", now);
    if (!before)
        snprintf(words, size, "%s: what it says is no text", step->subject);
    return before;
}

static void say_immovable(const struct cw_step *step, int error, char *words, size_t size)
{
    if (error == ENOENT)
        snprintf(words, size, "%s is gone: nothing to move", step->subject);
    else
        snprintf(words, size, "%s: the kernel keeps this interrupt where it is", step->subject);
}

/* An interrupt that the kernel does not let be moved refuses also to stay where it is. */
static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    char now[CW_STEP_TEXT];
    enum form form = form_of(step->subject);
    int error = cw_text_read(step->subject, now, sizeof now);
    if (!error && is_same(form, now, step->value))
        return true;
    if (!is_affinity(form))
        return false;
    if (!error)
        error = cw_text_write(step->subject, now);
    if (error != ENOENT && error != EIO)
        return false;
    say_immovable(step, error, words, size);
    return true;
}

/* Nothing else can be put back of what is gone; a card has its old number of functions when it comes back, or not. */
static enum cw_status is_gone(const struct cw_step *step, char *words, size_t size)
{
    char card[CW_STEP_SUBJECT];
    if (form_of(step->subject) != FUNCTIONS)
        return CW_OK;
    snprintf(card, sizeof card, "%s", step->subject);
    char *slash = strrchr(card, '/');
    if (slash)
        *slash = 0;
    return cw_step_card_is_gone(last_part(card), words, size);
}

/* 0 or the errno; now: what it says. */
static int put(const struct cw_step *step, const char *now, const char *value)
{
    if (form_of(step->subject) == FUNCTIONS)
        return write_number_of_functions(step->subject, now, value);
    return cw_text_write(step->subject, value);
}

/* What the kernel has made of it. */
static bool is_taken(const struct cw_step *step, char *words, size_t size)
{
    char now[CW_STEP_TEXT];
    enum form form = form_of(step->subject);
    int error = cw_text_read(step->subject, now, sizeof now);
    if (!error && is_same(form, now, step->value))
        return true;
    if (error)
        snprintf(words, size, "%s cannot be read any more: %s", step->subject, strerror(error));
    else if (form == HUGEPAGES && number_of(now) >= 0 && number_of(now) < number_of(step->value))
        snprintf(words, size,
                 "%s: of %s hugepages the kernel gave %s, which were given back: the memory is used, or in "
                 "pieces. Free some, ask for fewer, or reserve them as the machine starts (hugepages= on the "
                 "kernel's command line)",
                 step->subject, step->value, now);
    else
        snprintf(words, size, "%s: %s was written, and it says %s", step->subject, step->value, now);
    return false;
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    char old[CW_STEP_TEXT], now[CW_STEP_TEXT];
    enum form form = form_of(step->subject);
    int error = cw_text_read(step->subject, old, sizeof old);
    if (!error && form == FUNCTIONS && has_used_function(step->subject, true, words, size))
        return CW_REFUSED;
    if (!error)
        error = put(step, old, step->value);
    if (is_affinity(form) && (error == EIO || error == ENOENT)) {
        say_immovable(step, error, words, size);
        return CW_OK;
    }
    if (error)
        snprintf(words, size, "%s: %s could not be written: %s", step->subject, step->value, strerror(error));
    else if (is_taken(step, words, size))
        return CW_OK;
    if (cw_text_read(step->subject, now, sizeof now) == 0 && !is_same(form, now, old) &&
        (error = put(step, now, old)) != 0) {
        size_t length = strlen(words);
        snprintf(words + length, size - length, "; and the old %s could not be put back: %s", old,
                 strerror(error));
    }
    return CW_IO;
}

static enum cw_status undo_from(const struct cw_step *step, const json_t *before, bool is_half, char *words,
                                size_t size)
{
    char now[CW_STEP_TEXT];
    const char *old = cw_before_text(before, "value");
    enum form form = form_of(step->subject);
    if (!old)
        return cw_step_is_corrupt(words, size);
    int error = cw_text_read(step->subject, now, sizeof now);
    if (error == ENOENT)
        return is_gone(step, words, size);
    if (!error && is_same(form, now, old))
        return CW_OK;
    if (!error && !is_same(form, now, step->value) &&
        !(is_half && is_on_the_way(form, now, old, step->value))) {
        snprintf(words, size,
                 "%s: somebody has made it %.64s since, and it is left so; before us it was %.64s",
                 step->subject, now, old);
        return CW_OK;
    }
    if (!error && form == FUNCTIONS && has_used_function(step->subject, false, words, size))
        return CW_REFUSED;
    if (!error)
        error = put(step, now, old);
    if (is_affinity(form) && (error == EIO || error == ENOENT))
        return CW_OK;
    if (!error) /* hugepages that are in use go when they are free */
        return CW_OK;
    snprintf(words, size, "%s: %.64s could not be written back: %s", step->subject, old, strerror(error));
    return CW_IO;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    return undo_from(step, before, true, words, size);
}

static enum cw_status undo_whole(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    return undo_from(step, before, false, words, size);
}

const struct cw_step_verbs cw_step_write = {keep, is_done, carry_out, undo, NULL, undo_whole};
