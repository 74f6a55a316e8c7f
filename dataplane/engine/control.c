/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/control.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/control_certificates.h"
#include "engine/loops.h"
#include "engine/net_lcore.h"
#include "io/port.h"
#include "io/tls.h"

#define POLL_FIXED 5u
#define PICTURE_MS 1000

/* ---------------------------------------------------------------- commands */

struct cw_command *cw_control_command(uint8_t type, uint8_t slot, void (*on_done)(struct cw_command *command),
                                      void *context)
{
    struct cw_command *command = calloc(1, sizeof *command);
    CW_ASSERT(command != NULL && "a few hundred bytes on the control thread");
    command->type = type;
    command->slot = slot;
    command->on_done = on_done;
    command->context = context;
    return command;
}

void cw_control_free_command(struct cw_command *command)
{
    free(command);
}

/* Passes on what fits: no more under way than the way back has room for. */
static void pass_on(struct cw_control *control)
{
    bool has_passed = false;
    while (control->waiting_first != NULL && control->commands_under_way < CW_COMMANDS_MAX) {
        struct cw_command *command = control->waiting_first;
        struct cw_command *next = command->next;
        if (!cw_ring_push(&control->engine->commands, &command))
            break;
        control->commands_under_way++;
        control->waiting_first = next;
        if (next == NULL)
            control->waiting_last = NULL;
        has_passed = true;
    }
    if (has_passed)
        cw_loops_wake_store(control->engine);
}

void cw_control_post(struct cw_control *control, struct cw_command *command)
{
    command->next = NULL;
    if (control->waiting_last != NULL)
        control->waiting_last->next = command;
    else
        control->waiting_first = command;
    control->waiting_last = command;
    pass_on(control);
}

/* ---------------------------------------------------------------- events */

json_t *cw_control_event_json(const struct cw_event *event)
{
    static const char *const levels[] = {"info", "warning", "error"};
    return json_pack("{s:I, s:I, s:s, s:I, s:s}", "id", (json_int_t)event->id, "time",
                     (json_int_t)event->time_ms, "level", levels[CW_MIN(event->level, 2)], "group",
                     (json_int_t)event->group, "text", event->text);
}

static void log_line(const struct cw_event *event)
{
    static const char *const levels[] = {"", "warning: ", "error: "};
    char when[32];
    time_t seconds = (time_t)(event->time_ms / 1000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(when, sizeof when, "%F %T", &tm);
    if (event->group != 0)
        fprintf(stderr, "%s.%03u %sgroup %u: %s\n", when, (unsigned)(event->time_ms % 1000),
                levels[CW_MIN(event->level, 2)], event->group, event->text);
    else
        fprintf(stderr, "%s.%03u %s%s\n", when, (unsigned)(event->time_ms % 1000),
                levels[CW_MIN(event->level, 2)], event->text);
}

static void event_add(struct cw_control *control, uint8_t level, uint32_t group, const char *text)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t id = control->next_event++;
    struct cw_event *event = &control->events[id % CW_EVENTS_KEPT];
    *event = (struct cw_event){.id = id,
                               .time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                               .level = level,
                               .group = group};
    snprintf(event->text, sizeof event->text, "%s", text);
    log_line(event);
    if (control->controller != 0)
        cw_rpc_send(&control->server, control->controller,
                    json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params",
                              cw_control_event_json(event)));
}

