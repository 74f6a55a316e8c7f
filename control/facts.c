/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each site says of itself, in the book, once a second; and how old that is, by this controller's own
 * monotonic clock since it last saw the counter move. The wall clock in a fact is for display of sites that
 * have not moved since this controller started, and decides nothing; their monotonic one (clock_seconds) is
 * there for the moments of it that their engine tells, and compared with nobody else's.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/automatic.h"
#include "control/controller.h"
#include "control/etcd_census.h"
#include "control/store_copy.h"

#define TELL_NS       (1 * CW_SECOND)
#define TELL_BUSY_NS  (150 * CW_MS)
#define TELL_AGAIN_NS (200 * CW_MS) /* after the store did not take it */
#define ALIVE_NS      (2500 * CW_MS)
#define SILENT_MS     5000u /* a store that elects a leader is silent for less */
#define HEARD_SECONDS 5.0   /* an engine that answers nothing for so long renews no lease either */

uint64_t cw_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Seconds since this site's engine was asked for the last status that it gave; below 0: it gave none. */
static double engine_age_seconds(const struct cw_controller *controller)
{
    uint64_t kept_at_ns = controller->engine.kept_at_ns, now_ns = cw_monotonic_ns();
    return kept_at_ns == 0 ? -1 : (double)(now_ns - CW_MIN(now_ns, kept_at_ns)) / 1e9;
}

void cw_facts_tell(struct cw_controller *controller)
{
    const struct cw_engine_link *engine = &controller->engine;
    if (controller->now_ns < controller->facts_due_ns)
        return;
    controller->facts_due_ns =
        controller->now_ns + (cw_is_in_transition(controller) ? TELL_BUSY_NS : TELL_NS);
    json_t *facts =
        json_pack("{s:s,s:b,s:f,s:f,s:f,s:i}", "version", CW_VERSION, "engine_alive", engine->is_registered,
                  "engine_age_seconds", engine_age_seconds(controller), "wall_seconds", wall_seconds(),
                  "clock_seconds", (double)cw_monotonic_ns() / 1e9, "pid", (int)getpid());
    json_object_set(facts, "engine", engine->status_kept ? engine->status_kept : json_null());
    json_object_set_new(facts, "unknown", cw_strangers(controller));
    json_object_set_new(facts, "evacuating", cw_evacuating_here(controller));
    json_object_set_new(facts, "failover", cw_automatic_facts(controller));
    json_object_set_new(facts, "store_begun",
                        json_boolean(controller->is_store_begun && !controller->is_fault_told));
    json_object_set_new(facts, "store_copy", cw_store_copy_facts(controller));
    json_object_set_new(facts, "break_glass", cw_break_glass_facts(controller));
    cw_survey_tell(controller, facts);
    json_object_set_new(facts, "losses", cw_failovers_facts(controller));
    /* Where the book is not the store's own file, its taking the facts says nothing of the store; and that an
     * etcd is silent, its store says itself. */
    bool is_etcd = controller->config.etcd.count > 0, is_shared = !controller->own_book.file[0];
    bool is_taken = cw_book_facts_put(controller->book, controller->config.site, facts) == CW_OK;
    bool is_answering = is_shared ? is_taken : cw_store_version(controller->store) != 0;
    if (is_etcd || is_answering) {
        controller->store_failed_ns = 0;
    } else {
        if (controller->store_failed_ns == 0) {
            fprintf(stderr, "the store did not take this site's facts\n");
            controller->store_failed_ns = controller->now_ns;
        }
        controller->facts_due_ns = controller->now_ns + TELL_AGAIN_NS;
    }
    cw_links_facts(controller, facts);
    json_decref(facts);
}

double cw_store_silent_seconds(const struct cw_controller *controller)
{
    double silent = (double)cw_store_silent_ms(controller->store) / 1e3;
    if (controller->store_failed_ns == 0)
        return silent;
    return CW_MAX(silent, CW_MAX((double)(controller->now_ns - controller->store_failed_ns) / 1e9, 0.001));
}

double cw_store_full_seconds(const struct cw_controller *controller)
{
    if (controller->store_full_ns == 0)
        return 0;
    return CW_MAX((double)(controller->now_ns - controller->store_full_ns) / 1e9, 0.001);
}

const char *cw_store_wrong(const struct cw_controller *controller)
{
    bool is_full = controller->store_full_ns != 0 && cw_store_silent_ms(controller->store) == 0;
    return is_full ? controller->store_full : cw_store_trouble(controller->store);
}

