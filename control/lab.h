/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lab: whole sites on this machine, real engines and controllers, for trying, testing and rehearsing.
 *
 *   LAB/lab.json            what was asked for; a directory without it is no lab and is never removed
 *   LAB/cluster.key         32 random bytes, 0600; or, with --tls,
 *   LAB/authority/          as causeway cert init makes it, with a certificate for each site; engines read
 *                           theirs there
 *   LAB/store.db            the embedded store of all controllers; untouched by kill, start, cut and heal
 *   LAB/link/A-B.sock       memif, and A-B+1.sock for a second path; with a WAN wanN-0.sock and wanN-1.sock,
 *                           and wanN.log .pid .json of its wanem
 *   LAB/SITE/node.yaml      configuration; engine.sock control.sock nbd/ engine.log control.log *.pid
 *   storage_root/SITE/      volumes and journals: in LAB, or outside it when LAB's file system is the wrong
 *                           kind
 *
 * With veth every site has a network namespace of its own, cwTAG-SITE, where TAG is a hash of LAB's path, so
 * that several labs stand side by side.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/cli.h"
#include "control/decide.h"

#define CW_LAB_SITES_MAX      3u
#define CW_LAB_PATHS_MAX      4u /* between two sites */
#define CW_LAB_LINES_MAX      (CW_LAB_SITES_MAX * (CW_LAB_SITES_MAX - 1) / 2 * CW_LAB_PATHS_MAX)
#define CW_LAB_WAN_SIZE       256u
#define CW_LAB_DIRECTORY_SIZE 72u /* sockets below it must fit into 107 bytes */

struct cw_lab {
    char directory[CW_LAB_DIRECTORY_SIZE];
    uint32_t site_count;
    char sites[CW_LAB_SITES_MAX][CW_NAME_SIZE];
    bool is_veth, is_memory;
    bool has_tls; /* certificates between the sites, of an authority in LAB/authority; else a key */
    uint32_t mtu;
    uint32_t path_count;       /* between each two sites */
    char wan[CW_LAB_WAN_SIZE]; /* what lies between the sites, as wanem understands it; "": a plain wire */
    char storage_root[CW_LAB_PATH_SIZE];
    char tag[8];
};

/* One path between two sites, a before b in the list. The path's name is wanNUMBER at both. */
struct cw_lab_line {
    uint32_t number; /* in the lab */
    uint32_t a, b;
    uint32_t path; /* which of theirs */
};

/* Those of a site, and wanem, which belongs to a line. */
enum cw_lab_program { CW_LAB_ENGINE = 0, CW_LAB_CONTROL, CW_LAB_PROGRAMS, CW_LAB_WANEM = CW_LAB_PROGRAMS };

/* lab_files.c. All return false with words in why. */
bool cw_lab_load(const char *directory, struct cw_lab *lab, char *why, size_t why_size);
bool cw_lab_make_files(const struct cw_lab *lab, char *why, size_t why_size);
bool cw_lab_remove_files(const struct cw_lab *lab, char *why, size_t why_size);
#define CW_LAB_LIST_SIZE (CW_LAB_SITES_MAX * (CW_NAME_SIZE + 2))
/* "east, west" */
const char *cw_lab_site_list(const struct cw_lab *lab, char *text, size_t size);
bool cw_lab_has_site(const struct cw_lab *lab, const char *site);
/* Chooses where data goes and the tag, from directory and is_memory. */
bool cw_lab_plan(struct cw_lab *lab, char *why, size_t why_size);
void cw_lab_site_file(const struct cw_lab *lab, const char *site, const char *name, char *path, size_t size);

/* lab_link.c */
/* All lines of the lab; their number. */
uint32_t cw_lab_lines(const struct cw_lab *lab, struct cw_lab_line lines[CW_LAB_LINES_MAX]);
/* Device string, addresses and so on of a line as one of its two sites has it, as YAML lines. */
void cw_lab_write_path(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t site, void *file);
bool cw_lab_link_up(const struct cw_lab *lab, char *why, size_t why_size);
void cw_lab_link_down(const struct cw_lab *lab);
/* Removes what a killed engine of this site left of its memif sockets. */
void cw_lab_link_clean(const struct cw_lab *lab, const char *site);
void cw_lab_namespace(const struct cw_lab *lab, const char *site, char *name, size_t size);
/* With a WAN: the namespace of the line's wanem, and the device of its end towards one of the two sites. */
void cw_lab_wan_namespace(const struct cw_lab *lab, const struct cw_lab_line *line, char *name, size_t size);
void cw_lab_wan_device(const struct cw_lab *lab, const struct cw_lab_line *line, uint32_t towards,
                       char *device, size_t size);
/* Runs a program and waits. true: exit 0. */
bool cw_lab_run(const char *const *arguments, bool is_quiet);

/* lab_wan.c: a wanem for each line of a lab with a WAN; nothing to do in others. */
/* Does wanem understand it? 0 or an exit code, with words in why. */
int cw_lab_wan_check(const struct cw_lab *lab, char *why, size_t why_size);
/* Starts those that do not run, and waits until they do. */
bool cw_lab_wan_start(const struct cw_lab *lab, char *why, size_t why_size);
void cw_lab_wan_stop(const struct cw_lab *lab);
/* [{"sites": [A, B], "path": NAME, "running": true, "counters": what wanem wrote last, or null}]. New
 * reference. */
json_t *cw_lab_wan_status(const struct cw_lab *lab);

/* lab_process.c */
/* The file to run: beside this binary, or in the build tree, or what an environment variable names. */
const char *cw_lab_program_file(enum cw_lab_program program);
/* The pid in a file, if that process is this program and has `argument` among its arguments; else 0. */
int cw_lab_pid_read(const char *pid_file, enum cw_lab_program program, const char *argument);
bool cw_lab_pid_write(const char *pid_file, int pid);
/* In a child: nothing to read, output to the end of this file, nothing else open. */
void cw_lab_output_to(const char *log);
/* The end of a log, after `what` has ended. */
void cw_lab_tell_log(const char *what, const char *log, char *why, size_t why_size);
/* SIGTERM, and SIGKILL if that does not help. */
void cw_lab_end(int pid);
bool cw_lab_is_running(const struct cw_lab *lab, const char *site, enum cw_lab_program program);
/* Starts what does not run. */
bool cw_lab_start_site(const struct cw_lab *lab, const char *site, char *why, size_t why_size);
/* Until engine and controller of the site answer. false: why has the end of a log. */
bool cw_lab_wait_ready(const struct cw_cli *cli, const struct cw_lab *lab, const char *site, char *why,
                       size_t why_size);
/* SIGKILL to both, at once; true if anything ran. */
bool cw_lab_kill_site(const struct cw_lab *lab, const char *site);
/* In order: the engine is asked, then SIGTERM, then SIGKILL. */
void cw_lab_stop_site(const struct cw_cli *cli, const struct cw_lab *lab, const char *site);
