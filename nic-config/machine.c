/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A recorded machine is walked with RESOLVE_IN_ROOT: its links, also absolute ones and those with "..", end below its
 * root, so that a tree of somebody else is never answered by files of this machine. Only regular files are read: a FIFO
 * in a tree would hold us for ever.
 */
#include "nic-config/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "nic-config/machine_live.h"
#include "nic-config/run.h"
#include "nic-config/said.h"

#define NAMES_MAX        65536u /* in one folder */
#define ANSWER_BYTES_MAX (8u << 20)
#define SECONDS_MAX      10u /* of a program that answers */
#define WALKS_MAX        10000u

static int open_at(const struct cw_machine *machine, const char *path, int flags)
{
    CW_ASSERT(path[0] == '/');
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (machine->root[0] == '\0')
        return open(path, flags);
    int root = open(machine->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    if ((flags & O_PATH) != 0) /* openat2 refuses what O_PATH would leave out */
        flags &= ~(O_NONBLOCK | O_NOCTTY);
    struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd;
    uint32_t walks = 0;
    do /* EAGAIN: while it passed a "..", something was renamed or mounted, be it elsewhere */
        fd = (int)syscall(SYS_openat2, root, path + 1, &how, sizeof how);
    while (fd < 0 && errno == EAGAIN && ++walks < WALKS_MAX);
    int error = errno;
    close(root);
    errno = error;
    return fd;
}

static enum cw_status status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return CW_NOT_FOUND;
    case EACCES:
    case EPERM:
        return CW_REFUSED;
    default:
        return CW_IO;
    }
}

int cw_machine_open(const struct cw_machine *machine, const char *path)
{
    int fd = open_at(machine, path, O_RDONLY);
    struct stat about;
    if (fd >= 0 && (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))) {
        close(fd);
        errno = EIO;
        return -1;
    }
    return fd;
}

