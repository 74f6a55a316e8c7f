/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * volume.create, delete, attach, detach.
 *
 * What a volume begins with is named by its base: 0 is zeros, anything else a random name of data that was
 * there. A volume made over a file or device that exists keeps its data at the primary; every replica then
 * has another base, and the primary copies it in full. What exists at a replica would be overwritten by that:
 * only with --overwrite SITE. What exists is for each site's own controller to say: places.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/serve.h"

#define VOLUME_BYTES_MAX (1024ull * 1024 * CW_GIB)
#define CREATE_LIMIT_NS  (600 * CW_SECOND)
#define DELETE_LIMIT_NS  (60 * CW_SECOND)

/* ---------------------------------------------------------------- create */

/* Size of a file or device; false: neither, with words. */
static bool measure(const char *path, uint64_t *size, char *why, size_t why_size)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for somebody who writes */
    bool ok = fd >= 0 && fstat(fd, &about) == 0;
    if (!ok)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    else if (S_ISREG(about.st_mode))
        *size = (uint64_t)about.st_size;
    else if (!S_ISBLK(about.st_mode) || ioctl(fd, BLKGETSIZE64, size) < 0) {
        snprintf(why, why_size, "%s is neither a file nor a block device", path);
        ok = false;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool may_overwrite(const struct cw_rpc_message *message, const char *site)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(message->params, "overwrite"), index, entry)
    {
        if (json_string_value(entry) && strcmp(json_string_value(entry), site) == 0)
            return true;
    }
    return false;
}

/* GROUP-VOLUME.img; a site that is away may still have a deleted volume's of that name: then with a number.
 */
static int name_file(const struct cw_controller *controller, const struct cw_store_site *site,
                     const struct cw_store_group *group, const struct cw_store_volume *volume, char *path,
                     size_t path_size)
{
    int length = snprintf(path, path_size, "%s/%s-%s.img", site->storage, group->name, volume->name);
    for (uint32_t i = 0; i < controller->view->place_count; i++) {
        const struct cw_store_place *place = &controller->view->places[i];
        if (strcmp(place->site, site->name) == 0 && strcmp(place->path, path) == 0)
            return snprintf(path, path_size, "%s/%s-%s.%d.img", site->storage, group->name, volume->name,
                            group->next_volume);
    }
    return length;
}

