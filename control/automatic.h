/* SPDX-License-Identifier: BSD-3-Clause */
/* Automatic failover at this controller. What decides is failover.h. */
#pragma once

#include "control/controller.h"
#include "control/failover.h"
#include "control/health.h"

/* Whether this site would take the group over by itself, now, and why (not), in words: of any group, as of
 * this instant. Changes nothing. */
void cw_automatic_judge(struct cw_controller *controller, const struct cw_store_group *group,
                        struct cw_failover_verdict *verdict);
/* May one that has begun go on? */
bool cw_automatic_goes_on(struct cw_controller *controller, const struct cw_store_group *group,
                          struct cw_failover_verdict *verdict);
/* An automatic one is over: that is told, and one that failed is left alone for a while. */
void cw_automatic_ended(struct cw_controller *controller, const struct cw_operation *operation);
/* Ends one that is under way, for somebody who asks for a promotion or switchover to this site himself. */
void cw_automatic_give_way(struct cw_controller *controller, struct cw_operation *operation);
/* Once a tick: begins what is due, tells what changes. */
void cw_automatic_run(struct cw_controller *controller);
/* For this site's facts: the verdict on each group that could fail over to it, by the group's number; for the
 * status of a group. New references. */
json_t *cw_automatic_facts(struct cw_controller *controller);
json_t *cw_automatic_status(struct cw_controller *controller, const struct cw_store_group *group);
