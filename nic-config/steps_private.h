/* SPDX-License-Identifier: BSD-3-Clause */
/* Between steps.c and the kinds of steps; and how they read and write the small files of /sys and /proc. */
#pragma once

#include "nic-config/steps.h"

/* The verbs of steps.h, of one kind. */
struct cw_step_verbs {
    json_t *(*keep)(const struct cw_step *step, char *words, size_t size);
    bool (*is_done)(const struct cw_step *step, char *words, size_t size);
    enum cw_status (*carry_out)(const struct cw_step *step, char *words, size_t size);
    enum cw_status (*undo)(const struct cw_step *step, const json_t *before, char *words, size_t size);
    /* NULL: a reboot has undone it */
    enum cw_status (*undo_after_reboot)(const struct cw_step *step, const json_t *before, char *words,
                                        size_t size);
    /* NULL: undo can tell a half state from what somebody else has made */
    enum cw_status (*undo_whole)(const struct cw_step *step, const json_t *before, char *words, size_t size);
};
extern const struct cw_step_verbs cw_step_write, cw_step_module, cw_step_give_up, cw_step_bind,
    cw_step_channels, cw_step_mtu, cw_step_file, cw_step_link;

#define CW_STEP_TEXT 4096u /* of a file of /sys: no more than a page */

/* What a file says, without blanks at its end. 0, or the errno; EFBIG: it says more than there is room for. */
int cw_text_read(const char *path, char *text, size_t size);
/* In one write, as /sys wants it. 0 or the errno. */
int cw_text_write(const char *path, const char *text);
/* The same for a file that the kernel may answer never: written (value NULL: read) by a child, which is left behind after
 * cw_patience_ms. ETIMEDOUT: words tell of it; else they are left as they are. */
int cw_text_patiently(const char *path, const char *value, char *words, size_t size);
extern uint32_t cw_patience_ms; /* tests have less of it */
/* The last part of what a link names. 0 or the errno. */
int cw_link_name(const char *path, char *name, size_t size);

/* Of a virtual function, by its folder in /sys, the card that it is of; else "". */
void cw_device_physical(const char *folder, char name[static CW_PCI_ADDRESS]);
/* By before, which has kept that: it was a virtual function, and its card is there. */
bool cw_before_has_card(const json_t *before);
/* For undo, which waits for it. */
enum cw_status cw_step_card_is_gone(const char *card, char *words, size_t size);
/* The names of the interfaces that a device has, by its folder in /sys; the caller's to decref. */
json_t *cw_device_interfaces(const char *folder);
/* Queues of an interface, as CHANNELS counts them. 0 or the errno. */
int cw_interface_channels(const char *interface, uint32_t *number);
int cw_interface_set_channels(const char *interface, uint32_t number);

/* For undo: the journal has not what keep made. */
enum cw_status cw_step_is_corrupt(char *words, size_t size);
/* The string with this key, or NULL. */
const char *cw_before_text(const json_t *before, const char *key);
