/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is logged in over the network: the established TCP connections that came to a port of sshd. Which ports these are is
 * told, each where it can be, by the sockets that its processes listen on (as root), by sshd_config, by the variable
 * SSH_CONNECTION of whoever called us, and by custom: 22. A connection that a process of sshd holds counts also where
 * somebody else listens for it (systemd), but not one that sshd made itself, for a tunnel: nobody listens there.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "nic-config/machine_live.h"

#define TABLE_BYTES_MAX (32u << 20) /* of /proc/net/tcp */
#define FILE_BYTES      (4u << 20)  /* of sshd_config, or an environment */
#define HELD_MAX        1024u       /* sockets of processes of sshd */
#define LOGINS_MAX      1024u
#define ANCESTORS_MAX   64u
#define TCP_ESTABLISHED 1u
#define TCP_LISTEN      10u

struct held {
    unsigned long long inode;
    char who[32];
};

struct ports {
    uint8_t bits[65536 / 8];
};

struct search {
    const struct cw_machine *machine;
    struct ports of_sshd, listened;
    struct held *held;
    size_t held_count;
    char pid[16], who[32]; /* of the process that is looked at */
    bool is_denied;        /* somebody's open files may not be seen */
    json_t *logins;
};

struct line {
    char local[INET6_ADDRSTRLEN], from[INET6_ADDRSTRLEN];
    unsigned local_port, state;
    unsigned long long inode;
};

static void add_port(struct ports *ports, unsigned port)
{
    if (port < 65536)
        ports->bits[port / 8] |= (uint8_t)(1u << port % 8);
}

static bool has_port(const struct ports *ports, unsigned port)
{
    return port < 65536 && (ports->bits[port / 8] >> port % 8 & 1) != 0;
}

static void add_login(struct search *search, const char *who, const char *from, const char *local)
{
    size_t i;
    json_t *login;
    json_array_foreach(search->logins, i,
                       login) if (strcmp(json_string_value(json_object_get(login, "from")), from) == 0 &&
                                  strcmp(json_string_value(json_object_get(login, "local")), local) == 0 &&
                                  (who[0] == '\0' || strcmp(json_string_value(json_object_get(login, "who")),
                                                            who) == 0)) return;
    if (json_array_size(search->logins) < LOGINS_MAX &&
        (login = json_pack("{s:s, s:s, s:s}", "who", who, "from", from, "local", local)) != NULL)
        json_array_append_new(search->logins, login);
}

/* "0100007F", or four such words: as the machine has them in memory. */
static bool read_address(const char *hex, char *text, size_t size)
{
    uint32_t words[4];
    size_t count = strlen(hex) / 8;
    if ((count != 1 && count != 4) || strlen(hex) % 8 != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        char part[9];
        snprintf(part, sizeof part, "%.8s", hex + 8 * i);
        words[i] = (uint32_t)strtoul(part, NULL, 16);
    }
    bool is_mapped = count == 4 && words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff);
    if (count == 1 || is_mapped)
        return inet_ntop(AF_INET, is_mapped ? &words[3] : words, text, (socklen_t)size) != NULL;
    return inet_ntop(AF_INET6, words, text, (socklen_t)size) != NULL;
}

static bool read_line(const char *text, struct line *line)
{
    char local[33], from[33];
    unsigned from_port;
    if (sscanf(text, " %*d: %32[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x %*x:%*x %*x:%*x %*x %*u %*u %llu", local,
               &line->local_port, from, &from_port, &line->state, &line->inode) != 6)
        return false;
    return read_address(local, line->local, sizeof line->local) &&
           read_address(from, line->from, sizeof line->from);
}

static const struct held *held_as(const struct search *search, unsigned long long inode)
{
    for (size_t i = 0; inode != 0 && i < search->held_count; i++)
        if (search->held[i].inode == inode)
            return &search->held[i];
    return NULL;
}

static void take_listener(struct search *search, const struct line *line)
{
    if (line->state != TCP_LISTEN)
        return;
    add_port(&search->listened, line->local_port);
    if (held_as(search, line->inode) != NULL)
        add_port(&search->of_sshd, line->local_port);
}

static void take_connection(struct search *search, const struct line *line)
{
    if (line->state != TCP_ESTABLISHED)
        return;
    const struct held *held = held_as(search, line->inode);
    if (has_port(&search->of_sshd, line->local_port) ||
        (held != NULL && has_port(&search->listened, line->local_port)))
        add_login(search, held != NULL ? held->who : "", line->from, line->local);
}

static bool each_line(struct search *search, const char *file,
                      void (*take)(struct search *search, const struct line *line))
{
    enum cw_status status;
    char *table = cw_machine_whole(search->machine, file, TABLE_BYTES_MAX, &status), *rest = table, *text;
    while (table != NULL && (text = strsep(&rest, "\n")) != NULL) {
        struct line line;
        if (read_line(text, &line))
            take(search, &line);
    }
    bool is_there = table != NULL;
    free(table);
    return is_there;
}

