/* SPDX-License-Identifier: BSD-3-Clause */
/* The order in which a plan is thought, and the steps in theirs (plan.h). */
#include "nic-config/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "nic-config/plan_internal.h"
#include "nic-config/prepared.h"

#define UNREAD_SAID 8u

/* ---------------------------------------------------------------- what is said */

static bool say(char words[CW_STEP_WHY], const char *format, va_list arguments)
{
    int written = vsnprintf(words, CW_STEP_WHY, format, arguments);
    return written >= 0;
}

struct cw_refusal *cw_plan_refuse(struct cw_plan_work *work, struct cw_plan_path *path, const char *format,
                                  ...)
{
    struct cw_plan *plan = work->plan;
    if (path != NULL)
        path->is_refused = true;
    if (plan->refusal_count == CW_REFUSALS_MAX)
        return NULL; /* one is enough to refuse the plan, and there are many */
    struct cw_refusal *refusal = &plan->refusals[plan->refusal_count++];
    snprintf(refusal->path, sizeof refusal->path, "%s", path != NULL ? path->wish->name : "");
    va_list arguments;
    va_start(arguments, format);
    (void)say(refusal->words, format, arguments);
    va_end(arguments);
    return refusal;
}

void cw_plan_remedy(struct cw_refusal *refusal, const char *format, ...)
{
    va_list arguments;
    if (refusal == NULL)
        return;
    va_start(arguments, format);
    (void)say(refusal->remedy, format, arguments);
    va_end(arguments);
}

static void say_once(char list[][CW_STEP_WHY], uint32_t *count, uint32_t max, const char *format,
                     va_list arguments)
{
    if (*count == max || !say(list[*count], format, arguments))
        return;
    for (uint32_t i = 0; i < *count; i++)
        if (strcmp(list[i], list[*count]) == 0)
            return;
    (*count)++;
}

void cw_plan_warn(struct cw_plan_work *work, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_once(work->plan->warnings, &work->plan->warning_count, CW_WARNINGS_MAX, format, arguments);
    va_end(arguments);
}

void cw_plan_note(struct cw_plan_work *work, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_once(work->plan->notes, &work->plan->note_count, CW_NOTES_MAX, format, arguments);
    va_end(arguments);
}

static struct cw_step *find_step(struct cw_plan *plan, enum cw_step_kind kind, const char *subject)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == kind && strcmp(plan->steps[i].subject, subject) == 0)
            return &plan->steps[i];
    return NULL;
}

/* Paths that share an interface (virtual functions of one card) need the largest mtu of theirs. Of an interrupt that two
 * cards share each may have been read at another moment; of all else several paths want the same. */
static bool is_enough(const struct cw_step *step, const char *value)
{
    if (step->kind == CW_STEP_MTU)
        return strtoul(step->value, NULL, 10) >= strtoul(value, NULL, 10);
    CW_ASSERT(step->kind == CW_STEP_WRITE || strcmp(step->value, value) == 0);
    return true;
}

struct cw_step *cw_plan_step(struct cw_plan_work *work, enum cw_step_kind kind, const char *subject,
                             const char *value, const char *format, ...)
{
    struct cw_plan *plan = work->plan;
    struct cw_step *step = find_step(plan, kind, subject);
    if (step != NULL && is_enough(step, value))
        return NULL;
    if (step == NULL && plan->step_count == CW_STEPS_MAX) {
        plan->is_cut = true;
        return NULL;
    }
    step = step != NULL ? step : &plan->steps[plan->step_count++];
    step->kind = kind;
    int subject_bytes = snprintf(step->subject, sizeof step->subject, "%s", subject);
    int value_bytes = snprintf(step->value, sizeof step->value, "%s", value);
    if (subject_bytes >= (int)sizeof step->subject || value_bytes >= (int)sizeof step->value)
        plan->is_cut = true;
    va_list arguments;
    va_start(arguments, format);
    (void)say(step->why, format, arguments);
    va_end(arguments);
    return step;
}

/* ---------------------------------------------------------------- steps of a path */

