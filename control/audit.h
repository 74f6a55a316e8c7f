/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who asks, what they may, and the audit of what they did: every command that changes something, and every
 * one that was refused for lack of rights, with who, from where, what, why (--reason), and what came of it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/link_tls.h"
#include "control/rpc.h"

#define CW_ASKER_SIZE   160u
#define CW_COMMAND_SIZE 512u
#define CW_REASON_MAX   500u

struct cw_controller;

struct cw_asker {
    enum cw_link_role role;
    char who[CW_ASKER_SIZE];  /* "root (uid 0, pid 4711)", "operator alice (serial 0A...)" */
    char from[CW_ASKER_SIZE]; /* "control.sock of east", "10.0.0.5:40112 at east" */
};

/* What an asker wants: kept by what takes long, for its last line. */
struct cw_asking {
    struct cw_asker asker;
    char command[CW_COMMAND_SIZE];
    char reason[CW_REASON_MAX + 1];
};

/* The other end of a local socket, by its credentials: root and the controller's own user are operators; so
 * is whoever the socket lets in, unless the configuration names the operators' group. */
void cw_asker_local(const struct cw_controller *controller, int fd, struct cw_asker *asker);
/* Method and parameters as one line, without what could move a terminal. */
void cw_asking_fill(struct cw_asking *asking, const struct cw_asker *asker, const char *method,
                    const json_t *params);
/* As an object (new reference), and back: false: it is none. Foreign bytes. */
json_t *cw_asking_to_json(const struct cw_asking *asking);
bool cw_asking_from_json(const json_t *object, struct cw_asking *asking);
/* "Only printable": control characters become '?'. In place. */
void cw_text_clean(char *text);

/* exit as the command line's. operation 0: it is over; else it has begun, or this is its end. Never fails:
 * what the book does not take is said on stderr, and by an event. */
void cw_audit(struct cw_controller *controller, const struct cw_asking *asking, const char *what, int exit,
              const char *words, uint64_t operation);
/* One that may not. Of many in a row not each has a line: then one has their number. */
void cw_audit_refused(struct cw_controller *controller, const struct cw_asking *asking, const char *words);
/* Once a tick: looks through the audit, and tells once what was done to it. */
void cw_audit_look(struct cw_controller *controller);
/* Looks through the next lines of this site's audit, so many at most, and tells of damage. */
void cw_audit_check(struct cw_controller *controller, uint32_t lines);