void cw_store_look(struct cw_controller *controller)
{
    bool was_full = controller->store_full_ns != 0,
         is_silent = cw_store_silent_ms(controller->store) > SILENT_MS;
    bool is_full = controller->census && cw_census_is_full(controller->census, controller->store_full,
                                                           sizeof controller->store_full);
    if (is_full && !was_full)
        cw_event(controller, 2, "",
                 "the store %s answers and takes no changes: %s. Until it does, "
                 "no lease is renewed and no role changes",
                 controller->store_name, controller->store_full);
    else if (was_full && !is_full)
        cw_event(controller, 0, "", "the store %s takes changes again", controller->store_name);
    if (is_full != was_full)
        controller->store_full_ns = is_full ? controller->now_ns : 0;
    if (is_silent == controller->is_silence_told || !controller->is_store_begun)
        return;
    controller->is_silence_told = is_silent;
    cw_event(controller, is_silent ? 2 : 0, "", "the store %s %s%s", controller->store_name,
             is_silent ? "does not answer: " : "answers again",
             is_silent ? cw_store_trouble(controller->store) : "");
}

static void look_at(struct cw_controller *controller, struct cw_site_seen *seen)
{
    json_t *facts = NULL;
    uint64_t counter = 0;
    if (cw_book_facts(controller->book, seen->name, &facts, &counter) != CW_OK)
        return;
    if (seen->counter != 0)
        seen->changed_ns = controller->now_ns;
    seen->counter = counter;
    json_decref(seen->facts);
    seen->facts = facts;
}

static struct cw_site_seen *find_seen(struct cw_controller *controller, const char *site)
{
    for (uint32_t i = 0; i < CW_STORE_SITES_MAX; i++) {
        if (strcmp(controller->seen[i].name, site) == 0)
            return &controller->seen[i];
    }
    return NULL;
}

/* What was seen of a site stays with it when the list of sites becomes another one. */
static void arrange_seen(struct cw_controller *controller)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = 0; i < view->site_count; i++) {
        struct cw_site_seen *here = &controller->seen[i], was = *here;
        if (strcmp(here->name, view->sites[i].name) == 0)
            continue;
        struct cw_site_seen *there = find_seen(controller, view->sites[i].name);
        there = there ? there : find_seen(controller, "");
        *here = there ? *there : (struct cw_site_seen){0};
        if (there)
            *there = was;
        else
            json_decref(was.facts); /* of a site that is no more */
        snprintf(here->name, sizeof here->name, "%s", view->sites[i].name);
    }
}

struct moved {
    struct cw_controller *controller;
    bool is_moved[CW_STORE_SITES_MAX];
};

static void note_moved(void *context, const char *site, uint64_t counter)
{
    struct moved *moved = context;
    const struct cw_store_site *found = cw_view_site(moved->controller->view, site);
    if (found)
        moved->is_moved[found - moved->controller->view->sites] =
            cw_site_seen(moved->controller, site)->counter != counter;
}

/* In another book the counters are other ones, and nobody has moved by that. What was last heard of a site
 * that is silent goes there, too. */
static void recount_seen(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_STORE_SITES_MAX; i++) {
        struct cw_site_seen *seen = &controller->seen[i];
        json_t *facts = NULL;
        if (!seen->facts)
            continue;
        if (cw_book_facts_put(controller->book, seen->name, seen->facts) != CW_OK ||
            cw_book_facts(controller->book, seen->name, &facts, &seen->counter) != CW_OK)
            seen->counter = 0;
        json_decref(facts);
    }
}

bool cw_book_look(struct cw_controller *controller)
{
    struct cw_own_book *own = &controller->own_book;
    if (!cw_own_book_look(own, controller->config.site, controller->now_ns))
        return false;
    controller->book = own->book;
    controller->audit_damage[0] = 0;
    recount_seen(controller);
    cw_event(controller, own->level, "", "%s", own->news);
    return true;
}

const char *cw_book_wrong(const struct cw_controller *controller)
{
    const struct cw_own_book *own = &controller->own_book;
    return own->file[0] && cw_own_book_is_in_memory(own) ? own->why : "";
}

void cw_facts_look(struct cw_controller *controller)
{
    struct moved moved = {.controller = controller};
    arrange_seen(controller);
    if (cw_book_facts_counters(controller->book, note_moved, &moved) != CW_OK)
        return;
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        if (moved.is_moved[i])
            look_at(controller, &controller->seen[i]);
    }
}

