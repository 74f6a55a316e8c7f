/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this site knows for `causeway losses`, kept in its own storage, where the next controller finds it:
 *
 *     failover-GROUP-EPOCH.json   what a takeover by this site may have lost, written before the store is
 *                                 told of the new epoch, so that none is without it
 *     salvage-GROUP-...           tails that the engine kept (wire/salvage.h); here only their heads are
 *                                 read
 *
 * Both go into this site's facts, and so to every site. A takeover never fails for want of its file: that is
 * an event, and the estimate lives as long as this process. A file whose epoch the store does not know, or
 * knows under another reign, is of a takeover that did not come about, and is not shown (serve_losses.c).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/controller.h"
#include "control/durable_file.h"
#include "control/losses.h"
#include "wire/salvage.h"

#define KEPT_PER_GROUP 8u  /* failovers and salvage files of a group that the facts carry: the newest */
#define KEPT_MAX       64u /* of each kind, in all */
#define LOOK_NS        (1 * CW_SECOND)

static double wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------- what is known at the takeover */

/* By our engine, of the reign that ends. */
static struct cw_loss_word word_heard(const struct cw_controller *controller, const json_t *engine,
                                      const struct cw_authority *now)
{
    const json_t *heard = json_object_get(engine, "heard");
    double since = (double)(cw_monotonic_ns() - controller->engine.status_at_ns) / 1e9;
    struct cw_loss_word word = {.lag_seconds = -1};
    if (!json_is_object(heard) || cw_json_u64(heard, "epoch", 0) != now->epoch ||
        cw_json_hex(heard, "reign", 0) != now->reign || !json_object_get(heard, "age_seconds"))
        return word;
    word.is_known = true;
    word.head = cw_json_u64(heard, "head", 0);
    word.age_seconds = cw_json_number(heard, "age_seconds", 0) + since;
    word.lag_seconds = cw_json_number(heard, "newest_age_seconds", -1);
    word.writes_per_second = cw_json_number(heard, "writes_per_second", 0);
    return word;
}

/* By the facts of the site that held it. */
static struct cw_loss_word word_of_status(const struct cw_controller *controller, uint32_t group,
                                          const struct cw_authority *now)
{
    const json_t *told = cw_facts_group(controller, now->holder, group);
    const json_t *peer = cw_facts_peer(told, controller->config.site);
    struct cw_loss_word word = {.lag_seconds = -1};
    if (!told || cw_json_u64(told, "epoch", 0) != now->epoch || cw_json_hex(told, "reign", 0) != now->reign ||
        cw_site_age_seconds(controller, now->holder) < 0)
        return word;
    word.is_known = true;
    word.head = cw_json_u64(told, "head", 0);
    word.age_seconds = cw_site_age_seconds(controller, now->holder);
    word.writes_per_second = (double)cw_json_u64(told, "iops", 0);
    word.bytes_per_second = (double)cw_json_u64(told, "throughput_bytes_per_second", 0);
    if (peer && cw_json_bool(peer, "lag_known", false)) {
        word.lag_seconds = cw_json_number(peer, "lag_seconds", -1);
        word.lag_bytes = cw_json_u64(peer, "lag_bytes", 0);
        word.is_bytes_known = true;
    }
    return word;
}

static bool has_reached_member(const struct cw_authority *now, const struct cw_claim *claim)
{
    for (uint32_t i = 0; i < claim->reached.count; i++)
        if (cw_set_find(&now->set, claim->reached.list[i].site))
            return true;
    return false;
}

static struct cw_loss_facts facts_of(const struct cw_controller *controller,
                                     const struct cw_store_group *group, const struct cw_authority *now,
                                     const struct cw_candidate *candidate, const struct cw_claim *claim)
{
    struct cw_candidate strict = *candidate;
    strict.accept_loss = strict.inconsistent = false;
    bool is_safe = cw_decide_candidate(now, &strict).answer == CW_ANSWER_YES;
    bool is_fenced =
        now->fenced_epoch == now->epoch && strcmp(now->handover.site, candidate->identity.site) == 0;
    return (struct cw_loss_facts){
        .site = controller->config.site,
        .from = now->holder,
        .mode = group->mode,
        .held = claim->first_sequence ? claim->first_sequence - 1 : 0,
        .is_handed_over = is_safe && is_fenced,
        .is_member = is_safe && cw_set_find(&now->set, candidate->identity.site) != NULL,
        .has_reached_member = has_reached_member(now, claim),
        .is_inconsistent = candidate->inconsistent && candidate->image != CW_WORD_WHOLE,
        .heard = word_heard(controller, cw_engine_group(controller, group->id), now),
        .status = word_of_status(controller, group->id, now)};
}

