/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plan in the making, private to plan*.c and refusals.c. In this order: which card each path means (plan_cards.c), what
 * drives it (plan_driver.c), what may not be (refusals.c), CPUs (plan_cpus.c), steps (plan.c, plan_memory.c).
 */
#pragma once

#include "nic-config/plan.h"

struct cw_plan_path {
    const struct cw_wish_path *wish;
    const struct cw_card_fact *card; /* NULL: none is meant, or the interface is none of a card */
    const struct cw_interface_fact
        *interface;             /* the one that is meant, or the card's first; NULL: it has none */
    enum cw_wish_driver driver; /* AUTO only until it is chosen */
    char given[CW_PCI_ADDRESS]; /* the device that an earlier apply gave to this path; "" none */
    uint32_t function;          /* of driver vf: which of the card's virtual functions */
    bool is_function_there;
    bool is_refused; /* or left out until its interface is there */
};

struct cw_plan_work {
    const struct cw_facts *facts;
    const struct cw_wish *wish;
    const struct cw_nic_folders *folders;
    struct cw_plan *plan;
    struct cw_plan_path paths[CW_WISH_PATHS_MAX];
    uint32_t path_count;
};

/* What is said; the words are the caller's. Refusals of a path refuse all of it; path NULL: of no path. NULL: no room,
 * which the remedy takes. */
struct cw_refusal *cw_plan_refuse(struct cw_plan_work *work, struct cw_plan_path *path, const char *format,
                                  ...) __attribute__((format(printf, 3, 4)));
void cw_plan_remedy(struct cw_refusal *refusal, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cw_plan_warn(struct cw_plan_work *work, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cw_plan_note(struct cw_plan_work *work, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The step, for more to be said of it; NULL: no room (the plan is cut), or the same is a step already. */
struct cw_step *cw_plan_step(struct cw_plan_work *work, enum cw_step_kind kind, const char *subject,
                             const char *value, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* A file or a link of ours, unless it is as wanted. */
void cw_plan_file(struct cw_plan_work *work, enum cw_step_kind kind, const char *file, const char *content,
                  const char *why);

/* plan_cards.c */
void cw_plan_find_cards(struct cw_plan_work *work);
/* The k-th virtual function's address, as SR-IOV numbers them. False: offset or stride is not known. */
bool cw_plan_function_address(const struct cw_card_fact *card, uint32_t function, char *address, size_t size);
/* "0000:03:00.0 (eth2)". Returns words. */
#define CW_CARD_WORDS 64u
const char *cw_plan_card_words(const struct cw_plan_path *path, char words[CW_CARD_WORDS]);

/* plan_driver.c: chooses; refuses what cannot be. */
void cw_plan_choose_driver(struct cw_plan_work *work, struct cw_plan_path *path);
/* The driver of the kernel that the device is bound to; "": it keeps the one it has. */
const char *cw_plan_kernel_driver(enum cw_wish_driver driver);
/* The device is taken from the kernel, with all interfaces that it has. */
bool cw_plan_is_taken(const struct cw_plan_path *path);
/* The queues that an interface receives by; unknown where it does not say, 1 where it cannot. */
int32_t cw_plan_receive_queues(const struct cw_plan_work *work, const struct cw_interface_fact *interface);

/* refusals.c */
void cw_plan_check_path(struct cw_plan_work *work, struct cw_plan_path *path);
void cw_plan_check_together(struct cw_plan_work *work);
/* Why an interface is not free; "" it is. */
void cw_plan_uses(const struct cw_facts *facts, const struct cw_interface_fact *interface, char *words,
                  size_t size);
/* A member of the group that keeps it from being used: it has a driver of the kernel, or a use. */
bool cw_plan_is_member_in_way(const struct cw_member_fact *member);
/* Some path of the wish takes it from the kernel. */
bool cw_plan_is_taken_by_wish(const struct cw_plan_work *work, const char *card);
bool cw_plan_is_forced(const struct cw_plan_work *work, const struct cw_card_fact *card,
                       const struct cw_interface_fact *interface);

/* plan_cpus.c, plan_memory.c */
void cw_plan_choose_cpus(struct cw_plan_work *work);
void cw_plan_move_interrupts(struct cw_plan_work *work);
void cw_plan_check_memory(struct cw_plan_work *work);
void cw_plan_reserve_memory(struct cw_plan_work *work);

/* plan_putback.c: refuses what of an interface that is given up could not be put back. */
void cw_plan_check_put_back(struct cw_plan_work *work, struct cw_plan_path *path,
                            const struct cw_interface_fact *interface);
/* plan.c: of a bifurcated card, whose interface stays: what the interface has is to be taken from it. */
bool cw_plan_is_emptied(const struct cw_plan_work *work, const struct cw_plan_path *path);

/* plan_units.c */
void cw_plan_units(struct cw_plan_work *work);
