/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this controller knows, as facts for survival.h: from the store's view, from what each site said of
 * itself last (which every site has by the links), and from etcd's list of members. survey.c gathers,
 * serve_survey.c answers what is asked.
 */
#pragma once

#include "control/controller.h"
#include "control/survival.h"

#define CW_SURVEY_VOTES_MAX 16u

struct cw_survey {
    struct cw_survival_facts facts;
    struct cw_survival_site sites[CW_STORE_SITES_MAX];
    struct cw_survival_vote votes[CW_SURVEY_VOTES_MAX];
    char vote_names[CW_SURVEY_VOTES_MAX][64];
    struct cw_health healths[CW_STORE_GROUPS_MAX];
    struct cw_survival_group groups[CW_STORE_GROUPS_MAX]; /* in the view's order */
};

/* NULL: no memory. Borrows from the controller: of use until it next hears anything. free() ends it. */
struct cw_survey *cw_survey_make(const struct cw_controller *controller);

/* What a site's controller said whether it would take the group over by itself: the words ("": nothing), and
 * *answer, of failover.h. Borrowed. */
const char *cw_survey_failover(const struct cw_controller *controller, const struct cw_store_group *group,
                               const char *site, const char **answer);
bool cw_survey_is_ready(const char *answer);

/* serve_survey.c: a survey as `causeway audit --json` shows it; pairs: of two sites, too. New reference. */
json_t *cw_survey_json(const struct cw_controller *controller, bool has_pairs);