static json_t *failover_json(const struct cw_controller *controller, const struct cw_store_group *group,
                             const struct cw_authority *now, const struct cw_candidate *candidate,
                             const struct cw_claim *claim, const struct cw_loss *loss)
{
    const struct cw_member *old = cw_set_find(&now->set, now->holder);
    json_t *failover = json_pack(
        "{s:i,s:s,s:I,s:o,s:s,s:s,s:I,s:o,s:s,s:f,s:s,s:b,s:I,s:s,s:s}", "group", (int)group->id, "name",
        group->name, "epoch", (json_int_t)claim->epoch, "reign", cw_json_from_hex(claim->reign), "site",
        controller->config.site, "from", now->holder, "from_epoch", (json_int_t)now->epoch, "from_reign",
        cw_json_from_hex(now->reign), "from_journal", old ? old->journal_id : "", "time", wall_now(), "mode",
        cw_mode_word_name(group->mode), "accept_loss", candidate->accept_loss || candidate->inconsistent,
        "held_sequence", (json_int_t)(claim->first_sequence - 1), "kind", cw_loss_kind_name(loss->kind),
        "words", loss->words);
    if (loss->kind == CW_LOSS_BOUNDED) {
        json_object_set_new(failover, "last_word_sequence", json_integer((json_int_t)loss->head));
        json_object_set_new(failover, "silent_seconds", json_real(loss->silent_seconds));
        if (loss->is_rate_known)
            json_object_set_new(failover, "after",
                                json_pack("{s:I,s:I}", "writes", (json_int_t)loss->after_writes, "bytes",
                                          (json_int_t)loss->after_bytes));
    }
    if (loss->kind != CW_LOSS_UNKNOWN) {
        json_object_set_new(failover, "writes", json_integer((json_int_t)loss->writes));
        json_object_set_new(failover, "bytes", json_integer((json_int_t)loss->bytes));
        json_object_set_new(failover, "seconds", loss->seconds < 0 ? json_null() : json_real(loss->seconds));
    }
    return failover;
}

/* ---------------------------------------------------------------- files */

static void path_of(const struct cw_controller *controller, uint32_t group, uint64_t epoch, char *path,
                    size_t size)
{
    snprintf(path, size, "%s/failover-%u-%lu.json", controller->config.storage, group, epoch);
}

static double time_of(const json_t *entry)
{
    return cw_json_number(entry, "time", 0);
}

/* Oldest first; the oldest give way: of this group, if it has its share, else of all. */
static void put_in(json_t *list, json_t *entry)
{
    size_t at = 0, of_group = 0, oldest = 0;
    uint64_t group = cw_json_u64(entry, "group", 0);
    while (at < json_array_size(list) && time_of(json_array_get(list, at)) <= time_of(entry))
        at++;
    json_array_insert_new(list, at, entry);
    for (size_t i = json_array_size(list); i-- > 0;) {
        bool is_same = cw_json_u64(json_array_get(list, i), "group", 0) == group;
        of_group += is_same;
        oldest = is_same ? i : oldest;
    }
    if (of_group > KEPT_PER_GROUP)
        json_array_remove(list, oldest);
    else if (json_array_size(list) > KEPT_MAX)
        json_array_remove(list, 0);
}

static bool is_same_takeover(const json_t *a, uint32_t group, uint64_t epoch)
{
    return cw_json_u64(a, "group", 0) == group && cw_json_u64(a, "epoch", 0) == epoch;
}

static void drop(struct cw_controller *controller, uint32_t group, uint64_t epoch)
{
    for (size_t i = json_array_size(controller->failovers); i-- > 0;)
        if (is_same_takeover(json_array_get(controller->failovers, i), group, epoch))
            json_array_remove(controller->failovers, i);
}

void cw_failover_note(struct cw_controller *controller, const struct cw_store_group *group,
                      const struct cw_authority *now, const struct cw_candidate *candidate,
                      const struct cw_claim *claim)
{
    char path[CW_STORE_PATH_SIZE * 2];
    struct cw_loss loss;
    if (!now->holder[0] || (strcmp(now->holder, controller->config.site) == 0 && !candidate->accept_loss))
        return; /* the first opening, or its own again: a restart is no failover */
    struct cw_loss_facts facts = facts_of(controller, group, now, candidate, claim);
    cw_loss_judge(&facts, &loss);
    json_t *failover = failover_json(controller, group, now, candidate, claim, &loss);
    path_of(controller, group->id, claim->epoch, path, sizeof path);
    int error = cw_durable_write(path, failover, JSON_INDENT(1));
    if (error)
        cw_event(controller, 2, group->name,
                 "what this takeover may have lost could not be written to %s: %s; it is known until this "
                 "controller ends: causeway losses %s",
                 path, strerror(error), group->name);
    drop(controller, group->id, claim->epoch);
    put_in(controller->failovers, failover);
}

