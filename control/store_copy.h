/* SPDX-License-Identifier: BSD-3-Clause */
/* This site's copy of the store in etcd, in a file. See store_copy.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/decide.h"

struct cw_controller;

void cw_store_copy_start(struct cw_controller *controller);
void cw_store_copy_stop(struct cw_controller *controller);
/* Often: follows what the store has. */
void cw_store_copy_look(struct cw_controller *controller);
/* The store has taken this row of ours: into the file before the engine is told. false: the file is neither
 * written nor taken away; then the engine is not told. */
bool cw_store_copy_authority(struct cw_controller *controller, uint32_t group,
                             const struct cw_authority *next) __attribute__((warn_unused_result));
/* Is the store older than the copy, or is it being rebuilt? Then controller->store_behind says so, and the
 * view is the copy's. To be asked again until it is not. */
bool cw_store_copy_is_ahead(struct cw_controller *controller);
/* May an epoch be claimed of the store? Not in the first seconds with it while another site has not said that
 * it works with it, too: it may remember more. */
bool cw_store_copy_is_settled(struct cw_controller *controller);
/* For this site's facts: the copy's rows of groups that are here, while the store is not worked with; else
 * null. New reference. */
json_t *cw_store_copy_facts(const struct cw_controller *controller);
