/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/nic/fake_machine.h"

struct fake *fake;
char fake_folder[64];
struct cw_nic_command fake_command;
static bool is_child;

#define WRONG() (fake->wrong = fake->wrong ? fake->wrong : __LINE__)

/* ---------------------------------------------------------------- points */

/* true: the call that is at this point fails, errno says how. */
static bool is_failing(bool takes_space)
{
    if (!is_child)
        return false;
    uint32_t at = ++fake->points;
    if (fake->fault == FAKE_KILL && at == fake->fault_at)
        _exit(FAKE_KILLED);
    errno = fake->fault == FAKE_FULL ? ENOSPC : EIO;
    return (fake->fault == FAKE_FAIL && at == fake->fault_at) ||
           (fake->fault == FAKE_FAIL_ALL && at >= fake->fault_at) ||
           (fake->fault == FAKE_FULL && at >= fake->fault_at && takes_space);
}

/* A call that changes what is on the file system. */
static bool is_changing(bool takes_space)
{
    if (is_failing(takes_space))
        return true;
    if (is_child && fake->is_read_only)
        errno = EROFS;
    return is_child && fake->is_read_only;
}

/* Where a step can be killed. */
static void pass_point(void)
{
    fake->points++;
    if (fake->fault == FAKE_KILL && fake->points == fake->fault_at)
        _exit(FAKE_KILLED);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    static uint32_t piece; /* half of it, then all but the last byte, then that: so it can be torn */
    if (is_failing(true))
        return -1;
    if (is_child && size > 1)
        size = piece++ % 2 == 0 ? size / 2 : size - 1;
    return __real_pwrite64(fd, bytes, size, at);
}
static bool is_marks(int fd)
{
    char link[32], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/marks") != NULL;
}
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat about;
    if (is_failing(false))
        return -1;
    if (is_child && fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
        fake->synced[is_marks(fd)] =
            (struct fake_synced){.file = about.st_ino, .size = (uint32_t)about.st_size};
    return 0; /* a killed process loses nothing that it wrote; fake_reboot takes what was not synced */
}
int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return is_changing(false) ? -1 : __real_renameat(from_folder, from, to_folder, to);
}
int __real_unlinkat(int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags)
{
    return is_changing(false) ? -1 : __real_unlinkat(folder, name, flags);
}
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __wrap_rmdir(const char *path)
{
    return is_changing(false) ? -1 : __real_rmdir(path);
}
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
    return is_changing(true) ? -1 : __real_mkdir(path, mode);
}
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
    return is_failing(false) ? -1 : __real_ftruncate64(fd, size);
}
int __real_fallocate64(int fd, int mode, off_t at, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t size)
{
    return is_failing(true) ? -1 : __real_fallocate64(fd, mode, at, size);
}
int __real_openat64(int folder, const char *name, int flags, mode_t mode);
int __wrap_openat64(int folder, const char *name, int flags, mode_t mode);
int __wrap_openat64(int folder, const char *name, int flags, mode_t mode)
{
    bool is_written = (flags & (O_RDWR | O_WRONLY)) != 0;
    bool fails = is_written ? is_changing((flags & O_CREAT) != 0) : is_failing(false);
    return fails ? -1 : __real_openat64(folder, name, flags, mode);
}

/* ---------------------------------------------------------------- hands */

static const struct cw_step kinds[FAKE_VALUES] = {
    {.kind = CW_STEP_WRITE, .subject = "/sys/pages"},
    {.kind = CW_STEP_FILE, .subject = "/etc/systemd/system/causeway-nic.service"},
    {.kind = CW_STEP_GIVE_UP, .subject = "eth2"},
    {.kind = CW_STEP_BIND, .subject = "0000:03:00.0", .interface = "eth2"},
    {.kind = CW_STEP_FILE, .subject = "/run/causeway/nic/wan0.yaml"},
    {.kind = CW_STEP_LINK, .subject = "/etc/systemd/system/multi-user.target.wants/causeway-nic.service"},
};

/* Kinds that hang together: the interface comes with its card. */
static uint32_t index_of(const struct cw_step *step)
{
    for (uint32_t i = 0; i < fake->count; i++)
        if (step->kind == kinds[i].kind && strcmp(step->subject, kinds[i].subject) == 0)
            return i;
    WRONG();
    return 0;
}

