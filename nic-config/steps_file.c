/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * FILE and LINK: made whole beside their place and moved there, synced with their folder; so their place holds what was
 * there before or what is wanted, never a piece of it. Folders above that are not there are made, and taken away by undo
 * when nothing else is in them. What stood there and is neither ours nor of our kind (a file in place of the link, a link
 * in place of the file: a unit that is masked) is not replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic-config/steps_private.h"

#define NEW_SUFFIX ".causeway-new"
#define PATH_SIZE  (CW_STEP_SUBJECT + sizeof NEW_SUFFIX)

static void new_name(const struct cw_step *step, char path[static PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s" NEW_SUFFIX, step->subject);
}

/* ---------------------------------------------------------------- folders */

/* The folder above; false: there is none. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return false;
    *slash = 0;
    return true;
}

/* The folders above a path that are not there. */
static json_t *missing_folders(const char *path)
{
    char folder[CW_STEP_SUBJECT];
    struct stat ignored;
    json_t *missing = json_array();
    snprintf(folder, sizeof folder, "%s", path);
    while (missing && go_up(folder) && lstat(folder, &ignored) != 0 && errno == ENOENT)
        json_array_append_new(missing, json_string(folder)); /* the deepest first */
    return missing;
}

/* 0 or the errno. */
static int make_folders(const char *path)
{
    char folder[CW_STEP_SUBJECT];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdir(folder, 0755) != 0 && errno != EEXIST)
            return errno;
    }
    return 0;
}

static void remove_folders(const json_t *folders)
{
    size_t i;
    json_t *folder;
    json_array_foreach(folders, i, folder)
    {
        if (json_is_string(folder))
            rmdir(json_string_value(folder)); /* not empty: somebody else's now */
    }
}

static int sync_folder_of(const char *path)
{
    char folder[CW_STEP_SUBJECT];
    snprintf(folder, sizeof folder, "%s", path);
    int file = open(go_up(folder) ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno;
    int error = fsync(file) == 0 ? 0 : errno;
    close(file);
    return error;
}

/* ---------------------------------------------------------------- what is there */

enum place { PLACE_EMPTY, PLACE_OURS, PLACE_OTHER, PLACE_FAILED };

static bool read_file(const char *path, char *text, struct stat *about)
{
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    bool is_good = fstat(file, about) == 0 && S_ISREG(about->st_mode) && about->st_size < CW_STEP_VALUE;
    ssize_t got = is_good ? read(file, text, CW_STEP_VALUE) : -1;
    close(file);
    if (got < 0 || got >= (ssize_t)CW_STEP_VALUE || memchr(text, 0, (size_t)got))
        return false;
    text[got] = 0;
    return true;
}

static bool read_link(const char *path, char *text)
{
    ssize_t got = readlink(path, text, CW_STEP_VALUE);
    if (got < 0 || got >= (ssize_t)CW_STEP_VALUE)
        return false;
    text[got] = 0;
    return true;
}

/* What the place has of the step's kind is in text; about may be NULL. PLACE_OURS: as the step wants it. */
static enum place look(const struct cw_step *step, char *text, struct stat *about)
{
    struct stat here;
    if (lstat(step->subject, &here) != 0)
        return errno == ENOENT || errno == ENOTDIR ? PLACE_EMPTY : PLACE_FAILED;
    if (step->kind == CW_STEP_LINK ? !read_link(step->subject, text) : !read_file(step->subject, text, &here))
        return PLACE_FAILED;
    if (about)
        *about = here;
    return strcmp(text, step->value) == 0 ? PLACE_OURS : PLACE_OTHER;
}

/* ---------------------------------------------------------------- how it is made */

static int make_file(const char *path, const char *text, mode_t mode, uid_t owner, gid_t group)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), error = 0;
    if (file < 0)
        return errno;
    size_t length = strlen(text);
    ssize_t put = write(file, text, length);
    if (put < 0 || fchmod(file, mode) != 0 || (geteuid() == 0 && fchown(file, owner, group) != 0))
        error = errno;
    else if ((size_t)put != length)
        error = ENOSPC;
    if (!error && fsync(file) != 0)
        error = errno;
    if (close(file) != 0 && !error)
        error = errno;
    return error;
}