/* "sshd: alice [priv]", "sshd-session: alice@pts/0"; of whom it is not told yet, "". */
static void name_user(const char *title, char *who, size_t size)
{
    const char *colon = strstr(title, ": ");
    who[0] = '\0';
    if (colon == NULL || strstr(title, "[listener]") != NULL)
        return;
    int length = (int)strcspn(colon + 2, " @\n");
    if (colon[2] != '[' && colon[2] != '/')
        snprintf(who, size, "%.*s", length, colon + 2);
    for (char *c = who; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?'; /* JSON would refuse it as a whole */
}

static void take_descriptor(void *context, const char *name)
{
    struct search *search = context;
    char path[64], target[64];
    if ((size_t)snprintf(path, sizeof path, "/proc/%s/fd/%s", search->pid, name) >= sizeof path)
        return;
    struct held held = {0};
    if (cw_machine_target(search->machine, path, target, sizeof target) != CW_OK ||
        sscanf(target, "socket:[%llu]", &held.inode) != 1 || search->held_count == HELD_MAX)
        return;
    snprintf(held.who, sizeof held.who, "%s", search->who);
    struct held *known = (struct held *)held_as(search, held.inode);
    if (known == NULL)
        search->held[search->held_count++] = held;
    else if (known->who[0] == '\0')
        *known = held;
}

static void take_process(void *context, const char *pid)
{
    struct search *search = context;
    char path[64], name[32], title[256];
    if (!isdigit((unsigned char)pid[0]) || strlen(pid) >= sizeof search->pid)
        return;
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    if (cw_machine_text(search->machine, path, name, sizeof name) != CW_OK ||
        (strncmp(name, "sshd", 4) != 0 && strcmp(name, "dropbear") != 0))
        return;
    snprintf(search->pid, sizeof search->pid, "%s", pid);
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    enum cw_status status = cw_machine_text(search->machine, path, title, sizeof title);
    if (status != CW_OK && status != CW_RANGE)
        title[0] = '\0';
    name_user(title, search->who, sizeof search->who);
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    if (!cw_machine_list(search->machine, path, take_descriptor, search) &&
        (errno == EACCES || errno == EPERM))
        search->is_denied = true;
}

static void take_config(struct search *search, const char *file)
{
    enum cw_status status;
    char *text = cw_machine_whole(search->machine, file, FILE_BYTES, &status), *rest = text, *line;
    while (text != NULL && (line = strsep(&rest, "\n")) != NULL) {
        unsigned port;
        line += strspn(line, " \t");
        if (strncasecmp(line, "port", 4) == 0 && sscanf(line + 4, "%*[ \t=]%u", &port) == 1)
            add_port(&search->of_sshd, port);
    }
    free(text);
}

static void take_config_part(void *context, const char *name)
{
    char path[320];
    snprintf(path, sizeof path, "/etc/ssh/sshd_config.d/%s", name);
    take_config(context, path);
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* "192.0.2.1 50000 192.0.2.2 22" */
static void take_session(struct search *search, const char *words)
{
    char from[64], local[64];
    unsigned port;
    if (sscanf(words, "%63s %*u %63s %u", from, local, &port) != 3)
        return;
    from[strcspn(from, "%")] = '\0';
    local[strcspn(local, "%")] = '\0';
    if (!is_address(from) || !is_address(local))
        return;
    add_port(&search->of_sshd, port);
    add_login(search, "", from, local);
}

static int parent_of(const struct cw_machine *machine, int pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int parent = 0;
    if (cw_machine_text(machine, path, text, sizeof text) != CW_OK)
        return 0;
    const char *after_name = strrchr(text, ')'); /* the name may have anything in it */
    return after_name != NULL && sscanf(after_name + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* sudo gives us an environment without it, but those above us still have theirs. */
static void take_ancestors(struct search *search)
{
    static const char variable[] = "SSH_CONNECTION=";
    int pid = getpid();
    for (uint32_t i = 0; i < ANCESTORS_MAX && pid > 1; i++, pid = parent_of(search->machine, pid)) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/environ", pid);
        enum cw_status status;
        char *text = cw_machine_whole(search->machine, path, FILE_BYTES, &status), *rest = text, *line;
        while (text != NULL && (line = strsep(&rest, "\n")) != NULL)
            if (strncmp(line, variable, sizeof variable - 1) == 0)
                take_session(search, line + sizeof variable - 1);
        free(text);
    }
}

json_t *cw_machine_live_logins(const struct cw_machine *machine, char *why, size_t why_size)
{
    struct search *search = calloc(1, sizeof *search);
    struct held *held = calloc(HELD_MAX, sizeof *held);
    json_t *logins = json_array();
    bool is_known = false;
    if (search != NULL && held != NULL && logins != NULL) {
        *search = (struct search){.machine = machine, .held = held, .logins = logins};
        add_port(&search->of_sshd, 22);
        take_config(search, "/etc/ssh/sshd_config");
        cw_machine_list(machine, "/etc/ssh/sshd_config.d", take_config_part, search);
        cw_machine_list(machine, "/proc", take_process, search);
        is_known = each_line(search, "/proc/net/tcp", take_listener);
        each_line(search, "/proc/net/tcp6", take_listener);
        each_line(search, "/proc/net/tcp", take_connection);
        each_line(search, "/proc/net/tcp6", take_connection);
        take_ancestors(search);
        if (!is_known)
            snprintf(why, why_size, "/proc/net/tcp cannot be read");
        else if (search->is_denied)
            snprintf(why, why_size,
                     "which sockets are sshd's is for root to see: port 22 and those of "
                     "/etc/ssh/sshd_config were looked at");
    }
    free(held);
    free(search);
    if (is_known)
        return logins;
    json_decref(logins);
    return NULL;
}
