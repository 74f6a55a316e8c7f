/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BIND: the driver of a device of PCI, or of VMBus. The override is written first, so that from then on no other driver
 * takes the device; then the old driver lets it go, and the new one is told to take it. That last write says why not.
 *
 *     driver   override        is left by one who was killed
 *     old      before          before anything
 *     old      ours            the override is written
 *     none     ours            the old driver has let go
 *     ours     ours            done
 *     ours     none            undo has begun: the override is away first
 *     none     none            ours has let go
 *     old      none            the old driver has it again, its override is not yet back
 *
 * Undo goes on from each of these. A device that a process has open, or one of whose virtual functions it has, is not
 * taken from it: the kernel would wait for that process. Where that was not seen, or a driver hangs, the command does not
 * wait with it: a child is left that does (steps_patience.c).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/users.h"
#include "nic-config/steps_private.h"

#define FOLDER_SIZE  96u
#define WAIT_TIMES   200
#define WAIT_STEP_MS 100
#define WAIT_SECONDS (WAIT_TIMES * WAIT_STEP_MS / 1000)
#define NO_OVERRIDE  "(null)"

struct device {
    char bus[8];
    char name[CW_PCI_ADDRESS];
    char folder[FOLDER_SIZE];
    char late[256]; /* the kernel holds it, and this is known of that; "" it does not */
};

struct binding {
    char driver[CW_DRIVER_NAME], override[CW_DRIVER_NAME]; /* "" none */
};

/* ---------------------------------------------------------------- the device */

static bool find(struct device *device, const char *name)
{
    static const char *const buses[] = {"pci", "vmbus"};
    if (strlen(name) >= sizeof device->name || strchr(name, '/') || name[0] == '.')
        return false;
    snprintf(device->name, sizeof device->name, "%s", name);
    device->late[0] = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(device->bus, sizeof device->bus, "%s", buses[i]);
        snprintf(device->folder, sizeof device->folder, "/sys/bus/%s/devices/%s", buses[i], name);
        if (access(device->folder, F_OK) == 0)
            return true;
    }
    return false;
}

static bool find_subject(struct device *device, const char *subject, char *words, size_t size)
{
    bool found = find(device, subject);
    if (!found)
        snprintf(words, size, "%s: there is no such device in this machine", subject);
    return found;
}

static void path_of(const struct device *device, const char *name, char path[static FOLDER_SIZE + 32])
{
    snprintf(path, FOLDER_SIZE + 32, "%s/%s", device->folder, name);
}

/* 0 or the errno. What is late once is not tried again: it would be late, too. */
static int change(struct device *device, const char *path, const char *value)
{
    return device->late[0] ? ETIMEDOUT : cw_text_patiently(path, value, device->late, sizeof device->late);
}

static void look(struct device *device, struct binding *binding)
{
    char path[FOLDER_SIZE + 32];
    path_of(device, "driver", path);
    cw_link_name(path, binding->driver, sizeof binding->driver);
    path_of(device, "driver_override", path);
    binding->override[0] = 0;
    if (change(device, path, NULL) != ETIMEDOUT)
        cw_text_read(path, binding->override, sizeof binding->override);
    if (strcmp(binding->override, NO_OVERRIDE) == 0)
        binding->override[0] = 0;
}

static void add_interfaces(json_t *names, const char *folder)
{
    char path[FOLDER_SIZE + 300];
    snprintf(path, sizeof path, "%s/net", folder);
    DIR *net = opendir(path);
    for (struct dirent *entry; net && (entry = readdir(net)) != NULL;)
        if (entry->d_name[0] != '.')
            json_array_append_new(names, json_string(entry->d_name));
    if (net)
        closedir(net);
}

/* Those of virtio stand one folder lower. */
json_t *cw_device_interfaces(const char *folder)
{
    char path[FOLDER_SIZE + 280];
    json_t *names = json_array();
    DIR *children = opendir(folder);
    add_interfaces(names, folder);
    for (struct dirent *entry; children && (entry = readdir(children)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strncmp(entry->d_name, "virtio", 6) == 0)
            add_interfaces(names, path);
    }
    if (children)
        closedir(children);
    return names;
}

void cw_device_physical(const char *folder, char name[static CW_PCI_ADDRESS])
{
    char path[FOLDER_SIZE + 280];
    snprintf(path, sizeof path, "%s/physfn", folder);
    cw_link_name(path, name, CW_PCI_ADDRESS);
}

bool cw_before_has_card(const json_t *before)
{
    struct device card;
    const char *physical = cw_before_text(before, "physical");
    return physical && physical[0] && find(&card, physical);
}

/* ---------------------------------------------------------------- the changes */

static int set_override(struct device *device, const char *driver)
{
    char path[FOLDER_SIZE + 32];
    path_of(device, "driver_override", path);
    return change(device, path, *driver ? driver : "\n");
}

