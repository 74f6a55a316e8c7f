/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MODULE: modprobe, with what the module needs. Kept is which of those were not loaded: undo unloads these, each if nobody
 * uses it. A driver that has devices counts as used, though the kernel would let it go: its devices would be without one.
 * What is part of the kernel is always loaded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nic-config/run.h"
#include "nic-config/steps_private.h"

#define SECONDS_MAX 60
#define NAME_SIZE   64u

/* As the kernel has it: vfio_pci for vfio-pci. */
static void kernel_name(const char *name, size_t length, char to[static NAME_SIZE])
{
    snprintf(to, NAME_SIZE, "%.*s", (int)length, name);
    for (; *to; to++)
        if (*to == '-')
            *to = '_';
}

static bool is_loaded(const char *name)
{
    char path[NAME_SIZE + 16], module[NAME_SIZE];
    kernel_name(name, strlen(name), module);
    snprintf(path, sizeof path, "/sys/module/%s", module);
    return access(path, F_OK) == 0;
}

/* "insmod /lib/modules/6.1.0/kernel/drivers/vfio/vfio.ko.xz option=1": the name into the list, if it is not loaded. */
static void add_line(json_t *list, const char *line)
{
    char module[NAME_SIZE];
    if (strncmp(line, "insmod ", 7) != 0)
        return;
    const char *end = line + 7 + strcspn(line + 7, " "), *name = end;
    while (name > line && name[-1] != '/')
        name--;
    kernel_name(name, strcspn(name, "."), module);
    if (end > name && !is_loaded(module))
        json_array_append_new(list, json_string(module));
}

/* Whoever opens vfio first has the kernel load this; it holds vfio, and is of our making too. */
static void add_late(json_t *list)
{
    size_t i;
    json_t *name;
    bool has_vfio = false;
    json_array_foreach(list, i, name)
    {
        has_vfio |= strcmp(json_string_value(name), "vfio") == 0;
    }
    if (has_vfio && !is_loaded("vfio_iommu_type1"))
        json_array_append_new(list, json_string("vfio_iommu_type1"));
}

/* What modprobe would load, in its order. NULL with words. */
static json_t *missing_modules(const char *name, char *words, size_t size)
{
    char *said = cw_run((const char *const[]){"modprobe", "-D", name, NULL}, SECONDS_MAX, words, size);
    if (!said)
        return NULL;
    json_t *list = json_array();
    char *state = NULL;
    for (char *line = strtok_r(said, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
        add_line(list, line);
    free(said);
    add_late(list);
    return list;
}

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    json_t *missing = missing_modules(step->subject, words, size);
    return missing ? json_pack("{s:o}", "modules", missing) : NULL;
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    if (is_loaded(step->subject))
        return true;
    json_t *missing = missing_modules(step->subject, words, size);
    bool is_built_in = missing && json_array_size(missing) == 0;
    words[0] = 0; /* what is wrong with it, doing it tells */
    json_decref(missing);
    return is_built_in;
}

/* The kernel loads a module also with a parameter that it has not, and only its log tells. */
static bool has_parameter(const struct cw_step *step, const char *word, char *words, size_t size)
{
    char module[NAME_SIZE], path[NAME_SIZE + CW_STEP_VALUE + 32];
    kernel_name(step->subject, strlen(step->subject), module);
    snprintf(path, sizeof path, "/sys/module/%s/parameters/%.*s", module, (int)strcspn(word, "="), word);
    if (access(path, F_OK) == 0)
        return true;
    snprintf(words, size, "the module %s of this kernel has no parameter %.*s", step->subject,
             (int)strcspn(word, "="), word);
    return false;
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    const char *arguments[16] = {"modprobe", "--", step->subject};
    char values[CW_STEP_VALUE], *state = NULL;
    unsigned count = 3;
    memcpy(values, step->value, sizeof values);
    for (char *word = strtok_r(values, " ", &state); word && count < 15; word = strtok_r(NULL, " ", &state))
        arguments[count++] = word;
    char *said = cw_run(arguments, SECONDS_MAX, words, size);
    free(said);
    for (unsigned i = 3; said && i < count; i++)
        if (!has_parameter(step, arguments[i], words, size))
            return CW_IO;
    return said ? CW_OK : CW_IO;
}

/* ---------------------------------------------------------------- undo */

/* /sys/module/vfio_pci/drivers/pci:vfio-pci is a folder with a link for each of its devices. */
static bool has_device(const char *driver)
{
    char path[NAME_SIZE + 600];
    bool found = false;
    DIR *folder = opendir(driver);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s/driver", driver, entry->d_name);
        found = entry->d_name[0] != '.' && access(path, F_OK) == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

static bool is_used(const char *module)
{
    char path[NAME_SIZE + 320], count[32];
    bool found = false;
    snprintf(path, sizeof path, "/sys/module/%s/refcnt", module);
    if (cw_text_read(path, count, sizeof count) != 0 || strcmp(count, "0") != 0)
        return true;
    snprintf(path, sizeof path, "/sys/module/%s/drivers", module);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "/sys/module/%s/drivers/%.255s", module, entry->d_name);
        found = entry->d_name[0] != '.' && has_device(path);
    }
    if (folder)
        closedir(folder);
    return found;
}

/* Set since, and never unset before a reboot, which unloads it then. */
static bool is_forbidden(void)
{
    char text[8];
    return cw_text_read("/proc/sys/kernel/modules_disabled", text, sizeof text) == 0 &&
           strcmp(text, "1") == 0;
}

/* One that stays does no harm: that is said, and is no failure. */
static enum cw_status unload(const char *name, bool *stays, char *words, size_t size)
{
    int error = is_used(name) ? EWOULDBLOCK : syscall(SYS_delete_module, name, O_NONBLOCK) != 0 ? errno : 0;
    *stays = error == EWOULDBLOCK || (error == EPERM && is_forbidden());
    if (*stays)
        snprintf(words, size, "the module %s stays: %s", name,
                 error == EPERM
                     ? "no module is unloaded any more before a reboot (kernel.modules_disabled is 1)"
                     : "it is in use");
    if (*stays || !is_loaded(name))
        return CW_OK;
    snprintf(words, size, "the module %s cannot be unloaded: %s", name, strerror(error));
    return CW_IO;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    bool stays = false;
    const json_t *modules = json_object_get(before, "modules");
    if (!json_is_array(modules))
        return cw_step_is_corrupt(words, size);
    for (size_t i = json_array_size(modules); i-- > 0 && !stays;) {
        const char *name = json_string_value(json_array_get(modules, i));
        if (!name || strlen(name) >= NAME_SIZE || strchr(name, '/'))
            return cw_step_is_corrupt(words, size);
        enum cw_status status = is_loaded(name) ? unload(name, &stays, words, size) : CW_OK;
        if (status != CW_OK)
            return status;
    }
    return CW_OK;
}

const struct cw_step_verbs cw_step_module = {keep, is_done, carry_out, undo, NULL, NULL};
