/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store in etcd when etcd is not well, against real members on loopback: gone, killed, stopped, out of
 * space, compacted, restored from an old snapshot; certificates that do not fit; and an "etcd" that answers
 * nonsense. What must hold: nobody gets a permission out of it, what is said helps, and afterwards all agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/etcd_format.h"
#include "control/store.h"
#include "etcd_process.h"

#define PREFIX   "/causeway/test"
#define PATIENCE 600 /* times 100 ms, for what has to happen sooner or later */

static struct etcd_cluster cluster;
static char why[CW_ETCD_WORDS_SIZE];

static struct cw_store *open_store(void)
{
    struct cw_store *store = etcd_open_store(&cluster.address, PREFIX, ETCD_PATIENCE_MS, why, sizeof why);
    if (!store)
        fprintf(stderr, "%s\n", why);
    return store;
}

static uint32_t make_group(struct cw_store *store)
{
    struct cw_store_site east = {.name = "east", .id = 0}, west = {.name = "west", .id = 1};
    struct cw_store_group group = {.site_count = 2, .sites = {"east", "west"}, .first = "east", .name = "db"};
    assert_int_equal(cw_store_site_put(store, &east), CW_OK);
    assert_int_equal(cw_store_site_put(store, &west), CW_OK);
    assert_int_equal(cw_store_group_add(store, &group), CW_OK);
    return group.id;
}

/* The next epoch, from whatever stands. */
static enum cw_status take(struct cw_store *store, uint32_t group, uint64_t *epoch)
{
    struct cw_authority now, next = {.holder = "east"};
    uint64_t counter;
    enum cw_status status = cw_store_authority(store, group, &now, &counter);
    if (status != CW_OK)
        return status;
    next.epoch = next.reign = now.epoch + 1;
    *epoch = next.epoch;
    return cw_store_swap(store, group, &now, &next, false, 0);
}

static uint64_t epoch_of(struct cw_store *store, uint32_t group)
{
    struct cw_authority now = {0};
    uint64_t counter;
    return cw_store_authority(store, group, &now, &counter) == CW_OK ? now.epoch : 0;
}

static void wait_epoch(struct cw_store *store, uint32_t group, uint64_t epoch)
{
    for (int i = 0; i < PATIENCE && epoch_of(store, group) < epoch; i++)
        usleep(100 * 1000);
    assert_int_equal(epoch_of(store, group), epoch);
}

/* Until it succeeds, and the store has heard of it: of its own swap, too, by the watch alone. */
static uint64_t take_at_last(struct cw_store *store, uint32_t group)
{
    uint64_t epoch = 0;
    for (int i = 0; i < PATIENCE; i++) {
        if (take(store, group, &epoch) == CW_OK) {
            wait_epoch(store, group, epoch);
            return epoch;
        }
        usleep(100 * 1000);
    }
    fail_msg("nothing is taken any more: %s", cw_store_trouble(store));
    return 0;
}

static void wait_counter(struct cw_store *store, const char *site, uint64_t at_least)
{
    uint64_t counter = 0;
    for (int i = 0; i < PATIENCE && counter < at_least; i++) {
        usleep(100 * 1000);
        assert_int_equal(cw_store_lease_counter(store, site, &counter), CW_OK);
    }
    assert_true(counter >= at_least);
}

static int end_cluster(void **state)
{
    etcd_end(&cluster);
    return 0;
}

/* ---------------------------------------------------------------- formats */

static void test_base64(void **state)
{
    static const char *const bad[] = {"A",    "AAA",  "A===",  "=AAA",     "AA=A",
                                      "AB==", "AAB=", "AAA\n", "AA==AAAA", "A-_A"};
    char bytes[64] = "";
    size_t length;
    for (size_t n = 0; n < sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(i * 37 + n * 101);
        char *text = cw_base64_encode(bytes, n), *back = cw_base64_decode(text, sizeof bytes, &length);
        assert_non_null(back);
        assert_int_equal(length, n);
        assert_memory_equal(back, bytes, n);
        free(back);
        if (n > 0)
            assert_null(cw_base64_decode(text, n - 1, &length));
        free(text);
    }
    for (size_t i = 0; i < CW_COUNT_OF(bad); i++)
        assert_null(cw_base64_decode(bad[i], 100, &length));
}

