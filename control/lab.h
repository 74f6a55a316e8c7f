/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lab: whole sites on this machine, real engines and controllers, for trying, testing and rehearsing.
 *
 *   LAB/lab.json            what was asked for; a directory without it is no lab and is never removed
 *   LAB/cluster.key         32 random bytes, 0600; or, with --tls,
 *   LAB/authority/          as causeway cert init makes it, with a certificate for each site; engines read
 *                           theirs there
 *   LAB/store.db            the embedded store of all controllers; untouched by kill, start, cut and heal.
 *                           Not with a witness: then SITE/etcd.yaml etcd.log etcd.pid, a member each
 *   LAB/cuts.json           what does not reach whom at present
 *   LAB/link/A-B.sock       memif, and A-B+1.sock for a second path; with a WAN wanN-0.sock and wanN-1.sock,
 *                           and wanN.log .pid .json of its wanem
 *   LAB/SITE/node.yaml      configuration; engine.sock control.sock nbd/ engine.log control.log *.pid
 *   storage_root/SITE/      volumes and journals: in LAB, or outside it when LAB's file system is the wrong
 *                           kind
 *
 * With veth every site has a network namespace of its own, cwTAG-SITE, where TAG is a hash of LAB's path, so
 * that several labs stand side by side.
 *
 * With a witness: the store is an etcd of three members, one at each of three sites, the last of which has a
 * controller and no engine; controllers are linked, and all of that is by certificates. Whatever the link is,
 * each site has its namespace then, in which all of it runs, and a control network of its own kind joins them
 * (lab_control.c). Where no namespaces can be made it is this machine's loopback, which cannot be cut.
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
    bool has_witness; /* the last of sites is one */
    bool has_spaces;  /* a namespace each */
    bool has_tls;     /* certificates between the sites, of an authority in LAB/authority; else a key */
    uint32_t mtu;
    uint32_t path_count;       /* between each two sites */
    uint32_t net_lcores;       /* of each engine, beside one for storage; 0: one thread does both */
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
enum cw_lab_program {
    CW_LAB_ENGINE = 0,
    CW_LAB_CONTROL,
    CW_LAB_ETCD,
    CW_LAB_PROGRAMS,
    CW_LAB_WANEM = CW_LAB_PROGRAMS
};

/* What does not reach whom: [from][to], by the numbers of the sites. */
struct cw_lab_cuts {
    bool data[CW_LAB_SITES_MAX][CW_LAB_SITES_MAX], control[CW_LAB_SITES_MAX][CW_LAB_SITES_MAX];
};

/* lab_files.c. All return false with words in why. */
bool cw_lab_load(const char *directory, struct cw_lab *lab, char *why, size_t why_size);
bool cw_lab_make_files(const struct cw_lab *lab, char *why, size_t why_size);
bool cw_lab_remove_files(const struct cw_lab *lab, char *why, size_t why_size);
#define CW_LAB_LIST_SIZE (CW_LAB_SITES_MAX * (CW_NAME_SIZE + 2))
/* "east, west" */
const char *cw_lab_site_list(const struct cw_lab *lab, char *text, size_t size);
bool cw_lab_has_site(const struct cw_lab *lab, const char *site);
/* Its number; site_count: it is none of the lab's. */
uint32_t cw_lab_site_index(const struct cw_lab *lab, const char *site);
/* Those with an engine come first. */
uint32_t cw_lab_engine_count(const struct cw_lab *lab);
bool cw_lab_has_program(const struct cw_lab *lab, const char *site, enum cw_lab_program program);
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
/* May we make network namespaces? */
bool cw_lab_may_have_spaces(const struct cw_lab *lab);
/* Runs a program and waits. true: exit 0. */
bool cw_lab_run(const char *const *arguments, bool is_quiet);

