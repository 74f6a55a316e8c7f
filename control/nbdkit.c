/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attachments beyond a volume's own NBD socket, kept by the controller of the site that is primary:
 *   nbd      a symbolic link at the path that was asked for, to this site's socket
 *   nbd-tls  a stock nbdkit with its nbd plugin in front: TCP and TLS are not ours to write
 * nbdkit ends with its controller (--exit-with-parent), and is started again after a growing pause if it
 * dies.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/controller.h"

#define BACKOFF_MIN_NS (500 * CW_MS)
#define BACKOFF_MAX_NS (30 * CW_SECOND)

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
    for (uint32_t i = 0; i < CW_STORE_VOLUMES_MAX; i++) {
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
    for (uint32_t i = 0; i < CW_STORE_VOLUMES_MAX; i++) {
        struct cw_link *link = &controller->links[i];
        if (!link->address[0] || is_link_wanted(controller, link->address))
            continue;
        if (leads_to(link->address, link->target))
            (void)unlink(link->address);
        *link = (struct cw_link){0};
    }
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

/* In the child: becomes nbdkit, or ends. "HOST:PORT" or "PORT". */
__attribute__((noreturn)) static void become_nbdkit(const struct cw_store_attachment *attachment,
                                                    const char *socket, const char *export)
{
    char certificates[CW_STORE_PATH_SIZE + 32], upstream[CW_STORE_PATH_SIZE + 16], name[64];
    char host[CW_STORE_PATH_SIZE];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(host, sizeof host, "%s", attachment->address);
    snprintf(certificates, sizeof certificates, "--tls-certificates=%s", attachment->certificates);
    snprintf(upstream, sizeof upstream, "socket=%s", socket);
    snprintf(name, sizeof name, "export=%s", export);
    char *colon = strrchr(host, ':');
    if (colon) {
        *colon = 0;
        execlp("nbdkit", "nbdkit", "-f", "--exit-with-parent", "--tls=require", certificates, "-i", host,
               "-p", colon + 1, "nbd", upstream, name, (char *)NULL);
    } else {
        execlp("nbdkit", "nbdkit", "-f", "--exit-with-parent", "--tls=require", certificates, "-p", host,
               "nbd", upstream, name, (char *)NULL);
    }
    fprintf(stderr, "nbdkit cannot be started: %s\n", strerror(errno));
    _exit(127);
}

static const char *volume_name(const struct cw_controller *controller, uint32_t group, int32_t volume)
{
    for (uint32_t i = 0; i < controller->view->volume_count; i++) {
        if (controller->view->volumes[i].group == group && controller->view->volumes[i].volume == volume)
            return controller->view->volumes[i].name;
    }
    return "";
}

static void start(struct cw_controller *controller, struct cw_nbdkit *nbdkit,
                  const struct cw_store_attachment *attachment, const struct cw_store_place *place)
{
    const char *export = volume_name(controller, attachment->group, attachment->volume);
    int pid = fork();
    if (pid == 0)
        become_nbdkit(attachment, place->socket, export);
    if (pid < 0)
        return;
    nbdkit->pid = pid;
    nbdkit->started_ns = controller->now_ns;
    snprintf(nbdkit->address, sizeof nbdkit->address, "%s", attachment->address);
    cw_event(controller, 0, "", "nbdkit %d serves %s by TLS at %s", pid, export, attachment->address);
}

static void keep_nbdkit(struct cw_controller *controller, const struct cw_store_attachment *attachment,
                        const struct cw_store_place *place)
{
    struct cw_nbdkit *nbdkit = nbdkit_of(controller, attachment);
    if (!nbdkit)
        return;
    nbdkit->is_wanted = strcmp(nbdkit->address, attachment->address) == 0 || nbdkit->pid == 0;
    if (nbdkit->pid == 0 && controller->now_ns >= nbdkit->not_before_ns)
        start(controller, nbdkit, attachment, place);
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
        if (nbdkit->group && !nbdkit->is_wanted && nbdkit->pid)
            kill(nbdkit->pid, SIGTERM);
        else if (nbdkit->group && !nbdkit->is_wanted)
            *nbdkit = (struct cw_nbdkit){0};
    }
}

static void note_death(struct cw_controller *controller, struct cw_nbdkit *nbdkit, int status)
{
    bool was_long = controller->now_ns - nbdkit->started_ns > BACKOFF_MAX_NS;
    nbdkit->backoff_ns = was_long ? BACKOFF_MIN_NS : CW_MIN(nbdkit->backoff_ns * 2, BACKOFF_MAX_NS);
    nbdkit->not_before_ns = controller->now_ns + nbdkit->backoff_ns;
    nbdkit->pid = 0;
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
    for (uint32_t i = 0; i < CW_NBDKITS_MAX; i++) {
        if (controller->nbdkits[i].pid == 0)
            continue;
        kill(controller->nbdkits[i].pid, SIGTERM);
        waitpid(controller->nbdkits[i].pid, NULL, 0);
    }
}