static void test_malformed_parts(void **state)
{
    static const char *const headers[] = {
        "{}",
        "{\"header\":[]}",
        "{\"header\":{\"cluster_id\":\"1\"}}",
        "{\"header\":{\"cluster_id\":\"0\",\"revision\":\"5\"}}",
        "{\"header\":{\"cluster_id\":\"18446744073709551616\",\"revision\":\"5\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"-5\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"9223372036854775808\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":1.5}}"};
    static const char *const pairs[] = {"{}",
                                        "[]",
                                        "{\"key\":\"YQ==\"}",
                                        "{\"key\":\"\",\"mod_revision\":\"1\"}",
                                        "{\"key\":\"YQBi\",\"mod_revision\":\"1\"}",
                                        "{\"key\":\"YQ==\",\"mod_revision\":\"x\"}",
                                        "{\"key\":\"YQ==\",\"mod_revision\":\"1\",\"value\":5}",
                                        "{\"key\":\"YQ==\",\"mod_revision\":\"1\",\"value\":\"?\"}"};
    struct cw_etcd_header header;
    struct cw_etcd_pair pair;
    for (size_t i = 0; i < CW_COUNT_OF(headers); i++) {
        json_t *json = json_loads(headers[i], 0, NULL);
        assert_false(cw_etcd_header_read(json, &header));
        json_decref(json);
    }
    for (size_t i = 0; i < CW_COUNT_OF(pairs); i++) {
        json_t *json = json_loads(pairs[i], 0, NULL);
        assert_false(cw_etcd_pair_read(json, &pair));
        cw_etcd_pair_free(&pair);
        json_decref(json);
    }
}

/* ---------------------------------------------------------------- no etcd at all */

/* Answers every request with the same bytes; endless: and then with more and more. */
static pid_t serve_nonsense(const char *bytes, bool is_endless, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid != 0) {
        close(fd);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        static char more[65536];
        int client = accept(fd, NULL, NULL);
        memset(more, 'x', sizeof more);
        if (read(client, more, 1000) > 0 && write(client, bytes, strlen(bytes)) > 0) {
            while (is_endless && write(client, more, sizeof more) > 0)
                ;
        }
        usleep(20 * 1000); /* so that all of it is read before it is closed */
        close(client);
    }
}

#define HTTP   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"5\"}"

