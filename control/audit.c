/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/audit.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/controller.h"

#define GROUPS_MAX      256u
#define REFUSALS_BURST  30u
#define REFUSAL_NS      (10 * CW_SECOND) /* later, one line in that time */
#define LOOK_NS         (1 * CW_SECOND)
#define LOOK_LINES      500u
#define VALUE_SHOWN_MAX 100

/* ---------------------------------------------------------------- who */

/* From the file itself, and not by way of name services: those may be what burns, and nothing here may wait.
 */
static void name_of_user(uid_t uid, char *name, size_t size)
{
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *entry = NULL;
    while (file && (entry = fgetpwent(file)) != NULL && entry->pw_uid != uid)
        ;
    snprintf(name, size, "%.32s", entry ? entry->pw_name : "a user without a name");
    if (file)
        fclose(file);
}

static bool is_in_group(int fd, const struct ucred *peer, gid_t group)
{
    static gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof groups;
    if (peer->gid == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof groups[0]; i++) {
        if (groups[i] == group)
            return true;
    }
    return false;
}

void cw_asker_local(const struct cw_controller *controller, int fd, struct cw_asker *asker)
{
    struct ucred peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t size = sizeof peer;
    char name[64];
    const struct cw_node_config *config = &controller->config;
    *asker = (struct cw_asker){.role = CW_LINK_VIEWER};
    snprintf(asker->from, sizeof asker->from, "control socket of %s", config->site);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        snprintf(asker->who, sizeof asker->who, "somebody the kernel does not name");
        return;
    }
    name_of_user(peer.uid, name, sizeof name);
    cw_text_clean(name);
    snprintf(asker->who, sizeof asker->who, "%s (uid %u, gid %u, pid %d)", name, peer.uid, peer.gid,
             peer.pid);
    if (peer.uid == 0 || peer.uid == geteuid() || !config->has_operators ||
        is_in_group(fd, &peer, config->operators))
        asker->role = CW_LINK_OPERATOR;
}

/* ---------------------------------------------------------------- what */

void cw_text_clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static size_t show_value(const json_t *value, char *to, size_t size)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    bool is_plain = json_is_string(value) && text && strlen(text) >= 2 && !strpbrk(text, " \\");
    int length = is_plain ? (int)strlen(text) - 2 : text ? (int)strlen(text) : 0;
    int used = snprintf(to, size, "=%.*s", CW_MIN(length, VALUE_SHOWN_MAX), text ? text + is_plain : "");
    free(text);
    return CW_MIN((size_t)used, size - 1);
}

/* Text that was cut in the middle of a character is none for JSON: what is no ASCII of it goes. */
static json_t *text_or_none(const char *text)
{
    char plain[1024];
    json_t *json = json_string(text);
    if (json)
        return json;
    snprintf(plain, sizeof plain, "%s", text);
    for (char *at = plain; *at; at++) {
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    }
    return json_string(plain);
}

void cw_asking_fill(struct cw_asking *asking, const struct cw_asker *asker, const char *method,
                    const json_t *params)
{
    const char *key;
    json_t *value;
    *asking = (struct cw_asking){.asker = *asker};
    size_t size = sizeof asking->command, used = (size_t)snprintf(asking->command, size, "%.60s", method);
    json_object_foreach((json_t *)params, key, value)
    {
        if (strcmp(key, "reason") == 0 || json_is_false(value) || used + 2 >= size)
            continue;
        used += CW_MIN((size_t)snprintf(asking->command + used, size - used, " %.40s", key), size - used - 1);
        if (!json_is_true(value))
            used += show_value(value, asking->command + used, size - used);
    }
    snprintf(asking->reason, sizeof asking->reason, "%s", cw_json_text(params, "reason", ""));
    cw_text_clean(asking->command);
    cw_text_clean(asking->reason);
}

json_t *cw_asking_to_json(const struct cw_asking *asking)
{
    json_t *object = json_object();
    json_object_set_new(object, "role", json_integer(asking->asker.role));
    json_object_set_new(object, "who", text_or_none(asking->asker.who));
    json_object_set_new(object, "from", text_or_none(asking->asker.from));
    json_object_set_new(object, "command", text_or_none(asking->command));
    json_object_set_new(object, "reason", text_or_none(asking->reason));
    return object;
}