/* lab_control.c: the control network of a lab with a witness. */
#define CW_LAB_IP_SIZE 16u
/* The address of a site in it, and the port of its controller. */
#define CW_LAB_CONTROL_PORT 7443
void cw_lab_control_ip(const struct cw_lab *lab, uint32_t site, char *text, size_t size);
bool cw_lab_control_up(const struct cw_lab *lab);
/* Whether what `from` sends to `to` arrives, from now on. Only where each site has a namespace. */
bool cw_lab_control_set(const struct cw_lab *lab, uint32_t from, uint32_t to, bool is_cut);

/* lab_cut.c: cuts of both networks, kept in a file, so that they outlive engines. */
void cw_lab_cuts_load(const struct cw_lab *lab, struct cw_lab_cuts *cuts);
/* {"data": [{"from","to"}], "control": [...]}; new reference. */
json_t *cw_lab_cuts_list(const struct cw_lab *lab, const struct cw_lab_cuts *cuts);
bool cw_lab_cuts_save(const struct cw_lab *lab, const struct cw_lab_cuts *cuts);
/* Tells the engine of a site what it is to drop. false: it did not answer; words in failure. */
bool cw_lab_cuts_tell(const struct cw_lab *lab, const struct cw_lab_cuts *cuts, uint32_t site,
                      struct cw_rpc_failure *failure);

/* lab_etcd.c: the members of the store of a lab with a witness. */
/* Is etcd there? */
bool cw_lab_etcd_check(char *why, size_t why_size);
/* What a member is told, and what a controller is told of them, as YAML lines. */
bool cw_lab_etcd_write(const struct cw_lab *lab, uint32_t site, char *why, size_t why_size);
void cw_lab_etcd_write_store(const struct cw_lab *lab, uint32_t site, void *file);
/* Until a quorum answers at the member of this site, for limit_ms at most. false: why has the end of a log,
 * or how long. */
bool cw_lab_etcd_wait(const struct cw_cli *cli, const struct cw_lab *lab, const char *site, int limit_ms,
                      char *why, size_t why_size);

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
/* Has a program that was started ended? By its pid alone: until fork, exec and what is between are through,
 * nobody can know it by its name. One that is a child of this process is to be waited for before. */
bool cw_lab_pid_ended(const char *pid_file);
/* In a child: nothing to read, output to the end of this file, nothing else open. */
void cw_lab_output_to(const char *log);
/* The end of a log, after `what` has ended. */
void cw_lab_tell_log(const char *what, const char *log, char *why, size_t why_size);
/* The same of a program of a site. */
void cw_lab_tell_program(const struct cw_lab *lab, const char *site, enum cw_lab_program program, char *why,
                         size_t why_size);
/* SIGTERM, and SIGKILL if that does not help. */
void cw_lab_end(int pid);
bool cw_lab_is_running(const struct cw_lab *lab, const char *site, enum cw_lab_program program);
bool cw_lab_has_ended(const struct cw_lab *lab, const char *site, enum cw_lab_program program);
/* Starts what does not run of these programs, [first, last]. */
bool cw_lab_start_programs(const struct cw_lab *lab, const char *site, enum cw_lab_program first,
                           enum cw_lab_program last, char *why, size_t why_size);
/* The same of engine and controller. */
bool cw_lab_start_site(const struct cw_lab *lab, const char *site, char *why, size_t why_size);
/* Until engine and controller of the site answer. false: why has the end of a log. */
bool cw_lab_wait_ready(const struct cw_cli *cli, const struct cw_lab *lab, const char *site, char *why,
                       size_t why_size);
/* SIGKILL to all of them, at once; true if anything ran. */
bool cw_lab_kill_site(const struct cw_lab *lab, const char *site);
/* Engine and controller in order: the engine is asked, then SIGTERM, then SIGKILL. */
void cw_lab_stop_site(const struct cw_cli *cli, const struct cw_lab *lab, const char *site);
/* And then the member of etcd, when nobody needs it any more. */
void cw_lab_stop_etcd(const struct cw_lab *lab, const char *site);
