/* SPDX-License-Identifier: BSD-3-Clause */
/* See verify.h. Nothing is changed, and nothing is kept: all of it becomes arguments. */
#include "nic-config/verify.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/config/node_config.h"
#include "engine/config/prepared.h"

#define PREPARED      "/run/causeway/nic"
#define ENDS          2u
#define NAMES_MAX     16u
#define ARGUMENTS_MAX 48u
#define ARGUMENT_SIZE (CW_CONFIG_PATH_SIZE + 8u)
#define PATH_SIZE     512u
#define SAID_SIZE     8192u

enum { DONE = 0, FAILED = 1, USAGE = 2 };

const char cw_nic_verify_summary[] = "send real packets between two prepared ports, or a port and its peer";
const char cw_nic_verify_help[] =
    "usage: causeway nic verify NAME NAME [OPTION...]                        two prepared paths, cabled together\n"
    "       causeway nic verify [NAME] --config FILE [OPTION...]             a path and its peer\n"
    "       causeway nic verify [NAME] --local IP --peer IP [OPTION...]      the same without a configuration\n"
    "       causeway nic verify [NAME] --config FILE --answer                for that at the other end\n"
    "\n"
    "Sends packets through the engine's own port code and says what becomes of them: link, neighbour, loss, round\n"
    "trip, mtu, rate, checksums, VLAN, queues. The engine must not have the card: it is refused then (exit 3).\n"
    "Without NAME it is the only prepared path. Without --answer at the other end, peer and gateway are asked for\n"
    "echo only.\n"
    "\n"
    "  --config FILE     the node's configuration: addresses, gateway, mtu, vlan, queues of the path\n"
    "  --local IP, --peer IP, --gateway IP, --port N     in its place\n"
    "  --prepared DIR    where paths are prepared (" PREPARED ")\n"
    "  --answer          answers the other end, until SIGINT\n"
    "  --seconds N       a measurement (2)\n"
    "  --json            for programs\n"
    "\n"
    "Exit: 0 nothing failed, 1 something did, 2 wrong usage, 3 refused: the card is in use.\n";

struct request {
    const char *config, *prepared, *seconds;
    const char *local, *peer, *gateway, *port; /* as they are typed: causeway-port-check looks at them */
    const char *names[ENDS];
    uint32_t name_count;
    bool is_answer, is_json;
};

/* A path, as it is prepared and, where there is a configuration, as that wants it. */
struct end {
    struct cw_config_path path;
    struct cw_prepared_path prepared;
    uint32_t queues;
    bool is_configured;
};

struct command {
    char text[ARGUMENTS_MAX][ARGUMENT_SIZE];
    char *vector[ARGUMENTS_MAX + 1];
    uint32_t count;
};

__attribute__((format(printf, 2, 3))) static int say(int code, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "causeway nic verify: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return code;
}

/* ---------------------------------------------------------------- what is asked for */

enum { CONFIG, PREPARED_FOLDER, LOCAL, PEER, GATEWAY, PORT, SECONDS, ANSWER, JSON, HELP };

static bool take_option(struct request *request, int which, const char *value)
{
    const char **words[] = {
        [CONFIG] = &request->config,  [PREPARED_FOLDER] = &request->prepared, [LOCAL] = &request->local,
        [PEER] = &request->peer,      [GATEWAY] = &request->gateway,          [PORT] = &request->port,
        [SECONDS] = &request->seconds};
    if (which == HELP)
        return false;
    if (which == ANSWER)
        request->is_answer = true;
    else if (which == JSON)
        request->is_json = true;
    else
        *words[which] = value;
    return true;
}

