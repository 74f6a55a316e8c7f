/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * This machine, as root and as nobody: a network namespace of our own with two pairs of veth, in which somebody whose program is
 * called sshd has a connection. What is known of the machine itself only has to be sound.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "facts_sound.h"
#include "nic-config/probe.h"
#include "nic-config/run.h"
#include "space.h"
#include "tree.h"

#define NOBODY 65534

static const struct cw_machine live = {.root = ""};
static struct cw_machine folder; /* for the link that makes us an sshd */
static struct cw_facts facts;
static const char *own_path;
static bool has_space;

static void ip(const char *line)
{
    const char *arguments[24] = {"ip"};
    char words[256], why[256] = "";
    snprintf(words, sizeof words, "%s", line);
    char *rest = words;
    for (size_t i = 1; rest != NULL && i < CW_COUNT_OF(arguments) - 1; i++)
        arguments[i] = strsep(&rest, " ");
    char *said = cw_run(arguments, 10, why, sizeof why);
    if (said == NULL)
        fail_msg("ip %s: %s", line, why);
    free(said);
}

/* Of others that run meanwhile: nobody may look into them, and nothing would be known of whose is what. */
static bool hide_spaces(void)
{
    return access("/run/netns", F_OK) != 0 || mount("none", "/run/netns", "tmpfs", 0, NULL) == 0;
}

static int begin(void **state)
{
    static const char *const lines[] = {
        "link set lo up",
        "link add cw0 type veth peer name cw1",
        "link add cw2 mtu 1400 type veth peer name cw3",
        "link set cw0 up",
        "link set cw1 up",
        "address add 10.7.0.1/24 dev cw0",
        "address add fd00:7::1/64 dev cw0 nodad",
        "route add default via 10.7.0.2",
        "route add 10.9.0.0/16 via 10.7.0.4 dev cw0 table 77 mtu 1300 metric 5",
        "route add blackhole 10.66.0.0/16",
    };
    tree_begin(&folder);
    tree_link(&folder, "/sshd", own_path);
    has_space = geteuid() == 0 && enter_own_space() && hide_spaces();
    for (size_t i = 0; has_space && i < CW_COUNT_OF(lines); i++)
        ip(lines[i]);
    return 0;
}

static int end(void **state)
{
    tree_end(&folder);
    return 0;
}

static int tcp(const char *address, uint16_t port, bool is_server)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &where.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (is_server) {
        assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
        assert_int_equal(listen(fd, 4), 0);
    } else
        assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

