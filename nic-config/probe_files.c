/* SPDX-License-Identifier: BSD-3-Clause */
/* What an earlier apply has left. */
#include "nic-config/probe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "nic-config/probe_private.h"

static const char *const units[] = {"causeway-nic.service", "causeway-nic-late.service"};

struct file_search {
    struct cw_probe probe;
    const char *folder;
};

static struct cw_file_fact *add_file(struct cw_probe *probe, const char *path)
{
    struct cw_facts *facts = probe->facts;
    if (strlen(path) >= CW_FACT_PATH || facts->file_count == CW_FILES_MAX) {
        cw_probe_doubt(probe, path, "there is no room for it: not looked at");
        return NULL;
    }
    struct cw_file_fact *file = &facts->files[facts->file_count++];
    *file = (struct cw_file_fact){0};
    snprintf(file->path, sizeof file->path, "%s", path);
    return file;
}

/* As it is in the file, to its last end of a line: it is compared with what would be written. */
static void take_text(struct cw_probe *probe, const char *path)
{
    int fd = cw_machine_open(probe->machine, path);
    struct cw_file_fact *file = NULL;
    if (fd >= 0)
        file = add_file(probe, path);
    else if (cw_machine_has(probe->machine, path))
        cw_probe_unread(probe, path, "cannot be read: what an earlier apply has left");
    size_t length = 0;
    ssize_t n = 1;
    while (file != NULL && length < sizeof file->text - 1 &&
           (n = read(fd, file->text + length, sizeof file->text - 1 - length)) > 0)
        length += (size_t)n;
    if (fd >= 0)
        close(fd);
}

static void take_prepared(void *context, const char *name)
{
    struct file_search *search = context;
    char path[CW_PROBE_PATH];
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".yaml") == 0 &&
        (size_t)snprintf(path, sizeof path, "%s/%s", search->folder, name) < sizeof path)
        take_text(&search->probe, path);
}

/* "multi-user.target.wants": the link there is what enables the unit. */
static void take_wants(void *context, const char *name)
{
    struct file_search *search = context;
    char path[CW_PROBE_PATH], target[CW_FILE_BYTES];
    size_t length = strlen(name);
    if (length <= 6 || strcmp(name + length - 6, ".wants") != 0)
        return;
    for (size_t i = 0; i < CW_COUNT_OF(units); i++) {
        if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", search->folder, name, units[i]) >= sizeof path ||
            cw_machine_link(search->probe.machine, path, target, sizeof target) != CW_OK)
            continue;
        struct cw_file_fact *file = add_file(&search->probe, path);
        if (file != NULL)
            cw_probe_printable(target, file->text, sizeof file->text);
    }
}

void cw_probe_files(const struct cw_machine *machine, const char *prepared_folder, const char *units_folder,
                    struct cw_facts *facts)
{
    struct file_search search = {.probe = {.machine = machine, .facts = facts}, .folder = prepared_folder};
    char path[CW_PROBE_PATH];
    cw_machine_list(machine, prepared_folder, take_prepared, &search);
    search.folder = units_folder;
    for (size_t i = 0; i < CW_COUNT_OF(units); i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", units_folder, units[i]) < sizeof path)
            take_text(&search.probe, path);
    cw_machine_list(machine, units_folder, take_wants, &search);
}
