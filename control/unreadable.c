/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of the store that cannot be read (store.h): told once each, shown as long as they are there. */
#include <stdio.h>
#include <string.h>

#include "control/controller.h"
#include "control/store_rows.h"

#define WORDS_SIZE 700u

static bool is_in(const struct cw_store_unreadable *list, uint32_t count, const char *key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].key, key) == 0)
            return true;
    }
    return false;
}

static const char *group_name(const struct cw_controller *controller, uint32_t group)
{
    const struct cw_store_group *found = cw_view_group_by_id(controller->view, group);
    return found ? found->name : "";
}

void cw_unreadable_look(struct cw_controller *controller)
{
    const struct cw_store_view *view = controller->view;
    struct cw_store_unreadable told[CW_STORE_UNREADABLE_MAX];
    uint32_t count = controller->unreadable_count;
    static_assert(sizeof told == sizeof controller->unreadable, "one is copied to the other");
    memcpy(told, controller->unreadable, sizeof told);
    controller->unreadable_count = view->unreadable_count;
    memcpy(controller->unreadable, view->unreadable, sizeof told);
    for (uint32_t i = 0; i < view->unreadable_count; i++) {
        const struct cw_store_unreadable *row = &view->unreadable[i];
        char words[WORDS_SIZE];
        if (is_in(told, count, row->key))
            continue;
        cw_row_words(controller->store_name, row->key, words, sizeof words);
        cw_event(controller, 2, group_name(controller, row->group), "%s", words);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_in(view->unreadable, view->unreadable_count, told[i].key))
            cw_event(controller, 0, group_name(controller, told[i].group),
                     "the row %s/%s in etcd can be read again, or is gone", controller->store_name,
                     told[i].key);
    }
}

json_t *cw_unreadable_status(const struct cw_controller *controller)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < controller->view->unreadable_count; i++) {
        const struct cw_store_unreadable *row = &controller->view->unreadable[i];
        char words[WORDS_SIZE];
        cw_row_words(controller->store_name, row->key, words, sizeof words);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "key", row->key, "group",
                                              group_name(controller, row->group), "words", words));
    }
    return list;
}

bool cw_unreadable_words(const struct cw_controller *controller, uint32_t group, char *words, size_t size)
{
    const char *key = cw_view_unreadable(controller->view, group);
    *words = 0;
    if (key)
        cw_row_words(controller->store_name, key, words, size);
    return key != NULL;
}
