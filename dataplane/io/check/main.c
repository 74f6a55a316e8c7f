/* SPDX-License-Identifier: BSD-3-Clause */
/* causeway-port-check: arguments, start and end. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "io/check/check.h"
#include "io/device.h"
#include "io/frame.h"
#include "io/users.h"

#define MEMORY_MB       384u
#define UDP_PORT        7400u
#define MTU_MAX         9600u
#define SECONDS_DEFAULT 2u

static const char usage[] =
    "usage: causeway-port-check --device DEVICE --to DEVICE [OPTION...]             two ports of this machine\n"
    "       causeway-port-check --device DEVICE --local IP --peer IP [OPTION...]    a port and its peer\n"
    "       causeway-port-check --answer --device DEVICE --local IP --peer IP       for that at the other end\n"
    "\n"
    "Sends real packets through the engine's own port code and says what becomes of them: link, neighbour, loss,\n"
    "round trip, mtu, rate, checksums that devices compute or call right, VLAN, queues. While the peer's end does\n"
    "not answer, it and the gateway are asked for echo only. DEVICE is as in `device:` of a path:\n"
    "  0000:03:00.0     net_af_packet0,iface=eth1     net_memif0,role=client,socket=/run/a.sock\n"
    "\n"
    "  --local IP      address of the port; with --to optional (198.18.0.1)\n"
    "  --peer IP       the other end's; with --to the second port's (198.18.0.2)\n"
    "  --gateway IP    the next hop, where the peer is not on the link\n"
    "  --port N        UDP port (7400); --peer-port N: the other end's, where it is another\n"
    "  --mac M         link address of the port (the device's); --peer-mac M: of the next hop (it is asked for)\n"
    "  --mtu N         of IP, as the path's (1500)\n"
    "  --vlan N        802.1Q tag (none)\n"
    "  --queues N      of each port, 1 to 4 (1)\n"
    "  --shared        the kernel keeps the interface\n"
    "  --name NAME     of the port, in what is said; --to-name NAME of the second\n"
    "  --cpus A,B      CPUs for the two threads (any)\n"
    "  --seconds N     a measurement (2); with --answer: ends after so long (0: when told)\n"
    "  --json          for programs\n"
    "\n"
    "A rate is as fast as the port sends: not beside work that must not suffer. SIGINT ends it and says what is known.\n"
    "Exit: 0 nothing failed, 1 something did, 2 wrong usage, 3 refused: the port is in use.\n";

struct options {
    struct cw_port_config ports[CW_CHECK_WAYS];
    uint32_t port_count, seconds, cpus[CW_CHECK_WAYS];
    bool has_seconds, has_cpus, is_answer, is_json;
};

static volatile sig_atomic_t must_stop;

static void on_signal(int number)
{
    must_stop = 1;
}

/* ---------------------------------------------------------------- arguments */

static bool misuse(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "causeway-port-check: %s %s: expected %s\n", option, value, expected);
    return false;
}

static bool read_number(const char *option, const char *text, uint32_t least, uint32_t most, uint32_t *value)
{
    char *end, expected[64];
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    snprintf(expected, sizeof expected, "%u to %u", least, most);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || number < least || number > most)
        return misuse(option, text, expected);
    *value = (uint32_t)number;
    return true;
}

static bool read_ip(const char *option, const char *text, struct cw_ip *ip)
{
    *ip = (struct cw_ip){.version = strchr(text, ':') != NULL ? 6 : 4};
    return inet_pton(ip->version == 6 ? AF_INET6 : AF_INET, text, ip->bytes) == 1 ||
           misuse(option, text, "an IP address, such as 10.0.0.1 or fd00::1");
}