static void load_modules(struct cw_plan_work *work)
{
    const struct cw_facts *facts = work->facts;
    bool has_vfio = false, has_noiommu = false, has_uio = false;
    for (uint32_t i = 0; i < work->path_count; i++) {
        const struct cw_plan_path *path = &work->paths[i];
        if (path->is_refused)
            continue;
        has_noiommu = has_noiommu || path->driver == CW_DRIVER_NOIOMMU;
        has_vfio = has_vfio || strcmp(cw_plan_kernel_driver(path->driver), "vfio-pci") == 0;
        has_uio = has_uio || path->driver == CW_DRIVER_UIO;
    }
    if (has_noiommu && !facts->is_vfio_loaded)
        (void)cw_plan_step(
            work, CW_STEP_MODULE, "vfio", "enable_unsafe_noiommu_mode=1",
            "the wish says driver: noiommu, and vfio takes cards without an IOMMU only in this mode");
    else if (has_noiommu && !facts->is_noiommu_on)
        (void)cw_plan_step(
            work, CW_STEP_WRITE, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y",
            "the wish says driver: noiommu, and vfio takes cards without an IOMMU only in this mode");
    if (has_vfio && !facts->is_vfio_pci_loaded)
        (void)cw_plan_step(work, CW_STEP_MODULE, "vfio-pci", "", "by it the engine drives the card itself");
    if (has_uio && !facts->is_uio_generic_loaded)
        (void)cw_plan_step(work, CW_STEP_MODULE, "uio_pci_generic", "",
                           "by it the engine drives the card itself, as the wish says driver: uio");
}

/* The device goes to a driver for user space, and its interfaces before it. */
static void take_device(struct cw_plan_work *work, const char *address, const char *has, const char *driver,
                        const char *why)
{
    const char *interface_back = "";
    if (strcmp(has, driver) == 0)
        return;
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &work->facts->interfaces[i];
        if (strcmp(interface->card, address) != 0 || interface->kind[0] != 0 || interface->space[0] != 0)
            continue;
        (void)cw_plan_step(work, CW_STEP_GIVE_UP, interface->name, "",
                           "it goes with its card %s; what it has is kept, and put back by revert", address);
        interface_back = interface_back[0] == 0 ? interface->name : interface_back;
    }
    struct cw_step *step = cw_plan_step(work, CW_STEP_BIND, address, driver, "%s", why);
    if (step != NULL)
        snprintf(step->interface, sizeof step->interface, "%s", interface_back);
}

static void take_group(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    char why[CW_STEP_WHY];
    if (path->driver != CW_DRIVER_VFIO)
        return;
    for (uint32_t i = 0; i < work->facts->member_count; i++) {
        const struct cw_member_fact *member = &work->facts->members[i];
        if (member->group != path->card->iommu_group || !cw_plan_is_member_in_way(member) ||
            cw_plan_is_taken_by_wish(work, member->address))
            continue;
        snprintf(why, sizeof why, "path %s: it is in the IOMMU group of %s, and the group is forced%s%s",
                 path->wish->name, path->card->address, member->use[0] != 0 ? "; it is " : "", member->use);
        take_device(work, member->address, member->driver, "vfio-pci", why);
    }
}

static void raise_mtu(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    char value[16];
    if (path->interface == NULL || path->interface->mtu < 0 ||
        (int64_t)path->wish->mtu <= path->interface->mtu)
        return;
    snprintf(value, sizeof value, "%u", path->wish->mtu);
    (void)cw_plan_step(work, CW_STEP_MTU, path->interface->name, value,
                       "path %s has mtu %u, and the interface %d", path->wish->name, path->wish->mtu,
                       path->interface->mtu);
}

static void make_function(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card, *function;
    char subject[CW_STEP_SUBJECT], value[16], address[CW_PCI_ADDRESS], why[CW_STEP_WHY];
    uint32_t count = 0;
    for (uint32_t i = 0; i < work->path_count; i++)
        count += work->paths[i].card == card && work->paths[i].driver == CW_DRIVER_VF &&
                 !work->paths[i].is_refused;
    if (!path->is_function_there) {
        snprintf(subject, sizeof subject, "/sys/bus/pci/devices/%s/sriov_numvfs", card->address);
        snprintf(value, sizeof value, "%u", count);
        (void)cw_plan_step(work, CW_STEP_WRITE, subject, value,
                           "path %s takes a virtual function of %s; the card itself stays the kernel's",
                           path->wish->name, card->address);
    }
    raise_mtu(work, path); /* the card's own bounds that of its functions */
    if (!cw_plan_function_address(card, path->function, address, sizeof address))
        return;
    function = cw_facts_card(work->facts, address);
    snprintf(why, sizeof why, "path %s: virtual function %u of %s, for the engine", path->wish->name,
             path->function, card->address);
    take_device(work, address, function != NULL ? function->driver : "", "vfio-pci", why);
}