bool cw_asking_from_json(const json_t *object, struct cw_asking *asking)
{
    uint64_t role = cw_json_u64(object, "role", CW_LINK_NOBODY);
    const char *who = cw_json_text(object, "who", ""), *from = cw_json_text(object, "from", "");
    *asking = (struct cw_asking){0};
    if ((role != CW_LINK_VIEWER && role != CW_LINK_OPERATOR) || !*who || !*from)
        return false;
    asking->asker.role = (enum cw_link_role)role;
    snprintf(asking->asker.who, sizeof asking->asker.who, "%s", who);
    snprintf(asking->asker.from, sizeof asking->asker.from, "%s", from);
    snprintf(asking->command, sizeof asking->command, "%s", cw_json_text(object, "command", ""));
    snprintf(asking->reason, sizeof asking->reason, "%s", cw_json_text(object, "reason", ""));
    cw_text_clean(asking->asker.who);
    cw_text_clean(asking->asker.from);
    cw_text_clean(asking->command);
    cw_text_clean(asking->reason);
    return true;
}

/* ---------------------------------------------------------------- lines */

static double wall_seconds(void)
{
    struct timespec now; /* for people only */
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec * 1000 + now.tv_nsec / 1000000) / 1000.0;
}

void cw_audit(struct cw_controller *controller, const struct cw_asking *asking, const char *what, int exit,
              const char *words, uint64_t operation)
{
    char said[600];
    json_t *line = json_object();
    snprintf(said, sizeof said, "%s", words);
    cw_text_clean(said);
    json_object_set_new(line, "time", json_real(wall_seconds()));
    json_object_set_new(line, "site", json_string(controller->config.site));
    json_object_set_new(line, "who", text_or_none(asking->asker.who));
    json_object_set_new(line, "from", text_or_none(asking->asker.from));
    json_object_set_new(line, "command", text_or_none(asking->command));
    json_object_set_new(line, "reason", text_or_none(asking->reason));
    json_object_set_new(line, "what", json_string(what));
    json_object_set_new(line, "exit", json_integer(exit));
    json_object_set_new(line, "words", text_or_none(said));
    if (operation)
        json_object_set_new(line, "operation", json_integer((json_int_t)operation));
    fprintf(stderr, "audit: %s, %s: %s: %s%s%s\n", asking->asker.who, asking->asker.from, asking->command,
            what, *said ? ": " : "", said);
    bool is_taken;
    do {
        is_taken = cw_book_audit_add(controller->book, controller->config.site, line) == CW_OK;
    } while (!is_taken && cw_book_look(controller));
    if (!is_taken)
        cw_event(controller, 2, "", "the audit did not take a line: %.100s, by %.100s: %s", asking->command,
                 asking->asker.who, what);
    json_decref(line);
}

void cw_audit_refused(struct cw_controller *controller, const struct cw_asking *asking, const char *words)
{
    struct cw_audit_limit *limit = &controller->refusals;
    char said[400];
    while (limit->used > 0 && controller->now_ns - limit->refilled_ns >= REFUSAL_NS) {
        limit->used--;
        limit->refilled_ns += REFUSAL_NS;
    }
    if (limit->used == 0)
        limit->refilled_ns = controller->now_ns;
    if (limit->used >= REFUSALS_BURST) {
        limit->omitted++;
        return;
    }
    limit->used++;
    if (limit->omitted)
        snprintf(said, sizeof said, "%s; %lu more before it have no line", words, limit->omitted);
    else
        snprintf(said, sizeof said, "%s", words);
    limit->omitted = 0;
    cw_audit(controller, asking, "refused", 3, said, 0);
}

/* What was done to the audit, as it was just seen; an event tells it, once. */
static void tell_damage(struct cw_controller *controller, const char *why)
{
    snprintf(controller->audit_damage, sizeof controller->audit_damage, "%s", why);
    if (strcmp(controller->audit_told, why) == 0)
        return;
    snprintf(controller->audit_told, sizeof controller->audit_told, "%s", why);
    cw_event(controller, 2, "", "the audit at %s is not whole: %s", controller->config.site, why);
}

void cw_audit_check(struct cw_controller *controller, uint32_t lines)
{
    bool is_round;
    char why[sizeof controller->audit_damage];
    if (!cw_book_audit_check(controller->book, lines, &is_round, why, sizeof why)) {
        tell_damage(controller, why);
        controller->is_round_damaged = true;
    }
    if (!is_round)
        return;
    if (!controller->is_round_damaged)
        controller->audit_damage[0] = 0;
    controller->is_round_damaged = false;
    controller->audit_rounds++;
}

void cw_audit_look(struct cw_controller *controller)
{
    if (controller->now_ns < controller->audit_look_ns)
        return;
    controller->audit_look_ns = controller->now_ns + LOOK_NS;
    cw_audit_check(controller, LOOK_LINES);
}
