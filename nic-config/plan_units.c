/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The units of systemd that do after a reboot what is done now.
 *
 * Paths stand in them as systemd reads them: in double quotes where they have anything that it may take for something
 * else, each % doubled; and each $, but for the program's own path, which is no place for variables.
 */
#include <stdio.h>
#include <string.h>

#include "nic-config/plan_internal.h"

#define PLAIN      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+,:@"
#define WORD_BYTES (2 * CW_FACT_PATH + 3)

static void quote(char to[WORD_BYTES], const char *text, const char *doubled)
{
    size_t used = 0;
    if (text[strspn(text, PLAIN)] == 0) {
        snprintf(to, WORD_BYTES, "%s", text);
        return;
    }
    to[used++] = '"';
    for (; *text != 0 && used + 4 <= WORD_BYTES; text++) {
        if (*text == '"' || *text == '\\')
            to[used++] = '\\';
        else if (strchr(doubled, *text) != NULL)
            to[used++] = *text;
        to[used++] = *text;
    }
    to[used++] = '"';
    to[used] = 0;
}

/* Where a folder is another than usual: the unit has to find what this apply has written. */
static void add_folder(char *command, size_t size, const char *name, const char *folder, const char *usual)
{
    char word[WORD_BYTES];
    size_t used = strlen(command);
    if (strcmp(folder, usual) == 0)
        return;
    quote(word, folder, "%$");
    snprintf(command + used, size - used, " --%s %s", name, word);
}

#define COMMAND_BYTES (4 * (WORD_BYTES + 16))

static void command_line(const struct cw_nic_folders *folders, const char *verb, char command[COMMAND_BYTES])
{
    char program[WORD_BYTES];
    quote(program, folders->program, "%");
    snprintf(command, COMMAND_BYTES, "%s %s", program, verb);
    add_folder(command, COMMAND_BYTES, "state", folders->state, CW_NIC_STATE);
    add_folder(command, COMMAND_BYTES, "prepared", folders->prepared, CW_NIC_PREPARED);
    add_folder(command, COMMAND_BYTES, "units", folders->units, CW_NIC_UNITS);
}

static void write_unit(struct cw_plan_work *work, const char *name, const char *text, const char *why)
{
    char file[CW_FACT_PATH + 64], target[64];
    const char *folder = work->folders->units;
    if (strlen(text) >= CW_FILE_BYTES) {
        cw_plan_remedy(cw_plan_refuse(work, NULL, "the unit %s.service would be longer than %u bytes", name,
                                      CW_FILE_BYTES - 1),
                       "take folders with shorter names for --state, --prepared and --units");
        return;
    }
    snprintf(file, sizeof file, "%s/%s.service", folder, name);
    cw_plan_file(work, CW_STEP_FILE, file, text, why);
    snprintf(file, sizeof file, "%s/multi-user.target.wants/%s.service", folder, name);
    snprintf(target, sizeof target, "../%s.service", name);
    cw_plan_file(work, CW_STEP_LINK, file, target, "it enables the unit");
}

/* systemd starts no program whose name it would have to quote. */
static bool is_program_known(struct cw_plan_work *work)
{
    const char *program = work->folders->program;
    bool is_plain = strpbrk(program, "\"'\\\x7f") == NULL;
    for (const char *at = program; *at != 0; at++)
        is_plain = is_plain && (unsigned char)*at >= ' ';
    if (program[0] == '/' && is_plain)
        return true;
    cw_plan_remedy(
        cw_plan_refuse(
            work, NULL, "%s",
            is_plain
                ? "where this program lies is not known, or has too long a name: systemd could not start it "
                  "after a reboot"
                : "the path of this program has a quote, a backslash or a control character in it: systemd "
                  "could not start it after a reboot"),
        "install causeway-nic where its path is short and plain, and run that");
    return false;
}

/*
 * Early: before interfaces are configured, so that at a boot none of those that are taken has an address; and without the
 * default dependencies, since on cloud machines the network comes before what those wait for. udevadm waits until the
 * kernel's drivers have the cards and these their names. A driver that hangs when it has to let a card go would keep the
 * network from starting for ever, as a oneshot has no limit of its own.
 */
static void write_early_unit(struct cw_plan_work *work)
{
    char text[CW_STEP_VALUE], state[WORD_BYTES], command[COMMAND_BYTES];
    quote(state, work->folders->state, "%");
    command_line(work->folders, "boot", command);
    snprintf(text, sizeof text,
             "# Written by causeway-nic apply, removed by causeway-nic revert.\n"
             "[Unit]\n"
             "Description=Network cards for the Causeway engine\n"
             "DefaultDependencies=no\n"
             "RequiresMountsFor=%s\n"
             "After=local-fs.target systemd-modules-load.service systemd-udev-trigger.service\n"
             "Wants=network-pre.target\n"
             "Before=network-pre.target causeway-engine.service shutdown.target\n"
             "Conflicts=shutdown.target\n"
             "\n"
             "[Service]\n"
             "Type=oneshot\n"
             "RemainAfterExit=yes\n"
             "TimeoutStartSec=300\n"
             "ExecStartPre=-udevadm settle --timeout=60\n"
             "ExecStart=%s\n"
             "\n"
             "[Install]\n"
             "WantedBy=multi-user.target\n",
             state, command);
    write_unit(work, "causeway-nic", text, "it does the same again after a reboot, before the engine starts");
}

/* Interfaces that the kernel keeps are the network's own: it makes some of them, and gives them addresses. What is to be
 * so when the engine starts is looked at once more after it. */
static void write_late_unit(struct cw_plan_work *work)
{
    char text[CW_STEP_VALUE], command[COMMAND_BYTES];
    command_line(work->folders, "boot-late", command);
    snprintf(text, sizeof text,
             "# Written by causeway-nic apply, removed by causeway-nic revert.\n"
             "[Unit]\n"
             "Description=Network interfaces for the Causeway engine\n"
             "Requires=causeway-nic.service\n"
             "Wants=network-online.target\n"
             "After=causeway-nic.service network-online.target\n"
             "Before=causeway-engine.service\n"
             "\n"
             "[Service]\n"
             "Type=oneshot\n"
             "RemainAfterExit=yes\n"
             "TimeoutStartSec=300\n"
             "ExecStart=%s\n"
             "\n"
             "[Install]\n"
             "WantedBy=multi-user.target\n",
             command);
    write_unit(work, "causeway-nic-late", text,
               "it looks once more after a reboot, when the network has made its interfaces");
}

static bool stays_kernels(const struct cw_plan_path *path)
{
    return !path->is_refused && (path->driver == CW_DRIVER_AF_XDP || path->driver == CW_DRIVER_BIFURCATED);
}

void cw_plan_units(struct cw_plan_work *work)
{
    bool has_kept = false;
    if (!work->facts->has_systemd || work->plan->prepared_count == 0 || !is_program_known(work))
        return;
    for (uint32_t i = 0; i < work->path_count; i++)
        has_kept = has_kept || stays_kernels(&work->paths[i]);
    uint32_t before = work->plan->step_count;
    write_early_unit(work);
    if (has_kept)
        write_late_unit(work);
    if (work->plan->step_count > before && work->facts->program_doubt[0] != 0)
        cw_plan_remedy(cw_plan_refuse(work, NULL,
                                      "a unit would start this program as root after each reboot, and %s",
                                      work->facts->program_doubt),
                       "install causeway-nic where root alone may write (install -m 755 causeway-nic "
                       "/usr/local/sbin/), and apply with that");
}