void cw_control_event(struct cw_control *control, uint8_t level, uint32_t group, const char *format, ...)
{
    char text[CW_EVENT_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    event_add(control, level, group, text);
}

/* The pure parts know sites and paths by number; people know them by name: "site 1" becomes "west", "path 0"
 * "path wan0 to west". Returns the length of what was written, 0: there is no such number at this place. */
static size_t put_name(const struct cw_engine *engine, const char *from, int *taken, char *to, size_t size)
{
    unsigned number = 0;
    int length = 0;
    if (sscanf(from, "site %3u%n", &number, taken) == 1 && number < CW_SITES_MAX)
        length = snprintf(to, size, "%s", cw_engine_site_name(engine, (uint8_t)number));
    else if (sscanf(from, "path %3u%n", &number, taken) == 1 && number < engine->config.path_count)
        length = snprintf(to, size, "path %s to %s", engine->config.paths[number].name,
                          engine->config.paths[number].remote);
    return CW_MIN((size_t)CW_MAX(length, 0), size - 1);
}

void cw_control_put_names(const struct cw_engine *engine, const char *from, char *to, size_t size)
{
    size_t used = 0;
    while (*from && used + 1 < size) {
        int taken = 0;
        size_t length = put_name(engine, from, &taken, to + used, size - used);
        if (length == 0)
            to[used] = *from;
        used += length > 0 ? length : 1;
        from += length > 0 ? taken : 1;
    }
    to[used] = 0;
}

static void on_event_mail(struct cw_control *control, const struct cw_mail *mail)
{
    char numbered[CW_EVENT_TEXT], text[CW_EVENT_TEXT];
    snprintf(numbered, sizeof numbered, mail->event.text, (unsigned long long)mail->event.values[0],
             (unsigned long long)mail->event.values[1], (unsigned long long)mail->event.values[2]);
    cw_control_put_names(control->engine, numbered, text, sizeof text);
    event_add(control, mail->event.level, mail->event.group, text);
}

/* ---------------------------------------------------------------- from the store */

static void on_mail(struct cw_control *control, const struct cw_mail *mail)
{
    switch ((enum cw_mail_type)mail->type) {
    case CW_MAIL_DONE:
        control->commands_under_way--;
        mail->command->on_done(mail->command);
        pass_on(control);
        break;
    case CW_MAIL_EVENT:
        on_event_mail(control, mail);
        break;
    case CW_MAIL_CLAIM:
        cw_control_ask_claim(control, mail);
        break;
    case CW_MAIL_SET:
        cw_control_ask_set(control, mail);
        break;
    case CW_MAIL_LEASE:
        cw_control_ask_lease(control, mail);
        break;
    case CW_MAIL_IMAGE:
        cw_control_on_image(control, mail);
        break;
    case CW_MAIL_SALVAGE:
        cw_control_on_salvage(control, mail);
        break;
    }
}

static void read_mails(struct cw_control *control)
{
    struct cw_mail mail;
    uint64_t count;
    (void)!read(control->engine->control_wake_fd, &count, sizeof count);
    while (cw_ring_pop(&control->engine->mails, &mail))
        on_mail(control, &mail);
}

/* ---------------------------------------------------------------- stopping */

static void on_stopped(struct cw_command *command)
{
    struct cw_control *control = command->context;
    cw_control_free_command(command);
    control->is_stopped = true;
}

void cw_control_stop(struct cw_control *control)
{
    if (control->is_stopping)
        return;
    control->is_stopping = true;
    cw_control_event(control, 0, 0, "stopping in order");
    cw_control_post(control, cw_control_command(CW_COMMAND_STOP, 0, on_stopped, control));
}

static void on_signal(struct cw_control *control)
{
    struct signalfd_siginfo info;
    if (read(control->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (control->is_stopping) {
        fprintf(stderr, "causeway-engine: a second signal: leaving at once\n");
        _exit(1);
    }
    cw_control_stop(control);
}

/* ---------------------------------------------------------------- pictures for telemetry */

static void on_picture(struct cw_command *command)
{
    struct cw_control *control = command->context;
    cw_telemetry_update(control, command->snapshot);
    free(command->snapshot);
    cw_control_free_command(command);
}

static void take_picture(struct cw_control *control)
{
    struct cw_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return;
    struct cw_command *command = cw_control_command(CW_COMMAND_SNAPSHOT, 0, on_picture, control);
    command->snapshot = snapshot;
    snapshot->command = command;
    cw_control_post(control, command);
}

/* ---------------------------------------------------------------- memory of another time */

/* OpenSSL's random numbers are in that memory too. */
static void look_at_the_time(struct cw_control *control)
{
    char why[CW_WHY_SIZE];
    if (!cw_rewind_look(&control->rewind, why, sizeof why))
        return;
    cw_tls_renew_randomness();
    atomic_fetch_add_explicit(&control->engine->rewinds, 1, memory_order_relaxed);
    for (uint32_t lane = 0; lane < control->engine->config.lane_count; lane++)
        cw_loops_wake_net(control->engine, lane);
    cw_control_event(
        control, 1, 0,
        "%s: this machine may have gone back to a picture of its memory; all sessions start over, "
        "with new keys",
        why);
}

/* ---------------------------------------------------------------- ports */

static_assert(CW_CONFIG_PATHS_MAX <= 32, "a bit of ports_gone each");

/* That the path is down is told by the store, in its time; here, why. */
static void look_at_ports(struct cw_control *control)
{
    const struct cw_engine *engine = control->engine;
    for (uint32_t i = 0; i < engine->config.path_count; i++) {
        const struct cw_config_path *path = &engine->config.paths[i];
        if ((control->ports_gone >> i & 1) != 0 || !cw_port_is_gone(engine->lanes[0].net->paths[i].port))
            continue;
        control->ports_gone |= 1u << i;
        cw_control_event(
            control, 2, 0,
            "path %s: its device is gone: %.*s was pulled out, or taken back: causeway nic show; put it "
            "back, prepare it (causeway nic apply), and start this engine anew",
            path->name, (int)strcspn(path->device, ","), path->device);
    }
}

/* ---------------------------------------------------------------- the loop */

struct cw_control_group *cw_control_find(struct cw_control *control, uint32_t group)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (control->groups[i].state != CW_ATTACH_NONE && control->groups[i].id == group)
            return &control->groups[i];
    }
    return NULL;
}

void cw_control_take_controller(struct cw_control *control, struct cw_rpc_connection *connection)
{
    struct cw_rpc_connection *before = cw_rpc_find(&control->server, control->controller);
    if (before != NULL)
        before->is_controller = false;
    cw_control_lost_controller(control);
    control->controller = connection->id;
    connection->is_controller = true;
}

/* Who was the last to register of those that are left. */
static struct cw_rpc_connection *last_registered(struct cw_control *control)
{
    struct cw_rpc_connection *last = NULL;
    for (unsigned i = 0; i < CW_RPC_CONNECTIONS_MAX; i++) {
        struct cw_rpc_connection *connection = &control->server.connections[i];
        if (connection->fd >= 0 && connection->registered > (last != NULL ? last->registered : 0))
            last = connection;
    }
    return last;
}

/* The one before cannot know that it is asked nothing, so it is not left to it to register anew. */
static void on_closed(void *context, uint64_t connection_id)
{
    struct cw_control *control = context;
    if (connection_id != control->controller)
        return;
    control->controller = 0;
    cw_control_lost_controller(control);
    struct cw_rpc_connection *before = last_registered(control);
    if (before != NULL)
        cw_control_take_controller(control, before);
    cw_control_event(control, 1, 0, "the controller's connection is gone%s",
                     before != NULL ? ": the one that had registered before it is asked again" : "");
}

static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum cw_status cw_control_init(struct cw_control *control, struct cw_engine *engine, char *why,
                               size_t why_size)
{
    const struct cw_node_config *config = &engine->config;
    memset(control, 0, sizeof *control);
    control->engine = engine;
    control->next_event = 1;
    control->events = calloc(CW_EVENTS_KEPT, sizeof *control->events);
    cw_rewind_init(&control->rewind);
    control->job_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    control->signal_fd = watch_signals();
    control->server.on_message = cw_control_on_message;
    control->server.on_closed = on_closed;
    control->server.context = control;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++)
        control->groups[i].slot = (uint8_t)i;
    if (control->events == NULL || control->job_fd < 0 || control->signal_fd < 0 ||
        !cw_jobs_start(&control->jobs, control->job_fd)) {
        snprintf(why, why_size, "cannot start the control thread: %s", strerror(errno));
        return CW_IO;
    }
    enum cw_status status = cw_auth_start(control, why, why_size);
    if (status != CW_OK)
        return status;
    cw_telemetry_register(control);
    /* Who may only look (sockets.operators) asks the controller: here everybody may do everything. */
    mode_t mode = config->has_operators ? 0600 : config->socket_mode;
    return cw_rpc_listen(&control->server, config->engine_socket, mode, config->socket_group, why, why_size);
}