static void share_interface(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    int32_t queues = cw_plan_receive_queues(work, path->interface);
    if (queues > 1 && path->interface->queues > 1) {
        (void)cw_plan_step(work, CW_STEP_CHANNELS, path->interface->name, "1",
                           "a path on a shared interface is received by one queue, and %s spreads over %d",
                           path->interface->name, queues);
        cw_plan_warn(
            work,
            "path %s: all that %s receives comes by one queue from then on, the kernel's traffic too; its link "
            "may be gone for a moment",
            path->wish->name, path->interface->name);
    }
    raise_mtu(work, path);
}

/* The kernel keeps the interface of a bifurcated card, and gets nothing by it. The VLANs on it stay there, and so does a
 * program: of a path that is prepared they are no reason to give it up again, below a running engine perhaps. */
bool cw_plan_is_emptied(const struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    char file[CW_FACT_PATH + CW_PATH_NAME + 8], words[CW_STEP_WHY];
    bool has_something = interface->has_default_route || interface->master[0] != 0;
    for (uint32_t i = 0; i < interface->address_count; i++)
        has_something = has_something || !interface->addresses[i].is_link_local;
    snprintf(file, sizeof file, "%s/%s.yaml", work->folders->prepared, path->wish->name);
    cw_plan_uses(work->facts, interface, words, sizeof words);
    return has_something || (words[0] != 0 && cw_facts_file(work->facts, file) == NULL);
}

static void empty_interface(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    if (cw_plan_is_emptied(work, path))
        (void)cw_plan_step(
            work, CW_STEP_GIVE_UP, path->interface->name, "",
            "path %s: what arrives there is the engine's from then on; what it has is kept, and put "
            "back by revert",
            path->wish->name);
    raise_mtu(work, path);
}

static void prepare_machine(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    char why[CW_STEP_WHY];
    if (cw_plan_is_taken(path)) {
        snprintf(why, sizeof why, "path %s: the engine drives the card itself, by DPDK's %s",
                 path->wish->name, path->card->pmd);
        take_group(work, path);
        take_device(work, path->card->address, path->card->driver, cw_plan_kernel_driver(path->driver), why);
    } else if (path->driver == CW_DRIVER_VF) {
        make_function(work, path);
    } else if (path->driver == CW_DRIVER_AF_XDP) {
        share_interface(work, path);
    } else if (path->driver == CW_DRIVER_BIFURCATED) {
        empty_interface(work, path);
    }
}

/* ---------------------------------------------------------------- what the engine reads */

static void describe_path(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    struct cw_plan *plan = work->plan;
    struct cw_prepared *prepared = &plan->prepared[plan->prepared_count];
    char address[CW_PCI_ADDRESS];
    uint32_t shared = 0;
    *prepared = (struct cw_prepared){.is_shared = path->driver == CW_DRIVER_AF_XDP,
                                     .node = path->card != NULL ? path->card->node : CW_FACT_UNKNOWN,
                                     .queues = path->wish->queues,
                                     .mtu = path->wish->mtu,
                                     .vlan = path->wish->vlan};
    for (uint32_t i = 0; i < plan->prepared_count; i++)
        shared += plan->prepared[i].is_shared;
    snprintf(prepared->name, sizeof prepared->name, "%s", path->wish->name);
    snprintf(address, sizeof address, "%s", path->card != NULL ? path->card->address : "");
    if (path->driver == CW_DRIVER_VF)
        (void)cw_plan_function_address(path->card, path->function, address, sizeof address);
    snprintf(prepared->card, sizeof prepared->card, "%s", address);
    snprintf(prepared->driver, sizeof prepared->driver, "%s",
             path->driver == CW_DRIVER_BIFURCATED ? path->card->driver : cw_plan_kernel_driver(path->driver));
    if (path->driver == CW_DRIVER_AF_XDP || path->driver == CW_DRIVER_BIFURCATED)
        snprintf(prepared->interface, sizeof prepared->interface, "%s", path->interface->name);
    if (prepared->is_shared)
        snprintf(prepared->device, sizeof prepared->device, "net_af_xdp%u,iface=%s%s", shared,
                 path->interface->name, path->wish->copy == CW_CHOICE_SECOND ? ",force_copy=1" : "");
    else
        snprintf(prepared->device, sizeof prepared->device, "%s", address);
    plan->prepared_count++;
}

