/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "nic-config/steps_private.h"

static const struct cw_step_verbs *const kinds[CW_STEP_COUNT] = {
    [CW_STEP_WRITE] = &cw_step_write,       [CW_STEP_MODULE] = &cw_step_module,
    [CW_STEP_GIVE_UP] = &cw_step_give_up,   [CW_STEP_BIND] = &cw_step_bind,
    [CW_STEP_CHANNELS] = &cw_step_channels, [CW_STEP_MTU] = &cw_step_mtu,
    [CW_STEP_FILE] = &cw_step_file,         [CW_STEP_LINK] = &cw_step_link,
};

static const struct cw_step_verbs *verbs_of(const struct cw_step *step)
{
    CW_ASSERT(step->kind < CW_STEP_COUNT);
    return kinds[step->kind];
}

json_t *cw_step_keep(const struct cw_step *step, char *words, size_t size)
{
    words[0] = 0;
    return verbs_of(step)->keep(step, words, size);
}

bool cw_step_is_done(const struct cw_step *step, char *words, size_t size)
{
    words[0] = 0;
    return verbs_of(step)->is_done(step, words, size);
}

enum cw_status cw_step_do(const struct cw_step *step, char *words, size_t size)
{
    words[0] = 0;
    return verbs_of(step)->carry_out(step, words, size);
}

enum cw_status cw_step_undo(const struct cw_step *step, const json_t *before, enum cw_step_left left,
                            char *words, size_t size)
{
    const struct cw_step_verbs *verbs = verbs_of(step);
    bool has_rebooted = left == CW_LEFT_TO_REBOOT;
    words[0] = 0;
    if (has_rebooted && !verbs->undo_after_reboot)
        return CW_OK; /* the kernel has started as it always does */
    if (!json_is_object(before))
        return cw_step_is_corrupt(words, size);
    if (has_rebooted)
        return verbs->undo_after_reboot(step, before, words, size);
    return left == CW_LEFT_WHOLE && verbs->undo_whole ? verbs->undo_whole(step, before, words, size)
                                                      : verbs->undo(step, before, words, size);
}

/* ---------------------------------------------------------------- small files */

int cw_text_read(const char *path, char *text, size_t size)
{
    text[0] = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return errno;
    size_t length = 0;
    ssize_t got = 1;
    while (length < size && got > 0) {
        got = read(file, text + length, size - length);
        if (got > 0)
            length += (size_t)got;
    }
    int error = got < 0 ? errno : length == size ? EFBIG : 0;
    close(file);
    if (error)
        length = 0;
    while (length && strchr(" \t\r\n", text[length - 1])) /* and a byte of 0 */
        length--;
    text[length] = 0;
    return error;
}

int cw_text_write(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return errno;
    size_t length = strlen(text);
    ssize_t put = write(file, text, length);
    int error = put < 0 ? errno : (size_t)put == length ? 0 : EIO;
    close(file);
    return error;
}

int cw_link_name(const char *path, char *name, size_t size)
{
    char target[CW_STEP_TEXT];
    name[0] = 0;
    ssize_t length = readlink(path, target, sizeof target);
    if (length < 0)
        return errno;
    if ((size_t)length == sizeof target)
        return EFBIG;
    target[length] = 0;
    const char *last = strrchr(target, '/');
    last = last ? last + 1 : target;
    if (strlen(last) >= size)
        return EFBIG;
    memcpy(name, last, strlen(last) + 1);
    return 0;
}

/* ---------------------------------------------------------------- what was kept */

enum cw_status cw_step_is_corrupt(char *words, size_t size)
{
    snprintf(words, size, "the journal does not say what was there before: it has to be put back by hand");
    return CW_CORRUPT;
}

const char *cw_before_text(const json_t *before, const char *key)
{
    return json_string_value(json_object_get(before, key));
}
