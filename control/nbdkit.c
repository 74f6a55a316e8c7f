/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attachments beyond a volume's own NBD socket, kept by the controller of the site that is primary:
 *   nbd      a symbolic link at the path that was asked for, to this site's socket
 *   nbd-tls  a stock nbdkit with its nbd plugin in front: TCP and TLS are not ours to write. A client must
 *            show a certificate of the same authority: who can reach the port is not who may read the volume
 * nbdkit ends with its controller (--exit-with-parent), and is started again after a growing pause if it
 * dies. Told to end it first waits for what its clients asked; what is held here may be held for long, so it
 * is killed after a while.
 *
 * It reads its certificates and the list of revocations once, when it starts, and without a list it believes
 * whoever was revoked. So it is started with a list only, and ended and started again when the files have
 * changed and then rest for a second: that also ends the sessions of a client that is revoked now. While a
 * file is missing, or the list is not the authority's (revocations.h), the one that runs stays, with what it
 * has read.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/controller.h"
#include "control/revocations.h"

#define BACKOFF_MIN_NS (500 * CW_MS)
#define BACKOFF_MAX_NS (30 * CW_SECOND)
#define END_NS         (2 * CW_SECOND)
#define LOOK_NS        CW_SECOND

/* Is this volume open for clients at this site? */
static bool is_open_here(const struct cw_controller *controller, uint32_t group, int32_t volume)
{
    const json_t *engine = cw_engine_volume(cw_engine_group(controller, group), volume);
    const struct cw_store_group *found = cw_view_group_by_id(controller->view, group);
    return found && strcmp(found->authority.holder, controller->config.site) == 0 &&
           cw_json_bool(engine, "open", false);
}

/* ---------------------------------------------------------------- links */

static bool leads_to(const char *address, const char *wanted)
{
    char target[CW_STORE_PATH_SIZE];
    ssize_t length = readlink(address, target, sizeof target);
    return length > 0 && (size_t)length == strlen(wanted) && memcmp(target, wanted, (size_t)length) == 0;
}

/* Remembers a link of ours, so that it goes with its attachment. */
static void remember_link(struct cw_controller *controller, const struct cw_store_place *place,
                          const char *address)
{
    struct cw_link *free_one = NULL;
    for (uint32_t i = 0; i < CW_NODE_EXPORTS_MAX; i++) {
        struct cw_link *link = &controller->links[i];
        if (strcmp(link->address, address) == 0)
            free_one = link;
        else if (!link->address[0] && !free_one)
            free_one = link;
    }
    if (!free_one)
        return;
    snprintf(free_one->address, sizeof free_one->address, "%s", address);
    snprintf(free_one->target, sizeof free_one->target, "%s", place->socket);
}

static void keep_link(struct cw_controller *controller, const struct cw_store_place *place,
                      const char *address)
{
    char fresh[CW_STORE_PATH_SIZE + 8];
    struct stat about;
    if (lstat(address, &about) == 0 && !S_ISLNK(about.st_mode))
        return; /* not ours to replace */
    remember_link(controller, place, address);
    if (leads_to(address, place->socket))
        return;
    snprintf(fresh, sizeof fresh, "%s.new", address);
    (void)unlink(fresh);
    if (symlink(place->socket, fresh) < 0 || rename(fresh, address) < 0)
        fprintf(stderr, "%s: %s\n", address, strerror(errno));
}

static bool is_link_wanted(const struct cw_controller *controller, const char *address)
{
    for (uint32_t i = 0; i < controller->view->attachment_count; i++) {
        const struct cw_store_attachment *attachment = &controller->view->attachments[i];
        if (strcmp(attachment->kind, "nbd") == 0 && strcmp(attachment->address, address) == 0)
            return true;
    }
    return false;
}

/* Links whose attachment is gone; one that leads elsewhere by now is another site's. */
static void drop_links(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_NODE_EXPORTS_MAX; i++) {
        struct cw_link *link = &controller->links[i];
        if (!link->address[0] || is_link_wanted(controller, link->address))
            continue;
        if (leads_to(link->address, link->target))
            (void)unlink(link->address);
        *link = (struct cw_link){0};
    }
}

