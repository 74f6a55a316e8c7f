/* SPDX-License-Identifier: BSD-3-Clause */
/* What `causeway nic verify` makes of prepared paths, options and a node's configuration: the arguments that a program
 * in the place of causeway-port-check gets; its refusals; and once the real one, between two paths of memif. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "base/numbers.h"
#include "nic-config/verify.h"
#include "space.h"

#define ARGUMENTS_MAX 16u

static char folder[64], program[96], said[16384], wrong[8192];

static void put(const char *name, const char *text)
{
    char file[160];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *to = fopen(file, "we");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    fclose(to);
}

static void prepare(const char *name, const char *device, const char *more)
{
    char file[64], text[1024];
    snprintf(file, sizeof file, "%s.yaml", name);
    snprintf(text, sizeof text,
             "format: 1\npath: %s\ndevice: \"%s\"\ndriver: \"\"\ncard: \"\"\ninterface: \"\"\nnode: -1\n%s\n",
             name, device, more);
    put(file, text);
}

#define PLAIN  "shared: false\nqueues: 2\nmtu: 9000\nvlan: 120\nlcores: [2, 3]"
#define SHARED "shared: true\nqueues: 1\nmtu: 1500\nvlan: 0\nlcores: []"

static void remove_files(void)
{
    char command[192];
    snprintf(command, sizeof command, "rm -f %s/*.yaml %s/s", folder, folder);
    assert_int_equal(system(command), 0);
}

static void slurp(const char *name, char *text, size_t size)
{
    char file[160];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *from = fopen(file, "re");
    assert_non_null(from);
    text[fread(text, 1, size - 1, from)] = 0;
    fclose(from);
}

static void redirect(const char *name, int to)
{
    char file[160];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(99);
}

/* In a child, since it becomes another program: what that said, and its code. Words are separated by spaces; PREPARED
 * stands for the folder. */
static int verify(const char *line)
{
    char copy[512], verb[] = "verify", option[] = "--prepared",
                    *words[ARGUMENTS_MAX + 3] = {verb, option, folder};
    int count = 3, status;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL && count < (int)ARGUMENTS_MAX; word = strtok(NULL, " "))
        words[count++] = word;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        redirect("out", STDOUT_FILENO);
        redirect("err", STDERR_FILENO);
        if (chdir(folder) != 0)
            _exit(98);
        int code = cw_nic_verify(count, words);
        fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    slurp("out", said, sizeof said);
    slurp("err", wrong, sizeof wrong);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The program ran, with these arguments; its code is ours. */
static void expect_arguments(const char *line, const char *arguments)
{
    int code = verify(line);
    if (code != 7 || strcmp(said, arguments) != 0)
        fail_msg("%s: %d: %s%s", line, code, said, wrong);
}

static void expect_words(const char *line, int code, const char *words)
{
    int got = verify(line);
    if (got != code || strstr(wrong, words) == NULL || said[0] != 0)
        fail_msg("%s: %d: %s%s", line, got, said, wrong);
}

#define HERE "--local 10.0.0.1 --peer 10.0.0.2"

static void a_path_and_its_peer(void **state)
{
    prepare("wan0", "net_ring0", PLAIN);
    expect_arguments(
        "wan0 " HERE,
        "--device net_ring0 --name wan0 --local 10.0.0.1 --peer 10.0.0.2 --mtu 9000 --queues 2 --vlan 120 "
        "--cpus 2,3 ");
    expect_arguments(
        HERE " --gateway 10.0.0.9 --port 7 --answer --seconds 5 --json",
        "--device net_ring0 --name wan0 --local 10.0.0.1 --peer 10.0.0.2 --gateway 10.0.0.9 --port 7 "
        "--mtu 9000 --queues 2 --vlan 120 --cpus 2,3 --seconds 5 --answer --json ");
    prepare("wan0", "net_af_packet0,iface=eth9", SHARED);
    expect_arguments(
        "wan0 " HERE,
        "--device net_af_packet0,iface=eth9 --name wan0 --local 10.0.0.1 --peer 10.0.0.2 --mtu 1500 "
        "--queues 1 --shared ");
}

