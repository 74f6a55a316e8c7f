/* SPDX-License-Identifier: BSD-3-Clause */
/* What `causeway audit` asks: the survey as JSON, words and all, so that who shows it decides nothing. */
#include <stdlib.h>
#include <string.h>

#include "control/survey.h"

#define PAIRS_OF_SITES_MAX 16 /* of more sites, pairs would be a book */
#define GROUPS_SHOWN_MAX   64 /* of a loss, beside those that just go on */

static json_t *seconds_or_null(double seconds)
{
    return seconds < 0 ? json_null() : json_real((double)(int64_t)(seconds * 1000) / 1000);
}

/* ---------------------------------------------------------------- what is there */

static json_t *show_site(const struct cw_survival_site *site)
{
    bool has_certificate = site->certificate_days < CW_SURVIVAL_NO_CERTIFICATE;
    return json_pack("{s:s,s:b,s:b,s:b,s:o,s:o}", "name", site->name, "witness", site->is_witness,
                     "controller", cw_survival_is_heard(site), "engine", site->is_engine_alive,
                     "heard_seconds", seconds_or_null(site->age_seconds), "certificate_days",
                     has_certificate ? json_real(site->certificate_days) : json_null());
}

static json_t *show_vote(const struct cw_survival_facts *facts, const struct cw_survival_vote *vote)
{
    bool is_placed = vote->site != CW_SURVIVAL_NOWHERE;
    return json_pack(
        "{s:s,s:s,s:b,s:o}", "member", vote->name, "site", is_placed ? facts->sites[vote->site].name : "",
        "answers", cw_survival_answers(facts, vote), "answered_seconds", seconds_or_null(vote->age_seconds));
}

/* ---------------------------------------------------------------- a loss */

static json_t *show_group(const struct cw_survival_facts *facts, const struct cw_survival_group *group,
                          const struct cw_survival_group_fate *fate)
{
    char words[CW_SURVIVAL_WORDS], command[160];
    bool is_taken = fate->fate == CW_FATE_TAKEN || fate->fate == CW_FATE_TAKEN_LOSS;
    return json_pack("{s:s,s:s,s:b,s:s,s:b,s:b,s:s,s:s}", "group", group->name, "verdict",
                     cw_survival_level_name(fate->level), "survivable", cw_survival_is_good(fate->level),
                     "taken_by", is_taken ? facts->sites[fate->site].name : "", "automatic",
                     is_taken && fate->level == CW_SURVIVES, "by_grants", fate->fate == CW_FATE_BY_GRANTS,
                     "words", cw_survival_say_group(facts, group, fate, words, sizeof words), "command",
                     cw_survival_say_command(facts, group, fate, command, sizeof command));
}

/* The worst ones first; those that just go on are only counted. */
static json_t *show_groups(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                           const struct cw_survival_votes *votes, int *go_on)
{
    json_t *groups = json_array();
    *go_on = 0;
    for (int level = CW_SURVIVES_NOT; level >= CW_SURVIVES; level--) {
        for (int i = 0; i < facts->group_count; i++) {
            struct cw_survival_group_fate fate = cw_survival_of_group(facts, loss, votes, &facts->groups[i]);
            *go_on += (int)fate.level == level && fate.fate == CW_FATE_GOES_ON;
            if ((int)fate.level != level || fate.fate == CW_FATE_GOES_ON ||
                json_array_size(groups) == GROUPS_SHOWN_MAX)
                continue;
            json_array_append_new(groups, show_group(facts, &facts->groups[i], &fate));
        }
    }
    return groups;
}

static json_t *show_loss(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss)
{
    char summary[CW_SURVIVAL_WORDS], votes[CW_SURVIVAL_WORDS], controllers[CW_SURVIVAL_WORDS],
        certificates[CW_SURVIVAL_WORDS];
    struct cw_survival_verdict verdict = cw_survival_judge(facts, loss);
    int go_on = 0;
    json_t *sites = json_array(), *groups = show_groups(facts, loss, &verdict.votes, &go_on);
    for (int i = 0; i < loss->count; i++)
        json_array_append_new(sites, json_string(facts->sites[loss->sites[i]].name));
    return json_pack(
        "{s:o,s:s,s:b,s:s,s:{s:i,s:i,s:s,s:b,s:s},s:{s:i,s:s},s:s,s:o,s:i}", "sites", sites, "verdict",
        cw_survival_level_name(verdict.level), "survivable", cw_survival_is_good(verdict.level), "summary",
        cw_survival_say_verdict(facts, loss, &verdict, summary, sizeof summary), "votes", "left",
        verdict.votes.left, "all", verdict.votes.all, "verdict", cw_survival_level_name(verdict.votes.level),
        "good", cw_survival_is_good(verdict.votes.level), "words",
        cw_survival_say_votes(facts, loss, &verdict.votes, votes, sizeof votes), "controllers", "left",
        verdict.controllers_left, "words",
        cw_survival_say_controllers(facts, loss, controllers, sizeof controllers), "certificates",
        cw_survival_say_certificates(facts, &verdict, certificates, sizeof certificates), "groups", groups,
        "groups_go_on", go_on);
}

static json_t *show_losses(const struct cw_survival_facts *facts, bool has_pairs)
{
    json_t *losses = json_array();
    for (int i = 0; i < facts->site_count; i++) {
        struct cw_survival_loss loss = {.count = 1, .sites = {i}};
        json_array_append_new(losses, show_loss(facts, &loss));
    }
    for (int i = 0; has_pairs && i < facts->site_count; i++) {
        for (int k = i + 1; k < facts->site_count; k++) {
            struct cw_survival_loss loss = {.count = 2, .sites = {i, k}};
            json_array_append_new(losses, show_loss(facts, &loss));
        }
    }
    return losses;
}

json_t *cw_survey_json(const struct cw_controller *controller, bool has_pairs)
{
    struct cw_survey *survey = cw_survey_make(controller);
    json_t *sites = json_array(), *votes = json_array();
    if (!survey)
        return NULL;
    const struct cw_survival_facts *facts = &survey->facts;
    for (int i = 0; i < facts->site_count; i++)
        json_array_append_new(sites, show_site(&facts->sites[i]));
    for (int i = 0; i < facts->vote_count; i++)
        json_array_append_new(votes, show_vote(facts, &facts->votes[i]));
    bool pairs_fit = facts->site_count > 2 && facts->site_count <= PAIRS_OF_SITES_MAX;
    json_t *shown =
        json_pack("{s:s,s:s,s:b,s:f,s:i,s:o,s:o,s:o,s:[s,s]}", "site", controller->config.site, "store",
                  controller->store_name, "embedded", facts->is_embedded, "store_silent_seconds",
                  facts->store_silent_seconds, "groups", facts->group_count, "sites", sites, "votes", votes,
                  "losses", show_losses(facts, has_pairs && pairs_fit), "not_known",
                  "whether the sites that are left have the bandwidth and the machines for the load: nothing "
                  "has measured that",
                  "whether the directory of the certificate authority (causeway cert) burns, too: keep a "
                  "copy elsewhere");
    free(survey);
    return shown;
}

json_t *cw_serve_survey(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    cw_facts_look(controller);
    json_t *shown = cw_survey_json(controller, cw_json_bool(message->params, "pairs", false));
    return shown ? cw_rpc_result(message->id, shown) : cw_fail(message, "no memory");
}