/* ---------------------------------------------------------------- its certificates */

enum { AUTHORITIES, CERTIFICATE, KEY, REVOCATIONS };

static const struct {
    const char *name, *next_step;
} files[] = {
    [AUTHORITIES] = {"ca-cert.pem", "causeway cert issue makes it (see nbdkit-tls(1))"},
    [CERTIFICATE] = {"server-cert.pem", "causeway cert issue makes it (see nbdkit-tls(1))"},
    [KEY] = {"server-key.pem", "causeway cert issue makes it (see nbdkit-tls(1))"},
    [REVOCATIONS] = {"ca-crl.pem",
                     "copy the authority's list of revocations there, without which a client that is revoked "
                     "would be let in"},
};
static_assert(CW_COUNT_OF(files) == CW_NBDKIT_FILES, "a stamp for each");

static void file_path(char path[CW_STORE_PATH_SIZE + 32], const char *directory, size_t file)
{
    snprintf(path, CW_STORE_PATH_SIZE + 32, "%s/%s", directory, files[file].name);
}

bool cw_nbdkit_has_files(const char *directory, char *why, size_t why_size)
{
    char path[CW_STORE_PATH_SIZE + 32], authorities[CW_STORE_PATH_SIZE + 32];
    for (size_t i = 0; i < CW_NBDKIT_FILES; i++) {
        file_path(path, directory, i);
        if (access(path, R_OK) == 0)
            continue;
        snprintf(why, why_size, "%s: %s; %s", path, strerror(errno), files[i].next_step);
        return false;
    }
    file_path(authorities, directory, AUTHORITIES);
    file_path(path, directory, REVOCATIONS);
    return cw_revocations_fit(authorities, path, why, why_size);
}

static void take_stamps(const char *directory, struct cw_file_stamp stamps[CW_NBDKIT_FILES])
{
    char path[CW_STORE_PATH_SIZE + 32];
    for (size_t i = 0; i < CW_NBDKIT_FILES; i++) {
        struct stat about = {0};
        file_path(path, directory, i);
        (void)stat(path, &about);
        stamps[i] = (struct cw_file_stamp){.seconds = about.st_mtim.tv_sec,
                                           .nanoseconds = about.st_mtim.tv_nsec,
                                           .size = about.st_size,
                                           .inode = about.st_ino};
    }
}

static bool is_same(const struct cw_file_stamp one[CW_NBDKIT_FILES],
                    const struct cw_file_stamp two[CW_NBDKIT_FILES])
{
    return memcmp(one, two, CW_NBDKIT_FILES * sizeof one[0]) == 0;
}

/* Tells once of files that are not there or will not do. */
static bool has_files(struct cw_controller *controller, struct cw_nbdkit *nbdkit,
                      const struct cw_store_attachment *attachment)
{
    char why[CW_STORE_PATH_SIZE + 512];
    bool is_good = cw_nbdkit_has_files(attachment->certificates, why, sizeof why);
    if (!is_good && !nbdkit->is_lack_told)
        cw_event(controller, 2, "", "NBD by TLS at %s %s: %s", attachment->address,
                 nbdkit->pid ? "stays with the certificates that it has read" : "is not served", why);
    nbdkit->is_lack_told = !is_good;
    return is_good;
}

/* Are they other ones than nbdkit was started with, all there, and unchanged since the last look? */
static bool is_outdated(struct cw_controller *controller, struct cw_nbdkit *nbdkit,
                        const struct cw_store_attachment *attachment)
{
    struct cw_file_stamp fresh[CW_NBDKIT_FILES];
    if (controller->now_ns < nbdkit->look_ns)
        return false;
    nbdkit->look_ns = controller->now_ns + LOOK_NS;
    take_stamps(attachment->certificates, fresh);
    bool rests = is_same(fresh, nbdkit->seen);
    memcpy(nbdkit->seen, fresh, sizeof fresh);
    if (is_same(fresh, nbdkit->used)) {
        nbdkit->is_lack_told = false;
        return false;
    }
    return rests && has_files(controller, nbdkit, attachment);
}

