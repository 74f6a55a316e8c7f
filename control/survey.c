/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a member of etcd is: at the site whose controller has an address in common with it. If that tells
 * nothing, or several, at the one site that reaches it by the first of its endpoints, which is its own by the
 * rules of the configuration. Else nobody knows, and survival.h counts it as gone with whatever burns.
 */
#include "control/survey.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/certificate_ends.h"
#include "control/etcd_census.h"

#define CERTIFICATES_LOOK_NS (60 * CW_SECOND)
#define LEVEL_KEPT_NS        (500 * CW_MS)

/* ---------------------------------------------------------------- what this site tells the others */

static void look_at_certificates(struct cw_controller *controller)
{
    const struct cw_node_config *config = &controller->config;
    const char *files[] = {config->security.files[0], config->security.files[2], config->security.files[3],
                           config->etcd.certificate, config->etcd.authority};
    size_t which;
    if (controller->certificates_look_ns > controller->now_ns)
        return;
    controller->certificates_look_ns = controller->now_ns + CERTIFICATES_LOOK_NS;
    controller->certificates_days = cw_certificates_end_days(files, CW_COUNT_OF(files), &which);
    controller->certificate = which < CW_COUNT_OF(files) ? files[which] : "";
}

void cw_survey_tell(struct cw_controller *controller, json_t *facts)
{
    look_at_certificates(controller);
    if (controller->certificate[0])
        json_object_set_new(
            facts, "certificates",
            json_pack("{s:f,s:s}", "days", controller->certificates_days, "file", controller->certificate));
    if (controller->census)
        json_object_set_new(facts, "etcd", cw_census_json(controller->census));
}

/* ---------------------------------------------------------------- sites */

/* Of a site's facts, by its index in the view; NULL. */
static const json_t *told_by(const struct cw_controller *controller, uint32_t site, const char *what)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, controller->view->sites[site].name);
    return seen ? json_object_get(seen->facts, what) : NULL;
}

static void learn_sites(const struct cw_controller *controller, struct cw_survey *survey)
{
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const char *name = controller->view->sites[i].name;
        const json_t *ends = told_by(controller, i, "certificates");
        struct cw_survival_site *site = &survey->sites[i];
        *site = (struct cw_survival_site){
            .name = name,
            .is_witness = cw_site_is_witness(controller, name),
            .is_engine_alive = cw_site_is_heard(controller, name) && !cw_site_is_witness(controller, name),
            .age_seconds = cw_site_word_age_seconds(controller, name),
            .certificate_days = cw_json_number(ends, "days", CW_SURVIVAL_NO_CERTIFICATE),
            .certificate = cw_json_text(ends, "file", "")};
    }
    survey->facts.site_count = (int)controller->view->site_count;
}

static int site_index(const struct cw_survey *survey, const char *name)
{
    for (int i = 0; i < survey->facts.site_count; i++) {
        if (strcmp(survey->sites[i].name, name) == 0)
            return i;
    }
    return CW_SURVIVAL_NOWHERE;
}

/* ---------------------------------------------------------------- votes */

static bool ip_of(const char *host, struct cw_ip *ip)
{
    *ip = (struct cw_ip){0};
    if (inet_pton(AF_INET, host, ip->bytes) == 1)
        ip->version = 4;
    else if (inet_pton(AF_INET6, host, ip->bytes) == 1)
        ip->version = 6;
    return ip->version != 0;
}

/* The site of this address of a controller; NOWHERE: none, or several. */
static int site_of_host(const struct cw_controller *controller, const struct cw_survey *survey,
                        const char *host)
{
    const struct cw_node_config *config = &controller->config;
    int found = CW_SURVIVAL_NOWHERE;
    struct cw_ip ip;
    if (!ip_of(host, &ip))
        return found;
    for (uint32_t i = 0; i < config->site_count; i++) {
        const struct cw_config_site *site = &config->sites[i];
        bool is_own = strcmp(site->name, config->site) == 0 && config->control_address.port != 0;
        const struct cw_ip *address = is_own ? &config->control_address.ip : &site->control.ip;
        if (!cw_ip_is_equal(address, &ip))
            continue;
        if (found != CW_SURVIVAL_NOWHERE)
            return CW_SURVIVAL_NOWHERE;
        found = site_index(survey, site->name);
    }
    return found;
}