void cw_failover_drop(struct cw_controller *controller, uint32_t group, uint64_t epoch)
{
    char path[CW_STORE_PATH_SIZE * 2];
    path_of(controller, group, epoch, path, sizeof path);
    unlink(path);
    drop(controller, group, epoch);
}

void cw_failovers_forget(struct cw_controller *controller, uint32_t group)
{
    char prefix[32], path[CW_STORE_PATH_SIZE * 2];
    snprintf(prefix, sizeof prefix, "failover-%u-", group);
    DIR *directory = opendir(controller->config.storage);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", controller->config.storage, entry->d_name);
        unlink(path);
    }
    if (directory)
        closedir(directory);
    for (size_t i = json_array_size(controller->failovers); i-- > 0;)
        if (cw_json_u64(json_array_get(controller->failovers, i), "group", 0) == group)
            json_array_remove(controller->failovers, i);
}

/* ---------------------------------------------------------------- what is in the storage */

static json_t *reigns_json(const struct cw_salvage_head *head)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < head->reign_count; i++)
        json_array_append_new(list, json_pack("{s:I,s:o,s:I}", "epoch", (json_int_t)head->reigns[i].epoch,
                                              "reign", cw_json_from_hex(head->reigns[i].reign), "answered",
                                              (json_int_t)head->reigns[i].answered));
    return list;
}

static json_t *salvage_json(const char *path, const char *file)
{
    uint8_t block[CW_SALVAGE_HEAD_SIZE];
    struct cw_salvage_head head;
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    bool is_read = pread(fd, block, sizeof block, 0) == (ssize_t)sizeof block && fstat(fd, &about) == 0;
    close(fd);
    if (!is_read || cw_salvage_decode(block, &head) != CW_SALVAGE_OK)
        return NULL; /* version 1, or no such file: causeway salvage tells more */
    return json_pack("{s:I,s:s,s:s,s:s,s:f,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:o}", "group", (json_int_t)head.group,
                     "name", head.name, "file", file, "path", path, "time", (double)head.wall_ns / 1e9,
                     "above", (json_int_t)head.above, "first", (json_int_t)head.first, "last",
                     (json_int_t)head.last, "writes", (json_int_t)head.writes, "bytes",
                     (json_int_t)head.bytes, "lacks_some", head.lacks_some, "is_cut_short",
                     (uint64_t)about.st_size != head.size, "reigns", reigns_json(&head));
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static void take_entry(json_t *failovers, json_t *salvage, const char *directory, const char *name)
{
    char path[CW_STORE_PATH_SIZE * 2];
    json_t *entry = NULL;
    int bytes = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return;
    if (strncmp(name, "failover-", 9) == 0 && ends_with(name, ".json")) {
        entry = json_load_file(path, 0, NULL);
        if (json_is_object(entry))
            put_in(failovers, entry);
        else
            json_decref(entry);
    } else if (strncmp(name, "salvage-", 8) == 0 && !ends_with(name, ".part")) {
        if ((entry = salvage_json(path, name)) != NULL)
            put_in(salvage, entry);
    }
}

/* What could not be written is kept in memory: only a start takes the failovers from the files. */
void cw_failovers_look(struct cw_controller *controller)
{
    const char *storage = controller->config.storage;
    struct stat about;
    bool is_first = controller->failovers == NULL;
    if (!is_first && controller->now_ns < controller->storage_look_ns)
        return;
    controller->storage_look_ns = controller->now_ns + LOOK_NS;
    uint64_t changed_ns = stat(storage, &about) == 0
                              ? (uint64_t)about.st_mtim.tv_sec * CW_SECOND + (uint64_t)about.st_mtim.tv_nsec
                              : 0;
    if (!is_first && changed_ns == controller->storage_changed_ns)
        return;
    /* a change within the clock's own tick of this look would not be seen: look once more */
    controller->storage_changed_ns = wall_now() * 1e9 - (double)changed_ns > 1e9 ? changed_ns : 0;
    json_t *failovers = json_array(), *salvage = json_array();
    DIR *directory = opendir(storage);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL)
        take_entry(failovers, salvage, storage, entry->d_name);
    if (directory)
        closedir(directory);
    if (is_first)
        controller->failovers = json_incref(failovers);
    json_decref(failovers);
    json_decref(controller->salvage);
    controller->salvage = salvage;
}

json_t *cw_failovers_facts(struct cw_controller *controller)
{
    cw_failovers_look(controller);
    return json_pack("{s:O,s:O}", "failovers", controller->failovers, "salvage", controller->salvage);
}