/* What is no etcd is not taken for one, whatever it says; nor is an answer of any size swallowed. */
static void test_nonsense(void **state)
{
    static const struct {
        const char *bytes;
        bool is_endless;
        const char *says;
    } servers[] = {
        {"SSH-2.0-OpenSSH\r\n", false, "etcd"},
        {HTTP "<html>", false, "no etcd"},
        {"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{}", false, "HTTP 404"},
        {"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nConnection: close\r\n\r\n", false,
         "HTTP 302"},
        {HTTP "{}", false, "header"},
        {HTTP "[[[[[[[[[[", false, "no etcd"},
        {HTTP "{" HEADER ",\"kvs\":[{\"key\":\"?\"}]}", false, "malformed"},
        {HTTP "{" HEADER ",\"kvs\":[{\"key\":\"L290aGVy\",\"mod_revision\":\"1\"}]}", false, "malformed"},
        {HTTP "{" HEADER ",\"more\":true}", false, "malformed"},
        {HTTP "{\"error\":\"\\u001b[31mred\",\"code\":2}", false, "?[31mred"},
        {HTTP "{\"error\":\"all SubConns are in TransientFailure\",\"code\":14}", false, "clientAuth"},
        {HTTP "{\"a\":\"", true, "etcd"}};
    for (size_t i = 0; i < CW_COUNT_OF(servers); i++) {
        uint16_t port;
        pid_t pid = serve_nonsense(servers[i].bytes, servers[i].is_endless, &port);
        cluster.address = (struct cw_etcd_address){.count = 1};
        snprintf(cluster.address.endpoints[0], CW_ETCD_URL_SIZE, "http://127.0.0.1:%u", port);
        assert_null(etcd_open_store(&cluster.address, PREFIX, 1200, why, sizeof why));
        if (!strstr(why, servers[i].says))
            fail_msg("server %zu: %s", i, why);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void test_nobody_there(void **state)
{
    etcd_make(&cluster, 1, false); /* and not started */
    assert_null(etcd_open_store(&cluster.address, PREFIX, 1200, why, sizeof why));
    assert_non_null(strstr(why, "connection refused"));
    assert_non_null(strstr(why, cluster.address.endpoints[0]));
    assert_non_null(strstr(why, "start that member"));
}

/* ---------------------------------------------------------------- certificates */

static void expect_refusal(const char *certificate, const char *key, const char *authority, const char *says)
{
    struct cw_etcd_address address = cluster.address;
    snprintf(address.certificate, sizeof address.certificate, "%s%s%s", *certificate ? cluster.directory : "",
             *certificate ? "/" : "", certificate);
    snprintf(address.key, sizeof address.key, "%s/%s", cluster.directory, key);
    snprintf(address.authority, sizeof address.authority, "%s/%s", cluster.directory, authority);
    assert_null(etcd_open_store(&address, PREFIX, 1200, why, sizeof why));
    if (!strstr(why, says))
        fail_msg("%s: %s", certificate, why);
}

static void test_certificates(void **state)
{
    etcd_make(&cluster, 1, true);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    assert_non_null(store);
    uint32_t group = make_group(store);
    assert_int_equal(take_at_last(store, group), 1);
    cw_store_close(store);
    expect_refusal("stranger.pem", "stranger.key", "authority.pem", "this node's certificate");
    expect_refusal("", "", "authority.pem", "this node's certificate");
    expect_refusal("client.pem", "client.key", "stranger.pem", "its certificate is refused here");
    expect_refusal("client.pem", "none.key", "authority.pem", "own files cannot be used");
    /* The gateway is a client too, with the server's certificate. */
    etcd_kill(&cluster, 0);
    assert_true(etcd_shell(&cluster, "cp server-only.pem member.pem && cp server-only.key member.key"));
    etcd_start(&cluster, 0);
    for (int i = 0; i < 60; i++) { /* until it is up, nothing listens */
        assert_null(etcd_open_store(&cluster.address, PREFIX, 1200, why, sizeof why));
        if (strstr(why, "clientAuth"))
            return;
    }
    fail_msg("%s", why);
}

/* ---------------------------------------------------------------- members that are gone */

static void test_all_gone_and_back(void **state)
{
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    uint32_t group = make_group(store);
    uint64_t epoch = take_at_last(store, group), unused;
    etcd_kill(&cluster, 0);
    struct cw_store_lease lease = {.group = group, .epoch = epoch};
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO); /* no permission */
    assert_int_equal(take(store, group, &unused), CW_IO);
    assert_non_null(strstr(cw_store_trouble(store), "connection refused"));
    for (int i = 0; i < PATIENCE && cw_store_silent_ms(store) == 0; i++)
        usleep(100 * 1000);
    assert_true(cw_store_silent_ms(store) > 0);
    assert_int_equal(epoch_of(store, group), epoch); /* what is read is what was last heard */
    assert_int_equal(cw_store_begin(store), CW_IO);
    etcd_start(&cluster, 0);
    assert_int_equal(take_at_last(store, group), epoch + 1);
    assert_string_equal(cw_store_fault(store), "");
    cw_store_close(store);
}

/* Whatever one member of three does, the other two decide; no epoch is given twice and none is lost. */
static void test_one_of_three(void **state)
{
    etcd_make(&cluster, 3, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store(), *other = open_store();
    uint32_t group = make_group(store);
    uint64_t epoch = take_at_last(store, group);
    for (int round = 0; round < 2; round++) {
        uint32_t leader = etcd_leader(&cluster);
        for (int i = 0; leader == ETCD_MEMBERS_MAX && i < PATIENCE; i++) {
            usleep(100 * 1000);
            leader = etcd_leader(&cluster);
        }
        assert_true(leader < ETCD_MEMBERS_MAX);
        if (round == 0)
            etcd_kill(&cluster, leader);
        else
            etcd_signal(&cluster, leader, SIGSTOP);
        uint64_t next = take_at_last(store, group);
        assert_true(next > epoch);
        epoch = next;
        wait_epoch(other, group, epoch);
        assert_int_equal(take_at_last(other, group), epoch + 1);
        wait_epoch(store, group, ++epoch);
        if (round == 0)
            etcd_start(&cluster, leader);
        else
            etcd_signal(&cluster, leader, SIGCONT);
        etcd_wait_ready(&cluster);
    }
    assert_string_equal(cw_store_fault(store), "");
    assert_string_equal(cw_store_fault(other), "");
    /* The rest is no quorum. */
    etcd_kill(&cluster, 0);
    etcd_kill(&cluster, 1);
    struct cw_store_lease lease = {.group = group, .epoch = epoch};
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO);
    etcd_start(&cluster, 0);
    wait_epoch(other, group, take_at_last(store, group));
    cw_store_close(other);
    cw_store_close(store);
}

/* A swap whose answer never comes is no permission; whether it was done shows later, to all alike. */
static void test_unknown_outcome(void **state)
{
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store(), *other = open_store();
    uint32_t group = make_group(store);
    uint64_t epoch = take_at_last(store, group), asked;
    for (int round = 0; round < 3; round++) {
        etcd_signal(&cluster, 0, SIGSTOP);
        assert_int_equal(take(store, group, &asked), CW_IO);
        assert_int_equal(asked, epoch + 1);
        etcd_signal(&cluster, 0, SIGCONT);
        uint64_t next = take_at_last(store, group);
        assert_true(next == epoch + 1 || next == epoch + 2); /* the first was not done, or it was */
        epoch = next;
        wait_epoch(other, group, epoch);
    }
    /* A renewal that came late is not one that was given: each that is moves the counter again. */
    uint64_t before;
    assert_int_equal(cw_store_lease_counter(other, "east", &before), CW_OK);
    struct cw_store_lease lease = {.group = group, .epoch = epoch};
    etcd_signal(&cluster, 0, SIGSTOP);
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO);
    etcd_signal(&cluster, 0, SIGCONT);
    for (int given = 0, i = 0; given < 2; i++) {
        assert_true(i < PATIENCE);
        given += cw_store_renew(store, "east", &lease, 1) == CW_OK;
    }
    wait_counter(other, "east", before + 2);
    assert_string_equal(cw_store_fault(store), "");
    cw_store_close(other);
    cw_store_close(store);
}