static int site_by_hosts(const struct cw_controller *controller, const struct cw_survey *survey,
                         const json_t *member)
{
    int found = CW_SURVIVAL_NOWHERE;
    size_t index;
    json_t *host;
    json_array_foreach(json_object_get(member, "hosts"), index, host)
    {
        const char *text = json_string_value(host);
        int site = text ? site_of_host(controller, survey, text) : CW_SURVIVAL_NOWHERE;
        if (site == CW_SURVIVAL_NOWHERE)
            continue;
        if (found != CW_SURVIVAL_NOWHERE && found != site)
            return CW_SURVIVAL_NOWHERE;
        found = site;
    }
    return found;
}

static int site_by_claim(const struct cw_controller *controller, const char *id)
{
    int found = CW_SURVIVAL_NOWHERE;
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const json_t *etcd = told_by(controller, i, "etcd");
        if (strcmp(cw_json_text(etcd, "own", ""), id) != 0)
            continue;
        if (found != CW_SURVIVAL_NOWHERE)
            return CW_SURVIVAL_NOWHERE;
        found = (int)i;
    }
    return found;
}

static const json_t *find_member(const json_t *members, const char *id)
{
    size_t index;
    json_t *member;
    json_array_foreach(members, index, member)
    {
        if (strcmp(cw_json_text(member, "id", ""), id) == 0)
            return member;
    }
    return NULL;
}

/* Seconds since a member answered anybody; below 0: never, as far as is known. */
static double answered_seconds(const struct cw_controller *controller, const struct cw_survey *survey,
                               const char *id)
{
    double best = -1;
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const json_t *etcd = told_by(controller, i, "etcd");
        const json_t *member = find_member(json_object_get(etcd, "members"), id);
        double age = cw_json_number(member, "age_seconds", -1), told = survey->sites[i].age_seconds;
        if (age >= 0 && told >= 0 && (best < 0 || age + told < best))
            best = age + told;
    }
    return best;
}

/* The newest list of members that any site told; *age: of it. */
static const json_t *newest_members(const struct cw_controller *controller, const struct cw_survey *survey,
                                    double *age)
{
    const json_t *newest = NULL;
    *age = -1;
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const json_t *etcd = told_by(controller, i, "etcd");
        double listed = cw_json_number(etcd, "age_seconds", -1), told = survey->sites[i].age_seconds;
        if (listed < 0 || told < 0 || (*age >= 0 && listed + told >= *age))
            continue;
        *age = listed + told;
        newest = json_object_get(etcd, "members");
    }
    return newest;
}

static void learn_votes(const struct cw_controller *controller, struct cw_survey *survey)
{
    size_t index;
    json_t *member;
    const json_t *members = newest_members(controller, survey, &survey->facts.votes_age_seconds);
    json_array_foreach(members, index, member)
    {
        const char *id = cw_json_text(member, "id", ""), *name = cw_json_text(member, "name", "");
        int count = survey->facts.vote_count, site = site_by_hosts(controller, survey, member);
        if (count == (int)CW_SURVEY_VOTES_MAX)
            break;
        snprintf(survey->vote_names[count], sizeof survey->vote_names[0], "%s", *name ? name : id);
        survey->votes[count] = (struct cw_survival_vote){
            .name = survey->vote_names[count],
            .site = site != CW_SURVIVAL_NOWHERE ? site : site_by_claim(controller, id),
            .age_seconds = answered_seconds(controller, survey, id)};
        survey->facts.vote_count++;
    }
}

/* ---------------------------------------------------------------- groups */

const char *cw_survey_failover(const struct cw_controller *controller, const struct cw_store_group *group,
                               const char *site, const char **answer)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    char key[16];
    snprintf(key, sizeof key, "%u", group->id);
    const json_t *said = json_object_get(json_object_get(seen ? seen->facts : NULL, "failover"), key);
    *answer = cw_json_text(said, "answer", "");
    return cw_json_text(said, "words", "");
}

bool cw_survey_is_ready(const char *answer)
{
    return strcmp(answer, "ready") == 0 || strcmp(answer, "wait") == 0 || strcmp(answer, "go") == 0;
}