/* Path and socket of one site; NULL when good. */
static json_t *name_place(struct cw_controller *controller, const struct cw_rpc_message *message,
                          const struct cw_store_group *group, const struct cw_store_volume *volume,
                          const char *asked, struct cw_store_place *place)
{
    const struct cw_store_site *site = cw_view_site(controller->view, place->site);
    int path = asked ? snprintf(place->path, sizeof place->path, "%s", asked)
                     : name_file(controller, site, group, volume, place->path, sizeof place->path);
    int socket = snprintf(place->socket, sizeof place->socket, "%s/nbd/%s-%s.sock", site->directory,
                          group->name, volume->name);
    if (path < 0 || (size_t)path >= sizeof place->path || place->path[0] != '/')
        return cw_misuse(message, "--path wants an absolute path of at most 255 bytes");
    if (socket < 0 || (size_t)socket >= sizeof((struct sockaddr_un *)0)->sun_path)
        return cw_answer(message, 2,
                         "the NBD socket %s would have %d bytes, sockets have at most %zu: shorter names, "
                         "or a lab in a shorter directory",
                         place->socket, socket, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    return NULL;
}

/* A file that cannot fit is refused before the volume takes a number, of which a group has few. That one fits
 * is the engine's to say, when it reserves the room. NULL when good. */
static json_t *check_room(const struct cw_rpc_message *message, const struct cw_store_volume *volume,
                          const struct cw_store_place *place)
{
    char directory[sizeof place->path];
    struct statvfs about;
    snprintf(directory, sizeof directory, "%s", place->path);
    *(strrchr(directory, '/') + 1) = 0;
    if (volume->is_thin || statvfs(directory, &about) < 0)
        return NULL;
    uint64_t room = (uint64_t)about.f_bfree * about.f_frsize;
    if (room >= volume->size)
        return NULL;
    return cw_answer(
        message, 1,
        "%s: No space left for %s: %lu bytes are free there, the volume wants %lu (--thin reserves none)",
        place->site, place->path, room, volume->size);
}

/* What is at the path already, and what that means; NULL when good. */
static json_t *judge_place(const struct cw_controller *controller, const struct cw_rpc_message *message,
                           struct cw_store_volume *volume, bool is_primary, struct cw_store_place *place)
{
    uint64_t size = 0;
    int error = 0;
    char why[sizeof place->error];
    if (!cw_place_has_room_for_copy(place, why, sizeof why))
        return cw_answer(message, 3, "%s", why);
    place->is_ours = cw_place_is_free(place->path, &error);
    if (place->is_ours)
        return check_room(message, volume, place);
    if (error)
        return cw_answer(message, 1, "%s: %s: %s", place->site, place->path, strerror(error));
    if (!place->may_take) {
        cw_place_words(controller, place, why, sizeof why);
        return cw_answer(message, 3, "%s", why);
    }
    if (!measure(place->path, &size, why, sizeof why))
        return cw_answer(message, 1, "%s: %s", place->site, why);
    if (volume->size == 0 && is_primary)
        volume->size = size / 512 * 512;
    if (size < volume->size)
        return cw_answer(message, 1, "%s at %s has %lu bytes, the volume wants %lu", place->path, place->site,
                         size, volume->size);
    place->base = cw_place_new_base();
    return NULL;
}

struct making {
    struct cw_store_volume volume;
    struct cw_store_place places[CW_SET_MAX];
};

static const char *primary_of(const struct cw_store_group *group)
{
    return group->authority.holder[0] ? group->authority.holder : group->first;
}

/* The path that was asked for at a site; NULL: none. Without a site it is the primary's. */
static const char *asked_path(const struct cw_rpc_message *message, const struct cw_store_group *group,
                              const char *site)
{
    const json_t *paths = json_object_get(message->params, "paths");
    bool is_primary = strcmp(site, primary_of(group)) == 0;
    return cw_json_text(paths, site, is_primary ? cw_json_text(paths, "", NULL) : NULL);
}

/* One site's. With etcd every site is another machine: there its controller looks, when it makes it, and this
 * one's look is a courtesy to who asks here. NULL when good. */
static json_t *plan_place(struct cw_controller *controller, const struct cw_rpc_message *message,
                          const struct cw_store_group *group, struct making *making, uint32_t index)
{
    struct cw_store_place *place = &making->places[index];
    const char *site = group->sites[index], *asked = asked_path(message, group, site);
    bool is_primary = strcmp(site, primary_of(group)) == 0, is_one_machine = !controller->config.etcd.count;
    *place = (struct cw_store_place){.group = group->id};
    snprintf(place->site, sizeof place->site, "%s", site);
    json_t *reply = name_place(controller, message, group, &making->volume, asked, place);
    place->may_take = asked && (is_primary || may_overwrite(message, site));
    if (!reply && (is_one_machine || strcmp(site, controller->config.site) == 0))
        reply = judge_place(controller, message, &making->volume, is_primary, place);
    if (!is_one_machine) {
        place->is_unseen = true;
        place->is_ours = false;
        place->base = 0;
    }
    return reply;
}

/* All sites, the primary first: it may give the size. NULL when good. */
static json_t *plan_places(struct cw_controller *controller, const struct cw_rpc_message *message,
                           const struct cw_store_group *group, struct making *making)
{
    json_t *reply = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < group->site_count && !reply; i++) {
            bool is_primary = strcmp(group->sites[i], primary_of(group)) == 0;
            if (is_primary == (pass == 0))
                reply = plan_place(controller, message, group, making, i);
        }
    }
    return reply;
}

static json_t *check_size(const struct cw_rpc_message *message, const struct cw_store_volume *volume)
{
    if (volume->size == 0)
        return cw_misuse(message, "--size is missing, such as --size 10G");
    if (volume->size % volume->block_size)
        return cw_answer(message, 2, "a size of %lu bytes is not a multiple of the block size, %u",
                         volume->size, volume->block_size);
    if (volume->size > VOLUME_BYTES_MAX)
        return cw_answer(message, 2, "a volume has at most 1024T");
    return NULL;
}

/* A site that is there and has not let go yet of a volume of that name that is being deleted; NULL. */
static const char *last_deleting_at(const struct cw_controller *controller, uint32_t group, const char *name)
{
    const char *site = NULL;
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group) && !site; i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        if (volume->is_deleting && strcmp(volume->name, name) == 0)
            site = cw_deletion_site(controller, group, volume->volume, true);
    }
    return site;
}

/* Whichever of its sites is primary exports it. */
static uint32_t volumes_at(const struct cw_store_view *view, const char *site)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->volume_count; i++) {
        const struct cw_store_group *group = cw_view_group_by_id(view, view->volumes[i].group);
        count += group && cw_group_has_site(group, site);
    }
    return count;
}

/* NULL when each site has room for one more. */
static json_t *check_exports(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group)
{
    for (uint32_t i = 0; i < group->site_count; i++) {
        if (volumes_at(controller->view, group->sites[i]) >= CW_NODE_EXPORTS_MAX)
            return cw_answer(
                message, 1,
                "%s has %u volumes, as many as a node exports: delete one that is not needed, or "
                "take a group at other sites",
                group->sites[i], CW_NODE_EXPORTS_MAX);
    }
    return NULL;
}