static void two_paths(void **state)
{
    prepare("wan0", "net_ring0", PLAIN);
    prepare("wan1", "net_ring1", "shared: false\nqueues: 1\nmtu: 1500\nvlan: 120\nlcores: []");
    expect_arguments(
        "wan0 wan1",
        "--device net_ring0 --name wan0 --to net_ring1 --to-name wan1 --mtu 1500 --queues 1 --vlan 120 "
        "--cpus 2,3 ");
    assert_non_null(
        strstr(wrong, "wan0 has mtu 9000 and 2 queues, wan1 1500 and 1: checked with the smaller"));
    prepare("wan1", "net_ring1", "shared: false\nqueues: 2\nmtu: 9000\nvlan: 0\nlcores: []");
    expect_words("wan0 wan1", 1, "wan0 is in VLAN 120 and wan1 in 0");
    prepare("wan1", "net_af_packet0,iface=eth9", SHARED);
    expect_words("wan0 wan1", 1, "wan1: the kernel keeps its interface");
    expect_words("wan0 wan0", 2, "expected two different paths");
    expect_words("wan0 wan1 wan2", 2, "wan2: expected one path, or two");
    expect_words("wan0 wan1 --answer", 2, "neither --gateway nor --answer");
}

#define CONFIGURATION(paths)                                                                                 \
    "site: east\nsites: [{name: east, id: 0}, {name: west, id: 1}]\ndirectory: /e\nstore: /s\n"              \
    "cluster_key: /k\nlcores: {net: [4, 5], store: 6}\npaths:\n" paths
#define WAN0                                                                                                 \
    "  - {name: wan0, remote: west, device: prepared, mtu: 8000, vlan: 120,\n"                               \
    "     local: {mac: \"02:00:00:00:00:01\", ip: 10.77.0.1/24, gateway: 10.77.0.254, port: 7400},\n"        \
    "     peer: {ip: 10.78.0.2, port: 7401}}\n"
#define WAN1                                                                                                 \
    "  - {name: wan1, remote: west, device: net_ring5, mtu: 1500,\n"                                         \
    "     local: {ip: \"fd00::1\", port: 7400}, peer: {mac: \"02:00:00:00:00:02\", ip: \"fd00::2\", port: 7400}}\n"

static void as_the_configuration_has_it(void **state)
{
    prepare("wan0", "net_ring0", PLAIN);
    put("node.yaml", CONFIGURATION(WAN0 WAN1));
    expect_arguments(
        "wan0 --config node.yaml",
        "--device net_ring0 --name wan0 --local 10.77.0.1 --peer 10.78.0.2 --gateway 10.77.0.254 "
        "--mac 02:00:00:00:00:01 --port 7400 --peer-port 7401 --mtu 8000 --queues 2 --vlan 120 --cpus 2,3 ");
    expect_arguments(
        "wan1 --config node.yaml",
        "--device net_ring5 --name wan1 --local fd00::1 --peer fd00::2 --peer-mac 02:00:00:00:00:02 "
        "--port 7400 --peer-port 7400 --mtu 1500 --queues 2 ");
    expect_words("wan2 --config node.yaml", 2, "node.yaml has no path wan2");
    expect_words("wan0 --config other.yaml", 1, "other.yaml: No such file");
    prepare("wan0", "net_ring0", "shared: false\nqueues: 1\nmtu: 9000\nvlan: 120\nlcores: []");
    expect_words("wan0 --config node.yaml", 1, "path wan0 wants 2 queues");
    put("node.yaml", "site: east\nmistaken: 1\n");
    expect_words("wan0 --config node.yaml", 2, "node.yaml:2: ");
}