static int let_go(struct device *device)
{
    char path[FOLDER_SIZE + 32];
    path_of(device, "driver/unbind", path);
    int error = change(device, path, device->name);
    return error == ENOENT ? 0 : error; /* it has none */
}

/* Told to the driver itself, and not to drivers_probe, as only that says why it would not. */
static int take(struct device *device, const char *driver)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/bus/%s/drivers/%.64s/bind", device->bus, driver);
    int error = change(device, path, device->name);
    struct binding now;
    look(device, &now);
    if (strcmp(now.driver, driver) == 0 && error != ETIMEDOUT) /* which it is also while it is still at it */
        return 0;
    return error ? error : ENODEV;
}

static bool has_driver(const struct device *device, const char *driver)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/bus/%s/drivers/%.64s", device->bus, driver);
    return access(path, F_OK) == 0;
}

/* A process has it open, or one of its virtual functions, which go with it. */
static bool is_held(const struct device *device, char *who, size_t size)
{
    char link[24], path[FOLDER_SIZE + 32], name[CW_PCI_ADDRESS], by[CW_FACT_WORDS];
    if (cw_users_of_card(device->folder, who, size))
        return true;
    for (unsigned i = 0;; i++) {
        snprintf(link, sizeof link, "virtfn%u", i);
        path_of(device, link, path);
        if (cw_link_name(path, name, sizeof name) != 0)
            return false;
        if (!cw_users_of_card(path, by, sizeof by))
            continue;
        snprintf(who, size, "its virtual function %s goes with it, and %s", name, by);
        return true;
    }
}

/* Nothing more can be done to it now: whatever is, waits for the kernel, too. */
static enum cw_status is_late(const struct device *device, char *words, size_t size)
{
    snprintf(
        words, size,
        "%s: either a program has it open that cannot be seen from here, or its driver hangs (the kernel's "
        "log, dmesg, may say more): %s. As soon as that has ended, again",
        device->name, device->late);
    return CW_IO;
}

/* ---------------------------------------------------------------- keep, do */

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    struct device device;
    struct binding now;
    char physical[CW_PCI_ADDRESS];
    if (!find_subject(&device, step->subject, words, size))
        return NULL;
    look(&device, &now);
    if (device.late[0]) {
        (void)is_late(&device, words, size);
        return NULL;
    }
    cw_device_physical(device.folder, physical);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "device", device.name, "driver", now.driver, "override",
                     now.override, "physical", physical, "interfaces", cw_device_interfaces(device.folder));
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    struct device device;
    struct binding now;
    if (!find_subject(&device, step->subject, words, size)) {
        words[0] = 0;
        return false;
    }
    look(&device, &now);
    return strcmp(now.driver, step->value) == 0 && strcmp(now.override, step->value) == 0;
}

static const char *hint(const struct device *device, const char *driver)
{
    char path[FOLDER_SIZE + 32];
    path_of(device, "iommu_group", path);
    if (strcmp(driver, "vfio-pci") == 0 && access(path, F_OK) != 0)
        return "; it is in no IOMMU group: switch the IOMMU on (in the firmware, and intel_iommu=on or amd_iommu=on "
               "on the kernel's command line), or ask for driver: noiommu";
    if (strcmp(driver, "uio_pci_generic") == 0)
        return "; this driver wants a legacy interrupt, which virtual functions have not";
    return "; the kernel's log (dmesg) may say more";
}

/* As it was, after a change that failed. The device has been free of users a moment ago. */
static void give_back(struct device *device, const struct binding *before)
{
    struct binding now;
    set_override(device, "");
    look(device, &now);
    if (now.driver[0] && strcmp(now.driver, before->driver) != 0)
        let_go(device);
    if (before->driver[0] && strcmp(now.driver, before->driver) != 0)
        take(device, before->driver);
    set_override(device, before->override);
}

static enum cw_status carry_out(const struct cw_step *step, char *words, size_t size)
{
    struct device device;
    struct binding before;
    char who[2 * CW_FACT_WORDS];
    if (!find_subject(&device, step->subject, words, size))
        return CW_NOT_FOUND;
    look(&device, &before);
    if (device.late[0])
        return is_late(&device, words, size);
    if (!has_driver(&device, step->value)) {
        snprintf(words, size, "the driver %s is not loaded: modprobe %s", step->value, step->value);
        return CW_REFUSED;
    }
    bool is_bound = strcmp(before.driver, step->value) == 0;
    if (!is_bound && is_held(&device, who, sizeof who)) {
        snprintf(words, size, "%s cannot change its driver: %s; stop that first", device.name, who);
        return CW_REFUSED;
    }
    int error = set_override(&device, step->value);
    if (!error && !is_bound)
        error = let_go(&device);
    if (!error && !is_bound)
        error = take(&device, step->value);
    if (!error)
        return CW_OK;
    if (device.late[0])
        return is_late(&device, words, size);
    give_back(&device, &before);
    snprintf(words, size, "%s does not take %s: %s%s", step->value, device.name, strerror(error),
             hint(&device, step->value));
    return CW_IO;
}