/* DONE: go on. */
static int read_arguments(int argc, char **argv, struct request *request, bool *is_help)
{
    static const struct option options[] = {{"config", 1, NULL, CONFIG},
                                            {"prepared", 1, NULL, PREPARED_FOLDER},
                                            {"local", 1, NULL, LOCAL},
                                            {"peer", 1, NULL, PEER},
                                            {"gateway", 1, NULL, GATEWAY},
                                            {"port", 1, NULL, PORT},
                                            {"seconds", 1, NULL, SECONDS},
                                            {"answer", 0, NULL, ANSWER},
                                            {"json", 0, NULL, JSON},
                                            {"help", 0, NULL, HELP},
                                            {0}};
    *request = (struct request){.prepared = PREPARED};
    *is_help = false;
    optind = 0; /* from the beginning: whoever called us has used it */
    for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (which == '?')
            return USAGE;
        *is_help = !take_option(request, which, optarg);
        if (*is_help)
            return DONE;
    }
    for (int i = optind; i < argc; i++) {
        if (request->name_count == ENDS)
            return say(USAGE, "%s: expected one path, or two that are cabled together", argv[i]);
        if (!cw_config_name_check(argv[i]))
            return say(USAGE, "%s: expected the name of a path", argv[i]);
        request->names[request->name_count++] = argv[i];
    }
    bool has_addresses = request->local != NULL || request->peer != NULL || request->gateway != NULL;
    if (request->config != NULL && (has_addresses || request->port != NULL))
        return say(USAGE, "--config has the addresses: expected either it, or --local and --peer");
    if (request->name_count == ENDS && (request->gateway != NULL || request->is_answer))
        return say(USAGE, "two paths of this machine need neither --gateway nor --answer");
    if (request->name_count == ENDS && strcmp(request->names[0], request->names[1]) == 0)
        return say(USAGE, "%s: expected two different paths", request->names[0]);
    if (request->name_count < ENDS && request->config == NULL &&
        (request->local == NULL || request->peer == NULL))
        return say(USAGE, "whose addresses? Expected --config FILE, or --local and --peer");
    return DONE;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The only one that is prepared, when none was named. */
static int choose_name(struct request *request)
{
    static char names[NAMES_MAX][CW_CONFIG_NAME_SIZE];
    char all[NAMES_MAX * CW_CONFIG_NAME_SIZE] = "";
    uint32_t count = 0;
    if (request->name_count > 0)
        return DONE;
    DIR *folder = opendir(request->prepared);
    for (struct dirent *entry; folder != NULL && count < NAMES_MAX && (entry = readdir(folder)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        size_t length = dot == NULL || strcmp(dot, ".yaml") != 0 ? 0 : (size_t)(dot - entry->d_name);
        if (length == 0 || length >= sizeof names[0])
            continue;
        memcpy(names[count], entry->d_name, length);
        names[count][length] = 0;
        count += cw_config_name_check(names[count]);
    }
    if (folder != NULL)
        closedir(folder);
    qsort(names, count, sizeof names[0], compare_names);
    for (uint32_t i = 0; i < count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "", names[i]);
    if (count == 0)
        return say(FAILED, "nothing is prepared in %s: causeway nic apply WISH --yes", request->prepared);
    if (count > 1)
        return say(USAGE, "which of %s? Expected the name of one, or of two that are cabled together", all);
    request->names[request->name_count++] = names[0];
    return DONE;
}

/* ---------------------------------------------------------------- files */

/* The whole file, ended by a NUL: the caller's. NULL: said. */
static char *read_file(const char *file, size_t size_max, size_t *length)
{
    FILE *from = fopen(file, "re");
    char *text = from != NULL ? malloc(size_max + 1) : NULL;
    if (from == NULL)
        say(FAILED, "%s: %s", file, strerror(errno));
    if (text != NULL) {
        *length = fread(text, 1, size_max + 1, from);
        if (ferror(from) || *length > size_max) {
            say(FAILED, "%s: %s", file, ferror(from) ? "it cannot be read" : "it is too long");
            free(text);
            text = NULL;
        }
    }
    if (text != NULL)
        text[*length] = 0;
    if (from != NULL)
        fclose(from);
    return text;
}

static int say_mistakes(const char *file, const struct cw_config_mistakes *mistakes)
{
    cw_config_mistakes_print(stderr, file, mistakes);
    return USAGE;
}

/* Of the configuration's paths only this one. */
static int load_configured(const struct request *request, const char *name, struct end *end)
{
    static struct cw_node_config config;
    static struct cw_config_mistakes mistakes;
    static struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX];
    char said[SAID_SIZE];
    size_t length;
    uint32_t at = 0;
    char *text = read_file(request->config, CW_CONFIG_BYTES_MAX, &length);
    if (text == NULL)
        return FAILED;
    enum cw_status status = cw_node_config_parse(text, length, false, &config, &mistakes);
    free(text);
    if (status != CW_OK)
        return say_mistakes(request->config, &mistakes);
    while (at < config.path_count && strcmp(config.paths[at].name, name) != 0)
        at++;
    if (at == config.path_count)
        return say(USAGE, "%s has no path %s", request->config, name);
    memmove(&config.paths[0], &config.paths[at], sizeof config.paths[0]);
    config.path_count = 1;
    if (strcmp(request->prepared, PREPARED) != 0)
        snprintf(config.nic_directory, sizeof config.nic_directory, "%s", request->prepared);
    if (cw_prepared_load(&config, request->config, prepared, said, sizeof said) != CW_OK ||
        cw_prepared_look(&config, prepared, "/sys", said, sizeof said) != CW_OK)
        return say(FAILED, "%s", said);
    end->path = config.paths[0];
    end->prepared = prepared[0];
    end->queues = config.lane_count;
    end->is_configured = true;
    return DONE;
}