static void what_is_missing_is_said(void **state)
{
    expect_words(HERE, 1, "nothing is prepared in");
    expect_words("wan0 " HERE, 1, "wan0 is not prepared");
    prepare("wan0", "net_ring0", PLAIN);
    prepare("wan1", "net_ring1", PLAIN);
    expect_words(HERE, 2, "which of wan0, wan1?");
    expect_words("wan0", 2, "whose addresses? Expected --config FILE, or --local and --peer");
    expect_words("wan0 --local 10.0.0.1", 2, "whose addresses?");
    expect_words("../wan0 " HERE, 2, "expected the name of a path");
    expect_words("wan0 --config x " HERE, 2, "--config has the addresses");
    expect_words("wan0 --nonsense", 2, "nonsense");
    put("wan0.yaml", "format: 2\n");
    expect_words("wan0 " HERE, 2, "wan0.yaml:1: ");
    static char much[5000];
    memset(much, '#', sizeof much - 1);
    put("wan0.yaml", much);
    expect_words("wan0 " HERE, 1, "too long");
    assert_int_equal(verify("--help"), 0);
    assert_string_equal(said, cw_nic_verify_help);
    assert_int_equal(setenv("CAUSEWAY_PORT_CHECK", "/nowhere/at/all", 1), 0);
    expect_words("wan1 " HERE, 1, "/nowhere/at/all: No such file");
}

/* The card that was prepared is not there. */
static void a_card_that_is_gone(void **state)
{
    put("wan0.yaml", "format: 1\npath: wan0\ndevice: ffff:ff:1f.7\ndriver: vfio-pci\ncard: ffff:ff:1f.7\n"
                     "interface: \"\"\nshared: false\nnode: 0\nqueues: 1\nmtu: 1500\nvlan: 0\nlcores: []\n");
    expect_words("wan0 " HERE, 1, "ffff:ff:1f.7 is not there");
}

static void packets_between_two_paths(void **state)
{
    const char *real = getenv("CW_PORT_CHECK");
    char device[2][160];
    if (real == NULL)
        skip();
    assert_int_equal(setenv("CAUSEWAY_PORT_CHECK", real, 1), 0);
    for (unsigned i = 0; i < 2; i++)
        snprintf(device[i], sizeof device[i], "net_memif%u,role=%s,socket=%s/s,socket-abstract=no", i,
                 i == 0 ? "server" : "client", folder);
    prepare("wan0", device[0], "shared: false\nqueues: 2\nmtu: 9000\nvlan: 120\nlcores: [0]");
    prepare("wan1", device[1], "shared: false\nqueues: 2\nmtu: 9000\nvlan: 120\nlcores: [0]");
    int code = verify("wan0 wan1 --seconds 1");
    if (code != 0 || strstr(said, "wan1 -> wan0: none of") == NULL || strstr(said, "0 failed") == NULL)
        fail_msg("%d: %s%s", code, said, wrong);
}

/* In a network of its own from then on. */
static void an_interface_that_an_engine_has(void **state)
{
    const char *real = getenv("CW_PORT_CHECK");
    if (real == NULL || !enter_own_space() || system("ip link add v0 type veth peer name v1") != 0) {
        print_message("skipped: no network and mounts of our own without root\n");
        skip();
    }
    assert_int_equal(setenv("CAUSEWAY_PORT_CHECK", real, 1), 0);
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("v0")};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(prctl(PR_SET_NAME, "causeway-engine"), 0);
    prepare("wan0", "net_af_packet0,iface=v0", SHARED);
    expect_words("wan0 " HERE, 3, "v0: causeway-engine, process ");
    assert_non_null(strstr(wrong, ", has a port on it: stop that first"));
    close(fd);
}

static int before_each(void **state)
{
    remove_files();
    return setenv("CAUSEWAY_PORT_CHECK", program, 1);
}

static int before_all(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cw-verify-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(program, sizeof program, "%s/program", folder);
    put("program", "#!/bin/sh\nfor word; do printf '%s ' \"$word\"; done\nexit 7\n");
    return chmod(program, 0700);
}

static int after_all(void **state)
{
    char command[192];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_path_and_its_peer, before_each),
        cmocka_unit_test_setup(two_paths, before_each),
        cmocka_unit_test_setup(as_the_configuration_has_it, before_each),
        cmocka_unit_test_setup(what_is_missing_is_said, before_each),
        cmocka_unit_test_setup(a_card_that_is_gone, before_each),
        cmocka_unit_test_setup(packets_between_two_paths, before_each),
        cmocka_unit_test_setup(an_interface_that_an_engine_has, before_each),
    };
    return cmocka_run_group_tests_name("nic/verify", tests, before_all, after_all);
}