static json_t *read_volume(struct cw_controller *controller, const struct cw_rpc_message *message,
                           const struct cw_store_group *group, struct cw_store_volume *volume)
{
    const char *name = cw_json_text(message->params, "volume", "");
    *volume =
        (struct cw_store_volume){.group = group->id,
                                 .size = cw_json_u64(message->params, "size", 0),
                                 .block_size = (uint32_t)cw_json_u64(message->params, "block_size", 512),
                                 .is_thin = cw_json_bool(message->params, "thin", false)};
    if (!cw_config_name_check(name))
        return cw_answer(message, 2, "a volume's name has 1 to %u letters, digits, '-', '_', '.'",
                         CW_NAME_SIZE - 1);
    if (volume->block_size != 512 && volume->block_size != 4096)
        return cw_misuse(message, "--block-size wants 512 or 4096");
    if (group->is_deleting)
        return cw_answer(message, 1, "group %s is being deleted", group->name);
    if (cw_view_volume(controller->view, group->id, name))
        return cw_answer(message, 1, "there is a volume %s/%s already", group->name, name);
    const char *site = last_deleting_at(controller, group->id, name);
    if (site)
        return cw_answer(message, 1, "the volume %s/%s is still being deleted at %s: a moment later",
                         group->name, name, site);
    snprintf(volume->name, sizeof volume->name, "%s", name);
    return check_exports(controller, message, group);
}

/* Why the store has no place for the volume; NULL when it has taken it. */
static json_t *answer_stored(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group, const struct making *making,
                             enum cw_status status)
{
    if (status == CW_EXISTS)
        return cw_answer(message, 1, "there is a volume %s/%s already, or another one uses its path",
                         group->name, making->volume.name);
    if (status == CW_RANGE)
        return cw_answer(message, 1,
                         "group %s has had %u volumes, those deleted and those that failed counted: a group "
                         "has no more over its life. Make the volume in another group: causeway group create",
                         group->name, CW_VOLUMES_PER_GROUP_MAX);
    if (status == CW_NO_SPACE)
        return cw_answer(message, 1,
                         "there are %u volumes, as many as the store keeps: delete one that is not needed",
                         CW_STORE_VOLUMES_MAX);
    if (status == CW_NOT_FOUND)
        return cw_answer(message, 1, "group %s is being deleted", group->name);
    return status == CW_OK ? NULL : cw_fail_store(controller, message, "the volume", status);
}

static enum cw_status store_volume(struct cw_controller *controller, const struct cw_store_group *group,
                                   struct making *making)
{
    enum cw_status status = cw_store_begin(controller->store);
    if (status != CW_OK)
        return status;
    status = cw_store_volume_add(controller->store, &making->volume);
    for (uint32_t i = 0; i < group->site_count && status == CW_OK; i++) {
        making->places[i].volume = making->volume.volume;
        status = cw_store_place_put(controller->store, &making->places[i]);
    }
    enum cw_status ended = cw_store_end(controller->store, status == CW_OK);
    return status == CW_OK ? ended : status;
}

/* Is the size that of a file or device which is at another site's machine? */
static bool is_size_elsewhere(const struct cw_controller *controller, const struct cw_rpc_message *message,
                              const struct cw_store_group *group, const struct cw_store_volume *volume)
{
    const char *primary = primary_of(group);
    return controller->config.etcd.count > 0 && volume->size == 0 && asked_path(message, group, primary) &&
           strcmp(primary, controller->config.site) != 0;
}

json_t *cw_serve_volume_create(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_group *found = cw_asked_group(controller, message, &reply);
    struct making making = {0};
    if (!found)
        return reply;
    struct cw_store_group group = *found;
    reply = read_volume(controller, message, &group, &making.volume);
    if (!reply && is_size_elsewhere(controller, message, &group, &making.volume))
        return cw_go_elsewhere(controller, message, primary_of(&group));
    if (!reply)
        reply = plan_places(controller, message, &group, &making);
    if (!reply)
        reply = check_size(message, &making.volume);
    if (reply)
        return reply;
    enum cw_status status = CW_STALE;
    for (uint32_t i = 0; i < CW_STORE_TRIES && status == CW_STALE; i++)
        status = store_volume(controller, &group, &making);
    (void)cw_view_refresh(controller);
    reply = answer_stored(controller, message, &group, &making, status);
    if (reply)
        return reply;
    cw_event(controller, 0, group.name, "volume %s created, %lu bytes", making.volume.name,
             making.volume.size);
    struct cw_operation *operation =
        cw_operation_start(controller, CW_OP_VOLUME_CREATE, group.id, CREATE_LIMIT_NS);
    if (!operation)
        return cw_fail(message, "too many commands at once: the volume is made, see causeway status");
    operation->volume = making.volume.volume;
    return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)operation->id));
}