void cw_control_run(struct cw_control *control)
{
    struct pollfd set[POLL_FIXED + 1 + CW_RPC_CONNECTIONS_MAX];
    while (!control->is_stopped) {
        set[0] = (struct pollfd){.fd = control->engine->control_wake_fd, .events = POLLIN};
        set[1] = (struct pollfd){.fd = control->job_fd, .events = POLLIN};
        set[2] = (struct pollfd){.fd = control->signal_fd, .events = POLLIN};
        set[3] = (struct pollfd){.fd = control->rewind.log_fd, .events = POLLIN};
        set[4] = (struct pollfd){.fd = control->rewind.clock_fd, .events = POLLIN};
        unsigned count = cw_rpc_poll_set(&control->server, set + POLL_FIXED);
        bool is_waiting = cw_rpc_is_waiting(&control->server);
        int ready = poll(set, POLL_FIXED + count, is_waiting ? 0 : cw_auth_wait_ms(control, PICTURE_MS));
        if (ready < 0) {
            CW_ASSERT(errno == EINTR);
            continue;
        }
        look_at_the_time(control);
        look_at_ports(control);
        uint64_t jobs;
        (void)!read(control->job_fd, &jobs, sizeof jobs);
        cw_jobs_reap(&control->jobs);
        read_mails(control);
        cw_auth_turn(control);
        if (set[2].revents != 0)
            on_signal(control);
        cw_rpc_on_poll(&control->server, set + POLL_FIXED, count);
        if (ready == 0 && !is_waiting)
            take_picture(control);
    }
}

void cw_control_fini(struct cw_control *control)
{
    cw_jobs_stop(&control->jobs);
    cw_rpc_close(&control->server);
    cw_auth_end(control);
    cw_rewind_fini(&control->rewind);
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (control->groups[i].setup.group != NULL)
            cw_setup_group_free(control->groups[i].setup.group);
    }
    free(control->events);
    close(control->job_fd);
    close(control->signal_fd);
}