/* Of one host: no group, and not nothing. */
static bool read_mac(const char *option, const char *text, uint8_t mac[6])
{
    static const uint8_t none[6];
    char digits[] = "00:00:00:00:00:00";
    bool is_good = strlen(text) == strlen(digits);
    for (unsigned i = 0; is_good && i < strlen(digits); i++)
        is_good = i % 3 == 2 ? text[i] == ':' : isxdigit((unsigned char)text[i]) != 0;
    for (unsigned i = 0; is_good && i < 6; i++)
        mac[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
    return (is_good && (mac[0] & 1) == 0 && memcmp(mac, none, sizeof none) != 0) ||
           misuse(option, text, "the address of a card, such as 52:54:00:00:00:01");
}

static bool read_text(const char *option, const char *text, char *to, size_t size)
{
    int written = snprintf(to, size, "%s", text);
    return (written > 0 && (size_t)written < size) || misuse(option, text, "something shorter");
}

static bool read_cpus(struct options *options, const char *text)
{
    char first[16];
    const char *comma = strchr(text, ',');
    size_t length = comma == NULL ? sizeof first : (size_t)(comma - text);
    if (length >= sizeof first)
        return misuse("--cpus", text, "two numbers, such as 2,3");
    memcpy(first, text, length);
    first[length] = 0;
    options->has_cpus = true;
    return read_number("--cpus", first, 0, 1023, &options->cpus[0]) &&
           read_number("--cpus", comma + 1, 0, 1023, &options->cpus[1]);
}

enum argument {
    DEVICE,
    TO,
    LOCAL,
    PEER,
    GATEWAY,
    PORT,
    PEER_PORT,
    MAC,
    PEER_MAC,
    MTU,
    VLAN,
    QUEUES,
    SHARED,
    NAME,
    TO_NAME,
    CPUS,
    SECONDS,
    ANSWER,
    JSON,
    HELP,
    ARGUMENTS
};
static const struct option_name {
    const char *name;
    int has_value;
} names[ARGUMENTS] = {[DEVICE] = {"device", 1},       [TO] = {"to", 1},
                      [LOCAL] = {"local", 1},         [PEER] = {"peer", 1},
                      [GATEWAY] = {"gateway", 1},     [PORT] = {"port", 1},
                      [PEER_PORT] = {"peer-port", 1}, [MAC] = {"mac", 1},
                      [PEER_MAC] = {"peer-mac", 1},   [MTU] = {"mtu", 1},
                      [VLAN] = {"vlan", 1},           [QUEUES] = {"queues", 1},
                      [SHARED] = {"shared", 0},       [NAME] = {"name", 1},
                      [TO_NAME] = {"to-name", 1},     [CPUS] = {"cpus", 1},
                      [SECONDS] = {"seconds", 1},     [ANSWER] = {"answer", 0},
                      [JSON] = {"json", 0},           [HELP] = {"help", 0}};

static bool take_number(struct options *options, enum argument which, const char *value)
{
    struct cw_port_config *port = &options->ports[0];
    uint32_t number = 0;
    switch (which) {
    case PORT:
        if (!read_number("--port", value, 1, 65531, &number))
            return false;
        port->local_udp = (uint16_t)number;
        return true;
    case PEER_PORT:
        if (!read_number("--peer-port", value, 1, 65531, &number))
            return false;
        port->remote_udp = (uint16_t)number;
        return true;
    case MTU:
        if (!read_number("--mtu", value, 576, MTU_MAX, &number))
            return false;
        port->mtu = (uint16_t)number;
        return true;
    case VLAN:
        if (!read_number("--vlan", value, 1, CW_FRAME_VLAN_MAX, &number))
            return false;
        port->vlan = (uint16_t)number;
        return true;
    case QUEUES:
        return read_number("--queues", value, 1, CW_CHECK_QUEUES_MAX, &port->queues);
    default:
        options->has_seconds = true;
        return read_number("--seconds", value, 0, 1000000, &options->seconds);
    }
}

static bool take_option(struct options *options, enum argument which, const char *value)
{
    struct cw_port_config *ports = options->ports;
    switch (which) {
    case TO:
        options->port_count = 2;
        return read_text("--to", value, ports[1].device, sizeof ports[1].device);
    case DEVICE:
        return read_text("--device", value, ports[0].device, sizeof ports[0].device);
    case LOCAL:
        return read_ip("--local", value, &ports[0].local_ip);
    case PEER:
        return read_ip("--peer", value, &ports[0].remote_ip);
    case GATEWAY:
        return read_ip("--gateway", value, &ports[0].next_hop);
    case MAC:
        return read_mac("--mac", value, ports[0].local_mac);
    case PEER_MAC:
        return read_mac("--peer-mac", value, ports[0].remote_mac);
    case SHARED:
        return ports[0].is_shared = true;
    case NAME:
        return read_text("--name", value, ports[0].name, sizeof ports[0].name);
    case TO_NAME:
        return read_text("--to-name", value, ports[1].name, sizeof ports[1].name);
    case CPUS:
        return read_cpus(options, value);
    case ANSWER:
        return options->is_answer = true;
    case JSON:
        return options->is_json = true;
    case HELP:
        printf("%s", usage);
        exit(0);
    default:
        return take_number(options, which, value);
    }
}

static bool say_misuse(const char *words)
{
    fprintf(stderr, "causeway-port-check: %s; --help tells more\n", words);
    return false;
}

/* The second port is the first one's other end. */
static void mirror(struct cw_port_config *ports)
{
    struct cw_port_config second = ports[0];
    if (ports[0].local_ip.version == 0)
        ports[0].local_ip = cw_ip_v4(0xc6120001); /* 198.18.0.0/15, RFC 2544: for measuring */
    if (ports[0].remote_ip.version == 0)
        ports[0].remote_ip = cw_ip_v4(0xc6120002);
    memcpy(second.name, ports[1].name, sizeof second.name);
    memcpy(second.device, ports[1].device, sizeof second.device);
    second.local_udp = ports[0].remote_udp;
    second.remote_udp = ports[0].local_udp;
    memcpy(second.local_mac, ports[0].remote_mac, sizeof second.local_mac);
    memcpy(second.remote_mac, ports[0].local_mac, sizeof second.remote_mac);
    second.local_ip = ports[0].remote_ip;
    second.remote_ip = ports[0].local_ip;
    ports[1] = second;
    if (ports[1].name[0] == 0)
        cw_device_name(ports[1].device, ports[1].name, sizeof ports[1].name);
}

static bool check_options(struct options *options)
{
    struct cw_port_config *port = &options->ports[0];
    bool is_pair = options->port_count == 2;
    if (port->device[0] == 0)
        return say_misuse("--device is missing");
    if (is_pair && (options->is_answer || port->is_shared || port->next_hop.version != 0))
        return say_misuse(
            "--to, the second port of this machine, goes with neither --answer, --shared nor --gateway");
    if (!is_pair && (port->local_ip.version == 0 || port->remote_ip.version == 0))
        return say_misuse("--local and --peer are needed, or --to");
    if (!options->is_answer && options->has_seconds &&
        (options->seconds < 1 || options->seconds > CW_CHECK_SECONDS_MAX))
        return say_misuse("--seconds: a measurement takes 1 to 60");
    if (port->is_shared && (port->next_hop.version != 0 || port->vlan != 0))
        return say_misuse("--shared goes with neither --gateway nor --vlan: the kernel knows them");
    if (port->remote_udp == 0)
        port->remote_udp = port->local_udp;
    if (port->name[0] == 0)
        cw_device_name(port->device, port->name, sizeof port->name);
    if (is_pair)
        mirror(options->ports);
    if (port->local_ip.version != port->remote_ip.version ||
        (port->next_hop.version != 0 && port->next_hop.version != port->local_ip.version))
        return say_misuse("--local, --peer and --gateway are of one version of IP");
    if (cw_ip_is_equal(&port->local_ip, &port->remote_ip))
        return say_misuse("--local and --peer are the same address");
    if (port->local_ip.version == 6 && port->mtu < 1280)
        return say_misuse("--mtu: over IPv6 at least 1280");
    return true;
}

static bool read_arguments(int argc, char **argv, struct options *options)
{
    struct option table[ARGUMENTS + 1] = {0};
    *options = (struct options){.port_count = 1};
    options->ports[0] =
        (struct cw_port_config){.mtu = 1500, .local_udp = UDP_PORT, .queues = 1, .is_sum_doubted = true};
    for (size_t i = 0; i < ARGUMENTS; i++)
        table[i] = (struct option){names[i].name, names[i].has_value, NULL, (int)i};
    for (int which; (which = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (which == '?' || !take_option(options, (enum argument)which, optarg))
            return false;
    }
    if (optind < argc)
        return misuse("", argv[optind], "options only; --help tells which");
    return check_options(options);
}

/* ---------------------------------------------------------------- running */

static bool is_on_terminal;

static void show_progress(const char *what)
{
    if (is_on_terminal)
        fprintf(stderr, "\r\033[K%s ...", what);
}

static void end_progress(void)
{
    if (is_on_terminal)
        fprintf(stderr, "\r\033[K");
}

static int fail(int code, const char *why)
{
    end_progress();
    fprintf(stderr, "causeway-port-check: %s\n", why);
    return code;
}

static void answer(const struct options *options, struct cw_port *port)
{
    static struct cw_check_answerer answerer;
    uint64_t start_ns = cw_check_now_ns(), now_ns = start_ns, busy_ns = start_ns;
    cw_check_answerer_init(&answerer, port, &options->ports[0]);
    fprintf(stderr, "answering; SIGINT ends it\n");
    while (!must_stop && (options->seconds == 0 || now_ns - start_ns < options->seconds * CW_SECOND)) {
        now_ns = cw_check_now_ns();
        if (cw_check_answerer_turn(&answerer, now_ns) > 0)
            busy_ns = now_ns;
        else
            cw_check_idle(now_ns - busy_ns);
    }
    printf(
        options->is_json
            ? "{\"asked\":%lu,\"echoed\":%lu,\"ignored\":%lu,\"garbage\":%lu}\n"
            : "%lu questions and %lu echoes answered; %lu datagrams of no measurement ignored, %lu that were "
              "none of ours\n",
        answerer.asked, answerer.echoed, answerer.ignored, answerer.garbage);
}

static int measure(const struct options *options, struct cw_port *ports[CW_CHECK_WAYS])
{
    static struct cw_check_results results;
    struct cw_check_plan plan = {.ports = {ports[0], ports[1]},
                                 .configs = options->ports,
                                 .port_count = options->port_count,
                                 .milliseconds =
                                     (options->has_seconds ? options->seconds : SECONDS_DEFAULT) * 1000,
                                 .must_stop = &must_stop,
                                 .progress = show_progress};
    cw_check_run(&plan, &results);
    end_progress();
    return cw_check_print(&results, options->is_json);
}

/* Somebody else has it, says the kernel to a driver, or the server of its socket to us. */
static int code_of(const char *why)
{
    return strstr(why, strerror(EBUSY)) != NULL ? 3 : 1;
}

static int run(const struct options *options)
{
    struct cw_port *ports[CW_CHECK_WAYS] = {NULL, NULL};
    char why[512] = "";
    int code = 0;
    for (uint32_t i = 0; i < options->port_count && code == 0; i++) {
        ports[i] = cw_port_open(&options->ports[i], why, sizeof why);
        if (ports[i] == NULL)
            code = fail(code_of(why), why);
    }
    if (code == 0 && options->is_answer)
        answer(options, ports[0]);
    else if (code == 0)
        code = measure(options, ports);
    for (uint32_t i = options->port_count; i > 0; i--)
        cw_port_close(ports[i - 1]);
    return code;
}

/* By another process. What cannot be told is found out as the device is opened. */
static bool is_in_use(const char *device, char *why, size_t why_size)
{
    char name[64], card[128], who[256] = "";
    bool is_pci = cw_device_is_pci(device), is_used = false;
    if (is_pci || cw_device_is_vmbus(device)) {
        cw_device_name(device, name, sizeof name);
        snprintf(card, sizeof card, "/sys/bus/%s/devices/%s", is_pci ? "pci" : "vmbus", name);
        is_used = cw_users_of_card(card, who, sizeof who);
    } else if (cw_device_argument(device, "iface", name, sizeof name)) {
        is_used = cw_users_of_interface(name, who, sizeof who);
    }
    if (is_used)
        snprintf(why, why_size, "%s: %s: stop that first", device, who);
    return is_used;
}

int main(int argc, char **argv)
{
    struct options options;
    struct cw_eal_config eal = {.memory_mb = MEMORY_MB, .may_use_hugepages = true};
    struct sigaction action = {.sa_handler = on_signal};
    char why[512] = "";
    if (!read_arguments(argc, argv, &options))
        return 2;
    for (uint32_t i = 0; i < options.port_count; i++)
        if (is_in_use(options.ports[i].device, why, sizeof why))
            return fail(3, why);
    is_on_terminal = isatty(STDERR_FILENO);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    long last = CW_MAX(sysconf(_SC_NPROCESSORS_ONLN) - 1, 0);
    if (options.has_cpus)
        snprintf(eal.lcores, sizeof eal.lcores, "0@%u,1@%u", options.cpus[0], options.cpus[1]);
    else
        snprintf(eal.lcores, sizeof eal.lcores, "0@(0-%ld),1@(0-%ld)", last, last);
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "cw-port-check-%d", (int)getpid());
    eal.ports = options.ports;
    eal.port_count = options.port_count;
    enum cw_status status = cw_eal_start(&eal, why, sizeof why);
    if (status != CW_OK)
        return fail(status == CW_REFUSED ? 3 : 1, why);
    int code = run(&options);
    cw_eal_stop();
    return code;
}
