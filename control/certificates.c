/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/certificate_x509.h"

#define PATH_SIZE 512u
#define FILE_MAX  (16u * 1024 * 1024)
#define DAYS_MAX  36500
#define WAIT_MS   5000
#define LIST_FILE "certificates.json"

__attribute__((format(printf, 4, 5))) static enum cw_status refuse(enum cw_status status, char *why,
                                                                   size_t why_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return status;
}

/* ---------------------------------------------------------------- files */

/* The directory, open and locked against other commands for the time of one. */
struct place {
    int folder;
    int lock;
    const char *path;
};

static void place_close(struct place *place)
{
    if (place->lock >= 0)
        close(place->lock);
    if (place->folder >= 0)
        close(place->folder);
}

static bool take_lock(int lock)
{
    for (int waited = 0; flock(lock, LOCK_EX | LOCK_NB) < 0; waited += 10) {
        if (errno != EWOULDBLOCK || waited >= WAIT_MS)
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    return true;
}

static enum cw_status place_open(struct place *place, const char *path, char *why, size_t why_size)
{
    *place = (struct place){.lock = -1, .path = path};
    place->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->folder < 0)
        return refuse(errno == ENOENT ? CW_NOT_FOUND : CW_IO, why, why_size,
                      "%s: %s; causeway cert init makes an authority", path, strerror(errno));
    place->lock = openat(place->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (place->lock < 0)
        return refuse(CW_IO, why, why_size, "%s/lock: %s", path, strerror(errno));
    if (!take_lock(place->lock))
        return refuse(CW_AGAIN, why, why_size, "%s: another command is at work there; try again", path);
    return CW_OK;
}

static bool write_all(int fd, const char *text)
{
    for (size_t done = 0, length = strlen(text); done < length;) {
        ssize_t n = write(fd, text + done, length - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The file is there whole under its name, or as it was before. */
static enum cw_status write_file(int folder, const char *name, const char *text, mode_t mode, char *why,
                                 size_t why_size)
{
    char fresh[PATH_SIZE];
    CW_ASSERT(snprintf(fresh, sizeof fresh, "%s.new", name) < (int)sizeof fresh);
    (void)unlinkat(folder, fresh, 0); /* of a command that was killed */
    int fd = openat(folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool is_good = fd >= 0 && write_all(fd, text) && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (is_good && renameat(folder, fresh, folder, name) == 0 && fsync(folder) == 0)
        return CW_OK;
    if (is_good)
        error = errno;
    (void)unlinkat(folder, fresh, 0);
    return refuse(error == ENOSPC ? CW_NO_SPACE : CW_IO, why, why_size, "%s: %s", name, strerror(error));
}

/* For free(); NULL with words. */
static char *read_file(const struct place *place, const char *name, char *why, size_t why_size)
{
    struct stat about;
    int fd = openat(place->folder, name, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size <= (off_t)FILE_MAX)
        text = calloc(1, (size_t)about.st_size + 1);
    if (text && read(fd, text, (size_t)about.st_size) != about.st_size) {
        free(text);
        text = NULL;
    }
    if (!text)
        (void)refuse(CW_IO, why, why_size, "%s/%s: %s", place->path, name,
                     fd < 0 ? strerror(errno) : "cannot be read whole");
    if (fd >= 0)
        close(fd);
    return text;
}

/* ---------------------------------------------------------------- the list */

static const char *state_of(const json_t *line, int64_t now)
{
    if (json_integer_value(json_object_get(line, "revoked_at")) != 0)
        return "revoked";
    return json_integer_value(json_object_get(line, "valid_until")) <= now ? "expired" : "valid";
}

static bool is_valid(const json_t *line)
{
    return strcmp(state_of(line, (int64_t)time(NULL)), "valid") == 0;
}

static const char *text_in(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "";
}

/* Of somebody without one, as it was once written: an NBD client. */
static const char *role_in(const json_t *line)
{
    const char *role = text_in(line, "role");
    return *role ? role : *text_in(line, "site") ? "node" : "client";
}

/* What a line is found by, and its folder named after. */
struct name {
    const char *role, *site, *node;
};

static struct name name_in(const json_t *line)
{
    return (struct name){role_in(line), text_in(line, "site"), text_in(line, "node")};
}

static bool is_named(const json_t *line, const struct name *name)
{
    struct name own = name_in(line);
    return strcmp(own.role, name->role) == 0 && strcmp(own.site, name->site) == 0 &&
           strcmp(own.node, name->node) == 0;
}

static bool is_line_good(const json_t *line)
{
    return strlen(text_in(line, "serial")) == CW_SERIAL_TEXT - 1 &&
           json_is_string(json_object_get(line, "site")) && *text_in(line, "node") &&
           json_is_array(json_object_get(line, "hosts")) &&
           json_is_integer(json_object_get(line, "valid_from")) &&
           json_is_integer(json_object_get(line, "valid_until")) &&
           json_is_integer(json_object_get(line, "revoked_at"));
}

static json_t *list_read(const struct place *place, char *why, size_t why_size)
{
    json_error_t where;
    size_t index;
    json_t *line;
    char *text = read_file(place, LIST_FILE, why, why_size);
    json_t *list = text ? json_loads(text, 0, &where) : NULL;
    const char *wrong = list ? NULL : where.text;
    free(text);
    if (!text)
        return NULL;
    if (list && (!*text_in(list, "cluster") || !json_is_array(json_object_get(list, "certificates"))))
        wrong = "it has no cluster or no certificates";
    json_array_foreach(json_object_get(list, "certificates"), index, line)
    {
        if (!is_line_good(line))
            wrong = "a certificate in it lacks serial, site, node, hosts or times";
    }
    if (!wrong)
        return list;
    (void)refuse(CW_CORRUPT, why, why_size, "%s/" LIST_FILE ": %s; restore it from a backup", place->path,
                 wrong);
    json_decref(list);
    return NULL;
}

static enum cw_status list_write(const struct place *place, const json_t *list, char *why, size_t why_size)
{
    char *text = json_dumps(list, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    enum cw_status status = text ? write_file(place->folder, LIST_FILE, text, 0600, why, why_size) : CW_IO;
    free(text);
    return status;
}

/* ---------------------------------------------------------------- the authority's own files */

struct authority {
    struct place place;
    json_t *list;
    char *certificate, *key;
};

static void authority_close(struct authority *authority)
{
    if (authority->key)
        explicit_bzero(authority->key, strlen(authority->key));
    free(authority->key);
    free(authority->certificate);
    json_decref(authority->list);
    place_close(&authority->place);
}

static enum cw_status authority_open(struct authority *authority, const char *directory, char *why,
                                     size_t why_size)
{
    *authority = (struct authority){0};
    enum cw_status status = place_open(&authority->place, directory, why, why_size);
    if (status != CW_OK)
        return status;
    if (faccessat(authority->place.folder, LIST_FILE, F_OK, 0) != 0)
        return refuse(CW_NOT_FOUND, why, why_size, "%s: no authority; causeway cert init makes one",
                      directory);
    authority->list = list_read(&authority->place, why, why_size);
    authority->certificate = read_file(&authority->place, "ca-cert.pem", why, why_size);
    authority->key = read_file(&authority->place, "ca-key.pem", why, why_size);
    return authority->list && authority->certificate && authority->key ? CW_OK : CW_CORRUPT;
}

/* For free(); NULL with words. */
static char *revocation_list(const struct authority *authority, char *why, size_t why_size)
{
    json_t *lines = json_object_get(authority->list, "certificates"), *line;
    size_t index, count = 0;
    char *pem = NULL;
    struct cw_revocation *revoked = calloc(json_array_size(lines) + 1, sizeof *revoked);
    CW_ASSERT(revoked != NULL);
    json_array_foreach(lines, index, line)
    {
        int64_t when = json_integer_value(json_object_get(line, "revoked_at"));
        if (when == 0)
            continue;
        revoked[count].revoked_at = when;
        snprintf(revoked[count++].serial, CW_SERIAL_TEXT, "%s", text_in(line, "serial"));
    }
    enum cw_status status = cw_x509_revocations(authority->certificate, authority->key, revoked, count, &pem);
    free(revoked);
    if (status != CW_OK)
        (void)refuse(status, why, why_size, "%s: ca-cert.pem and ca-key.pem do not belong together",
                     authority->place.path);
    return pem;
}

/* ---------------------------------------------------------------- what goes to a node */

static void folder_name(char folder[PATH_SIZE], const struct name *name)
{
    int length = *name->site ? snprintf(folder, PATH_SIZE, "issued/%s/%s", name->site, name->node)
                             : snprintf(folder, PATH_SIZE, "%ss/%s", name->role, name->node);
    CW_ASSERT(length < (int)PATH_SIZE);
}

static void make_parents(int folder, const char *name)
{
    char parent[PATH_SIZE];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
        (void)mkdirat(folder, parent, 0700);
    }
}

static enum cw_status write_pair(int folder, const struct cw_pair *pair, bool is_client, char *why,
                                 size_t why_size)
{
    static const struct {
        const char *name;
        bool is_key;
    } files[] = {{"client-cert.pem", false},
                 {"client-key.pem", true},
                 {"server-cert.pem", false},
                 {"server-key.pem", true}};
    size_t count = is_client ? 2 : CW_COUNT_OF(files);
    enum cw_status status = CW_OK;
    for (size_t i = 0; i < count && status == CW_OK; i++)
        status = write_file(folder, files[i].name, files[i].is_key ? pair->key : pair->certificate,
                            files[i].is_key ? 0600 : 0644, why, why_size);
    return status;
}

/* Copies the authority's certificate and what it has revoked into the folder of a node. */
static enum cw_status write_trust(const struct authority *authority, int folder, const char *revocations,
                                  char *why, size_t why_size)
{
    enum cw_status status = write_file(folder, "ca-cert.pem", authority->certificate, 0644, why, why_size);
    return status == CW_OK ? write_file(folder, "ca-crl.pem", revocations, 0644, why, why_size) : status;
}

/* Not one step: a command killed in here leaves a pair that does not fit, which the next renewal mends. */
static enum cw_status write_folder(const struct authority *authority, const struct name *name,
                                   const struct cw_pair *pair, char *why, size_t why_size)
{
    char path[PATH_SIZE];
    folder_name(path, name);
    make_parents(authority->place.folder, path);
    if (mkdirat(authority->place.folder, path, 0700) != 0 && errno != EEXIST)
        return refuse(CW_IO, why, why_size, "%s/%s: %s", authority->place.path, path, strerror(errno));
    int folder = openat(authority->place.folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *revocations = folder >= 0 ? revocation_list(authority, why, why_size) : NULL;
    enum cw_status status = revocations ? write_pair(folder, pair, !*name->site, why, why_size) : CW_IO;
    if (status == CW_OK)
        status = write_trust(authority, folder, revocations, why, why_size);
    free(revocations);
    if (folder >= 0)
        close(folder);
    return status;
}

/* The new revocations, to the authority's own file and to every folder that was handed out. */
static enum cw_status spread_revocations(const struct authority *authority, char *why, size_t why_size)
{
    json_t *lines = json_object_get(authority->list, "certificates"), *line;
    size_t index;
    char *pem = revocation_list(authority, why, why_size);
    if (!pem)
        return CW_CORRUPT;
    enum cw_status status = write_file(authority->place.folder, "ca-crl.pem", pem, 0644, why, why_size);
    json_array_foreach(lines, index, line)
    {
        char path[PATH_SIZE];
        struct name name = name_in(line);
        folder_name(path, &name);
        int folder = openat(authority->place.folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0 || status != CW_OK)
            continue;
        status = write_file(folder, "ca-crl.pem", pem, 0644, why, why_size);
        close(folder);
    }
    free(pem);
    return status;
}

/* ---------------------------------------------------------------- public */

/* Also part of file names and of a URI. */
static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return *name && *name != '.' && *name != '-' && strlen(name) <= CW_CERTIFICATE_NAME_MAX &&
           strspn(name, letters) == strlen(name);
}

static enum cw_status check_days(int days, char *why, size_t why_size)
{
    if (days >= 1 && days <= DAYS_MAX)
        return CW_OK;
    return refuse(CW_INVALID, why, why_size, "%d days: expected 1 to %d", days, DAYS_MAX);
}

static enum cw_status check_name(const char *what, const char *name, char *why, size_t why_size)
{
    if (is_name(name))
        return CW_OK;
    return refuse(
        CW_INVALID, why, why_size,
        "%s \"%s\": expected 1 to %u letters, digits, \"_\", \"-\" and dots, no dot or hyphen first", what,
        name, CW_CERTIFICATE_NAME_MAX);
}

/* The list last: what has a list is an authority. */
static enum cw_status write_authority(struct authority *authority, const char *cluster,
                                      const struct cw_pair *pair, char *why, size_t why_size)
{
    authority->list = json_pack("{s:s,s:I,s:[]}", "cluster", cluster, "valid_until",
                                (json_int_t)pair->valid_until, "certificates");
    authority->certificate = strdup(pair->certificate);
    authority->key = strdup(pair->key);
    CW_ASSERT(authority->list && authority->certificate && authority->key);
    int folder = authority->place.folder;
    enum cw_status status = write_file(folder, "ca-key.pem", pair->key, 0600, why, why_size);
    if (status == CW_OK)
        status = write_file(folder, "ca-cert.pem", pair->certificate, 0644, why, why_size);
    if (status == CW_OK)
        status = spread_revocations(authority, why, why_size);
    return status == CW_OK ? list_write(&authority->place, authority->list, why, why_size) : status;
}

enum cw_status cw_authority_create(const char *directory, const char *cluster, int days, char *why,
                                   size_t why_size)
{
    struct authority authority = {0};
    struct cw_pair pair = {0};
    enum cw_status status = check_name("cluster", cluster, why, why_size);
    if (status == CW_OK)
        status = check_days(days, why, why_size);
    if (status != CW_OK)
        return status;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return refuse(CW_IO, why, why_size, "%s: %s", directory, strerror(errno));
    status = place_open(&authority.place, directory, why, why_size);
    if (status == CW_OK && faccessat(authority.place.folder, LIST_FILE, F_OK, 0) == 0)
        status =
            refuse(CW_EXISTS, why, why_size, "%s has an authority already; nodes trust that one", directory);
    if (status == CW_OK && cw_x509_authority(cluster, days, &pair) != CW_OK)
        status = refuse(CW_IO, why, why_size, "OpenSSL made no authority");
    if (status == CW_OK)
        status = write_authority(&authority, cluster, &pair, why, why_size);
    cw_pair_free(&pair);
    authority_close(&authority);
    return status;
}

static bool has_valid(const json_t *list, const struct name *name)
{
    size_t index;
    json_t *line;
    json_array_foreach(json_object_get(list, "certificates"), index, line)
    {
        if (is_named(line, name) && is_valid(line))
            return true;
    }
    return false;
}

/* The hosts of the newest certificate of this name: a renewal that names none keeps them. */
static const json_t *hosts_of(const json_t *list, const struct name *name)
{
    size_t index;
    json_t *line;
    const json_t *hosts = NULL;
    json_array_foreach(json_object_get(list, "certificates"), index, line)
    {
        if (is_named(line, name))
            hosts = json_object_get(line, "hosts");
    }
    return hosts;
}

static json_t *line_of(const struct cw_certificate_order *order, const struct cw_pair *pair)
{
    json_t *hosts = json_array();
    for (size_t i = 0; i < CW_CERTIFICATE_HOSTS && order->hosts[i]; i++)
        json_array_append_new(hosts, json_string(order->hosts[i]));
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:i}", "serial", pair->serial, "role", order->role, "site",
                     order->site, "node", order->node, "hosts", hosts, "valid_from",
                     (json_int_t)pair->valid_from, "valid_until", (json_int_t)pair->valid_until, "revoked_at",
                     0);
}

static enum cw_status issue(struct authority *authority, const struct cw_certificate_order *order,
                            json_t **certificate, char *why, size_t why_size)
{
    struct cw_pair pair;
    const char *hosts[CW_CERTIFICATE_HOSTS + 1] = {0};
    memcpy(hosts, order->hosts, sizeof order->hosts);
    struct cw_certificate_subject subject = {.cluster = text_in(authority->list, "cluster"),
                                             .site = order->site,
                                             .node = order->node,
                                             .role = order->role,
                                             .hosts = hosts,
                                             .days = order->days};
    enum cw_status status = cw_x509_issue(authority->certificate, authority->key, &subject, &pair);
    if (status != CW_OK)
        return refuse(status, why, why_size, "%s",
                      status == CW_RANGE     ? "it would be valid for longer than its authority; fewer --days"
                      : status == CW_INVALID ? "--host: expected names or addresses, not too many"
                      : status == CW_CORRUPT ? "ca-cert.pem and ca-key.pem do not belong together"
                                             : "OpenSSL made no certificate");
    *certificate = line_of(order, &pair);
    json_array_append(json_object_get(authority->list, "certificates"), *certificate);
    status = list_write(&authority->place, authority->list, why, why_size);
    if (status == CW_OK)
        status = write_folder(authority, &(struct name){order->role, order->site, order->node}, &pair, why,
                              why_size);
    cw_pair_free(&pair);
    return status;
}

/* Names, numbers, and what does not go together. */
static enum cw_status check_order(const struct cw_certificate_order *order, char *why, size_t why_size)
{
    enum cw_status status = order->site ? check_name("site", order->site, why, why_size) : CW_OK;
    if (status == CW_OK)
        status = check_name(order->site ? "node" : order->role, order->node, why, why_size);
    if (status == CW_OK)
        status = check_days(order->days, why, why_size);
    if (status == CW_OK && !order->site && order->hosts[0])
        status = refuse(CW_INVALID, why, why_size, "--host: nobody connects to a person or a client");
    return status;
}

/* Is there one already, or none yet, for a renewal? */
static enum cw_status check_presence(const json_t *list, const struct name *name, bool is_renewal, char *why,
                                     size_t why_size)
{
    const char *first = *name->site ? name->site : name->role, *between = *name->site ? "/" : " ";
    if (!is_renewal && has_valid(list, name))
        return refuse(CW_EXISTS, why, why_size,
                      "%s%s%s has a valid certificate; causeway cert renew makes the next one", first,
                      between, name->node);
    if (is_renewal && !hosts_of(list, name))
        return refuse(CW_NOT_FOUND, why, why_size, "%s%s%s has no certificate; causeway cert issue makes one",
                      first, between, name->node);
    return CW_OK;
}

enum cw_status cw_authority_issue(const char *directory, const struct cw_certificate_order *order,
                                  bool is_renewal, json_t **certificate, char *why, size_t why_size)
{
    struct authority authority;
    struct cw_certificate_order filled = *order;
    *certificate = NULL;
    CW_ASSERT(order->site || order->role);
    enum cw_status status = check_order(order, why, why_size);
    if (status != CW_OK)
        return status;
    filled.site = order->site ? order->site : "";
    filled.role = order->site ? "node" : order->role;
    struct name name = {filled.role, filled.site, filled.node};
    status = authority_open(&authority, directory, why, why_size);
    if (status == CW_OK)
        status = check_presence(authority.list, &name, is_renewal, why, why_size);
    const json_t *hosts = status == CW_OK ? hosts_of(authority.list, &name) : NULL;
    for (size_t i = 0;
         is_renewal && !order->hosts[0] && i < CW_MIN(json_array_size(hosts), CW_CERTIFICATE_HOSTS); i++)
        filled.hosts[i] = json_string_value(json_array_get(hosts, i));
    if (status == CW_OK)
        status = issue(&authority, &filled, certificate, why, why_size);
    if (status != CW_OK) {
        json_decref(*certificate);
        *certificate = NULL;
    }
    authority_close(&authority);
    return status;
}

/* name: SITE/NODE, ROLE:NAME or a serial. */
static bool is_meant(const json_t *line, const char *name)
{
    char full[2 * CW_CERTIFICATE_NAME_MAX + 2];
    struct name own = name_in(line);
    snprintf(full, sizeof full, "%s%s%s", *own.site ? own.site : own.role, *own.site ? "/" : ":", own.node);
    return strcmp(full, name) == 0 || strcasecmp(text_in(line, "serial"), name) == 0;
}

enum cw_status cw_authority_revoke(const char *directory, const char *name, size_t *count, char *why,
                                   size_t why_size)
{
    struct authority authority;
    size_t index, meant = 0;
    json_t *line;
    *count = 0;
    enum cw_status status = authority_open(&authority, directory, why, why_size);
    json_array_foreach(json_object_get(authority.list, "certificates"), index, line)
    {
        if (!is_meant(line, name))
            continue;
        meant++;
        *count += is_valid(line);
        if (is_valid(line))
            json_object_set_new(line, "revoked_at", json_integer((json_int_t)time(NULL)));
    }
    if (status == CW_OK && meant == 0)
        status = refuse(CW_NOT_FOUND, why, why_size,
                        "there is no certificate of %s; causeway cert list shows all", name);
    if (status == CW_OK && *count > 0)
        status = list_write(&authority.place, authority.list, why, why_size);
    if (status == CW_OK) /* also when there is nothing new: a command killed in between is made good */
        status = spread_revocations(&authority, why, why_size);
    authority_close(&authority);
    return status;
}

enum cw_status cw_authority_list(const char *directory, json_t **list, char *why, size_t why_size)
{
    struct authority authority;
    size_t index;
    json_t *line;
    *list = NULL;
    enum cw_status status = authority_open(&authority, directory, why, why_size);
    if (status == CW_OK) {
        json_array_foreach(json_object_get(authority.list, "certificates"), index, line)
        {
            json_object_set_new(line, "role", json_string(role_in(line)));
            json_object_set_new(line, "state", json_string(state_of(line, (int64_t)time(NULL))));
        }
        *list = json_incref(authority.list);
    }
    authority_close(&authority);
    return status;
}
