/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kinds of steps at work: how each is looked at, kept, done and undone. Blocking, as root; called by apply, revert and
 * boot only, in this order: keep → (journal, synced) → do → (journal) … → undo.
 *
 * undo gets there from any state between before and after, whatever killed whoever was there, and may be called again
 * after it was killed itself; it is told whether there can be such a state. What somebody else has changed since is left,
 * and said in words: that is no failure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "nic-config/step.h"

/* What is there now, as undo wants it; the caller's to decref. NULL with words: the step cannot be done. */
json_t *cw_step_keep(const struct cw_step *step, char *words, size_t size);
/* Nothing is to be done. With words: as nothing can be, and that does no harm (an interrupt that the kernel keeps where it
 * is); "" else. */
bool cw_step_is_done(const struct cw_step *step, char *words, size_t size);
/* CW_OK: done, and looked at whether it is so; with words: what should be known of it, "" else. Else words say what failed
 * and what to do; whatever was half done is put back, as far as it can be: undo is to be called all the same. */
enum cw_status cw_step_do(const struct cw_step *step, char *words, size_t size) CW_MUST_CHECK;
/* A process works with what is changed by this step, or by its undo: words say who. false with words: that cannot be told,
 * and why; "" nobody does. */
bool cw_step_is_used(const struct cw_step *step, char *words, size_t size);
/* How it was left: whole, so that any other state is somebody else's; or killed or failed in the middle of do or undo; or
 * to a reboot. */
enum cw_step_left { CW_LEFT_WHOLE, CW_LEFT_HALF, CW_LEFT_TO_REBOOT };
/* CW_OK: as it was before, or left as somebody else has made it, then with words ("" else). CW_NOT_FOUND: what it is of is
 * gone, or somebody else has it, so that what was kept cannot be put back now: it is to be asked again. */
enum cw_status cw_step_undo(const struct cw_step *step, const json_t *before, enum cw_step_left left,
                            char *words, size_t size) CW_MUST_CHECK;
