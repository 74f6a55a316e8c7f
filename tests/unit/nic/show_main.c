/* SPDX-License-Identifier: BSD-3-Clause */
/* `show` alone, of a recorded machine: show_main ROOT [--json] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/probe.h"
#include "nic-config/show.h"

int main(int argc, char **argv)
{
    struct cw_machine machine;
    struct cw_facts *facts = malloc(sizeof *facts);
    if (argc < 2 || strlen(argv[1]) >= sizeof machine.root || !facts)
        return 2;
    snprintf(machine.root, sizeof machine.root, "%s", argv[1]);
    cw_probe(&machine, facts);
    cw_probe_files(&machine, "/run/causeway/nic", "/etc/systemd/system", facts);
    if (argc > 2) {
        json_t *all = cw_show_json(facts);
        json_dumpf(all, stdout, JSON_INDENT(1));
        printf("\n");
        json_decref(all);
    } else {
        cw_show_text(facts, stdout);
    }
    free(facts);
    return 0;
}