/* Whatever the end of the last line. */
static bool is_same_text(const char *one, const char *other)
{
    size_t length = strlen(one), other_length = strlen(other);
    length -= length > 0 && one[length - 1] == '\n';
    other_length -= other_length > 0 && other[other_length - 1] == '\n';
    return length == other_length && memcmp(one, other, length) == 0;
}

void cw_plan_file(struct cw_plan_work *work, enum cw_step_kind kind, const char *file, const char *content,
                  const char *why)
{
    const struct cw_file_fact *fact = cw_facts_file(work->facts, file);
    const char *last = kind == CW_STEP_LINK ? strrchr(content, '/') : NULL;
    if (fact == NULL || !is_same_text(fact->text, last != NULL ? last + 1 : content))
        (void)cw_plan_step(work, kind, file, content, "%s", why);
}

static void write_prepared(struct cw_plan_work *work)
{
    char file[CW_FACT_PATH + CW_PATH_NAME + 8], text[CW_STEP_VALUE], why[CW_STEP_WHY];
    for (uint32_t i = 0; i < work->plan->prepared_count; i++) {
        const char *name = work->plan->prepared[i].name;
        if (cw_prepared_text(work->plan, i, text, sizeof text) != CW_OK) {
            work->plan->is_cut = true;
            continue;
        }
        snprintf(file, sizeof file, "%s/%s.yaml", work->folders->prepared, name);
        snprintf(why, sizeof why, "by it the engine finds the device of the path %s (device: prepared)",
                 name);
        cw_plan_file(work, CW_STEP_FILE, file, text, why);
    }
}

/* ---------------------------------------------------------------- all */

static void warn_of_unread(struct cw_plan_work *work)
{
    const struct cw_facts *facts = work->facts;
    for (uint32_t i = 0; i < facts->unread_count && i < UNREAD_SAID; i++)
        cw_plan_warn(work, "%s could not be read: %s", facts->unread[i].file, facts->unread[i].words);
    if (facts->unread_count > UNREAD_SAID)
        cw_plan_warn(work, "%u more could not be read: causeway-nic show lists them",
                     facts->unread_count - UNREAD_SAID);
    if (facts->unread_count > 0 && !facts->is_root)
        cw_plan_warn(work, "made without the rights of root: as root it may come out otherwise");
}

static void begin(struct cw_plan_work *work, const struct cw_facts *facts, const struct cw_wish *wish,
                  const struct cw_nic_folders *folders, struct cw_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    memset(work, 0, sizeof *work);
    work->facts = facts;
    work->wish = wish;
    work->folders = folders;
    work->plan = plan;
    work->path_count = wish->path_count;
    for (uint32_t i = 0; i < wish->path_count; i++)
        work->paths[i].wish = &wish->paths[i];
}

void cw_plan_make(const struct cw_facts *facts, const struct cw_wish *wish,
                  const struct cw_nic_folders *folders, struct cw_plan *plan)
{
    struct cw_plan_work work;
    begin(&work, facts, wish, folders, plan);
    cw_plan_find_cards(&work);
    for (uint32_t i = 0; i < work.path_count; i++)
        if (!work.paths[i].is_refused)
            cw_plan_choose_driver(&work, &work.paths[i]);
    cw_plan_check_together(&work);
    for (uint32_t i = 0; i < work.path_count; i++)
        if (!work.paths[i].is_refused)
            cw_plan_check_path(&work, &work.paths[i]);
    cw_plan_check_memory(&work);
    cw_plan_choose_cpus(&work);
    load_modules(&work);
    cw_plan_reserve_memory(&work);
    for (uint32_t i = 0; i < work.path_count; i++)
        if (!work.paths[i].is_refused) {
            prepare_machine(&work, &work.paths[i]);
            describe_path(&work, &work.paths[i]);
        }
    cw_plan_move_interrupts(&work);
    write_prepared(&work);
    cw_plan_units(&work);
    warn_of_unread(&work);
}