/* A change of several rows that only looks at who holds a group does not mind that the holder renews. */
static void test_renewed_meanwhile(void **state)
{
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store(), *other = open_store();
    uint32_t group = make_group(store);
    struct cw_store_lease lease = {.group = group, .epoch = take_at_last(store, group)};
    assert_int_equal(cw_store_renew(other, "east", &lease, 1), CW_OK);
    wait_counter(store, "east", 1);
    struct cw_authority now, next;
    uint64_t counter;
    assert_int_equal(cw_store_begin(store), CW_OK);
    assert_int_equal(cw_store_authority(store, group, &now, &counter), CW_OK);
    assert_int_equal(counter, 1);
    next = now;
    next.automatic_epoch = 7;
    assert_int_equal(cw_store_swap(store, group, &now, &next, false, counter), CW_OK);
    assert_int_equal(cw_store_renew(other, "east", &lease, 1), CW_OK);
    assert_int_equal(cw_store_end(store, true), CW_OK);
    /* One that compares the counter does. */
    wait_counter(store, "east", 2);
    assert_int_equal(cw_store_begin(store), CW_OK);
    assert_int_equal(cw_store_authority(store, group, &now, &counter), CW_OK);
    next = now;
    next.automatic_epoch = 8;
    assert_int_equal(cw_store_lease_counter(store, "east", &counter), CW_OK);
    assert_int_equal(cw_store_swap(store, group, &now, &next, true, counter), CW_OK);
    assert_int_equal(cw_store_renew(other, "east", &lease, 1), CW_OK);
    assert_int_equal(cw_store_end(store, true), CW_STALE);
    cw_store_close(other);
    cw_store_close(store);
}

