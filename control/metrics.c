/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is shown to Prometheus, from the same facts as `status --json` (cw_status_public), so that both tell
 * the same. Units are seconds and bytes; what is not known has no sample. Of a site that is away the last
 * known is shown, and causeway_site_age_seconds says how old that is.
 *
 * Engines' counters are taken as they come, by their names: one that an engine gets is here without a change.
 */
#include "control/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/controller.h"
#include "control/exposition.h"
#include "control/health.h"

#define COUNTER_NAME_MAX 60u /* an engine's; a longer one is left out */

static_assert(COUNTER_NAME_MAX + 30 < CW_EXPOSITION_NAME_SIZE, "so none is cut");

struct composing {
    struct cw_controller *controller;
    const json_t *status;
    struct cw_exposition *to;
};

static struct cw_family *gauge(const struct composing *of, const char *name, const char *help)
{
    return cw_family(of->to, name, CW_FAMILY_GAUGE, help);
}

static struct cw_family *counter(const struct composing *of, const char *name, const char *help)
{
    return cw_family(of->to, name, CW_FAMILY_COUNTER, help);
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *object, const char *key)
{
    return cw_json_text(object, key, "");
}

/* ---------------------------------------------------------------- this process */

static double resident_bytes(void)
{
    unsigned long whole = 0, resident = 0;
    FILE *from = fopen("/proc/self/statm", "re");
    bool ok = from && fscanf(from, "%lu %lu", &whole, &resident) == 2;
    if (from)
        fclose(from);
    return ok ? (double)resident * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static void compose_process(const struct composing *of)
{
    struct rusage used;
    struct timespec wall;
    getrusage(RUSAGE_SELF, &used);
    clock_gettime(CLOCK_REALTIME, &wall);
    double lived = (double)(cw_monotonic_ns() - of->controller->started_ns) / 1e9;
    cw_sample(counter(of, "process_cpu_seconds_total", "CPU time of this controller, in user and system."),
              (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                  (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
              NULL);
    cw_sample(gauge(of, "process_resident_memory_bytes", "Memory of this controller."), resident_bytes(),
              NULL);
    cw_sample(gauge(of, "process_start_time_seconds", "When this controller started, since 1970."),
              (double)wall.tv_sec - lived, NULL);
    cw_sample(gauge(of, "causeway_build_info", "The controller that answers: its site and version."), 1,
              "site", of->controller->config.site, "version", CW_VERSION, NULL);
}

static void compose_store(const struct composing *of)
{
    struct cw_controller *controller = of->controller;
    static const char *const levels[CW_EVENT_LEVELS] = {"info", "warning", "error"};
    cw_sample(gauge(of, "causeway_store_answers", "Does the store answer this controller?"),
              cw_json_bool(of->status, "store_answers", false), "kind",
              controller->config.etcd.count ? "etcd" : "embedded", NULL);
    cw_sample(gauge(of, "causeway_store_silent_seconds",
                    "For how long the store has not answered, or taken no changes; 0: it does."),
              number_of(of->status, "store_silent_seconds"), NULL);
    cw_sample(gauge(of, "causeway_store_fault",
                    "1: the store went back or is another one; nothing is decided until a new start."),
              cw_store_fault(controller->store)[0] != 0, NULL);
    cw_sample(
        gauge(of, "causeway_store_refused",
              "1: the store answers, and is not worked with here: it went back, is older or another one."),
        text_of(of->status, "store_refused")[0] != 0, NULL);
    cw_sample(gauge(of, "causeway_store_full", "1: the store answers, and has no space to take changes."),
              cw_json_bool(of->status, "store_full", false), NULL);
    cw_sample(gauge(of, "causeway_audit_log_whole", "0: the audit log at this site was changed or cut."),
              controller->audit_damage[0] == 0, NULL);
    cw_sample(gauge(of, "causeway_store_unreadable_rows",
                    "Rows of the store that cannot be read; nothing is decided about their groups."),
              controller->view->unreadable_count, NULL);
    cw_sample(gauge(of, "causeway_book_in_memory",
                    "1: this site's book (events, audit) is not written to its file."),
              cw_book_wrong(controller)[0] != 0, NULL);
    cw_sample_count(counter(of, "causeway_book_damaged_total",
                            "Books of this site that were damaged, and moved aside, since this start."),
                    controller->own_book.moved_count, NULL);
    for (uint32_t i = 0; i < CW_EVENT_LEVELS; i++)
        cw_sample_count(counter(of, "causeway_events_total", "Events that this controller told of."),
                        controller->events_told[i], "level", levels[i], NULL);
}

/* ---------------------------------------------------------------- sites and engines */

/* As `status` shows it: our own engine as it is now, of others the last known; NULL. */
static const json_t *engine_of(const struct composing *of, const char *site)
{
    const struct cw_controller *controller = of->controller;
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    if (strcmp(site, controller->config.site) == 0 && controller->engine.status)
        return controller->engine.status;
    return seen ? json_object_get(seen->facts, "engine") : NULL;
}

/* A counter's name as the convention wants it: "bytes_out" is out_bytes_total. */
static const char *counter_name(char name[CW_EXPOSITION_NAME_SIZE], const char *part, const char *key)
{
    if (strncmp(key, "bytes_", 6) == 0)
        snprintf(name, CW_EXPOSITION_NAME_SIZE, "causeway_%s_%s_bytes_total", part, key + 6);
    else
        snprintf(name, CW_EXPOSITION_NAME_SIZE, "causeway_%s_%s_total", part, key);
    return name;
}

/* What stands among an engine's counters and is none: it goes down, too. */
static const struct {
    const char *key, *name, *help;
    double scale;
} levels_among[] = {
    {"payloads_free", "causeway_engine_payloads_free", "Buffers for payloads that are free.", 1},
    {"store_cycle_ns_max", "causeway_engine_store_cycle_seconds_max", "The longest turn of the store loop.",
     1e-9},
    {"net_cycle_ns_max", "causeway_engine_net_cycle_seconds_max", "The longest turn of a net loop.", 1e-9}};

static bool compose_level(const struct composing *of, const char *key, const json_t *value, const char *site)
{
    for (size_t i = 0; i < CW_COUNT_OF(levels_among); i++) {
        if (strcmp(key, levels_among[i].key) != 0)
            continue;
        cw_sample(gauge(of, levels_among[i].name, levels_among[i].help),
                  json_number_value(value) * levels_among[i].scale, "site", site, NULL);
        return true;
    }
    return false;
}

/* Whose counters they are: labels beside the site's, NULL where there is none. */
struct labels {
    const char *name, *value, *name_2, *value_2;
};

static void compose_counters(const struct composing *of, const char *part, const json_t *counters,
                             const char *site, struct labels more)
{
    const char *key;
    json_t *count;
    json_object_foreach((json_t *)counters, key, count)
    {
        char name[CW_EXPOSITION_NAME_SIZE], help[160];
        size_t length = strlen(key);
        if (length == 0 || length > COUNTER_NAME_MAX || !json_is_integer(count) ||
            json_integer_value(count) < 0 || compose_level(of, key, count, site))
            continue;
        snprintf(help, sizeof help, "The counter %s of %s, by its engine.", key, part);
        counter_name(name, part, key);
        cw_sample_count(counter(of, name, help), (uint64_t)json_integer_value(count), "site", site, more.name,
                        more.value, more.name_2, more.value_2, NULL);
    }
}

/* What was left when the site last told of it is no more than that, less its age. */
static void compose_lease(const struct composing *of, const json_t *engine, const char *site, double age)
{
    double left = number_of(engine, "lease_remaining_ms") / 1e3 - (age > 0 ? age : 0);
    cw_sample(gauge(of, "causeway_engine_lease_remaining_seconds",
                    "For how long yet the engine may answer as primary, of all of its groups."),
              isnan(left) ? NAN
              : left > 0  ? left
                          : 0,
              "site", site, NULL);
}

static void compose_engine(const struct composing *of, const json_t *engine, const char *site, double age)
{
    size_t index;
    json_t *group;
    if (!json_is_object(engine))
        return;
    cw_sample(gauge(of, "causeway_engine_info", "The engine of a site: its version."), 1, "site", site,
              "version", text_of(engine, "version"), NULL);
    cw_sample(gauge(of, "causeway_engine_memory_bytes", "Memory that the engine has reserved."),
              number_of(engine, "memory_bytes"), "site", site, NULL);
    cw_sample(gauge(of, "causeway_engine_uptime_seconds", "Since the engine started."),
              number_of(engine, "uptime_seconds"), "site", site, NULL);
    compose_lease(of, engine, site, age);
    compose_counters(of, "engine", json_object_get(engine, "counters"), site, (struct labels){0});
    compose_counters(of, "nbd", json_object_get(engine, "nbd"), site, (struct labels){0});
    json_array_foreach(json_object_get(engine, "groups"), index, group)
    {
        const json_t *journal = json_object_get(group, "journal");
        const char *name = text_of(group, "name");
        cw_sample(gauge(of, "causeway_group_role_info", "What a site's engine is in the group."), 1, "group",
                  name, "site", site, "role", text_of(group, "role"), NULL);
        cw_sample(gauge(of, "causeway_group_journal_size_bytes", "Size of the group's journal at a site."),
                  number_of(journal, "bytes"), "group", name, "site", site, NULL);
        cw_sample(gauge(of, "causeway_group_journal_used_bytes", "Used of the group's journal at a site."),
                  number_of(journal, "used_bytes"), "group", name, "site", site, NULL);
        compose_counters(of, "group", json_object_get(group, "counters"), site,
                         (struct labels){.name = "group", .value = name});
    }
}

static void compose_certificates(const struct composing *of, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(of->controller, site);
    double days = seen ? number_of(json_object_get(seen->facts, "certificates"), "days") : NAN;
    cw_sample(gauge(of, "causeway_certificate_remaining_seconds",
                    "Until the first of the certificates of a site, or its list of revocations, ends."),
              days * 86400, "site", site, NULL);
}

static void compose_sites(const struct composing *of)
{
    struct cw_controller *controller = of->controller;
    size_t index;
    json_t *site;
    json_array_foreach(json_object_get(of->status, "sites"), index, site)
    {
        const char *name = text_of(site, "name");
        double age = number_of(site, "last_seen_seconds");
        cw_sample(gauge(of, "causeway_site_alive", "Are controller and engine of the site heard of?"),
                  cw_json_bool(site, "alive", false), "site", name, NULL);
        cw_sample(gauge(of, "causeway_site_age_seconds",
                        "How old what is known of the site is; none: it was never heard of."),
                  age, "site", name, NULL);
        if (cw_links_leads_to(controller, name))
            cw_sample(gauge(of, "causeway_link_up", "Is there a link to the site's controller?"),
                      cw_links_is_good(controller, name), "site", name, NULL);
        cw_sample(
            gauge(of, "causeway_site_loss_survivable",
                  "1: with that site lost now all goes on, maybe by a command; causeway audit says more."),
            cw_site_loss_survivable(controller, name), "site", name, NULL);
        compose_certificates(of, name);
        compose_engine(of, engine_of(of, name), name, age);
    }
    json_array_foreach(json_object_get(of->status, "unknown"), index, site)
    {
        cw_sample(gauge(of, "causeway_unknown_group_info", "A group at a site that the store does not know."),
                  1, "site", text_of(site, "site"), "group", text_of(site, "group"), "journal",
                  text_of(site, "journal"), NULL);
    }
}

/* ---------------------------------------------------------------- groups */

/* One of several states: each has a sample, 1 for the one that it is in. */
static void compose_replica_states(const struct composing *of, const json_t *replica, const char *group,
                                   const char *site)
{
    static const char *const states[] = {"in-sync", "streaming", "resync", "disconnected", "diverged"};
    for (size_t i = 0; i < CW_COUNT_OF(states); i++)
        cw_sample(gauge(of, "causeway_replica_state", "1: the replica is in that state."),
                  strcmp(states[i], text_of(replica, "state")) == 0, "group", group, "site", site, "state",
                  states[i], NULL);
}

static void compose_replica(const struct composing *of, const json_t *replica, const char *group)
{
    static const struct {
        const char *key, *name, *help;
    } gauges[] = {
        {"durable_sequence", "causeway_replica_durable_sequence",
         "The last record that the replica has durably."},
        {"applied_sequence", "causeway_replica_applied_sequence", "The last record in place at the replica."},
        {"verified_seconds", "causeway_replica_verified_age_seconds",
         "Since the replica was last proven equal."},
        {"drill_seconds", "causeway_replica_drill_age_seconds", "Since the last drill with the replica."}};
    const char *site = text_of(replica, "site");
    const json_t *copy = json_object_get(replica, "copy");
    bool is_lag_known = cw_json_bool(replica, "lag_known", true);
    compose_replica_states(of, replica, group, site);
    cw_sample(gauge(of, "causeway_replica_in_sync_set", "Is the replica a member of the in-sync set?"),
              cw_json_bool(replica, "member", false), "group", group, "site", site, NULL);
    cw_sample(gauge(of, "causeway_replica_lag_seconds",
                    "Age of the oldest write that the replica does not have durably; none: not known."),
              is_lag_known ? number_of(replica, "lag_seconds") : NAN, "group", group, "site", site, NULL);
    cw_sample(gauge(of, "causeway_replica_lag_bytes",
                    "Bytes of writes that the replica does not have durably; none: not known."),
              is_lag_known ? number_of(replica, "lag_bytes") : NAN, "group", group, "site", site, NULL);
    for (size_t i = 0; i < CW_COUNT_OF(gauges); i++)
        cw_sample(gauge(of, gauges[i].name, gauges[i].help), number_of(replica, gauges[i].key), "group",
                  group, "site", site, NULL);
    cw_sample(gauge(of, "causeway_replica_copy_done_bytes", "Of a copy in full that goes on: done."),
              number_of(copy, "done_bytes"), "group", group, "site", site, NULL);
    cw_sample(gauge(of, "causeway_replica_copy_size_bytes", "Of a copy in full that goes on: all."),
              number_of(copy, "total_bytes"), "group", group, "site", site, NULL);
}

static void compose_health(const struct composing *of, const json_t *group, const char *name)
{
    for (int i = 0; i < CW_HEALTH_COUNT; i++) {
        const char *level = cw_health_name((enum cw_health_level)i);
        cw_sample(gauge(of, "causeway_group_health", "1: the group's health is that."),
                  strcmp(level, text_of(group, "health")) == 0, "group", name, "health", level, NULL);
    }
}

static void compose_group(const struct composing *of, const json_t *group)
{
    static const struct {
        const char *key, *name, *help;
    } gauges[] = {
        {"epoch", "causeway_group_epoch", "The group's epoch in the store."},
        {"sequence", "causeway_group_sequence", "The last record of the group."},
        {"min_in_sync", "causeway_group_min_in_sync", "Replicas without which writes are held."},
        {"rpo_seconds", "causeway_group_rpo_seconds",
         "Age of acknowledged writes that no replica that could be promoted has; none: not known."},
        {"rpo_bytes", "causeway_group_rpo_bytes",
         "Bytes of acknowledged writes that no replica that could be promoted has; none: not known."},
        {"as_of_seconds", "causeway_group_as_of_seconds",
         "The primary is gone: how old what is shown of the group is."}};
    const char *name = text_of(group, "name"), *primary = text_of(group, "primary");
    size_t index;
    json_t *replica;
    cw_sample(gauge(of, "causeway_group_info", "A group: its mode, and its primary, if it has one."), 1,
              "group", name, "mode", text_of(group, "mode"), "primary", primary, NULL);
    compose_health(of, group, name);
    for (size_t i = 0; i < CW_COUNT_OF(gauges); i++)
        cw_sample(gauge(of, gauges[i].name, gauges[i].help), number_of(group, gauges[i].key), "group", name,
                  NULL);
    cw_sample(gauge(of, "causeway_group_volumes", "Volumes of the group."),
              (double)json_array_size(json_object_get(group, "volumes")), "group", name, NULL);
    json_array_foreach(json_object_get(group, "replicas"), index, replica)
    {
        compose_replica(of, replica, name);
    }
}

/* ---------------------------------------------------------------- paths */

static void compose_path(const struct composing *of, const json_t *path)
{
    static const struct {
        const char *key, *name, *help;
        double scale;
    } gauges[] = {
        {"rtt_us", "causeway_path_rtt_seconds", "Smoothed round trip.", 1e-6},
        {"loss", "causeway_path_loss_ratio", "Share of packets that are lost, 0 to 1.", 1},
        {"rate_bps", "causeway_path_rate_bytes_per_second", "What the path is sent on with.", 0.125}};
    const char *local = text_of(path, "local"), *remote = text_of(path, "remote"),
               *name = text_of(path, "name");
    cw_sample(gauge(of, "causeway_path_up", "Is the path in use?"), cw_json_bool(path, "up", false), "site",
              local, "remote", remote, "path", name, NULL);
    for (size_t i = 0; i < CW_COUNT_OF(gauges); i++)
        cw_sample(gauge(of, gauges[i].name, gauges[i].help), number_of(path, gauges[i].key) * gauges[i].scale,
                  "site", local, "remote", remote, "path", name, NULL);
}

static void compose_path_counters(const struct composing *of, const char *site)
{
    size_t index;
    json_t *path;
    json_array_foreach(json_object_get(engine_of(of, site), "paths"), index, path)
    {
        compose_counters(of, "path", json_object_get(path, "counters"), site,
                         (struct labels){"remote", text_of(path, "remote"), "path", text_of(path, "name")});
    }
}

static void compose_all(const struct composing *of)
{
    size_t index;
    json_t *entry;
    compose_process(of);
    compose_store(of);
    compose_sites(of);
    json_array_foreach(json_object_get(of->status, "groups"), index, entry)
    {
        compose_group(of, entry);
    }
    json_array_foreach(json_object_get(of->status, "paths"), index, entry)
    {
        compose_path(of, entry);
    }
    for (uint32_t i = 0; i < of->controller->view->site_count; i++)
        compose_path_counters(of, of->controller->view->sites[i].name);
}

char *cw_metrics_compose(struct cw_controller *controller, size_t *length)
{
    json_t *status = cw_status_public(controller);
    struct cw_exposition *to = cw_exposition_new();
    const struct composing of = {.controller = controller, .status = status, .to = to};
    char *text = NULL;
    *length = 0;
    if (status && to) {
        compose_all(&of);
        text = cw_exposition_text(to, length);
    }
    cw_exposition_free(to);
    json_decref(status);
    return text;
}