static int load_prepared(const struct request *request, const char *name, struct end *end)
{
    static struct cw_node_config one;
    static struct cw_config_mistakes mistakes;
    static struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX];
    char file[PATH_SIZE], said[SAID_SIZE];
    size_t length;
    snprintf(file, sizeof file, "%s/%s.yaml", request->prepared, name);
    if (access(file, F_OK) != 0 && errno == ENOENT)
        return say(FAILED, "%s is not prepared: there is no %s: causeway nic apply WISH --yes", name, file);
    char *text = read_file(file, CW_PREPARED_BYTES_MAX, &length);
    if (text == NULL)
        return FAILED;
    enum cw_status status = cw_prepared_parse(text, length, &prepared[0], &mistakes);
    free(text);
    if (status != CW_OK)
        return say_mistakes(file, &mistakes);
    end->prepared = prepared[0];
    struct cw_config_path *path = &end->path;
    snprintf(path->name, sizeof path->name, "%s", name);
    snprintf(path->device, sizeof path->device, "%s", end->prepared.device);
    path->is_prepared = true;
    path->is_shared = end->prepared.is_shared;
    path->mtu = (uint16_t)end->prepared.mtu;
    path->vlan = (uint16_t)end->prepared.vlan;
    end->queues = CW_MIN(end->prepared.queues, CW_CONFIG_LANES_MAX);
    one.paths[0] = *path;
    one.path_count = 1;
    if (cw_prepared_look(&one, prepared, "/sys", said, sizeof said) != CW_OK)
        return say(FAILED, "%s", said);
    return DONE;
}

/* ---------------------------------------------------------------- the arguments of the program */

__attribute__((format(printf, 3, 4))) static void add(struct command *command, const char *option,
                                                      const char *format, ...)
{
    va_list arguments;
    CW_ASSERT(command->count + 2 <= ARGUMENTS_MAX);
    snprintf(command->text[command->count], ARGUMENT_SIZE, "%s", option);
    command->count++;
    if (format == NULL)
        return;
    va_start(arguments, format);
    int written = vsnprintf(command->text[command->count++], ARGUMENT_SIZE, format, arguments);
    va_end(arguments);
    CW_ASSERT(written >= 0 && (size_t)written < ARGUMENT_SIZE);
}

static void add_typed(struct command *command, const char *option, const char *value)
{
    if (value != NULL)
        add(command, option, "%.*s", (int)ARGUMENT_SIZE - 1, value);
}

static void add_ip(struct command *command, const char *option, const struct cw_ip *ip)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (ip->version == 0)
        return;
    (void)inet_ntop(ip->version == 6 ? AF_INET6 : AF_INET, ip->bytes, text, sizeof text);
    add(command, option, "%s", text);
}