/* Settings that are as they are wanted, by a copy that is behind: they are not, and are looked at once more. */
static void test_set_meanwhile(void **state)
{
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store(), *other = open_store();
    struct cw_store_group row, theirs;
    uint32_t group = make_group(store);
    for (int i = 0; cw_store_group_read(other, group, &theirs) != CW_OK; i++) {
        assert_true(i < PATIENCE);
        usleep(100 * 1000);
    }
    assert_int_equal(cw_store_group_update(store, &theirs), CW_OK); /* its home is put down */
    assert_int_equal(cw_store_begin(store), CW_OK);
    assert_int_equal(cw_store_group_read(store, group, &row), CW_OK);
    theirs.is_automatic = !row.is_automatic;
    assert_int_equal(cw_store_group_update(other, &theirs), CW_OK);
    assert_int_equal(cw_store_group_update(store, &row), CW_OK);
    assert_int_equal(cw_store_end(store, true), CW_STALE);
    assert_int_equal(cw_store_group_update(store, &row), CW_OK);
    assert_int_equal(cw_store_group_update(store, &row), CW_OK); /* so they are now, and stay */
    cw_store_close(other);
    cw_store_close(store);
}

/* ---------------------------------------------------------------- space and history */

static void test_out_of_space(void **state)
{
    etcd_make(&cluster, 1, false);
    cluster.options[0] = "--quota-backend-bytes=200000";
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    uint32_t group = make_group(store);
    uint64_t epoch = take_at_last(store, group), unused;
    assert_true(etcd_shell(
        &cluster,
        "head -c 20000 /dev/zero | tr '\\0' x >big && for i in $(seq 60); do ETCDCTL_API=3 etcdctl "
        "--endpoints %s put /other/$i <big || break; done; true",
        cluster.address.endpoints[0]));
    assert_int_equal(take(store, group, &unused), CW_IO);
    assert_non_null(strstr(cw_store_trouble(store), "alarm disarm"));
    struct cw_store_lease lease = {.group = group, .epoch = epoch};
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO);
    assert_true(etcd_shell(
        &cluster,
        "export ETCDCTL_API=3 && e='etcdctl --endpoints %s' && $e del --prefix /other/ && $e compact "
        "$($e get x -w json | jq .header.revision) && $e defrag && $e alarm disarm",
        cluster.address.endpoints[0]));
    assert_int_equal(take_at_last(store, group), epoch + 1);
    assert_string_equal(cw_store_fault(store), "");
    cw_store_close(store);
}

/* A process with a store of its own: it tells the epoch when asked ('e'), and its fault ('f'). It is begun
 * before this process has threads. */
struct watcher {
    pid_t pid;
    int to, from;
};

static void watch(int from, int to)
{
    char asked;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(from, &asked, 1) != 1)
        _exit(0);
    struct cw_store *store = open_store();
    while (store &&
           write(to,
                 asked == 'f' ? (cw_store_fault(store)[0] ? "\1" : "\0") : (char[]){(char)epoch_of(store, 1)},
                 1) == 1) {
        if (read(from, &asked, 1) != 1)
            break;
        if (asked == 'f' && cw_store_fault(store)[0]) { /* then nothing is decided here any more */
            struct cw_store_lease lease = {.group = 1, .epoch = epoch_of(store, 1)};
            uint64_t epoch;
            if (cw_store_renew(store, "east", &lease, 1) != CW_IO || take(store, 1, &epoch) != CW_IO ||
                cw_store_begin(store) != CW_IO || !strstr(cw_store_fault(store), "went back"))
                _exit(4);
        }
    }
    _exit(store ? 0 : 3);
}