const struct cw_site_seen *cw_site_seen(const struct cw_controller *controller, const char *site)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    const struct cw_site_seen *seen = found ? &controller->seen[found - controller->view->sites] : NULL;
    return seen && strcmp(seen->name, site) == 0 ? seen : NULL;
}

bool cw_site_is_witness(const struct cw_controller *controller, const char *site)
{
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        if (strcmp(controller->config.sites[i].name, site) == 0)
            return controller->config.sites[i].is_witness;
    }
    return false;
}

bool cw_site_is_told(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    return seen && seen->changed_ns && controller->now_ns - seen->changed_ns < ALIVE_NS;
}

/* A witness has no engine: its controller is all there is of it. */
bool cw_site_is_alive(const struct cw_controller *controller, const char *site)
{
    bool is_witness = cw_site_is_witness(controller, site);
    if (strcmp(site, controller->config.site) == 0)
        return is_witness || controller->engine.is_registered;
    return cw_site_is_told(controller, site) &&
           (is_witness || cw_json_bool(cw_site_seen(controller, site)->facts, "engine_alive", false));
}

static bool is_self(const struct cw_controller *controller, const char *site)
{
    return strcmp(site, controller->config.site) == 0;
}

/* As of this controller's own life with it, or of its last word in the book. */
static double engine_age_of(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    if (is_self(controller, site))
        return engine_age_seconds(controller);
    return seen ? cw_json_number(seen->facts, "engine_age_seconds", 0) : -1;
}

bool cw_site_is_heard(const struct cw_controller *controller, const char *site)
{
    double age = engine_age_of(controller, site);
    return cw_site_is_alive(controller, site) &&
           (cw_site_is_witness(controller, site) || (age >= 0 && age < HEARD_SECONDS));
}

bool cw_site_is_silent(const struct cw_controller *controller, const char *site)
{
    return !cw_site_is_alive(controller, site) && controller->now_ns - controller->started_ns > ALIVE_NS;
}

/* Of its controller's last word. */
static double word_age_seconds(const struct cw_controller *controller, const struct cw_site_seen *seen)
{
    if (seen->changed_ns)
        return (double)(controller->now_ns - seen->changed_ns) / 1e9;
    return CW_MAX(wall_seconds() - cw_json_number(seen->facts, "wall_seconds", 0), 0.0);
}

double cw_site_age_seconds(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    double engine = engine_age_of(controller, site);
    if (is_self(controller, site))
        return cw_site_is_heard(controller, site) ? 0 : engine;
    if (!seen || !seen->facts)
        return -1;
    double word = word_age_seconds(controller, seen);
    return cw_site_is_heard(controller, site) || engine < 0 ? word : word + engine;
}

double cw_site_word_age_seconds(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    if (is_self(controller, site))
        return 0;
    return seen && seen->facts ? word_age_seconds(controller, seen) : -1;
}

const json_t *cw_facts_group(const struct cw_controller *controller, const char *site, uint32_t group)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    size_t index;
    json_t *entry;
    if (strcmp(site, controller->config.site) == 0 && controller->engine.status)
        return cw_engine_group(controller, group);
    if (!seen)
        return NULL;
    json_array_foreach(json_object_get(json_object_get(seen->facts, "engine"), "groups"), index, entry)
    {
        if (cw_json_u64(entry, "group", 0) == group)
            return entry;
    }
    return NULL;
}

void cw_event(struct cw_controller *controller, int level, const char *group, const char *format, ...)
{
    char text[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s%s\n", group, *group ? ": " : "", text);
    controller->events_told[CW_MIN((uint32_t)level, CW_EVENT_LEVELS - 1)]++;
    bool is_taken;
    do {
        is_taken = cw_book_event_add(controller->book, level, controller->config.site, group, text) == CW_OK;
    } while (!is_taken && cw_book_look(controller));
    if (!is_taken)
        fprintf(stderr, "the book did not take that event\n");
}

const json_t *cw_facts_peer(const json_t *group, const char *site)
{
    size_t index;
    json_t *peer;
    json_array_foreach(json_object_get(group, "peers"), index, peer)
    {
        if (strcmp(cw_json_text(peer, "site", ""), site) == 0)
            return peer;
    }
    return NULL;
}