static void boot_id(char *id, size_t size)
{
    snprintf(id, size, "boot-%u", fake->boot);
}

static bool read_wish(const char *file, const char *text, size_t length, struct cw_wish *wish, char *mistakes,
                      size_t size)
{
    (void)length;
    wish->path_count = 1;
    snprintf(wish->paths[0].name, sizeof wish->paths[0].name, "wan0");
    if (strstr(text, "paths:"))
        return true;
    snprintf(mistakes, size, "%s:1: expected paths\n", file);
    return false;
}

static void probe(const struct cw_nic_command *command, struct cw_facts *facts)
{
    (void)command;
    facts->card_count = 1; /* the rest of it is 0, as it was allocated: megabytes that no run has to touch */
    snprintf(facts->cards[0].address, sizeof facts->cards[0].address, "0000:03:00.0");
    facts->cards[0].vendor = 0x8086;
    facts->cards[0].device = fake->device;
}

static void plan(const struct cw_facts *facts, const struct cw_wish *wish,
                 const struct cw_nic_folders *folders, struct cw_plan *to)
{
    (void)facts;
    (void)folders;
    snprintf(fake->given, sizeof fake->given, "%s", wish->paths[0].given);
    fake->may_wait = wish->paths[0].may_wait;
    to->step_count = 0; /* as in probe: not all of it is written */
    to->awaited_count = fake->may_wait;
    to->prepared_count = !fake->may_wait;
    to->refusal_count = fake->is_refused && !fake->may_wait;
    snprintf(to->prepared[0].name, sizeof to->prepared[0].name, "wan0");
    snprintf(to->prepared[0].card, sizeof to->prepared[0].card, "%s",
             fake->has_no_card ? "" : "0000:03:00.0");
    if (fake->may_wait)
        return;
    if (fake->is_refused)
        to->refusals[0] =
            (struct cw_refusal){.path = "wan0", .words = "eth2 is in use", .remedy = "Take another"};
    for (uint32_t i = 0; i < fake->refusals; i++) {
        struct cw_refusal *refusal = &to->refusals[to->refusal_count++];
        *refusal = (struct cw_refusal){.path = "wan0"};
        snprintf(refusal->words, sizeof refusal->words, "%0300d", (int)i + 1);
        snprintf(refusal->remedy, sizeof refusal->remedy, "Take another than %u", i + 1);
    }
    to->warning_count = 1;
    snprintf(to->warnings[0], sizeof to->warnings[0], "whoever drives the card \xff may write anywhere");
    for (uint32_t i = 0; i < fake->count; i++) {
        if (fake->values[i].now == fake->values[i].wanted && !fake->values[i].is_half)
            continue;
        struct cw_step *step = &to->steps[to->step_count++];
        *step = kinds[i];
        snprintf(step->value, sizeof step->value, "%d", fake->values[i].wanted);
        snprintf(step->why, sizeof step->why, "the wish \"has\" it");
    }
}

static void print_plan(const struct cw_plan *of, const struct cw_facts *facts, bool is_json)
{
    (void)facts;
    printf("%s%u steps, %u refusals\n", is_json ? "json " : "", of->step_count, of->refusal_count);
    for (uint32_t i = 0; i < of->refusal_count; i++)
        printf("  %s. %s\n", of->refusals[i].words, of->refusals[i].remedy);
}

static json_t *keep(const struct cw_step *step, char *words, size_t size)
{
    (void)words;
    (void)size;
    pass_point();
    const char *folder = step->kind == CW_STEP_GIVE_UP ? "/sys/bus/pci/devices/" : "";
    int now = fake->values[index_of(step)].now;
    return json_pack("{s:i,s:s,s:s+,s:{s:{s:s,s:s,s:i},s:[s*]}}", "was", now, "addresses",
                     "10.1.0.1/24, fe80::1", "device", folder, kinds[FAKE_BIND].subject, "state", "link",
                     "ifname", "eth2", "address", "02:00:00:00:00:07", "mtu", 1500, "routes4",
                     now == FAKE_OTHER ? "default" : NULL);
}

static bool is_done(const struct cw_step *step, char *words, size_t size)
{
    uint32_t index = index_of(step);
    const struct fake_value *value = &fake->values[index];
    if (fake->is_stuck == index + 1)
        snprintf(words, size, "the kernel keeps it where it is");
    return fake->is_stuck == index + 1 || (value->now == atoi(step->value) && !value->is_half);
}