static void learn_replica(const struct cw_controller *controller, const struct cw_store_group *group,
                          const char *site, int index, struct cw_survival_replica *replica)
{
    struct cw_candidate candidate;
    const json_t *primary = cw_facts_group(controller, group->authority.holder, group->id);
    const json_t *peer = cw_facts_peer(primary, site);
    const char *answer, *words = cw_survey_failover(controller, group, site, &answer);
    *replica = (struct cw_survival_replica){.site = index,
                                            .is_told = cw_candidate_at(controller, group, site, &candidate),
                                            .is_member = cw_set_find(&group->authority.set, site) != NULL,
                                            .is_lag_known = peer && cw_json_bool(peer, "lag_known", true),
                                            .lag_seconds = cw_json_number(peer, "lag_seconds", 0),
                                            .lag_bytes = cw_json_u64(peer, "lag_bytes", 0),
                                            .is_ready = cw_survey_is_ready(answer),
                                            .not_ready = words};
    if (!replica->is_told)
        return;
    candidate.accept_loss = candidate.inconsistent = false;
    replica->verdict = cw_decide_candidate(&group->authority, &candidate);
    candidate.accept_loss = true;
    replica->with_loss =
        candidate.lacks[0] ? replica->verdict : cw_decide_candidate(&group->authority, &candidate);
}

/* By what the engines say of themselves: of the primary's it must be known. */
static bool has_grants(const struct cw_controller *controller, const struct cw_store_group *group)
{
    bool is_known = false;
    for (uint32_t i = 0; i < group->site_count; i++) {
        const json_t *engine = cw_facts_group(controller, group->sites[i], group->id);
        const char *policy = cw_json_text(json_object_get(engine, "lease"), "on_store_loss", "");
        if (policy[0] && strcmp(policy, "peer-grants") != 0)
            return false;
        is_known = is_known || (policy[0] && strcmp(group->sites[i], group->authority.holder) == 0);
    }
    return is_known;
}

static void learn_group(const struct cw_controller *controller, struct cw_survey *survey, uint32_t index)
{
    const struct cw_store_group *group = &controller->view->groups[index];
    const char *holder = group->authority.holder;
    struct cw_survival_group *learnt = &survey->groups[survey->facts.group_count];
    struct cw_health *health = &survey->healths[survey->facts.group_count++];
    *health = cw_status_health(controller, group);
    *learnt = (struct cw_survival_group){
        .name = group->name,
        .mode = group->mode,
        .holder = holder[0] ? site_index(survey, holder) : CW_SURVIVAL_NOWHERE,
        .health = health->level,
        .reason = health->reason,
        .min_in_sync = group->min_in_sync,
        .max_loss_seconds = (double)group->max_loss_ms / 1e3,
        .is_automatic = group->is_automatic,
        .max_loss_bytes = group->max_loss_bytes ? group->max_loss_bytes : UINT64_MAX};
    learnt->has_grants = has_grants(controller, group);
    for (uint32_t i = 0; i < group->site_count; i++) {
        int site = site_index(survey, group->sites[i]);
        if (site != CW_SURVIVAL_NOWHERE && site != learnt->holder)
            learn_replica(controller, group, group->sites[i], site,
                          &learnt->replicas[learnt->replica_count++]);
    }
}

struct cw_survey *cw_survey_make(const struct cw_controller *controller)
{
    struct cw_survey *survey = calloc(1, sizeof *survey);
    if (!survey)
        return NULL;
    survey->facts = (struct cw_survival_facts){.is_embedded = controller->config.etcd.count == 0,
                                               .votes_age_seconds = -1,
                                               .store_silent_seconds = cw_store_silent_seconds(controller),
                                               .lease_seconds = (double)controller->config.lease_ms / 1e3,
                                               .sites = survey->sites,
                                               .votes = survey->votes,
                                               .groups = survey->groups};
    learn_sites(controller, survey);
    learn_votes(controller, survey);
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        if (!controller->view->groups[i].is_deleting)
            learn_group(controller, survey, i);
    }
    return survey;
}

/* ---------------------------------------------------------------- a number for others */

bool cw_site_loss_survivable(struct cw_controller *controller, const char *site)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    bool is_kept = controller->survival_ns != 0 &&
                   controller->now_ns - controller->survival_ns < LEVEL_KEPT_NS &&
                   controller->survival_count == controller->view->site_count;
    struct cw_survey *survey = found && !is_kept ? cw_survey_make(controller) : NULL;
    for (int i = 0; survey && i < survey->facts.site_count; i++) {
        struct cw_survival_loss loss = {.count = 1, .sites = {i}};
        controller->is_survivable[i] = cw_survival_is_good(cw_survival_judge(&survey->facts, &loss).level);
    }
    if (survey) {
        controller->survival_ns = controller->now_ns;
        controller->survival_count = controller->view->site_count;
    }
    bool is_known = survey != NULL || is_kept;
    free(survey);
    return found && is_known && controller->is_survivable[found - controller->view->sites];
}