/* Up to size - 1 bytes, after those that are there already. */
static enum cw_status read_on(int fd, char *text, size_t size, size_t *length)
{
    while (*length < size - 1) {
        ssize_t n = read(fd, text + *length, size - 1 - *length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_of(errno);
        if (n == 0)
            return CW_OK;
        *length += (size_t)n;
    }
    return CW_RANGE;
}

/* Nothing is left over behind the last byte that there was room for. */
static bool is_end(int fd)
{
    char more;
    return read(fd, &more, 1) <= 0;
}

static void make_text(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0')
            text[i] = '\n';
    while (length > 0 && text[length - 1] == '\n')
        length--;
    text[length] = '\0';
}

enum cw_status cw_machine_text(const struct cw_machine *machine, const char *path, char *text, size_t size)
{
    CW_ASSERT(size > 0);
    text[0] = '\0';
    int fd = cw_machine_open(machine, path);
    if (fd < 0)
        return status_of(errno);
    size_t length = 0;
    enum cw_status status = read_on(fd, text, size, &length);
    if (status == CW_RANGE && is_end(fd))
        status = CW_OK;
    close(fd);
    make_text(text, status == CW_OK || status == CW_RANGE ? length : 0);
    return status;
}

char *cw_machine_whole(const struct cw_machine *machine, const char *path, size_t max, enum cw_status *status)
{
    int fd = cw_machine_open(machine, path);
    *status = fd >= 0 ? CW_RANGE : status_of(errno);
    char *text = NULL;
    size_t size = 0, length = 0;
    while (*status == CW_RANGE && size < max) {
        size = CW_MIN(size == 0 ? 4096 : size * 2, max);
        char *more = realloc(text, size);
        if (more != NULL)
            text = more;
        *status = more != NULL ? read_on(fd, text, size, &length) : CW_NO_SPACE;
    }
    if (*status == CW_RANGE && is_end(fd))
        *status = CW_OK;
    if (fd >= 0)
        close(fd);
    if (*status == CW_OK || *status == CW_RANGE) {
        make_text(text, length);
        return text;
    }
    free(text);
    return NULL;
}

enum cw_status cw_machine_target(const struct cw_machine *machine, const char *path, char *target,
                                 size_t size)
{
    CW_ASSERT(size > 0);
    target[0] = '\0';
    int fd = open_at(machine, path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return status_of(errno);
    ssize_t n = readlinkat(fd, "", target, size);
    int error = errno;
    close(fd);
    if (n < 0) {
        target[0] = '\0';
        return error == ENOENT ? CW_INVALID : status_of(error); /* there, and no link */
    }
    bool is_cut = (size_t)n >= size;
    target[is_cut ? size - 1 : (size_t)n] = '\0';
    return is_cut ? CW_RANGE : CW_OK;
}

enum cw_status cw_machine_link(const struct cw_machine *machine, const char *path, char *name, size_t size)
{
    CW_ASSERT(size > 0);
    name[0] = '\0';
    char target[4096];
    enum cw_status status = cw_machine_target(machine, path, target, sizeof target);
    if (status != CW_OK)
        return status;
    const char *slash = strrchr(target, '/');
    const char *last = slash != NULL ? slash + 1 : target;
    return (size_t)snprintf(name, size, "%s", last) < size ? CW_OK : CW_RANGE;
}

bool cw_machine_has(const struct cw_machine *machine, const char *path)
{
    int fd = open_at(machine, path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

bool cw_machine_is_stale_space(const struct cw_machine *machine, const char *path)
{
    struct statfs about;
    int fd = open_at(machine, path, O_PATH);
    if (fd < 0)
        return errno == ENOENT && cw_machine_has(machine, path);
    bool is_stale = fstatfs(fd, &about) == 0 && about.f_type != NSFS_MAGIC;
    close(fd);
    return is_stale;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a folder, in no order; what there is no memory for is left out. */
static char **names_of(DIR *folder, size_t *count)
{
    char **names = NULL;
    size_t room = 0;
    const struct dirent *entry;
    *count = 0;
    while (*count < NAMES_MAX && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (*count == room) {
            room = room == 0 ? 64 : room * 2;
            char **more = realloc(names, room * sizeof *names);
            if (more == NULL)
                break;
            names = more;
        }
        if ((names[*count] = strdup(entry->d_name)) == NULL)
            break;
        ++*count;
    }
    return names;
}

bool cw_machine_list(const struct cw_machine *machine, const char *folder,
                     void (*take)(void *context, const char *name), void *context)
{
    int fd = open_at(machine, folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return false;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        return false;
    }
    size_t count;
    char **names = names_of(stream, &count);
    closedir(stream);
    if (count > 0)
        qsort(names, count, sizeof *names, by_bytes);
    for (size_t i = 0; i < count; i++) {
        take(context, names[i]);
        free(names[i]);
    }
    free(names);
    return true;
}

static json_t *recorded(const struct cw_machine *machine, const char *name, char *why, size_t why_size)
{
    char path[512];
    if ((size_t)snprintf(path, sizeof path, "/answers/%s.json", name) >= sizeof path) {
        snprintf(why, why_size, "a name of %zu characters", strlen(name));
        return NULL;
    }
    json_t *answer = NULL;
    json_error_t error;
    enum cw_status status;
    char *text = cw_machine_whole(machine, path, ANSWER_BYTES_MAX, &status);
    if (status != CW_OK)
        snprintf(why, why_size, "%s: %s", path + 1,
                 status == CW_NOT_FOUND ? "was not recorded" : cw_status_name(status));
    else if ((answer = json_loads(text, 0, &error)) == NULL) /* ip says dst twice of a route with encap ip */
        snprintf(why, why_size, "%s:%d: is no JSON", path + 1, error.line);
    free(text);
    return answer;
}

json_t *cw_machine_ask(const struct cw_machine *machine, const char *name, const char *const arguments[],
                       char *why, size_t why_size)
{
    if (machine->root[0] != '\0')
        return recorded(machine, name, why, why_size);
    char *text = cw_run(arguments, SECONDS_MAX, why, why_size);
    json_t *answer = text == NULL ? NULL : cw_said_json(arguments[0], text, why, why_size);
    free(text);
    return answer;
}

json_t *cw_machine_ethtool(const struct cw_machine *machine, char *why, size_t why_size)
{
    return machine->root[0] != '\0' ? recorded(machine, "ethtool", why, why_size)
                                    : cw_machine_live_ethtool(why, why_size);
}

json_t *cw_machine_pmds(const struct cw_machine *machine, char *why, size_t why_size)
{
    return machine->root[0] != '\0' ? recorded(machine, "pmds", why, why_size)
                                    : cw_machine_live_pmds(machine, why, why_size);
}

json_t *cw_machine_logins(const struct cw_machine *machine, char *why, size_t why_size)
{
    return machine->root[0] != '\0' ? recorded(machine, "logins", why, why_size)
                                    : cw_machine_live_logins(machine, why, why_size);
}