static void pass_gate(void)
{
    char byte = 'x';
    if (!fake->has_gate)
        return;
    fake->has_gate = false;
    if (write(fake->gate[1], &byte, 1) != 1 || read(fake->back[0], &byte, 1) != 1)
        WRONG();
}

static enum cw_status make(const struct cw_step *step, char *words, size_t size)
{
    uint32_t index = index_of(step);
    struct fake_value *value = &fake->values[index];
    for (uint32_t i = 0; i < index; i++)
        if (fake->values[i].now != fake->values[i].wanted || fake->values[i].is_half)
            WRONG(); /* what is above stands on what is below */
    pass_gate();
    if (fake->signal_in == index + 1)
        raise(fake->signal);
    value->makes++;
    value->boot = fake->boot;
    value->turn = ++fake->turns;
    pass_point();
    value->is_half = true;
    pass_point();
    if (fake->fail_make == index + 1) {
        snprintf(words, size, "the kernel says no");
        return CW_IO;
    }
    value->now = atoi(step->value);
    value->is_half = false;
    pass_point();
    return CW_OK;
}

static bool is_given_away(void)
{
    const struct fake_value *card = &fake->values[FAKE_BIND];
    return fake->count > FAKE_BIND && card->now == card->wanted;
}

static enum cw_status undo(const struct cw_step *step, const json_t *before, enum cw_step_left left,
                           char *words, size_t size)
{
    uint32_t index = index_of(step);
    struct fake_value *value = &fake->values[index];
    int was = (int)json_integer_value(json_object_get(before, "was"));
    if (value->boot != 0 && (left == CW_LEFT_TO_REBOOT) != (value->boot != fake->boot))
        WRONG();
    if (left == CW_LEFT_WHOLE && value->is_half)
        WRONG();
    fake->lefts[index] = left;
    for (uint32_t i = 0; i < fake->count && !fake->is_order_free && !fake->fail_undo && !fake->is_card_gone;
         i++) {
        bool is_later = value->boot != 0 && fake->values[i].turn > value->turn;
        if (is_later && (fake->values[i].now == fake->values[i].wanted || fake->values[i].is_half))
            WRONG();
    }
    if (fake->fail_undo == index + 1) {
        snprintf(words, size, "the kernel says no");
        return CW_IO;
    }
    if (index == FAKE_GIVE_UP && !fake->is_order_free && is_given_away()) {
        snprintf(words, size, "eth2 is not put back: somebody else has its card");
        return CW_NOT_FOUND;
    }
    if (fake->is_card_gone && (index == FAKE_GIVE_UP || index == FAKE_BIND)) {
        snprintf(words, size, "0000:03:00.0 is not in this machine any more\xff");
        return CW_NOT_FOUND;
    }
    if (value->now != atoi(step->value) && value->now != was && !value->is_half) {
        snprintf(words, size, "left as somebody else has made it: %d", value->now);
        return CW_OK;
    }
    pass_point();
    value->is_half = true;
    pass_point();
    value->now = was;
    value->is_half = false;
    value->boot = 0;
    pass_point();
    return CW_OK;
}

static bool is_used(const struct cw_step *step, char *words, size_t size)
{
    bool is_its = fake->is_used && step->kind == CW_STEP_BIND;
    words[0] = 0;
    if (is_its)
        snprintf(words, size, "%s is in use by causeway-engine (pid 4711)", step->subject);
    else if (fake->is_use_unknown)
        snprintf(words, size, "who has a port is not known");
    return is_its;
}

const struct cw_nic_hands fake_hands = {boot_id, read_wish, probe, plan, print_plan,
                                        keep,    is_done,   make,  undo, is_used};

/* ---------------------------------------------------------------- the test's side */

