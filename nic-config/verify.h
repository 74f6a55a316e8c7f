/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `causeway nic verify`: finds prepared paths and their addresses, and becomes causeway-port-check, which sends the
 * packets and says what became of them.
 */
#pragma once

/* argv[0] is the word verify. Returns an exit code when it does not become that program: usage (2), not possible (1),
 * everything said. */
int cw_nic_verify(int argc, char **argv);
/* A line for an overview of commands, and the page of --help. */
extern const char cw_nic_verify_summary[], cw_nic_verify_help[];