/* ---------------------------------------------------------------- undo */

/* The kernel's driver makes its interfaces in its own time. */
static void wait_for_interface(const struct device *device, const char *driver, char *words, size_t size)
{
    const struct timespec moment = {0, WAIT_STEP_MS * 1000000l};
    for (int i = 0; i < WAIT_TIMES; i++) {
        json_t *names = cw_device_interfaces(device->folder);
        bool found = json_array_size(names) > 0;
        json_decref(names);
        if (found)
            return;
        nanosleep(&moment, NULL);
    }
    snprintf(words, size, "%s has %s again, and shows no interface after %d s: see the kernel's log (dmesg)",
             driver, device->name, WAIT_SECONDS);
}

/* From ours, or from none, to the driver that it had. */
static enum cw_status go_back(struct device *device, const char *driver, bool is_bound, char *words,
                              size_t size)
{
    char who[2 * CW_FACT_WORDS];
    if (is_bound && is_held(device, who, sizeof who)) {
        snprintf(words, size, "%s cannot be given back: %s; stop that first, then again", device->name, who);
        return CW_REFUSED;
    }
    int error = set_override(device, "");
    if (!error && is_bound)
        error = let_go(device);
    if (device->late[0])
        return is_late(device, words, size);
    if (!error && driver[0] && !has_driver(device, driver)) {
        snprintf(words, size, "%s is free, and its driver %s is not loaded: modprobe %s, then again",
                 device->name, driver, driver);
        return CW_REFUSED;
    }
    if (!error && driver[0])
        error = take(device, driver);
    if (!error)
        return CW_OK;
    if (device->late[0])
        return is_late(device, words, size);
    snprintf(words, size, "%s does not take %s again: %s; the kernel's log (dmesg) may say more",
             driver[0] ? driver : "the kernel", device->name, strerror(error));
    return CW_IO;
}

enum cw_status cw_step_card_is_gone(const char *card, char *words, size_t size)
{
    snprintf(words, size,
             "%s is not in this machine any more: bring it back (echo 1 > /sys/bus/pci/rescan), then again",
             card);
    return CW_NOT_FOUND;
}

/* A function that was made is gone with the number of them; of one that somebody has taken away the kernel knows no driver
 * any more. A card comes back when its bus is looked at again. */
static enum cw_status is_gone(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    const char *name = cw_before_text(before, "device"), *driver = cw_before_text(before, "driver");
    if (strncmp(step->subject, "virtfn", 6) == 0)
        return CW_OK;
    if (cw_before_has_card(before)) {
        snprintf(words, size,
                 "%s: somebody has taken it away from %s since, and it is left so; before us it had %s", name,
                 cw_before_text(before, "physical"), driver[0] ? driver : "no driver");
        return CW_OK;
    }
    return cw_step_card_is_gone(name, words, size);
}

/* Its interface, where it had one, cannot be put back as long as it is somebody else's. */
static enum cw_status is_taken(const json_t *before, const char *name, const char *now, const char *driver,
                               char *words, size_t size)
{
    bool had_interface = json_array_size(json_object_get(before, "interfaces")) > 0;
    snprintf(words, size, "%s: somebody has given it to %s since, and it is left so; before us it had %s%s",
             name, now, driver[0] ? driver : "no driver",
             had_interface ? ": take it from there (echo it to driver/unbind of the device), then again"
                           : "");
    return had_interface ? CW_NOT_FOUND : CW_OK;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, char *words, size_t size)
{
    struct device device;
    struct binding now;
    const char *name = cw_before_text(before, "device"), *driver = cw_before_text(before, "driver"),
               *override = cw_before_text(before, "override");
    if (!name || !driver || !override)
        return cw_step_is_corrupt(words, size);
    if (!find(&device, name))
        return is_gone(step, before, words, size);
    look(&device, &now);
    if (now.driver[0] && strcmp(now.driver, step->value) != 0 && strcmp(now.driver, driver) != 0)
        return is_taken(before, name, now.driver, driver, words, size);
    if (strcmp(now.driver, driver) != 0) {
        enum cw_status status = go_back(&device, driver, now.driver[0] != 0, words, size);
        if (status != CW_OK)
            return status;
    }
    look(&device, &now);
    if (device.late[0])
        return is_late(&device, words, size);
    bool is_ours = !now.override[0] || strcmp(now.override, step->value) == 0;
    int error = is_ours && strcmp(now.override, override) != 0 ? set_override(&device, override) : 0;
    if (error) {
        snprintf(words, size, "%s: its driver_override cannot be put back: %s", name, strerror(error));
        return CW_IO;
    }
    if (json_array_size(json_object_get(before, "interfaces")) > 0)
        wait_for_interface(&device, driver, words, size);
    return CW_OK;
}

const struct cw_step_verbs cw_step_bind = {keep, is_done, carry_out, undo, NULL, NULL};