/* ---------------------------------------------------------------- the others */

static const struct cw_store_volume *asked_volume(struct cw_controller *controller,
                                                  const struct cw_rpc_message *message, json_t **reply)
{
    const struct cw_store_group *group = cw_asked_group(controller, message, reply);
    const char *name = cw_json_text(message->params, "volume", "");
    if (!group)
        return NULL;
    const struct cw_store_volume *volume = cw_view_volume(controller->view, group->id, name);
    if (!volume)
        *reply =
            cw_answer(message, 1, "group %s has no volume %.40s: see causeway status", group->name, name);
    return volume;
}

json_t *cw_serve_volume_delete(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_volume *volume = asked_volume(controller, message, &reply);
    if (!volume)
        return reply;
    struct cw_operation *operation =
        cw_operation_start(controller, CW_OP_VOLUME_DELETE, volume->group, DELETE_LIMIT_NS);
    if (!operation)
        return cw_fail(message, "too many commands at once: give it again");
    operation->volume = volume->volume;
    operation->is_forced = cw_json_bool(message->params, "force", false);
    return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)operation->id));
}

/* NULL when all are there. */
static json_t *check_certificates(const struct cw_rpc_message *message, const char *directory)
{
    char why[CW_STORE_PATH_SIZE + 512];
    if (directory[0] != '/')
        return cw_misuse(message,
                         "--nbd-tls wants --certificates DIR, an absolute directory with ca-cert.pem, "
                         "ca-crl.pem, server-cert.pem, server-key.pem (causeway cert issue makes one)");
    if (!cw_nbdkit_has_files(directory, why, sizeof why))
        return cw_answer(message, 2, "%s", why);
    return NULL;
}

static json_t *check_attachment(const struct cw_rpc_message *message,
                                const struct cw_store_attachment *attachment)
{
    struct stat about;
    if (strcmp(attachment->kind, "nbd") == 0) {
        if (attachment->address[0] != '/' ||
            strlen(attachment->address) >= sizeof((struct sockaddr_un *)0)->sun_path)
            return cw_misuse(message, "--nbd SOCKET wants an absolute path of at most 107 bytes");
        if (lstat(attachment->address, &about) == 0 && !S_ISLNK(about.st_mode))
            return cw_answer(message, 3, "%s is there already, and not a link of ours: remove it first",
                             attachment->address);
        return NULL;
    }
    if (strcmp(attachment->kind, "nbd-tls") != 0)
        return cw_misuse(message,
                         "--nbd and --nbd-tls can be attached; --vhost and --ublk come with a later version");
    return check_certificates(message, attachment->certificates);
}

json_t *cw_serve_volume_attach(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_volume *volume = asked_volume(controller, message, &reply);
    if (!volume)
        return reply;
    struct cw_store_attachment attachment = {.group = volume->group, .volume = volume->volume};
    snprintf(attachment.kind, sizeof attachment.kind, "%s", cw_json_text(message->params, "kind", ""));
    snprintf(attachment.address, sizeof attachment.address, "%s",
             cw_json_text(message->params, "address", ""));
    snprintf(attachment.certificates, sizeof attachment.certificates, "%s",
             cw_json_text(message->params, "certificates", ""));
    if (strcmp(attachment.kind, "nbd") == 0 && !attachment.address[0])
        return cw_rpc_result(message->id, NULL); /* every volume is exported already */
    reply = check_attachment(message, &attachment);
    if (reply)
        return reply;
    enum cw_status status = cw_store_attachment_put(controller->store, &attachment);
    if (status != CW_OK)
        return cw_fail_store(controller, message, "that", status);
    (void)cw_view_refresh(controller);
    return cw_rpc_result(message->id, NULL);
}

json_t *cw_serve_volume_detach(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_volume *volume = asked_volume(controller, message, &reply);
    const char *kind = cw_json_text(message->params, "kind", "");
    if (!volume)
        return reply;
    enum cw_status status =
        cw_store_attachment_remove(controller->store, volume->group, volume->volume, kind);
    if (status == CW_NOT_FOUND)
        return cw_answer(message, 1,
                         "%s has no such attachment; its own NBD socket stays while the volume is there",
                         volume->name);
    if (status != CW_OK)
        return cw_fail_store(controller, message, "that", status);
    (void)cw_view_refresh(controller);
    return cw_rpc_result(message->id, NULL);
}