/* A process of that name that has all our descriptors. */
static pid_t start_sshd(void)
{
    int ready[2];
    char path[256], numbers[16], byte;
    assert_int_equal(pipe(ready), 0);
    snprintf(path, sizeof path, "%s/sshd", folder.root);
    snprintf(numbers, sizeof numbers, "%d", ready[1]);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test before its stop fails */
        execl(path, "sshd: alice [priv]", "--sshd", numbers, (char *)NULL);
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static const struct cw_login_fact *login(const char *from, const char *local)
{
    for (uint32_t i = 0; i < facts.login_count; i++)
        if (strcmp(facts.logins[i].from, from) == 0 && strcmp(facts.logins[i].local, local) == 0)
            return &facts.logins[i];
    return NULL;
}

static bool is_unread(const char *file, const char *words)
{
    for (uint32_t i = 0; i < facts.unread_count; i++)
        if (strcmp(facts.unread[i].file, file) == 0 && strstr(facts.unread[i].words, words) != NULL)
            return true;
    return false;
}

static void look(void)
{
    cw_probe(&live, &facts);
    facts_are_sound(&facts);
    assert_true(facts.cpu_count > 0);
    assert_true(facts.kernel[0] != '\0');
    assert_int_equal(facts.is_root, geteuid() == 0);
    assert_true(facts.interface_count > 0);
}

static void expect_interfaces(void)
{
    const struct cw_interface_fact *first = cw_facts_interface(&facts, "cw0"),
                                   *third = cw_facts_interface(&facts, "cw2");
    assert_non_null(first);
    assert_non_null(third);
    assert_string_equal(first->kind, "veth");
    assert_true(first->is_up && first->has_carrier);
    assert_false(third->is_up || third->has_carrier);
    assert_int_equal(third->mtu, 1400);
    assert_int_equal(first->lower_count, 0);
    assert_true(first->speed_mbps > 0);
    assert_true(first->rx_queues > 0 && first->tx_queues > 0);
    assert_true(first->has_default_route);
    assert_false(third->has_default_route);
    assert_string_equal(first->addresses[0].text, "10.7.0.1/24");
    bool has_route = false;
    for (uint32_t i = 0; i < first->route_count; i++)
        has_route |=
            strcmp(first->routes[i].text, "10.9.0.0/16 via 10.7.0.4 table 77 metric 5 mtu 1300") == 0;
    assert_true(has_route);
    assert_true(facts.is_use_known);
}

static void test_as_we_are(void **state)
{
    look();
    if (has_space)
        expect_interfaces();
}

/* In a process of its own: what cmocka says of it is its exit. */
static void as_nobody(void (*check)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(2);
        check();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void check_as_nobody(void)
{
    cw_probe(&live, &facts);
    facts_are_sound(&facts);
    const struct cw_interface_fact *first = cw_facts_interface(&facts, "cw0");
    CW_ASSERT(!facts.is_root && facts.cpu_count > 0);
    CW_ASSERT(first != NULL && first->is_up && first->has_default_route && first->tx_queues > 0);
    CW_ASSERT(facts.is_use_known);
}

static void test_as_nobody(void **state)
{
    if (!has_space)
        skip();
    as_nobody(check_as_nobody);
}

/* Its port is told by whose it is, which only root sees; 22 is of sshd by custom. */
static void check_logins_as_nobody(void)
{
    cw_probe(&live, &facts);
    CW_ASSERT(is_unread("logins", "which sockets are sshd's is for root to see"));
    CW_ASSERT(facts.login_count == 1);
    CW_ASSERT(strcmp(facts.logins[0].who, "") == 0 && strcmp(facts.logins[0].local, "127.0.0.1") == 0);
}

static void test_logins(void **state)
{
    if (!has_space)
        skip();
    int listener = tcp("10.7.0.1", 2222, true), client = tcp("10.7.0.1", 2222, false);
    int connection = accept(listener, NULL, NULL);
    pid_t sshd = start_sshd();
    close(listener);
    close(connection);
    int other = tcp("0.0.0.0", 8080, true), visitor = tcp("10.7.0.1", 8080, false); /* nobody's login */
    int custom = tcp("127.0.0.1", 22, true), guest = tcp("127.0.0.1", 22, false);
    look();
    assert_int_equal(facts.login_count, 2);
    const struct cw_login_fact *alice = login("10.7.0.1", "10.7.0.1");
    assert_non_null(alice);
    assert_string_equal(alice->who, "alice");
    assert_string_equal(alice->interface, "cw0");
    assert_true(cw_facts_interface(&facts, "cw0")->has_login);
    assert_non_null(login("127.0.0.1", "127.0.0.1"));
    as_nobody(check_logins_as_nobody);
    stop(sshd);
    int fds[] = {client, other, visitor, custom, guest};
    for (size_t i = 0; i < CW_COUNT_OF(fds); i++)
        close(fds[i]);
}

/* Of whoever called us, though sudo took it from our own environment. */
static void test_session_of_our_caller(void **state)
{
    if (!has_space)
        skip();
    char *environment[] = {(char *)"SSH_CONNECTION=192.0.2.77 5000 10.7.0.1 2200", NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execle(own_path, "test", "--caller", (char *)NULL, environment);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int be_called(void)
{
    cw_probe(&live, &facts);
    const struct cw_login_fact *caller = login("192.0.2.77", "10.7.0.1");
    return caller != NULL && strcmp(caller->interface, "cw0") == 0 ? 0 : 1;
}

static int be_caller(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *none[] = {NULL};
        execle("/proc/self/exe", "test", "--called", (char *)NULL, none);
        _exit(1);
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

static int be_sshd(int ready)
{
    if (write(ready, "", 1) != 1)
        return 1;
    pause();
    return 0;
}

/* DPDK's own plug-ins, which the engine is built with. */
static void test_drivers_of_dpdk(void **state)
{
    char why[256] = "";
    json_t *pmds = cw_machine_pmds(&live, why, sizeof why);
    size_t i;
    const json_t *pmd;
    uint32_t found = 0;
    assert_true(json_is_array(pmds));
    json_array_foreach(pmds, i, pmd)
    {
        const char *name = json_string_value(json_object_get(pmd, "name"));
        assert_non_null(name);
        if (strcmp(name, "net_ice") == 0) {
            found++;
            assert_non_null(strstr(json_string_value(json_object_get(pmd, "kmod")), "vfio-pci"));
            assert_true(json_array_size(json_object_get(pmd, "pci_ids")) > 0);
        }
    }
    assert_int_equal(found, 1); /* not once for each name of the file */
    json_decref(pmds);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drivers_of_dpdk),
        cmocka_unit_test(test_as_we_are),
        cmocka_unit_test(test_as_nobody),
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_session_of_our_caller),
    };
    char path[512];
    if (argc == 3 && strcmp(argv[1], "--sshd") == 0)
        return be_sshd(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "--caller") == 0)
        return be_caller();
    if (argc == 2 && strcmp(argv[1], "--called") == 0)
        return be_called();
    if (realpath("/proc/self/exe", path) == NULL)
        return 1;
    own_path = path;
    return cmocka_run_group_tests(tests, begin, end);
}