/* ---------------------------------------------------------------- nbdkit */

static struct cw_nbdkit *nbdkit_of(struct cw_controller *controller,
                                   const struct cw_store_attachment *attachment)
{
    struct cw_nbdkit *free_one = NULL;
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        struct cw_nbdkit *nbdkit = &controller->nbdkits[i];
        if (nbdkit->group == attachment->group && nbdkit->volume == attachment->volume)
            return nbdkit;
        if (nbdkit->group == 0 && !free_one)
            free_one = nbdkit;
    }
    if (free_one)
        *free_one = (struct cw_nbdkit){
            .group = attachment->group, .volume = attachment->volume, .backoff_ns = BACKOFF_MIN_NS};
    return free_one;
}

/* "HOST:PORT", "[IPV6]:PORT" or "PORT"; host: "" for any. The text is cut up in place. */
static void split_address(char *address, const char **host, const char **port)
{
    char *colon = strrchr(address, ':');
    *host = "";
    *port = address;
    if (!colon)
        return;
    *colon = 0;
    *port = colon + 1;
    *host = address;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        *host = address + 1;
    }
}

/* In the child: becomes nbdkit, or ends. */
__attribute__((noreturn)) static void become_nbdkit(const struct cw_store_attachment *attachment,
                                                    const char *socket, const char *export)
{
    char certificates[CW_STORE_PATH_SIZE + 32], upstream[CW_STORE_PATH_SIZE + 16], name[64];
    char address[CW_STORE_PATH_SIZE];
    const char *host, *port;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(address, sizeof address, "%s", attachment->address);
    split_address(address, &host, &port);
    snprintf(certificates, sizeof certificates, "--tls-certificates=%s", attachment->certificates);
    snprintf(upstream, sizeof upstream, "socket=%s", socket);
    snprintf(name, sizeof name, "export=%s", export);
    /* Without -i it listens on all addresses; an empty host would be looked up as a name. */
    execlp("nbdkit", "nbdkit", "-f", "--exit-with-parent", "--tls=require", "--tls-verify-peer", certificates,
           "-p", port, "nbd", upstream, name, host[0] ? "-i" : NULL, host, (char *)NULL);
    fprintf(stderr, "nbdkit cannot be started: %s\n", strerror(errno));
    _exit(127);
}

static const char *volume_name(const struct cw_controller *controller, uint32_t group, int32_t volume)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group); i++) {
        if (view->volumes[i].volume == volume)
            return view->volumes[i].name;
    }
    return "";
}

static void start(struct cw_controller *controller, struct cw_nbdkit *nbdkit,
                  const struct cw_store_attachment *attachment, const struct cw_store_place *place)
{
    const char *export = volume_name(controller, attachment->group, attachment->volume);
    take_stamps(attachment->certificates, nbdkit->used); /* before it reads them: rather once too often */
    memcpy(nbdkit->seen, nbdkit->used, sizeof nbdkit->seen);
    int pid = fork();
    if (pid == 0)
        become_nbdkit(attachment, place->socket, export);
    if (pid < 0)
        return;
    nbdkit->pid = pid;
    nbdkit->started_ns = controller->now_ns;
    snprintf(nbdkit->address, sizeof nbdkit->address, "%s", attachment->address);
    snprintf(nbdkit->certificates, sizeof nbdkit->certificates, "%s", attachment->certificates);
    cw_event(controller, 0, "", "nbdkit %d serves %s by TLS at %s", pid, export, attachment->address);
}