/* In the place, whole. */
static int put(const struct cw_step *step, const char *text, mode_t mode, uid_t owner, gid_t group)
{
    char made[PATH_SIZE];
    new_name(step, made);
    unlink(made); /* of one who was killed */
    int error = 0;
    if (step->kind == CW_STEP_LINK)
        error = symlink(text, made) == 0 ? 0 : errno;
    else
        error = make_file(made, text, mode, owner, group);
    if (!error && rename(made, step->subject) != 0)
        error = errno;
    if (error)
        unlink(made);
    return error ? error : sync_folder_of(step->subject);
}

/* ---------------------------------------------------------------- the verbs */

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    char text[CW_STEP_VALUE];
    struct stat about;
    json_t *before = NULL;
    enum place place = look(step, text, &about);
    if (place == PLACE_EMPTY)
        before = json_pack("{s:b, s:o}", "existed", 0, "folders", missing_folders(step->subject));
    else if (place != PLACE_FAILED)
        before = json_pack("{s:b, s:s, s:i, s:i, s:i, s:[]}", "existed", 1, "content", text, "mode",
                           (int)(about.st_mode & 07777), "owner", (int)about.st_uid, "group",
                           (int)about.st_gid, "folders");
    if (!before)
        snprintf(words, size, "%s: what is there is no %s that can be kept: move it away", step->subject,
                 step->kind == CW_STEP_LINK ? "symbolic link" : "file of text of less than 4 KiB");
    return before;
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    char text[CW_STEP_VALUE];
    return look(step, text, NULL) == PLACE_OURS;
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    int error = make_folders(step->subject);
    if (!error)
        error = put(step, step->value, 0644, 0, 0);
    if (!error)
        return CW_OK;
    snprintf(words, size, "%s could not be written: %s", step->subject, strerror(error));
    return CW_IO;
}

/* 0, or the errno. */
static int restore(const struct cw_step *step, const json_t *before, const char *old)
{
    if (old)
        return put(step, old, (mode_t)json_integer_value(json_object_get(before, "mode")),
                   (uid_t)json_integer_value(json_object_get(before, "owner")),
                   (gid_t)json_integer_value(json_object_get(before, "group")));
    if (unlink(step->subject) != 0 && errno != ENOENT)
        return errno;
    return sync_folder_of(step->subject);
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    char text[CW_STEP_VALUE], made[PATH_SIZE];
    const json_t *existed = json_object_get(before, "existed"), *folders = json_object_get(before, "folders");
    const char *old = cw_before_text(before, "content");
    if (!json_is_boolean(existed) || !json_is_array(folders) || json_is_true(existed) != (old != NULL))
        return cw_step_is_corrupt(words, size);
    new_name(step, made);
    unlink(made);
    enum place place = look(step, text, NULL);
    int error = place == PLACE_OURS ? restore(step, before, old) : 0;
    if (error) {
        snprintf(words, size, "%s could not be put back: %s", step->subject, strerror(error));
        return CW_IO;
    }
    bool is_as_before =
        place == PLACE_OURS || (old ? place == PLACE_OTHER && strcmp(text, old) == 0 : place == PLACE_EMPTY);
    if (!is_as_before)
        snprintf(words, size, "%s: somebody has %s it since, and it is left so", step->subject,
                 place == PLACE_EMPTY ? "removed" : "changed");
    remove_folders(folders);
    return CW_OK;
}

const struct cw_step_verbs cw_step_file = {keep, is_done, carry_out, undo, undo, NULL};
const struct cw_step_verbs cw_step_link = {keep, is_done, carry_out, undo, undo, NULL};
