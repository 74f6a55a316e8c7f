/* SPDX-License-Identifier: BSD-3-Clause */
/* MOUNT: hugetlbfs at a folder, which is made if it is not there. What is mounted where, /proc/self/mountinfo says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "nic-config/steps_private.h"

/* As mountinfo has a folder: blanks as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned byte;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &byte) == 1 && strnlen(from, 4) == 4) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* Of "rw,pagesize=1024M": the kernel says 1G so. 0: it does not say. */
static unsigned long long page_bytes(const char *options)
{
    char *end;
    const char *at = strstr(options, "pagesize=");
    unsigned long long number = at ? strtoull(at + 9, &end, 10) : 0;
    if (!at)
        return 0;
    int shift = *end == 'G' || *end == 'g'   ? 30
                : *end == 'M' || *end == 'm' ? 20
                : *end == 'K' || *end == 'k' ? 10
                                             : 0;
    return number << shift;
}

/* "12 34 0:5 / /dev/hugepages rw,… shared:1 - hugetlbfs none rw,pagesize=2M". */
static bool is_line_of(char *line, const char *folder, const char *value)
{
    char *words[6], *state = NULL, *tail = strstr(line, " - ");
    if (!tail)
        return false;
    *tail = 0;
    tail += 3;
    for (int i = 0; i < 5; i++)
        if (!(words[i] = strtok_r(i ? NULL : line, " ", &state)))
            return false;
    unescape(words[4]);
    return strcmp(words[4], folder) == 0 && strncmp(tail, "hugetlbfs ", 10) == 0 &&
           page_bytes(tail) == page_bytes(value);
}

static bool is_mounted(const struct cw_step *step)
{
    char *real = realpath(step->subject, NULL), *line = NULL;
    FILE *file = real ? fopen("/proc/self/mountinfo", "re") : NULL;
    size_t room = 0;
    bool found = false;
    while (file && !found && getline(&line, &room, file) > 0)
        found = is_line_of(line, real, step->value);
    if (file)
        fclose(file);
    free(line);
    free(real);
    return found;
}

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    char path[CW_STEP_SUBJECT + 4];
    snprintf(path, sizeof path, "%s/x", step->subject); /* the folder itself is one of those to make */
    json_t *before =
        json_pack("{s:b, s:o}", "mounted", is_mounted(step), "folders", cw_missing_folders(path));
    if (!before)
        snprintf(words, size, "%s: no memory", step->subject);
    return before;
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    return is_mounted(step);
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    char path[CW_STEP_SUBJECT + 4];
    snprintf(path, sizeof path, "%s/x", step->subject);
    int error = cw_make_folders(path);
    if (!error && mount("hugetlbfs", step->subject, "hugetlbfs", MS_NOSUID | MS_NODEV, step->value) != 0)
        error = errno;
    if (!error)
        return CW_OK;
    snprintf(words, size, "hugetlbfs (%s) cannot be mounted at %s: %s", step->value, step->subject,
             strerror(error));
    return CW_IO;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    const json_t *was_mounted = json_object_get(before, "mounted"),
                 *folders = json_object_get(before, "folders");
    if (!json_is_boolean(was_mounted) || !json_is_array(folders))
        return cw_step_is_corrupt(words, size);
    if (json_is_false(was_mounted) && is_mounted(step) && umount2(step->subject, UMOUNT_NOFOLLOW) != 0) {
        snprintf(words, size, "%s cannot be unmounted: %s%s", step->subject, strerror(errno),
                 errno == EBUSY ? "; stop whoever uses its hugepages (fuser -m tells), then again" : "");
        return errno == EBUSY ? CW_REFUSED : CW_IO;
    }
    cw_remove_folders(folders);
    return CW_OK;
}

static enum cw_status undo_after_reboot(const struct cw_step *step, const json_t *before, char *words,
                                        size_t size)
{
    cw_remove_folders(json_object_get(before, "folders"));
    return CW_OK;
}

const struct cw_step_verbs cw_step_mount = {keep, is_done, carry_out, undo, undo_after_reboot, NULL};