static void keep_nbdkit(struct cw_controller *controller, const struct cw_store_attachment *attachment,
                        const struct cw_store_place *place)
{
    struct cw_nbdkit *nbdkit = nbdkit_of(controller, attachment);
    if (!nbdkit)
        return;
    bool is_as_wanted = strcmp(nbdkit->address, attachment->address) == 0 &&
                        strcmp(nbdkit->certificates, attachment->certificates) == 0;
    bool is_ending = nbdkit->pid != 0 && nbdkit->ending_ns != 0;
    if (is_as_wanted && nbdkit->pid != 0 && !is_ending && is_outdated(controller, nbdkit, attachment)) {
        cw_event(controller, 0, "", "nbdkit %d at %s is started again: files in %s have changed", nbdkit->pid,
                 nbdkit->address, nbdkit->certificates);
        is_ending = true;
    }
    nbdkit->is_wanted = (is_as_wanted && !is_ending) || nbdkit->pid == 0;
    if (nbdkit->pid != 0 || controller->now_ns < nbdkit->not_before_ns)
        return;
    if (has_files(controller, nbdkit, attachment))
        start(controller, nbdkit, attachment, place);
    else
        nbdkit->not_before_ns = controller->now_ns + LOOK_NS;
}

static void end_nbdkit(struct cw_controller *controller, struct cw_nbdkit *nbdkit)
{
    if (nbdkit->pid == 0) {
        *nbdkit = (struct cw_nbdkit){0};
        return;
    }
    if (nbdkit->ending_ns == 0)
        nbdkit->ending_ns = controller->now_ns;
    kill(nbdkit->pid, controller->now_ns - nbdkit->ending_ns < END_NS ? SIGTERM : SIGKILL);
}

void cw_nbdkits_run(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++)
        controller->nbdkits[i].is_wanted = false;
    drop_links(controller);
    for (uint32_t i = 0; i < controller->view->attachment_count; i++) {
        const struct cw_store_attachment *attachment = &controller->view->attachments[i];
        const struct cw_store_place *place =
            cw_view_place(controller->view, attachment->group, attachment->volume, controller->config.site);
        if (!place || !is_open_here(controller, attachment->group, attachment->volume))
            continue;
        if (strcmp(attachment->kind, "nbd") == 0)
            keep_link(controller, place, attachment->address);
        else
            keep_nbdkit(controller, attachment, place);
    }
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        struct cw_nbdkit *nbdkit = &controller->nbdkits[i];
        if (nbdkit->group && !nbdkit->is_wanted)
            end_nbdkit(controller, nbdkit);
    }
}

static void note_death(struct cw_controller *controller, struct cw_nbdkit *nbdkit, int status)
{
    bool was_long = controller->now_ns - nbdkit->started_ns > BACKOFF_MAX_NS;
    bool was_told = nbdkit->ending_ns != 0;
    nbdkit->backoff_ns =
        was_long || was_told ? BACKOFF_MIN_NS : CW_MIN(nbdkit->backoff_ns * 2, BACKOFF_MAX_NS);
    nbdkit->not_before_ns = controller->now_ns + (was_told ? 0 : nbdkit->backoff_ns);
    nbdkit->pid = 0;
    nbdkit->ending_ns = 0;
    nbdkit->is_lack_told = false; /* it means more now */
    if (nbdkit->is_wanted)
        cw_event(controller, 1, "", "nbdkit at %s has ended (%s %d); again in %.1f s", nbdkit->address,
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                 (double)nbdkit->backoff_ns / 1e9);
}

void cw_nbdkits_died(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        struct cw_nbdkit *nbdkit = &controller->nbdkits[i];
        int status;
        if (nbdkit->pid && waitpid(nbdkit->pid, &status, WNOHANG) == nbdkit->pid)
            note_death(controller, nbdkit, status);
    }
}

void cw_nbdkits_stop(struct cw_controller *controller)
{
    uint64_t end_ns = cw_monotonic_ns() + END_NS;
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        if (controller->nbdkits[i].pid)
            kill(controller->nbdkits[i].pid, SIGTERM);
    }
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        int pid = controller->nbdkits[i].pid;
        while (pid && waitpid(pid, NULL, WNOHANG) == 0) {
            if (cw_monotonic_ns() >= end_ns)
                kill(pid, SIGKILL);
            (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        }
    }
}
