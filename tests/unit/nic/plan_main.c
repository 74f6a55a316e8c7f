/* SPDX-License-Identifier: BSD-3-Clause */
/* `plan` alone, of a recorded machine: plan_main ROOT WISH [--json] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/plan.h"
#include "nic-config/probe.h"

static const struct cw_nic_folders folders = {"/var/lib/causeway/nic", "/run/causeway/nic",
                                              "/etc/systemd/system", "/usr/bin/causeway-nic"};

static void print(const struct cw_plan *plan, const struct cw_facts *facts, bool is_json)
{
    if (!is_json) {
        cw_plan_print(plan, facts, stdout);
        return;
    }
    json_t *all = cw_plan_json(plan, facts);
    json_dumpf(all, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(all);
}

int main(int argc, char **argv)
{
    struct cw_machine machine;
    static struct cw_wish wish;
    static char text[CW_WISH_BYTES_MAX], mistakes[4096];
    struct cw_facts *facts = malloc(sizeof *facts);
    struct cw_plan *plan = malloc(sizeof *plan);
    FILE *file = argc >= 3 ? fopen(argv[2], "r") : NULL;
    if (file == NULL || strlen(argv[1]) >= sizeof machine.root || facts == NULL || plan == NULL)
        return 2;
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    if (!cw_wish_read(argv[2], text, length, &wish, mistakes, sizeof mistakes)) {
        fputs(mistakes, stderr);
        return 2;
    }
    snprintf(machine.root, sizeof machine.root, "%s", argv[1]);
    cw_probe(&machine, facts);
    cw_probe_files(&machine, folders.prepared, folders.units, facts);
    cw_plan_make(facts, &wish, &folders, plan);
    print(plan, facts, argc > 3);
    free(plan);
    free(facts);
    return 0;
}