static struct watcher begin_watcher(void)
{
    int to[2], from[2];
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        watch(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    return (struct watcher){.pid = pid, .to = to[1], .from = from[0]};
}

static int ask_watcher(const struct watcher *watcher, char what)
{
    unsigned char answer;
    assert_int_equal(write(watcher->to, &what, 1), 1);
    assert_int_equal(read(watcher->from, &answer, 1), 1);
    return answer;
}

static void expect_watcher(const struct watcher *watcher, char what, int value)
{
    int last = -1;
    for (int i = 0; i < PATIENCE && (last = ask_watcher(watcher, what)) != value; i++)
        usleep(100 * 1000);
    assert_int_equal(last, value);
}

static void end_watcher(struct watcher *watcher)
{
    int status;
    close(watcher->to);
    assert_int_equal(waitpid(watcher->pid, &status, 0), watcher->pid);
    close(watcher->from);
    assert_int_equal(status, 0);
}

static void pause_watcher(const struct watcher *watcher)
{
    int status;
    kill(watcher->pid, SIGSTOP);
    assert_int_equal(waitpid(watcher->pid, &status, WUNTRACED), watcher->pid);
    assert_true(WIFSTOPPED(status));
}

/* What it missed is compacted away, and its connections are gone: it reads all again, and goes on. */
static void test_compacted(void **state)
{
    etcd_make(&cluster, 1, false);
    struct watcher watcher = begin_watcher();
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    uint32_t group = make_group(store);
    uint64_t epoch = take_at_last(store, group);
    expect_watcher(&watcher, 'e', (int)epoch);
    for (int round = 0; round < 2; round++) {
        pause_watcher(&watcher);
        for (int i = 0; i < 40; i++)
            epoch = take_at_last(store, group);
        assert_true(etcd_shell(
            &cluster,
            "export ETCDCTL_API=3 && e='etcdctl --endpoints %s' && $e compact $($e get x -w json | "
            "jq .header.revision)",
            cluster.address.endpoints[0]));
        if (round == 1) {
            etcd_kill(&cluster, 0);
            etcd_start(&cluster, 0);
            etcd_wait_ready(&cluster);
        }
        kill(watcher.pid, SIGCONT);
        expect_watcher(&watcher, 'e', (int)epoch);
    }
    assert_int_equal(ask_watcher(&watcher, 'f'), 0);
    end_watcher(&watcher);
    cw_store_close(store);
}

/* An older copy of etcd's data: whoever was there before decides nothing on it, also when that copy has been
 * written on until its revision is ahead again. */
static void check_restored(bool is_ahead)
{
    etcd_make(&cluster, 1, false);
    struct watcher watcher = begin_watcher();
    const struct etcd_member *member = &cluster.members[0];
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    uint32_t group = make_group(store);
    assert_int_equal(take_at_last(store, group), 1);
    assert_true(etcd_shell(&cluster, "ETCDCTL_API=3 etcdctl --endpoints %s snapshot save old",
                           cluster.address.endpoints[0]));
    assert_int_equal(take_at_last(store, group), 2);
    expect_watcher(&watcher, 'e', 2);
    cw_store_close(store);
    if (is_ahead)
        pause_watcher(&watcher);
    etcd_kill(&cluster, 0);
    assert_true(etcd_shell(
        &cluster,
        "rm -rf data0 && ETCDCTL_API=3 etcdctl snapshot restore old --data-dir data0 --name m0 "
        "--initial-cluster m0=http://127.0.0.1:%u --initial-advertise-peer-urls http://127.0.0.1:%u",
        member->peer_port, member->peer_port));
    etcd_start(&cluster, 0);
    etcd_wait_ready(&cluster);
    if (is_ahead) {
        assert_true(etcd_shell(
            &cluster, "for i in $(seq 40); do ETCDCTL_API=3 etcdctl --endpoints %s put /other/a $i; done",
            cluster.address.endpoints[0]));
        kill(watcher.pid, SIGCONT);
    }
    expect_watcher(&watcher, 'f', 1);
    assert_int_equal(ask_watcher(&watcher, 'f'), 1); /* and stays so: nothing is renewed or decided */
    /* Who starts later cannot know. */
    store = open_store();
    assert_non_null(store);
    assert_string_equal(cw_store_fault(store), "");
    assert_int_equal(epoch_of(store, group), 1);
    cw_store_close(store);
    end_watcher(&watcher);
}

static void test_restored(void **state)
{
    check_restored(false);
}

static void test_restored_and_ahead(void **state)
{
    check_restored(true);
}

static void test_another_format(void **state)
{
    uint64_t recorded;
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    assert_true(etcd_shell(&cluster, "ETCDCTL_API=3 etcdctl --endpoints %s put " PREFIX "/meta/format 4711",
                           cluster.address.endpoints[0]));
    struct cw_store *store = open_store();
    assert_int_equal(cw_store_agree_lease(store, 5000, &recorded), CW_INVALID);
    assert_non_null(strstr(cw_store_trouble(store), "was made by another version (4711, "));
    cw_store_close(store);
}

/* Streams that clients of the first member have begun to watch by. */
static int watches_begun(void)
{
    char name[256];
    int count = -1;
    assert_true(etcd_shell(&cluster,
                           "python3 -c 'import urllib.request; "
                           "print(urllib.request.urlopen(\"%s/metrics\").read().decode())' | sed -n "
                           "'s/^grpc_server_started_total{.*grpc_method=\"Watch\".*} //p' >watches",
                           cluster.address.endpoints[0]));
    snprintf(name, sizeof name, "%s/watches", cluster.directory);
    FILE *file = fopen(name, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &count), 1);
    fclose(file);
    return count;
}