int fake_begin(void **state)
{
    (void)state;
    snprintf(fake_folder, sizeof fake_folder, "/dev/shm/cw-test-nic-XXXXXX"); /* a sync costs nothing there */
    if (!mkdtemp(fake_folder))
        return -1;
    fake = mmap(NULL, sizeof *fake, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fake == MAP_FAILED)
        return -1;
    char above[80];
    snprintf(above, sizeof above, "%s/lib", fake_folder);
    if (mkdir(above, 0700) != 0)
        return -1;
    *fake = (struct fake){.count = FAKE_VALUES, .boot = 1, .device = 0x1592};
    for (uint32_t i = 0; i < FAKE_VALUES; i++)
        fake->values[i] =
            (struct fake_value){.first = 10 + (int)i, .wanted = 100 + (int)i, .now = 10 + (int)i};
    fake_command = (struct cw_nic_command){.hands = &fake_hands, .root = "", .is_root = true, .is_yes = true};
    snprintf(fake_command.folders.state, sizeof fake_command.folders.state, "%s/lib/state", fake_folder);
    fake_write_wish("wish.yaml", "paths:\n  - name: wan0\n");
    return 0;
}

static void remove_all(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char name[512];
        snprintf(name, sizeof name, "%s/%.200s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlink(name) != 0)
            remove_all(name);
    }
    if (folder)
        closedir(folder);
    (void)rmdir(path);
}

int fake_end(void **state)
{
    (void)state;
    remove_all(fake_folder);
    return munmap(fake, sizeof *fake);
}

void fake_write_wish(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fake_folder, name);
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    fputs(text, to);
    fclose(to);
}

static int run_here(const char *what)
{
    char wish[128];
    snprintf(wish, sizeof wish, "%s/%s", fake_folder,
             strstr(what, "-other") != NULL ? "other.yaml" : "wish.yaml");
    if (strncmp(what, "apply", 5) == 0)
        return cw_nic_apply(&fake_command, wish);
    if (strncmp(what, "plan", 4) == 0)
        return cw_nic_plan(&fake_command, wish);
    if (strcmp(what, "boot-late") == 0)
        return cw_nic_boot_late(&fake_command);
    return strcmp(what, "revert") == 0 ? cw_nic_revert(&fake_command) : cw_nic_boot(&fake_command);
}

int fake_run_with(const char *what, enum fake_fault fault, uint32_t at)
{
    char path[128];
    int status;
    snprintf(path, sizeof path, "%s/said", fake_folder);
    fflush(NULL);
    fake->points = 0;
    fake->fault = fault;
    fake->fault_at = at;
    pid_t pid = fork();
    if (pid == 0) {
        int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(to, STDOUT_FILENO);
        dup2(to, STDERR_FILENO);
        is_child = true;
        int code = run_here(what);
        fflush(NULL);
        _exit(code);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fake->fault = FAKE_NO_FAULT;
    assert_true(WIFEXITED(status));
    assert_int_equal(fake->wrong, 0);
    return WEXITSTATUS(status);
}

int fake_run(const char *what)
{
    return fake_run_with(what, FAKE_NO_FAULT, 0);
}

const char *fake_said(void)
{
    static char text[8192];
    char path[128];
    snprintf(path, sizeof path, "%s/said", fake_folder);
    FILE *from = fopen(path, "re");
    assert_non_null(from);
    text[fread(text, 1, sizeof text - 1, from)] = 0;
    fclose(from);
    return text;
}

static void lose_what_is_not_synced(const char *name, const struct fake_synced *synced)
{
    char path[256];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", fake_command.folders.state, name);
    if (stat(path, &about) == 0 && about.st_ino == synced->file && about.st_size > (off_t)synced->size)
        assert_int_equal(truncate(path, (off_t)synced->size), 0);
}

void fake_reboot(bool is_power_loss)
{
    fake->boot++;
    for (uint32_t i = 0; i < fake->count; i++) {
        struct fake_value *value = &fake->values[i];
        if (cw_step_is_volatile(&kinds[i])) {
            value->now = fake->starts_bare && i == FAKE_GIVE_UP ? FAKE_BARE : value->first;
            value->is_half = false;
            value->boot = 0;
        }
    }
    if (is_power_loss) {
        lose_what_is_not_synced("journal", &fake->synced[0]);
        lose_what_is_not_synced("marks", &fake->synced[1]);
    }
}

bool fake_is_first(void)
{
    for (uint32_t i = 0; i < fake->count; i++)
        if (fake->values[i].now != fake->values[i].first || fake->values[i].is_half)
            return false;
    return true;
}

bool fake_is_wanted(void)
{
    for (uint32_t i = 0; i < fake->count; i++)
        if (fake->values[i].now != fake->values[i].wanted || fake->values[i].is_half)
            return false;
    return true;
}

bool fake_has_state(void)
{
    return access(fake_command.folders.state, F_OK) == 0;
}