static void add_mac(struct command *command, const char *option, const uint8_t mac[6])
{
    static const uint8_t none[6];
    if (memcmp(mac, none, sizeof none) != 0)
        add(command, option, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void add_addresses(struct command *command, const struct request *request, const struct end *end)
{
    const struct cw_config_path *path = &end->path;
    if (!end->is_configured) {
        add_typed(command, "--local", request->local);
        add_typed(command, "--peer", request->peer);
        add_typed(command, "--gateway", request->gateway);
        add_typed(command, "--port", request->port);
        return;
    }
    add_ip(command, "--local", &path->local.ip);
    add_ip(command, "--peer", &path->peer.ip);
    add_ip(command, "--gateway", &path->gateway);
    add_mac(command, "--mac", path->local.mac);
    add_mac(command, "--peer-mac", path->peer.mac);
    add(command, "--port", "%u", path->local.port);
    add(command, "--peer-port", "%u", path->peer.port);
}

/* Two ports are used alike: what they have in common. */
static int add_paths(struct command *command, const struct request *request, const struct end ends[ENDS])
{
    const struct cw_config_path *path = &ends[0].path;
    uint32_t mtu = path->mtu, queues = ends[0].queues;
    bool is_pair = request->name_count == ENDS;
    add(command, "--device", "%s", path->device);
    add(command, "--name", "%s", path->name);
    if (is_pair) {
        const struct cw_config_path *other = &ends[1].path;
        if (path->is_shared || other->is_shared)
            return say(
                FAILED,
                "%s: the kernel keeps its interface and would not send to itself: check it with its peer "
                "(--answer at the other end)",
                path->is_shared ? path->name : other->name);
        if (path->vlan != other->vlan)
            return say(FAILED, "%s is in VLAN %u and %s in %u (0: none): they do not hear each other",
                       path->name, path->vlan, other->name, other->vlan);
        if (path->mtu != other->mtu || queues != ends[1].queues)
            fprintf(stderr, "%s has mtu %u and %u queues, %s %u and %u: checked with the smaller of both\n",
                    path->name, mtu, queues, other->name, other->mtu, ends[1].queues);
        mtu = CW_MIN(mtu, other->mtu);
        queues = CW_MIN(queues, ends[1].queues);
        add(command, "--to", "%s", other->device);
        add(command, "--to-name", "%s", other->name);
        add_typed(command, "--local", request->local);
        add_typed(command, "--peer", request->peer);
    } else {
        add_addresses(command, request, &ends[0]);
    }
    add(command, "--mtu", "%u", mtu);
    add(command, "--queues", "%u", queues);
    if (path->vlan != 0)
        add(command, "--vlan", "%u", path->vlan);
    if (path->is_shared)
        add(command, "--shared", NULL);
    if (ends[0].prepared.lcore_count >= 2)
        add(command, "--cpus", "%u,%u", ends[0].prepared.lcores[0], ends[0].prepared.lcores[1]);
    add_typed(command, "--seconds", request->seconds);
    if (request->is_answer)
        add(command, "--answer", NULL);
    if (request->is_json)
        add(command, "--json", NULL);
    return DONE;
}

/* ---------------------------------------------------------------- the program */

/* Beside ours when installed; in the build tree in its own folder. */
static const char *find_program(void)
{
    static const char *const beside[] = {"causeway-port-check", "../dataplane/io/check/causeway-port-check"};
    static char found[PATH_SIZE];
    const char *named = getenv("CAUSEWAY_PORT_CHECK");
    char self[PATH_SIZE / 2];
    if (named != NULL && *named != 0)
        return named;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    for (unsigned i = 0; slash != NULL && i < CW_COUNT_OF(beside); i++) {
        *slash = 0;
        snprintf(found, sizeof found, "%s/%s", self, beside[i]);
        if (access(found, X_OK) == 0)
            return found;
    }
    return beside[0]; /* by PATH */
}

int cw_nic_verify(int argc, char **argv)
{
    static struct end ends[ENDS];
    static struct command command;
    struct request request;
    bool is_help;
    int code = read_arguments(argc, argv, &request, &is_help);
    if (is_help) {
        printf("%s", cw_nic_verify_help);
        return DONE;
    }
    if (code == DONE)
        code = choose_name(&request);
    memset(ends, 0, sizeof ends);
    for (uint32_t i = 0; i < request.name_count && code == DONE; i++)
        code = request.config != NULL ? load_configured(&request, request.names[i], &ends[i])
                                      : load_prepared(&request, request.names[i], &ends[i]);
    const char *program = find_program();
    command.count = 0;
    add(&command, "causeway-port-check", NULL);
    if (code == DONE)
        code = add_paths(&command, &request, ends);
    if (code != DONE)
        return code;
    for (uint32_t i = 0; i < command.count; i++)
        command.vector[i] = command.text[i];
    command.vector[command.count] = NULL;
    fflush(NULL);
    (void)execvp(program, command.vector);
    return say(FAILED, "%s: %s", program, strerror(errno));
}