/* Where something moves all the time the copy is always a little behind, and is not read anew for that. */
static void test_busy(void **state)
{
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store(), *other = open_store();
    struct cw_store_lease lease = {.group = make_group(store), .epoch = 1};
    struct cw_authority none = {0}, next = {.epoch = 1, .reign = 7, .holder = "east"};
    assert_int_equal(cw_store_swap(store, lease.group, &none, &next, false, 0), CW_OK);
    int begun = watches_begun();
    time_t end = time(NULL) + 6;
    while (time(NULL) < end)
        assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_OK);
    assert_int_equal(watches_begun(), begun);
    cw_store_close(other);
    cw_store_close(store);
}

static bool is_one_of(const char *name, const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tests[i].name, name) == 0)
            return true;
    }
    return false;
}

/* test_control_etcd [TEST]: all, or that one. */
int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_teardown(f, end_cluster)
    const struct CMUnitTest tests[] = {
        TEST(test_base64),        TEST(test_malformed_parts),    TEST(test_nonsense),
        TEST(test_nobody_there),  TEST(test_certificates),       TEST(test_all_gone_and_back),
        TEST(test_one_of_three),  TEST(test_unknown_outcome),    TEST(test_renewed_meanwhile),
        TEST(test_set_meanwhile), TEST(test_out_of_space),       TEST(test_compacted),
        TEST(test_restored),      TEST(test_restored_and_ahead), TEST(test_another_format),
        TEST(test_busy)};
    if (!etcd_is_there()) {
        printf("skipped: the store in etcd: no etcd, etcdctl or openssl here\n");
        return 77;
    }
    if (argc > 1 && !is_one_of(argv[1], tests, CW_COUNT_OF(tests))) {
        fprintf(stderr, "no such test: %s\n", argv[1]);
        return 2;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
